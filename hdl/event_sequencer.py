"""Loop counters of a layer that skips silent words: tiles of outputs, steps, words with events."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class EventSequencer(wiring.Component):
    """Walk a sample tile by tile, step by step, through as many words as ``last`` lets a step have.

    A word is read in every cycle of a tile, but for the last one: the results of a tile (of a step,
    with ``each_step``) take ``rest`` cycles to leave, and the last word of the next ones is read so
    long after theirs at the earliest. A tile begins only in a cycle in which ``credit`` holds, the
    first tile of a sample only if ``full`` holds too, so nothing behind ever has to stop.

    Parameters
    ----------
    tiles, planes, words
        Loop bounds, outermost first; ``words`` are the most of a step.
    rows
        Of the weights, a tile's.
    rest
        Cycles between two last words.
    each_step
        Results leave after every step, not once a tile.

    Members
    -------
    full : In, a sample is there
    credit : In, the results of one more tile can be stored
    last : In, the word is the last of its step
    valid : Out, a word is read in this cycle
    begin : Out, this is the first cycle of a tile
    tile, plane, word : Out, the indices; also while ``valid`` is low
    base : Out, tile·rows, the first of the tile's rows of weights
    first_word, last_word, first_plane, last_plane : Out
    release : Out, the last word of the sample is read in this cycle
    """

    full: Signal
    credit: Signal
    last: Signal
    valid: Signal
    begin: Signal
    tile: Signal
    plane: Signal
    word: Signal
    base: Signal
    first_word: Signal
    last_word: Signal
    first_plane: Signal
    last_plane: Signal
    release: Signal

    def __init__(
        self, *, tiles: int, planes: int, words: int, rows: int, rest: int, each_step: bool = False
    ) -> None:
        if min(tiles, planes, words, rows, rest) < 1:
            raise ValueError(
                f"a loop is empty, or results take no time ({tiles} tiles, {planes} planes, "
                f"{words} words, {rows} rows, {rest} cycles)"
            )
        self.tiles, self.planes, self.words, self.rows = tiles, planes, words, rows
        self.rest, self.each_step = rest, each_step
        super().__init__(
            {
                "full": In(1),
                "credit": In(1),
                "last": In(1),
                "valid": Out(1),
                "begin": Out(1),
                "tile": Out(range(tiles)),
                "plane": Out(range(planes)),
                "word": Out(range(words)),
                "base": Out(range(tiles * rows)),
                "first_word": Out(1),
                "last_word": Out(1),
                "first_plane": Out(1),
                "last_plane": Out(1),
                "release": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        # What the counters are at is held beside them, so that no comparison lies on the way from
        # them to `valid`, which enables them all.
        at_start, first_tile, last_tile = (
            Signal(init=1),
            Signal(init=1),
            Signal(init=self.tiles == 1),
        )
        last_plane = Signal(init=self.planes == 1)
        wait, waits = Signal(range(self.rest)), Signal()
        run, done = Signal(), Signal()
        m.d.comb += [
            run.eq(~at_start | (self.credit & (self.full | ~first_tile))),
            self.begin.eq(at_start & run),
            self.first_word.eq(self.word == 0),
            self.last_word.eq(self.last),
            self.first_plane.eq(self.plane == 0),
            self.last_plane.eq(last_plane),
            done.eq(self.last & (last_plane | self.each_step)),
            self.valid.eq(run & ~(done & waits)),
            self.release.eq(self.valid & self.last & last_plane & last_tile),
        ]
        with m.If(run):
            m.d.sync += at_start.eq(0)
        with m.If(self.valid & done):
            m.d.sync += [wait.eq(self.rest - 1), waits.eq(self.rest > 1)]
        with m.Elif(waits):
            m.d.sync += [wait.eq(wait - 1), waits.eq(wait != 1)]
        with m.If(self.valid):
            m.d.sync += self.word.eq(Mux(self.last, 0, self.word + 1))
            with m.If(self.last):
                m.d.sync += [
                    self.plane.eq(Mux(last_plane, 0, self.plane + 1)),
                    last_plane.eq(_comes_last(self.plane, last_plane, self.planes)),
                ]
                with m.If(last_plane):
                    m.d.sync += [
                        at_start.eq(1),
                        self.tile.eq(Mux(last_tile, 0, self.tile + 1)),
                        first_tile.eq(last_tile),
                        last_tile.eq(_comes_last(self.tile, last_tile, self.tiles)),
                        self.base.eq(Mux(last_tile, 0, self.base + self.rows)),
                    ]
        return m


def _comes_last(counter: Value, is_last: Value, count: int) -> Value:
    """Return whether the value that follows in a counter of ``count`` is its last."""
    return Mux(is_last, count == 1, counter == count - 2 if count > 1 else 1)
