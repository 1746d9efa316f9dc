"""Graph: walks the graph of an exported program, each value an affine function of populations.

An operator is supported where there is a handler for it, see :mod:`.operators`; handlers make
populations through the :class:`.builder.Builder`.
"""

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node
from torch.fx.node import map_aggregate

from ..model.functions import UNARY
from ..model.heads import Output
from ..model.inputs import Part
from ..model.network import LINEAR, READOUT, Network
from .affine import Affine, Gather
from .builder import Builder, Site, is_plain
from .endings import Endings
from .integers import MOVING, integers_of
from .messages import innermost
from .planes import Entangled
from .refusals import Refusal, Refused, UnsupportedModel
from .tails import Tail, tails_of

FRAME = re.compile(r'File "([^"]+)", line (\d+)')


# -- nodes -----------------------------------------------------------------------------------


def place_of(node: Node) -> str:
    """Return ``file.py:line`` in the innermost forward of the user's own, or ``""``.

    torch keeps the frames of ``forward`` methods only; a function called there has its call's line.
    """
    return innermost(FRAME.findall(node.meta.get("stack_trace") or ""))


def operator_name(node: Node) -> str:
    """Return ``gelu`` for aten.gelu.default, and the whole name outside of aten."""
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._schema.name.removeprefix("aten::")
    return str(getattr(node.target, "__name__", node.target))


def module_path(node: Node | None) -> str:
    """Return the user's path of the module that the node stands in, without a call number."""
    stack = node.meta.get("nn_module_stack") if node is not None else None
    path = next(reversed(stack.values()))[0] if stack else ""
    return re.sub(r"@\d+", "", path)


def site_of(node: Node) -> Site:
    return Site(place=place_of(node), path=module_path(node))


def holds_tensor(value: object) -> bool:
    return any(isinstance(v, torch.Tensor) for v in flatten([value]))


def is_symbol(value: object) -> bool:
    return isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool)


def flatten(values: Iterable[Any]) -> Iterator[Any]:
    """Yield what lies in lists, tuples and dicts, at any depth."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from flatten(value)
        elif isinstance(value, dict):
            yield from flatten(value.values())
        else:
            yield value


# -- values ----------------------------------------------------------------------------------


def as_float64(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor's numbers; integers and booleans are numbers as they stand."""
    if tensor.is_complex():
        raise Refused("complex numbers are not supported")
    return tensor.detach().cpu().to(torch.float64).numpy()


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that does not depend on the input, with the parameter's name that it came from.

    ``integers`` are those that quantised weights are multiples of, float64 of the tensor's shape.
    """

    tensor: torch.Tensor
    name: str = ""
    integers: torch.Tensor | None = None


class Unknown:
    """The result of a refused operator: whatever reads it is not refused again."""


UNKNOWN = Unknown()


@dataclass(frozen=True, eq=False)
class Root:
    """√value + guard, or its reciprocal: it waits for what it divides or multiplies.

    The guard, as in ``x / (x.std() + 1e-6)``, keeps a divisor from 0.
    """

    value: Affine
    inverse: bool
    guard: float = 0.0


class Waiting(ABC):
    """A value whose population is made once it is known what follows."""

    @abstractmethod
    def continued(self, call: "Call") -> "Value":
        """Return what an operator makes of it, which alone reads it."""


Value = Any  # Affine, Root, Constant, Unknown, a tuple of them, or a plain Python value


# -- operators -------------------------------------------------------------------------------

WORDS = {  # what the user wrote, where the graph says it otherwise
    "_to_copy": "to",
    "_native_batch_norm_legit": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm",
    "native_dropout": "dropout",
}
ONLY_AT_THE_END = "it is taken off at the end of forward, over an axis of a sample, and only there"
UPSAMPLE = "train nn.Upsample(scale_factor=N, mode='nearest') and a convolution in its place"
WAYS_OUT = {
    "argmax": ONLY_AT_THE_END,
    "convolution": "only convolutions over one or two axes are supported",
    "conv_transpose1d": UPSAMPLE,
    "conv_transpose2d": UPSAMPLE,
    "conv3d": "only convolutions over one or two axes are supported",
}
REGISTER = "register_neuron can make it a neuron function"
PLAIN_STEPS = ("mul", "div", "add", "sub", "neg", "transpose", "permute", "t", "view", "clone")


@dataclass
class Call:
    """One operator of the graph with its arguments by the names of its schema."""

    graph: "Graph"
    node: Node
    arguments: dict[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.arguments[name]

    @property
    def name(self) -> str:
        """Of the operator, see :func:`operator_name`."""
        return operator_name(self.node)

    @property
    def site(self) -> Site:
        return site_of(self.node)

    @property
    def builder(self) -> Builder:
        return self.graph.builder

    @property
    def features(self) -> tuple[int, ...]:
        """The result's shape without the batch axis, which must stand first."""
        value = self.node.meta["val"]
        shape = (value[0] if isinstance(value, tuple | list) else value).shape
        if not shape or str(shape[0]) != str(self.graph.batch):
            raise Refused("the batch axis must stay the first")
        return tuple(int(n) for n in shape[1:])

    def affine(self, name: str) -> Affine:
        """Return an argument that must depend on the input."""
        return self.as_affine(self[name])

    def as_affine(self, value: Value) -> Affine:
        """Return a value that must depend on the input; a root becomes a population."""
        if isinstance(value, Root):
            if value.inverse:
                raise Refused("a reciprocal root has to be multiplied with a value at once")
            both = [value.value, value.value]  # √x = x/√x
            return self.population(both, "divide_root").shifted(np.float64(value.guard))
        if not isinstance(value, Affine):
            raise Refused("its argument must depend on the input")
        return value

    def over_root(self, x: Affine, root: Root, name: str) -> Affine:
        """Make a population of x/(√value + guard).

        A guard far below the root is one beneath it, x/√(value + guard²), and needs no neurons of
        its own; the graph is asked which is right.
        """
        if root.guard and self.graph.exact_roots:
            divisor = self.as_affine(replace(root, inverse=False)).broadcast(x.shape)
            return self.population([x, divisor], "divide", name=name)
        self.graph.guarded |= root.guard != 0
        below = root.value.broadcast(x.shape).shifted(np.float64(root.guard**2))
        return self.population([x, below], "divide_root", name=name)

    def constant(self, name: str) -> np.ndarray:
        """Return an argument that must not depend on the input, float64."""
        value = self[name]
        if isinstance(value, Affine | Root):
            raise Refused("a product of two values that both depend on the input")
        return as_float64(value.tensor) if isinstance(value, Constant) else np.asarray(value, float)

    def per_feature(self, name: str) -> np.ndarray:
        """Return a constant argument that broadcasts to the features, the same for each sample."""
        value = self.constant(name)
        if value.ndim > len(self.features):
            if value.ndim > len(self.features) + 1 or not (value == value[:1]).all():
                raise Refused("a constant must be the same for every sample")
            value = value[0]
        return value

    def population(self, operands: list[Affine], function: str, **settings: Any) -> Affine:
        """Make a population, see :meth:`.builder.Builder.add_population`."""
        return self.builder.add_population(operands, function, self.site, **settings)

    def neuron(
        self, function: str, parameters: tuple[float, ...] = (), x: Affine | None = None
    ) -> Affine:
        """Make a population of a function of ``x``, of the operator's own operand without it."""
        x = self.affine("self") if x is None else x
        return self.population([x], function, parameters=parameters)


Handler = Callable[[Call], Value]


class Handlers(dict[str, Handler]):
    """Handlers of a module, by aten name without overload; called, it enters the next one."""

    def __call__(self, *names: str) -> Callable[[Handler], Handler]:
        """Enter a handler for operators, all overloads of each."""

        def register(handler: Handler) -> Handler:
            self.update(dict.fromkeys(names, handler))
            return handler

        return register


def registered(call: Call) -> Value:
    """Make a population of a function that the user registered."""
    target: Any = call.node.target  # an overload of torch's or the user's
    first, *others = target._schema.arguments
    for argument in others:
        given = call.arguments[argument.name]
        if given != argument.default_value:
            raise Refused(f"registered with {argument.name} {argument.default_value}, not {given}")
    return call.neuron(call.name, x=call.affine(first.name))


def could_be_registered(node: Node, arguments: dict[str, Value]) -> bool:
    """Whether an operator works on each element of one tensor, with its usual arguments."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or torch.Tag.pointwise not in target.tags:
        return False
    _, *others = target._schema.arguments
    return isinstance(next(iter(arguments.values())), Affine | Unknown) and all(
        not isinstance(arguments[a.name], Affine | Unknown | Constant)
        and a.has_default_value()
        and arguments[a.name] == a.default_value
        for a in others
    )


@dataclass(frozen=True, kw_only=True)
class Placed(Part):
    """An input, and where it begins among the elements of a sample."""

    start: int


def another_shape(wanted: Iterable[object], given: tuple[int, ...], name: str = "") -> ValueError:
    """Return the error of samples, or of an input called ``name``, that a program does not take."""
    which = f" as {name!r}" if name else ""
    return ValueError(
        f"the program takes samples of shape ({', '.join(map(str, wanted))}){which}, the data have "
        f"{given}"
    )


# -- the walk --------------------------------------------------------------------------------


@dataclass
class Graph:
    """Walks the exported graph once, making populations and collecting refusals.

    Parameters
    ----------
    program
        Functional graph: no in-place operators.
    shape
        Of one sample.
    name
        Of the network.
    operators
        Handlers by name.
    parts
        What of a sample goes to each input; empty where there is one.
    exact_roots
        Divide by √value + guard as it stands, whatever the guard.
    """

    program: ExportedProgram
    shape: tuple[int, ...]
    name: str
    operators: Mapping[str, Handler]
    parts: tuple["Placed", ...] = ()
    exact_roots: bool = False
    guarded: bool = False  # a guard beside a root was put beneath it
    builder: Builder = field(default_factory=Builder)
    refusals: list[Refusal] = field(default_factory=list)
    values: dict[Node, Value] = field(default_factory=dict)
    tails: list[Tail] = field(default_factory=list)
    sample: Affine | None = None  # all inputs
    batch: object = None  # size of the batch axis: an int, or a symbol in a dynamic program

    def network(self) -> Network:
        """Return the network, or raise with all that stands against it."""
        self.refuse_signature()
        self.fill_placeholders()
        Endings(self.program).rewrite()
        self.tails = tails_of(self.program)
        needed = self.needed()
        for node in self.program.graph.nodes:
            if node.op not in ("placeholder", "output") and node in needed:
                self.values[node] = self.value(node)
        for tail in self.tails:
            self.settle_root(tail.node)
        if self.refusals:
            raise UnsupportedModel(self.refusals)
        return self.builder.network(self.name, self.add_readout(), self.inputs)

    @property
    def inputs(self) -> tuple[Part, ...]:
        """The parts of a sample, in the order in which they lie in it."""
        ordered = sorted(self.parts, key=lambda part: part.start)
        return tuple(Part(name=part.name, shape=part.shape) for part in ordered)

    def settle_root(self, node: Node) -> None:
        """Make a population of a root that is an answer itself."""
        value = self.values.get(node)
        if not isinstance(value, Root):
            return
        try:
            self.values[node] = Call(self, node, {}).as_affine(value)
        except Refused as reason:
            self.refusals.append(Refusal(operator_name(node), place_of(node), reason.way_out))

    def refuse_signature(self) -> None:
        signature = self.program.graph_signature
        count, wanted = len(signature.user_inputs), max(1, len(self.parts))
        if count != wanted:
            given = "one" if wanted == 1 else str(wanted)
            self.refusals.append(
                Refusal(
                    f"forward with {count} inputs, not with {given}",
                    "",
                    "give an array of each: --inputs A,B",
                )
            )
        for spec in signature.output_specs:
            if spec.kind == OutputKind.BUFFER_MUTATION:
                self.refusals.append(
                    Refusal(
                        f"forward that changes the buffer {spec.target}", "", "it must be fixed"
                    )
                )

    def fill_placeholders(self) -> None:
        placeholders = {n.name: n for n in self.program.graph.nodes if n.op == "placeholder"}
        inputs = 0
        for spec in self.program.graph_signature.input_specs:
            node = placeholders[spec.arg.name]
            if spec.kind == InputKind.USER_INPUT:
                self.values[node] = self.input_value(node, inputs)
                inputs += 1
            elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
                assert spec.target is not None, "parameters and buffers have a name"
                known: dict[str, Any] = {**self.program.constants, **self.program.state_dict}
                self.values[node] = Constant(known[spec.target], spec.target)
            else:
                self.values[node] = UNKNOWN

    def input_value(self, node: Node, number: int) -> Value:
        """Return the value of one input; the first one makes the population of all."""
        shape = node.meta["val"].shape
        if len(self.program.graph_signature.user_inputs) != max(1, len(self.parts)):
            self.batch = shape[0] if shape else None
            return UNKNOWN  # which is refused itself
        part = self.parts[number] if self.parts else Placed(name="", shape=self.shape, start=0)
        if not shape or tuple(str(n) for n in shape[1:]) != tuple(str(n) for n in part.shape):
            raise another_shape(shape[1:], part.shape, part.name)
        if number == 0:
            self.batch = shape[0]
            self.sample = self.builder.add_input(self.shape)
        assert self.sample is not None, "the first input made the population"
        if not self.parts:
            return self.sample
        places = np.arange(part.start, part.start + part.size).reshape(part.shape)
        value = self.sample.rearranged(places)
        self.builder.note_layout(value)
        return value

    def needed(self) -> set[Node]:
        """Every node that the logits depend on."""
        todo = [tail.node for tail in self.tails]
        found: set[Node] = set()
        while todo:
            node = todo.pop()
            if node not in found:
                found.add(node)
                todo += node.all_input_nodes
        return found

    def value(self, node: Node) -> Value:
        """Return what the node computes; what is refused gives :data:`UNKNOWN`."""
        if node.op != "call_function":
            return UNKNOWN  # the graph of a control flow operator, which is refused itself
        if node.target is operator.getitem:
            source, index = self.resolve(node.args)
            return UNKNOWN if source is UNKNOWN else source[index]
        if not holds_tensor(node.meta.get("val")):
            return node.meta.get("val")  # a size, or an assertion about one
        arguments = self.arguments(node)
        name = operator_name(node)
        flat = list(flatten(arguments.values()))
        try:
            if not any(isinstance(v, Affine | Root | Unknown | Waiting) for v in flat):
                return self.evaluate(node, arguments)
            waiting = next(iter(arguments.values()), None)
            if isinstance(waiting, Waiting):
                return waiting.continued(Call(self, node, arguments))
            handler = self.operators.get(name, registered if name in UNARY else None)
            if handler is None:
                way_out = WAYS_OUT.get(name, "")
                if not way_out and could_be_registered(node, arguments):
                    way_out = REGISTER
                raise Refused(way_out)
            if any(v is UNKNOWN for v in flat):
                return UNKNOWN
            try:
                return handler(Call(self, node, arguments))
            except Entangled:  # what is linear in a row becomes a population in between
                self.settle_arguments(node)
                return self.settled(handler, node)
        except (Refused, Entangled) as reason:
            if isinstance(reason, Entangled):
                reason = Refused(str(reason))
            word = WORDS.get(name, name.strip("_"))
            self.refusals.append(Refusal(word, place_of(node), reason.way_out))
            return UNKNOWN

    def resolve(self, argument: Any) -> Value:
        """Replace nodes by their values in a nest of arguments."""
        return map_aggregate(argument, lambda a: self.values[a] if isinstance(a, Node) else a)

    def arguments(self, node: Node) -> dict[str, Value]:
        if not isinstance(node.target, torch._ops.OpOverload):
            return {str(i): self.resolve(a) for i, a in enumerate(node.args)}
        schema = node.target._schema.arguments
        found = {a.name: a.default_value for a in schema}
        found |= {a.name: self.resolve(v) for a, v in zip(schema, node.args, strict=False)}
        return found | {name: self.resolve(v) for name, v in node.kwargs.items()}

    def evaluate(self, node: Node, arguments: dict[str, Value]) -> Value:
        """Compute a value that does not depend on the input."""
        if not isinstance(node.target, torch._ops.OpOverload):
            raise Refused("")
        if torch.Tag.nondeterministic_seeded in node.target.tags:
            raise Refused("its result is random")
        sizes = int(self.batch) if isinstance(self.batch, int) else 1
        plain = map_aggregate(
            (tuple(self.resolve(node.args)), self.resolve(node.kwargs)),
            lambda a: a.tensor if isinstance(a, Constant) else sizes if is_symbol(a) else a,
        )
        result = node.target(*plain[0], **plain[1])
        name = next((a.name for a in flatten(arguments.values()) if isinstance(a, Constant)), "")
        if isinstance(result, torch.Tensor):
            return Constant(result, name, self.integers(node, arguments, result))
        return tuple(Constant(r, name) for r in result)

    def integers(
        self, node: Node, arguments: dict[str, Value], result: torch.Tensor
    ) -> torch.Tensor | None:
        """Return the integers of a quantised constant, see :func:`.levels.integers_of`."""
        name = operator_name(node)
        first = next(iter(arguments.values()), None)
        if name in MOVING and isinstance(first, Constant) and first.integers is not None:
            target: Any = node.target  # an overload of torch's
            moved = target(first.integers, *self.resolve(node.args[1:]))
            return moved.double() if moved.shape == result.shape else None
        return integers_of(name, arguments, result)

    # -- what becomes a population in between ----------------------------------------------------

    def settle_arguments(self, node: Node) -> None:
        """Turn what a node reads into populations, where it is more than one population's values.

        Raises
        ------
        Refused
            Where there is nothing left to turn.
        """
        if not any([self.settle(source) for source in node.all_input_nodes]):
            raise Refused("its argument is no slice, padding or order of planes that is known")

    def settled(self, handler: Handler, node: Node) -> Value:
        """Return what a handler makes of a node's arguments, populations as far as it takes."""
        try:
            return handler(Call(self, node, self.arguments(node)))
        except Entangled:
            if not any([self.settle(source) for source in node.all_input_nodes]):
                raise
        return self.settled(handler, node)

    def settle(self, node: Node) -> bool:
        """Turn a node's value into a population; whether it was anything but one's values before.

        Where it is what others read too, but scaled or in another order, that is what is turned.
        """
        value, chain = self.values[node], [node]
        while len(chain[-1].users) == 1 and len(chain[-1].all_input_nodes) > 0:
            inputs = [n for n in chain[-1].all_input_nodes if isinstance(self.values[n], Affine)]
            if len(inputs) != 1 or operator_name(chain[-1]) not in PLAIN_STEPS:
                break
            chain.append(inputs[0])
        trunk = chain[-1]
        if trunk is not node and len(trunk.users) > 1 and self.settle(trunk):
            for step in reversed(chain[:-1]):
                self.values[step] = self.value(step)
            return True
        if not isinstance(value, Affine) or (is_plain(value) and not is_part(value)):
            return False
        function = "relu" if self.builder.is_positive(value) else LINEAR
        self.values[node] = self.builder.add_population([value], function, site_of(node))
        return True

    def add_readout(self) -> tuple[Output, ...]:
        """Append the read-out of all logits, and return what they mean."""
        nodes = list(dict.fromkeys(tail.node for tail in self.tails))
        values = [self.values[node] for node in nodes]
        for tail in self.tails:
            value = self.values[tail.node]
            if not isinstance(value, Affine) or not value.terms:
                which = f" {tail.name!r}" if tail.name else ""
                raise ValueError(f"the model's output{which} does not depend on its input")
        starts = dict(zip(nodes, np.cumsum([0, *(value.size for value in values)]), strict=False))
        site = site_of(nodes[0])
        try:
            self.builder.add_population([side_by_side(values)], READOUT, site)
        except Refused as reason:
            raise UnsupportedModel([Refusal("output", site.place, reason.way_out)]) from reason
        return tuple(tail.output(int(starts[tail.node])) for tail in self.tails)


def is_part(value: Affine) -> bool:
    """Whether a value holds some elements of a population, as one of several inputs does."""
    return any(isinstance(form, Gather) and form.n_out < form.n_in for form in value.terms.values())


def side_by_side(values: list[Affine]) -> Affine:
    """Return one value of the elements of all, in a row; a single one as it is."""
    first, *others = values
    if not others:
        return first
    total = sum(value.size for value in values)
    start, found = 0, None
    for value in values:
        index = np.full(total, -1)
        index[start : start + value.size] = np.arange(value.size)
        placed = value.rearranged(index)
        found = placed if found is None else found.plus(placed)
        start += value.size
    assert found is not None, "there is a value"
    return found
