"""Ties: what a neuron does where its membrane says exactly what it should, v = f(x).

A neuron sends an event where v < F, of an integer target F. A rule makes F of the exact number f,
a sum times M / 2^S, so that the comparison holds for f itself and nothing is rounded twice:

- ``down``: F = ceil(f), so that v < F where v < f: a tie sends no event, and v settles below.
- ``up``: F = floor(f) + 1, so that v < F where v <= f: a tie sends an event, and v settles above.
- ``even``: as ``down``, one more where f is whole and the level below it is odd. Levels are those
  of the binary schedule, 2 apart, the level 2n being n; so of a whole f the level below is odd
  where f mod 4 is 3.
"""

from typing import Any

import numpy as np

DOWN, UP, EVEN = TIES = ("down", "up", "even")


def shifted(number: Any, shift: int, ties: str = DOWN) -> Any:
    """Return the targets F of f = number / 2^shift, exactly.

    Parameters
    ----------
    number
        int64 of any shape, below 2^63 - 2^shift; or an integer of any size.
    shift
        At least 0.
    ties
        One of :data:`TIES`.
    """
    if ties == UP:
        return (number + (1 << shift)) >> shift
    above = (number + ((1 << shift) - 1)) >> shift
    if ties == EVEN:
        above = above + ((above << shift == number) & (above % 4 == 3))
    return above


def rounded(number: np.ndarray, ties: str = DOWN, *, within: float = 0.0) -> np.ndarray:
    """Return the targets F of real numbers f, float64 whole numbers.

    Parameters
    ----------
    number
        f, float64 of any shape.
    ties
        One of :data:`TIES`.
    within
        So near to a whole number f is that number.
    """
    if ties == UP:
        return np.floor(number + within) + 1
    above = np.ceil(number - within)
    if ties == EVEN:
        above += (np.abs(number - above) <= within) & (above % 4 == 3)
    return above
