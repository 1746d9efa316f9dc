"""Reader: what a layer must know of one projection to read it, derived from map and folding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..design.design import DesignPopulation, Folding, divisors
from ..design.reading import (
    WindowPlaces,
    column_order,
    groups_of,
    is_apart,
    is_picked,
    is_turned,
    parallel_inputs,
    places_of,
    reading_places,
    repeats_of,
    word_of,
    zero_train,
)
from ..model.codes import SpikeCode
from ..model.maps import LinearMap, Pooled, Sliding, Window
from ..model.network import INPUT
from .cycles import WHOLE_SAMPLE, Band
from .scatter import Scatter, scatter_of

BANKS = 2  # samples a train buffer holds: one is read while the next arrives


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How a layer reads one projection: whole samples, or windows over the lines of planes.

    Where a map of planes reads another order than the trains come in, they are scattered to where
    they are read, and what is held are whole samples.

    Parameters
    ----------
    source, map
        Of the shape, from which every width, range and cycle is derived.
    held_source, held_map
        The same two of the Design whose numbers lie in the memories.
    folding
        Of the layer.
    source_lanes
        Neurons a word of the incoming train stream.
    skew
        Lines that the other sources of a join ask for, see :mod:`.skew`; 0 for an only source.
    beyond
        Events of what stands outside the planes; ``None`` for those of the value 0.
    """

    source: DesignPopulation
    map: LinearMap
    held_source: DesignPopulation
    held_map: LinearMap
    folding: Folding
    source_lanes: int
    skew: int = 0
    beyond: tuple[int, ...] | None = None

    @property
    def source_code(self) -> SpikeCode:
        assert self.source.code is not None
        return self.source.code

    @property
    def held_code(self) -> SpikeCode:
        assert self.held_source.code is not None
        return self.held_source.code

    @property
    def planes(self) -> int:
        """Reads of a word for all of its T steps."""
        return self.source_code.steps // self.folding.unroll

    @cached_property
    def apart(self) -> bool:
        """Each output channel reads one channel of the source, its own."""
        return is_apart(self.map)

    @property
    def picked(self) -> bool:
        """Which channel an output reads is chosen out of the whole pixel, tile by tile."""
        return is_picked(self.map)

    @property
    def groups(self) -> int:
        """Runs of channels of which each output reads one."""
        return groups_of(self.map)

    @property
    def group_words(self) -> int:
        """Words of a pixel that a tile of a convolution reads: those of its group."""
        return self.pixel_words // self.groups

    @property
    def group_tiles(self) -> int:
        """Tiles of a group, which read the same words."""
        return len(self.weights) // self.groups // self.folding.pe

    @cached_property
    def repeats(self) -> int:
        """Inputs that share a weight: the pixels of a sum, else 1."""
        return repeats_of(self.map)

    @cached_property
    def columns(self) -> np.ndarray:
        """Columns of the map's weights, in the order in which the inputs are read."""
        return column_order(self.map, is_input=self.source.function == INPUT)

    @cached_property
    def weights(self) -> np.ndarray:
        """(outputs, columns) int64, held in memory, columns in the order of :attr:`columns`."""
        weights = self.held_map.weights[:, self.columns]
        if isinstance(self.held_map, Window):
            return weights * (np.array(self.held_map.sources) >= 0)[:, None]
        return weights

    @property
    def inputs(self) -> int:
        """Inputs of an output, within its window."""
        return len(self.columns) * self.repeats

    @property
    def parallel(self) -> int:
        """Inputs of an output that a word holds."""
        return 1 if self.apart else self.folding.simd

    @property
    def words(self) -> int:
        """Words that a tile reads of a window."""
        return self.inputs // self.parallel

    @property
    def rows(self) -> np.ndarray:
        """(outputs, words, simd) weights as the synapses take them, word after word.

        Where outputs read inputs of their own, the weight is the first of the ``simd``; the others
        are 0.
        """
        every = np.tile(self.weights, (1, self.repeats))
        rows = np.zeros((len(every), self.words, self.folding.simd), np.int64)
        rows[:, :, : self.parallel] = every.reshape(len(every), self.words, self.parallel)
        return rows

    @cached_property
    def sums(self) -> np.ndarray:
        """(outputs,) Σ_j W_ij over a window."""
        return self.weights.sum(axis=1) * self.repeats

    @property
    def beyond_planes(self) -> np.ndarray:
        """(outputs, pixels) what the train of 0 adds where windows reach beyond the planes, int64.

        That is the value which neurons settle at for 0, times the weights that lie there.
        """
        pixels = 1 if self.places is None else self.places.count
        zero = self.held_code.zero
        if zero == 0 or self.places is None:
            return np.zeros((len(self.sums), pixels), np.int64)
        within = self.held_map.apply(np.ones((1, *self.held_map.in_shape), np.int64))
        return zero * (self.sums[:, None] - within.reshape(-1, pixels))

    # -- windows -------------------------------------------------------------------------------

    @cached_property
    def places(self) -> WindowPlaces | None:
        """Of the windows; ``None`` for a dense map."""
        return places_of(self.map)

    @property
    def bands(self) -> tuple[Band, ...]:
        """Rows of windows; where whole samples are held, the only line is the sample."""
        if self.places is None:
            return WHOLE_SAMPLE
        if not self.turned:
            return self.places.bands
        last = len(self.places.bands) - 1
        return tuple(
            Band(windows=band.windows, needs=1, frees=int(i == last))
            for i, band in enumerate(self.places.bands)
        )

    @property
    def word(self) -> int:
        """Neurons of a word of the buffer: the simd inputs, or those of all pe outputs."""
        return word_of(self.map, self.folding)

    @property
    def word_options(self) -> list[int]:
        """Words that some folding reads."""
        if self.picked:
            return [self.word]
        return divisors(self.map.channels if self.apart else parallel_inputs(self.map)[0])

    @property
    def pixel_words(self) -> int:
        """Words of a pixel of the source."""
        assert isinstance(self.map, Sliding)
        return self.map.layout.planes[0] // self.word

    @property
    def line_words(self) -> int:
        """Words of a line of the buffer: of the planes, or of the whole sample."""
        if self.places is None:
            return self.words
        return self.places.width * self.pixel_words

    @property
    def lines(self) -> int:
        """Lines that the buffer holds, or samples where it holds whole ones."""
        whole = self.places is None or self.turned
        return max(self.skew, BANKS if whole else self.places.lines)

    # -- another order -------------------------------------------------------------------------

    @cached_property
    def turned(self) -> bool:
        """Trains are read in another order than they come in."""
        is_input = self.source.function == INPUT
        return is_turned(self.map, self.source.shape, is_input=is_input)

    @property
    def taken(self) -> int:
        """Neurons that words of the stream have to fill evenly; 0 where any number serves."""
        return 0 if self.turned else self.word

    @property
    def scatter(self) -> Scatter | None:
        """Where trains of another order go; ``None`` where no nested loops say it."""
        assert isinstance(self.map, Sliding | Pooled)
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
    def scatter_depth(self) -> int:
        """Words of the memory of samples that are scattered."""
        return ((self.lines * self.sample_lines - 1) << self.row_bits) + self.line_words

    @property
    def written(self) -> tuple[int, int, int]:
        """Rows that a line is written in, words of the stream and cycles that each takes.

        Trains that are scattered are written one by one.
        """
        if self.turned:
            return self.source.size // self.source_lanes, 1, self.source_lanes
        return self.line_words, self.word // self.source_lanes, self.planes

    # ------------------------------------------------------------------------------------------

    @property
    def padding_train(self) -> list[int]:
        """Events of what stands outside the planes."""
        if self.beyond is not None:
            return list(self.beyond)
        return zero_train(self.source_code.eta, self.source_code.rest)

    def picks(self, tile: int) -> Sequence[int]:
        """Channels that the outputs of a tile read; any where none is read."""
        assert isinstance(self.map, Window)
        pe = self.folding.pe
        return [max(0, c) for c in self.map.sources[tile * pe : (tile + 1) * pe]]

    def refolded(self, folding: Folding, source_lanes: int) -> "Reader":
        """Return the same, folded otherwise; what is known of the map is handed on."""
        reader = replace(self, folding=folding, source_lanes=source_lanes)
        vars(reader).update({name: vars(self)[name] for name in FACTS if name in vars(self)})
        return reader


# What does not depend on the folding, kept once it is known.
FACTS = ("apart", "repeats", "columns", "weights", "sums", "places", "turned")
