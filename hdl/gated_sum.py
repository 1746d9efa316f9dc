"""Gated sum: two numbers added, each only where its event came."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class GatedSum(wiring.Component):
    """total = (a if gate_a else 0) + (b if gate_b else 0).

    Combinational. The sum cannot overflow: it is a bit wider than the wider of the two.

    A platform that has ``get_gated_sum`` is asked for the hardware: where a family's carry cell has
    room for both gates, cells are put there that synthesis does not find. What stands here is the
    portable twin, which takes a LUT a bit for each gate before the adder.

    Parameters
    ----------
    a_width, b_width
        Bits of the two signed numbers.

    Members
    -------
    a, b : In, signed(a_width), signed(b_width)
    gate_a, gate_b : In
    total : Out, signed, a bit wider than the wider number
    """

    a: Signal
    b: Signal
    gate_a: Signal
    gate_b: Signal
    total: Signal

    def __init__(self, *, a_width: int, b_width: int) -> None:
        if a_width < 1 or b_width < 1:
            raise ValueError(f"a gated number has at least one bit, not {min(a_width, b_width)}")
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                "gate_a": In(1),
                "gate_b": In(1),
                "total": Out(signed(max(a_width, b_width) + 1)),
            }
        )

    def elaborate(self, platform) -> Module:
        if hasattr(platform, "get_gated_sum"):
            return platform.get_gated_sum(self)
        m = Module()
        a = self.a.as_unsigned() & self.gate_a.replicate(len(self.a))
        b = self.b.as_unsigned() & self.gate_b.replicate(len(self.b))
        m.d.comb += self.total.eq(a.as_signed() + b.as_signed())
        return m
