"""Shape: what a Design fixes of its hardware beside the contents of memories.

A Design of the same shape fits into hardware that was made for another one: its weights, biases
and factors take the place of the other's, in words of the same widths.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..design.design import Design
from ..design.population import DesignPopulation
from ..model.codes import RateCode
from ..technology import Technology, find_technology
from .plans import no_hardware, plan_layers

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
    held, given = shape.input.threshold, design.input.threshold
    if held is not None and given is not None and held != given:
        (held,), (given,) = held, given
        yield f"the threshold of {shape.input.name!r} must be {held}, not {given}"
    for held, given in zip(shape.populations, design.populations, strict=True):
        yield from _unlike_code(held, given)
    _, plans = plan_layers(design, find_technology(technology), shape)
    for plan in plans:
        yield from plan.differences()


@dataclass(frozen=True, kw_only=True, eq=False)
class Crowd:
    """How full the registers of hardware made for a shape may get; 1 is just full.

    Members
    -------
    operands : (outputs,) of each operand: of its sums and integrators
    targets : of the targets of its neurons
    """

    operands: tuple[np.ndarray, ...]
    targets: float


def crowds(shape: Design, design: Design, technology: Technology | str) -> dict[str, Crowd]:
    """Return how full the registers of each layer get, by name, of designs of the same graph."""
    _, plans = plan_layers(design, find_technology(technology), shape)
    return {
        plan.name: Crowd(operands=plan.crowded(), targets=plan.crowded_targets()) for plan in plans
    }


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
    if held.ties != given.ties:
        yield f"ties of {held.name!r} must go {held.ties}, not {given.ties}"
    if held.limit != given.limit:
        yield f"the greatest target of {held.name!r} must be {held.limit}, not {given.limit}"
    if held.code is None or given.code is None:
        return
    table, other = held.table, given.table
    alike = table is other if table is None or other is None else table.same(other)
    if not alike:
        yield f"the function table of {held.name!r} must be the same, entry by entry"
    below = [
        None if p.operands[0].below is None else p.operands[0].is_magnitude
        for p in (held, given)
        if p.operands
    ]
    if len(set(below)) > 1:
        yield f"{held.name!r} must have factors for X < 0 of the same kind"
    fraction, wanted = (p.comparison and p.comparison.fraction for p in (held, given))
    if fraction != wanted:
        yield f"the fraction of {held.name!r} must be {fraction}, not {wanted}"
    if held.code.steps != given.code.steps:
        yield f"{held.name!r} must have T = {held.code.steps}, not {given.code.steps}"
    if isinstance(held.code, RateCode) or isinstance(given.code, RateCode):
        return  # they have neither step sizes nor a rest
    if held.code.steps == given.code.steps and held.code.eta != given.code.eta:
        yield (
            f"step sizes of {held.name!r} must be {_listed(held.code.eta)}, not "
            f"{_listed(given.code.eta)}"
        )
    if held.code.rest != given.code.rest:
        yield f"rest of {held.name!r} must be {held.code.rest}, not {given.code.rest}"


def _listed(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers[:8])) + (" ..." if len(numbers) > 8 else "")
