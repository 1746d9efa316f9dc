"""What a packed bitstream says once it is turned back into logic, or why it cannot be."""

from dataclasses import dataclass

from ..sim.chip import Chip


class ReadbackError(ValueError):
    """A bitstream that cannot be turned back; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What a packed file says.

    Parameters
    ----------
    chip
        One flat module with the inputs ``clock`` (the oscillator), ``rx`` and ``pll_clock`` (what
        the PLL makes of ``clock``), and the output ``tx``. Its clock is what the PLL's cell says.
    cells
        Kind to number of what was found, look-up tables and flip-flops included.
    """

    chip: Chip
    cells: dict[str, int]
