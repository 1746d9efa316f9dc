"""RTL that kinds of layer share: readers that take turns, sums, integrators, results under way.

Every layer runs freely once it has begun a tile, and begins a tile only when the FIFO behind it
has room for all results of the tile; so the pipelines never stop half way, and back-pressure acts
between tiles.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import Out

from ...hdl.constant_sums import logic_latency
from ...hdl.delay import delayed
from ...hdl.event_sequencer import EventSequencer
from ...hdl.integrator import (
    Accumulator,
    Drain,
    ShiftIntegrator,
    WeightedIntegrator,
    pack_fields,
    shift_latency,
    weighted_latency,
)
from ...hdl.logic_array import LogicArray
from ...hdl.multiplier_array import MultiplierArray, multiplier_latency, shared_groups
from ...hdl.passing_queue import PassingQueue
from ...hdl.sequencer import Sequencer
from ...hdl.storage import Rom, rom_latency
from ...hdl.synapses import SynapseArray, synapse_latency
from ..readers.rtl import QueueReader, make_reader, trains_members
from .cycles import LayerTiming
from .observation import Observation
from .plan import FEEDBACK_CYCLES, LayerPlan


@dataclass(frozen=True, kw_only=True)
class LayerLatency:
    """Pipeline depths of a layer in cycles, all read off its components.

    Parameters
    ----------
    total
        From reading a word to the accumulator that includes it.
    drain
        From the accumulator to the first group of results.
    x
        From a group to its integrator X.
    target
        From X to the target f(F); 0 for the read-out.
    result
        From the target to the write of the train into the FIFO (from X to the logit's, for the
        read-out).
    """

    total: int
    drain: int
    x: int
    target: int
    result: int


class LayerComponent(wiring.Component):
    """What every layer in hardware is.

    Members
    -------
    trains_0, trains_1 : In, and so on: streams of the trains of its sources
    results : Out, stream of this layer's results
    seen : Out, what the cycle check observes, see :meth:`.plan.LayerPlan.observations`;
        unconnected in hardware
    """

    plan: LayerPlan
    layout: Any  # of a word of results

    results: stream.Interface
    seen: wiring.PureInterface

    @abstractmethod
    def elaborate(self, platform) -> Module: ...

    def _make_ports(self, trains: Mapping[str, Any]) -> None:
        super().__init__(
            {
                **trains,
                "results": Out(stream.Signature(self.layout)),
                "seen": Out(wiring.Signature(seen_members(self.plan.observations()))),
            }
        )

    @property
    def trains(self) -> list:
        """Incoming streams, by reader."""
        return [getattr(self, f"trains_{k}") for k in range(len(self.plan.readers))]

    @property
    @abstractmethod
    def roms(self) -> dict[str, Rom]:
        """Its ROMs by kind: ``weights``, ``constants``, ``eta``, ``source eta``."""

    @property
    @abstractmethod
    def pushed(self) -> Any:
        """Whether a result enters the FIFO."""

    @property
    @abstractmethod
    def observed(self) -> dict[str, Any]:
        """What the ports of ``seen`` show, by name."""

    @classmethod
    @abstractmethod
    def timing(cls, plan: Any, streams: Mapping[str, int]) -> Any:
        """Describe the layer to the cycle model; ``streams`` are the numbers of populations."""

    def _observe(self, m: Module) -> None:
        """Lead to the ports of ``seen`` what they show."""
        observed = self.observed
        for name in self.seen.signature.members:
            port, shown = Value.cast(getattr(self.seen, name)), Value.cast(observed[name])
            if len(port) != len(shown):
                raise ValueError(f"{name} has {len(shown)} bits, and its plan says {len(port)}")
            m.d.comb += port.eq(shown)


def seen_members(observations: tuple[Observation, ...]) -> dict[str, Any]:
    """Return the observation ports of what is not seen in the stream of results."""
    members: dict[str, Any] = {}
    for seen in observations:
        if not seen.is_stream:
            lane = Shape(seen.bits, signed=seen.signed)
            whole = unsigned(seen.bits * seen.lanes)
            word = whole if seen.plain else data.ArrayLayout(lane, seen.lanes)
            members |= {seen.valid: Out(1), seen.port: Out(word)}
    return members


class TiledLayer(LayerComponent):
    """A layer that works off windows tile by tile; numbers from a :class:`.plan.LayerPlan`.

    Its readers take turns within every step: one after the other gives the words of a window, and
    to what follows a join is nothing but a layer of more inputs. To the sequencer, and to all
    behind it, every window is a sample.
    """

    def __init__(self, plan: LayerPlan) -> None:
        self.plan = plan
        self.readers = [make_reader(reader, plan.technology) for reader in plan.readers]
        self.sequencer = make_sequencer(plan)
        self._make_parts(plan)
        self.latency = self.latency_of(plan)
        self._make_ports(trains_members(self.readers))

    @abstractmethod
    def _make_parts(self, plan: Any) -> None:
        """Make what stands behind the readers, and the layout of results."""

    @classmethod
    @abstractmethod
    def latency_of(cls, plan: Any) -> LayerLatency:
        """Read the pipeline depths off the components, without building them."""

    @classmethod
    def firing(cls, plan: Any) -> tuple[int, int, bool]:
        """Cycles from a target to its first step, steps, and whether each step has a target."""
        return 1, 0, False

    @classmethod
    def timing(cls, plan: LayerPlan, streams: Mapping[str, int]) -> LayerTiming:
        latency, (fire_offset, fire_steps, each) = cls.latency_of(plan), cls.firing(plan)
        return LayerTiming(
            name=plan.name,
            readers=tuple(
                reader.timing(streams[reader.source.name], end)
                for reader, end in zip(plan.readers, plan.ends, strict=True)
            ),
            planes=plan.planes,
            tiles=plan.tiles,
            words=plan.words,
            period=plan.period,
            groups=plan.groups,
            pace=plan.pace,
            fifo_depth=plan.fifo_depth,
            queue=plan.queue_cycles,
            total=latency.total,
            drain=latency.drain,
            x=latency.x,
            target=latency.target,
            result=latency.result,
            each_step=plan.weighted,
            fire_offset=fire_offset,
            fire_steps=fire_steps,
            fires_each_step=each,
            lanes=plan.lanes,
            source_steps=plan.source_code.steps,
            skips=plan.skips,
            rest=plan.rest,
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.sequencer = self.sequencer
        self._read(m)
        self._integrate(m)
        self._finish(m)
        self._observe(m)
        return m

    def _read(self, m: Module) -> None:
        """Let the readers take turns, and give the synapses what comes of them a cycle later."""
        sequencer, plan = self.sequencer, self.plan
        first = self.readers[0]
        if isinstance(sequencer, EventSequencer) and isinstance(first, QueueReader):
            m.d.comb += sequencer.last.eq(first.last)
        turn = Signal(range(len(self.readers)))  # whose words are read
        last_tile = sequencer.tile == plan.tiles - 1
        for k, (reader, end) in enumerate(zip(self.readers, plan.ends, strict=True)):
            m.submodules[f"reader_{k}"] = reader
            wiring.connect(m, wiring.flipped(self.trains[k]), reader.trains)
            last_word, word, valid = sequencer.last_word, sequencer.word, sequencer.valid
            if plan.is_join:
                valid, last_word = valid & (turn == k), sequencer.word == end - 1
                with m.If(valid & last_word):
                    m.d.sync += turn.eq((k + 1) % len(self.readers))
            if k:
                word = Signal(range(reader.reader.words), name=f"word_{k}")
                with m.If(valid):
                    m.d.sync += word.eq(Mux(last_word, 0, word + 1))
            tile_done = valid & last_word & sequencer.last_plane
            if self._ends_by_count:
                tile_done = last_word & sequencer.last_plane
            m.d.comb += [
                reader.valid.eq(valid),
                reader.last_word.eq(last_word),
                reader.tile_done.eq(tile_done),
                reader.done.eq(tile_done & last_tile),
                reader.tile.eq(sequencer.tile),
                reader.plane.eq(sequencer.plane),
                reader.word.eq(word),
            ]
        m.d.comb += sequencer.full.eq(Cat(reader.full for reader in self.readers).all())
        self.events: Value = self.readers[0].events.as_value()
        if plan.is_join:
            self._choose(m, delayed(m, turn, 1, name="turn", reset_less=True))

    @property
    def _ends_by_count(self) -> bool:
        """Whether the last word of a tile is known by its count.

        A tile waits for credit where it begins. Its last word is another, if it has several, and
        that it is read does not hang on the credit, whose way to readers and sources is long.
        """
        plan = self.plan
        return (
            isinstance(self.sequencer, Sequencer)
            and not plan.is_join
            and plan.planes * plan.words > 1
        )

    def _choose(self, m: Module, turn: Value) -> None:
        """Make events for the synapses of what the reader at ``turn`` gives.

        A reader whose outputs have inputs of their own gives the first inputs alone; the weights of
        the others are 0 then, so that they may be those of any other reader.
        """
        fold = self.plan.folding
        firsts = fold.pe if self.plan.apart else 1
        shared = [r for r in self.readers if not r.reader.apart]
        given = []
        for reader in self.readers:
            steps = []
            for u in range(self.plan.unroll):
                own = reader.events[u]
                steps.append(own if reader.reader.apart else own[0].replicate(firsts))
                if shared:
                    steps.append((shared[0] if reader.reader.apart else reader).events[u][1:])
            given.append(Cat(steps))
        self.events = Signal(len(given[0]))
        with m.Switch(turn):
            for k, value in enumerate(given):
                with m.Case(k):
                    m.d.comb += self.events.eq(value)

    @abstractmethod
    def _integrate(self, m: Module) -> None:
        """Lead events to what works on them."""

    @abstractmethod
    def _finish(self, m: Module) -> None:
        """Lead what was found to the FIFO; give credit."""

    def _queue(self, m: Module, result) -> None:
        """Let results wait for the next layer; give credit for as many as there is room for."""
        plan, width = self.plan, Shape.cast(self.layout).width
        if plan.queue_cycles:
            m.submodules.fifo = queue = fifo.SyncFIFO(width=width, depth=plan.fifo_depth)
            m.d.comb += [
                queue.w_en.eq(self.pushed),
                queue.w_data.eq(result),
                self.results.valid.eq(queue.r_rdy),
                self.results.payload.eq(queue.r_data),
                queue.r_en.eq(self.results.ready),
            ]
        else:
            m.submodules.fifo = passing = PassingQueue(width=width, depth=plan.fifo_depth)
            m.d.comb += [
                passing.push.eq(self.pushed),
                passing.word.eq(result),
                self.results.valid.eq(passing.valid),
                self.results.payload.eq(passing.payload),
                passing.ready.eq(self.results.ready),
            ]
        reserved = Signal(range(plan.fifo_depth + 1))
        taken = self.results.valid & self.results.ready
        begun = Signal(range(plan.groups + 1))
        after, credit = Signal.like(reserved), Signal(init=1)  # there is room for another tile
        m.d.comb += [
            self.sequencer.credit.eq(credit),
            begun.eq(self.sequencer.begin.replicate(len(begun)) & plan.groups),
            after.eq(reserved + begun - taken),
        ]
        m.d.sync += [reserved.eq(after), credit.eq(after <= plan.fifo_depth - plan.groups)]


class SummingLayer(TiledLayer):
    """A layer whose events meet weights and are summed, group by group."""

    def _make_parts(self, plan: Any) -> None:
        """Make all that leads from trains to sums."""
        self.weights = None if plan.folding.is_logic else weight_rom(plan)
        self.synapses = make_synapses(plan)
        self.accumulator = Accumulator(
            pe=plan.folding.pe,
            sum_shape=self.synapses.sum_shape,
            width=plan.total_width,
            shift=plan.step_shift,
        )

    @property
    def observed(self) -> dict[str, Any]:
        return {"total_valid": self.total_valid, "total": self.accumulator.total}

    @property
    def weight_roms(self) -> dict[str, Rom]:
        """The ROM of weights; none where they are logic."""
        return {} if self.weights is None else {"weights": self.weights}

    @classmethod
    def sums_latency(cls, plan: LayerPlan) -> int:
        """Cycles from reading a word to the accumulator that includes it."""
        return (
            address_latency(plan)
            + words_latency(plan)
            + plan_synapse_latency(plan)
            + Accumulator.LATENCY
        )

    def _integrate(self, m: Module) -> None:
        """Lead words and weights through the synapses into the accumulators."""
        plan, sequencer = self.plan, self.sequencer
        m.submodules.synapses = synapses = self.synapses
        m.submodules.accumulator = accumulator = self.accumulator
        words = address_latency(plan) + words_latency(plan)
        if self.weights is not None and not isinstance(synapses, LogicArray):
            m.submodules.weights = self.weights
            m.d.comb += [
                self.weights.address.eq(self._address(m)),
                synapses.weights.as_value().eq(self.weights.data),
            ]
        late = words - plan.readers[0].latency
        events = delayed(m, self.events, late, name="events", reset_less=True)
        depth = words + synapses.LATENCY
        first_step = sequencer.first_plane | plan.weighted
        step_done = sequencer.valid & sequencer.last_word
        tile_done = step_done & (sequencer.last_plane | plan.weighted)
        self.total_valid = delayed(m, step_done, depth + 1, name="step_done")
        m.d.comb += [
            synapses.events.as_value().eq(events),
            accumulator.sums.eq(synapses.sums),
            accumulator.valid.eq(delayed(m, sequencer.valid, depth, name="valid")),
            accumulator.first.eq(
                delayed(m, sequencer.first_word & first_step, depth, name="first", reset_less=True)
            ),
            accumulator.step.eq(
                delayed(m, sequencer.first_word, depth, name="step", reset_less=True)
            ),
        ]
        self.tile_valid = delayed(m, tile_done, depth + 1, name="tile_done")

    def _address(self, m: Module) -> Signal:
        """Return where the weights of a word lie: the row follows the word out of a queue."""
        sequencer, reader = self.sequencer, self.readers[0]
        if isinstance(sequencer, Sequencer):
            return sequencer.address
        assert isinstance(reader, QueueReader), "words that hold events come out of a queue"
        base = delayed(m, sequencer.base, 1, name="base", reset_less=True)
        address = Signal.like(sequencer.base, name="address", reset_less=True)
        m.d.sync += address.eq(base + reader.row)
        return address


class DrainedLayer(SummingLayer):
    """A layer that hands out the sums of a tile in groups."""

    def _make_parts(self, plan: Any) -> None:
        super()._make_parts(plan)
        self.drain = Drain(
            pe=plan.folding.pe, lanes=plan.lanes, width=plan.total_width, pace=plan.pace
        )

    def _integrate(self, m: Module) -> None:
        super()._integrate(m)
        m.submodules.drain = drain = self.drain
        m.d.comb += [drain.load.eq(self.tile_valid), drain.results.eq(self.accumulator.total)]


class IntegratingLayer(DrainedLayer):
    """A layer that makes X of its sums, and results of X: its tail says which."""

    def _make_parts(self, plan: Any) -> None:
        if FEEDBACK_CYCLES < WeightedIntegrator.FEEDBACK:
            raise ValueError("the plan is faster than the components")
        super()._make_parts(plan)
        self.integrator = make_integrator(plan)
        self.tail = self._make_tail(plan)
        self.layout = self.tail.layout

    @abstractmethod
    def _make_tail(self, plan: Any) -> Any:
        """Return what makes results of the integrators."""

    @property
    def roms(self) -> dict[str, Rom]:
        found = self.weight_roms | {"constants": self.integrator.rom}
        if isinstance(self.integrator, WeightedIntegrator):
            found["source eta"] = self.integrator.etas
        return found

    @property
    def pushed(self) -> Signal:
        return self.tail.result_valid

    @property
    def observed(self) -> dict[str, Any]:
        return super().observed | {"x_valid": self.integrator.x_valid, "x": self.integrator.x}

    @classmethod
    def integrated(cls, plan: LayerPlan, *, target: int, result: int) -> LayerLatency:
        """Return the depths where a target comes so long after X, and a result after that."""
        return LayerLatency(
            total=cls.sums_latency(plan),
            drain=Drain.LATENCY,
            x=integrator_latency(plan),
            target=target,
            result=result,
        )

    def _finish(self, m: Module) -> None:
        """Lead groups of totals through integrator and tail to the FIFO."""
        drain = self.drain
        m.submodules.integrator = integrator = self.integrator
        m.submodules.tail = tail = self.tail
        m.d.comb += [
            integrator.valid.eq(drain.valid),
            integrator.total.eq(drain.group),
            tail.x_valid.eq(integrator.x_valid & (integrator.last | self._takes_each_step)),
            tail.x.eq(integrator.x),
            tail.factor.eq(integrator.factor),
        ]
        self._queue(m, tail.result)

    @property
    def _takes_each_step(self) -> bool:
        """Whether the tail takes X of every step, not of the last alone."""
        return False


def read_latency(plan: LayerPlan) -> int:
    """Cycles from a place in the buffer to its events: as many as a ROM of weights takes."""
    return rom_latency(registered=plan.technology.rom_registered)


def address_latency(plan: LayerPlan) -> int:
    """Cycles from a place in a buffer to the address of its weights: a queue says which they are.

    One to read the queue, one to add the row to the first of the tile.
    """
    return 2 if plan.skips else 0


def words_latency(plan: LayerPlan) -> int:
    """Cycles from a place to its weights and events; to events alone where weights are logic."""
    return plan.readers[0].latency if plan.folding.is_logic else read_latency(plan)


def integrator_latency(plan: LayerPlan) -> int:
    """Cycles from a group of sums to X."""
    registered = plan.technology.rom_registered
    if not plan.weighted:
        return shift_latency(registered=registered)
    eta_bits = max(plan.source.spike_code.eta).bit_length()
    kind = plan.technology.multiplier
    return weighted_latency(kind=kind, eta_bits=eta_bits, registered=registered)


def make_sequencer(plan: LayerPlan) -> Sequencer | EventSequencer:
    """Loops over tiles, steps and words."""
    if plan.skips:
        return EventSequencer(
            tiles=plan.tiles,
            planes=plan.planes,
            words=plan.words,
            rows=plan.weight_words,
            rest=plan.rest,
            each_step=plan.weighted,
        )
    return Sequencer(
        tiles=plan.tiles,
        planes=plan.planes,
        words=plan.words,
        period=plan.period,
        repeats=plan.repeats,
    )


def weight_rom(plan: LayerPlan) -> Rom:
    """Weights of a layer: word tile·words + w holds pe x simd weights, output-major."""
    pe, simd = plan.folding.pe, plan.folding.simd
    rows = plan.weight_rows
    if plan.packed > 1:
        rows = stored_rows(rows, plan.packed)
    rows = rows.reshape(plan.tiles * plan.weight_words, pe * simd)
    bits = [plan.first_bits, *[plan.weight_bits] * (simd - 1)] * pe
    return Rom(
        content=pack_fields(zip(row.tolist(), bits, strict=True) for row in rows),
        width=plan.word_bits,
        registered=plan.technology.rom_registered,
        style=plan.weight_style,
    )


def stored_rows(rows: np.ndarray, packed: int) -> np.ndarray:
    """Return weights (tiles, words, pe, simd) as outputs that share a multiplier keep them.

    See :func:`.multiplier_array.stored_weights`, which says the same of one group.
    """
    stored = rows.copy()
    for group in shared_groups(pe=rows.shape[2], packed=packed):
        for p in group[1:]:
            stored[:, :, p] -= stored[:, :, p - 1] < 0
    return stored


def make_synapses(plan: LayerPlan) -> SynapseArray | MultiplierArray | LogicArray:
    """Event-gated adders, multipliers, or functions of events."""
    if plan.folding.is_logic:
        return LogicArray(weights=plan.weights.tolist(), unroll=plan.unroll)
    settings = {
        "pe": plan.folding.pe,
        "simd": plan.folding.simd,
        "unroll": plan.unroll,
        "weight_bits": plan.weight_bits,
        "apart": plan.apart,
    }
    if plan.folding.multiplies:
        return MultiplierArray(packed=plan.packed, **settings)
    gated_adders = plan.technology.gated_adders
    return SynapseArray(first_bits=plan.first_bits, gated_adders=gated_adders, **settings)


def plan_synapse_latency(plan: LayerPlan) -> int:
    """Cycles from weights and events to the sums."""
    simd, unroll = plan.folding.simd, plan.unroll
    if plan.folding.is_logic:
        return logic_latency(depth=plan.constant_depth, unroll=unroll)
    if plan.folding.multiplies:
        return multiplier_latency(simd=simd, unroll=unroll, packed=plan.packed)
    gated_adders = plan.technology.gated_adders
    return synapse_latency(simd=simd, unroll=unroll, gated_adders=gated_adders)


def make_integrator(plan: LayerPlan) -> ShiftIntegrator | WeightedIntegrator:
    """Shift-and-add for binary schedules, a multiplier for the others."""
    style = plan.technology.rom_style(plan.constant_words, plan.constant_width)
    kinds = plan.border.count
    factors = np.tile(plan.factor, kinds).tolist()
    border = None if kinds == 1 else (plan.border.rows, plan.border.columns)
    if not plan.weighted:
        return ShiftIntegrator(
            lanes=plan.lanes,
            total_width=plan.total_width,
            x_width=plan.x_width,
            bias=plan.folded_bias.ravel().tolist(),
            factor=factors,
            factor_bits=plan.stored_factor_bits,
            style=style,
            registered=plan.technology.rom_registered,
            border=border,
            shift=plan.sum_places,
        )
    return WeightedIntegrator(
        lanes=plan.lanes,
        groups=plan.groups,
        sum_width=plan.total_width,
        x_width=plan.x_width,
        eta=plan.source.spike_code.eta,
        start=plan.start.ravel().tolist(),
        row=np.tile(plan.row, kinds).tolist(),
        factor=factors,
        factor_bits=plan.stored_factor_bits,
        kind=plan.technology.multiplier,
        style=style,
        registered=plan.technology.rom_registered,
        border=border,
    )
