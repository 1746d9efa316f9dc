"""Products of two trains: what attention sums, x = Σ_j value_j·value'_j, for settled neurons.

A product reads two populations and has no weights: its coefficient is 1, and the real value of one
unit is the product of the units of the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """y[b, m, n] = Σ_k x[left[b, n, k]] z[right[b, k, m]], a product of matrices for each b.

    The result lies with the columns m before the rows n, so that what a row is mixed from are the
    channels of planes (b·m, 1, n).

    Parameters
    ----------
    source, other
        Populations of x and z.
    left, right
        (b, n, k) and (b, k, m) numbers of neurons.
    """

    source: str
    other: str
    left: np.ndarray
    right: np.ndarray

    def __post_init__(self) -> None:
        (b, _, k), (b2, k2, _) = self.left.shape, self.right.shape
        if (b, k) != (b2, k2):
            raise ValueError(
                f"matrices of shapes {self.left.shape} and {self.right.shape} have no product"
            )

    @property
    def out_shape(self) -> tuple[int, int, int]:
        return (len(self.left) * self.right.shape[2], 1, self.left.shape[1])

    @property
    def terms(self) -> int:
        """Products in a sum."""
        return self.left.shape[2]

    def apply(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Map a batch: values by population, (n, *shape), to (n, *out_shape)."""
        x, z = (values[name].reshape(len(values[name]), -1) for name in (self.source, self.other))
        found = x[:, self.left] @ z[:, self.right]
        return found.swapaxes(2, 3).reshape(len(x), *self.out_shape)
