"""Maps of planes against loops over every index, in floats and in integers."""

from itertools import product

import numpy as np
import pytest

from signfire.gen.model.maps import MAPS, Conv, Dense, Layout, Pooled, Repeated, Window

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


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_sums_in_another_order_are_the_same_sums(case, axes) -> None:
    rng = np.random.default_rng(5)
    conv = random_conv(case, rng)
    layout = Layout(planes=conv.layout.planes, axes=axes)
    conv = conv.reading(layout.memory, layout)
    conv = conv.with_weights(conv.weights.astype(np.float32))
    x = rng.integers(-9, 10, (5, *layout.memory)).astype(np.float32)

    y = conv.summed(x)

    assert y.shape == (5, *conv.out_shape) and np.array_equal(y, conv.apply(x))
    # as it comes out of another convolution, lines first and samples last
    moved = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    assert np.array_equal(conv.summed(moved), y)


def test_matrices_of_many_columns_are_multiplied_part_by_part(monkeypatch) -> None:
    rng = np.random.default_rng(6)
    conv = random_conv(CASES[1], rng)
    conv = conv.with_weights(conv.weights.astype(np.float32))
    x = rng.integers(-9, 10, (7, *conv.in_shape)).astype(np.float32)

    monkeypatch.setattr("signfire.gen.model.maps.conv.MATRIX_PRODUCTS", 1)

    assert np.array_equal(conv.summed(x), conv.apply(x))


def test_dense_map_of_some_inputs_leaves_out_the_others() -> None:
    rng = np.random.default_rng(7)
    dense = Dense(rng.integers(-9, 10, (4, 6)), (2, 3))
    x = rng.integers(-9, 10, (5, 2, 3))
    x.reshape(5, 6)[:, [0, 2, 3]] = 0

    some = dense.among(np.array([1, 4, 5]))

    assert np.array_equal(some.apply(x.reshape(5, 6)[:, [1, 4, 5]]), dense.apply(x))


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


# -- every kind, every question ----------------------------------------------------------------


def of_every_kind() -> dict[str, Dense | Conv | Window | Pooled | Repeated]:
    """Return maps of integers that read planes of 4 channels, 3 lines and 5 pixels."""
    rng = np.random.default_rng(2)
    shape = (4, 3, 5)
    seen = {"in_shape": shape, "layout": Layout(planes=shape)}
    twice = {"in_shape": (4, 6, 10), "layout": Layout(planes=(4, 6, 10))}

    def numbers(*size: int) -> np.ndarray:
        return rng.integers(1, 9, size)

    return {
        "dense": Dense(numbers(6, 60), shape),
        "conv": Conv(kernel=numbers(6, 4, 3, 3), padding=(1, 1, 1, 1), **seen),
        "groups": Conv(kernel=numbers(6, 2, 1, 2), groups=2, **seen),
        "depthwise": Conv(kernel=numbers(4, 1, 2, 2), groups=4, stride=(1, 2), **seen),
        "window": Window(factor=numbers(4), sources=(0, 1, 2, 3), window=(3, 5), **seen),
        "picked": Window(factor=numbers(3), sources=(2, -1, 0), **seen),
        "pooled": Pooled(matrix=numbers(6, 4), **seen),
        "repeated": Repeated(
            windows=Conv(kernel=numbers(6, 4, 2, 2), stride=(2, 2), padding=(1, 1, 1, 1), **twice),
            repeat=(2, 2),
            **seen,
        ),
        "repeated, picked": Repeated(
            windows=Window(factor=numbers(3), sources=(2, -1, 0), **twice), repeat=(2, 2), **seen
        ),
    }


EVERY = of_every_kind()


def test_the_table_holds_every_kind() -> None:
    assert {linear.kind for linear in EVERY.values()} == set(MAPS)


def influence(linear) -> np.ndarray:
    """Return (outputs, neurons of the source) float: the matrix of a map."""
    size = int(np.prod(linear.in_shape))
    ones = np.eye(size).reshape(size, *linear.in_shape)
    return linear.apply(ones).reshape(size, -1).T


@pytest.mark.parametrize("name", EVERY)
def test_what_a_map_says_of_its_reading_is_what_it_reads(name) -> None:
    linear = EVERY[name]
    channels, pixels = linear.in_shape[0], int(np.prod(linear.in_shape[1:]))
    matrix = influence(linear).reshape(linear.channels, -1, channels, pixels)
    read = matrix.any(axis=(1, 3))  # output channel by source channel

    assert linear.apart == bool((read.sum(axis=1) <= 1).all())
    assert linear.picked == (linear.apart and not np.array_equal(read, np.eye(*read.shape)))
    assert linear.known.tolist() == read.any(axis=1).tolist()
    assert linear.runs == (1 if linear.apart else len(np.unique(read, axis=0)))
    parallel, _ = linear.parallel_inputs
    assert linear.weights.shape[1] % parallel == 0
    if linear.sees is not None:
        assert parallel == int(read.sum(axis=1).max())
    # an output reads each weight of its channel so often
    inside = matrix.reshape(linear.channels, -1, channels * pixels).astype(bool).sum(axis=2).max()
    assert inside == linear.weights.shape[1] * linear.repeats
    cut = bool((np.diff((matrix != 0).sum(axis=(2, 3)), axis=1) != 0).any())
    assert linear.padded == cut


@pytest.mark.parametrize("name", EVERY)
def test_the_first_outputs_of_a_map_stand_alone(name) -> None:
    linear = EVERY[name]
    x = np.random.default_rng(0).integers(-5, 6, (2, *linear.in_shape))
    if name in ("groups", "depthwise"):
        with pytest.raises(ValueError, match=r"^the channels of a convolution in groups do not"):
            linear.first(2)
        return

    assert np.array_equal(linear.first(2).apply(x), linear.apply(x)[:, :2])


@pytest.mark.parametrize("name", EVERY)
def test_a_map_reads_planes_in_another_order(name) -> None:
    linear = EVERY[name]
    channels, height, width = linear.in_shape
    x = np.random.default_rng(0).integers(-5, 6, (2, *linear.in_shape))
    layout = Layout(planes=linear.in_shape, axes=(2, 0, 1))

    moved = linear.reading((height, width, channels), layout)

    assert moved.in_shape == (height, width, channels)
    assert np.array_equal(moved.apply(x.transpose(0, 2, 3, 1)), linear.apply(x))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("is_input", [False, True])
def test_columns_are_in_the_order_in_which_inputs_come(name, is_input) -> None:
    linear = EVERY[name]
    columns = linear.columns(is_input=is_input)

    assert sorted(columns) == list(range(linear.weights.shape[1]))
    channel = linear.sources_of_weights[0][columns]
    if name == "dense":  # the input's samples enter as they are, others pixel after pixel
        assert channel.tolist() == sorted(channel) if is_input else [0, 1, 2, 3] * 15
    elif name == "conv":  # the channels of a pixel together
        assert channel.tolist() == [0, 1, 2, 3] * 9


@pytest.mark.parametrize("name", EVERY)
def test_a_map_of_every_kind_is_rebuilt(name) -> None:
    linear = EVERY[name]

    again = MAPS[linear.kind].rebuild(linear.weights, linear.parameters())

    assert np.array_equal(influence(again), influence(linear))
    assert again.parameters() == linear.parameters()
