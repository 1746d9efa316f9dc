"""Kinds of encoder: the only place that knows all of them."""

from ..design.design import Design
from .fired.plan import FiredInput
from .level.plan import LevelInput
from .plan import InputPlan
from .rate.plan import RateInput

ENCODERS: tuple[type[InputPlan], ...] = (LevelInput, FiredInput, RateInput)


def encoder_kind(design: Design) -> type[InputPlan]:
    """Return the kind of a Design's input.

    Raises
    ------
    TypeError
        If no kind claims it.
    """
    for kind in ENCODERS:
        if kind.claims(design):
            return kind
    raise TypeError(f"no kind of encoder is the input of {design.name!r}, {design.dynamics}")
