"""Spike trains of whole samples between two layers, of which silent words are left out."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .storage import Ram
from .train_buffer import Gather
from .words import buffer_depth


class TrainQueue(wiring.Component):
    """Gather trains neuron by neuron; give out, step by step, the words that hold an event.

    Trains are gathered to rows of ``simd`` neurons and cut into T/unroll planes of simd·unroll
    bits, as in a :class:`.train_buffer.TrainBuffer`. Every plane has a list of the words that hold
    an event, each beside the number of its row. Where a word of the stream brings several rows
    (``lanes`` above ``simd``), they are written at once, each to a list of its own, and the lists
    of a plane are read one after the other; those that are empty take no time.

    A read goes on from word to word and begins the plane that is asked for anew behind its last
    one. Of a plane without events one word is read, of zeros.

    Timing: words are taken and samples become ``full`` in the cycles in which those of a
    :class:`.train_buffer.TrainBuffer` do whose rows are as wide as a word of the stream, if that is
    the wider; after ``release`` the bank may be written from the next cycle on.

    Parameters
    ----------
    size
        Neurons of a sample; ``simd`` and ``lanes`` divide it.
    steps, unroll
        T, and how many of them one read returns; unroll divides T.
    lanes
        Neurons a word of the stream; divides ``simd``, or is a multiple of it.
    repeats
        How often the rows of weights are gone through in a sample; words of the stream divide them.
    banks
        Samples held.
    style
        Where the memories lie, see :class:`.storage.Ram`.

    Members
    -------
    trains : In, stream of ``lanes`` words of T bits, bit t the event of step t
    full : Out, whether the bank under read holds a whole sample
    release : In, the bank under read is done with
    plane : In, what is read
    read : In, the word is read, and the next one comes
    last : Out, it is the last of its plane; in the same cycle
    row : Out, of the weights, 0..size/simd/repeats - 1, one cycle later; any of an empty plane
    events : Out, unroll x simd bits, two cycles later
    """

    trains: stream.Interface
    full: Signal
    release: Signal
    plane: Signal
    read: Signal
    last: Signal
    row: Signal
    events: data.View

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
        taken = max(simd, lanes)
        for what, part, whole in (
            ("simd", simd, size),
            ("unroll", unroll, steps),
            ("lanes", lanes, simd if lanes < simd else size),
            ("simd", simd, taken),
            ("repeats", repeats, size // max(1, taken)),
        ):
            if part < 1 or whole % part:
                raise ValueError(f"{what} must divide {whole}, not {part}")
        self.rows, self.planes, self.parts = size // taken, steps // unroll, taken // simd
        self.simd, self.steps, self.unroll, self.lanes = simd, steps, unroll, lanes
        self.weight_rows = size // simd // repeats
        self.banks, self.style = banks, style
        super().__init__(
            {
                "trains": In(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "full": Out(1),
                "release": In(1),
                "plane": In(range(self.planes)),
                "read": In(1),
                "last": Out(1),
                "row": Out(range(self.weight_rows)),
                "events": Out(data.ArrayLayout(simd, unroll)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        self._rams = [
            Ram(
                depth=buffer_depth(banks=self.banks, rows=self.rows, planes=self.planes),
                width=self.simd * self.unroll + len(self.row),
                style=self.style,
            )
            for _ in range(self.parts)
        ]
        # Of every list of every bank: the place of its last word, and whether it has one.
        self._ends = self._lists("end", self.rows, reset_less=True)
        self._holds = self._lists("holds", 2)
        held, stored = Signal(range(self.banks + 1)), Signal()
        bank, reading = Signal(range(self.banks)), Signal(range(self.banks))
        self._write(m, bank, stored, free=held != self.banks)
        with m.If(stored):
            m.d.sync += bank.eq(Mux(bank == self.banks - 1, 0, bank + 1))
        with m.If(self.release):
            m.d.sync += reading.eq(Mux(reading == self.banks - 1, 0, reading + 1))
        m.d.sync += held.eq(held + stored - self.release)
        m.d.comb += self.full.eq(held != 0)
        self._read(m, reading)
        return m

    def _lists(self, name: str, most: int, *, reset_less: bool = False) -> Array:
        """Return a register below ``most`` for every part of every plane of every bank."""
        return Array(
            Array(
                [
                    Signal(range(most), name=f"{name}_{bank}_{plane}_{part}", reset_less=reset_less)
                    for part in range(self.parts)
                ]
                for plane in range(self.planes)
            )
            for bank in range(self.banks)
        )

    def _write(self, m: Module, bank: Signal, stored: Signal, free: Value) -> None:
        """Write the gathered row, plane after plane, while a bank is free."""
        m.submodules.gather = gather = Gather(
            simd=self.simd * self.parts, steps=self.steps, unroll=self.unroll, lanes=self.lanes
        )
        wiring.connect(m, wiring.flipped(self.trains), gather.trains)
        row, plane = Signal(range(self.rows)), Signal.like(self.plane)
        weight_row, write = Signal.like(self.row), Signal()
        last_plane, last_row = plane == self.planes - 1, row == self.rows - 1
        m.d.comb += [
            gather.take.eq(free),
            gather.last.eq(last_plane),
            write.eq(gather.valid & free),
            stored.eq(write & last_plane & last_row),
        ]
        with m.If(write):
            m.d.sync += plane.eq(Mux(last_plane, 0, plane + 1))
            with m.If(last_plane):
                wraps = weight_row == self.weight_rows - self.parts
                m.d.sync += [
                    row.eq(Mux(last_row, 0, row + 1)),
                    weight_row.eq(Mux(wraps, 0, weight_row + self.parts)),
                ]
        taken = data.View(data.ArrayLayout(self.simd * self.parts, self.unroll), gather.plane)
        for part, ram in enumerate(self._rams):
            m.submodules[f"ram_{part}"] = ram
            first = part * self.simd
            word = Cat(step[first : first + self.simd] for step in taken)
            end, holds = self._ends[bank][plane][part], self._holds[bank][plane][part]
            place = Mux(holds, end + 1, 0)[: range_bits(self.rows)]
            m.d.comb += [
                ram.write_enable.eq(write & word.any()),
                ram.write_address.eq(Cat(place, plane, bank)),
                ram.write_data.eq(Cat(word, (weight_row + part)[: len(self.row)])),
            ]
            with m.If(ram.write_enable):
                m.d.sync += [end.eq(place), holds.eq(1)]

    def _read(self, m: Module, reading: Signal) -> None:
        """Go from word to word of a plane, and from list to list."""
        place, part = Signal(range(self.rows)), Signal(range(self.parts))
        chosen, inside = Signal.like(part), Signal()  # inside: the plane's first word was read
        ends, holds = self._ends[reading][self.plane], self._holds[reading][self.plane]
        has = Cat(holds[k] for k in range(self.parts))
        at_end = Array(place == ends[k] for k in range(self.parts))[chosen]
        following, more = Signal.like(part), Signal()
        m.d.comb += chosen.eq(part)
        for k in reversed(range(self.parts)):
            with m.If(~inside & has[k]):
                m.d.comb += chosen.eq(k)
            with m.If(has[k] & (chosen < k)):
                m.d.comb += [following.eq(k), more.eq(1)]
        empty = ~has.any()
        m.d.comb += self.last.eq((at_end & ~more) | empty)
        with m.If(self.read):
            m.d.sync += [inside.eq(~self.last), part.eq(chosen), place.eq(place + 1)]
            with m.If(self.last | at_end):
                m.d.sync += [part.eq(following), place.eq(0)]
        with m.If(self.release):  # what is written there next are the lists of another sample
            for plane in range(self.planes):
                lists = self._holds[reading][plane]
                m.d.sync += [lists[k].eq(0) for k in range(self.parts)]

        was = delayed(m, chosen, 1, name="part", reset_less=True)
        was_empty = delayed(m, empty, 1, name="empty", reset_less=True)
        words = Value.cast(Array(ram.read_data for ram in self._rams)[was])
        events = Signal(self.simd * self.unroll, reset_less=True)
        m.d.sync += events.eq(words[: len(events)])
        with m.If(was_empty):
            m.d.sync += events.eq(0)
        m.d.comb += [
            *(ram.read_address.eq(Cat(place, self.plane, reading)) for ram in self._rams),
            self.row.eq(words[len(events) :]),
            self.events.as_value().eq(events),
        ]


def range_bits(count: int) -> int:
    """Bits of a register that counts ``count`` things."""
    return (count - 1).bit_length()
