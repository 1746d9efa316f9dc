"""What is read of a data file, and what comes out of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..gen.design.archive import BadArchive, refuse_more_than_memory
from ..gen.model.inputs import Part

WORKING_BYTES = 16  # of a value beside its own: the integer that it becomes, and on the way there
FEWER = "take fewer samples: --samples N where a command has it, or a smaller file"


def any_shape(shape: tuple[int, ...]) -> None:
    """Let samples of every shape through."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be read.

    Parameters
    ----------
    inputs
        Name of the samples, or of their parts with commas between them; ``None`` where the user
        named none.
    parts
        The parts of a sample that are expected; empty for one.
    labels
        By output of the network, the names under which its labels may lie, the first one first.
    need_labels
        Whether there must be labels of the first output; ``None``: where there are some; ``False``:
        they are not looked at, but for that they are no samples.
    samples
        The first so many alone; all of them for ``None``.
    check_shape
        Raises where samples of a shape, (n, ...), are not what they are for.
    white
        What the brightest pixel of an image becomes: 1 or 255.
    columns
        Names of the values of a sample, where they are known: those of a table are put in this
        order.
    """

    inputs: str | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    need_labels: bool | None = None
    samples: int | None = None
    check_shape: Callable[[tuple[int, ...]], None] = any_shape
    white: int = 1
    columns: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def names(self) -> list[str]:
        """The arrays that hold the parts of a sample."""
        if self.inputs is not None and self.inputs != "x":
            return [name.strip() for name in self.inputs.split(",")]
        return [part.name for part in self.parts] or ["x"]

    @property
    def named(self) -> str:
        """The samples, in words."""
        return self.inputs or "x"

    @property
    def looks_at_labels(self) -> bool:
        return self.need_labels is not False

    def count(self, there: int) -> int:
        """Return how many of the samples that are there are read."""
        return there if self.samples is None else min(self.samples, there)


def unplaced(index: tuple[int, ...]) -> str:
    """Say where a value lies, by its place in the array."""
    row, *rest = index
    place = rest[0] if len(rest) == 1 else f"({', '.join(map(str, rest))})"
    return f"row {row}, value {place} (counted from 0)"


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What a file holds.

    Parameters
    ----------
    x
        (n, ...) samples, any integer or float type.
    labels
        By output; words where the file says words.
    place
        Where a value of ``x`` lies in the file, in words, by its index.
    columns, rows
        Names of the values of a sample, and of the samples, where the file names them.
    parts
        Of a sample, where it has several.
    """

    x: np.ndarray
    labels: Mapping[str, np.ndarray]
    place: Callable[[tuple[int, ...]], str] = unplaced
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


def refuse_more_samples_than_memory(what: str, count: int, values: int, itemsize: int) -> None:
    """Raise ValueError where so many samples of so many values take more memory than is free."""
    try:
        refuse_more_than_memory(
            f"{what}, {count:,} samples of {values:,} values,",
            count * values * (itemsize + WORKING_BYTES),
            FEWER,
        )
    except BadArchive as fault:
        raise ValueError(str(fault)) from None
