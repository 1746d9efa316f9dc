"""Synapses: weights gated by events and summed."""

from amaranth.hdl import Cat, Module, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .adder_tree import AdderTree, tree_depth


def synapse_latency(*, simd: int, unroll: int) -> int:
    """Cycles from weights and events to the sums: gates, trees, and the join of the steps."""
    return 1 + tree_depth(simd) + tree_depth(unroll)


class SynapseArray(wiring.Component):
    """Add the weights of ``simd`` inputs that sent an event, for ``pe`` outputs.

    sums[p](c + LATENCY) = Σ_u 2^(unroll-1-u) Σ_j weights[p][j](c) · events[u][j](c)

    With ``apart`` each output has a first input of its own: events[u][p] in place of that of j = 0,
    and the other simd - 1 inputs, which all outputs share, follow behind those.

    The gate (one AND a weight bit) has a register of its own, so has every level of the trees;
    with ``unroll`` above 1 the trees of the steps are joined by shift and add, in registers too.

    Accepts one word a cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    pe, simd, unroll
        Outputs, inputs and time steps in parallel.
    weight_bits
        Width of a signed weight.
    apart
        Each of the ``pe`` outputs has a first input of its own.
    first_bits
        Width of the weight of an output's first input, where that is wider than the others.

    Members
    -------
    weights : In, pe x simd signed(weight_bits), output-major; where first weights are wider, each
        output's are ``first`` and ``others``
    events : In, unroll x simd bits (pe + simd - 1 with ``apart``), step-major, the earliest step
        first
    sums : Out, pe signed numbers
    """

    weights: data.View
    events: data.View
    sums: data.View

    def __init__(
        self,
        *,
        pe: int,
        simd: int,
        unroll: int,
        weight_bits: int,
        apart: bool = False,
        first_bits: int | None = None,
    ) -> None:
        self.apart = apart
        self.pe, self.simd, self.unroll, self.weight_bits = pe, simd, unroll, weight_bits
        self.first_bits = max(weight_bits, first_bits or 0)
        self.LATENCY = synapse_latency(simd=simd, unroll=unroll)
        # A shifted step is unroll - 1 bits wider; joining the steps adds a bit a level.
        widest = self.first_bits + tree_depth(simd)
        self.sum_shape = signed(widest + (unroll - 1) + tree_depth(unroll))
        one = data.ArrayLayout(signed(weight_bits), simd)
        if self.first_bits > weight_bits:
            others = data.ArrayLayout(signed(weight_bits), simd - 1)
            one = data.StructLayout({"first": signed(self.first_bits), "others": others})
        super().__init__(
            {
                "weights": In(data.ArrayLayout(one, pe)),
                "events": In(data.ArrayLayout(pe + simd - 1 if apart else simd, unroll)),
                "sums": Out(data.ArrayLayout(self.sum_shape, pe)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        for p in range(self.pe):
            steps = [self._gated_sum(m, p, u) for u in range(self.unroll)]
            m.d.comb += self.sums[p].eq(self._join(m, steps, p))
        return m

    def _gated_sum(self, m: Module, p: int, u: int):
        """Σ_j weights[p][j] · events[u][j], behind the gates' registers and a tree."""
        wide = self.first_bits > self.weight_bits
        m.submodules[f"tree_{p}_{u}"] = tree = AdderTree(
            count=self.simd, width=self.weight_bits, first=self.first_bits if wide else None
        )
        weights = self.weights[p]
        if wide:
            weights = [weights.first, *weights.others]
        events = self.events[u]
        if self.apart:
            events = [events[p], *(events[k] for k in range(self.pe, self.pe + self.simd - 1))]
        addends = [tree.addends[j] for j in range(self.simd)]
        if wide:
            addends[0] = tree.first
        for j, (event, addend) in enumerate(zip(events, addends, strict=True)):
            weight = weights[j].as_unsigned()
            gated = Signal(len(weight), name=f"gated_{p}_{u}_{j}", reset_less=True)
            m.d.sync += gated.eq(weight & event.replicate(len(weight)))
            m.d.comb += addend.eq(gated.as_signed())
        return tree.total

    def _join(self, m: Module, steps: list, p: int):
        """Σ_u 2^(unroll-1-u) steps[u]."""
        if len(steps) == 1:
            return steps[0]
        width = Shape.cast(steps[0].shape()).width + self.unroll - 1
        m.submodules[f"join_{p}"] = join = AdderTree(count=self.unroll, width=width)
        for u, step in enumerate(steps):
            shifted = Cat(0 for _ in range(self.unroll - 1 - u))
            m.d.comb += join.addends[u].eq(Cat(shifted, step).as_signed())
        return join.total
