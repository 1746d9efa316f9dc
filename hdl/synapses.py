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

    With ``apart`` each output has an input of its own, events[u][p] in place of events[u][j].

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
        Each of the ``pe`` outputs reads its own input; ``simd`` is 1.

    Members
    -------
    weights : In, pe x simd signed(weight_bits), output-major
    events : In, unroll x simd bits (pe of them with ``apart``), step-major, the earliest step first
    sums : Out, pe signed numbers
    """

    def __init__(
        self, *, pe: int, simd: int, unroll: int, weight_bits: int, apart: bool = False
    ) -> None:
        if apart and simd != 1:
            raise ValueError(f"outputs with inputs of their own take simd 1, not {simd}")
        self.apart = apart
        self.pe, self.simd, self.unroll, self.weight_bits = pe, simd, unroll, weight_bits
        self.LATENCY = synapse_latency(simd=simd, unroll=unroll)
        # A shifted step is unroll - 1 bits wider; joining the steps adds a bit a level.
        self.sum_shape = signed(weight_bits + tree_depth(simd) + (unroll - 1) + tree_depth(unroll))
        super().__init__(
            {
                "weights": In(data.ArrayLayout(data.ArrayLayout(signed(weight_bits), simd), pe)),
                "events": In(data.ArrayLayout(pe if apart else simd, unroll)),
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
        m.submodules[f"tree_{p}_{u}"] = tree = AdderTree(count=self.simd, width=self.weight_bits)
        for j in range(self.simd):
            event = self.events[u][p if self.apart else j]
            gated = Signal(self.weight_bits, name=f"gated_{p}_{u}_{j}", reset_less=True)
            m.d.sync += gated.eq(
                self.weights[p][j].as_unsigned() & event.replicate(self.weight_bits)
            )
            m.d.comb += tree.addends[j].eq(gated.as_signed())
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
