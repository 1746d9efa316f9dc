"""PLL settings: the fastest clock not above a target, from the tool chains' own calculators."""

import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .devices import ECP5, GOWIN, ICE40
from .toolchain import executable

# Above these the calculators refuse to answer; the data sheets' limits of the output clock.
_FASTEST_HZ = {ICE40: 275_000_000, ECP5: 400_000_000, GOWIN: 600_000_000}
_ATTEMPTS = 24  # a calculator answers with the nearest frequency; its neighbours below are near


@dataclass(frozen=True, kw_only=True)
class PllSetting:
    """The dividers of one PLL.

    Parameters
    ----------
    family
        ``ice40``, ``ecp5`` or ``gowin``.
    input_hz
        Reference clock.
    clock_hz
        Output clock, exact.
    vco_hz
        Frequency of the oscillator inside, exact.
    parameters
        Parameters of the vendor's cell that depend on the frequency.
    """

    family: str
    input_hz: Fraction
    clock_hz: Fraction
    vco_hz: Fraction
    parameters: dict[str, int | str]


def fastest_setting(
    *, family: str, input_hz: int | Fraction, target_hz: int | Fraction, part: str = ""
) -> PllSetting:
    """Return the setting with the fastest clock that is not above ``target_hz``.

    Parameters
    ----------
    family
        ``ice40``, ``ecp5`` or ``gowin``.
    input_hz
        Reference clock of the board.
    target_hz
        What the clock must not exceed.
    part
        Gowin only: the part number, because the limits depend on the speed grade.

    Raises
    ------
    ValueError
        If the PLL cannot run at or below the target from this reference.
    """
    calculate = _CALCULATORS.get(family)
    if calculate is None:
        raise ValueError(f"family must be one of {', '.join(_CALCULATORS)}, not {family!r}")
    input_hz, target_hz = Fraction(input_hz), Fraction(target_hz)
    if not (input_hz > 0 and target_hz > 0):
        raise ValueError(f"clocks must be positive, not {input_hz} and {target_hz} Hz")
    request = min(target_hz, Fraction(_FASTEST_HZ[family]))
    for _ in range(_ATTEMPTS):
        setting = calculate(input_hz, request, part)
        if setting is None:
            break
        if setting.clock_hz <= target_hz:
            return setting
        # Nothing lies between target - excess and target, else the calculator had chosen it.
        request -= max(setting.clock_hz - target_hz, request / 2000)
        if request <= 0:
            break
    raise ValueError(
        f"the {family} PLL cannot make a clock of at most {float(target_hz) / 1e6:.3f} MHz from "
        f"{float(input_hz) / 1e6:.3f} MHz"
    )


def clock_ratio(cell: str, parameters: Mapping[str, str]) -> Fraction:
    """Return output clock by reference clock of a vendor's PLL cell.

    iCE40 (DIVF + 1) / ((DIVR + 1) 2^DIVQ); ECP5 CLKFB_DIV / CLKI_DIV, fed back from CLKOP; Gowin
    (FBDIV_SEL + 1) / (IDIV_SEL + 1).

    Parameters
    ----------
    cell
        Type of the cell.
    parameters
        By name, numbers in binary digits.
    """

    def number(name: str) -> int:
        return int(parameters[name], 2)

    if cell.startswith("SB_PLL40_"):
        if parameters["FEEDBACK_PATH"] != "SIMPLE":
            raise ValueError("the PLL's feedback is not the simple one that signfire makes")
        return Fraction(number("DIVF") + 1, (number("DIVR") + 1) << number("DIVQ"))
    if cell == "EHXPLLL":
        return Fraction(number("CLKFB_DIV"), number("CLKI_DIV"))
    return Fraction(number("FBDIV_SEL") + 1, number("IDIV_SEL") + 1)


def _run(program: str, *arguments: str, cwd: Path | str) -> str:
    done = subprocess.run(
        [str(executable(program)), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.stdout


def _mhz(hz: Fraction) -> str:
    return f"{float(hz) / 1e6:.6f}"


def _numbers(patterns: Mapping[str, str], text: str) -> dict[str, int] | None:
    """Return the number that each pattern finds, by name; None where one finds nothing."""
    found = {}
    for name, pattern in patterns.items():
        match = re.search(pattern, text)
        if match is None:
            return None
        found[name] = int(match.group(1))
    return found


def _icepll(input_hz: Fraction, request_hz: Fraction, part: str) -> PllSetting | None:
    """Ask icepll; f_out = f_in (DIVF + 1) / ((DIVR + 1) 2^DIVQ), simple feedback."""
    with tempfile.TemporaryDirectory() as directory:
        text = _run("yowasp-icepll", "-i", _mhz(input_hz), "-o", _mhz(request_hz), cwd=directory)
    names = ("DIVR", "DIVF", "DIVQ", "FILTER_RANGE")
    dividers = _numbers({name: rf"{name}:\s+(\d+)" for name in names}, text)
    if dividers is None:
        return None
    vco = input_hz * (dividers["DIVF"] + 1) / (dividers["DIVR"] + 1)
    return PllSetting(
        family=ICE40,
        input_hz=input_hz,
        clock_hz=vco / 2 ** dividers["DIVQ"],
        vco_hz=vco,
        parameters={**dividers},
    )


def _ecppll(input_hz: Fraction, request_hz: Fraction, part: str) -> PllSetting | None:
    """Ask ecppll; f_out = f_in CLKFB_DIV / CLKI_DIV, VCO = f_out CLKOP_DIV, feedback from CLKOP."""
    names = ("CLKI_DIV", "CLKFB_DIV", "CLKOP_DIV", "CLKOP_CPHASE")
    with tempfile.TemporaryDirectory() as directory:
        verilog = Path(directory) / "pll.v"
        arguments = ("-i", _mhz(input_hz), "-o", _mhz(request_hz), "-f", verilog.name)
        _run("yowasp-ecppll", *arguments, cwd=directory)
        if not verilog.exists():
            return None
        text = verilog.read_text()
    dividers = _numbers({name: rf"\.{name}\((\d+)\)" for name in names}, text)
    if dividers is None:
        return None
    clock = input_hz * dividers["CLKFB_DIV"] / dividers["CLKI_DIV"]
    vco = clock * dividers["CLKOP_DIV"]
    # ecppll writes the rounded FREQUENCY attributes as well; nextpnr does not read them.
    return PllSetting(
        family=ECP5, input_hz=input_hz, clock_hz=clock, vco_hz=vco, parameters={**dividers}
    )


def _gowin_pll(input_hz: Fraction, request_hz: Fraction, part: str) -> PllSetting | None:
    """Ask gowin_pll; f_out = f_in (FBDIV_SEL + 1) / (IDIV_SEL + 1), VCO = f_out ODIV_SEL."""
    arguments = ("-i", _mhz(input_hz), "-o", _mhz(request_hz), "-d", part)
    with tempfile.TemporaryDirectory() as directory:
        text = _run("gowin_pll", *arguments, cwd=directory)
    names = ("IDIV_SEL", "FBDIV_SEL", "ODIV_SEL")
    dividers = _numbers({name: rf"\.{name}\((\d+)\)" for name in names}, text)
    if dividers is None:
        return None
    clock = input_hz * (dividers["FBDIV_SEL"] + 1) / (dividers["IDIV_SEL"] + 1)
    return PllSetting(
        family=GOWIN,
        input_hz=input_hz,
        clock_hz=clock,
        vco_hz=clock * dividers["ODIV_SEL"],
        parameters=dividers | {"FCLKIN": f"{float(input_hz) / 1e6:g}"},
    )


_CALCULATORS: dict[str, Callable[[Fraction, Fraction, str], PllSetting | None]] = {
    ICE40: _icepll,
    ECP5: _ecppll,
    GOWIN: _gowin_pll,
}
