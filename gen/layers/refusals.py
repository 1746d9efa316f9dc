"""Refusals that kinds of layer share: what there is no hardware for, as the end of a sentence."""

from collections.abc import Sequence

from ..design.border import MOST_BIASES, border_of
from ..design.design import Design
from ..design.population import DesignOperand, DesignPopulation
from ..model.codes import RateCode, SpikeCode
from ..model.maps import LinearMap
from ..readers.kinds import reader_kind


def no_sums(design: Design, population: DesignPopulation) -> str:
    """Return why there is no hardware for the sums of a population of one operand."""
    if any(operand.products for operand in population.operands):
        return "sums products of trains"
    return no_sum(design, population, population.operands[0])


def no_sum(design: Design, population: DesignPopulation, operand: DesignOperand) -> str:
    """Return why there is no hardware for the sum of an operand's projections."""
    projection, *others = operand.projections
    if others:
        return _no_join(design, population, operand)
    return _no_windows(design, population, operand, projection.source, projection.map)


def takes_planes(design: Design, codes: Sequence[SpikeCode | RateCode | None]) -> bool:
    """Whether windows, sums of sources and maxima may read the trains of sources."""
    if design.dynamics == "if":
        return True  # every step by itself, and 0 is no event
    return design.firing == "settled" and all(code is not None and code.is_binary for code in codes)


def _no_join(design: Design, population: DesignPopulation, operand: DesignOperand) -> str:
    sources = [design[q.source] for q in operand.projections]
    if not takes_planes(design, [source.code for source in sources]):
        return "sums sources, for which firing must be settled and the schedule binary"
    steps = {source.name: source.code.steps for source in sources if source.code is not None}
    if len(set(steps.values())) > 1:
        listed = ", ".join(f"{name} {t}" for name, t in steps.items())
        others = {t for name, t in steps.items() if design[name].code != design.input.code}
        way = f"; --input-steps {others.pop()} would do" if len(others) == 1 else ""
        return f"sums sources of different T ({listed}{way})"
    reasons = (
        _no_windows(design, population, operand, q.source, q.map) for q in operand.projections
    )
    return next(filter(None, reasons), "")


def _no_windows(
    design: Design,
    population: DesignPopulation,
    operand: DesignOperand,
    source: str,
    linear: LinearMap,
) -> str:
    """Return what there is no hardware for in a map of planes."""
    if linear.kind == "dense":
        return ""
    if design.dynamics != "if" and design.firing != "settled":
        return "reads planes, for which firing must be settled"
    found = reader_kind(design[source], linear).refuses(design[source], linear)
    if found:
        return found
    kinds = border_of(
        operand.bias,
        population.shape,
        [(q.map, design[q.source].train_code) for q in operand.projections],
    ).count
    if kinds > 1 and design.dynamics == "if":
        return (
            "has a bias that differs from pixel to pixel, which integrate-and-fire neurons do not"
        )
    biases = kinds * population.shape[0]
    if biases > MOST_BIASES:
        return (
            f"has {kinds} kinds of pixel by their biases, which makes {biases} biases, and "
            f"{MOST_BIASES} are the most"
        )
    return ""
