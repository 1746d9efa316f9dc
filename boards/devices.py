"""What each FPGA of the open tool chains holds: the budget that a design has to fit into."""

# Ref: Lattice FPGA-DS-02008 (iCE40 UltraPlus), FPGA-DS-02029 (iCE40 LP/HX), FPGA-DS-02012 (ECP5),
# Gowin DS117 (GW1NR), DS102 (GW2A). The tests compare every number with nextpnr's own report.

from dataclasses import dataclass

ICE40 = "ice40"
ECP5 = "ecp5"
GOWIN = "gowin"
FAMILIES = (ICE40, ECP5, GOWIN)


@dataclass(frozen=True, kw_only=True)
class BlockRam:
    """The block RAMs of a device.

    Parameters
    ----------
    cell
        Name of the cell in a utilisation report.
    count
        Number of blocks.
    bits
        Bits of one block, parity bits included where they can hold data.
    widths
        Data widths that a port can be set to, ascending; the depth is bits/width, in whole powers
        of two.
    """

    cell: str
    count: int
    bits: int
    widths: tuple[int, ...]

    @property
    def bits_per_cycle(self) -> int:
        """Bits that all blocks together deliver in one cycle, one read port each."""
        return self.count * self.widths[-1]


@dataclass(frozen=True, kw_only=True)
class Device:
    """Capacity of one FPGA as the open place-and-route tools offer it.

    Parameters
    ----------
    name
        The manufacturer's name of the die, as a board states it.
    family
        One of :data:`FAMILIES`.
    luts, flip_flops
        Four-input look-up tables and flip-flops; on iCE40 one of each forms a logic cell.
    lut_cell, flip_flop_cell
        Names of these in a utilisation report; equal where a logic cell holds both.
    block_ram
        Geometry and number of the block RAMs.
    multipliers, multiplier_bits
        Number of hard multipliers and the width of their two inputs.
    multiplier_cell
        Name in a utilisation report; empty where there are none.
    large_ram_bits
        Bits of single-port RAM without initial content (SPRAM), besides the block RAM.
    plls
        Phase-locked loops on the die.
    goal_hz
        Clock that the PLL is set to, and place-and-route asked to aim for, in the search of the
        fastest one: above what designs of this project reach, so that effort is never withheld.
    """

    name: str
    family: str
    luts: int
    flip_flops: int
    lut_cell: str
    flip_flop_cell: str
    block_ram: BlockRam
    multipliers: int
    multiplier_bits: int
    multiplier_cell: str
    large_ram_bits: int = 0
    plls: int
    goal_hz: int


def _ice40(name: str, luts: int, rams: int, plls: int, goal_hz: int, ultra: bool = False) -> Device:
    return Device(
        name=name,
        family=ICE40,
        luts=luts,
        flip_flops=luts,
        lut_cell="ICESTORM_LC",
        flip_flop_cell="ICESTORM_LC",
        block_ram=BlockRam(cell="ICESTORM_RAM", count=rams, bits=4096, widths=(2, 4, 8, 16)),
        multipliers=8 if ultra else 0,
        multiplier_bits=16,
        multiplier_cell="ICESTORM_DSP" if ultra else "",
        large_ram_bits=4 * 256 * 1024 if ultra else 0,
        plls=plls,
        goal_hz=goal_hz,
    )


def _ecp5(name: str, luts: int, rams: int, multipliers: int, plls: int) -> Device:
    widths = (1, 2, 4, 9, 18, 36)
    return Device(
        name=name,
        family=ECP5,
        luts=luts,
        flip_flops=luts,
        lut_cell="TRELLIS_COMB",
        flip_flop_cell="TRELLIS_FF",
        block_ram=BlockRam(cell="DP16KD", count=rams, bits=18 * 1024, widths=widths),
        multipliers=multipliers,
        multiplier_bits=18,
        multiplier_cell="MULT18X18D",
        plls=plls,
        goal_hz=200_000_000,
    )


def _gowin(name: str, luts: int, flip_flops: int, rams: int, multipliers: int, plls: int) -> Device:
    widths = (1, 2, 4, 9, 18, 36)
    return Device(
        name=name,
        family=GOWIN,
        luts=luts,
        flip_flops=flip_flops,
        lut_cell="LUT4",
        flip_flop_cell="DFF",
        block_ram=BlockRam(cell="BSRAM", count=rams, bits=18 * 1024, widths=widths),
        multipliers=multipliers,
        multiplier_bits=18,
        multiplier_cell="MULT18X18",
        plls=plls,
        goal_hz=150_000_000,
    )


# The HX4K and LP4K are 8K dies, and the 12F is a 25F die: the open tools use all of it.
_ALL = (
    _ice40("iCE40UP5K", 5280, 30, 1, 80_000_000, ultra=True),
    _ice40("iCE40HX8K", 7680, 32, 2, 150_000_000),
    _ice40("iCE40HX4K", 7680, 32, 2, 150_000_000),
    _ice40("iCE40LP8K", 7680, 32, 2, 120_000_000),
    _ice40("iCE40HX1K", 1280, 16, 1, 150_000_000),
    _ice40("iCE40LP1K", 1280, 16, 1, 120_000_000),
    *(
        _ecp5(f"{kind}-{size}F", *numbers)
        for size, numbers in {
            12: (24288, 56, 28, 2),
            25: (24288, 56, 28, 2),
            45: (43848, 108, 72, 4),
            85: (83640, 208, 156, 4),
        }.items()
        for kind in ("LFE5U", "LFE5UM", "LFE5UM5G")
    ),
    _gowin("GW1NR-9C", 8640, 6480, 26, 20, 2),
    _gowin("GW2A-18C", 20736, 15552, 46, 48, 2),
)
DEVICES: dict[str, Device] = {device.name: device for device in _ALL}
