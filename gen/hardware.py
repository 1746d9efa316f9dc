"""Hardware: from the plan of a kind to the class that builds it, which imports amaranth."""

from importlib import import_module
from typing import Any


def hardware_of(kind: type, what: str = "hardware") -> Any:
    """Return what a kind's ``hardware`` names, out of the module ``rtl`` beside the kind.

    ``what`` is another attribute that names a class.

    A kind that names nothing itself is built as the one that it is derived from.

    Raises
    ------
    LookupError
        If none of them names anything.
    """
    for base in kind.__mro__:
        if what in vars(base):
            package = base.__module__.rpartition(".")[0]
            return getattr(import_module(f"{package}.rtl"), vars(base)[what])
    raise LookupError(f"{kind.__name__} names no hardware")
