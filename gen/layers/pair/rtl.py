"""RTL of layers of two operands: two layers that give words of F, and the neurons behind them."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module, Shape, Signal, signed, unsigned
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

from ....hdl.fire_pair import (
    PairNeurons,
    PairNumbers,
    ProductNeurons,
    QuotientNeurons,
    RootNeurons,
)
from ....hdl.requantise import Requantiser, requantiser_latency
from ....hdl.storage import Rom
from ..rtl import IntegratingLayer, LayerComponent, LayerLatency
from .cycles import PairTiming
from .plan import OperandPlan, PairPlan


class OperandTail(wiring.Component):
    """Requantise X; what comes of it is the result.

    Members
    -------
    x_valid, x, factor : In
    result_valid, result : Out, words of F
    """

    x_valid: Signal
    x: data.View
    factor: data.View
    result_valid: Signal
    result: data.View

    def __init__(self, plan: OperandPlan) -> None:
        self.requantiser = Requantiser(
            lanes=plan.lanes,
            x_width=plan.x_width,
            factor_bits=plan.factor_bits,
            shift=plan.shift,
            target_width=plan.requantised_width,
            kind=plan.technology.multiplier,
            relu=False,
            ties=plan.ties,
        )
        self.layout = data.ArrayLayout(signed(plan.requantised_width), plan.lanes)
        super().__init__(
            {
                "x_valid": In(1),
                "x": In(self.requantiser.x.shape()),
                "factor": In(self.requantiser.factor.shape()),
                "result_valid": Out(1),
                "result": Out(self.layout),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.requantiser = requantiser = self.requantiser
        m.d.comb += [
            requantiser.valid.eq(self.x_valid),
            requantiser.x.eq(self.x),
            requantiser.factor.eq(self.factor),
            self.result_valid.eq(requantiser.target_valid),
            self.result.as_value().eq(requantiser.target.as_value()),
        ]
        return m


class OperandLayer(IntegratingLayer):
    """One operand: a layer whose results are words of F; ports of :class:`LayerComponent`."""

    def _make_tail(self, plan: OperandPlan) -> OperandTail:
        return OperandTail(plan)

    @property
    def observed(self) -> dict[str, Any]:
        return super().observed | {"f_valid": self.tail.result_valid, "f": self.tail.result}

    @classmethod
    def latency_of(cls, plan: OperandPlan) -> LayerLatency:
        kind = plan.technology.multiplier
        requantised = requantiser_latency(kind=kind, factor_bits=plan.factor_bits)
        return cls.integrated(plan, target=requantised, result=0)


class PairLayer(LayerComponent):
    """A layer of neurons of two operands; ports of :class:`LayerComponent`.

    A word of each operand is taken once both stand at the ends of their FIFOs, T cycles after the
    word before at the earliest, and only when there is room for the trains that will come of it.
    Operands have observation ports of their own. ``NEURONS`` is the class of the neurons.
    """

    NEURONS: type[PairNeurons]

    def __init__(self, plan: PairPlan) -> None:
        self.plan = plan
        self.shared = plan.shared
        self.operands = tuple(operand.component()(operand) for operand in plan.parts)
        self.neurons = self.NEURONS(
            lanes=plan.lanes, numbers=neuron_numbers(plan), shared=plan.shared
        )
        self.layout = data.ArrayLayout(unsigned(self.neurons.steps), plan.lanes)
        given = [trains for operand in self.operands for trains in operand.trains]
        self._make_ports({f"trains_{k}": In(t.signature.flip()) for k, t in enumerate(given)})
        self.taken = Signal()  # a word of each operand

    @classmethod
    def timing(cls, plan: PairPlan, streams: Mapping[str, int]) -> PairTiming:
        first, second = (operand.timing(streams) for operand in plan.parts)
        numbers = neuron_numbers(plan)
        return PairTiming(
            name=plan.name,
            first=first,
            second=second,
            shared=plan.shared,
            steps=numbers.steps,
            load=cls.NEURONS.load_latency(numbers),
            fifo_depth=plan.fifo_depth,
            lanes=plan.lanes,
        )

    @property
    def observed(self) -> dict[str, Any]:
        neurons = self.neurons
        return {"firing": neurons.firing, "membrane": neurons.membrane, "event": neurons.event}

    @property
    def roms(self) -> dict[str, Rom]:
        """Its ROMs by kind; the binary step sizes are no memory."""
        first, second = (operand.roms for operand in self.operands)
        return first | {f"second {kind}": rom for kind, rom in second.items()}

    @property
    def pushed(self) -> Signal:
        """Whether a train enters the FIFO."""
        return self.neurons.train_valid

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.operand_1, m.submodules.operand_2 = first, second = self.operands
        inner = [trains for operand in self.operands for trains in operand.trains]
        for outer, trains in zip(self.trains, inner, strict=True):
            wiring.connect(m, wiring.flipped(outer), trains)
        m.submodules.neurons = neurons = self.neurons
        may = self._queue(m)
        last = self._last_word(m)
        m.d.comb += [
            self.taken.eq(first.results.valid & second.results.valid & may & self._paced(m)),
            first.results.ready.eq(self.taken),
            second.results.ready.eq(self.taken & last),
            neurons.valid.eq(self.taken),
            neurons.first.as_value().eq(first.results.payload.as_value()),
            neurons.second.as_value().eq(second.results.payload.as_value()),
        ]
        self._observe(m)
        return m

    def _paced(self, m: Module):
        """Return whether T cycles have passed since a word was taken."""
        steps = self.neurons.steps
        wait = Signal(range(steps))
        with m.If(self.taken):
            m.d.sync += wait.eq(steps - 1)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        return wait == 0

    def _last_word(self, m: Module):
        """Return whether the word of the second operand has served its time."""
        words = self.plan.tiles * self.plan.groups
        if not self.shared or words == 1:
            return 1
        word = Signal(range(words))
        last = word == words - 1
        with m.If(self.taken):
            m.d.sync += word.eq(word + 1)
            with m.If(last):
                m.d.sync += word.eq(0)
        return last

    def _queue(self, m: Module) -> Signal:
        """Let trains wait for the next layer; return whether there is room for one more."""
        depth = self.plan.fifo_depth
        m.submodules.fifo = queue = fifo.SyncFIFO(width=Shape.cast(self.layout).width, depth=depth)
        m.d.comb += [
            queue.w_en.eq(self.pushed),
            queue.w_data.eq(self.neurons.train),
            self.results.valid.eq(queue.r_rdy),
            self.results.payload.eq(queue.r_data),
            queue.r_en.eq(self.results.ready),
        ]
        reserved, may = Signal(range(depth + 1)), Signal()
        left = self.results.valid & self.results.ready
        m.d.sync += reserved.eq(reserved + self.taken - left)
        m.d.comb += may.eq(reserved != depth)
        return may


class ProductLayer(PairLayer):
    """Neurons that fire against F1·F2."""

    NEURONS = ProductNeurons


class QuotientLayer(PairLayer):
    """Neurons that fire against F1/F2."""

    NEURONS = QuotientNeurons


class RootLayer(PairLayer):
    """Neurons that fire against F1/√F2."""

    NEURONS = RootNeurons


def neuron_numbers(plan: PairPlan) -> PairNumbers:
    """Numbers of the neurons, as wide as the operands reach."""
    code = plan.population.spike_code
    return PairNumbers(
        rest=code.rest,
        steps=code.steps,
        first=plan.first.greatest,
        second=plan.second.greatest,
        fraction=plan.fraction,
        kind=plan.technology.multiplier,
        ties=plan.ties,
    )
