"""Neurons that fire against the lesser of two operands."""

from amaranth.hdl import Module, Mux, Signal, Value

from .fire_pair import PairNumbers, TargetNeurons
from .function_table import Clamp


class MinimumNeurons(TargetNeurons):
    """Fire against min(F1, F2) / 2^p.

    A lane takes one subtraction, as wide as the wider operand, whose sign chooses; no product. The
    lesser is registered, held within what v can be told from, registered again, and fired on, so
    that subtraction and choice stand alone before a register. Where p is not 0, which operands in
    the unit of v do not need, rounding takes one cycle more.
    """

    @staticmethod
    def load_latency(numbers: PairNumbers) -> int:
        return 2 + Clamp.LATENCY + bool(numbers.fraction)

    @property
    def reach(self) -> int:
        return max(self.greatest)

    def _value(self, m: Module, lane: int) -> Value:
        first, second = self.first[lane], self.second_of(self.seconds, lane)
        less = (first - second)[-1]  # the end of the carry chain, with nothing behind it
        least = Mux(less, first, second)
        if not self.fraction:
            return least
        a_least = Signal(least.shape(), name=f"a_least_{lane}", reset_less=True)
        m.d.sync += a_least.eq(least)
        return a_least
