"""Plan: what a kind of layer states, and the numbers that every layer's hardware has.

A kind of layer is a class. Of a population it says whether it claims it and what it refuses; of a
folded one it is the plan: numbers from which RTL, cycle model and estimate are made, so that they
speak of the same machine. :mod:`.kinds` is the only place that knows all kinds.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from math import ceil, gcd
from typing import Any, ClassVar, Self

import numpy as np

from ...hdl.constant_sums import Group, groups_of, logic_depth, logic_latency
from ...hdl.words import packed_width
from ..cost import Resources
from ..design.activity import Activity
from ..design.border import Border, border_of, pixel_biases
from ..design.design import Design
from ..design.folding import BLOCK, EVENTS, LOGIC, LUT, MULTIPLY, Folding, divisors
from ..design.parallel import synapse_of
from ..design.population import DesignPopulation, DesignProjection, bits_for
from ..design.reading import parallel_of, parallel_outputs, word_of
from ..facts import Facts, fact
from ..hardware import hardware_of
from ..model.codes import RateCode, SpikeCode
from ..model.maps import Band, LinearMap, raster_order
from ..readers.kinds import reader_kind
from ..readers.reader import Reader
from ..technology import Technology
from .cycles import LayerTiming
from .observation import TOTAL, Observation, X, trains_of

# Cycles for which the results of a tile may be under way; with too few the layer would pause
# between tiles, never err.
PIPELINE_ALLOWANCE = 32
# Words that hold events, of all, up to which a search looks into skipping the others.
LEAST_SILENCE = 0.9
# A weighted integrator or an overlapped neuron takes a group again after so many cycles.
FEEDBACK_CYCLES = 3


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the plan of a layer is made of.

    Parameters
    ----------
    design
        The shape, from which every width, range and cycle is derived.
    population
        Of the shape.
    stored
        Populations of the Design whose numbers lie in the memories, by name.
    technology
        Device family.
    """

    design: Design
    population: DesignPopulation
    stored: Mapping[str, DesignPopulation]
    technology: Technology

    @property
    def held(self) -> DesignPopulation:
        """The population whose numbers lie in the memories."""
        return self.stored[self.population.name]

    @property
    def folding(self) -> Folding:
        folding = self.population.folding
        assert folding is not None  # else check_hardware has refused it
        return folding

    def integrator_bound(self, operand: int = 0) -> int:
        """Return the greatest |X| that an operand's integrators hold."""
        return self.design.integrator_bound(self.population, operand) << self.design.headroom

    def readers(self, operand: int = 0) -> tuple[Reader, ...]:
        """Return what reads the projections of an operand."""
        each = [p.operands[operand].projections for p in (self.population, self.held)]
        joined = len(each[0]) > 1
        return tuple(self._reader(of, held, joined) for of, held in zip(*each, strict=True))

    def _reader(self, of: DesignProjection, held: DesignProjection, joined: bool) -> Reader:
        source = self.design[of.source]
        kind = reader_kind(source, of.map)
        return (kind.in_turn() if joined else kind)(
            source=source,
            map=of.map,
            held_source=self.stored[held.source],
            held_map=held.map,
            folding=self.folding,
        )


@dataclass(frozen=True, kw_only=True)
class LayerPlan(ABC):
    """One layer: readers, synapses, integrators, neurons or read-out; a class for every kind.

    A dense layer reads whole samples; a layer of planes reads windows, one after the other, and
    computes for each what a dense layer computes for a sample. A join sums several projections: its
    readers take turns within every step, so that one set of synapses and integrators does for all.

    Parameters
    ----------
    population
        Of the shape, from which every width, range and cycle is derived; operand 0 is computed.
    held
        The population of the Design whose numbers lie in the memories.
    readers
        One for each projection of the operand.
    folding
        pe, simd, unroll.
    x_bound
        Greatest possible |X|, see :meth:`Design.integrator_bound`, and of any with the headroom.
    headroom
        Bits by which sums may be greater than those of the shape's weights.
    overlapped
        Firing mode.
    weighted
        Step sums go through a multiplier by η; else the schedule is binary and shifts do.
    lanes
        Outputs that leave together.
    period
        Cycles a step of a tile takes.
    technology
        Device family.
    activity
        Words of the source that were counted to hold events; ``None`` where none were.
    facts
        What does not depend on the folding.
    """

    population: DesignPopulation
    held: DesignPopulation
    readers: tuple[Reader, ...]
    folding: Folding
    x_bound: int
    overlapped: bool
    weighted: bool
    lanes: int = 1
    period: int = 1
    headroom: int = 0
    technology: Technology
    activity: Activity | None = None
    facts: Facts = field(default_factory=Facts, repr=False, compare=False)

    kind: ClassVar[str]
    hardware: ClassVar[str]  # class in the module rtl beside the kind

    def __post_init__(self) -> None:
        of = self.facts.of(self.population, self.held, *(reader.map for reader in self.readers))
        object.__setattr__(self, "facts", of)

    # -- what a kind states --------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def claims(cls, design: Design, population: DesignPopulation) -> bool:
        """Whether a population is of this kind; every population is of one."""

    @classmethod
    def refuses_network(cls, design: Design) -> str | None:
        """Return why no layer of this kind can be in a Design, in one sentence."""
        return None

    @classmethod
    @abstractmethod
    def refuses(cls, design: Design, population: DesignPopulation) -> str:
        """Return what it has no hardware for, as the end of a sentence; empty for nothing."""

    @classmethod
    def of(cls, given: Given, **numbers: Any) -> Self:
        """Return the plan, but for what its neighbours decide: lanes, period, skew.

        ``numbers`` take the place of those that a sum of trains has.
        """
        readers = numbers.pop("readers", None) or given.readers()
        overlapped = given.design.firing == "overlapped"
        usual = {
            "population": given.population,
            "held": given.held,
            "folding": given.folding,
            "x_bound": given.integrator_bound(),
            "headroom": given.design.headroom,
            "overlapped": overlapped,
            "weighted": overlapped or not readers[0].source_code.is_binary,
            "technology": given.technology,
            "activity": given.design.activity.get(readers[0].source.name),
        }
        return cls(readers=readers, **usual | numbers)

    def component(self) -> Any:
        """Return the hardware's class, a :class:`.rtl.LayerComponent`, which knows the timing."""
        return hardware_of(type(self), self.built_as)

    @property
    def built_as(self) -> str:
        """The attribute that names the hardware's class."""
        return "hardware"

    @abstractmethod
    def cost(self) -> dict[str, Resources]:
        """Resources by part."""

    @abstractmethod
    def differences(self) -> Iterator[str]:
        """Yield what of the numbers that are held does not fit into hardware of the shape."""

    def crowded(self) -> tuple[np.ndarray, ...]:
        """Return of each operand, (outputs,), how full its registers may get; 1 is just full.

        Nothing for a kind that sums nothing. See :func:`.fit.crowding`.
        """
        return ()

    def crowded_targets(self) -> float:
        """Return how full the registers of targets may get; 1 is just full."""
        return 0.0

    @abstractmethod
    def observations(self) -> tuple[Observation, ...]:
        """Return what of it is observed: ports of the RTL, and probes of the cycle check."""

    @property
    def sums_seen(self) -> tuple[Observation, ...]:
        """The accumulators after every step."""
        return (
            Observation(
                quantity="sum",
                when=TOTAL,
                valid="total_valid",
                port="total",
                lanes=self.folding.pe,
                bits=self.total_width,
            ),
        )

    @property
    def integrators_seen(self) -> tuple[Observation, ...]:
        """The accumulators, and X of every group."""
        x = Observation(
            quantity="integrator",
            when=X,
            valid="x_valid",
            port="x",
            lanes=self.lanes,
            bits=self.x_width,
        )
        return (*self.sums_seen, x)

    @property
    def trains_seen(self) -> Observation:
        """The trains that leave."""
        return trains_of(self.lanes, self.population.train_code.steps)

    @property
    def parts(self) -> "tuple[LayerPlan, ...]":
        """Layers within the layer, which are observed too; ``operand_1`` and so on in hardware."""
        return ()

    def timing(self, streams: Mapping[str, int]) -> LayerTiming:
        """Describe the layer to the cycle model; ``streams`` are the numbers of populations."""
        return self.component().timing(self, streams)

    @property
    def together(self) -> bool:
        """Several steps of a train may be taken at once."""
        return not self.weighted

    def ways(self, synapses: Sequence[str]) -> list[tuple[str, int]]:
        """Return how weights may meet inputs: (synapse, unroll), of the ``synapses`` that may be.

        Multipliers take all steps of a train at once. A layer whose weights can meet inputs in none
        of these ways takes events.
        """
        steps = self.source_code.steps
        possible = dict.fromkeys(synapse_of(self.population, synapse) for synapse in synapses)
        found: list[tuple[str, int]] = []
        for synapse in possible:
            if synapse in (EVENTS, LOGIC):
                unrolls = divisors(steps) if self.together else [1]
                found += [(synapse, unroll) for unroll in unrolls]
            elif self.together:
                found.append((synapse, steps))
        return found

    @property
    def pace(self) -> int:
        """Cycles between two groups of results: T where neurons fire settled, 1 overlapped."""
        return 1 if self.overlapped else self.population.train_code.steps

    def pace_of(self, lanes: int) -> int:
        """Return :attr:`pace` where so many results leave together."""
        return self.pace

    def lane_options(self, following: int) -> list[int]:
        """Return how many results may leave together where ``following`` are read at a time."""
        return [lanes for lanes in divisors(self.folding.pe) if following % lanes == 0]

    def holds(self, wanted: "LayerPlan") -> bool:
        """Whether what another plan of this layer needs lies within the widths of this one."""
        return wanted.x_width <= self.x_width and wanted.total_width <= self.total_width

    # -- loops ---------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.population.name

    @property
    def is_join(self) -> bool:
        """Whether several projections are summed."""
        return len(self.readers) > 1

    @property
    def outputs(self) -> int:
        """Outputs of a window; of a dense layer, all."""
        return self.weights.shape[0]

    @property
    def tiles(self) -> int:
        return self.outputs // self.folding.pe

    @property
    def words(self) -> int:
        """Words that a tile reads of a window, of all sources."""
        return sum(reader.words for reader in self.readers)

    @property
    def ends(self) -> tuple[int, ...]:
        """For each reader, how many words of a step are read when it is done."""
        return tuple(accumulate(reader.words for reader in self.readers))

    @property
    def windows(self) -> int:
        """Windows of a sample; 1 for a dense layer, which reads all of it."""
        return sum(band.windows for band in self.bands)

    @property
    def unroll(self) -> int:
        """Steps that synapses take at once: those of the folding, or as many as a reader gives."""
        return self.readers[0].unrolled(self.folding)

    @property
    def planes(self) -> int:
        """Reads of a word for all of its steps."""
        return self.readers[0].planes

    @property
    def groups(self) -> int:
        """Words of results a tile gives."""
        return self.folding.pe // self.lanes

    @property
    def can_skip(self) -> bool:
        """Whether words without an event can be left out: of an only source that is read whole.

        Weights as logic meet all words at once.
        """
        if self.is_join or self.apart or self.folding.is_logic:
            return False
        return bool(self.readers[0].queue)

    @property
    def skips(self) -> bool:
        """Words without an event are left out, so that cycles depend on the sample."""
        return self.folding.skips

    @property
    def rest(self) -> int:
        """Cycles between two last words whose sums leave: of tiles, or of steps if weighted."""
        drain = self.groups * self.pace
        return max(drain, FEEDBACK_CYCLES) if self.weighted else drain

    @property
    def read_words(self) -> int:
        """Words that a step reads; on average over the samples that were counted where it skips."""
        if not self.skips or self.activity is None:
            return self.words
        read = self.activity.read(self.readers[0].word, self.folding.unroll)
        return -int(-read // self.planes)

    def saves(self, folding: Folding) -> bool:
        """Whether enough words were counted to be silent that a folding should skip them."""
        if self.activity is None:
            return False
        word = word_of(self.map, folding)
        words = self.source.size // word * (self.source_code.steps // folding.unroll)
        return self.activity.read(word, folding.unroll) <= LEAST_SILENCE * words

    @property
    def tile_cycles(self) -> int:
        """Cycles of a tile; see :attr:`read_words` where silent words are skipped."""
        return self.planes * self.period

    @property
    def interval(self) -> int:
        """Cycles a sample keeps the synapses busy, or a buffer; on average where it skips words."""
        buffers = (reader.least_cycles for reader in self.readers)
        return max(self.windows * self.tiles * self._mean_tile_cycles, *buffers, 0)

    @property
    def _mean_tile_cycles(self) -> int:
        """Of the samples that were counted; each waits for results, however little it reads."""
        if not self.skips or self.activity is None:
            return self.tile_cycles
        read = self.activity.busy(self.readers[0].word, self.folding.unroll)
        rest = self.rest
        each = np.maximum(read, rest).sum(1) if self.weighted else np.maximum(read.sum(1), rest)
        return ceil(each.mean())

    @property
    def fifo_depth(self) -> int:
        """Words between the neurons and the next layer; room for every tile under way."""
        under_way = -(-(self.allowance + self.groups * self.pace) // self.tile_cycles)
        return self.groups * (1 + under_way)

    @property
    def allowance(self) -> int:
        """Cycles for which the results of a tile may be under way, see PIPELINE_ALLOWANCE."""
        return PIPELINE_ALLOWANCE

    @property
    def short_allowance(self) -> int:
        """The same where little follows the sums of weights as logic: that, and a wait for room."""
        return 12 + logic_latency(depth=self.constant_depth, unroll=self.folding.unroll)

    @property
    def queue_cycles(self) -> int:
        """Cycles from a result's entering the FIFO to the first in which it may leave."""
        return 1

    @property
    def result_bits(self) -> int:
        """Bits of a word of results: a train for each lane."""
        return self.lanes * self.population.train_code.steps

    @property
    def order(self) -> np.ndarray:
        """Neurons in the order in which they are computed."""
        return raster_order(self.population.shape)

    # -- the first projection, which is the only one but in a join -----------------------------

    @property
    def source(self) -> DesignPopulation:
        return self.readers[0].source

    @property
    def source_code(self) -> SpikeCode | RateCode:
        """Of all sources the same, but for its rest."""
        return self.readers[0].source_code

    @property
    def source_lanes(self) -> int:
        return self.readers[0].source_lanes

    @property
    def map(self) -> LinearMap:
        return self.readers[0].map

    @property
    def bands(self) -> tuple[Band, ...]:
        return self.readers[0].bands

    # -- foldings ------------------------------------------------------------------------------

    @property
    def pe_options(self) -> list[int]:
        """Numbers of outputs that can be computed in parallel."""
        return divisors(parallel_outputs([reader.map for reader in self.readers])[0])

    @property
    def simd_options(self) -> list[int]:
        """Numbers of inputs that can be read in parallel."""
        return divisors(parallel_of([reader.map for reader in self.readers])[0])

    @property
    def word_options(self) -> list[int]:
        """Words that some folding of this layer reads of one source or another."""
        return sorted({word for reader in self.readers for word in reader.word_options})

    def reader_foldings(self, folding: Folding) -> list[Folding]:
        """Return how each reader is folded where the layer is folded so."""
        return [folding] * len(self.readers)

    def refolded(self, folding: Folding, *, source_lanes: int | Sequence[int], simd: int) -> Self:
        """Return the plan of the layer folded otherwise.

        ``source_lanes`` are the lanes of each source; one number stands for the most that all
        readers can take. ``simd`` is what the next layer reads at a time.
        """
        foldings = self.reader_foldings(folding)
        if isinstance(source_lanes, int):
            words = (word_of(r.map, f) for r, f in zip(self.readers, foldings, strict=True))
            source_lanes = [gcd(source_lanes, word) for word in words]
        readers = tuple(
            reader.refolded(own, lanes)
            for reader, own, lanes in zip(self.readers, foldings, source_lanes, strict=True)
        )
        bare = replace(self, folding=folding, readers=readers)
        lanes, period = bare.fewest_lanes(simd)
        return replace(bare, lanes=lanes, period=period)

    def fewest_lanes(self, following: int) -> tuple[int, int]:
        """Return result lanes and step period: the fewest lanes that do not lengthen the period.

        ``following`` is what the next layer reads at a time, which the lanes have to fill evenly; 0
        where it takes any number.
        """

        def period(lanes: int) -> int:
            drain = self.folding.pe // lanes * self.pace_of(lanes)
            if self.weighted:
                return max(self.read_words, drain, FEEDBACK_CYCLES)
            return max(self.read_words, -(-drain // self.planes))

        lanes = min(self.lane_options(following), key=lambda lanes: (period(lanes), lanes))
        return lanes, period(lanes)

    # -- synapses ------------------------------------------------------------------------------

    @fact
    def constant_sums(self) -> tuple[tuple[Group, ...], ...]:
        """(outputs,) groups of inputs and weights, where weights are logic; those that are held."""
        return tuple(tuple(groups_of(row)) for row in self.weights.tolist())

    @fact
    def constant_depth(self) -> int:
        """Levels of adders behind the groups of the output that has most."""
        return logic_depth(self.weights.tolist())

    @cached_property
    def weights(self) -> np.ndarray:
        """(outputs, columns) int64, held in memory, in the order in which the inputs are read."""
        if not self.is_join:
            return self.readers[0].weights
        rows = np.concatenate([reader.rows for reader in self.readers], axis=1)
        return rows.reshape(len(rows), -1)

    @fact
    def weight_bits(self) -> int:
        """Bits of a weight; of a join, of those for which inputs come in parallel."""
        projections = self.population.operands[0].projections
        shared = [
            q for q, r in zip(projections, self.readers, strict=True) if not r.apart
        ] or projections
        return max(q.weight_bits for q in shared)

    @fact
    def first_bits(self) -> int:
        """Bits of the first of the ``simd`` weights, which inputs of an output's own meet too."""
        return max(q.weight_bits for q in self.population.operands[0].projections)

    @property
    def word_bits(self) -> int:
        """Bits of a word of weights."""
        fold = self.folding
        return fold.pe * (self.first_bits + (fold.simd - 1) * self.weight_bits)

    @property
    def repeats(self) -> int:
        """How many times a tile goes through its weights; in a join, once."""
        return 1 if self.is_join else self.readers[0].repeats

    @property
    def shares(self) -> int:
        """Inputs that share a weight in memory; in a join, none do."""
        return 1 if self.is_join else self.readers[0].shares

    @property
    def weight_words(self) -> int:
        """Words of weights of a tile, gone through ``repeats`` times."""
        return self.words // self.repeats

    @property
    def weight_style(self) -> str:
        """Where the weights lie, ``block`` or ``logic``."""
        words, chosen = self.tiles * self.weight_words, {BLOCK: "block", LUT: "logic"}
        by_rate = self.technology.rom_style(words, self.word_bits)
        return chosen.get(self.folding.rom, by_rate)

    @property
    def weight_rows(self) -> np.ndarray:
        """(tiles, weight words, pe, simd) weights as they lie in memory, word after word."""
        fold = self.folding
        rows = self.weights.reshape(self.tiles, fold.pe, self.weight_words, fold.simd)
        return rows.transpose(0, 2, 1, 3)

    @fact
    def apart(self) -> bool:
        """Some outputs' inputs are their own: each output channel reads one channel."""
        return any(reader.apart for reader in self.readers)

    @cached_property
    def packed(self) -> int:
        """Outputs that share a multiplier of a DSP block; 0 where weights meet inputs in LUTs.

        As many as a block holds side by side; one where a weight is -2^(b-1), as a weight beside it
        may borrow one. Factors that no one trained (pooling) need no block.
        """
        folding, bits = self.folding, self.weight_bits
        if folding.synapse != MULTIPLY or all(reader.map.fixed for reader in self.readers):
            return 0

        def taken(outputs: int) -> bool:
            width = packed_width(weight_bits=bits, unroll=self.unroll, packed=outputs)
            return self.technology.takes_product(width, self.unroll + 1)

        least = min(int(reader.map.weights.min(initial=0)) for reader in self.readers)
        most = 1 if self.apart or least == -(2 ** (bits - 1)) else folding.pe
        for blocks in range(-(-folding.pe // most), folding.pe + 1):
            # About evenly shared: some take one more than the others.
            least, greatest = folding.pe // blocks, -(-folding.pe // blocks)
            if taken(least) and taken(greatest):
                return greatest
        return 0

    # -- integers ------------------------------------------------------------------------------

    @property
    def x_width(self) -> int:
        return bits_for(-self.x_bound, self.x_bound)

    @fact
    def sum_range(self) -> tuple[int, int]:
        """Least and greatest Σ W e of one step over all outputs."""
        low, high = step_sums(self.population)
        return int(low.min()), int(high.max())

    @property
    def step_shift(self) -> int:
        """Places by which the sum so far moves up before a later step is added to it."""
        return 0 if self.weighted else self.unroll

    @property
    def sum_scale(self) -> int:
        """How many times the sum of one step the accumulator may come to hold."""
        return 1 if self.weighted else self.source.spike_code.total

    @property
    def sum_places(self) -> int:
        """Places by which a binary sum moves up on its way into X, see :attr:`folded_bias`."""
        return 1

    @property
    def total_width(self) -> int:
        """Signed width of what the accumulator holds."""
        low, high = self.sum_range
        scale = self.sum_scale << self.headroom
        return bits_for(min(low * scale, -1), high * scale)

    @fact
    def border(self) -> Border:
        """Kinds of pixel whose constants differ; of the shape."""
        population = self.population
        return border_of(
            population.operands[0].bias,
            population.shape,
            [(reader.map, reader.source_code) for reader in self.readers],
        )

    @fact
    def bias(self) -> np.ndarray:
        """(kinds of pixel, outputs) B, held in memory."""
        return self.border.by_kind(pixel_biases(self.held.operands[0].bias, self.held.shape))

    @property
    def row(self) -> np.ndarray:
        """(outputs,) Σ_j W_ij over all sources."""
        return sum((reader.sums for reader in self.readers[1:]), self.readers[0].sums)

    @property
    def start(self) -> np.ndarray:
        """(kinds of pixel, outputs) X before the first event: B + rest·ΣW.

        Beyond the planes stands the train of 0. What it adds to X, where the code has no 0, is
        taken off, and the sum is exact.
        """
        return (
            self.bias
            + sum(r.held_source.spike_code.rest * r.sums for r in self.readers)
            - sum(self.border.by_kind(r.beyond_planes) for r in self.readers)
        )

    @property
    def folded_bias(self) -> np.ndarray:
        """(kinds of pixel, outputs) all that is constant in X = it + 2 Σ_t η(t) Σ_j W e."""
        return self.start - sum(r.held_source.spike_code.total * r.sums for r in self.readers)

    @fact
    def factor(self) -> np.ndarray:
        """(outputs,) factors of X, held in memory; 0 where X is not requantised."""
        return np.zeros(self.outputs, np.int64)

    @fact
    def factor_bits(self) -> int:
        """Bits of a factor."""
        return 0

    @property
    def stored_factor_bits(self) -> int:
        """Bits of a word of factors."""
        return self.factor_bits

    @property
    def shift(self) -> int:
        return self.population.operands[0].shift

    @property
    def constant_words(self) -> int:
        return self.border.count * self.outputs // self.lanes

    @property
    def constant_width(self) -> int:
        """Bits of a word of the ROM of biases and factors."""
        if self.weighted:
            return self.lanes * (self.x_width + self.total_width + self.stored_factor_bits)
        return self.lanes * (self.x_width + self.stored_factor_bits)


def step_sums(population: DesignPopulation) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest Σ W e of one step, (outputs,) int64 each."""
    projections = population.operands[0].projections
    w = np.concatenate([q.map.weights * q.map.repeats for q in projections], axis=1)
    return np.minimum(w, 0).sum(axis=1), np.maximum(w, 0).sum(axis=1)
