"""Folders import only what lies before them in the data flow."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = ["hdl", "gen", "sim", "boards", "tools"]  # a folder imports only those before it
FILES = [path for folder in ORDER for path in sorted((ROOT / folder).rglob("*.py"))]


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


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_folder_order(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    earlier = ORDER[: ORDER.index(folder)]

    wrong = (imports(path) & set(ORDER)) - set(earlier)

    assert not wrong, f"{folder}/ may import only {earlier}, not {sorted(wrong)}"


def test_golden_model_is_independent_of_the_rtl() -> None:
    assert not imports(ROOT / "sim" / "golden.py") & {"hdl", "amaranth", "cocotb"}


def test_modules_of_the_generator_that_compose_hardware_say_so() -> None:
    composers = [p for p in (ROOT / "gen").rglob("*.py") if imports(p) & {"hdl", "amaranth"}]

    assert sorted(p.name for p in composers) == ["rtl.py", "rtl_pair.py"]


def test_only_the_front_end_imports_torch() -> None:
    users = [p for p in (ROOT / "gen").rglob("*.py") if "torch" in imports(p)]

    assert users and all(path.parent == ROOT / "gen" / "front" for path in users)


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
