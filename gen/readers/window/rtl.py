"""RTL of windows over lines."""

from amaranth.hdl import Module, Signal

from ....hdl.line_buffer import LineBuffer
from ...technology import Technology
from ..rtl import TrainReader, buffer_numbers
from .plan import WindowReader


class Windows(TrainReader[WindowReader]):
    """Read windows out of a :class:`LineBuffer`; ports of :class:`TrainReader`."""

    def make_buffer(self, technology: Technology) -> LineBuffer:
        reader = self.reader
        return LineBuffer(
            rows=reader.line_words, lines=reader.lines, **buffer_numbers(reader, technology)
        )

    def _read(self, m: Module) -> None:
        self._walk(m)

    def _address(self, line: Signal, row: Signal) -> list:
        return [self.buffer.line.eq(line), self.buffer.row.eq(row)]
