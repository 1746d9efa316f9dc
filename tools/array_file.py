"""Samples and labels from NumPy's files, ``.npz`` and ``.npy``, never unpickling.

What a file says about its arrays is checked before they are read.
"""

from math import prod
from pathlib import Path

from ..gen.design.archive import Archive, BadArchive, Header, read_npy
from .readings import Reading, Wish, refuse_more_samples_than_memory

SINGLE = b"\x93NUMPY"  # begins an .npy file


def is_single(path: Path) -> bool:
    """Whether a file holds one array."""
    with path.open("rb") as file:
        return file.read(len(SINGLE)) == SINGLE


def read_single(path: Path, wish: Wish) -> Reading:
    """Read the samples of an ``.npy`` file, which holds no labels."""
    if wish.need_labels:
        raise ValueError(
            f"{path} holds a single array and no labels (np.savez('data.npz', x=samples, y=labels) "
            f"writes both)"
        )
    try:
        x = read_npy(path, lambda header: _check_samples(path, "the array", header, wish))
    except BadArchive as fault:
        raise ValueError(f"{path} cannot be read: {fault}") from fault
    return Reading(x=x[: wish.count(len(x))], labels={})


def read_archive(path: Path, wish: Wish) -> Reading:
    """Read samples and labels of an ``.npz`` file."""
    try:
        archive = Archive(path)
    except BadArchive as fault:
        raise ValueError(f"{path} is not an .npz file of plain arrays: {fault}") from fault
    with archive:
        x = _header(archive, path, wish.named, "--inputs", "biuf")
        found = {}
        looked = wish.labels if wish.looks_at_labels else {}
        for number, (output, names) in enumerate(looked.items()):
            name = next((name for name in names if name in archive), None)
            must = wish.need_labels and (number == 0 or len(names) == 1)
            if name is not None or must:
                name = name or names[0]
                _header(archive, path, name, "--labels", "biufU")
                found[output] = name
        _check_samples(path, repr(wish.named), x, wish)
        for name in found.values():
            shape = archive.header(name).shape
            if shape[:1] != x.shape[:1]:
                there = shape[0] if shape else "no"
                raise ValueError(f"{path} has {x.shape[0]} samples but {there} labels in {name!r}")
        try:
            count = wish.count(x.shape[0])
            values = archive.read(wish.named, count)
            labels = {output: archive.read(name)[:count] for output, name in found.items()}
        except BadArchive as fault:
            raise ValueError(f"{path} cannot be read: {fault}") from fault
    return Reading(x=values, labels=labels)


def _header(archive: Archive, path: Path, name: str, option: str, kinds: str) -> Header:
    if name not in archive:
        names = ", ".join(repr(f) for f in archive) or "none"
        raise ValueError(
            f"{path} has no array {name!r}; it holds {names} (choose one with {option} NAME)"
        )
    try:
        header = archive.header(name)
    except BadArchive as fault:
        raise ValueError(f"{path} cannot be read: {fault}") from fault
    if header.dtype.kind not in kinds:
        raise ValueError(f"{name!r} of {path} must hold numbers, not {header.dtype}")
    return header


def _check_samples(path: Path, name: str, x: Header, wish: Wish) -> None:
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{name} of {path} must hold numbers, not {x.dtype}")
    if len(x.shape) < 2 or x.shape[0] == 0:
        raise ValueError(
            f"{name} of {path} must hold samples in rows, (n, ...) with n >= 1, not shape {x.shape}"
        )
    wish.check_shape(x.shape)
    refuse_more_samples_than_memory(
        f"{name} of {path}", wish.count(x.shape[0]), prod(x.shape[1:]), x.dtype.itemsize
    )
