"""Dense maps: each output reads the whole source."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .linear import LinearMap
from .planes import Layout, raster_order


@dataclass(frozen=True, eq=False)
class Dense(LinearMap):
    """y = W x over the flattened source, W : (n_out, n_in).

    Parameters
    ----------
    matrix
        (n_out, n_in), float64 in a Network, int64 in a Design.
    in_shape
        Shape of the source population; n_in elements in C order.
    """

    matrix: np.ndarray
    in_shape: tuple[int, ...]

    kind = "dense"

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.shape[1] != int(np.prod(self.in_shape)):
            raise ValueError(
                f"a dense map from shape {self.in_shape} needs {int(np.prod(self.in_shape))} "
                f"columns, not {self.matrix.shape}"
            )

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (self.matrix.shape[0],)

    @property
    def weights(self) -> np.ndarray:
        return self.matrix

    def with_weights(self, weights: np.ndarray) -> "Dense":
        return replace(self, matrix=weights)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1) @ self.matrix.T

    def patches(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(1, len(x), -1)

    def among(self, inputs: np.ndarray) -> "Dense":
        return Dense(self.matrix.T[inputs].T, inputs.shape)

    def columns(self, *, is_input: bool) -> np.ndarray:
        return super().columns(is_input=True) if is_input else raster_order(self.in_shape)

    def first(self, outputs: int) -> "Dense":
        return replace(self, matrix=self.matrix[:outputs])

    def reading(self, in_shape: tuple[int, ...], layout: Layout) -> "Dense":
        rows = self.matrix.reshape(-1, *layout.planes)
        moved = rows.transpose(0, *(1 + int(k) for k in np.argsort(layout.axes)))
        return Dense(moved.reshape(len(rows), -1), in_shape)

    @property
    def sources_of_weights(self) -> np.ndarray:
        pixels = int(np.prod(self.in_shape[1:]))
        return np.broadcast_to(np.arange(self.matrix.shape[1]) // pixels, self.matrix.shape)

    def parameters(self) -> dict[str, Any]:
        return {"in_shape": list(self.in_shape)}

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, Any]) -> "Dense":
        return cls(weights, tuple(parameters["in_shape"]))
