"""Rate encoder: raw samples become the trains of integrate-and-fire neurons on the chip."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .encoder import Encoder, encoder_members
from .storage import Rom


class SteadyNeurons(wiring.Component):
    """Fire ``lanes`` integrate-and-fire neurons for T steps from currents that stand still.

    residual = m + I - θ, and m(0) = 0:

    residual(0) = I - θ;  s(t) = residual(t) >= 0
    residual(t+1) = residual(t) + (I - θ if s(t) else I)

    The current never passes θ, so 0 <= m < θ and the residual stays within -θ..θ - 1. The event is
    its sign bit, and one addition is the whole loop.

    Timing: currents taken in cycle c give the train in cycle c + T, where new ones may be taken if
    the train is. Respects backpressure: the last step waits for ``trains.ready``.

    Parameters
    ----------
    lanes
        Neurons in parallel.
    threshold
        θ; currents lie in 0..θ.
    steps
        T.

    Members
    -------
    targets : In, stream of lanes currents I: the train says I/θ as its mean
    trains : Out, stream of lanes words of T bits, bit t is s(t)
    firing, membrane, event : Out, for observation: m(t) and s(t) of the running step
    """

    targets: stream.Interface
    trains: stream.Interface
    firing: Signal
    membrane: data.View
    event: Signal

    def __init__(self, *, lanes: int, threshold: int, steps: int) -> None:
        if threshold < 1:
            raise ValueError(f"a threshold must be at least 1, not {threshold}")
        self.lanes, self.threshold, self.steps = lanes, threshold, steps
        self.LATENCY = steps
        self.target_shape = unsigned(threshold.bit_length())
        self.residual_shape = signed(threshold.bit_length() + 1)
        super().__init__(
            {
                "targets": In(stream.Signature(data.ArrayLayout(self.target_shape, lanes))),
                "trains": Out(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "firing": Out(1),
                "membrane": Out(data.ArrayLayout(self.residual_shape, lanes)),
                "event": Out(lanes),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        step, take, proceed = Signal(range(self.steps)), Signal(), Signal()
        last = step == self.steps - 1
        m.d.comb += [
            self.trains.valid.eq(self.firing & last),
            self.targets.ready.eq(~self.firing | (last & self.trains.ready)),
            take.eq(self.targets.valid & self.targets.ready),
            proceed.eq(self.firing & (~last | self.trains.ready)),
        ]
        with m.If(proceed):
            m.d.sync += step.eq(Mux(last, 0, step + 1))
        with m.If(proceed & last):
            m.d.sync += self.firing.eq(0)
        with m.If(take):
            m.d.sync += self.firing.eq(1)
        for lane in range(self.lanes):
            self._neuron(m, lane, take, proceed)
        return m

    def _neuron(self, m: Module, lane: int, take, proceed) -> None:
        residual, less = (
            Signal(self.residual_shape, name=f"{name}_{lane}", reset_less=True)
            for name in ("residual", "less")
        )
        current = Signal(self.target_shape, name=f"current_{lane}", reset_less=True)
        given = self.targets.payload[lane]
        event = ~residual[-1]
        with m.If(take):
            m.d.sync += [
                residual.eq(given - self.threshold),
                less.eq(given - self.threshold),
                current.eq(given),
            ]
        with m.Elif(proceed):
            m.d.sync += residual.eq(residual + Mux(event, less, current))
        past = Signal(max(1, self.steps - 1), name=f"past_{lane}", reset_less=True)
        train = Cat(past, event) if self.steps > 1 else event
        with m.If(proceed):
            m.d.sync += past.eq(train[1:] if self.steps > 1 else 0)
        m.d.comb += [
            self.trains.payload[lane].eq(train),
            self.event[lane].eq(event),
            self.membrane[lane].eq(residual - less),
        ]


class RateEncoder(Encoder):
    """Fire an input population of integrate-and-fire neurons: I = p - low at every step.

    Timing and backpressure are those of :class:`Encoder`.

    Parameters
    ----------
    lanes
        Raw values a word.
    low, high
        Range of the raw values p.
    threshold
        θ, at least high - low.
    steps
        T.

    Members
    -------
    samples, trains, firing, membrane, event : as of :class:`Encoder`
    """

    def __init__(self, *, lanes: int, low: int, high: int, threshold: int, steps: int) -> None:
        if threshold < high - low:
            raise ValueError(
                f"a threshold must be at least the range of the samples, {high - low}, not "
                f"{threshold}"
            )
        self.lanes, self.low = lanes, low
        self.LATENCY = 1 + steps
        self.raw_shape = Signal(range(min(low, 0), high + 1)).shape()
        self.neurons = SteadyNeurons(lanes=lanes, threshold=threshold, steps=steps)
        wiring.Component.__init__(self, encoder_members(self.raw_shape, self.neurons))

    @property
    def roms(self) -> dict[str, Rom]:
        """No number of the Design lies in a memory."""
        return {}

    def target(self, raw):
        """Return the current that a raw value brings."""
        return raw - self.low
