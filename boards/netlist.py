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
from .strap import ATTRIBUTE, LUTS, ROUTED_LUT

# PLL cell -> port that drives the domain sync
_PLLS = {
    "SB_PLL40_CORE": "PLLOUTGLOBAL",
    "SB_PLL40_2_PAD": "PLLOUTGLOBALB",
    "EHXPLLL": "CLKOP",
    "rPLL": "CLKOUT",
}
_ROUTED_PLL = "ICESTORM_PLL"  # as nextpnr calls all of the iCE40 in a layout
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
    found = _plls(data)
    if len(found) != 1:
        raise ValueError(f"a netlist must have one PLL, and {netlist.name} has {len(found)}")
    ((module, key),) = found
    cell = module["cells"][key]
    for name, value in setting.parameters.items():
        cell["parameters"][name] = _encode(value)
    for other in module["cells"].values():
        _set_strap(other, round(setting.clock_hz))
    output.write_text(json.dumps(data))
    (bit,) = cell["connections"][_PLLS[cell["type"]]]
    return frozenset(name for name, net in module["netnames"].items() if bit in net["bits"])


def set_routed_clock(routed: Path, setting: PllSetting, output: Path) -> None:
    """Write what nextpnr placed and routed to ``output`` with another clock, all else as it is.

    Parameters
    ----------
    routed
        What nextpnr wrote as JSON for an iCE40, of the netlist of :func:`set_clock`.

    Raises
    ------
    ValueError
        If there is not exactly one PLL, or a strap is not the look-up table that it was.
    """
    data = json.loads(routed.read_text())
    cells = [cell for module in data["modules"].values() for cell in module["cells"].values()]
    plls = [cell for cell in cells if cell["type"] == _ROUTED_PLL]
    if len(plls) != 1:
        raise ValueError(f"a layout must have one PLL, and {routed.name} has {len(plls)}")
    for name, value in setting.parameters.items():
        plls[0]["parameters"][name] = _encode(value)
    straps = [cell for cell in cells if ATTRIBUTE in cell["attributes"]]
    for cell in straps:
        kind, table = ROUTED_LUT
        if cell["type"] != kind or set(cell["parameters"][table]) not in ({"0"}, {"1"}):
            raise ValueError(f"{routed.name} has a strap that is no constant: {cell['type']}")
        _set_bit(cell, table, round(setting.clock_hz))
    output.write_text(json.dumps(data))


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A netlist whose PLL, if it has one, gave way to a port.

    Parameters
    ----------
    pll_clock
        Name of that port, ``None`` without a PLL.
    ratio
        Frequency of the PLL's clock by its reference's, as the cell's dividers say.
    cells
        Type to number of the vendor cells that remain.
    inputs
        Ports of the top module that a pad reads.
    """

    pll_clock: str | None
    ratio: Fraction
    cells: dict[str, int]
    inputs: tuple[str, ...]


def open_netlist(netlist: Path, output: Path) -> Opened:
    """Write ``netlist`` to ``output`` for a simulator, the input ``pll_clock`` in its PLL's place.

    The PLL counts as locked; where it passes its reference on, a wire does.

    Raises
    ------
    ValueError
        If the netlist has several PLLs.
    """
    data = json.loads(netlist.read_text())
    found = _plls(data)
    if len(found) > 1:
        raise ValueError(f"a netlist must have one PLL, and {netlist.name} has {len(found)}")
    ratio = Fraction(1)
    inputs: set[str] = set()
    for module, key in found:
        cell = module["cells"].pop(key)
        ratio = clock_ratio(cell["type"], cell["parameters"])
        _bridge_pll(module, cell)
    for module in data["modules"].values():
        if not _is_cell(module):
            inputs |= _inputs(module)
            _simplify(module)
    output.write_text(json.dumps(data))
    return Opened(
        pll_clock=PLL_CLOCK if found else None,
        ratio=ratio,
        cells=_cells(data),
        inputs=tuple(sorted(inputs - {PLL_CLOCK})),
    )


def _bridge_pll(module: dict, cell: dict) -> None:
    """Join what a PLL drove with a new port, its reference, and the level of a locked PLL."""
    nets = {port: bits[0] for port, bits in cell["connections"].items() if len(bits) == 1}
    made = nets[_PLLS[cell["type"]]]
    module["ports"][PLL_CLOCK] = {"direction": "input", "bits": [made]}
    module["netnames"][PLL_CLOCK] = {"hide_name": 0, "bits": [made], "attributes": {}}
    same = {nets["LOCK"]: "1"} if "LOCK" in nets else {}
    if cell["type"] in _PASSED:
        reference, passed = _PASSED[cell["type"]]
        same[nets[passed]] = nets[reference]
    for other in module["cells"].values():
        for port, bits in other["connections"].items():
            other["connections"][port] = [same.get(bit, bit) for bit in bits]
    for net in module["netnames"].values():
        net["bits"] = [same.get(bit, bit) for bit in net["bits"]]


def _inputs(module: dict) -> set[str]:
    """Return the ports that a pad reads; those of the iCE40 have no direction of their own."""
    read = {
        cell["connections"]["PACKAGE_PIN"][0]
        for cell in module["cells"].values()
        if cell["type"] == "SB_IO" and "D_IN_0" in cell["connections"]
    }
    return {
        name
        for name, port in module["ports"].items()
        if port["direction"] == "input" or port["bits"][0] in read
    }


def _simplify(module: dict) -> None:
    """Give cells and nets short names, which is half of the time that a simulator compiles.

    What is connected to nothing is left out.
    """
    for name, port in module["ports"].items():
        if name != PLL_CLOCK:
            port["direction"] = "inout"  # as the pads have it
    module["netnames"] = {n: net for n, net in module["netnames"].items() if n in module["ports"]}
    module["cells"] = {f"c{n}": cell for n, cell in enumerate(module["cells"].values())}
    for cell in module["cells"].values():  # an output must not lead to a constant
        ports = cell["connections"]
        cell["connections"] = {name: bits for name, bits in ports.items() if bits != ["x"]}


def _cells(data: dict) -> dict[str, int]:
    """Return type and number of the vendor cells of a netlist; the design's modules are none."""
    modules = data["modules"]
    types = Counter(cell["type"] for m in modules.values() for cell in m["cells"].values())
    inner = {name for name, module in modules.items() if not _is_cell(module)}
    return {t: n for t, n in types.items() if t not in inner and not t.startswith("$")}


def _is_cell(module: dict) -> bool:
    return bool({"blackbox", "whitebox"} & module["attributes"].keys())


def _plls(data: dict) -> list[tuple[dict, str]]:
    """Return every PLL of a netlist: the module that holds it, and the cell's name there."""
    return [
        (module, key)
        for module in data["modules"].values()
        for key, cell in module["cells"].items()
        if cell["type"] in _PLLS
    ]


def _set_strap(cell: dict, value: int) -> None:
    """Make a strap's look-up table its bit of ``value``; leave every other cell alone."""
    if ATTRIBUTE not in cell["attributes"]:
        return
    table = next(table for name, table, *_ in LUTS.values() if name == cell["type"])
    _set_bit(cell, table, value)


def _set_bit(strap: dict, table: str, value: int) -> None:
    number = int(strap["attributes"][ATTRIBUTE], 2)
    strap["parameters"][table] = str(value >> number & 1) * 16


def _encode(value: int | str) -> str:
    """Return a parameter as yosys writes it: a number as 32 binary digits, else text.

    A text of nothing but binary digits carries a trailing space, else it would be a number.
    """
    if isinstance(value, int):
        return f"{value:032b}"
    return value + " " if not value.strip("01xz") else value
