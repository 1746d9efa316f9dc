"""Sums of many signed numbers, one addition a clock cycle deep."""

from amaranth.hdl import Module, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


def tree_depth(count: int) -> int:
    """Levels of a binary tree over ``count`` leaves, 0 for one leaf."""
    return (count - 1).bit_length()


class AdderTree(wiring.Component):
    """Sum ``count`` signed numbers in registered pairs.

    total(c + LATENCY) = Σ addends(c). Every level is a register, so that one carry chain is the
    longest path. The sum cannot overflow: each level is a bit wider than the one before.

    Accepts one set a cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    count
        Number of addends, at least 1.
    width
        Bits of each signed addend.

    Members
    -------
    addends : In, ArrayLayout(signed(width), count)
    total : Out, signed(width + LATENCY)
    """

    def __init__(self, *, count: int, width: int) -> None:
        if count < 1 or width < 1:
            raise ValueError(f"a sum needs at least one addend of one bit, not {count} of {width}")
        self.count = count
        self.LATENCY = tree_depth(count)
        super().__init__(
            {
                "addends": In(data.ArrayLayout(signed(width), count)),
                "total": Out(signed(width + self.LATENCY)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        level = [self.addends[i] for i in range(self.count)]
        while len(level) > 1:
            pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
            wider = Shape.cast(level[0].shape()).width + 1
            level = [Signal(signed(wider), reset_less=True) for _ in pairs]
            for register, pair in zip(level, pairs, strict=True):
                m.d.sync += register.eq(sum(pair[1:], pair[0]))
        m.d.comb += self.total.eq(level[0])
        return m
