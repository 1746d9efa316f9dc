"""Multiplier array: weights times what whole trains say, summed; the plain alternative to gates."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .adder_tree import AdderTree, tree_depth
from .product import Product, product_latency
from .words import packed_width


def multiplier_latency(*, simd: int, unroll: int, packed: int) -> int:
    """Cycles from weights and events to the sums: products, their parting, and the trees."""
    if not packed:
        return product_latency(kind="lut", factor_bits=unroll) + tree_depth(simd)
    return product_latency(kind="dsp", factor_bits=unroll) + (packed > 1) + tree_depth(simd)


def shared_groups(*, pe: int, packed: int) -> list[range]:
    """Share outputs among as few multipliers of at most ``packed`` as can be, about evenly."""
    count = -(-pe // max(1, packed))
    return [range(i * pe // count, (i + 1) * pe // count) for i in range(count)]


def stored_weights(weights: Sequence[int]) -> list[int]:
    """Return what is stored of weights that share a multiplier, each as wide as the weight.

    The factor Σ_i 2^(k·i) w_i is laid out as fields of k bits. A field below 0 borrows one of the
    field above it, so it is w less that one which is stored there: the hardware only extends signs.
    It fits, as weights lie within ±(2^(weight_bits-1) - 1).
    """
    stored, borrow = [], 0
    for weight in weights:
        stored.append(weight - borrow)
        borrow = int(stored[-1] < 0)
    return stored


class MultiplierArray(wiring.Component):
    """Multiply the weights with what the trains of ``simd`` inputs say, for ``pe`` outputs.

    sums[p](c + LATENCY) = Σ_j w[p][j](c) · s[j](c),  s[j] = Σ_u 2^(unroll-1-u) events[u][j]

    which is what a :class:`.synapses.SynapseArray` gives for the same words: the ``unroll`` events
    of an input are the bits of a number, and one product takes them all.

    ``packed`` outputs share a multiplier of a DSP block: their weights w_i lie side by side in one
    factor, and the product Σ_i 2^(k·i) w_i·s holds theirs in fields of k = weight_bits + unroll
    bits. A field below 0 has borrowed one from the field above; the bit under each field gives it
    back, in registers of its own. Every product, and every level of the trees, is registered.

    Accepts one word a cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    pe, simd, unroll, weight_bits, apart
        See :class:`.synapses.SynapseArray`.
    packed
        Outputs that share a multiplier; 0 makes the products of LUTs, one each.

    Members
    -------
    weights : In, pe x simd signed(weight_bits), output-major; of each group of ``packed`` outputs
        what :func:`stored_weights` says
    events : In, unroll x simd bits (pe of them with ``apart``), step-major, the earliest step first
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
        packed: int,
        apart: bool = False,
    ) -> None:
        if apart and (simd != 1 or packed > 1):
            raise ValueError(
                f"outputs with inputs of their own take simd 1 and share no multiplier, not simd "
                f"{simd} and {packed} outputs a multiplier"
            )
        self.apart = apart
        self.pe, self.simd, self.unroll, self.weight_bits = pe, simd, unroll, weight_bits
        self.packed = packed
        self.LATENCY = multiplier_latency(simd=simd, unroll=unroll, packed=packed)
        # |w·s| < 2^(weight_bits-1) · 2^unroll, so a product takes weight_bits + unroll bits.
        self.field = weight_bits + unroll
        self.sum_shape = signed(self.field + tree_depth(simd))
        super().__init__(
            {
                "weights": In(data.ArrayLayout(data.ArrayLayout(signed(weight_bits), simd), pe)),
                "events": In(data.ArrayLayout(pe if apart else simd, unroll)),
                "sums": Out(data.ArrayLayout(self.sum_shape, pe)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        for group in shared_groups(pe=self.pe, packed=self.packed):
            parts = [self._parts(m, group, j) for j in range(self.simd)]
            for i, p in enumerate(group):
                m.submodules[f"tree_{p}"] = tree = AdderTree(count=self.simd, width=self.field)
                m.d.comb += [tree.addends[j].eq(parts[j][i]) for j in range(self.simd)]
                m.d.comb += self.sums[p].eq(tree.total)
        return m

    def _value(self, p: int, j: int) -> Value:
        """Return the number that a train is, unsigned: its earliest event is the highest bit."""
        of = p if self.apart else j
        return Cat(self.events[u][of] for u in reversed(range(self.unroll)))

    def _parts(self, m: Module, group: range, j: int) -> list[Value]:
        """Return w[p][j]·s[j] for the outputs of a multiplier, registered."""
        if not self.packed:
            p = group[0]
            m.submodules[f"product_{p}_{j}"] = product = Product(
                x_width=self.weight_bits, factor_bits=self.unroll, kind="lut"
            )
            m.d.comb += [
                product.x.eq(self.weights[p][j]),
                product.factor.eq(self._value(p, j)),
            ]
            return [product.product]
        name = f"{group[0]}_{j}"
        width = packed_width(weight_bits=self.weight_bits, unroll=self.unroll, packed=len(group))
        m.submodules[f"product_{name}"] = product = Product(
            x_width=width, factor_bits=self.unroll, kind="dsp"
        )
        # Fields under another one are extended to their k bits by their sign.
        low = [self._extended(self.weights[p][j]) for p in group[:-1]]
        m.d.comb += [
            product.x.eq(Cat(*low, self.weights[group[-1]][j])),
            product.factor.eq(self._value(group[0], j)),
        ]
        if self.packed == 1:
            return [product.product]
        return [self._parted(m, product.product, i, f"{name}_{i}") for i in range(len(group))]

    def _extended(self, weight: Value) -> Value:
        return Cat(weight.as_unsigned(), weight.as_unsigned()[-1].replicate(self.unroll))

    def _parted(self, m: Module, product: Value, i: int, name: str) -> Value:
        """Field i of a product, with what the fields below have borrowed."""
        field = Signal(signed(self.field), name=f"field_{name}", reset_less=True)
        start = i * self.field
        own = product[start : start + self.field].as_signed()
        m.d.sync += field.eq(own + product[start - 1] if i else own)
        return field
