"""The paper's mode: the authors' rule, run in float64, says what the integers say."""

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import (
    PAPER_SCHEDULE,
    LayerOptions,
    paper_options,
    parse_schedule,
)
from signfire.gen.convert.paper import exact_factor, paper_code, scaled, ties_of
from signfire.gen.core.core import Core
from signfire.gen.design.folding import Folding
from signfire.gen.model.codes import integer_steps
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import INPUT, READOUT, Network, Operand, Population, Projection
from signfire.sim import golden, paper
from signfire.sim.specimens.chains import random_design

SIZES = (16, 12, 8, 3)


def perceptron(seed: int, functions=("relu", "relu"), sizes=SIZES) -> Network:
    """Return a perceptron of random weights; a maximum is one of two sums."""
    rng = np.random.default_rng(seed)
    populations = [Population(name=INPUT, shape=(sizes[0],), function=INPUT)]
    for k, size in enumerate(sizes[1:], 1):
        function = READOUT if k == len(sizes) - 1 else functions[k - 1]
        source = populations[-1]
        operands = tuple(
            Operand(
                projections=(
                    Projection(
                        source=source.name,
                        map=Dense(
                            rng.normal(0, source.size**-0.5, (size, source.size)), source.shape
                        ),
                    ),
                ),
                bias=rng.normal(0, 0.1, size),
            )
            for _ in range(2 if function == "max" else 1)
        )
        populations.append(
            Population(
                name=f"fc{k}",
                shape=(size,),
                function=function,
                operands=operands,
                parameters=(0.1,) if function == "leaky_relu" else (),
            )
        )
    return Network(name="paper", populations=tuple(populations))


def pixels(seed: int, count: int = 64) -> np.ndarray:
    """Return samples in 0..1 of which a third of the pixels are 0."""
    rng = np.random.default_rng(seed)
    return rng.random((count, SIZES[0])) * (rng.random((count, SIZES[0])) > 1 / 3)


def difference(design, raw: np.ndarray) -> float:
    """Return the greatest distance of golden logits from the authors' rule in float64."""
    integers = golden.run(design, raw).logits * design.readout.operands[0].scale[0]
    return float(np.abs(integers - paper.run(design, raw)).max())


def with_ties(design, ties: str, name: str):
    """Return the Design with another rule for ties in one population."""
    return replace(
        design,
        populations=tuple(
            replace(p, ties=ties) if p.name == name else p for p in design.populations
        ),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "functions", [("relu", "relu"), ("relu", "leaky_relu"), ("abs", "max"), ("max", "relu")]
)
def test_authors_rule_in_float64_says_the_same_logits(functions, seed):
    design = calibrate(perceptron(seed, functions), pixels(seed), paper_options())
    raw = design.raw_samples(pixels(seed + 100))

    assert design.input.spike_code.steps == 32
    assert (raw == 0).any(axis=1).all()
    assert difference(design, raw) <= 1e-12
    # a zero pixel begins with an event; without it nearly all samples come out otherwise
    assert difference(with_ties(design, "down", "input"), raw) > 1e-3


@pytest.mark.parametrize("schedule", ["inverse:0.5", "constant:0.0625", "list@0.3:8,4,3,2,1,1"])
def test_other_step_sizes_follow_the_rule_too(schedule):
    parsed = parse_schedule(schedule)
    steps = len(parsed.values) or 12
    options = paper_options(schedule=parsed, steps=steps, weight_bits=8)
    samples = pixels(3) - 0.5
    design = calibrate(perceptron(3), samples, options)

    code = design.input.spike_code
    assert code.eta[0] * code.unit == pytest.approx(parsed.eta0, rel=1e-10)
    assert difference(design, design.raw_samples(samples)) <= 1e-12


def test_rules_for_ties_are_those_of_the_authors():
    design = calibrate(perceptron(0, ("max", "leaky_relu")), pixels(0), paper_options())
    second = calibrate(perceptron(0, ("relu", "square")), pixels(0), paper_options())

    assert [p.ties for p in design.populations] == ["up", "up", "up", "down"]
    assert [p.ties for p in second.populations] == ["up", "down", "down", "down"]
    up = ("gelu", "gelu_tanh", "abs", "divide", "divide_root")
    down = ("relu", "square", "exp", "multiply")
    assert [ties_of(f) for f in (*up, *down)] == ["up"] * 5 + ["down"] * 4


def test_step_sizes_are_real_numbers_and_the_input_is_not_rescaled():
    samples = pixels(1) * 0.9
    design = calibrate(perceptron(1), samples, paper_options())

    for population in design.populations[:-1]:
        code = population.spike_code
        real = np.array(code.eta) * code.unit
        assert code.rest == 0 and code.kind == "centred"
        assert real[0] == pytest.approx(0.15, rel=1e-10)
        assert np.abs(real - 0.15 * 0.95 ** np.arange(32)).max() < 0.15 / 2000
        # float64 holds every membrane exactly
        assert sum(code.eta) * Fraction(code.unit) == Fraction(sum(code.eta) * code.unit)
    assert design.input_format.scale == pytest.approx(samples.max() / 255)
    wide = samples * np.where(np.arange(16) % 2, 1, 1000)  # features of unlike ranges
    fmt = calibrate(perceptron(1), wide, paper_options()).input_format
    assert (fmt.scale, getattr(fmt, "features", None)) == (pytest.approx(wide.max() / 255), None)


@pytest.mark.parametrize("scale", [1 / 255, 1 / 16, 0.05, 0.003918])
@pytest.mark.parametrize("signed", [True, False])
def test_factor_of_the_input_tells_every_raw_value_from_every_membrane(scale, signed):
    low, high = (-128, 127) if signed else (0, 255)
    unit = paper_code(paper_options().of_input).unit

    multiplier, shift = exact_factor(low, high, scale, unit)

    for p in range(low, high + 1):
        v = p * multiplier >> shift  # the greatest membrane that is not above p·scale
        assert Fraction(v) * Fraction(unit) <= Fraction(p * scale) < (v + 1) * Fraction(unit)


def test_silent_neurons_do_not_come_back_to_zero():
    eta = paper_code(paper_options().of_input).eta

    assert integer_steps(PAPER_SCHEDULE, 32)[0] == 1024 != eta[0]
    for t in range(1, 32):
        v = 0
        for step in eta[:t]:
            v += step if v < 0 else -step
        assert v != 0, t


def test_every_relu_is_divided_by_its_greatest_value():
    network, samples = perceptron(2), pixels(2)
    outputs, _ = network.forward(samples)
    silent = outputs["fc1"].max(axis=0) <= 1e-5

    found, factors = scaled(network, outputs, 100.0)

    after, _ = found.forward(samples)
    assert set(factors) == {"fc1", "fc2"}
    for name, factor in factors.items():
        greatest = outputs[name].max(axis=0)
        assert np.allclose(factor, np.where(greatest > 1e-5, greatest, 1.0))
        assert np.allclose(after[name] * factor, outputs[name])
    assert np.allclose(after["fc1"].max(axis=0)[~silent], 1)
    assert np.allclose(after["fc3"], outputs["fc3"])


def test_a_model_like_one_of_the_papers_keeps_its_scales():
    first = calibrate(perceptron(4), pixels(4), paper_options())
    other = perceptron(5)

    found = calibrate(other, pixels(5), like=first)

    assert [p.ties for p in found.populations] == [p.ties for p in first.populations]
    raw = found.raw_samples(pixels(6))
    exact = other.forward(raw * found.input_format.scale)[0]["fc3"]
    said = golden.run(found, raw).logits * found.readout.operands[0].scale[0]
    assert np.corrcoef(said.ravel(), exact.ravel())[0, 1] > 0.9
    assert difference(found, raw) <= 1e-12


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"firing": "settled"},
            "the paper's firing is overlapped, not settled (leave one of both out)",
        ),
        ({"code": "silent"}, "the paper's code is centred, not silent (leave one of both out)"),
        (
            {"input_scales": "each"},
            "the paper takes the input as it is (leave input_scales out)",
        ),
        ({"equalise": 0.5}, "the paper scales every ReLU by its own value (leave equalise out)"),
        (
            {"layers": {"fc1": LayerOptions(clip=2.0)}},
            "the paper takes the greatest value of 'fc1' for its scale (leave clip out)",
        ),
    ],
)
def test_what_the_paper_does_not_do_is_refused(settings, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        paper_options(**settings)


def test_rule_is_refused_where_the_paper_says_nothing():
    settled = random_design()
    table = calibrate(perceptron(0, ("gelu", "relu")), pixels(0), paper_options(steps=8))

    with pytest.raises(ValueError, match=r"^the paper's neurons follow sign gradient descent and"):
        paper.run(settled, np.zeros((1, 8), int))
    with pytest.raises(ValueError, match=r"^gelu of 'fc1' is no function of x$"):
        paper.run(table, np.zeros((1, 16), int))


def test_hardware_says_what_the_golden_model_says(run_core):
    design = calibrate(perceptron(1, sizes=(4, 3, 3, 2)), pixels(1)[:, :4], paper_options(steps=8))
    folding = {p.name: Folding() for p in design.populations}
    raw = design.raw_samples(pixels(7, 6)[:, :4])

    run = run_core(Core(design.with_folding(folding), "ecp5"), raw)

    logits = golden.run(design, raw).logits
    assert logits.ravel().tolist() == [word["logit"] for word in run.results]
