"""Sign choice: what an integrator is multiplied with depends on its sign."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed


class SignChoice(wiring.Component):
    """Lead each lane the factor of its sign, or its magnitude.

    signed_x(c + 1) = x(c), or |x(c)| with ``magnitude``
    factor(c + 1) = above(c) where x(c) >= 0 or with ``magnitude``, else below(c)

    A magnitude fits: x lies within ±(2^(x_width - 1) - 1), as the bound of an integrator does.
    Accepts one group a cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    lanes
        Neurons in parallel.
    x_width, factor_bits
        Signed width of x, bits of each factor.
    magnitude
        Take |x|; there is one factor then.

    Members
    -------
    valid : In
    x : In, lanes x signed(x_width)
    factors : In, lanes words: ``above`` in the low bits, ``below`` over it
    chosen_valid, chosen_x, factor : Out
    """

    LATENCY = 1

    valid: Signal
    x: data.View
    factors: data.View
    chosen_valid: Signal
    chosen_x: data.View
    factor: data.View

    def __init__(self, *, lanes: int, x_width: int, factor_bits: int, magnitude: bool) -> None:
        self.lanes, self.magnitude = lanes, magnitude
        self.factor_bits = factor_bits
        stored = factor_bits if magnitude else 2 * factor_bits
        super().__init__(
            {
                "valid": In(1),
                "x": In(data.ArrayLayout(signed(x_width), lanes)),
                "factors": In(data.ArrayLayout(unsigned(stored), lanes)),
                "chosen_valid": Out(1),
                "chosen_x": Out(data.ArrayLayout(signed(x_width), lanes)),
                "factor": Out(data.ArrayLayout(unsigned(factor_bits), lanes)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = self.factor_bits
        m.d.comb += self.chosen_valid.eq(delayed(m, self.valid, 1, name="valid"))
        for lane in range(self.lanes):
            x, factors = self.x[lane], self.factors[lane]
            negative = x[-1]
            a_x = Signal.like(x, name=f"a_x_{lane}", reset_less=True)
            a_factor = Signal(bits, name=f"a_factor_{lane}", reset_less=True)
            if self.magnitude:
                turned = x ^ negative.replicate(len(x))
                m.d.sync += [a_x.eq(turned + negative), a_factor.eq(factors)]
            else:
                m.d.sync += [a_x.eq(x), a_factor.eq(Mux(negative, factors[bits:], factors[:bits]))]
            m.d.comb += [self.chosen_x[lane].eq(a_x), self.factor[lane].eq(a_factor)]
        return m
