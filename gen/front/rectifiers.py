"""Rectifiers: what compares a value with a number or with another: ReLU, clamps, maxima."""

from dataclasses import replace

import numpy as np

from ..model.network import MAX
from .affine import Affine
from .graph import Call, Handlers, Root, Value
from .refusals import Refused

handles = Handlers()


@handles("relu")
def relu(call: Call) -> Value:
    return rectified(call, call.affine("self"))


@handles("clamp", "clamp_min", "hardtanh")
def clamp(call: Call) -> Value:
    low, high = ("min_val", "max_val") if "min_val" in call.arguments else ("min", "max")
    limit = None if call.arguments.get(high) is None else call.constant(high)
    start = None if call[low] is None else call.constant(low)
    if start is not None and limit is not None and start.size == limit.size == 1 and start.any():
        ends = float(start.ravel()[0]), float(limit.ravel()[0])
        if not ends[0] < ends[1]:
            raise Refused(f"a clamp needs its start below its end, not {ends[0]:g} and {ends[1]:g}")
        return call.neuron("clamp", ends, call.affine("self"))
    if isinstance(call["self"], Root) and limit is None and start is not None:
        return kept_from(call, call["self"], start)
    if start is None or start.any():
        raise Refused("only a clamp from 0 up, or one with a number at each end, is supported")
    if limit is not None and (limit.size != 1 or not float(limit.ravel()[0]) > 0):
        raise Refused("a clamp needs one number above 0 as its end")
    return rectified(call, call.affine("self"), None if limit is None else float(limit.ravel()[0]))


def kept_from(call: Call, root: Root, least: np.ndarray) -> Root:
    """Return max(√value, least), as a guard of a divisor; far below the root it is one beneath."""
    if root.inverse or root.guard or least.size != 1 or not float(least.ravel()[0]) > 0:
        raise Refused("only a root itself is kept from 0, by one number above it")
    square = np.float64(float(least.ravel()[0]) ** 2)
    if call.graph.exact_roots:
        above = rectified(call, root.value.shifted(-square))
        return replace(root, value=above.shifted(square))
    call.graph.guarded = True
    return replace(root, value=root.value.shifted(square))


@handles("relu6")
def relu6(call: Call) -> Value:
    return rectified(call, call.affine("self"), 6.0)


@handles("threshold")
def threshold(call: Call) -> Value:
    if call["threshold"] != 0 or call["value"] != 0:
        raise Refused("only threshold 0 with value 0, which is ReLU, is supported")
    return rectified(call, call.affine("self"))


@handles("maximum")
def maximum(call: Call) -> Value:
    if isinstance(call["self"], Affine) and isinstance(call["other"], Affine):
        return larger(call, [call.affine(n).broadcast(call.features) for n in ("self", "other")])
    x, bound = ("other", "self") if isinstance(call["other"], Affine) else ("self", "other")
    if call.constant(bound).any():
        raise Refused("only the maximum with 0, which is ReLU, or of two values is supported")
    return rectified(call, call.affine(x).broadcast(call.features))


def rectified(call: Call, x: Affine, limit: float | None = None) -> Affine:
    """Make a ReLU population of x, unless x cannot be negative because it is one already."""
    if limit is None and x.terms and call.builder.is_positive(x):
        return x
    sources = call.node.all_input_nodes
    alone = len(sources) == 1 and len(sources[0].users) == 1
    if x.terms and call.builder.rectified(x, limit, alone=alone):
        return x
    return call.population([x], "relu", limit=limit)


def larger(call: Call, operands: list[Affine]) -> Affine:
    """Make a population of the maximum of several operands."""
    name = call.site.path or f"{operands[0].origin or next(iter(operands[0].terms))}_max"
    return call.population(operands, MAX, name=name)
