"""Linear maps from one population to an operand, and the registry of their kinds.

A map holds floats in a Network and integers in a Design. Populations of planes have the shape
(channels, height, width); one-dimensional signals are planes of height 1.

A kind is a module that states all that is asked of it, see :class:`.linear.LinearMap`, and a word
of :data:`MAPS`.
"""

from .conv import Conv
from .dense import Dense
from .linear import LinearMap
from .places import Band, WindowPlaces
from .planes import Layout, Padding, Planes, padded, padding_to, positions, raster_order
from .pooled import Pooled
from .repeated import Repeated
from .sliding import Sliding
from .window import Window

__all__ = ["MAPS", "Band", "Conv", "Dense", "Layout", "LinearMap", "Padding", "Planes", "Pooled"]
__all__ += ["Sliding", "Window", "WindowPlaces", "padded", "padding_to", "positions"]
__all__ += ["Repeated", "raster_order"]

MAPS: dict[str, type[LinearMap]] = {
    cls.kind: cls for cls in (Dense, Conv, Window, Pooled, Repeated)
}
