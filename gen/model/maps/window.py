"""Windows of fixed sums: identity, slices, concatenation, average pooling."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .planes import Layout, Planes, padded, padding_to
from .sliding import ONE_INPUT, Sliding


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
            known = self.known[:, None, None].astype(planes.dtype)
            planes = planes[:, list(self.sources)] * known
        if self.covers_planes:
            return planes.sum(axis=(2, 3), keepdims=True)
        first, *others = self.taps(padded(planes, self.padding))
        return sum(others, 0 + first)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return (self.sums(x) * self.factor[:, None, None]).reshape(len(x), *self.out_shape)

    def patches(self, x: np.ndarray) -> np.ndarray:
        return np.moveaxis(self.sums(x), 1, 0).reshape(self.channels, -1, 1)

    @property
    def parallel_inputs(self) -> tuple[int, str]:
        return ONE_INPUT

    @property
    def apart(self) -> bool:
        return True

    @property
    def picked(self) -> bool:
        return not self.in_order

    @property
    def repeats(self) -> int:
        return self.window[0] * self.window[1]

    @property
    def known(self) -> np.ndarray:
        return np.array(self.sources) >= 0

    def first(self, outputs: int) -> "Window":
        return replace(self, factor=self.factor[:outputs], sources=self.sources[:outputs])

    @property
    def groups(self) -> int:
        return self.channels

    @property
    def sources_of_weights(self) -> np.ndarray:
        return np.maximum(self.sources, 0)[:, None]

    @property
    def gain(self) -> np.ndarray:
        return np.abs(self.factor) * (self.window[0] * self.window[1])

    @classmethod
    def gathered(
        cls,
        index: np.ndarray,
        scale: np.ndarray,
        out: Planes,
        in_shape: tuple[int, ...],
        layout: Layout,
    ) -> "Window | None":
        """Return elements as channels, slices and padding of planes, a window of one pixel."""
        index, scale = index.reshape(out), scale.reshape(out)
        known = index >= 0
        rows, columns, channels = (
            np.logical_or.reduce(known, axis=others) for others in ((0, 2), (0, 1), (1, 2))
        )
        if not known.any() or not np.array_equal(
            known, channels[:, None, None] & rows[:, None] & columns
        ):
            return None
        place = layout.seen(np.arange(int(np.prod(in_shape)))[None])[0]
        order = np.empty(place.size, np.int64)
        order[place.ravel()] = np.arange(place.size)
        c, y, x = np.unravel_index(order[index], place.shape)
        first_c, first_y, first_x = channels.argmax(), rows.argmax(), columns.argmax()
        sources = np.where(channels, c[:, first_y, first_x], -1)
        factor = np.where(channels, scale[:, first_y, first_x], 0.0)
        down, top = _stepping(y[first_c, :, first_x], rows)
        right, left = _stepping(x[first_c, first_y], columns)
        try:
            found = cls(
                in_shape=in_shape,
                layout=layout,
                stride=(down, right),
                padding=padding_to(layout.planes, out, (1, 1), (down, right), (top, left)),
                factor=factor,
                sources=tuple(int(s) for s in sources),
            )
        except ValueError:
            return None
        again, scales = found.elements()
        if not np.array_equal(again, index.ravel()):
            return None
        known = again >= 0
        return found if np.array_equal(scales[known], scale.ravel()[known]) else None

    def elements(self) -> tuple[np.ndarray, np.ndarray]:
        """Return index and scale, (n_out,) each, of a window of one pixel: undo the gathering."""
        numbers = np.arange(1, int(np.prod(self.in_shape)) + 1)[None]
        index = replace(self, factor=np.ones(self.channels, np.int64)).apply(numbers) - 1
        scale = np.broadcast_to(self.factor[:, None, None], self.out_planes)
        return index.ravel(), scale.ravel()

    def parameters(self) -> dict[str, Any]:
        return {
            **super().parameters(),
            "sources": list(self.sources),
            "window": list(self.window),
        }

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, Any]) -> "Window":
        return cls(
            factor=weights.reshape(-1),
            sources=tuple(parameters["sources"]),
            window=tuple(parameters["window"]),
            **cls.geometry(parameters),
        )


def _stepping(places: np.ndarray, known: np.ndarray) -> tuple[int, int]:
    """Return (step, how far the first place lies before 0) of places that step evenly."""
    seen = np.flatnonzero(known)
    step = int(places[seen[1]] - places[seen[0]]) if len(seen) > 1 else 1
    return max(1, step), int(seen[0] * max(1, step) - places[seen[0]])
