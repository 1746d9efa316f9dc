"""Samples and labels from NumPy's files, ``.npz`` and ``.npy``, never unpickling.

What a file says about its arrays is checked before they are read.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from ..gen.design.archive import Archive, BadArchive, Header, read_npy
from ..gen.model.inputs import Part, joined, joined_shape, starts
from .readings import Reading, Wish, any_shape, refuse_more_samples_than_memory

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
        names = wish.names
        headers = [_header(archive, path, name, "--inputs", "biuf") for name in names]
        x = headers[0]
        found = {}
        looked = wish.labels if wish.looks_at_labels else {}
        for number, (output, known) in enumerate(looked.items()):
            name = next((name for name in known if name in archive), None)
            must = wish.need_labels and (number == 0 or len(known) == 1)
            if name is not None or must:
                name = name or known[0]
                _header(archive, path, name, "--labels", "biufU")
                found[output] = name
        if len(names) == 1:
            _check_samples(path, repr(names[0]), x, wish)
        else:
            _check_parts(path, dict(zip(names, headers, strict=True)), wish)
        for name in found.values():
            shape = archive.header(name).shape
            if shape[:1] != x.shape[:1]:
                there = shape[0] if shape else "no"
                raise ValueError(f"{path} has {x.shape[0]} samples but {there} labels in {name!r}")
        try:
            count = wish.count(x.shape[0])
            arrays = [archive.read(name, count)[:count] for name in names]
            labels = {output: archive.read(name)[:count] for output, name in found.items()}
        except BadArchive as fault:
            raise ValueError(f"{path} cannot be read: {fault}") from fault
    if len(arrays) == 1:
        return Reading(x=arrays[0], labels=labels)
    parts = [Part(name=n, shape=a.shape[1:]) for n, a in zip(names, arrays, strict=True)]

    def place(index: tuple[int, ...]) -> str:
        flat = int(np.ravel_multi_index(index[1:], joined_shape(parts)))
        start, part = [
            found for found in zip(starts(parts), parts, strict=True) if found[0] <= flat
        ][-1]
        return f"row {index[0]}, value {flat - start} of {part.name!r} (counted from 0)"

    return Reading(x=joined(arrays), labels=labels, parts=tuple(parts), place=place)


def _check_parts(path: Path, headers: Mapping[str, Header], wish: Wish) -> None:
    """Refuse parts that do not make one sample together."""
    count = {name: header.shape[:1] for name, header in headers.items()}
    if len(set(count.values())) > 1:
        listed = ", ".join(f"{name} {shape[0] if shape else 0}" for name, shape in count.items())
        raise ValueError(f"inputs of {path} must have as many samples each, not {listed}")
    anything = replace(wish, check_shape=any_shape)
    for name, header in headers.items():
        _check_samples(path, repr(name), header, anything)
    parts = [Part(name=name, shape=header.shape[1:]) for name, header in headers.items()]
    for part, wanted in zip(parts, wish.parts, strict=False):
        if part.shape != wanted.shape:
            raise ValueError(
                f"the input {wanted.name!r} has shape {wanted.shape}, and {part.name!r} of {path} "
                f"{part.shape}"
            )
    wish.check_shape((*next(iter(count.values())), *joined_shape(parts)))


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
