"""RTL of whole samples."""

from amaranth.hdl import Module

from ....hdl.train_buffer import TrainBuffer
from ....hdl.train_queue import TrainQueue
from ...technology import Technology
from ..rtl import QueueReader, TrainReader, buffer_numbers
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


class QueuedSamples(QueueReader[WholeReader]):
    """Read the words of a sample that hold an event out of a :class:`TrainQueue`.

    Ports of :class:`QueueReader`.
    """

    def make_buffer(self, technology: Technology) -> TrainQueue:
        reader = self.reader
        return TrainQueue(
            size=reader.inputs,
            banks=reader.lines,
            repeats=reader.repeats,
            **buffer_numbers(reader, technology),
        )

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
