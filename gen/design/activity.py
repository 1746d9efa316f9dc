"""Activity: how many words of a population's trains hold an event, counted sample by sample.

A layer that skips silent words takes as many cycles as its sources have words with events. What was
counted while a Design was made stands in it, for every word that a folding may read, so that a
search can weigh foldings and a report say what to expect. Counts alone are kept, no trains.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .folding import divisors


def busy_words(events: np.ndarray, word: int, unroll: int) -> np.ndarray:
    """Return how many words hold an event, (samples, T/unroll) int64.

    Parameters
    ----------
    events
        (samples, T, neurons) bool, neurons in the order in which they are sent.
    word, unroll
        Neurons and steps of a word; they divide those of the trains.
    """
    samples, steps, neurons = events.shape
    cut = events.reshape(samples, steps // unroll, unroll, neurons // word, word)
    return cut.any(axis=(2, 4)).sum(axis=2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """Words with events of one population.

    Parameters
    ----------
    size, steps
        Neurons and T.
    table
        (rows, samples) int64: for every number of neurons that divides ``size``, every number of
        steps that divides T and every plane of so many steps, the words that hold an event.

    Raises
    ------
    ValueError
        Where the table is not of this form, or counts more words than there are.
    """

    size: int
    steps: int
    table: np.ndarray

    def __post_init__(self) -> None:
        rows = sum(planes for _, _, planes in self._kinds())
        if self.table.ndim != 2 or len(self.table) != rows or not self.table.shape[1]:
            raise ValueError(
                f"the activity of {self.size} neurons in {self.steps} steps has {rows} rows of "
                f"samples, not the shape {self.table.shape}"
            )
        most = [self.size // word for word, _, planes in self._kinds() for _ in range(planes)]
        if self.table.min() < 0 or (self.table.max(axis=1) > most).any():
            raise ValueError("an activity counts words from 0 to as many as there are")

    @classmethod
    def of(cls, events: np.ndarray) -> "Activity":
        """Count what (samples, T, neurons) bool hold, neurons in the order of their stream."""
        _, steps, size = events.shape
        kinds = cls._kinds_of(size, steps)
        rows = [busy_words(events, word, unroll).T for word, unroll, _ in kinds]
        return cls(size=size, steps=steps, table=np.concatenate(rows).astype(np.int64))

    @staticmethod
    def _kinds_of(size: int, steps: int) -> Iterator[tuple[int, int, int]]:
        """Yield (neurons, steps, planes) of every word, in the order of the table."""
        for word in divisors(size):
            for unroll in divisors(steps):
                yield word, unroll, steps // unroll

    def _kinds(self) -> Iterator[tuple[int, int, int]]:
        return self._kinds_of(self.size, self.steps)

    @cached_property
    def _rows(self) -> dict[tuple[int, int], slice]:
        found, first = {}, 0
        for word, unroll, planes in self._kinds():
            found[word, unroll] = slice(first, first + planes)
            first += planes
        return found

    def busy(self, word: int, unroll: int) -> np.ndarray:
        """Return the words of ``word`` neurons and ``unroll`` steps that hold an event.

        (samples, T/unroll) int64; see :func:`busy_words`.
        """
        return self.table[self._rows[word, unroll]].T

    def read(self, word: int, unroll: int) -> float:
        """Return how many words are read of a sample on average, one of every plane at least."""
        return float(np.maximum(self.busy(word, unroll), 1).sum(axis=1).mean())

    @property
    def samples(self) -> int:
        """Samples that were counted."""
        return self.table.shape[1]
