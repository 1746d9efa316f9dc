"""Minima: the lesser of two values, of a value and a constant, of the last axis."""

import numpy as np

from .affine import Affine
from .arithmetic import several
from .graph import Call, Handlers, Root, Value
from .rectifiers import rectified
from .refusals import Refused

handles = Handlers()


@handles("minimum", "min")
def minimum(call: Call) -> Value:
    if "other" not in call.arguments:  # min of an axis, or of all
        raise Refused("only that of two values and torch.amin over the last axis are supported")
    if all(isinstance(call[name], Affine | Root) for name in ("self", "other")):
        return several(call, "minimum", [call.affine("self"), call.affine("other")])
    x, bound = ("self", "other") if isinstance(call["self"], Affine | Root) else ("other", "self")
    end = call.per_feature(bound)
    if not np.isfinite(end).all():
        raise Refused("a minimum needs a finite end")
    return below(call, call.affine(x).broadcast(call.features), end)


def below(call: Call, x: Affine, end: np.ndarray) -> Affine:
    """Return min(x, end) = end - relu(end - x), which takes one operand alone."""
    turn = np.array(-1.0)
    return rectified(call, x.scaled(turn).shifted(end)).scaled(turn).shifted(end)


@handles("amin")
def amin(call: Call) -> Value:
    """Halve the last axis until one is left; of an odd number both halves have the middle."""
    x = call.affine("self")
    last, given = len(x.shape), np.ravel(np.asarray(call["dim"]))
    if {int(d) % (last + 1) for d in given} != {last}:
        raise Refused("only over the last axis")
    while x.shape[-1] > 1:
        half = -(-x.shape[-1] // 2)
        places = x.places[..., :half], x.places[..., -half:]
        name = call.site.path or "amin"
        x = call.population([x.rearranged(each) for each in places], "minimum", name=name)
    return x.reshaped(call.features)
