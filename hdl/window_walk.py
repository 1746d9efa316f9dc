"""Windows that slide over planes: which word of which line is read, and when lines are done."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class WindowWalk(wiring.Component):
    """Lead a :class:`Sequencer`, for which a window is a sample, over the windows of planes.

    A line holds ``width`` pixels of ``depth`` words each. The window at (i, j) covers the pixels
    (i·down - top + u, j·right - left + v) for u, v within ``size``. Its words are read in the order
    (u, v, word of the pixel), anew for every plane and tile; with ``apart``, tiles have words of
    their own: n / tiles, rounded down, is the run of ``own`` words that tile n reads of every
    pixel, and no other. Windows come in raster order. All by counters: each place is the one before
    and a constant.

    Timing: ``line``, ``row`` and ``inside`` are those of the word that is read in the same cycle;
    ``full`` says in the first cycle of a window whether its lines are there.

    Parameters
    ----------
    lines
        Places of the line buffer.
    height, width, depth
        Lines of a sample, pixels of a line, words of a pixel.
    size, stride, padding, positions
        Window (height, width); steps (down, right); lines above and columns left (top, left);
        windows (down, across).
    needs, releases
        (windows down,) lines that must be held for a row of windows, and of them how many are done
        with after it, counted from the oldest that is held.
    apart, own, tiles
        See above; of depthwise maps, every tile has one word of its own.

    Members
    -------
    held : In, lines in the buffer
    valid : In, a word is read
    last_word : In, it is the last of the window
    tile_done : In, it is the last that this tile reads of the window
    done : In, it is the last that is read of the window
    full : Out, the lines of the next window are held
    line, row : Out, place in the buffer
    inside : Out, the pixel lies within the planes; else its value is 0
    release : Out, how many lines are done with, in this cycle
    """

    held: Signal
    valid: Signal
    last_word: Signal
    tile_done: Signal
    done: Signal
    full: Signal
    line: Signal
    row: Signal
    inside: Signal
    release: Signal

    def __init__(
        self,
        *,
        lines: int,
        height: int,
        width: int,
        depth: int,
        size: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
        positions: tuple[int, int],
        needs: Sequence[int],
        releases: Sequence[int],
        apart: bool = False,
        own: int = 1,
        tiles: int = 1,
    ) -> None:
        if max(needs) > lines:
            raise ValueError(f"windows that need {max(needs)} lines do not fit {lines}")
        self.lines, self.height, self.width, self.depth = lines, height, width, depth
        self.size, self.stride, self.padding, self.positions = size, stride, padding, positions
        self.needs, self.releases = tuple(needs), tuple(releases)
        self.apart, self.own, self.tiles = apart, own if apart else depth, tiles
        super().__init__(
            {
                "held": In(range(lines + 1)),
                "valid": In(1),
                "last_word": In(1),
                "tile_done": In(1),
                "done": In(1),
                "full": Out(1),
                "line": Out(range(lines)),
                "row": Out(range(width * depth)),
                "inside": Out(1),
                "release": Out(range(lines + 1)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        across, down = Signal(range(self.positions[1])), Signal(range(self.positions[0]))
        last_across = across == self.positions[1] - 1
        last_down = down == self.positions[0] - 1
        row_done = self.done & last_across
        with m.If(self.done):
            m.d.sync += across.eq(Mux(last_across, 0, across + 1))
        with m.If(row_done):
            m.d.sync += down.eq(Mux(last_down, 0, down + 1))
        need = at_place(m, down, self.needs, "need")
        release = at_place(m, down, self.releases, "release")
        m.d.comb += [self.full.eq(self.held >= need), self.release.eq(Mux(row_done, release, 0))]
        inside_column, run_end = self._columns(m, last_across)
        inside_line = self._lines(m, down, run_end, row_done, last_down)
        m.d.comb += self.inside.eq(inside_column & inside_line)
        return m

    def _columns(self, m: Module, last_across):
        """Walk along a line; return whether the word is inside, and whether it ends the line."""
        run, step = self.size[1] * self.own, self._step(m)
        first, move = -self.padding[1] * self.depth, self.stride[1] * self.depth
        beyond = first + (self.positions[1] - 1) * move + self.size[1] * self.depth
        limit = self.width * self.depth
        place = signed_to(first, max(beyond, limit))
        count, run_end = Signal(range(run)), Signal()
        column = Signal(place, init=first)  # of this word, in words of the line
        start = Signal(place, init=first)  # of the first word that this tile reads of the window
        window = Signal(place, init=first) if self.apart else start  # and that the first tile reads
        following, next_start = Signal(place), Signal(place)
        moved = start + (self.own if self.apart else 0)
        m.d.comb += [
            run_end.eq(count == run - 1),
            self.row.eq(column),
            following.eq(Mux(last_across, first, window + move)),
            next_start.eq(Mux(self.done, following, Mux(self._group_done(m), moved, start))),
        ]
        if self.apart:
            with m.If(self.done):
                m.d.sync += window.eq(following)
        with m.If(self.valid):
            m.d.sync += [
                count.eq(Mux(run_end, 0, count + 1)),
                column.eq(Mux(self.last_word, next_start, Mux(run_end, start, column + step))),
                start.eq(next_start),
            ]
        return within(column, first, beyond - 1, limit), run_end

    def _step(self, m: Module) -> Value | int:
        """Return the way to the next word: a pixel's own words lie side by side."""
        if not self.apart:
            return 1
        if self.own == 1:
            return self.depth
        word = Signal(range(self.own))
        last = word == self.own - 1
        with m.If(self.valid):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
        return Mux(last, self.depth - self.own + 1, 1)

    def _group_done(self, m: Module) -> Value:
        """Whether the last tile is done that reads these words of a window."""
        if self.tiles == 1:
            return self.tile_done
        tile = Signal(range(self.tiles))
        last = tile == self.tiles - 1
        with m.If(self.tile_done):
            m.d.sync += tile.eq(Mux(last, 0, tile + 1))
        return self.tile_done & last

    def _lines(self, m: Module, down, run_end, row_done, last_down):
        """Walk from line to line of the window; return whether the line is inside."""
        top, move = -self.padding[0], self.stride[0]
        beyond = top + (self.positions[0] - 1) * move + self.size[0]
        place = signed_to(top, max(beyond, self.height))
        tops = [min(max(0, top + i * move), self.height) for i in range(self.positions[0])]
        moves = [b - a for a, b in pairwise([*tops, self.height + tops[0]])]
        forward = at_place(m, down, [n % self.lines for n in moves], "forward")
        y, top_y = Signal(place, init=top), Signal(place, init=top)  # of this word, of the window
        line = Signal.like(self.line, init=tops[0] % self.lines)
        top_line = Signal.like(line, init=tops[0] % self.lines)  # of the window's first inside
        next_y, next_line = Signal.like(y), Signal.like(line)
        moved = top_line + forward
        inside = within(y, top, beyond - 1, self.height)
        m.d.comb += [
            self.line.eq(line),
            next_y.eq(Mux(row_done, Mux(last_down, top, top_y + move), top_y)),
            next_line.eq(
                Mux(row_done, Mux(moved >= self.lines, moved - self.lines, moved), top_line)
            ),
        ]
        with m.If(self.valid & self.last_word):
            m.d.sync += [y.eq(next_y), top_y.eq(next_y)]
            m.d.sync += [line.eq(next_line), top_line.eq(next_line)]
        with m.Elif(self.valid & run_end):
            m.d.sync += y.eq(y + 1)
            with m.If(inside):
                m.d.sync += line.eq(Mux(line == self.lines - 1, 0, line + 1))
        return inside


def at_place(m: Module, place: Signal, numbers: Sequence[int], name: str) -> Signal:
    """Return the number of a row or column of windows; few differ from the commonest."""
    common = Counter(numbers).most_common(1)[0][0]
    chosen = Signal(range(max(numbers) + 1), name=name)
    with m.Switch(place):
        for i, number in enumerate(numbers):
            if number != common:
                with m.Case(i):
                    m.d.comb += chosen.eq(number)
        with m.Default():
            m.d.comb += chosen.eq(common)
    return chosen


def signed_to(low: int, high: int) -> Shape:
    """Return the signed shape that holds low..high."""
    return signed(max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1)


def within(place: Signal, low: int, high: int, limit: int) -> Value:
    """Whether 0 <= place < limit, for a place that lies in low..high: nothing that always holds."""
    inside = Const(1)
    if low < 0:
        inside = inside & ~place[-1]
    if high >= limit:
        inside = inside & (place < limit)
    return inside
