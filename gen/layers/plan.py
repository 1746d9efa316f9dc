"""Plan: the numbers of every layer's hardware, derived from a folded Design.

RTL, cycle model and estimate read the same plan, so that they speak of the same machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import accumulate
from math import gcd

import numpy as np

from ..core.skew import lines_ahead
from ..design.border import MOST_BIASES, Border, border_of, pixel_biases
from ..design.design import MULTIPLY, Design, DesignPopulation, Folding, bits_for, divisors
from ..design.reading import (
    WindowPlaces,
    is_apart,
    parallel_of,
    parallel_outputs,
    reading_places,
    repeats_of,
    word_of,
)
from ..model.codes import RateCode, SpikeCode
from ..model.maps import LinearMap, Pooled, Sliding, raster_order
from ..model.network import INPUT, MAX, READOUT
from ..technology import Technology
from .cycles import Band
from .maximum import Maximum, maximum_of
from .rate_widths import RateWidths
from .reader import Reader
from .scatter import can_scatter

# Cycles for which the results of a tile may be under way; with too few the layer would pause
# between tiles, never err.
PIPELINE_ALLOWANCE = 32
# A weighted integrator or an overlapped neuron takes a group again after so many cycles.
FEEDBACK_CYCLES = 3
MAXIMUM_ALLOWANCE = 8  # the same of a maximum, which is that short
READOUT_PACE = 2  # cycles between two logits, for a comparison with a register of its own


@dataclass(frozen=True, kw_only=True)
class InputPlan:
    """The encoder: ``lanes`` raw values a word, fired with ``code``.

    ``threshold`` is θ of integrate-and-fire neurons, in raw steps; ``None`` for others.
    """

    name: str
    size: int
    lanes: int
    code: SpikeCode | RateCode
    threshold: int | None = None

    @property
    def words(self) -> int:
        """Words of a sample."""
        return self.size // self.lanes


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """One layer: readers, synapses, integrators, neurons or read-out.

    A dense layer reads whole samples; a layer of planes reads windows, one after the other, and
    computes for each what a dense layer computes for a sample. A join sums several projections: its
    readers take turns within every step, so that one set of synapses and integrators does for all.

    Parameters
    ----------
    population
        Of the shape, from which every width, range and cycle is derived; operand 0 is computed.
    held
        The same of the Design whose numbers lie in the memories, see :func:`plan_layers`.
    readers
        One for each projection of the operand.
    folding
        pe, simd, unroll.
    x_bound
        Greatest possible |X|, see :meth:`Design.integrator_bound`.
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
    """

    population: DesignPopulation
    held: DesignPopulation
    readers: tuple[Reader, ...]
    folding: Folding
    x_bound: int
    overlapped: bool
    weighted: bool
    lanes: int
    period: int
    technology: Technology

    @property
    def name(self) -> str:
        return self.population.name

    @property
    def is_readout(self) -> bool:
        return self.population.function == READOUT

    @property
    def is_join(self) -> bool:
        """Whether several projections are summed."""
        return len(self.readers) > 1

    @cached_property
    def weights(self) -> np.ndarray:
        """(outputs, columns) int64, held in memory, in the order in which the inputs are read."""
        if not self.is_join:
            return self.readers[0].weights
        rows = np.concatenate([reader.rows for reader in self.readers], axis=1)
        return rows.reshape(len(rows), -1)

    @cached_property
    def weight_bits(self) -> int:
        """Bits of a weight; of a join, of those for which inputs come in parallel."""
        projections = self.population.operands[0].projections
        shared = [
            q for q, r in zip(projections, self.readers, strict=True) if not r.apart
        ] or projections
        return max(q.weight_bits for q in shared)

    @cached_property
    def first_bits(self) -> int:
        """Bits of the first of the ``simd`` weights, which inputs of an output's own meet too."""
        return max(q.weight_bits for q in self.population.operands[0].projections)

    @property
    def word_bits(self) -> int:
        """Bits of a word of weights."""
        fold = self.folding
        return fold.pe * (self.first_bits + (fold.simd - 1) * self.weight_bits)

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
    def repeats(self) -> int:
        """Inputs that share a weight in memory; in a join, none do."""
        return 1 if self.is_join else self.readers[0].repeats

    @property
    def weight_words(self) -> int:
        """Words of weights of a tile, gone through ``repeats`` times."""
        return self.words // self.repeats

    @property
    def weight_rows(self) -> np.ndarray:
        """(tiles, weight words, pe, simd) weights as they lie in memory, word after word."""
        fold = self.folding
        rows = self.weights.reshape(self.tiles, fold.pe, self.weight_words, fold.simd)
        return rows.transpose(0, 2, 1, 3)

    @property
    def ends(self) -> tuple[int, ...]:
        """For each reader, how many words of a step are read when it is done."""
        return tuple(accumulate(reader.words for reader in self.readers))

    @property
    def windows(self) -> int:
        """Windows of a sample; 1 for a dense layer, which reads all of it."""
        return sum(band.windows for band in self.bands)

    @cached_property
    def apart(self) -> bool:
        """Some outputs' inputs are their own: each output channel reads one channel."""
        return any(reader.apart for reader in self.readers)

    # -- the first projection, which is the only one but in a join ------------------------------

    @property
    def source(self) -> DesignPopulation:
        return self.readers[0].source

    @property
    def source_code(self) -> SpikeCode:
        """Of all sources the same, but for its rest."""
        return self.readers[0].source_code

    @property
    def held_source(self) -> DesignPopulation:
        return self.readers[0].held_source

    @property
    def source_lanes(self) -> int:
        return self.readers[0].source_lanes

    @property
    def map(self) -> LinearMap:
        return self.readers[0].map

    @property
    def columns(self) -> np.ndarray:
        return self.readers[0].columns

    @property
    def places(self) -> WindowPlaces | None:
        return self.readers[0].places

    @property
    def bands(self) -> tuple[Band, ...]:
        return self.readers[0].bands

    @property
    def word(self) -> int:
        return self.readers[0].word

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

    @property
    def pixel_words(self) -> int:
        return self.readers[0].pixel_words

    @property
    def line_words(self) -> int:
        return self.readers[0].line_words

    @property
    def lines(self) -> int:
        return self.readers[0].lines

    @property
    def padding_train(self) -> list[int]:
        return self.readers[0].padding_train

    # ------------------------------------------------------------------------------------------

    @property
    def order(self) -> np.ndarray:
        """Neurons in the order in which they are computed."""
        return raster_order(self.population.shape)

    @property
    def planes(self) -> int:
        """Reads of a word for all of its T steps."""
        return self.source_code.steps // self.folding.unroll

    @property
    def groups(self) -> int:
        """Words of results a tile gives."""
        return self.folding.pe // self.lanes

    @cached_property
    def packed(self) -> int:
        """Outputs that share a multiplier of a DSP block; 0 where weights meet inputs in LUTs.

        As many as a block holds side by side. Factors that no one trained (pooling) need no block.
        """
        folding, bits = self.folding, self.weight_bits
        if folding.synapse != MULTIPLY or all(reader.map.fixed for reader in self.readers):
            return 0

        def taken(outputs: int) -> bool:
            width = packed_width(weight_bits=bits, unroll=folding.unroll, packed=outputs)
            return self.technology.takes_product(width, folding.unroll + 1)

        most = 1 if self.apart else folding.pe
        for blocks in range(-(-folding.pe // most), folding.pe + 1):
            # About evenly shared: some take one more than the others.
            least, greatest = folding.pe // blocks, -(-folding.pe // blocks)
            if taken(least) and taken(greatest):
                return greatest
        return 0

    @property
    def tile_cycles(self) -> int:
        return self.planes * self.period

    @property
    def interval(self) -> int:
        """Cycles a sample keeps the synapses busy, or a buffer into which trains are scattered."""
        scattered = [reader.source.size for reader in self.readers if reader.turned]
        return max(self.windows * self.tiles * self.tile_cycles, *scattered, 0)

    @property
    def pace(self) -> int:
        """Cycles between two groups of results."""
        return result_pace(self.population, self.overlapped)

    @property
    def fifo_depth(self) -> int:
        """Words between the neurons and the next layer; room for every tile under way."""
        under_way = -(-(PIPELINE_ALLOWANCE + self.groups * self.pace) // self.tile_cycles)
        return self.groups * (1 + under_way)

    def refolded(
        self, folding: Folding, *, source_lanes: int | Sequence[int], simd: int
    ) -> "LayerPlan":
        """Return the plan of the same layer folded otherwise.

        What was derived from the weights is handed on, so that a search costs little.

        Parameters
        ----------
        source_lanes
            Of each source; one number for all says the most, of what each reads at a time.
        simd
            What the layers behind read at a time; where there are several, the greatest common
            divisor. 0 where they take any number.
        """
        if isinstance(source_lanes, int):
            words = [word_of(reader.map, folding) for reader in self.readers]
            source_lanes = [gcd(source_lanes, word) for word in words]
        readers = tuple(
            reader.refolded(folding, lanes)
            for reader, lanes in zip(self.readers, source_lanes, strict=True)
        )
        bare = with_facts(replace(self, folding=folding, readers=readers), self)
        lanes, period = choose_lanes(bare, simd)
        return with_facts(replace(bare, lanes=lanes, period=period), self)

    def reader_foldings(self, folding: Folding) -> list[Folding]:
        """Return how each reader is folded where the layer is folded so."""
        return [folding] * len(self.readers)

    # -- integers ------------------------------------------------------------------------------

    @property
    def x_width(self) -> int:
        return bits_for(-self.x_bound, self.x_bound)

    @cached_property
    def sum_range(self) -> tuple[int, int]:
        """Least and greatest Σ W e of one step over all outputs."""
        low, high = step_sums(self.population)
        return int(low.min()), int(high.max())

    @property
    def step_shift(self) -> int:
        """Places by which the sum so far moves up before a later step is added to it."""
        return 0 if self.weighted else self.folding.unroll

    @property
    def sum_scale(self) -> int:
        """How many times the sum of one step the accumulator may come to hold."""
        return 1 if self.weighted else self.source_code.total

    @property
    def total_width(self) -> int:
        """Signed width of what the accumulator holds."""
        low, high = self.sum_range
        return bits_for(min(low * self.sum_scale, -1), high * self.sum_scale)

    @cached_property
    def border(self) -> Border:
        """Kinds of pixel whose constants differ; of the shape."""
        population = self.population
        return border_of(
            population.operands[0].bias,
            population.shape,
            [(reader.map, reader.source_code) for reader in self.readers],
        )

    @cached_property
    def bias(self) -> np.ndarray:
        """(kinds of pixel, outputs) B, held in memory."""
        return self.border.by_kind(pixel_biases(self.held.operands[0].bias, self.held.shape))

    @property
    def row(self) -> np.ndarray:
        """(outputs,) Σ_j W_ij over all sources."""
        return sum(reader.sums for reader in self.readers)

    @property
    def start(self) -> np.ndarray:
        """(kinds of pixel, outputs) X before the first event: B + rest·ΣW.

        Beyond the planes stands the train of 0. What it adds to X, where the code has no 0, is
        taken off, and the sum is exact.
        """
        return (
            self.bias
            + sum(r.held_code.rest * r.sums for r in self.readers)
            - sum(self.border.by_kind(r.beyond_planes) for r in self.readers)
        )

    @property
    def folded_bias(self) -> np.ndarray:
        """(kinds of pixel, outputs) all that is constant in X = it + 2 Σ_t η(t) Σ_j W e."""
        return self.start - sum(r.held_code.total * r.sums for r in self.readers)

    @cached_property
    def factor(self) -> np.ndarray:
        """(outputs,) requantisation factors, held in memory; that for X < 0 in the upper bits."""
        operand = self.held.operands[0]
        if not self.has_two_factors:
            return operand.multiplier
        assert operand.below is not None
        return operand.multiplier | operand.below << self.factor_bits

    @property
    def has_two_factors(self) -> bool:
        """Whether the sign of X chooses between two factors."""
        operand = self.population.operands[0]
        return operand.below is not None and not operand.is_magnitude

    @property
    def is_magnitude(self) -> bool:
        """Whether |X| is requantised."""
        return self.population.operands[0].is_magnitude

    @property
    def has_plain_relu(self) -> bool:
        """Whether targets are max(F, 0) and nothing else: no table, no clamp."""
        return self.population.function == "relu" and self.population.limit is None

    @property
    def greatest_factor(self) -> int:
        """Of the shape's factors."""
        operand = self.population.operands[0]
        below = 0 if not self.has_two_factors else int(operand.below.max())
        return max(int(operand.multiplier.max()), below)

    @cached_property
    def factor_bits(self) -> int:
        """Bits of the factors; 0 for the read-out, which has none."""
        return 0 if self.is_readout else self.greatest_factor.bit_length()

    @property
    def shift(self) -> int:
        return self.population.operands[0].shift

    @property
    def stored_factor_bits(self) -> int:
        """Bits of a word of factors."""
        return self.factor_bits * (2 if self.has_two_factors else 1)

    @cached_property
    def requantised_range(self) -> tuple[int, int]:
        """Bounds of F, counted from the first entry of a table; of max(F, 0) for ReLU."""
        greatest = self.x_bound * self.greatest_factor
        high = (greatest + (1 << self.shift) - 1) >> self.shift
        if self.has_plain_relu:
            return 0, high
        first = 0 if self.population.table is None else self.population.table.first
        return min(-high - first, -1), max(high - first, 0)

    @property
    def requantised_width(self) -> int:
        """Signed width of F."""
        low, high = self.requantised_range
        return bits_for(min(low, -1), high)

    @cached_property
    def target_range(self) -> tuple[int, int]:
        """Least and greatest f(F); beyond the code's ends F makes no difference to a neuron."""
        table, code, limit = self.population.table, self.population.code, self.population.limit
        if table is not None:
            return int(table.entries.min()), int(table.entries.max())
        low, high = self.requantised_range
        if self.has_plain_relu:
            return low, high
        assert code is not None
        if self.population.function in ("relu", "abs"):
            low = 0
        end = code.high + 1 if limit is None else min(code.high + 1, limit)
        low = max(low, code.low)
        return low, max(low, min(high, end))

    @property
    def target_width(self) -> int:
        """Signed width of a target."""
        low, high = self.target_range
        return bits_for(min(low, -1), high)

    @property
    def constant_words(self) -> int:
        return self.border.count * self.outputs // self.lanes

    @property
    def constant_width(self) -> int:
        """Bits of a word of the ROM of biases and factors."""
        if self.weighted:
            return self.lanes * (self.x_width + self.total_width + self.stored_factor_bits)
        return self.lanes * (self.x_width + self.stored_factor_bits)


class MaximumPlan(LayerPlan):
    """A layer whose neurons say the greatest value of a window: maxima of trains, nothing else.

    A window is read once for each tile of ``pe`` channels, one pixel a cycle, all steps of a train
    at once; ``simd`` is 1 and ``unroll`` the T of the source, whatever the Design says.
    """

    @classmethod
    def of(cls, plan: LayerPlan) -> "MaximumPlan":
        """Return the plan of a maximum with the numbers of a plain one."""
        found = maximum_of(plan.population, plan.source)
        assert isinstance(found, Maximum)  # else no_hardware has refused it
        reader = replace(
            plan.readers[0],
            map=found.window,
            held_map=found.window,
            beyond=found.padding_train,
        )
        numbers = {f.name: getattr(plan, f.name) for f in fields(LayerPlan)}
        return cls(**numbers | {"readers": (reader,)})

    @property
    def pace(self) -> int:
        return 1

    @property
    def fifo_depth(self) -> int:
        return self.groups * (1 + -(-(MAXIMUM_ALLOWANCE + self.groups) // self.tile_cycles))

    def refolded(
        self, folding: Folding, *, source_lanes: int | Sequence[int], simd: int
    ) -> "LayerPlan":
        whole = replace(folding, unroll=self.source_code.steps)
        return super().refolded(whole, source_lanes=source_lanes, simd=simd)


class RatePlan(LayerPlan):
    """A layer of integrate-and-fire neurons: the sums of a step go to them as they are."""

    @classmethod
    def of(cls, plan: LayerPlan) -> "RatePlan":
        """Return the plan of such neurons with the numbers of a plain one."""
        return cls(**_rate_numbers(plan))

    @cached_property
    def widths(self) -> RateWidths:
        """Of constants, currents and membranes."""
        return self._widths_of(self.population)

    @property
    def held_widths(self) -> RateWidths:
        """The same of the numbers that lie in the memories."""
        return self._widths_of(self.held)

    def _widths_of(self, population: DesignPopulation) -> RateWidths:
        low, high = step_sums(population)
        assert population.threshold is not None
        return RateWidths.of(
            low=low,
            high=high,
            bias=pixel_biases(population.operands[0].bias, population.shape)[:, 0],
            threshold=population.threshold,
            steps=self.source_code.steps,
        )

    @property
    def threshold(self) -> np.ndarray:
        """(outputs,) θ, held in memory."""
        assert self.held.threshold is not None
        return self.held.threshold

    @property
    def constant_width(self) -> int:
        """Bits of a word of the ROM of B and B - θ."""
        return self.lanes * 2 * self.widths.constants


class RateReadoutPlan(LayerPlan):
    """The read-out of integrate-and-fire neurons: X = T·B + Σ_t Σ_j W s, every event worth one."""

    @classmethod
    def of(cls, plan: LayerPlan) -> "RateReadoutPlan":
        """Return the plan of such a read-out with the numbers of a plain one."""
        return cls(**_rate_numbers(plan) | {"weighted": False})

    @property
    def step_shift(self) -> int:
        return 0

    @property
    def sum_scale(self) -> int:
        return self.source_code.steps

    @property
    def folded_bias(self) -> np.ndarray:
        """(1, outputs) T·B, everything constant in X."""
        return self.bias * self.source_code.steps


def _rate_numbers(plan: LayerPlan) -> dict[str, object]:
    """Return the fields of a plan whose sources say 0 by no event, beyond their planes too."""
    numbers = {f.name: getattr(plan, f.name) for f in fields(LayerPlan)}
    silent = (0,) * plan.source_code.steps
    return numbers | {"readers": tuple(replace(r, beyond=silent) for r in plan.readers)}


# Numbers of a layer that do not depend on its folding, kept once they are known.
FACTS = (
    "weight_bits",
    "first_bits",
    "apart",
    "sum_range",
    "border",
    "bias",
    "factor",
    "factor_bits",
    "requantised_range",
    "target_range",
    "widths",
)


def with_facts(plan: LayerPlan, known: LayerPlan) -> LayerPlan:
    """Copy what ``known`` has already worked out of the same layer."""
    vars(plan).update({name: vars(known)[name] for name in FACTS if name in vars(known)})
    return plan


def step_sums(population: DesignPopulation) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest Σ W e of one step, (outputs,) int64 each."""
    projections = population.operands[0].projections
    w = np.concatenate([q.map.weights * repeats_of(q.map) for q in projections], axis=1)
    return np.minimum(w, 0).sum(axis=1), np.maximum(w, 0).sum(axis=1)


def choose_lanes(plan: LayerPlan, simd: int) -> tuple[int, int]:
    """Return result lanes and step period: the fewest lanes that do not lengthen the period.

    ``simd`` is what the next layer reads at a time, which the lanes have to fill evenly; 0 where
    it takes any number.
    """
    pe = plan.folding.pe
    options = [1] if plan.is_readout else [d for d in divisors(pe) if simd % d == 0]

    def period(lanes: int) -> int:
        drain = pe // lanes * plan.pace
        if plan.weighted:
            return max(plan.words, drain, FEEDBACK_CYCLES)
        return max(plan.words, -(-drain // plan.planes))

    lanes = min(options, key=lambda d: (period(d), d))
    return lanes, period(lanes)


def packed_width(*, weight_bits: int, unroll: int, packed: int) -> int:
    """Bits of the signed factor in which ``packed`` weights lie side by side."""
    return (packed - 1) * (weight_bits + unroll) + weight_bits


def result_pace(population: DesignPopulation, overlapped: bool) -> int:
    """Cycles a group of results needs: T where it fires settled, 1 where overlapped."""
    if population.code is None:
        return READOUT_PACE
    return 1 if overlapped else population.code.steps


def no_hardware(design: Design) -> str | None:
    """Return why the RTL cannot build a Design, in one sentence; ``None`` where it can."""
    reason = _no_rate(design)
    if reason is not None:
        return reason
    read = {q.source for p in design.populations for q in p.sources}
    for population in design.populations[1:]:
        projections = list(population.sources)
        source = design[projections[0].source] if projections else design.input
        found = ""
        if any(op.products for op in population.operands):
            found = "sums products of trains"
        elif population.comparison is not None:
            found = _no_pair(design, population)
        elif population.function == MAX:
            found = _no_maximum(design, source, population)
        elif len(projections) > 1:
            found = _no_join(design, population)
        elif projections[0].map.kind != "dense":
            source = design[projections[0].source]
            found = _no_windows(design, source, population, projections[0].map)
        if not found and population.name not in read | {design.readout.name}:
            found = "is read by no other"
        if found:
            return (
                f"there is no RTL for this network: {population.name!r} {found} (the "
                f"golden model runs it: use signfire evaluate)"
            )
    return None


def _no_pair(design: Design, population: DesignPopulation) -> str:
    """Return why there is no hardware for two operands, as the end of a sentence."""
    codes = [population.code, *(design[q.source].code for q in population.sources)]
    if design.firing != "settled" or not all(code is not None and code.is_binary for code in codes):
        return "has two operands, for which firing must be settled and the schedule binary"
    each = [replace(population, operands=(operand,)) for operand in population.operands]
    return next(filter(None, (_no_join(design, one) for one in each)), "")


def _no_rate(design: Design) -> str | None:
    """Return why there is no hardware for integrate-and-fire neurons, in one sentence."""
    if design.dynamics == "lif":
        return (
            "there is no RTL for a leak: leaky integrate-and-fire neurons are a baseline that the "
            "golden model runs (use signfire evaluate, or the dynamics if)"
        )
    theta, fmt = design.input.threshold, design.input_format
    if theta is not None and theta[0] < fmt.high - fmt.low:
        return (
            f"there is no RTL for an input whose threshold is less than its range, {theta[0]} "
            f"below {fmt.high - fmt.low} (the golden model runs it: use signfire evaluate)"
        )
    return None


def _takes_planes(design: Design, code: SpikeCode | RateCode | None) -> bool:
    """Whether windows, sums of sources and maxima may read the trains of a source."""
    if design.dynamics == "if":
        return True  # every step by itself, and 0 is no event
    return design.firing == "settled" and code is not None and code.is_binary


def _no_join(design: Design, population: DesignPopulation) -> str:
    """Return why there is no hardware for a sum of projections, as the end of a sentence."""
    sources = [design[q.source] for q in population.sources]
    codes = [source.code for source in sources]
    if not all(_takes_planes(design, code) for code in codes):
        return "sums sources, for which firing must be settled and the schedule binary"
    steps = {source.name: source.code.steps for source in sources if source.code is not None}
    if len(set(steps.values())) > 1:
        listed = ", ".join(f"{name} {t}" for name, t in steps.items())
        return f"sums sources of different T ({listed})"
    reasons = (
        _no_windows(design, source, population, q.map)
        for source, q in zip(sources, population.sources, strict=True)
        if q.map.kind != "dense"
    )
    return next(filter(None, reasons), "")


def _no_maximum(design: Design, source: DesignPopulation, population: DesignPopulation) -> str:
    """Return why there is no hardware for a maximum, as the end of a sentence."""
    names = sorted({p.source for p in population.sources} - {source.name})
    if names:
        return f"reads {', '.join(names)}"
    code = source.code
    assert code is not None
    if design.firing != "settled" or not code.is_binary:
        return "is a maximum, for which firing must be settled and the schedule binary"
    found = maximum_of(population, source)
    if isinstance(found, str):
        return found
    if not found.window.in_order:
        return "takes channels out of their order"
    return _no_order(source, found.window)


def _no_order(source: DesignPopulation, linear: Sliding | Pooled) -> str:
    """Return why the trains of a source cannot be put in the order in which a map reads them."""
    places = reading_places(linear, source.shape, is_input=source.function == INPUT)
    if not can_scatter(linear, places):
        return (
            f"reads planes in an order that no nested loops make of that in which they come (the "
            f"shape of {source.name!r} is {'x'.join(map(str, source.shape))})"
        )
    return ""


def _no_windows(
    design: Design, source: DesignPopulation, population: DesignPopulation, linear: LinearMap
) -> str:
    """Return what there is no hardware for in a map of planes, as the end of a sentence."""
    code = source.code
    assert code is not None
    if design.dynamics != "if" and design.firing != "settled":
        return "reads planes, for which firing must be settled"
    found = _no_order(source, linear)
    if found:
        return found
    if population.function == READOUT and population.size != population.shape[0]:
        return "has planes for outputs"
    kinds = border_of(
        population.operands[0].bias,
        population.shape,
        [(q.map, design[q.source].code) for q in population.sources],
    ).count
    if kinds > 1 and design.dynamics == "if":
        return (
            "has a bias that differs from pixel to pixel, which integrate-and-fire neurons do not"
        )
    biases = kinds * population.shape[0]
    if biases > MOST_BIASES:
        return (
            f"has {kinds} kinds of pixel by their biases, which makes {biases} biases, and "
            f"{MOST_BIASES} are the most"
        )
    return ""


def check_hardware(design: Design) -> None:
    """Refuse what the RTL cannot build, and what is not folded."""
    reason = no_hardware(design)
    if reason is not None:
        raise ValueError(reason)
    for population in design.populations[1:]:
        if population.folding is None:
            raise ValueError(f"{population.name!r} has no folding (give --fold, or --fold auto)")
        if population.folding.multiplies and _sums_channels_apart(population):
            raise ValueError(
                f"{population.name!r} adds channels one by one, which multipliers do not (fold it "
                f"with synapse=events)"
            )


def _sums_channels_apart(population: DesignPopulation) -> bool:
    """Whether an operand sums several projections, of one channel an output among them."""
    apart = [is_apart(q.map) for q in population.operands[0].projections]
    return len(apart) > 1 and any(apart)


def plan_layers(
    design: Design, technology: Technology, shape: Design | None = None
) -> tuple[InputPlan, list[LayerPlan]]:
    """Derive every layer's numbers.

    Parameters
    ----------
    design
        Whose weights, biases, factors and step sizes lie in the memories.
    technology
        Device family.
    shape
        Folded Design that fixes everything else: folding, widths, shifts, cycles. ``None`` is
        ``design`` itself. :func:`.shape.refuse_unlike` says whether ``design`` fits into it.

    Raises
    ------
    ValueError
        If the shape is not folded, or has no hardware.
    """
    held = design.populations
    if shape is not None:
        design = shape
    check_hardware(design)
    assert design.input.code is not None
    entry = InputPlan(
        name=design.input.name,
        size=design.input.size,
        lanes=design.input.folding.pe if design.input.folding else 1,
        code=design.input.code,
        threshold=None if design.input.threshold is None else int(design.input.threshold[0]),
    )
    bare = [
        plan_layer(design, population, {p.name: p for p in held}, technology=technology)
        for population in design.populations[1:]
    ]
    place = {p.name: k for k, p in enumerate(design.populations)}  # of its stream
    sources = [[place[reader.source.name] for reader in plan.readers] for plan in bare]
    if any(plan.is_join for plan in bare):
        bare = _with_skew(bare, sources)
    lanes = [entry.lanes]
    plans: list[LayerPlan] = []
    for k, (plan, read) in enumerate(zip(bare, sources, strict=True), 1):
        words = [
            reader.taken
            for other, streams in zip(bare, sources, strict=True)
            for reader, stream in zip(other.readers, streams, strict=True)
            if stream == k
        ]
        simd = gcd(*words) if words else 1
        plans.append(plan.refolded(plan.folding, source_lanes=[lanes[s] for s in read], simd=simd))
        lanes.append(plans[-1].lanes)
    return entry, plans


def _with_skew(plans: Sequence[LayerPlan], sources: Sequence[Sequence[int]]) -> list[LayerPlan]:
    """Give the buffers the lines that a network with joins asks for."""
    ahead = lines_ahead(
        tuple(
            tuple((stream, reader.bands) for reader, stream in zip(p.readers, read, strict=True))
            for p, read in zip(plans, sources, strict=True)
        )
    )
    return [
        replace(
            plan,
            readers=tuple(replace(r, skew=n) for r, n in zip(plan.readers, lines, strict=True)),
        )
        for plan, lines in zip(plans, ahead, strict=True)
    ]


def plan_layer(
    design: Design,
    population: DesignPopulation,
    held: Mapping[str, DesignPopulation],
    *,
    technology: Technology,
) -> LayerPlan:
    """Return the plan of one layer but for what its neighbours decide: lanes, period, skew.

    ``held`` is what populations hold in memory, by name.
    """
    folding = population.folding
    assert folding is not None
    pair = population.comparison is not None
    projections, stored = (
        [q for operand in (p.operands if pair else p.operands[:1]) for q in operand.projections]
        for p in (population, held[population.name])
    )
    readers = tuple(
        Reader(
            source=design[shape.source],
            map=shape.map,
            held_source=held[kept.source],
            held_map=kept.map,
            folding=folding,
            source_lanes=1,
        )
        for shape, kept in zip(projections, stored, strict=True)
    )
    overlapped = design.firing == "overlapped"
    plan = LayerPlan(
        population=population,
        held=held[population.name],
        readers=readers,
        folding=folding,
        x_bound=design.integrator_bound(population),
        overlapped=overlapped,
        weighted=overlapped or not readers[0].source_code.is_binary,
        lanes=1,
        period=1,
        technology=technology,
    )
    if pair:
        from .pair import plan_pair  # whose plans are made of those of this module

        return plan_pair(design, plan)
    if population.function == MAX:
        return MaximumPlan.of(plan)
    if design.dynamics == "if":
        return RateReadoutPlan.of(plan) if plan.is_readout else RatePlan.of(plan)
    return plan
