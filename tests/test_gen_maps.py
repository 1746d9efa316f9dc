"""Maps of planes against loops over every index, in floats and in integers."""

from itertools import product

import numpy as np
import pytest

from signfire.gen.model.maps import MAPS, Conv, Dense, Layout, Pooled, Window

CASES = [
    # channels in, out, groups, planes, kernel, stride, padding
    (1, 1, 1, (3, 3), (2, 2), (1, 1), (0, 0, 0, 0)),
    (3, 4, 1, (5, 6), (3, 3), (1, 1), (1, 1, 1, 1)),
    (3, 4, 1, (5, 6), (3, 3), (2, 2), (0, 1, 0, 1)),
    (4, 6, 2, (5, 4), (3, 2), (1, 2), (2, 0, 1, 0)),
    (4, 4, 4, (6, 6), (3, 3), (2, 1), (0, 1, 1, 1)),
    (3, 5, 1, (4, 6), (1, 1), (2, 2), (0, -1, 0, -1)),
    (2, 4, 2, (1, 9), (1, 4), (1, 2), (0, 0, 1, 2)),
    (2, 2, 1, (7, 7), (3, 3), (1, 1), (-2, 1, 1, -1)),
]


def at(x, c, i, j):
    """Return a pixel, 0 outside the planes."""
    inside = 0 <= i < x.shape[1] and 0 <= j < x.shape[2]
    return x[c, i, j] if inside else 0


def convolved(x, kernel, groups, stride, padding, out):
    """One sample, (channels, height, width), by seven loops."""
    y = np.zeros((len(kernel), *out), x.dtype)
    per_group = len(kernel) // groups
    for o, i, j in product(*map(range, y.shape)):
        first = o // per_group * kernel.shape[1]
        for c, u, v in product(*map(range, kernel.shape[1:])):
            row, column = i * stride[0] - padding[0] + u, j * stride[1] - padding[2] + v
            y[o, i, j] += kernel[o, c, u, v] * at(x, first + c, row, column)
    return y


def random_conv(case, rng) -> Conv:
    n_in, n_out, groups, size, window, stride, padding = case
    return Conv(
        in_shape=(n_in, *size),
        layout=Layout(planes=(n_in, *size)),
        kernel=rng.integers(-9, 10, (n_out, n_in // groups, *window)),
        stride=stride,
        padding=padding,
        groups=groups,
    )


def test_convolution_worked_by_hand() -> None:
    conv = Conv(
        in_shape=(1, 2, 3),
        layout=Layout(planes=(1, 2, 3)),
        kernel=np.array([[[[1, 2], [3, 4]]]]),
        padding=(0, 1, 0, 0),
    )

    # 1·1 + 2·2 + 3·4 + 4·5 = 37, 1·2 + 2·3 + 3·5 + 4·6 = 47; below stand zeros: 4 + 10, 5 + 12
    assert conv.apply(np.array([[[[1, 2, 3], [4, 5, 6]]]])).tolist() == [[[[37, 47], [14, 17]]]]


@pytest.mark.parametrize("case", CASES)
def test_convolution_is_what_loops_give(case) -> None:
    rng = np.random.default_rng(1)
    conv = random_conv(case, rng)
    x = rng.integers(-50, 50, (3, *conv.in_shape))
    wanted = [
        convolved(one, conv.kernel, conv.groups, conv.stride, conv.padding, conv.out_shape[1:])
        for one in x
    ]

    assert np.array_equal(conv.apply(x), wanted)
    floats = conv.with_weights(conv.weights.astype(np.float32))
    assert np.array_equal(floats.apply(x.astype(np.float32)), wanted)


@pytest.mark.parametrize("case", CASES)
def test_patches_are_what_the_weights_meet(case) -> None:
    rng = np.random.default_rng(2)
    conv = random_conv(case, rng)
    x = rng.integers(-50, 50, (3, *conv.in_shape))

    patches = conv.patches(x)

    rows = conv.weights.reshape(conv.groups, -1, conv.weights.shape[1])
    y = patches @ rows.swapaxes(1, 2)  # (groups, rows, channels of a group)
    y = y.transpose(1, 0, 2).reshape(3, -1, conv.channels).swapaxes(1, 2)
    assert np.array_equal(y.reshape(3, *conv.out_shape), conv.apply(x))


def test_large_batch_is_worked_off_in_parts(monkeypatch) -> None:
    rng = np.random.default_rng(3)
    conv = random_conv(CASES[1], rng)
    x = rng.integers(-50, 50, (7, *conv.in_shape))
    whole = conv.apply(x)

    monkeypatch.setattr("signfire.gen.model.maps.conv.LARGEST_COLUMNS", 2000)

    assert np.array_equal(conv.apply(x), whole)


@pytest.mark.parametrize("window", [(1, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 3)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 1, 1), (-1, 0, 0, -1)])
def test_window_is_what_loops_give(window, stride, padding) -> None:
    rng = np.random.default_rng(4)
    linear = Window(
        in_shape=(3, 6, 7),
        layout=Layout(planes=(3, 6, 7)),
        factor=np.array([2, -3, 5, 7]),
        sources=(2, -1, 0, 2),
        window=window,
        stride=stride,
        padding=padding,
    )
    x = rng.integers(-50, 50, (2, 3, 6, 7))
    y = linear.apply(x)

    for n, o, i, j in product(*map(range, y.shape)):
        source = linear.sources[o]
        total = sum(
            at(x[n], source, i * stride[0] - padding[0] + u, j * stride[1] - padding[2] + v)
            for u, v in product(*map(range, window))
        )
        assert y[n, o, i, j] == (0 if source < 0 else linear.factor[o] * total)


def test_pooled_map_is_dense_over_sums() -> None:
    x = np.arange(24).reshape(1, 2, 3, 4)
    linear = Pooled(
        matrix=np.array([[1, 0], [2, -1]]), in_shape=(2, 3, 4), layout=Layout(planes=(2, 3, 4))
    )

    # sums 0 + .. + 11 = 66 and 12 + .. + 23 = 210
    assert linear.apply(x).tolist() == [[66, 2 * 66 - 210]]
    assert linear.gain.tolist() == [12, 36]


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_layout_sees_planes_in_any_order_of_neurons(axes) -> None:
    planes = np.random.default_rng(5).integers(0, 99, (2, 3, 4, 5))
    layout = Layout(planes=(3, 4, 5), axes=axes)
    stored = planes.transpose(0, *(1 + axes.index(k) for k in range(3)))

    assert layout.memory == stored.shape[1:]
    assert np.array_equal(layout.seen(stored.reshape(2, -1)), planes)


def test_gain_is_the_greatest_output_for_inputs_up_to_one() -> None:
    conv = random_conv(CASES[3], np.random.default_rng(6))

    assert np.array_equal(conv.gain, [np.abs(kernel).sum() for kernel in conv.kernel])


@pytest.mark.parametrize(
    "linear",
    [
        Dense(np.arange(6).reshape(2, 3), (3,)),
        random_conv(CASES[3], np.random.default_rng(7)),
        Window(
            in_shape=(4, 4, 3),
            layout=Layout(planes=(3, 4, 4), axes=(2, 0, 1)),
            factor=np.array([1, 0, 2]),
            sources=(0, -1, 2),
            window=(2, 2),
            stride=(2, 1),
            padding=(0, 0, 1, -1),
        ),
        Pooled(matrix=np.ones((2, 3), int), in_shape=(3, 2, 2), layout=Layout(planes=(3, 2, 2))),
    ],
    ids=lambda linear: linear.kind,
)
def test_map_is_rebuilt_from_weights_and_parameters(linear) -> None:
    x = np.random.default_rng(8).integers(0, 9, (2, *linear.in_shape))

    again = MAPS[linear.kind].rebuild(linear.weights, linear.parameters())

    assert again.out_shape == linear.out_shape
    assert np.array_equal(again.apply(x), linear.apply(x))


def test_kernel_that_does_not_fit_the_channels_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^a kernel of shape \(2, 3, 1, 1\) in 1 groups does not fit 4 channels$"
    ):
        Conv(
            in_shape=(4, 2, 2), layout=Layout(planes=(4, 2, 2)), kernel=np.zeros((2, 3, 1, 1), int)
        )
