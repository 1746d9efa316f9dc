"""Pairs: the plan of a layer whose neurons fire against a function of two operands.

Each operand is a layer of its own up to the requantisation, whose words of F wait in a FIFO:

    trains -> [readers -> synapses -> integrators -> requantise -> FIFO] -> F1
    trains -> [readers -> synapses -> integrators -> requantise -> FIFO] -> F2
    F1, F2 -> [neurons -> FIFO] -> trains

Where F2 is the same for all channels of a pixel (the variance of a row, the sum below a softmax),
one output of the second operand is computed for each window, and its word is held until all words
of F1 of that window have passed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd

import numpy as np

from ..design.design import Design, DesignOperand, DesignPopulation, Folding, divisors
from ..design.reading import parallel_of, word_of
from ..model.maps import Conv, Dense, LinearMap, Pooled
from ..model.network import LINEAR
from .plan import LayerPlan, choose_lanes, with_facts
from .reader import Reader

# Cycles, beside T, that results may be under way from the operands to the next layer; with too few
# the neurons would pause, never err.
NEURON_ALLOWANCE = 16


class OperandPlan(LayerPlan):
    """One operand: a layer that gives F, not trains.

    Its population has this operand alone, and says of the neurons only how many there are.
    """

    @property
    def pace(self) -> int:
        """Cycles between two groups: as the neurons take them, which share a lone word."""
        return 1 if self.outputs == 1 else super().pace

    @property
    def greatest(self) -> int:
        """Greatest |F| that a word holds, whatever weights are put in the memories."""
        return max(1, (1 << (self.requantised_width - 1)) - 1)


@dataclass(frozen=True, kw_only=True)
class PairPlan(LayerPlan):
    """A layer of neurons of two operands; ``readers`` are those of both, in their order.

    The folding holds for both operands as far as it divides what each reads, see
    :func:`operand_folding`; of a shared one a single output is computed.

    Parameters
    ----------
    second_bound
        Greatest possible |X| of the second operand; ``x_bound`` is that of the first.
    """

    second_bound: int

    @property
    def _split(self) -> int:
        """How many readers the first operand has."""
        return len(self.population.operands[0].projections)

    @cached_property
    def first(self) -> OperandPlan:
        readers = self.readers[: self._split]
        return self._operand(0, readers, readers[0].folding, self.x_bound)

    @cached_property
    def second(self) -> OperandPlan:
        readers = self.readers[self._split :]
        bare = self._operand(1, readers, readers[0].folding, self.second_bound)
        lanes = 1 if self.shared else self.lanes
        drain = bare.folding.pe // lanes * bare.pace
        return replace(bare, lanes=lanes, period=max(bare.words, -(-drain // bare.planes)))

    def _operand(
        self, number: int, readers: tuple[Reader, ...], folding: Folding, x_bound: int
    ) -> OperandPlan:
        one = number == 1 and self.shared
        return OperandPlan(
            population=operand_of(self.population, number, one),
            held=operand_of(self.held, number, one),
            readers=readers,
            folding=folding,
            x_bound=x_bound,
            overlapped=False,
            weighted=False,
            lanes=self.lanes,
            period=self.period,
            technology=self.technology,
        )

    @cached_property
    def shared(self) -> bool:
        """F2 is the same for all channels."""
        return is_shared(self.population)

    @property
    def fraction(self) -> int:
        assert self.population.comparison is not None
        return self.population.comparison.fraction

    @property
    def operands(self) -> tuple[OperandPlan, OperandPlan]:
        return self.first, self.second

    # -- what the first operand says for both --------------------------------------------------

    @property
    def is_join(self) -> bool:
        """Several streams are read, and must be held for one another."""
        return True

    @property
    def weights(self) -> np.ndarray:
        return self.first.weights

    @property
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

    def refolded(
        self, folding: Folding, *, source_lanes: int | Sequence[int], simd: int
    ) -> "PairPlan":
        foldings = self.reader_foldings(folding)
        if isinstance(source_lanes, int):
            words = [word_of(r.map, f) for r, f in zip(self.readers, foldings, strict=True)]
            source_lanes = [gcd(source_lanes, word) for word in words]
        readers = tuple(
            reader.refolded(own, lanes)
            for reader, own, lanes in zip(self.readers, foldings, source_lanes, strict=True)
        )
        bare = replace(self, folding=folding, readers=readers)
        lanes, period = choose_lanes(with_facts(bare.first, self.first), simd)
        found = replace(bare, lanes=lanes, period=period)
        with_facts(found.first, self.first)
        with_facts(found.second, self.second)
        return found

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
        operands=(first_channel(operand) if one else operand,),
    )


def first_channel(operand: DesignOperand) -> DesignOperand:
    """Return the operand of the first channel."""
    return replace(
        operand,
        projections=tuple(replace(q, map=first_output(q.map)) for q in operand.projections),
        bias=operand.bias[:1],
        scale=operand.scale[:1],
        multiplier=operand.multiplier[:1],
    )


def first_output(linear: LinearMap) -> LinearMap:
    """Return a map of the first output channel alone."""
    if isinstance(linear, Conv):
        return replace(linear, kernel=linear.kernel[:1])
    return replace(linear, matrix=linear.weights[:1])


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


def plan_pair(design: Design, plan: LayerPlan) -> PairPlan:
    """Return the plan of two operands with the numbers of a plain one.

    Its readers are those of both operands, folded as the first one is.
    """
    population, readers = plan.population, plan.readers
    split = len(population.operands[0].projections)
    if is_shared(population):
        lone = [
            replace(r, map=first_output(r.map), held_map=first_output(r.held_map))
            for r in readers[split:]
        ]
        readers = (*readers[:split], *lone)
    found = PairPlan(
        population=population,
        held=plan.held,
        readers=readers,
        folding=plan.folding,
        x_bound=plan.x_bound,
        second_bound=design.integrator_bound(population, 1),
        overlapped=False,
        weighted=False,
        lanes=1,
        period=1,
        technology=plan.technology,
    )
    foldings = found.reader_foldings(plan.folding)
    folded = (replace(r, folding=f) for r, f in zip(readers, foldings, strict=True))
    return replace(found, readers=tuple(folded))
