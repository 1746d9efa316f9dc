"""Facts: numbers of a plan that do not depend on its folding, worked out once for all foldings.

A search folds a layer thousands of times. What weights, maps and codes alone decide is a fact of
the layer: it is computed when it is first asked for, and every plan that ``replace`` makes of this
one knows it.
"""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, overload


class Facts:
    """What is known so far of one layer or one source; handed on from plan to plan.

    Members
    -------
    known : by name
    owner : the objects that the facts were worked out of
    """

    def __init__(self, *owner: object) -> None:
        self.owner = owner
        self.known: dict[str, Any] = {}

    def of(self, *owner: object) -> "Facts":
        """Return these facts, or none yet where they belong to other objects."""
        same = list(map(id, owner)) == list(map(id, self.owner))
        return self if same else Facts(*owner)


class Plan(Protocol):
    """What has facts."""

    @property
    def facts(self) -> Facts: ...


Number = TypeVar("Number")


class fact(Generic[Number]):
    """A property whose value is kept among the plan's facts."""

    def __init__(self, compute: Callable[[Any], Number]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, plan: None, owner: type) -> "fact[Number]": ...
    @overload
    def __get__(self, plan: Plan, owner: type) -> Number: ...
    def __get__(self, plan: Plan | None, owner: type) -> "Number | fact[Number]":
        if plan is None:
            return self
        known = plan.facts.known
        if self.name not in known:
            known[self.name] = self.compute(plan)
        return known[self.name]
