"""RTL of samples that are scattered."""

from amaranth.hdl import Cat, Module, Mux, Signal

from ....hdl.scatter_buffer import ScatterBuffer
from ...technology import Technology
from ..rtl import TrainReader
from .plan import ScatteredReader


class ScatteredSamples(TrainReader[ScatteredReader]):
    """Read windows or all pixels out of a :class:`ScatterBuffer`; ports of :class:`TrainReader`."""

    def make_buffer(self, technology: Technology) -> ScatterBuffer:
        reader, steps = self.reader, self.reader.steps
        scatter = reader.scatter
        assert scatter is not None  # else the kind has refused it
        return ScatterBuffer(
            counts=scatter.counts,
            strides=scatter.addresses(reader.row_bits),
            depth=reader.depth,
            bank=reader.sample_lines << reader.row_bits,
            banks=reader.lines,
            simd=reader.word,
            steps=steps,
            unroll=reader.unroll,
            lanes=reader.source_lanes,
            style=technology.parts_style(reader.depth, reader.word, steps),
        )

    def _read(self, m: Module) -> None:
        if self.walk is not None:
            self._walk(m)
            return
        buffer, bank = self.buffer, Signal(range(self.reader.lines))
        full, place = buffer.held != 0, self._address(bank, self.word)
        with m.If(self.done):
            m.d.sync += bank.eq(Mux(bank == buffer.banks - 1, 0, bank + 1))
        m.d.comb += [
            self.full.eq(full),
            buffer.release.eq(self.done),
            *place,
            self.events.eq(buffer.events),
        ]

    def _address(self, line: Signal, row: Signal) -> list:
        return [self.buffer.address.eq(Cat(row[: self.reader.row_bits], line))]
