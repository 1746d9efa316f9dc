"""Tails: what ``forward`` does to its logits at the end, and leaves to the host.

Softmax, sigmoid and their like keep the order of logits, and an argmax or a comparison is the
decision itself: no neuron is spent on them. They are taken off the graph and stand in the head of
the network, see :mod:`signfire.gen.model.heads`.
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, OutputKind
from torch.fx import Node
from torch.utils import _pytree as pytree

from ..model.heads.above import Above
from ..model.heads.head import guessed
from ..model.heads.links import AMONG, logit_of
from ..model.heads.output import Output

LINKS = {
    "softmax": "softmax",
    "_softmax": "softmax",
    "log_softmax": "log_softmax",
    "_log_softmax": "log_softmax",
    "sigmoid": "sigmoid",
    "special_expit": "sigmoid",
    "log_sigmoid": "log_sigmoid",
    "log_sigmoid_forward": "log_sigmoid",
    "tanh": "tanh",
}
SAME_ELEMENTS = (  # operators that change the shape or the type of a value at most
    "alias", "clone", "contiguous", "detach", "lift_fresh_copy", "lift_fresh", "identity", "to",
    "_to_copy", "type_as", "view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze",
    "unsqueeze", "view_as",
)  # fmt: skip


PICKING = ("select", "slice", "narrow")  # where nothing is left out
NOT_BELOW_0 = ("relu", "softplus", "exp", "square", "abs")  # an end of values, and of no yes or no


@dataclass(frozen=True, kw_only=True)
class Tail:
    """One value that ``forward`` returns.

    Parameters
    ----------
    name
        Its key or index; empty where it is the only one.
    node
        Of the graph, whose value the logits are.
    link, axis
        Function that is taken off behind it, and the axis of a sample that it goes over.
    decides
        A decision is taken off: an argmax along ``axis``, or a comparison with ``threshold``.
    threshold
        Of the logit.
    no, yes
        Numbers that stand for what the comparison decides.
    top
        So many of the best along ``axis`` are returned: their values, or their places where it
        ``decides``; 0 for all of them.
    """

    name: str
    node: Node
    link: str = ""
    axis: int = 0
    decides: bool = False
    threshold: float | None = None
    no: float = 0.0
    yes: float = 1.0
    top: int = 0

    def output(self, start: int) -> Output:
        """Return what the value means, with its logits from ``start`` on."""
        shape = shape_of(self.node)
        if self.threshold is None:
            settings: dict[str, Any] = {"link": self.link, "axis": self.axis}
            if self.top:
                settings["top"] = self.top
                if max(shape) == prod(shape) > 1 and not self.decides:
                    settings["kind"] = "classes"
            elif name_of(before(self.node)) in NOT_BELOW_0 and not self.decides:
                settings["kind"] = "values"
            return guessed(shape, name=self.name, start=start, decides=self.decides, **settings)
        found = guessed(shape, name=self.name, start=start, link=self.link or "sigmoid")
        found = replace(found, link=self.link, decides=True, guessed=False)
        assert isinstance(found, Above), "what is compared is yes or no"
        return replace(found, threshold=self.threshold, no=self.no, yes=self.yes)


def shape_of(node: Node) -> tuple[int, ...]:
    """Return the shape of one sample of a node's value."""
    return tuple(int(n) for n in node.meta["val"].shape[1:])


def name_of(node: Node) -> str:
    """Return ``softmax`` for aten.softmax.int, and "" outside of aten."""
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._schema.name.removeprefix("aten::")
    return ""


def tails_of(program: ExportedProgram) -> list[Tail]:
    """Return what ``forward`` returns, each value that depends on a graph, in its order."""
    (output,) = (n for n in program.graph.nodes if n.op == "output")
    every = zip(program.graph_signature.output_specs, output.args[0], strict=True)
    found = [(spec.arg, node) for spec, node in every if spec.kind == OutputKind.USER_OUTPUT]
    form = program.call_spec.out_spec
    assert form is not None, "a program says what it returns"
    names = list(_names(pytree.tree_unflatten(range(len(found)), form)))
    some = [
        (name, found[index][1])
        for (name, index) in names
        if not isinstance(found[index][0], ConstantArgument)
    ]
    return [tail_of(name if len(some) > 1 else "", node) for name, node in some]


def _names(structure: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """Yield the keys that lead to each leaf of a nest, joined by dots, and the leaf."""
    if isinstance(structure, int):
        yield path, structure
        return
    if isinstance(structure, dict):
        parts = [(str(key), value) for key, value in structure.items()]
    elif isinstance(structure, tuple) and (keys := getattr(structure, "_fields", ())):
        parts = list(zip(keys, structure, strict=True))
    elif isinstance(structure, list | tuple):
        parts = [(str(k), value) for k, value in enumerate(structure)]
    else:
        parts = list(vars(structure).items())
    for key, value in parts:
        yield from _names(value, f"{path}.{key}" if path else key)


def tail_of(name: str, node: Node) -> Tail:
    """Return a value that ``forward`` returns, with what is taken off at its end."""
    plain = Tail(name=name, node=node)
    numbers = _numbers(before(node))
    if numbers is not None:
        chosen = tail_of(name, before(node).all_input_nodes[0])
        return plain if chosen.threshold is None else replace(chosen, no=numbers[1], yes=numbers[0])
    decided = _decision(plain, before(node))
    behind = decided or plain
    inner = before(behind.node)
    link = LINKS.get(name_of(inner))
    if link is None:
        return _without_rounding(behind, plain)
    source, axis = inner.all_input_nodes[0], 0
    if link in AMONG:
        found = _axis(inner, inner.args[1] if len(inner.args) > 1 else inner.kwargs.get("dim"))
        if found is None:
            return _without_rounding(behind, plain)
        axis = found
    if (
        decided is not None
        and decided.threshold is None
        and shape_of(decided.node) != shape_of(source)
    ):
        return decided  # the axis of the argmax is one of another shape
    threshold = behind.threshold
    if threshold is not None:
        try:
            threshold = logit_of(threshold, link)
        except ValueError:
            return plain
        if link in AMONG:
            return plain
    if decided is not None and decided.threshold is None:
        if link in AMONG and axis != decided.axis:
            return decided  # a softmax keeps the order along its own axis alone
        axis = decided.axis
    return replace(behind, node=source, link=link, axis=axis, threshold=threshold)


def _numbers(node: Node) -> tuple[float, float] | None:
    """Return the two numbers of which a node chooses one by a decision, if it does."""
    if name_of(node) != "where" or len(node.args) != 3:
        return None
    yes, no = node.args[1:]
    if isinstance(yes, int | float) and isinstance(no, int | float) and yes != no:
        return float(yes), float(no)
    return None


def _without_rounding(behind: Tail, plain: Tail) -> Tail:
    """Return a tail without a link; only a probability is rounded to a decision."""
    rounded = behind.threshold is not None and name_of(before(plain.node)) == "round"
    return plain if rounded else behind


def before(node: Node) -> Node:
    """Return the node whose elements a node gives in another shape or type."""
    while len(node.all_input_nodes) == 1:
        (source,) = node.all_input_nodes
        picks = name_of(node) in PICKING and prod(shape_of(node)) == prod(shape_of(source))
        if name_of(node) not in SAME_ELEMENTS and not picks:
            break
        node = source
    return node


def _decision(tail: Tail, node: Node) -> Tail | None:
    """Return the tail without the decision that a node makes, if it makes one."""
    if node.target is operator.getitem and isinstance(node.args[0], Node):
        return _of_best(tail, node.args[0], places=bool(node.args[1] == 1))
    if name_of(node) == "argsort":
        return _of_best(tail, node, places=True)
    if name_of(node) == "amax" and name_of(before(node.all_input_nodes[0])) in LINKS:
        return _of_best(tail, node, places=False)  # without a link, a layer of maxima finds it
    if name_of(node) == "argmax":
        return _argmax(tail, node)
    if name_of(node) in ("gt", "ge") and isinstance(node.args[1], int | float):
        return replace(
            tail, node=node.all_input_nodes[0], decides=True, threshold=float(node.args[1])
        )
    if name_of(node) == "round" and len(node.args) == 1:
        return replace(tail, node=node.all_input_nodes[0], decides=True, threshold=0.5)
    return None


def _of_best(tail: Tail, node: Node, *, places: bool) -> Tail | None:
    """Return a tail without max, topk or sort, of which it is the values or the ``places``."""
    kind, args, rank = name_of(node), list(node.args), len(shape_of(node.all_input_nodes[0])) + 1
    dim, largest, top = -1, True, 1
    if kind in ("max", "amax") and len(args) > 1:
        (dim,) = args[1] if isinstance(args[1], list | tuple) and len(args[1]) == 1 else (args[1],)
    elif kind == "topk":
        dim = args[2] if len(args) > 2 else node.kwargs.get("dim", -1)
        largest = args[3] if len(args) > 3 else node.kwargs.get("largest", True)
        top = args[1]
    elif kind in ("sort", "argsort") and isinstance(
        args[-1], bool
    ):  # (x, dim, descending), or stable first
        dim, largest = args[-2] if type(args[-2]) is int else -1, args[-1]
        top = shape_of(node.all_input_nodes[0])[dim % rank - 1]
    else:
        return None
    axis = _axis(node, dim)
    if axis is None or not largest or not isinstance(top, int):
        return None
    if places and top == 1:
        top = 0  # an argmax
    return replace(tail, node=node.all_input_nodes[0], decides=places, axis=axis, top=top)


def _argmax(tail: Tail, node: Node) -> Tail | None:
    axis = _axis(node, node.args[1] if len(node.args) > 1 else node.kwargs.get("dim"))
    if axis is None:
        return None
    return replace(tail, node=node.all_input_nodes[0], decides=True, axis=axis)


def _axis(node: Node, dim: Any) -> int | None:
    """Return the axis of a sample that an operator goes over, ``None`` for none."""
    if not isinstance(dim, int):
        return None
    axis = dim % (len(shape_of(node.all_input_nodes[0])) + 1) - 1
    return None if axis < 0 else axis
