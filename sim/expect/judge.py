"""Judge: what the golden model's numbers are called in hardware, a module for every kind of layer.

The golden model says what every number is. A judge lays its trace out as the quantities that a kind
of layer shows; it knows no hardware but what the plan says of widths and order.
"""

from abc import ABC, abstractmethod
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...gen.layers.plan import LayerPlan
from ..golden import Trace


class Judge(ABC):
    """The golden quantities of one layer; every module of a kind has one, called ``Judge``."""

    def __init__(self, plan: Any) -> None:
        self.plan = plan

    @abstractmethod
    def quantities(self, sample: Trace) -> dict[str, np.ndarray]:
        """Return by name what the layer shows of a sample.

        Each is (steps, neurons), or (neurons,) of what no step belongs to: integers of any size.
        """


def judge_of(plan: LayerPlan) -> type[Judge]:
    """Return the judge of a plan's kind, or of the kind which that is derived from.

    It is the class ``Judge`` of the module here that has the kind's name.

    Raises
    ------
    LookupError
        If there is none.
    """
    for kind in type(plan).__mro__:
        name = f"{__package__}.{vars(kind).get('kind')}"
        if "kind" in vars(kind) and find_spec(name) is not None:
            return import_module(name).Judge
    raise LookupError(f"no module of {__package__} judges layers of the kind {plan.kind!r}")


def trains_of(events: np.ndarray) -> np.ndarray:
    """(T, n) events to (n,) trains, bit t the event of step t; Python integers of any size."""
    weights = np.array([1 << t for t in range(len(events))], dtype=object)
    return weights @ events.astype(int).astype(object)
