"""Cheapest: the settings of a conversion that cost least and lose no more than is allowed.

What is searched are T of the input and of every population, bits of every population's weights,
codes, how far the neurons of each population reach, and how far channels are equalised; the last
two cost nothing. What is made small are the cycles of one lane times the bits of all weights, see
:class:`.knobs.Effort`. What is lost is the accuracy that is expected to be lost
(:func:`.verdict.paired`); for values, the variance in per cent that is not explained.

Trials come from Optuna's tree-structured Parzen estimator, each from a seed of its own, after a
ladder of settings alike for all populations; the last of them turn single knobs of the best one
down, or where nothing keeps the loss yet, what costs nothing of the one that loses least. Some of
those that keep the loss, from the cheapest to the dearest, are then judged as every conversion is,
on samples that they did not see, and the first that keeps it again is the result. A record of
finished trials lets an interrupted search go on.
"""

# Ref: T. Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019.

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..gen.convert.calibrate import Units, calibrate
from ..gen.convert.equalise import HOMOGENEOUS
from ..gen.convert.options import AUTO, LayerOptions, Options
from ..gen.design.design import Design
from ..gen.model.network import Network
from . import knobs, verdict
from .cure import looks
from .knobs import INPUT, STEPS, WEIGHTS, Effort, Knob
from .trial_record import TrialRecord

if TYPE_CHECKING:
    from optuna import Study, Trial

Progress = Callable[[str], None]
TRIALS = 80
TURNED_SHARE = 0.5  # of the trials: turns of single knobs of the best one
STARTUP = 8  # trials that are drawn evenly
JUDGED = 8  # settings that are judged at most
APART = (-2, -1, 0, 1, 2)  # places of a knob beside what its family has
REACHES = (1.0, 0.8, 1.25)  # times the range that the search of ranges takes
EQUALISED = (AUTO, 0.0, 0.5, 1.0)
MISSES = 3  # settings that are judged where none keeps the loss by a quick look
CODES = (AUTO, "centred")
IMPOSSIBLE = 1000.0  # points that settings lose whose integers cannot be
MOST_DIFFERING = 10.0  # times the loss: of the answers that differ, whatever they are worth
# T of populations, bits of weights, T of the input: what is tried first.
LADDER = (
    (10, 8, 10),
    (8, 8, 8),
    (6, 8, 8),
    (6, 6, 6),
    (5, 5, 5),
    (4, 4, 4),
    (4, 4, 2),
    (4, 3, 2),
    (3, 4, 2),
    (3, 3, 2),
    (3, 3, 1),
    (5, 6, 4),
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One choice of settings and what came of it.

    Members
    -------
    options : of the conversion
    params : as the study knows it
    points : expected loss of accuracy, in points
    differing : answers of a hundred that differ
    effort : cost
    """

    options: Options
    params: dict[str, Any]
    points: float
    differing: float
    effort: Effort


@dataclass(frozen=True, kw_only=True)
class Cheapest:
    """The result of a search.

    Members
    -------
    options : of the cheapest conversion
    judged : as it was judged
    effort : its cost
    trials : how many were made, and ``kept`` of them that keep the loss by a quick look
    met : whether no more is lost, judged on samples that were not seen
    bounds : of the options that were given, those without which the finest settings would keep
        the loss where these do not
    interrupted : whether the search was cut short
    """

    options: Options
    judged: verdict.Judged
    effort: Effort
    trials: int
    kept: int
    met: bool
    interrupted: bool
    bounds: tuple[str, ...] = ()


class Search:
    """A search over the settings of one network; :meth:`run` goes on where the record ends.

    Parameters
    ----------
    network, samples
        What is converted, and calibration samples.
    loss
        Points that may be lost.
    groups
        (n,) which samples belong together, see :func:`.verdict.split`.
    base
        What is asked for: T and bits that are given are the most that is tried, of single layers
        they stay as they are.
    record
        File of finished trials; ``None`` keeps none.

    Raises
    ------
    ValueError
        If nothing is left to choose, or for the record of another search.
    """

    def __init__(
        self,
        network: Network,
        samples: np.ndarray,
        loss: float,
        *,
        base: Options | None = None,
        groups: np.ndarray | None = None,
        record: Path | None = None,
        progress: Progress = lambda said: None,
    ) -> None:
        if not 0 <= loss < 100:
            raise ValueError(f"the loss is in points, from 0 up to 100, not {loss:g}")
        self.network, self.samples, self.loss = network, samples, loss
        self.base, self.say = base or Options(), progress
        self.limits = {
            STEPS: self.base.steps,
            WEIGHTS: self.base.weight_bits,
            INPUT: self.base.input_steps,
        }
        self.chosen = verdict.split(len(samples), network, self.base, groups)
        self.knobs = [k for k in knobs.knobs(network, samples, self.base) if self._values(k)]
        if not any(len(self._values(knob)) > 1 for knob in self.knobs):
            raise ValueError(
                f"nothing of {network.name!r} is left to choose: its steps and weights are those "
                f"of its training, or were given (leave out --loss)"
            )
        self.looks = looks(network, samples, self.chosen, self.base, lambda said: None)
        self.reach = self._reaching()
        self.equalises = self.base.equalise is None and not self.base.paper
        self.equalises &= any(p.function in HOMOGENEOUS for p in network.populations[1:-1])
        self.record = TrialRecord(record, self.key)
        self.units: dict[bytes, Units] = {}  # by the samples that calibrate

    def _values(self, knob: Knob) -> tuple[int, ...]:
        """Return what a knob may be: no more than was given, and nothing else where a layer was."""
        key = "steps" if knob.family == STEPS else "weight_bits"
        given = [self.base.layers.get(name, LayerOptions()) for name in knob.populations]
        if knob.family != INPUT and any(getattr(own, key) is not None for own in given):
            return ()
        most = self.limits[knob.family]
        if knob.has_input and self.base.input_steps is not None:
            most = min(self.base.input_steps, most or self.base.input_steps)
        return tuple(value for value in knob.values if most is None or value <= most)

    def _reaching(self) -> tuple[str, ...]:
        """Return the populations whose range is searched."""
        if self.base.firing != "settled" or self.base.dynamics != "signgd":
            return ()
        if self.base.schedule.eta0 is not None:
            return ()
        free = {name for knob in self.knobs if knob.family == STEPS for name in knob.populations}
        layers = self.base.layers.items()
        given = {name for name, own in layers if (own.clip, own.reach) != (None, None)}
        return tuple(p.name for p in self.network.populations[1:-1] if p.name in free - given)

    @property
    def key(self) -> str:
        """SHA-256 of all that decides what a trial finds."""
        said = {"loss": self.loss, "base": asdict(self.base), "reach": self.reach}
        said["equalises"] = self.equalises
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self.looks.judges).tobytes())
        digest.update(self.looks.exact.round(6).tobytes())
        return digest.hexdigest()

    # -- settings ------------------------------------------------------------------------------

    def options(self, params: Mapping[str, Any]) -> Options:
        """Return the options that a study's parameters stand for; what they lack is the finest."""
        options = self.base
        if "code" in params and params["code"] != AUTO:
            options = replace(options, code=params["code"])
        if params.get("equalise", AUTO) != AUTO:
            options = replace(options, equalise=params["equalise"])
        for knob in self.knobs:
            values = self._values(knob)
            place = values.index(self._nearest(values, params.get(knob.family, values[-1])))
            place = min(max(place + params.get(knob.said, 0), 0), len(values) - 1)
            options = knob.turned(options, values[place])
        layers = dict(options.layers)
        for name in self.reach:
            factor = params.get(f"reach of {name}", 1.0)
            if factor != 1.0:
                layers[name] = replace(layers.get(name, LayerOptions()), reach=factor)
        return replace(options, layers=layers)

    @staticmethod
    def _nearest(values: Sequence[int], wanted: int) -> int:
        return min(values, key=lambda value: (abs(value - wanted), value))

    def draw(self, trial: "Trial") -> dict[str, Any]:
        """Let a study choose all parameters."""
        found: dict[str, Any] = {}
        families = dict.fromkeys(knob.family for knob in self.knobs)
        for family in families:
            every = sorted({v for k in self.knobs if k.family == family for v in self._values(k)})
            found[family] = trial.suggest_int(family, every[0], every[-1])
        for knob in self.knobs:
            if sum(k.family == knob.family for k in self.knobs) > 1:
                found[knob.said] = trial.suggest_categorical(knob.said, APART)
        if self.base.code == AUTO and self.reach:
            found["code"] = trial.suggest_categorical("code", CODES)
        if self.equalises:
            found["equalise"] = trial.suggest_categorical("equalise", EQUALISED)
        for name in self.reach:
            found[f"reach of {name}"] = trial.suggest_categorical(f"reach of {name}", REACHES)
        return found

    def plain(self, steps: int, bits: int, of_input: int) -> dict[str, Any]:
        """Return the parameters of settings that are alike for all populations."""
        wanted = {STEPS: steps, WEIGHTS: bits, INPUT: of_input}
        found: dict[str, Any] = {}
        for family in dict.fromkeys(knob.family for knob in self.knobs):
            every = sorted({v for k in self.knobs if k.family == family for v in self._values(k)})
            found[family] = self._nearest(every, wanted[family])
        several = [k for k in self.knobs if sum(o.family == k.family for o in self.knobs) > 1]
        found |= {knob.said: 0 for knob in several}
        if self.base.code == AUTO and self.reach:
            found["code"] = AUTO
        if self.equalises:
            found["equalise"] = AUTO
        return found | {f"reach of {name}": 1.0 for name in self.reach}

    def turned_down(
        self, best: Choice, tried: set[str], *, free: bool = False
    ) -> dict[str, Any] | None:
        """Return parameters of the best with one knob turned down, the one that saves most.

        ``free`` turns only what costs nothing. ``None`` where all that can be turned was.
        """
        options = []
        for knob in () if free else self.knobs:
            name = knob.said if knob.said in best.params else knob.family
            params = {**best.params, name: best.params[name] - 1}
            if knob.said in best.params and params[name] not in APART:
                continue
            options.append(params)
        if self.equalises:
            options += [{**best.params, "equalise": strength} for strength in EQUALISED]
        for name in self.reach:
            options += [{**best.params, f"reach of {name}": factor} for factor in REACHES]
        fresh: dict[str, tuple[float, dict[str, Any]]] = {}
        for params in options:
            made = self.options(params)
            if repr(made) not in tried:
                fresh.setdefault(repr(made), (knobs.effort(self.network, made).product, params))
        if not fresh:
            return None
        return min(fresh.values(), key=lambda pair: pair[0])[1]

    # -- trials --------------------------------------------------------------------------------

    def keeps(self, points: float, differing: float) -> bool:
        """Whether no more is lost than is allowed."""
        return points <= self.loss and differing <= MOST_DIFFERING * self.loss

    def _score(self, choice: Choice) -> float:
        """Return what the study makes small: the cost, of those that lose too much the loss."""
        finest = knobs.effort(self.network, self.options({})).product
        if self.keeps(choice.points, choice.differing):
            return float(np.log(choice.effort.product / finest))
        return 1.0 + choice.points / (self.loss + 0.01)

    def run(self, trials: int = TRIALS) -> Cheapest:
        """Try until there are ``trials`` of them, then judge the best."""
        import optuna

        if trials < 1:
            raise ValueError(f"a search needs at least 1 trial, not {trials}")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study()
        known = {json.dumps(self.plain(*rung), sort_keys=True) for rung in LADDER}
        for params in sorted(known, key=lambda text: -self._cost(json.loads(text))):
            study.enqueue_trial(json.loads(params))
        found: list[Choice] = []
        interrupted = False
        try:
            for number in range(trials):
                found.append(self._trial(study, number, trials, found))
        except KeyboardInterrupt:
            interrupted = True
            if not found:
                raise
        return self._judged(found, interrupted=interrupted)

    def _cost(self, params: Mapping[str, Any]) -> float:
        return knobs.effort(self.network, self.options(params)).product

    def _trial(self, study: "Study", number: int, trials: int, found: list[Choice]) -> Choice:
        """Run one trial, or take it from the record."""
        import optuna

        keeping = [choice for choice in found if self.keeps(choice.points, choice.differing)]
        # Of settings that cost alike the better one leaves more to save.
        best = min(keeping, key=lambda c: (c.effort.product, c.points), default=None)
        self._tell(number, trials, best)
        if number >= max(len(LADDER), round(trials * (1 - TURNED_SHARE))):
            nearest = best or min(found, key=lambda choice: choice.points)
            tried = {repr(choice.options) for choice in found}
            params = self.turned_down(nearest, tried, free=best is None)
            if params is not None:
                study.enqueue_trial(params)
        study.sampler = optuna.samplers.TPESampler(
            seed=1000 * self.base.seed + number, n_startup_trials=STARTUP
        )
        trial = study.ask()
        params = self.draw(trial)
        options = self.options(params)
        if number < len(self.record.entries):
            entry = self.record.entries[number]
            if entry["params"] != json.loads(json.dumps(params)):
                raise ValueError(
                    f"trial {number} of {self.record.path} is not the one that its seed gives "
                    f"(another version of Optuna, or another number of trials? remove the record)"
                )
        else:
            seen = self.looks.at(options)
            entry = {
                "number": number,
                "params": params,
                "points": IMPOSSIBLE if seen is None else seen.points,
                "differing": 0.0 if seen is None else 100 * (seen.differing or 0.0),
            }
            self.record.keep(entry)
        choice = Choice(
            options=options,
            params=params,
            points=entry["points"],
            differing=entry["differing"],
            effort=knobs.effort(self.network, options),
        )
        study.tell(trial, self._score(choice))
        return choice

    def _tell(self, number: int, trials: int, best: Choice | None) -> None:
        said = f"trial {number + 1} of {trials}"
        if best is not None:
            share = 100 * best.effort.product / self._cost({})
            said += f", best so far {share:.1f} % of the cost of the finest, {best.points:.2f} lost"
        self.say(said)

    def _judged(self, found: Sequence[Choice], *, interrupted: bool) -> Cheapest:
        """Judge those that keep the loss, the cheapest first, until one does so again.

        Where none of them does, the finest settings are judged too, and what loses least is taken:
        of what cannot be told from it, one standard error, the dearest, since nothing was saved for
        what was asked. Where none keeps it by a quick look, some that come nearest are judged.
        """
        keeping = [choice for choice in found if self.keeps(choice.points, choice.differing)]
        keeping.sort(key=lambda choice: choice.effort.product)
        unlike = {repr(choice.options): choice for choice in keeping}
        order = spread([choice.options for choice in unlike.values()], JUDGED)
        if not order:
            nearest = sorted(found, key=lambda choice: choice.points)
            order = list({repr(c.options): c.options for c in nearest}.values())[:MISSES]
        order += [finest] if (finest := self.options({})) not in order else []
        judged: list[tuple[Options, verdict.Judged]] = []
        met = False
        for number, options in enumerate(order, 1):
            self.say(f"judging choice {number} of {len(order)}")
            seen = self._judge(options)
            judged.append((options, seen))
            met = self.keeps(seen.found.points, 100 * (seen.found.differing or 0.0))
            if met:
                break
        options, seen = judged[-1]
        if not met:
            _, least = min(judged, key=lambda each: each[1].found.points)
            alike = least.found.points + least.found.points_error
            options, seen = max(
                (each for each in judged if each[1].found.points <= alike),
                key=lambda each: knobs.effort(self.network, each[0]).product,
            )
        return Cheapest(
            options=options,
            judged=seen,
            effort=knobs.effort(self.network, options),
            trials=len(found),
            kept=len(unlike),
            met=met,
            interrupted=interrupted,
            bounds=() if met else self._bounds(),
        )

    def _bounds(self) -> tuple[str, ...]:
        """Return the options that keep the finest settings from keeping the loss."""
        said = {STEPS: "--steps", WEIGHTS: "--weight-bits", INPUT: "--input-steps"}
        words = tuple(word for family, word in said.items() if self.limits[family] is not None)
        finest = self.base
        for knob in self.knobs:
            finest = knob.turned(finest, knob.values[-1])
        if not words or repr(finest) == repr(self.options({})):
            return ()
        self.say("judging what was not allowed")
        seen = self._judge(finest).found
        return words if self.keeps(seen.points, 100 * (seen.differing or 0.0)) else ()

    def _judge(self, options: Options) -> verdict.Judged:
        def convert(samples: np.ndarray) -> Design:
            key = hashlib.sha256(samples.tobytes()).digest()
            return calibrate(self.network, samples, options, units=self.units.setdefault(key, {}))

        return verdict.judge(self.network, self.samples, self.chosen, convert)


def spread(options: Sequence[Options], most: int) -> list[Options]:
    """Return at most so many, the first half of them in a row, the others up to the last.

    A quick look flatters what was chosen by it, and what costs least most of all.
    """
    if len(options) <= most:
        return list(options)
    first = most // 2
    others = np.linspace(first, len(options) - 1, most - first).round().astype(int)
    return [*options[:first], *(options[k] for k in others)]


def sentence(found: Cheapest, loss: float) -> str:
    """Return the result in words."""
    seen = found.judged.found
    cut = ", cut short" if found.interrupted else ""
    kept = "" if found.met else f", more than the {loss:g} that were allowed ({_way_out(found)})"
    return (
        f"cheapest of {found.trials} settings{cut}: {found.effort.steps:,} synapse steps, "
        f"{found.effort.bits:,} bits of weights; {seen.points:.2f} points are expected to be "
        f"lost{kept}"
    )


def _way_out(found: Cheapest) -> str:
    """Return what is left to do where nothing that was tried keeps the loss."""
    if found.bounds:
        *first, last = found.bounds
        given = f"{', '.join(first)} and {last}" if first else last
        return f"leave out {given}: the finest settings lose no more"
    more = "samples" if found.judged.found.groups is None else "groups"
    return f"calibrate on more {more}, or allow {np.ceil(10 * found.judged.found.points) / 10:g}"


def record(found: Cheapest, loss: float, words: Sequence[str]) -> dict[str, Any]:
    """Return the result as JSON values."""
    return {
        "loss": loss,
        "met": found.met,
        "trials": found.trials,
        "kept": found.kept,
        "interrupted": found.interrupted,
        "synapse_steps": found.effort.steps,
        "weight_bits": found.effort.bits,
        "options": list(words),
        "said": sentence(found, loss),
    }
