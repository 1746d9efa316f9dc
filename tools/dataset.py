"""Samples and labels from an ``.npz`` file, checked before anything else runs."""

import hashlib
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Samples with their classes.

    Parameters
    ----------
    path
        Where they were read from, for messages and records.
    x
        (n, ...) samples, any integer or float type.
    y
        (n,) integer classes; ``None`` where none are needed.
    """

    path: str
    x: np.ndarray
    y: np.ndarray | None

    def __len__(self) -> int:
        return len(self.x)

    def first(self, count: int | None) -> "Dataset":
        """Return the first ``count`` samples, all of them for ``None``."""
        if count is None:
            return self
        if count < 1:
            raise ValueError(f"the number of samples must be at least 1, not {count}")
        y = None if self.y is None else self.y[:count]
        return Dataset(path=self.path, x=self.x[:count], y=y)

    @property
    def classes(self) -> np.ndarray:
        """The labels, or one clear refusal where there are none."""
        if self.y is None:
            raise ValueError(f"{self.path} was read without labels")
        return self.y

    @cached_property
    def digest(self) -> str:
        """SHA-256 of samples and labels, 64 hex digits."""
        h = hashlib.sha256()
        for array in (self.x, self.y):
            if array is not None:
                h.update(f"{array.dtype.str} {array.shape}".encode())
                h.update(np.ascontiguousarray(array).tobytes())
        return h.hexdigest()


def load(
    path: Path | str, *, inputs: str = "x", labels: str = "y", need_labels: bool = True
) -> Dataset:
    """Read samples ``inputs`` and labels ``labels`` from an ``.npz`` file, never unpickling.

    Raises
    ------
    ValueError
        If there is no such file, it is no ``.npz``, an array is missing or an object array, there
        is no sample, the lengths differ, or the labels are not a vector of integers.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no data file {path}")
    try:
        file = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as e:
        raise ValueError(f"{path} is not an .npz file of plain arrays ({e})") from e
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError(
            f"{path} holds a single array; DATA is an .npz file with samples and labels "
            f"(np.savez('data.npz', x=samples, y=labels))"
        )
    with file:
        x = _member(file, path, inputs, "--inputs")
        y = _member(file, path, labels, "--labels") if need_labels else None
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(
            f"{inputs!r} of {path} must hold samples in rows, (n, ...) with n >= 1, not shape "
            f"{x.shape}"
        )
    if y is not None:
        _check_labels(path, labels, y, len(x))
    return Dataset(path=str(path), x=x, y=y)


def _member(file: np.lib.npyio.NpzFile, path: Path, name: str, option: str) -> np.ndarray:
    if name not in file.files:
        names = ", ".join(repr(f) for f in file.files) or "none"
        raise ValueError(
            f"{path} has no array {name!r}; it holds {names} (choose one with {option} NAME)"
        )
    try:
        array = file[name]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as e:
        raise ValueError(f"{name!r} of {path} cannot be read ({e})") from e
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name!r} of {path} must hold numbers, not {array.dtype}")
    return array


def _check_labels(path: Path, name: str, y: np.ndarray, samples: int) -> None:
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(
            f"{name!r} of {path} must be a vector of integer classes, not {y.dtype} of shape "
            f"{y.shape}"
        )
    if len(y) != samples:
        raise ValueError(f"{path} has {samples} samples but {len(y)} labels in {name!r}")
