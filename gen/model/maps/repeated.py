"""Windows over planes whose pixels stand several times: nearest upsampling and what reads it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from .conv import Conv
from .linear import LinearMap
from .places import WindowPlaces
from .planes import Layout, Planes, padding_to
from .sliding import Sliding
from .window import Window

WINDOWS: dict[str, type[Conv] | type[Window]] = {cls.kind: cls for cls in (Conv, Window)}


@dataclass(frozen=True, kw_only=True)
class RepeatedPlaces(WindowPlaces):
    """Where windows lie over planes whose pixels stand ``repeat`` times, down and right.

    ``height`` and ``width`` are those of the source; sizes, steps and padding count repeated
    pixels. Row y of the repeated planes is line y // repeat[0] of the source.
    """

    repeat: tuple[int, int]

    walk: ClassVar[str] = "repeated"

    @property
    def extent(self) -> tuple[int, int]:
        return self.height * self.repeat[0], self.width * self.repeat[1]

    def lines_to(self, y: int) -> int:
        return super().lines_to(y // self.repeat[0])

    def lines_for(self, y: int) -> int:
        return super().lines_to(-(-y // self.repeat[0]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Repeated(LinearMap):
    """y = windows(r), r[c, i, j] = x[c, i // down, j // right]: windows over repeated pixels.

    The weights are those of the windows, held once however often a pixel stands. Nearest upsampling
    alone is a window of one pixel.

    Parameters
    ----------
    in_shape
        Of the source population.
    layout
        How it is seen as planes.
    repeat
        (down, right) how often each pixel stands; at least one of them above 1.
    windows
        Map of the repeated planes, channels first.
    """

    in_shape: tuple[int, ...]
    layout: Layout
    repeat: tuple[int, int]
    windows: Conv | Window

    kind = "repeated"

    def __post_init__(self) -> None:
        if int(np.prod(self.in_shape)) != int(np.prod(self.layout.planes)):
            raise ValueError(
                f"a source of shape {self.in_shape} cannot be seen as planes {self.layout.planes}"
            )
        if min(self.repeat) < 1 or max(self.repeat) < 2:
            raise ValueError(f"pixels are repeated at least twice, not {self.repeat} times")
        planes = repeated_planes(self.layout.planes, self.repeat)
        if self.windows.in_shape != planes or self.windows.layout != Layout(planes=planes):
            raise ValueError(
                f"windows over repeated pixels read planes {planes}, not "
                f"{self.windows.layout.planes}"
            )

    @property
    def out_shape(self) -> tuple[int, ...]:
        return self.windows.out_planes

    @property
    def out_planes(self) -> Planes:
        return self.windows.out_planes

    @property
    def places(self) -> RepeatedPlaces:
        where, (_, height, width) = self.windows.places, self.layout.planes
        return RepeatedPlaces(
            height=height,
            width=width,
            size=where.size,
            stride=where.stride,
            positions=where.positions,
            padding=where.padding,
            repeat=self.repeat,
        )

    def repeated(self, x: np.ndarray) -> np.ndarray:
        """(n, *in_shape) as the repeated planes, (n, channels, height, width)."""
        return self.layout.seen(x).repeat(self.repeat[0], axis=2).repeat(self.repeat[1], axis=3)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return self.windows.apply(self.repeated(x)).reshape(len(x), *self.out_shape)

    def summed(self, x: np.ndarray) -> np.ndarray:
        return self.windows.summed(self.repeated(x)).reshape(len(x), *self.out_shape)

    def patches(self, x: np.ndarray) -> np.ndarray:
        return self.windows.patches(self.repeated(x))

    # -- of the windows ------------------------------------------------------------------------

    @property
    def weights(self) -> np.ndarray:
        return self.windows.weights

    def with_weights(self, weights: np.ndarray) -> "Repeated":
        return replace(self, windows=self.windows.with_weights(weights))

    def first(self, outputs: int) -> "Repeated":
        return replace(self, windows=self.windows.first(outputs))

    @property
    def fixed(self) -> bool:
        return self.windows.fixed

    @property
    def groups(self) -> int:
        return self.windows.groups

    @property
    def convolves(self) -> bool:
        return self.windows.convolves

    @property
    def sees(self) -> Layout:
        return self.layout

    @property
    def apart(self) -> bool:
        return self.windows.apart

    @property
    def picked(self) -> bool:
        return self.windows.picked

    @property
    def runs(self) -> int:
        return self.windows.runs

    @property
    def repeats(self) -> int:
        return self.windows.repeats

    @property
    def padded(self) -> bool:
        return self.windows.padded

    @property
    def known(self) -> np.ndarray:
        return self.windows.known

    @property
    def parallel_inputs(self) -> tuple[int, str]:
        return self.windows.parallel_inputs

    def columns(self, *, is_input: bool) -> np.ndarray:
        return self.windows.columns(is_input=is_input)

    @property
    def gain(self) -> np.ndarray:
        return self.windows.gain

    @property
    def sources_of_weights(self) -> np.ndarray:
        return self.windows.sources_of_weights

    # -- beside others -------------------------------------------------------------------------

    def reading(self, in_shape: tuple[int, ...], layout: Layout) -> "Repeated":
        return replace(self, in_shape=in_shape, layout=layout)

    def followed(
        self, outer: LinearMap, merged: Callable[[LinearMap, LinearMap], LinearMap]
    ) -> "Repeated | None":
        """Return the map of what convolutions and windows make of these windows."""
        windows = merged(outer, self.windows) if isinstance(outer, Sliding) else None
        return replace(self, windows=windows) if isinstance(windows, Conv | Window) else None

    @classmethod
    def gathered(
        cls,
        index: np.ndarray,
        scale: np.ndarray,
        out: Planes,
        in_shape: tuple[int, ...],
        layout: Layout,
    ) -> "Repeated | None":
        """Return elements as channels, slices and padding of repeated planes."""
        index = index.reshape(out)
        if not (index >= 0).any():
            return None
        place = layout.seen(np.arange(int(np.prod(in_shape)))[None])[0]
        order = np.empty(place.size, np.int64)
        order[place.ravel()] = np.arange(place.size)
        first = np.unravel_index((index >= 0).argmax(), out)
        lines = index[first[0], :, first[2]], index[first[0], first[1]]
        runs = [
            _runs(np.unravel_index(order[line[line >= 0]], place.shape)[axis])
            for axis, line in enumerate(lines, 1)
        ]
        if max(count for count, _ in runs) < 2:
            return None
        repeat = (runs[0][0], runs[1][0])
        planes = repeated_planes(layout.planes, repeat)
        begins = tuple(
            int((line >= 0).argmax()) - begin for line, (_, begin) in zip(lines, runs, strict=True)
        )
        channel, _, _ = np.unravel_index(order[index], place.shape)
        read = index >= 0
        known = read.any(axis=(1, 2))
        spot = (slice(None), first[1], first[2])
        try:
            windows = Window(
                in_shape=planes,
                layout=Layout(planes=planes),
                padding=padding_to(planes, out, (1, 1), (1, 1), begins),
                factor=np.where(known, scale.reshape(out)[spot], 0.0),
                sources=tuple(int(c) for c in np.where(known, channel[spot], -1)),
            )
        except ValueError:
            return None
        found = cls(in_shape=in_shape, layout=layout, repeat=repeat, windows=windows)
        numbers = np.arange(1, place.size + 1).reshape(1, *in_shape)
        ones = found.with_weights(np.ones((out[0], 1), np.int64))
        if not np.array_equal(ones.apply(numbers)[0] - 1, index):
            return None
        scales = np.broadcast_to(windows.factor[:, None, None], out)
        return found if np.array_equal(scales[read], scale.reshape(out)[read]) else None

    # -- in a Design -----------------------------------------------------------------------------

    def parameters(self) -> dict[str, object]:
        return {
            "in_shape": list(self.in_shape),
            "planes": list(self.layout.planes),
            "axes": list(self.layout.axes),
            "repeat": list(self.repeat),
            "windows": {"kind": self.windows.kind, **self.windows.parameters()},
        }

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, Any]) -> "Repeated":
        within = dict(parameters["windows"])
        return cls(
            in_shape=tuple(parameters["in_shape"]),
            layout=Layout(planes=tuple(parameters["planes"]), axes=tuple(parameters["axes"])),
            repeat=tuple(parameters["repeat"]),
            windows=WINDOWS[within.pop("kind")].rebuild(weights, within),
        )


def repeated_planes(planes: Planes, repeat: tuple[int, int]) -> Planes:
    """Return the planes whose pixels stand ``repeat`` times."""
    channels, height, width = planes
    return (channels, height * repeat[0], width * repeat[1])


def _runs(places: np.ndarray) -> tuple[int, int]:
    """Return how often each place stands in a row, and where the first one is among all of these.

    The first and the last may be cut off: of 1 2 2 2 3 3 every place stands three times, and the
    first is number 5.
    """
    ends = np.flatnonzero(np.diff(places)) + 1
    lengths = np.diff(np.concatenate([[0], ends, [len(places)]]))
    count = int(lengths.max())
    cut = count - int(lengths[0]) if len(lengths) > 1 else 0
    return count, int(places[0]) * count + cut
