"""Cure: which population of a conversion loses most, and what makes good for it.

The network is converted again with one thing finer at a time: first all steps of the input, all
steps of the populations, all weights; then, of what helps most, population by population. The one
that brings most back alone is said to lose most. The cure is the least change that lets no more
answers differ than are accepted: of that population alone, of all steps or all weights alike, or of
everything; the cheapest of them. It is measured as the verdict is, and priced by the estimate.
Where even the finest of everything leaves more than is accepted, what it does bring back is said.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..gen.convert.calibrate import Units, calibrate
from ..gen.convert.options import Options
from ..gen.design.design import Design
from ..gen.model.network import Network
from . import knobs, verdict
from .input_steps import FEWEST, MOST, VALUES, fewest
from .knobs import FAMILIES, Knob

Progress = Callable[[str], None]
Price = Callable[[Design, Design], Mapping[str, Any]]  # of a design, folded as another one
MOST_LOOKED = 10  # populations that are looked at one by one: those of the most noise
MOST_TRIES = 5  # cures that are measured as the verdict is


@dataclass(frozen=True, kw_only=True)
class Cure:
    """What loses most, and what makes good for it.

    Members
    -------
    worst : the knob whose population loses most; ``None`` where nothing of it helps
    options : the cure's, or those that come nearest to one; ``None`` where nothing helps
    words : options of ``signfire convert`` that make it
    judged : as they were judged; ``None`` without
    """

    worst: Knob | None
    options: Options | None
    words: tuple[str, ...]
    judged: verdict.Judged | None


@dataclass(kw_only=True)
class Looks:
    """Quick measurements of conversions, on few samples, each done once."""

    network: Network
    calibrate: np.ndarray
    judges: np.ndarray
    progress: Progress

    def __post_init__(self) -> None:
        self.exact = self.network.answers(self.judges)
        self.known: dict[str, verdict.Agreement | None] = {}
        self.units: Units = {}

    def at(self, options: Options) -> verdict.Agreement | None:
        """Return how far a conversion agrees.

        ``None`` where the integers cannot be: units of a quotient that are finer than its factors.
        """
        key = repr(options)
        if key not in self.known:
            self.progress(f"looking for what loses most, conversion {len(self.known) + 1}")
            self.known[key] = None
            try:
                design = calibrate(self.network, self.calibrate, options, units=self.units)
            except ValueError:
                return None
            said = verdict.outputs(design, self.judges)
            self.known[key] = verdict.compare(self.network, self.exact, said, self.judges)
        return self.known[key]

    def rank(self, options: Options) -> tuple[float, float]:
        """Return what is small where little is lost: loss in per cent, root mean square error."""
        found = self.at(options)
        return (np.inf, np.inf) if found is None else (found.loss, found.rmse)


def looks(
    network: Network, samples: np.ndarray, chosen: verdict.Split, options: Options, say: Progress
) -> Looks:
    """Return measurements on few of the samples."""
    few = max(FEWEST, min(MOST, VALUES // network.size))
    rng = np.random.default_rng(options.seed)

    def some(of: np.ndarray, count: int) -> np.ndarray:
        return samples[np.sort(rng.permutation(of)[:count])]

    if chosen.groups is not None and chosen.parts:
        # Samples of a group are alike: what has seen one of them knows the others.
        seen = some(chosen.without(chosen.parts[0]), few)
        judges = some(chosen.parts[0], 2 * few)
        return Looks(network=network, calibrate=seen, judges=judges, progress=say)
    seen = some(chosen.base, few)
    apart = chosen.how in (verdict.LEFT_OVER, verdict.KEPT_BACK)
    judges = some(chosen.judges, 2 * few) if apart else seen
    return Looks(network=network, calibrate=seen, judges=judges, progress=say)


def find(
    network: Network,
    samples: np.ndarray,
    chosen: verdict.Split,
    options: Options,
    accept: float,
    noise: Mapping[str, float],
    progress: Progress = lambda said: None,
    *,
    lost: float = np.inf,
) -> Cure:
    """Look for what loses most, and for a cure.

    Parameters
    ----------
    network, samples, options
        Of the conversion.
    chosen
        Which samples calibrated and which judged.
    accept
        Loss in per cent that is accepted.
    noise
        By population, its signal-to-noise ratio in dB: of many, those of the least are looked at.
    lost
        What the conversion loses, in per cent: what is no cure must at least lose less.
    """
    seen = looks(network, samples, chosen, options, progress)
    every = [knob for knob in knobs.knobs(network, samples, options) if knob.finer]
    families = {f: [k for k in every if k.family == f] for f in FAMILIES}
    there = {f: group for f, group in families.items() if group}
    if not there:
        return Cure(worst=None, options=None, words=(), judged=None)
    family = min(there, key=lambda f: seen.rank(knobs.finest(options, there[f])))
    noisy = sorted(
        there[family], key=lambda k: min(noise.get(p, 0.0) for p in k.populations or "-")
    )
    worst = min(noisy[:MOST_LOOKED], key=lambda k: seen.rank(knobs.finest(options, [k])))
    if seen.rank(knobs.finest(options, [worst])) >= seen.rank(options):
        worst = None
    scopes = [*([[worst]] if worst is not None else []), *there.values(), every]
    nearest: tuple[float, Options, verdict.Judged] | None = None

    def measured(turned: Options) -> verdict.Judged | None:
        progress("measuring the cure")
        try:
            return verdict.judge(network, samples, chosen, lambda x: calibrate(network, x, turned))
        except ValueError:  # what few samples allowed, all do not
            return None

    tried = cheapest_first(network, options, accept, scopes, seen)
    best = min((knobs.finest(options, scope) for scope in scopes), key=seen.rank)
    if seen.rank(best) < seen.rank(options) and best not in tried:
        tried.append(best)  # where it is no cure, it says what is left
    for turned in tried:
        judged = measured(turned)
        if judged is None:
            continue
        if nearest is None or judged.found.loss < nearest[0]:
            nearest = judged.found.loss, turned, judged
        if judged.found.loss <= accept:
            break
    if nearest is None or nearest[0] >= lost:
        return Cure(worst=worst, options=None, words=(), judged=None)
    _, turned, judged = nearest
    words = tuple(knobs.words(network, samples, options, turned))
    return Cure(worst=worst, options=turned, words=words, judged=judged)


def cheapest_first(
    network: Network,
    options: Options,
    accept: float,
    scopes: Sequence[Sequence[Knob]],
    seen: Looks,
) -> list[Options]:
    """Return the least turn of the knobs of each scope that cures by a quick look, and one more.

    One more is for those that fall short when they are measured as the verdict is. The cheapest
    come first.
    """
    found: dict[str, Options] = {}
    for scope in scopes:
        far = max(len(knob.finer) for knob in scope)

        def serves(by: int, scope: Sequence[Knob] = scope) -> bool:
            return seen.rank(knobs.raised(options, scope, by))[0] <= accept

        if serves(far):
            turn = fewest(range(1, far + 1), serves)
            for by in (turn, min(far, turn + 1)):
                turned = knobs.raised(options, scope, by)
                found[repr(turned)] = turned
    return sorted(found.values(), key=lambda o: knobs.effort(network, o).product)[:MOST_TRIES]


def sentences(cure: Cure, accept: float, prices: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Return in words what loses most, and what a cure takes.

    ``prices`` are what the design and its cure cost; ``None`` where there is no hardware.
    """
    if cure.worst is None:
        lost = f"more than {accept:g} % is lost, and no population alone brings any of it back"
    else:
        lost = f"more than {accept:g} % is lost: {cure.worst.said} lose most"
    if cure.judged is None:
        return [f"{lost}; no finer steps and weights that were tried bring any of it back"]
    left = cure.judged.found.loss
    found = f"{' '.join(cure.words)} would leave {left:.2f} %"
    if left > accept:
        found += ", the least of all steps and bits that were tried"
    if prices is not None:
        costs = [
            f"{what} {prices[0][key]:,} -> {prices[1][key]:,}"
            for key, what in (
                ("latency_cycles", "latency, cycles"),
                ("interval_cycles", "interval, cycles"),
                ("block_ram", "block RAMs"),
            )
        ]
        found += f" ({', '.join(costs)} by the estimate for {prices[0]['board']})"
    return [lost, found]


def record(cure: Cure, said: Sequence[str], prices: Sequence[Mapping[str, Any]] | None) -> dict:
    """Return a cure as JSON values."""
    worst = cure.worst
    return {
        "worst": None if worst is None else {"family": worst.family, "of": worst.populations},
        "options": list(cure.words),
        "loss": None if cure.judged is None else cure.judged.found.loss,
        "costs": None if prices is None else [dict(price) for price in prices],
        "said": list(said),
    }
