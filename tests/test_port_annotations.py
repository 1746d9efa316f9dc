"""Ports of components are annotated in the class body, so that type checkers know them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    path for folder in ("hdl", "gen", "sim", "boards") for path in (ROOT / folder).rglob("*.py")
]


def signature_members(component: ast.ClassDef) -> Iterator[str]:
    """Names that a class hands to ``super().__init__`` as ``In`` or ``Out``."""
    for call in ast.walk(component):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
            for members in ast.walk(call):
                if isinstance(members, ast.Dict):
                    for key, value in zip(members.keys, members.values, strict=True):
                        port = ast.unparse(value).startswith(("In(", "Out(", "idle_high("))
                        if isinstance(key, ast.Constant) and port:
                            yield key.value


def unannotated(text: str) -> list[str]:
    """Ports that a class hands over, and does not annotate or gives in place of an annotation."""
    found = []
    for component in ast.walk(ast.parse(text)):
        if not isinstance(component, ast.ClassDef):
            continue
        if any(ast.unparse(base).endswith("Signature") for base in component.bases):
            continue  # it describes ports and has none
        annotated = {
            line.target.id: ast.unparse(line.annotation)
            for line in component.body
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        }
        bare = [name for name in signature_members(component) if name not in annotated]
        given = [name for name, of in annotated.items() if of.startswith(("In(", "Out("))]
        found += [f"{component.name}.{name}" for name in (*bare, *given)]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_ports_are_annotated_in_the_class(path) -> None:
    assert [] == unannotated(path.read_text())


def test_ports_of_either_kind_without_a_type_are_found() -> None:
    text = """
class Counter(wiring.Component):
    low: In(1)
    high: Signal

    def __init__(self):
        super().__init__({"high": Out(1), "top": Out(4)})
"""

    assert ["Counter.top", "Counter.low"] == unannotated(text)
