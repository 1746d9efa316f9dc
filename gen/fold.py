"""Folding: words of the command line, and the fastest folding that fits a budget."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from .design import EVENTS, MULTIPLY, MULTIPLY_LUT, SYNAPSES, Design, Folding, divisors
from .estimate import (
    Budget,
    Estimate,
    Resources,
    encoder_cost,
    estimate,
    gather_cost,
    layer_cost,
    total,
)
from .plan import (
    InputPlan,
    LayerPlan,
    MaximumPlan,
    Technology,
    choose_lanes,
    find_technology,
    plan_layers,
)
from .reading import parallel_inputs, word_of

_WORD = re.compile(r"(?P<layer>[^:=,;\s]+):(?P<numbers>[^:;\s]+)")
_KEYS = ("pe", "simd", "unroll", "synapse")


def parse_fold(text: str, synapse: str = EVENTS) -> dict[str, Folding]:
    """Read ``fc1:pe=16,simd=16,unroll=2; fc2:pe=2`` by layer name; what is left out is 1.

    ``synapse=multiply`` puts multipliers in the place of event-gated adders; ``synapse`` is what a
    word takes that says nothing of it.

    Raises
    ------
    ValueError
        Where a word is not of this form, or names a layer or a number twice.
    """
    folding: dict[str, Folding] = {}
    for word in filter(None, (word.strip() for word in text.split(";"))):
        match = _WORD.fullmatch(word)
        if match is None:
            raise ValueError(f"a folding reads like fc1:pe=16,simd=16,unroll=1, not {word!r}")
        if match["layer"] in folding:
            raise ValueError(f"layer {match['layer']!r} is folded twice in {text!r} (fold it once)")
        folding[match["layer"]] = _folding(dict(_numbers(match["numbers"], word)), synapse)
    if not folding:
        raise ValueError(f"a folding reads like fc1:pe=16,simd=16,unroll=1, not {text!r}")
    return folding


def _folding(numbers: dict[str, Any], synapse: str) -> Folding:
    """Return what a word says, with ``synapse`` where it does not: multipliers take all steps."""
    if "synapse" not in numbers and synapse != EVENTS:
        numbers = numbers | {"synapse": synapse, "unroll": 1}
    return Folding(**numbers)


def _numbers(text: str, word: str) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of ``pe=16,simd=8,synapse=events``."""
    seen = set()
    for item in text.split(","):
        key, _, value = item.partition("=")
        if key not in _KEYS or key in seen:
            raise ValueError(
                f"a folding has pe, simd, unroll and synapse, each once, not {item!r} ({word})"
            )
        seen.add(key)
        if key == "synapse":
            if value not in SYNAPSES:
                raise ValueError(
                    f"synapse must be one of {', '.join(SYNAPSES)}, not {value!r} ({word})"
                )
            yield key, value
            continue
        if not (value.isascii() and value.isdigit()) or int(value) < 1:
            raise ValueError(f"{key} must be a whole number above 0, not {value!r} ({word})")
        yield key, int(value)


ALL_LAYERS = "*:synapse="  # a word that says of every layer how its weights meet inputs
# What a search may take where such a word stands: DSP blocks as far as they reach, or both kinds.
ANY = "any"
CHOICES = {
    EVENTS: (EVENTS,),
    MULTIPLY: (MULTIPLY, MULTIPLY_LUT),
    MULTIPLY_LUT: (MULTIPLY_LUT,),
    ANY: SYNAPSES,
}


def split_synapse(words: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """Return the other words, and what ``*:synapse=multiply`` says, ``None`` where it is missing.

    Raises
    ------
    ValueError
        Where it names no kind, or where two such words differ.
    """
    said = {w.removeprefix(ALL_LAYERS) for w in words if w.startswith(ALL_LAYERS)}
    if len(said) > 1 or not said <= set(CHOICES):
        raise ValueError(
            f"synapses are all of one kind, {', '.join(CHOICES)}, not {' and '.join(sorted(said))}"
        )
    others = tuple(word for word in words if not word.startswith(ALL_LAYERS))
    return others, next(iter(said), None)


@dataclass(frozen=True, kw_only=True)
class FoldChoice:
    """A folding that was found, and why it is not faster.

    Parameters
    ----------
    design
        The folded Design.
    estimate
        What it costs, beside the budget.
    interval
        Cycles from one sample to the next, by the slowest layer.
    explanation
        One sentence for the user.
    """

    design: Design
    estimate: Estimate
    interval: int
    explanation: str

    @property
    def budget(self) -> Budget:
        assert self.estimate.budget is not None
        return self.estimate.budget


@dataclass(frozen=True)
class _Option:
    """One folding of one layer, as the search sees it.

    ``resources`` includes what the lanes cost in the next layer's buffer.
    """

    foldings: tuple[Folding, ...]
    interval: int
    cycles: int
    resources: Resources

    def __add__(self, other: "_Option") -> "_Option":
        return _Option(
            self.foldings + other.foldings,
            max(self.interval, other.interval),
            self.cycles + other.cycles,
            self.resources + other.resources,
        )


# Per layer: (word of this layer, word of the next) -> options; a word is what a layer reads at a
# time, and the input's own is 1.
_Options = dict[tuple[int, int], list[_Option]]


def auto_fold(
    design: Design,
    technology: Technology | str,
    budget: Budget,
    synapses: Sequence[str] = (EVENTS,),
) -> FoldChoice:
    """Return the fastest folding that the estimate says fits ``budget``.

    The interval between samples comes first. Among the foldings that reach it, a cycle of latency
    is worth as many LUTs as the one with fewest LUTs spends for a cycle of its latency: lanes that
    do not shorten the slowest layer are added only where they shorten the response by more than
    they add. ``synapses`` are the ways in which the weights of a layer may meet its inputs.

    Raises
    ------
    ValueError
        If not even the most frugal folding fits.
    """
    technology = find_technology(technology)
    layers = _all_options(design, technology, budget, synapses)
    targets = _intervals(layers)
    search = _Search(layers, budget)
    fastest = _first(targets, search.possible)
    if fastest is None:
        raise ValueError(_too_large(layers, technology, budget))
    interval = targets[fastest]
    frugal = search.best(interval, 0.0)
    assert frugal is not None
    exchange = search.cells(frugal.resources) / max(1, frugal.cycles)
    best = search.best(interval, exchange)
    assert best is not None
    names = [p.name for p in design.populations]
    folded = design.with_folding(dict(zip(names, best.foldings, strict=True)))
    return FoldChoice(
        design=folded,
        estimate=estimate(folded, technology, budget),
        interval=best.interval,
        explanation=_explain(search, targets, fastest, _parallel_interval(design, technology)),
    )


def _intervals(layers: Sequence[_Options]) -> list[int]:
    """Return every interval that a whole network may have, ascending."""
    each = [{o.interval for options in layer.values() for o in options} for layer in layers]
    if not all(each):
        return []
    fastest = max(min(intervals) for intervals in each)
    return sorted(i for i in set().union(*each) if i >= fastest)


def _first(targets: Sequence[int], possible: Callable[[int], bool]) -> int | None:
    """Index of the first target that is possible; all behind it are."""
    low, high = 0, len(targets)
    while low < high:
        middle = (low + high) // 2
        if possible(targets[middle]):
            high = middle
        else:
            low = middle + 1
    return low if low < len(targets) else None


class _Search:
    """Chains of options, one a layer, whose sum fits the budget."""

    def __init__(self, layers: Sequence[_Options], budget: Budget) -> None:
        self.layers, self.budget = layers, budget

    def cells(self, resources: Resources) -> int:
        return self.budget.used(resources)["LUTs"][0]

    def possible(self, interval: float) -> bool:
        return self.best(interval, 0.0) is not None

    def best(self, interval: float, exchange: float) -> _Option | None:
        """Return the chain of least LUTs + exchange·latency with no layer above ``interval``."""

        def key(option: _Option) -> tuple[float, ...]:
            used = [needed for needed, _ in self.budget.used(option.resources).values()]
            return (used[0] + exchange * option.cycles, *used)

        chains: dict[int, list[_Option]] = {1: [_Option((), 0, 0, Resources())]}
        for layer in self.layers:
            grown = defaultdict(list)
            for (simd, following), options in layer.items():
                if simd not in chains:
                    continue
                fast = _undominated([o for o in options if o.interval <= interval], key)
                grown[following] += [
                    chain + option
                    for chain in chains[simd]
                    for option in fast
                    if self.budget.fits(chain.resources + option.resources)
                ]
            chains = {following: _undominated(g, key) for following, g in grown.items() if g}
        ends = [chain for each in chains.values() for chain in each]
        return min(ends, key=lambda o: (key(o), _words(o)), default=None)


def _words(option: _Option) -> tuple[tuple[int, int, int, str], ...]:
    """Order of equals, so that the answer is always the same one."""
    return tuple((f.pe, f.simd, f.unroll, f.synapse) for f in option.foldings)


def _undominated(
    options: list[_Option], key: Callable[[_Option], tuple[float, ...]]
) -> list[_Option]:
    """Options to which no other is at least equal in everything."""
    rated = sorted(((key(option), _words(option), option) for option in options), key=_first_two)
    kept: list[tuple[tuple[float, ...], _Option]] = []
    for numbers, _, option in rated:
        if not any(all(a <= b for a, b in zip(k, numbers, strict=True)) for k, _ in kept):
            kept.append((numbers, option))
    return [option for _, option in kept]


def _first_two(rated: tuple) -> tuple:
    return rated[:2]


# -- what each layer can do --------------------------------------------------------------------


def _all_options(
    design: Design, technology: Technology, budget: Budget, synapses: Sequence[str]
) -> list[_Options]:
    """Return every folding of every layer, the input's first."""
    # Where nothing but multipliers will do, a layer that cannot have them is refused here.
    first = EVENTS if EVENTS in synapses else synapses[0]
    serial = {p.name: Folding(synapse=first) for p in design.populations}
    entry, plans = plan_layers(design.with_folding(serial), technology)
    following = [*plans[1:], None]
    return [
        _input_options(entry, design, technology, plans[0]),
        *(
            _layer_options(plan, after, design, budget, synapses)
            for plan, after in zip(plans, following, strict=True)
        ),
    ]


def _input_options(
    entry: InputPlan, design: Design, technology: Technology, first: LayerPlan
) -> _Options:
    """Lanes of the encoder: a word takes T cycles."""
    options: _Options = {}
    for word in first.word_options:
        options[1, word] = []
        for lanes in divisors(word):
            cycles = entry.size // lanes * entry.code.steps
            cost = encoder_cost(replace(entry, lanes=lanes), design.input_format, technology)
            cost += gather_cost(technology, word, lanes, entry.code.steps)
            options[1, word].append(_Option((Folding(pe=lanes),), cycles, cycles, cost))
    return options


def _layer_options(
    plan: LayerPlan,
    after: LayerPlan | None,
    design: Design,
    budget: Budget,
    synapses: Sequence[str],
) -> _Options:
    """Return every folding of one layer that could fit."""
    next_words = [1] if after is None else after.word_options
    settled = design.firing == "settled" and plan.source_code.is_binary
    steps = plan.source_code.steps
    ways = [(EVENTS, unroll) for unroll in (divisors(steps) if settled else [1])]
    ways = [way for way in ways if EVENTS in synapses]
    ways += [(kind, steps) for kind in synapses if kind != EVENTS and settled]
    if isinstance(plan, MaximumPlan):
        ways = [(EVENTS, 1)]  # it reads whole trains, and has no synapses
    options: _Options = defaultdict(list)
    for simd in divisors(parallel_inputs(plan.map)[0]):
        for pe in divisors(plan.outputs):
            for synapse, unroll in ways:
                folding = Folding(pe=pe, simd=simd, unroll=unroll, synapse=synapse)
                if not _may_fit(plan, folding, budget):
                    continue
                word = word_of(plan.map, folding)
                for following, option in _fold_options(plan, folding, next_words):
                    options[word, following].append(option)
    return options


def _may_fit(plan: LayerPlan, folding: Folding, budget: Budget) -> bool:
    """Whether the gates, or the multipliers, are not alone too many."""
    lanes = folding.pe * folding.simd
    if folding.synapse == MULTIPLY:
        packed = replace(plan, folding=folding).packed  # 0: the same as multiply-lut
        return packed > 0 and lanes // packed <= budget.multipliers
    return lanes * folding.unroll * plan.weight_bits <= budget.lut


def _fold_options(
    plan: LayerPlan, folding: Folding, next_words: Sequence[int]
) -> Iterator[tuple[int, _Option]]:
    """Yield (word of the next layer, option): it decides how many results leave together."""
    known: dict[int, tuple[int, Resources]] = {}  # by lanes: interval and cost
    word = word_of(plan.map, folding)
    folded = plan.refolded(folding, source_lanes=word, simd=1)
    for following in next_words:
        lanes, _ = choose_lanes(folded, following)
        if lanes not in known:
            shape = plan.refolded(folding, source_lanes=word, simd=following)
            known[lanes] = shape.interval, total(layer_cost(shape).values())
        interval, cost = known[lanes]
        if plan.population.code is not None:
            cost += gather_cost(plan.technology, following, lanes, plan.population.code.steps)
        yield following, _Option((folding,), interval, interval, cost)


# -- what to say -------------------------------------------------------------------------------


def _explain(search: _Search, targets: Sequence[int], fastest: int, parallel: int) -> str:
    """Say which resource stands in the way of the next faster folding."""
    if targets[fastest] <= parallel:
        return "every layer is as parallel as it can be, so a larger device would not help"
    if fastest == 0:  # what is faster was not even looked at: its gates alone are too many
        return f"an interval below {targets[0]} cycles would need more LUTs than the budget has"
    wanted = targets[fastest - 1]
    short = [
        name
        for name, field in _FIELDS.items()
        if _Search(search.layers, replace(search.budget, **{field: inf})).possible(wanted)
    ]
    what = f"more {' or '.join(short)}" if short else "more of several resources"
    return f"an interval of {wanted} cycles would need {what} than the budget has"


def _parallel_interval(design: Design, technology: Technology) -> int:
    """Interval with everything in parallel."""
    folding, settled = {}, design.firing == "settled"
    for population in design.populations[1:]:
        projection = next(population.sources)
        simd, _ = parallel_inputs(projection.map)
        code = design[projection.source].code
        assert code is not None
        unroll = code.steps if settled and code.is_binary else 1
        fold = Folding(pe=population.shape[0], simd=simd, unroll=unroll)
        folding.setdefault(design.input.name, Folding(pe=word_of(projection.map, fold)))
        folding[population.name] = fold
    entry, plans = plan_layers(design.with_folding(folding), technology)
    return max(entry.words * entry.code.steps, *(plan.interval for plan in plans))


_FIELDS = {
    "LUTs": "lut",
    "flip-flops": "ff",
    "block RAMs": "block_ram",
    "multipliers": "multipliers",
}


def _too_large(layers: Sequence[_Options], technology: Technology, budget: Budget) -> str:
    """Name the resource of which even the most frugal folding needs too much."""
    unlimited = replace(budget, **dict.fromkeys(_FIELDS.values(), inf))
    least = _Search(layers, unlimited).best(inf, 0.0)
    assert least is not None
    used = budget.used(least.resources)
    what, (needed, available) = max(used.items(), key=lambda item: _excess(*item[1]))
    return (
        f"the network does not fit: even the most frugal folding needs about {needed} {what} of "
        f"{technology.name}, and the budget has {available} (use a smaller network, fewer weight "
        f"bits, or a larger board)"
    )


def _excess(needed: int, available: int) -> float:
    return needed / available if available else inf if needed else 0.0
