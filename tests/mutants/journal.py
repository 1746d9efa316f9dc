"""A journal of what was found, so that a run that was interrupted goes on where it stopped."""

import json
from pathlib import Path
from typing import Any


class Journal:
    """Records by key, one a line of a file, written at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, dict[str, Any]] = {}
        if path.is_file():
            for line in path.read_text().splitlines():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue  # a line that was being written
                self.known[record["key"]] = record

    def get(self, key: str) -> dict[str, Any] | None:
        return self.known.get(key)

    def keep(self, key: str, **record: Any) -> dict[str, Any]:
        """Write a record down and return it."""
        record = {"key": key, **record}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.known[key] = record
        return record
