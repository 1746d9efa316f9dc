"""Neurons that fire against F1·F2."""

from ...cost import (
    Resources,
    carry_luts,
    product_cost,
)
from ..cost import neuron_cost, ties_cost
from .plan import PairPlan


class ProductPlan(PairPlan):
    """Neurons of two operands that fire against F1·F2."""

    kind = "product"
    hardware = "ProductLayer"
    function = "multiply"

    def prices(self) -> tuple[Resources, Resources]:
        return product_neuron(self)


def product_neuron(plan: PairPlan) -> tuple[Resources, Resources]:
    """Price F1 turned, its product, rounding, clamp and a neuron; no more than |F2| is shared."""
    technology, code = plan.technology, plan.population.spike_code
    first, second = (operand.requantised_width for operand in plan.parts)
    rounded = first + second - plan.fraction
    target = (code.high + 1).bit_length() + 1
    lane = product_cost(technology, first, second - 1)
    lane += Resources(
        lut=2 * carry_luts(technology, first)
        + carry_luts(technology, rounded)
        + 2 * carry_luts(technology, rounded)
        + target,
        ff=first + rounded + target,
    )
    lane += ties_cost(plan.ties, plan.fraction)
    lane += neuron_cost(technology, code.rest, code.eta, code.low, code.high + 1)
    return lane, Resources(lut=carry_luts(technology, second), ff=second)
