"""Quotients: v·2^p·F2 >= F1, F2 >= 1."""

from collections.abc import Sequence

import numpy as np

from ..ties import DOWN, UP
from .function import Extent, Several


class Divide(Several):
    """x1 / x2."""

    name = "divide"
    divides = True
    domain = ((-4.0, 4.0), (0.3, 5.0))

    def evaluate(self, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
        return x1 / x2

    def target(self, f1: np.ndarray, f2: np.ndarray, p: int, ties: str = DOWN) -> np.ndarray:
        """Return the target of F1 / (F2·2^p): the quotient rounded up, or down and one more."""
        divisor = np.maximum(f2, 1) << p
        return f1 // divisor + 1 if ties == UP else -(-f1 // divisor)

    def greatest(self, f1: int, f2: int, p: int) -> int:
        return max(f1, f2 << p)

    def slopes(self, extent: Extent, halves: tuple[float, float]) -> tuple[float, float]:
        assert extent.least is not None
        below = extent.least - halves[1]
        return 1 / below, extent.value / below

    def first_unit(self, unit: float, unit2: float) -> float:
        return unit * unit2

    def never_negative(self, operands: Sequence[bool]) -> bool:
        return operands[0]
