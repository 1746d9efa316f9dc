"""Maps of planes folded into one: slices, padding and factors into the convolution beside them.

Two maps in a row become one where that takes no more weights than both have and gives the same
numbers at the borders; else they are :class:`Entangled`.
"""

from dataclasses import replace
from typing import TypeGuard

import numpy as np

from ..model.maps import Conv, Layout, LinearMap, Pooled, Sliding, Window, padding_to


class Entangled(Exception):
    """Two maps in a row that do not become one."""


# -- two maps in a row ---------------------------------------------------------------------------


def lined_up(layout: Layout, size: tuple[int, ...]) -> Layout | None:
    """Return a layout with the pixels in lines of another length; ``None`` where it cannot be.

    One pixel after the other stays what it is, whether they stand in one line or in rows.
    """
    channels, height, width = layout.planes
    if (height, width) == size:
        return layout
    if height * width != size[0] * size[1]:
        return None
    channel, down, right = layout.axes
    if min(height, width) > 1 and right != down + 1:
        return None
    first = channel < (right if width > 1 else down)
    return Layout(planes=(channels, size[0], size[1]), axes=(0, 1, 2) if first else (2, 0, 1))


def seen_as(linear: LinearMap, size: tuple[int, ...]) -> Sliding | None:
    """Return a map of one pixel, or a sum of all, on planes of lines of another length.

    What it gives stands in the same order. ``None`` where it is another kind of map.
    """
    if not isinstance(linear, Sliding) or len(size) != 2:
        return None
    layout = lined_up(linear.layout, size)
    if layout is None:
        return None
    if linear.window == linear.stride == (1, 1) and not any(linear.padding):
        return replace(linear, layout=layout)
    if isinstance(linear, Window) and linear.covers_planes:
        return replace(linear, layout=layout, window=size)
    return None


def single_values(linear: LinearMap) -> LinearMap:
    """Return means of whole planes as a map to single values; others as they are."""
    whole = isinstance(linear, Window) and linear.covers_planes and len(linear.out_shape) > 1
    return behind(np.eye(linear.channels), linear) if whole else linear


def alike(maps: list[LinearMap]) -> list[LinearMap] | None:
    """Return maps whose results have one shape, where that is a matter of lines alone."""
    fixed = [m for m in maps if seen_as(m, m.out_shape[1:]) is None]
    target = (fixed or maps)[0].out_shape
    if any(len(m.out_shape) == 1 for m in maps):  # single values, means of planes among them
        maps = [single_values(m) for m in maps]
        target = maps[0].out_shape
    found = [m if m.out_shape == target else seen_as(m, target[1:]) for m in maps]
    if not all(m is not None and m.out_shape == target for m in found):
        return None
    return [m for m in found if m is not None]


def seeing(outer: LinearMap, inner: LinearMap) -> LinearMap:
    """Return ``outer`` as it reads the planes of ``inner``, which it may know as other lines."""
    planes = inner.out_planes
    if not isinstance(outer, Sliding) or planes is None:
        return outer
    found = seen_as(outer, planes[1:]) if outer.layout.planes[0] == planes[0] else None
    if found is None and outer.layout.planes != planes:
        raise Entangled(f"planes {outer.layout.planes} of what has planes {planes}")
    return outer if found is None else replace(found, in_shape=inner.out_shape)


def merged(outer: LinearMap, inner: LinearMap) -> LinearMap:
    """Return outer(inner(x)) as one map; ``outer`` reads the planes of ``inner``.

    Of kinds other than convolutions and windows it is known only that they read a population's
    planes, in any order.
    """
    if isinstance(outer, Sliding) and not isinstance(outer, Conv | Window):
        found = outer.reading(inner.in_shape, inner.layout) if is_identity(inner) else None
        if found is not None:
            return found
    if (found := inner.followed(outer, merged)) is not None:
        return found
    if not isinstance(outer, Conv | Window) or not isinstance(inner, Conv | Window):
        raise Entangled(f"{outer.kind} behind {inner.kind}")
    if inner.window == (1, 1) and isinstance(inner, Window):
        return _behind_selection(outer, inner)
    if outer.window == (1, 1) and isinstance(outer, Window):
        return _selected(outer, inner)
    if isinstance(outer, Window) and isinstance(inner, Window) and outer.in_order:
        return _window_of_windows(outer, inner)
    if (
        isinstance(outer, Window)
        and outer.covers_planes
        and outer.in_order
        and isinstance(inner, Conv)
        and inner.window == inner.stride == (1, 1)
        and inner.groups == 1
        and not any(inner.padding)
    ):
        matrix = outer.factor[:, None] * inner.weights
        return Pooled(matrix=matrix, in_shape=inner.in_shape, layout=inner.layout)
    return _composite(outer, inner)


def is_identity(linear: LinearMap) -> TypeGuard[Window]:
    """Whether a map gives the planes that it reads, and nothing else."""
    return (
        isinstance(linear, Window)
        and linear.in_order
        and linear.window == linear.stride == (1, 1)
        and not any(linear.padding)
        and bool((linear.factor == 1).all())
    )


def behind(matrix: np.ndarray, inner: LinearMap) -> LinearMap:
    """Return matrix · inner(x), the matrix over the flattened planes."""
    if isinstance(inner, Pooled):
        return replace(inner, matrix=matrix @ inner.matrix)
    if isinstance(inner, Window) and inner.covers_planes and inner.out_planes[1:] == (1, 1):
        columns = np.zeros((inner.layout.planes[0], len(matrix)))
        known = [o for o, source in enumerate(inner.sources) if source >= 0]
        scaled = (matrix * inner.factor).T
        np.add.at(columns, [inner.sources[o] for o in known], scaled[known])
        return Pooled(matrix=columns.T, in_shape=inner.in_shape, layout=inner.layout)
    raise Entangled(f"a matrix behind {inner.kind}")


def across(inner: LinearMap) -> LinearMap:
    """Return sums of whole lines as sums over channels, one for each pixel; others as they are.

    What is seen as (lines, 1, n) planes is seen as (n, 1, lines) planes too, and the results have
    the same order.
    """
    if not isinstance(inner, Window) or not inner.covers_planes or inner.window[0] != 1:
        return inner
    if not inner.in_order or not (inner.factor == inner.factor[0]).all():
        return inner
    (lines, _, n), (first, second, third) = inner.layout.planes, inner.layout.axes
    return Conv(
        in_shape=inner.in_shape,
        layout=Layout(planes=(n, 1, lines), axes=(third, second, first)),
        kernel=np.full((1, n, 1, 1), inner.factor[0]),
        fixed=True,
    )


def _behind_selection(outer: Conv | Window, inner: Window) -> Conv | Window:
    """Return ``outer`` on channels, slices and padding of planes."""
    stride = _strides(outer, inner)
    for side in range(4):
        cut = inner.padding[side] < 0 or inner.stride[side // 2] > 1
        if outer.padding[side] > 0 and cut:
            raise Entangled("padding of what was cut off")
    first = [outer.padding[2 * k] * inner.stride[k] + inner.padding[2 * k] for k in range(2)]
    place = {
        "in_shape": inner.in_shape,
        "layout": inner.layout,
        "stride": stride,
        "padding": padding_to(inner.layout.planes, outer.out_planes, outer.window, stride, first),
    }
    if isinstance(outer, Window):
        sources = tuple(-1 if s < 0 else inner.sources[s] for s in outer.sources)
        factor = outer.factor * np.array([0 if s < 0 else inner.factor[s] for s in outer.sources])
        return replace(outer, **place, sources=sources, factor=factor)
    if outer.groups == 1:
        kernel = np.zeros((len(outer.kernel), inner.layout.planes[0], *outer.window))
        for o, source in enumerate(inner.sources):
            if source >= 0:
                kernel[:, source] += inner.factor[o] * outer.kernel[:, o]
        return replace(outer, **place, kernel=kernel)
    if not inner.in_order:
        raise Entangled("groups of channels that were moved")
    per_group = outer.kernel.shape[1]
    group = np.arange(len(outer.kernel)) // (len(outer.kernel) // outer.groups)
    channel = group[:, None] * per_group + np.arange(per_group)
    return replace(outer, **place, kernel=outer.kernel * inner.factor[channel][..., None, None])


def _strides(outer: Sliding, inner: Sliding) -> tuple[int, int]:
    for k in range(2):
        if inner.stride[k] > 1 and outer.window[k] > 1 and inner.window[k] == 1:
            raise Entangled("a window over every other pixel")
    return (outer.stride[0] * inner.stride[0], outer.stride[1] * inner.stride[1])


def _selected(outer: Window, inner: Conv | Window) -> Conv | Window:
    """Return channels and slices of what ``inner`` gives."""
    if max(outer.padding) > 0 and (inner.window != (1, 1) or any(inner.padding)):
        raise Entangled("padding behind a convolution")  # (a pixel of zeros stays zero)
    stride = _strides(outer, inner)
    first = [inner.padding[2 * k] + outer.padding[2 * k] * inner.stride[k] for k in range(2)]
    place = {
        "stride": stride,
        "padding": padding_to(inner.layout.planes, outer.out_planes, inner.window, stride, first),
    }
    if isinstance(inner, Window):
        sources = tuple(-1 if s < 0 else inner.sources[s] for s in outer.sources)
        factor = [
            0.0 if s < 0 else f * inner.factor[s]
            for f, s in zip(outer.factor, outer.sources, strict=True)
        ]
        return replace(inner, **place, sources=sources, factor=np.array(factor))
    known = np.array(outer.sources) >= 0
    factor = (outer.factor * known)[:, None, None, None]
    if outer.in_order:
        return replace(inner, **place, kernel=factor * inner.kernel)
    if inner.groups > 1:
        raise Entangled("groups of channels that were moved")
    return replace(inner, **place, kernel=factor * inner.kernel[list(outer.sources)])


def _window_of_windows(outer: Window, inner: Window) -> Window:
    if inner.stride != inner.window or any(outer.padding):
        raise Entangled("windows that overlap")
    window = tuple((outer.window[k] - 1) * inner.stride[k] + inner.window[k] for k in range(2))
    stride = (outer.stride[0] * inner.stride[0], outer.stride[1] * inner.stride[1])
    first = (inner.padding[0], inner.padding[2])
    return replace(
        inner,
        window=window,
        stride=stride,
        factor=outer.factor * inner.factor,
        padding=padding_to(inner.layout.planes, outer.out_planes, window, stride, first),
    )


def _composite(outer: Conv | Window, inner: Conv | Window) -> Conv:
    """Return one convolution for two, where it takes no more weights than both."""
    if any(outer.padding):
        raise Entangled("a convolution of padded results")
    a, b = _as_conv(inner), _as_conv(outer)
    depthwise = a.depthwise and b.depthwise
    first = a.kernel if depthwise else _ungrouped(a)
    second = b.kernel if depthwise else _ungrouped(b)
    (down, right), (h1, w1), (h2, w2) = inner.stride, inner.window, outer.window
    size = ((h2 - 1) * down + h1, (w2 - 1) * right + w1)
    channels = 1 if depthwise else first.shape[1]
    weights = sum(0 if m.fixed else m.weights.size for m in (outer, inner))
    if len(second) * channels * size[0] * size[1] > weights:
        raise Entangled("two convolutions in a row")
    kernel = np.zeros((len(second), channels, *size))
    for u in range(h2):
        for v in range(w2):
            tap = second[:, :, u, v]
            part = tap[..., None, None] * first if depthwise else np.tensordot(tap, first, 1)
            kernel[:, :, u * down : u * down + h1, v * right : v * right + w1] += part
    stride = (outer.stride[0] * down, outer.stride[1] * right)
    first_place = (inner.padding[0], inner.padding[2])
    return Conv(
        in_shape=inner.in_shape,
        layout=inner.layout,
        stride=stride,
        padding=padding_to(inner.layout.planes, outer.out_planes, size, stride, first_place),
        kernel=kernel,
        groups=a.groups if depthwise else 1,
    )


def _as_conv(sliding: Conv | Window) -> Conv:
    if isinstance(sliding, Conv):
        return sliding
    if not sliding.in_order:
        raise Entangled("channels that were moved")
    ones = np.ones((sliding.channels, 1, *sliding.window))
    return Conv(
        in_shape=sliding.in_shape,
        layout=sliding.layout,
        stride=sliding.stride,
        padding=sliding.padding,
        kernel=ones * sliding.factor[:, None, None, None],
        groups=sliding.channels,
    )


def _ungrouped(conv: Conv) -> np.ndarray:
    """Return the kernel over all input channels, with zeros between groups."""
    n_out, per_group = conv.kernel.shape[:2]
    kernel = np.zeros((n_out, conv.layout.planes[0], *conv.window))
    rows = n_out // conv.groups
    for g in range(conv.groups):
        own = slice(g * rows, (g + 1) * rows)
        kernel[own, g * per_group : (g + 1) * per_group] = conv.kernel[own]
    return kernel
