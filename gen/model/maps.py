"""Linear maps from one population to an operand: dense, convolutions, windows of fixed sums.

A map holds floats in a Network and integers in a Design. Populations of planes have the shape
(channels, height, width); one-dimensional signals are planes of height 1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

LARGEST_COLUMNS = 2**23  # elements of the matrix that a convolution unfolds at a time
Planes = tuple[int, int, int]  # channels, height, width
Padding = tuple[int, int, int, int]  # rows above and below, columns left and right


class LinearMap:
    """A linear map from one population to an operand; its numbers may be floats or integers.

    Members
    -------
    in_shape, out_shape : tuple of int, without the batch axis
    channels : number of output channels; each has one quantisation scale. The channel axis is the
        first of ``out_shape``.
    weights : (channels, fan_in) what is quantised
    groups : channels fall into so many equal runs, each with patches of its own
    fixed : the coefficients are plain factors (a sum, a mean), not trained weights
    """

    kind = ""
    fixed = False
    groups = 1
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        return self.out_shape[0]

    @property
    def weights(self) -> np.ndarray:
        raise NotImplementedError(type(self).__name__)

    def with_weights(self, weights: np.ndarray) -> Self:
        """Return the same map with other ``weights``, (channels, fan_in)."""
        raise NotImplementedError(type(self).__name__)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Map a batch: (n, *in_shape) to (n, *out_shape)."""
        raise NotImplementedError(type(self).__name__)

    def patches(self, x: np.ndarray) -> np.ndarray:
        """Return (groups, rows, fan_in): every vector of ``x`` that meets the weights of a group.

        Rows run over samples, then over positions of ``out_shape``.
        """
        raise NotImplementedError(type(self).__name__)

    @property
    def gain(self) -> np.ndarray:
        """(channels,) the greatest magnitude of an output where no input exceeds 1."""
        return np.abs(self.weights).sum(axis=1)

    @property
    def sources_of_weights(self) -> np.ndarray:
        """(channels, fan_in) channel of the source population that each weight is for."""
        raise NotImplementedError(type(self).__name__)

    def parameters(self) -> dict[str, object]:
        """Numbers beside ``weights`` that rebuild the map: JSON values."""
        return {}

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, object]) -> Self:
        """Undo ``weights`` and ``parameters``."""
        raise NotImplementedError(cls.__name__)


@dataclass(frozen=True, eq=False)
class Dense(LinearMap):
    """y = W x over the flattened source, W : (n_out, n_in).

    Parameters
    ----------
    matrix
        (n_out, n_in), float64 in a Network, int64 in a Design.
    in_shape
        Shape of the source population; n_in elements in C order.
    """

    matrix: np.ndarray
    in_shape: tuple[int, ...]

    kind = "dense"

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.shape[1] != int(np.prod(self.in_shape)):
            raise ValueError(
                f"a dense map from shape {self.in_shape} needs {int(np.prod(self.in_shape))} "
                f"columns, not {self.matrix.shape}"
            )

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (self.matrix.shape[0],)

    @property
    def weights(self) -> np.ndarray:
        return self.matrix

    def with_weights(self, weights: np.ndarray) -> "Dense":
        return replace(self, matrix=weights)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1) @ self.matrix.T

    def patches(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(1, len(x), -1)

    @property
    def sources_of_weights(self) -> np.ndarray:
        pixels = int(np.prod(self.in_shape[1:]))
        return np.broadcast_to(np.arange(self.matrix.shape[1]) // pixels, self.matrix.shape)

    def parameters(self) -> dict[str, object]:
        return {"in_shape": list(self.in_shape)}

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, object]) -> "Dense":
        return cls(weights, tuple(parameters["in_shape"]))


# -- planes --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the neurons of a population, in their own order, are seen as planes.

    Parameters
    ----------
    planes
        (channels, height, width) as a map sees them.
    axes
        Where each of the three stands in the order of the neurons: (0, 1, 2) for channels first,
        (2, 0, 1) for an image of (height, width, channels).
    """

    planes: Planes
    axes: tuple[int, int, int] = (0, 1, 2)

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> "Layout":
        """Return the channels-first layout of a population's shape.

        A signal (channels, length) has height 1; single values are planes of one pixel.
        """
        if len(shape) > 3 or not shape:
            raise ValueError(f"planes have up to three axes, not shape {shape}")
        channels, *size = shape
        return cls(planes=(channels, *[1] * (2 - len(size)), *size) if size else (channels, 1, 1))

    @property
    def memory(self) -> tuple[int, ...]:
        """The three sizes in the order of the neurons."""
        sizes = [0, 0, 0]
        for size, axis in zip(self.planes, self.axes, strict=True):
            sizes[axis] = size
        return tuple(sizes)

    @property
    def order(self) -> list[int]:
        """Axes of more than one element, the slowest in the order of the neurons first.

        0 is the channel, 1 the line, 2 the column.
        """
        return [int(k) for k in np.argsort(self.axes) if self.planes[k] > 1]

    def seen(self, x: np.ndarray) -> np.ndarray:
        """(n, ...) in the order of the neurons as (n, channels, height, width)."""
        return x.reshape(len(x), *self.memory).transpose(0, *(axis + 1 for axis in self.axes))


def padded(x: np.ndarray, padding: Padding) -> np.ndarray:
    """Add rows and columns of zeros around (..., height, width); negative numbers cut off."""
    top, bottom, left, right = padding
    height, width = x.shape[-2:]
    x = x[..., max(0, -top) : height - max(0, -bottom), max(0, -left) : width - max(0, -right)]
    grow = [(max(0, top), max(0, bottom)), (max(0, left), max(0, right))]
    return x if not np.any(grow) else np.pad(x, [(0, 0)] * (x.ndim - 2) + grow)


def positions(size: tuple[int, int], window, stride, padding: Padding) -> tuple[int, int]:
    """How many windows fit, (height, width)."""
    top, bottom, left, right = padding
    return (
        (size[0] + top + bottom - window[0]) // stride[0] + 1,
        (size[1] + left + right - window[1]) // stride[1] + 1,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Sliding(LinearMap):
    """What maps of planes by windows share.

    Parameters
    ----------
    in_shape
        Of the source population.
    layout
        How it is seen as planes.
    stride
        (vertical, horizontal) step from one window to the next.
    padding
        Rows and columns of value 0 around the planes; negative ones are cut off.
    """

    in_shape: tuple[int, ...]
    layout: Layout
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if int(np.prod(self.in_shape)) != int(np.prod(self.layout.planes)):
            raise ValueError(
                f"a source of shape {self.in_shape} cannot be seen as planes {self.layout.planes}"
            )
        if min(self.stride) < 1 or min(self.out_planes) < 1:
            raise ValueError(
                f"no window of {self.window} fits planes {self.layout.planes} padded by "
                f"{self.padding} with stride {self.stride}"
            )

    @property
    def window(self) -> tuple[int, int]:
        """(height, width)."""
        raise NotImplementedError(type(self).__name__)

    @property
    def out_planes(self) -> Planes:
        """(channels, height, width) of the result."""
        size = positions(self.layout.planes[1:], self.window, self.stride, self.padding)
        return (self._channels, *size)

    @property
    def out_shape(self) -> tuple[int, ...]:
        return self.out_planes

    @property
    def _channels(self) -> int:
        raise NotImplementedError(type(self).__name__)

    def parameters(self) -> dict[str, object]:
        return {
            "in_shape": list(self.in_shape),
            "planes": list(self.layout.planes),
            "axes": list(self.layout.axes),
            "stride": list(self.stride),
            "padding": list(self.padding),
        }

    @staticmethod
    def geometry(parameters: Mapping[str, object]) -> dict[str, object]:
        """Undo :meth:`parameters`."""
        return {
            "in_shape": tuple(parameters["in_shape"]),
            "layout": Layout(planes=tuple(parameters["planes"]), axes=tuple(parameters["axes"])),
            "stride": tuple(parameters["stride"]),
            "padding": tuple(parameters["padding"]),
        }

    def taps(self, planes: np.ndarray) -> Iterator[np.ndarray]:
        """Yield, for each place of the window in C order, what lies there: (..., *positions)."""
        (rows, columns), (down, right) = self.out_planes[1:], self.stride
        for u in range(self.window[0]):
            for v in range(self.window[1]):
                yield planes[
                    ...,
                    u : u + (rows - 1) * down + 1 : down,
                    v : v + (columns - 1) * right + 1 : right,
                ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv(Sliding):
    """y[o, i, j] = Σ_c,u,v kernel[o, c, u, v] x[g + c, i·down - top + u, j·right - left + v].

    g is the first channel of o's group; 0 stands outside the planes.

    Parameters
    ----------
    kernel
        (n_out, n_in / groups, height, width).
    groups
        Runs of channels that are convolved apart; as many as there are channels is depthwise.
    fixed
        The kernel holds plain factors, such as those of a mean over channels.
    """

    kernel: np.ndarray
    groups: int = 1
    fixed: bool = False

    kind = "conv"

    def __post_init__(self) -> None:
        super().__post_init__()
        n_out, n_in = self.kernel.shape[:2]
        if n_in * self.groups != self.layout.planes[0] or n_out % self.groups:
            raise ValueError(
                f"a kernel of shape {self.kernel.shape} in {self.groups} groups does not fit "
                f"{self.layout.planes[0]} channels"
            )

    @property
    def window(self) -> tuple[int, int]:
        return self.kernel.shape[2:]

    @property
    def _channels(self) -> int:
        return len(self.kernel)

    @property
    def depthwise(self) -> bool:
        return self.groups == len(self.kernel) == self.layout.planes[0]

    @property
    def weights(self) -> np.ndarray:
        return self.kernel.reshape(len(self.kernel), -1)

    def with_weights(self, weights: np.ndarray) -> "Conv":
        return replace(self, kernel=weights.reshape(self.kernel.shape))

    def _columns(self, x: np.ndarray) -> np.ndarray:
        """(n, groups, fan_in, positions): the window of every position, unfolded."""
        planes = padded(self.layout.seen(x), self.padding)
        if self.window == (1, 1):
            seen = planes[:, :, :: self.stride[0], :: self.stride[1]]
            seen = seen[:, :, : self.out_shape[1], : self.out_shape[2]]
        else:
            seen = sliding_window_view(planes, self.window, axis=(2, 3))
            seen = seen[:, :, :: self.stride[0], :: self.stride[1]].transpose(0, 1, 4, 5, 2, 3)
        return seen.reshape(len(x), self.groups, self.weights.shape[1], -1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        if self.depthwise:
            return self._apply_depthwise(x)
        rows = self.weights.reshape(self.groups, -1, self.weights.shape[1])
        y = np.empty((len(x), *self.out_shape), np.result_type(x, self.kernel))
        unfolded = self.groups * rows.shape[2] * self.out_shape[1] * self.out_shape[2]
        batch = max(1, LARGEST_COLUMNS // unfolded)
        for i in range(0, len(x), batch):
            columns = self._columns(x[i : i + batch])
            y[i : i + batch] = (rows @ columns).reshape(-1, *self.out_shape)
        return y

    def _apply_depthwise(self, x: np.ndarray) -> np.ndarray:
        planes = padded(self.layout.seen(x), self.padding)
        y = np.zeros((len(x), *self.out_shape), np.result_type(x, self.kernel))
        for k, tap in enumerate(self.taps(planes)):
            y += self.weights[:, k, None, None] * tap
        return y

    def patches(self, x: np.ndarray) -> np.ndarray:
        columns = self._columns(x)
        return columns.transpose(1, 0, 3, 2).reshape(self.groups, -1, columns.shape[2])

    @property
    def sources_of_weights(self) -> np.ndarray:
        n_out, per_group = self.kernel.shape[:2]
        first = np.arange(n_out) // (n_out // self.groups) * per_group
        channel = first[:, None] + np.arange(per_group)
        return np.repeat(channel, self.window[0] * self.window[1], axis=1)

    def parameters(self) -> dict[str, object]:
        found = {**super().parameters(), "kernel": list(self.kernel.shape), "groups": self.groups}
        return found | ({"fixed": True} if self.fixed else {})

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, object]) -> "Conv":
        kernel = weights.reshape(parameters["kernel"])
        return cls(
            kernel=kernel,
            groups=parameters["groups"],
            fixed=parameters.get("fixed", False),
            **cls.geometry(parameters),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Window(Sliding):
    """y[o, i, j] = factor[o] Σ_u,v x[sources[o], i·down - top + u, j·right - left + v].

    Identity, slices, channels beside others (concatenation, zero-padded channels) with a window of
    one pixel; average pooling and the mean of a plane with a larger one.

    Parameters
    ----------
    factor
        (n_out,) coefficients.
    sources
        Channel that each output channel reads; -1 for none, whose output is 0.
    window
        (height, width).
    """

    factor: np.ndarray
    sources: tuple[int, ...]
    window: tuple[int, int] = (1, 1)  # pyright: ignore[reportIncompatibleMethodOverride]  # a field here, derived in Conv

    kind = "window"
    fixed = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor.shape != (len(self.sources),):
            raise ValueError(f"{len(self.sources)} channels need as many factors")
        if not all(-1 <= source < self.layout.planes[0] for source in self.sources):
            raise ValueError(f"a window reads channels below {self.layout.planes[0]}")

    @property
    def _channels(self) -> int:
        return len(self.sources)

    @property
    def weights(self) -> np.ndarray:
        return self.factor[:, None]

    def with_weights(self, weights: np.ndarray) -> "Window":
        return replace(self, factor=weights.reshape(-1))

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Planes; of a source of single values, which has one axis, single values again."""
        flat = len(self.in_shape) == 1 and self.layout.planes[1:] == (1, 1)
        return self.out_planes[:1] if flat and self.out_planes[1:] == (1, 1) else self.out_planes

    @property
    def in_order(self) -> bool:
        """Whether each output channel reads the channel of its own number."""
        return self.sources == tuple(range(self.layout.planes[0]))

    @property
    def covers_planes(self) -> bool:
        """Whether one window takes in the whole plane, as a mean over it does."""
        return self.window == self.layout.planes[1:] and not any(self.padding)

    def sums(self, x: np.ndarray) -> np.ndarray:
        """(n, *out_planes) of unit factors."""
        planes = self.layout.seen(x)
        if not self.in_order:
            known = np.array(self.sources) >= 0
            planes = planes[:, list(self.sources)] * known[:, None, None].astype(planes.dtype)
        if self.covers_planes:
            return planes.sum(axis=(2, 3), keepdims=True)
        return sum(self.taps(padded(planes, self.padding)))

    def apply(self, x: np.ndarray) -> np.ndarray:
        return (self.sums(x) * self.factor[:, None, None]).reshape(len(x), *self.out_shape)

    def patches(self, x: np.ndarray) -> np.ndarray:
        return np.moveaxis(self.sums(x), 1, 0).reshape(self.channels, -1, 1)

    @property
    def groups(self) -> int:
        return self.channels

    @property
    def sources_of_weights(self) -> np.ndarray:
        return np.maximum(self.sources, 0)[:, None]

    @property
    def gain(self) -> np.ndarray:
        return np.abs(self.factor) * (self.window[0] * self.window[1])

    def parameters(self) -> dict[str, object]:
        return {
            **super().parameters(),
            "sources": list(self.sources),
            "window": list(self.window),
        }

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, object]) -> "Window":
        return cls(
            factor=weights.reshape(-1),
            sources=tuple(parameters["sources"]),
            window=tuple(parameters["window"]),
            **cls.geometry(parameters),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Pooled(LinearMap):
    """y = W Σ_i,j x[:, i, j]: dense over the sums of planes, W : (n_out, channels).

    A linear layer behind the mean of a plane, with the number of pixels divided into W.
    """

    matrix: np.ndarray
    in_shape: tuple[int, ...]
    layout: Layout

    kind = "pooled"

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.shape[1] != self.layout.planes[0]:
            raise ValueError(
                f"a pooled map of {self.layout.planes[0]} channels does not take a matrix of "
                f"shape {self.matrix.shape}"
            )

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (self.matrix.shape[0],)

    @property
    def pixels(self) -> int:
        return self.layout.planes[1] * self.layout.planes[2]

    @property
    def weights(self) -> np.ndarray:
        return self.matrix

    def with_weights(self, weights: np.ndarray) -> "Pooled":
        return replace(self, matrix=weights)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return self.layout.seen(x).sum(axis=(2, 3)) @ self.matrix.T

    def patches(self, x: np.ndarray) -> np.ndarray:
        return self.layout.seen(x).sum(axis=(2, 3))[None]

    @property
    def sources_of_weights(self) -> np.ndarray:
        return np.broadcast_to(np.arange(self.matrix.shape[1]), self.matrix.shape)

    @property
    def gain(self) -> np.ndarray:
        return np.abs(self.matrix).sum(axis=1) * self.pixels

    def parameters(self) -> dict[str, object]:
        return {
            "in_shape": list(self.in_shape),
            "planes": list(self.layout.planes),
            "axes": list(self.layout.axes),
        }

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, object]) -> "Pooled":
        layout = Layout(planes=tuple(parameters["planes"]), axes=tuple(parameters["axes"]))
        return cls(matrix=weights, in_shape=tuple(parameters["in_shape"]), layout=layout)


MAPS: dict[str, type[LinearMap]] = {cls.kind: cls for cls in (Dense, Conv, Window, Pooled)}
