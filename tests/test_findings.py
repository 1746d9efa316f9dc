"""Each finding states what it saw and is listed; the findings themselves run outside the tests."""

import os
import re
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "findings"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
FIELDS = ["Versions", "Behaviour", "Seen", "Why it matters"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_head_states_versions_behaviour_output_and_reason(path: Path) -> None:
    head = path.read_text().split("\nset -euo pipefail\n")[0]

    title, _, body = head.partition("\n#\n")
    stated = re.findall(r"^# ([A-Z][a-z ]+):(?: \S|\n#   \S)", body, re.MULTILINE)

    assert len(title.splitlines()) == 2  # the shell and one sentence
    assert FIELDS == stated
    assert all(line.startswith("#") for line in head.splitlines())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script_is_bash_and_installs_pinned_packages_in_a_folder_it_removes(path: Path) -> None:
    text = path.read_text()
    [pins] = re.findall(r"pip install (.*(?<!\\))$", text.replace("\\\n", " "), re.MULTILINE)
    packages = [word for word in pins.split() if not word.startswith("--")]

    assert 0 == subprocess.run(["bash", "-n", path]).returncode
    assert os.access(path, os.X_OK)
    assert 'folder=$(mktemp -d)\ntrap \'rm -rf "$folder"\' EXIT\ncd "$folder"\n' in text
    assert packages and all(re.fullmatch(r"[\w-]+==\d[\w.]*", name) for name in packages)
    assert "import signfire" not in text


def test_readme_lists_each_finding_once_and_no_other() -> None:
    rows = re.findall(
        r"^\| \[`(\w+\.sh)`\]\(\1\) \|", (FOLDER / "README.md").read_text(), re.MULTILINE
    )

    assert SCRIPTS
    assert [path.name for path in SCRIPTS] == sorted(rows)
