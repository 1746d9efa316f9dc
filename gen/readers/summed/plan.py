"""Numbers of sums over the pixels of a sample."""

from dataclasses import replace

from ....hdl.words import sum_bits, sum_pace
from ...cost import (
    Resources,
    address_bits,
    apart_from_adder,
    carry_luts,
    counter_luts,
    ram_cost,
    scaled,
)
from ...design.folding import Folding
from ...design.population import DesignPopulation
from ...model.maps import LinearMap
from ...technology import Technology
from ..cost import buffer_cost
from ..reader import Reader, ReaderTiming
from ..whole.plan import WholeReader, can_sum, reads_whole


class SummedReader(WholeReader):
    """A sum of pixels that come in their order: added up as they come, and read as one pixel.

    A train of the binary schedule is a number, and so is the sum over the pixels of a channel: a
    train of more steps. To the layer there are as many inputs as channels.
    """

    kind = "summed"
    hardware = "SummedSamples"
    queue = register = ""  # a sum is read whole, and seldom 0

    @classmethod
    def claims(cls, source: DesignPopulation, linear: LinearMap) -> bool:
        return reads_whole(source, linear) and can_sum(source, linear)

    @classmethod
    def in_turn(cls) -> type[Reader]:
        """Return the reader of all pixels: what takes turns with others has their steps."""
        return WholeReader

    @property
    def repeats(self) -> int:
        return 1

    @property
    def bits(self) -> int:
        """Bits of a sum."""
        return sum_bits(pixels=self.shares, steps=self.source_code.steps)

    def unrolled(self, folding: Folding) -> int:
        """Return the steps that one read returns: a whole sum where it is multiplied."""
        return self.bits if folding.multiplies else folding.unroll

    @property
    def steps(self) -> int:
        """Steps of a sum, in front of which there may be some of nothing."""
        return -(-self.bits // self.unroll) * self.unroll

    @property
    def sum_words(self) -> int:
        """Words of a pixel, as they come."""
        return self.inputs // self.source_lanes

    @property
    def pace(self) -> int:
        """Cycles from one word to the next."""
        return sum_pace(self.sum_words)

    def timing(self, stream: int, end: int) -> ReaderTiming:
        """Describe the reader; words of all pixels but the last are summed up."""
        summed = (self.shares - 1) * self.sum_words
        return replace(super().timing(stream, end), summed=summed, pace=self.pace)

    @property
    def least_cycles(self) -> int:
        return self.shares * self.sum_words * self.pace

    def cost(self, technology: Technology) -> Resources:
        return buffer_cost(self, technology) + sums_cost(self, technology)


def sums_cost(reader: SummedReader, technology: Technology) -> Resources:
    """Price an adder for each train of a word, the sums under way, and which of them is meant."""
    lanes, bits, words = reader.source_lanes, reader.bits, reader.sum_words
    width = lanes * bits
    lane = Resources(
        lut=carry_luts(technology, bits) + bits,  # the sum so far, but for the first pixel
        ff=bits,
        lone_ff=apart_from_adder(technology, bits),
    )
    memory = ram_cost(technology, words, width, technology.ram_style(words, width))
    counts = (words, reader.shares, reader.pace)
    control = Resources(
        lut=sum(counter_luts(n) for n in counts) + address_bits(words) + 4,
        ff=sum(address_bits(n) for n in counts) + address_bits(words) + 2,
        lone_ff=address_bits(words),
    )
    return scaled(lane, lanes) + memory + control
