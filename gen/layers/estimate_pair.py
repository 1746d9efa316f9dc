"""Estimate of layers of two operands: what each operand costs, and the neurons behind them."""

from ..core.estimate import layer_cost, neuron_cost
from ..cost import (
    Resources,
    address_bits,
    apart_from_adder,
    carry_luts,
    counter_luts,
    fifo_cost,
    product_cost,
    scaled,
    total,
)
from .pair import OperandPlan, PairPlan


def pair_cost(plan: PairPlan) -> dict[str, Resources]:
    """Resources of a layer of two operands, by part."""
    each = [layer_cost(operand) for operand in plan.operands]
    parts = {part: total(cost[part] for cost in each) for part in each[0]}
    steps = plan.population.code.steps
    pairing = Resources(lut=8 + counter_luts(steps), ff=2 + address_bits(steps))
    parts["neurons"] = total(operand_cost(operand) for operand in plan.operands)
    parts["neurons"] += neurons_cost(plan) + pairing
    words = [operand_fifo(operand) for operand in plan.operands]
    parts["fifo"] = total([*words, fifo_cost(plan.technology, plan.fifo_depth, plan.lanes * steps)])
    return parts


def operand_cost(plan: OperandPlan) -> Resources:
    """Requantisation of all lanes: product and rounding."""
    technology, wide = plan.technology, plan.requantised_width
    lane = product_cost(technology, plan.x_width, plan.factor_bits)
    lane += Resources(lut=carry_luts(technology, wide + plan.shift), ff=wide)
    return scaled(lane, plan.lanes)


def operand_fifo(plan: OperandPlan) -> Resources:
    return fifo_cost(plan.technology, plan.fifo_depth, plan.lanes * plan.requantised_width)


def neurons_cost(plan: PairPlan) -> Resources:
    """Neurons of all lanes, and what they share of the second operand."""
    code, lanes = plan.population.code, plan.lanes
    assert code is not None
    lane, of_second = {
        "multiply": product_neuron,
        "divide": quotient_neuron,
        "divide_root": root_neuron,
    }[plan.population.function](plan)
    control = Resources(lut=12, ff=code.steps + address_bits(code.steps) + 8)
    return scaled(lane, lanes) + scaled(of_second, 1 if plan.shared else lanes) + control


def product_neuron(plan: PairPlan) -> tuple[Resources, Resources]:
    """Price F1 turned, its product, rounding, clamp and a neuron; no more than |F2| is shared."""
    technology, code = plan.technology, plan.population.code
    first, second = (operand.requantised_width for operand in plan.operands)
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
    lane += neuron_cost(technology, code.rest, code.eta, code.low, code.high + 1)
    return lane, Resources(lut=carry_luts(technology, second), ff=second)


def quotient_neuron(plan: PairPlan) -> tuple[Resources, Resources]:
    """Price the residual, its start and add-or-subtract, and the step, which is halved."""
    technology, steps = plan.technology, plan.population.code.steps
    first, second = (operand.requantised_width for operand in plan.operands)
    scale = second - 1 + plan.fraction
    residual = max(scale + _value_bits(plan), first) + 1
    lane = Resources(
        lut=2 * carry_luts(technology, residual) + 2 * residual + scale + steps,
        ff=first + residual + scale + steps,
        lone_ff=first + scale + steps + apart_from_adder(technology, residual),
    )
    starts = Resources(lut=2 * second, ff=second)
    return lane, starts


def root_neuron(plan: PairPlan) -> tuple[Resources, Resources]:
    """Price |F1| and its square, what is kept of v², and what a step adds to it either way."""
    technology, code = plan.technology, plan.population.code
    first, second = (operand.requantised_width for operand in plan.operands)
    scale, value = second - 1 + 2 * plan.fraction, _value_bits(plan)
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


def _value_bits(plan: PairPlan) -> int:
    """Signed width of v."""
    code = plan.population.code
    return (abs(code.rest) + code.total).bit_length() + 1
