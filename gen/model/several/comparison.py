"""What decides a function of several operands: the units of its operands, and the fraction p."""

from dataclasses import dataclass

import numpy as np

from ..codes import SpikeCode
from .function import Extent, Several

SHARE = 1 / 16  # of a level: what the rounding of each operand may cost
MOST_BITS = 30  # of a fraction, so that squares stay within 63 bits
DIVISOR_SHARE = 0.001  # of the divisors seen that may be less than the least that is provided for

STILL = 1e-12  # of the greatest divisor: less is the rounding of 0
FINEST = (
    2.0**-14
)  # of the greatest divisor: the least that is provided for, however small others are


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What decides a function of two operands.

    Parameters
    ----------
    fraction
        p: f is f(F1, F2)·unit/2^p.
    error
        Worst distance of the value settled at from f, in levels, over the operands provided for
        and within the code's range: half a level, and what rounding the operands to the nearest
        unit adds to that.
    """

    fraction: int
    error: float

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= MOST_BITS:
            raise ValueError(f"a fraction must lie in 0..{MOST_BITS}, not {self.fraction}")


def make_comparison(
    function: Several, code: SpikeCode, x1: np.ndarray, x2: np.ndarray
) -> tuple[Comparison, tuple[float, float]]:
    """Return what decides a function, and the units of F1 and F2.

    The units are as coarse as they may be: each operand's rounding, half a unit, costs at most
    :data:`SHARE` of a level at the operands seen (for a divisor, at the least that is common).

    Parameters
    ----------
    function
        Of two operands.
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
    least = None
    if function.divides:
        if not x2[x1 != 0].min(initial=np.inf) > 0 or x2.min() < 0:
            raise ValueError(f"a divisor must be positive, and is {x2.min():g}")
        moves = x2[x2 > STILL * x2.max()]  # where a divisor is 0, so is what it divides
        least = float(np.quantile(moves, DIVISOR_SHARE)) if len(moves) else 1.0
        least = max(least, FINEST * float(x2.max()))
    extent = Extent(
        ends=(float(np.abs(x1).max()) or 1.0, float(np.abs(x2).max()) or 1.0),
        least=least,
        value=float(max(abs(code.low), code.high)) * code.unit,
    )
    coarsest = [2 * SHARE * level / slope for slope in function.slopes(extent, (0.0, 0.0))]
    fraction, units = function.units(code.unit, coarsest, least)
    halves = (units[0] / 2, units[1] / 2) if function.nearest else (0.0, 0.0)
    slopes = function.slopes(extent, halves)
    error = 0.5 + sum(h * s for h, s in zip(halves, slopes, strict=True)) / level
    return Comparison(fraction=fraction, error=error), units
