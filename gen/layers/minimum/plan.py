"""Numbers of neurons that fire against the lesser of two operands."""

from ...cost import Resources, carry_luts
from ..cost import neuron_cost
from ..pair.plan import PairPlan


class MinimumPlan(PairPlan):
    """Neurons of two operands that fire against min(F1, F2)."""

    kind = "minimum"
    hardware = "MinimumLayer"
    function = "minimum"

    def prices(self) -> tuple[Resources, Resources]:
        return minimum_neuron(self)


def minimum_neuron(plan: MinimumPlan) -> tuple[Resources, Resources]:
    """Price a comparison, the choice, clamp and a neuron; nothing is made of F2 alone."""
    technology, code = plan.technology, plan.population.spike_code
    wide = max(operand.requantised_width for operand in plan.parts)
    target = (code.high + 1).bit_length() + 1
    lane = Resources(
        lut=carry_luts(technology, wide) + wide + 2 * carry_luts(technology, wide) + target,
        ff=wide + target,
    )
    lane += neuron_cost(technology, code.rest, code.eta, code.low, code.high + 1)
    return lane, Resources()
