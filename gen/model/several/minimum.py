"""Minima: v·2^p >= min(F1, F2)."""

from collections.abc import Sequence

import numpy as np

from ..ties import DOWN
from .function import Extent, Several


class Minimum(Several):
    """The lesser of x1 and x2.

    Both operands are in the unit of v, and F is rounded up: then p is 0, v >= F holds where v >= x
    does, and nothing is rounded beside the value itself.
    """

    name = "minimum"
    nearest = False
    domain = ((-3.0, 2.0), (-1.0, 1.5))

    def evaluate(self, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
        return np.minimum(x1, x2)

    def target(self, f1: np.ndarray, f2: np.ndarray, p: int, ties: str = DOWN) -> np.ndarray:
        """Return ceil(min(F1, F2) / 2^p); the operands' F are rounded by ``ties`` already."""
        return -(-np.minimum(f1, f2) >> p)

    def greatest(self, f1: int, f2: int, p: int) -> int:
        return max(f1, f2)

    def slopes(self, extent: Extent, halves: tuple[float, float]) -> tuple[float, float]:
        return 1.0, 1.0

    def first_unit(self, unit: float, unit2: float) -> float:
        return unit

    def units(
        self, unit: float, coarsest: Sequence[float], least: float | None
    ) -> tuple[int, tuple[float, float]]:
        """Return 0, and the unit of v for both operands, however fine it is."""
        return 0, (unit, unit)

    def never_negative(self, operands: Sequence[bool]) -> bool:
        return all(operands)
