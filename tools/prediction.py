"""Answers in a file: arrays in an ``.npz``, rows of a ``.csv``, or JSON."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..gen.model.heads import Answers, Head, Output
from .console import to_json
from .report import write_text

SUFFIXES = (".npz", ".csv", ".json")


def check_file(path: Path) -> None:
    """Refuse a file of a kind that answers are not written to."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"answers are written to {', '.join(SUFFIXES)} files, not to {path}")


def write(path: Path, answers: Mapping[str, Answers], head: Head, rows: Sequence[str] = ()) -> None:
    """Write answers, a row a sample.

    Parameters
    ----------
    path
        Of which kind the file is, says its suffix.
    answers
        By output.
    head
        Of the network, for names of classes and values.
    rows
        Names of the samples, where they have some.
    """
    check_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".json":
        write_text(path, to_json(records(answers, head, rows), indent=2) + "\n")
        return
    if path.suffix.lower() == ".csv":
        write_text(path, as_table(answers, head, rows))
        return
    arrays = {}
    for name, found in answers.items():
        output = head[name]
        for key, array in _with_classes(found, output).items():
            arrays[f"{name}_{key}" if name else key] = array
    if rows:
        arrays["file"] = np.array(rows)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _with_classes(answers: Answers, output: Output) -> Answers:
    """Return answers with the names of the classes beside their numbers."""
    label = answers.get("label")
    if label is None or not output.names or output.kind not in ("classes", "threshold"):
        return answers
    return {"label": label, "class": np.array(output.names)[label]} | answers


def records(
    answers: Mapping[str, Answers], head: Head, rows: Sequence[str] = ()
) -> list[dict[str, object]]:
    """Return answers as JSON values, an object a sample; by output where there are several."""
    named = {name: _with_classes(found, head[name]) for name, found in answers.items()}
    count = len(next(iter(next(iter(named.values())).values())))
    result = []
    for k in range(count):
        of = {
            name: {key: array[k].tolist() for key, array in found.items()}
            for name, found in named.items()
        }
        record: dict[str, object] = {"file": rows[k]} if rows else {}
        result.append(record | (of[""] if "" in of else of))
    return result


def as_table(answers: Mapping[str, Answers], head: Head, rows: Sequence[str] = ()) -> str:
    """Return answers as a table in text: a column a number."""
    names: list[str] = ["file"] if rows else []
    columns: list[np.ndarray] = [np.array(rows)] if rows else []
    for name, found in answers.items():
        output = head[name]
        for key, array in _with_classes(found, output).items():
            word = f"{name}_{key}" if name else key
            if array.ndim == 1:
                names.append(word)
                columns.append(array)
                continue
            flat = array.reshape(len(array), -1)
            each = output.names if len(output.names) == flat.shape[1] else range(flat.shape[1])
            names += [f"{word}_{part}" for part in each]
            columns += list(flat.T)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*(column.tolist() for column in columns), strict=True))
    return text.getvalue()
