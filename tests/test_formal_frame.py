"""The frame parser always returns to the start of a frame, and never holds its sender for ever.

Proofs by z3; each test states how deep it goes: by induction a property holds for ever, from every
state that can be reached.
"""

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import data

from signfire.hdl import frame
from signfire.hdl.delay import delayed
from signfire.hdl.slip import RECEIVED
from signfire.sim.formal import Opened, prove

LENGTHS = {1: 0, 2: 0, 3: 5}
PATIENCE = 3  # cycles in which whoever takes payload and verdicts answers
LONGEST = 10 + PATIENCE  # cycles that an item stands in the parser


def parser(source) -> frame.FrameParser:
    return source.FrameParser(lengths=LENGTHS, consumer=3)


def parser_property(dut) -> Module:
    """Say what holds of a parser for every sequence of items, whoever stalls.

    Behind the end of a frame stands the start of the next, of whose bytes none is payload of the
    one before. A frame that is not empty gets one verdict, at its end, an empty one none. An item
    leaves in bounded time.
    """
    m = Module()
    m.submodules.dut = opened = Opened(dut)
    full = opened.signal("$signal", width=1, registered=True)
    item = data.View(RECEIVED, opened.signal("$signal", width=RECEIVED.size))
    begun, passing = dut.fields.begun, dut.fields.passing

    def answers(port) -> None:
        """Assume that a consumer lets nobody wait for long."""
        waited = Signal(range(PATIENCE + 1), name="waited")
        stalls = port.valid & ~port.ready
        m.d.sync += waited.eq(Mux(stalls, waited + 1, 0))
        m.d.comb += [Assume(~stalls | (waited < PATIENCE)), Assert(waited <= PATIENCE)]

    answers(dut.request)
    answers(dut.payload)
    age = Signal(range(LONGEST + 2))
    filled = Signal()  # a byte of this frame was taken
    left = delayed(m, full, 1, name="before") & ~full
    ended = delayed(m, item.end, 1, name="ended")
    verdict = dut.request.valid & dut.request.ready
    told = delayed(m, verdict, 1, name="told")
    due = delayed(m, filled | item.broken, 1, name="due")
    m.d.sync += age.eq(Mux(full, age + 1, 0))
    with m.If(left):
        m.d.sync += filled.eq(~ended)
    m.d.comb += [
        Assert(age <= LONGEST),
        Assert(begun == filled),
        Assert(begun | ~passing),
        # A verdict comes with the end of a frame that is not empty, and never else.
        Assert(~dut.request.valid | full & item.end & (filled | item.broken)),
        Assert(~left | (told == ended & due)),
        Assert(left | ~told),
        # What makes the proof carry.
        Assert(opened.signal("fields.state") <= frame.Part.REST),
        Assert(dut.fields.take == left & ~ended),
        Assert(dut.fields.finish == left & told),
        Assert(opened.signal("crc.idle") | (opened.signal("crc.$signal", width=9) >= 2)),
    ]
    return m


def test_a_parser_returns_to_the_start_of_a_frame_and_never_hangs(tmp_path):
    """Induction, 15 cycles."""
    dut = parser(frame)

    proof = prove(parser_property(dut), tmp_path, component=dut, depth=15, induction=True)

    assert () == proof.failed


FAULTS = {
    "an end does not end": ("with m.Elif(self.finish):", "with m.Elif(self.finish & self.long):"),
    "payload runs over the end": (" & ~self.drop & ~self.finish)", " & ~self.drop)"),
    "an empty frame gets a verdict": (
        "judged.eq(end_here & ~nothing & ~finish)",
        "judged.eq(end_here & ~finish)",
    ),
    "an empty frame stays for ever": (
        "take | finish | (end_here & nothing)",
        "take | finish",
    ),
    "a checksum without end": ("idle.eq(shifter[1:] == 1)", "idle.eq(shifter[1:] == 2)"),
    "a verdict twice": (
        "with m.Elif(take | finish |",
        "with m.Elif(take | (finish & judged & 0) |",
    ),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", FAULTS)
def test_of_a_parser_with_a_fault_it_is_not_proved(fault, mutated, tmp_path):
    dut = parser(mutated(frame, FAULTS[fault]))

    proof = prove(parser_property(dut), tmp_path, component=dut, depth=15, induction=True)

    assert () != proof.failed
