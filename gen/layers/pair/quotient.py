"""Neurons that fire against F1/F2."""

from ...cost import (
    Resources,
    apart_from_adder,
    carry_luts,
)
from .plan import PairPlan


class QuotientPlan(PairPlan):
    """Neurons of two operands that fire against F1/F2."""

    kind = "quotient"
    hardware = "QuotientLayer"
    function = "divide"

    def prices(self) -> tuple[Resources, Resources]:
        return quotient_neuron(self)


def quotient_neuron(plan: PairPlan) -> tuple[Resources, Resources]:
    """Price the residual, its start and add-or-subtract, and the step, which is halved."""
    technology, steps = plan.technology, plan.population.train_code.steps
    first, second = (operand.requantised_width for operand in plan.parts)
    scale = second - 1 + plan.fraction
    residual = max(scale + plan.value_bits, first) + 1
    lane = Resources(
        lut=2 * carry_luts(technology, residual) + 2 * residual + scale + steps,
        ff=first + residual + scale + steps,
        lone_ff=first + scale + steps + apart_from_adder(technology, residual),
    )
    starts = Resources(lut=2 * second, ff=second)
    return lane, starts
