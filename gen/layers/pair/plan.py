"""Pairs: the plan of a layer whose neurons fire against a function of two operands.

Each operand is a layer of its own up to the requantisation, whose words of F wait in a FIFO:

    trains -> [readers -> synapses -> integrators -> requantise -> FIFO] -> F1
    trains -> [readers -> synapses -> integrators -> requantise -> FIFO] -> F2
    F1, F2 -> [neurons -> FIFO] -> trains

Where F2 is the same for all channels of a pixel (the variance of a row, the sum below a softmax),
one output of the second operand is computed for each window, and its word is held until all words
of F1 of that window have passed.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd
from typing import Any, ClassVar, Self

import numpy as np

from ...cost import (
    Resources,
    address_bits,
    carry_luts,
    counter_luts,
    product_cost,
    scaled,
    total,
)
from ...design.design import Design
from ...design.folding import Folding, divisors
from ...design.population import DesignOperand, DesignPopulation, bits_for
from ...design.reading import parallel_of
from ...facts import Facts, fact
from ...model.maps import Conv, Dense, Pooled
from ...model.network import LINEAR
from ...model.ties import DOWN
from ...readers.reader import Reader
from ..cost import results_cost, sums_of_trains, ties_cost
from ..fit import crowding, held_bounds, unfit_weights, wide_integrators, wide_sums
from ..observation import RESULT, TARGET, Observation, firing_of
from ..plan import Given, LayerPlan
from ..refusals import no_sum, takes_planes
from ..requantised import RequantisedPlan

# Cycles, beside T, that results may be under way from the operands to the next layer; with too few
# the neurons would pause, never err.
NEURON_ALLOWANCE = 16


@dataclass(frozen=True, kw_only=True)
class OperandPlan(RequantisedPlan):
    """One operand: a layer that gives words of F, not trains.

    Its population has this operand alone, and says of the neurons only how many there are.

    Parameters
    ----------
    number
        0 for the first operand, 1 for the second.
    """

    number: int

    kind = "operand"
    hardware = "OperandLayer"

    @classmethod
    def claims(cls, design: Design, population: DesignPopulation) -> bool:
        return False  # it is never a layer of its own

    @classmethod
    def refuses(cls, design: Design, population: DesignPopulation) -> str:
        return no_sum(design, population, population.operands[0])

    @property
    def pace(self) -> int:
        """Cycles between two groups: as the neurons take them, which share a lone word."""
        return 1 if self.outputs == 1 else super().pace

    @property
    def greatest(self) -> int:
        """Greatest |F| that a word holds, whatever weights are put in the memories."""
        return max(1, (1 << (self.requantised_width - 1)) - 1)

    @property
    def result_bits(self) -> int:
        """Bits of a word of F."""
        return self.lanes * self.requantised_width

    def cost(self) -> dict[str, Resources]:
        return sums_of_trains(self) | {"neurons": operand_cost(self)}

    def differences(self) -> Iterator[str]:
        bounds = held_bounds(self)
        yield from unfit_weights(self)
        yield from wide_integrators(self, bounds)
        yield from wide_sums(self)
        yield from self.wide_targets(bounds)

    def crowded(self) -> tuple[np.ndarray, ...]:
        return (crowding(self),)

    def observations(self) -> tuple[Observation, ...]:
        words: dict[str, Any] = {"lanes": self.lanes, "bits": self.requantised_width}
        return (
            *self.integrators_seen,
            Observation(quantity="F", when=TARGET, valid="f_valid", port="f", **words),
            Observation(quantity="F taken", when=RESULT, **words),
        )


@dataclass(frozen=True, kw_only=True)
class PairPlan(LayerPlan):
    """A layer of neurons of two operands; ``readers`` are those of both, in their order.

    The folding holds for both operands as far as it divides what each reads, see
    :func:`operand_folding`; of a shared one a single output is computed. A kind of it says what
    function decides, with which neurons, at what price.

    Parameters
    ----------
    second_bound
        Greatest possible |X| of the second operand; ``x_bound`` is that of the first.
    """

    second_bound: int

    kind = "pair"
    function: ClassVar[str]  # of :data:`gen.model.several.SEVERAL`

    @abstractmethod
    def prices(self) -> tuple[Resources, Resources]:
        """Price one neuron, and what all neurons may share of a common second operand."""

    @classmethod
    def claims(cls, design: Design, population: DesignPopulation) -> bool:
        return design.dynamics == "signgd" and population.function == cls.function

    @classmethod
    def refuses(cls, design: Design, population: DesignPopulation) -> str:
        if any(operand.products for operand in population.operands):
            return "sums products of trains"
        codes = [population.code, *(design[q.source].code for q in population.sources)]
        if not takes_planes(design, codes):
            return "has two operands, for which firing must be settled and the schedule binary"
        each = (no_sum(design, population, operand) for operand in population.operands)
        return next(filter(None, each), "")

    @classmethod
    def of(cls, given: Given, **numbers: Any) -> Self:
        """Return the plan; readers of both operands are folded as each operand is."""
        population, first, second = given.population, given.readers(0), given.readers(1)
        if is_shared(population):
            second = tuple(
                replace(r, map=r.map.first(1), held_map=r.held_map.first(1)) for r in second
            )
        found = super().of(
            given,
            readers=(*first, *second),
            second_bound=given.integrator_bound(1),
            **numbers,
        )
        foldings = found.reader_foldings(given.folding)
        folded = (replace(r, folding=f) for r, f in zip(found.readers, foldings, strict=True))
        return replace(found, readers=tuple(folded))

    def cost(self) -> dict[str, Resources]:
        return pair_cost(self)

    def differences(self) -> Iterator[str]:
        if self.shared and not is_shared(self.held):
            yield f"operand 2 of {self.name!r} must be the same for all channels"
        for operand in self.parts:
            yield from operand.differences()

    def crowded(self) -> tuple[np.ndarray, ...]:
        return tuple(found for operand in self.parts for found in operand.crowded())

    def observations(self) -> tuple[Observation, ...]:
        return (*firing_of(self.lanes, self.membrane_width), self.trains_seen)

    @property
    def parts(self) -> tuple[OperandPlan, OperandPlan]:
        return self.first, self.second

    # -- operands ------------------------------------------------------------------------------

    @property
    def _split(self) -> int:
        """How many readers the first operand has."""
        return len(self.population.operands[0].projections)

    @fact
    def shared(self) -> bool:
        """F2 is the same for all channels."""
        return is_shared(self.population)

    @fact
    def each(self) -> list[tuple[DesignPopulation, DesignPopulation, Facts]]:
        """Of each operand: population, the one that is held, and facts."""
        found = []
        for number, readers in enumerate(
            (self.readers[: self._split], self.readers[self._split :])
        ):
            one = number == 1 and self.shared
            of = tuple(operand_of(p, number, one) for p in (self.population, self.held))
            found.append((*of, Facts(*of, *(reader.map for reader in readers))))
        return found

    @cached_property
    def first(self) -> OperandPlan:
        return self._operand(0, self.readers[: self._split], self.x_bound)

    @cached_property
    def second(self) -> OperandPlan:
        bare = self._operand(1, self.readers[self._split :], self.second_bound)
        lanes = 1 if self.shared else self.lanes
        drain = bare.folding.pe // lanes * bare.pace
        return replace(bare, lanes=lanes, period=max(bare.words, -(-drain // bare.planes)))

    def _operand(self, number: int, readers: tuple[Reader, ...], x_bound: int) -> OperandPlan:
        population, held, facts = self.each[number]
        return OperandPlan(
            number=number,
            population=population,
            held=held,
            readers=readers,
            folding=readers[0].folding,
            x_bound=x_bound,
            headroom=self.headroom,
            overlapped=False,
            weighted=False,
            lanes=self.lanes,
            period=self.period,
            technology=self.technology,
            facts=facts,
        )

    # -- neurons -------------------------------------------------------------------------------

    @property
    def fraction(self) -> int:
        assert self.population.comparison is not None
        return self.population.comparison.fraction

    @property
    def ties(self) -> str:
        """What happens where v = f, as far as the operands do not say it."""
        return DOWN if self.first.ties == self.population.ties else self.population.ties

    @property
    def value_bits(self) -> int:
        """Signed width of v."""
        code = self.population.spike_code
        return (abs(code.rest) + code.total).bit_length() + 1

    @property
    def membrane_width(self) -> int:
        """Signed width of v as far as it is compared."""
        code = self.population.spike_code
        return bits_for(min(code.rest - code.total, -1), code.rest + code.total)

    # -- what the first operand says for both --------------------------------------------------

    @property
    def is_join(self) -> bool:
        """Several streams are read, and must be held for one another."""
        return True

    @cached_property
    def weights(self) -> np.ndarray:
        return self.first.weights

    @fact
    def weight_bits(self) -> int:
        return self.first.weight_bits

    @property
    def words(self) -> int:
        return self.first.words

    @property
    def interval(self) -> int:
        """Cycles a sample keeps the slower operand, or the neurons, busy."""
        neurons = self.windows * self.outputs // self.lanes * self.pace
        return max(self.first.interval, self.second.interval, neurons)

    @property
    def fifo_depth(self) -> int:
        """Words of trains that may be under way."""
        return 2 + -(-NEURON_ALLOWANCE // self.pace)

    def fewest_lanes(self, following: int) -> tuple[int, int]:
        return self.first.fewest_lanes(following)

    def reader_foldings(self, folding: Folding) -> list[Folding]:
        """Return the folding of each reader's operand."""
        each = self.readers[: self._split], self.readers[self._split :]
        return [
            own
            for number, readers in enumerate(each)
            for own in [operand_folding(folding, readers, number == 1 and self.shared)]
            for _ in readers
        ]


def operand_folding(folding: Folding, readers: Sequence[Reader], one: bool) -> Folding:
    """Return how an operand is folded; with ``one``, whose first channel alone is computed.

    As the population, as far as that divides what the operand reads.
    """
    steps = readers[0].source_code.steps
    return replace(
        folding,
        pe=1 if one else folding.pe,
        simd=gcd(folding.simd, parallel_of([reader.map for reader in readers])[0]),
        unroll=max(d for d in divisors(steps) if d <= folding.unroll),
    )


def operand_of(population: DesignPopulation, number: int, one: bool) -> DesignPopulation:
    """Return a population of one operand; with ``one``, of its first channel alone."""
    operand = population.operands[number]
    shape = (1, *population.shape[1:]) if one else population.shape
    return replace(
        population,
        shape=shape,
        function=LINEAR,
        comparison=None,
        ties=population.operand_ties,
        operands=(first_channel(operand) if one else operand,),
    )


def first_channel(operand: DesignOperand) -> DesignOperand:
    """Return the operand of the first channel."""
    return replace(
        operand,
        projections=tuple(replace(q, map=q.map.first(1)) for q in operand.projections),
        bias=operand.bias[:1],
        scale=operand.scale[:1],
        multiplier=operand.multiplier[:1],
    )


def is_shared(population: DesignPopulation) -> bool:
    """Whether the second operand is the same for all channels."""
    operand = population.operands[1]

    def alike(numbers: np.ndarray) -> bool:
        return bool((numbers == numbers[:1]).all())

    return (
        all(
            isinstance(q.map, Conv | Dense | Pooled)
            and getattr(q.map, "groups", 1) == 1
            and alike(q.map.weights)
            for q in operand.projections
        )
        and alike(operand.bias)
        and alike(operand.multiplier)
    )


def pair_cost(plan: PairPlan) -> dict[str, Resources]:
    """Resources of a layer of two operands, by part."""
    each = [operand.cost() for operand in plan.parts]
    parts = {part: total(cost[part] for cost in each) for part in each[0]}
    steps = plan.population.train_code.steps
    pairing = Resources(lut=8 + counter_luts(steps), ff=2 + address_bits(steps))
    parts["neurons"] += neurons_cost(plan) + pairing
    parts["fifo"] += results_cost(plan)
    return parts


def operand_cost(plan: OperandPlan) -> Resources:
    """Requantisation of all lanes: product and rounding."""
    technology, wide = plan.technology, plan.requantised_width
    lane = product_cost(technology, plan.x_width, plan.factor_bits)
    lane += Resources(lut=carry_luts(technology, wide + plan.shift), ff=wide)
    lane += ties_cost(plan.ties, plan.shift)
    return scaled(lane, plan.lanes)


def neurons_cost(plan: PairPlan) -> Resources:
    """Neurons of all lanes, and what they share of the second operand."""
    code, lanes = plan.population.train_code, plan.lanes
    lane, of_second = plan.prices()
    control = Resources(lut=12, ff=code.steps + address_bits(code.steps) + 8)
    return scaled(lane, lanes) + scaled(of_second, 1 if plan.shared else lanes) + control
