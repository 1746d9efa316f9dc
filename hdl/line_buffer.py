"""Lines of planes between two layers: the rows of pixels that a sliding window still needs."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .storage import Ram
from .train_buffer import Gather
from .words import buffer_depth


class LineBuffer(wiring.Component):
    """Gather trains to lines of planes, hold ``lines`` of them in a circle.

    Trains arrive in raster order, ``lanes`` neurons a word: line after line, pixel after pixel, the
    channels of a pixel together. ``simd`` neurons make a row of the memory, ``rows`` rows a line,
    and each row is written as T/unroll planes, as in :class:`TrainBuffer`. The lines of successive
    samples follow each other without a gap, each in the next place of the circle.

    Timing: as a :class:`TrainBuffer` whose banks are lines. ``held`` counts a line from the cycle
    after its last plane on; a read takes one cycle; places given back by ``release`` may be
    written from the next cycle on.

    The writer waits for nothing but a free place, and the reader may wait for as many lines as
    there are places: neither can hold the other up for ever.

    Parameters
    ----------
    rows, simd
        Rows of a line, neurons of a row.
    steps, unroll, lanes, style
        See :class:`TrainBuffer`.
    lines
        Places of the circle.

    Members
    -------
    trains : In, stream of ``lanes`` words of T bits, bit t the event of step t
    held : Out, whole lines that are stored and not given back
    release : In, how many of the oldest lines are done with, in this cycle
    line, row, plane : In, what to read: a place of the circle, a row and a plane of its line
    events : Out, unroll x simd bits, one cycle after line, row and plane
    """

    trains: stream.Interface
    held: Signal
    release: Signal
    line: Signal
    row: Signal
    plane: Signal
    events: data.View

    def __init__(
        self,
        *,
        rows: int,
        simd: int,
        steps: int,
        unroll: int,
        lanes: int,
        lines: int,
        style: str = "auto",
    ) -> None:
        for what, part, whole in (("unroll", unroll, steps), ("lanes", lanes, simd)):
            if part < 1 or whole % part:
                raise ValueError(f"{what} must divide {whole}, not {part}")
        self.rows, self.planes, self.lines = rows, steps // unroll, lines
        self.simd, self.steps, self.unroll, self.lanes = simd, steps, unroll, lanes
        self.style = style
        super().__init__(
            {
                "trains": In(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "held": Out(range(lines + 1)),
                "release": In(range(lines + 1)),
                "line": In(range(lines)),
                "row": In(range(rows)),
                "plane": In(range(self.planes)),
                "events": Out(data.ArrayLayout(simd, unroll)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = Ram(
            depth=buffer_depth(banks=self.lines, rows=self.rows, planes=self.planes),
            width=self.simd * self.unroll,
            style=self.style,
        )
        m.submodules.gather = gather = Gather(
            simd=self.simd, steps=self.steps, unroll=self.unroll, lanes=self.lanes
        )
        wiring.connect(m, wiring.flipped(self.trains), gather.trains)

        # Write: the gathered row, plane after plane, while a place is free.
        row, plane, line = (Signal.like(x) for x in (self.row, self.plane, self.line))
        last_plane, last_row = plane == self.planes - 1, row == self.rows - 1
        stored = Signal()
        m.d.comb += [
            gather.take.eq(self.held != self.lines),
            gather.last.eq(last_plane),
            ram.write_enable.eq(gather.valid & gather.take),
            ram.write_address.eq(Cat(row, plane, line)),
            ram.write_data.eq(gather.plane),
            stored.eq(ram.write_enable & last_plane & last_row),
        ]
        with m.If(ram.write_enable):
            m.d.sync += plane.eq(Mux(last_plane, 0, plane + 1))
            with m.If(last_plane):
                m.d.sync += row.eq(Mux(last_row, 0, row + 1))
        with m.If(stored):
            m.d.sync += line.eq(Mux(line == self.lines - 1, 0, line + 1))

        # Read.
        m.d.sync += self.held.eq(self.held + stored - self.release)
        m.d.comb += [
            ram.read_address.eq(Cat(self.row, self.plane, self.line)),
            self.events.eq(ram.read_data),
        ]
        return m
