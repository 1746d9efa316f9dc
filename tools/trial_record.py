"""The record of a search: its finished trials, a line of JSON each, from which it goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TrialRecord:
    """Finished trials, in memory and in a file.

    Parameters
    ----------
    path
        The file; ``None`` keeps none.
    key
        What search it is of: a digest of all that decides what a trial finds.

    Raises
    ------
    ValueError
        For the record of another search.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self.path, self.key = path, key
        self.entries = self._read()

    def _read(self) -> list[dict[str, Any]]:
        """Return the trials of the file; a last line that was cut off does not count."""
        if self.path is None or not self.path.is_file():
            return []
        lines = []
        for line in self.path.read_text(errors="replace").splitlines():
            try:
                lines.append(json.loads(line))
            except (ValueError, RecursionError):
                break
        if not all(isinstance(line, dict) for line in lines) or (
            not lines or lines[0].get("search") != self.key
        ):
            raise ValueError(
                f"{self.path} is the record of another search (name another file, or remove it)"
            )
        return lines[1:]

    def keep(self, entry: Mapping[str, Any]) -> None:
        """Add a trial; the file appears whole or not at all."""
        self.entries.append(dict(entry))
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [{"search": self.key}, *self.entries]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        partial = self.path.with_name(f"{self.path.name}.part")
        try:
            partial.write_text(text)
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)
