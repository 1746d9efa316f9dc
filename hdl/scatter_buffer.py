"""Trains of whole samples that are read in another order than they come."""

from collections.abc import Sequence
from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .nest import Nest
from .storage import Ram


class ScatterBuffer(wiring.Component):
    """Put each train where it is read, hold whole samples.

    Trains arrive ``lanes`` neurons a word and are written one a cycle, each to the slot of the word
    in which it is read: a memory whose words have a write enable for each of their ``simd`` slots.
    Where is said by nested loops (see :class:`.Nest`), so that any order of the axes of a sample
    becomes any other. A word holds all T steps of its trains, and of what is read ``plane`` chooses
    ``unroll`` steps; so a train takes one cycle whatever T is.

    Timing: of a word taken in cycle c the trains are written in the ``lanes`` cycles from c + 1 on
    (later while every bank is full), and the next word is taken in the last of them at the
    earliest. ``held`` counts a sample from the cycle after its last train on; a read takes one
    cycle; after ``release`` its bank may be written from the next cycle on.

    Parameters
    ----------
    counts, strides
        Loops over the trains of a sample in the order of their arrival, innermost first; a step of
        each moves (address, slot).
    depth
        Words of the memory of all banks.
    bank
        Words from one bank to the next.
    banks
        Samples held.
    simd
        Neurons of a word of the memory.
    steps, unroll
        T, and how many of them one read returns; unroll divides T.
    lanes
        Neurons a word of the stream.
    style
        Where the memory lies, see :class:`Ram`.

    Members
    -------
    trains : In, stream of ``lanes`` words of T bits, bit t the event of step t
    held : Out, whole samples that are stored and not given back
    release : In, the oldest sample is done with
    address, plane : In, what to read
    events : Out, unroll x simd bits, one cycle after address and plane
    """

    trains: stream.Interface
    held: Signal
    release: Signal
    address: Signal
    plane: Signal
    events: data.View

    def __init__(
        self,
        *,
        counts: Sequence[int],
        strides: Sequence[tuple[int, int]],
        depth: int,
        bank: int,
        banks: int,
        simd: int,
        steps: int,
        unroll: int,
        lanes: int,
        style: str = "auto",
    ) -> None:
        size = 1
        for count in counts:
            size *= count
        for what, part, whole in (("unroll", unroll, steps), ("lanes", lanes, size)):
            if part < 1 or whole % part:
                raise ValueError(f"{what} must divide {whole}, not {part}")
        self.nest = Nest(counts=[*counts, banks], strides=[*strides, (bank, 0)])
        reach, slots = self.nest.reaches
        if reach >= depth or slots >= simd:
            raise ValueError(
                f"trains go to address {reach} and slot {slots} of a memory of {depth} words of "
                f"{simd} slots"
            )
        self.depth, self.banks, self.simd, self.style = depth, banks, simd, style
        self.steps, self.unroll, self.lanes = steps, unroll, lanes
        super().__init__(
            {
                "trains": In(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "held": Out(range(banks + 1)),
                "release": In(1),
                "address": In(range(depth)),
                "plane": In(range(steps // unroll)),
                "events": Out(data.ArrayLayout(simd, unroll)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = Ram(
            depth=self.depth, width=self.simd * self.steps, style=self.style, parts=self.simd
        )
        m.submodules.nest = nest = self.nest
        address, slot = nest.places
        train, write = self._serialise(m)
        stored = Signal()
        m.d.comb += [
            nest.step.eq(write),
            ram.write_enable.eq(Cat(write & (slot == k) for k in range(self.simd))),
            ram.write_address.eq(address),
            ram.write_data.eq(train.replicate(self.simd)),
            stored.eq(write & nest.ends[-2]),
            ram.read_address.eq(self.address),
        ]
        m.d.sync += self.held.eq(self.held + stored - self.release)

        # Read: the steps of a plane out of whole trains.
        plane = delayed(m, self.plane, 1, name="plane", reset_less=True)
        with m.Switch(plane):
            for p in range(self.steps // self.unroll):
                with m.Case(p):
                    for u in range(self.unroll):
                        step = ram.read_data[p * self.unroll + u :: self.steps]
                        m.d.comb += self.events[u].eq(step)
        return m

    def _serialise(self, m: Module) -> tuple[Signal, Signal]:
        """Return the next train, and whether it is written in this cycle."""
        word = [Signal(self.steps, name=f"train_{j}", reset_less=True) for j in range(self.lanes)]
        part, valid, write, leave = Signal(range(self.lanes)), Signal(), Signal(), Signal()
        last = part == self.lanes - 1
        enter = self.trains.valid & self.trains.ready
        m.d.comb += [
            write.eq(valid & (self.held != self.banks)),
            leave.eq(write & last),
            self.trains.ready.eq(~valid | leave),
        ]
        with m.If(write):
            m.d.sync += part.eq(Mux(last, 0, part + 1))
            m.d.sync += [own.eq(behind) for own, behind in pairwise(word)]
        with m.If(leave):
            m.d.sync += valid.eq(0)
        with m.If(enter):
            m.d.sync += valid.eq(1)
            m.d.sync += [own.eq(new) for own, new in zip(word, self.trains.payload, strict=True)]
        return word[0], write
