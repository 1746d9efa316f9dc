"""The prover itself: what it proves, refutes and refuses."""

import pytest
from amaranth.hdl import Assert, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from signfire.sim.formal import Opened, OpenRam, prove


class Counter(wiring.Component):
    """Counts to 5 and begins anew."""

    enable: In(1)
    count: Out(3)

    def elaborate(self, platform) -> Module:
        m = Module()
        hidden = Signal(3)
        m.d.comb += self.count.eq(hidden)
        with m.If(self.enable):
            m.d.sync += hidden.eq(hidden + 1)
            with m.If(hidden == 5):
                m.d.sync += hidden.eq(0)
        return m


def about(counter, bound: int) -> Module:
    m = Module()
    m.submodules.dut = counter
    m.d.comb += Assert(counter.count < bound)
    return m


@pytest.mark.parametrize(
    ("bound", "depth", "induction", "holds"),
    [
        (6, 8, False, True),
        (5, 5, False, True),  # 5 is reached in the sixth cycle
        (5, 6, False, False),
        (6, 1, True, True),
        (5, 3, True, False),
    ],
)
def test_an_assertion_holds_as_far_as_asked(bound, depth, induction, holds, tmp_path):
    dut = Counter()

    proof = prove(about(dut, bound), tmp_path, component=dut, depth=depth, induction=induction)

    assert holds == proof.holds
    assert holds or __file__ in proof.failed[0]


def test_a_property_without_assertion_is_refused(tmp_path):
    dut, m = Counter(), Module()
    m.submodules.dut = dut

    with pytest.raises(ValueError, match="the property asserts nothing that its inputs could"):
        prove(m, tmp_path, component=dut, depth=2, induction=False)


def test_an_inner_signal_is_found_by_its_name():
    opened = Opened(Counter())

    assert 3 == len(opened.signal("hidden"))
    assert 3 == len(opened.signal("hidden", width=3, registered=True))


def test_a_signal_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(LookupError, match="no single signal 'hiden'; there are count, hidden"):
        Opened(Counter()).signal("hiden")


def test_a_memory_gives_what_was_written(tmp_path):
    """Bmc, 6 cycles: the open twin keeps the contract of a memory."""
    ram, m = OpenRam(depth=3, width=2), Module()
    m.submodules.dut = Opened(ram)
    kept, known, asked = Signal(2), Signal(), Signal()
    with m.If(ram.write_enable & (ram.write_address == 1)):
        m.d.sync += [kept.eq(ram.write_data), known.eq(1)]
    collides = ram.write_enable & (ram.write_address == ram.read_address)
    m.d.sync += asked.eq(known & (ram.read_address == 1) & ~collides)
    told = Signal(2)
    m.d.sync += told.eq(kept)
    m.d.comb += Assert(~asked | (ram.read_data == told))

    proof = prove(m, tmp_path, component=ram, depth=6, induction=False)

    assert proof.holds
