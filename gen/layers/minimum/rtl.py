"""RTL of layers whose neurons fire against the lesser of two operands."""

from ....hdl.fire_minimum import MinimumNeurons
from ..pair.rtl import PairLayer


class MinimumLayer(PairLayer):
    """Neurons that fire against min(F1, F2)."""

    NEURONS = MinimumNeurons
