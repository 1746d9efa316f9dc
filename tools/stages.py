"""Stages whose results are kept: what has not changed is not done again.

A stage's result is one JSON object, kept with a key made from everything that the result depends
on: the stage's inputs, signfire's own source and the versions of the tools. A result counts only
if its key is equal and the files it names have the content they had; it is written last and at
once, so an interrupted stage leaves nothing that a later run would trust.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from .api import versions
from .console import shown, to_json, told
from .report import write_text

PACKAGE = Path(__file__).resolve().parents[1]
SOURCES = ("hdl", "gen", "sim", "boards")  # tools/ only presents what these four compute
SUFFIXES = (".py", ".cpp", ".h", ".v")


@cache
def source_digest() -> str:
    """Return SHA-256 of signfire's computing source and of the versions it runs with."""
    digest = hashlib.sha256(to_json(versions()).encode())
    for folder in SOURCES:
        for path in sorted((PACKAGE / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Stages:
    """The kept results of one folder.

    Parameters
    ----------
    folder
        Where results and the files they name lie.
    fresh
        Do everything again.
    say
        Takes a word on what the running stage is doing now.
    """

    folder: Path
    fresh: bool = False
    done: list[str] = field(default_factory=list)
    say: Callable[[str], None] = print

    def run(
        self,
        name: str,
        title: str,
        inputs: Mapping[str, Any],
        work: Callable[[], Mapping[str, Any]],
        *,
        files: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return the stage's kept result, or do the work and keep what it returns.

        Parameters
        ----------
        name
            Of the kept file.
        title
            What people read while it runs.
        inputs
            JSON values that the result depends on.
        work
            Does it; returns JSON values and writes ``files``.
        files
            Paths below the folder that the work writes.
        """
        key = hashlib.sha256((to_json(inputs) + source_digest()).encode()).hexdigest()
        path = self.folder / ".stages" / f"{name}.json"
        kept = None if self.fresh else self._kept(path, key)
        if kept is not None:
            told("kept", title)
            return kept
        path.unlink(missing_ok=True)
        with shown(title) as self.say:
            result = json.loads(to_json(work()))
        digests = {file: file_digest(self.folder / file) for file in files}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, to_json({"key": key, "files": digests, "result": result}) + "\n")
        self.done.append(name)
        return result

    def _kept(self, path: Path, key: str) -> dict[str, Any] | None:
        try:
            record = json.loads(path.read_text())
            same = record["key"] == key and all(
                file_digest(self.folder / file) == digest
                for file, digest in record["files"].items()
            )
            return record["result"] if same else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # missing, cut short or not ours: do it again
