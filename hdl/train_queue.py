"""Spike trains of whole samples between two layers, of which silent words are left out."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .storage import Ram
from .train_buffer import Gather
from .words import buffer_depth


class TrainQueue(wiring.Component):
    """Gather trains neuron by neuron; give out, step by step, the words that hold an event.

    Trains are gathered to rows of ``simd`` neurons and cut into T/unroll planes of simd·unroll
    bits, as in a :class:`.train_buffer.TrainBuffer`. Every plane has a list of its own, of words
    beside the number of their row. A word is written to the end of its list, and stays there if it
    holds an event; else the next one takes its place. So the first place of a list without events
    holds a word of zeros, and every list can be read for one word at least.

    Timing: words are taken and samples become ``full`` in the cycles in which those of a
    :class:`.train_buffer.TrainBuffer` do; a read takes one cycle; after ``release`` the bank may be
    written from the next cycle on.

    Parameters
    ----------
    size
        Neurons of a sample; ``simd`` divides it.
    steps, unroll
        T, and how many of them one read returns; unroll divides T.
    lanes
        Neurons a word of the stream; divides ``simd``.
    repeats
        How often the rows of weights are gone through in a sample; divides its size/simd rows.
    banks
        Samples held.
    style
        Where the memory lies, see :class:`.storage.Ram`.

    Members
    -------
    trains : In, stream of ``lanes`` words of T bits, bit t the event of step t
    full : Out, whether the bank under read holds a whole sample
    release : In, the bank under read is done with
    plane, place : In, what to read: a list, and how many of its words precede
    last : Out, no word of the list follows; in the same cycle
    events : Out, unroll x simd bits, one cycle after plane and place
    row : Out, of the weights, 0..size/simd/repeats - 1, with ``events``
    """

    trains: stream.Interface
    full: Signal
    release: Signal
    plane: Signal
    place: Signal
    last: Signal
    events: data.View
    row: Signal

    def __init__(
        self,
        *,
        size: int,
        simd: int,
        steps: int,
        unroll: int,
        lanes: int,
        repeats: int = 1,
        banks: int = 2,
        style: str = "auto",
    ) -> None:
        for what, part, whole in (
            ("simd", simd, size),
            ("unroll", unroll, steps),
            ("lanes", lanes, simd),
            ("repeats", repeats, size // max(1, simd)),
        ):
            if part < 1 or whole % part:
                raise ValueError(f"{what} must divide {whole}, not {part}")
        self.rows, self.planes = size // simd, steps // unroll
        self.simd, self.steps, self.unroll, self.lanes = simd, steps, unroll, lanes
        self.weight_rows = self.rows // repeats
        self.banks, self.style = banks, style
        super().__init__(
            {
                "trains": In(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "full": Out(1),
                "release": In(1),
                "plane": In(range(self.planes)),
                "place": In(range(self.rows)),
                "last": Out(1),
                "events": Out(data.ArrayLayout(simd, unroll)),
                "row": Out(range(self.weight_rows)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = Ram(
            depth=buffer_depth(banks=self.banks, rows=self.rows, planes=self.planes),
            width=self.simd * self.unroll + len(self.row),
            style=self.style,
        )
        m.submodules.gather = gather = Gather(
            simd=self.simd, steps=self.steps, unroll=self.unroll, lanes=self.lanes
        )
        wiring.connect(m, wiring.flipped(self.trains), gather.trains)
        held, stored = Signal(range(self.banks + 1)), Signal()

        # Write: the gathered row, plane after plane, while a bank is free.
        row, plane = Signal(range(self.rows)), Signal.like(self.plane)
        weight_row, bank = Signal.like(self.row), Signal(range(self.banks))
        last_plane, last_row = plane == self.planes - 1, row == self.rows - 1
        ends, begun = self._lists(m, "end", self.rows), self._lists(m, "begun", 2)
        end, is_begun = ends[bank][plane], begun[bank][plane]
        holds, first = gather.plane.any(), row == 0
        place = Mux(first, 0, (end + is_begun)[: len(self.place)])
        m.d.comb += [
            gather.take.eq(held != self.banks),
            gather.last.eq(last_plane),
            ram.write_enable.eq(gather.valid & gather.take),
            ram.write_address.eq(Cat(place, plane, bank)),
            ram.write_data.eq(Cat(gather.plane, weight_row)),
            stored.eq(ram.write_enable & last_plane & last_row),
        ]
        with m.If(ram.write_enable):
            m.d.sync += plane.eq(Mux(last_plane, 0, plane + 1))
            with m.If(first | holds):
                m.d.sync += [end.eq(place), is_begun.eq(holds)]
            with m.If(last_plane):
                wraps = weight_row == self.weight_rows - 1
                m.d.sync += [
                    row.eq(Mux(last_row, 0, row + 1)),
                    weight_row.eq(Mux(wraps, 0, weight_row + 1)),
                ]
        with m.If(stored):
            m.d.sync += bank.eq(Mux(bank == self.banks - 1, 0, bank + 1))

        # Banks: the filled ones are read in order.
        reading = Signal(range(self.banks))
        with m.If(self.release):
            m.d.sync += reading.eq(Mux(reading == self.banks - 1, 0, reading + 1))
        m.d.sync += held.eq(held + stored - self.release)
        m.d.comb += [
            self.full.eq(held != 0),
            self.last.eq(self.place == ends[reading][self.plane]),
            ram.read_address.eq(Cat(self.place, self.plane, reading)),
            Cat(self.events.as_value(), self.row).eq(ram.read_data),
        ]
        return m

    def _lists(self, m: Module, name: str, most: int) -> Array:
        """Return a register below ``most`` for every list of every bank."""
        return Array(
            Array(
                Signal(range(most), name=f"{name}_{bank}_{plane}", reset_less=True)
                for plane in range(self.planes)
            )
            for bank in range(self.banks)
        )
