"""Loop counters of a layer: tiles of outputs, time steps, words of inputs."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Sequencer(wiring.Component):
    """Walk a sample tile by tile, step by step, word by word.

    A tile takes planes·period cycles without a pause: in each step ``valid`` is high for the first
    ``words`` cycles. A tile begins only in a cycle in which ``credit`` holds, the first tile of a
    sample only if ``full`` holds too, so nothing behind ever has to stop.

    Parameters
    ----------
    tiles, planes, words
        Loop bounds, outermost first.
    period
        Cycles a step takes, at least ``words``.
    repeats
        How often the rows of the weights are gone through in a step; divides ``words``.

    Members
    -------
    full : In, a sample is there
    credit : In, the results of one more tile can be stored
    valid : Out, a word is read in this cycle
    begin : Out, this is the first cycle of a tile
    tile, plane, word : Out, the indices, valid with ``valid``
    address : Out, tile·rows + word modulo rows, the row of the weights, of words/repeats rows
    first_word, last_word, first_plane, last_plane : Out
    release : Out, the last word of the sample is read in this cycle
    """

    full: Signal
    credit: Signal
    valid: Signal
    begin: Signal
    tile: Signal
    plane: Signal
    word: Signal
    address: Signal
    first_word: Signal
    last_word: Signal
    first_plane: Signal
    last_plane: Signal
    release: Signal

    def __init__(
        self, *, tiles: int, planes: int, words: int, period: int, repeats: int = 1
    ) -> None:
        if min(tiles, planes, words) < 1 or period < words:
            raise ValueError(
                f"a step of {words} words does not fit {period} cycles, or a loop is empty "
                f"({tiles} tiles, {planes} planes)"
            )
        if repeats < 1 or words % repeats:
            raise ValueError(f"repeats must divide {words} words, not {repeats}")
        self.tiles, self.planes, self.words, self.period = tiles, planes, words, period
        self.rows = words // repeats
        super().__init__(
            {
                "full": In(1),
                "credit": In(1),
                "valid": Out(1),
                "begin": Out(1),
                "tile": Out(range(tiles)),
                "plane": Out(range(planes)),
                "word": Out(range(words)),
                "address": Out(range(tiles * self.rows)),
                "first_word": Out(1),
                "last_word": Out(1),
                "first_plane": Out(1),
                "last_plane": Out(1),
                "release": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        cycle = Signal(range(self.period))
        run, base = Signal(), Signal.like(self.address)
        at_start, step_end = Signal(init=1), cycle == self.period - 1
        may = self.credit & (self.full | (self.tile != 0))
        m.d.comb += [
            self.begin.eq(at_start & may),
            run.eq(~at_start | may),
            self.valid.eq(run & (cycle < self.words)),
            self.word.eq(cycle),
            self.first_word.eq(cycle == 0),
            self.last_word.eq(cycle == self.words - 1),
            self.first_plane.eq(self.plane == 0),
            self.last_plane.eq(self.plane == self.planes - 1),
            self.release.eq(
                self.valid & self.last_word & self.last_plane & (self.tile == self.tiles - 1)
            ),
        ]
        with m.If(run):
            m.d.sync += [cycle.eq(Mux(step_end, 0, cycle + 1)), at_start.eq(0)]
            with m.If(self.valid):
                m.d.sync += self.address.eq(self._following(m, base))
            with m.If(step_end):
                m.d.sync += [
                    self.plane.eq(Mux(self.last_plane, 0, self.plane + 1)),
                    self.address.eq(base),
                ]
                with m.If(self.last_plane):
                    last_tile = self.tile == self.tiles - 1
                    following = Mux(last_tile, 0, base + self.rows)
                    m.d.sync += [
                        at_start.eq(1),
                        self.tile.eq(Mux(last_tile, 0, self.tile + 1)),
                        base.eq(following),
                        self.address.eq(following),
                    ]
        return m

    def _following(self, m: Module, base: Signal) -> Value:
        """Return the row of the next word: one on, or the tile's first one again."""
        if self.rows == self.words:
            return self.address + 1
        row = Signal(range(self.rows))
        last_row = row == self.rows - 1
        with m.If(self.valid):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
        return Mux(last_row, base, self.address + 1)
