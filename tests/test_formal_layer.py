"""No result of a layer is lost for want of room: credit for a tile is room for all of it.

Bounded model check by z3: all runs of so many cycles after reset, whatever arrives, whoever stalls.
"""

import pytest
from amaranth.hdl import Assert, Module, Mux, Signal

from signfire.gen import rtl
from signfire.gen.design import Folding
from signfire.sim.formal import Opened, prove

DEPTH = 26  # two tiles of results fill the FIFO, and more are to come


def make_layer(source, make_design, *, code: str, **more):
    """Return the hidden layer of a tiny network: two tiles of one neuron, one input word."""
    design = make_design(sizes=(2, 2, 2), steps=1, input_steps=1, weight_bits=2, code=code, **more)
    fold = Folding(pe=1, simd=2)
    folded = design.with_folding({"input": Folding(pe=2), "fc1": fold, "fc2": fold})
    return source.Core(folded).layers[0]


def credit_property(layer) -> Module:
    """Say that every result finds room, and that each tile gives each of its results once."""
    m = Module()
    m.submodules.dut = dut = Opened(layer)
    plan = layer.plan
    enters = layer.tail.result_valid
    m.d.comb += Assert(~enters | dut.signal("fifo.w_rdy"))
    # Results never run ahead of the tiles that were begun, nor the far end of the results.
    owed, stored = Signal(8), Signal(8)
    begun = Mux(layer.sequencer.begin, plan.groups, 0)
    leaves = layer.results.valid & layer.results.ready
    m.d.sync += [owed.eq(owed + begun - enters), stored.eq(stored + enters - leaves)]
    m.d.comb += [
        Assert(~enters | (owed != 0)),
        Assert(~leaves | (stored != 0)),
        Assert(owed + stored <= plan.fifo_depth),
        Assert(dut.signal("reserved") == owed + stored),
    ]
    return m


@pytest.mark.parametrize("firing", ["settled", "overlapped"])
def test_every_result_of_a_layer_finds_room(firing, make_design, tmp_path):
    layer = make_layer(rtl, make_design, code="silent", firing=firing)

    proof = prove(credit_property(layer), tmp_path, component=layer, depth=DEPTH, induction=False)

    assert () == proof.failed


FAULTS = {
    "a tile begins without room": ("reserved <= plan.fifo_depth - plan.groups", "1"),
    "a word counts twice": ("reserved + begun - taken", "reserved + begun - (taken << 1)"),
    "credit returns too early": (
        "taken = self.results.valid & self.results.ready",
        "taken = self.results.valid",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_layer_with_wrong_credit_is_refuted(fault, mutated, make_design, tmp_path):
    layer = make_layer(mutated(rtl, FAULTS[fault]), make_design, code="silent")

    proof = prove(credit_property(layer), tmp_path, component=layer, depth=DEPTH, induction=False)

    assert () != proof.failed
