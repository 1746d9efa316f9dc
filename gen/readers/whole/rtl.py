"""RTL of whole samples."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Out

from ....hdl.train_buffer import TrainBuffer
from ....hdl.train_queue import TrainQueue
from ...technology import Technology
from ..rtl import TrainReader, buffer_numbers
from .plan import WholeReader


class WholeSamples(TrainReader[WholeReader]):
    """Read the words of a sample out of a :class:`TrainBuffer`; ports of :class:`TrainReader`."""

    def make_buffer(self, technology: Technology) -> TrainBuffer:
        reader = self.reader
        return TrainBuffer(
            size=reader.inputs, banks=reader.lines, **buffer_numbers(reader, technology)
        )

    def _read(self, m: Module) -> None:
        buffer = self.buffer
        m.d.comb += [
            self.full.eq(buffer.full),
            buffer.release.eq(self.done),
            buffer.row.eq(self.word),
            self.events.eq(buffer.events),
        ]


class QueuedSamples(TrainReader[WholeReader]):
    """Read the words of a sample that hold an event out of a :class:`TrainQueue`.

    Ports of :class:`TrainReader`, where ``word`` counts the words of a step that hold an event, and
    beside them:

    Members
    -------
    last : Out, no word of the step follows; in the same cycle
    row : Out, of the weights within a tile's, with ``events``
    """

    last: Signal
    row: Signal

    def make_buffer(self, technology: Technology) -> TrainQueue:
        reader = self.reader
        return TrainQueue(
            size=reader.inputs,
            banks=reader.lines,
            repeats=reader.repeats,
            **buffer_numbers(reader, technology),
        )

    def _more_members(self) -> dict[str, Any]:
        return {"last": Out(1), "row": Out(self.buffer.row.shape())}

    def _read(self, m: Module) -> None:
        buffer = self.buffer
        m.d.comb += [
            self.full.eq(buffer.full),
            buffer.release.eq(self.done),
            buffer.place.eq(self.word),
            self.last.eq(buffer.last),
            self.events.eq(buffer.events),
            self.row.eq(buffer.row),
        ]
