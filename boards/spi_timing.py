"""How fast SCK may run in a routed design."""

from dataclasses import dataclass

from ..hdl.spi import MAX_RATIO

# What no report of place-and-route tells: SCK's way through its pad to the registers, CIPO's
# through its own, a short cable, and the set-up time of the host.
OUTSIDE_NS = 12.0
UNKNOWN_CIPO_NS = 10.0  # taken where place-and-route does not tell; longer than was ever seen


@dataclass(frozen=True, kw_only=True)
class SpiTiming:
    """What place-and-route says of the registers that SCK clocks.

    Parameters
    ----------
    fmax_hz
        SCK that they could run at.
    cipo_ns
        From the falling edge at the slowest of them to the pad of CIPO; None if not known.
    """

    fmax_hz: float
    cipo_ns: float | None

    def sck_hz(self, core_hz: float) -> float:
        """Return the fastest SCK beside a core of that clock; see :class:`signfire.hdl.spi.Spi`.

        min(fmax, 1 / 2(CIPO's delay + :data:`OUTSIDE_NS`), MAX_RATIO core clock)
        """
        cipo_ns = UNKNOWN_CIPO_NS if self.cipo_ns is None else self.cipo_ns
        half_period_ns = cipo_ns + OUTSIDE_NS
        return min(self.fmax_hz, 1e9 / (2 * half_period_ns), MAX_RATIO * core_hz)
