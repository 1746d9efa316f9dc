"""Nearest upsampling is read as repeated pixels, in every style; what is none is refused."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from signfire.gen.front.export import import_network
from signfire.gen.front.refusals import UnsupportedModel
from signfire.gen.model.maps import Conv, Layout, Repeated, Window
from signfire.gen.model.maps.repeated import repeated_planes
from signfire.gen.model.network import Network


class Net(nn.Module):
    """A function of layers, with a read-out behind."""

    def __init__(self, forward) -> None:
        super().__init__()
        self.of = forward
        self.down = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.conv = nn.Conv2d(4, 3, 3, padding=1)
        self.depth = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.bare = nn.Conv2d(4, 3, 2)
        self.pixel = nn.Conv2d(2, 4, 1)
        self.both = nn.Conv2d(8, 3, 3, padding=1)
        self.few = nn.Linear(128, 16)
        self.fc = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.of(self, x).flatten(1))


def read(forward) -> Network:
    """Import and compare with the model, on planes of 2 channels and 8x8 pixels."""
    torch.manual_seed(7)
    x = np.random.default_rng(3).normal(size=(9, 2, 8, 8)).astype(np.float32)
    model = Net(forward)
    model(torch.from_numpy(x))
    network = import_network(model.eval(), x)
    with torch.no_grad():
        expected = model.double()(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(network.answers(x), expected, rtol=1e-5, atol=1e-5)
    return network


def maps_of(network: Network, name: str) -> list:
    return [q.map for q in network[name].sources]


def planes(m, x: Tensor) -> Tensor:
    return F.relu(m.down(x))


STYLES = {
    "factor": (lambda x: F.interpolate(x, scale_factor=2), (2, 2)),
    "module": (nn.Upsample(scale_factor=3), (3, 3)),
    "two factors": (lambda x: F.interpolate(x, scale_factor=(2, 3)), (2, 3)),
    "size": (lambda x: F.interpolate(x, size=(4, 12)), (1, 3)),
    "exact": (lambda x: F.interpolate(x, scale_factor=3, mode="nearest-exact"), (3, 3)),
    "interleave": (lambda x: x.repeat_interleave(2, 2).repeat_interleave(3, dim=3), (2, 3)),
    "lines": (lambda x: x.repeat_interleave(2, dim=2), (2, 1)),
    "twice": (lambda x: F.interpolate(F.interpolate(x, scale_factor=2), scale_factor=2), (4, 4)),
    "expanded": (
        lambda x: x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(-1, 4, 8, 8),
        (2, 2),
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_a_convolution_reads_repeated_pixels_in_every_style(style) -> None:
    up, repeat = STYLES[style]

    network = read(lambda m, x: F.relu(m.conv(up(planes(m, x)))))

    (found,) = maps_of(network, "conv")
    assert (found.kind, found.repeat, found.in_shape) == ("repeated", repeat, (4, 4, 4))
    assert found.weights.shape == (3, 36)  # once, however often a pixel stands
    assert network["conv"].shape == (3, 4 * repeat[0], 4 * repeat[1])
    assert [p.name for p in network.populations] == ["input", "down", "conv", "fc"]


def test_signals_are_repeated() -> None:
    torch.manual_seed(7)
    x = np.random.default_rng(3).normal(size=(9, 2, 6)).astype(np.float32)
    model = nn.Sequential(
        nn.Conv1d(2, 3, 3, padding=1),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv1d(3, 2, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 3),
    )

    network = import_network(model, x)

    (found,) = maps_of(network, network.populations[2].name)
    assert (found.kind, found.repeat, found.out_shape) == ("repeated", (1, 2), (2, 1, 12))


def test_depthwise_padded_and_cut_planes_are_repeated() -> None:
    def up(m, x):
        return F.interpolate(planes(m, x), scale_factor=2)

    depth = read(lambda m, x: F.relu(m.depth(up(m, x))))
    padded = read(lambda m, x: F.relu(m.bare(F.pad(up(m, x), (1, 0, 2, 1)))))
    cut = read(lambda m, x: F.relu(m.bare(up(m, x)[:, :, 1:, :7])))

    assert [m.apart for m in maps_of(depth, "depth")] == [True]
    assert [m.windows.padding for m in maps_of(padded, "bare")] == [(2, 1, 1, 0)]
    assert [m.windows.padding for m in maps_of(cut, "bare")] == [(-1, 0, 0, -1)]


def test_joins_read_repeated_pixels_beside_others() -> None:
    def up(m, x):
        return F.interpolate(planes(m, x), scale_factor=2)

    added = read(lambda m, x: F.relu(up(m, x) + m.pixel(x)))
    beside = read(lambda m, x: F.relu(m.both(torch.cat([up(m, x), F.relu(m.pixel(x))], 1))))

    assert [m.kind for m in maps_of(added, "pixel")] == ["repeated", "conv"]
    assert isinstance(maps_of(added, "pixel")[0].windows, Window)
    assert [m.kind for m in maps_of(beside, "both")] == ["repeated", "conv"]
    assert isinstance(maps_of(beside, "both")[0].windows, Conv)


def test_what_is_no_convolution_reads_repeated_pixels_too() -> None:
    def up(m, x):
        return F.interpolate(planes(m, x), scale_factor=2)

    flat = read(lambda m, x: up(m, x))
    shifted = read(lambda m, x: F.relu(up(m, x) - 0.5))
    mean = read(lambda m, x: F.relu(F.avg_pool2d(up(m, x), 4) - 0.1))
    maxima = read(lambda m, x: F.max_pool2d(up(m, x), 2, stride=1))

    # weights of the pixels that are one are added
    assert [m.weights.shape for m in maps_of(flat, "fc")] == [(3, 64)]
    assert [m.kind for m in maps_of(shifted, "relu")] == ["repeated"]
    assert [m.kind for m in maps_of(mean, "relu")] == ["repeated"]
    assert {
        m.kind
        for p in maxima.populations
        if p.function == "max"
        for m in [q.map for q in p.sources]
    } == {"repeated"}


def test_a_relu_behind_moves_before_and_what_is_computed_becomes_a_population() -> None:
    before = read(lambda m, x: F.relu(m.conv(F.relu(F.interpolate(m.down(x), scale_factor=2)))))
    without = read(lambda m, x: F.relu(m.conv(F.interpolate(m.down(x), scale_factor=2))))
    dense = read(
        lambda m, x: F.relu(
            m.conv(F.interpolate(F.relu(m.few(x.flatten(1))).view(-1, 4, 2, 2), scale_factor=2))
        )
    )

    assert [(p.name, p.function) for p in before.populations[1:3]] == [
        ("down", "relu"),
        ("conv", "relu"),
    ]
    assert [(p.name, p.function) for p in without.populations[1:3]] == [
        ("down", "linear"),
        ("conv", "relu"),
    ]
    assert [p.shape for p in dense.populations[1:3]] == [(16,), (3, 4, 4)]
    assert [m.kind for m in maps_of(dense, "conv")] == ["repeated"]


def test_pixels_left_out_stay_a_slice() -> None:
    network = read(lambda m, x: F.relu(m.pixel(F.interpolate(x, scale_factor=0.5))))

    (found,) = maps_of(network, "pixel")
    assert (found.kind, found.stride, found.out_shape) == ("conv", (2, 2), (4, 4, 4))


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (
            lambda x: F.interpolate(x, scale_factor=1.5),
            "upsample_nearest2d at {} (only by whole factors, not from 8x8 to 12x12 pixels "
            "(give a size that is a multiple))",
        ),
        (
            lambda x: F.interpolate(x.flatten(2)[:, :, :4], scale_factor=2.2),
            "upsample_nearest1d at {} (its scale_factor is no whole number, so that pixels stand "
            "for different areas (give a whole scale_factor, or size))",
        ),
        (
            lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
            "upsample_bilinear2d at {} (only mode='nearest' is supported, by whole factors)",
        ),
        (
            lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
            "upsample_bicubic2d at {} (only mode='nearest' is supported, by whole factors)",
        ),
        (
            lambda x: F.interpolate(x.flatten(2), scale_factor=2, mode="linear"),
            "upsample_linear1d at {} (only mode='nearest' is supported, by whole factors)",
        ),
    ],
)
def test_refused_by_name_with_the_line(forward, message) -> None:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return forward(x).flatten(1)

    with pytest.raises(UnsupportedModel) as caught:
        import_network(Model(), np.random.default_rng(3).normal(size=(5, 2, 8, 8)))

    pattern = re.escape(f"the model is not supported: {message}").replace(
        re.escape("{}"), r"test_gen_torch_upsampling\.py:\d+"
    )
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("repeat", [(2, 2), (3, 2), (1, 3), (4, 1)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 2, 1), (-1, 0, 0, -2), (2, -1, -1, 1)])
@pytest.mark.parametrize("sources", [(0, 1), (1, -1, 0)])
def test_elements_are_known_as_repeated_planes(repeat, padding, sources) -> None:
    source = (2, 3, 4)
    wide = repeated_planes(source, repeat)
    windows = Window(
        in_shape=wide,
        layout=Layout(planes=wide),
        padding=padding,
        factor=np.array([2.0, 3.0, 0.5][: len(sources)]) * (np.array(sources) >= 0),
        sources=sources,
    )
    index, scale = windows.elements()
    number = np.arange(24).reshape(1, *source).repeat(repeat[0], 2).repeat(repeat[1], 3).ravel()
    index = np.where(index >= 0, number[index], -1)
    layout = Layout(planes=source)

    found = Repeated.gathered(index, scale, windows.out_planes, source, layout)

    assert (found.repeat, found.windows.padding, found.windows.sources) == (
        repeat,
        padding,
        sources,
    )
    x = np.random.default_rng(0).integers(-9, 10, (2, *source))
    wanted = np.where(index >= 0, x.reshape(2, -1)[:, index] * scale, 0)
    assert np.array_equal(found.apply(x).reshape(2, -1), wanted)


def test_elements_that_are_no_repeated_planes_are_not_taken_for_such() -> None:
    source, layout = (1, 1, 4), Layout(planes=(1, 1, 4))

    def of(*index: int) -> Repeated | None:
        ones = np.ones(len(index))
        return Repeated.gathered(np.array(index), ones, (1, 1, len(index)), source, layout)

    assert of(0, 0, 1, 1, 2, 2, 3, 3).repeat == (1, 2)
    assert of(0, 1, 2, 3) is None  # once: a window
    assert of(0, 0, 0, 1, 1, 2, 2, 3) is None
    assert of(0, 0, 1, 1, 3, 3) is None
    assert of(1, 1, 0, 0) is None
    assert of(-1, -1) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repeat": (1, 1)}, r"^pixels are repeated at least twice, not \(1, 1\) times$"),
        ({"repeat": (3, 2)}, r"^windows over repeated pixels read planes \(1, 6, 6\), not "),
        ({"in_shape": (1, 2, 4)}, r"^a source of shape \(1, 2, 4\) cannot be seen as planes "),
    ],
)
def test_a_map_that_does_not_fit_its_planes_is_refused(change, message) -> None:
    windows = Window(
        in_shape=(1, 4, 6), layout=Layout(planes=(1, 4, 6)), factor=np.ones(1), sources=(0,)
    )
    fitting = {"in_shape": (1, 2, 3), "layout": Layout(planes=(1, 2, 3)), "repeat": (2, 2)}

    with pytest.raises(ValueError, match=message):
        Repeated(windows=windows, **{**fitting, **change})
