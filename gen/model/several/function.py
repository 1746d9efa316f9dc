"""What a neuron function of several operands states of itself."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ties import DOWN

LEAST_UNITS = 16  # that a divisor has at its least


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How far the operands reach, and the values that are told apart, all in real numbers.

    Parameters
    ----------
    ends
        Greatest magnitude of each operand seen.
    least
        The least divisor that is common, above 0; ``None`` where nothing divides.
    value
        Greatest magnitude of a value of the code, beyond which f makes no difference.
    """

    ends: tuple[float, float]
    least: float | None
    value: float


class Several(ABC):
    """A function of two operands.

    Members
    -------
    name : str, of the function in a Network
    operands : int, how many it takes
    divides : bool, x2 is above 0, and F2 at least 1 (below that it counts as 1)
    nearest : bool, operands are rounded to the nearest unit; else up, so that v >= F where v >= x
    domain : (low, high) of each operand, over which its error is measured
    """

    name: str
    operands = 2
    divides = False
    nearest = True
    domain: tuple[tuple[float, float], tuple[float, float]]

    @abstractmethod
    def evaluate(self, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
        """Return f(x1, x2) of floats of one shape."""

    @abstractmethod
    def target(self, f1: np.ndarray, f2: np.ndarray, p: int, ties: str = DOWN) -> np.ndarray:
        """Return the integer target of f(F1, F2)/2^p, int64, see :mod:`..ties`."""

    @abstractmethod
    def greatest(self, f1: int, f2: int, p: int) -> int:
        """Return the greatest magnitude that the comparison meets, of |F1| <= f1, |F2| <= f2."""

    @abstractmethod
    def slopes(self, extent: Extent, halves: tuple[float, float]) -> tuple[float, float]:
        """Return the greatest |∂f/∂x| by each operand, with operands off by ``halves``."""

    @abstractmethod
    def first_unit(self, unit: float, unit2: float) -> float:
        """Return the real value of one unit of F1 for p = 0, given those of v and of F2."""

    def rounded(self, x: np.ndarray, unit: float) -> np.ndarray:
        """Return the F of real operands, ceil(x/unit), or that to the nearest, int64."""
        return np.ceil(x / unit - (0.5 if self.nearest else 0.0)).astype(np.int64)

    def units(
        self, unit: float, coarsest: Sequence[float], least: float | None
    ) -> tuple[int, tuple[float, float]]:
        """Return p, and the units of F1 and F2.

        Parameters
        ----------
        unit
            Of the code.
        coarsest
            The coarsest unit that each operand may have.
        least
            See :class:`Extent`; it is to have :data:`LEAST_UNITS` units.
        """
        unit2 = coarsest[1] if least is None else min(coarsest[1], least / LEAST_UNITS)
        unit1 = self.first_unit(unit, unit2)
        p = max(0, int(np.ceil(np.log2(unit1 / coarsest[0]))))
        return p, (unit1 / 2**p, unit2)

    def never_negative(self, operands: Sequence[bool]) -> bool:
        """Whether f is known never to be below 0, given of which operands that is known."""
        return False
