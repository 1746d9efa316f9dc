"""Levels: rounding that is written out, as Brevitas and many who train by hand write it.

A quantiser is then a chain of plain operators, q = clamp(round(x / step + zero)) and
(q - zero)·step. Of a value that depends on the input the chain becomes the levels of a population;
of weights it is computed, and the integers are kept beside the numbers.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from torch.fx import Node

from .affine import Affine
from .graph import Call, Constant, Graph, Handlers, Value, Waiting, operator_name
from .integers import CLAMPING
from .refusals import Refused

handles = Handlers()

SCALING = ("mul", "div", "add", "sub")
GOING_ON = (*SCALING, *CLAMPING)
SNAP = 1e-6  # of a number: factors this near to one another are those of one 32-bit scale
NO_ENDS = "it needs a clamp to fixed ends behind it, clamp(round(x / step), low, high) * step"


@dataclass(eq=False)
class Rounding:
    """q = clamp(round(x / step + zero), low, high) of a value x.

    Parameters
    ----------
    call
        The rounding.
    x, source
        What is rounded, and its node.
    step, zero, low, high
        As above; infinite while no clamp was met.
    """

    call: Call
    x: Affine
    source: Node
    step: float
    zero: float
    low: float = -math.inf
    high: float = math.inf
    found: Affine | None = field(default=None, init=False)

    def population(self) -> Affine:
        """Return the population of (q - zero)·step, made once."""
        if self.found is None:
            if not (math.isfinite(self.low) and math.isfinite(self.high)):
                raise Refused(NO_ENDS)
            ends = (self.low - self.zero) * self.step, (self.high - self.zero) * self.step
            alone = len(self.source.users) == 1
            call = self.call
            self.found = call.builder.levelled(self.x, ends, self.step, call.site, alone=alone)
        return self.found


@dataclass(frozen=True, eq=False)
class Levels(Waiting):
    """factor·q + shift of a rounding: it waits for the clamp and the scale that follow."""

    rounding: Rounding
    factor: float = 1.0
    shift: float = 0.0

    def affine(self) -> Affine:
        """Return the value as one of a population."""
        rounding = self.rounding
        factor = self.factor / rounding.step
        shift = self.factor * rounding.zero + self.shift
        value = rounding.population()
        if abs(factor - 1) > SNAP:
            value = value.scaled(np.float64(factor))
        return value if abs(shift) <= SNAP * abs(self.factor) else value.shifted(np.float64(shift))

    def continued(self, call: Call) -> Value:
        """Return what an operator makes of the levels: other ends, or another scale."""
        levels = self
        name, rounding = call.name, levels.rounding
        if name in CLAMPING:
            low, high = -math.inf, math.inf
            if name in ("minimum", "maximum", "clamp_min", "clamp_max"):
                end = single(call, "other" if name in ("minimum", "maximum") else name[-3:])
                end = math.inf if end is None else end
                low, high = (end, high) if name in ("maximum", "clamp_min") else (low, end)
            else:
                names = ("min_val", "max_val") if name == "hardtanh" else ("min", "max")
                ends = [single(call, each) for each in names]
                low = low if ends[0] is None else ends[0]
                high = high if ends[1] is None else ends[1]
            inner = sorted((end - levels.shift) / levels.factor for end in (low, high))
            found = replace(
                rounding, low=max(rounding.low, inner[0]), high=min(rounding.high, inner[1])
            )
            return going_on(call, replace(levels, rounding=found))
        other = single(call, "other")
        assert other is not None, "what goes on does so by single numbers"
        other *= float(call.arguments.get("alpha", 1))
        if name in ("add", "sub"):
            shift = levels.shift + (other if name == "add" else -other)
            return going_on(call, replace(levels, shift=shift))
        factor = other if name == "mul" else 1 / other
        return going_on(
            call, replace(levels, factor=levels.factor * factor, shift=levels.shift * factor)
        )


def single(call: Call, name: str) -> float | None:
    """Return an argument that is one number for all elements, else ``None``."""
    value = call.arguments.get(name)
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, Constant) and value.tensor.numel() == 1:
        return float(value.tensor.reshape(()))
    return None


# -- of what depends on the input --------------------------------------------------------------


@handles("round")
def rounded(call: Call) -> Value:
    """Begin levels: what scales and shifts before the rounding is its step and zero point."""
    if call.arguments.get("decimals"):
        raise Refused("only rounding to whole numbers is supported")
    (node,) = (n for n in call.node.all_input_nodes)
    x, source, factor, shift = unscaled(call.graph, node)
    zero = round(shift)
    if not factor > 0 or abs(shift - zero) > SNAP * max(1.0, abs(shift)):
        x, source, factor, zero = call.affine("self"), node, 1.0, 0
    rounding = Rounding(call=call, x=x, source=source, step=1 / factor, zero=float(zero))
    return going_on(call, Levels(rounding))


def unscaled(graph: Graph, node: Node) -> tuple[Affine, Node, float, float]:
    """Return the value that a node scales and shifts by single numbers, its node, and those."""
    factor, shift = 1.0, 0.0
    while operator_name(node) in SCALING and len(node.users) == 1:
        call = Call(graph, node, graph.arguments(node))
        own, other = call.arguments["self"], single(call, "other")
        inner = node.args[0]
        if not isinstance(own, Affine) or other is None or not isinstance(inner, Node):
            break
        other *= float(call.arguments.get("alpha", 1))
        name = operator_name(node)
        if call.arguments.get("rounding_mode") or (name in ("mul", "div") and not other):
            break
        if name in ("add", "sub"):
            shift += factor * (other if name == "add" else -other)
        else:
            factor *= other if name == "mul" else 1 / other
        node = inner
    value = graph.values[node]
    assert isinstance(value, Affine), "what is rounded depends on the input"
    return value, node, factor, shift


def going_on(call: Call, levels: Levels) -> Value:
    """Return levels that wait where all that reads them clamps or scales them, else a value."""
    waiting = all(goes_on(call.graph, user, call.node) for user in call.node.users)
    return levels if waiting and call.node.users else levels.affine()


def goes_on(graph: Graph, user: Node, node: Node) -> bool:
    """Whether an operator clamps or scales a node's value by single numbers."""
    if operator_name(user) not in GOING_ON or user.args[0] is not node:
        return False
    others = [n for n in user.all_input_nodes if n is not node]
    known = [graph.values.get(n) for n in others]
    return all(isinstance(v, Constant) and v.tensor.numel() == 1 for v in known)
