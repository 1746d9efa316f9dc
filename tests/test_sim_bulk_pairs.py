"""The bulk check of neurons of two operands, stalled at random, and faults that it sees."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from signfire.gen.core.core import Core, to_verilog
from signfire.gen.design.folding import Folding as F
from signfire.sim import bulk, golden
from signfire.sim.bulk import run_bulk
from signfire.sim.specimens.pairs import random_pairs

pytestmark = pytest.mark.usefixtures("quick_compilation")

STALLS = (0.3, 0.5)
COUNT = 20  # samples
DESIGNS = {
    "LayerNorm of rows within a residual sum": random_pairs(
        rows=(2, 3),
        residual=True,
        folding={
            "first": F(pe=4, simd=6),
            "second": F(pe=8, simd=8),
            "pair": F(pe=4, simd=8, unroll=4),
            "out": F(pe=3, simd=8, unroll=4),
        },
    ),
    "product of channels": random_pairs(
        function="multiply",
        shared=False,
        rows=(1, 3),
        folding={
            "first": F(pe=4, simd=6),
            "second": F(pe=8, simd=8),
            "pair": F(pe=8, simd=8, unroll=4),
            "out": F(pe=3, simd=8, unroll=4),
        },
    ),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """One folder, so that equal RTL is compiled once."""
    return tmp_path_factory.mktemp("bulk")


def samples(design, count: int) -> np.ndarray:
    fmt = design.input_format
    return np.random.default_rng(3).integers(fmt.low, fmt.high + 1, (count, design.input.size))


@cache
def verilog_of(name: str) -> str:
    """Return the RTL of a design, made once."""
    return to_verilog(Core(DESIGNS[name], "ecp5"), bulk.TOP)


@pytest.mark.parametrize("name", DESIGNS)
def test_every_word_is_equal_whatever_the_stalls(name, directory):
    design = DESIGNS[name]
    raw = samples(design, COUNT)

    options = {"technology": "ecp5", "verilog": verilog_of(name)}
    free = run_bulk(design, raw, directory, **options)
    stalled = run_bulk(design, raw, directory, **options, stalls=STALLS, seed=5)

    assert free.mismatches == stalled.mismatches == ()
    assert free.words == stalled.words == COUNT * design.readout.size
    assert stalled.labels.tolist() == golden.run(design, raw).labels.tolist()


@pytest.mark.parametrize("number", [0, 1])
def test_an_operand_a_little_off_is_seen(number, directory):
    name = "LayerNorm of rows within a residual sum"
    design = DESIGNS[name]
    pair = design["pair"]
    operands = list(pair.operands)
    operands[number] = replace(operands[number], multiplier=operands[number].multiplier * 9 // 10)
    other = replace(pair, operands=tuple(operands))
    faulty = replace(
        design, populations=tuple(other if p is pair else p for p in design.populations)
    )

    result = run_bulk(
        faulty,
        samples(design, COUNT),
        directory,
        technology="ecp5",
        verilog=verilog_of(name),
        shape=design,
    )

    assert "logit" in {m.what for m in result.mismatches}
