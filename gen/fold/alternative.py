"""Alternatives: the same integers on multipliers, with as many lanes, and no slower."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from math import gcd

from ..core.plans import plan_layers
from ..cost import total
from ..design.design import Design
from ..design.folding import EVENTS, MULTIPLY, MULTIPLY_LUT, Folding, divisors
from ..design.reading import word_of
from ..layers.plan import LayerPlan
from ..technology import Technology, find_technology

EQUAL_LANES, EQUAL_INTERVAL, BLOCKS_ALONE = ("equal lanes", "equal interval", "blocks alone")


def alternatives(
    design: Design, technology: Technology | str, multipliers: int
) -> dict[str, Design]:
    """Return the plain alternatives of a folded Design, by name.

    ``equal lanes`` keeps pe and simd of every layer, which then takes one pass in the place of
    T/unroll. ``equal interval`` takes the fewest outputs and inputs in parallel with which no layer
    is slower than it was. DSP blocks serve those layers first in which a block
    saves most LUTs, as far as ``multipliers`` reach; other products are made of LUTs. ``blocks
    alone`` has no products of LUTs but where weights are plain factors (pooling), and as many lanes
    as blocks reach for; it is missing where they do not reach at all. Layers that cannot multiply,
    see :func:`.design.has_synapses`, stay as they are.

    Raises
    ------
    ValueError
        If the Design is not folded, multiplies already, has weights as logic, or has trains that
        are no numbers.
    """
    technology = find_technology(technology)
    _, adding = plan_layers(design, technology)
    wanted = [plan.interval for plan in adding]
    for plan in adding:
        if plan.folding.synapse != EVENTS:
            what = "multiplies already" if plan.folding.multiplies else "has weights as logic"
            raise ValueError(
                f"{plan.name!r} {what}: the alternative is to a design that adds "
                f"(give --synapse events)"
            )
    lanes = design.with_synapse(MULTIPLY)
    _, plans = plan_layers(lanes, technology)
    found = {EQUAL_LANES: lanes, EQUAL_INTERVAL: _no_slower(lanes, plans, wanted)}
    found = {name: _within(each, technology, multipliers) for name, each in found.items()}
    alone = _blocks_alone(lanes, plans, technology, multipliers)
    return found if alone is None else found | {BLOCKS_ALONE: alone}


def _blocks_alone(
    design: Design, plans: Sequence[LayerPlan], technology: Technology, multipliers: int
) -> Design | None:
    """Return the fastest Design whose products are all made in blocks, ``None`` without one."""
    options = [_in_blocks(plan, multipliers) for plan in plans]
    if not all(options):
        return None

    @cache
    def interval_of(layer: int, folding: Folding, following: int) -> int:
        word = word_of(plans[layer].map, folding)
        return plans[layer].refolded(folding, source_lanes=word, simd=following).interval

    # Cycles in which the trains of a sample arrive, one at a time; a word brings several.
    one_by_one = {design.input.name: design.input.size * design.input.train_code.steps}
    one_by_one |= {plan.name: plan.windows * plan.outputs * plan.pace for plan in plans[:-1]}
    arriving = [max(one_by_one[q.source] for q in plan.population.sources) for plan in plans]

    def of(interval: int) -> Design | None:
        chosen: dict[str, Folding] = {}
        for layer, plan in reversed(list(enumerate(plans))):
            following = _word_after(plan.name, plans, chosen)
            fast = (
                f
                for f in options[layer]
                if arriving[layer] <= interval * word_of(plan.map, f)
                and interval_of(layer, f, following) <= interval
            )
            folding = next(fast, None)
            if folding is None:
                return None
            chosen[plan.name] = folding
        found = design.with_folding(chosen | _entry(design, plans, chosen))
        _, made = plan_layers(found, technology)
        return found if sum(map(_blocks, made)) <= multipliers else None

    slowest = max(interval_of(layer, each[0], 1) for layer, each in enumerate(options))
    low, high = 1, max(slowest, *arriving)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if of(middle) is not None else (middle + 1, high)
    return of(low)


def _in_blocks(plan: LayerPlan, multipliers: int) -> list[Folding]:
    """Return every folding of a layer whose products are made in blocks, fewest blocks first."""
    found = []
    if not plan.folding.multiplies:
        return [plan.folding]
    for pe in plan.pe_options:
        for simd in plan.simd_options:
            folding = replace(plan.folding, pe=pe, simd=simd)
            packed = replace(plan, folding=folding).packed
            blocks = -(-pe // packed) * simd if packed else 0
            if blocks <= multipliers and (packed or plan.map.fixed):
                found.append((blocks, -simd, folding))
    return [folding for _, _, folding in sorted(found, key=lambda option: option[:2])]


def _blocks(plan: LayerPlan) -> int:
    return total(plan.cost().values()).multipliers


def _no_slower(design: Design, plans: Sequence[LayerPlan], wanted: Sequence[int]) -> Design:
    """Return a Design with fewer lanes whose layers take the intervals ``wanted`` at most."""
    chosen: dict[str, Folding] = {}
    for plan, target in zip(reversed(plans), reversed(wanted), strict=True):
        following = _word_after(plan.name, plans, chosen)
        folding = _fewest(plan, target, following) if plan.folding.multiplies else plan.folding
        chosen[plan.name] = folding
    return design.with_folding(chosen | _entry(design, plans, chosen))


def _word_after(name: str, plans: Sequence[LayerPlan], chosen: Mapping[str, Folding]) -> int:
    """Return the neurons of a population that its readers take at a time; 1 for the read-out.

    Several readers share a word, which divides those that they take.
    """
    words = [
        word_of(q.map, chosen[plan.name])
        for plan in plans
        for q in plan.population.sources
        if q.source == name
    ]
    return gcd(*words) if words else 1


def _entry(
    design: Design, plans: Sequence[LayerPlan], chosen: Mapping[str, Folding]
) -> dict[str, Folding]:
    """Return the input's folding: as many lanes as the words of its readers let it keep."""
    entry, name = design.input.folding or Folding(), design.input.name
    return {name: replace(entry, pe=gcd(entry.pe, _word_after(name, plans, chosen)))}


def _fewest(plan: LayerPlan, interval: int, following: int) -> Folding:
    """Return the folding of fewest lanes with which a layer takes ``interval`` cycles at most.

    Among equals the one of fewest block RAMs, and then LUTs.
    """
    own, found = plan.folding, []
    for pe in divisors(own.pe):
        for simd in divisors(own.simd):
            folding = replace(own, pe=pe, simd=simd)
            word = word_of(plan.map, folding)
            folded = plan.refolded(folding, source_lanes=word, simd=following)
            if folded.interval <= interval:
                cost = total(folded.cost().values())
                found.append(((pe * simd, cost.block_ram, cost.lut), folding))
    return min(found, key=lambda option: option[0])[1] if found else own


def _within(design: Design, technology: Technology, multipliers: int) -> Design:
    """Return the Design with products of LUTs where there are not enough DSP blocks."""
    _, plans = plan_layers(design, technology)
    plain = {
        p.name: replace(p.folding, synapse=MULTIPLY_LUT) for p in plans if p.folding.multiplies
    }
    _, of_luts = plan_layers(design.with_folding(plain), technology)
    left = multipliers - sum(map(_blocks, of_luts))
    gains = []
    for plan, other in zip(plans, of_luts, strict=True):
        cost, dear = (total(p.cost().values()) for p in (plan, other))
        blocks = cost.multipliers - dear.multipliers
        if blocks > 0:
            gains.append(((dear.lut - cost.lut) / blocks, blocks, plan))
    kept = dict(plain)
    for _, blocks, plan in sorted(gains, key=lambda gain: (-gain[0], gain[1], gain[2].name)):
        if blocks <= left:
            kept[plan.name] = plan.folding
            left -= blocks
    return design.with_folding(kept)
