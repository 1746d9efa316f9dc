"""Plans of a whole core: of the input and of every layer, made to fit each other.

RTL, cycle model and estimate read the same plans, so that they speak of the same machine.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import gcd

from ..design.design import Design
from ..design.population import DesignPopulation
from ..encoders.kinds import encoder_kind
from ..encoders.plan import InputPlan
from ..layers.cycles import CoreTiming
from ..layers.kinds import layer_kind
from ..layers.plan import Given, LayerPlan
from ..technology import Technology, find_technology
from .skew import lines_ahead


def no_hardware(design: Design) -> str | None:
    """Return why the RTL cannot build a Design, in one sentence; ``None`` where it can."""
    kinds = [(population, layer_kind(design, population)) for population in design.populations[1:]]
    for _, kind in kinds:
        reason = kind.refuses_network(design)
        if reason is not None:
            return reason
    read = {q.source for p in design.populations for q in p.sources}
    for population, kind in kinds:
        found = kind.refuses(design, population)
        if not found and population.name not in read | {design.readout.name}:
            found = "is read by no other"
        if found:
            return (
                f"there is no RTL for this network: {population.name!r} {found} (the "
                f"golden model runs it: use signfire evaluate)"
            )
    return None


def check_hardware(design: Design) -> None:
    """Refuse what the RTL cannot build, and what is not folded."""
    reason = no_hardware(design)
    if reason is not None:
        raise ValueError(reason)
    for population in design.populations[1:]:
        if population.folding is None:
            raise ValueError(f"{population.name!r} has no folding (give --fold, or --fold auto)")
        if population.folding.multiplies and _sums_channels_apart(population):
            raise ValueError(
                f"{population.name!r} adds channels one by one, which multipliers do not (fold it "
                f"with synapse=events)"
            )


def _sums_channels_apart(population: DesignPopulation) -> bool:
    """Whether an operand sums several projections, of one channel an output among them."""
    apart = [q.map.apart for q in population.operands[0].projections]
    return len(apart) > 1 and any(apart)


def plan_layers(
    design: Design, technology: Technology, shape: Design | None = None
) -> tuple[InputPlan, list[LayerPlan]]:
    """Derive the numbers of the input and of every layer.

    Parameters
    ----------
    design
        Whose weights, biases, factors and step sizes lie in the memories.
    technology
        Device family.
    shape
        Folded Design that fixes everything else: folding, widths, shifts, cycles. ``None`` is
        ``design`` itself. :func:`.shape.refuse_unlike` says whether ``design`` fits into it.

    Raises
    ------
    ValueError
        If the shape is not folded, or has no hardware.
    """
    stored = {p.name: p for p in design.populations}
    if shape is not None:
        design = shape
    check_hardware(design)
    entry = encoder_kind(design).of(design, technology)
    bare: list[LayerPlan] = []
    for population in design.populations[1:]:
        given = Given(design=design, population=population, stored=stored, technology=technology)
        bare.append(layer_kind(design, population).of(given))
        if bare[-1].skips and not bare[-1].can_skip:
            raise ValueError(
                f"{population.name!r} cannot skip silent words: it has several sources, or reads "
                f"windows or sums of them (leave it at silent=read)"
            )
    place = {p.name: k for k, p in enumerate(design.populations)}  # of its stream
    sources = [[place[reader.source.name] for reader in plan.readers] for plan in bare]
    if any(plan.is_join for plan in bare):
        bare = _with_skew(bare, sources)
    lanes = [entry.lanes]
    plans: list[LayerPlan] = []
    for k, (plan, read) in enumerate(zip(bare, sources, strict=True), 1):
        words = [
            reader.taken
            for other, streams in zip(bare, sources, strict=True)
            for reader, stream in zip(other.readers, streams, strict=True)
            if stream == k
        ]
        simd = gcd(*words) if words else 1
        plans.append(plan.refolded(plan.folding, source_lanes=[lanes[s] for s in read], simd=simd))
        lanes.append(plans[-1].lanes)
    return entry, plans


def core_timing(design: Design, technology: Technology | str) -> CoreTiming:
    """Describe the core of a folded Design to the cycle model."""
    entry, plans = plan_layers(design, find_technology(technology))
    streams = {name: k for k, name in enumerate([entry.name, *(plan.name for plan in plans)])}
    return CoreTiming(
        input_words=entry.words,
        input_steps=entry.steps,
        layers=tuple(plan.timing(streams) for plan in plans),
    )


def _with_skew(plans: Sequence[LayerPlan], sources: Sequence[Sequence[int]]) -> list[LayerPlan]:
    """Give the buffers the lines that a network with joins asks for."""
    ahead = lines_ahead(
        tuple(
            tuple((stream, reader.bands) for reader, stream in zip(p.readers, read, strict=True))
            for p, read in zip(plans, sources, strict=True)
        )
    )
    return [
        replace(
            plan,
            readers=tuple(replace(r, skew=n) for r, n in zip(plan.readers, lines, strict=True)),
        )
        for plan, lines in zip(plans, ahead, strict=True)
    ]
