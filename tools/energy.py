"""An energy estimate from cells and clock: its order of magnitude, and every assumption in it."""

from dataclasses import dataclass

# A published measurement: SYNtzulu (2025), an SNN on an iCE40UP5K: 3,473 cells, 24 MHz, 14.2 mW.
SWITCHING_J = 14.2e-3 / (24e6 * 3473)
# Hard blocks switch about a fourteenth of what the same logic in LUTs does (Kuon and Rose, IEEE
# TCAD 26(2), 2007, dynamic power), and a product of 16 x 16 bits is some 280 LUTs.
BLOCK_CELLS = 20
SPREAD = 3  # the truth may lie this factor below or above: activity and routing differ that much

# Standby power of the core supply in watts, of the order of the data sheets' typical values at
# room temperature; by the start of the device's name, the first match counts.
STANDBY_W = (
    ("iCE40UP", 0.0001),
    ("iCE40", 0.0015),
    ("LFE5U-12", 0.085),
    ("LFE5U-25", 0.085),
    ("LFE5U-45", 0.13),
    ("LFE5U-85", 0.23),
    ("LFE5UM5G-85", 0.25),
    ("GW1N", 0.010),
    ("GW2A", 0.030),
)


@dataclass(frozen=True, kw_only=True)
class EnergyEstimate:
    """Power while samples arrive back to back, and energy a sample; an estimate, not a measurement.

    Parameters
    ----------
    power_w, energy_j
        Core supply alone: no I/O, no board.
    energy_low_j, energy_high_j
        The range that the assumptions leave.
    assumptions
        Sentences that belong beside the number wherever it is shown.
    """

    power_w: float
    energy_j: float
    energy_low_j: float
    energy_high_j: float
    assumptions: tuple[str, ...]


def estimate(
    *, device: str, cells: int, clock_hz: float, interval_cycles: int, multipliers: int = 0
) -> EnergyEstimate | None:
    """Estimate power and energy a sample; ``None`` for a device whose standby power is not known.

    power = standby + cells · clock · switching energy; energy = power · interval / clock. A DSP
    block counts as :data:`BLOCK_CELLS` cells.

    Parameters
    ----------
    device
        Part name, ``iCE40UP5K`` or ``LFE5U-25F``, say.
    cells
        Logic cells in use (LUT with its flip-flop).
    clock_hz
        Of the core.
    interval_cycles
        Cycles from one sample to the next.
    multipliers
        DSP blocks in use.
    """
    standby = next((w for prefix, w in STANDBY_W if device.startswith(prefix)), None)
    if standby is None:
        return None
    switching = (cells + BLOCK_CELLS * multipliers) * clock_hz * SWITCHING_J
    period = interval_cycles / clock_hz
    power = standby + switching
    return EnergyEstimate(
        power_w=power,
        energy_j=power * period,
        energy_low_j=(standby + switching / SPREAD) * period,
        energy_high_j=(standby + switching * SPREAD) * period,
        assumptions=(
            f"standby of the core supply {standby * 1e3:g} mW, of the order of the data sheet's "
            f"typical value",
            f"{SWITCHING_J * 1e12:.2g} pJ per logic cell and cycle, from one published "
            f"measurement of a spiking design on an iCE40UP5K (14.2 mW, 24 MHz, 3,473 cells); "
            f"applied to this device unchanged, within a factor of {SPREAD} either way",
            *(
                (
                    f"a DSP block counts as {BLOCK_CELLS} cells: a fourteenth of its product in "
                    f"LUTs, a ratio that was published for hard blocks",
                )
                if multipliers
                else ()
            ),
            "samples arrive back to back; I/O, memory chips and the rest of the board not counted",
        ),
    )


def standby_cells(device: str, clock_hz: float) -> float:
    """Return how many switching logic cells take what a device takes standing by; 0 if unknown."""
    standby = next((w for prefix, w in STANDBY_W if device.startswith(prefix)), 0.0)
    return standby / (clock_hz * SWITCHING_J)
