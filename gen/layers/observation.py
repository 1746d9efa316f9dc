"""Observations: what of a layer is seen from outside, stated once.

The RTL makes its ``seen`` ports from the list, and the cycle check its probes: of each observation
it asks the golden model what the quantity is, and the cycle model when.
"""

from dataclasses import dataclass
from typing import Any

TOTAL, X, TARGET, FIRE, RESULT = "total", "x", "target", "fire", "result"  # when, see Moment


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One place of a layer: a valid signal and a word of lanes.

    Parameters
    ----------
    quantity
        What the golden model calls it, and what a mismatch names: ``sum``, ``membrane``.
    when
        Stage of the cycle model in which a word stands: ``total`` the accumulators after a step,
        ``x`` the integrators, ``target`` what neurons fire on, ``fire`` a step of the neurons,
        ``result`` a word that leaves.
    bits, signed
        Of a lane.
    lanes
        Of a word.
    valid, port
        Members of ``seen``; empty for a word of the stream of results, which all layers have.
    plain
        The port is one word of bits, not an array of lanes.
    """

    quantity: str
    when: str
    bits: int
    lanes: int
    signed: bool = True
    valid: str = ""
    port: str = ""
    plain: bool = False

    @property
    def is_stream(self) -> bool:
        """Whether words of the results are observed."""
        return not self.port


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a word of an observation stands, and whose it is.

    Parameters
    ----------
    cycle
        Clock cycle.
    window, first, count
        The outputs ``first`` up to ``first + count`` of a window.
    step
        Time step; of ``total`` the plane.
    """

    cycle: int
    window: int
    first: int
    count: int
    step: int = 0


def firing_of(lanes: int, membrane_width: int) -> tuple[Observation, ...]:
    """Return what neurons show in every step: membranes and events."""
    shown: dict[str, Any] = {"when": FIRE, "valid": "firing", "lanes": lanes}
    return (
        Observation(quantity="membrane", port="membrane", bits=membrane_width, **shown),
        Observation(quantity="event", port="event", bits=1, signed=False, plain=True, **shown),
    )


def trains_of(lanes: int, steps: int) -> Observation:
    """Return the trains that leave."""
    return Observation(quantity="train", when=RESULT, lanes=lanes, bits=steps, signed=False)
