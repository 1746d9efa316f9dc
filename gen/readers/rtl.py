"""RTL that all kinds of reader share: ports, the walk of windows, what stands beyond the planes."""

from abc import abstractmethod
from typing import Any, Generic, TypeVar

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.delay import delayed
from ...hdl.window_walk import WindowWalk
from ...hdl.words import buffer_depth
from ..technology import Technology
from .cost import queue_depth, queued_row_bits
from .reader import Reader

Read = TypeVar("Read", bound=Reader)


class TrainReader(wiring.Component, Generic[Read]):
    """Trains of one source, as a layer reads them; numbers from a :class:`Reader`.

    Members
    -------
    trains : In, stream
    full : Out, what the next window reads is there
    valid : In, a word is read
    last_word, tile_done, done : In, it is the source's last of the step, tile, window
    tile, plane, word : In, its place; ``word`` counts those of this source
    events : Out, unroll x (neurons of a word) bits, one cycle later; of a word out of which
        channels are picked, the ``pe`` that are
    """

    trains: stream.Interface
    full: Signal
    valid: Signal
    last_word: Signal
    tile_done: Signal
    done: Signal
    tile: Signal
    plane: Signal
    word: Signal
    events: data.View

    def __init__(self, reader: Read, technology: Technology) -> None:
        self.reader = reader
        self.buffer = self.make_buffer(technology)
        self.walk = None if reader.walk is None else self.make_walk(reader.walk)
        fold = reader.folding
        width = fold.pe if reader.apart else fold.simd
        super().__init__(
            {
                "trains": In(self.buffer.trains.signature.flip()),
                "full": Out(1),
                "valid": In(1),
                "last_word": In(1),
                "tile_done": In(1),
                "done": In(1),
                "tile": In(range(reader.tiles)),
                "plane": In(range(reader.planes)),
                "word": In(range(reader.words)),
                "events": Out(data.ArrayLayout(width, reader.unroll)),
                **self._more_members(),
            }
        )

    @abstractmethod
    def make_buffer(self, technology: Technology) -> Any:
        """Return what holds the trains, with ``trains``, ``release`` and ``events``."""

    def _more_members(self) -> dict[str, Any]:
        """Return the ports of a kind beside those that all have."""
        return {}

    def make_walk(self, numbers: dict[str, Any]) -> WindowWalk:
        """Return what leads over windows, of the numbers that the reader states."""
        return WindowWalk(**numbers)

    @abstractmethod
    def _read(self, m: Module) -> None:
        """Lead places to the buffer, and its events out."""

    @abstractmethod
    def _address(self, line: Signal, row: Signal) -> list:
        """Lead a place of a walk to the buffer."""

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.buffer = buffer = self.buffer
        wiring.connect(m, wiring.flipped(self.trains), buffer.trains)
        self._lead_plane(m)
        self._read(m)
        return m

    def _lead_plane(self, m: Module) -> None:
        """Tell the buffer which plane is read, where it does not know by itself."""
        m.d.comb += self.buffer.plane.eq(self.plane)

    def _walk(self, m: Module) -> None:
        """Read windows, one after the other."""
        buffer, walk = self.buffer, self.walk
        assert walk is not None, "windows are read by a walk"
        m.submodules.walk = walk
        m.d.comb += [
            walk.held.eq(buffer.held),
            walk.valid.eq(self.valid),
            walk.last_word.eq(self.last_word),
            walk.tile_done.eq(self.tile_done),
            walk.done.eq(self.done),
            self.full.eq(walk.full),
            buffer.release.eq(walk.release),
            *self._address(walk.line, walk.row),
        ]
        inside = delayed(m, walk.inside, 1, name="inside", reset_less=True)
        events, padding = self._picked(m), self._padding(m)
        m.d.comb += self.events.eq(Mux(inside, events, padding))

    def _padding(self, m: Module) -> Signal:
        """Events of what stands beyond the planes."""
        reader, unroll = self.reader, self.reader.unroll
        plane = delayed(m, self.plane, 1, name="plane", reset_less=True)
        padding = Signal(self.events.as_value().shape())
        width = len(padding) // unroll
        with m.Switch(plane):
            for p in range(reader.planes):
                bits = reader.padding_train[p * unroll : (p + 1) * unroll]
                with m.Case(p):
                    m.d.comb += padding.eq(Cat(Const(bit, 1).replicate(width) for bit in bits))
        return padding

    def _picked(self, m: Module) -> Value:
        """Return the channels that the outputs of a tile read, out of all of a pixel."""
        events = self.buffer.events
        if not self.reader.picked:
            return events.as_value()
        tile = delayed(m, self.tile, 1, name="tile", reset_less=True)
        picked = Signal(self.events.as_value().shape())
        with m.Switch(tile):
            for t in range(self.reader.tiles):
                with m.Case(t):
                    channels = self.reader.picks(t)
                    m.d.comb += picked.eq(Cat(step[c] for step in events for c in channels))
        return picked


class QueueReader(TrainReader[Read]):
    """Trains of which silent words are left out; ports of :class:`TrainReader` and two more.

    Words follow each other as they are read, and ``events`` come two cycles later.

    Members
    -------
    last : Out, the word is the last of its step; in the same cycle
    row : Out, of the weights within a tile's, one cycle later
    """

    last: Signal
    row: Signal

    def _more_members(self) -> dict[str, Any]:
        reader = self.reader
        return {"last": Out(1), "row": Out(range(reader.words // reader.repeats))}

    def _lead_plane(self, m: Module) -> None:
        """Lead nothing: a queue goes from plane to plane by itself."""


def make_reader(reader: Reader, technology: Technology) -> TrainReader:
    """Return the hardware of a reader."""
    return reader.component()(reader, technology)


def trains_members(readers: list[TrainReader]) -> dict:
    """Ports of the streams that readers take."""
    return {f"trains_{k}": In(reader.trains.signature.flip()) for k, reader in enumerate(readers)}


def buffer_numbers(reader: Reader, technology: Technology) -> dict[str, Any]:
    """Return what train and line buffers take alike."""
    unroll = reader.unroll
    depth = buffer_depth(banks=reader.lines, rows=reader.line_words, planes=reader.planes)
    width = reader.word * unroll
    if reader.folding.skips:
        depth, width = queue_depth(reader), width + queued_row_bits(reader)
    return {
        "simd": reader.word,
        "steps": reader.steps,
        "unroll": unroll,
        "lanes": reader.source_lanes,
        "style": technology.ram_style(depth, width),
    }
