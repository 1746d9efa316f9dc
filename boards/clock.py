"""Clocks of a board: the oscillator, the PLL behind it, and a reset that waits for both."""

from fractions import Fraction
from math import ceil

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.cdc import FFSynchronizer, ResetSynchronizer
from amaranth.lib.wiring import In, Out

from .boards import Board
from .devices import ECP5, GOWIN, ICE40
from .pll import PllSetting

# iCE40 block RAM reads zero for about 3 µs after configuration; five times that for all corners.
RESET_SECONDS = Fraction(15, 1_000_000)

OSCILLATOR = "board"  # clock domain of the oscillator, without reset


class ClockTree(wiring.Component):
    """Drives the domain ``sync`` from a PLL and the domain ``board`` from the oscillator.

    ``sync`` stays in reset until the PLL has been locked, and the board's reset button released,
    for 15 µs without a break. ``board`` has no reset. Both domains are its parent's.

    Parameters
    ----------
    board
        Names the PLL and how the oscillator reaches it.
    setting
        Dividers of the PLL; from them nextpnr derives the constraint of ``sync``.
    """

    def __init__(self, *, board: Board, setting: PllSetting) -> None:
        self.board = board
        self.setting = setting
        super().__init__({})

    def elaborate(self, platform) -> Module:
        m = Module()
        oscillator, clock, locked = Signal(), Signal(), Signal()
        pin = platform.request(platform.default_clk, dir="-")
        if self.board.clock_on_pll_pad:
            m.submodules.pll = _ice40_pad_pll(self.setting, pin, oscillator, clock, locked)
        else:
            m.submodules.pin = buffer = io.Buffer(io.Direction.Input, pin)
            m.d.comb += oscillator.eq(buffer.i)
            make_pll = {ICE40: _ice40_pll, ECP5: _ecp5_pll, GOWIN: _gowin_pll}[self.board.family]
            m.submodules.pll = make_pll(self.board, self.setting, oscillator, clock, locked)

        pressed = Const(0)
        if platform.default_rst is not None:
            button = platform.request(platform.default_rst, dir="-")
            m.submodules.button = buffer = io.Buffer(io.Direction.Input, button)
            pressed = buffer.i

        m.d.comb += [ClockSignal(OSCILLATOR).eq(oscillator), ClockSignal("sync").eq(clock)]
        m.submodules.wait = wait = ResetDelay(cycles=ceil(RESET_SECONDS * self.board.input_hz))
        m.d.comb += wait.good.eq(locked & ~pressed)
        m.submodules.reset = ResetSynchronizer(wait.hold, domain="sync")
        return m


class ResetDelay(wiring.Component):
    """Holds a reset until ``good`` has been high for a number of cycles without a break.

    Works in the domain ``board``; ``good`` may come from anywhere and is synchronised, which adds
    two cycles.

    Members
    -------
    good : In(1)
    hold : Out(1), the reset, high from configuration on
    """

    good: Signal
    hold: Signal

    def __init__(self, *, cycles: int) -> None:
        self.cycles = cycles
        super().__init__({"good": In(1), "hold": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        good = Signal()
        left = Signal(range(self.cycles + 1), init=self.cycles)
        m.submodules.good = FFSynchronizer(self.good, good, o_domain=OSCILLATOR)
        with m.If(~good):
            m.d[OSCILLATOR] += left.eq(self.cycles)
        with m.Elif(left != 0):
            m.d[OSCILLATOR] += left.eq(left - 1)
        # A register, because the asynchronous reset behind it must not see glitches.
        hold = Signal(init=1)
        m.d[OSCILLATOR] += hold.eq(~good | (left != 0))
        m.d.comb += self.hold.eq(hold)
        return m


def _ice40_dividers(setting: PllSetting) -> dict:
    return {f"p_{name}": value for name, value in setting.parameters.items()} | {
        "p_FEEDBACK_PATH": "SIMPLE",
        "i_RESETB": Const(1),
        "i_BYPASS": Const(0),
    }


def _ice40_pad_pll(setting: PllSetting, pin, oscillator, clock, locked) -> Instance:
    """Return the PLL whose port A passes the pad on and whose port B is the product."""
    return Instance(
        "SB_PLL40_2_PAD",
        **_ice40_dividers(setting),
        p_PLLOUT_SELECT_PORTB="GENCLK",
        i_PACKAGEPIN=pin.io,
        o_PLLOUTGLOBALA=oscillator,
        o_PLLOUTGLOBALB=clock,
        o_LOCK=locked,
    )


def _ice40_pll(board: Board, setting: PllSetting, oscillator, clock, locked) -> Instance:
    return Instance(
        "SB_PLL40_CORE",
        **_ice40_dividers(setting),
        p_PLLOUT_SELECT="GENCLK",
        i_REFERENCECLK=oscillator,
        o_PLLOUTGLOBAL=clock,
        o_LOCK=locked,
    )


def _ecp5_pll(board: Board, setting: PllSetting, oscillator, clock, locked) -> Instance:
    """Return the cell that ecppll writes, with the output as its feedback."""
    fixed = {name: "DISABLED" for name in ("PLLRST_ENA", "INTFB_WAKE", "STDBY_ENABLE")}
    fixed |= {"DPHASE_SOURCE": "DISABLED", "CLKOP_ENABLE": "ENABLED", "FEEDBK_PATH": "CLKOP"}
    fixed |= {f"OUTDIVIDER_MUX{letter}": f"DIV{letter}" for letter in "ABCD"}
    analogue = {"ICP_CURRENT": "12", "LPF_RESISTOR": "8"}
    analogue |= {"MFG_ENABLE_FILTEROPAMP": "1", "MFG_GMCREF_SEL": "2"}
    low = ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PLLWAKESYNC", "ENCLKOP")
    high = ("PHASEDIR", "PHASESTEP", "PHASELOADREG")
    return Instance(
        "EHXPLLL",
        **{f"a_{name}": value for name, value in analogue.items()},
        **{f"p_{name}": value for name, value in (fixed | setting.parameters).items()},
        p_CLKOP_FPHASE=0,
        **{f"i_{name}": Const(0) for name in low},
        **{f"i_{name}": Const(1) for name in high},
        i_CLKI=oscillator,
        i_CLKFB=clock,
        o_CLKOP=clock,
        o_LOCK=locked,
    )


def _gowin_pll(board: Board, setting: PllSetting, oscillator, clock, locked) -> Instance:
    zero = {"RESET": 1, "RESET_P": 1, "CLKFB": 1, "FBDSEL": 6, "IDSEL": 6, "ODSEL": 6}
    zero |= {"PSDA": 4, "DUTYDA": 4, "FDLY": 4}
    static = {name: "false" for name in ("DYN_IDIV_SEL", "DYN_FBDIV_SEL", "DYN_ODIV_SEL")}
    return Instance(
        "rPLL",
        **{f"p_{name}": value for name, value in setting.parameters.items()},
        **{f"p_{name}": value for name, value in static.items()},
        p_DEVICE=board.open_device.name,
        p_CLKFB_SEL="internal",
        **{f"i_{name}": Const(0, width) for name, width in zero.items()},
        i_CLKIN=oscillator,
        o_CLKOUT=clock,
        o_LOCK=locked,
    )
