"""Skew: how many lines a layer must hold of each source while it waits for the others.

A fork hands every word to all of its readers before it takes the next, so a reader that is full
stops them all. A join reads a row of windows only when all of its sources have brought their lines.
If what lies on the short way is not held until the long way has caught up, both wait for ever.

The depth follows from a schedule in which all layers work at the same pace. A row r of layer L (a
row of windows; a whole sample of a dense layer) takes the L-th share of a sample's time and begins
when the rows it needs and the row before are finished:

    start(L, r) = max(finish(L, r - 1), max over sources k of finish(k, last row that r needs))
    finish(L, r) = start(L, r) + duration(L)

The buffer of L for source k must hold every line that k begins before L has finished a row, less
the lines that were given back before that row:

    lines(L, k) >= max over r of #{l : start(k, l) < finish(L, r)} - freed(L, k, r - 1)

With so many lines the schedule itself never meets a full buffer, so nothing waits at that pace but
for its data; and no stall at either end can stop the machine for good. For assume it stands still
while samples are offered and results are taken. A layer at row r then waits for a source whose row
q is not done, and finish(k, q) <= start(L, r) < finish(L, r); or it waits, at row q, to write a
line l into a buffer of a layer L' that stands at row r with all places taken, so l comes after the
lines counted above, and finish(L', r) <= start(q) < finish(q). Either way the wait leads to a row
that is finished earlier. There is no endless way down, and at its end nothing is waited for.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import lcm

from ..model.maps import Band

Source = tuple[int, tuple[Band, ...]]  # number of a stream, 0 the input's, and how it is read


@lru_cache(maxsize=64)
def lines_ahead(layers: tuple[tuple[Source, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Return the lines that each layer holds of each of its sources.

    Stream n + 1 is what layer n gives; a layer reads streams before its own.
    """
    rows = _rows(layers)
    samples = len(layers) + 4  # a layer may be behind the input by one sample each
    period = lcm(*rows)
    duration = [period // count for count in rows]
    finish = [[(r + 1) * duration[0] for r in range(samples * rows[0])]]
    for n, sources in enumerate(layers, 1):
        done = [0]
        for r in range(samples * rows[n]):
            needed = [
                finish[k][_rows_of(_lines_before(bands, r, "needs"), bands, rows[k]) - 1]
                for k, bands in sources
            ]
            done.append(max(done[-1], *needed) + duration[n])
        finish.append(done[1:])
    return tuple(
        tuple(_held(finish[n], finish[k], duration[k], bands, rows[k]) for k, bands in sources)
        for n, sources in enumerate(layers, 1)
    )


def _rows(layers: Sequence[Sequence[Source]]) -> list[int]:
    """Rows of a sample by stream; those of the input as its readers see it."""
    seen = [bands[-1].frees for sources in layers for k, bands in sources if k == 0]
    return [max(seen, default=1), *(len(sources[0][1]) for sources in layers)]


def _lines_before(bands: Sequence[Band], row: int, what: str) -> int:
    """Return the count of lines, from the first sample on, that row ``row`` needs or frees."""
    sample, band = divmod(row, len(bands))
    return sample * bands[-1].frees + getattr(bands[band], what)


def _rows_of(lines: int, bands: Sequence[Band], rows: int) -> int:
    """Return how many rows of the source make so many lines of the reader."""
    return -(-lines * rows // bands[-1].frees)


def _held(
    finish: list[int], source: list[int], duration: int, bands: Sequence[Band], rows: int
) -> int:
    """Return the most lines begun before a row is finished, less those given back before it."""
    most = begun = 0
    for r in range(3 * len(bands)):
        while source[begun * rows // bands[-1].frees] - duration < finish[r]:
            begun += 1
        freed = _lines_before(bands, r - 1, "frees") if r else 0
        most = max(most, begun - freed)
    return most
