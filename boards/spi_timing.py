"""How fast SCK may run in a routed design."""

from dataclasses import dataclass

from ..hdl.spi import MAX_RATIO

# What no report of place-and-route tells: SCK's way through its pad to the registers, CIPO's
# through its own, a short cable, and the set-up time of the host.
OUTSIDE_NS = 12.0


@dataclass(frozen=True, kw_only=True)
class SpiTiming:
    """What place-and-route says of the registers that SCK clocks.

    Parameters
    ----------
    fmax_hz
        SCK that they could run at.
    cipo_ns
        From the falling edge at the slowest of them to the pad of CIPO.
    """

    fmax_hz: float
    cipo_ns: float

    def sck_hz(self, core_hz: float) -> float:
        """Return the fastest SCK beside a core of that clock; see :class:`signfire.hdl.spi.Spi`.

        min(fmax, 1 / 2(CIPO's delay + :data:`OUTSIDE_NS`), MAX_RATIO core clock)
        """
        half_period_ns = self.cipo_ns + OUTSIDE_NS
        return min(self.fmax_hz, 1e9 / (2 * half_period_ns), MAX_RATIO * core_hz)
