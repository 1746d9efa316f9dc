"""Cost of maxima."""

from typing import TYPE_CHECKING

from ...cost import (
    Resources,
    carry_luts,
    scaled,
)

if TYPE_CHECKING:
    from .plan import MaximumPlan


def maxima_cost(plan: "MaximumPlan") -> Resources:
    """Price a comparison and a train for each lane, and the drain's shift."""
    steps, pe, lanes = plan.source_code.steps, plan.folding.pe, plan.lanes
    lane = Resources(lut=carry_luts(plan.technology, steps), ff=steps)
    drain = Resources(lut=(pe - lanes) * steps, ff=pe * steps, lone_ff=lanes * steps)
    return scaled(lane, pe) + drain
