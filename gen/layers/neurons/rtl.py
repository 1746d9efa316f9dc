"""RTL of neurons of one operand."""

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....hdl.fire import NeuronArray, OverlappedNeurons
from ....hdl.function_table import Clamp, FunctionTable, table_latency
from ....hdl.requantise import Requantiser, requantiser_latency
from ....hdl.sign_choice import SignChoice
from ....hdl.storage import Rom
from ....hdl.threshold_neurons import ThresholdNeurons
from ..plan import FEEDBACK_CYCLES
from ..rtl import IntegratingLayer, LayerLatency, SummingLayer
from .plan import NeuronsPlan


class NeuronLayer(IntegratingLayer):
    """A layer of neurons of one operand; ports of :class:`LayerComponent`."""

    def _make_tail(self, plan: NeuronsPlan) -> "NeuronTail":
        if FEEDBACK_CYCLES < OverlappedNeurons.FEEDBACK:
            raise ValueError("the plan is faster than the components")
        return NeuronTail(plan)

    @property
    def roms(self) -> dict[str, Rom]:
        return super().roms | {"eta": self.tail.neurons.steps.rom}

    @property
    def observed(self) -> dict[str, Any]:
        tail, neurons = self.tail, self.tail.neurons
        return super().observed | {
            "target_valid": tail.target_valid,
            "target": tail.target,
            "firing": neurons.firing,
            "membrane": neurons.membrane,
            "event": neurons.event,
        }

    @property
    def _takes_each_step(self) -> bool:
        return self.plan.overlapped

    @classmethod
    def latency_of(cls, plan: NeuronsPlan) -> LayerLatency:
        steps, kind = plan.population.train_code.steps, plan.technology.multiplier
        requantised = requantiser_latency(kind=kind, factor_bits=plan.factor_bits)
        return cls.integrated(
            plan,
            target=requantised + function_latency(plan),
            result=OverlappedNeurons.LATENCY if plan.overlapped else steps,
        )

    @classmethod
    def firing(cls, plan: NeuronsPlan) -> tuple[int, int, bool]:
        steps = plan.population.train_code.steps
        return (OverlappedNeurons.LATENCY, 1, True) if plan.overlapped else (1, steps, False)


class ThresholdLayer(SummingLayer):
    """A layer whose neurons are thresholds of its sums; ports of :class:`LayerComponent`.

    trains -> [reader -> synapses -> accumulators -> thresholds -> FIFO] -> trains
    """

    def _make_parts(self, plan: NeuronsPlan) -> None:
        super()._make_parts(plan)
        self.neurons = ThresholdNeurons(thresholds=plan.thresholds.tolist(), width=plan.total_width)
        self.layout = self.neurons.train.shape()

    @property
    def roms(self) -> dict[str, Rom]:
        return self.weight_roms

    @property
    def pushed(self) -> Signal:
        return self.neurons.train_valid

    @classmethod
    def latency_of(cls, plan: NeuronsPlan) -> LayerLatency:
        """Neurons take the sums themselves: no X and no target stand between."""
        return LayerLatency(
            total=cls.sums_latency(plan),
            drain=0,
            x=0,
            target=0,
            result=ThresholdNeurons.LATENCY,
        )

    def _finish(self, m: Module) -> None:
        m.submodules.neurons = neurons = self.neurons
        m.d.comb += [neurons.valid.eq(self.tile_valid), neurons.total.eq(self.accumulator.total)]
        self._queue(m, neurons.train)


class NeuronTail(wiring.Component):
    """Requantise X, apply the function and fire, settled or overlapped.

        X -> [choice by sign] -> requantiser -> [table or clamp] -> neurons

    Members
    -------
    x_valid, x, factor : In
    result_valid, result : Out, trains
    target_valid, target : Out, for observation
    """

    x_valid: Signal
    x: data.View
    factor: data.View
    result_valid: Signal
    result: data.View
    target_valid: Signal
    target: data.View

    def __init__(self, plan: NeuronsPlan) -> None:
        code = plan.population.spike_code
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
            ties=plan.ties,
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
                self.function.valid.eq(requantiser.target_valid),
                self.function.position.eq(requantiser.target),
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
        if isinstance(neurons, OverlappedNeurons):
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


def make_function(plan: NeuronsPlan) -> FunctionTable | Clamp | None:
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


def function_latency(plan: NeuronsPlan) -> int:
    """Cycles that a function takes beside the requantiser: choice by sign, table or clamp."""
    choice = SignChoice.LATENCY if plan.has_two_factors or plan.is_magnitude else 0
    if plan.has_plain_relu:
        return choice
    if plan.population.table is None:
        return choice + Clamp.LATENCY
    return choice + table_latency(registered=plan.technology.rom_registered)
