"""Scatter: where the trains of a sample go that is read in another order than it comes.

A layer that mixes tokens reads channel after channel what its source gives token after token, and
what it gives itself is turned too. Such trains are written where they are read: a neuron that comes
as number k goes to a word and a slot of it, and because the orders differ by their axes alone, word
and slot are sums over the indices of nested loops.
"""

from dataclasses import dataclass

import numpy as np

from ...model.maps import LinearMap


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Nested loops over the trains of a sample in the order of their arrival, innermost first.

    Parameters
    ----------
    counts
        Turns of each loop.
    strides
        How far a step of each moves (line, row, slot): a line of the planes, a word of the line,
        and a neuron of the word.
    """

    counts: tuple[int, ...]
    strides: tuple[tuple[int, int, int], ...]

    def addresses(self, row_bits: int) -> tuple[tuple[int, int], ...]:
        """Return the strides as (address, slot), the line above ``row_bits`` bits of the row."""
        return tuple(((line << row_bits) + row, slot) for line, row, slot in self.strides)


def scatter_of(linear: LinearMap, places: np.ndarray, word: int) -> Scatter | None:
    """Return the loops that lead trains to the places where they are read.

    Parameters
    ----------
    places
        As of :func:`.reading.reading_places`.
    word
        Neurons of a word; divides the channels.

    Returns
    -------
    Scatter
        ``None`` where no loops do.
    """
    assert linear.sees is not None
    channels, _, width = linear.sees.planes
    across = len(places) // channels if linear.places is None else width
    pixel, channel = np.divmod(places, channels)
    line, column = np.divmod(pixel, across)
    row = column * (channels // word) + channel // word
    return _nest(np.stack([line, row, channel % word], axis=1))


def can_scatter(linear: LinearMap, places: np.ndarray) -> bool:
    """Whether there are such loops for every word: the channels of a pixel come in one of them."""
    assert linear.sees is not None
    found = scatter_of(linear, places, linear.sees.planes[0])
    return found is not None and sum(slot > 0 for _, _, slot in found.strides) <= 1


def _nest(places: np.ndarray) -> Scatter | None:
    """Return the fewest loops that go through ``places``, (n, 3); ``None`` where there are none."""
    counts, strides = [], []
    if places[0].any():
        return None
    while len(places) > 1:
        stride = places[1] - places[0]
        along = places - places[0] - np.arange(len(places))[:, None] * stride
        run = int(np.append(np.flatnonzero(along.any(axis=1)), len(places))[0])
        count = next(n for n in range(run, 0, -1) if len(places) % n == 0)
        while count > 1 and not _repeats(places, count, stride):
            count = next(n for n in range(count - 1, 0, -1) if len(places) % n == 0)
        if count == 1 or (stride < 0).any():
            return None
        counts.append(count)
        strides.append(tuple(int(s) for s in stride))
        places = places[::count]
    return Scatter(counts=tuple(counts), strides=tuple(strides))


def _repeats(places: np.ndarray, count: int, stride: np.ndarray) -> bool:
    """Whether every ``count`` places in a row are ``stride`` apart."""
    runs = places.reshape(-1, count, places.shape[1])
    return bool((runs - runs[:, :1] == np.arange(count)[:, None] * stride).all())
