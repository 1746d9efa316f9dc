"""Planes: how the neurons of a population are seen as channels, lines and pixels."""

from dataclasses import dataclass

import numpy as np

Planes = tuple[int, int, int]  # channels, height, width
Padding = tuple[int, int, int, int]  # rows above and below, columns left and right


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
        height, width = (1, 1, *size)[-2:]
        return cls(planes=(channels, height, width))

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
    """Add rows and columns of zeros around (..., height, width); negative numbers cut off.

    The result lies in memory in the order of ``x``.
    """
    top, bottom, left, right = padding
    height, width = x.shape[-2:]
    x = x[..., max(0, -top) : height - max(0, -bottom), max(0, -left) : width - max(0, -right)]
    if max(padding) <= 0:
        return x
    above, before = max(0, top), max(0, left)
    height, width = x.shape[-2:]
    grown = (above + height + max(0, bottom), before + width + max(0, right))
    planes = np.zeros_like(x, shape=(*x.shape[:-2], *grown))
    planes[..., above : above + height, before : before + width] = x
    return planes


def positions(size: tuple[int, int], window, stride, padding: Padding) -> tuple[int, int]:
    """How many windows fit, (height, width)."""
    top, bottom, left, right = padding
    return (
        (size[0] + top + bottom - window[0]) // stride[0] + 1,
        (size[1] + left + right - window[1]) // stride[1] + 1,
    )


def padding_to(planes: Planes, out: Planes, window, stride, first) -> Padding:
    """Return the padding that begins ``first`` (top, left) and ends where ``out`` does."""
    last = [(out[k + 1] - 1) * stride[k] + window[k] - planes[k + 1] - first[k] for k in range(2)]
    return (first[0], last[0], first[1], last[1])


def raster_order(shape: tuple[int, ...]) -> np.ndarray:
    """Return the neurons of a population in the order in which their trains travel, int64.

    Of planes (channels, height, width) that is pixel after pixel; of others, their own order.
    """
    numbers = np.arange(int(np.prod(shape)))
    return numbers.reshape(shape[0], -1).T.ravel() if len(shape) == 3 else numbers
