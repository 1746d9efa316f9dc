"""Windows over lines worked out by hand, and the orders in which trains travel."""

import numpy as np
import pytest

from signfire.gen.design.reading import (
    parallel_outputs,
    travels_in_raster_order,
)
from signfire.gen.model.codes import Schedule, make_code
from signfire.gen.model.maps import Conv, Dense, Layout, Pooled, Window, WindowPlaces, raster_order


def places(height, size, stride, padding, positions) -> WindowPlaces:
    """Return windows of ``size`` lines over planes of one column."""
    return WindowPlaces(
        height=height,
        width=1,
        size=(size, 1),
        stride=(stride, 1),
        padding=(padding, 0),
        positions=(positions, 1),
    )


@pytest.mark.parametrize(
    ("where", "needs", "releases", "lines"),
    [
        # 3 lines, padded: windows over 0-1, 0-2, 1-3, 2-4, 3-4; one more comes meanwhile
        (places(5, 3, 1, 1, 5), (2, 3, 3, 3, 2), (0, 1, 1, 1, 2), 4),
        # 3 lines, stride 2, padded: 0-1, 1-3, 3-5, and two come meanwhile
        (places(6, 3, 2, 1, 3), (2, 3, 3), (1, 2, 3), 5),
        # pairs: no line is needed twice
        (places(6, 2, 2, 0, 3), (2, 2, 2), (2, 2, 2), 4),
        # every third line: the two between are waited for, and thrown away
        (places(7, 1, 3, 0, 3), (3, 3, 1), (3, 3, 1), 6),
        # a line left over at the end is taken with the last window
        (places(5, 2, 2, 0, 2), (2, 3), (2, 3), 5),
        # the whole plane: a second sample comes meanwhile
        (places(4, 4, 1, 0, 1), (4,), (4,), 8),
        # two lines cut off above
        (places(5, 2, 1, -2, 2), (4, 2), (3, 2), 5),
    ],
)
def test_lines_by_hand(where, needs, releases, lines):
    assert needs == where.needs
    assert releases == where.releases
    assert lines == where.lines


def test_a_line_is_given_back_exactly_once():
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, size, stride = (int(n) for n in rng.integers(1, (9, 5, 5)))
        top, bottom = (int(n) for n in rng.integers(-2, 4, 2))
        count = (height + top + bottom - size) // stride + 1
        if count < 1:
            continue
        where = places(height, size, stride, top, count)

        assert height == sum(where.releases)
        assert min(where.releases) >= 0
        assert max(where.needs) <= where.lines
        assert all(r <= n for n, r in zip(where.needs, where.releases, strict=True))


def test_trains_of_planes_travel_pixel_after_pixel():
    # two planes of one line and three pixels
    assert [0, 3, 1, 4, 2, 5] == raster_order((2, 1, 3)).tolist()
    assert [0, 1, 2, 3] == raster_order((4,)).tolist()
    assert [0, 1, 2, 3] == raster_order((2, 2)).tolist()


def test_weights_lie_in_the_order_of_the_reading():
    kernel = np.arange(2 * 2 * 1 * 3).reshape(2, 2, 1, 3)  # two channels, three pixels
    conv = Conv(in_shape=(2, 1, 5), layout=Layout(planes=(2, 1, 5)), kernel=kernel)
    dense = Dense(np.zeros((1, 6)), (2, 1, 3))

    assert [0, 3, 1, 4, 2, 5] == conv.columns(is_input=False).tolist()
    assert [0, 3, 1, 4, 2, 5] == dense.columns(is_input=False).tolist()
    assert [0, 1, 2, 3, 4, 5] == dense.columns(is_input=True).tolist()


def test_samples_enter_in_their_own_order():
    def conv(shape, planes, axes):
        kernel = np.zeros((1, planes[0], 1, 1))
        return Conv(in_shape=shape, layout=Layout(planes=planes, axes=axes), kernel=kernel)

    image, planes = conv((4, 5, 3), (3, 4, 5), (2, 0, 1)), conv((3, 4, 5), (3, 4, 5), (0, 1, 2))
    grey, signal = conv((4, 5), (1, 4, 5), (0, 1, 2)), conv((3, 5), (3, 1, 5), (0, 1, 2))

    assert travels_in_raster_order(image, (4, 5, 3), is_input=True)
    assert not travels_in_raster_order(planes, (3, 4, 5), is_input=True)
    assert travels_in_raster_order(planes, (3, 4, 5), is_input=False)
    assert not travels_in_raster_order(image, (4, 5, 3), is_input=False)
    assert travels_in_raster_order(grey, (4, 5), is_input=True)
    assert not travels_in_raster_order(signal, (3, 5), is_input=True)


def test_what_is_read_in_parallel():
    layout = Layout(planes=(4, 6, 6))
    settings = {"in_shape": (4, 6, 6), "layout": layout}
    conv = Conv(kernel=np.zeros((8, 4, 3, 3)), **settings)
    depthwise = Conv(kernel=np.zeros((4, 1, 3, 3)), groups=4, **settings)
    grouped = Conv(kernel=np.zeros((6, 2, 3, 3)), groups=2, **settings)
    pool = Window(factor=np.ones(4), sources=(0, 1, 2, 3), window=(2, 3), **settings)
    pooled = Pooled(matrix=np.zeros((2, 4)), **settings)

    assert [False, True, True, False] == [m.apart for m in (conv, depthwise, pool, pooled)]
    assert [4, 1, 1, 4] == [m.parallel_inputs[0] for m in (conv, depthwise, pool, pooled)]
    assert [(2, "input channels of a group"), (3, "outputs of a group")] == [
        grouped.parallel_inputs,
        parallel_outputs([grouped]),
    ]
    assert parallel_outputs([depthwise]) == (4, "outputs") and not grouped.apart
    assert [1, 1, 6, 36] == [m.repeats for m in (conv, depthwise, pool, pooled)]


@pytest.mark.parametrize(("kind", "low"), [("silent", 0), ("offset", -0.6), ("offset", -1)])
def test_the_train_of_zero_says_zero(kind, low):
    code = make_code(kind=kind, schedule=Schedule(kind="binary"), steps=5, low=low, high=1)

    train = [int(event) for event in code.trains(0)]

    said = code.low + 2 * sum(eta * event for eta, event in zip(code.eta, train, strict=True))
    assert 0 == said == code.zero
    assert (kind == "silent") == (not any(train))
