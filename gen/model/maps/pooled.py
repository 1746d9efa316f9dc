"""Dense maps over the sums of planes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .linear import LinearMap
from .planes import Layout


@dataclass(frozen=True, kw_only=True, eq=False)
class Pooled(LinearMap):
    """y = W Σ_i,j x[:, i, j]: dense over the sums of planes, W : (n_out, channels).

    A linear layer behind the mean of a plane, with the number of pixels divided into W.
    """

    matrix: np.ndarray
    in_shape: tuple[int, ...]
    layout: Layout

    kind = "pooled"

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.shape[1] != self.layout.planes[0]:
            raise ValueError(
                f"a pooled map of {self.layout.planes[0]} channels does not take a matrix of "
                f"shape {self.matrix.shape}"
            )

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (self.matrix.shape[0],)

    @property
    def pixels(self) -> int:
        return self.layout.planes[1] * self.layout.planes[2]

    @property
    def weights(self) -> np.ndarray:
        return self.matrix

    def with_weights(self, weights: np.ndarray) -> "Pooled":
        return replace(self, matrix=weights)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return self.layout.seen(x).sum(axis=(2, 3)) @ self.matrix.T

    def patches(self, x: np.ndarray) -> np.ndarray:
        return self.layout.seen(x).sum(axis=(2, 3))[None]

    @property
    def repeats(self) -> int:
        return self.pixels

    @property
    def parallel_inputs(self) -> tuple[int, str]:
        return self.layout.planes[0], "input channels"

    def first(self, outputs: int) -> "Pooled":
        return replace(self, matrix=self.matrix[:outputs])

    @property
    def sees(self) -> Layout:
        return self.layout

    def reading(self, in_shape: tuple[int, ...], layout: Layout) -> "Pooled":
        return replace(self, in_shape=in_shape, layout=layout)

    @property
    def sources_of_weights(self) -> np.ndarray:
        return np.broadcast_to(np.arange(self.matrix.shape[1]), self.matrix.shape)

    @property
    def gain(self) -> np.ndarray:
        return np.abs(self.matrix).sum(axis=1) * self.pixels

    def parameters(self) -> dict[str, Any]:
        return {
            "in_shape": list(self.in_shape),
            "planes": list(self.layout.planes),
            "axes": list(self.layout.axes),
        }

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, Any]) -> "Pooled":
        layout = Layout(planes=tuple(parameters["planes"]), axes=tuple(parameters["axes"]))
        return cls(matrix=weights, in_shape=tuple(parameters["in_shape"]), layout=layout)
