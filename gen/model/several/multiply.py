"""Products: v·2^p >= F1·F2."""

import numpy as np

from ..ties import DOWN, shifted
from .function import Extent, Several


class Multiply(Several):
    """x1·x2."""

    name = "multiply"
    domain = ((-2.0, 3.0), (-1.5, 0.5))

    def evaluate(self, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
        return x1 * x2

    def target(self, f1: np.ndarray, f2: np.ndarray, p: int, ties: str = DOWN) -> np.ndarray:
        """Return the target of F1·F2 / 2^p."""
        return shifted(f1 * f2, p, ties)

    def greatest(self, f1: int, f2: int, p: int) -> int:
        return f1 * f2

    def slopes(self, extent: Extent, halves: tuple[float, float]) -> tuple[float, float]:
        return extent.ends[1] + halves[1], extent.ends[0] + halves[0]

    def first_unit(self, unit: float, unit2: float) -> float:
        return unit / unit2
