"""No result of a layer is lost for want of room: credit for a tile is room for all of it.

Proved by z3 by induction, for whatever arrives and whoever stalls, given that a tile has no more
results than it has groups of outputs.
"""

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal

from signfire.gen.core.plans import plan_layers
from signfire.gen.design.folding import Folding
from signfire.gen.layers import rtl
from signfire.gen.technology import find_technology
from signfire.sim.formal import Opened, prove


def make_layer(make_design, firing: str, number: int):
    """Return a layer of a small network: the hidden one, of two tiles, or the read-out."""
    fold = {"input": Folding(pe=2), "fc1": Folding(pe=4, simd=2), "fc2": Folding(simd=2)}
    design = make_design(sizes=(2, 8, 3), steps=2, firing=firing).with_folding(fold)
    _, plans = plan_layers(design, find_technology("ecp5"))
    plan = plans[number]
    return plan.component()(plan)


def credit_property(layer) -> Module:
    """Say that every result finds room, and that credit is what the FIFO has free."""
    m = Module()
    m.submodules.dut = dut = Opened(layer)
    plan = layer.plan
    enters = layer.tail.result_valid
    leaves = layer.results.valid & layer.results.ready
    begun = Mux(layer.sequencer.begin, plan.groups, 0)
    owed, stored = Signal(range(plan.fifo_depth + 1)), Signal(range(plan.fifo_depth + 1))
    m.d.sync += [owed.eq(owed + begun - enters), stored.eq(stored + enters - leaves)]
    m.d.comb += [
        Assume(~enters | (owed != 0)),
        Assert(~enters | dut.signal("fifo.w_rdy")),
        Assert(~layer.sequencer.begin | (owed + stored + plan.groups <= plan.fifo_depth)),
        Assert(layer.results.valid == (stored != 0)),
        # What makes the proof carry.
        Assert(dut.signal("fifo.level") == stored),
        Assert(dut.signal("reserved") == owed + stored),
        Assert(owed + stored <= plan.fifo_depth),
    ]
    return m


@pytest.mark.parametrize(
    ("firing", "number"), [("settled", 0), ("overlapped", 0), ("settled", 1), ("overlapped", 1)]
)
def test_every_result_of_a_layer_finds_room(firing, number, make_design, tmp_path):
    """Induction, 2 cycles."""
    layer = make_layer(make_design, firing, number)

    proof = prove(credit_property(layer), tmp_path, component=layer, depth=2, induction=True)

    assert () == proof.failed


FAULTS = {
    "a tile begins without room": ("after <= plan.fifo_depth - plan.groups", "1"),
    "a word counts twice": ("reserved + begun - taken", "reserved + begun - (taken << 1)"),
    "credit returns too early": (
        "taken = self.results.valid & self.results.ready",
        "taken = self.results.valid",
    ),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", FAULTS)
def test_of_a_layer_with_wrong_credit_it_is_not_proved(
    fault, mutated, make_design, tmp_path, monkeypatch
):
    wrong = mutated(rtl, FAULTS[fault])
    monkeypatch.setattr(rtl.TiledLayer, "_queue", wrong.TiledLayer._queue)
    layer = make_layer(make_design, "settled", 0)

    proof = prove(credit_property(layer), tmp_path, component=layer, depth=2, induction=True)

    assert () != proof.failed
