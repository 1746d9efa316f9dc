"""The bulk check of joins and of maximum pooling, stalled at random, and faults that it sees."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from signfire.gen.core.core import Core, to_verilog
from signfire.gen.design.folding import Folding as F
from signfire.sim import bulk, golden
from signfire.sim.bulk import run_bulk
from signfire.sim.specimens.chains import random_windows
from signfire.sim.specimens.joins import CONCATENATION, RESIDUAL, WIDE, random_joins

pytestmark = pytest.mark.usefixtures("quick_compilation")

STALLS = (0.3, 0.5)
COUNT = 20  # samples
DESIGNS = {
    "residual sums by identity, 1x1 and slice": random_joins(
        shape=(6, 5),
        layers=RESIDUAL,
        folding={
            "input": F(),
            "first": F(pe=4),
            "inner1": F(pe=4, simd=4),
            "join1": F(pe=4, simd=4),
            "inner2": F(pe=3, simd=4),
            "join2": F(pe=6, simd=2, unroll=3),
            "inner3": F(pe=2, simd=6),
            "join3": F(pe=4, simd=4),
            "out": F(pe=3, simd=8),
        },
    ),
    "concatenation": random_joins(
        shape=(4, 5),
        layers=CONCATENATION,
        steps=4,
        folding={
            "left": F(pe=4),
            "right": F(pe=1, simd=2, unroll=2),
            "both": F(pe=4, simd=2, unroll=2),
            "beside": F(pe=3, unroll=2),
            "out": F(simd=2),
        },
    ),
    "maximum pooling": random_windows(
        layers=(
            {"conv": 4, **WIDE},
            {"max": (2, 2), "stride": (2, 2)},
            {"dense": 3},
        ),
        folding={"conv1": F(pe=2), "max2": F(pe=2), "dense3": F(pe=3, simd=4)},
    ),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """One folder, so that equal RTL is compiled once."""
    return tmp_path_factory.mktemp("bulk")


def samples(design, count: int) -> np.ndarray:
    fmt = design.input_format
    return np.random.default_rng(3).integers(fmt.low, fmt.high + 1, (count, design.input.size))


@pytest.mark.parametrize("name", DESIGNS)
def test_every_word_is_equal_whatever_the_stalls(name, directory):
    design = DESIGNS[name]
    raw = samples(design, COUNT)

    options = {"technology": "ice40-up", "verilog": verilog_of(name)}
    free = run_bulk(design, raw, directory, **options)
    stalled = run_bulk(design, raw, directory, **options, stalls=STALLS, seed=5)

    assert free.mismatches == stalled.mismatches == ()
    assert free.words == stalled.words == COUNT * design.readout.size
    assert stalled.labels.tolist() == golden.run(design, raw).labels.tolist()
    assert stalled.cycles > free.cycles


@pytest.mark.parametrize(
    ("name", "layer", "branch"),
    [
        ("residual sums by identity, 1x1 and slice", "join1", 1),
        ("residual sums by identity, 1x1 and slice", "join2", 0),
        ("residual sums by identity, 1x1 and slice", "join3", 0),
        ("concatenation", "beside", 0),
        ("concatenation", "beside", 1),
    ],
)
def test_a_branch_that_is_not_added_is_seen(name, layer, branch, directory):
    design = DESIGNS[name]
    faulty = without(design, layer, branch)

    assert "logit" in {m.what for m in against(name, faulty, directory).mismatches}


def test_a_maximum_that_misses_the_last_of_its_window_is_seen(directory):
    design = DESIGNS["maximum pooling"]
    less = with_operands(design, "max2", design["max2"].operands[:-1])

    assert len(design["max2"].operands) == 4
    assert "logit" in {m.what for m in against("maximum pooling", less, directory).mismatches}


@cache
def verilog_of(name: str) -> str:
    """Return the RTL of a design, made once."""
    return to_verilog(Core(DESIGNS[name], "ice40-up"), bulk.TOP)


def against(name: str, expected, directory):
    """Run the RTL of a design, stalled, and compare it with what another one should answer."""
    design = DESIGNS[name]
    return run_bulk(
        expected,
        samples(design, COUNT),
        directory,
        verilog=verilog_of(name),
        shape=design,
        stalls=STALLS,
        seed=5,
    )


def without(design, layer: str, branch: int):
    """Return the design in which a join does not add one of its branches."""
    (operand,) = design[layer].operands
    projections = list(operand.projections)
    chosen = projections[branch]
    nothing = np.zeros_like(chosen.map.weights)
    projections[branch] = replace(chosen, map=chosen.map.with_weights(nothing))
    return with_operands(design, layer, (replace(operand, projections=tuple(projections)),))


def with_operands(design, layer: str, operands):
    """Return the design with other operands of one population."""
    return replace(
        design,
        populations=tuple(
            replace(p, operands=operands) if p.name == layer else p for p in design.populations
        ),
    )
