"""Refusals: what of a model cannot be read, in the user's words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """One thing of a model that signfire cannot do.

    Parameters
    ----------
    what
        The operator in the user's words, ``gelu``.
    place
        ``file.py:line`` of the user's source; empty if unknown.
    way_out
        What the user can do about it; empty if nothing is known.
    """

    what: str
    place: str = ""
    way_out: str = ""

    def __str__(self) -> str:
        at = f" at {self.place}" if self.place else ""
        return f"{self.what}{at}" + (f" ({self.way_out})" if self.way_out else "")


class UnsupportedModel(ValueError):
    """A model that holds something unsupported; names everything at once.

    Members
    -------
    refusals : tuple of Refusal, in the order of the graph
    """

    def __init__(self, refusals: list[Refusal]) -> None:
        self.refusals = tuple(dict.fromkeys(refusals))
        super().__init__("the model is not supported: " + "; ".join(map(str, self.refusals)))


class Refused(Exception):
    """Raised by a handler: the operator is known, but not with these arguments."""

    def __init__(self, way_out: str) -> None:
        super().__init__(way_out)
        self.way_out = way_out
