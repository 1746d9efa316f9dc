"""Cycle model of a layer of two operands: two layers that give words of F, and the neurons."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from ...model.maps import Band
from ...readers.reader import ReaderTiming
from ..cycles import (
    Gather,
    LayerCycles,
    LayerTiming,
    begin_tile,
    credit,
    result_cycles,
    result_moments,
)
from ..observation import RESULT, Moment


@dataclass(frozen=True, kw_only=True)
class PairTiming:
    """What the cycle model must know of a layer of two operands.

    Parameters
    ----------
    name
        Of the population.
    first, second
        The operands, whose results are words of F.
    shared
        A word of the second serves all words of the first of a window.
    steps
        T: cycles between two words.
    load
        Cycles from taking a word of each to the first step.
    fifo_depth
        Words of trains that may be under way.
    lanes
        Outputs of a word.
    """

    name: str
    first: LayerTiming
    second: LayerTiming
    shared: bool
    steps: int
    load: int
    fifo_depth: int
    lanes: int = 1

    @property
    def parts(self) -> tuple[LayerTiming, ...]:
        """Timing of the layers within."""
        return self.first, self.second

    @property
    def readers(self) -> tuple[ReaderTiming, ...]:
        return self.first.readers + self.second.readers

    @property
    def windows(self) -> int:
        return self.first.windows

    @property
    def words(self) -> int:
        """Words of a window."""
        return self.first.tiles * self.first.groups

    @property
    def busy(self) -> int:
        """Cycles a sample keeps the slower operand, or the neurons, busy."""
        return max(self.first.busy, self.second.busy, self.windows * self.words * self.steps)

    @property
    def pushes(self) -> int:
        """Cycles from taking a word of each to the write of the train into the FIFO."""
        return self.load + self.steps - 1

    def machine(self) -> "PairMachine":
        """Return what predicts the layer."""
        return PairMachine(self)

    def moments(self, when: str, cycles: LayerCycles, sample: int) -> Iterator[Moment]:
        """Yield every moment of a sample in which words of a stage stand: steps, or results."""
        if when == RESULT:
            yield from result_moments(cycles, sample, self.windows, self.words, self.lanes)
            return
        places = product(range(self.windows), range(self.words))
        begins = cycles.begins[sample * self.windows * self.words :]
        for (window, word), begin in zip(places, begins, strict=False):
            for t in range(self.steps):
                yield Moment(
                    cycle=begin + self.load + t,
                    window=window,
                    first=word * self.lanes,
                    count=self.lanes,
                    step=t,
                )


@dataclass(kw_only=True)
class PairCycles(LayerCycles):
    """Predicted cycles of one layer of two operands, over all samples in order.

    ``begins`` are the cycles in which the neurons take a word of each operand; ``released`` stays
    empty, and ``freed`` lists the sources of both operands.

    Members
    -------
    parts : cycles of each operand, ``taken`` those in which its words leave their FIFO
    """

    parts: tuple[LayerCycles, LayerCycles] = field(
        default_factory=lambda: (LayerCycles(), LayerCycles())
    )


class Operand:
    """One operand: tiles are read one by one, as the neurons ask for their words."""

    def __init__(
        self, spec: LayerTiming, cycles: LayerCycles, announce: Callable[[], None]
    ) -> None:
        self.spec, self.cycles = spec, cycles
        cycles.freed = [[] for _ in spec.readers]
        self.gathers = [
            Gather(reader, spec, freed, announce)
            for reader, freed in zip(spec.readers, cycles.freed, strict=True)
        ]
        self.held = 0  # cycle from which the lines of the row of windows are there

    def holds(self, sample: int, band: int) -> bool:
        """Whether all lines of a row of windows are announced."""
        self.held = 0
        for gather in self.gathers:
            place: Band = gather.spec.bands[band]
            needed = sample * gather.spec.lines + place.needs
            if needed > len(gather.full):
                return False
            self.held = max(self.held, gather.full[needed - 1] if place.needs else 0)
        return True

    def free(self, sample: int, band: int) -> None:
        """Give back the lines that a row of windows is done with."""
        for gather in self.gathers:
            done = sample * gather.spec.lines + gather.spec.bands[band].frees
            end = self.cycles.released[-1] + gather.spec.end - self.spec.words
            gather.freed.extend([end] * (done - len(gather.freed)))

    def word(self) -> int:
        """Return the first cycle in which the next word to be taken stands at the FIFO's end."""
        spec, cycles = self.spec, self.cycles
        while len(cycles.pushed) <= len(cycles.taken):
            tile = len(cycles.begins) % spec.tiles
            begin_tile(spec, cycles, self.held if tile == 0 else 0)
            cycles.pushed += result_cycles(spec, cycles.ends[-1])
            if tile == spec.tiles - 1:
                cycles.released.append(cycles.ends[-1][-1])
        return cycles.pushed[len(cycles.taken)] + 1


class PairMachine:
    """Two operands that read what they need, and neurons that take a word of each."""

    def __init__(self, spec: PairTiming) -> None:
        self.spec, self.cycles = spec, PairCycles()
        self.operands = tuple(
            Operand(operand, cycles, self.proceed)
            for operand, cycles in zip((spec.first, spec.second), self.cycles.parts, strict=True)
        )
        self.gathers = [gather for operand in self.operands for gather in operand.gathers]
        self.cycles.freed = [gather.freed for gather in self.gathers]
        self.take: Callable[[int], int]
        self.busy: np.ndarray | None = None  # they read every word
        self.sample = self.band = 0  # the row of windows that is read next

    def proceed(self) -> None:
        """Fire all rows of windows whose lines are there for both operands."""
        bands = self.spec.first.bands
        while all(operand.holds(self.sample, self.band) for operand in self.operands):
            for _ in range(bands[self.band].windows):
                self._window()
            for operand in self.operands:
                operand.free(self.sample, self.band)
            self.band += 1
            if self.band == len(bands):
                self.band, self.sample = 0, self.sample + 1

    def _window(self) -> None:
        spec, cycles = self.spec, self.cycles
        first, second = self.operands
        for word in range(spec.words):
            begin = max(first.word(), second.word(), credit(cycles, 1, spec.fifo_depth))
            if cycles.begins:
                begin = max(begin, cycles.begins[-1] + spec.steps)
            cycles.begins.append(begin)
            first.cycles.taken.append(begin)
            if not spec.shared or word == spec.words - 1:
                second.cycles.taken.append(begin)
            after = cycles.taken[-1] + 1 if cycles.taken else 0
            cycles.pushed.append(begin + spec.pushes)
            cycles.taken.append(self.take(max(cycles.pushed[-1] + 1, after)))
