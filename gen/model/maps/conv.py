"""Convolutions, depthwise and grouped ones among them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from .planes import padded
from .sliding import ONE_INPUT, Sliding

LARGEST_COLUMNS = 2**23  # elements of the matrix that a convolution unfolds at a time
# BLAS multiplies small matrices without moving them about first, OpenBLAS up to 10^6 products.
MATRIX_PRODUCTS = 10**6
LEAST_WIDTH = 16  # columns of a matrix that is multiplied at a time


def inside(count: int, step: int, shift: int, size: int) -> tuple[slice, slice]:
    """Return which i of ``count`` have i·step + shift in 0..size - 1, and what they read."""
    begin = min(count, max(0, -(shift // step)))
    end = max(begin, min(count, (size - 1 - shift) // step + 1))
    first = begin * step + shift
    return slice(begin, end), slice(first, first + (end - begin) * step, step)


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
    convolves = True

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

    @property
    def apart(self) -> bool:
        return self.depthwise

    @property
    def runs(self) -> int:
        return 1 if self.depthwise else self.groups

    @property
    def parallel_inputs(self) -> tuple[int, str]:
        if self.depthwise:
            return ONE_INPUT
        channels = self.kernel.shape[1]
        return channels, "input channels of a group" if self.groups > 1 else "input channels"

    def columns(self, *, is_input: bool) -> np.ndarray:
        columns = super().columns(is_input=is_input)
        return columns.reshape(self.kernel.shape[1:]).transpose(1, 2, 0).ravel()

    def first(self, outputs: int) -> "Conv":
        if self.groups > 1:
            raise ValueError("the channels of a convolution in groups do not stand alone")
        return replace(self, kernel=self.kernel[:outputs])

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

    def summed(self, x: np.ndarray) -> np.ndarray:
        """Return :meth:`apply` of whole floats, laid out lines first and samples last.

        A window is unfolded along its line alone: the lines that it spans lie one behind the other,
        so that its inputs are rows of the same matrix whichever line it begins at.
        """
        if self.depthwise:
            return self._apply_depthwise(x)
        (rows, columns), n = self.out_planes[1:], len(x)
        lines = self._unfolded_lines(x)
        fan_in, item = self.weights.shape[1], x.itemsize
        line = lines[0, 0].size
        matrices = as_strided(
            lines,
            (self.groups, rows, fan_in, columns * n),
            (lines.strides[0], self._step_down * line * item, columns * n * item, item),
            writeable=False,
        )
        y = np.empty((rows, self.groups, len(self.kernel) // self.groups, columns * n), x.dtype)
        placed = y.swapaxes(0, 1)
        weights = self._line_weights
        width = max(LEAST_WIDTH, MATRIX_PRODUCTS // (weights.shape[2] * fan_in))
        for at in range(0, columns * n, width):
            part = slice(at, at + width)
            np.matmul(weights, matrices[..., part], out=placed[..., part])
        return y.reshape(rows, len(self.kernel), columns, n).transpose(3, 1, 0, 2)

    @cached_property
    def _line_weights(self) -> np.ndarray:
        """(groups, 1, outputs, fan_in) with columns in the order of lines, columns, channels."""
        moved = self.kernel.transpose(0, 2, 3, 1).reshape(self.groups, 1, -1, self.weights.shape[1])
        return np.ascontiguousarray(moved)

    @property
    def _step_down(self) -> int:
        """Lines from one window to the next among those that windows read."""
        return 1 if self.window[0] == 1 else self.stride[0]

    def _unfolded_lines(self, x: np.ndarray) -> np.ndarray:
        """Return (groups, lines, width of the window, channels, positions in a line, n)."""
        channels, height, width = self.layout.planes
        (rows, columns), (down, right) = self.out_planes[1:], self.stride
        (tall, wide), (top, _, left, _) = self.window, self.padding
        used = (rows - 1) * self._step_down + tall
        to, of = inside(used, down if tall == 1 else 1, -top, height)
        taps = [inside(columns, right, v - left, width) for v in range(wide)]
        planes = np.ascontiguousarray(self.layout.seen(x).transpose(2, 1, 3, 0))
        whole = (slice(0, used), [(slice(0, columns), slice(0, width, 1))])
        if self.groups == 1 and (to, taps) == whole:  # lines stand as they are read
            return np.ascontiguousarray(planes[of])[None, :, None]
        planes = planes.reshape(height, self.groups, -1, width, len(x)).swapaxes(0, 1)[:, of]
        per_group = channels // self.groups
        lines = np.empty((self.groups, used, wide, per_group, columns, len(x)), x.dtype)
        lines[:, : to.start] = lines[:, to.stop :] = 0
        for v, (at, read) in enumerate(taps):
            tap = lines[:, to, v]
            tap[..., : at.start, :] = tap[..., at.stop :, :] = 0
            tap[..., at, :] = planes[..., read, :]
        return lines

    def _apply_depthwise(self, x: np.ndarray) -> np.ndarray:
        planes = padded(self.layout.seen(x), self.padding)
        factors, taps = self.weights[..., None, None], self.taps(planes)
        y = factors[:, 0] * next(taps)
        for k, tap in enumerate(taps, 1):
            y += factors[:, k] * tap
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

    def parameters(self) -> dict[str, Any]:
        found = {**super().parameters(), "kernel": list(self.kernel.shape), "groups": self.groups}
        return found | ({"fixed": True} if self.fixed else {})

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, Any]) -> "Conv":
        kernel = weights.reshape(parameters["kernel"])
        return cls(
            kernel=kernel,
            groups=parameters["groups"],
            fixed=parameters.get("fixed", False),
            **cls.geometry(parameters),
        )
