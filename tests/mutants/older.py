"""Tests of an earlier commit, made to import the modules that hold today what they name."""

import ast
import io
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("hdl", "gen", "sim", "boards", "tools")


def put_tests(commit: str, root: Path, copy: Path) -> None:
    """Put the tests of a commit in the place of those of a copy.

    Parameters
    ----------
    commit
        Of the repository at ``root``.
    copy
        Root of the tree whose tests are replaced, and whose modules they import.
    """
    packed = subprocess.run(
        ["git", "archive", commit, "tests"], cwd=root, check=True, capture_output=True
    ).stdout
    shutil.rmtree(copy / "tests")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(copy, filter="data")
    homes = Homes(copy)
    for path in sorted((copy / "tests").rglob("*.py")):
        path.write_text(homes.rewritten(path.read_text()))


class Homes:
    """Where names of the product live."""

    def __init__(self, root: Path) -> None:
        self.names: dict[str, set[str]] = {}  # by module, what it defines or imports
        self.defined: dict[str, list[str]] = {}  # by name, the modules that define it
        for room in ROOMS:
            for path in sorted((root / room).rglob("*.py")):
                parts = path.relative_to(root).with_suffix("").parts
                module = ".".join(("signfire", *(parts[:-1] if parts[-1] == "__init__" else parts)))
                tree = ast.parse(path.read_text())
                own = set(_defined(tree))
                self.names[module] = own | set(_imported(tree))
                for name in own:
                    self.defined.setdefault(name, []).append(module)

    def has(self, module: str, name: str) -> bool:
        """Whether a name can be imported from a module."""
        return name in self.names.get(module, ()) or f"{module}.{name}" in self.names

    def module(self, old: str) -> str:
        """Return the module that has the last part of an old one's name, or the old one."""
        if old in self.names:
            return old
        room, stem = ".".join(old.split(".")[:2]), old.rpartition(".")[2]
        found = [m for m in self.names if m.startswith(room) and m.rpartition(".")[2] == stem]
        return found[0] if len(found) == 1 else old

    def home(self, old: str, name: str) -> str:
        """Return the module to import a name from that an old one had."""
        if self.has(old, name):
            return old
        new = self.module(old)
        if self.has(new, name):
            return new
        if name.islower() and self.module(f"{old}.{name}") != f"{old}.{name}":
            return self.module(f"{old}.{name}").rpartition(".")[0]  # a module of that name
        found = self.defined.get(name, [])
        room = ".".join(old.split(".")[:2])
        near = [module for module in found if module.startswith(room)] or found
        return near[0] if near else old

    def rewritten(self, text: str) -> str:
        """Return the text of a test whose imports, and names of modules in strings, are today's."""
        lines = text.splitlines(keepends=True)
        for node in sorted(ast.walk(ast.parse(text)), key=lambda n: -getattr(n, "lineno", 0)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("signfire"):
                indent = " " * node.col_offset
                wanted: dict[str, list[str]] = {}
                for alias in node.names:
                    home = self.home(node.module or "", alias.name)
                    said = alias.name + (f" as {alias.asname}" if alias.asname else "")
                    wanted.setdefault(home, []).append(said)
                new = [f"{indent}from {m} import {', '.join(n)}\n" for m, n in wanted.items()]
                lines[node.lineno - 1 : node.end_lineno] = new
        return re.sub(
            r"""(?<=["'])signfire(\.\w+)+""", lambda m: self._in_string(m[0]), "".join(lines)
        )

    def _in_string(self, said: str) -> str:
        """Return a dotted name in a string, of a module or of what is in one."""
        if said in self.names:
            return said
        module, _, name = said.rpartition(".")
        if self.has(module, name):
            return said
        return self.module(said) if self.module(said) != said else f"{self.module(module)}.{name}"


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        for target in targets:
            yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
