"""Operands in integers: what is shared, what is exact, and what each channel sees."""

from types import SimpleNamespace

import numpy as np
import pytest

from signfire.gen.convert.operand import Rounding, convert_operand, moments
from signfire.gen.model.codes import SpikeCode
from signfire.gen.model.maps import Conv, Dense, Layout, Window
from signfire.gen.model.network import Operand, Population, Projection

PLANES = (4, 6, 5)
CODE = SpikeCode(eta=(32, 16, 8, 4, 2, 1), rest=63, unit=0.05)


def conv(rng, n_out=4, groups=1) -> Conv:
    return Conv(
        in_shape=PLANES,
        layout=Layout(planes=PLANES),
        kernel=rng.normal(0, 0.2, (n_out, PLANES[0] // groups, 3, 3)),
        padding=(1, 1, 1, 1),
        groups=groups,
    )


def identity(factor=1.0) -> Window:
    return Window(
        in_shape=PLANES,
        layout=Layout(planes=PLANES),
        factor=np.full(PLANES[0], factor),
        sources=tuple(range(PLANES[0])),
    )


def sources(rng, names=("a", "b"), unit=0.02, samples=40) -> SimpleNamespace:
    code = SpikeCode(eta=(8, 4, 2, 1), rest=15, unit=unit)
    return SimpleNamespace(
        populations=[SimpleNamespace(name=name, code=code) for name in names],
        values={name: 2.0 * rng.integers(0, 16, (samples, *PLANES)) for name in names},
    )


def converted(maps, seen, bias=None, *, code=CODE, bits=8):
    """Return the integers of an operand of ``maps`` by source, and its exact float value."""
    operand = Operand(
        projections=tuple(Projection(source=s, map=m) for s, m in maps),
        bias=np.zeros((PLANES[0], 1, 1)) if bias is None else bias,
    )
    units = {p.name: p.code.unit for p in seen.populations}
    exact = sum(m.apply(seen.values[s] * units[s]) for s, m in maps) + operand.bias
    population = Population(name="x", shape=PLANES, function="relu", operands=(operand,))
    integers = convert_operand(
        population,
        operand,
        exact,
        code,
        seen,
        Rounding(weight_bits=bits, multiplier_bits=12),
    )
    return integers, exact


@pytest.mark.parametrize("settled", [True, False])
def test_what_is_said_for_0_is_made_good_by_what_windows_lack_where_firing_settles(settled) -> None:
    rng = np.random.default_rng(4)
    seen = sources(rng, ("a",))
    seen.populations[0].code = SpikeCode(eta=(8, 4, 2, 1), rest=0, unit=0.02, kind="centred")
    linear = conv(rng)
    operand = Operand(
        projections=(Projection(source="a", map=linear),), bias=np.zeros((PLANES[0], 1, 1))
    )
    exact = linear.apply(seen.values["a"] * 0.02)
    seen.values["a"] -= 1  # there is -1 and 1, but no 0
    assert -1 == seen.populations[0].code.zero

    integers = convert_operand(
        Population(name="x", shape=PLANES, function="relu", operands=(operand,)),
        operand,
        exact,
        CODE,
        seen,
        Rounding(weight_bits=8, multiplier_bits=12, settled=settled),
    )

    missed = (exact - said(integers, seen)).mean(axis=0)
    corner, edge = missed[:, 0, 0], missed[:, 0, 1:-1].mean(axis=1)
    unit = integers.scale
    assert (np.abs(missed.mean(axis=(1, 2))) < unit).all()
    assert settled == bool((np.abs([corner, edge]) < unit).all())
    assert settled == (integers.bias.shape == PLANES)


@pytest.mark.filterwarnings("error")
def test_what_is_left_out_beyond_the_border_has_no_mean_where_no_code_says_0() -> None:
    rng = np.random.default_rng(5)
    seen = sources(rng, ("a",))
    code = SpikeCode(eta=(8, 4, 2, 1), rest=0, unit=0.02, kind="centred")
    seen.populations[0].code = code
    seen.values["a"] -= 15
    tap = Window(  # of a maximum over 3x3: the pixel above and to the left
        in_shape=PLANES,
        layout=Layout(planes=PLANES),
        factor=np.ones(PLANES[0]),
        sources=tuple(range(PLANES[0])),
        padding=(1, -1, 1, -1),
    )
    bias = np.zeros(PLANES)
    bias[:, 0], bias[:, :, 0] = -np.inf, -np.inf
    operand = Operand(projections=(Projection(source="a", map=tap),), bias=bias)

    integers = convert_operand(
        Population(name="x", shape=PLANES, function="max", operands=(operand,)),
        operand,
        tap.apply(seen.values["a"] * 0.02) + bias,
        CODE,
        seen,
        Rounding(weight_bits=8, multiplier_bits=12, settled=True),
    )

    factor = integers.projections[0].map.factor
    left_out = np.isneginf(bias)
    assert (integers.bias[left_out] == (factor * code.low)[0]).all() and (factor == factor[0]).all()
    assert not integers.bias[~left_out].any()


def said(integers, seen):
    sums = sum(p.map.apply(seen.values[p.source]) for p in integers.projections) + integers.bias
    return sums * integers.scale.reshape(-1, 1, 1)


def test_residual_sum_shares_its_scale_with_an_identity_of_its_own_width() -> None:
    rng = np.random.default_rng(1)
    seen = sources(rng)

    integers, exact = converted([("a", identity()), ("b", conv(rng))], seen)

    first, second = integers.projections
    assert second.weight_bits == 8 and np.abs(second.map.weights).max() <= 127
    # the identity is worth its source's unit in every channel, to half of the operand's unit
    factor = first.map.factor
    assert (np.abs(factor * integers.scale - 0.02) <= integers.scale / 2).all()
    assert (factor > 127).any() and first.weight_bits > 8
    error = said(integers, seen) - exact
    assert (error**2).mean() < 1e-4 * (exact**2).mean()


def test_identity_alone_is_exact() -> None:
    seen = sources(np.random.default_rng(2), unit=CODE.unit)

    integers, exact = converted([("a", identity())], seen)

    assert (integers.projections[0].map.factor == 1).all()
    assert (integers.multiplier == 2**integers.shift).all()
    np.testing.assert_allclose(said(integers, seen), exact)


def test_fixed_coefficients_of_several_sizes_are_worth_twelve_bits() -> None:
    seen = sources(np.random.default_rng(3))

    integers, exact = converted([("a", identity(1.0)), ("b", identity(0.31))], seen)

    sizes = [int(p.map.factor.max()) for p in integers.projections]
    assert 1000 < sizes[0] <= 2048
    assert abs(sizes[1] / sizes[0] - 0.31) < 1 / 1000
    assert np.abs(said(integers, seen) - exact).max() < 1e-3 * np.abs(exact).max()


def test_bias_of_the_border_keeps_its_pixels() -> None:
    rng = np.random.default_rng(4)
    bias = rng.normal(0, 0.5, PLANES)
    seen = sources(rng)

    integers, _ = converted([("a", conv(rng))], seen, bias)

    assert integers.bias.shape == PLANES
    real = integers.bias * integers.scale.reshape(-1, 1, 1)
    difference = real - bias
    spread = difference - difference.mean(axis=(1, 2), keepdims=True)  # the bias correction
    assert (np.abs(spread) <= integers.scale.reshape(-1, 1, 1)).all()


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_moments_are_those_of_what_each_group_meets(groups) -> None:
    rng = np.random.default_rng(5)
    seen = sources(rng, samples=6)
    linear = conv(rng, groups=groups)

    found = moments([Projection(source="a", map=linear)], seen, centre=False)

    patches = linear.patches(seen.values["a"])
    assert found.shape == (groups, linear.weights.shape[1], linear.weights.shape[1])
    for g in range(groups):
        np.testing.assert_allclose(found[g], patches[g].T @ patches[g] / len(patches[g]))


def test_moments_of_several_projections_stand_beside_each_other() -> None:
    rng = np.random.default_rng(6)
    seen = sources(rng, samples=6)
    a, b = conv(rng, groups=4), conv(rng)

    found = moments(
        [Projection(source="a", map=a), Projection(source="b", map=b)], seen, centre=True
    )

    own = np.concatenate([a.patches(seen.values["a"])[2], b.patches(seen.values["b"])[0]], axis=1)
    assert found.shape == (4, 9 + 36, 9 + 36)
    np.testing.assert_allclose(found[2], np.cov(own.T, bias=True), atol=1e-9)


def test_moments_do_not_depend_on_the_batches_they_are_taken_in(monkeypatch) -> None:
    rng = np.random.default_rng(7)
    seen = sources(rng)
    projections = [Projection(source="a", map=conv(rng))]
    whole = moments(projections, seen, centre=True)

    monkeypatch.setattr("signfire.gen.convert.operand.PATCH_VALUES", 5000)

    np.testing.assert_allclose(moments(projections, seen, centre=True), whole, atol=1e-9)


def test_depthwise_weights_are_rounded_for_their_own_channel() -> None:
    """Two channels whose pixels move together the other way round need different rounding."""
    rng = np.random.default_rng(8)
    seen = sources(rng)
    for c in range(PLANES[0]):
        slope = (-1) ** c * np.linspace(-6, 6, PLANES[2])
        seen.values["a"][:, c] += np.rint(slope)

    linear = conv(np.random.default_rng(9), groups=4)
    integers, exact = converted([("a", linear)], seen, bits=3)

    plain = np.rint(linear.weights * 0.02 / integers.scale[:, None])
    nearest = linear.with_weights(np.clip(plain, -3, 3))
    own = ((said(integers, seen) - exact) ** 2).mean()
    sums = nearest.apply(seen.values["a"]) * integers.scale.reshape(-1, 1, 1)
    error = sums - exact
    error -= error.mean(axis=(0, 2, 3), keepdims=True)
    assert own <= (error**2).mean()


def test_read_out_of_planes_has_one_scale() -> None:
    rng = np.random.default_rng(10)
    seen = sources(rng)
    dense = Dense(rng.normal(size=(3, int(np.prod(PLANES)))), PLANES)
    operand = Operand(projections=(Projection(source="a", map=dense),), bias=np.zeros(3))
    exact = dense.apply(seen.values["a"] * 0.02)
    readout = Population(name="x", shape=(3,), function="readout", operands=(operand,))

    integers = convert_operand(
        readout,
        operand,
        exact,
        None,
        seen,
        Rounding(weight_bits=6, multiplier_bits=8),
    )

    assert len(set(integers.scale)) == 1 and integers.shift == 0
