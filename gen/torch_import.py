"""Front end: reads a torch model into a Network, or refuses what it cannot read.

`torch.export` turns the user's module into a graph of aten operators. Each value of that graph is
followed as an affine function of the populations before it; a ReLU or a max pooling makes the next
population, and a linear one stands where two linear maps in a row do not become one.
An operator is supported where :data:`OPERATORS` has a handler for it.
"""

import importlib.util
import inspect
import io
import json
import logging
import math
import operator
import pickle
import re
import sys
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node

from .affine import Affine, Form, Gather, Matrix, Sum, check_size, total
from .maps import Conv, Dense, Layout, LinearMap, Planes, Sliding, Window
from .network import INPUT, LINEAR, MAX, READOUT, Network, Operand, Population, Projection
from .planes import Entangled, as_window
from .torch_quantised import frozen

BATCH = 7  # rows of the sample that torch.export sees; a size that no layer is likely to have
SELF_CHECK = 1e-3  # greatest deviation from the model, relative to its greatest output ...
SELF_CHECK_EPS = 32  # ... or this many times the precision of the model's numbers
ATEN = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.\w+")
PLAIN_SIZE = re.compile(  # Mul(Integer(2), Symbol('s7', integer=True)) or 2*s7: no other call
    r"((Symbol|Integer|Add|Mul)\(|'\w+'|\w+=True|-?\d+|, |\))*|\w+( ?[-+*] ?\w+)*"
)
PROGRAM_FILE = re.compile(
    r"models/model\.json|data/(weights|constants)/((weight|tensor)_\d+|model_\w+_config\.json)"
    r"|data/sample_inputs/model\.pt|(\.data/)?[a-z_]+|extra/[^/]+"
)
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


# --- loading ------------------------------------------------------------------------------------


def load_model(spec: str, weights: Path | str | None = None) -> nn.Module | ExportedProgram:
    """Load a model as the command line names it.

    Parameters
    ----------
    spec
        ``path/to/file.py:factory``, where the factory takes no arguments and returns an
        ``nn.Module`` (a Module class does), or the path of a ``.pt2`` program.
        The Python file is run; nothing that is run comes out of a data file.
    weights
        State dict, loaded with ``weights_only``; also accepted under the key ``state_dict``.

    Raises
    ------
    ValueError
        With one line that says what is wrong with which file.
    """
    if spec.endswith(".pt2"):
        if weights is not None:
            raise ValueError(f"{spec} is a program with weights of its own: leave out {weights}")
        return load_program(Path(spec))
    file, colon, factory = spec.rpartition(":")
    if not colon or not file.endswith(".py") or not factory.isidentifier():
        raise ValueError(
            f"a model is named as path/to/file.py:factory or path/to/program.pt2, not {spec!r}"
        )
    model = build_module(Path(file), factory)
    if weights is not None:
        fill(model, load_state(Path(weights)), Path(weights))
    return model


def build_module(path: Path, factory: str) -> nn.Module:
    """Run the user's file and call ``factory`` in it."""
    if not path.is_file():
        raise ValueError(f"there is no model file {path}")
    source = import_file(path)
    make = getattr(source, factory, None)
    if isinstance(make, nn.Module):
        return make
    if not callable(make):
        callables = sorted(
            name
            for name, thing in vars(source).items()
            if callable(thing) and getattr(thing, "__module__", "") == source.__name__
        )
        known = f" (it has {', '.join(callables)})" if callables else ""
        raise ValueError(f"{path} has no factory {factory!r}{known}")
    try:
        model = make()
    except Exception as error:
        raise ValueError(f"{factory}() of {path} fails: {in_one_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"{factory}() of {path} must return an nn.Module, not {type(model).__name__}"
        )
    return model


def import_file(path: Path):
    """Import a Python file by path; modules beside it can be imported from it."""
    name = f"signfire_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.modules[name] = module  # dataclasses and torch.export look the module up
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"{path} cannot be imported: {in_one_line(error)}") from error
    finally:
        sys.path.remove(folder)
    return module


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict without running code from the file."""
    if not path.is_file():
        raise ValueError(f"there is no weights file {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than tensors, or no tensors at all, and is not loaded "
            "(save it with torch.save(model.state_dict(), path))"
        ) from error
    except Exception as error:
        raise ValueError(f"{path} is not a weights file: {in_one_line(error)}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(
            f"{path} is not a state dict of tensors "
            "(save it with torch.save(model.state_dict(), path))"
        )
    return state


def fill(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load ``state`` into ``model``; every name and shape must fit."""
    own = model.state_dict()
    # a counter that old files lack and that nothing computed here depends on
    counters = {n: own[n] for n in own if n.endswith("num_batches_tracked") and n not in state}
    state = state | counters
    problems = []
    for what, names in (
        ("lacks", [n for n in own if n not in state]),
        ("has but the model has not", [n for n in state if n not in own]),
        ("has in another shape", [n for n in own if n in state and own[n].shape != state[n].shape]),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            problems.append(f"{what} {', '.join(names[:3])}{more}")
    if problems:
        raise ValueError(f"{path} does not fit the model: it {'; it '.join(problems)}")
    model.load_state_dict(state)


def load_program(path: Path) -> ExportedProgram:
    """Load a ``.pt2`` program, after a look that no part of it could run code."""
    if not path.is_file():
        raise ValueError(f"there is no program file {path}")
    try:
        check_archive(path)
        with silence():
            return torch.export.load(path)
    except UnsupportedModel:
        raise
    except ValueError as error:
        raise ValueError(f"{path} is not loaded: {error}") from error
    except Exception as error:
        raise ValueError(f"{path} cannot be loaded as a program: {in_one_line(error)}") from error


def check_archive(path: Path) -> None:
    """Refuse a ``.pt2`` archive whose loading could unpickle, look up or evaluate something.

    `torch.export.load` unpickles tensors and objects that the archive marks so, sample inputs and
    files of old formats, looks operators up by name in all of torch, and evaluates the text of
    symbolic sizes. So only the files and the texts of a plain program are let through.

    Raises
    ------
    ValueError
        With what the archive holds; :class:`UnsupportedModel` for operators from outside aten.
    """
    contents = read_archive(path)
    strangers = []
    for entry in (entry for content in contents for entry in json_objects(content)):
        if entry.get("use_pickle"):
            raise ValueError("it holds pickled objects, which could run code")
        if "path_name" in entry and not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
            raise ValueError(f"it holds an object {entry['path_name']!r} that is no tensor")
        if "expr_str" in entry and not PLAIN_SIZE.fullmatch(entry["expr_str"]):
            raise ValueError(f"it holds the size {entry['expr_str']!r}, which could run code")
        if "as_operator" in entry:
            strangers.append(Refusal(str(entry["as_operator"])))
        if {"inputs", "target"} <= entry.keys() and not ATEN.fullmatch(entry["target"]):
            strangers.append(Refusal(entry["target"].removeprefix("torch.ops.")))
    if strangers:
        raise UnsupportedModel(strangers)


def read_archive(path: Path) -> list[object]:
    """Return the JSON contents of an archive that holds nothing but a plain program."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
            if len({name.lower() for name in archive.namelist()}) != len(names):
                raise ValueError("it holds two files of one name")
            for name in names:
                if not PROGRAM_FILE.fullmatch(name):
                    raise ValueError(f"it holds {name!r}, which is no part of a plain program")
            if "models/model.json" not in names:
                raise ValueError("it holds no model (write it with torch.export.save)")
            for full, name in zip(archive.namelist(), names, strict=True):
                if name.endswith(".pt"):
                    torch.load(io.BytesIO(archive.read(full)), weights_only=True)
            return [
                json.loads(archive.read(full))
                for full, name in zip(archive.namelist(), names, strict=True)
                if name.endswith(".json")
            ]
    except (zipfile.BadZipFile, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError("it is not a .pt2 archive (write it with torch.export.save)") from error
    except pickle.UnpicklingError as error:
        raise ValueError("its sample inputs are no plain tensors and could run code") from error


def json_objects(content: object) -> Iterator[dict]:
    """Yield every JSON object, at any depth."""
    if isinstance(content, dict):
        yield content
    children = content.values() if isinstance(content, dict) else content
    if isinstance(content, dict | list):
        for child in children:
            yield from json_objects(child)


# --- places and messages ------------------------------------------------------------------------


def is_library(file: str) -> bool:
    return "site-packages" in file or "dist-packages" in file or file == __file__


def place_of(node: Node) -> str:
    """Return ``file.py:line`` in the innermost forward outside of torch, or ``""``.

    torch keeps the frames of ``forward`` methods only; a function called there has its call's line.
    """
    frames = FRAME.findall(node.meta.get("stack_trace") or "")
    own = [f"{Path(file).name}:{line}" for file, line in frames if not IN_TORCH.search(file)]
    return own[-1] if own else ""


def place_of_error(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f"{Path(f.filename).name}:{f.lineno}"
        for f in frames
        if not is_library(f.filename) and not f.filename.startswith(("<frozen", sys.base_prefix))
    ]
    return own[-1] if own else ""


def in_one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    place = place_of_error(error)
    text = f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
    return f"{text} ({place})" if place else text


@contextmanager
def silence() -> Iterator[None]:
    """Keep torch's warnings and logs to itself; what the user must know is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# --- exporting ----------------------------------------------------------------------------------


def import_network(
    model: nn.Module | ExportedProgram, sample: np.ndarray, name: str = "network"
) -> Network:
    """Read a model into a Network.

    Parameters
    ----------
    model
        Any module (read in eval mode, left as it was) or an exported program.
    sample
        (n, *input shape), n >= 1: user's data as the model takes them.
    name
        The network's name.

    Raises
    ------
    UnsupportedModel
        With everything that is not supported, by operator and source line.
    ValueError
        If the data do not fit the model, or the network would not compute what the model does.
    """
    if sample.ndim < 2 or not sample.size:
        raise ValueError(f"a sample batch has shape (n, features...), not {sample.shape}")
    batch = np.resize(sample[:BATCH], (BATCH, *sample.shape[1:])).astype(np.float32)
    if isinstance(model, ExportedProgram):
        with silence():
            program = model.run_decompositions({})  # in-place operators become plain ones
        return Reader(program, sample.shape[1:], name).network()
    with evaluation(model), frozen(model), torch.no_grad(), silence():
        tensor = like_parameters(model, batch)
        expected = run(model, tensor)
        program = export(model, tensor)
    network = Reader(program, sample.shape[1:], name).network()
    check_against(network, batch, expected)
    return network


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Set every module to eval mode, and back."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag


def like_parameters(model: nn.Module, batch: np.ndarray) -> torch.Tensor:
    """Return the batch on the device and in the precision of the model."""
    tensor = torch.from_numpy(batch)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return tensor.to(parameter.device, parameter.dtype)
    return tensor


def run(model: nn.Module, batch: torch.Tensor) -> object:
    """Call the model once, so that its own errors are told from those of the export."""
    inputs = [
        p.name
        for p in inspect.signature(model.forward).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(inputs) > 1:
        raise UnsupportedModel(
            [Refusal(f"forward with {len(inputs)} inputs, {', '.join(inputs)}, not with one")]
        )
    try:
        return model(batch.clone())
    except Exception as error:
        shape = tuple(batch.shape[1:])
        raise ValueError(
            f"the model fails on samples of shape {shape}: {in_one_line(error)}"
        ) from error


def export(model: nn.Module, batch: torch.Tensor) -> ExportedProgram:
    try:
        program = torch.export.export(model, (batch,), strict=False)
        return program.run_decompositions({})  # in-place operators become plain ones
    except Exception as error:
        if "data-dependent" in str(error):
            what = "control flow that depends on the data"
        else:
            what = f"what torch.export refuses: {str(error).strip().splitlines()[0]}"
        raise UnsupportedModel([Refusal(what, place_of_error(error))]) from error


def check_against(network: Network, batch: np.ndarray, expected: object) -> None:
    """Compare the network with what the model computed on the same batch."""
    (output,) = (v for v in flatten([expected]) if isinstance(v, torch.Tensor))
    wanted = as_float64(output).reshape(len(batch), -1)
    got = network.answers(batch)
    worst, greatest = float(np.abs(got - wanted).max()), float(np.abs(wanted).max())
    tolerance = max(SELF_CHECK, SELF_CHECK_EPS * torch.finfo(output.dtype).eps)
    if not worst <= tolerance * max(1e-6, greatest):
        raise ValueError(
            f"the network read from the model differs from it by {worst:.3g} of {greatest:.3g} "
            "(does forward depend on more than its input?)"
        )


def as_float64(tensor: torch.Tensor) -> np.ndarray:
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
Value = object  # Affine, Constant, Unknown, a tuple of them, or a plain Python value


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
        if not isinstance(value, Affine):
            raise Refused("its argument must depend on the input")
        return value

    def constant(self, name: str) -> np.ndarray:
        """Return an argument that must not depend on the input, float64."""
        value = self[name]
        if isinstance(value, Affine):
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
            if not any(isinstance(v, Affine | Unknown) for v in flat):
                return self.evaluate(node, arguments)
            if name not in OPERATORS:
                raise Refused(self.way_out(name, node))
            if any(v is UNKNOWN for v in flat):
                return UNKNOWN
            try:
                return OPERATORS[name](Call(self, node, arguments))
            except Entangled:  # what is linear in a row becomes a population in between
                self.settle_arguments(node)
                return OPERATORS[name](Call(self, node, self.arguments(node)))
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
        settled = False
        for source in node.all_input_nodes:
            value = self.values[source]
            if isinstance(value, Affine) and not is_plain(value):
                function = "relu" if self.is_positive(value) else LINEAR
                self.values[source] = self.add_population([value], function, source)
                settled = True
        if not settled:
            raise Refused("its argument is no slice, padding or order of planes that is known")

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
    ) -> Affine:
        """Append a population that reads ``operands`` and return its own value."""
        value = operands[0]
        place = place_of(node) if node is not None else ""
        name = self.unique(name or value.origin or module_path(node) or function)
        maps = [self.maps(operand, value.shape, together=len(operands) > 1) for operand in operands]
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
            )
        )
        self.check_finite(self.populations[-1])
        some_positive = any(map(self.is_positive, operands))
        if function == "relu" or (function == MAX and some_positive):
            self.positive.add(name)
        result = Affine.of(name, shape)
        self.note_layout(result)
        result = result.reshaped(value.shape)
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
            if not np.isfinite(operand.bias).all():
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
                part = self.window(source, part, planes) or part
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
        for layout in self.layouts.get(source, []):
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

    def through_planes(self, call: "Call", x: Affine, outer: Sliding, name: str = "") -> Affine:
        """Return a map of planes applied to a value."""
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
        return seen.through(outer, call.features, name)

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
    return bool(((form.matrix if isinstance(form, Matrix) else form.weights) >= 0).all())


def layout_of(form: Form, shape: tuple[int, ...]) -> Layout | None:
    """Return the planes that a plain order of a population's neurons makes, if it is one."""
    whole = isinstance(form, Gather) and form.n_out == form.n_in and 1 <= len(shape) <= 3
    if not whole or not (form.scale == 1).all():
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


# --- the operators ------------------------------------------------------------------------------


@handles("alias", "clone", "contiguous", "detach", "lift_fresh_copy", "lift_fresh", "identity")
def unchanged(call: Call) -> Value:
    return call.affine("self" if "self" in call.arguments else "input")


@handles("to", "_to_copy", "type_as")
def converted(call: Call) -> Value:
    if not call.node.meta["val"].dtype.is_floating_point:
        raise Refused("conversion to integers rounds")
    return call.affine("self")


@handles("dropout", "feature_dropout", "alpha_dropout", "native_dropout")
def dropout(call: Call) -> Value:
    if call["train"]:
        raise Refused("it drops in eval mode too, pass training=self.training")
    return call.affine("input")


@handles(
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"
)
def reshaped(call: Call) -> Value:
    """Keep the elements in C order; the batch axis stays in front, so a sample keeps its own."""
    value = call.affine("self").reshaped(call.features)
    call.reader.note_layout(value)
    return value


@handles("permute", "transpose", "t", "swapaxes", "movedim", "numpy_T", "mT", "adjoint")
@handles("slice", "select", "narrow", "flip", "roll", "index_select", "expand", "repeat")
@handles("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "upsample_nearest2d")
@handles("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d")
@handles("replication_pad2d", "unbind", "split", "split_with_sizes", "chunk")
def rearranged(call: Call) -> Value:
    """Apply the same operator to the elements' numbers, and gather by the result."""
    first = next(iter(call.arguments))
    x = call.affine(first)
    fill = call.arguments.get("value") or 0
    numbers = torch.from_numpy(x.places + 1.0).unsqueeze(0)
    resolved = list(call.reader.resolve(call.node.args))
    marked = [numbers, *resolved[1:]]
    keywords = dict(call.reader.resolve(call.node.kwargs))
    if "value" in call.arguments and fill:  # the number 0 marks what padding adds
        if len(marked) > 3:
            marked[3] = 0.0
        elif len(marked) == 3 and operator_name(call.node) == "constant_pad_nd":
            marked[2] = 0.0
        keywords |= {"value": 0.0} if "value" in keywords else {}
    moved = call.node.target(*marked, **keywords)
    shapes = call.node.meta["val"]
    several = isinstance(moved, list | tuple)
    results = []
    for part, value in zip(
        moved if several else [moved], shapes if several else [shapes], strict=True
    ):
        features = tuple(int(n) for n in value.shape[1:])
        if tuple(part.shape) != (1, *features) or str(value.shape[0]) != str(call.reader.batch):
            raise Refused("the batch axis must stay the first")
        index = part[0].numpy().astype(np.int64) - 1
        result = x.rearranged(index)
        if fill:
            result = result.shifted(np.where(index < 0, float(fill), 0.0))
        call.reader.note_layout(result)
        results.append(result)
    return tuple(results) if several else results[0]


@handles("cat", "concatenate", "stack")
def concatenated(call: Call) -> Value:
    """Sum the parts, each with zeros where the others stand."""
    parts = call["tensors"]
    axis = int(call["dim"])
    shapes = [part.shape for part in parts]
    if any(isinstance(part, Constant) for part in parts):
        raise Refused("a constant beside values that depend on the input")
    result = None
    for k, part in enumerate(parts):
        pieces = [torch.zeros(1, *shape) for shape in shapes]
        size = int(np.prod(shapes[k]))
        pieces[k] = torch.arange(1, size + 1, dtype=torch.float64).reshape(1, *shapes[k])
        moved = call.node.target(pieces, axis)
        if tuple(moved.shape) != (1, *call.features):
            raise Refused("the batch axis must stay the first")
        index = moved[0].numpy().astype(np.int64) - 1
        placed = part.rearranged(index)
        result = placed if result is None else result.plus(placed)
    return result


@handles("linear")
def linear(call: Call) -> Value:
    result = times(call, call.affine("input"), call.constant("weight"), weight_name(call, "weight"))
    return result if call["bias"] is None else result.shifted(call.constant("bias"))


@handles("addmm")
def addmm(call: Call) -> Value:
    weight = float(call["alpha"]) * call.constant("mat2").T
    result = times(call, call.affine("mat1"), weight, weight_name(call, "mat2"))
    if isinstance(call["self"], Affine):
        return result.plus(call["self"].scaled(np.float64(call["beta"])).broadcast(result.shape))
    return result.shifted(float(call["beta"]) * call.per_feature("self"))


@handles("mm", "matmul")
def matmul(call: Call) -> Value:
    other = "other" if "other" in call.arguments else "mat2"
    if isinstance(call["self"], Constant):
        raise Refused("write it as x @ weight, with the batch axis first")
    weight = call.constant(other)
    if weight.ndim > 2:
        raise Refused("the weights must be a matrix")
    return times(call, call.affine("self"), weight.T, weight_name(call, other))


def times(call: Call, x: Affine, weight: np.ndarray, name: str) -> Affine:
    """Multiply the last axis of x by ``weight``, (n_out, n_in) or (n_in,)."""
    if not x.shape:
        raise Refused("the batch axis must stay the first")
    weight = np.atleast_2d(weight)
    rows = math.prod(x.shape[:-1])
    if rows > 1:  # the same weights for each row: a block diagonal matrix
        try:
            check_size(rows * weight.shape[0], rows * weight.shape[1])
        except ValueError as error:
            raise Refused(str(error)) from error
        weight = np.kron(np.eye(rows), weight)
    return x.through(Matrix(weight), call.features, name)


def weight_name(call: Call, argument: str) -> str:
    """Return ``fc1`` for the parameter ``fc1.weight``; a parameter of another name keeps it."""
    value = call[argument]
    name = value.name if isinstance(value, Constant) else ""
    name = re.sub(r"(^|\.)(parametrizations\.weight\..*|weight(_[gv])?)$", "", name)
    return name or module_path(call.node)


@handles(
    "batch_norm",
    "native_batch_norm",
    "cudnn_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "_batch_norm_no_update",
)
def batch_norm(call: Call) -> Value:
    """(x - mean) / sqrt(var + eps) * weight + bias, for each channel, the axis after the batch."""
    arguments = call.arguments
    if arguments.get("training") or arguments.get("train") or arguments["running_mean"] is None:
        raise Refused("it has no running statistics or is in training mode")
    x = call.affine("input")

    def channels(name: str, default: float) -> np.ndarray:
        value = np.asarray(default) if call[name] is None else call.constant(name)
        return value.reshape(-1, *[1] * (len(x.shape) - 1))

    eps = arguments["eps"] if "eps" in arguments else arguments["epsilon"]
    gain = channels("weight", 1.0) / np.sqrt(channels("running_var", 1.0) + float(eps))
    shift = channels("bias", 0.0) - channels("running_mean", 0.0) * gain
    result = x.scaled(gain).shifted(shift)
    several = isinstance(call.node.meta["val"], tuple | list)
    return (result, UNKNOWN, UNKNOWN) if several else result


@handles("add", "sub", "rsub")
def sums(call: Call) -> Value:
    alpha = np.float64(call.arguments.get("alpha", 1))
    signs = {"add": (1, alpha), "sub": (1, -alpha), "rsub": (-alpha, 1)}
    result = None
    for name, sign in zip(("self", "other"), signs[operator_name(call.node)], strict=True):
        value = call[name]
        if isinstance(value, Affine):
            if len(value.shape) != len(call.features):
                raise Refused("the batch axes do not meet")
            value = value.scaled(np.float64(sign)).broadcast(call.features)
            result = value if result is None else result.plus(value)
    for name, sign in zip(("self", "other"), signs[operator_name(call.node)], strict=True):
        if not isinstance(call[name], Affine):
            result = result.shifted(sign * call.per_feature(name))
    return result


@handles("mul")
def product(call: Call) -> Value:
    x, factor = ("other", "self") if isinstance(call["other"], Affine) else ("self", "other")
    scale = call.per_feature(factor)
    return call.affine(x).broadcast(call.features).scaled(scale)


@handles("div", "true_divide")
def quotient(call: Call) -> Value:
    if call.arguments.get("rounding_mode"):
        raise Refused("it rounds")
    if not isinstance(call["self"], Affine):
        raise Refused("division by a value that depends on the input")
    return call.affine("self").broadcast(call.features).scaled(1 / call.per_feature("other"))


@handles("neg")
def negative(call: Call) -> Value:
    return call.affine("self").scaled(np.float64(-1))


@handles("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
def filled(call: Call) -> Value:
    """Make a constant of a shape that was taken from a value."""
    name = operator_name(call.node)
    fill = call["fill_value"] if "full" in name else float("ones" in name)
    return Constant(torch.full((1, *call.features), float(fill)))


@handles("relu")
def relu(call: Call) -> Value:
    return rectified(call, call.affine("self"))


@handles("clamp", "clamp_min", "hardtanh")
def clamp(call: Call) -> Value:
    low, high = ("min_val", "max_val") if "min_val" in call.arguments else ("min", "max")
    if call[low] is None or call.constant(low).any():
        raise Refused("only a clamp from 0 up, which is ReLU or ReLU6, is supported")
    limit = None if call.arguments.get(high) is None else call.constant(high)
    if limit is not None and (limit.size != 1 or not float(limit.ravel()[0]) > 0):
        raise Refused("a clamp needs one number above 0 as its end")
    return rectified(call, call.affine("self"), None if limit is None else float(limit.ravel()[0]))


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
    if limit is None and x.terms and call.reader.is_positive(x):
        return x
    return call.reader.add_population([x], "relu", call.node, limit=limit)


def larger(call: Call, operands: list[Affine]) -> Affine:
    """Make a population of the maximum of several operands."""
    name = module_path(call.node) or f"{operands[0].origin or next(iter(operands[0].terms))}_max"
    return call.reader.add_population(operands, MAX, call.node, name=name)


# -- what was trained with quantisation ----------------------------------------------------------


@handles("fake_quantize_per_tensor_affine", "quantized_decomposed::quantize_per_tensor")
def fake_quantised(call: Call) -> Value:
    """Let the population that is rounded keep the step and the range of its training."""
    names = ("scale", "zero_point", "quant_min", "quant_max")
    if any(isinstance(call[name], Affine) for name in names):
        raise Refused("its scale depends on the input")
    scale, zero, low, high = (float(call.constant(name).ravel()[0]) for name in names)
    x = call.affine("self" if "self" in call.arguments else "input")
    return call.reader.levelled(x, ((low - zero) * scale, (high - zero) * scale), scale, call.node)


@handles("quantized_decomposed::dequantize_per_tensor")
def dequantised(call: Call) -> Value:
    return call.affine("input")


# -- planes --------------------------------------------------------------------------------------


def pair(value: object, default: object = None) -> tuple[int, int]:
    """Return (vertical, horizontal) of an argument of one or two numbers; of one axis, height 1."""
    numbers = [int(n) for n in (value if isinstance(value, list | tuple) else [value])]
    return (numbers[0], numbers[-1])


def planes_of(call: Call, x: Affine) -> Planes:
    """Return the planes of a value of shape (channels, height, width) or (channels, length)."""
    if len(x.shape) not in (2, 3):
        raise Refused(f"planes have a shape (channels, height, width), not {x.shape}")
    return Layout.of(x.shape).planes


def along(value: object, axes: int, single: int) -> tuple[int, int]:
    """Return an argument by axis; a signal of one axis has ``single`` for its height."""
    down, right = pair(value)
    return (down, right) if axes == 2 else (single, right)


@handles("conv1d", "conv2d", "convolution")
def convolution(call: Call) -> Value:
    """Sum of products of a sliding window; dilation 1."""
    x, kernel = call.affine("input"), call.constant("weight")
    axes = kernel.ndim - 2
    planes = planes_of(call, x)
    if len(planes_axes := x.shape[1:]) != axes or axes not in (1, 2):
        raise Refused(f"a kernel over {axes} axes on a value of {len(planes_axes)}")
    if call.arguments.get("transposed"):
        raise Refused("a transposed convolution is not supported")
    dilation = along(call["dilation"], axes, 1)
    size = kernel.shape[2:] if axes == 2 else (1, kernel.shape[2])
    if any(d != 1 and k > 1 for d, k in zip(dilation, size, strict=True)):
        raise Refused("only dilation 1 is supported")
    stride = along(call["stride"], axes, 1)
    if isinstance(call["padding"], str):
        same = call["padding"] == "same"
        top, left = ((k - 1) // 2 if same else 0 for k in size)
        bottom, right = (k - 1 - (k - 1) // 2 if same else 0 for k in size)
        padding = (top, bottom, left, right)
    else:
        down, right = along(call["padding"], axes, 0)
        padding = (down, down, right, right)
    outer = Conv(
        in_shape=planes,
        layout=Layout(planes=planes),
        stride=stride,
        padding=padding,
        kernel=kernel.reshape(*kernel.shape[:2], *size),
        groups=int(call["groups"]),
    )
    result = call.reader.through_planes(call, x, outer, weight_name(call, "weight"))
    if call["bias"] is None:
        return result
    return result.shifted(call.constant("bias").reshape(-1, *[1] * axes))


def windowed(call: Call, x: Affine, window, stride, padding) -> Affine:
    """Return the sums of windows over planes."""
    planes = planes_of(call, x)
    outer = Window(
        in_shape=planes,
        layout=Layout(planes=planes),
        stride=stride,
        padding=padding,
        factor=np.ones(planes[0]),
        sources=tuple(range(planes[0])),
        window=window,
    )
    return call.reader.through_planes(call, x, outer)


def pooling(call: Call, x: Affine):
    """Return window, stride and padding of a pooling, with the rows that ceil_mode adds."""
    axes = len(x.shape) - 1
    planes = planes_of(call, x)
    window = along(call["kernel_size"], axes, 1)
    stride = window if not call["stride"] else along(call["stride"], axes, 1)
    down, right = along(call["padding"], axes, 0)
    out = (1, *call.features[1:])[-2:]
    ends = [
        (out[k] - 1) * stride[k] + window[k] - planes[k + 1] - (down, right)[k] for k in range(2)
    ]
    return window, stride, (down, ends[0], right, ends[1])


@handles("avg_pool1d", "avg_pool2d")
def average(call: Call) -> Value:
    x = call.affine("self")
    window, stride, padding = pooling(call, x)
    padded = max(padding) > 0
    if padded and (call["ceil_mode"] or not call["count_include_pad"]):
        raise Refused(
            "at the borders it divides by other numbers (count_include_pad=True does not)"
        )
    divisor = call.arguments.get("divisor_override") or window[0] * window[1]
    return windowed(call, x, window, stride, padding).scaled(np.float64(1 / divisor))


@handles("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def adaptive_average(call: Call) -> Value:
    x = call.affine("self")
    planes, out = planes_of(call, x), (1, *call.features[1:])[-2:]
    if any(planes[k + 1] % out[k] for k in range(2)):
        raise Refused(f"{planes[1]} x {planes[2]} pixels do not divide into {out[0]} x {out[1]}")
    window = (planes[1] // out[0], planes[2] // out[1])
    result = windowed(call, x, window, window, (0, 0, 0, 0))
    return result.scaled(np.float64(1 / (window[0] * window[1])))


@handles("mean", "sum")
def mean(call: Call) -> Value:
    """Sum over axes; over whole planes it stays a window."""
    x = call.affine("self")
    given = call.arguments.get("dim")
    given = [given] if isinstance(given, int) else given or [0]
    dims = sorted(d % (len(x.shape) + 1) for d in given)
    if dims[0] == 0:
        raise Refused("the batch axis must stay the first")
    count = math.prod(x.shape[d - 1] for d in dims)
    scale = np.float64(1 / count if operator_name(call.node) == "mean" else 1)
    if len(x.shape) in (2, 3) and dims == list(range(2, len(x.shape) + 1)):
        planes = planes_of(call, x)
        result = windowed(call, x, planes[1:], (1, 1), (0, 0, 0, 0))
        return result.reshaped(call.features).scaled(scale)
    rest = [d for d in range(len(x.shape)) if d + 1 not in dims]
    moved = x.rearranged(x.places.transpose(*rest, *(d - 1 for d in dims)))
    kept = math.prod(x.shape[d] for d in rest)
    try:
        check_size(kept, kept * count)
    except ValueError as error:
        raise Refused(str(error)) from error
    return moved.through(Matrix(np.kron(np.eye(kept), np.full((1, count), scale))), call.features)


@handles("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool1d_with_indices")
def max_pooling(call: Call) -> Value:
    """Make a population whose neurons are the maximum of a window's neurons."""
    x = call.affine("self")
    if any(d != 1 for d in pair(call["dilation"])):
        raise Refused("only dilation 1 is supported")
    window, stride, padding = pooling(call, x)
    if not is_plain(x):
        x = settled(call, x)
    if max(padding) > 0 and not call.reader.is_positive(x):
        raise Refused("padding beside values that may be negative (put it behind the ReLU)")
    planes, features = planes_of(call, x), call.features
    operands = []
    for u in range(window[0]):
        for v in range(window[1]):
            first = (padding[0] - u, padding[2] - v)
            out = (1, *features[1:])[-2:]
            last = [(out[k] - 1) * stride[k] + 1 - planes[k + 1] - first[k] for k in range(2)]
            offset = (first[0], last[0], first[1], last[1])
            operands.append(windowed(call, x, (1, 1), stride, offset))
    result = larger(call, operands)
    several = isinstance(call.node.meta["val"], tuple | list)
    return (result, UNKNOWN) if several else result


def settled(call: Call, x: Affine) -> Affine:
    """Make a population of what a max pooling reads: ReLU where only that follows, else linear."""
    users = [user for user in call.node.users if operator_name(user) == "getitem"] or [call.node]
    followers = [operator_name(f) for user in users for f in user.users]
    if call.reader.is_positive(x) or (followers and set(followers) <= {"relu"}):
        return call.reader.add_population([x], "relu", call.node)
    return call.reader.add_population([x], LINEAR, call.node)
