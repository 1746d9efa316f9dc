"""Answers of a Design in a file: arrays in an ``.npz``, rows of a ``.csv``, or JSON."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..model.heads import Answers, Head, Output

SUFFIXES = (".npz", ".csv", ".json")


def check_file(path: Path) -> None:
    """Refuse a file of a kind that answers are not written to."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"answers are written to {', '.join(SUFFIXES)} files, not to {path}")


def write(path: Path, answers: Mapping[str, Answers], head: Head, rows: Sequence[str] = ()) -> None:
    """Write answers, a row a sample; the file appears whole or not at all.

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
    suffix = path.suffix.lower()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            if suffix == ".npz":
                _write_arrays(file, answers, head, rows)
            elif suffix == ".csv":
                file.write(as_table(answers, head, rows).encode())
            else:
                text = json.dumps(records(answers, head, rows), indent=2, allow_nan=False)
                file.write(f"{text}\n".encode())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _write_arrays(
    file: BinaryIO, answers: Mapping[str, Answers], head: Head, rows: Sequence[str]
) -> None:
    arrays: dict[str, Any] = {"file": np.array(rows)} if rows else {}
    for name, found in answers.items():
        for key, array in _with_classes(found, head[name]).items():
            arrays[f"{name}_{key}" if name else key] = array
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
            name: {key: _finite(array[k].tolist()) for key, array in found.items()}
            for name, found in named.items()
        }
        record: dict[str, object] = {"file": rows[k]} if rows else {}
        result.append(record | (of[""] if "" in of else of))
    return result


def _finite(value: Any) -> Any:
    """Return numbers with ``None`` in the place of those that JSON cannot say."""
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


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
