"""Folding: words of the command line, and the fastest folding that fits a budget."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd, inf
from typing import Any

import numpy as np

from ..core.estimate import Estimate, estimate
from ..core.plans import plan_layers
from ..cost import Budget
from ..design.design import Design
from ..design.folding import (
    EVENTS,
    LOGIC,
    MULTIPLY,
    MULTIPLY_LUT,
    ROMS,
    SYNAPSES,
    Folding,
    divisors,
)
from ..design.parallel import synapse_of
from ..design.reading import parallel_of, parallel_outputs, word_of
from ..technology import Technology, find_technology
from .foldings import LayerFoldings, all_foldings
from .goal import (
    ALIKE,
    ENERGY,
    FARTHEST,
    GOALS,
    LATENCY,
    THROUGHPUT,
    class_latency,
    energy_proxy,
    spread,
)
from .memories import place_weights

_WORD = re.compile(r"(?P<layer>[^:=,;\s]+):(?P<numbers>[^:;\s]+)")
_KEYS = ("pe", "simd", "unroll", "synapse", "silent", "rom")
SILENT = {"read": False, "skip": True}  # what is done with words that hold no event


def parse_fold(text: str, synapse: str = EVENTS) -> dict[str, Folding]:
    """Read ``fc1:pe=16,simd=16,unroll=2; fc2:pe=2`` by layer name; what is left out is 1.

    ``synapse=multiply`` puts multipliers in the place of event-gated adders, ``synapse=logic``
    functions of the weights; ``synapse`` is what a word takes that says nothing of it.
    ``silent=skip`` leaves out words that hold no event, ``rom=block`` and ``rom=lut`` say where
    weights lie.

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
                f"a folding has pe, simd, unroll, synapse, silent and rom, each once, not "
                f"{item!r} ({word})"
            )
        seen.add(key)
        if key == "synapse":
            if value not in SYNAPSES:
                raise ValueError(
                    f"synapse must be one of {', '.join(SYNAPSES)}, not {value!r} ({word})"
                )
            yield key, value
            continue
        if key == "rom":
            if value not in ROMS:
                raise ValueError(f"rom must be one of {', '.join(ROMS)}, not {value!r} ({word})")
            yield key, value
            continue
        if key == "silent":
            if value not in SILENT:
                raise ValueError(f"silent must be {' or '.join(SILENT)}, not {value!r} ({word})")
            yield "skips", SILENT[value]
            continue
        if not (value.isascii() and value.isdigit() and len(value) < 10) or int(value) < 1:
            raise ValueError(
                f"{key} must be a whole number above 0, not {value[:20]!r} ({word[:60]})"
            )
        yield key, int(value)


ALL_LAYERS = "*:synapse="  # a word that says of every layer how its weights meet inputs
# What a search may take where such a word stands: DSP blocks as far as they reach, or all kinds.
ANY = "any"
CHOICES = {
    EVENTS: (EVENTS,),
    MULTIPLY: (MULTIPLY, MULTIPLY_LUT),
    MULTIPLY_LUT: (MULTIPLY_LUT,),
    LOGIC: (LOGIC,),
    ANY: SYNAPSES,
}


def _split(
    words: Sequence[str], prefix: str, known: Collection[str], rule: str
) -> tuple[tuple[str, ...], str | None]:
    """Return the other words, and what those say that begin with ``prefix``, one of ``known``."""
    said = {word.removeprefix(prefix) for word in words if word.startswith(prefix)}
    if len(said) > 1 or not said <= set(known):
        raise ValueError(f"{rule} {', '.join(known)}, not {' and '.join(sorted(said))}")
    return tuple(word for word in words if not word.startswith(prefix)), next(iter(said), None)


def split_synapse(words: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """Return the other words, and what ``*:synapse=multiply`` says, ``None`` where it is missing.

    Raises
    ------
    ValueError
        Where it names no kind, or where two such words differ.
    """
    return _split(words, ALL_LAYERS, CHOICES, "synapses are all of one kind,")


SOUGHT = "*:for="  # a word that says what a search seeks


def split_goal(words: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """Return the other words, and what ``*:for=energy`` says, ``None`` where it is missing.

    Raises
    ------
    ValueError
        Where it names no goal, or where two such words differ.
    """
    return _split(words, SOUGHT, GOALS, "a folding is for one of")


CONSTANT_TIME = "*:silent=read"  # a word that lets no layer skip silent words


def split_silent(words: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the other words, and whether :data:`CONSTANT_TIME` is among them."""
    return tuple(word for word in words if word != CONSTANT_TIME), CONSTANT_TIME in words


def refuse_skipping(design: Design) -> None:
    """Refuse a Design of which a layer skips silent words, where every sample takes as long.

    Raises
    ------
    ValueError
        Naming the first such layer.
    """
    for population in design.populations:
        if population.folding is not None and population.folding.skips:
            raise ValueError(
                f"with --constant-time {population.name!r} must read silent words too, and its "
                f"folding skips them (give --fold auto, or silent=read)"
            )


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
        Cycles from one sample to the next, by the slowest layer; on average where silent words are
        skipped.
    explanation
        One sentence for the user.
    lacking
        Whether the next faster folding exists, and some resource does not suffice for it.
    """

    design: Design
    estimate: Estimate
    interval: int
    explanation: str
    lacking: bool

    @property
    def budget(self) -> Budget:
        assert self.estimate.budget is not None
        return self.estimate.budget


def auto_fold(
    design: Design,
    technology: Technology | str,
    budget: Budget,
    progress: Callable[[str], None] = lambda doing: None,
    synapses: Sequence[str] = (EVENTS,),
    *,
    constant_time: bool = False,
    goal: str = THROUGHPUT,
    idle_cells: float = 0.0,
) -> FoldChoice:
    """Return the folding that serves the ``goal`` best and that the estimate says fits ``budget``.

    For ``latency`` a few intervals and prices of a cycle are searched, and the one whose class
    comes first by the cycle model is taken, of nearly equal ones the smallest; its encoder has the
    fewest lanes with which it comes no later. For ``energy`` it is that of the fewest cells times
    cycles a sample, of which ``idle_cells`` are what stands by. For ``throughput`` the interval
    between samples comes first. Where there are windows, the layers work on a sample
    at the same time, and lanes that do not shorten the slowest layer shorten nothing: no layer is
    more than twice as fast. In a chain of dense layers one begins when the other ends, and more
    lanes shorten the response. Among the foldings left, a cycle of latency is worth as many LUTs as
    the one with fewest LUTs spends for a cycle of its latency. ``synapses`` are the
    ways in which the weights of a layer may meet its inputs. Where weights lie is settled last, by
    what is scarce, see :func:`.memories.place_weights`.

    A layer may skip silent words where the Design knows how many there are, and then counts with
    the cycles of an average sample; with ``constant_time`` none does, and every sample takes as
    long as any other.

    The search prices what a population's trains take on their way into a buffer for one of its
    readers. Where the whole then exceeds the budget, it searches anew with that much less.

    Raises
    ------
    ValueError
        If not even the most frugal folding fits.
    """
    technology = find_technology(technology)
    room = budget
    while True:
        choice = _fold_within(
            design, technology, room, progress, synapses, constant_time, goal, idle_cells
        )
        whole = estimate(choice.design, technology, budget)
        if whole.fits:
            placed = place_weights(choice.design, technology, budget)
            return replace(choice, design=placed, estimate=estimate(placed, technology, budget))
        room = _less(room, budget.used(whole.resources))


def _less(room: Budget, used: Mapping[str, tuple[int, int]]) -> Budget:
    """Return the budget without what was exceeded."""
    luts, flip_flops, block_rams, multipliers = (
        max(0, needed - available) for needed, available in used.values()
    )
    return replace(
        room,
        lut=room.lut - luts,
        ff=room.ff - flip_flops,
        block_ram=room.block_ram - block_rams,
        multipliers=room.multipliers - multipliers,
    )


def _fold_within(
    design: Design,
    technology: Technology,
    budget: Budget,
    progress: Callable[[str], None],
    synapses: Sequence[str],
    constant_time: bool,
    goal: str,
    idle_cells: float,
) -> FoldChoice:
    """Return the folding that serves the goal best and whose parts fit."""
    layers = all_foldings(
        design, technology, budget, progress, synapses, constant_time=constant_time
    )
    targets = _intervals(layers)
    windows = any(q.map.kind != "dense" for p in design.populations for q in p.sources)
    search = _Search(layers, budget, balanced=windows)

    def possible(interval: int) -> bool:
        found = search.possible(interval)
        progress(f"an interval of {interval:,} cycles {'fits' if found else 'does not fit'}")
        return found

    fastest = _first(targets, possible)
    if fastest is None:
        raise ValueError(_too_large(layers, design, technology, budget, synapses))
    interval = targets[fastest]
    frugal = search.best(interval, 0.0)
    assert frugal is not None  # the same search has just found it possible
    best = search.best(interval, frugal.cells / max(1, frugal.cycles), known=frugal)
    assert best is not None  # frugal at the least
    explanation, lacking = _explain(
        search, targets, fastest, _slowest(design, technology, synapses)
    )
    worth, keep = _worth_of(goal, technology, budget, idle_cells), goal == THROUGHPUT
    folded = _with_entry(design.with_folding(best.foldings), technology, budget, worth, keep=keep)
    if goal != THROUGHPUT:
        slower = targets[fastest:]
        tries = (_frugal if goal == ENERGY else _quick)(search, slower, frugal)
        others = [design.with_folding(found.foldings) for found in tries]
        others = [_with_entry(d, technology, budget, worth, keep=keep) for d in others]
        others = [other for other in others if estimate(other, technology, budget).fits]
        fastest_interval = _interval(folded, technology)
        folded = _best_by(worth, [folded, *others], technology, budget)
        if _interval(folded, technology) > fastest_interval:
            explanation = f"a sample in {fastest_interval:,} cycles would not serve {goal}"
    return FoldChoice(
        design=folded,
        estimate=estimate(folded, technology, budget),
        interval=_interval(folded, technology),
        explanation=explanation,
        lacking=lacking,
    )


Worth = Callable[[Design], float]  # of a folded Design, the less the better


def _worth_of(goal: str, technology: Technology, budget: Budget, idle_cells: float) -> Worth:
    """Return what says how well a folded Design serves a goal."""

    def energy(folded: Design) -> float:
        used = estimate(folded, technology, budget).resources
        return energy_proxy(used, _interval(folded, technology), idle_cells)

    kinds: dict[str, Worth] = {
        LATENCY: lambda folded: class_latency(folded, technology),
        THROUGHPUT: lambda folded: _interval(folded, technology),
        ENERGY: energy,
    }
    if goal not in kinds:
        raise ValueError(f"a folding is for one of {', '.join(GOALS)}, not {goal!r}")
    return kinds[goal]


def _quick(search: "_Search", targets: Sequence[int], frugal: "_Found") -> Iterator["_Found"]:
    """Yield foldings of short latency: of several intervals and prices of a cycle."""
    quick = _Search(search.layers, search.budget, balanced=search.balanced, tails=True)
    price = frugal.cells / max(1, frugal.cycles)
    for target in spread(targets, FARTHEST):
        for times in (1, 16):
            found = quick.best(target, price * times)
            if found is not None:
                yield found


def _frugal(search: "_Search", targets: Sequence[int], frugal: "_Found") -> Iterator["_Found"]:
    """Yield the foldings of fewest LUTs of several intervals."""
    for target in spread(targets, inf):
        found = search.best(target, 0.0)
        if found is not None:
            yield found


def _best_by(
    worth: Worth, designs: Sequence[Design], technology: Technology, budget: Budget
) -> Design:
    """Return the smallest of those Designs that are worth nearly as much as the best."""
    values = [worth(each) for each in designs]
    near = [d for d, value in zip(designs, values, strict=True) if value <= ALIKE * min(values)]
    return min(near, key=lambda each: estimate(each, technology, budget).resources.lut)


def _with_entry(
    design: Design, technology: Technology, budget: Budget, worth: Worth, *, keep: bool
) -> Design:
    """Return the folded Design with the lanes of the input that serve it best, the fewest of them.

    With ``keep`` its own lanes, where no others serve it better.

    The search takes it that a row of the buffer behind the encoder is written while words of the
    next come. In fact only its last write may coincide with one, so more lanes may do better.
    """
    entry = design.input.folding
    assert entry is not None
    words = [
        reader.taken
        for plan in plan_layers(design, technology)[1]
        for reader in plan.readers
        if reader.source.name == design.input.name and reader.taken
    ]
    word = gcd(*words) if words else design.input.size
    some = divisors(word)
    if word % entry.pe:  # a queue takes several words at once
        some = [lanes for lanes in divisors(design.input.size) if lanes % word == 0]
    every = [design.with_folding({design.input.name: replace(entry, pe=lanes)}) for lanes in some]
    every = [design, *every] if keep else every
    fitting = [other for other in every if estimate(other, technology, budget).fits]
    return min(fitting or [design], key=worth)


def _interval(design: Design, technology: Technology) -> int:
    """Cycles from one sample to the next, by what is slowest of a folded Design."""
    entry, plans = plan_layers(design, technology)
    return max(entry.interval, *(plan.interval for plan in plans))


def _intervals(layers: Sequence[LayerFoldings]) -> list[int]:
    """Return every interval that a whole network may have, ascending."""
    if not all(layer.choices for layer in layers):
        return []
    fastest = max(int(layer.intervals.min()) for layer in layers)
    found = np.unique(np.concatenate([layer.intervals for layer in layers]))
    return [int(i) for i in found if i >= fastest]


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


# -- the search --------------------------------------------------------------------------------

LABELS = 48  # partial foldings of equal words that are kept where none of them is the better one
COMPARED = 384  # of how many at most it is found out which are
SLACK = 4  # times faster than balanced a layer may be where that is of use, or nothing else fits
CELLS, CYCLES, INTERVAL = 0, 4, 5  # columns of the numbers of a label, behind those of the budget


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A folding of the whole network; of layers at most ``2·slack`` times too fast."""

    foldings: Mapping[str, Folding]
    cells: int
    cycles: int
    interval: int
    slack: int
    used: np.ndarray


@dataclass
class _Labels:
    """Foldings of the layers so far that leave the same words open.

    Members
    -------
    numbers : (labels, 6) float64: cells, flip-flops, block RAMs, multipliers, cycles, interval
    chosen : of each label the number of its choice in every layer so far
    """

    numbers: list[np.ndarray] = field(default_factory=list)
    chosen: list[tuple[int, ...]] = field(default_factory=list)


class _Search:
    """Foldings of all layers whose words agree and whose sum fits the budget.

    Layers are taken in order, sources before readers. What the rest must know of those so far are
    the words in which open populations, those with a reader to come, will be read: dynamic
    programming over these words. Labels to which another is at least equal in everything are
    dropped; of many that remain, the cheapest and those that leave most of the scarcest resource.

    ``balanced``: no layer is more than twice as fast as the slowest, if that is possible.
    ``tails``: of a layer's cycles those alone count as latency that come after its source's last
    word, and one of which these are most may be as fast as it can.
    """

    def __init__(
        self,
        layers: Sequence[LayerFoldings],
        budget: Budget,
        *,
        balanced: bool = True,
        tails: bool = False,
    ) -> None:
        self.layers, self.budget, self.balanced, self.tails = layers, budget, balanced, tails
        self.readers = {
            layer.name: [other.name for other in layers if layer.name in other.sources]
            for layer in layers
        }

    def within(self, budget: Budget) -> "_Search":
        """Return the same search for another budget."""
        return _Search(self.layers, budget, balanced=self.balanced, tails=self.tails)

    def possible(self, interval: float) -> bool:
        return self.best(interval, 0.0) is not None

    def best(self, interval: float, exchange: float, known: _Found | None = None) -> _Found | None:
        """Return the folding of least LUTs + exchange·latency with no layer above ``interval``.

        The labels that are kept on the way depend on the price, so a search by another price may
        lose what was found before: ``known``, that of an earlier search up to ``interval``, counts
        beside what this one finds.
        """
        for slack in (1, SLACK) if self.balanced else (SLACK,):
            within = [layer.within(interval, slack, quick=self.tails) for layer in self.layers]
            if not all(len(indices) for indices in within):
                return known
            found = self._best(within, slack, exchange)
            if known is not None and known.slack <= slack:
                found = known if found is None else min(found, known, key=_price_at(exchange))
            if found is not None:
                return found
        return known

    def _best(self, within: Sequence[np.ndarray], slack: int, exchange: float) -> _Found | None:
        prices = [
            np.array([self._numbers(layer, int(i)) for i in indices])
            for layer, indices in zip(self.layers, within, strict=True)
        ]
        limits = np.array([available for _, available in self.budget.available], float)
        to_come = [np.zeros(len(limits))]
        for price in reversed(prices):
            to_come.insert(0, to_come[0] + price[:, : len(limits)].min(axis=0))
        start = _Labels([np.zeros((1, INTERVAL + 1))], [()])
        states: dict[tuple[tuple[str, int], ...], _Labels] = {(): start}
        for layer, indices, price, rest in zip(
            self.layers, within, prices, to_come[1:], strict=True
        ):
            room, grown = limits - rest, {}
            groups = self._groups(layer, indices)
            for state, labels in states.items():
                numbers = np.concatenate(labels.numbers)
                for (words, following), rows in groups.items():
                    after = self._after(layer, dict(state), words, following)
                    if after is None:
                        continue
                    sums = numbers[:, None] + price[rows]
                    sums[..., INTERVAL] = np.maximum(
                        numbers[:, None, INTERVAL], price[rows, INTERVAL]
                    )
                    fits = (sums[..., : len(limits)] <= room).all(axis=2)
                    if fits.any():
                        old, new = np.nonzero(fits)
                        entry = grown.setdefault(after, ([], []))
                        entry[0].append(sums[fits])
                        entry[1].append((labels, old, indices[rows[new]]))
            states = {
                after: _kept(numbers, origins, exchange, room)
                for after, (numbers, origins) in grown.items()
            }
        return self._cheapest(states, slack, exchange)

    def _numbers(self, layer: LayerFoldings, index: int) -> list[float]:
        used = [needed for needed, _ in self.budget.used(layer.cost(index)).values()]
        choice = layer.choices[index]
        cycles = choice.cycles * layer.tail if self.tails else choice.cycles
        return [*used, cycles, choice.interval]

    @staticmethod
    def _groups(layer: LayerFoldings, indices: np.ndarray) -> dict[tuple, np.ndarray]:
        """Return rows of ``indices`` by the words that they read and in which they are read."""
        groups: dict[tuple, list[int]] = {}
        for row, index in enumerate(indices):
            choice = layer.choices[index]
            groups.setdefault((choice.words, choice.following), []).append(row)
        return {key: np.array(rows) for key, rows in groups.items()}

    def _after(
        self, layer: LayerFoldings, state: dict[str, int], words: tuple[int, ...], following: int
    ) -> tuple[tuple[str, int], ...] | None:
        """Return the words that are open behind ``layer``; ``None`` where its own do not agree.

        Several readers share a word, which then divides those that they read.
        """
        for source, word in zip(layer.sources, words, strict=True):
            if not word:  # any number serves
                continue
            alone = len(self.readers[source]) == 1
            if word % state[source] or (alone and word != state[source]):
                return None
        placed = {name for name, readers in self.readers.items() if readers[-1:] == [layer.name]}
        open_words = [(name, word) for name, word in state.items() if name not in placed]
        if self.readers[layer.name]:
            open_words.append((layer.name, following))
        return tuple(open_words)

    def _cheapest(
        self, states: Mapping[tuple, _Labels], slack: int, exchange: float
    ) -> _Found | None:
        if not states:
            return None
        ((_, labels),) = states.items()  # nothing is open at the end
        numbers = np.concatenate(labels.numbers)
        best = int(_order(numbers, exchange)[0])
        return _Found(
            foldings={
                layer.name: layer.choices[index].folding
                for layer, index in zip(self.layers, labels.chosen[best], strict=True)
            },
            cells=int(numbers[best, CELLS]),
            cycles=int(numbers[best, CYCLES]),
            interval=int(numbers[best, INTERVAL]),
            slack=slack,
            used=numbers[best, :CYCLES],
        )


def _price_at(exchange: float) -> Callable[[_Found], float]:
    """Return what a folding is worth where a cycle of latency costs ``exchange`` LUTs."""
    return lambda found: found.cells + exchange * found.cycles


def _order(numbers: np.ndarray, exchange: float) -> np.ndarray:
    """Return labels from the cheapest on; of equals, the one that was found first."""
    cost = numbers[:, CELLS] + exchange * numbers[:, CYCLES]
    return np.lexsort((*numbers[:, CYCLES - 1 :: -1].T, cost))


def _kept(
    numbers: list[np.ndarray], origins: list[tuple], exchange: float, room: np.ndarray
) -> _Labels:
    """Return the labels that are worth keeping, from the cheapest on."""
    sums = np.concatenate(numbers)
    order = _best_of(sums, _order(sums, exchange), room, COMPARED)
    columns = [sums[order, CELLS] + exchange * sums[order, CYCLES], *sums[order, :CYCLES].T]
    worse = np.tri(len(order), k=-1, dtype=bool)  # [i, j]: j comes first and is at least equal
    for column in columns:
        worse &= column <= column[:, None]
    order = order[~worse.any(axis=1)]
    order = _best_of(sums, order, room, LABELS)
    starts = np.cumsum([0, *(len(part) for part in numbers)])
    chosen = []
    for label in order:
        part = int(np.searchsorted(starts, label, side="right")) - 1
        labels, old, new = origins[part]
        place = label - starts[part]
        chosen.append((*labels.chosen[old[place]], int(new[place])))
    return _Labels([sums[order]], chosen)


def _best_of(sums: np.ndarray, order: np.ndarray, room: np.ndarray, count: int) -> np.ndarray:
    """Return ``count`` labels of ``order``: the first, and those of the least scarcity."""
    if len(order) <= count:
        return order
    scarcity = (sums[order, :CYCLES] / np.maximum(room, 1)).max(axis=1)
    chosen = np.zeros(len(order), bool)
    chosen[: count // 2] = True
    chosen[np.argsort(scarcity, kind="stable")[: count // 2]] = True
    return order[chosen]


# -- what to say -------------------------------------------------------------------------------


def _explain(
    search: _Search, targets: Sequence[int], fastest: int, slowest: tuple[int, str]
) -> tuple[str, bool]:
    """Say which resource stands in the way of the next faster folding, if one does."""
    parallel, name = slowest
    if targets[fastest] <= parallel:
        return f"layer {name} is as parallel as it can be, so a larger device would not help", False
    if fastest == 0:  # what is faster was not even looked at: its gates alone are too many
        need = "would need more LUTs than the budget has"
        return f"an interval below {targets[0]} cycles {need}", True
    wanted = targets[fastest - 1]
    short = [
        name
        for name, field in _FIELDS.items()
        if search.within(replace(search.budget, **{field: inf})).possible(wanted)
    ]
    what = f"more {' or '.join(short)}" if short else "more of several resources"
    return f"an interval of {wanted} cycles would need {what} than the budget has", True


def _slowest(design: Design, technology: Technology, synapses: Sequence[str]) -> tuple[int, str]:
    """Interval with everything in parallel, and the name of the first layer that takes so long."""
    fastest = LOGIC if LOGIC in synapses else EVENTS
    folding, words, settled = {}, [], design.firing == "settled"
    source = design.input.name
    for population in design.populations[1:]:
        projection = next(population.sources)
        maps = [q.map for q in population.sources]
        code = design[projection.source].code
        assert code is not None
        unroll = code.steps if settled and code.is_binary else 1
        pe, simd = parallel_outputs(maps)[0], parallel_of(maps)[0]
        synapse = synapse_of(population, fastest)
        fold = Folding(pe=pe, simd=simd, unroll=unroll, synapse=synapse)
        folding[population.name] = fold
        words += [word_of(q.map, fold) for q in population.sources if q.source == source]
    folding[source] = Folding(pe=gcd(*words))
    entry, plans = plan_layers(design.with_folding(folding), technology)
    intervals = {source: entry.interval} | {p.name: p.interval for p in plans}
    name = max(intervals, key=intervals.__getitem__)
    return intervals[name], name


_FIELDS = {
    "LUTs": "lut",
    "flip-flops": "ff",
    "block RAMs": "block_ram",
    "multipliers": "multipliers",
}


def _too_large(
    layers: Sequence[LayerFoldings],
    design: Design,
    technology: Technology,
    budget: Budget,
    synapses: Sequence[str],
) -> str:
    """Name the resource of which even the most frugal folding needs too much."""
    if not all(layer.choices for layer in layers):  # nothing has so few gates: look at one lane
        bits = max(p.weight_bits for q in design.populations for p in q.sources)
        steps = max(q.code.steps for q in design.populations if q.code is not None)
        lane = replace(budget, lut=max(budget.lut, bits * steps), multipliers=1)
        layers = all_foldings(design, technology, lane, synapses=synapses)
    unlimited = replace(budget, **dict.fromkeys(_FIELDS.values(), inf))
    least = _Search(layers, unlimited).best(inf, 0.0)
    assert least is not None  # every layer has a folding of one lane
    used = {
        name: (int(needed), available)
        for (name, available), needed in zip(budget.available, least.used, strict=True)
    }
    what, (needed, available) = max(used.items(), key=lambda item: _excess(*item[1]))
    return (
        f"the network does not fit: even the most frugal folding needs about {needed} {what} of "
        f"{technology.name}, and the budget has {available} (use a smaller network, fewer weight "
        f"bits, or a larger board)"
    )


def _excess(needed: int, available: int) -> float:
    return needed / available if available else inf if needed else 0.0
