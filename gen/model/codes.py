"""Spike codes: how many steps, which step sizes, and what value a train of events stands for."""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics: ANN-to-SNN Conversion
# Beyond ReLU Network", ICML 2024, arXiv 2407.01645.

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SCHEDULES = ("binary", "exponential", "inverse", "constant", "list")
CODES = ("silent", "offset", "centred")
MAX_STEPS = 256
MAX_LEAK = 15
LEAST_STEP = 1e-30  # of a schedule, in fractions of a scale; the greatest is its reciprocal
ETA_RESOLUTION = 1024  # integer size of the largest step of a schedule that is not binary
BINARY_STEPS = 16  # at most; their levels are as fine as the factors M of 16 bits
GREATEST_TOTAL = MAX_STEPS * ETA_RESOLUTION  # Ση at most: a neuron's targets are told apart by it


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Shape of the step sizes η(t) over the steps t = 0..T-1, in real numbers.

    Parameters
    ----------
    kind
        One of :data:`SCHEDULES`.
    eta0
        η(0) in fractions of the activation's scale (the paper: 0.15 of the maximum). ``None``
        stretches the schedule so that the code's range covers the activation's range.
    gamma
        Ratio of two successive steps, ``exponential`` only.
    values
        The steps themselves, ``list`` only.
    """

    kind: str = "binary"
    eta0: float | None = None
    gamma: float = 0.95
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {self.kind!r}")
        if self.eta0 is not None and not self.eta0 > 0:
            raise ValueError(f"eta0 must be positive, not {self.eta0}")
        for what, number in (("eta0", self.eta0), *(("a step size", v) for v in self.values)):
            if number is not None and number > 0 and not LEAST_STEP <= number <= 1 / LEAST_STEP:
                raise ValueError(
                    f"{what} must lie in {LEAST_STEP:g}..{1 / LEAST_STEP:g}, not {number:g}"
                )
        if self.kind == "exponential" and not 0 < self.gamma <= 1:
            raise ValueError(f"gamma must lie above 0 and not above 1, not {self.gamma}")
        if self.kind == "list" and (not self.values or min(self.values) <= 0):
            raise ValueError("a schedule list needs step sizes, all of them positive")

    @property
    def is_whole(self) -> bool:
        """Whether it is a list of whole numbers, which are taken as they are."""
        return self.kind == "list" and all(float(value).is_integer() for value in self.values)

    def relative(self, steps: int) -> np.ndarray:
        """Return η(t)/η(0) for ``steps`` steps, (steps,) float64."""
        if not 1 <= steps <= MAX_STEPS:
            raise ValueError(f"steps must lie in 1..{MAX_STEPS}, not {steps}")
        t = np.arange(steps, dtype=np.float64)
        if self.kind == "binary":
            return 0.5**t
        if self.kind == "exponential":
            return self.gamma**t
        if self.kind == "inverse":
            return 1 / (t + 1)
        if self.kind == "constant":
            return np.ones(steps)
        if len(self.values) != steps:
            raise ValueError(
                f"the schedule list has {len(self.values)} step sizes, but steps is {steps}"
            )
        return np.array(self.values) / self.values[0]


@dataclass(frozen=True, kw_only=True)
class SpikeCode:
    """What a population's events mean, in integers; every real number is ``unit`` times one.

    v(0) = rest; v(t+1) = v(t) - eta[t]·σ(t); σ = +1 where v >= f(x), else -1 (an event).
    value = v(T) = (rest - Σeta) + 2 Σ eta[t]·e(t).

    Parameters
    ----------
    eta
        (T,) integer step sizes, each at least 1.
    rest
        v(0).
    unit
        Real value of one integer step of v, positive.
    kind
        ``silent``, ``offset`` or ``centred``: how ``rest`` was chosen.
    schedule
        Name of the schedule that ``eta`` was made from.
    """

    eta: tuple[int, ...]
    rest: int
    unit: float
    kind: str = "silent"
    schedule: str = "binary"

    def __post_init__(self) -> None:
        if not 1 <= len(self.eta) <= MAX_STEPS or min(self.eta) < 1:
            raise ValueError(f"eta needs 1 to {MAX_STEPS} steps of at least 1, not {self.eta}")
        if not (self.unit > 0 and np.isfinite(self.unit)):
            raise ValueError(f"unit must be positive, not {self.unit}")

    @property
    def steps(self) -> int:
        """T, the number of time steps."""
        return len(self.eta)

    @property
    def total(self) -> int:
        """Ση."""
        return sum(self.eta)

    @property
    def low(self) -> int:
        """The least value, that of a train without events."""
        return self.rest - self.total

    @property
    def high(self) -> int:
        """The greatest value, that of a train of nothing but events."""
        return self.rest + self.total

    @property
    def is_binary(self) -> bool:
        """Whether η(t) = 2^(T-1-t), so that an event's weight is a shift."""
        return self.eta == tuple(2 ** (self.steps - 1 - t) for t in range(self.steps))

    @property
    def values(self) -> np.ndarray:
        """All values that settled firing can end at, ascending int64.

        v(T) as a function of the target f is a non-decreasing staircase; it is followed here for
        every integer f from low to high + 1, beyond which nothing changes.
        """
        return np.unique(_staircase(self.eta, self.rest))

    def settle(self, target: np.ndarray) -> np.ndarray:
        """Return v(T) of neurons whose integer ``target`` f does not move, int64."""
        inside = np.clip(target, self.low, self.high + 1)
        return _staircase(self.eta, self.rest)[inside.astype(np.int64) - self.low]

    def trains(self, target: np.ndarray | int) -> np.ndarray:
        """Return the events of neurons whose integer ``target`` f does not move, (..., T) bool."""
        return trains(self.eta, self.rest, target)[0]

    @property
    def zero(self) -> int:
        """The value that settled firing gives for f = 0; not 0 where the code cannot express 0."""
        return int(self.settle(np.array(0)))


@dataclass(frozen=True, kw_only=True)
class RateCode:
    """What the events of integrate-and-fire neurons mean: the more of them, the greater the value.

    Without a leak the value is their mean, θ/T Σ s(t). With one it is their exponential average
    y(t+1) = λ y(t) + (1 - λ) θ s(t) of y(0) = 0, λ = 1 - 2^-leak.

    Parameters
    ----------
    steps
        T.
    theta
        Real θ: the value of a train of nothing but events, positive.
    leak
        Shift of the leak, 1..15; 0 is none.
    """

    steps: int
    theta: float
    leak: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS:
            raise ValueError(f"steps must lie in 1..{MAX_STEPS}, not {self.steps}")
        if not (self.theta > 0 and np.isfinite(self.theta)):
            raise ValueError(f"theta must be positive, not {self.theta}")
        if not 0 <= self.leak <= MAX_LEAK:
            raise ValueError(f"leak must lie in 0..{MAX_LEAK}, not {self.leak}")

    low = zero = 0
    is_binary = False
    schedule = "constant"

    @property
    def kind(self) -> str:
        """``rate``, or ``average`` with a leak."""
        return "average" if self.leak else "rate"

    @property
    def high(self) -> int:
        """The number of events of the greatest value."""
        return self.steps

    @property
    def unit(self) -> float:
        """Real value of one event, θ/T."""
        return self.theta / self.steps

    def total(self, steps: int) -> float:
        """Return what a constant input of 1 adds up to in a membrane after so many steps.

        With a leak that is Σ λ^t, counted in units of 2^-leak of the input.
        """
        if not self.leak:
            return float(steps)
        kept = 1 - 2.0**-self.leak
        return 4.0**self.leak * (1 - kept**steps)


# -- the firing rule -----------------------------------------------------------------------------


def moved(v: np.ndarray, event: np.ndarray, step: int) -> np.ndarray:
    """Return v(t+1) = v(t) - η(t) σ(t), where σ is -1 with an event and +1 without."""
    return np.where(event, v + step, v - step)


def fire(v: np.ndarray, target: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the events e(t) = [v(t) < f], bool, and v(t+1), of arrays that broadcast."""
    event = v < target
    return event, moved(v, event, step)


def trains(
    eta: tuple[int, ...], rest: int, target: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what neurons send whose integer targets do not move.

    Parameters
    ----------
    eta, rest
        See :class:`SpikeCode`.
    target
        f of each neuron, int64 of any shape.

    Returns
    -------
    events, v
        (*shape, T) bool, and v(T), int64 of the targets' shape.
    """
    v = np.full(np.shape(target), rest, dtype=np.int64)
    events = np.empty((*v.shape, len(eta)), dtype=bool)
    for t, step in enumerate(eta):
        events[..., t], v = fire(v, np.asarray(target), step)
    return events, v


@lru_cache(maxsize=64)
def _staircase(eta: tuple[int, ...], rest: int) -> np.ndarray:
    """Return v(T) for each target from rest - Ση to rest + Ση + 1, int64."""
    total = sum(eta)
    return trains(eta, rest, np.arange(rest - total, rest + total + 2))[1]


# -- codes that fit ------------------------------------------------------------------------------


def check_steps(what: str, schedule: Schedule, steps: int) -> None:
    """Refuse a T that no population of this schedule can have.

    Parameters
    ----------
    what
        Whose T it is, for the message: ``steps``.

    Raises
    ------
    ValueError
        For more than :data:`MAX_STEPS`, or :data:`BINARY_STEPS` of a binary schedule, whose step
        sizes double; or for a list of whole numbers that sum to more than :data:`GREATEST_TOTAL`.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ValueError(f"{what} must lie in 1..{MAX_STEPS}, not {steps}")
    if schedule.kind == "binary" and steps > BINARY_STEPS:
        raise ValueError(
            f"{what} must lie in 1..{BINARY_STEPS} with the binary schedule, whose step sizes "
            f"double, not {steps} (more steps take another schedule, like exponential:0.15,0.95)"
        )
    if schedule.is_whole and sum(schedule.values) > GREATEST_TOTAL:
        raise ValueError(
            f"whole step sizes of a list must sum to at most {GREATEST_TOTAL}, not "
            f"{sum(schedule.values):.0f} (divide them all by one number)"
        )


def integer_steps(schedule: Schedule, steps: int) -> tuple[int, ...]:
    """Return η(t) in integers without a common divisor.

    A list of whole numbers is taken as it is, ``binary`` is 2^(T-1-t); every other schedule is
    rounded at a resolution of :data:`ETA_RESOLUTION`. Dividing by a common divisor changes no
    event (v moves on the coarser grid alone) and saves bits: ``constant`` becomes ones.
    """
    relative = schedule.relative(steps)
    if schedule.kind == "binary":
        return tuple(2 ** (steps - 1 - t) for t in range(steps))
    if schedule.is_whole:
        eta = [int(value) for value in schedule.values]
    else:
        finest = ETA_RESOLUTION / relative.max()
        eta = [int(e) for e in np.maximum(1, np.floor(relative * finest + 0.5))]
    divisor = math.gcd(*eta)
    return tuple(e // divisor for e in eta)


def make_code(*, kind: str, schedule: Schedule, steps: int, low: float, high: float) -> SpikeCode:
    """Fit a spike code to real activations that lie in ``low``..``high``.

    ``silent`` spans 0..high and refuses ``low`` < 0; ``offset`` spans low..high with a rest that
    keeps 0 exact for the binary schedule (z even); ``centred`` spans ±max(|low|, |high|).

    Raises
    ------
    ValueError
        For an unknown kind, an empty range, or a silent code for values below zero.
    """
    if kind not in CODES:
        raise ValueError(f"code must be one of {', '.join(CODES)}, not {kind!r}")
    if kind == "silent" and low < 0:
        raise ValueError(
            f"the silent code has no values below 0, and {low:g} was asked for (use offset)"
        )
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(-low, high)
    if not scale > 0:
        low, high, scale = 0.0, 1.0, 1.0  # a population that is always 0: any unit will do
    eta = integer_steps(schedule, steps)
    total = sum(eta)
    if schedule.eta0 is not None:
        unit = schedule.eta0 * scale / eta[0]
    else:
        span = {"silent": high, "offset": high - low, "centred": 2 * scale}[kind]
        unit = span / (2 * total)
    if kind == "silent":
        rest = total
    elif kind == "centred":
        rest = 0
    else:
        z = 2 * round(-low / unit / 2)
        rest = total - min(max(z, 0), 2 * total)
    return SpikeCode(eta=eta, rest=rest, unit=float(unit), kind=kind, schedule=schedule.kind)
