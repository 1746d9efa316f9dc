"""Search of schedules: firing, codes, T and η(t) under which few steps say what a network says.

A trial converts the network quickly, without a look at what integers do to each other, and compares
the golden model's answers for some samples with the float network's: labels are not needed, and no
more accuracy can be lost than answers differ. The best trials are then converted in full, and the
best of those is the result.

Two searches take turns where both ways of firing are allowed, each in a space of its own:

``settled``
    T of every population, with a binary or an exponential schedule of its own γ, and its code.
``overlapped``
    One T; η(t) = η0 γ^max(0, t - delay·depth), for what a neuron k populations from the input
    fires at moves for long before it settles. With ``free`` the last third of the trials moves
    each step of the best schedule on its own, in integers.

Trials come from Optuna's tree-structured Parzen estimator, each from a seed of its own, so that a
search that was interrupted goes on as if nothing had been.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..gen.convert.calibrate import Seen, calibrate, equalised, forward
from ..gen.convert.options import LayerOptions, Options
from ..gen.convert.population import passed_on
from ..gen.design.design import Design
from ..gen.model.codes import Schedule
from ..gen.model.network import Network
from ..sim import golden
from .trial_record import TrialRecord

if TYPE_CHECKING:
    from optuna import Study, Trial

FIRINGS = ("settled", "overlapped")
SETTLED_CODES = ("auto", "centred")
OVERLAPPED_CODES = ("centred", "offset")  # offset: spread over the range of the activations
PERCENTILES = (99.0, 99.9, 99.99, 100.0)
FINEST = 256  # η(0) of a parametric schedule
LARGEST_STEPS = 12  # of a settled population
RANGES = 64  # samples that codes are chosen for in a trial
RUNGS = (0.25, 0.5, 1.0)  # of the samples, after which a poor trial ends
STARTUP = 8  # trials that are drawn evenly
FINAL = 3  # trials that are converted in full
FREE_SHARE = 3  # one in so many of the trials moves single steps
WORST = 1e3


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a search is for.

    Parameters
    ----------
    budget
        Mean T that the populations may have, those that choose a code.
    loss
        Differing answers allowed, in points; the fewest steps that keep it are sought. ``None``
        seeks the best answers within the budget.
    """

    budget: int
    loss: float | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.budget <= 256:
            raise ValueError(f"the budget of steps must lie in 2..256, not {self.budget}")
        if self.loss is not None and not 0 <= self.loss < 100:
            raise ValueError(f"the loss is in points, from 0 up to 100, not {self.loss:g}")


@dataclass(frozen=True, kw_only=True)
class Found:
    """One choice of schedules and what came of it.

    Members
    -------
    options : the conversion's
    steps : mean T of the populations that fire
    differing : share of the samples that are not answered as the float network answers, 0..1
    divergence : mean Kullback-Leibler divergence of the float network's softmax from this one, nats
    score : what the search makes small
    trial : number of the trial
    """

    options: Options
    steps: float
    differing: float
    divergence: float
    score: float
    trial: int


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The result of a search.

    Members
    -------
    best : converted in full, with its ``design``
    trials : every trial that was finished, as it was converted quickly
    finals : the trials that were converted in full, ``best`` first
    pruned : how many trials ended early
    samples : on how many samples
    met : whether no more answers differ than the goal allows
    """

    best: Found
    design: Design
    trials: tuple[Found, ...]
    finals: tuple[Found, ...]
    pruned: int
    samples: int
    met: bool


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Samples and what the float network says of them.

    Members
    -------
    x : (n, *input shape)
    log_shares : (n, outputs) float64, log softmax of its answers
    """

    x: np.ndarray
    log_shares: np.ndarray

    @classmethod
    def of(cls, network: Network, x: np.ndarray) -> "Judge":
        if network.readout.size < 2:
            raise ValueError(
                f"schedules are tuned by the classes that a network answers, and {network.name!r} "
                f"has one output"
            )
        return cls(x=x, log_shares=log_softmax(network.answers(x)))

    def compare(self, logits: np.ndarray, among: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return of some samples whether the answer differs, and the divergence, each (n,)."""
        exact, seen = self.log_shares[among], log_softmax(logits)
        differing = logits.argmax(axis=1) != exact.argmax(axis=1)
        return differing, (np.exp(exact) * (exact - seen)).sum(axis=1)


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


# -- spaces ------------------------------------------------------------------------------------


def depths(network: Network) -> dict[str, int]:
    """Return how many populations stand between each and the input, on the longest way."""
    found: dict[str, int] = {}
    for p in network.populations:
        found[p.name] = 1 + max((found[q.source] for q in p.sources), default=-1)
    return found


def own_codes(network: Network) -> list[str]:
    """Return the populations that choose a code: not a maximum that passes its source's on."""
    return [p.name for p in network.populations[:-1] if passed_on(network, p) is None]


def parametric(steps: int, gamma: float) -> tuple[int, ...]:
    """Return η(t) = max(1, FINEST γ^t), rounded."""
    return tuple(max(1, round(FINEST * gamma**t)) for t in range(steps))


def overlapped_options(
    network: Network,
    base: Options,
    eta: Sequence[int],
    *,
    eta0: float,
    delay: float,
    percentile: float,
    code: str,
) -> Options:
    """Return options of overlapped firing: η(t) of the input, and later by depth for the others."""
    steps = len(eta)

    def schedule(late: int) -> Schedule:
        values = (eta[0],) * late + tuple(eta[: steps - late])
        spread = code == "offset"
        return Schedule(
            kind="list", eta0=None if spread else eta0, values=tuple(map(float, values))
        )

    hidden = own_codes(network)[1:]
    late = {name: min(steps - 1, round(delay * k)) for name, k in depths(network).items()}
    return replace(
        base,
        firing="overlapped",
        steps=steps,
        input_steps=None,
        schedule=schedule(0),
        code=code,
        percentile=percentile,
        layers={
            name: replace(base.layers.get(name, LayerOptions()), schedule=schedule(late[name]))
            for name in hidden
        },
    )


def settled_options(
    network: Network,
    base: Options,
    steps: Mapping[str, int],
    *,
    gamma: float | None,
    code: str,
) -> Options:
    """Return options of settled firing with a T for each population; without γ it is binary."""
    schedule = Schedule() if gamma is None else Schedule(kind="exponential", gamma=gamma)
    return replace(
        base,
        firing="settled",
        schedule=schedule,
        code=code,
        input_steps=steps[network.input.name],
        steps=max(steps.values()),
        layers={
            name: replace(base.layers.get(name, LayerOptions()), steps=steps[name])
            for name in own_codes(network)[1:]
        },
    )


def within(steps: Mapping[str, int], budget: int) -> dict[str, int]:
    """Return the same with the largest made smaller, one at a time, until their mean fits."""
    fitted = dict(steps)
    while sum(fitted.values()) > budget * len(fitted):
        fitted[max(fitted, key=lambda name: fitted[name])] -= 1
    return fitted


def draw(
    trial: "Trial", network: Network, firing: str, base: Options, goal: Goal, best: Options | None
) -> Options:
    """Return the options that a trial proposes; ``best`` has the schedule whose steps it moves."""
    if firing == "overlapped":
        drawn = {
            "eta0": trial.suggest_float("eta0", 0.02, 1.0, log=True),
            "delay": trial.suggest_float("delay", 0.0, 3.0),
            "percentile": trial.suggest_categorical("percentile", PERCENTILES),
            "code": trial.suggest_categorical("code", OVERLAPPED_CODES),
        }
        if best is None:
            eta = parametric(goal.budget, trial.suggest_float("gamma", 0.4, 0.98))
        else:
            eta = tuple(
                trial.suggest_int(f"eta({t})", max(1, int(v) // 2), 2 * int(v))
                for t, v in enumerate(best.schedule.values)
            )
        return overlapped_options(network, base, eta, **drawn)
    most = min(LARGEST_STEPS, max(2 * goal.budget - 2, goal.budget))
    names = own_codes(network)
    steps = {name: trial.suggest_int(f"steps of {name}", 2, most) for name in names}
    binary = trial.suggest_categorical("schedule", ("binary", "exponential")) == "binary"
    gamma = trial.suggest_float("gamma", 0.4, 0.8)
    return settled_options(
        network,
        base,
        within(steps, goal.budget),
        gamma=None if binary else gamma,
        code=trial.suggest_categorical("code", SETTLED_CODES),
    )


def first_trials(firing: str, network: Network, goal: Goal) -> list[dict[str, Any]]:
    """Return trials that a search begins with: what is known to serve."""
    if firing == "overlapped":
        common = {"percentile": 99.99, "code": "centred"}
        return [
            {"eta0": 0.15, "gamma": 0.95, "delay": 0.0, **common},  # the paper's
            {"eta0": 0.2, "gamma": 0.9, "delay": 0.0, **common},
            {"eta0": 0.3, "gamma": 0.8, "delay": 1.0, **common},
            {"eta0": 0.3, "gamma": 0.7, "delay": 1.0, **common},
            {"eta0": 0.2, "gamma": 0.8, "delay": 2.0, **common},
        ]
    names = own_codes(network)
    even = [goal.budget] if goal.loss is None else [goal.budget, (goal.budget + 2) // 2]
    common = {"schedule": "binary", "gamma": 0.5, "code": "auto"}
    return [
        {**{f"steps of {name}": min(steps, LARGEST_STEPS) for name in names}, **common}
        for steps in even
    ]


# -- one trial ---------------------------------------------------------------------------------


def mean_steps(design: Design) -> float:
    """Return the mean T of the populations that fire."""
    found = [p.code.steps for p in design.populations if p.code is not None]
    return sum(found) / len(found)


@dataclass(kw_only=True)
class Measured:
    """Running figures of a trial over the samples so far; of overlapped firing, by number of steps.

    Members
    -------
    steps : (k,) mean T of each row below
    differing, divergence : (k, samples so far)
    """

    steps: np.ndarray
    differing: list[np.ndarray] = field(default_factory=list)
    divergence: list[np.ndarray] = field(default_factory=list)

    def figures(self, goal: Goal) -> tuple[float, float, float, float]:
        """Return score, steps, share of differing answers and divergence at the best row."""
        differing = np.concatenate(self.differing, axis=1).mean(axis=1)
        divergence = np.concatenate(self.divergence, axis=1).mean(axis=1)
        if goal.loss is None:
            row = -1
            score = divergence[row]
        else:
            excess = np.maximum(0, 100 * differing - goal.loss)
            row = int((self.steps + WORST * (excess > 0) + excess).argmin())
            score = self.steps[row] if excess[row] == 0 else goal.budget + excess[row]
        return (
            float(score),
            float(self.steps[row]),
            float(differing[row]),
            float(divergence[row]),
        )


def measure(
    design: Design, judge: Judge, goal: Goal, stops: Sequence[int], *, whole: bool = False
) -> Iterator[Measured]:
    """Yield the figures of a Design after each of ``stops`` samples.

    Where the fewest steps are sought, overlapped firing is looked at after every step, unless
    ``whole`` trains are asked for.
    """
    raw = design.raw_samples(judge.x[: stops[-1]])
    scale = float(design.readout.operands[0].scale[0])
    every = design.firing == "overlapped" and goal.loss is not None and not whole
    steps = np.arange(1, design.input.train_code.steps + 1) if every else None
    found = Measured(steps=np.array([mean_steps(design)]) if steps is None else steps.astype(float))
    start = 0
    for stop in stops:
        part = raw[start:stop]
        if steps is None:
            said = golden.run(design, part).logits[None]
        else:
            said = golden.run_over_steps(design, part, steps.tolist())
        pairs = [judge.compare(logits * scale, slice(start, stop)) for logits in said]
        found.differing.append(np.array([d for d, _ in pairs]))
        found.divergence.append(np.array([k for _, k in pairs]))
        start = stop
        yield found


# -- the search --------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Lane:
    """The trials of one way of firing; ``moves`` is the choice whose single steps are moved."""

    firing: str
    study: "Study"
    found: list[Found] = field(default_factory=list)
    moves: Found | None = None

    @property
    def best(self) -> Found:
        return min(self.found, key=lambda f: f.score)


def new_study(trials: Sequence[Mapping[str, Any]]) -> "Study":
    """Return a study that begins with the ``trials``."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=4))
    for params in trials:
        study.enqueue_trial(dict(params))
    return study


class Search:
    """A search over one network; :meth:`run` goes on where the record ends.

    Parameters
    ----------
    network, samples
        What is converted, and calibration samples.
    goal
        See :class:`Goal`.
    base
        Widths, rounding and exceptions that every conversion keeps.
    firings
        Ways of firing to look at.
    free
        Move single steps of η(t) too.
    images
        Samples that answers are compared for.
    seed
        Of samples and trials.
    record
        File of finished trials, a line of JSON each; ``None`` keeps none.

    Raises
    ------
    ValueError
        For a record of another search.
    """

    def __init__(
        self,
        network: Network,
        samples: np.ndarray,
        goal: Goal,
        *,
        base: Options | None = None,
        firings: Sequence[str] = FIRINGS,
        free: bool = False,
        images: int = 64,
        seed: int = 0,
        record: Path | None = None,
    ) -> None:
        if images < 8:
            raise ValueError(f"answers must be compared for at least 8 samples, not {images}")
        self.network, self.samples, self.goal = network, samples, goal
        self.base = base or Options(weight_bits=8)
        self.firings, self.free, self.seed = tuple(firings), free, seed
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(len(samples))[: min(images, len(samples))]
        self.judge = Judge.of(network, samples[chosen])
        self.stops = sorted({max(1, round(share * len(chosen))) for share in RUNGS})
        self.quick: dict[str, tuple[Network, Seen]] = {}
        self.record = TrialRecord(record, self.key)

    @property
    def kept(self) -> list[dict[str, Any]]:
        """The trials that are finished."""
        return self.record.entries

    @property
    def key(self) -> str:
        """SHA-256 of all that decides what a trial finds."""
        said = {
            "goal": asdict(self.goal),
            "base": asdict(self.base),
            "firings": self.firings,
            "free": self.free,
            "stops": self.stops,
            "seed": self.seed,
        }
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        digest.update(self.judge.x.tobytes())
        digest.update(self.judge.log_shares.round(6).tobytes())
        return digest.hexdigest()

    def _quick(self, options: Options) -> Design:
        """Convert without a look at what the integers say."""
        if options.firing not in self.quick:
            few = replace(options, samples=RANGES)
            samples, outputs, operands = forward(self.network, self.samples, few)
            network, outputs, operands = equalised(self.network, outputs, operands, few)
            self.quick[options.firing] = network, (samples, outputs, operands)
        network, seen = self.quick[options.firing]
        plain = replace(options, rounding="plain", equalise=0.0)
        return calibrate(network, seen[0], plain, seen=seen)

    def run(self, trials: int, progress: Callable[[str], None] = lambda said: None) -> Tuned:
        """Try until there are ``trials`` of them, then convert the best in full."""
        if trials < len(self.firings):
            raise ValueError(f"a search needs at least {len(self.firings)} trials, not {trials}")
        lanes = [
            Lane(firing=f, study=new_study(first_trials(f, self.network, self.goal)))
            for f in self.firings
        ]
        pruned = 0
        for number in range(trials):
            lane = lanes[number % len(lanes)]
            late = number >= trials - trials // FREE_SHARE
            if self.free and late and lane.firing == "overlapped" and lane.moves is None:
                self._move(lane)
            best = min((f.score for each in lanes for f in each.found), default=None)
            said = f"trial {number + 1} of {trials}, {lane.firing}"
            progress(said if best is None else f"{said}, best so far {best:.4g}")
            result = self._trial(lane, number)
            if result is None:
                pruned += 1
            else:
                lane.found.append(result)
        every = sorted((f for lane in lanes for f in lane.found), key=lambda f: f.score)
        if not every:
            raise ValueError("no trial was finished (give more trials)")
        finals = []
        for k, candidate in enumerate(every[:FINAL]):
            progress(f"converting choice {k + 1} of {min(FINAL, len(every))} in full")
            finals.append(self._final(candidate))
        finals.sort(key=lambda pair: pair[0].score)
        return Tuned(
            best=finals[0][0],
            design=finals[0][1],
            trials=tuple(every),
            finals=tuple(final for final, _ in finals),
            pruned=pruned,
            samples=len(self.judge.x),
            met=self.goal.loss is None or 100 * finals[0][0].differing <= self.goal.loss,
        )

    def _move(self, lane: Lane) -> None:
        """Go on in a space that moves the steps of the best schedule so far, itself first."""
        lane.moves = lane.best
        params = {**self.kept[lane.best.trial]["params"]}
        params.pop("gamma")
        steps = {f"eta({t})": int(v) for t, v in enumerate(lane.best.options.schedule.values)}
        lane.study = new_study([{**params, **steps}])

    def _trial(self, lane: Lane, number: int) -> Found | None:
        """Run one trial, or take it from the record; ``None`` for one that ended early."""
        import optuna

        lane.study.sampler = optuna.samplers.TPESampler(
            seed=1000 * self.seed + number, n_startup_trials=STARTUP
        )
        trial = lane.study.ask()
        moves = None if lane.moves is None else lane.moves.options
        options = draw(trial, self.network, lane.firing, self.base, self.goal, moves)
        if number < len(self.kept):
            entry = self.kept[number]
            if entry["params"] != json.loads(json.dumps(trial.params)):
                raise ValueError(
                    f"trial {number} of {self.record.path} is not the one that its seed gives "
                    f"(another version of Optuna, or another number of trials? remove the record)"
                )
            for stop, score in enumerate(entry["scores"]):
                trial.report(score, stop)
        else:
            entry = {"number": number, "params": trial.params, **self._evaluate(trial, options)}
            self.record.keep(entry)
        if entry["pruned"]:
            lane.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return None
        lane.study.tell(trial, entry["scores"][-1])
        return Found(
            options=options,
            steps=entry["steps"],
            differing=entry["differing"],
            divergence=entry["divergence"],
            score=entry["scores"][-1],
            trial=number,
        )

    def _evaluate(self, trial: "Trial", options: Options) -> dict[str, Any]:
        """Measure quickly, for ever more samples while there is a prospect."""
        design = self._quick(options)
        entry: dict[str, Any] = {"pruned": False, "scores": []}
        for stop, seen in enumerate(measure(design, self.judge, self.goal, self.stops)):
            score, steps, differing, divergence = seen.figures(self.goal)
            entry["scores"].append(score)
            entry |= {"steps": steps, "differing": differing, "divergence": divergence}
            trial.report(score, stop)
            if stop + 1 < len(self.stops) and trial.should_prune():
                entry["pruned"] = True
                break
        return entry

    def _final(self, candidate: Found) -> tuple[Found, Design]:
        """Convert a choice in full, at as many steps as it needs, and look at it once more."""
        options = candidate.options
        if self.goal.loss is not None and options.firing == "overlapped":
            options = shortened(options, round(candidate.steps))
        design = calibrate(self.network, self.samples, options)
        (seen,) = measure(design, self.judge, self.goal, [len(self.judge.x)], whole=True)
        score, steps, differing, divergence = seen.figures(self.goal)
        final = replace(
            candidate,
            options=options,
            score=score,
            steps=steps,
            differing=differing,
            divergence=divergence,
        )
        return final, design


def shortened(options: Options, steps: int) -> Options:
    """Return options of overlapped firing whose trains end after ``steps`` steps."""

    def cut(schedule: Schedule) -> Schedule:
        return replace(schedule, values=schedule.values[:steps])

    return replace(
        options,
        steps=steps,
        schedule=cut(options.schedule),
        layers={
            name: own if own.schedule is None else replace(own, schedule=cut(own.schedule))
            for name, own in options.layers.items()
        },
    )


# -- options as words --------------------------------------------------------------------------


def schedule_word(schedule: Schedule) -> str:
    """Return a schedule as ``--schedule`` takes it."""
    if schedule.kind == "list":
        at = "" if schedule.eta0 is None else f"@{schedule.eta0:.6g}"
        return f"list{at}:{','.join(f'{v:g}' for v in schedule.values)}"
    if schedule.kind == "exponential" and schedule.eta0 is None:
        return f"exponential:,{schedule.gamma:.6g}"
    return schedule.kind


def words(options: Options) -> list[str]:
    """Return the options of ``signfire convert`` that make the same design."""
    found = ["--firing", options.firing, "--steps", str(options.layer_steps)]
    found += ["--schedule", schedule_word(options.schedule), "--code", options.code]
    if options.input_steps is not None:
        found += ["--input-steps", str(options.input_steps)]
    if options.input_bits != Options().input_bits:
        found += ["--input-bits", str(options.input_bits)]
    if options.input_percentile != 100:
        found += ["--input-percentile", f"{options.input_percentile:g}"]
    if options.samples != Options().samples:
        found += ["--samples", str(options.samples)]
    if options.percentile != 100:
        found += ["--percentile", f"{options.percentile:g}"]
    if options.budget_bits is None:
        found += ["--weight-bits", str(options.layer_bits)]
    else:
        found += ["--weight-bits", "auto", "--budget-bits", f"{options.budget_bits:g}"]
    for name, own in options.layers.items():
        said = []
        if own.schedule is not None and own.schedule != options.schedule:
            said.append(f"schedule={schedule_word(own.schedule)}")
        if own.steps is not None and own.steps != options.layer_steps:
            said.append(f"steps={own.steps}")
        if own.weight_bits is not None:
            said.append(f"weight_bits={own.weight_bits}")
        if said:
            found += ["--layer", f"{name}:{','.join(said)}"]
    return found


def record_of(tuned: Tuned) -> dict[str, Any]:
    """Return a result as JSON values."""

    def said(found: Found) -> dict[str, Any]:
        return {
            "trial": found.trial,
            "firing": found.options.firing,
            "code": found.options.code,
            "schedule": schedule_word(found.options.schedule),
            "mean_steps": found.steps,
            "differing": found.differing,
            "divergence_nats": found.divergence,
            "score": found.score,
        }

    return {
        "best": said(tuned.best),
        "options": asdict(tuned.best.options),
        "finals": [said(f) for f in tuned.finals],
        "trials": [said(f) for f in tuned.trials],
        "pruned": tuned.pruned,
        "samples": tuned.samples,
        "met": tuned.met,
    }
