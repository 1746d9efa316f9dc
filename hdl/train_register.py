"""Spike trains of one word, read out of the register in which they arrive."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


class TrainRegister(wiring.Component):
    """Gather the trains of a sample that is one word, give them out step by step.

    Timing: ``full`` rises in the cycle after the last word of the stream, and the first ``unroll``
    steps stand in ``events`` then. Each ``take`` moves on by as many; with ``release``, on the last
    of them, the next word may enter in the same cycle.

    Parameters
    ----------
    size
        Neurons of a sample.
    steps, unroll
        T, and how many of them are read at once; unroll divides T.
    lanes
        Neurons a word of the stream; divides ``size``.

    Members
    -------
    trains : In, stream of ``lanes`` words of T bits, bit t the event of step t
    full : Out, a sample is there
    take : In, the running steps are read
    release : In, so is the sample
    events : Out, unroll x size bits, in the same cycle
    """

    trains: stream.Interface
    full: Signal
    take: Signal
    release: Signal
    events: data.View

    def __init__(self, *, size: int, steps: int, unroll: int, lanes: int) -> None:
        for what, part, whole in (("unroll", unroll, steps), ("lanes", lanes, size)):
            if part < 1 or whole % part:
                raise ValueError(f"{what} must divide {whole}, not {part}")
        self.size, self.steps, self.unroll, self.lanes = size, steps, unroll, lanes
        super().__init__(
            {
                "trains": In(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "full": Out(1),
                "take": In(1),
                "release": In(1),
                "events": Out(data.ArrayLayout(size, unroll)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        parts = self.size // self.lanes
        row = [Signal(self.steps, name=f"train_{j}", reset_less=True) for j in range(self.size)]
        part, enter = Signal(range(parts)), Signal()
        m.d.comb += [
            self.trains.ready.eq(~self.full | self.release),
            enter.eq(self.trains.valid & self.trains.ready),
            *(self.events[u].eq(Cat(train[u] for train in row)) for u in range(self.unroll)),
        ]
        with m.If(self.take):
            m.d.sync += [train.eq(train >> self.unroll) for train in row]
        with m.If(self.release):
            m.d.sync += self.full.eq(0)
        with m.If(enter):
            m.d.sync += [
                part.eq(Mux(part == parts - 1, 0, part + 1)),
                self.full.eq(part == parts - 1),
            ]
            entered = [*row[self.lanes :], *self.trains.payload]
            m.d.sync += [train.eq(younger) for train, younger in zip(row, entered, strict=True)]
        return m
