"""Spike trains of whole samples between two layers, of which silent words are left out."""

from typing import ClassVar

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

    A sample is read ``tiles`` times, plane after plane and word after word; the next one follows
    behind. Of a plane without events one word is read, of zeros. Which list comes next, and where
    it ends, is known before it is read: a walk over the lists runs two of them ahead.

    Timing: words are taken in the cycles in which those of a :class:`.train_buffer.TrainBuffer` are
    whose rows are as wide as a word of the stream, if that is the wider, and samples become
    ``full`` :attr:`AHEAD` cycles later than there, the walk's; after ``release`` the bank may be
    written from the next cycle on.

    Parameters
    ----------
    size
        Neurons of a sample; ``simd`` and ``lanes`` divide it.
    steps, unroll
        T, and how many of them one read returns; unroll divides T.
    lanes
        Neurons a word of the stream; divides ``simd``, or is a multiple of it.
    tiles
        How often a sample is read.
    repeats
        How often the rows of weights are gone through in a sample; words of the stream divide them.
    banks
        Samples held.
    style
        Where the memories lie, see :class:`.storage.Ram`.

    Members
    -------
    trains : In, stream of ``lanes`` words of T bits, bit t the event of step t
    full : Out, whether there is a word to read: before a sample whether all of it is there
    release : In, the bank under read is done with: its last word is read for the last time
    read : In, the word is read, and the next one comes; only while ``full`` holds
    last : Out, it is the last of its plane; in the same cycle
    row : Out, of the weights, 0..size/simd/repeats - 1, one cycle later; any of an empty plane
    events : Out, unroll x simd bits, two cycles later
    """

    AHEAD: ClassVar[int] = 3  # cycles from a stored sample to its first list

    trains: stream.Interface
    full: Signal
    release: Signal
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
        tiles: int = 1,
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
        if tiles < 1:
            raise ValueError(f"tiles must be at least 1, not {tiles}")
        self.tiles = tiles
        self.rows, self.planes, self.parts = size // taken, steps // unroll, taken // simd
        self.simd, self.steps, self.unroll, self.lanes = simd, steps, unroll, lanes
        self.weight_rows = size // simd // repeats
        self.banks, self.style = banks, style
        super().__init__(
            {
                "trains": In(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "full": Out(1),
                "release": In(1),
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
        bank = Signal(range(self.banks))
        self._write(m, bank, stored, free=held != self.banks)
        with m.If(stored):
            m.d.sync += bank.eq(_after(bank, self.banks))
        m.d.sync += held.eq(held + stored - self.release)
        self._read(m, self._walk(m, stored))
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
        row, plane = Signal(range(self.rows)), Signal(range(self.planes))
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

    def _walk(self, m: Module, stored: Value) -> "_Lists":
        """Name the lists that hold an event, one a cycle, and of a plane without any its first.

        The walk goes through all planes of a sample ``tiles`` times. Its next list lies a register
        behind it, from where it moves on once what is read is at the end of its own.
        """
        bank, plane = Signal(range(self.banks)), Signal(range(self.planes))
        tile, rest = Signal(range(self.tiles)), Signal(self.parts)
        walks, stays = Signal(), Signal()  # there is a sample; it has more lists in this plane
        unwalked = Signal(range(self.banks + 1))  # samples
        following = _Lists(self)
        first = Cat(rest[k] & ~rest[:k].any() for k in range(self.parts))
        moves, starts = Signal(), Signal()
        plane_ends, sample_ends = Signal(), Signal()
        m.d.comb += [
            stays.eq((rest & ~first).any()),
            moves.eq(walks & (~following.valid | following.taken)),
            plane_ends.eq(moves & ~stays),
            sample_ends.eq(plane_ends & (plane == self.planes - 1) & (tile == self.tiles - 1)),
            starts.eq((~walks | sample_ends) & (unwalked != 0)),
        ]
        m.d.sync += unwalked.eq(unwalked + stored - starts)
        next_bank, next_plane = Signal.like(bank), Signal.like(plane)
        m.d.comb += [
            next_bank.eq(Mux(sample_ends, _after(bank, self.banks), bank)),
            next_plane.eq(Mux(walks, _after(plane, self.planes), 0)),
        ]
        holds = self._holds[next_bank][next_plane]
        with m.If(moves & stays):
            m.d.sync += rest.eq(rest & ~first)
        with m.Elif(plane_ends | starts):
            m.d.sync += [
                rest.eq(Cat(holds[k] for k in range(self.parts))),
                bank.eq(next_bank),
                plane.eq(next_plane),
                walks.eq(~sample_ends | starts),
            ]
        with m.If(plane_ends & (plane == self.planes - 1)):
            m.d.sync += tile.eq(_after(tile, self.tiles))
        with m.If(moves):
            m.d.sync += [
                following.valid.eq(1),
                following.bank.eq(bank),
                following.plane.eq(plane),
                following.part.eq(_number(first)),
                following.is_last.eq(~stays),
                following.is_empty.eq(~rest.any()),
            ]
        with m.Elif(following.taken):
            m.d.sync += following.valid.eq(0)
        return following

    def _read(self, m: Module, following: "_Lists") -> None:
        """Go from word to word of a list, and on to the one that follows."""
        current, place, end = _Lists(self), Signal(range(self.rows)), Signal(range(self.rows))
        at_end, found = Signal(), Signal(range(self.rows))
        next_place = (place + 1)[: len(place)]
        ends = self._ends[following.bank][following.plane]
        m.d.comb += [
            self.full.eq(current.valid),
            self.last.eq(at_end & current.is_last),
            current.taken.eq(self.read & at_end),
            following.taken.eq(following.valid & (~current.valid | current.taken)),
            found.eq(Array(ends[k] for k in range(self.parts))[following.part]),
        ]
        with m.If(following.taken):
            m.d.sync += [
                *current.follow(following),
                place.eq(0),
                end.eq(found),
                at_end.eq((found == 0) | following.is_empty),
            ]
        with m.Else():
            with m.If(current.taken):
                m.d.sync += current.valid.eq(0)
            with m.If(self.read):
                m.d.sync += [place.eq(next_place), at_end.eq(next_place == end)]
        with m.If(self.release):  # what is written there next are the lists of another sample
            for plane in range(self.planes):
                lists = self._holds[current.bank][plane]
                m.d.sync += [lists[k].eq(0) for k in range(self.parts)]

        was = delayed(m, current.part, 1, name="part", reset_less=True)
        was_empty = delayed(m, current.is_empty, 1, name="empty", reset_less=True)
        words = Value.cast(Array(ram.read_data for ram in self._rams)[was])
        events = Signal(self.simd * self.unroll, reset_less=True)
        m.d.sync += events.eq(words[: len(events)])
        with m.If(was_empty):
            m.d.sync += events.eq(0)
        address = Cat(place, current.plane, current.bank)
        m.d.comb += [
            *(ram.read_address.eq(address) for ram in self._rams),
            self.row.eq(words[len(events) :]),
            self.events.as_value().eq(events),
        ]


class _Lists:
    """Registers that name a list: bank, plane and part, whether it is its plane's last, or empty.

    ``taken`` says that in this cycle what is named moves on.
    """

    def __init__(self, queue: TrainQueue) -> None:
        self.valid, self.taken = Signal(), Signal()
        self.bank = Signal(range(queue.banks), reset_less=True)
        self.plane = Signal(range(queue.planes), reset_less=True)
        self.part = Signal(range(queue.parts), reset_less=True)
        self.is_last, self.is_empty = Signal(reset_less=True), Signal(reset_less=True)

    def follow(self, other: "_Lists") -> list:
        """Return the statements by which what another names is named here, and ``valid``."""
        own = (self.bank, self.plane, self.part, self.is_last, self.is_empty)
        theirs = (other.bank, other.plane, other.part, other.is_last, other.is_empty)
        return [self.valid.eq(1), *(a.eq(b) for a, b in zip(own, theirs, strict=True))]


def _after(counter: Value, count: int) -> Value:
    """Return what follows in a counter of ``count``."""
    return Mux(counter == count - 1, 0, counter + 1)


def _number(one: Value) -> Value:
    """Return the number of the only bit that is set, 0 where none is."""
    places = range(len(one))
    return Cat(
        Cat(one[k] for k in places if k >> bit & 1).any() for bit in range(range_bits(len(one)))
    )


def range_bits(count: int) -> int:
    """Bits of a register that counts ``count`` things."""
    return (count - 1).bit_length()
