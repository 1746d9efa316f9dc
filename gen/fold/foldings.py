"""Foldings of a layer: every one there is, with its interval at once and its cost when asked for.

A network is a graph of them that need each other in one number only: the word that a layer reads
of its source decides how many results of the source leave together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd

import numpy as np

from ..core.plans import plan_layers
from ..cost import Budget, Resources, total
from ..design.design import Design
from ..design.folding import EVENTS, MULTIPLY, Folding, divisors
from ..design.parallel import synapse_of
from ..design.reading import word_of
from ..encoders.plan import InputPlan
from ..layers.plan import LayerPlan
from ..readers.cost import gather_cost
from ..technology import Technology
from .goal import tail_of


@dataclass(frozen=True)
class Choice:
    """One folding of one layer.

    Parameters
    ----------
    folding
        pe, simd, unroll.
    words
        Neurons it reads at a time of each of its sources; below 0 where a queue takes several such
        words at once.
    following
        Neurons that what follows reads at a time of this layer; 1 where nothing does, 0 where it
        takes any number, below 0 where it takes several words at once.
    interval
        Cycles of a sample.
    """

    folding: Folding
    words: tuple[int, ...]
    following: int
    interval: int

    @property
    def cycles(self) -> int:
        """Of latency: where weights are logic, steps at once are joined in as many levels."""
        join = (self.folding.unroll - 1).bit_length() if self.folding.is_logic else 0
        return self.interval + join

    @property
    def lanes(self) -> int:
        lanes = self.folding.pe * self.folding.simd
        return lanes if self.folding.multiplies else lanes * self.folding.unroll


class LayerFoldings:
    """All choices of one layer, in order of their foldings.

    Parameters
    ----------
    name
        Of the population.
    sources
        Populations that it reads.
    choices
        In ascending order of their numbers.
    price
        Cost of a choice, with what it costs in the buffers of what follows.
    tail
        Share of its cycles that comes after its source's last word, see :func:`.goal.tail_of`.
    """

    def __init__(
        self,
        name: str,
        sources: tuple[str, ...],
        choices: Sequence[Choice],
        price: Callable[[Choice], Resources],
        tail: float = 1.0,
    ) -> None:
        self.name, self.sources, self.choices = name, sources, list(choices)
        self.tail = tail
        self._price, self._known = price, {}

    @cached_property
    def intervals(self) -> np.ndarray:
        """(choices,) int64."""
        return np.array([c.interval for c in self.choices], np.int64)

    @cached_property
    def lanes(self) -> np.ndarray:
        """(choices,) int64."""
        return np.array([c.lanes for c in self.choices], np.int64)

    def cost(self, index: int) -> Resources:
        """Resources of a choice."""
        if index not in self._known:
            self._known[index] = self._price(self.choices[index])
        return self._known[index]

    def within(self, interval: float, slack: int, *, quick: bool = False) -> np.ndarray:
        """Return the choices of at most ``interval`` cycles that are not faster for nothing.

        That is no choice of less than 1/(2·slack) of it, unless it is one lane wide, its weights
        are logic, or no slower one keeps within it. ``quick`` takes those that are faster too where
        most of the layer's cycles delay what follows. Indices, ascending.
        """
        fast = np.flatnonzero(self.intervals <= interval)
        if not len(fast) or (quick and self.tail > 1 / 2):
            return fast
        slowest = self.intervals[fast].max()
        floor = min(interval / 2, slowest) / slack
        kept = (self.intervals[fast] >= floor) | (self.lanes[fast] == 1)
        return fast[kept | np.array([self.choices[k].folding.is_logic for k in fast])]


def all_foldings(
    design: Design,
    technology: Technology,
    budget: Budget,
    progress: Callable[[str], None] = lambda doing: None,
    synapses: Sequence[str] = (EVENTS,),
    *,
    constant_time: bool = False,
) -> list[LayerFoldings]:
    """Return the choices of every population, the input first, sources before their readers.

    With ``constant_time`` no layer skips silent words.
    """
    # Where nothing but multipliers will do, a layer that cannot have them is refused here.
    first = EVENTS if EVENTS in synapses else synapses[0]
    serial = {p.name: Folding(synapse=synapse_of(p, first)) for p in design.populations}
    entry, plans = plan_layers(design.with_folding(serial), technology)
    readers = {
        p.name: [plan for plan in plans if p.name in words_of(plan, Folding())]
        for p in design.populations
    }
    first_words = next_words(entry.name, readers[entry.name])
    wide = [plan for plan in readers[entry.name] if may_skip(plan, constant_time)]
    if len(readers[entry.name]) == len(wide) == 1:
        first_words += [-word for word in first_words]
    queue = wide[0] if wide else None
    found = [input_foldings(entry, first_words, queue, linked=budget.linked)]
    for number, plan in enumerate(plans, 1):
        progress(f"foldings of {plan.name!r}, layer {number} of {len(plans)}")
        words = next_words(plan.name, readers[plan.name])
        settings = {"constant_time": constant_time, "wide": plan in wide}
        found.append(layer_foldings(plan, budget, words, synapses, **settings))
    return found


def next_words(name: str, readers: Sequence[LayerPlan]) -> list[int]:
    """Return the words in which a population may be read; readers of several words share one.

    0 stands for any number, where all trains are scattered.
    """
    if not readers:
        return [1]
    options = [words for plan in readers if (words := _options(name, plan))]
    return sorted(set.intersection(*options)) if options else [0]


def _options(name: str, plan: LayerPlan) -> set[int]:
    """Return the words in which a layer may read a population; none where any number serves."""
    if all(reader.taken for reader in plan.readers):
        return set(plan.word_options)
    own = [r for r in plan.readers if r.source.name == name and r.taken]
    return {word for reader in own for word in reader.word_options}


def input_foldings(
    entry: InputPlan,
    words: Sequence[int],
    queue: LayerPlan | None = None,
    *,
    linked: bool = False,
) -> LayerFoldings:
    """Lanes of the encoder; of words below 0 several are taken at once by the ``queue``."""

    def price(choice: Choice) -> Resources:
        lanes, word = choice.folding.pe, choice.following
        cost = replace(entry, lanes=lanes).cost(linked=linked)
        if word < 0:
            assert queue is not None, "no other reader takes several words at once"
            return cost + wide_cost(queue, -word, lanes)
        return cost + gather_cost(entry.technology, word, lanes, entry.code.steps)

    choices = [
        Choice(Folding(pe=lanes), (), word, replace(entry, lanes=lanes).interval)
        for word in words
        for lanes in (
            divisors(word or entry.size)
            if word >= 0
            else [lanes for lanes in divisors(entry.size) if lanes > -word and lanes % word == 0]
        )
    ]
    return LayerFoldings(entry.name, (), choices, price)


def wide_cost(plan: LayerPlan, word: int, lanes: int) -> Resources:
    """Price what a queue of words takes more where ``lanes`` trains come at once, at most.

    How many steps a word has is not known yet: of every resource the dearest number counts.
    """
    extra, reader = [], plan.readers[0]
    for unroll in divisors(reader.source_code.steps):
        folding = Folding(simd=word, unroll=unroll, skips=True)
        each = [reader.refolded(folding, n).cost(plan.technology) for n in (lanes, word)]
        extra.append({key: n - getattr(each[1], key) for key, n in vars(each[0]).items()})
    return Resources(**{key: max(0, *(costs[key] for costs in extra)) for key in extra[0]})


def may_skip(plan: LayerPlan, constant_time: bool) -> bool:
    """Whether a search may let a layer skip silent words: it can, and they were counted."""
    return plan.can_skip and plan.activity is not None and not constant_time


def layer_foldings(
    plan: LayerPlan,
    budget: Budget,
    next_words: Sequence[int],
    synapses: Sequence[str],
    *,
    constant_time: bool = False,
    wide: bool = False,
) -> LayerFoldings:
    """Return every folding of one layer that could fit.

    With ``wide`` a folding that skips silent words may take several words at once, too.
    """
    plan.cost()  # works out what all foldings of the layer share
    shapes: dict[tuple[Folding, int], LayerPlan] = {}  # by lanes that results may share
    costs: dict[tuple[Folding, int], Resources] = {}

    def shape(folding: Folding, following: int) -> LayerPlan:
        key = folding, gcd(folding.pe, following)
        if key not in shapes:
            word = word_of(plan.map, folding)
            shapes[key] = plan.refolded(folding, source_lanes=word, simd=following)
        return shapes[key]

    def price(choice: Choice) -> Resources:
        folded = shape(choice.folding, choice.following)
        key = choice.folding, folded.lanes
        if key not in costs:
            costs[key] = total(folded.cost().values())
        code = plan.population.code
        if code is None:
            return costs[key]
        return costs[key] + gather_cost(plan.technology, choice.following, folded.lanes, code.steps)

    choices = [
        Choice(
            folding,
            tuple(sign * each for each in words_of(plan, folding).values()),
            word,
            shape(folding, word).interval,
        )
        for folding in foldings_of(plan, budget, synapses, constant_time=constant_time)
        for sign in ((1, -1) if folding.skips and wide else (1,))
        for word in next_words
    ]
    sources = tuple(words_of(plan, Folding()))
    return LayerFoldings(plan.name, sources, choices, price, tail_of(plan))


def foldings_of(
    plan: LayerPlan, budget: Budget, synapses: Sequence[str], *, constant_time: bool = False
) -> Iterator[Folding]:
    """Yield the foldings that the rules allow and whose gates or multipliers alone could fit.

    Those that skip silent words are among them where enough words were counted to be silent.
    """
    skips = may_skip(plan, constant_time)
    for pe in plan.pe_options:
        for simd in plan.simd_options:
            for synapse, unroll in plan.ways(synapses):
                folding = Folding(pe=pe, simd=simd, unroll=unroll, synapse=synapse)
                if folding.is_logic and (pe, simd) != (plan.pe_options[-1], plan.simd_options[-1]):
                    continue
                if not _may_fit(plan, folding, budget):
                    continue
                yield folding
                if skips and not folding.is_logic and plan.saves(folding):
                    yield replace(folding, skips=True)


def _may_fit(plan: LayerPlan, folding: Folding, budget: Budget) -> bool:
    """Whether the gates, the multipliers or the weights are not alone too many."""
    lanes = folding.pe * folding.simd
    if folding.is_logic:  # an input more takes a bit of an adder at least, two share one
        return int(np.count_nonzero(plan.weights)) * folding.unroll <= 2 * budget.lut
    if folding.synapse == MULTIPLY:
        packed = replace(plan, folding=folding).packed  # 0: the same as multiply-lut
        return packed > 0 and lanes // packed <= budget.multipliers
    return lanes * folding.unroll * plan.weight_bits <= budget.lut


def words_of(plan: LayerPlan, folding: Folding) -> dict[str, int]:
    """Return the neurons that a folded layer reads at a time, by source; 0 for any number."""
    words: dict[str, int] = {}
    for reader, own in zip(plan.readers, plan.reader_foldings(folding), strict=True):
        name = reader.source.name
        word = replace(reader, folding=own).taken
        words[name] = gcd(words.get(name, 0), word)
    return words
