"""Operators of torch that are several populations: normalisation, softmax, attention.

Each is made of neurons that there are: means are linear, a variance is a mean of squares, and
x/√(variance + eps) is a neuron of two operands; softmax is exp(x - maximum) over its sum; attention
multiplies trains with trains. A row that is normalised or mixed is the channels of planes, so that
every step stays a convolution of one pixel.
"""

import math

import numpy as np

from ..model.network import LINEAR, MAX
from .affine import Affine, Gather
from .arithmetic import multiplied
from .graph import UNKNOWN, Call, Constant, Handlers, Root, Value
from .refusals import Refused

handles = Handlers()


# -- normalisation -------------------------------------------------------------------------------


@handles("layer_norm", "native_layer_norm")
def layer_norm(call: Call) -> Value:
    x = call.affine("input")
    found = normalised(call, x, len(call["normalized_shape"]), float(call["eps"]), centred=True)
    found = adjusted(call, found, len(call["normalized_shape"]))
    return (found, UNKNOWN, UNKNOWN) if call.name.startswith("native") else found


@handles("rms_norm")
def rms_norm(call: Call) -> Value:
    axes = len(call["normalized_shape"])
    eps = float(np.finfo(np.float32).eps) if call["eps"] is None else float(call["eps"])
    found = normalised(call, call.affine("input"), axes, eps, centred=False)
    return adjusted(call, found, axes)


@handles("group_norm")
def group_norm(call: Call) -> Value:
    x = call.affine("input")
    groups = int(call["num_groups"])
    rows = x.reshaped((groups, x.size // groups))
    found = normalised(call, rows, 1, float(call["eps"]), centred=True).reshaped(x.shape)
    return adjusted(call, found, 1, behind=len(x.shape) - 1)


@handles("var", "std")
def variance(call: Call) -> Value:
    """Mean of squares about the mean; the root of it waits for what it divides."""
    x = call.affine("self")
    given = call.arguments.get("dim")
    given = [given] if isinstance(given, int) else given or range(1, len(x.shape) + 1)
    axes = sorted({int(d) % (len(x.shape) + 1) - 1 for d in given})
    if axes[0] < 0:
        raise Refused("the batch axis must stay the first")
    rest = [d for d in range(len(x.shape)) if d not in axes]
    n = math.prod(x.shape[d] for d in axes)
    lost = call.arguments.get("correction", None)
    if "unbiased" in call.arguments:
        lost = int(bool(call["unbiased"]))
    lost = 1 if lost is None else int(lost)
    columns = x.rearranged(x.places.transpose(*rest, *axes).reshape(-1, n).T)
    first = call.builder.mixed(columns, np.eye(n) - 1 / n, fixed=True)
    squares = call.neuron("square", x=first)
    found = call.builder.mixed(squares, np.full((1, n), 1 / (n - lost)), fixed=True)
    found = found.reshaped(call.features)
    return Root(found, False) if call.name == "std" else found


def by_columns(x: Affine, axes: int) -> Affine:
    """Return a value with its last ``axes`` axes in front, (n, rows)."""
    n = math.prod(x.shape[len(x.shape) - axes :])
    return x.rearranged(x.places.reshape(-1, n).T)


def normalised(call: Call, x: Affine, axes: int, eps: float, *, centred: bool) -> Affine:
    """Return (x - mean) / √(variance + eps) over the last axes; without ``centred`` mean is 0."""
    columns = by_columns(x, axes)
    n, _ = columns.shape
    mean = np.full((n, n), 1 / n)
    name = call.site.path or call.name
    first = call.builder.mixed(columns, np.eye(n) - mean, fixed=True) if centred else columns
    squares = call.population([first], "square", name=f"{name}_square")
    second = call.builder.mixed(squares, mean, fixed=True).shifted(np.float64(eps))
    found = call.population([first, second], "divide_root", name=name)
    return found.rearranged(found.places.T.reshape(x.shape))


def adjusted(call: Call, x: Affine, axes: int, behind: int = 0) -> Affine:
    """Return x·weight + bias, numbers of the last axes, or of those before the ``behind`` last."""
    shape = (-1, *[1] * behind) if behind else x.shape[len(x.shape) - axes :]
    if call["weight"] is not None:
        x = x.scaled(call.constant("weight").reshape(shape))
    if call.arguments.get("bias") is not None:
        x = x.shifted(call.constant("bias").reshape(shape))
    return x


# -- softmax -------------------------------------------------------------------------------------


@handles("softmax", "_softmax")
def softmax(call: Call) -> Value:
    x = call.affine("input" if "input" in call.arguments else "self")
    axis = int(call["dim"]) % (len(x.shape) + 1) - 1
    try:
        return shares(call, x, axis)
    except Refused as reason:
        if len(x.shape) > 1 or axis < 0:
            raise
        raise Refused(
            "return all of its probabilities: at the end of forward the host computes them"
        ) from reason


def shares(call: Call, x: Affine, axis: int) -> Affine:
    """Return exp(x - max x) / Σ exp(x - max x) along an axis (not that of the batch)."""
    if axis < 0:
        raise Refused("the batch axis must stay the first")
    name = call.site.path or "softmax"
    if len(x.terms) > 1 or not all(isinstance(form, Gather) for form in x.terms.values()):
        x = call.population([x], LINEAR)  # it is read twice
    rest = [d for d in range(len(x.shape)) if d != axis]
    # (groups, n, rows): the axis before the last of the others
    places = x.places.transpose(*rest[:-1], axis, *rest[-1:])
    n, rows = x.shape[axis], x.shape[rest[-1]] if rest else 1
    groups = x.size // (n * rows)
    order = places.reshape(groups * n, rows)
    columns = x.rearranged(order)
    call.builder.note_layout(columns)
    top = greatest(call, columns, groups, f"{name}_max")
    spread = top.rearranged(np.repeat(top.places, n, axis=0))
    below = columns.plus(spread.scaled(np.float64(-1)))
    powers = call.population([below], "exp", name=f"{name}_exp")
    total = call.builder.mixed(powers, np.ones((groups * n, n)), fixed=True, groups=groups)
    found = call.population([powers, total], "divide", name=name)
    return found.rearranged(np.argsort(order.ravel()).reshape(x.shape))


def greatest(call: Call, columns: Affine, groups: int, name: str) -> Affine:
    """Return the greatest of each run of rows of a value (groups·n, columns), (groups, columns)."""
    n = columns.shape[0] // groups
    operands = [columns.rearranged(columns.places[k::n]) for k in range(n)]
    return call.population(operands, MAX, name=name)


@handles("amax")
def amax(call: Call) -> Value:
    x, given = call.affine("self"), call["dim"]
    given = [given] if isinstance(given, int) else list(given)
    if [d % (len(x.shape) + 1) for d in given] != [len(x.shape)]:
        raise Refused("only over the last axis")
    columns = by_columns(x, 1)
    call.builder.note_layout(columns)
    return greatest(call, columns, 1, call.site.path or "amax").reshaped(call.features)


# -- attention -----------------------------------------------------------------------------------


@handles("scaled_dot_product_attention")
def attention(call: Call) -> Value:
    """softmax(q kᵀ·scale + mask) v."""
    if call.arguments.get("is_causal"):
        raise Refused("a causal mask is not supported")
    q, k, v = (call.affine(name) for name in ("query", "key", "value"))
    name = call.site.path or "attention"
    scale = call.arguments.get("scale")
    scale = q.shape[-1] ** -0.5 if scale is None else float(scale)
    turned = k.rearranged(k.places.swapaxes(-1, -2))
    scores = multiplied(call, q, turned, f"{name}_scores").scaled(np.float64(scale))
    mask = call.arguments.get("attn_mask")
    if mask is not None:
        if not isinstance(mask, Constant) or not np.isfinite(call.constant("attn_mask")).all():
            raise Refused("only a mask of finite constants is supported")
        scores = scores.shifted(call.constant("attn_mask"))
    weights = shares(call, scores, len(scores.shape) - 1)
    return multiplied(call, weights, v, f"{name}_mix")
