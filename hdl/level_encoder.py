"""Level encoder: raw samples become trains of the binary schedule at once, without neurons."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .encoder import constant_product
from .requantise import target_shift
from .storage import Rom


def level_of(target, *, rest: int, steps: int):
    """Return which level a neuron of the binary schedule ends at, before it is clamped.

    Levels lie at rest - Ση + 2N, N = 0..2^T - 1, Ση = 2^T - 1. A neuron ends at the one nearest to
    its target, at the lower one where two are: N = floor((target - (rest - Ση)) / 2).
    """
    return (target - (rest - (2**steps - 1))) >> 1


class LevelEncoder(wiring.Component):
    """Give the train of an input population whose step sizes are 2^(T-1)..1, all steps at once.

    The train of a neuron that fires on F, see :class:`.encoder.Encoder`, is a number, its first
    step the highest bit: the level next to F, see :func:`level_of`, clamped to 0..2^T - 1. So there
    is nothing to wait for, and a lane is a product by a constant and a clamp.

    Timing: a word taken in cycle c stands in ``trains`` from cycle c + LATENCY on, and the next is
    taken when it leaves: one word a cycle. Full backpressure.

    Parameters
    ----------
    lanes, low, high, multiplier, shift, rest, ties
        See :class:`.encoder.Encoder`.
    steps
        T.

    Members
    -------
    samples : In, stream of lanes raw values
    trains : Out, stream of lanes trains, bit t the event of step t
    """

    LATENCY = 1

    samples: stream.Interface
    trains: stream.Interface

    def __init__(
        self,
        *,
        lanes: int,
        low: int,
        high: int,
        multiplier: int,
        shift: int,
        rest: int,
        steps: int,
        ties: str = "down",
    ) -> None:
        self.lanes, self.multiplier, self.shift, self.ties = lanes, multiplier, shift, ties
        self.rest, self.steps = rest, steps
        self.least, self.greatest = (
            level_of(target_shift(end * multiplier, shift, ties), rest=rest, steps=steps)
            for end in (low, high)
        )
        self.raw_shape = Signal(range(min(low, 0), high + 1)).shape()
        super().__init__(
            {
                "samples": In(stream.Signature(data.ArrayLayout(self.raw_shape, lanes))),
                "trains": Out(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
            }
        )

    @property
    def roms(self) -> dict[str, Rom]:
        """No number of the Design lies in a memory."""
        return {}

    def train(self, raw):
        """Return the train of a raw value."""
        target = target_shift(constant_product(raw, self.multiplier), self.shift, self.ties)
        level, most = level_of(target, rest=self.rest, steps=self.steps), 2**self.steps - 1
        if self.greatest > most:
            level = Mux(level > most, most, level)
        if self.least < 0:
            level = Mux(level < 0, 0, level)
        return Cat(level[t] for t in reversed(range(self.steps)))

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += self.samples.ready.eq(~self.trains.valid | self.trains.ready)
        with m.If(self.samples.ready):
            m.d.sync += self.trains.valid.eq(self.samples.valid)
        for lane in range(self.lanes):
            train = Signal(self.steps, name=f"train_{lane}", reset_less=True)
            with m.If(self.samples.ready):
                m.d.sync += train.eq(self.train(self.samples.payload[lane]))
            m.d.comb += self.trains.payload[lane].eq(train)
        return m
