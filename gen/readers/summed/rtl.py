"""RTL of sums over the pixels of a sample."""

from typing import Any

from ....hdl.sum_buffer import SumBuffer
from ...technology import Technology
from ..rtl import buffer_numbers
from ..whole.rtl import WholeSamples
from .plan import SummedReader


class SummedSamples(WholeSamples):
    """Read the sums of a sample out of a :class:`SumBuffer`; ports of :class:`TrainReader`."""

    reader: SummedReader

    def make_buffer(self, technology: Technology) -> Any:
        reader = self.reader
        numbers = buffer_numbers(reader, technology)
        sum_width = reader.source_lanes * reader.bits
        return SumBuffer(
            channels=reader.inputs,
            pixels=reader.shares,
            banks=reader.lines,
            sum_steps=numbers.pop("steps"),
            steps=reader.source_code.steps,
            sum_style=technology.ram_style(reader.sum_words, sum_width),
            **numbers,
        )
