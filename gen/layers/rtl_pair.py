"""RTL of layers of two operands: two layers that give words of F, and the neurons behind them."""

from collections.abc import Mapping

from amaranth.hdl import Module, Shape, Signal, signed, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.fire_pair import NEURONS, PairNumbers
from ...hdl.requantise import Requantiser
from ...hdl.storage import Rom
from .cycles_pair import PairTiming
from .pair import OperandPlan, PairPlan
from .rtl import Layer, firing_ports, layer_timing


class OperandTail(wiring.Component):
    """Requantise X; what comes of it is the result.

    Members
    -------
    x_valid, x, factor : In
    result_valid, result : Out, words of F
    """

    def __init__(self, plan: OperandPlan) -> None:
        self.requantiser = Requantiser(
            lanes=plan.lanes,
            x_width=plan.x_width,
            factor_bits=plan.factor_bits,
            shift=plan.shift,
            target_width=plan.requantised_width,
            kind=plan.technology.multiplier,
            relu=False,
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


class OperandLayer(Layer):
    """One operand: a layer whose results are words of F.

    Members
    -------
    trains_0, trains_1 : In, and so on: streams of the trains of its sources
    results : Out, stream of words of F
    seen : Out, ``total_valid, total, x_valid, x`` as of any layer; ``f_valid, f`` words of F
    """

    def make_tail(self) -> OperandTail:
        return OperandTail(self.plan)

    @property
    def roms(self) -> dict[str, Rom]:
        return {"weights": self.weights, "constants": self.integrator.rom}

    def seen_ports(self) -> dict:
        return {
            "total_valid": Out(1),
            "total": Out(self.accumulator.total.shape()),
            "x_valid": Out(1),
            "x": Out(self.integrator.x.shape()),
            "f_valid": Out(1),
            "f": Out(self.tail.result.shape()),
        }

    def _observe(self, m: Module) -> None:
        seen = self.seen
        m.d.comb += [
            seen.total_valid.eq(self.total_valid),
            seen.total.eq(self.accumulator.total),
            seen.x_valid.eq(self.integrator.x_valid),
            seen.x.eq(self.integrator.x),
            seen.f_valid.eq(self.tail.result_valid),
            seen.f.eq(self.tail.result),
        ]


class PairLayer(wiring.Component):
    """A layer of neurons of two operands.

    A word of each operand is taken once both stand at the ends of their FIFOs, T cycles after the
    word before at the earliest, and only when there is room for the trains that will come of it.

    Members
    -------
    trains_0, trains_1 : In, and so on: streams of the trains of the sources of both operands
    results : Out, stream of this layer's trains
    seen : Out, ``firing, membrane, event``; operands have ports of their own
    """

    def __init__(self, plan: PairPlan) -> None:
        self.plan = plan
        self.operands = tuple(OperandLayer(operand) for operand in plan.operands)
        self.neurons = NEURONS[plan.population.function](
            lanes=plan.lanes, numbers=neuron_numbers(plan), shared=plan.shared
        )
        self.layout = data.ArrayLayout(unsigned(self.neurons.steps), plan.lanes)
        given = [trains for operand in self.operands for trains in operand.trains]
        super().__init__(
            {
                **{f"trains_{k}": In(t.signature.flip()) for k, t in enumerate(given)},
                "results": Out(stream.Signature(self.layout)),
                "seen": Out(wiring.Signature(firing_ports(self.neurons))),
            }
        )
        self.taken = Signal()  # a word of each operand

    @property
    def trains(self) -> list:
        """Incoming streams, by reader."""
        return [getattr(self, f"trains_{k}") for k in range(len(self.plan.readers))]

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
            self.seen.firing.eq(neurons.firing),
            self.seen.membrane.eq(neurons.membrane),
            self.seen.event.eq(neurons.event),
        ]
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
        if not self.plan.shared or words == 1:
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


def neuron_numbers(plan: PairPlan) -> PairNumbers:
    """Numbers of the neurons, as wide as the operands reach."""
    code = plan.population.code
    assert code is not None
    return PairNumbers(
        rest=code.rest,
        steps=code.steps,
        first=plan.first.greatest,
        second=plan.second.greatest,
        fraction=plan.fraction,
        kind=plan.technology.multiplier,
    )


def pair_timing(plan: PairPlan, streams: Mapping[str, int]) -> PairTiming:
    """Describe a layer of two operands to the cycle model, see :func:`.rtl.layer_timing`."""
    first, second = (layer_timing(operand, streams) for operand in plan.operands)
    numbers = neuron_numbers(plan)
    return PairTiming(
        name=plan.name,
        first=first,
        second=second,
        shared=plan.shared,
        steps=numbers.steps,
        load=NEURONS[plan.population.function].load_latency(numbers),
        fifo_depth=plan.fifo_depth,
    )
