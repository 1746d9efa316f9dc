"""Numbers of neurons of one operand."""

from collections.abc import Iterator

import numpy as np

from ...cost import (
    Resources,
    address_bits,
    carry_luts,
    product_cost,
    ram_cost,
    rom_cost,
    scaled,
)
from ...design.design import Design
from ...design.population import DesignPopulation, bits_for
from ...facts import fact
from ...model.network import MAX, READOUT
from ..cost import neuron_cost, state_style, sums_of_trains, ties_cost
from ..fit import crowding, held_bounds, unfit_weights, wide_integrators, wide_sums
from ..observation import TARGET, Observation, firing_of
from ..refusals import no_sums
from ..requantised import RequantisedPlan


class NeuronsPlan(RequantisedPlan):
    """Integrators, requantisation, a function and neurons, of signGD.

    trains -> [readers -> synapses -> integrators -> requantise -> f -> neurons] -> trains
    """

    kind = "neurons"
    hardware = "NeuronLayer"

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

    def cost(self) -> dict[str, Resources]:
        return sums_of_trains(self) | {"neurons": neurons_cost(self)}

    def differences(self) -> Iterator[str]:
        bounds = held_bounds(self)
        yield from unfit_weights(self)
        yield from wide_integrators(self, bounds)
        yield from wide_sums(self)
        yield from self.wide_targets(bounds)

    def crowded(self) -> tuple[np.ndarray, ...]:
        return (crowding(self),)

    def crowded_targets(self) -> float:
        return self.targets_crowd(held_bounds(self))

    def observations(self) -> tuple[Observation, ...]:
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
