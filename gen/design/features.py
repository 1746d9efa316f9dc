"""Features: the scale and the offset with which the host turns each real value into an integer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Features:
    """x = offset + scale·p, with a scale and an offset for each feature, or for each channel.

    Parameters
    ----------
    shape
        Broadcasts to that of a sample: (n,) for n features, (c, 1, 1) for c channels of planes.
    scales
        Real value of one step of p, in C order of ``shape``; 0 for a feature that is a constant,
        whose p is always 0.
    offsets
        Real value of p = 0.
    """

    shape: tuple[int, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]

    def __post_init__(self) -> None:
        size = int(np.prod(self.shape))
        if not len(self.scales) == len(self.offsets) == size:
            raise ValueError(
                f"features of shape {self.shape} have {size} scales and offsets, not "
                f"{len(self.scales)} and {len(self.offsets)}"
            )
        if not (np.isfinite([self.scales, self.offsets]).all() and min(self.scales) >= 0):
            raise ValueError("scales of features are 0 or above, and offsets finite")

    @classmethod
    def of(cls, scales: np.ndarray, offsets: np.ndarray) -> "Features":
        """Return the features of numbers in the shape of a sample, each axis kept that matters."""
        both = np.stack([scales, offsets]).astype(np.float64)
        for axis in range(1, both.ndim):
            first = both.take([0], axis=axis)
            if (both == first).all():
                both = first
        return cls(
            shape=both.shape[1:],
            scales=tuple(both[0].ravel().tolist()),
            offsets=tuple(both[1].ravel().tolist()),
        )

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Features":
        """Undo :meth:`record`."""
        return cls(
            shape=tuple(int(n) for n in record["shape"]),
            scales=tuple(float(x) for x in record["scales"]),
            offsets=tuple(float(x) for x in record["offsets"]),
        )

    def record(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "shape": list(self.shape),
            "scales": list(self.scales),
            "offsets": list(self.offsets),
        }

    @cached_property
    def scale(self) -> np.ndarray:
        """The scales in their shape, float64."""
        return np.array(self.scales).reshape(self.shape)

    @cached_property
    def offset(self) -> np.ndarray:
        """The offsets in their shape, float64."""
        return np.array(self.offsets).reshape(self.shape)

    def steps(self, x: np.ndarray) -> np.ndarray:
        """Return p of real values, (n, *sample shape) float64, neither rounded nor clipped."""
        moves = self.scale > 0
        return np.where(moves, (x - self.offset) / np.where(moves, self.scale, 1.0), 0.0)

    def real(self, p: np.ndarray) -> np.ndarray:
        """Return x of integers p, (n, *sample shape) float64."""
        return self.offset + self.scale * p
