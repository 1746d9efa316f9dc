"""The clock of a core that was not routed."""

from dataclasses import dataclass

from ..boards.boards import Board
from ..boards.devices import ECP5, GOWIN, ICE40

# Clocks that routed designs of this project reach, to the order: for what was not routed.
TYPICAL_HZ = {ICE40: 35e6, ECP5: 100e6, GOWIN: 80e6}
WORDS = {ICE40: "iCE40", ECP5: "ECP5", GOWIN: "Gowin"}


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A clock that is assumed.

    Parameters
    ----------
    hz
        Of the core.
    why
        Where it comes from, in words.
    is_exact
        Whether a build would have this clock and no other.
    """

    hz: float
    why: str
    is_exact: bool


def assumed_clock(board: Board) -> Clock | None:
    """Return the clock that a core on a board is taken to have; ``None`` where nothing is known.

    A board without a PLL, or one whose bitstream vendor's tools make, runs its core on the board's
    own oscillator.
    """
    if not board.builds_bitstream or not board.has_pll:
        if not board.input_hz:
            return None
        return Clock(hz=float(board.input_hz), why="the board's oscillator", is_exact=True)
    return Clock(
        hz=TYPICAL_HZ[board.family],
        why=f"typical of routed designs on {WORDS[board.family]}",
        is_exact=False,
    )
