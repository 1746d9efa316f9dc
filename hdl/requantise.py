"""Requantisation: from the unit of an integrator to that of a membrane, ties as a rule says."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .product import Product, product_latency


def ceil_shift(value, shift: int, first: int = 0):
    """ceil(value / 2^shift) - first: the rounding of signfire, v·2^S >= X·M <=> v >= F.

    The constants are one, so ``first`` costs nothing.
    """
    return (value + ((1 << shift) - 1 - (first << shift))) >> shift


def target_shift(value: Any, shift: int, ties: str = "down", first: int = 0) -> Any:
    """Return the target of f = value / 2^shift, less ``first``: v < f as v < target.

    ``down`` is ceil(f), ``up`` floor(f) + 1, so that v = f is less too; both add a constant.
    ``even`` is ceil(f), one more where f is whole and f mod 4 is 3: levels are 2 apart, and the one
    below is odd then. That one comes in as the carry of the same addition.

    Parameters
    ----------
    value
        An integer, or a signal of integers.
    """
    if ties == "up":
        return (value + ((1 << shift) - (first << shift))) >> shift
    if ties != "even":
        return ceil_shift(value, shift, first)
    if isinstance(value, int):
        turned = value & ((4 << shift) - 1) == 3 << shift
    else:
        turned = turned_up(Value.cast(value), shift)
    return (value + ((1 << shift) - 1 - (first << shift)) + turned) >> shift


def turned_up(value: Value, shift: int) -> Value:
    """Return whether value / 2^shift is whole and 3 modulo 4."""
    sign = value[-1] if value.shape().signed else 0
    places = [value[k] if k < len(value) else sign for k in range(shift + 2)]
    return Cat(*places) == 3 << shift


def requantiser_latency(*, kind: str, factor_bits: int) -> int:
    """Cycles of :class:`Requantiser`: the product and the rounding."""
    return product_latency(kind=kind, factor_bits=factor_bits) + 1


class Requantiser(wiring.Component):
    """target(c + LATENCY) = f(F - first), f = max(·, 0) with ``relu``.

    F is the target of x(c)·factor(c) / 2^shift, see :func:`target_shift`.

    Accepts one group a cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    lanes
        Neurons in parallel.
    x_width, factor_bits, shift
        Signed width of x, bits of the unsigned factor M, S.
    target_width
        Signed width of the result; the caller derives it from the largest |x|·M.
    kind
        ``dsp`` or ``lut``, see :class:`Product`.
    first
        What the result is counted from.
    ties
        ``down``, ``up`` or ``even``.

    Members
    -------
    valid : In
    x, factor : In, lanes wide
    target_valid : Out
    target : Out, lanes x signed(target_width)
    """

    valid: Signal
    x: data.View
    factor: data.View
    target_valid: Signal
    target: data.View

    def __init__(
        self,
        *,
        lanes: int,
        x_width: int,
        factor_bits: int,
        shift: int,
        target_width: int,
        kind: str,
        relu: bool = True,
        first: int = 0,
        ties: str = "down",
    ) -> None:
        self.first, self.ties = first, ties
        self.lanes, self.shift, self.kind, self.relu = lanes, shift, kind, relu
        self.LATENCY = requantiser_latency(kind=kind, factor_bits=factor_bits)
        super().__init__(
            {
                "valid": In(1),
                "x": In(data.ArrayLayout(signed(x_width), lanes)),
                "factor": In(data.ArrayLayout(unsigned(factor_bits), lanes)),
                "target_valid": Out(1),
                "target": Out(data.ArrayLayout(signed(target_width), lanes)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        for lane in range(self.lanes):
            m.submodules[f"product_{lane}"] = product = Product(
                x_width=len(self.x[lane]), factor_bits=len(self.factor[lane]), kind=self.kind
            )
            m.d.comb += [product.x.eq(self.x[lane]), product.factor.eq(self.factor[lane])]
            rounded = Signal.like(self.target[lane], name=f"rounded_{lane}", reset_less=True)
            target = target_shift(product.product, self.shift, self.ties, self.first)
            m.d.sync += rounded.eq(target)
            m.d.comb += self.target[lane].eq(
                (rounded & ~rounded[-1].replicate(len(rounded))).as_signed()
                if self.relu
                else rounded
            )
        m.d.comb += self.target_valid.eq(delayed(m, self.valid, self.LATENCY, name="valid"))
        return m
