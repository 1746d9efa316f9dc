"""Samples and labels from a file or a folder, checked before anything else runs."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np

from ..gen.design.design import Design
from ..gen.model.heads import Head, Output
from ..gen.model.heads.head import fitting
from ..gen.model.inputs import Part
from .array_file import is_single, read_archive, read_single
from .readings import Reading, Wish, any_shape

LABELS = ("y", "label", "labels", "class", "target")  # names of labels where none was given
NO_LABELS: Mapping[str, np.ndarray] = {}
GROUPS = "--groups"  # under which the groups lie among the labels while a file is read


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Samples with what is true of them, where that is known.

    Parameters
    ----------
    path
        Where they were read from, for messages and records.
    x
        (n, ...) samples, any integer or float type.
    y
        (n, ...) labels of the first output, classes for instance; ``None`` where there are none.
    others
        Labels of further outputs, by name.
    names
        Of the classes, where the file names them.
    columns, rows
        Names of the values of a sample, and of the samples, where the file names them.
    parts
        Of a sample, where the model takes several inputs; ``x`` holds all of them.
    groups
        (n,) int64, which samples belong together, as windows of one recording do; ``None`` where
        each stands alone.
    """

    path: str
    x: np.ndarray
    y: np.ndarray | None
    others: Mapping[str, np.ndarray] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def first(self, count: int | None) -> "Dataset":
        """Return the first ``count`` samples, all of them for ``None``."""
        if count is None:
            return self
        if count < 1:
            raise ValueError(f"the number of samples must be at least 1, not {count}")
        return replace(
            self,
            x=self.x[:count],
            y=None if self.y is None else self.y[:count],
            others={name: labels[:count] for name, labels in self.others.items()},
            rows=self.rows[:count],
            groups=None if self.groups is None else self.groups[:count],
        )

    def shaped(self, shape: tuple[int, ...]) -> "Dataset":
        """Return samples of another shape, elements in C order.

        Raises
        ------
        ValueError
            If a sample has another number of values.
        """
        values = int(np.prod(self.x.shape[1:]))
        if prod(shape) != values:
            raise ValueError(
                f"a sample of {self.path} has {values} values, and --sample-shape "
                f"{','.join(map(str, shape))} has {prod(shape)}"
            )
        return replace(self, x=self.x.reshape(len(self.x), *shape))

    @property
    def classes(self) -> np.ndarray:
        """The labels, or one clear refusal where there are none."""
        if self.y is None:
            raise ValueError(f"{self.path} was read without labels")
        return self.y

    @property
    def is_labelled(self) -> bool:
        return self.y is not None or bool(self.others)

    def labels_of(self, output: Output) -> np.ndarray | None:
        """Return the labels of an output; those of a single one, or of the first, have no name."""
        found = self.others.get(output.name)
        return self.y if found is None and output.start == 0 else found

    def fitted(self, head: Head) -> Head:
        """Return a head whose outputs are what the labels say, where their kind was guessed."""
        for output in head:
            labels = self.labels_of(output)
            if labels is not None:
                head = head.with_output(fitting(output, labels))
        return head

    def truth(self, output: Output, name: str) -> np.ndarray | None:
        """Return the labels of an output of a network ``name`` as its kind takes them.

        Raises
        ------
        ValueError
            If they are none of its kind.
        """
        labels = self.labels_of(output)
        return None if labels is None else output.truth(labels, name)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of samples and labels, 64 hex digits."""
        h = hashlib.sha256()
        for array in (self.x, self.y, *(self.others[name] for name in sorted(self.others))):
            if array is not None:
                h.update(f"{array.dtype.str} {array.shape}".encode())
                h.update(np.ascontiguousarray(array).tobytes())
        return h.hexdigest()


def load(
    path: Path | str,
    *,
    inputs: str | None = None,
    labels: str | None = None,
    need_labels: bool | None = True,
    design: Design | None = None,
    head: Head | None = None,
    samples: int | None = None,
    white: int = 1,
    groups: str | None = None,
) -> Dataset:
    """Read samples and labels, never unpickling and never running anything.

    An ``.npz`` file holds samples ``x`` and labels ``y``; an ``.npy`` file samples alone; a
    ``.csv`` table names its columns in its first line; a folder holds images, in a folder for each
    class where they have classes. Words that stand for classes become their numbers, in the order
    of the design's class names, else in that of the alphabet.

    Parameters
    ----------
    path
        Of the file or the folder.
    inputs, labels
        Names of the arrays, or of the columns; ``None`` for the usual ones. Several inputs have
        commas between them: each array is a part of a sample.
    need_labels
        Whether there must be labels; ``False``: they are not looked at; ``None``: they are taken
        where there are some, and must be there where ``labels`` names them.
    design
        What the samples are for: their shape and the labels must fit it.
    head
        Whose outputs the labels are of, where there is no design yet.
    samples
        Read so many alone, the first ones; of a folder of classes some of each; all for ``None``.
    white
        What the brightest pixel of an image becomes: 1, or 255.
    groups
        Name of the array or the column that says which samples belong together, or how many in a
        row do; not looked at where labels are not.

    Raises
    ------
    ValueError
        If there is no such file, it is none of these kinds, an array or a column is missing, holds
        no numbers or is damaged, there is no sample, a value is not finite, the lengths differ,
        something does not fit the design, or the samples take more memory than is free.
    """
    path = Path(path)
    if samples is not None and samples < 1:
        raise ValueError(f"the number of samples must be at least 1, not {samples}")
    if not path.exists():
        raise ValueError(f"there is no data file {path}")
    names_of_labels = _names_of_labels(labels, head if design is None else design.head)
    if groups is not None and not groups.isdecimal():
        names_of_labels[GROUPS] = (groups,)
    wish = Wish(
        inputs=inputs,
        labels=names_of_labels,
        need_labels=True if need_labels is None and labels is not None else need_labels,
        samples=samples,
        check_shape=any_shape if design is None else design.check_sample_shape,
        white=white,
        columns=_columns_of(design),
        parts=() if design is None else design.inputs,
    )
    reading = _read(path, wish)
    _refuse_unfinite(path, reading)
    labelled = dict(reading.labels)
    named = labelled.pop(GROUPS, None)
    together = None if need_labels is False else _groups(path, groups, named, len(reading.x))
    numbers, names = _numbered(path, labelled, design)
    first = next(iter(wish.labels), "")
    found = Dataset(
        path=str(path),
        x=reading.x,
        y=numbers.pop(first, None),
        others=numbers,
        names=names,
        columns=reading.columns,
        rows=reading.rows,
        parts=reading.parts,
        groups=together,
    )
    if design is not None:
        design.check_samples(found.x)
        for output in found.fitted(design.head):
            found.truth(output, design.name)
    return found


def _names_of_labels(labels: str | None, head: Head | None) -> dict[str, tuple[str, ...]]:
    """Return the names that the labels of each output may have."""
    names = (labels,) if labels is not None else LABELS
    if head is None or head.is_single:
        return {"": names}
    first, *others = head
    found = {first.name: (f"y_{first.name}", first.name, *names)}
    return found | {o.name: (f"y_{o.name}", o.name) for o in others}


def _groups(
    path: Path, wanted: str | None, found: np.ndarray | None, count: int
) -> np.ndarray | None:
    """Return the group of each sample, (n,) int64, from an array of a file or from a number."""
    if wanted is None:
        return None
    if wanted.isdecimal():
        if int(wanted) < 1:
            raise ValueError(f"--groups takes at least 1 sample in a row, not {wanted}")
        return np.arange(count) // int(wanted)
    if found is None:
        raise ValueError(
            f"{path} has no array or column {wanted!r} of groups (--groups takes its name, or how "
            f"many samples in a row belong together)"
        )
    if found.size != count:
        raise ValueError(f"{wanted!r} of {path} must name one group a sample, not {found.shape}")
    return np.unique(found.reshape(count), return_inverse=True)[1].reshape(count)


def _columns_of(design: Design | None) -> tuple[str, ...]:
    columns = () if design is None else design.provenance.get("columns", ())
    if not isinstance(columns, list | tuple) or not all(isinstance(c, str) for c in columns):
        return ()
    return tuple(columns)


def _read(path: Path, wish: Wish) -> Reading:
    if path.is_dir():
        from .image_folder import read_folder

        return read_folder(path, wish)
    if path.suffix.lower() in (".csv", ".tsv"):
        from .csv_file import read_table

        return read_table(path, wish)
    if is_single(path):
        return read_single(path, wish)
    return read_archive(path, wish)


def _refuse_unfinite(path: Path, reading: Reading) -> None:
    """Raise where a value is no number, and say where it lies."""
    x = reading.x
    if x.dtype.kind != "f" or np.isfinite(x).all():
        return
    index = tuple(int(k) for k in np.argwhere(~np.isfinite(x))[0])
    more = int((~np.isfinite(x)).sum()) - 1
    raise ValueError(
        f"samples must be finite: {path} holds {x[index]} at {reading.place(index)}"
        f"{f', and {more} more such values' if more else ''} (leave the row out, or fill it in)"
    )


def _numbered(
    path: Path, labels: Mapping[str, np.ndarray], design: Design | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return labels as numbers, and the names of the classes where they were words."""
    found, names = {}, ()
    for output, words in labels.items():
        if words.dtype.kind != "U":
            found[output] = words
            continue
        names = _names_of_classes(path, words, output, design)
        place = {name: k for k, name in enumerate(names)}
        flat = np.array([place[str(word)] for word in words.ravel()], np.int64)
        found[output] = flat.reshape(words.shape)
    return found, names


def _names_of_classes(
    path: Path, words: np.ndarray, output: str, design: Design | None
) -> tuple[str, ...]:
    """Return the names of the classes in their order, where labels are words."""
    there = tuple(map(str, np.unique(words)))
    if design is None:
        return there
    own = design.head.outputs[0] if design.head.is_single else design.head[output]
    strange = next((word for word in there if word not in own.names), None)
    if own.names and strange is not None:
        raise ValueError(
            f"{path} has the label {strange!r}, and the classes of {design.name!r} are "
            f"{', '.join(own.names)}"
        )
    if not own.names and len(there) != own.named:
        raise ValueError(
            f"labels of {path} are words, {', '.join(there[:5])}{', ...' * (len(there) > 5)}, and "
            f"{design.name!r} does not say which of its {own.named} {own.names_of} each of them is "
            f"(give signfire convert --classes NAME,NAME,...)"
        )
    return own.names or there
