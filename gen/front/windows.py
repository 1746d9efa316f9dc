"""Windows over planes: convolution, pooling, means."""

import math
from typing import Any

import numpy as np

from ..model.maps import Conv, Layout, Padding, Planes, Window
from ..model.network import LINEAR
from .affine import Affine, Matrix
from .arithmetic import weight_name
from .builder import is_plain
from .graph import UNKNOWN, UPSAMPLE, Call, Handlers, Value, operator_name
from .rectifiers import larger
from .refusals import Refused

handles = Handlers()


def pair(value: Any) -> tuple[int, int]:
    """Return (vertical, horizontal) of an argument of one or two numbers."""
    numbers = [int(n) for n in (value if isinstance(value, list | tuple) else [value])]
    return (numbers[0], numbers[-1])


def planes_of(call: Call, x: Affine) -> Planes:
    """Return the planes of a value of shape (channels, height, width) or (channels, length)."""
    if len(x.shape) not in (2, 3):
        raise Refused(f"planes have a shape (channels, height, width), not {x.shape}")
    return Layout.of(x.shape).planes


def along(value: Any, axes: int, single: int) -> tuple[int, int]:
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
        raise Refused(UPSAMPLE)
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
    result = call.builder.through_planes(call.features, x, outer, weight_name(call, "weight"))
    if call["bias"] is None:
        return result
    return result.shifted(call.constant("bias").reshape(-1, *[1] * axes))


def windowed(
    call: Call,
    x: Affine,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
) -> Affine:
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
    return call.builder.through_planes(call.features, x, outer)


def pooling(call: Call, x: Affine) -> tuple[tuple[int, int], tuple[int, int], Padding]:
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
    scale = np.float64(1 / count if call.name == "mean" else 1)
    if len(x.shape) in (2, 3) and dims == list(range(2, len(x.shape) + 1)):
        planes = planes_of(call, x)
        result = windowed(call, x, planes[1:], (1, 1), (0, 0, 0, 0))
        return result.reshaped(call.features).scaled(scale)
    rest = [d for d in range(len(x.shape)) if d + 1 not in dims]
    rows = math.prod(x.shape[d] for d in rest)
    if rows > 1:
        order = x.places.transpose(*(d - 1 for d in dims), *rest).reshape(count, rows)
        one = np.full((1, count), scale)
        return call.builder.mixed(x.rearranged(order), one, fixed=True).reshaped(call.features)
    moved = x.rearranged(x.places.transpose(*rest, *(d - 1 for d in dims)))
    return moved.through(Matrix(np.full((1, count), scale)), call.features)


@handles("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool1d_with_indices")
def max_pooling(call: Call) -> Value:
    """Make a population whose neurons are the maximum of a window's neurons."""
    x = call.affine("self")
    if any(d != 1 for d in pair(call["dilation"])):
        raise Refused("only dilation 1 is supported")
    window, stride, padding = pooling(call, x)
    if not is_plain(x):
        x = settled(call, x)
    planes, features = planes_of(call, x), call.features
    signed = max(padding) > 0 and not call.builder.is_positive(x)
    operands = []
    for u in range(window[0]):
        for v in range(window[1]):
            first = (padding[0] - u, padding[2] - v)
            out = (1, *features[1:])[-2:]
            last = [(out[k] - 1) * stride[k] + 1 - planes[k + 1] - first[k] for k in range(2)]
            offset = (first[0], last[0], first[1], last[1])
            operand = windowed(call, x, (1, 1), stride, offset)
            if signed:  # beyond the planes stands nothing, which no value is below
                inside = [
                    np.isin(np.arange(out[k]) * stride[k] - first[k], np.arange(planes[k + 1]))
                    for k in range(2)
                ]
                bias = np.where(np.outer(*inside), 0.0, -np.inf)
                operand = operand.shifted(bias.reshape(features[1:]))
            operands.append(operand)
    result = larger(call, operands)
    several = isinstance(call.node.meta["val"], tuple | list)
    return (result, UNKNOWN) if several else result


def settled(call: Call, x: Affine) -> Affine:
    """Make a population of what a max pooling reads: ReLU where only that follows, else linear."""
    users = [user for user in call.node.users if operator_name(user) == "getitem"] or [call.node]
    followers = [operator_name(f) for user in users for f in user.users]
    if call.builder.is_positive(x) or (followers and set(followers) <= {"relu"}):
        return call.population([x], "relu")
    return call.population([x], LINEAR)
