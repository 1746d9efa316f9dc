"""Unary neuron functions: what they compute, and the tables that stand for them in integers.

A function is known by the name of torch's operator (``gelu``). ReLU, the maximum and what is linear
are no tables and stand in :mod:`.network`; LeakyReLU and abs are decided by the sign of X, with a
multiplier for each side. Every other function becomes a :class:`FunctionTable`: of the requantised
input F, which stands for every real x in ((F - 1)·unit_x, F·unit_x], it holds the target at the
middle of that interval. A target is exact for the neuron: v >= f/unit holds where v >= ceil(f/unit)
does. So a neuron that settles at the nearest level errs by half a level, and by what f changes over
half an input step beside that.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .codes import SpikeCode
from .ties import DOWN, rounded

Evaluate = Callable[..., np.ndarray]

GRID = 2**15  # points at which a function is looked at to find its domain and its slope
MARGIN = 0.25  # of the span of the operand in calibration: how far beyond it a table may reach
FLAT = 0.25  # of a unit: what a function may still change beyond the domain, an eighth of a level
LEAST_ENTRIES, MOST_ENTRIES = 4, 4096
POINTS = 8  # of an input step, at which the error is measured
ROUNDING = 1e-9  # of a unit: a target that is an integer up to float precision is that integer


@dataclass(frozen=True, kw_only=True)
class Unary:
    """A function of one operand.

    Parameters
    ----------
    name
        Of torch's operator.
    evaluate
        f(x, *parameters), elementwise, float64 in and out.
    nonnegative
        It is never below 0, so its neurons can use the silent code.
    domain
        Least and greatest x that it is evaluated at; what lies beyond takes the value at the end.
    """

    name: str
    evaluate: Evaluate
    nonnegative: bool = False
    domain: tuple[float, float] = (-math.inf, math.inf)

    def __call__(self, x: np.ndarray, parameters: Iterable[float] = ()) -> np.ndarray:
        """Return f(x), float64, of the shape of x."""
        x = np.clip(np.asarray(x, dtype=np.float64), *self.domain)
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            found = np.asarray(self.evaluate(x, *parameters), dtype=np.float64)
        if found.shape != x.shape:
            raise ValueError(
                f"{self.name} must work on each element: it makes shape {found.shape} of {x.shape}"
            )
        if np.isnan(found).any():
            where = float(x[np.isnan(found)].ravel()[0])
            raise ValueError(
                f"{self.name} has no value at {where:g} (register it with a domain that leaves "
                f"this out)"
            )
        return found


# -- what torch computes -----------------------------------------------------------------------


_erf: Any = np.frompyfunc(math.erf, 1, 1)


def gelu(x: np.ndarray) -> np.ndarray:
    """x·Φ(x), with the distribution function Φ of the normal distribution."""
    return x * (1 + _erf(x / math.sqrt(2)).astype(np.float64)) / 2


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """Approximate :func:`gelu` by a tanh."""
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow on either side."""
    return (1 + np.tanh(x / 2)) / 2


def elu(
    x: np.ndarray, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> np.ndarray:
    """scale·x above 0, else scale·alpha·(exp(input_scale·x) - 1); SELU and CELU too."""
    below = alpha * np.expm1(input_scale * np.minimum(x, 0))
    return scale * np.where(x > 0, x, below)


def softplus(x: np.ndarray, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
    """log(1 + exp(beta·x)) / beta; x itself where beta·x > threshold."""
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


def leaky_relu(x: np.ndarray, slope: float = 0.01) -> np.ndarray:
    """max(x, 0) + slope·min(x, 0)."""
    return np.where(x > 0, x, slope * x)


UNARY: dict[str, Unary] = {
    f.name: f
    for f in (
        Unary(name="gelu", evaluate=gelu),
        Unary(name="gelu_tanh", evaluate=gelu_tanh),
        Unary(name="silu", evaluate=lambda x: x * sigmoid(x)),
        Unary(name="sigmoid", evaluate=sigmoid, nonnegative=True),
        Unary(name="tanh", evaluate=np.tanh),
        Unary(name="hardswish", evaluate=lambda x: x * np.clip(x + 3, 0, 6) / 6),
        Unary(name="elu", evaluate=elu),
        Unary(name="softplus", evaluate=softplus, nonnegative=True),
        Unary(name="square", evaluate=np.square, nonnegative=True),
        Unary(name="exp", evaluate=np.exp, nonnegative=True),
        Unary(name="clamp", evaluate=np.clip),
        Unary(name="leaky_relu", evaluate=leaky_relu),
        Unary(name="abs", evaluate=np.abs, nonnegative=True),
    )
}
BUILT_IN = frozenset(UNARY)


def slope_below(function: str, parameters: tuple[float, ...] = ()) -> float | None:
    """Return the slope on X < 0 of a function that is X above, ``None`` where a table is needed."""
    if function == "abs":
        return -1.0
    if function == "leaky_relu":
        slope = parameters[0] if parameters else 0.01
        return slope if 0 <= slope <= 1 else None
    return None


def register_neuron(
    function: str | Callable,
    evaluate: Evaluate,
    *,
    nonnegative: bool = False,
    domain: tuple[float, float] = (-math.inf, math.inf),
) -> None:
    """Let a unary function of torch be a neuron function.

    Parameters
    ----------
    function
        torch's function or its name: ``torch.sin``, ``"sin"``; ``nn.Mish``.
    evaluate
        The same in NumPy: float64 arrays in and out, each element by itself.
    nonnegative
        It is never below 0.
    domain
        Least and greatest x that ``evaluate`` is called with.

    Raises
    ------
    ValueError
        For a name that has its own form already, or a function that is not elementwise.
    """
    name = function if isinstance(function, str) else getattr(function, "__name__", "").lower()
    if not name.isidentifier():
        raise ValueError(f"a neuron function is named by torch's function, not {function!r}")
    if name in BUILT_IN or name in ("relu", "linear", "max", "input", "readout"):
        raise ValueError(f"{name} is a neuron function already")
    if not domain[0] < domain[1]:
        raise ValueError(f"the domain of {name} must reach from below to above, not {domain}")
    unary = Unary(name=name, evaluate=evaluate, nonnegative=nonnegative, domain=domain)
    probe = np.clip(np.linspace(-1, 1, 6).reshape(2, 3), *domain)
    whole = unary(probe)
    alone = np.array([unary(probe[i, j].reshape(1))[0] for i in range(2) for j in range(3)])
    if not np.allclose(whole.ravel(), alone, rtol=1e-12, atol=0, equal_nan=True):
        raise ValueError(f"{name} must work on each element by itself")
    if nonnegative and (whole < 0).any():
        raise ValueError(f"{name} was said to be never below 0, and is {whole.min():g}")
    UNARY[name] = unary


# -- tables ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class FunctionTable:
    """target = entries[min(max(F - first, 0), N - 1)], F = ceil(x / unit).

    Parameters
    ----------
    first
        F of the first entry.
    entries
        (N,) int64 targets in units of the code, N a power of two. The first and the last hold the
        limits of f; the domain is what lies between them.
    unit
        Real value of one step of F; not used by hardware.
    error
        Worst distance of the value settled at from f over the domain, in levels of the code.
    bound
        Half a level and half an input step times the greatest slope, in levels.
    """

    first: int
    entries: np.ndarray
    unit: float
    error: float
    bound: float

    def __post_init__(self) -> None:
        n = len(self.entries)
        if self.entries.ndim != 1 or n < 2 or n & (n - 1):
            raise ValueError(f"the entries of a table are a power of two, not {n}")
        if not (self.unit > 0 and np.isfinite(self.unit)):
            raise ValueError(f"the unit of a table must be positive, not {self.unit}")

    def __call__(self, f: np.ndarray) -> np.ndarray:
        """Return the targets of requantised inputs F, int64."""
        return self.entries[np.clip(f - self.first, 0, len(self.entries) - 1).astype(np.int64)]

    @property
    def domain(self) -> tuple[float, float]:
        """Least and greatest x of the entries that are no limits."""
        return self.first * self.unit, (self.first + len(self.entries) - 2) * self.unit

    @property
    def last(self) -> int:
        """F of the last entry."""
        return self.first + len(self.entries) - 1

    def same(self, other: "FunctionTable") -> bool:
        """Whether hardware made for one holds the other."""
        return self.first == other.first and np.array_equal(self.entries, other.entries)


def make_table(
    unary: Unary,
    parameters: tuple[float, ...],
    code: SpikeCode,
    seen: tuple[float, float],
    limit: int | None = None,
    ties: str = DOWN,
) -> FunctionTable:
    """Return the smallest table whose input step costs no more than a quarter of a level.

    Parameters
    ----------
    unary, parameters
        The function.
    code
        Of the population.
    seen
        Least and greatest operand in calibration; the table reaches beyond them by
        :data:`MARGIN` of their span, but no further than f changes within the code's range.
    limit
        Greatest target, in units of the code; ``None`` where nothing but the code bounds it.
    ties
        What happens where v = f, see :mod:`.ties`.
    """
    top = code.high + 1 if limit is None else min(code.high + 1, limit)

    def units(x: np.ndarray) -> np.ndarray:
        return np.clip(unary(x, parameters) / code.unit, code.low, top)

    low, high = seen
    margin = MARGIN * (high - low) or max(1.0, abs(low))
    x = np.linspace(low - margin, high + margin, GRID + 1)
    y = units(x)
    # Where f moves away from its limits: the domain reaches one grid point beyond.
    left = np.flatnonzero(np.abs(y - y[0]) > FLAT)
    right = np.flatnonzero(np.abs(y - y[-1]) > FLAT)
    a = max(0, left[0] - 1) if len(left) else 0
    b = min(GRID, right[-1] + 1) if len(right) else GRID
    if a >= b or not (len(left) or len(right)):
        a, b = 0, GRID
    span = float(x[b] - x[a])
    slope = float(np.abs(np.diff(y[a : b + 1])).max()) * GRID / float(x[-1] - x[0])
    wanted = math.ceil(span * slope) + 3  # half an input step: at most half a unit
    n = min(max(1 << (wanted - 1).bit_length(), LEAST_ENTRIES), MOST_ENTRIES)
    unit = span / (n - 3)
    first = math.floor(x[a] / unit)
    middles = (first + np.arange(n) - 0.5) * unit
    exact = units(middles)
    exact[0], exact[-1] = y[[0, -1]]
    entries = np.minimum(rounded(exact, ties, within=ROUNDING), top).astype(np.int64)
    error, bound = measured(unary, parameters, code, first, entries, unit, limit)
    return FunctionTable(first=first, entries=entries, unit=unit, error=error, bound=bound)


def measured(
    unary: Unary,
    parameters: tuple[float, ...],
    code: SpikeCode,
    first: int,
    entries: np.ndarray,
    unit: float,
    limit: int | None = None,
) -> tuple[float, float]:
    """Return the worst error of a table over its domain, and the bound it must keep, in levels.

    f is taken within the range of the code and up to ``limit``, which is what can be expressed of
    it. Each input step
    is looked at from just above its lower end to its upper end.
    """
    values = code.values
    level = float(np.diff(values).max()) if len(values) > 1 else float(2 * code.total)
    settled = code.settle(entries[1:-1]).astype(np.float64)
    within = np.linspace(0, 1, POINTS + 1)
    within[0] = 1e-9
    x = (first + np.arange(len(settled))[:, None] + within) * unit
    top = code.high if limit is None else min(code.high, limit)
    y = np.clip(unary(x, parameters) / code.unit, code.low, top)
    error = float(np.abs(y - settled[:, None]).max())
    steps = np.abs(np.diff(y, axis=1)) / (np.diff(within) * unit)
    return error / level, 0.5 + unit / 2 * float(steps.max()) / level
