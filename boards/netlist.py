"""The synthesised netlist as yosys writes it: setting the clock anew, and opening it for a check.

A new clock changes the PLL's dividers, and the frequency that the identity record states, which
is a :class:`.strap.Strap`; the serial line runs from the oscillator. So a netlist is synthesised
once, and place-and-route of the same netlist with the same seed gives the same layout at every
clock, or nearly so.
"""

import json
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .pll import PllSetting, clock_ratio
from .strap import ATTRIBUTE, LUTS

# PLL cell -> port that drives the domain sync
_PLLS = {
    "SB_PLL40_CORE": "PLLOUTGLOBAL",
    "SB_PLL40_2_PAD": "PLLOUTGLOBALB",
    "EHXPLLL": "CLKOP",
    "rPLL": "CLKOUT",
}
_PASSED = {"SB_PLL40_2_PAD": ("PACKAGEPIN", "PLLOUTGLOBALA")}  # the reference, passed on
PLL_CLOCK = "pll_clock"  # the port that an opened netlist has in the PLL's place


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
    module, key = _pll(data, netlist.name)
    cell = module["cells"][key]
    for name, value in setting.parameters.items():
        cell["parameters"][name] = _encode(value)
    for other in module["cells"].values():
        _set_strap(other, round(setting.clock_hz))
    output.write_text(json.dumps(data))
    (bit,) = cell["connections"][_PLLS[cell["type"]]]
    return frozenset(name for name, net in module["netnames"].items() if bit in net["bits"])


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A netlist whose PLL gave way to a port.

    Parameters
    ----------
    ratio
        Frequency of the PLL's clock by its reference's, as the cell's dividers say.
    cells
        Type to number of the vendor cells that remain.
    """

    ratio: Fraction
    cells: dict[str, int]


def open_pll(netlist: Path, output: Path) -> Opened:
    """Write ``netlist`` to ``output`` with the input :data:`PLL_CLOCK` in place of its PLL.

    The PLL counts as locked; where it passes its reference on, a wire does.

    Raises
    ------
    ValueError
        If the netlist does not have exactly one PLL.
    """
    data = json.loads(netlist.read_text())
    module, key = _pll(data, netlist.name)
    cell = module["cells"].pop(key)
    nets = {port: bits[0] for port, bits in cell["connections"].items() if len(bits) == 1}
    made = nets[_PLLS[cell["type"]]]
    for port in module["ports"].values():
        port["direction"] = "inout"  # as the pads have it
    module["ports"][PLL_CLOCK] = {"direction": "input", "bits": [made]}
    module["netnames"][PLL_CLOCK] = {"hide_name": 0, "bits": [made], "attributes": {}}
    same = {nets["LOCK"]: "1"} if "LOCK" in nets else {}
    if cell["type"] in _PASSED:
        reference, passed = _PASSED[cell["type"]]
        same[nets[passed]] = nets[reference]
    for other in module["cells"].values():
        for port, bits in other["connections"].items():
            other["connections"][port] = [same.get(bit, bit) for bit in bits]
    # Short names are half of the time that a simulator takes to compile.
    module["netnames"] = {n: net for n, net in module["netnames"].items() if n in module["ports"]}
    module["cells"] = {f"c{n}": other for n, other in enumerate(module["cells"].values())}
    output.write_text(json.dumps(data))
    return Opened(ratio=clock_ratio(cell["type"], cell["parameters"]), cells=cells_of(data))


def cells_of(data: dict) -> dict[str, int]:
    """Return type and number of the vendor cells of a netlist; the design's modules are none."""
    modules = data["modules"]
    types = Counter(cell["type"] for m in modules.values() for cell in m["cells"].values())
    inner = {name for name, module in modules.items() if not _is_cell(module)}
    return {t: n for t, n in types.items() if t not in inner and not t.startswith("$")}


def _is_cell(module: dict) -> bool:
    return bool({"blackbox", "whitebox"} & module["attributes"].keys())


def _pll(data: dict, name: str) -> tuple[dict, str]:
    """Return the module that holds the PLL of a netlist, and the cell's name there."""
    found = [
        (module, key)
        for module in data["modules"].values()
        for key, cell in module["cells"].items()
        if cell["type"] in _PLLS
    ]
    if len(found) != 1:
        raise ValueError(f"a netlist must have one PLL, and {name} has {len(found)}")
    return found[0]


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
