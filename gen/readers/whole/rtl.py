"""RTL of whole samples."""

from typing import Any

from amaranth.hdl import Module

from ....hdl.train_buffer import TrainBuffer
from ....hdl.train_queue import TrainQueue
from ....hdl.train_register import TrainRegister
from ...technology import Technology
from ..rtl import QueueReader, TrainReader, buffer_numbers
from .plan import WholeReader


class WholeSamples(TrainReader[WholeReader]):
    """Read the words of a sample out of a :class:`TrainBuffer`; ports of :class:`TrainReader`."""

    def make_buffer(self, technology: Technology) -> Any:
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
            tiles=reader.tiles,
            repeats=reader.repeats,
            **buffer_numbers(reader, technology),
        )

    def _read(self, m: Module) -> None:
        buffer = self.buffer
        m.d.comb += [
            self.full.eq(buffer.full),
            buffer.release.eq(self.done),
            buffer.read.eq(self.valid),
            self.last.eq(buffer.last),
            self.events.eq(buffer.events),
            self.row.eq(buffer.row),
        ]


class RegisteredSamples(TrainReader[WholeReader]):
    """Read samples of one word out of a :class:`TrainRegister`; ports of :class:`TrainReader`.

    Events stand in the cycle of their place.
    """

    def make_buffer(self, technology: Technology) -> TrainRegister:
        reader = self.reader
        return TrainRegister(
            size=reader.inputs,
            steps=reader.source_code.steps,
            unroll=reader.folding.unroll,
            lanes=reader.source_lanes,
        )

    def _lead_plane(self, m: Module) -> None:
        """Lead nothing: a register moves on step by step as it is read."""

    def _read(self, m: Module) -> None:
        buffer = self.buffer
        m.d.comb += [
            self.full.eq(buffer.full),
            buffer.take.eq(self.valid),
            buffer.release.eq(self.done),
            self.events.eq(buffer.events),
        ]
