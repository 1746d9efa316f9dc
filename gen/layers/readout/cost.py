"""Cost of a read-out."""

from typing import TYPE_CHECKING

from ...cost import (
    Resources,
    address_bits,
    carry_luts,
    counter_luts,
)

if TYPE_CHECKING:
    from .plan import ReadoutPlan


def readout_cost(plan: "ReadoutPlan") -> Resources:
    """Logits on their way, the comparison with the best, the index."""
    x, index = plan.x_width, address_bits(plan.outputs)
    return Resources(
        lut=carry_luts(plan.technology, x) + 2 * counter_luts(plan.outputs) + 6,
        ff=4 * x + 4 * index + 8,
        lone_ff=4 * x + 3 * index,
    )
