"""Cost of layers of two operands: of each operand, and of the neurons behind them."""

from typing import TYPE_CHECKING

from ...cost import (
    Resources,
    address_bits,
    carry_luts,
    counter_luts,
    product_cost,
    scaled,
    total,
)
from ..cost import results_cost

if TYPE_CHECKING:
    from .plan import OperandPlan, PairPlan


def pair_cost(plan: "PairPlan") -> dict[str, Resources]:
    """Resources of a layer of two operands, by part."""
    each = [operand.cost() for operand in plan.parts]
    parts = {part: total(cost[part] for cost in each) for part in each[0]}
    steps = plan.population.code.steps
    pairing = Resources(lut=8 + counter_luts(steps), ff=2 + address_bits(steps))
    parts["neurons"] += neurons_cost(plan) + pairing
    parts["fifo"] += results_cost(plan)
    return parts


def operand_cost(plan: "OperandPlan") -> Resources:
    """Requantisation of all lanes: product and rounding."""
    technology, wide = plan.technology, plan.requantised_width
    lane = product_cost(technology, plan.x_width, plan.factor_bits)
    lane += Resources(lut=carry_luts(technology, wide + plan.shift), ff=wide)
    return scaled(lane, plan.lanes)


def neurons_cost(plan: "PairPlan") -> Resources:
    """Neurons of all lanes, and what they share of the second operand."""
    code, lanes = plan.population.code, plan.lanes
    assert code is not None
    lane, of_second = plan.prices()
    control = Resources(lut=12, ff=code.steps + address_bits(code.steps) + 8)
    return scaled(lane, lanes) + scaled(of_second, 1 if plan.shared else lanes) + control
