"""Reader: walks the graph of an exported program and makes the populations of a Network.

Each value of the graph is followed as an affine function of the populations before it; a ReLU or a
max pooling makes the next population, and a linear one stands where two linear maps in a row do not
become one. An operator is supported where :data:`OPERATORS` has a handler for it.
"""

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node

from ..model.functions import UNARY
from ..model.maps import Conv, Dense, Layout, LinearMap, Planes, Sliding, Window
from ..model.network import INPUT, LINEAR, MAX, READOUT, Network, Operand, Population, Projection
from ..model.products import Product
from .affine import Affine, Form, Gather, Matrix, Sum, Turned, total
from .planes import Entangled, alike, as_window, lined_up

IN_TORCH = re.compile(r"-packages[/\\]torch[/\\]")
FRAME = re.compile(r'File "([^"]+)", line (\d+)')


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


def place_of(node: Node) -> str:
    """Return ``file.py:line`` in the innermost forward outside of torch, or ``""``.

    torch keeps the frames of ``forward`` methods only; a function called there has its call's line.
    """
    frames = FRAME.findall(node.meta.get("stack_trace") or "")
    own = [f"{Path(file).name}:{line}" for file, line in frames if not IN_TORCH.search(file)]
    return own[-1] if own else ""


def as_float64(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor's numbers; integers and booleans are numbers as they stand."""
    if tensor.is_complex():
        raise Refused("complex numbers are not supported")
    return tensor.detach().cpu().to(torch.float64).numpy()


# --- the graph ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that does not depend on the input, with the parameter's name that it came from."""

    tensor: torch.Tensor
    name: str = ""


class Unknown:
    """The result of a refused operator: whatever reads it is not refused again."""


UNKNOWN = Unknown()


@dataclass(frozen=True, eq=False)
class Root:
    """The square root of a value, or its reciprocal: it waits for what it divides or multiplies."""

    value: Affine
    inverse: bool


Value = object  # Affine, Root, Constant, Unknown, a tuple of them, or a plain Python value


@dataclass
class Call:
    """One operator of the graph with its arguments by the names of its schema."""

    reader: "Reader"
    node: Node
    arguments: dict[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.arguments[name]

    @property
    def features(self) -> tuple[int, ...]:
        """The result's shape without the batch axis, which must stand first."""
        value = self.node.meta["val"]
        shape = (value[0] if isinstance(value, tuple | list) else value).shape
        if not shape or str(shape[0]) != str(self.reader.batch):
            raise Refused("the batch axis must stay the first")
        return tuple(int(n) for n in shape[1:])

    def affine(self, name: str) -> Affine:
        """Return an argument that must depend on the input."""
        value = self[name]
        if isinstance(value, Root):
            if value.inverse:
                raise Refused("a reciprocal root has to be multiplied with a value at once")
            both = [value.value, value.value]  # √x = x/√x
            return self.reader.add_population(both, "divide_root", self.node)
        if not isinstance(value, Affine):
            raise Refused("its argument must depend on the input")
        return value

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


Handler = Callable[[Call], Value]
OPERATORS: dict[str, Handler] = {}  # aten name without overload -> handler


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for aten operators, all overloads of each."""

    def register(handler: Handler) -> Handler:
        OPERATORS.update(dict.fromkeys(names, handler))
        return handler

    return register


def neuron(
    call: Call, function: str, parameters: tuple[float, ...] = (), x: Affine | None = None
) -> Affine:
    """Make a population of a function of its own; what keeps the class is refused at the end."""
    reason = call.reader.way_out(operator_name(call.node), call.node)
    if reason == AT_THE_END:
        raise Refused(reason)
    x = call.affine("self") if x is None else x
    return call.reader.add_population([x], function, call.node, parameters=parameters)


def registered(call: Call) -> Value:
    """Make a population of a function that the user registered."""
    first, *others = call.node.target._schema.arguments
    for argument in others:
        given = call.arguments[argument.name]
        if given != argument.default_value:
            raise Refused(f"registered with {argument.name} {argument.default_value}, not {given}")
    return neuron(call, operator_name(call.node), x=call.affine(first.name))


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


WORDS = {  # what the user wrote, where the graph says it otherwise
    "_to_copy": "to",
    "_native_batch_norm_legit": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm",
    "native_dropout": "dropout",
}
WAYS_OUT = {
    "convolution": "only convolutions over one or two axes are supported, and no transposed ones",
    "conv_transpose2d": "write it as a convolution of a padded or repeated value",
    "conv3d": "only convolutions over one or two axes are supported",
}
REGISTER = "register_neuron can make it a neuron function"
PLAIN_STEPS = ("mul", "div", "add", "sub", "neg", "transpose", "permute", "t", "view", "clone")
AT_THE_END = "remove it from the end of forward, the class is the same"
SAME_CLASS = ("softmax", "log_softmax", "sigmoid", "log_sigmoid", "tanh", "argmax")


@dataclass
class Reader:
    """Walks the exported graph once, making populations and collecting refusals.

    Parameters
    ----------
    program
        Functional graph: no in-place operators.
    shape
        Of one sample.
    name
        Of the network.
    """

    program: ExportedProgram
    shape: tuple[int, ...]
    name: str
    populations: list[Population] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    values: dict[Node, Value] = field(default_factory=dict)
    batch: object = None  # size of the batch axis: an int, or a symbol in a dynamic program
    layouts: dict[str, list[Layout]] = field(default_factory=dict)  # ways to see a population
    positive: set[str] = field(default_factory=set)  # populations that are never below 0

    def network(self) -> Network:
        """Return the network, or raise with all that stands against it."""
        self.refuse_signature()
        self.fill_placeholders()
        needed = self.needed()
        for node in self.program.graph.nodes:
            if node.op not in ("placeholder", "output") and node in needed:
                self.values[node] = self.value(node)
        if self.refusals:
            raise UnsupportedModel(self.refusals)
        self.add_readout()
        return Network(name=self.name, populations=tuple(self.populations))

    def refuse_signature(self) -> None:
        signature = self.program.graph_signature
        for what, names in (
            ("inputs", signature.user_inputs),
            ("outputs", signature.user_outputs),
        ):
            if len(names) != 1:
                self.refusals.append(Refusal(f"forward with {len(names)} {what}, not with one"))
        for spec in signature.output_specs:
            if spec.kind == OutputKind.BUFFER_MUTATION:
                self.refusals.append(
                    Refusal(
                        f"forward that changes the buffer {spec.target}", "", "it must be fixed"
                    )
                )

    def fill_placeholders(self) -> None:
        placeholders = {n.name: n for n in self.program.graph.nodes if n.op == "placeholder"}
        for spec in self.program.graph_signature.input_specs:
            node = placeholders[spec.arg.name]
            if spec.kind == InputKind.USER_INPUT:
                if self.batch is None:
                    self.values[node] = self.add_input(node)
                else:
                    self.values[node] = UNKNOWN
            elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
                state, constants = self.program.state_dict, self.program.constants
                tensor = state[spec.target] if spec.target in state else constants[spec.target]
                self.values[node] = Constant(tensor, spec.target)
            else:
                self.values[node] = UNKNOWN

    def add_input(self, node: Node) -> Affine:
        shape = node.meta["val"].shape
        if not shape or tuple(str(n) for n in shape[1:]) != tuple(str(n) for n in self.shape):
            raise ValueError(
                f"the program takes samples of shape ({', '.join(str(n) for n in shape[1:])}), "
                f"the data have {self.shape}"
            )
        self.batch = shape[0]
        self.populations.append(Population(name=INPUT, shape=self.shape, function=INPUT))
        value = Affine.of(INPUT, self.shape)
        self.note_layout(value)
        return value

    def needed(self) -> set[Node]:
        """Every node that the output depends on."""
        todo = [n for n in self.program.graph.nodes if n.op == "output"]
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
            if not any(isinstance(v, Affine | Root | Unknown) for v in flat):
                return self.evaluate(node, arguments)
            handler = OPERATORS.get(name, registered if name in UNARY else None)
            if handler is None:
                way_out = self.way_out(name, node)
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

    def way_out(self, name: str, node: Node) -> str:
        if name.strip("_") in SAME_CLASS and any(user.op == "output" for user in node.users):
            return AT_THE_END
        return WAYS_OUT.get(name, "")

    def resolve(self, argument: object) -> Value:
        """Replace nodes by their values in a nest of arguments."""
        return torch.fx.node.map_aggregate(
            argument, lambda a: self.values[a] if isinstance(a, Node) else a
        )

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
        plain = torch.fx.node.map_aggregate(
            (tuple(self.resolve(node.args)), self.resolve(node.kwargs)),
            lambda a: a.tensor if isinstance(a, Constant) else sizes if is_symbol(a) else a,
        )
        result = node.target(*plain[0], **plain[1])
        name = next((a.name for a in flatten(arguments.values()) if isinstance(a, Constant)), "")
        if isinstance(result, torch.Tensor):
            return Constant(result, name)
        return tuple(Constant(r, name) for r in result)

    # -- populations -----------------------------------------------------------------------------

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
        """Turn a node's value into a population; whether it was more than one's values before.

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
        if not isinstance(value, Affine) or is_plain(value):
            return False
        function = "relu" if self.is_positive(value) else LINEAR
        self.values[node] = self.add_population([value], function, node)
        return True

    def is_positive(self, value: Affine) -> bool:
        """Whether a value is known never to be below 0."""
        return bool((value.bias >= 0).all()) and all(
            name in self.positive and has_no_sign(form) for name, form in value.terms.items()
        )

    def add_population(
        self,
        operands: list[Affine],
        function: str,
        node: Node | None,
        *,
        name: str = "",
        limit: float | None = None,
        parameters: tuple[float, ...] = (),
    ) -> Affine:
        """Append a population that reads ``operands`` and return its own value."""
        whole = operands[0]
        if function == READOUT:  # whose outputs keep their order
            order, operands = None, [self.unturned(value, dense=True) for value in operands]
        else:
            order, operands = self.ordered(operands)
        value = operands[0]
        place = place_of(node) if node is not None else ""
        name = self.unique(name or value.origin or module_path(node) or function)
        maps = [self.maps(operand, value.shape, together=len(operands) > 1) for operand in operands]
        every = [m for operand in maps for _, m in operand]
        if len({m.out_shape for m in every}) > 1:
            same = iter(alike(every) or ())
            maps = [[(source, next(same, m)) for source, m in operand] for operand in maps]
        shapes = {m.out_shape for operand in maps for _, m in operand}
        if len(shapes) > 1:
            raise Refused("a sum of planes and of what a linear layer gives")
        shape = shapes.pop() if shapes else (value.size,)
        self.populations.append(
            Population(
                name=name,
                shape=shape,
                function=function,
                operands=tuple(
                    Operand(
                        projections=tuple(Projection(source=s, map=m) for s, m in found),
                        bias=per_channel(operand.bias, shape),
                    )
                    for operand, found in zip(operands, maps, strict=True)
                ),
                place=place,
                limit=limit,
                parameters=parameters,
            )
        )
        self.check_finite(self.populations[-1])
        some_positive = any(map(self.is_positive, operands))
        nonnegative = function in UNARY and UNARY[function].nonnegative
        if function == "relu" or nonnegative or (function == MAX and some_positive):
            self.positive.add(name)
        result = Affine.of(name, shape)
        self.note_layout(result)
        result = result.reshaped(value.shape)
        self.note_layout(result)
        if order is not None:
            result = result.rearranged(np.argsort(order.ravel()).reshape(whole.shape))
            self.note_layout(result)
        return result

    def ordered(self, operands: list[Affine]) -> tuple[np.ndarray | None, list[Affine]]:
        """Return the order in which all operands are maps of planes, and the operands in it.

        ``None`` is the order that they have. Where there is none, what is turned becomes a
        population.
        """
        found = self.common_order(operands)
        return (None, [self.unturned(value) for value in operands]) if found is None else found

    def common_order(self, operands: list[Affine]) -> tuple[np.ndarray | None, list[Affine]] | None:
        """Return the same; ``None`` where there is no such order and something is turned."""
        parts = [part for value in operands for f in value.terms.values() for part in parts_of(f)]
        turned = any(isinstance(part, Turned) for part in parts)
        shape = operands[0].shape
        if not turned and (len(shape) == 1 or any(isinstance(p, Matrix) for p in parts)):
            return None, operands
        if all(map(self.is_structured, operands)):
            return None, operands
        for order in [*natural_orders(parts), *(orders(shape) if len(shape) > 1 else ())]:
            moved = [value.rearranged(order) for value in operands]
            if all(map(self.is_structured, moved)):
                return order, moved
        return None if turned else (None, operands)

    def is_structured(self, value: Affine) -> bool:
        """Whether each part of a value is a map of planes."""
        if len(value.shape) > 3:
            return False
        parts = [(s, part) for s, form in value.terms.items() for part in parts_of(form)]
        slides = [part for _, part in parts if isinstance(part, Sliding)]
        own = Layout.of(value.shape).planes
        sizes = (slides[0].out_planes, own) if slides else (own,)
        return all(
            isinstance(part, LinearMap)
            or (isinstance(part, Gather) and any(self.window(source, part, s) for s in sizes))
            for source, part in parts
        )

    def unturned(self, value: Affine, *, dense: bool = False) -> Affine:
        """Return a value with populations in the place of maps whose order nothing undoes.

        ``dense`` makes matrices of those that are small.
        """
        if not any(isinstance(p, Turned) for form in value.terms.values() for p in parts_of(form)):
            return value
        result = replace(value, terms={})
        for source, form in value.terms.items():
            for part in parts_of(form):
                read = source
                if isinstance(part, Turned) and dense and part.is_small:
                    part = part.dense()
                elif isinstance(part, Turned):
                    read, part = self.inner_population(source, part.inner, value), part.outer
                term = replace(value, terms={read: part}, bias=np.zeros(value.size))
                result = result.plus(term)
        self.note_layout(result)
        return result

    def inner_population(self, source: str, inner: LinearMap, value: Affine) -> str:
        """Return the name of a linear population of a map's results and nothing else."""
        for known in self.populations:
            only = [(p.source, p.map) for p in known.sources]
            plain = known.function == LINEAR and known.step is None
            if plain and only == [(source, inner)] and not known.operands[0].bias.any():
                return known.name
        bias = np.zeros((inner.out_shape[0], *[1] * (len(inner.out_shape) - 1)))
        operand = Operand(projections=(Projection(source=source, map=inner),), bias=bias)
        name = self.unique(f"{value.origin or source}_linear")
        self.populations.append(
            Population(name=name, shape=inner.out_shape, function=LINEAR, operands=(operand,))
        )
        self.note_layout(Affine.of(name, inner.out_shape))
        return name

    def add_products(self, product: Product, node: Node, name: str = "") -> Affine:
        """Append a population of sums of products and return its value, (b, n, m)."""
        name = self.unique(name or module_path(node) or "products")
        operand = Operand(projections=(), bias=np.zeros((1, 1, 1)), products=(product,))
        shape = product.out_shape
        self.populations.append(
            Population(
                name=name, shape=shape, function=LINEAR, operands=(operand,), place=place_of(node)
            )
        )
        if {product.source, product.other} <= self.positive:
            self.positive.add(name)
        result = Affine.of(name, shape)
        self.note_layout(result)
        b, n, m = len(product.left), product.left.shape[1], product.right.shape[2]
        result = result.reshaped((b * m, n))
        self.note_layout(result)
        result = result.rearranged(result.places.reshape(b, m, n).swapaxes(1, 2))
        self.note_layout(result)
        return result

    def levelled(self, value: Affine, ends: tuple[float, float], step: float, node: Node) -> Affine:
        """Return a value rounded to multiples of ``step`` between ``ends``, by its population."""
        source = next(iter(value.terms), "")
        if not is_plain(value) or self[source].step is not None:
            function = "relu" if self.is_positive(value) or ends[0] >= 0 else LINEAR
            value = self.add_population([value], function, node)
            source = next(iter(value.terms))
        found = self[source]
        low = max(0.0, ends[0]) if source in self.positive else ends[0]
        high = ends[1] if found.limit is None else min(ends[1], found.limit)
        levelled = replace(found, low=low, limit=high, step=step)
        self.populations[self.populations.index(found)] = levelled
        return value

    def __getitem__(self, name: str) -> Population:
        return next(p for p in self.populations if p.name == name)

    def check_finite(self, population: Population) -> None:
        for projection in population.sources:
            if not np.isfinite(projection.map.weights).all():
                raise ValueError(f"the weights of {population.name!r} are not finite")
        for operand in population.operands:
            nothing = np.isneginf(operand.bias) & (population.function == MAX)
            if not (np.isfinite(operand.bias) | nothing).all():
                raise ValueError(f"the bias of {population.name!r} is not finite")

    def maps(
        self, value: Affine, shape: tuple[int, ...], *, together: bool
    ) -> list[tuple[str, LinearMap]]:
        """Return the maps whose sum is ``value``, each with the population that it reads.

        ``together``: it stands beside other operands, which are windows.
        """
        parts = [(source, part) for source, form in value.terms.items() for part in parts_of(form)]
        slides = [part for _, part in parts if isinstance(part, Sliding)]
        planes = slides[0].out_planes if slides else None
        if not slides and (together or len(parts) > 1 or len(shape) > 1) and len(shape) <= 3:
            planes = Layout.of(shape).planes
        found: list[tuple[str, LinearMap]] = []
        rest: dict[str, Form] = {}
        for source, part in parts:
            if isinstance(part, Gather) and planes is not None:
                own = Layout.of(shape).planes if len(shape) <= 3 else planes
                seen = self.window(source, part, planes) or self.window(source, part, own)
                part = part if seen is None else seen
            if isinstance(part, LinearMap):
                found.append((source, part))
            else:
                known = rest.get(source)
                rest[source] = part if known is None else total(known, part, apart=False)
        return found + [(source, self.dense(form, source)) for source, form in rest.items()]

    def window(self, source: str, form: Gather, out: Planes) -> Window | None:
        """Return a gather as a window over the planes of a population."""
        if int(np.prod(out)) != form.n_out:
            return None
        shape = self.shape_of(source)
        size = int(np.prod(shape))
        single = [Layout(planes=(1, 1, size)), Layout(planes=(size, 1, 1))]
        plain = max(shape) == size  # single values can be a row as well as a column
        known = self.layouts.get(source, [])
        lines = [found for layout in known if (found := lined_up(layout, out[1:])) is not None]
        for layout in [*known, *lines, *(single if plain else [])]:
            found = as_window(form.index, form.scale, out, shape, layout)
            if found is not None:
                return found
        return None

    def shape_of(self, source: str) -> tuple[int, ...]:
        return self[source].shape

    def dense(self, form: Form, source: str) -> Dense:
        try:
            matrix = form.dense().matrix
        except ValueError as error:
            raise Refused(str(error)) from error
        return Dense(np.ascontiguousarray(matrix), self.shape_of(source))

    def note_layout(self, value: Affine) -> None:
        """Remember how a value orders a population's neurons, where it does nothing else."""
        for source, form in value.terms.items():
            layout = layout_of(form, value.shape)
            known = self.layouts.setdefault(source, [])
            if layout is not None and layout not in known:
                known.append(layout)

    def through_planes(
        self, shape: tuple[int, ...], x: Affine, outer: Sliding, name: str = ""
    ) -> Affine:
        """Return a map of planes applied to a value, seen as ``shape``."""
        planes = outer.layout.planes
        terms = {}
        for source, form in x.terms.items():
            parts = []
            for part in parts_of(form):
                if isinstance(part, Gather):
                    part = self.window(source, part, planes)
                if not isinstance(part, LinearMap):
                    raise Entangled("its argument is no slice or padding of planes")
                parts.append(part)
            terms[source] = parts[0] if len(parts) == 1 else Sum(tuple(parts))
        seen = Affine(shape=x.shape, terms=terms, bias=x.bias, origin=x.origin)
        return seen.through(outer, shape, name)

    def mixed(
        self, x: Affine, matrix: np.ndarray, name: str = "", *, fixed: bool = False, groups: int = 1
    ) -> Affine:
        """Return a matrix applied to each column of a value (n, columns).

        Parameters
        ----------
        matrix
            (m, n / groups).
        fixed
            It holds plain factors.
        groups
            Equal runs of rows that are mixed apart.
        """
        n, columns = x.shape
        self.note_layout(x)
        outer = Conv(
            in_shape=(n, 1, columns),
            layout=Layout(planes=(n, 1, columns)),
            kernel=matrix[:, :, None, None],
            groups=groups,
            fixed=fixed,
        )
        return self.through_planes((len(matrix), columns), x, outer, name)

    def unique(self, name: str) -> str:
        taken = {p.name for p in self.populations}
        numbered = (f"{name}_{i}" for i in range(2, len(taken) + 3))
        return name if name not in taken else next(n for n in numbered if n not in taken)

    def add_readout(self) -> None:
        output = next(n for n in self.program.graph.nodes if n.op == "output")
        (target,) = self.program.graph_signature.user_outputs
        node = next(n for n in output.all_input_nodes if n.name == target)
        value = self.values[node]
        if not isinstance(value, Affine) or not value.terms:
            raise ValueError("the model's output does not depend on its input")
        try:
            self.add_population([value], READOUT, node)
        except Refused as reason:
            raise UnsupportedModel([Refusal("output", place_of(node), reason.way_out)]) from reason


def is_plain(value: Affine) -> bool:
    """Whether a value is that of one population, in any order, of any padding."""
    return (
        len(value.terms) == 1
        and all(
            isinstance(form, Gather) and (form.scale[form.index >= 0] == 1).all()
            for form in value.terms.values()
        )
        and not value.bias.any()
    )


def parts_of(form: Form) -> tuple[Form, ...]:
    return form.parts if isinstance(form, Sum) else (form,)


def has_no_sign(form: Form) -> bool:
    """Whether a form has no coefficient below 0."""
    if isinstance(form, Gather):
        return bool((form.scale >= 0).all())
    if isinstance(form, Sum):
        return all(map(has_no_sign, form.parts))
    if isinstance(form, Turned):
        return has_no_sign(form.outer) and has_no_sign(form.inner)
    return bool(((form.matrix if isinstance(form, Matrix) else form.weights) >= 0).all())


def natural_orders(parts: list[Form]) -> Iterator[np.ndarray]:
    """Yield the orders that undo what is turned, each once."""
    seen = []
    for part in parts:
        if isinstance(part, Turned) and part.outer.n_out == part.outer.n_in:
            index = part.outer.index
            if (np.bincount(index[index >= 0], minlength=len(index)) == 1).all():
                order = np.argsort(index).reshape(part.inner.out_shape)
                if not any(np.array_equal(order, known) for known in seen):
                    seen.append(order)
                    yield order


def orders(shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield the elements of a shape with their axes in every order, as planes or in rows."""
    places = np.arange(int(np.prod(shape))).reshape(shape)
    for axes in permutations(range(len(shape))):
        moved = places.transpose(axes)
        if moved.ndim <= 3:
            yield moved
        if moved.ndim > 2:
            yield moved.reshape(-1, moved.shape[-1])
            yield moved.reshape(moved.shape[0], -1)


def layout_of(form: Form, shape: tuple[int, ...]) -> Layout | None:
    """Return the planes that the order of a population's neurons makes, scaled or not."""
    whole = isinstance(form, Gather) and form.n_out == form.n_in and 1 <= len(shape) <= 3
    if not whole:
        return None
    planes = Layout.of(shape).planes
    index = form.index.reshape(planes)
    steps = [
        int(index.take(1, k).flat[0] - index.flat[0]) if n > 1 else 0 for k, n in enumerate(planes)
    ]
    order = sorted(range(3), key=lambda k: (-steps[k] if planes[k] > 1 else -form.n_in, k))
    axes = tuple(order.index(k) for k in range(3))
    layout = Layout(planes=planes, axes=axes)
    straight = layout.seen(np.arange(form.n_in)[None])[0]
    return layout if np.array_equal(straight, index) else None


def per_channel(bias: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a bias in ``shape``, with one number a channel where its pixels do not differ."""
    bias = bias.reshape(shape)
    if len(shape) == 1:
        return bias
    first = bias.reshape(len(bias), -1)[:, 0].reshape(-1, *[1] * (len(shape) - 1))
    return first if np.allclose(bias, first, rtol=1e-12, atol=0) else bias


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


def holds_tensor(value: object) -> bool:
    return any(isinstance(v, torch.Tensor) for v in flatten([value]))


def is_symbol(value: object) -> bool:
    return isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool)


def flatten(values) -> Iterator[Value]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from flatten(value)
        elif isinstance(value, dict):
            yield from flatten(value.values())
        else:
            yield value
