"""Export: from a torch model to a Network, or a refusal of what cannot be read.

`torch.export` turns the user's module into a graph of aten operators, which :class:`.graph.Graph`
walks. What was read is compared with the model.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from itertools import zip_longest

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from ..model.heads import Output
from ..model.inputs import Part, starts
from ..model.name import check_name
from ..model.network import Network
from ..model.samples import check_magnitudes
from .attention import opened
from .graph import Graph, Placed, another_shape, as_float64, flatten
from .messages import in_one_line, place_of_error, said, silence
from .operators import OPERATORS
from .quantised import frozen
from .refusals import Refusal, UnsupportedModel
from .strangers import refuse_strangers

BATCH = 7  # rows of the sample that torch.export sees; a size that no layer is likely to have
OTHER_SIZES = (1, 12)  # of batches that must have the same answers
GUARD_SAMPLES = 256  # that are asked whether a guard beside a root matters
SELF_CHECK = 1e-3  # greatest deviation from the model, relative to its greatest output ...
FLIPPED = 0.25  # of the greatest output: what a level's flip moves a row of a quantised model by
SELF_CHECK_EPS = 32  # ... or this many times the precision of the model's numbers
# Overloads of aten that ``run_decompositions({})`` leaves as they are.
LEFT_ALONE = frozenset(
    f"aten.{name}"
    for name in (
        *("linear.default", "conv2d.default", "matmul.default", "layer_norm.default"),
        *("relu.default", "leaky_relu.default", "prelu.default", "relu6.default"),
        *("sigmoid.default", "tanh.default", "gelu.default", "silu.default", "softplus.default"),
        *("elu.default", "selu.default", "celu.default", "hardtanh.default", "log_sigmoid.default"),
        *("hardsigmoid.default", "hardswish.default", "special_expit.default", "sin.default"),
        *("exp.default", "abs.default", "sqrt.default", "square.default", "reciprocal.default"),
        *("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "rsub.Scalar", "clamp.default"),
        *("pow.Tensor_Scalar", "pow.Scalar", "maximum.default", "softmax.int", "log_softmax.int"),
        *("argmax.default", "sum.default", "sum.dim_IntList", "cat.default", "round.default"),
        *("view.default", "permute.default", "transpose.int", "t.default", "expand.default"),
        *("select.int", "slice.Tensor", "squeeze.dim", "unsqueeze.default", "flip.default"),
    )
)


def import_network(
    model: nn.Module | ExportedProgram,
    sample: np.ndarray,
    name: str = "network",
    inputs: Sequence[Part] = (),
) -> Network:
    """Read a model into a Network.

    Parameters
    ----------
    model
        Any module (read in eval mode, left as it was), an exported program or the module of one,
        or a TorchScript module.
    sample
        (n, *input shape), n >= 1: user's data as the model takes them.
    name
        The network's name.
    inputs
        Where ``forward`` takes several: the parts of a sample, see
        :mod:`signfire.gen.model.inputs`. They go to the arguments of their names, or in their
        order where the names are others.

    Raises
    ------
    UnsupportedModel
        With everything that is not supported, by operator and source line.
    ValueError
        If the data do not fit the model, or the network would not compute what the model does.
    """
    check_name(name)
    if sample.ndim < 2 or not sample.size:
        raise ValueError(f"a sample batch has shape (n, features...), not {sample.shape}")
    check_magnitudes(sample)
    batch = np.resize(sample[:BATCH], (BATCH, *sample.shape[1:])).astype(np.float32)
    program = exported(model, batch, placed(inputs))
    if program is not None:
        return read_program(program, sample, name, placed(inputs))
    assert isinstance(model, nn.Module), "what is no module is a program"
    with evaluation(model), frozen(model), torch.no_grad(), silence():
        parts = in_order(model, placed(inputs))
        tensors = arguments_for(model, batch, parts)
        refuse_strangers(model, tensors)
        expected = run(model, tensors)
        with opened(model):
            program = export(model, tensors)
        network = walked(program, sample, name, parts)
        check_batch_sizes(model, tensors, expected)
    check_against(network, batch, expected)
    return network


def exported(
    model: nn.Module | ExportedProgram, batch: np.ndarray, parts: tuple[Placed, ...]
) -> ExportedProgram | None:
    """Return the program that a model is, or was made of; ``None`` of a plain module.

    What ``torch.export`` and ``convert_pt2e`` give is a module of one graph, which knows no modes
    and perhaps one size of batch; ``torch.jit`` gives a program of another kind.
    """
    if isinstance(model, ExportedProgram):
        return model
    if isinstance(model, torch.jit.ScriptModule):
        return of_script(model, batch, parts)
    if not isinstance(model, GraphModule) or has_modes(model):
        return None
    nodes = [node for node in model.graph.nodes if node.op == "placeholder"]
    shapes = [getattr(node.meta.get("val"), "shape", None) for node in nodes]
    with torch.no_grad(), silence():
        tensors = arguments_for(model, batch, parts, shapes[0] if shapes else None)
        for tensor, shape, part in zip_longest(tensors, shapes, parts):
            if shape is None or tensor is None:
                continue
            if tuple(map(str, shape[1:])) != tuple(map(str, tensor.shape[1:])):
                name = "" if part is None else part.name
                raise another_shape(shape[1:], tuple(tensor.shape[1:]), name)
        run(model, tensors)
        try:
            return torch.export.export(model, tuple(tensors), strict=False)
        except Exception as error:
            raise not_exported(error) from error


def arguments_for(
    model: nn.Module,
    batch: np.ndarray,
    parts: tuple[Placed, ...],
    shape: Sequence[object] | None = None,
) -> list[torch.Tensor]:
    """Return what a model is called with, of as many rows as ``shape`` says, where it says one."""
    rows = shape[0] if shape and isinstance(shape[0], int) else len(batch)
    batch = np.resize(batch, (rows, *batch.shape[1:]))
    flat = batch.reshape(rows, -1)
    arrays = [flat[:, p.start : p.start + p.size].reshape(rows, *p.shape) for p in parts]
    return [like_parameters(model, array) for array in arrays or [batch]]


def has_modes(model: nn.Module) -> bool:
    """Whether a module can be set to eval mode, which the graphs of torch.export cannot."""
    try:
        model.train(model.training)
    except NotImplementedError:
        return False
    return True


def of_script(
    model: torch.jit.ScriptModule, batch: np.ndarray, parts: tuple[Placed, ...]
) -> ExportedProgram:
    """Return the program of a TorchScript module."""
    with torch.no_grad(), silence():
        model.eval()
        tensors = arguments_for(model, batch, parts)
        run(model, tensors)
        try:
            from torch._export.converter import TS2EPConverter

            return TS2EPConverter(model, tuple(tensors)).convert()
        except Exception as error:
            raise UnsupportedModel(
                [
                    Refusal(
                        f"TorchScript that torch cannot turn into a program ({said(error)})",
                        way_out="give the module before torch.jit.trace or torch.jit.script",
                    )
                ]
            ) from error


def read_program(
    program: ExportedProgram, sample: np.ndarray, name: str, parts: tuple[Placed, ...]
) -> Network:
    """Read an exported program, and compare what was read with what the program computes."""
    with torch.no_grad(), silence():
        # The walk says anew what forward ends in: the graph must not be the user's.
        network = walked(program.run_decompositions({}), sample, name, parts)
        module = program.module()
        batch = np.resize(sample[:BATCH], (BATCH, *sample.shape[1:])).astype(np.float32)
        tensors = arguments_for(module, batch, parts, input_shape(program))
        expected = run(module, tensors)
    check_against(network, np.resize(batch, (len(tensors[0]), *batch.shape[1:])), expected)
    return network


def input_shape(program: ExportedProgram) -> tuple[int | torch.SymInt, ...]:
    """Return the shape of a program's first input; a size that is free is a symbol."""
    name = next(iter(program.graph_signature.user_inputs))
    node = next(n for n in program.graph.nodes if n.op == "placeholder" and n.name == name)
    return tuple(node.meta["val"].shape)


def walked(
    program: ExportedProgram, sample: np.ndarray, name: str, parts: tuple[Placed, ...]
) -> Network:
    """Return the network of a program.

    A guard beside a root, x/(√v + guard), is put beneath it, where the samples tell no difference.
    """
    graph = Graph(program, sample.shape[1:], name, OPERATORS, parts)
    network = graph.network()
    if not graph.guarded:
        return network
    exact = Graph(program, sample.shape[1:], name, OPERATORS, parts, exact_roots=True).network()
    some = sample[:GUARD_SAMPLES]
    wanted, got = exact.answers(some), network.answers(some)
    near = np.abs(got - wanted).max() <= SELF_CHECK / 2 * np.abs(wanted).max()
    return network if near else exact


def placed(inputs: Sequence[Part]) -> tuple[Placed, ...]:
    """Return parts with where they begin in a sample."""
    found = zip(inputs, starts(inputs), strict=True)
    return tuple(Placed(name=p.name, shape=p.shape, start=start) for p, start in found)


def in_order(model: nn.Module, parts: tuple[Placed, ...]) -> tuple[Placed, ...]:
    """Return parts in the order of the arguments of ``forward``, if they bear their names."""
    names = arguments_of(model)
    by_name = {part.name: part for part in parts}
    if set(names) != set(by_name):
        return parts
    return tuple(by_name[name] for name in names)


def arguments_of(model: nn.Module) -> list[str]:
    """Return the arguments that ``forward`` must be given."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except ValueError:  # a traced forward has none
        return []
    return [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]


def check_batch_sizes(model: nn.Module, tensors: Sequence[torch.Tensor], expected: object) -> None:
    """Refuse a model that answers a sample otherwise in a batch of another size.

    In hardware a sample stands alone; what forward makes of ``len(x)`` would be frozen at the size
    that torch.export saw.
    """
    for size in OTHER_SIZES:
        repeated = [t.repeat(-(-size // BATCH), *[1] * (t.ndim - 1))[:size] for t in tensors]
        try:
            answers = model(*repeated)
        except Exception as error:
            if size == 1:  # squeeze() takes the axis of the batch away, and all is as it should be
                continue
            refusal = by_batch_size(size, BATCH, place_of_error(error))
            raise UnsupportedModel([refusal]) from error
        if same_answers(answers, size, expected, BATCH):
            continue
        if same_answers(model(*(t.clone() for t in tensors)), BATCH, expected, BATCH):
            raise UnsupportedModel([by_batch_size(size, BATCH)])


def same_answers(got: object, size: int, wanted: object, other: int) -> bool:
    """Whether the samples that batches of two sizes share have the same answers in both."""
    rows = min(size, other)
    found, known = (
        [v for v in flatten([value]) if isinstance(v, torch.Tensor)] for value in (got, wanted)
    )
    for a, b in zip(found, known, strict=False):
        if a.numel() * other != b.numel() * size:
            return False
        there = as_float64(a).reshape(size, -1)[:rows]
        here = as_float64(b).reshape(other, -1)[:rows]
        slack = SELF_CHECK * max(1e-6, float(np.abs(here).max(initial=0)))
        if not np.allclose(there, here, rtol=0, atol=slack, equal_nan=True):
            return False
    return True


def by_batch_size(size: int, other: int, place: str = "") -> Refusal:
    """Return the refusal of what a model computes otherwise for another number of samples."""
    return Refusal(
        f"forward that depends on the size of the batch: a sample has another answer among {size} "
        f"than among {other}",
        place,
        "let forward compute each sample by itself, without len(x) and means over axis 0",
    )


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


def run(model: nn.Module, tensors: Sequence[torch.Tensor]) -> object:
    """Call the model once, so that its own errors are told from those of the export."""
    names = arguments_of(model)
    if len(names) > len(tensors):
        listed = ", ".join(names)
        given = "one" if len(tensors) == 1 else len(tensors)
        raise UnsupportedModel(
            [
                Refusal(
                    f"forward with {len(names)} inputs, {listed}, not with {given}",
                    "",
                    f"give an array of each: --inputs {','.join(names)}",
                )
            ]
        )
    try:
        return model(*(tensor.clone() for tensor in tensors))
    except Exception as error:
        shapes = " and ".join(str(tuple(tensor.shape[1:])) for tensor in tensors)
        raise ValueError(
            f"the model fails on samples of shape {shapes}: {in_one_line(error)}"
        ) from error


def export(model: nn.Module, tensors: Sequence[torch.Tensor]) -> ExportedProgram:
    try:
        with redirect_stderr(StringIO()):  # where it refuses, it prints the graph so far
            program = torch.export.export(model, tuple(tensors), strict=False)
        flatten_by_view(program)
        return in_plain_operators(program)
    except Exception as error:
        raise not_exported(error) from error


def in_plain_operators(program: ExportedProgram) -> ExportedProgram:
    """Return the program without operators that work in place, and some composite ones written out.

    A graph that has none already is left as it is: to make it anew takes most of an export's time.
    """
    calls = (node.target for node in program.graph.nodes if node.op == "call_function")
    if {str(target) for target in calls} <= LEFT_ALONE:
        return program
    return program.run_decompositions({})


def flatten_by_view(program: ExportedProgram) -> None:
    """Write ``flatten`` as its decomposition does, where elements lie in order, as they mostly do.

    The nodes of ``program`` change: it must not be the user's.
    """
    graph = program.graph
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.flatten.using_ints):
        source, shape = node.args[0], node.meta["val"].shape
        ordered = source.meta["val"].is_contiguous() and all(type(n) is int for n in shape)
        if not ordered or any(user.op == "output" for user in node.users):
            continue  # an output's name stands in the signature too
        with graph.inserting_before(node):
            view = source
            if source.meta["val"].shape != shape:
                view = graph.call_function(torch.ops.aten.view.default, (source, list(shape)))
                view.meta = node.meta
        node.replace_all_uses_with(view)
        graph.erase_node(node)


def not_exported(error: Exception) -> UnsupportedModel:
    """Return the refusal of what torch.export refuses."""
    if "data-dependent" in str(error):
        what = "control flow that depends on the data"
    else:
        what = f"what torch.export refuses: {said(error)}"
    return UnsupportedModel([Refusal(what, place_of_error(error))])


def check_against(network: Network, batch: np.ndarray, expected: object) -> None:
    """Compare the network with what the model computed on the same batch, output by output."""
    outputs = [v for v in flatten([expected]) if isinstance(v, torch.Tensor)]
    values = network.answers(batch)
    for own, output in zip(network.head, outputs, strict=True):
        wanted = as_float64(output).reshape(len(batch), -1)
        part = network.head.part(values, own)
        got = own.decided(part) if own.decides else own.returned(part)
        if own.decides and got.size != wanted.size:  # a row with one 1 for each place
            wanted = wanted.reshape(*got.shape, -1).argmax(axis=-1).reshape(len(batch), -1)
        if not np.isfinite(wanted).all():
            row = int(np.argwhere(~np.isfinite(wanted))[0, 0])
            raise ValueError(
                f"the model answers NaN or an infinity for calibration sample {row}, counted from "
                f"0 (does it divide by 0, or take the logarithm of 0?)"
            )
        off = np.abs(got.reshape(wanted.shape) - wanted)
        worst = float(off.max())
        greatest = float(np.abs(wanted).max())
        precision = torch.finfo(output.dtype if output.is_floating_point() else torch.float32).eps
        tolerance = max(SELF_CHECK, SELF_CHECK_EPS * precision)
        if own.decides and worst and near_tie(part, got.reshape(wanted.shape) != wanted, own):
            continue
        if any(p.step is not None for p in network.populations):
            # A sum between two levels may go either way in 32-bit floats, and that moves a row.
            rows = np.sort(off.max(axis=1))
            worst = float(rows[len(rows) // 2]) if worst <= FLIPPED * greatest else worst
        if not worst <= tolerance * max(1e-6, greatest):
            raise ValueError(
                f"the network read from the model differs from it by {worst:.3g} of "
                f"{greatest:.3g} (does forward depend on more than its input?)"
            )


def near_tie(values: np.ndarray, differs: np.ndarray, output: Output) -> bool:
    """Whether decisions differ only where the two best logits, or logit and threshold, meet."""
    threshold = getattr(output, "threshold", None)
    if output.size == 1 or output.kind == "labels":
        gap = np.abs(values - (threshold or 0.0))
    else:
        best = np.sort(values, axis=output.axis + 1)
        gap = best.take(-1, output.axis + 1) - best.take(-2, output.axis + 1)
    greatest = max(1e-6, float(np.abs(values).max()))
    return bool((gap.reshape(differs.shape)[differs] <= SELF_CHECK * greatest).all())
