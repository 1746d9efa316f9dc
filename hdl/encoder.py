"""Encoder: raw samples become spike trains on the chip."""

from collections.abc import Sequence

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .fire import NeuronArray
from .requantise import target_shift
from .storage import Rom


def constant_product(value, factor: int):
    """Return value·factor as shifts and adds, so that no DSP block is spent on a constant."""
    terms = [value << bit for bit in range(factor.bit_length()) if factor >> bit & 1]
    return sum(terms[1:], terms[0])


def encoder_members(raw_shape, neurons) -> dict:
    """Ports of an encoder: raw values, and what its neurons give."""
    return {
        "samples": In(stream.Signature(data.ArrayLayout(raw_shape, neurons.lanes))),
        "trains": Out(neurons.trains.signature),
        "firing": Out(1),
        "membrane": Out(neurons.membrane.shape()),
        "event": Out(neurons.lanes),
    }


class Encoder(wiring.Component):
    """Fire an input population on F of p·multiplier / 2^shift, see :func:`.target_shift`.

    The factor is a constant: shifts and adds.

    Timing: a word taken in cycle c gives its trains in cycle c + LATENCY, one word every T cycles.
    Full backpressure.

    Parameters
    ----------
    lanes
        Raw values a word.
    low, high
        Range of the raw values p.
    multiplier, shift
        See :class:`signfire.gen.design.design.InputFormat`.
    rest, eta
        The input's spike code.
    ties
        What happens where a membrane says exactly what it should: ``down``, ``up`` or ``even``.

    Members
    -------
    samples : In, stream of lanes raw values
    trains : Out, stream of lanes trains
    firing, membrane, event : Out, for observation, see :class:`NeuronArray`
    """

    samples: stream.Interface
    trains: stream.Interface
    firing: Signal
    membrane: data.View
    event: Signal

    def __init__(
        self,
        *,
        lanes: int,
        low: int,
        high: int,
        multiplier: int,
        shift: int,
        rest: int,
        eta: Sequence[int],
        ties: str = "down",
    ) -> None:
        self.lanes, self.multiplier, self.shift, self.ties = lanes, multiplier, shift, ties
        self.rest, self.eta = rest, tuple(eta)
        self.target_low = min(0, target_shift(low * multiplier, shift, ties))
        self.target_high = max(0, target_shift(high * multiplier, shift, ties))
        self.LATENCY = 1 + len(self.eta)
        raw = range(min(low, 0), high + 1)
        self.raw_shape = Signal(raw).shape()
        self.neurons = NeuronArray(
            lanes=lanes,
            rest=rest,
            eta=self.eta,
            target_low=self.target_low,
            target_high=self.target_high,
        )
        super().__init__(encoder_members(self.raw_shape, self.neurons))

    def target(self, raw):
        """Return F of a raw value."""
        return target_shift(constant_product(raw, self.multiplier), self.shift, self.ties)

    @property
    def roms(self) -> dict[str, Rom]:
        """ROMs that hold numbers of the Design, by kind."""
        return {"eta": self.neurons.steps.rom}

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.neurons = neurons = self.neurons
        targets = neurons.targets
        m.d.comb += self.samples.ready.eq(~targets.valid | targets.ready)
        valid = Signal()
        with m.If(self.samples.ready):
            m.d.sync += valid.eq(self.samples.valid)
        m.d.comb += targets.valid.eq(valid)
        for lane in range(self.lanes):
            target = Signal(neurons.target_shape, name=f"target_{lane}", reset_less=True)
            with m.If(self.samples.ready):
                m.d.sync += target.eq(self.target(self.samples.payload[lane]))
            m.d.comb += targets.payload[lane].eq(target)
        wiring.connect(m, neurons.trains, wiring.flipped(self.trains))
        m.d.comb += [
            self.firing.eq(neurons.firing),
            self.membrane.eq(neurons.membrane),
            self.event.eq(neurons.event),
        ]
        return m
