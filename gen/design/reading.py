"""Reading: in which order a layer reads the trains of its source.

Trains of planes travel in raster order: line after line, pixel after pixel, the channels of a pixel
together. A dense layer holds a whole sample; a layer of windows holds the lines that its windows
still need. Weights lie in memory in the order in which they are read, so that nothing has to turn
the data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np

from ..model.maps import LinearMap, Sliding, raster_order
from .folding import Folding


@dataclass(frozen=True, kw_only=True)
class Band:
    """A row of windows over the lines of a sample, counted from the sample's first line.

    Parameters
    ----------
    windows
        How many there are.
    needs
        They are read once so many lines are held.
    frees
        After them so many lines are done with.
    """

    windows: int
    needs: int
    frees: int


WHOLE_SAMPLE = (Band(windows=1, needs=1, frees=1),)  # of a dense layer, whose line is the sample


@dataclass(frozen=True, kw_only=True)
class WindowPlaces:
    """Where windows lie over planes, in lines and pixels.

    Parameters
    ----------
    height, width
        Of the planes.
    size, stride, positions
        (vertical, horizontal) extent of a window, step, number of windows.
    padding
        Lines above and columns left of the planes; negative ones are cut off.
    """

    height: int
    width: int
    size: tuple[int, int]
    stride: tuple[int, int]
    positions: tuple[int, int]
    padding: tuple[int, int]

    @classmethod
    def of(cls, sliding: Sliding) -> "WindowPlaces":
        _, height, width = sliding.layout.planes
        return cls(
            height=height,
            width=width,
            size=tuple(sliding.window),
            stride=tuple(sliding.stride),
            positions=tuple(sliding.out_planes[1:]),
            padding=(sliding.padding[0], sliding.padding[2]),
        )

    @property
    def count(self) -> int:
        """Windows of a sample."""
        return self.positions[0] * self.positions[1]

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """Rows of windows: the lines that each needs, and those that are done with after it.

        A window needs the lines it covers, and those that are done with after it (which may lie
        below it, where windows leave lines out). The last row of windows waits for all lines of the
        sample and is done with them.
        """

        def line(y: int) -> int:
            return min(max(0, y), self.height)

        tops = [i * self.stride[0] - self.padding[0] for i in range(self.positions[0])]
        frees = [*(line(top) for top in tops[1:]), self.height]
        return tuple(
            Band(
                windows=self.positions[1], needs=max(line(top + self.size[0]), free, 1), frees=free
            )
            for top, free in zip(tops, frees, strict=True)
        )

    @property
    def needs(self) -> tuple[int, ...]:
        """Lines that must be held for each row of windows."""
        return tuple(
            band.needs - freed for band, freed in zip(self.bands, self._freed_before, strict=True)
        )

    @property
    def releases(self) -> tuple[int, ...]:
        """Lines that are given back after each row of windows."""
        return tuple(
            band.frees - freed for band, freed in zip(self.bands, self._freed_before, strict=True)
        )

    @property
    def _freed_before(self) -> list[int]:
        return [0, *(band.frees for band in self.bands[:-1])]

    @cached_property
    def lines(self) -> int:
        """Lines to hold: what a row of windows needs, and what the next one waits for beside.

        With these a sample is read without a pause where its lines come fast enough. Where one row
        of windows covers the planes, two samples are held.
        """
        if len(self.bands) == 1:
            return 2 * self.needs[0]
        before = self._freed_before
        ahead = [
            band.needs - freed for band, freed in zip(self.bands[1:], before[:-1], strict=True)
        ]
        return max(*self.needs, *ahead)


def places_of(linear: LinearMap) -> WindowPlaces | None:
    """Return the windows of a map; ``None`` where it reads whole samples."""
    return WindowPlaces.of(linear) if isinstance(linear, Sliding) else None


def parallel_of(maps: Sequence[LinearMap]) -> tuple[int, str]:
    """Return the number that ``simd`` must divide for all maps into one operand, and of what."""
    each = [linear.parallel_inputs for linear in maps if not linear.apart]
    if len(each) > 1:
        return gcd(*(number for number, _ in each)), "inputs common to all sources"
    return each[0] if each else maps[0].parallel_inputs


def parallel_outputs(maps: Sequence[LinearMap]) -> tuple[int, str]:
    """Return the number that ``pe`` must divide, and of what that is the number."""
    groups = [linear.runs for linear in maps]
    if max(groups) > 1:
        return gcd(*(maps[0].channels // number for number in groups)), "outputs of a group"
    return maps[0].channels, "outputs"


def word_of(linear: LinearMap, folding: Folding) -> int:
    """Return how many neurons of its source a folded map reads at a time."""
    if linear.picked and linear.sees is not None:
        return linear.sees.planes[0]
    return folding.pe if linear.apart else folding.simd


def reading_places(linear: LinearMap, shape: tuple[int, ...], *, is_input: bool) -> np.ndarray:
    """Return where each train belongs among those of a sample as they are read, by its arrival.

    A map of planes reads pixel after pixel, the channels of a pixel together. ``shape`` is that of
    the source; ``is_input`` says that samples enter in their own order.
    """
    size = int(np.prod(shape))
    assert linear.sees is not None
    read = linear.sees.seen(np.arange(size)[None])[0].transpose(1, 2, 0).ravel()
    place = np.empty(size, np.int64)
    place[read] = np.arange(size)
    return place if is_input else place[raster_order(shape)]


def travels_in_raster_order(linear: LinearMap, shape: tuple[int, ...], *, is_input: bool) -> bool:
    """Whether the trains of a source of ``shape`` come as a map of its planes reads them.

    Samples enter in their own order, which is the raster order of one plane and of images
    (height, width, channels).
    """
    places = reading_places(linear, shape, is_input=is_input)
    return bool((places == np.arange(len(places))).all())


def is_turned(linear: LinearMap, shape: tuple[int, ...], *, is_input: bool) -> bool:
    """Whether a map reads its source in another order than the trains come in."""
    planes = linear.sees is not None
    return planes and not travels_in_raster_order(linear, shape, is_input=is_input)
