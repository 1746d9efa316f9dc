"""Spike trains of whole samples between two layers."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .storage import Ram
from .words import buffer_depth


class TrainBuffer(wiring.Component):
    """Gather trains neuron by neuron, give them out step by step.

    Trains arrive ``lanes`` neurons a word, all T bits of a neuron together. They are gathered to
    rows of ``simd`` neurons, and each row is written as T/unroll planes of simd·unroll bits, so
    that one read gives the events of ``simd`` neurons in ``unroll`` steps. Samples lie in banks:
    one is read while the others fill.

    Timing: a row whose last word is taken in cycle c is written in the T/unroll cycles from c + 1
    on (later while every bank is full), and the next word is taken in the last of them at the
    earliest. ``full`` rises in the cycle after the last plane of a sample; a read takes one cycle;
    after ``release`` the bank may be written from the next cycle on.

    Parameters
    ----------
    size
        Neurons of a sample; ``simd`` divides it.
    steps, unroll
        T, and how many of them one read returns; unroll divides T.
    lanes
        Neurons a word; divides ``simd``.
    banks
        Samples held.
    style
        Where the memory lies, see :class:`Ram`.

    Members
    -------
    trains : In, stream of ``lanes`` words of T bits, bit t the event of step t
    full : Out, whether the bank under read holds a whole sample
    release : In, the bank under read is done with
    row, plane : In, what to read
    events : Out, unroll x simd bits, one cycle after row and plane
    """

    trains: stream.Interface
    full: Signal
    release: Signal
    row: Signal
    plane: Signal
    events: data.View

    def __init__(
        self,
        *,
        size: int,
        simd: int,
        steps: int,
        unroll: int,
        lanes: int,
        banks: int = 2,
        style: str = "auto",
    ) -> None:
        for what, part, whole in (
            ("simd", simd, size),
            ("unroll", unroll, steps),
            ("lanes", lanes, simd),
        ):
            if part < 1 or whole % part:
                raise ValueError(f"{what} must divide {whole}, not {part}")
        self.rows, self.planes, self.parts = size // simd, steps // unroll, simd // lanes
        self.simd, self.steps, self.unroll, self.lanes = simd, steps, unroll, lanes
        self.banks, self.style = banks, style
        super().__init__(
            {
                "trains": In(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "full": Out(1),
                "release": In(1),
                "row": In(range(self.rows)),
                "plane": In(range(self.planes)),
                "events": Out(data.ArrayLayout(simd, unroll)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = Ram(
            depth=buffer_depth(banks=self.banks, rows=self.rows, planes=self.planes),
            width=self.simd * self.unroll,
            style=self.style,
        )
        m.submodules.gather = gather = Gather(
            simd=self.simd, steps=self.steps, unroll=self.unroll, lanes=self.lanes
        )
        wiring.connect(m, wiring.flipped(self.trains), gather.trains)
        held = Signal(range(self.banks + 1))

        # Write: the gathered row, plane after plane, while a bank is free.
        row, plane = Signal.like(self.row), Signal.like(self.plane)
        bank, stored = Signal(range(self.banks)), Signal()
        last_plane, last_row = plane == self.planes - 1, row == self.rows - 1
        m.d.comb += [
            gather.take.eq(held != self.banks),
            gather.last.eq(last_plane),
            ram.write_enable.eq(gather.valid & gather.take),
            ram.write_address.eq(Cat(row, plane, bank)),
            ram.write_data.eq(gather.plane),
            stored.eq(ram.write_enable & last_plane & last_row),
        ]
        with m.If(ram.write_enable):
            m.d.sync += plane.eq(Mux(last_plane, 0, plane + 1))
            with m.If(last_plane):
                m.d.sync += row.eq(Mux(last_row, 0, row + 1))
        with m.If(stored):
            m.d.sync += bank.eq(Mux(bank == self.banks - 1, 0, bank + 1))

        # Banks: the filled ones are read in order.
        reading = Signal(range(self.banks))
        with m.If(self.release):
            m.d.sync += reading.eq(Mux(reading == self.banks - 1, 0, reading + 1))
        m.d.sync += held.eq(held + stored - self.release)
        m.d.comb += [
            self.full.eq(held != 0),
            ram.read_address.eq(Cat(self.row, self.plane, reading)),
            self.events.eq(ram.read_data),
        ]
        return m


class Gather(wiring.Component):
    """Collect rows of ``simd`` trains from words of ``lanes``, hand them on plane by plane.

    A row stands ready (``valid``) in the cycle after its last word; every ``take`` moves on by
    ``unroll`` steps, and with ``last`` the row is done and a new word may enter.

    Members
    -------
    trains : In, stream of ``lanes`` words of T bits
    valid, plane : Out, the next simd·unroll bits of the row, earliest step first
    take, last : In
    """

    trains: stream.Interface
    valid: Signal
    plane: Signal
    take: Signal
    last: Signal

    def __init__(self, *, simd: int, steps: int, unroll: int, lanes: int) -> None:
        self.simd, self.steps, self.unroll, self.lanes = simd, steps, unroll, lanes
        super().__init__(
            {
                "trains": In(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "valid": Out(1),
                "plane": Out(simd * unroll),
                "take": In(1),
                "last": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        parts = self.simd // self.lanes
        # Words enter at the high end and push the older ones down, which costs no decoder.
        row = [Signal(self.steps, name=f"train_{j}", reset_less=True) for j in range(self.simd)]
        part, enter, leave = Signal(range(parts)), Signal(), Signal()
        m.d.comb += [
            leave.eq(self.valid & self.take & self.last),
            self.trains.ready.eq(~self.valid | leave),
            enter.eq(self.trains.valid & self.trains.ready),
            self.plane.eq(Cat(row[j][u] for u in range(self.unroll) for j in range(self.simd))),
        ]
        with m.If(self.valid & self.take):
            m.d.sync += [train.eq(train >> self.unroll) for train in row]
        with m.If(leave):
            m.d.sync += self.valid.eq(0)
        with m.If(enter):
            m.d.sync += [
                part.eq(Mux(part == parts - 1, 0, part + 1)),
                self.valid.eq(part == parts - 1),
            ]
            entered = [*row[self.lanes :], *self.trains.payload]
            m.d.sync += [train.eq(younger) for train, younger in zip(row, entered, strict=True)]
        return m
