"""Folders and packages import only what lies before them in the data flow."""

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["hdl", "gen", "sim", "boards", "tools"]
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


NUMBERS = {"signfire.hdl.constant_sums", "signfire.hdl.words"}  # of hardware, without any of it


def imports(path: Path) -> set[str]:
    """Folders of ours, and outside packages, that the file at ``path`` imports."""
    found = set()
    depth = len(path.relative_to(ROOT).parts)  # dots that lead to the folder of folders
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {name.split(".")[0] for name in names}
    return found


def import_graph(**options: bool) -> grimp.ImportGraph:
    """Return who imports whom in this working tree."""
    sys.path.insert(0, str(ROOT / "tests" / "typed"))
    try:
        return grimp.build_graph("signfire", cache_dir=None, **options)
    finally:
        del sys.path[0]


def test_imports_keep_the_contracts() -> None:
    """The contracts stand in pyproject.toml."""
    links = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "typed")}
    program = "import importlinter.cli as cli; cli.lint_imports_command(['--no-cache'])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=links, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_import_linter_sees_every_module() -> None:
    graph = import_graph()
    modules = {".".join(("signfire", *p.relative_to(ROOT).with_suffix("").parts)) for p in FILES}

    assert modules <= {*graph.modules} | {f"{name}.__init__" for name in graph.modules}


def test_no_module_is_in_a_circle() -> None:
    """Imports within functions count, and those for type checkers too."""
    graph = import_graph()
    order = TopologicalSorter(
        {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    )

    assert set(order.static_order()) == graph.modules


def test_modules_of_the_generator_that_compose_hardware_say_so() -> None:
    """They are those of the kinds, ``rtl``, and the core; numbers alone of hdl others may read."""
    graph = import_graph(include_external_packages=True, exclude_type_checking_imports=True)
    hardware = {"amaranth", *graph.find_descendants("signfire.hdl")} - NUMBERS
    composers = {
        module
        for module in graph.find_descendants("signfire.gen")
        if graph.find_modules_directly_imported_by(module) & hardware
    }

    assert "signfire.gen.core.core" in composers
    assert {m for m in composers if not m.endswith(".rtl")} == {"signfire.gen.core.core"}
    numbers = set().union(*map(graph.find_modules_directly_imported_by, NUMBERS))
    assert numbers <= sys.stdlib_module_names


def test_no_module_has_a_name_that_says_nothing_or_hides_a_package() -> None:
    banned = {"utils", "common", "constants", "types", "torch", "cocotb"}

    assert [str(path) for path in FILES if path.stem in banned] == []


# What makes up the command line; the rest would make every command wait for what it does not use.
COMMAND_LINE = {"cli", "cli_board", "cli_proof", "cli_study", "console", "options"}


@pytest.mark.parametrize("module", sorted(COMMAND_LINE))
def test_the_command_line_imports_verbs_when_they_run(module) -> None:
    early = set()
    for node in ast.parse((ROOT / "tools" / f"{module}.py").read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            early |= {node.module} if node.module else {alias.name for alias in node.names}

    assert early <= COMMAND_LINE
