"""Arithmetic: products with weights, sums, scaling, and functions of two operands."""

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..model.network import LINEAR
from ..model.products import Product
from .affine import Affine, Gather, Matrix
from .builder import is_plain
from .graph import UNKNOWN, Call, Constant, Handlers, Root, Value
from .refusals import Refused

handles = Handlers()


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
        result = call.builder.mixed(moved, weight, name)
        return result.rearranged(result.places.T.reshape(call.features))
    return x.through(Matrix(weight), call.features, name)


def weight_name(call: Call, argument: str) -> str:
    """Return ``fc1`` for the parameter ``fc1.weight``; a parameter of another name keeps it."""
    value = call[argument]
    name = value.name if isinstance(value, Constant) else ""
    name = re.sub(r"(^|\.)(parametrizations\.weight\..*|weight(_[gv])?)$", "", name)
    name = "" if re.fullmatch(r"_frozen_param\d+", name) else name  # of convert_pt2e
    name = name or call.site.path
    if name and isinstance(value, Constant) and value.integers is not None:
        rows = value.integers if argument == "weight" else value.integers.T  # x @ weight
        call.builder.note_integers(name, rows.reshape(len(rows), -1).numpy())
    return name


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
    return guarded(call) or in_order(call, added)


def guarded(call: Call) -> Root | None:
    """Return a root with a positive number added, which it takes along; ``None`` for others."""
    roots = [call[name] for name in ("self", "other") if isinstance(call[name], Root)]
    if call.name != "add" or len(roots) != 1 or roots[0].inverse:
        return None
    number = "other" if isinstance(call["self"], Root) else "self"
    if isinstance(call[number], Affine):
        return None
    added = np.unique(call.constant(number) * (float(call["alpha"]) if number == "other" else 1.0))
    if len(added) != 1 or added[0] < 0 or roots[0].value.shape != call.features:
        return None
    return replace(roots[0], guard=roots[0].guard + float(added[0]))


def in_order(call: Call, compute: Callable[[Call], Affine]) -> Affine:
    """Return what an operator computes, of populations where it had no common order else."""
    result = compute(call)
    inputs = sorted(call.node.all_input_nodes, key=lambda source: -len(source.users))
    for source in inputs:
        if call.builder.common_order([result]) is None and call.graph.settle(source):
            result = compute(Call(call.graph, call.node, call.graph.arguments(call.node)))
    return result


def added(call: Call) -> Affine:
    alpha = np.float64(call.arguments.get("alpha", 1))
    signs = {"add": (1, alpha), "sub": (1, -alpha), "rsub": (-alpha, 1)}
    result = None
    for name, sign in zip(("self", "other"), signs[call.name], strict=True):
        if isinstance(call[name], Affine | Root):
            value = call.affine(name)
            if len(value.shape) != len(call.features):
                raise Refused("the batch axes do not meet")
            value = value.scaled(np.float64(sign)).broadcast(call.features)
            result = value if result is None else result.plus(value)
    assert result is not None, "an operand depends on the input"
    for name, sign in zip(("self", "other"), signs[call.name], strict=True):
        if not isinstance(call[name], Affine | Root):
            result = result.shifted(sign * call.per_feature(name))
    return result


@handles("mul")
def product(call: Call) -> Value:
    if call["self"] is call["other"] and isinstance(call["self"], Affine):
        return call.neuron("square")
    for one, other in (("self", "other"), ("other", "self")):
        if isinstance(call[one], Root) and call[one].inverse and isinstance(call[other], Affine):
            return over_root(call, call[other], call[one])
    if all(isinstance(call[name], Affine | Root) for name in ("self", "other")):
        return several(call, "multiply", [call.affine("self"), call.affine("other")])
    for one, other in (("self", "other"), ("other", "self")):
        if isinstance(call[one], Root):
            found = scaled_root(call[one], call.constant(other))
            return in_order(call, multiple) if found is None else found
    return in_order(call, multiple)


def scaled_root(root: Root, factor: np.ndarray) -> Root | None:
    """Return a root times one positive number; ``None`` for other factors."""
    numbers = np.unique(factor)
    if len(numbers) != 1 or not numbers[0] > 0:
        return None
    k = float(1 / numbers[0] if root.inverse else numbers[0])  # of what stands below
    return replace(root, value=root.value.scaled(np.float64(k * k)), guard=k * root.guard)


def multiple(call: Call) -> Affine:
    """Return a value times a constant."""
    given = isinstance(call["other"], Affine | Root)
    x, factor = ("other", "self") if given else ("self", "other")
    scale = call.per_feature(factor)
    return call.affine(x).broadcast(call.features).scaled(scale)


@handles("div", "true_divide")
def quotient(call: Call) -> Value:
    if call.arguments.get("rounding_mode"):
        raise Refused("it rounds")
    divisor = call["other"]
    if isinstance(divisor, Affine | Root):
        if not isinstance(call["self"], Affine | Root):
            if isinstance(divisor, Root):
                turned = replace(divisor, inverse=not divisor.inverse)
                found = scaled_root(turned, call.constant("self"))
                if found is not None:
                    return found
            raise Refused("a constant divided by a value that depends on the input")
        if isinstance(divisor, Root) and not divisor.inverse:
            return over_root(call, call.affine("self"), divisor)
        return several(call, "divide", [call.affine("self"), call.affine("other")])
    if isinstance(call["self"], Root):
        found = scaled_root(call["self"], 1 / call.constant("other"))
        if found is not None:
            return found
    return call.affine("self").broadcast(call.features).scaled(1 / call.per_feature("other"))


@handles("neg")
def negative(call: Call) -> Value:
    return call.affine("self").scaled(np.float64(-1))


def over_root(call: Call, x: Affine, root: Root) -> Affine:
    """Make a population of a value over a root."""
    if any(len(value.shape) != len(call.features) for value in (x, root.value)):
        raise Refused("the batch axes do not meet")
    name = f"{call.site.path or x.origin or 'divide_root'}_divide_root"
    x = x.broadcast(call.features)
    try:
        return call.over_root(x, root, name)
    except Refused:
        if root.value.size > 1:
            raise
    # A whole sample by its own deviation: a row of values, whatever planes it is seen as.
    flat = replace(root, value=root.value.reshaped((1,)))
    found = call.over_root(x.reshaped((x.size,)), flat, name).reshaped(call.features)
    call.builder.note_layout(found)
    return found


def several(call: Call, function: str, operands: list[Affine]) -> Affine:
    """Make a population of a function of two operands."""
    shapes = [value.shape for value in operands]
    if any(len(shape) != len(call.features) for shape in shapes):
        raise Refused("the batch axes do not meet")
    operands = [value.broadcast(call.features) for value in operands]
    name = f"{call.site.path or operands[0].origin or function}_{function}"
    return call.population(operands, function, name=name)


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
    return call.builder.add_products(product, call.site, name).reshaped((*lead, n, m))


def plain(call: Call, x: Affine) -> tuple[str, np.ndarray]:
    """Return the population that a value is, made where there is none, and its neurons' numbers."""

    def known(value: Affine) -> bool:
        forms = value.terms.values()
        return is_plain(value) and all(
            isinstance(form, Gather) and bool((form.index >= 0).all()) for form in forms
        )

    if not known(x):
        function = "relu" if call.builder.is_positive(x) else LINEAR
        x = call.population([x], function, name=x.origin)
    ((source, form),) = x.terms.items()
    assert isinstance(form, Gather), "a population's own value gathers its neurons"
    return source, form.index.reshape(x.shape)
