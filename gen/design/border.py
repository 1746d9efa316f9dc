"""Border: pixels of a layer whose constants are the same fall into few kinds, by row and column.

Padding behind a normalisation is no value that its source can say, so that what the windows at the
border lack is in their biases. Where the source's code cannot express 0, the train that its neurons
send for 0 stands beyond the planes, and the biases take off what it adds: whole numbers, so that no
error is left. Both depend on how many rows and columns of a window lie beyond the planes, and on
nothing else: a 3x3 window with one pixel of padding knows three kinds of row and three of column.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..model.codes import RateCode, SpikeCode
from ..model.maps import LinearMap

MOST_BIASES = 2**16  # of a layer, in one ROM


@dataclass(frozen=True, kw_only=True)
class Border:
    """Kinds of pixel: (kind of its row) · (kinds of column) + (kind of its column).

    Parameters
    ----------
    rows, columns
        Kind of each row and of each column of windows, 0 upwards.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def kinds(self) -> tuple[int, int]:
        """Kinds of row and of column."""
        return max(self.rows) + 1, max(self.columns) + 1

    @property
    def count(self) -> int:
        """Kinds of pixel."""
        return self.kinds[0] * self.kinds[1]

    @cached_property
    def of_pixels(self) -> np.ndarray:
        """(rows·columns,) kind of each pixel in raster order, int64."""
        return np.add.outer(np.array(self.rows) * self.kinds[1], np.array(self.columns)).ravel()

    @cached_property
    def examples(self) -> np.ndarray:
        """(count,) the first pixel of each kind, its number in raster order."""
        return np.unique(self.of_pixels, return_index=True)[1]

    def by_kind(self, numbers: np.ndarray) -> np.ndarray:
        """Return of (outputs, pixels) what the first pixel of each kind has, (count, outputs)."""
        return numbers[:, self.examples].T

    def tells(self, numbers: np.ndarray) -> bool:
        """Whether (outputs, pixels) are the same at all pixels of a kind."""
        return np.array_equal(self.by_kind(numbers)[self.of_pixels].T, numbers)


def pixel_biases(bias: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a bias as (outputs, pixels) of a population of ``shape``."""
    return np.broadcast_to(bias, shape).reshape(shape[0], -1)


def border_of(
    bias: np.ndarray,
    shape: tuple[int, ...],
    sources: Sequence[tuple[LinearMap, SpikeCode | RateCode]],
) -> Border:
    """Return the kinds of pixel of a layer, a single one where its constants are all the same.

    Rows are of one kind where they have the same biases and lack the same of their windows; so a
    layer of other weights has the same kinds.

    Parameters
    ----------
    bias
        Integers that broadcast to ``shape``.
    shape
        Of the layer's population.
    sources
        Map and code of each of its projections.
    """
    rows, columns = shape[1:] if len(shape) == 3 else (1, int(np.prod(shape[1:])))
    biases = pixel_biases(bias, shape).reshape(shape[0], rows, columns)
    padded = [m.places for m, _ in sources if m.padded and m.places is not None]
    corrected = any(code.zero != 0 for m, code in sources if m.padded)
    if not corrected and not np.ptp(biases.reshape(shape[0], -1), axis=1).any():
        return Border(rows=(0,) * rows, columns=(0,) * columns)

    def kinds(axis: int, count: int) -> tuple[int, ...]:
        seen: dict[Hashable, int] = {}
        found = []
        for k in range(count):
            covered = tuple(places.covered(axis, k) for places in padded)
            key = covered, np.take(biases, k, axis=axis + 1).tobytes()
            found.append(seen.setdefault(key, len(seen)))
        return tuple(found)

    return Border(rows=kinds(0, rows), columns=kinds(1, columns))
