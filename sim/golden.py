"""Golden model: what a Design answers, in NumPy integers, independent of the hardware library.

Two forms of the same rules. :func:`trace` follows one sample step by step in integers alone and
keeps every event, membrane and integrator. :func:`run` answers whole data sets by matrix products:
it takes X = B + W·v for the sums, so v(T) or v(t+1) stand for the trains that lead there.
"""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics: ANN-to-SNN Conversion
# Beyond ReLU Network", ICML 2024, arXiv 2407.01645.

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..gen.design.design import Design
from ..gen.design.population import DesignOperand, DesignPopulation
from ..gen.model.network import INPUT
from ..gen.model.products import Product
from ..gen.model.several import SEVERAL
from ..gen.model.ties import DOWN, EVEN, UP
from . import integrate_fire
from .staircase import Levels, Staircase, precision

# f on requantised operands F, integers; the read-out is no neuron and does not stand here.
FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "relu": lambda f: np.maximum(f, 0),
    "linear": lambda f: f,
    "leaky_relu": lambda f: f,  # by the sign of X, before
    "abs": lambda f: f,
    "max": lambda *f: np.maximum.reduce(f),
}
# Functions that never fall as an operand rises, the greatest of their operands deciding: the least
# target that they give.
RISING = {INPUT: -(2**62), "linear": -(2**62), "max": -(2**62), "relu": 0}
MOST_HEARD = 0.85  # of the inputs: above that none is left out
BATCH_VALUES = 2**20  # neurons times samples at a time, so that most of them stay in a cache


def requantise(
    x: np.ndarray, multiplier: np.ndarray | int, shift: int, ties: str = DOWN
) -> np.ndarray:
    """Return F of f = x·M / 2^S, int64.

    ``down``: F = ceil(f), v >= F holds exactly where v·2^S >= x·M does. ``up``: F = floor(f) + 1,
    v >= F where v·2^S > x·M. ``even``: as ``down``, one more where f is whole and f mod 4 is 3.
    """
    product = x * multiplier
    if ties == UP:
        return (product >> shift) + 1
    target = (product + (1 << shift) - 1) >> shift
    if ties == EVEN:
        whole = product & ((1 << shift) - 1) == 0
        target = target + (whole & (target & 3 == 3))
    return target


def in_raster_order(planes: np.ndarray) -> np.ndarray:
    """Return read-outs (n, *shape) as logits (n, outputs), in the order in which they are sent.

    Those of planes go pixel after pixel, the channels of a pixel together.
    """
    if planes.ndim > 2:
        planes = np.moveaxis(planes, 1, -1)
    return planes.reshape(len(planes), -1)


def sources_of(product: Product) -> tuple[str, str]:
    return product.source, product.other


def input_target(design: Design, raw: np.ndarray) -> np.ndarray:
    """Return what the input population fires on, F of p·M / 2^S, shaped like ``raw``."""
    fmt = design.input_format
    return requantise(raw.astype(np.int64), fmt.multiplier, fmt.shift, design.input.ties)


def requantise_operand(
    operand: DesignOperand, x: np.ndarray, population: DesignPopulation
) -> np.ndarray:
    """Return F of integrators ``x``, (n, *shape) int64, with one M per channel.

    Where there is a second M, it is for X < 0.
    """
    by_channel = (-1, *[1] * (len(population.shape) - 1))
    per_channel = operand.multiplier.reshape(by_channel)
    if operand.below is not None:
        per_channel = np.where(x < 0, operand.below.reshape(by_channel), per_channel)
    return requantise(x, per_channel, operand.shift, population.operand_ties)


def channel_bias(operand: DesignOperand, population: DesignPopulation) -> np.ndarray | None:
    """Return the bias of every channel, (channels,) int64, ``None`` where it varies within one."""
    bias = np.broadcast_to(operand.bias, population.shape).reshape(population.shape[0], -1)
    return bias[:, 0] if np.all(bias == bias[:, :1]) else None


def target_of(population: DesignPopulation, requantised: list[np.ndarray]) -> np.ndarray:
    """Return f(F) of every operand's F; a table holds it; a limit is where it ends."""
    if population.table is not None:
        return population.table(requantised[0])
    if population.comparison is not None:
        f1, f2 = requantised
        fraction, ties = population.comparison.fraction, population.ties
        return SEVERAL[population.function].target(f1, f2, fraction, ties)
    target = FUNCTIONS[population.function](*requantised)
    return target if population.limit is None else np.minimum(target, population.limit)


# -- step by step ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PopulationTrace:
    """All that one population does for one sample, flattened to its n neurons in C order.

    Members
    -------
    events : (T, n) bool, e(t) = 1 where σ(t) = -1; no rows for the read-out
    membranes : (T + 1, n) int64, v(0)..v(T)
    targets : (T, n) int64, the f(x) that step t compares with
    requantised : per operand (T, n) int64, the F that step t applies f to; one row in settled
        firing, where F no longer moves; none for input and read-out
    integrators : per operand (T_in + 1, n) int64, X(0)..X(T_in); T_in is the T of the sources
        (the longest of them), row t is X before the events of step t are added; of products of
        trains, X without and with them
    """

    events: np.ndarray
    membranes: np.ndarray
    targets: np.ndarray
    requantised: tuple[np.ndarray, ...] = ()
    integrators: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One sample through a Design, step by step.

    Members
    -------
    populations : by name, :class:`PopulationTrace`
    logits : (outputs,) int64, the final integrators of the read-out, planes pixel after pixel
    label : index of the first maximum
    """

    populations: Mapping[str, PopulationTrace]
    logits: np.ndarray
    label: int


class _Neurons:
    """A population at work on one sample: integrators X, membranes v, and the record of both."""

    def __init__(self, design: Design, population: DesignPopulation) -> None:
        self.population = population
        self.operands = population.operands
        self.integrators = [[self._start(design, op)] for op in self.operands]
        self.requantised: list[list[np.ndarray]] = [[] for _ in self.operands]
        self.events: list[np.ndarray] = []
        self.targets: list[np.ndarray] = []
        self.membranes: list[np.ndarray] = []
        if population.code is not None:
            self.membranes.append(np.full((1, *population.shape), population.spike_code.rest))

    def _start(self, design: Design, operand: DesignOperand) -> np.ndarray:
        """X(0) = B + Σ_j W_ij v0_j."""
        x = np.broadcast_to(operand.bias, (1, *self.population.shape)).astype(np.int64)
        for projection in operand.projections:
            source = design[projection.source]
            x = x + projection.map.apply(np.full((1, *source.shape), source.spike_code.rest))
        return x

    def integrate(self, t: int, neurons: Mapping[str, "_Neurons"]) -> None:
        """X(t+1) = X(t) - Σ η_src(t) Σ_j W_ij σ_j(t), over the sources that fire at step t."""
        for operand, x in zip(self.operands, self.integrators, strict=True):
            after = x[-1]
            for projection in operand.projections:
                source = neurons[projection.source]
                eta = source.population.spike_code.eta
                if t < len(eta):
                    sigma = np.where(source.events[t], -1, 1)
                    after = after - eta[t] * projection.map.apply(sigma)
            x.append(after)

    def multiply(self, neurons: Mapping[str, "_Neurons"]) -> None:
        """Add products of the values that all sources have settled at to the last X."""
        for operand, x in zip(self.operands, self.integrators, strict=True):
            for product in operand.products:
                values = {name: neurons[name].membranes[-1] for name in sources_of(product)}
                x.append(x[-1] + product.apply(values))

    def target(self, design: Design, raw: np.ndarray) -> np.ndarray:
        """f(x) of the integrators as they stand now."""
        if self.population.function == INPUT:
            return input_target(design, raw).reshape(1, *self.population.shape)
        for operand, x, kept in zip(self.operands, self.integrators, self.requantised, strict=True):
            kept.append(requantise_operand(operand, x[-1], self.population))
        return target_of(self.population, [kept[-1] for kept in self.requantised])

    def fire(self, t: int, target: np.ndarray) -> None:
        """σ = +1 where v >= f(x), else -1; v(t+1) = v(t) - η(t) σ."""
        v, eta = self.membranes[-1], self.population.spike_code.eta[t]
        event = v < target
        self.targets.append(target)
        self.events.append(event)
        self.membranes.append(np.where(event, v + eta, v - eta))

    def record(self) -> PopulationTrace:
        n = self.population.size

        def rows(kept: list[np.ndarray], dtype: type = np.int64) -> np.ndarray:
            return np.array(kept, dtype=dtype).reshape(len(kept), n)

        return PopulationTrace(
            events=rows(self.events, bool),
            membranes=rows(self.membranes),
            targets=rows(self.targets),
            requantised=tuple(rows(kept) for kept in self.requantised),
            integrators=tuple(rows(kept) for kept in self.integrators),
        )


def trace(design: Design, raw: np.ndarray) -> Trace:
    """Follow one sample step by step, in int64 throughout.

    Parameters
    ----------
    design
        Any Design, folded or not.
    raw
        (input size,) or (*input shape) integers p within the input format.
    """
    raw = _checked(design, np.asarray(raw).reshape(1, -1))[0]
    if design.dynamics != "signgd":
        return _trace_integrate_fire(design, raw)
    _check_int64(design)
    neurons = {p.name: _Neurons(design, p) for p in design.populations}
    if design.firing == "overlapped":
        for t in range(design.input.train_code.steps):
            for each in neurons.values():  # sources stand first, so they have fired step t already
                each.integrate(t, neurons)
                if each.population.code is not None:
                    each.fire(t, each.target(design, raw))
    else:
        for each in neurons.values():
            arriving = [design[p.source].train_code.steps for p in each.population.sources]
            for t in range(max(arriving, default=0)):
                each.integrate(t, neurons)
            each.multiply(neurons)
            if each.population.code is not None:
                target = each.target(design, raw)
                for t in range(each.population.train_code.steps):
                    each.fire(t, target)
    logits = in_raster_order(neurons[design.readout.name].integrators[0][-1])[0]
    return Trace(
        populations={name: each.record() for name, each in neurons.items()},
        logits=logits,
        label=int(np.argmax(logits)),
    )


def _trace_integrate_fire(design: Design, raw: np.ndarray) -> Trace:
    """Return the same of integrate-and-fire neurons; ``targets`` are their thresholds."""
    records = integrate_fire.trace(design, raw)
    last = records[design.readout.name].membranes[-1]
    logits = in_raster_order(last.reshape(1, *design.readout.shape))[0]
    return Trace(
        populations={
            name: PopulationTrace(
                events=r.events,
                membranes=r.membranes,
                targets=np.broadcast_to(r.threshold, r.events.shape),
                integrators=(r.currents.cumsum(axis=0),),
            )
            for name, r in records.items()
        },
        logits=logits,
        label=int(np.argmax(logits)),
    )


# -- whole data sets ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Result:
    """Answers to a batch.

    Members
    -------
    logits : (n, outputs) int64, those of planes pixel after pixel
    labels : (n,) int64, the first maximum of each row
    events : by population name, (n,) int64, events that the population sent for each sample
    """

    logits: np.ndarray
    labels: np.ndarray
    events: Mapping[str, np.ndarray] = field(default_factory=dict)


def run(design: Design, raw: np.ndarray, *, batch: int = 512, count_events: bool = False) -> Result:
    """Answer every sample, at the speed of BLAS.

    Sums are taken in float64, exactly: every partial sum of B + W·v stays below 2^53, which is
    checked against the actual weights; where they stay below 2^24, in float32, as exactly. Where
    v(T) rises with the sum by equal levels, :class:`.staircase.Levels` finds it in floats too.

    Parameters
    ----------
    design
        Any Design, folded or not.
    raw
        (n, input size) or (n, *input shape) integers p within the input format.
    batch
        Samples held in memory at a time; of large networks fewer are.
    count_events
        Also count the events of every population.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    raw = _checked(design, raw)
    answer = _answerer(design, count_events)
    batch = min(batch, max(1, BATCH_VALUES // most_held(design)))
    parts = [answer(raw[i : i + batch]) for i in range(0, len(raw), batch)]
    logits = np.concatenate(
        [part for part, _ in parts] or [np.zeros((0, design.readout.size), np.int64)]
    )
    names = [p.name for p in design.populations if p.code is not None] if count_events else []
    return Result(
        logits=logits,
        labels=np.argmax(logits, axis=1),
        events={
            name: np.concatenate([c[name] for _, c in parts] or [np.zeros(0, np.int64)])
            for name in names
        },
    )


def events_of(
    design: Design, raw: np.ndarray, names: Collection[str], *, batch: int = 512
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the events of populations, batch by batch.

    Parameters
    ----------
    design
        Any Design, folded or not.
    raw
        (n, input size) or (n, *input shape) integers p within the input format.
    names
        Of the populations.
    batch
        Samples held in memory at a time; of large networks fewer are.

    Yields
    ------
    By name, (samples, T, neurons) bool, neurons in C order.
    """
    raw = _checked(design, raw)
    if design.firing != "settled" or design.dynamics != "signgd":
        for sample in raw:
            seen = trace(design, sample).populations
            yield {name: seen[name].events[None] for name in names}
        return
    _check_int64(design)
    closed = ClosedForm(design, count_events=False)
    batch = min(batch, max(1, BATCH_VALUES // most_held(design)))
    for i in range(0, len(raw), batch):
        yield closed.events(raw[i : i + batch], names)


def _answerer(design: Design, count_events: bool = False):
    """Return what answers batches of raw samples: logits, and events by population."""
    if design.dynamics != "signgd":
        return integrate_fire.IntegrateFire(design, count_events=count_events)
    _check_int64(design)
    return ClosedForm(design, count_events)


def read_by(population: DesignPopulation) -> set[str]:
    """Return the names of the populations that one reads."""
    products = (p for operand in population.operands for p in operand.products)
    return {p.source for p in population.sources}.union(*map(sources_of, products))


def last_readers(design: Design) -> list[set[str]]:
    """Return, for each population, those that it is the last to read."""
    found: list[set[str]] = []
    later: set[str] = set()
    for population in reversed(design.populations):
        read = read_by(population)
        found.append(read - later)
        later |= read
    return found[::-1]


def most_held(design: Design) -> int:
    """Return the most neurons whose values are held at a time for one sample.

    Of settled firing a value is dropped when the last population has read it; in overlapped firing
    every neuron is at work at every step.
    """
    sizes = {p.name: p.size for p in design.populations}
    if design.firing != "settled" or design.dynamics != "signgd":
        return sum(sizes.values())
    most = held = 0
    for population, done in zip(design.populations, last_readers(design), strict=True):
        held += population.size
        most = max(most, held)
        held -= sum(sizes[name] for name in done)
    return most


def run_over_steps(
    design: Design,
    raw: np.ndarray,
    steps: Sequence[int],
    *,
    batch: int = 512,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Return the logits after each of ``steps`` time steps, (len(steps), n, outputs) int64.

    All of them come from one run, for in overlapped firing the first t steps of a longer train are
    a train of t steps. ``progress`` is told how many samples are done.
    """
    longest = design.input.train_code.steps
    if design.firing != "overlapped":
        raise ValueError(
            "what a network says before the end is known in overlapped firing alone: settled "
            "neurons fire one population after the other"
        )
    if not len(steps) or min(steps) < 1 or max(steps) > longest:
        raise ValueError(f"steps to look at must lie in 1..{longest}, not {list(steps)}")
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    raw = _checked(design, raw)
    answer = _answerer(design)
    batch = min(batch, max(1, BATCH_VALUES // most_held(design)))
    found = np.zeros((len(steps), len(raw), design.readout.size), np.int64)
    for i in range(0, len(raw), batch):
        found[:, i : i + batch] = answer.over_steps(raw[i : i + batch], steps)
        progress(min(i + batch, len(raw)))
    return found


class ClosedForm:
    """The closed form of one Design: call with (n, input size) raw samples."""

    def __init__(self, design: Design, count_events: bool) -> None:
        self.design = design
        self.count_events = count_events
        self.bounds = {
            (p.name, k): design.integrator_bound(p, k)
            for p in design.populations
            for k in range(len(p.operands))
        }
        self.maps = {
            (p.name, k): [
                # Column by column, as products with rows of samples read them.
                q.map.with_weights(
                    q.map.weights.astype(precision(self.bounds[p.name, k]), order="F")
                )
                for q in operand.projections
            ]
            for p in design.populations
            for k, operand in enumerate(p.operands)
        }
        self._levels: dict[str, list[Levels] | None] = {}
        self.heard: np.ndarray | None = None  # of a batch, the inputs that are not 0 throughout
        read = [
            self.maps[p.name, k][j].among(np.arange(0))
            for p in design.populations
            for k, operand in enumerate(p.operands)
            for j, projection in enumerate(operand.projections)
            if projection.source == design.input.name
        ]
        multiplied = any(
            design.input.name in sources_of(product)
            for p in design.populations
            for operand in p.operands
            for product in operand.products
        )
        self.leaves_out = None not in read and not multiplied
        if design.firing == "settled":
            self.stairs = {
                p.name: Staircase(p.spike_code) for p in design.populations if p.code is not None
            }

    def __call__(self, raw: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        values, events = (
            self._settled(raw) if self.design.firing == "settled" else self._overlapped(raw)
        )
        readout = self.design.readout
        (logits,) = self._integrators(readout, values)
        return in_raster_order(logits), events

    def _sums(
        self, population: DesignPopulation, k: int, values: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Return Σ W·v of operand ``k``, (n, *shape) whole floats, exact.

        No partial sum passes the integrator's bound, in whatever order the terms are added.
        """
        dtype = precision(self.bounds[population.name, k])
        operand = population.operands[k]
        found = []
        for projection, linear in zip(
            operand.projections, self.maps[population.name, k], strict=True
        ):
            given = values[projection.source].astype(dtype, copy=False)
            if projection.source == self.design.input.name and self.heard is not None:
                heard = linear.among(self.heard)
                assert heard is not None  # of every map that reads the input: `leaves_out`
                linear = heard
            found.append(linear.summed(given))
        for product in operand.products:
            read = {name: values[name].astype(dtype, copy=False) for name in sources_of(product)}
            found.append(product.apply(read))
        first, *others = found
        return sum(others, first)

    def _integrators(
        self, population: DesignPopulation, values: Mapping[str, np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yield X = B + Σ W·v of every operand, (n, *shape) int64."""
        for k, operand in enumerate(population.operands):
            yield operand.bias + self._sums(population, k, values).astype(np.int64)

    def _target(
        self, population: DesignPopulation, values: Mapping[str, np.ndarray], raw: np.ndarray
    ) -> np.ndarray:
        if population.function == INPUT:
            return input_target(self.design, raw).reshape(len(raw), *population.shape)
        requantised = [
            requantise_operand(operand, x, population)
            for operand, x in zip(
                population.operands, self._integrators(population, values), strict=True
            )
        ]
        return target_of(population, requantised)

    def settled_value(self, population: DesignPopulation, index: np.ndarray) -> np.ndarray:
        """Return what those who read a population see of v(T), by the index of its target."""
        return self.stairs[population.name].values[index]

    def events(self, raw: np.ndarray, names: Collection[str]) -> dict[str, np.ndarray]:
        """Return the events of settled populations, (samples, T, neurons) bool, C order."""
        found: dict[str, np.ndarray] = {}

        def look(name: str, index: np.ndarray) -> None:
            if name in names:
                sent = self.stairs[name].sent.T[index.reshape(len(raw), -1)]
                found[name] = np.moveaxis(sent, -1, 1)

        self._settled(raw, look=look)
        return found

    def levels_of(self, population: DesignPopulation, samples: int) -> list[Levels] | None:
        """Return the levels of every operand, ``None`` where targets have to be followed.

        They are made once, where ``samples`` are enough to be worth it.
        """
        name = population.name
        if name not in self._levels:
            channels = 1 if population.function == INPUT else population.shape[0]
            code = population.spike_code
            if samples * population.size < channels * (code.high - code.low):
                return None
            self._levels[name] = self._find_levels(population)
        return self._levels[name]

    def _find_levels(self, population: DesignPopulation) -> list[Levels] | None:
        stairs = self.stairs[population.name]
        least = RISING.get(population.function)
        if least is None or any(operand.below is not None for operand in population.operands):
            return None
        first = max(stairs.low, least)
        last = stairs.top if population.limit is None else min(stairs.top, population.limit)

        def settled(target: np.ndarray) -> np.ndarray:
            return stairs.values[stairs.index(target)].astype(np.int64)

        if population.function == INPUT:
            fmt = self.design.input_format
            found = Levels.of(
                lambda p: settled(input_target(self.design, p)),
                stairs,
                multiplier=np.array([fmt.multiplier]),
                shift=fmt.shift,
                bias=np.zeros(1, np.int64),
                low=fmt.low,
                high=fmt.high,
                first=first,
                last=last,
            )
            return None if found is None else [found]
        axes = len(population.shape) - 1
        levels = []
        for k, operand in enumerate(population.operands):

            def settle(x: np.ndarray, operand: DesignOperand = operand) -> np.ndarray:
                placed = x.reshape(*x.shape, *[1] * axes)
                target = target_of(population, [requantise_operand(operand, placed, population)])
                return settled(target).reshape(x.shape)

            bias = channel_bias(operand, population)
            found = Levels.of(
                settle,
                stairs,
                multiplier=operand.multiplier,
                shift=operand.shift,
                bias=np.zeros_like(operand.multiplier) if bias is None else bias,
                low=-self.bounds[population.name, k],
                high=self.bounds[population.name, k],
                first=first,
                last=last,
            )
            if found is None:
                return None
            levels.append(found.shaped(axes, operand.bias if bias is None else None))
        return levels

    def _level(
        self,
        population: DesignPopulation,
        levels: Sequence[Levels],
        values: Mapping[str, np.ndarray],
        raw: np.ndarray,
    ) -> np.ndarray:
        """Return the level that every neuron settles at: of several operands the highest one."""
        if population.function == INPUT:
            shape = population.shape if self.heard is None else self.heard.shape
            return levels[0].level(raw.reshape(len(raw), *shape))
        found = [each.level(self._sums(population, k, values)) for k, each in enumerate(levels)]
        return found[0] if len(found) == 1 else np.maximum.reduce(found)

    def _listened(self, raw: np.ndarray, levels: Levels) -> np.ndarray:
        """Return the inputs that are not 0 throughout a batch, where many are and no map minds.

        A level rises with the raw integer, so that least and greatest tell of all between.
        """
        if self.count_events or not self.leaves_out or not len(raw):
            return raw
        ends = levels.values(levels.level(np.array([raw.min(axis=0), raw.max(axis=0)])))
        heard = np.flatnonzero(ends.any(axis=0))
        if len(heard) > MOST_HEARD * raw.shape[1]:
            return raw
        self.heard = heard
        return raw[:, heard]

    def _settled(
        self,
        raw: np.ndarray,
        *,
        keep: bool = False,
        look: Callable[[str, np.ndarray], None] | None = None,
    ) -> tuple[dict, dict]:
        """Return what the read-out reads; all values with ``keep``.

        ``look`` is told of every population by name, and the indices of its targets.
        """
        self.heard = None
        values: dict[str, np.ndarray] = {}
        events: dict[str, np.ndarray] = {}
        populations = self.design.populations[:-1]
        for population, done in zip(populations, last_readers(self.design), strict=False):
            name, axes = population.name, tuple(range(1, 1 + len(population.shape)))
            levels = None if look is not None else self.levels_of(population, len(raw))
            if levels is None:
                at = self.stairs[name].index(self._target(population, values, raw))
                sent = self.stairs[name].events
                if look is not None:
                    look(name, at)
            else:
                if population.function == INPUT and not keep:
                    raw = self._listened(raw, levels[0])
                at, sent = self._level(population, levels, values, raw), levels[0].events
            if self.count_events:
                events[name] = sent[at.astype(np.intp, copy=False)].sum(axis=axes)
            values[name] = (
                self.settled_value(population, at) if levels is None else levels[0].values(at)
            )
            for each in () if keep else done:
                del values[each]
        return values, events

    def over_steps(self, raw: np.ndarray, steps: Sequence[int]) -> np.ndarray:
        """Return the logits after each of ``steps`` steps of overlapped firing."""
        said: dict[int, np.ndarray] = {}

        def look(t: int, values: dict) -> None:
            if t in steps:
                (logits,) = self._integrators(self.design.readout, values)
                said[t] = in_raster_order(logits)

        self._overlapped(raw, look, max(steps))
        return np.array([said[t] for t in steps])

    def _overlapped(
        self,
        raw: np.ndarray,
        look: Callable[[int, dict], None] = lambda t, values: None,
        steps: int | None = None,
    ) -> tuple[dict, dict]:
        neurons = self.design.populations[:-1]
        values = {p.name: np.full((len(raw), *p.shape), float(p.spike_code.rest)) for p in neurons}
        events = {p.name: np.zeros(len(raw), np.int64) for p in neurons}
        for t in range(steps or self.design.input.train_code.steps):
            for population in neurons:
                name, eta = population.name, population.spike_code.eta[t]
                event = values[name] < self._target(population, values, raw)
                values[name] += np.where(event, eta, -eta)
                if self.count_events:
                    events[name] += np.count_nonzero(event.reshape(len(raw), -1), axis=1)
            look(t + 1, values)
        return values, events


def _checked(design: Design, raw: np.ndarray) -> np.ndarray:
    """Return ``raw`` as (n, input size) in its own integer type, or raise."""
    raw = np.asarray(raw)
    fmt, size = design.input_format, design.input.size
    if not np.issubdtype(raw.dtype, np.integer):
        raise TypeError(
            f"raw samples must be integers, not {raw.dtype} (Design.raw_samples makes them)"
        )
    if raw.ndim < 2 or int(np.prod(raw.shape[1:])) != size:
        raise ValueError(f"a raw sample needs {size} integers, not shape {raw.shape[1:]}")
    held = np.iinfo(raw.dtype)
    fits = fmt.low <= held.min and held.max <= fmt.high
    if raw.size and not fits and (raw.min() < fmt.low or raw.max() > fmt.high):
        raise ValueError(
            f"raw samples must lie in {fmt.low}..{fmt.high}, not {raw.min()}..{raw.max()}"
        )
    return raw.reshape(len(raw), size)


def _check_int64(design: Design) -> None:
    """Refuse a Design whose sums pass 2^53 or whose products with M pass 2^63."""
    for population in design.populations:
        _check_operands(design, population)
        for k, operand in enumerate(population.operands):
            bound = design.integrator_bound(population, k)
            product = bound * int(operand.multiplier.max()) + (1 << operand.shift)
            if bound >= 1 << 53 or product >= 1 << 63:
                raise ValueError(
                    f"integrators of {population.name!r} must stay below 2^53 and their products "
                    f"below 2^63, but they may reach {bound} and {product}"
                )


def _check_operands(design: Design, population: DesignPopulation) -> None:
    """Refuse two operands whose products pass 2^62."""
    if population.comparison is None:
        return
    f1, f2 = (
        (design.integrator_bound(population, k) * int(op.multiplier.max()) >> op.shift) + 1
        for k, op in enumerate(population.operands)
    )
    p = population.comparison.fraction
    greatest = SEVERAL[population.function].greatest(f1, f2, p)
    if greatest >= 1 << 62:
        raise ValueError(
            f"products of the operands of {population.name!r} must stay below 2^62, but they may "
            f"reach {greatest}"
        )


def _logits(design: Design, raw: np.ndarray) -> np.ndarray:
    return run(design, raw).logits


Design.answered_by = _logits
