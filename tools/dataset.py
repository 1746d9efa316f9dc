"""Samples and labels from an ``.npz`` file, checked before anything else runs."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np

from ..gen.design.archive import Archive, BadArchive, Header, refuse_more_than_memory
from ..gen.design.design import Design

SINGLE = b"\x93NUMPY"  # begins an .npy file
WORKING_BYTES = 16  # of a value beside its own: the integer that it becomes, and on the way there


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

    def classes_of(self, classes: int, name: str) -> np.ndarray:
        """Return the labels, (n,) int64, of a network ``name`` of so many ``classes``.

        Raises
        ------
        ValueError
            If there are none, or one is no class of it.
        """
        truth = self.classes
        if len(truth) and (truth.min() < 0 or truth.max() >= classes):
            raise ValueError(
                f"labels must lie in 0..{classes - 1}, the {classes} outputs of {name!r}, not "
                f"{truth.min()}..{truth.max()}"
            )
        return truth.astype(np.int64)

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
    path: Path | str,
    *,
    inputs: str = "x",
    labels: str = "y",
    need_labels: bool = True,
    design: Design | None = None,
    samples: int | None = None,
) -> Dataset:
    """Read samples ``inputs`` and labels ``labels`` from an ``.npz`` file, never unpickling.

    What the file says about its arrays is checked before they are read.

    Parameters
    ----------
    path
        Of the file.
    inputs, labels
        Names of the arrays.
    need_labels
        Whether there must be labels; else they are not looked at.
    design
        What the samples are for: their shape and the classes must fit it.
    samples
        Read the first so many alone; all of them for ``None``.

    Raises
    ------
    ValueError
        If there is no such file, it is no ``.npz``, an array is missing, is no array of numbers or
        is damaged, there is no sample, the lengths differ, the labels are not a vector of integers,
        something does not fit the design, or the samples take more memory than is free.
    """
    path = Path(path)
    if samples is not None and samples < 1:
        raise ValueError(f"the number of samples must be at least 1, not {samples}")
    if not path.is_file():
        raise ValueError(f"there is no data file {path}")
    with path.open("rb") as file:
        if file.read(len(SINGLE)) == SINGLE:
            raise ValueError(
                f"{path} holds a single array; DATA is an .npz file with samples and labels "
                f"(np.savez('data.npz', x=samples, y=labels))"
            )
    try:
        archive = Archive(path)
    except BadArchive as fault:
        raise ValueError(f"{path} is not an .npz file of plain arrays: {fault}") from fault
    with archive:
        x = _header(archive, path, inputs, "--inputs")
        y = _header(archive, path, labels, "--labels") if need_labels else None
        _check_samples(path, inputs, x, samples, design)
        if y is not None:
            _check_labels(path, labels, y, x.shape[0])
        try:
            values = archive.read(inputs, samples)
            classes = None if y is None else archive.read(labels)
        except BadArchive as fault:
            raise ValueError(f"{path} cannot be read: {fault}") from fault
    found = Dataset(path=str(path), x=values, y=classes).first(samples)
    if design is not None:
        design.check_samples(found.x)
        if classes is not None:
            found.classes_of(design.readout.size, design.name)
    return found


def _header(archive: Archive, path: Path, name: str, option: str) -> Header:
    if name not in archive:
        names = ", ".join(repr(f) for f in archive) or "none"
        raise ValueError(
            f"{path} has no array {name!r}; it holds {names} (choose one with {option} NAME)"
        )
    try:
        header = archive.header(name)
    except BadArchive as fault:
        raise ValueError(f"{path} cannot be read: {fault}") from fault
    if header.dtype.kind not in "biuf":
        raise ValueError(f"{name!r} of {path} must hold numbers, not {header.dtype}")
    return header


def _check_samples(
    path: Path, name: str, x: Header, samples: int | None, design: Design | None
) -> None:
    if len(x.shape) < 2 or x.shape[0] == 0:
        raise ValueError(
            f"{name!r} of {path} must hold samples in rows, (n, ...) with n >= 1, not shape "
            f"{x.shape}"
        )
    if design is not None:
        design.check_sample_shape(x.shape)
    count = x.shape[0] if samples is None else min(samples, x.shape[0])
    values = count * prod(x.shape[1:])
    try:
        refuse_more_than_memory(
            f"{name!r} of {path}, {count:,} samples of {prod(x.shape[1:]):,} values,",
            values * (x.dtype.itemsize + WORKING_BYTES),
            "take fewer samples: --samples N where a command has it, or a smaller file",
        )
    except BadArchive as fault:
        raise ValueError(str(fault)) from None


def _check_labels(path: Path, name: str, y: Header, samples: int) -> None:
    if len(y.shape) != 1 or y.dtype.kind not in "iu":
        raise ValueError(
            f"{name!r} of {path} must be a vector of integer classes, not {y.dtype} of shape "
            f"{y.shape}"
        )
    if y.shape[0] != samples:
        raise ValueError(f"{path} has {samples} samples but {y.shape[0]} labels in {name!r}")
