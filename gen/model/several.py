"""Neuron functions of two operands: product, quotient, and quotient by a root, in integers.

The operands arrive as F1 and F2, each in a unit of its own. The units are chosen so that f(x1, x2)
is f(F1, F2)·unit/2^p for a whole number p, where unit is that of the neuron's code; so v >= f is
decided by products of integers, and neither a divider nor a root is needed:

    multiply       v·2^p >= F1·F2
    divide         v·2^p·F2 >= F1                   F2 >= 1
    divide_root    v·2^p·√F2 >= F1                  F2 >= 1

The last is decided by the signs of v and F1 where they differ, and else by (v·2^p)²·F2 against
F1², the direction turning where both are negative. F2 below 1 counts as 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .codes import SpikeCode

SHARE = 1 / 16  # of a level: what the rounding of each operand may cost
MOST_BITS = 30  # of an operand in its unit, so that squares stay within 63 bits
LEAST_UNITS = 16  # that a divisor has at its least
DIVISOR_SHARE = 0.001  # of the divisors seen that may be less than the least that is provided for


@dataclass(frozen=True, kw_only=True)
class Several:
    """A function of two operands.

    Parameters
    ----------
    name
        In a Network.
    evaluate
        f(x1, x2) of floats.
    target
        (F1, F2, p) -> the least integer v for which v >= f holds, int64.
    divides
        x2 is above 0, and F2 at least 1.
    """

    name: str
    evaluate: Callable[[np.ndarray, np.ndarray], np.ndarray]
    target: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    divides: bool


def product_target(f1: np.ndarray, f2: np.ndarray, p: int) -> np.ndarray:
    """Return ceil(F1·F2 / 2^p)."""
    return -(-(f1 * f2) >> p)


def quotient_target(f1: np.ndarray, f2: np.ndarray, p: int) -> np.ndarray:
    """Return ceil(F1 / (F2·2^p))."""
    return -(-f1 // (np.maximum(f2, 1) << p))


def root_target(f1: np.ndarray, f2: np.ndarray, p: int) -> np.ndarray:
    """Return ceil(F1 / (√F2·2^p)): of positive F1 the root is rounded up, of negative ones down."""
    square, whole = f1 * f1, np.maximum(f2, 1) << (2 * p)
    up = -(-square // whole)
    above = floor_root(up)
    above += above * above < up
    return np.where(f1 > 0, above, -floor_root(square // whole))


def floor_root(n: np.ndarray) -> np.ndarray:
    """Return floor(√n), exactly, of int64 0 <= n < 2^62."""
    root = np.sqrt(n.astype(np.float64)).astype(np.int64)
    root -= root * root > n
    root += (root + 1) * (root + 1) <= n
    return root


SEVERAL: dict[str, Several] = {
    f.name: f
    for f in (
        Several(
            name="multiply",
            evaluate=lambda a, b: a * b,
            target=product_target,
            divides=False,
        ),
        Several(
            name="divide",
            evaluate=lambda a, b: a / b,
            target=quotient_target,
            divides=True,
        ),
        Several(
            name="divide_root",
            evaluate=lambda a, b: a / np.sqrt(b),
            target=root_target,
            divides=True,
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What decides a function of two operands.

    Parameters
    ----------
    fraction
        p, see above.
    error
        Worst distance of the value settled at from f, in levels, over the operands provided for
        and within the code's range: half a level, and what rounding the operands adds to that.
    """

    fraction: int
    error: float

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= MOST_BITS:
            raise ValueError(f"a fraction must lie in 0..{MOST_BITS}, not {self.fraction}")


def make_comparison(
    function: str, code: SpikeCode, x1: np.ndarray, x2: np.ndarray
) -> tuple[Comparison, tuple[float, float]]:
    """Return what decides a function, and the units of F1 and F2.

    The units are as coarse as they may be: each operand's rounding, half a unit, costs at most
    :data:`SHARE` of a level at the operands seen (for a divisor, at the least that is common).

    Parameters
    ----------
    function
        A key of :data:`SEVERAL`.
    code
        Of the population.
    x1, x2
        Operands seen, of any shape.

    Raises
    ------
    ValueError
        Where a divisor is not positive.
    """
    values = code.values
    level = float(np.diff(values).max() if len(values) > 1 else 2 * code.total) * code.unit
    reach = float(max(abs(code.low), code.high)) * code.unit  # beyond it f makes no difference
    ends = [float(np.abs(x).max()) or 1.0 for x in (x1, x2)]
    least = None
    if SEVERAL[function].divides:
        if not x2.min() > 0:
            raise ValueError(f"a divisor must be positive, and is {x2.min():g}")
        least = float(np.quantile(x2, DIVISOR_SHARE))

    def slopes(half1: float, half2: float) -> tuple[float, float]:
        """Return the greatest |∂f/∂x|, with operands off by half a unit of each."""
        if least is None:
            return ends[1] + half2, ends[0] + half1
        below = least - half2
        if function == "divide":
            return 1 / below, reach / below
        return below**-0.5, reach / below / 2

    coarsest = [2 * SHARE * level / slope for slope in slopes(0, 0)]
    unit2 = coarsest[1] if least is None else min(coarsest[1], least / LEAST_UNITS)
    per_unit1 = {  # unit1 of fraction 0
        "multiply": code.unit / unit2,
        "divide": code.unit * unit2,
        "divide_root": code.unit * unit2**0.5,
    }[function]
    fraction = max(0, int(np.ceil(np.log2(per_unit1 / coarsest[0]))))
    units = (per_unit1 / 2**fraction, unit2)
    halves = units[0] / 2, unit2 / 2
    error = 0.5 + sum(h * s for h, s in zip(halves, slopes(*halves), strict=True)) / level
    return Comparison(fraction=fraction, error=error), units
