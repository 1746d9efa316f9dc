"""Functions of two operands against exact arithmetic, over whole domains."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.design.design import Design
from signfire.gen.layers.kinds import LAYERS
from signfire.gen.layers.pair.plan import PairPlan
from signfire.gen.model.codes import Schedule, make_code
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import FUNCTIONS, Network, Operand, Population, Projection
from signfire.gen.model.several import SEVERAL, Comparison, floor_root, make_comparison
from signfire.gen.model.several.function import Extent
from signfire.sim import float_reference, golden

BIG = 2**28 + 1
CORNERS = [-BIG, -(2**20), -3, -1, 0, 1, 2, 3, 2**20 - 1, BIG]


def holds(function: str, v: int, f1: int, f2: int, p: int) -> bool:
    """Say whether v >= f(F1, F2), in Python integers, without a division or a root."""
    if function == "multiply":
        return v * 2**p >= f1 * f2
    if function == "minimum":
        return v * 2**p >= f1 or v * 2**p >= f2
    f2 = max(f2, 1)
    if function == "divide":
        return v * 2**p * f2 >= f1
    left, right = v * 2**p, f1
    if (left >= 0) != (right >= 0):
        return left >= 0
    squares = left**2 * f2, right**2
    return squares[0] >= squares[1] if left >= 0 else squares[0] <= squares[1]


def least(function: str, f1: int, f2: int, p: int) -> int:
    return int(SEVERAL[function].target(np.array([f1]), np.array([f2]), p)[0])


@pytest.mark.parametrize("function", SEVERAL)
@pytest.mark.parametrize("p", [0, 1, 3])
def test_target_is_the_least_value_for_which_the_comparison_holds(function, p) -> None:
    small = list(product(range(-40, 41), range(-3, 41)))
    large = list(product(CORNERS, CORNERS))
    rng = np.random.default_rng(p)
    some = rng.integers(-(2**18), 2**18, (300, 2)).tolist()
    for f1, f2 in [*small, *large, *some]:
        v = least(function, f1, f2, p)

        assert holds(function, v, f1, f2, p), (f1, f2)
        assert not holds(function, v - 1, f1, f2, p), (f1, f2)


def test_comparison_is_that_of_the_exact_quotient_and_root() -> None:
    for v, f1, f2 in product(range(-9, 10), range(-30, 31), range(1, 12)):
        assert holds("divide", v, f1, f2, 1) == (2 * v >= Fraction(f1, f2))
        # v >= f1/√f2: the square keeps the order of numbers of one sign
        exact = Fraction(f1 * f1, f2) * (1 if f1 >= 0 else -1)
        assert holds("divide_root", v, f1, f2, 0) == (Fraction(v * abs(v)) >= exact)


def test_root_is_exact_at_and_beside_squares() -> None:
    roots = np.concatenate([np.arange(1000), 2**31 - 1 - np.arange(1000)])
    squares = roots * roots

    assert np.array_equal(floor_root(squares), roots)
    assert np.array_equal(floor_root(squares[1:] - 1)[1:], np.maximum(roots[1:] - 1, 0)[1:])
    assert np.array_equal(floor_root(squares[1:] + 1), roots[1:])


@pytest.mark.parametrize("function", SEVERAL)
@pytest.mark.parametrize("steps", [1, 4, 8])
def test_error_over_the_whole_domain_is_the_one_that_is_stated(function, steps) -> None:
    (low1, high1), (low2, high2) = SEVERAL[function].domain
    x1, x2 = np.meshgrid(np.linspace(low1, high1, 401), np.linspace(low2, high2, 403))
    exact = SEVERAL[function].evaluate(x1, x2)
    code = make_code(
        kind="offset", schedule=Schedule(), steps=steps, low=exact.min() / 2, high=exact.max() / 2
    )
    comparison, units = make_comparison(SEVERAL[function], code, x1, x2)

    f1, f2 = (SEVERAL[function].rounded(x, unit) for x, unit in zip((x1, x2), units, strict=True))
    settled = code.settle(SEVERAL[function].target(f1, f2, comparison.fraction)) * code.unit

    wanted = np.clip(exact, code.low * code.unit, code.high * code.unit)
    error = np.abs(settled - wanted).max() / (2 * code.unit)
    assert error <= comparison.error + 1e-12  # half a level, in floats
    assert comparison.error < 0.5 + 2.2 / 16
    assert error > 0.4


def test_a_divisor_that_is_not_positive_is_refused() -> None:
    code = make_code(kind="silent", schedule=Schedule(), steps=4, low=0, high=1)

    with pytest.raises(ValueError, match=r"^a divisor must be positive, and is 0$"):
        make_comparison(SEVERAL["divide"], code, np.ones(3), np.arange(3.0))


def test_a_fraction_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a fraction must lie in 0\.\.30, not -1$"):
        Comparison(fraction=-1, error=0.5)


# -- in a network ------------------------------------------------------------------------------


def network_of(function: str) -> Network:
    """Return input -> a, b (ReLU) -> f(a, b) -> out."""
    rng = np.random.default_rng(4)

    def operand(source, matrix, bias):
        linear = Dense(matrix, (matrix.shape[1],))
        return Operand(projections=(Projection(source=source, map=linear),), bias=bias)

    first = operand("input", rng.uniform(0, 0.3, (5, 4)), np.full(5, 0.1))
    second = operand("input", rng.uniform(0, 0.3, (5, 4)), np.full(5, 0.3))
    populations = (
        Population(name="input", shape=(4,), function="input"),
        Population(name="a", shape=(5,), function="relu", operands=(first,)),
        Population(name="b", shape=(5,), function="relu", operands=(second,)),
        Population(
            name="f",
            shape=(5,),
            function=function,
            operands=(
                operand("a", rng.normal(size=(5, 5)), np.full(5, -0.2)),
                operand("b", np.eye(5), np.full(5, 0.2)),
            ),
        ),
        Population(
            name="out",
            shape=(3,),
            function="readout",
            operands=(operand("f", rng.normal(size=(3, 5)), np.zeros(3)),),
        ),
    )
    return Network(name=function, populations=populations)


def exact_answers(design: Design, raw: np.ndarray) -> list[int]:
    """Follow one sample with Python integers and fractions alone."""
    values: dict[str, list[int]] = {}
    fmt = design.input_format
    for p in design.populations[:-1]:
        if p.function == "input":
            targets = [-(-int(n) * fmt.multiplier >> fmt.shift) for n in raw]
        else:
            operands = []
            for op in p.operands:
                (q,) = op.projections
                weights = q.map.weights.tolist()
                x = [
                    int(b) + sum(w * v for w, v in zip(row, values[q.source], strict=True))
                    for b, row in zip(np.broadcast_to(op.bias, p.shape), weights, strict=True)
                ]
                m = op.multiplier.tolist()
                operands.append([-(-n * k >> op.shift) for n, k in zip(x, m, strict=True)])
            targets = list(zip(*operands, strict=True))
        v = [p.code.rest] * p.size
        for eta in p.code.eta:
            for i, f in enumerate(targets):
                if p.function in SEVERAL:
                    up = not holds(p.function, v[i], *f, p.comparison.fraction)
                else:
                    up = v[i] < (f if p.function == "input" else max(0, f[0]))
                v[i] += eta if up else -eta
        values[p.name] = v
    (op,) = design.readout.operands
    rows = op.projections[0].map.weights.tolist()
    return [
        int(b) + sum(w * v for w, v in zip(row, values["f"], strict=True))
        for b, row in zip(op.bias, rows, strict=True)
    ]


@pytest.mark.parametrize("function", SEVERAL)
def test_golden_model_decides_as_exact_arithmetic_does(function, tmp_path) -> None:
    network = network_of(function)
    samples = np.random.default_rng(0).integers(0, 256, (200, 4), np.uint8)
    design = calibrate(network, samples, Options(steps=7, input_steps=8, weight_bits=8))
    raw = design.raw_samples(samples[:8])

    expected = [exact_answers(design, one) for one in raw]

    assert golden.run(design, raw).logits.tolist() == expected
    assert [golden.trace(design, one).logits.tolist() for one in raw] == expected
    design.save(tmp_path / "d.npz")
    again = Design.load(tmp_path / "d.npz")
    assert again["f"].comparison == design["f"].comparison
    assert golden.run(again, raw).logits.tolist() == expected
    scale = design.readout.operands[0].scale
    found, exact = (
        golden.run(design, design.raw_samples(samples)).logits * scale,
        network.answers(samples.astype(np.float64)),
    )
    assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("function", SEVERAL)
def test_overlapped_firing_follows_the_moving_operands(function) -> None:
    network = network_of(function)
    samples = np.random.default_rng(0).integers(0, 256, (60, 4), np.uint8)
    options = Options(
        firing="overlapped", schedule=Schedule(kind="exponential"), steps=24, weight_bits=8
    )
    design = calibrate(network, samples, options)
    raw = design.raw_samples(samples[:3])

    traces = [golden.trace(design, one) for one in raw]

    assert golden.run(design, raw).logits.tolist() == [t.logits.tolist() for t in traces]
    for seen in traces:
        trace, p = seen.populations["f"], design["f"].comparison.fraction
        for t in range(24):
            for i in range(5):
                f1, f2 = (int(trace.requantised[k][t, i]) for k in range(2))
                wanted = not holds(function, int(trace.membranes[t, i]), f1, f2, p)
                assert trace.events[t, i] == wanted
    assert float_reference.run(network, samples[:2], float_reference.codes_of(design)).shape


# -- the registry ------------------------------------------------------------------------------


def test_every_function_has_hardware_under_its_name() -> None:
    pairs = {kind.function for kind in LAYERS if issubclass(kind, PairPlan)}

    assert pairs == set(SEVERAL) == {f.name for f in SEVERAL.values()}
    assert all(FUNCTIONS[name] == f.operands for name, f in SEVERAL.items())


@pytest.mark.parametrize("function", SEVERAL)
@pytest.mark.parametrize("p", [0, 3])
def test_no_number_of_a_comparison_is_beyond_the_greatest(function, p) -> None:
    limits = (37, 21)

    def numbers(f1: int, f2: int) -> list[int]:
        """Return what is compared, of a v of 1 or of the least v."""
        if function in ("multiply", "minimum"):
            return [f1 * f2] if function == "multiply" else [f1, f2]
        return [f1, f2 << p] if function == "divide" else [f1 * f1, f2 << 2 * p]

    seen = [abs(n) for f1 in (-37, 0, 37) for f2 in (1, 21) for n in numbers(f1, f2)]

    assert max(seen) == SEVERAL[function].greatest(*limits, p)


@pytest.mark.parametrize("function", SEVERAL)
def test_what_is_never_negative_is_so_over_the_whole_domain(function) -> None:
    f = SEVERAL[function]
    ends = [np.linspace(*domain, 101) for domain in f.domain]
    for known in product((False, True), repeat=2):
        x1, x2 = np.meshgrid(
            *(x[x >= 0] if sure else x for x, sure in zip(ends, known, strict=True))
        )
        if f.never_negative(known):
            assert f.evaluate(x1, x2).min() >= 0
    assert SEVERAL["divide"].never_negative((True, False))
    assert not f.never_negative((False, False))


@pytest.mark.parametrize("function", SEVERAL)
def test_slopes_bound_what_an_operand_moves(function) -> None:
    f = SEVERAL[function]
    x1, x2 = np.meshgrid(*(np.linspace(*domain, 301) for domain in f.domain))
    exact = f.evaluate(x1, x2)
    extent = Extent(
        ends=(float(np.abs(x1).max()), float(np.abs(x2).max())),
        least=float(x2.min()) if f.divides else None,
        value=float(np.abs(exact).max()),
    )
    steep = (np.abs(np.diff(exact, axis=1 - k)).max() for k in range(2))
    steps = (x1[0, 1] - x1[0, 0], x2[1, 0] - x2[0, 0])

    found = [s / step for s, step in zip(steep, steps, strict=True)]

    assert all(a <= b + 1e-9 for a, b in zip(found, f.slopes(extent, (0.0, 0.0)), strict=True))
