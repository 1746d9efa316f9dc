"""Heads: what the outputs of a network mean, and what the host makes of its logits.

A kind of output is a module that states all that is asked of it, see :class:`.output.Output`, and a
line of :data:`.head.KINDS`. The hardware knows none of it: it gives logits.
"""

from .classes import Classes
from .head import KINDS, Head, default_head, output_of
from .labels import Labels
from .links import LINKS
from .output import Answers, Figures, Output
from .pixels import Pixels
from .reconstruction import Reconstruction
from .threshold import Threshold
from .values import Values

__all__ = [
    "KINDS",
    "LINKS",
    "Answers",
    "Classes",
    "Figures",
    "Head",
    "Labels",
    "Output",
    "Pixels",
    "Reconstruction",
    "Threshold",
    "Values",
    "default_head",
    "output_of",
]
