"""Quotients by a root: v·2^p·√F2 >= F1, F2 >= 1.

They are decided by the signs of v and F1 where these differ, and else by (v·2^p)²·F2 against F1²,
the direction turning where both are negative.
"""

import numpy as np

from ..ties import DOWN, UP
from .function import Extent, Several


class DivideRoot(Several):
    """x1 / √x2."""

    name = "divide_root"
    divides = True
    domain = ((-4.0, 4.0), (0.05, 9.0))

    def evaluate(self, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
        """Return x1/√x2; 0/√0 is 0, as the deviation √0 of what does not vary."""
        still = (x1 == 0) & (x2 == 0)
        return x1 / np.sqrt(np.where(still, 1.0, x2))

    def target(self, f1: np.ndarray, f2: np.ndarray, p: int, ties: str = DOWN) -> np.ndarray:
        """Return the target of F1 / (√F2·2^p): the quotient rounded up, or down and one more.

        It is rounded up by a root that is rounded up for F1 > 0, else down.
        """
        square, whole = f1 * f1, np.maximum(f2, 1) << (2 * p)
        up = -(-square // whole)
        above, below = floor_root(up), floor_root(square // whole)
        above += above * above < up
        if ties == UP:
            return np.where(f1 > 0, below, -above) + 1
        return np.where(f1 > 0, above, -below)

    def greatest(self, f1: int, f2: int, p: int) -> int:
        return max(f1 * f1, f2 << 2 * p)

    def slopes(self, extent: Extent, halves: tuple[float, float]) -> tuple[float, float]:
        assert extent.least is not None
        below = extent.least - halves[1]
        return below**-0.5, extent.value / below / 2

    def first_unit(self, unit: float, unit2: float) -> float:
        return unit * unit2**0.5


def floor_root(n: np.ndarray) -> np.ndarray:
    """Return floor(√n), exactly, of int64 0 <= n < 2^62."""
    root = np.sqrt(n.astype(np.float64)).astype(np.int64)
    root -= root * root > n
    root += (root + 1) * (root + 1) <= n
    return root
