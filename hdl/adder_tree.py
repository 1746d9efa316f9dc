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
    first
        Bits of addend 0 where it is wider than the others; ``None`` where it is not.

    Members
    -------
    addends : In, ArrayLayout(signed(width), count), addend 0 in ``first`` where that is given
    first : In, signed(first), addend 0, where it is wider
    total : Out, signed(first or width, and LATENCY more)
    """

    addends: data.View
    first: Signal
    total: Signal

    def __init__(self, *, count: int, width: int, first: int | None = None) -> None:
        if count < 1 or width < 1:
            raise ValueError(f"a sum needs at least one addend of one bit, not {count} of {width}")
        if first is not None and first < width:
            raise ValueError(f"the first addend must have {width} bits or more, not {first}")
        self.count, self.is_wide = count, first is not None
        self.LATENCY = tree_depth(count)
        members = {
            "addends": In(data.ArrayLayout(signed(width), count)),
            "total": Out(signed((first or width) + self.LATENCY)),
        }
        super().__init__(members | ({"first": In(signed(first))} if first is not None else {}))

    def elaborate(self, platform) -> Module:
        m = Module()
        level = [self.addends[i] for i in range(self.count)]
        if self.is_wide:
            level[0] = self.first
        while len(level) > 1:
            pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
            wider = [Shape.cast(pair[0].shape()).width + 1 for pair in pairs]  # none is narrower
            level = [Signal(signed(width), reset_less=True) for width in wider]
            for register, pair in zip(level, pairs, strict=True):
                m.d.sync += register.eq(sum(pair[1:], pair[0]))
        m.d.comb += self.total.eq(level[0])
        return m
