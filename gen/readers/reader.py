"""Reader: what a kind of reader states, and what a layer must know of any projection to read it.

A kind of reader is a class: it says which projections it reads, what it refuses, and of a folded
one the numbers, the RTL, the timing and the cost. :mod:`.kinds` is the only place that knows all.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from ..cost import Resources
from ..design.folding import Folding, divisors
from ..design.population import DesignPopulation
from ..design.reading import (
    WHOLE_SAMPLE,
    places_of,
    word_of,
)
from ..facts import Facts, fact
from ..hardware import hardware_of
from ..model.codes import RateCode, SpikeCode
from ..model.maps import Band, LinearMap, WindowPlaces
from ..model.network import INPUT
from ..technology import Technology

BANKS = 2  # samples a train buffer holds: one is read while the next arrives
QUEUE_AHEAD = 3  # cycles from a sample that a queue holds to its first word: the walk of its lists


@dataclass(frozen=True, kw_only=True)
class ReaderTiming:
    """What the cycle model must know of how a layer reads one source.

    Parameters
    ----------
    stream
        Where the trains come from: 0 the input, n + 1 the layer number n.
    rows, parts
        Of the buffer: rows of a line, incoming words a row. Of one that scatters single trains, a
        row is an incoming word.
    banks
        Lines the buffer holds; 0 where the register in which a line arrives is read as it is.
    bands
        Rows of windows in order; the last is done with all lines of a sample.
    summed, pace
        Words of a sample that are summed up and leave nothing in the buffer, in front of those of
        its lines; cycles from one word to the next where there are such words.
    end
        Words of a step that are read when this source's have been.
    writes
        Cycles that a row takes to be written; ``None`` for those of the layer's planes.
    opens
        Cycles from when a line is written to when it can be read, beyond the next.
    """

    stream: int
    rows: int
    parts: int
    banks: int
    end: int
    bands: tuple[Band, ...] = WHOLE_SAMPLE
    writes: int | None = None
    summed: int = 0
    pace: int = 1
    opens: int = 0

    @property
    def lines(self) -> int:
        """Lines of a sample."""
        return self.bands[-1].frees


@dataclass(frozen=True, kw_only=True)
class Reader(ABC):
    """How a layer reads one projection; every kind of reader is a class of its own.

    Parameters
    ----------
    source, map
        Of the shape, from which every width, range and cycle is derived.
    held_source, held_map
        The two of the Design whose numbers lie in the memories.
    folding
        Of the layer.
    source_lanes
        Neurons a word of the incoming train stream.
    skew
        Lines that the other sources of a join ask for, see :mod:`..core.skew`; 0 for an only
        source.
    beyond
        Events of what stands outside the planes; ``None`` for those of the value 0.
    facts
        What does not depend on the folding.
    """

    source: DesignPopulation
    map: LinearMap
    held_source: DesignPopulation
    held_map: LinearMap
    folding: Folding
    source_lanes: int = 1
    skew: int = 0
    beyond: tuple[int, ...] | None = None
    facts: Facts = field(default_factory=Facts, repr=False, compare=False)

    kind: ClassVar[str]
    hardware: ClassVar[str]  # class in the module rtl beside the kind
    queue: ClassVar[str] = ""  # the class there that leaves silent words out; empty for none
    register: ClassVar[str] = ""  # the class there that is read as the trains arrive; likewise

    def __post_init__(self) -> None:
        of = self.facts.of(self.source, self.map, self.held_source, self.held_map)
        object.__setattr__(self, "facts", of)

    # -- what a kind states --------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def claims(cls, source: DesignPopulation, linear: LinearMap) -> bool:
        """Whether this kind reads such a map of such a source; one kind does."""

    @classmethod
    def refuses(cls, source: DesignPopulation, linear: LinearMap) -> str:
        """Return what it has no hardware for, as the end of a sentence; empty for nothing."""
        return ""

    @classmethod
    def in_turn(cls) -> "type[Reader]":
        """Return the kind that reads the same where several readers take turns in every step."""
        return cls

    @property
    @abstractmethod
    def bands(self) -> tuple[Band, ...]:
        """Rows of windows; where whole samples are held, the only line is the sample."""

    @property
    @abstractmethod
    def line_words(self) -> int:
        """Words of a line of the buffer."""

    @property
    @abstractmethod
    def lines(self) -> int:
        """Lines that the buffer holds, or samples where it holds whole ones."""

    @property
    def written(self) -> tuple[int, int, int]:
        """Rows that a line is written in, words of the stream and cycles that each takes."""
        return self.line_words, self.word // self.source_lanes, self.planes

    @property
    def taken(self) -> int:
        """Neurons that words of the stream have to fill evenly; 0 where any number serves."""
        return self.word

    @property
    def is_register(self) -> bool:
        """Whether the one word of a sample is read out of the register in which it arrives.

        That is where weights are logic. Where a join holds some of its sources for others, there
        has to be room for more words.
        """
        alone = self.skew == 0 and self.words == 1
        return bool(self.register) and self.folding.is_logic and alone

    @property
    def latency(self) -> int:
        """Cycles from a place to its events; a queue clears those of an empty list."""
        return 2 if self.folding.skips else 0 if self.is_register else 1

    @property
    def least_cycles(self) -> int:
        """Cycles in which a sample is written into the buffer, whatever the layer does."""
        rows, parts, writes = self.written
        return self.bands[-1].frees * rows * (parts + writes - 1)

    def component(self) -> Any:
        """Return the hardware's class, a :class:`.rtl.TrainReader`."""
        what = "queue" if self.folding.skips else "register" if self.is_register else "hardware"
        return hardware_of(type(self), what)

    @abstractmethod
    def cost(self, technology: Technology) -> Resources:
        """Price the buffer and what leads its words out."""

    def busy(self, events: np.ndarray) -> np.ndarray:
        """Return how many words of each window hold an event, where silent ones can be left out.

        Parameters
        ----------
        events
            (samples, T, neurons) bool of the source, neurons in the order in which they are sent.

        Returns
        -------
        (samples, windows, planes) int64.
        """
        raise TypeError(f"readers of the kind {self.kind!r} leave no word out")

    # -- what all kinds have -------------------------------------------------------------------

    def timing(self, stream: int, end: int) -> ReaderTiming:
        """Describe the reader to the cycle model; see :class:`ReaderTiming`."""
        rows, parts, writes = self.written
        return ReaderTiming(
            stream=stream,
            rows=rows,
            parts=parts,
            banks=self.lines,
            bands=self.bands,
            end=end,
            writes=writes,
            opens=QUEUE_AHEAD if self.folding.skips else 0,
        )

    @property
    def source_code(self) -> SpikeCode | RateCode:
        return self.source.train_code

    @property
    def held_code(self) -> SpikeCode | RateCode:
        return self.held_source.train_code

    @property
    def steps(self) -> int:
        """Steps of the trains as they are read: T of the source."""
        return self.source_code.steps

    @property
    def unroll(self) -> int:
        """Steps that one read returns."""
        return self.unrolled(self.folding)

    def unrolled(self, folding: Folding) -> int:
        """Return the steps that one read returns where the layer is folded so."""
        return folding.unroll

    @property
    def planes(self) -> int:
        """Reads of a word for all of its steps."""
        return self.steps // self.unroll

    @fact
    def apart(self) -> bool:
        """Each output channel reads one channel of the source, its own."""
        return self.map.apart

    @property
    def picked(self) -> bool:
        """Which channel an output reads is chosen out of the whole pixel, tile by tile."""
        return self.map.picked

    @property
    def groups(self) -> int:
        """Runs of channels of which each output reads one."""
        return self.map.runs

    @property
    def group_words(self) -> int:
        """Words of a pixel that a tile of a convolution reads: those of its group."""
        return self.pixel_words // self.groups

    @property
    def tiles(self) -> int:
        """Tiles of a window."""
        return len(self.weights) // self.folding.pe

    @property
    def group_tiles(self) -> int:
        """Tiles of a group, which read the same words."""
        return len(self.weights) // self.groups // self.folding.pe

    @fact
    def shares(self) -> int:
        """Inputs that share a weight: the pixels of a sum, else 1."""
        return self.map.repeats

    @property
    def repeats(self) -> int:
        """How many times a window's weights are gone through: once for each input of a share."""
        return self.shares

    @fact
    def columns(self) -> np.ndarray:
        """Columns of the map's weights, in the order in which the inputs are read."""
        return self.map.columns(is_input=self.source.function == INPUT)

    @fact
    def weights(self) -> np.ndarray:
        """(outputs, columns) int64, held in memory, columns in the order of :attr:`columns`."""
        return self.held_map.weights[:, self.columns] * self.held_map.known[:, None]

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

    @fact
    def sums(self) -> np.ndarray:
        """(outputs,) Σ_j W_ij over a window."""
        return self.weights.sum(axis=1) * self.shares

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

    @fact
    def places(self) -> WindowPlaces | None:
        """Of the windows; ``None`` where whole samples are read."""
        return places_of(self.map)

    @property
    def word(self) -> int:
        """Neurons of a word of the buffer: the simd inputs, or those of all pe outputs."""
        return word_of(self.map, self.folding)

    @property
    def word_options(self) -> list[int]:
        """Words that some folding reads."""
        if self.picked:
            return [self.word]
        return divisors(self.map.channels if self.apart else self.map.parallel_inputs[0])

    @property
    def pixel_words(self) -> int:
        """Words of a pixel of the source."""
        assert self.map.sees is not None
        return self.map.sees.planes[0] // self.word

    @property
    def padding_train(self) -> list[int]:
        """Events of what stands outside the planes."""
        if self.beyond is not None:
            return list(self.beyond)
        return [int(event) for event in self.source.spike_code.trains(0)]

    def picks(self, tile: int) -> Sequence[int]:
        """Channels that the outputs of a tile read; any where none is read."""
        pe = self.folding.pe
        return self.map.sources_of_weights[tile * pe : (tile + 1) * pe, 0].tolist()

    def refolded(self, folding: Folding, source_lanes: int) -> Self:
        """Return the reader folded otherwise."""
        return replace(self, folding=folding, source_lanes=source_lanes)

    @property
    def walk(self) -> dict[str, Any] | None:
        """Numbers of the walk of windows over the lines, see :class:`hdl.window_walk.WindowWalk`.

        ``None`` where whole samples are read.
        """
        places = self.places
        if places is None:
            return None
        grouped = self.groups > 1
        return {
            "lines": self.lines,
            "height": places.height,
            "width": places.width,
            "depth": self.pixel_words,
            "size": places.size,
            "stride": places.stride,
            "padding": places.padding,
            "positions": places.positions,
            "needs": places.needs,
            "releases": places.releases,
            "apart": grouped or (self.apart and not self.picked),
            "own": self.group_words if grouped else 1,
            "tiles": self.group_tiles if grouped else 1,
        }
