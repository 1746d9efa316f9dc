"""Cycle and bulk checks of token mixing, stalled at random, and faults that they see."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core, to_verilog
from signfire.gen.design.folding import Folding as F
from signfire.gen.readers.scattered.plan import ScatteredReader
from signfire.gen.readers.scattered.scatter import Scatter
from signfire.sim import bulk, golden
from signfire.sim.bulk import run_bulk
from signfire.sim.cycle import check_cycles
from signfire.sim.specimens.joins import MIXING, random_joins

pytestmark = pytest.mark.usefixtures("quick_compilation")

DESIGN = random_joins(
    shape=(1, 6, 4),
    layers=MIXING,
    code="offset",
    input_range=(-20, 20),
    functions=dict.fromkeys(("emb", "mix1", "sum1", "mix2"), "linear") | {"inner1": "gelu"},
    folding={
        "input": F(pe=2),
        "emb": F(pe=5, simd=4, unroll=3),
        "mix1": F(pe=3, simd=2),
        "inner1": F(pe=7, simd=5, unroll=3),
        "sum1": F(pe=5, simd=7),
        "tokens2": F(pe=2, simd=6),
        "mix2": F(pe=6, simd=4, unroll=3),
        "out": F(pe=3, simd=5),
    },
)
# Its first layers alone, where nothing else is asked for.
BEGINNING = random_joins(
    shape=(1, 6, 4),
    layers={"emb": MIXING["emb"], "mix1": MIXING["mix1"], "out": [("mix1", {"pooled": 3})]},
    code="offset",
    input_range=(-20, 20),
    folding={
        "input": F(pe=2),
        "emb": F(pe=5, simd=4, unroll=3),
        "mix1": F(pe=3, simd=2),
        "out": F(pe=3, simd=3),
    },
)
RAW = np.random.default_rng(3).integers(-20, 21, (20, 24))
STALLS = (0.3, 0.5)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """One folder, so that equal RTL is compiled once."""
    return tmp_path_factory.mktemp("mixing")


def test_every_word_stands_on_its_cycle_and_two_tokens_that_are_swapped_are_seen(
    directory, verilog
):
    result = check_cycles(DESIGN, RAW[:2], directory, verilog=verilog, stalls=STALLS)

    assert result.mismatches == ()
    assert result.words > 1300
    operand = DESIGN["mix1"].operands[0]
    mixing = operand.projections[0]
    kernel = mixing.map.kernel.copy()
    kernel[:, [2, 4]] = kernel[:, [4, 2]]
    faulty = replace(mixing, map=replace(mixing.map, kernel=kernel))
    swapped = with_operand("mix1", replace(operand, projections=(faulty, *operand.projections[1:])))
    found = check_cycles(swapped, RAW[:1], directory, verilog=verilog).mismatches
    assert (found[0].layer, found[0].what) == ("mix1", "sum")


@pytest.mark.parametrize("fault", ["a stride off by one", "a slot and a word exchanged"])
def test_a_train_that_is_written_elsewhere_is_seen(fault, directory, monkeypatch):
    truth, layer = ScatteredReader.scatter.fget, BEGINNING["mix1"].operands[0].projections[0].map

    def wrong(self) -> Scatter:
        found = truth(self)
        if self.map is not layer:
            return found
        # tokens of 5 channels are read two at a time: 3 words a channel
        assert found.counts == (5, 2, 3)
        assert found.strides == ((0, 3, 0), (0, 0, 1), (0, 1, 0))
        if fault == "a stride off by one":
            return replace(found, strides=((0, 2, 0), *found.strides[1:]))
        return replace(found, counts=(5, 3, 2), strides=((0, 3, 0), (0, 1, 0), (0, 0, 1)))

    monkeypatch.setattr(ScatteredReader, "scatter", property(wrong))

    faulty = Core(BEGINNING, "ecp5")
    found = check_cycles(BEGINNING, RAW[:1], directory, under_test=faulty).mismatches

    assert (found[0].layer, found[0].what) == ("mix1", "sum")
    assert "cycle" not in {m.what for m in found}


@pytest.fixture(scope="module")
def verilog() -> str:
    """Return the RTL, made once."""
    return to_verilog(Core(DESIGN, "ecp5"), bulk.TOP)


def test_every_logit_of_many_samples_is_equal_whatever_the_stalls(directory, verilog):
    options = {"technology": "ecp5", "verilog": verilog}
    free = run_bulk(DESIGN, RAW, directory, **options)
    stalled = run_bulk(DESIGN, RAW, directory, **options, stalls=STALLS, seed=5)

    assert free.mismatches == stalled.mismatches == ()
    assert free.words == stalled.words == 20 * 3
    assert stalled.labels.tolist() == golden.run(DESIGN, RAW).labels.tolist()
    assert stalled.cycles > free.cycles


def test_a_residual_sum_without_its_turned_branch_is_seen_in_bulk(directory, verilog):
    operand = DESIGN["sum1"].operands[0]
    short = operand.projections[1]
    nothing = short.map.with_weights(np.zeros_like(short.map.weights))
    projections = (operand.projections[0], replace(short, map=nothing))
    less = with_operand("sum1", replace(operand, projections=projections))

    found = run_bulk(
        less,
        RAW,
        directory,
        verilog=verilog,
        shape=DESIGN,
        stalls=STALLS,
        seed=5,
    )

    assert "logit" in {m.what for m in found.mismatches}


def with_operand(layer: str, operand):
    """Return the design with another operand of one population."""
    return replace(
        DESIGN,
        populations=tuple(
            replace(p, operands=(operand,)) if p.name == layer else p for p in DESIGN.populations
        ),
    )
