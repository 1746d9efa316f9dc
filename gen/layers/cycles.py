"""Cycle model: in which clock cycle every word of the hardware moves.

The machine is described by a few numbers a layer; from them, and from the stalls at both ends, the
cycle of every transfer follows by recurrences, sample by sample, without simulating a clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

import numpy as np

from ..model.maps import Band
from ..readers.reader import ReaderTiming
from .observation import FIRE, RESULT, TARGET, TOTAL, Moment, X

SAMPLES_TO_SETTLE = 8  # after so many samples the interval no longer changes


@dataclass(frozen=True, kw_only=True)
class LayerTiming:
    """What the cycle model must know of one layer, all in cycles or counts.

    Parameters
    ----------
    name
        Of the population.
    readers
        One for each source, which are read in this order in every step.
    planes
        Words of the buffers' memories a row.
    tiles, words, period
        Sequencer: tiles a window, reads a step, cycles a step. A tile takes planes·period.
    groups, pace
        Result words a tile, cycles between them.
    fifo_depth
        Result words that may be under way.
    queue
        Cycles from a result's entering the FIFO to the first in which it may leave.
    total, drain, x, target, result
        Pipeline depths, see :class:`signfire.gen.layers.rtl.LayerLatency`.
    each_step
        Integrators finish at every step (a schedule that is not binary), not once a tile.
    fire_offset, fire_steps
        A target is fired on from ``fire_offset`` cycles later, for ``fire_steps`` cycles.
    fires_each_step
        Neurons take a target at every step (overlapped firing), not once a tile.
    lanes
        Outputs of a result word.
    source_steps
        T of the sources.
    skips
        Words without an event are not read, so that a step takes as many cycles as it has others.
    rest
        Cycles between the last words of two tiles (of two steps with ``each_step``), where words
        are skipped.
    """

    name: str
    readers: tuple[ReaderTiming, ...]
    planes: int
    tiles: int
    words: int
    period: int
    groups: int
    pace: int
    fifo_depth: int
    total: int
    drain: int
    x: int
    target: int
    result: int
    each_step: bool
    fire_offset: int
    fire_steps: int
    fires_each_step: bool = False
    lanes: int = 1
    source_steps: int = 1
    skips: bool = False
    queue: int = 1
    rest: int = 1

    @property
    def bands(self) -> tuple[Band, ...]:
        """Rows of windows of the first source; there are as many of every other."""
        return self.readers[0].bands

    @property
    def windows(self) -> int:
        """Windows of a sample; a dense layer has one."""
        return sum(band.windows for band in self.bands)

    @property
    def parts(self) -> "tuple[LayerTiming, ...]":
        """Timing of layers within the layer."""
        return ()

    @property
    def tile_cycles(self) -> int:
        """Cycles of a tile, of which every word is read."""
        if self.skips:
            pace = max(self.words, self.rest) if self.each_step else self.words
            return max(self.planes * pace, self.rest)
        return self.planes * self.period

    def ends(self, begin: int, busy: Sequence[int] | None, after: int) -> tuple[int, ...]:
        """Return the cycle in which every step of a tile reads its last word.

        Parameters
        ----------
        begin
            First cycle of the tile.
        busy
            Words that hold an event, by step; ``None`` for all words.
        after
            Cycle of the last word of the tile before; far below 0 where there is none.
        """
        if not self.skips:
            return tuple(last_read(self, begin, step) for step in range(self.planes))
        found, cycle = [], begin - 1
        for step in range(self.planes):
            cycle += self.words if busy is None else max(1, int(busy[step]))
            if self.each_step or step == self.planes - 1:
                after = cycle = max(cycle, after + self.rest)
            found.append(cycle)
        return tuple(found)

    @property
    def busy(self) -> int:
        """Cycles a sample keeps the layer's synapses busy at most: every tile of every window."""
        return self.windows * self.tiles * self.tile_cycles

    def machine(self) -> "LayerMachine":
        """Return what predicts the layer."""
        return LayerMachine(self, LayerCycles())

    def moments(self, when: str, cycles: "LayerCycles", sample: int) -> Iterator[Moment]:
        """Yield every moment of a sample in which words of a stage stand.

        Parameters
        ----------
        when
            Stage, see :class:`.observation.Observation`.
        cycles
            Predicted.
        """
        if when == RESULT:
            words = self.tiles * self.groups
            yield from result_moments(cycles, sample, self.windows, words, self.lanes)
            return
        tile = {TOTAL: self._totals, X: self._x, TARGET: self._targets, FIRE: self._fire}[when]
        places = product(range(self.windows), range(self.tiles))
        each = cycles.ends[sample * self.windows * self.tiles :]
        for (window, number), ends in zip(places, each, strict=False):
            for cycle, group, count, step in tile(ends):
                first = (number * self.groups + group) * self.lanes
                yield Moment(
                    cycle=cycle, window=window, first=first, count=count * self.lanes, step=step
                )

    def _totals(self, ends: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
        """Yield (cycle, group, groups, step) of the accumulators of a tile."""
        for step, cycle in enumerate(total_cycles(self, ends)):
            yield cycle, 0, self.groups, step

    def _x(self, ends: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
        for k, groups in enumerate(x_cycles(self, ends)):
            step = k if self.each_step else self.source_steps - 1
            for group, cycle in enumerate(groups):
                yield cycle, group, 1, step

    def _targets(self, ends: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
        finished = x_cycles(self, ends)
        for step, groups in enumerate(finished if self.fires_each_step else finished[-1:]):
            for group, cycle in enumerate(groups):
                yield cycle + self.target, group, 1, step

    def _fire(self, ends: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
        for cycle, group, count, step in self._targets(ends):
            for t in range(self.fire_steps):
                yield cycle + self.fire_offset + t, group, count, step + t


@dataclass(frozen=True, kw_only=True)
class CoreTiming:
    """A whole core: the encoder's words a sample and steps it fires each, then the layers.

    With 0 steps trains stand at once, in the only register.
    """

    input_words: int
    input_steps: int
    layers: tuple[LayerTiming, ...]


@dataclass(kw_only=True)
class LayerCycles:
    """Predicted cycles of one layer, over all samples in order.

    Members
    -------
    begins : first cycle of every tile
    ends : of every tile, the cycle in which each step reads its last word
    pushed, taken : cycle in which every result word enters and leaves the FIFO
    released : cycle of the last read of every window
    freed : by source, the cycle in which every line is given back
    parts : cycles of layers within the layer
    """

    begins: list[int] = field(default_factory=list)
    ends: list[tuple[int, ...]] = field(default_factory=list)
    pushed: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    freed: list[list[int]] = field(default_factory=list)
    parts: "tuple[LayerCycles, ...]" = ()


@dataclass(kw_only=True)
class Prediction:
    """Cycles of every transfer; cycle 0 is the first in which the source may offer a word.

    Members
    -------
    samples : how many were predicted
    accepted : cycle in which every raw word is taken
    targets : cycle in which every raw word starts to fire (is taken by the neurons), or leaves
    encoded : cycle in which every word of input trains is taken
    layers : by order of the layers
    queue : cycles from a logit's entering the last FIFO to the first in which it stands
    """

    samples: int
    queue: int = 1
    accepted: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    encoded: list[int] = field(default_factory=list)
    layers: list[LayerCycles] = field(default_factory=list)

    def _of_sample(self, words: list[int], n: int) -> list[int]:
        each = len(words) // self.samples
        return words[n * each : (n + 1) * each]

    def latency(self, n: int = 0) -> int:
        """Cycles from taking the first raw word of sample ``n`` to its class.

        The class comes with the last logit.
        """
        logits = self._of_sample(self.layers[-1].taken, n)
        return logits[-1] - self._of_sample(self.accepted, n)[0]

    def first_logit(self, n: int = 0) -> int:
        """Cycles from taking the first raw word of sample ``n`` to its first logit."""
        logits = self._of_sample(self.layers[-1].taken, n)
        return logits[0] - self._of_sample(self.accepted, n)[0]

    def answer(self, n: int = 0) -> int:
        """Cycles from taking the last raw word of sample ``n`` until its first logit stands."""
        pushed = self._of_sample(self.layers[-1].pushed, n)
        return pushed[0] + self.queue - self._of_sample(self.accepted, n)[-1]

    @property
    def intervals(self) -> list[int]:
        """Cycles between the last logits of successive samples."""
        last = [self._of_sample(self.layers[-1].taken, n)[-1] for n in range(self.samples)]
        return [b - a for a, b in pairwise(last)]


def predict(
    timing: CoreTiming,
    samples: int,
    *,
    gaps: Sequence[int] | None = None,
    ready: Callable[[int], bool] | None = None,
    busy: Mapping[str, np.ndarray] | None = None,
) -> Prediction:
    """Predict every transfer of ``samples`` samples.

    Where layers skip silent words, cycles depend on the samples; without ``busy`` no word is
    silent, and no sample is slower.

    Parameters
    ----------
    gaps
        Per raw word, the cycles that the source waits after the transfer before it; none by
        default.
    ready
        Whether the sink takes a logit in a cycle; always by default.
    busy
        By name of a layer that skips silent words, how many others each step of each window has:
        (samples, windows, planes) integers.
    """
    machine = [spec.machine() for spec in timing.layers]
    for layer in machine:
        layer.busy = None if busy is None else busy.get(layer.spec.name)
    prediction = Prediction(
        samples=samples,
        layers=[layer.cycles for layer in machine],
        queue=timing.layers[-1].queue,
    )
    takers: list[list[Gather]] = [[] for _ in range(len(machine) + 1)]  # by stream
    for layer in machine:
        for gather in layer.gathers:
            takers[gather.spec.stream].append(gather)
    for layer, gathers in zip(machine, takers[1:], strict=True):
        layer.take = _taken_by(gathers)
    machine[-1].take = _Sink(ready)
    encoder = _Encoder(timing, prediction, _taken_by(takers[0]))
    for n in range(samples):
        encoder.sample(n, gaps)
    return prediction


def steady(timing: CoreTiming) -> tuple[int, int]:
    """Return (latency, interval) in cycles, at full speed on both ends.

    No sample takes longer, whatever its silence. The latency is that of a sample's class,
    :meth:`Prediction.latency`; the interval is that between samples once the pipeline is full.
    """
    prediction = predict(timing, SAMPLES_TO_SETTLE)
    return prediction.latency(0), prediction.intervals[-1]


def first_logit(timing: CoreTiming) -> int:
    """Return the cycles from taking the first word of a sample to its first logit, at most."""
    return predict(timing, 1).first_logit()


def result_moments(
    cycles: LayerCycles, sample: int, windows: int, words: int, lanes: int
) -> Iterator[Moment]:
    """Yield the moments in which the results of a sample leave, ``words`` a window."""
    taken = cycles.taken[sample * windows * words : (sample + 1) * windows * words]
    for k, cycle in enumerate(taken):
        window, word = divmod(k, words)
        yield Moment(cycle=cycle, window=window, first=word * lanes, count=lanes)


class _Sink:
    """The outside takes a word in the first ready cycle."""

    def __init__(self, ready: Callable[[int], bool] | None) -> None:
        self.ready = ready

    def __call__(self, earliest: int) -> int:
        while self.ready is not None and not self.ready(earliest):
            earliest += 1
        return earliest


class Deadlock(RuntimeError):
    """A machine that waits for itself."""


def _taken_by(gathers: Sequence["Gather"]) -> Callable[[int], int]:
    """Return what takes a word into all of ``gathers``: the last of them says when it is taken."""
    if len(gathers) == 1:
        return gathers[0]
    return lambda earliest: max(gather(earliest) for gather in gathers)


class Gather:
    """Rows of words into a line; a word may enter while the row before leaves.

    A whole line is announced at once, and the layer reads all windows that it completes; so a place
    in the buffer is always given back before the model asks when. (It is asked for the line that
    takes the place of another only after all places were filled, and so many lines are enough for
    any row of windows; :mod:`.skew` says why they are in a join.) Where they are not enough, the
    layer waits for a source that is held up by this buffer, and the model says so.
    """

    def __init__(
        self, spec: ReaderTiming, layer: LayerTiming, freed: list[int], announce: Callable[[], None]
    ) -> None:
        self.spec, self.layer, self.freed, self.announce = spec, layer, freed, announce
        self.writes = layer.planes if spec.writes is None else spec.writes
        self.part = self.row = 0
        self.free_from = 0  # from here on a word can enter
        self.word, self.summed_from = 0, 0  # of the sample; from here on it can be summed
        self.full: list[int] = []  # by line, the cycle from which it can be read

    def __call__(self, earliest: int) -> int:
        """Take a word that is offered from ``earliest`` on; return the cycle of its transfer.

        Where words are summed up, the last ones of a sample enter the buffer, a cycle later each.
        """
        spec = self.spec
        if not spec.summed:
            return self._enter(earliest)
        taken = max(earliest, self.summed_from)
        self.summed_from = taken + spec.pace
        self.word += 1
        if self.word > spec.summed:
            self.summed_from = max(self.summed_from, self._enter(taken + 1))
            if self.word == spec.summed + spec.lines * spec.rows * spec.parts:
                self.word = 0
        return taken

    def _enter(self, earliest: int) -> int:
        """Take a word into the row under collection; return the cycle."""
        spec = self.spec
        taken = max(earliest, self.free_from)
        self.free_from = taken + 1
        self.part += 1
        if self.part == spec.parts:
            self.part = 0
            if not spec.banks:
                self.full.append(taken + 1)
                self.announce()
                self.free_from = self.freed[len(self.full) - 1]
                return taken
            begin = max(taken + 1, self._place())
            self.free_from = begin + self.writes - 1
            self.row += 1
            if self.row == spec.rows:
                self.full.append(begin + self.writes + spec.opens)
                self.row = 0
                self.announce()
        return taken

    def _place(self) -> int:
        """First cycle in which the line under way has a place."""
        freed = len(self.full) - self.spec.banks
        if freed < 0:
            return 0
        if freed >= len(self.freed):
            raise Deadlock(
                f"{self.layer.name!r} waits for ever: it holds {self.spec.banks} lines of stream "
                f"{self.spec.stream}, and what it reads beside them cannot come before more are "
                f"taken"
            )
        return self.freed[freed] + 1


class _Encoder:
    """One register of targets in front of neurons that fire T steps a word, or of trains."""

    def __init__(
        self, timing: CoreTiming, prediction: Prediction, take: Callable[[int], int]
    ) -> None:
        self.timing, self.prediction, self.take = timing, prediction, take

    def sample(self, n: int, gaps: Sequence[int] | None) -> None:
        p = self.prediction
        for word in range(n * self.timing.input_words, (n + 1) * self.timing.input_words):
            offered = p.accepted[-1] + 1 if p.accepted else 0
            offered += gaps[word] if gaps is not None else 0
            accepted = max(offered, p.targets[-1]) if p.targets else offered
            fires = max(accepted + 1, p.encoded[-1]) if p.encoded else accepted + 1
            left = self.take(fires + self.timing.input_steps)
            p.accepted.append(accepted)
            p.targets.append(fires if self.timing.input_steps else left)
            p.encoded.append(left)


class LayerMachine:
    """Tiles of one layer: when they begin, and when their results move."""

    def __init__(self, spec: LayerTiming, cycles: LayerCycles) -> None:
        self.spec, self.cycles = spec, cycles
        cycles.freed = [[] for _ in spec.readers]
        self.gathers = [
            Gather(reader, spec, freed, self.proceed)
            for reader, freed in zip(spec.readers, cycles.freed, strict=True)
        ]
        self.take: Callable[[int], int]
        self.busy: np.ndarray | None = None  # (samples, windows, planes)
        self.sample = self.band = 0  # the row of windows that is read next

    def proceed(self) -> None:
        """Read all rows of windows whose lines are there."""
        while True:
            held = 0
            for gather in self.gathers:
                band = gather.spec.bands[self.band]
                needed = self.sample * gather.spec.lines + band.needs
                if needed > len(gather.full):
                    return
                held = max(held, gather.full[needed - 1] if band.needs else 0)
            for _ in range(self.gathers[0].spec.bands[self.band].windows):  # of all the same
                self._window(held)
            for gather in self.gathers:
                done = self.sample * gather.spec.lines + gather.spec.bands[self.band].frees
                end = self.cycles.released[-1] + gather.spec.end - self.spec.words
                gather.freed.extend([end] * (done - len(gather.freed)))
            self.band += 1
            if self.band == len(self.spec.bands):
                self.band, self.sample = 0, self.sample + 1

    def _window(self, held: int) -> None:
        """Read one window, whose lines are held from cycle ``held`` on."""
        spec, cycles = self.spec, self.cycles
        busy = None
        if self.busy is not None:
            sample, window = divmod(len(cycles.released), spec.windows)
            busy = self.busy[sample, window]
        for tile in range(spec.tiles):
            begin = held if tile == 0 else 0
            begin_tile(spec, cycles, begin, busy)
            for push in result_cycles(spec, cycles.ends[-1]):
                after = cycles.taken[-1] + 1 if cycles.taken else 0
                cycles.pushed.append(push)
                cycles.taken.append(self.take(max(push + spec.queue, after)))
        cycles.released.append(cycles.ends[-1][-1])


def begin_tile(
    spec: LayerTiming, cycles: LayerCycles, earliest: int, busy: Sequence[int] | None = None
) -> None:
    """Note when the next tile begins and when its steps end.

    Parameters
    ----------
    earliest
        From which cycle on it may.
    busy
        Words of each step that hold an event, see :meth:`LayerTiming.ends`.
    """
    begin = max(earliest, credit(cycles, spec.groups, spec.fifo_depth))
    after = -spec.rest
    if cycles.begins:
        after = cycles.ends[-1][-1]
        begin = max(begin, after + 1 if spec.skips else cycles.begins[-1] + spec.tile_cycles)
    cycles.begins.append(begin)
    cycles.ends.append(spec.ends(begin, busy, after))


def credit(cycles: LayerCycles, groups: int, depth: int) -> int:
    """First cycle in which a FIFO of ``depth`` words has room for ``groups`` more."""
    needed = (len(cycles.begins) + 1) * groups - depth
    return cycles.taken[needed - 1] + 1 if needed > 0 else 0


def last_read(spec: LayerTiming, begin: int, step: int) -> int:
    """Cycle in which step ``step`` of a tile reads its last word."""
    return begin + step * spec.period + spec.words - 1


def total_cycles(spec: LayerTiming, ends: Sequence[int]) -> list[int]:
    """Cycles in which the accumulators of a tile stand complete, one for every plane."""
    return [end + spec.total for end in ends]


def x_cycles(spec: LayerTiming, ends: Sequence[int]) -> list[list[int]]:
    """Cycles in which X stands, for every finished step (the last alone if not each_step)."""
    totals = total_cycles(spec, ends)
    return [
        [total + spec.drain + i * spec.pace + spec.x for i in range(spec.groups)]
        for total in (totals if spec.each_step else totals[-1:])
    ]


def result_cycles(spec: LayerTiming, ends: Sequence[int]) -> list[int]:
    """Cycles in which the results of a tile enter the FIFO."""
    return [x + spec.target + spec.result for x in x_cycles(spec, ends)[-1]]
