"""Which blocks of the product run: an import hook lets each put its name in a set.

A block is a list of statements, as the body of a module or a function, or a branch. Its name is
``FILE:LINE:COLUMN`` of its first statement. Lines and columns of the product stay what they are.
A process whose environment names a root and a folder marks what it imports from that root, and at
its end writes the names into a file of that folder; the tests' own process is asked, see
``recorder.py``.
"""

import ast
import atexit
import builtins
import marshal
import os
import sys
from collections.abc import Iterator
from hashlib import sha256
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

SET = "__reached__"  # among the names that every module has
ROOT, FOLDER = "SIGNFIRE_MARKED_ROOT", "SIGNFIRE_MARKED_FOLDER"
KEPT = "SIGNFIRE_MARKED_CODE"  # a folder for modules that were compiled
ROOMS = ("hdl", "gen", "sim", "boards", "tools")


def blocks_of(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Yield all blocks, the module's first."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list) and block:
                yield block


def name_of(file: str, block: list[ast.stmt]) -> str:
    return f"{file}:{block[0].lineno}:{block[0].col_offset}"


def block_at(file: str, tree: ast.AST, line: int) -> str:
    """Return the name of the innermost block that a line is in, the module's for the others."""
    blocks = list(blocks_of(tree))
    around = [b for b in blocks if _begin(b[0]) <= line <= (b[-1].end_lineno or 0)]
    return name_of(file, max(around or blocks[:1], key=lambda b: (_begin(b[0]), -b[0].col_offset)))


def _begin(statement: ast.stmt) -> int:
    """Return the first line of a statement, decorators included."""
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def marked(file: str, tree: ast.Module) -> ast.Module:
    """Let every block of a module begin with putting its name in the set."""
    for block in list(blocks_of(tree)):
        (mark,) = ast.parse(f"{SET}.add({name_of(file, block)!r})").body
        at = 0
        while at < len(block) and _stays_first(block[at], at):
            at += 1
        for node in ast.walk(mark):
            if isinstance(node, ast.expr | ast.stmt):
                ast.copy_location(node, block[min(at, len(block) - 1)])
        block.insert(at, mark)
    return tree


def _stays_first(statement: ast.stmt, at: int) -> bool:
    """Whether nothing may come before a statement: a docstring, or what the future brings."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__"
    return at == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


class Loader(SourceFileLoader):
    """Compiles a module with marks in it, and keeps that apart from what has none."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = Path(path).read_bytes()
        kept = Path(os.environ[KEPT]) / sha256(path.encode() + b"\0" + source).hexdigest()
        if kept.is_file():
            return marshal.loads(kept.read_bytes())
        code = self.source_to_code(source, path)
        kept.parent.mkdir(exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_bytes(marshal.dumps(code))
        part.rename(kept)
        return code

    def source_to_code(self, data: Any, path: Any, *, _optimization: int = -1) -> CodeType:
        file = Path(path).relative_to(os.environ[ROOT]).as_posix()
        tree = marked(file, ast.parse(data, path))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimization)


def finder(path: str) -> FileFinder:
    """Return what finds the modules of a folder of the product."""
    root, folder = Path(os.environ[ROOT]), Path(path)
    if folder != root and not any(folder.is_relative_to(root / room) for room in ROOMS):
        raise ImportError(f"{path} is no folder of the product")
    return FileFinder(path, (Loader, SOURCE_SUFFIXES))


def taken() -> set[str]:
    """Return the names of blocks that ran since this was called, here and in other processes."""
    reached: set[str] = getattr(builtins, SET)
    found = set(reached)
    reached.clear()
    for path in Path(os.environ[FOLDER]).glob("*.reached"):
        found.update(path.read_text().splitlines())
        path.unlink()
    return found


def write() -> None:
    path = Path(os.environ[FOLDER]) / f"{os.getpid()}.part"
    path.write_text("\n".join(getattr(builtins, SET)))
    path.rename(path.with_suffix(".reached"))


def install() -> None:
    """Mark what this process imports from now on, where its environment asks for it."""
    if ROOT in os.environ:
        setattr(builtins, SET, set())
        sys.path_hooks.insert(0, finder)
        sys.path_importer_cache.clear()
        atexit.register(write)
