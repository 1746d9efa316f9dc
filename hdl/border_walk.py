"""Which constants a window takes, where they differ from pixel to pixel."""

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .window_walk import at_place


class BorderWalk(wiring.Component):
    """Go from window to window in raster order, and say where the next one's constants begin.

    following = (rows[i]·(kinds of column) + columns[j])·words for the window (i, j) behind the one
    at work, round and round over all windows.

    It counts the windows whose results pass, not those that are read: by then the next ones are
    under way already, and a place that came from their counters would have to wait in a queue.

    Timing: ``following`` comes out of a register, and is right again in the cycle after ``done``.

    Parameters
    ----------
    rows, columns
        Kind of each row and of each column of windows, 0 upwards.
    words
        Constants of one kind.

    Members
    -------
    done : In, the last constant of a window is taken in this cycle
    following : Out, place of the first one of the next window
    """

    done: Signal
    following: Signal

    def __init__(self, *, rows: Sequence[int], columns: Sequence[int], words: int) -> None:
        if min(len(rows), len(columns), words) < 1:
            raise ValueError(
                f"there must be windows and constants, not {len(rows)} x {len(columns)} windows "
                f"of {words} words"
            )
        kinds = max(columns) + 1
        self.rows = [kind * kinds * words for kind in rows]
        self.columns = [kind * words for kind in columns]
        self.words = words
        every = (max(rows) + 1) * kinds * words
        super().__init__({"done": In(1), "following": Out(range(every))})

    def elaborate(self, platform) -> Module:
        m = Module()
        width = len(self.columns)
        windows = len(self.rows) * width

        def place(window: int) -> tuple[int, int]:
            return divmod(window % windows, width)

        # The counters are two windows ahead, so that a register holds what is next.
        i, j = place(1)
        following = Signal.like(self.following, init=self.rows[i] + self.columns[j])
        i, j = place(2)
        across, down = Signal(range(width), init=j), Signal(range(len(self.rows)), init=i)
        last_across, last_down = across == width - 1, down == len(self.rows) - 1
        row = at_place(m, down, self.rows, "row")
        column = at_place(m, across, self.columns, "column")
        m.d.comb += self.following.eq(following)
        with m.If(self.done):
            m.d.sync += [following.eq(row + column), across.eq(Mux(last_across, 0, across + 1))]
            with m.If(last_across):
                m.d.sync += down.eq(Mux(last_down, 0, down + 1))
        return m
