"""RTL settles ties as the golden model does, of every population by itself."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core
from signfire.gen.core.estimate import estimate
from signfire.gen.core.shape import differences
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.model.codes import Schedule
from signfire.gen.technology import find_technology
from signfire.sim import golden
from signfire.sim.bulk import run_bulk
from signfire.sim.cycle import check_cycles
from signfire.sim.specimens.chains import random_design
from signfire.sim.specimens.minima import random_minima
from signfire.sim.specimens.pairs import random_pairs

TECHNOLOGY = find_technology("ecp5")
SMALL = dict(rows=(1, 2), features=2, channels=2, steps=3, input_steps=3)
FALLING = Schedule(kind="list", values=(4, 3, 2))
DRAWN = 400  # samples among which those are found in which a tie decides


def settling(design: Design, ties: str, shift: int = 3) -> Design:
    """Return a Design whose neurons settle ties so, and that is full of ties.

    Weights are signs, factors 4 / 2^shift, and raw samples are shared out over the input's values.
    """

    def coarse(operand):
        signs = (
            replace(q, map=q.map.with_weights(np.sign(q.map.weights))) for q in operand.projections
        )
        fours = np.full_like(operand.multiplier, 4)
        below = operand.below
        if below is not None:
            below = -fours if operand.is_magnitude else fours // 4
        return replace(
            operand,
            projections=tuple(signs),
            bias=np.sign(operand.bias) * 2,
            multiplier=fours,
            below=below,
            shift=shift,
        )

    fmt = design.input_format
    places = max(1, (fmt.high // design.input.spike_code.high).bit_length())
    return replace(
        design,
        input_format=replace(fmt, multiplier=1, shift=places),
        populations=tuple(
            p
            if p.code is None
            else replace(
                p,
                ties=ties,
                operands=tuple(map(coarse, p.operands)),
                comparison=p.comparison and replace(p.comparison, fraction=0),
            )
            for p in design.populations
        ),
    ).with_folding({p.name: Folding() for p in design.populations})


def with_ties(design: Design, ties: str, name: str = "") -> Design:
    """Return the Design with another rule in all populations that fire, or in one."""
    return replace(
        design,
        populations=tuple(
            replace(p, ties=ties) if p.code is not None and name in ("", p.name) else p
            for p in design.populations
        ),
    )


def perceptron(**settings) -> Design:
    return random_design(sizes=(4, 4, 2), steps=3, input_range=(-8, 7), **settings)


DESIGNS = {
    "even, ReLU": lambda: settling(perceptron(code="offset"), "even"),
    "even, two slopes": lambda: settling(perceptron(code="offset", function="leaky_relu"), "even"),
    "up, magnitude": lambda: settling(perceptron(code="offset", function="abs"), "up"),
    "up, overlapped": lambda: settling(
        perceptron(firing="overlapped", schedule=FALLING, code="centred"), "up"
    ),
    "even, product": lambda: settling(
        random_pairs(function="multiply", shared=False, seed=2, **SMALL), "even"
    ),
    "up, quotient": lambda: settling(random_pairs(function="divide", **SMALL), "up"),
    "up, root": lambda: settling(random_pairs(function="divide_root", **SMALL), "up"),
    "even, minimum": lambda: settling(
        random_minima(planes=(1, 2, 2), channels=2, steps=3, input_steps=3), "even"
    ),
}


def decided_by_ties(design: Design, each: int = 2) -> np.ndarray:
    """Return samples in which a tie decides, for input and last neurons, and others if it may."""
    fmt, rng = design.input_format, np.random.default_rng(3)
    places = fmt.shift - 1  # halves of a target, for every other is a tie
    shape = (DRAWN, design.input.size)
    raw = rng.integers(fmt.low >> places, (fmt.high >> places) + 1, shape) << places
    answers = golden.run(design, raw).logits
    found = []
    for population in design.populations[:-1]:
        plain = golden.run(with_ties(design, "down", population.name), raw).logits
        differing = np.flatnonzero((plain != answers).any(axis=1))
        needed = population.name in (design.input.name, design.populations[-2].name)
        assert len(differing) or not needed, population.name
        found += differing[:each].tolist()
    return raw[sorted(set(found))]


@pytest.mark.parametrize("name", DESIGNS)
def test_hardware_settles_ties_of_every_population(name, run_core):
    design = DESIGNS[name]()
    raw = decided_by_ties(design)

    run = run_core(Core(design, TECHNOLOGY), raw)

    logits = golden.run(design, raw).logits
    assert logits.ravel().tolist() == [word["logit"] for word in run.results]


def test_cycle_check_and_bulk_know_the_rule(quick_compilation, tmp_path):
    design = DESIGNS["even, ReLU"]()
    raw = decided_by_ties(design)
    other = with_ties(design, "down", "fc1")

    core = Core(design, TECHNOLOGY)
    passed = check_cycles(design, raw, tmp_path, technology=TECHNOLOGY, stalls=(0.2, 0.2))
    found = check_cycles(other, raw, tmp_path, technology=TECHNOLOGY, under_test=core)
    bulk = run_bulk(design, raw, tmp_path / "bulk", technology=TECHNOLOGY)

    assert passed.passed, passed.mismatches[:3]
    assert {(m.layer, m.what) for m in found.mismatches} >= {("fc1", "target"), ("fc1", "event")}
    assert "input" not in {mismatch.layer for mismatch in found.mismatches}
    assert bulk.passed, bulk.mismatches[:3]


@pytest.mark.parametrize("name", DESIGNS)
def test_estimate_prices_the_test_for_whole_numbers_alone(name):
    design = DESIGNS[name]()

    found = estimate(design, TECHNOLOGY).layers[:-1]
    plain = estimate(with_ties(design, "down"), TECHNOLOGY).layers[:-1]

    costs = [a.resources.lut > b.resources.lut for a, b in zip(found, plain, strict=True)]
    tables = [p.table is not None for p in design.populations[:-1]]
    even = name.startswith("even")
    assert [even and not table for table in tables] == costs


def test_hardware_of_one_rule_does_not_take_a_design_of_another():
    design = DESIGNS["up, overlapped"]()

    reasons = list(differences(design, with_ties(design, "down", "fc1"), TECHNOLOGY))

    assert reasons == ["ties of 'fc1' must go up, not down"]
