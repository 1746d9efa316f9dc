"""Gated sums as the carry cells of ECP5, which hold the gates of both addends."""

from amaranth.hdl import Const, Instance, Module, Signal

from ..hdl.gated_sum import GatedSum

# f(A, B, C, D) = (A AND B) xor (C AND D), the sum of two gated bits. Where f is 0 a cell passes on
# f(A, B, 0, 0) = A AND B, which is the carry then, as both gated bits are the same.
TABLE = 0x7888


def gated_sum_cells(gated_sum: GatedSum) -> Module:
    """Return the hardware of a gated sum, between the ports of its portable twin."""
    m = Module()
    width = len(gated_sum.total)
    # The numbers are extended by their sign, and a chain of odd length by a bit that is not used.
    a, b = (
        [number[min(i, len(number) - 1)] for i in range(width + width % 2)]
        for number in (gated_sum.a, gated_sum.b)
    )
    total = Signal(len(a))
    carry = Const(0, 1)
    for i in range(0, len(a), 2):
        out = Signal(name=f"carry_{i + 2}")
        m.submodules[f"cell_{i}"] = Instance(
            "CCU2C",
            *(("p", f"INIT{k}", Const(TABLE, 16)) for k in (0, 1)),
            *(("p", f"INJECT1_{k}", "NO") for k in (0, 1)),
            *(("i", f"A{k}", a[i + k]) for k in (0, 1)),
            *(("i", f"B{k}", gated_sum.gate_a) for k in (0, 1)),
            *(("i", f"C{k}", b[i + k]) for k in (0, 1)),
            *(("i", f"D{k}", gated_sum.gate_b) for k in (0, 1)),
            *(("o", f"S{k}", total[i + k]) for k in (0, 1)),
            ("i", "CIN", carry),
            ("o", "COUT", out),
        )
        carry = out
    m.d.comb += gated_sum.total.eq(total[:width])
    return m
