"""The synthesised netlist as yosys writes it: setting the clock anew.

A new clock changes the PLL's dividers, and the frequency that the identity record states, which
is a :class:`.strap.Strap`; the serial line runs from the oscillator. So a netlist is synthesised
once, and place-and-route of the same netlist with the same seed gives the same layout at every
clock, or nearly so.
"""

import json
from pathlib import Path

from .pll import PllSetting
from .strap import ATTRIBUTE, LUTS

# PLL cell -> port that drives the domain sync
_PLLS = {
    "SB_PLL40_CORE": "PLLOUTGLOBAL",
    "SB_PLL40_2_PAD": "PLLOUTGLOBALB",
    "EHXPLLL": "CLKOP",
    "rPLL": "CLKOUT",
}


def set_clock(netlist: Path, setting: PllSetting, output: Path) -> frozenset[str]:
    """Write ``netlist`` to ``output`` with the PLL's dividers and the straps set.

    Returns
    -------
    Every name that the PLL's output net has.

    Raises
    ------
    ValueError
        If the netlist does not have exactly one PLL.
    """
    data = json.loads(netlist.read_text())
    modules = data["modules"].values()
    found = [(m, cell) for m in modules for cell in m["cells"].values() if cell["type"] in _PLLS]
    if len(found) != 1:
        raise ValueError(f"a netlist must have one PLL, and {netlist.name} has {len(found)}")
    module, cell = found[0]
    for name, value in setting.parameters.items():
        cell["parameters"][name] = _encode(value)
    for other in module["cells"].values():
        _set_strap(other, round(setting.clock_hz))
    output.write_text(json.dumps(data))
    (bit,) = cell["connections"][_PLLS[cell["type"]]]
    return frozenset(name for name, net in module["netnames"].items() if bit in net["bits"])


def _set_strap(cell: dict, value: int) -> None:
    """Make a strap's look-up table its bit of ``value``; leave every other cell alone."""
    number = cell["attributes"].get(ATTRIBUTE)
    if number is None:
        return
    table = next(table for name, table, *_ in LUTS.values() if name == cell["type"])
    cell["parameters"][table] = str(value >> int(number, 2) & 1) * 16


def _encode(value: int | str) -> str:
    """Return a parameter as yosys writes it: a number as 32 binary digits, else text.

    A text of nothing but binary digits carries a trailing space, else it would be a number.
    """
    if isinstance(value, int):
        return f"{value:032b}"
    return value + " " if not value.strip("01xz") else value
