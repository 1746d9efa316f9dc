"""Two lines before one link: whole frames, and each reply to the line that asked."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..hdl.slip import END

OUTSTANDING = 3  # frames whose replies are still to come, at most


class LineArbiter(wiring.Component):
    """Let two hosts talk to one link, one at a time.

    The line on which a frame begins owns the link until the frame is complete, and the reply to
    it, and to all that it sent in the meantime. So the link sees whole frames of one line after
    another, and a reply never reaches the host that did not ask. Bytes of the other line wait as
    far as that line can hold them; what is lost there breaks that frame's checksum. ENDs between
    frames mean nothing and go no further. The link must answer every frame that is not empty once.

    A host that stops forever would keep the link: a frame without a byte for two ticks is ended
    by an END of the arbiter's, for the link to refuse it, and a reply of which no byte was taken
    for as long is thrown away. The core may take any time.

    Timing: a byte in three cycles at the most, either way, through registers.

    Members
    -------
    tick : In, a pulse every now and then
    received, sent : arrays In and Out, streams of bytes, from and to the lines; of two that begin
        at once, the first line wins
    to_link, from_link : Out and In, streams of bytes
    """

    tick: Signal
    received: list[stream.Interface]
    sent: list[stream.Interface]
    to_link: stream.Interface
    from_link: stream.Interface

    def __init__(self) -> None:
        byte = stream.Signature(8)
        super().__init__(
            {
                "tick": In(1),
                "received": In(byte).array(2),
                "sent": Out(byte).array(2),
                "to_link": Out(byte),
                "from_link": In(byte),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        owned, owner = Signal(), Signal()
        open_frame = Signal()  # bytes of a frame went to the link, and its END did not
        pending = Signal(range(OUTSTANDING + 1))  # frames that are to be answered
        ended, answered = Signal(), Signal()  # pulses: one more, one less
        moved = Signal()
        m.d.sync += pending.eq(pending + ended - (answered & (pending != 0)))
        waits = self._receive(m, owned, owner, open_frame, pending, ended, moved)
        dropping = Signal()
        refuses = self._reply(m, owner, dropping, answered, moved)

        quiet = Signal()
        with m.If(moved | ~owned):
            m.d.sync += quiet.eq(0)
        with m.Elif(self.tick):
            m.d.sync += quiet.eq(1)
        given_up = self.tick & quiet & ~moved
        with m.If(given_up & open_frame & waits & ~self.to_link.valid):
            m.d.sync += [self.to_link.valid.eq(1), self.to_link.payload.eq(END)]
            m.d.sync += open_frame.eq(0)
            m.d.comb += ended.eq(1)
        with m.If(given_up & refuses):
            m.d.sync += dropping.eq(1)
        with m.If(owned & ~open_frame & (pending == 0)):
            m.d.sync += [owned.eq(0), dropping.eq(0)]
        return m

    def _receive(self, m: Module, owned, owner, open_frame, pending, ended, moved):
        """Pass on the owner's frames; return whether the owner has nothing to pass on."""
        link = self.to_link
        with m.If(link.ready):
            m.d.sync += link.valid.eq(0)
        waits = Signal()
        for number, line in reversed(list(enumerate(self.received))):
            full, byte, is_end = Signal(), Signal(8), Signal()
            m.d.comb += line.ready.eq(~full)
            with m.If(~full):
                m.d.sync += [full.eq(line.valid), byte.eq(line.payload)]
                m.d.sync += is_end.eq(line.payload == END)
            owns = owned & (owner == number)
            with m.If(owns & (open_frame | (~is_end & (pending != OUTSTANDING)))):
                m.d.comb += waits.eq(~full & ~line.valid)
                with m.If(full & ~link.valid):
                    m.d.sync += [full.eq(0), link.valid.eq(1), link.payload.eq(byte)]
                    m.d.sync += open_frame.eq(~is_end)
                    m.d.comb += [ended.eq(is_end), moved.eq(1)]
            with m.Elif(full & is_end):
                m.d.sync += full.eq(0)
            with m.Elif(full & ~owned):
                m.d.sync += [owned.eq(1), owner.eq(number), open_frame.eq(1)]
        return waits

    def _reply(self, m: Module, owner, dropping, answered, moved):
        """Pass on what the link says; return whether the owner does not take it."""
        source = self.from_link
        held, byte, is_end, in_reply = Signal(), Signal(8), Signal(), Signal()
        m.d.comb += source.ready.eq(~held)
        with m.If(source.valid & ~held):
            m.d.sync += [held.eq(1), byte.eq(source.payload), is_end.eq(source.payload == END)]
        taken = Signal()
        for number, line in enumerate(self.sent):
            chosen = owner == number
            m.d.comb += [line.valid.eq(held & chosen & ~dropping), line.payload.eq(byte)]
            with m.If(chosen):
                m.d.comb += taken.eq(held & (line.ready | dropping))
        with m.If(taken):
            m.d.sync += [held.eq(0), in_reply.eq(~is_end)]
            m.d.comb += [moved.eq(1), answered.eq(in_reply & is_end)]
        return held & ~taken
