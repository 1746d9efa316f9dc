"""Endings: what ``forward`` ends in, said in the few forms that :mod:`.tails` takes off.

Each rewriting is an identity, so what the graph computes stays as it is:

=====================================  ==============================================
a probability of two, softmax(x)[1]    sigmoid(x[1] - x[0]); log_softmax: log_sigmoid
a part of sigmoid(x), of tanh(x)       sigmoid of the part of x
1 - sigmoid(x)                         sigmoid(-x)
x < c                                  -x > -c, and sigmoid(x) < c is sigmoid(-x) > 1 - c
a > b                                  a - b > 0
not (x > c)                            x <= c
where(x > c, 1, 0)                     x > c
where of two other numbers             where with plain numbers
sign(x)                                where(x > 0, 1, -1): 0 itself, which is rare, goes down
argmax(x) == 1 of two, == 0            x[1] - x[0] > 0, x[0] - x[1] >= 0
one_hot(argmax(x), its size)           argmax(x)
argmin(x)                              argmax(-x)
=====================================  ==============================================
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from .tails import before, name_of, shape_of

aten = torch.ops.aten
FLIPPED = {"gt": "le", "ge": "lt", "lt": "ge", "le": "gt"}
COMPARISONS = {
    "gt": aten.gt.Scalar,
    "ge": aten.ge.Scalar,
    "lt": aten.lt.Scalar,
    "le": aten.le.Scalar,
}
OF_TWO = {
    "softmax": aten.sigmoid.default,
    "_softmax": aten.sigmoid.default,
    "log_softmax": aten.log_sigmoid.default,
    "_log_softmax": aten.log_sigmoid.default,
}
ONE_BY_ONE = ("sigmoid", "special_expit", "tanh", "log_sigmoid")
FILLED = {"ones_like": 1.0, "ones": 1.0, "zeros_like": 0.0, "zeros": 0.0}
# Behind these the ending goes on: what they decide about may be rewritten too.
DECIDING = ("where", "gt", "ge", "argmax", "max", "topk", "sort", "round")


class Endings:
    """Rewrites the ends of a program's graph, in place.

    Parameters
    ----------
    program
        Of which nobody else holds the graph.
    """

    def __init__(self, program: ExportedProgram) -> None:
        self.program = program
        self.graph: Graph = program.graph
        self.rules: dict[str, Callable[[Node], Node | None]] = {
            "select": self.picked,
            "slice": self.picked,
            "getitem": self.of_unbound,
            "rsub": self.other_probability,
            "sub": self.other_probability,
            "where": self.chosen,
            "sign": self.signed,
            "sgn": self.signed,
            "one_hot": self.hot,
            "eq": self.equal,
            "ne": self.equal,
            "logical_not": self.denied,
            "bitwise_not": self.denied,
            "argmin": self.least,
            **dict.fromkeys(COMPARISONS, self.compared),
        }

    def rewrite(self) -> None:
        """Rewrite the end of every value that ``forward`` returns."""
        (output,) = (node for node in self.graph.nodes if node.op == "output")
        for node in list(output.all_input_nodes):
            self._follow(node)

    def _follow(self, node: Node) -> None:
        while True:
            node = before(node)
            made = self.rules.get(_kind(node), lambda node: None)(node)
            if made is not None:
                node.replace_all_uses_with(made)
                node = made
            elif (name_of(node) in DECIDING or _kind(node) == "getitem") and node.all_input_nodes:
                node = node.all_input_nodes[0]
            else:
                return

    # -- nodes -----------------------------------------------------------------------------------

    def _made(self, like: Node, target: Any, *args: Any) -> Node:
        """Return a new node in front of ``like``, of the user's line that ``like`` stands for."""
        with self.graph.inserting_before(like):
            node = self.graph.call_function(target, args)
        node.meta = dict(like.meta)
        values = [a.meta["val"] if isinstance(a, Node) else a for a in args]
        node.meta["val"] = target(*values)
        return node

    def _again(self, like: Node, end: Node, source: Node, new: Node) -> Node:
        """Return what lies between ``source`` and ``end``, changes of shape, on another source."""
        if end is source:
            return new
        (inner,) = end.all_input_nodes
        inner_made = self._again(like, inner, source, new)
        args = [inner_made if a is inner else a for a in end.args]
        return self._made(like, end.target, *args)

    def _number(self, what: Any) -> float | None:
        """Return the number that an argument is, or that all elements of a constant are."""
        if isinstance(what, bool | int | float):
            return float(what)
        if not isinstance(what, Node):
            return None
        node = before(what)
        if name_of(node) in FILLED:
            return FILLED[name_of(node)]
        if name_of(node) in ("full", "full_like", "scalar_tensor"):
            value = node.args[0 if name_of(node) == "scalar_tensor" else 1]
            return float(value) if isinstance(value, bool | int | float) else None
        if name_of(node) == "neg":
            inner = self._number(node.args[0])
            return None if inner is None else -inner
        return self._constant(node)

    def _constant(self, node: Node) -> float | None:
        for spec in self.program.graph_signature.input_specs:
            if node.op == "placeholder" and spec.arg.name == node.name and spec.target is not None:
                known: dict[str, Any] = {**self.program.constants, **self.program.state_dict}
                value = known.get(spec.target)
                if isinstance(value, torch.Tensor) and value.numel():
                    first = value.reshape(-1)[0]
                    return float(first) if bool((value == first).all()) else None
        return None

    # -- rules: from a node to its new form in front of it, or None ------------------------------

    def picked(self, node: Node) -> Node | None:
        """Say a part of what a link gives as the link of a part of the logits."""
        source, axis = node.args[:2]
        if not isinstance(source, Node) or not isinstance(axis, int) or prod(shape_of(node)) == 0:
            return None
        self._follow(source)
        link = node.args[0]
        assert isinstance(link, Node)
        if name_of(link) in ONE_BY_ONE:
            part = self._made(node, node.target, link.args[0], *node.args[1:])
            return self._made(node, link.target, part)
        if name_of(link) in OF_TWO and prod(shape_of(node)) * 2 == prod(shape_of(link)):
            return self._of_two(node, link)
        return None

    def _of_two(self, node: Node, link: Node) -> Node | None:
        """Return one of two probabilities: the sigmoid of the difference of their logits."""
        logits, dim, axis = link.args[0], link.args[1], node.args[1]
        rank = len(shape_of(link)) + 1
        assert isinstance(logits, Node) and isinstance(dim, int) and isinstance(axis, int)
        axis %= rank
        if axis != dim % rank or axis == 0 or shape_of(link)[axis - 1] != 2:
            return None
        first = node.args[2]
        assert isinstance(first, int)
        own, other = (
            self._made(node, aten.select.int, logits, axis, k)
            if name_of(node) == "select"
            else self._made(node, aten.slice.Tensor, logits, axis, k, k + 1)
            for k in (first % 2, 1 - first % 2)
        )
        difference = self._made(node, aten.sub.Tensor, own, other)
        return self._made(node, OF_TWO[name_of(link)], difference)

    def of_unbound(self, node: Node) -> Node | None:
        """Say an element of unbind as a selection."""
        source, place = node.args
        if not isinstance(source, Node) or name_of(source) != "unbind":
            return None
        value, axis = [*source.args, 0][:2]
        return self._made(node, aten.select.int, value, axis, place)

    def other_probability(self, node: Node) -> Node | None:
        """Say 1 - sigmoid(x) as sigmoid(-x)."""
        if len(node.args) > 2 or node.kwargs:
            return None
        place = 0 if _kind(node) == "rsub" else 1
        value, one = node.args[place], node.args[1 - place]
        if not isinstance(value, Node) or self._number(one) != 1:
            return None
        self._follow(value)
        return self._turned(node, place)

    def _turned(self, node: Node, place: int) -> Node | None:
        """Return 1 less an operand, as a sigmoid, where it is one in whatever shape."""
        value = node.args[place]
        assert isinstance(value, Node)
        inner = before(value)
        if name_of(inner) not in ("sigmoid", "special_expit"):
            return None
        negative = self._made(node, aten.neg.default, inner.args[0])
        turned = self._made(node, aten.sigmoid.default, negative)
        return self._again(node, value, inner, turned)

    def compared(self, node: Node) -> Node | None:
        """Say a comparison as something above a number."""
        kind, (first, second) = _kind(node), node.args[:2]
        number = self._number(second)
        if not isinstance(first, Node) or (number is not None and self._number(first) is not None):
            return None
        if number is None:
            assert isinstance(second, Node)
            if shape_of(first) != shape_of(second):
                return None
            difference = self._made(node, aten.sub.Tensor, first, second)
            return self._made(node, COMPARISONS[kind], difference, 0.0)
        if kind in ("gt", "ge"):
            if not isinstance(second, Node):
                return None  # as it should be
            return self._made(node, COMPARISONS[kind], first, number)
        self._follow(first)
        above = COMPARISONS["gt" if kind == "lt" else "ge"]
        turned = self._turned(node, 0)
        if turned is not None:
            return self._made(node, above, turned, 1 - number)
        negative = self._made(node, aten.neg.default, node.args[0])
        return self._made(node, above, negative, -number)

    def denied(self, node: Node) -> Node | None:
        """Say what is not a comparison as the one that holds where it does not."""
        source = node.args[0]
        assert isinstance(source, Node)
        inner = before(source)
        if _kind(inner) not in COMPARISONS or inner is not source:
            return None
        (first, second), opposite = inner.args[:2], FLIPPED[_kind(inner)]
        target = COMPARISONS[opposite]
        if isinstance(second, Node):
            target = getattr(aten, opposite).Tensor
        return self._made(node, target, first, second)

    def chosen(self, node: Node) -> Node | None:
        """Say one of two numbers by a decision as the decision, or its contrary."""
        decision, first, second = node.args
        assert isinstance(decision, Node)
        numbers = self._number(first), self._number(second)
        if numbers == (1.0, 0.0):
            return decision
        if numbers == (0.0, 1.0):
            return self._made(node, aten.logical_not.default, decision)
        plain = not isinstance(first, Node) and not isinstance(second, Node)
        if None in numbers or plain or numbers[0] == numbers[1]:
            return None
        if shape_of(decision) != shape_of(node):
            return None
        return self._made(node, aten.where.Scalar, decision, *numbers)

    def signed(self, node: Node) -> Node:
        """Say a sign as one of two numbers."""
        above = self._made(node, aten.gt.Scalar, node.args[0], 0.0)
        return self._made(node, aten.where.Scalar, above, 1.0, -1.0)

    def hot(self, node: Node) -> Node | None:
        """Say a row with a 1 at the place of the greatest as that place."""
        place, classes = node.args[0], node.args[1] if len(node.args) > 1 else -1
        assert isinstance(place, Node)
        found = self._greatest(place)
        return None if found is None or found[1] != classes else place

    def equal(self, node: Node) -> Node | None:
        """Say that the greatest of two is one of them as a comparison of both."""
        place, number = node.args[0], self._number(node.args[1])
        if not isinstance(place, Node) or number not in (0.0, 1.0):
            return None
        found = self._greatest(place)
        if found is None or found[1] != 2:
            return None
        logits, _, axis, keeps = found
        first, second = (
            self._made(node, aten.slice.Tensor, logits, axis, k, k + 1)
            if keeps
            else self._made(node, aten.select.int, logits, axis, k)
            for k in (0, 1)
        )
        if (number == 1) == (_kind(node) == "eq"):
            difference = self._made(node, aten.sub.Tensor, second, first)
            above = self._made(node, aten.gt.Scalar, difference, 0.0)
        else:
            difference = self._made(node, aten.sub.Tensor, first, second)
            above = self._made(node, aten.ge.Scalar, difference, 0.0)
        return above if place is before(place) else self._again(node, place, before(place), above)

    def _greatest(self, place: Node) -> tuple[Node, int, int, bool] | None:
        """Return of what a node is the place of the greatest, how many, its axis, if it is kept."""
        inner = before(place)
        if name_of(inner) != "argmax":
            return None
        link, dim, keeps, *_ = (*inner.args, None, None)
        if not isinstance(link, Node) or not isinstance(dim, int):
            return None
        axis = dim % (len(shape_of(link)) + 1)
        if axis == 0:
            return None
        logits = link
        if name_of(before(link)) in OF_TWO and shape_of(before(link)) == shape_of(link):
            same = before(link).args[1]
            if not isinstance(same, int) or same % (len(shape_of(link)) + 1) != axis:
                return None
            (logits,) = before(link).all_input_nodes
        return logits, shape_of(link)[axis - 1], axis, keeps is True

    def least(self, node: Node) -> Node | None:
        """Say the place of the least as that of the greatest of the negative."""
        negative = self._made(node, aten.neg.default, node.args[0])
        return self._made(node, aten.argmax.default, negative, *node.args[1:])


def _kind(node: Node) -> str:
    """Return the name of an operator, ``getitem`` for that of Python."""
    return name_of(node) or getattr(node.target, "__name__", "")
