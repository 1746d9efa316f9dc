"""Synapses: weights gated by events and summed."""

from amaranth.hdl import Cat, Module, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .adder_tree import AdderTree, tree_depth
from .gated_sum import GatedSum


def synapse_latency(*, simd: int, unroll: int, gated_adders: bool = False) -> int:
    """Cycles from weights and events to the sums: gates, trees, and the join of the steps.

    With ``gated_adders`` the gates share the stage of the first adders.
    """
    gates = 0 if gated_adders and simd > 1 else 1
    return gates + tree_depth(simd) + tree_depth(unroll)


class SynapseArray(wiring.Component):
    """Add the weights of ``simd`` inputs that sent an event, for ``pe`` outputs.

    sums[p](c + LATENCY) = Σ_u 2^(unroll-1-u) Σ_j weights[p][j](c) · events[u][j](c)

    With ``apart`` each output has a first input of its own: events[u][p] in place of that of j = 0,
    and the other simd - 1 inputs, which all outputs share, follow behind those.

    The gate (one AND a weight bit) has a register of its own, so has every level of the trees;
    with ``unroll`` above 1 the trees of the steps are joined by shift and add, in registers too.
    With ``gated_adders`` the first level of the trees adds gated weights, see :class:`.GatedSum`.

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
    gated_adders
        The gates lie within the adders of the first level.

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
        gated_adders: bool = False,
    ) -> None:
        self.apart, self.gated_adders = apart, gated_adders and simd > 1
        self.pe, self.simd, self.unroll, self.weight_bits = pe, simd, unroll, weight_bits
        self.first_bits = max(weight_bits, first_bits or 0)
        self.LATENCY = synapse_latency(simd=simd, unroll=unroll, gated_adders=gated_adders)
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
        leaves = self._gated_pairs(m, p, u) if self.gated_adders else self._gated(m, p, u)
        first, *others = (Shape.cast(leaf.shape()).width for leaf in leaves)
        width = max(others, default=first)
        wide = first > width
        m.submodules[f"tree_{p}_{u}"] = tree = AdderTree(
            count=len(leaves), width=width, first=first if wide else None
        )
        addends = [tree.addends[j] for j in range(len(leaves))]
        if wide:
            addends[0] = tree.first
        m.d.comb += [addend.eq(leaf) for addend, leaf in zip(addends, leaves, strict=True)]
        return tree.total

    def _inputs(self, p: int, u: int) -> list[tuple[Value, Value]]:
        """Return what the inputs of an output are in one step: (event, weight), unsigned bits."""
        weights = self.weights[p]
        if self.first_bits > self.weight_bits:
            weights = [weights.first, *weights.others]
        events = self.events[u]
        if self.apart:
            events = [events[p], *(events[k] for k in range(self.pe, self.pe + self.simd - 1))]
        return [(events[j], weights[j].as_unsigned()) for j in range(self.simd)]

    def _gated(self, m: Module, p: int, u: int) -> list[Value]:
        """Return the weights of the inputs with an event, else 0, in registers."""
        found = []
        for j, (event, weight) in enumerate(self._inputs(p, u)):
            gated = Signal(signed(len(weight)), name=f"gated_{p}_{u}_{j}", reset_less=True)
            m.d.sync += gated.eq((weight & event.replicate(len(weight))).as_signed())
            found.append(gated)
        return found

    def _gated_pairs(self, m: Module, p: int, u: int) -> list[Value]:
        """Return the sums of two gated weights each, in registers; the last may be one alone."""
        inputs, found = self._inputs(p, u), []
        for j in range(0, self.simd - 1, 2):
            (event, weight), (next_event, next_weight) = inputs[j : j + 2]
            pair = GatedSum(a_width=len(weight), b_width=len(next_weight))
            m.submodules[f"pair_{p}_{u}_{j}"] = pair
            total = Signal(pair.total.shape(), name=f"gated_{p}_{u}_{j}", reset_less=True)
            m.d.comb += [
                pair.a.eq(weight.as_signed()),
                pair.b.eq(next_weight.as_signed()),
                pair.gate_a.eq(event),
                pair.gate_b.eq(next_event),
            ]
            m.d.sync += total.eq(pair.total)
            found.append(total)
        if self.simd % 2:
            event, weight = inputs[-1]
            width = len(weight) + 1  # as wide as the sums beside it
            alone = Signal(signed(width), name=f"gated_{p}_{u}_{self.simd - 1}", reset_less=True)
            m.d.sync += alone.eq((weight & event.replicate(len(weight))).as_signed())
            found.append(alone)
        return found

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
