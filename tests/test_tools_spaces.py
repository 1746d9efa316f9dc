"""Folders whose names have spaces: the checkout's, and those that a command writes into."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from signfire.boards.accelerator import Accelerator
from signfire.boards.boards import find_board
from signfire.boards.build import synthesise
from signfire.gen.design.design import Folding
from signfire.tools import api
from signfire.tools.dataset import Dataset

ROOT = Path(__file__).resolve().parents[1]
PYTHON = """#!/bin/sh
echo "$@" >> "{log}"
case "$1 $2" in
-V*) echo "Python 3.12.0";;
"-m venv") mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; exit 0;;
"-m pip") test "$3" != --version || exit 1;;
esac
exit 0
"""


@pytest.fixture
def checkout(tmp_path):
    """Lay the files of a checkout that make reads into a folder with spaces, and a python too."""
    folder = tmp_path / "my  own" / "sign fire"
    folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    python = tmp_path / "my own python"
    python.write_text(PYTHON.format(log=tmp_path / "log of python"))
    python.chmod(0o755)
    return folder, python, tmp_path / "log of python"


def make(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", *words],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
        capture_output=True,
        text=True,
    )


def test_make_env_works_in_a_folder_with_spaces(checkout) -> None:
    folder, python, log = checkout

    done = make(folder, "env", f"PYTHON={python}")

    assert 0 == done.returncode, done.stderr
    assert (folder / ".venv" / "signfire.stamp").exists()
    lines = log.read_text().splitlines()
    assert "-m venv --clear .venv" in lines
    assert any(line.startswith("-m pip install --quiet") for line in lines)
    assert 0 == make(folder, "env", f"PYTHON={python}").returncode
    assert lines == log.read_text().splitlines()  # what is done is not done again


def test_the_programs_of_an_environment_in_a_folder_with_spaces_are_found(checkout) -> None:
    folder, python, log = checkout
    assert 0 == make(folder, "env", f"PYTHON={python}").returncode
    (folder / ".venv" / "tools.stamp").touch()
    program = folder / ".venv" / "bin" / "signfire"
    program.write_text(f'#!/bin/sh\necho "$0 $@" >> "{log}"\n')
    program.chmod(0o755)

    done = make(folder, "demo", "BOARD=icebreaker")

    assert 0 == done.returncode, done.stderr
    assert f"{program} demo --board icebreaker" == log.read_text().splitlines()[-1]


def test_a_folder_that_path_cannot_hold_is_refused_in_one_line(checkout) -> None:
    folder, python, _ = checkout
    other = folder.with_name("sign:fire")
    folder.rename(other)

    done = make(other, "env", f"PYTHON={python}")

    assert done.returncode
    assert "make env: the colon in the name of this folder ends an entry of PATH" in done.stderr
    assert not (other / ".venv").exists()


@pytest.fixture(scope="module")
def design():
    from signfire.sim.specimens.chains import random_design

    one = Folding(pe=1, simd=2, unroll=1)
    return random_design(sizes=(14, 6, 5), input_steps=2, folding={"fc1": one, "fc2": one})


@pytest.mark.usefixtures("quick_compilation")
def test_checks_and_synthesis_work_in_a_folder_with_spaces(design, tmp_path) -> None:
    folder = tmp_path / "my  own" / "out put"
    data = Dataset(
        path="data", x=np.random.default_rng(1).integers(0, 256, (3, 14)), y=np.zeros(3, int)
    )

    waves = api.simulate(design, data, folder / "cycle s", waves=True)
    assert waves.passed and waves.waves.is_file()
    assert api.simulate_bulk(design, data, folder / "bulk s").passed
    made = synthesise(
        Accelerator(design, find_board("icebreaker")), find_board("icebreaker"), folder / "chip s"
    )
    assert made.netlist.is_file() and " s" in str(made.netlist)
