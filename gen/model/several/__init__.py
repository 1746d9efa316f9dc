"""Neuron functions of several operands, and the registry of them.

The operands arrive as F1 and F2, each in a unit of its own. The units are chosen so that f(x1, x2)
is f(F1, F2)·unit/2^p for a whole number p, where unit is that of the neuron's code; so v >= f is
decided by products of integers, and neither a divider nor a root is needed.

A function is a module that states all that is asked of it, see :class:`.function.Several`, and a
line of :data:`SEVERAL`; a kind of :mod:`signfire.gen.layers` that has its name is the hardware.
"""

from .comparison import Comparison, make_comparison
from .divide import Divide
from .divide_root import DivideRoot, floor_root
from .function import Several
from .minimum import Minimum
from .multiply import Multiply

__all__ = ["SEVERAL", "Comparison", "Several", "floor_root", "make_comparison"]

SEVERAL: dict[str, Several] = {f.name: f for f in (Multiply(), Divide(), DivideRoot(), Minimum())}
