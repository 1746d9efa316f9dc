"""Operators: the registry of what a graph may hold.

A module that reads operators has ``handles``, its :class:`.graph.Handlers` by aten name; here it
has a word of :data:`MODULES`.
"""

from collections.abc import Mapping

from . import (
    arithmetic,
    composites,
    functions,
    levels,
    minima,
    quantised,
    rearranging,
    rectifiers,
    upsampling,
    windows,
)
from .graph import Handler

MODULES = (
    arithmetic,
    composites,
    functions,
    levels,
    minima,
    quantised,
    rearranging,
    rectifiers,
    upsampling,
    windows,
)


def together(*tables: Mapping[str, Handler]) -> dict[str, Handler]:
    """Return the handlers of all tables; an operator is read in one place alone."""
    found: dict[str, Handler] = {}
    for table in tables:
        twice = sorted(set(table) & set(found))
        if twice:
            raise ValueError(f"two modules read the operator {twice[0]!r}")
        found |= table
    return found


OPERATORS = together(*(module.handles for module in MODULES))
