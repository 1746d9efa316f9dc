"""Numbers of neurons of one operand."""

from collections.abc import Iterator

import numpy as np

from ...cost import (
    Resources,
    address_bits,
    carry_luts,
    multiplexer_luts,
    product_cost,
    ram_cost,
    rom_cost,
    scaled,
)
from ...design.design import Design
from ...design.population import DesignPopulation, bits_for
from ...facts import fact
from ...model.network import MAX, READOUT
from ...model.ties import shifted
from ..cost import accumulators_cost, neuron_cost, state_style, sums_of_trains, ties_cost
from ..fit import crowding, held_bounds, unfit_weights, wide_integrators, wide_sums
from ..observation import TARGET, Observation, firing_of
from ..refusals import no_sums
from ..requantised import RequantisedPlan

MOST_THRESHOLD_STEPS = 4  # 15 comparisons a neuron take about what a product of LUTs does


class NeuronsPlan(RequantisedPlan):
    """Integrators, requantisation, a function and neurons, of signGD.

    trains -> [readers -> synapses -> integrators -> requantise -> f -> neurons] -> trains

    Where weights are logic and all outputs leave together, constants are logic too:

    trains -> [reader -> synapses -> sums -> thresholds] -> trains
    """

    kind = "neurons"
    hardware = "NeuronLayer"
    thresholds_hardware = "ThresholdLayer"

    @classmethod
    def claims(cls, design: Design, population: DesignPopulation) -> bool:
        other = len(population.operands) != 1 or population.function in (MAX, READOUT)
        return design.dynamics == "signgd" and not other

    @classmethod
    def refuses(cls, design: Design, population: DesignPopulation) -> str:
        return no_sums(design, population)

    @property
    def is_magnitude(self) -> bool:
        """Whether |X| is requantised."""
        return self.population.operands[0].is_magnitude

    @fact
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
    def membrane_width(self) -> int:
        """Signed width of v."""
        code = self.population.spike_code
        return bits_for(min(code.low, -1), code.high)

    @property
    def pace(self) -> int:
        return self.pace_of(self.lanes)

    def pace_of(self, lanes: int) -> int:
        if lanes == self.folding.pe and self.may_be_thresholds:
            return 1
        return super().pace

    @property
    def may_be_thresholds(self) -> bool:
        """Whether each step of a neuron may compare its sum with a constant.

        A greater sum has to be a greater target, or an equal one, and steps have to be few: there
        are 2^T - 1 comparisons.
        """
        return self.folding.is_logic and not self.weighted and self._grows

    @fact
    def _grows(self) -> bool:
        """Whether targets never fall where X grows, with one set of constants and few steps."""
        table = self.population.table
        falls = self.is_magnitude
        if table is not None:
            falls = falls or bool((np.diff(table.entries) < 0).any())
        few = self.population.train_code.steps <= MOST_THRESHOLD_STEPS
        return few and not falls and self.border.count == 1

    @property
    def by_thresholds(self) -> bool:
        """Whether neurons are thresholds of the sums."""
        return self.may_be_thresholds and self.lanes == self.folding.pe

    @property
    def allowance(self) -> int:
        return self.short_allowance if self.by_thresholds else super().allowance

    @property
    def queue_cycles(self) -> int:
        """None where neurons are thresholds: an empty FIFO hands on what enters it."""
        return 0 if self.by_thresholds else super().queue_cycles

    @property
    def built_as(self) -> str:
        return "thresholds_hardware" if self.by_thresholds else super().built_as

    @fact
    def thresholds(self) -> np.ndarray:
        """(outputs, 2^T - 1) least sums with which a step sends an event, int64.

        Those of step 0, of step 1 after no event and after one, of step 2 after 00, 01, 10, 11, and
        so on. One more than the greatest sum there is where no sum does.
        """
        code = self.population.spike_code
        membranes, level = [], [code.rest]
        for eta in code.eta:
            membranes += level
            level = [v + step for v in level for step in (-eta, eta)]
        low, high = -(1 << self.total_width - 1), 1 << self.total_width - 1
        least = np.full((self.outputs, len(membranes)), low, np.int64)
        above = np.full_like(least, high)  # the event is sent from here on at the latest
        while (least < above).any():
            middle = (least + above) >> 1
            sends = np.array(membranes) < self._targets(middle)
            above = np.where(sends, middle, above)
            least = np.where(sends, least, middle + 1)
        return above

    def _targets(self, sums: np.ndarray) -> np.ndarray:
        """Return f(F) of sums, (outputs, n) int64."""
        operand, table = self.held.operands[0], self.population.table
        x = self.folded_bias[0][:, None] + (sums << self.sum_places)
        factor = operand.multiplier[:, None]
        if operand.below is not None:
            factor = np.where(x < 0, operand.below[:, None], factor)
        target = shifted(x * factor, self.shift, self.ties)
        if table is not None:
            return table(target)
        if self.population.function == "relu":
            target = np.maximum(target, 0)
        limit = self.population.limit
        return target if limit is None else np.minimum(target, limit)

    def cost(self) -> dict[str, Resources]:
        if self.by_thresholds:
            parts = sums_of_trains(self, accumulators_cost)
            return parts | {"neurons": thresholds_cost(self)}
        return sums_of_trains(self) | {"neurons": neurons_cost(self)}

    def differences(self) -> Iterator[str]:
        bounds = held_bounds(self)
        yield from unfit_weights(self)
        if self.by_thresholds and not self._same_constants:
            yield (
                f"biases and factors of {self.name!r} are logic, which no memory holds: they "
                f"cannot be replaced (fold it with synapse=events)"
            )
        yield from wide_integrators(self, bounds)
        yield from wide_sums(self)
        yield from self.wide_targets(bounds)

    @property
    def _same_constants(self) -> bool:
        """Whether biases and factors that are held are those of the shape."""
        ours, held = self.population.operands[0], self.held.operands[0]
        pairs = [(ours.bias, held.bias), (ours.multiplier, held.multiplier)]
        if ours.below is not None and held.below is not None:
            pairs.append((ours.below, held.below))
        return all(np.array_equal(one, other) for one, other in pairs)

    def crowded(self) -> tuple[np.ndarray, ...]:
        return (crowding(self),)

    def crowded_targets(self) -> float:
        return self.targets_crowd(held_bounds(self))

    def observations(self) -> tuple[Observation, ...]:
        if self.by_thresholds:
            return (*self.sums_seen, self.trains_seen)
        return (
            *self.integrators_seen,
            Observation(
                quantity="target",
                when=TARGET,
                valid="target_valid",
                port="target",
                lanes=self.lanes,
                bits=self.target_width,
            ),
            *firing_of(self.lanes, self.membrane_width),
            self.trains_seen,
        )


def thresholds_cost(plan: NeuronsPlan) -> Resources:
    """Price comparisons with constants, three bits a LUT beside the first, and their choice.

    Zeros below a constant cost nothing, and equal constants of a neuron are compared once.
    """
    offset, width = 1 << plan.total_width - 1, plan.total_width
    luts = flip_flops = 0
    for row in plan.thresholds.tolist():
        levels = {level for level in (t + offset for t in row) if 0 < level < 2 * offset}
        for level in levels:
            bits = width - ((level & -level).bit_length() - 1)
            luts += max(1, -(-(bits - 1) // 3))
            flip_flops += 1
    chosen = sum(multiplexer_luts(1 << t) for t in range(plan.population.train_code.steps))
    return Resources(lut=luts + round(chosen * plan.outputs), ff=flip_flops + 1)


def neurons_cost(plan: NeuronsPlan) -> Resources:
    """Requantisation (multiplier, rounding, ReLU's mask), the function and firing."""
    technology, code = plan.technology, plan.population.spike_code
    low, high = plan.target_range
    target, wide = plan.target_width, plan.requantised_width
    product = product_cost(technology, plan.x_width, plan.factor_bits)
    rounding = carry_luts(technology, wide + plan.shift)
    mask = wide - 1 if plan.has_plain_relu else 0
    lane = product + Resources(lut=rounding + mask, ff=wide) + function_cost(plan)
    lane += ties_cost(plan.ties, plan.shift)
    if not plan.overlapped:
        neuron = neuron_cost(technology, code.rest, code.eta, low, high)
        return scaled(lane + neuron, plan.lanes) + Resources(lut=10, ff=8)
    v = plan.membrane_width
    entry = plan.lanes * (v + code.steps)
    neuron = Resources(
        lut=v + carry_luts(technology, max(v, target)) + 2 * carry_luts(technology, v),
        ff=target + v + 1 + code.steps,
        lone_ff=target + code.steps,
    )
    state = ram_cost(technology, plan.groups, entry, state_style(plan, entry))
    return scaled(lane + neuron, plan.lanes) + state + Resources(lut=30, ff=30)


def function_cost(plan: NeuronsPlan) -> Resources:
    """Choice by sign, and table or clamp, of one lane."""
    technology, x, wide = plan.technology, plan.x_width, plan.requantised_width
    cost = Resources()
    if plan.is_magnitude:
        cost += Resources(lut=carry_luts(technology, x), ff=x + plan.factor_bits)
        cost += Resources(lone_ff=plan.factor_bits)
    elif plan.has_two_factors:
        cost += Resources(lut=plan.factor_bits, ff=x + plan.factor_bits, lone_ff=x)
    table = plan.population.table
    if table is not None:
        depth = len(table.entries)
        bits = address_bits(depth)
        above = -(-max(0, wide - 1 - bits) // 3)
        cost += Resources(lut=bits + above, ff=bits)
        cost += rom_cost(technology, depth, plan.target_width, technology.rom_registered)
    elif not plan.has_plain_relu:
        comparisons = 2 * carry_luts(technology, wide)
        cost += Resources(lut=comparisons + plan.target_width, ff=plan.target_width)
    return cost
