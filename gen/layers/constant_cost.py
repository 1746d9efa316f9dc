"""Cost of weights as logic: functions of four events, and registered adders, by actual weights."""

from collections.abc import Sequence
from itertools import pairwise

from ...hdl.constant_sums import Range, inputs_of, joined, logic_latency, scaled_range, signed_bits
from ..cost import Resources, apart_from_adder, carry_luts, scaled, total
from ..technology import Technology
from .plan import LayerPlan


def logic_cost(plan: LayerPlan) -> Resources:
    """Price the functions of all groups, the trees, and the join of the steps.

    Equal functions of the same events are made once, whichever outputs they are of.
    """
    technology, unroll = plan.technology, plan.unroll
    functions = {
        (group.inputs, mask)
        for groups in plan.constant_sums
        for group in groups
        for mask in group.masks
    }
    groups = total(_function_cost(mask, len(inputs)) for inputs, mask in functions)
    return scaled(groups, unroll) + total(_output_cost(plan, technology, p) for p in _outputs(plan))


def _outputs(plan: LayerPlan) -> list[int]:
    """Return the outputs that have weights."""
    return [p for p, groups in enumerate(plan.constant_sums) if groups]


def _function_cost(mask: int, count: int) -> Resources:
    """Price a LUT and its register: the register alone for an event, neither for a constant."""
    needed = inputs_of(mask, count)
    if not needed:
        return Resources()
    if len(needed) > 1 or mask & 1:
        return Resources(lut=1, ff=1)
    return Resources(ff=1, lone_ff=1)


def _output_cost(plan: LayerPlan, technology: Technology, p: int) -> Resources:
    """Price an output's trees, and registers in which it waits for deeper ones."""
    unroll = plan.unroll
    levels = joined([group.range for group in plan.constant_sums[p]])
    whole = levels[-1][0]
    join = joined([scaled_range(whole, 1 << places) for places in reversed(range(unroll))])
    depth = len(levels) + len(join) - 1
    late = logic_latency(depth=plan.constant_depth, unroll=unroll) - depth
    waits = late * signed_bits(*join[-1][0])
    return (
        scaled(_adders_cost(technology, levels), unroll)
        + _adders_cost(technology, join)
        + Resources(ff=waits, lone_ff=waits)
    )


def _adders_cost(technology: Technology, levels: Sequence[Sequence[Range]]) -> Resources:
    """Price registered pairs; one left over waits in a register, without a LUT."""
    lut = ff = lone = 0
    for below, level in pairwise(levels):
        for k, reach in enumerate(level):
            width = signed_bits(*reach)
            ff += width
            if 2 * k + 1 < len(below):
                lut += carry_luts(technology, width)
                lone += apart_from_adder(technology, width)
            else:
                lone += width
    return Resources(lut=lut, ff=ff, lone_ff=lone)
