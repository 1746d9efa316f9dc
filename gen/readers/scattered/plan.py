"""Numbers of samples that are scattered."""

from typing import Any

from ...cost import (
    Resources,
    address_bits,
    apart_from_adder,
    carry_luts,
    counter_luts,
    multiplexer_luts,
    parts_cost,
)
from ...design.population import DesignPopulation
from ...design.reading import WHOLE_SAMPLE, is_turned, places_of, reading_places
from ...model.maps import Band, LinearMap
from ...model.maps.places import PLAIN
from ...model.network import INPUT
from ...technology import Technology
from ..cost import walk_cost
from ..reader import BANKS, Reader
from .scatter import Scatter, can_scatter, scatter_of


class ScatteredReader(Reader):
    """A map of planes that reads another order than the trains come in.

    Trains are scattered to where they are read, and what is held are whole samples, of which
    windows or all pixels are read.
    """

    kind = "scattered"
    hardware = "ScatteredSamples"

    @classmethod
    def claims(cls, source: DesignPopulation, linear: LinearMap) -> bool:
        places = places_of(linear)
        if places is not None and places.walk != PLAIN:
            return False
        return is_turned(linear, source.shape, is_input=source.function == INPUT)

    @classmethod
    def refuses(cls, source: DesignPopulation, linear: LinearMap) -> str:
        places = reading_places(linear, source.shape, is_input=source.function == INPUT)
        if can_scatter(linear, places):
            return ""
        return (
            f"reads planes in an order that no nested loops make of that in which they come (the "
            f"shape of {source.name!r} is {'x'.join(map(str, source.shape))})"
        )

    @property
    def bands(self) -> tuple[Band, ...]:
        if self.places is None:
            return WHOLE_SAMPLE
        last = len(self.places.bands) - 1
        return tuple(
            Band(windows=band.windows, needs=1, frees=int(i == last))
            for i, band in enumerate(self.places.bands)
        )

    @property
    def line_words(self) -> int:
        """Words of a line of the planes, or of the whole sample."""
        return self.words if self.places is None else self.places.width * self.pixel_words

    @property
    def lines(self) -> int:
        return max(self.skew, BANKS)

    @property
    def written(self) -> tuple[int, int, int]:
        """Words of a sample, each of which is written train by train."""
        return self.source.size // self.source_lanes, 1, self.source_lanes

    @property
    def taken(self) -> int:
        return 0

    @property
    def walk(self) -> dict[str, Any] | None:
        """As of any windows, but that samples are counted, not lines."""
        numbers, places = super().walk, self.places
        if numbers is None or places is None:
            return None
        return numbers | {
            "lines": self.lines * places.height,
            "needs": [band.needs for band in self.bands],
            "releases": [band.frees for band in self.bands],
        }

    @property
    def scatter(self) -> Scatter | None:
        """Where the trains go; ``None`` where no nested loops say it."""
        is_input = self.source.function == INPUT
        places = reading_places(self.map, self.source.shape, is_input=is_input)
        return scatter_of(self.map, places, self.word)

    @property
    def sample_lines(self) -> int:
        """Lines of a sample in the buffer."""
        return 1 if self.places is None else self.places.height

    @property
    def row_bits(self) -> int:
        """Bits of an address that say which word of a line it is."""
        return (self.line_words - 1).bit_length()

    @property
    def depth(self) -> int:
        """Words of the memory."""
        return ((self.lines * self.sample_lines - 1) << self.row_bits) + self.line_words

    def cost(self, technology: Technology) -> Resources:
        return scatter_cost(self, technology)


def scatter_cost(reader: ScatteredReader, technology: Technology) -> Resources:
    """Price a word of trains that leave one by one, loops to their places, memory, plane."""
    steps, word, depth = reader.steps, reader.word, reader.depth
    memory = parts_cost(technology, depth, word, steps)
    place = address_bits(depth) + address_bits(word)
    index = address_bits(reader.source.size * reader.lines)
    lanes, part = reader.source_lanes, address_bits(reader.source_lanes)
    loops = Resources(
        lut=carry_luts(technology, address_bits(depth))
        + 2 * place  # which constant, and the narrow sum
        + 2 * index
        + word,  # which slot
        ff=place + index,
        lone_ff=apart_from_adder(technology, address_bits(depth)),
    )
    entry = Resources(
        lut=(lanes - 1) * steps + counter_luts(lanes) + 10,
        ff=lanes * steps + part + address_bits(reader.lines + 1) + 1,
        lone_ff=steps,
    )
    planes = round(word * reader.unroll * multiplexer_luts(reader.planes))
    chosen = Resources(lut=planes, ff=address_bits(reader.planes))
    if reader.walk is None:
        walk = Resources(lut=counter_luts(reader.lines), ff=address_bits(reader.lines))
    else:
        walk = walk_cost(reader)
    return memory + loops + entry + chosen + walk
