"""Hardware: from the plan of a kind to the class that builds it, which imports amaranth."""

from importlib import import_module
from typing import Any


def hardware_of(kind: type) -> Any:
    """Return what a kind's ``hardware`` names, out of the module ``rtl`` beside the kind.

    A kind that names nothing itself is built as the one that it is derived from.

    Raises
    ------
    LookupError
        If none of them names anything.
    """
    for base in kind.__mro__:
        if "hardware" in vars(base):
            package = base.__module__.rpartition(".")[0]
            return getattr(import_module(f"{package}.rtl"), vars(base)["hardware"])
    raise LookupError(f"{kind.__name__} names no hardware")
