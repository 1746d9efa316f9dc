"""Expectation: every observable number of a run, each on its clock cycle.

The golden model says what the numbers are, the cycle model when they stand; this module lays one
over the other. A probe is one place in the RTL: a valid signal and a word of lanes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from ...gen.design.design import Design, bits_for
from ...gen.layers.cycles import (
    CoreTiming,
    LayerCycles,
    LayerTiming,
    Prediction,
    predict,
    total_cycles,
    x_cycles,
)
from ...gen.layers.cycles_pair import PairCycles, PairTiming
from ...gen.layers.pair import OperandPlan, PairPlan
from ...gen.layers.plan import (
    InputPlan,
    LayerPlan,
    MaximumPlan,
    RatePlan,
    RateReadoutPlan,
    plan_layers,
)
from ...hdl.names import port_name
from ..golden import PopulationTrace, Trace, trace


@dataclass(frozen=True, kw_only=True)
class Word:
    """What a probe must show in one cycle, and whose it is.

    Parameters
    ----------
    value
        The lanes packed into one unsigned number, lane 0 lowest.
    sample, step
        Where the word belongs; ``step`` is ``None`` where there is none.
    first
        Neuron of lane 0.
    apart
        Neurons from one lane to the next: of planes, as many as there are pixels.
    """

    value: int
    sample: int
    first: int
    step: int | None = None
    apart: int = 1


@dataclass(kw_only=True)
class Probe:
    """One observed place.

    Parameters
    ----------
    layer, what
        As in a :class:`Mismatch`.
    valid
        Signals that are all high where the word counts, as paths below the top module.
    value
        Signal of the word.
    lane_bits, signed
        How to take the word apart.
    words
        By cycle.
    """

    layer: str
    what: str
    valid: tuple[str, ...]
    value: str
    lane_bits: int
    signed: bool
    words: dict[int, Word] = field(default_factory=dict)

    def expect(
        self,
        cycle: int,
        lanes: Sequence[int],
        sample: int,
        first: int,
        step: int | None = None,
        apart: int = 1,
    ) -> None:
        """Expect ``lanes`` in ``cycle``."""
        mask = (1 << self.lane_bits) - 1
        packed = 0
        for lane, number in enumerate(lanes):
            packed |= (int(number) & mask) << (lane * self.lane_bits)
        if cycle in self.words:
            raise ValueError(f"two words of {self.layer} {self.what} fall on cycle {cycle}")
        self.words[cycle] = Word(value=packed, sample=sample, first=first, step=step, apart=apart)

    def lane(self, value: int, index: int) -> int:
        """Take lane ``index`` out of a word."""
        number = value >> (index * self.lane_bits) & ((1 << self.lane_bits) - 1)
        if self.signed and number >> (self.lane_bits - 1):
            number -= 1 << self.lane_bits
        return number


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Probes and stimulus of one run.

    Parameters
    ----------
    probes
        All observed places.
    raw_words
        Packed raw words in order.
    gaps
        Cycles that the source waits before each raw word.
    ready
        Whether the sink is ready in a cycle; always beyond its end.
    prediction
        Of the cycle model.
    cycles
        How many cycles must be observed.
    """

    probes: tuple[Probe, ...]
    raw_words: tuple[int, ...]
    gaps: tuple[int, ...]
    ready: tuple[bool, ...]
    prediction: Prediction
    cycles: int


def expect(
    design: Design,
    timing: CoreTiming,
    technology,
    raw: np.ndarray,
    *,
    shape: Design | None = None,
    stalls: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
) -> Expectation:
    """Lay golden model and cycle model over each other.

    Parameters
    ----------
    design
        Folded.
    timing
        Of the core under test.
    technology
        Device family the core was made for.
    raw
        (samples, input size) integers p.
    shape
        Folded Design whose hardware holds ``design``; None is ``design`` itself.
    stalls
        Probabilities that the source pauses before a word and that the sink is not ready.
    seed
        Of the stalls.
    """
    entry, plans = plan_layers(design, technology, shape)
    rng = np.random.default_rng(seed)
    count = len(raw) * entry.words
    gaps = tuple(int(g) for g in rng.geometric(1 - stalls[0], count) - 1)
    slack = 64 + 8 * len(raw) * plans[-1].outputs
    ready = tuple(bool(r) for r in rng.random(slack * 8) >= stalls[1]) if stalls[1] else ()
    prediction = predict(
        timing,
        len(raw),
        gaps=gaps,
        ready=lambda cycle: cycle >= len(ready) or ready[cycle],
    )
    traces = [trace(design, sample) for sample in raw]
    probes = _encoder_probes(design, entry, raw, prediction, traces)
    for i, plan in enumerate(plans):
        probes += _probes_of(i, plan, timing.layers[i], prediction.layers[i]).build(traces)
    words = raw.reshape(count, entry.lanes)
    bits = design.input_format.bits
    packed = Probe(layer="", what="", valid=(), value="", lane_bits=bits, signed=False)
    for k, word in enumerate(words):
        packed.expect(k, word, 0, 0)
    return Expectation(
        probes=tuple(probes),
        raw_words=tuple(packed.words[k].value for k in range(count)),
        gaps=gaps,
        ready=ready,
        prediction=prediction,
        cycles=prediction.layers[-1].taken[-1] + 32,
    )


def _trains(events: np.ndarray) -> np.ndarray:
    """(T, n) events to (n,) trains, bit t the event of step t; Python integers of any size."""
    weights = np.array([1 << t for t in range(len(events))], dtype=object)
    return weights @ events.astype(int).astype(object)


def ends(stream: str, place: str = "") -> tuple[str, ...]:
    """Return the names of the valid and the ready of a stream of a component at ``place``."""
    return tuple(place + port_name(stream, end) for end in ("valid", "ready"))


def _encoder_probes(
    design: Design,
    entry: InputPlan,
    raw: np.ndarray,
    prediction: Prediction,
    traces: Sequence[Trace],
) -> list[Probe]:
    """Raw words, the input's membranes and events, its trains."""
    code, lanes, name = entry.code, entry.lanes, entry.name
    if entry.threshold is None:
        reach = bits_for(min(code.low, -1), code.high)
    else:
        reach = bits_for(-1, entry.threshold)
    accepted = Probe(
        layer=name,
        what="raw word",
        valid=ends("samples"),
        value=port_name("samples", "payload"),
        lane_bits=design.input_format.bits,
        signed=design.input_format.signed,
    )
    membrane = Probe(
        layer=name,
        what="membrane",
        valid=("encoder.firing",),
        value="encoder.membrane",
        lane_bits=reach,
        signed=True,
    )
    event = Probe(
        layer=name,
        what="event",
        valid=("encoder.firing",),
        value="encoder.event",
        lane_bits=1,
        signed=False,
    )
    trains = Probe(
        layer=name,
        what="train",
        valid=("link_0_valid", "link_0_ready"),
        value="link_0_payload",
        lane_bits=code.steps,
        signed=False,
    )
    for k, (taken, fires, left) in enumerate(
        zip(prediction.accepted, prediction.targets, prediction.encoded, strict=True)
    ):
        n, first = divmod(k * lanes, entry.size)
        which = slice(first, first + lanes)
        seen = traces[n].populations[name]
        accepted.expect(taken, raw[n, which], n, first)
        for cycle in range(fires + 1, left + 1):  # the last step waits for its reader
            t = min(cycle - fires - 1, code.steps - 1)
            membrane.expect(cycle, seen.membranes[t, which], n, first, t)
            event.expect(cycle, seen.events[t, which], n, first, t)
        trains.expect(left, _trains(seen.events)[which], n, first)
    return [accepted, membrane, event, trains]


def _probes_of(index: int, plan: LayerPlan, timing, cycles) -> "_LayerProbes | _PairProbes":
    """Return what knows the expectations of a layer."""
    if isinstance(plan, PairPlan):
        return _PairProbes(index, plan, timing, cycles)
    probes = _LayerProbes
    for kind, known in (
        (MaximumPlan, _MaximumProbes),
        (RatePlan, _RateProbes),
        (RateReadoutPlan, _RateReadoutProbes),
    ):
        if isinstance(plan, kind):
            probes = known
    return probes(f"layer_{index}.", index, plan, timing, cycles)


class _LayerProbes:
    """Expectations of one layer: sums, integrators, targets, membranes, events, results."""

    def __init__(
        self, place: str, index: int, plan: LayerPlan, timing: LayerTiming, cycles: LayerCycles
    ) -> None:
        self.place, self.index, self.plan = place, index, plan
        self.timing, self.cycles = timing, cycles
        self.last = plan.is_readout
        # Σ_j W of what lies within the planes, and by source of what its windows cover beyond them.
        inside = [
            reader.held_map.apply(np.ones((1, *reader.map.in_shape), np.int64)).ravel()
            for reader in plan.readers
        ]
        self.inside = sum(inside)
        self.outside = [
            np.repeat(reader.sums, plan.windows) - within
            for reader, within in zip(plan.readers, inside, strict=True)
        ]
        self.known_sums: dict[tuple[int, int], np.ndarray] = {}

    def _probe(self, what: str, valid: str, value: str, bits: int, *, signed: bool = True) -> Probe:
        return Probe(
            layer=self.plan.name,
            what=what,
            valid=(self.place + port_name("seen", valid),),
            value=self.place + port_name("seen", value),
            lane_bits=bits,
            signed=signed,
        )

    def build(self, traces: Sequence[Trace]) -> list[Probe]:
        plan = self.plan
        self.totals = self._probe("sum", "total_valid", "total", plan.total_width)
        self.integrators = self._probe("integrator", "x_valid", "x", plan.x_width)
        probes = [self.totals, self.integrators]
        if not self.last:
            code = plan.population.code
            self.targets = self._probe("target", "target_valid", "target", plan.target_width)
            reach = bits_for(min(code.low, -1), code.high)
            self.membranes = self._probe("membrane", "firing", "membrane", reach)
            self.events = self._probe("event", "firing", "event", 1, signed=False)
            probes += [self.targets, self.membranes, self.events]
        self.results = self._result_probe()
        for n, sample in enumerate(traces):
            for window in range(plan.windows):
                for tile in range(plan.tiles):
                    self._tile(n, window, tile, sample.populations[plan.name])
            self._results(n, sample)
        return [*probes, self.results]

    def _result_probe(self) -> Probe:
        plan, following = self.plan, f"link_{self.index + 1}_"
        if self.last:
            return Probe(
                layer=plan.name,
                what="logit",
                valid=ends("results"),
                value=port_name("results", "payload"),
                lane_bits=plan.x_width + max(1, (plan.outputs - 1).bit_length()) + 1,
                signed=False,
            )
        return Probe(
            layer=plan.name,
            what="train",
            valid=(following + "valid", following + "ready"),
            value=following + "payload",
            lane_bits=plan.population.code.steps,
            signed=False,
        )

    def _neurons(self, window: int, first: int, count: int) -> slice:
        """Return the neurons of ``count`` outputs of a window, from output ``first`` on."""
        apart = self.plan.windows
        start = first * apart + window
        return slice(start, start + count * apart, apart)

    def _expect(
        self, probe: Probe, cycle: int, values: np.ndarray, which: slice, n: int, step: int
    ) -> None:
        """Expect what some neurons of sample ``n`` show out of the values of all."""
        probe.expect(cycle, values[which], n, which.start, step, which.step)

    def _tile(self, n: int, window: int, tile: int, seen: PopulationTrace) -> None:
        plan, timing = self.plan, self.timing
        begin = self.cycles.begins[(n * plan.windows + window) * plan.tiles + tile]
        base = tile * plan.folding.pe
        whole = self._neurons(window, base, plan.folding.pe)
        for step, cycle in enumerate(total_cycles(timing, begin)):
            self._expect(self.totals, cycle, self._sums(n, seen, step), whole, n, step)
        x = self._integrators(seen)
        for k, group_cycles in enumerate(x_cycles(timing, begin)):
            step = k if timing.each_step else plan.source_code.steps - 1
            for i, cycle in enumerate(group_cycles):
                which = self._neurons(window, base + i * plan.lanes, plan.lanes)
                self._expect(self.integrators, cycle, x[step + 1], which, n, step)
                final = k == len(x_cycles(timing, begin)) - 1
                if not self.last and (final or plan.overlapped):
                    self._fire(cycle + timing.target, seen, which, n, k if plan.overlapped else 0)

    def _fire(self, cycle: int, seen: PopulationTrace, which: slice, n: int, step: int) -> None:
        """Expect a target in ``cycle`` and the steps that follow it."""
        targets = seen.targets[step]
        if not self.plan.has_plain_relu:  # the hardware clamps where f makes no difference any more
            targets = np.clip(targets, *self.plan.target_range)
        self._expect(self.targets, cycle, targets, which, n, step)
        for t in range(step, step + self.timing.fire_steps):
            at = cycle + self.timing.fire_offset + t - step
            self._expect(self.membranes, at, seen.membranes[t], which, n, t)
            self._expect(self.events, at, seen.events[t], which, n, t)

    def _integrators(self, seen: PopulationTrace) -> np.ndarray:
        """Return X before the first step and after each, as the hardware holds it.

        Beyond the planes it follows the train of 0 to where that ends, v(T), which is taken off at
        the start; so X differs by (v(t) - v(T)) Σ W of what lies there, and not at the end. Sums of
        powers of two have no X before that.
        """
        x = seen.integrators[0]
        if not self.plan.weighted:
            return x
        for reader, outside in zip(self.plan.readers, self.outside, strict=True):
            if outside.any():
                events = np.array(reader.padding_train)
                v = np.cumsum([0, *np.where(events, 1, -1) * np.array(reader.source_code.eta)])
                x = x + (v - v[-1])[:, None] * outside
        return x

    def _sums(self, n: int, seen: PopulationTrace, plane: int) -> np.ndarray:
        """Return what the accumulators hold after ``plane``, worked back from golden integrators.

        x(t') - x(0) = Σ_{t<t'} η(t)(2 S_t - R) with S_t = Σ_j W e, R = Σ_j W. With the binary
        schedule the accumulator holds A = Σ_{t<t'} 2^(t'-1-t) S_t, and η(t) = 2^(T-t') 2^(t'-1-t).
        The golden model leaves out what lies beyond the planes; in the accumulators it sends the
        train of 0.
        """
        if (n, plane) in self.known_sums:
            return self.known_sums[n, plane]
        eta, x, row = self.plan.source_code.eta, seen.integrators[0], self.inside
        if self.plan.weighted:
            sums = ((x[plane + 1] - x[plane]) // eta[plane] + row) // 2
            for reader, outside in zip(self.plan.readers, self.outside, strict=True):
                sums += reader.padding_train[plane] * outside
        else:
            done = (plane + 1) * self.plan.folding.unroll
            moved = x[done] - x[0] + sum(eta[:done]) * row
            sums = moved >> (len(eta) - done + 1)
            for reader, outside in zip(self.plan.readers, self.outside, strict=True):
                train = reader.padding_train[:done]
                sums += sum(event << (done - 1 - t) for t, event in enumerate(train)) * outside
        self.known_sums[n, plane] = sums
        return sums

    def _results(self, n: int, sample: Trace) -> None:
        plan = self.plan
        words = plan.windows * plan.outputs // plan.lanes
        taken = self.cycles.taken[n * words : (n + 1) * words]
        if not self.last:
            trains = _trains(sample.populations[plan.name].events)
            for k, cycle in enumerate(taken):
                window, group = divmod(k, plan.outputs // plan.lanes)
                which = self._neurons(window, group * plan.lanes, plan.lanes)
                self.results.expect(cycle, trains[which], n, which.start, None, which.step)
            return
        label_bits = max(1, (plan.outputs - 1).bit_length())
        mask = (1 << plan.x_width) - 1
        for k, (cycle, logit) in enumerate(zip(taken, sample.logits, strict=True)):
            label = int(np.argmax(sample.logits[: k + 1]))
            word = (int(logit) & mask) | label << plan.x_width
            word |= (k == plan.outputs - 1) << (plan.x_width + label_bits)
            self.results.expect(cycle, [word], n, k)


class _RateProbes(_LayerProbes):
    """Expectations of integrate-and-fire neurons: sums of every step, membranes, events, trains."""

    def build(self, traces: Sequence[Trace]) -> list[Probe]:
        plan = self.plan
        self.totals = self._probe("sum", "total_valid", "total", plan.total_width)
        self.membranes = self._probe("membrane", "firing", "membrane", plan.widths.membrane)
        self.events = self._probe("event", "firing", "event", 1, signed=False)
        self.results = self._result_probe()
        bias = np.repeat(plan.bias[0], plan.windows)
        for n, sample in enumerate(traces):
            seen = sample.populations[plan.name]
            sums = currents_of(seen) - bias
            for window, tile in product(range(plan.windows), range(plan.tiles)):
                self._steps(n, window, tile, seen, sums)
            self._results(n, sample)
        return [self.totals, self.membranes, self.events, self.results]

    def _steps(
        self, n: int, window: int, tile: int, seen: PopulationTrace, sums: np.ndarray
    ) -> None:
        """Expect the sums of every step of a tile, and the membranes m(t+1) and events s(t)."""
        plan, timing = self.plan, self.timing
        begin = self.cycles.begins[(n * plan.windows + window) * plan.tiles + tile]
        base = tile * plan.folding.pe
        whole = self._neurons(window, base, plan.folding.pe)
        for step, cycle in enumerate(total_cycles(timing, begin)):
            self._expect(self.totals, cycle, sums[step], whole, n, step)
        for step, group_cycles in enumerate(x_cycles(timing, begin)):
            for i, cycle in enumerate(group_cycles):
                which = self._neurons(window, base + i * plan.lanes, plan.lanes)
                at = cycle + timing.fire_offset
                self._expect(self.membranes, at, seen.membranes[step + 1], which, n, step)
                self._expect(self.events, at, seen.events[step], which, n, step)


class _RateReadoutProbes(_LayerProbes):
    """Expectations of the read-out of such neurons: sums so far of every step, logits."""

    def build(self, traces: Sequence[Trace]) -> list[Probe]:
        plan, timing = self.plan, self.timing
        self.totals = self._probe("sum", "total_valid", "total", plan.total_width)
        self.integrators = self._probe("integrator", "x_valid", "x", plan.x_width)
        self.results = self._result_probe()
        last = plan.source_code.steps - 1
        for n, sample in enumerate(traces):
            seen = sample.populations[plan.name]
            sums = (currents_of(seen) - plan.bias[0]).cumsum(axis=0)
            for tile in range(plan.tiles):
                begin, base = self.cycles.begins[n * plan.tiles + tile], tile * plan.folding.pe
                whole = self._neurons(0, base, plan.folding.pe)
                for step, cycle in enumerate(total_cycles(timing, begin)):
                    self._expect(self.totals, cycle, sums[step], whole, n, step)
                for i, cycle in enumerate(x_cycles(timing, begin)[-1]):
                    which = self._neurons(0, base + i * plan.lanes, plan.lanes)
                    self._expect(self.integrators, cycle, seen.membranes[-1], which, n, last)
            self._results(n, sample)
        return [self.totals, self.integrators, self.results]


def currents_of(seen: PopulationTrace) -> np.ndarray:
    """Return I(0)..I(T-1) of integrate-and-fire neurons, (T, n) int64."""
    return np.diff(seen.integrators[0], axis=0, prepend=0)


class _MaximumProbes(_LayerProbes):
    """Expectations of a maximum: the greatest trains of every window, results."""

    def build(self, traces: Sequence[Trace]) -> list[Probe]:
        plan = self.plan
        steps = plan.population.code.steps
        greatest = self._probe("maximum", "greatest_valid", "greatest", steps, signed=False)
        self.results = self._result_probe()
        for n, sample in enumerate(traces):
            trains = _trains(sample.populations[plan.name].events)
            for window, tile in product(range(plan.windows), range(plan.tiles)):
                begin = self.cycles.begins[(n * plan.windows + window) * plan.tiles + tile]
                (cycle,) = total_cycles(self.timing, begin)
                whole = self._neurons(window, tile * plan.folding.pe, plan.folding.pe)
                greatest.expect(cycle, trains[whole], n, whole.start, None, whole.step)
            self._results(n, sample)
        return [greatest, self.results]


class _OperandProbes(_LayerProbes):
    """Expectations of one operand of two: sums, integrators, words of F as they come and go."""

    def __init__(
        self, number: int, index: int, plan: OperandPlan, timing: LayerTiming, cycles: LayerCycles
    ) -> None:
        super().__init__(f"layer_{index}.operand_{number + 1}.", index, plan, timing, cycles)
        self.number = number

    def _probe(self, what: str, valid: str, value: str, bits: int, *, signed: bool = True) -> Probe:
        what = f"operand {self.number + 1} {what}"
        return super()._probe(what, valid, value, bits, signed=signed)

    def build(self, traces: Sequence[Trace]) -> list[Probe]:
        plan = self.plan
        self.totals = self._probe("sum", "total_valid", "total", plan.total_width)
        self.integrators = self._probe("integrator", "x_valid", "x", plan.x_width)
        self.words = self._probe("F", "f_valid", "f", plan.requantised_width)
        self.taken = replace(
            self.words,
            what=f"operand {self.number + 1} F taken",
            valid=ends("results", self.place),
            value=self.place + port_name("results", "payload"),
            words={},
        )
        neurons = slice(0, plan.outputs * plan.windows)  # all, or those of the first channel
        for n, sample in enumerate(traces):
            whole = sample.populations[plan.name]
            x, f = (
                kept[self.number][:, neurons] for kept in (whole.integrators, whole.requantised)
            )
            seen = replace(whole, integrators=(x,), requantised=(f,))
            for window, tile in product(range(plan.windows), range(plan.tiles)):
                self._tile(n, window, tile, seen)
            self._taken(n, f[0])
        return [self.totals, self.integrators, self.words, self.taken]

    def _fire(self, cycle: int, seen: PopulationTrace, which: slice, n: int, step: int) -> None:
        self._expect(self.words, cycle, seen.requantised[0][0], which, n, None)

    def _taken(self, n: int, f: np.ndarray) -> None:
        plan = self.plan
        words = plan.windows * plan.outputs // plan.lanes
        for k, cycle in enumerate(self.cycles.taken[n * words : (n + 1) * words]):
            window, group = divmod(k, plan.outputs // plan.lanes)
            which = self._neurons(window, group * plan.lanes, plan.lanes)
            self._expect(self.taken, cycle, f, which, n, None)


class _PairProbes(_LayerProbes):
    """Expectations of neurons of two operands, and of both operands."""

    timing: PairTiming
    cycles: PairCycles

    def __init__(self, index: int, plan: PairPlan, timing: PairTiming, cycles: PairCycles) -> None:
        self.place, self.index, self.plan = f"layer_{index}.", index, plan
        self.timing, self.cycles, self.last = timing, cycles, False
        each = (timing.first, timing.second)
        self.operands = [
            _OperandProbes(number, index, *of)
            for number, of in enumerate(zip(plan.operands, each, cycles.operands, strict=True))
        ]

    def build(self, traces: Sequence[Trace]) -> list[Probe]:
        plan, code = self.plan, self.plan.population.code
        reach = bits_for(min(code.rest - code.total, -1), code.rest + code.total)
        membranes = self._probe("membrane", "firing", "membrane", reach)
        events = self._probe("event", "firing", "event", 1, signed=False)
        self.results = self._result_probe()
        words = plan.outputs // plan.lanes
        for n, sample in enumerate(traces):
            seen = sample.populations[plan.name]
            for k, (window, group) in enumerate(product(range(plan.windows), range(words))):
                begin = self.cycles.begins[n * plan.windows * words + k] + self.timing.load
                which = self._neurons(window, group * plan.lanes, plan.lanes)
                for t in range(code.steps):
                    self._expect(membranes, begin + t, seen.membranes[t], which, n, t)
                    self._expect(events, begin + t, seen.events[t], which, n, t)
            self._results(n, sample)
        probes = [probe for operand in self.operands for probe in operand.build(traces)]
        return [*probes, membranes, events, self.results]
