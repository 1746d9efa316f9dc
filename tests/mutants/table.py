"""The table of planted faults: what each replaces, what it stands for, and which tests see it.

A file ``planted/ROOM.toml`` holds the faults of a room, each as::

    [tie_goes_down]
    file = "hdl/fire.py"
    before = "membrane >= 0"
    after = "membrane > 0"
    means = "a membrane of 0 does not fire"
    tests = ["tests/test_hdl_fire.py::test_ties"]

``before`` stands exactly once in the file, so that a fault whose line has changed is noticed.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLANTED = Path(__file__).with_name("planted")
FIELDS = {"file", "before", "after", "means", "tests"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault that somebody planted.

    Parameters
    ----------
    name
        ``room.name``.
    file
        Where it goes, from the root of the repository.
    before, after
        Text of the file, and what takes its place.
    means
        What is wrong then.
    tests
        Files or single tests that are to see it, as pytest takes them.
    """

    name: str
    file: str
    before: str
    after: str
    means: str
    tests: tuple[str, ...]

    def planted(self, text: str) -> str:
        """Return the text of the file with the fault in it.

        Raises
        ------
        ValueError
            If ``before`` does not stand in it exactly once.
        """
        count = text.count(self.before)
        if count != 1:
            raise ValueError(
                f"{self.name}: its text must stand once in {self.file}, not {count} times; it has "
                f"changed, so plant the fault anew ({self.before.strip().splitlines()[0]!r})"
            )
        return text.replace(self.before, self.after)


def read_table(folder: Path = PLANTED) -> list[Fault]:
    """Return all faults, by room and name.

    Raises
    ------
    ValueError
        If a fault lacks a field or has another, changes nothing, or has no test.
    """
    return [fault for path in sorted(folder.glob("*.toml")) for fault in _read_room(path)]


def _read_room(path: Path) -> Iterator[Fault]:
    for name, fields in tomllib.loads(path.read_text()).items():
        name = f"{path.stem}.{name}"
        if fields.keys() != FIELDS:
            raise ValueError(f"{name} must have {', '.join(sorted(FIELDS))}, not {list(fields)}")
        if not fields["before"].strip() or fields["before"] == fields["after"]:
            raise ValueError(f"{name} must replace a text by another")
        if not fields["tests"]:
            raise ValueError(f"{name} must name the tests that see it")
        yield Fault(name=name, **{**fields, "tests": tuple(fields["tests"])})


def faults_of(fault: Fault, root: Path = ROOT) -> list[str]:
    """Return what is wrong with an entry of the table: a text or a test that is not there."""
    found = []
    path = root / fault.file
    if not path.is_file():
        return [f"{fault.name}: there is no {fault.file}"]
    try:
        fault.planted(path.read_text())
    except ValueError as error:
        found.append(str(error))
    for test in fault.tests:
        file, _, function = test.partition("::")
        function = function.partition("[")[0]
        source = root / file
        if not source.is_file() or (
            function and not re.search(rf"^def {function}\(", source.read_text(), re.M)
        ):
            found.append(f"{fault.name}: there is no test {test}")
    return found
