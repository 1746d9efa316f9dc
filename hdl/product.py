"""Products of a signed and an unsigned number, in a DSP block or in LUTs."""

from amaranth.hdl import Module, Shape, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .adder_tree import AdderTree, tree_depth

KINDS = ("dsp", "lut")


def product_latency(*, kind: str, factor_bits: int) -> int:
    """Cycles from the factors to the product."""
    return 1 if kind == "dsp" else 1 + tree_depth(factor_bits)


class Product(wiring.Component):
    """Multiply: product(c + LATENCY) = x(c) · factor(c).

    ``dsp`` is one multiplier with a register behind it, without reset so that the DSP block can
    take it in. ``lut`` sums x·2^b over the bits b of the factor in a registered tree.

    Accepts one pair a cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    x_width, factor_bits
        Bits of the signed and of the unsigned factor.
    kind
        ``dsp`` or ``lut``.

    Members
    -------
    x : In, signed(x_width)
    factor : In, unsigned(factor_bits)
    product : Out, signed(x_width + factor_bits)
    """

    x: Signal
    factor: Signal
    product: Signal

    def __init__(self, *, x_width: int, factor_bits: int, kind: str) -> None:
        if kind not in KINDS:
            raise ValueError(f"a multiplier is made of dsp or lut, not {kind!r}")
        self.kind, self.factor_bits = kind, factor_bits
        self.LATENCY = product_latency(kind=kind, factor_bits=factor_bits)
        super().__init__(
            {
                "x": In(signed(x_width)),
                "factor": In(unsigned(factor_bits)),
                "product": Out(signed(x_width + factor_bits)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        if self.kind == "dsp":
            register = Signal(self.product.shape(), reset_less=True)
            m.d.sync += register.eq(self.x * self.factor)
            m.d.comb += self.product.eq(register)
            return m
        width = Shape.cast(self.product.shape()).width
        m.submodules.tree = tree = AdderTree(count=self.factor_bits, width=width)
        for b in range(self.factor_bits):
            partial = Signal(signed(width), name=f"partial_{b}", reset_less=True)
            gated = self.x.as_unsigned() & self.factor[b].replicate(len(self.x))
            m.d.sync += partial.eq(gated.as_signed() << b)
            m.d.comb += tree.addends[b].eq(partial)
        m.d.comb += self.product.eq(tree.total)
        return m
