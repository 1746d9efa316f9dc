"""Bytes from one clock domain to another, seldom and safely."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out


class ByteCrossing(wiring.Component):
    """Passes bytes between unrelated clocks, one at a time, by a two-phase handshake.

    A byte is held while a toggled request travels over, and until the toggled acknowledge is back:
    about three cycles of either clock for each byte. That is far below the time that a byte takes
    on the serial line, and it costs 8 + 2 flip-flops and two synchronisers where a FIFO would
    cost a block RAM. The toggles have no reset, so that a reset on either side neither invents
    nor loses a byte.

    Parameters
    ----------
    source, target
        Names of the clock domains.

    Members
    -------
    i : In(stream of 8 bits), in ``source``
    o : Out(stream of 8 bits), in ``target``
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, source: str, target: str) -> None:
        self.source = source
        self.target = target
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform) -> Module:
        m = Module()
        held = Signal(8, reset_less=True)
        request, request_seen = Signal(reset_less=True), Signal()
        taken, taken_seen = Signal(reset_less=True), Signal()
        m.submodules.request = FFSynchronizer(request, request_seen, o_domain=self.target)
        m.submodules.taken = FFSynchronizer(taken, taken_seen, o_domain=self.source)

        m.d.comb += self.i.ready.eq(request == taken_seen)
        with m.If(self.i.valid & self.i.ready):
            m.d[self.source] += [held.eq(self.i.payload), request.eq(~request)]

        # `held` has been still for two cycles of the target when its request is seen.
        m.d.comb += [self.o.valid.eq(request_seen != taken), self.o.payload.eq(held)]
        with m.If(self.o.valid & self.o.ready):
            m.d[self.target] += taken.eq(~taken)
        return m
