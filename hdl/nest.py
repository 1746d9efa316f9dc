"""Nested loops as a walk through places: each place is the one before and a constant."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Nest(wiring.Component):
    """Places of nested loops, in several coordinates at once.

        place_k = Σ_j index_j · strides[j][k]

    ``step`` moves the innermost loop on; at the end of a loop it begins anew and the next one moves
    on, which changes each coordinate by a constant. After the last place comes the first again.

    Timing: the places are those of this cycle; a step shows in the next one. Accepts one step a
    cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    counts
        Of the loops, innermost first.
    strides
        Of each loop, how far a step moves every coordinate. No place may lie below 0.

    Members
    -------
    step : In
    place_0, place_1 : Out, and so on: the coordinates
    ends : Out, bit j: the loops up to j are all at their last index
    """

    step: Signal
    ends: Signal

    def __init__(self, *, counts: Sequence[int], strides: Sequence[Sequence[int]]) -> None:
        if not counts or min(counts) < 1 or len(counts) != len(strides):
            raise ValueError(
                f"a nest needs loops of one turn at least, with a stride each, not {list(counts)} "
                f"with {len(strides)} strides"
            )
        self.counts, self.strides = tuple(counts), tuple(tuple(s) for s in strides)
        self.reaches = [
            sum((n - 1) * s for n, s in zip(counts, along, strict=True))
            for along in zip(*strides, strict=True)
        ]
        if min(min(along) for along in self.strides) < 0:
            raise ValueError("a stride of a nest must not be below 0")
        super().__init__(
            {
                "step": In(1),
                **{f"place_{k}": Out(range(reach + 1)) for k, reach in enumerate(self.reaches)},
                "ends": Out(len(counts)),
            }
        )

    @property
    def places(self) -> list[Signal]:
        """The coordinates."""
        return [getattr(self, f"place_{k}") for k in range(len(self.reaches))]

    def elaborate(self, platform) -> Module:
        m = Module()
        indices = [Signal(range(n), name=f"index_{j}") for j, n in enumerate(self.counts)]
        end, moving = Const(1), self.step
        for j, (index, count) in enumerate(zip(indices, self.counts, strict=True)):
            last = index == count - 1
            with m.If(moving):
                m.d.sync += index.eq(Mux(last, 0, index + 1))
            end, moving = end & last, moving & last
            m.d.comb += self.ends[j].eq(end)
        loops = Signal(range(len(self.counts) + 1))  # how many begin anew with the next step
        with m.Switch(self.ends):
            for j in range(len(self.counts)):
                with m.Case("-" * (len(self.counts) - j - 1) + "0" + "1" * j):
                    m.d.comb += loops.eq(j)
            with m.Default():
                m.d.comb += loops.eq(len(self.counts))
        for k, place in enumerate(self.places):
            if not len(place):
                continue
            move = Signal(unsigned(len(place)), name=f"move_{k}")
            with m.Switch(loops):
                for j, constant in enumerate(self._moves(k)):
                    with m.Case(j):
                        m.d.comb += move.eq(Const(constant, len(place)))
            with m.If(self.step):
                m.d.sync += place.eq(Cat(place + move)[: len(place)])
        return m

    def _moves(self, k: int) -> list[int]:
        """Return by how much coordinate ``k`` changes where so many loops begin anew."""
        modulus = 1 << (self.reaches[k]).bit_length()
        found, back = [], 0
        for count, along in zip(self.counts, self.strides, strict=True):
            found.append((along[k] - back) % modulus)
            back += (count - 1) * along[k]
        return [*found, -back % modulus]
