"""Types are checked everywhere: what is kept from the checker is little, and says why."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["hdl", "gen", "sim", "boards", "tools"]
AT_MOST = 20
# A suppression names its rules, and behind a second # its reason in at least two words.
EXPLAINED = re.compile(r"# pyright: ignore\[report\w+(, report\w+)*\]  # \w\S* \S.*$")


def comments(text: str) -> list[str]:
    """Lines that speak to a type checker."""
    return [line for line in text.splitlines() if re.search(r"#\s*(pyright|type)\s*:", line)]


def unexplained(text: str) -> list[str]:
    return [line for line in comments(text) if not EXPLAINED.search(line)]


SOURCES = [path.read_text() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]


def test_every_suppression_names_its_rule_and_its_reason() -> None:
    assert [] == [line for text in SOURCES for line in unexplained(text)]


@pytest.mark.parametrize(
    "line",
    [
        "x = f()  # pyright: ignore",
        "x = f()  # pyright: ignore[reportCallIssue]",
        "x = f()  # pyright: ignore[reportCallIssue]  # stubs",
        "x = f()  # type: ignore[call-arg]  # the stubs are old",
        "# pyright: basic",
    ],
)
def test_a_suppression_without_either_is_found(line) -> None:
    assert [line] == unexplained(f"import os\n{line}\n")


def test_there_are_few_suppressions() -> None:
    assert sum(len(comments(text)) for text in SOURCES) <= AT_MOST


def test_pyright_checks_by_its_standard_rules() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pyright"]

    assert settings["typeCheckingMode"] == "standard"
    assert {"exclude", "ignore"}.isdisjoint(settings)
    weakened = {k: v for k, v in settings.items() if k.startswith("report") and v != "error"}
    assert {} == weakened
