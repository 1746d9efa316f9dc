"""Expectation: every observable number of a run, each on its clock cycle.

The golden model says what the numbers are, the cycle model when they stand; this module lays one
over the other. A probe is one place in the RTL: a valid signal and a word of lanes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...gen.core.plans import plan_layers
from ...gen.design.design import Design
from ...gen.encoders.plan import InputPlan
from ...gen.layers.cycles import CoreTiming, LayerCycles, LayerTiming, Prediction, predict
from ...gen.layers.observation import Observation
from ...gen.layers.plan import LayerPlan
from ...hdl.names import port_name
from ..activity import busy_words
from ..golden import Trace, trace
from .judge import Judge, judge_of, trains_of


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
        lanes: Sequence[int] | np.ndarray,
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
    traces = [trace(design, sample) for sample in raw]
    seen = ({name: p.events[None] for name, p in t.populations.items()} for t in traces)
    prediction = predict(
        timing,
        len(raw),
        gaps=gaps,
        ready=lambda cycle: cycle >= len(ready) or ready[cycle],
        busy=busy_words(plans, seen),
    )
    probes = _encoder_probes(design, entry, raw, prediction, traces)
    for i, (plan, spec, cycles) in enumerate(
        zip(plans, timing.layers, prediction.layers, strict=True)
    ):
        layer = _Layer(place=f"layer_{i}.", judge=judge_of(plan)(plan), timing=spec, cycles=cycles)
        results = "results" if plan is plans[-1] else f"link_{i + 1}"
        probes += layer.probes(traces, results)
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
        lane_bits=entry.membrane_width,
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
        fired = range(fires + 1, left + 1)  # the last step waits for its reader
        for cycle in fired if entry.steps else ():
            t = min(cycle - fires - 1, code.steps - 1)
            membrane.expect(cycle, seen.membranes[t, which], n, first, t)
            event.expect(cycle, seen.events[t, which], n, first, t)
        trains.expect(left, trains_of(seen.events)[which], n, first)
    return [accepted, membrane, event, trains] if entry.steps else [accepted, trains]


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """A layer, or one within a layer, that is observed.

    Parameters
    ----------
    place
        Its path below the top module, with a dot at the end.
    judge
        What says of golden numbers which words they are.
    timing, cycles
        Of the cycle model.
    within
        What precedes the names of quantities: ``operand 1``, say, and a space.
    """

    place: str
    judge: Judge
    timing: LayerTiming
    cycles: LayerCycles
    within: str = ""

    @property
    def plan(self) -> LayerPlan:
        return self.judge.plan

    def probes(self, traces: Sequence[Trace], results: str, place: str = "") -> list[Probe]:
        """Return what is observed, in parts of the layer first.

        ``results`` is the name of its stream of results, which is found at ``place``.
        """
        found = []
        for k, part in enumerate(self.plan.parts):
            inner = _Layer(
                place=f"{self.place}operand_{k + 1}.",
                judge=judge_of(part)(part),
                timing=self.timing.parts[k],
                cycles=self.cycles.parts[k],
                within=f"operand {k + 1} ",
            )
            found += inner.probes(traces, "results", inner.place)
        seen = self.plan.observations()
        own = [self._probe(observation, results, place) for observation in seen]
        for n, sample in enumerate(traces):
            quantities = self.judge.quantities(sample)
            for observation, probe in zip(seen, own, strict=True):
                self._expect(observation, probe, n, quantities[observation.quantity])
        return found + own

    def _probe(self, observation: Observation, results: str, place: str) -> Probe:
        if observation.is_stream:
            valid, value = ends(results, place), place + port_name(results, "payload")
        else:
            valid = (self.place + port_name("seen", observation.valid),)
            value = self.place + port_name("seen", observation.port)
        return Probe(
            layer=self.plan.name,
            what=self.within + observation.quantity,
            valid=valid,
            value=value,
            lane_bits=observation.bits,
            signed=observation.signed,
        )

    def _expect(self, observation: Observation, probe: Probe, n: int, values: np.ndarray) -> None:
        """Expect the values of sample ``n``: (steps, neurons), or (neurons,) of no step."""
        apart = self.plan.windows
        for at in self.timing.moments(observation.when, self.cycles, n):
            first = at.first * apart + at.window
            which = slice(first, first + at.count * apart, apart)
            if values.ndim == 1:
                probe.expect(at.cycle, values[which], n, first, None, apart)
            else:
                probe.expect(at.cycle, values[at.step, which], n, first, at.step, apart)
