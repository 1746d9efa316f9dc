"""Inputs: the parts of a sample, where ``forward`` takes several.

They lie side by side in one sample: planes of equal size are stacked by channel, all else stands in
a row. Either way the elements of a sample are those of its parts, one part after the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of several inputs.

    Parameters
    ----------
    name
        Of the argument of ``forward``, or of the array.
    shape
        Without the batch axis.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)

    def record(self) -> dict[str, Any]:
        """Return the part as JSON values."""
        return {"name": self.name, "shape": list(self.shape)}

    @classmethod
    def of_record(cls, record: Any) -> "Part":
        """Return the part of JSON values, or raise ValueError."""
        if not isinstance(record, dict) or set(record) != {"name", "shape"}:
            raise ValueError("an input has a name and a shape")
        name, shape = record["name"], record["shape"]
        whole = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
        if not isinstance(name, str) or not whole:
            raise ValueError("an input has a name and a shape")
        return cls(name=name, shape=tuple(shape))


def joined_shape(parts: Sequence[Part]) -> tuple[int, ...]:
    """Return the shape of a sample of all parts."""
    first = parts[0].shape
    if len(first) > 1 and all(part.shape[1:] == first[1:] for part in parts):
        return (sum(part.shape[0] for part in parts), *first[1:])
    return (sum(part.size for part in parts),)


def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return samples of all parts, (n, *joined shape), of arrays (n, *shape) of each."""
    parts = [Part(name="", shape=array.shape[1:]) for array in arrays]
    rows = np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
    return rows.reshape(len(rows), *joined_shape(parts))


def starts(parts: Sequence[Part]) -> Iterator[int]:
    """Yield where each part begins among the elements of a sample."""
    start = 0
    for part in parts:
        yield start
        start += part.size


def taken_apart(samples: np.ndarray, parts: Sequence[Part]) -> list[np.ndarray]:
    """Return the arrays of the parts, (n, *shape) each, of samples of all."""
    rows = samples.reshape(len(samples), -1)
    return [
        rows[:, start : start + part.size].reshape(len(rows), *part.shape)
        for start, part in zip(starts(parts), parts, strict=True)
    ]
