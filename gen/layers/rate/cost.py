"""Cost of integrate-and-fire neurons."""

from typing import TYPE_CHECKING

from ...cost import (
    Resources,
    address_bits,
    apart_from_adder,
    carry_luts,
    ram_cost,
    rom_cost,
    scaled,
)
from ..cost import state_style

if TYPE_CHECKING:
    from .plan import RatePlan


def rate_neurons_cost(plan: "RatePlan") -> Resources:
    """Price both currents and both sums of a lane, their choice, membranes and trains."""
    technology, lanes, steps = plan.technology, plan.lanes, plan.source_code.steps
    width, membrane = plan.widths.current, plan.widths.membrane
    constants = rom_cost(technology, plan.constant_words, plan.constant_width, False)
    state = lanes * (membrane + steps)
    memory = ram_cost(technology, plan.groups, state, state_style(plan, state))
    lane = Resources(
        lut=2 * carry_luts(technology, width) + 2 * carry_luts(technology, membrane) + 2 * membrane,
        ff=plan.total_width + 2 * width + 2 * membrane + steps,
        lone_ff=plan.total_width
        + steps
        + 2 * (apart_from_adder(technology, width) + apart_from_adder(technology, membrane)),
    )
    order = address_bits(plan.groups) + address_bits(steps) + 2 * address_bits(plan.constant_words)
    return constants + memory + scaled(lane, lanes) + Resources(lut=2 * order + 12, ff=order + 12)
