"""Places: where windows lie over planes, and which lines a row of them needs and frees."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

PLAIN = "plain"  # the way over windows that reads each pixel once, where it stands


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

    walk: ClassVar[str] = PLAIN

    @property
    def count(self) -> int:
        """Windows of a sample."""
        return self.positions[0] * self.positions[1]

    @property
    def extent(self) -> tuple[int, int]:
        """(vertical, horizontal) pixels of the planes that windows lie over."""
        return self.height, self.width

    def covered(self, axis: int, k: int) -> tuple[int, int]:
        """Return which places of window ``k`` along an axis lie within: first, last + 1."""
        first = k * self.stride[axis] - self.padding[axis]
        size, within = self.size[axis], self.extent[axis]
        return min(max(0, -first), size), max(0, min(size, within - first))

    def lines_to(self, y: int) -> int:
        """Return how many lines of the source lie wholly above row ``y`` of the planes."""
        return min(max(0, y), self.height)

    def lines_for(self, y: int) -> int:
        """Return how many lines of the source the rows above ``y`` are made of."""
        return self.lines_to(y)

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """Rows of windows: the lines that each needs, and those that are done with after it.

        A window needs the lines it covers, and those that are done with after it (which may lie
        below it, where windows leave lines out). The last row of windows waits for all lines of the
        sample and is done with them.
        """
        tops = [i * self.stride[0] - self.padding[0] for i in range(self.positions[0])]
        frees = [*(self.lines_to(top) for top in tops[1:]), self.height]
        return tuple(
            Band(
                windows=self.positions[1],
                needs=max(self.lines_for(top + self.size[0]), free, 1),
                frees=free,
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
