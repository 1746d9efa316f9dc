"""Neurons that fire against F1/√F2."""

from ...cost import (
    Resources,
    address_bits,
    apart_from_adder,
    carry_luts,
    product_cost,
)
from .plan import PairPlan


class RootPlan(PairPlan):
    """Neurons of two operands that fire against F1/√F2."""

    kind = "root"
    hardware = "RootLayer"
    function = "divide_root"

    def prices(self) -> tuple[Resources, Resources]:
        return root_neuron(self)


def root_neuron(plan: PairPlan) -> tuple[Resources, Resources]:
    """Price |F1| and its square, what is kept of v², and what a step adds to it either way."""
    technology, code = plan.technology, plan.population.spike_code
    first, second = (operand.requantised_width for operand in plan.parts)
    scale, value = second - 1 + 2 * plan.fraction, plan.value_bits
    square = scale + 2 * (value - 1)
    magnitude = min(first - 1, (square + 1) // 2 + 1)
    r = max(square, 2 * magnitude) + 1
    swing = square
    adders = 2 * carry_luts(technology, r) + 2 * carry_luts(technology, swing)
    choices = 2 * r + 5 * swing  # where from, by how much, or a new start
    lane = product_cost(technology, magnitude + 1, magnitude)
    lane += Resources(
        lut=carry_luts(technology, first) + first + adders + choices + 3 * value + code.steps,
        ff=2 * first + r + 2 * swing + value + 2 * code.steps + 4,
        lone_ff=first + code.steps + 3 * apart_from_adder(technology, r),
    )
    terms = 2 + address_bits(abs(code.rest) + 1) // 2
    of_second = Resources(
        lut=2 * second + terms * carry_luts(technology, square) + 2 * square,
        ff=3 * second + 3 * square + 2 * swing,
        lone_ff=3 * second,
    )
    return lane, of_second
