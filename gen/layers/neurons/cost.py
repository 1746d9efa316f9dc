"""Cost of neurons: requantisation, function and firing."""

from typing import TYPE_CHECKING

from ...cost import (
    Resources,
    address_bits,
    carry_luts,
    product_cost,
    ram_cost,
    rom_cost,
    scaled,
)
from ..cost import neuron_cost, state_style

if TYPE_CHECKING:
    from .plan import NeuronsPlan


def neurons_cost(plan: "NeuronsPlan") -> Resources:
    """Requantisation (multiplier, rounding, ReLU's mask), the function and firing."""
    technology, code = plan.technology, plan.population.code
    assert code is not None
    low, high = plan.target_range
    target, wide = plan.target_width, plan.requantised_width
    product = product_cost(technology, plan.x_width, plan.factor_bits)
    rounding = carry_luts(technology, wide + plan.shift)
    mask = wide - 1 if plan.has_plain_relu else 0
    lane = product + Resources(lut=rounding + mask, ff=wide) + function_cost(plan)
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


def function_cost(plan: "NeuronsPlan") -> Resources:
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
