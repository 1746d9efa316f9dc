"""A queue that hands on in the same cycle what enters it while it is empty."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out


class PassingQueue(wiring.Component):
    """Keep words until they are taken; while none waits, offer the one that enters.

    Every word that enters is written, and forgotten where it is taken at once: so whether the
    taker is ready decides about counters alone, and about no write enable.

    Timing: a word is offered from the cycle of its ``push`` on. The caller pushes no more than
    ``depth`` words that are not taken.

    Members
    -------
    push : In, ``word`` enters
    word : In
    valid, payload : Out, what is offered
    ready : In, it is taken
    """

    push: Signal
    word: Signal
    valid: Signal
    payload: Signal
    ready: Signal

    def __init__(self, *, width: int, depth: int) -> None:
        if width < 1 or depth < 1:
            raise ValueError(f"a queue has a word of one bit at least, not {depth} of {width}")
        self.depth = depth
        super().__init__(
            {
                "push": In(1),
                "word": In(unsigned(width)),
                "valid": Out(1),
                "payload": Out(unsigned(width)),
                "ready": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.storage = storage = memory.Memory(
            shape=self.word.shape(), depth=self.depth, init=[]
        )
        write, read = storage.write_port(), storage.read_port(domain="comb")
        level, some = Signal(range(self.depth + 1)), Signal()  # ``some``: the level is not 0
        after = Signal.like(level)
        stored, removed = self.push & ~(~some & self.ready), some & self.ready
        m.d.comb += [
            write.en.eq(self.push),
            write.data.eq(self.word),
            self.valid.eq(some | self.push),
            self.payload.eq(Mux(some, read.data, self.word)),
            after.eq(level + stored - removed),
        ]
        m.d.sync += [level.eq(after), some.eq(after != 0)]
        for address, moves in ((write.addr, stored), (read.addr, removed)):
            place = Signal(range(self.depth), name="place")
            m.d.comb += address.eq(place)
            with m.If(moves):
                m.d.sync += place.eq(Mux(place == self.depth - 1, 0, place + 1))
        return m
