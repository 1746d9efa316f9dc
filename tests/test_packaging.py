"""The wheel holds all that the folders hold, and works where nothing but the wheel is."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]


def test_every_package_folder_is_listed() -> None:
    folders = [p for folder in SETUPTOOLS["package-dir"].values() for p in [ROOT / folder]]
    found = {
        "signfire." + ".".join(path.parent.relative_to(ROOT).parts)
        for folder in folders
        for path in folder.rglob("__init__.py")
    }

    assert found == set(SETUPTOOLS["packages"])
    assert {k: f"signfire.{v}" for k, v in SETUPTOOLS["package-dir"].items()} == {
        name: name for name in found if name.count(".") == 1
    }


def test_every_dependency_has_an_exact_version_in_the_constraints() -> None:
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=~]", word)[0].lower() for word in wanted}
    pinned = {
        line.split("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }

    assert names - {"setuptools"} <= pinned  # pip builds with its own setuptools


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Install the wheel of a copy of the sources, so that the build leaves nothing in them."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "installed"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in SETUPTOOLS["package-dir"].values():
        left_out = shutil.ignore_patterns("__pycache__", "*.part")
        shutil.copytree(ROOT / folder, source / folder, ignore=left_out)
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *offline, "--target", target, source],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return target


def test_every_file_is_in_the_wheel(installed) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.iterdir() if path.is_file() and path.suffix != ".part")
        return {path.name: path.read_bytes() for path in files}

    for name in SETUPTOOLS["packages"]:
        folder = ROOT.joinpath(*name.split(".")[1:])
        assert contents(folder) == contents(installed.joinpath(*name.split("."))), name


def test_every_folder_tells_type_checkers_that_it_is_typed(installed) -> None:
    for name in SETUPTOOLS["package-dir"]:
        assert installed.joinpath(*name.split("."), "py.typed").is_file(), name


def test_the_installed_command_works_without_the_sources(installed, tmp_path) -> None:
    example = installed / "signfire" / "tools"
    model = (f"{example}/mnist_mlp.py:mlp32", "--weights", f"{example}/mnist_mlp32.pth")
    # So few samples that nothing is judged, and nothing left open that is searched: what runs is
    # what counts.
    with np.load(example / "mnist_calibrate.npz") as samples:
        np.savez(tmp_path / "few.npz", x=samples["x"][:8], y=samples["y"][:8])
    data = ("--calibrate", "few.npz", "--input-steps", "2")
    # -P: neither the folder that the program lies in nor the working folder is searched.
    program = "import signfire.tools.cli as cli; print(cli.__file__); cli.main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "convert", *model, *data, "-o", "d.npz", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    place, result = done.stdout.splitlines()
    assert place == str(example / "cli.py")
    assert json.loads(result)["design_hash"]
    assert (tmp_path / "d.npz").exists()
    assert (installed / "bin" / "signfire").exists()
