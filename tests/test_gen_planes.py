"""Two maps of planes in a row become one that does what both did, or are refused."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest

from signfire.gen.front.planes import Entangled, behind, merged
from signfire.gen.model.maps import Conv, Layout, Pooled, Sliding, Window

RNG = np.random.default_rng(11)


def conv(planes, n_out, window=(3, 3), *, groups=1, stride=(1, 1), padding=(0, 0, 0, 0)):
    return Conv(
        in_shape=planes,
        layout=Layout(planes=planes),
        kernel=RNG.normal(size=(n_out, planes[0] // groups, *window)),
        groups=groups,
        stride=stride,
        padding=padding,
    )


def window(planes, sources=None, size=(1, 1), *, stride=(1, 1), padding=(0, 0, 0, 0)):
    sources = tuple(range(planes[0])) if sources is None else sources
    return Window(
        in_shape=planes,
        layout=Layout(planes=planes),
        factor=RNG.normal(size=len(sources)) * (np.array(sources) >= 0),
        sources=sources,
        window=size,
        stride=stride,
        padding=padding,
    )


P = (4, 8, 9)
INNER = {
    "identity": window(P),
    "channels": window(P, (3, 0, -1, 1, 1)),
    "padded": window(P, padding=(1, 2, 0, 1)),
    "slices": window(P, stride=(2, 2), padding=(0, -1, 0, 0)),
    "cropped": window(P, padding=(-1, -2, -3, 0)),
    "pool": window(P, size=(2, 2), stride=(2, 2)),
    "overlapping pool": window(P, size=(3, 3), stride=(2, 2), padding=(1, 0, 1, 0)),
    "convolution": conv(P, 4, padding=(1, 1, 1, 1)),
    "pixel convolution": conv(P, 6, (1, 1)),
    "depthwise": conv(P, 4, groups=4, stride=(2, 1)),
}
OUTER = {
    "identity": lambda p: window(p),
    "channels": lambda p: window(p, (1, -1, 0)),
    "slices": lambda p: window(p, stride=(2, 3)),
    "cropped": lambda p: window(p, padding=(0, -1, -1, -1)),
    "padded": lambda p: window(p, padding=(1, 0, 0, 2)),
    "pool": lambda p: window(p, size=(2, 2), stride=(2, 2)),
    "mean": lambda p: window(p, size=p[1:]),
    "convolution": lambda p: conv(p, 5, padding=(1, 1, 1, 1)),
    "pixel convolution": lambda p: conv(p, 3, (1, 1)),
    "strided pixels": lambda p: conv(p, 3, (1, 1), stride=(2, 2)),
    "depthwise": lambda p: conv(p, p[0], groups=p[0]),
    "groups": lambda p: conv(p, 4, groups=2, padding=(0, 1, 1, 0)),
}


@pytest.mark.parametrize(("name", "inner"), list(product(OUTER, INNER)))
def test_merged_map_does_what_both_did(name, inner) -> None:
    first = INNER[inner]
    if name == "groups" and first.out_planes[0] % 2:
        pytest.skip("an odd number of channels has no two groups")
    second = OUTER[name](first.out_planes)
    x = RNG.normal(size=(2, *P))

    try:
        one = merged(second, first)
    except Entangled:
        assert inner != "identity"
        return

    wanted = second.apply(first.apply(x))
    np.testing.assert_allclose(one.apply(x).reshape(wanted.shape), wanted, atol=1e-9)
    both = sum(0 if m.fixed else m.weights.size for m in (first, second))
    assert one.fixed or isinstance(one, Pooled) or one.weights.size <= max(both, one.channels)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("convolution", "padded"),
        ("convolution", "channels"),
        ("pixel convolution", "slices"),
        ("strided pixels", "slices"),
        ("slices", "convolution"),
        ("channels", "convolution"),
        ("cropped", "depthwise"),
        ("pool", "pool"),
        ("mean", "pixel convolution"),
        ("depthwise", "padded"),
        ("groups", "padded"),
        ("convolution", "identity"),
    ],
)
def test_what_must_become_one_does(outer, inner) -> None:
    merged(OUTER[outer](INNER[inner].out_planes), INNER[inner])


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("convolution", "cropped"),  # zeros would stand where real pixels were cut off
        ("convolution", "convolution"),
        ("padded", "convolution"),
        ("pool", "overlapping pool"),
        ("depthwise", "channels"),
        ("pixel convolution", "pool"),  # four times the weights
    ],
)
def test_what_does_not_become_one_is_entangled(outer, inner) -> None:
    with pytest.raises(Entangled):
        merged(OUTER[outer](INNER[inner].out_planes), INNER[inner])


@pytest.mark.parametrize("name", [n for n, m in INNER.items() if m.window == (1, 1) and m.fixed])
def test_window_of_one_pixel_is_found_again(name) -> None:
    index, scale = INNER[name].elements()

    found = Window.gathered(index, scale, INNER[name].out_planes, P, Layout(planes=P))

    assert found is not None
    x = RNG.normal(size=(2, *P))
    np.testing.assert_allclose(found.apply(x), INNER[name].apply(x))


def test_pixels_without_an_order_are_no_window() -> None:
    index = RNG.permutation(int(np.prod(P)))

    assert Window.gathered(index, np.ones(index.size), P, P, Layout(planes=P)) is None


def test_factors_that_differ_by_pixel_are_no_window() -> None:
    size = int(np.prod(P))

    assert Window.gathered(np.arange(size), RNG.normal(size=size), P, P, Layout(planes=P)) is None


def test_linear_layer_behind_a_mean_is_pooled() -> None:
    mean = window(P, (2, -1, 0), P[1:])
    matrix = RNG.normal(size=(5, 3))
    x = RNG.normal(size=(2, *P))

    one = behind(matrix, mean)

    assert isinstance(one, Pooled)
    np.testing.assert_allclose(one.apply(x), mean.apply(x).reshape(2, -1) @ matrix.T)


@dataclass(frozen=True, kw_only=True, eq=False)
class Mirrored(Sliding):
    """y[c, i, j] = x[c, i, width - 1 - j]: a kind of map that the front end knows nothing of."""

    kind = "mirrored"
    window = (1, 1)
    weights = with_weights = patches = first = sources_of_weights = rebuild = None  # not asked here

    @property
    def _channels(self) -> int:
        return self.layout.planes[0]

    def apply(self, x: np.ndarray) -> np.ndarray:
        return self.layout.seen(x)[..., ::-1]


def test_a_kind_that_is_not_known_reads_a_population_in_its_order_and_stays_apart() -> None:
    planes, axes = (2, 3, 4), (2, 0, 1)
    shape = (3, 4, 2)
    identity = Window(
        in_shape=shape,
        layout=Layout(planes=planes, axes=axes),
        factor=np.ones(2),
        sources=(0, 1),
    )
    outer = Mirrored(in_shape=planes, layout=Layout(planes=planes))
    x = np.random.default_rng(0).normal(size=(2, *shape))

    one = merged(outer, identity)

    assert isinstance(one, Mirrored) and one.in_shape == shape
    assert np.array_equal(one.apply(x), outer.apply(identity.apply(x)))
    conv = Conv(in_shape=planes, layout=Layout(planes=planes), kernel=np.ones((2, 2, 1, 1)))
    for inner in (replace(identity, factor=np.full(2, 2.0)), conv, outer):
        with pytest.raises(Entangled, match=rf"^mirrored behind {inner.kind}$"):
            merged(outer, inner)
    with pytest.raises(Entangled, match=r"^conv behind mirrored$"):
        merged(conv, outer)
