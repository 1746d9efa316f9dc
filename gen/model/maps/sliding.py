"""What maps of planes by windows share."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .linear import LinearMap
from .places import WindowPlaces
from .planes import Layout, Padding, Planes, positions

# What parallel_inputs of a map says whose outputs read one channel each.
ONE_INPUT = (1, "input that an output reads of a pixel")


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
    def padded(self) -> bool:
        return max(self.padding) > 0

    @property
    def sees(self) -> Layout:
        return self.layout

    def reading(self, in_shape: tuple[int, ...], layout: Layout) -> "Sliding":
        return replace(self, in_shape=in_shape, layout=layout)

    @property
    @abstractmethod
    def window(self) -> tuple[int, int]:
        """(height, width)."""

    @property
    def out_planes(self) -> Planes:
        """(channels, height, width) of the result."""
        size = positions(self.layout.planes[1:], self.window, self.stride, self.padding)
        return (self._channels, *size)

    @property
    def out_shape(self) -> tuple[int, ...]:
        return self.out_planes

    @property
    def places(self) -> WindowPlaces:
        _, height, width = self.layout.planes
        _, rows, columns = self.out_planes
        return WindowPlaces(
            height=height,
            width=width,
            size=self.window,
            stride=self.stride,
            positions=(rows, columns),
            padding=(self.padding[0], self.padding[2]),
        )

    @property
    @abstractmethod
    def _channels(self) -> int:
        """Of the result."""

    def parameters(self) -> dict[str, Any]:
        return {
            "in_shape": list(self.in_shape),
            "planes": list(self.layout.planes),
            "axes": list(self.layout.axes),
            "stride": list(self.stride),
            "padding": list(self.padding),
        }

    @staticmethod
    def geometry(parameters: Mapping[str, Any]) -> dict[str, Any]:
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
