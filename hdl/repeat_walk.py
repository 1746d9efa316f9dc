"""Windows that slide over planes whose pixels stand several times, each held once."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value

from .window_walk import WindowWalk, at_place, signed_to, within


class RepeatWalk(WindowWalk):
    """Lead over windows of repeated pixels: (y, x) is read at line y // down, pixel x // right.

    Sizes, steps, padding and positions count repeated pixels, everything else is that of the
    source: lines, height, width, and what a row of windows needs and releases. Nothing is divided:
    beside the place of a word stands which repetition of its line and of its pixel it is, counters
    from 0 to ``repeat`` - 1.

    Timing and members: see :class:`WindowWalk`.

    Parameters
    ----------
    repeat
        (down, right) how often each pixel stands.
    numbers
        See :class:`WindowWalk`.
    """

    def __init__(self, *, repeat: tuple[int, int], **numbers: Any) -> None:
        if min(repeat) < 1:
            raise ValueError(f"a pixel stands once or more often, not {min(repeat)} times")
        self.repeat = repeat
        super().__init__(**numbers)

    def _columns(self, m: Module, last_across):
        """Walk along a line; return whether the word is inside, and whether it ends the line."""
        repeat, own, depth = self.repeat[1], self.own, self.depth
        left, stride = self.padding[1], self.stride[1]
        run, limit = self.size[1] * own, self.width * depth
        first = -left // repeat * depth
        last = -left + (self.positions[1] - 1) * stride + self.size[1] - 1
        beyond = (last // repeat + 1) * depth
        place = signed_to(first, max(beyond, limit))
        count, run_end = Signal(range(run)), Signal()
        column = Signal(place, init=first)  # of this word, in words of the line
        start = Signal(place, init=first)  # of the first word that this tile reads of the window
        window = Signal(place, init=first) if self.apart else start  # and that the first tile reads
        following, next_start = Signal(place), Signal(place)
        group_done = self._group_done(m)
        moved = start + (own if self.apart else 0)

        # Repetitions: of this word's pixel, and of the window's first; and the way on.
        begin = Repetition(m, repeat, -left, stride, last_across, self.done, "begin")
        turn = Signal(range(repeat), init=begin.first)
        last_turn = turn == repeat - 1 if repeat > 1 else Const(1)
        pixel_end, step = self._pixel(m, last_turn)
        move = Mux(begin.wraps, (stride // repeat + 1) * depth, stride // repeat * depth)
        m.d.comb += [
            run_end.eq(count == run - 1),
            self.row.eq(column),
            following.eq(Mux(last_across, first, window + move)),
            next_start.eq(Mux(self.done, following, Mux(group_done, moved, start))),
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
            with m.If(self.last_word | run_end):
                m.d.sync += turn.eq(begin.next)
            with m.Elif(pixel_end):
                m.d.sync += turn.eq(Mux(last_turn, 0, turn + 1))
        return within(column, first, beyond - 1, limit), run_end

    def _pixel(self, m: Module, last_turn: Value) -> tuple[Value, Value | int]:
        """Return whether a word ends its pixel, and the way to the next word."""
        own, depth = self.own, self.depth
        if own == 1:
            return Const(1), Mux(last_turn, depth, 0)
        word = Signal(range(own))
        last = word == own - 1
        with m.If(self.valid):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
        return last, Mux(last, Mux(last_turn, depth - own + 1, 1 - own), 1)

    def _lines(self, m: Module, down, run_end, row_done, last_down):
        """Walk from line to line of the window; return whether the line is inside."""
        repeat, top, move = self.repeat[0], -self.padding[0], self.stride[0]
        height = self.height * repeat
        beyond = top + (self.positions[0] - 1) * move + self.size[0]
        place = signed_to(top, max(beyond, height))
        tops = [
            min(max(0, (top + i * move) // repeat), self.height) for i in range(self.positions[0])
        ]
        moves = [b - a for a, b in pairwise([*tops, self.height + tops[0]])]
        forward = at_place(m, down, [n % self.lines for n in moves], "forward")
        y, top_y = Signal(place, init=top), Signal(place, init=top)  # of this word, of the window
        line = Signal.like(self.line, init=tops[0] % self.lines)
        top_line = Signal.like(line, init=tops[0] % self.lines)  # of the window's first inside
        next_y, next_line = Signal.like(y), Signal.like(line)
        moved = top_line + forward
        inside = within(y, top, beyond - 1, height)
        begin = Repetition(m, repeat, top, move, last_down, row_done, "top")
        turn = Signal(range(repeat), init=begin.first)
        last_turn = turn == repeat - 1 if repeat > 1 else Const(1)
        m.d.comb += [
            self.line.eq(line),
            next_y.eq(Mux(row_done, Mux(last_down, top, top_y + move), top_y)),
            next_line.eq(
                Mux(row_done, Mux(moved >= self.lines, moved - self.lines, moved), top_line)
            ),
        ]
        with m.If(self.valid & self.last_word):
            m.d.sync += [y.eq(next_y), top_y.eq(next_y), turn.eq(begin.next)]
            m.d.sync += [line.eq(next_line), top_line.eq(next_line)]
        with m.Elif(self.valid & run_end):
            m.d.sync += [y.eq(y + 1), turn.eq(Mux(last_turn, 0, turn + 1))]
            with m.If(inside & last_turn):
                m.d.sync += line.eq(Mux(line == self.lines - 1, 0, line + 1))
        return inside


class Repetition:
    """Which repetition the first pixel (or line) of a window is, as windows move on.

    Parameters
    ----------
    repeat, start, stride
        Repetitions of a pixel, place of the first window and step, in repeated pixels.
    last
        The window is the last before the place of the first.
    moves
        In this cycle windows move on.

    Members
    -------
    first : of the first window
    next : of the window after this cycle
    wraps : a step leads to a repetition that is not above this one
    """

    def __init__(
        self, m: Module, repeat: int, start: int, stride: int, last, moves, name: str
    ) -> None:
        self.first, step = start % repeat, stride % repeat
        if step == 0:
            self.next, self.wraps = Const(self.first, range(repeat)), Const(0)
            return
        now = Signal(range(repeat), init=self.first, name=f"{name}_turn")
        self.next = Signal(range(repeat), name=f"{name}_next")
        self.wraps = now >= repeat - step
        further = Mux(self.wraps, now + step - repeat, now + step)
        m.d.comb += self.next.eq(Mux(moves, Mux(last, self.first, further), now))
        m.d.sync += now.eq(self.next)
