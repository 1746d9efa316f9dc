"""Logic array: constant weights, a function of four events each, summed."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .constant_sums import (
    Group,
    groups_of,
    joined,
    logic_depth,
    logic_latency,
    scaled_range,
    signed_bits,
)
from .delay import delayed

Term = tuple[Value, tuple[int, int]]  # a signed number, its least and greatest


class LogicArray(wiring.Component):
    """Add the constant weights of inputs that sent an event, for every output.

    sums[p](c + LATENCY) = Σ_u 2^(unroll-1-u) Σ_j weights[p][j] · events[u][j](c)

    which is what a :class:`.synapses.SynapseArray` gives where its weights never change. Four
    inputs of an output, of those whose weights are not 0, make a group: every bit of its sum is one
    function of four events, a LUT. Registered adders sum up groups, and then steps by shift and
    add. Each number is as wide as the weights can make it, so nothing overflows.

    Accepts one word a cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    weights
        (pe, simd) integers.
    unroll
        Time steps in parallel.

    Members
    -------
    events : In, unroll x simd bits, step-major, the earliest step first
    sums : Out, pe signed numbers
    """

    events: data.View
    sums: data.View

    def __init__(self, *, weights: Sequence[Sequence[int]], unroll: int) -> None:
        self.constants = [[int(w) for w in row] for row in weights]
        self.unroll = unroll
        self.depth = logic_depth(self.constants)
        self.LATENCY = logic_latency(depth=self.depth, unroll=unroll)
        scale = (1 << unroll) - 1
        low = min(sum(w for w in row if w < 0) for row in self.constants) * scale
        high = max(sum(w for w in row if w > 0) for row in self.constants) * scale
        self.sum_shape = signed(signed_bits(low, high))
        pe, simd = len(self.constants), len(self.constants[0])
        super().__init__(
            {
                "events": In(data.ArrayLayout(simd, unroll)),
                "sums": Out(data.ArrayLayout(self.sum_shape, pe)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        for p, row in enumerate(self.constants):
            groups = groups_of(row)
            if not groups:
                m.d.comb += self.sums[p].eq(0)
                continue
            steps = [self._step(m, groups, p, u) for u in range(self.unroll)]
            total, _, levels = _tree(m, steps, f"join_{p}")
            late = self.LATENCY - 1 - self._levels(groups) - levels
            m.d.comb += self.sums[p].eq(
                delayed(m, total, late, name=f"late_{p}", reset_less=True).as_signed()
            )
        return m

    @staticmethod
    def _levels(groups: Sequence[Group]) -> int:
        return len(joined([group.range for group in groups])) - 1

    def _step(self, m: Module, groups: Sequence[Group], p: int, u: int) -> Term:
        """Return what a step adds to an output, shifted to its place."""
        leaves = [
            (self._group(m, group, u, f"group_{p}_{u}_{k}"), group.range)
            for k, group in enumerate(groups)
        ]
        total, reach, _ = _tree(m, leaves, f"sum_{p}_{u}")
        places = self.unroll - 1 - u
        return Cat(Const(0, places), total).as_signed(), scaled_range(reach, 1 << places)

    def _group(self, m: Module, group: Group, u: int, name: str) -> Value:
        """Return Σ w e of a group, registered."""
        events = Cat(self.events[u][j] for j in group.inputs)
        total = Signal(signed(len(group.masks)), name=name, reset_less=True)
        m.d.sync += total.eq(
            Cat(Const(mask, 1 << len(events)).bit_select(events, 1) for mask in group.masks)
        )
        return total


def _tree(m: Module, terms: Sequence[Term], name: str) -> tuple[Value, tuple[int, int], int]:
    """Return the sum of numbers in registered pairs, its range, and the levels that it took."""
    level, levels = [value for value, _ in terms], joined([reach for _, reach in terms])
    for depth, ranges in enumerate(levels[1:]):
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = []
        for k, (pair, reach) in enumerate(zip(pairs, ranges, strict=True)):
            shape = signed(signed_bits(*reach))
            register = Signal(shape, name=f"{name}_{depth}_{k}", reset_less=True)
            m.d.sync += register.eq(sum(pair[1:], pair[0]))
            level.append(register)
    return level[0], levels[-1][0], len(levels) - 1
