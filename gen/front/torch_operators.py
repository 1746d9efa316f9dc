"""Operators of torch that rearrange, scale, add and rectify: their handlers for the reader."""

import math
import re
from collections.abc import Callable

import numpy as np
import torch

from ..model.network import LINEAR, MAX
from ..model.products import Product
from .affine import Affine, Matrix, check_size
from .torch_reader import (
    UNKNOWN,
    Call,
    Constant,
    Refused,
    Root,
    Value,
    as_float64,
    handles,
    is_plain,
    module_path,
    neuron,
    operator_name,
)


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
        if str(part.shape[0]) == str(call.reader.batch):  # sizes in the graph are the batch's
            part = part[:1]
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
    shapes = [
        tuple(part.tensor.shape[1:]) if isinstance(part, Constant) else part.shape for part in parts
    ]
    result, constants = None, np.zeros(call.features)
    for k, part in enumerate(parts):
        pieces = [torch.zeros(1, *shape) for shape in shapes]
        size = int(np.prod(shapes[k]))
        pieces[k] = torch.arange(1, size + 1, dtype=torch.float64).reshape(1, *shapes[k])
        moved = call.node.target(pieces, axis)
        if tuple(moved.shape) != (1, *call.features):
            raise Refused("the batch axis must stay the first")
        index = moved[0].numpy().astype(np.int64) - 1
        if isinstance(part, Constant):
            value = as_float64(part.tensor)
            if not (value == value[:1]).all():
                raise Refused("a constant must be the same for every sample")
            constants += np.where(index >= 0, value[0].ravel()[index], 0.0)
        else:
            placed = part.rearranged(index)
            result = placed if result is None else result.plus(placed)
    return result.shifted(constants)


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


@handles("mm", "matmul", "bmm")
def matmul(call: Call) -> Value:
    other = "other" if "other" in call.arguments else "mat2"
    if isinstance(call["self"], Affine) and isinstance(call[other], Affine):
        return multiplied(call, call["self"], call[other])
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
    if rows > 1:
        moved = x.rearranged(x.places.reshape(rows, -1).T)
        result = call.reader.mixed(moved, weight, name)
        return result.rearranged(result.places.T.reshape(call.features))
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
    """Add what has a common order; else what is read more often becomes a population before."""
    return in_order(call, added)


def in_order(call: Call, compute: Callable[[Call], Affine]) -> Affine:
    """Return what an operator computes, of populations where it had no common order else."""
    result = compute(call)
    inputs = sorted(call.node.all_input_nodes, key=lambda source: -len(source.users))
    for source in inputs:
        if call.reader.common_order([result]) is None and call.reader.settle(source):
            result = compute(Call(call.reader, call.node, call.reader.arguments(call.node)))
    return result


def added(call: Call) -> Affine:
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
    if call["self"] is call["other"] and isinstance(call["self"], Affine):
        return neuron(call, "square")
    for one, other in (("self", "other"), ("other", "self")):
        if isinstance(call[one], Root) and call[one].inverse and isinstance(call[other], Affine):
            return several(call, "divide_root", [call[other], call[one].value])
    if all(isinstance(call[name], Affine | Root) for name in ("self", "other")):
        return several(call, "multiply", [call.affine("self"), call.affine("other")])
    return in_order(call, multiple)


def multiple(call: Call) -> Affine:
    """Return a value times a constant."""
    x, factor = ("other", "self") if isinstance(call["other"], Affine) else ("self", "other")
    scale = call.per_feature(factor)
    return call.affine(x).broadcast(call.features).scaled(scale)


@handles("div", "true_divide")
def quotient(call: Call) -> Value:
    if call.arguments.get("rounding_mode"):
        raise Refused("it rounds")
    divisor = call["other"]
    if isinstance(divisor, Affine | Root):
        if not isinstance(call["self"], Affine | Root):
            if isinstance(divisor, Root) and (call.constant("self") == 1).all():
                return Root(divisor.value, not divisor.inverse)
            raise Refused("a constant divided by a value that depends on the input")
        if isinstance(divisor, Root) and not divisor.inverse:
            return several(call, "divide_root", [call.affine("self"), divisor.value])
        return several(call, "divide", [call.affine("self"), call.affine("other")])
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
    limit = None if call.arguments.get(high) is None else call.constant(high)
    start = None if call[low] is None else call.constant(low)
    if start is not None and limit is not None and start.size == limit.size == 1 and start.any():
        ends = float(start.ravel()[0]), float(limit.ravel()[0])
        if not ends[0] < ends[1]:
            raise Refused(f"a clamp needs its start below its end, not {ends[0]:g} and {ends[1]:g}")
        return neuron(call, "clamp", ends, call.affine("self"))
    if start is None or start.any():
        raise Refused("only a clamp from 0 up, or one with a number at each end, is supported")
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


def several(call: Call, function: str, operands: list[Affine]) -> Affine:
    """Make a population of a function of two operands."""
    shapes = [value.shape for value in operands]
    if any(len(shape) != len(call.features) for shape in shapes):
        raise Refused("the batch axes do not meet")
    operands = [value.broadcast(call.features) for value in operands]
    name = f"{module_path(call.node) or operands[0].origin or function}_{function}"
    return call.reader.add_population(operands, function, call.node, name=name)


def multiplied(call: Call, x: Affine, z: Affine, name: str = "") -> Affine:
    """Make a population of products of matrices, (..., n, k) and (..., k, m)."""
    if len(x.shape) < 2 or len(z.shape) < 2:
        raise Refused("a product of two values that both depend on the input needs two axes")
    lead = np.broadcast_shapes(x.shape[:-2], z.shape[:-2])
    (n, k), m = x.shape[-2:], z.shape[-1]
    left, right = plain(call, x), plain(call, z)
    product = Product(
        source=left[0],
        other=right[0],
        left=np.broadcast_to(left[1], (*lead, n, k)).reshape(-1, n, k).copy(),
        right=np.broadcast_to(right[1], (*lead, k, m)).reshape(-1, k, m).copy(),
    )
    return call.reader.add_products(product, call.node, name).reshaped((*lead, n, m))


def plain(call: Call, x: Affine) -> tuple[str, np.ndarray]:
    """Return the population that a value is, made where there is none, and its neurons' numbers."""

    def known(value: Affine) -> bool:
        return is_plain(value) and bool((next(iter(value.terms.values())).index >= 0).all())

    if not known(x):
        function = "relu" if call.reader.is_positive(x) else LINEAR
        x = call.reader.add_population([x], function, call.node, name=x.origin)
    ((source, form),) = x.terms.items()
    return source, form.index.reshape(x.shape)
