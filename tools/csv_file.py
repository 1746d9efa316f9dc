"""Samples and labels from a table in text, whose first line names the columns."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .readings import Reading, Wish, refuse_more_samples_than_memory

DELIMITERS = ",;\t"
SHOWN = 40  # characters of a cell that a message repeats, and columns that it lists
LONGEST_LINE = 1 << 24  # characters


def read_table(path: Path, wish: Wish) -> Reading:
    """Read a table; every column that is no label is a value of a sample, as a float."""
    lines = _lines(path)
    number, columns = next(lines, (0, []))
    _check_columns(path, columns)
    labels = {output: _columns(path, columns, names) for output, names in wish.labels.items()}
    labels = {output: found for output, found in labels.items() if found}
    if wish.need_labels and not labels:
        first = next(iter(wish.labels.values()))[0]
        raise ValueError(
            f"{path} has no column {first!r}; it has {_listed(columns)} (choose the labels with "
            f"--labels NAME)"
        )
    taken = {name for found in labels.values() for name in found}
    labels = labels if wish.looks_at_labels else {}
    features = _features(path, columns, taken, wish)
    places = {name: k for k, name in enumerate(columns)}
    chosen = [places[name] for name in features]
    try:
        wish.check_shape((1, len(features)))
    except ValueError as fault:
        hint = "" if taken else " (if one of its columns holds labels, name it: --labels NAME)"
        raise ValueError(f"{fault}: {path} has {_listed(features)}{hint}") from None
    x: list[np.ndarray] = []
    words: list[list[str]] = []
    numbers: list[int] = []
    for number, row in lines:
        if wish.samples is not None and len(x) == wish.samples:
            break
        if len(row) != len(columns):
            raise ValueError(
                f"line {number} of {path} has {len(row)} cells, and its first line names "
                f"{len(columns)} columns"
            )
        x.append(_numbers(path, number, columns, row, chosen))
        words.append(row)
        numbers.append(number)
        if len(x) % 4096 == 0:
            refuse_more_samples_than_memory(f"{path}", len(x), len(columns), 64)
    if not x:
        raise ValueError(f"{path} has no line but the one that names its columns")
    found = {
        output: _labels(path, [[row[places[name]] for name in names] for row in words], numbers)
        for output, names in labels.items()
    }

    def place(index: tuple[int, ...]) -> str:
        return f"line {numbers[index[0]]}, column {features[index[1]]!r}"

    return Reading(x=np.array(x), labels=found, place=place, columns=tuple(features))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of its line."""
    csv.field_size_limit(LONGEST_LINE)
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            first = file.readline(LONGEST_LINE)
            file.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            reader = csv.reader(file, delimiter=delimiter)
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num, [cell.strip() for cell in row]
        except UnicodeDecodeError as fault:
            raise ValueError(f"{path} is no text in UTF-8 (byte {fault.start + 1})") from None
        except csv.Error as fault:
            raise ValueError(f"{path} is no table of cells: {fault}") from None


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if not columns:
        raise ValueError(f"{path} is empty")
    if all(map(_is_number, columns)):
        raise ValueError(
            f"the first line of {path} must name its columns, and it holds numbers (put a line of "
            f"names before it)"
        )
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise ValueError(f"two columns of {path} are called {twice[0]!r}")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _columns(path: Path, columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the columns of a label: the first name that there is, which may list several."""
    for name in names:
        parts = [name] if name in columns else [word.strip() for word in name.split(",")]
        if all(part in columns for part in parts):
            return parts
        if len(parts) > 1:
            missing = next(part for part in parts if part not in columns)
            raise ValueError(f"{path} has no column {missing!r}; it has {_listed(columns)}")
    return []


def _features(path: Path, columns: Sequence[str], labels: set[str], wish: Wish) -> list[str]:
    wanted = [] if wish.inputs is None else [word.strip() for word in wish.inputs.split(",")]
    if wanted in ([], ["x"]) and "x" not in columns:
        wanted = list(wish.columns)
        if wanted and not set(wanted) <= set(columns):
            missing = next(name for name in wanted if name not in columns)
            raise ValueError(
                f"{path} has no column {missing!r}, which the design was calibrated on; it has "
                f"{_listed(columns)}"
            )
        return wanted or [name for name in columns if name not in labels]
    missing = next((name for name in wanted if name not in columns), None)
    if missing is not None:
        raise ValueError(
            f"{path} has no column {missing!r}; it has {_listed(columns)} (choose some with "
            f"--inputs NAME,NAME)"
        )
    return wanted or [name for name in columns if name not in labels]


def _numbers(
    path: Path, number: int, columns: Sequence[str], row: Sequence[str], chosen: Sequence[int]
) -> np.ndarray:
    try:
        return np.array([float(row[k]) for k in chosen])
    except ValueError:
        k = next(k for k in chosen if not _is_number(row[k]))
        held = f"holds no number: {row[k][:SHOWN]!r}" if row[k] else "is empty"
        raise ValueError(f"line {number} of {path}: column {columns[k]!r} {held}") from None


def _labels(path: Path, cells: list[list[str]], numbers: Sequence[int]) -> np.ndarray:
    """Return labels: integers where all are, else floats, else words."""
    for row, number in zip(cells, numbers, strict=True):
        if "" in row:
            raise ValueError(f"line {number} of {path} has no label")
    array = np.array(cells)
    if array.shape[1] == 1:
        array = array[:, 0]
    for kind in (np.int64, np.float64):
        try:
            return array.astype(kind)
        except (ValueError, OverflowError):
            continue
    return array


def _listed(names: Sequence[str]) -> str:
    some = ", ".join(names[:SHOWN])
    return some if len(names) <= SHOWN else f"{some} and {len(names) - SHOWN} more"
