"""Shape: what a Design fixes of its hardware beside the contents of memories.

A Design of the same shape fits into hardware that was made for another one: its weights, biases
and factors take the place of the other's, in words of the same widths.
"""

from collections.abc import Iterator

import numpy as np

from ..design.border import pixel_biases
from ..design.design import Design, DesignPopulation, bits_for
from ..layers.maximum import maximum_of
from ..layers.pair import PairPlan, is_shared
from ..layers.plan import (
    LayerPlan,
    MaximumPlan,
    RatePlan,
    RateReadoutPlan,
    no_hardware,
    plan_layers,
)
from ..model.codes import RateCode
from ..technology import Technology, find_technology

FIXED_INPUT = ("low", "high", "multiplier", "shift")  # of the input format; its scale is the host's


def refuse_unlike(shape: Design, design: Design, technology: Technology | str) -> None:
    """Raise where ``design`` does not fit into hardware made for ``shape``.

    Parameters
    ----------
    shape
        Folded.
    design
        Its folding does not matter.

    Raises
    ------
    ValueError
        Naming layer, number and limit of the first thing that does not fit.
    """
    reasons = list(differences(shape, design, technology))
    if reasons:
        more = f", and {len(reasons) - 1} more such" if len(reasons) > 1 else ""
        raise ValueError(
            f"{design.name!r} does not fit the shape of {shape.name!r}: {reasons[0]}{more} "
            f"(convert the model with --like that design, or build it anew)"
        )


def differences(shape: Design, design: Design, technology: Technology | str) -> Iterator[str]:
    """Yield every reason for which ``design`` does not fit into hardware made for ``shape``."""
    reason = _unlike_graph(shape, design)
    if reason is not None:
        yield reason
        return
    if shape.dynamics != design.dynamics:
        yield f"dynamics must be {shape.dynamics}, not {design.dynamics}"
        return
    for name in FIXED_INPUT:
        held, given = getattr(shape.input_format, name), getattr(design.input_format, name)
        if held != given:
            yield f"{name} of the input format must be {held}, not {given}"
    if shape.firing != design.firing:
        yield f"firing must be {shape.firing}, not {design.firing}"
    if shape.input.threshold is not None and shape.input.threshold != design.input.threshold:
        (held,), (given,) = shape.input.threshold, design.input.threshold
        yield f"the threshold of {shape.input.name!r} must be {held}, not {given}"
    for held, given in zip(shape.populations, design.populations, strict=True):
        yield from _unlike_code(held, given)
    _, plans = plan_layers(design, find_technology(technology), shape)
    for plan in plans:
        if isinstance(plan, MaximumPlan):
            held = maximum_of(plan.held, plan.held_source)
            if isinstance(held, str):
                yield f"{plan.name!r} {held}"
            elif list(held.padding_train) != plan.padding_train:
                yield f"what {plan.name!r} reads beyond the planes must be the same"
        elif isinstance(plan, PairPlan):
            if plan.shared and not is_shared(plan.held):
                yield f"operand 2 of {plan.name!r} must be the same for all channels"
            for operand in plan.operands:
                yield from _too_wide(operand)
        else:
            yield from _too_wide(plan)


def _unlike_graph(shape: Design, design: Design) -> str | None:
    def listed(populations: tuple[DesignPopulation, ...]) -> str:
        return ", ".join(
            f"{p.name} {'x'.join(map(str, p.shape))} {p.function}" for p in populations
        )

    held, given = listed(shape.populations), listed(design.populations)
    if held != given:
        return f"the layers must be {held}, not {given}"
    for a, b in zip(shape.populations, design.populations, strict=True):
        sources = [[(q.source, q.map.kind) for q in p.sources] for p in (a, b)]
        if sources[0] != sources[1]:
            return f"{a.name!r} must read {sources[0]}, not {sources[1]}"
        maps = [[q.map.parameters() for q in p.sources] for p in (a, b)]
        if maps[0] != maps[1]:
            return f"{a.name!r} must read windows as {maps[0]}, not {maps[1]}"
    return no_hardware(design)


def _unlike_code(held: DesignPopulation, given: DesignPopulation) -> Iterator[str]:
    if held.limit != given.limit:
        yield f"the greatest target of {held.name!r} must be {held.limit}, not {given.limit}"
    if held.code is None or given.code is None:
        return
    tables = held.table, given.table
    if (tables[0] is None) != (tables[1] is None) or (
        tables[0] is not None and not tables[0].same(tables[1])
    ):
        yield f"the function table of {held.name!r} must be the same, entry by entry"
    below = [
        None if p.operands[0].below is None else p.operands[0].is_magnitude
        for p in (held, given)
        if p.operands
    ]
    if len(set(below)) > 1:
        yield f"{held.name!r} must have factors for X < 0 of the same kind"
    if held.comparison is not None and held.comparison.fraction != given.comparison.fraction:
        yield (
            f"the fraction of {held.name!r} must be {held.comparison.fraction}, not "
            f"{given.comparison.fraction}"
        )
    if held.code.steps != given.code.steps:
        yield f"{held.name!r} must have T = {held.code.steps}, not {given.code.steps}"
    elif isinstance(held.code, RateCode):
        return  # it has neither step sizes nor a rest
    elif held.code.eta != given.code.eta:
        yield (
            f"step sizes of {held.name!r} must be {_listed(held.code.eta)}, not "
            f"{_listed(given.code.eta)}"
        )
    if held.code.rest != given.code.rest:
        yield f"rest of {held.name!r} must be {held.code.rest}, not {given.code.rest}"


def _listed(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers[:8])) + (" ..." if len(numbers) > 8 else "")


def _too_wide(plan: LayerPlan) -> Iterator[str]:
    """Yield what the memories of a layer would hold that its registers cannot."""
    name, operand = plan.name, plan.held.operands[0]
    if operand.shift != plan.shift:
        yield f"shift S of {name!r} must be {plan.shift}, not {operand.shift}"
    if isinstance(plan, RateReadoutPlan):
        bounds = np.abs(plan.folded_bias).max(axis=0)
    else:
        bounds = np.abs(pixel_biases(operand.bias, plan.held.shape)).max(axis=1)
    yield from _other_border(plan)
    for reader in plan.readers:
        bits = plan.first_bits if reader.apart else plan.weight_bits
        limit = 2 ** (bits - 1) - 1
        greatest = int(np.abs(reader.weights).max(initial=0))
        if greatest > limit:
            yield f"weights of {name!r} reach {greatest}, and {bits} bits hold {limit}"
        reach = max(abs(reader.source_code.low), abs(reader.source_code.high))
        bounds = bounds + reach * np.abs(reader.weights).sum(axis=1) * reader.repeats
    weights = plan.weights * plan.repeats
    bound = int(bounds.max())
    if bits_for(-bound, bound) > plan.x_width and not isinstance(plan, RatePlan):
        limit = 2 ** (plan.x_width - 1) - 1
        yield f"integrators of {name!r} reach {bound}, and {plan.x_width} bits hold {limit}"
    low = int(np.minimum(weights, 0).sum(axis=1).min()) * plan.sum_scale
    high = int(np.maximum(weights, 0).sum(axis=1).max()) * plan.sum_scale
    if bits_for(min(low, -1), high) > plan.total_width:
        limit = 2 ** (plan.total_width - 1)
        yield (
            f"sums of {name!r} reach {low}..{high}, and {plan.total_width} bits hold "
            f"{-limit}..{limit - 1}"
        )
    if isinstance(plan, RatePlan):
        yield from _wide_neurons(plan)
    elif not plan.is_readout:
        yield from _wide_targets(plan, bounds)


def _other_border(plan: LayerPlan) -> Iterator[str]:
    """Yield where biases differ between pixels that the hardware takes to be of one kind."""
    biases = pixel_biases(plan.held.operands[0].bias, plan.held.shape)
    if not plan.border.tells(biases):
        yield (
            f"biases of {plan.name!r} must be the same at all pixels of a kind, of which its "
            f"hardware knows {plan.border.count}"
        )


def _wide_neurons(plan: RatePlan) -> Iterator[str]:
    """Yield what does not fit of integrate-and-fire neurons."""
    for what, needed, there in (
        ("B and B - θ", plan.held_widths.constants, plan.widths.constants),
        ("currents", plan.held_widths.current, plan.widths.current),
        ("membranes", plan.held_widths.membrane, plan.widths.membrane),
    ):
        if needed > there:
            yield f"{what} of {plan.name!r} need {needed} bits, and {there} are there"


def _wide_targets(plan: LayerPlan, bounds: np.ndarray) -> Iterator[str]:
    """Yield what does not fit of factors and of what they make of the integrators."""
    operand = plan.held.operands[0]
    multipliers = operand.multiplier
    if plan.has_two_factors:
        multipliers = np.maximum(multipliers, operand.below)
    factor = int(multipliers.max())
    if factor.bit_length() > plan.factor_bits:
        limit = 2**plan.factor_bits - 1
        yield (
            f"requantisation factors of {plan.name!r} reach {factor}, and {plan.factor_bits} bits "
            f"hold {limit}"
        )
    code, held = plan.population.code, plan.requantised_range[1]
    assert code is not None
    products = [int(x) * int(m) for x, m in zip(bounds, multipliers, strict=True)]
    target = (max(products) + (1 << plan.shift) - 1) >> plan.shift
    if not plan.has_plain_relu:  # what comes behind clamps
        first = 0 if plan.population.table is None else plan.population.table.first
        if bits_for(-target - first - 1, target - first) > plan.requantised_width:
            yield f"requantised inputs of {plan.name!r} reach {target}, and its registers less"
        return

    def widths(high: int) -> tuple[int, int]:
        """Bits of a target, and of rest - target."""
        step = max(code.eta)
        return high.bit_length(), bits_for(min(code.rest - high, -step), max(code.rest, step))

    if any(a > b for a, b in zip(widths(target), widths(held), strict=True)):
        limit = 2 ** held.bit_length() - 1
        yield f"targets of {plan.name!r} reach {target}, and its neurons hold up to {limit}"
