"""A netlist opened for a simulator: the PLL gives way to a port."""

import json
from fractions import Fraction

import pytest

from signfire.boards.netlist import open_netlist, set_routed_clock
from signfire.boards.pll import fastest_setting


def cell(kind: str, parameters: dict | None = None, **connections) -> dict:
    bits = {port: [bit] for port, bit in connections.items()}
    return {"type": kind, "parameters": parameters or {}, "attributes": {}, "connections": bits}


def binary(**numbers: int) -> dict[str, str]:
    return {name: f"{number:032b}" for name, number in numbers.items()}


PLL = cell(
    "SB_PLL40_2_PAD",
    {**binary(DIVR=0, DIVF=52, DIVQ=3), "FEEDBACK_PATH": "SIMPLE"},
    **{"PACKAGEPIN": 2, "PLLOUTGLOBALA": 3, "PLLOUTGLOBALB": 4, "LOCK": 5, "RESETB": "1"},
)


def written(path, **cells: dict):
    ports = {"clk": ("input", 2), "rx": ("inout", 6), "tx": ("inout", 7)}
    module = {
        "attributes": {"top": "1"},
        "ports": {name: {"direction": d, "bits": [bit]} for name, (d, bit) in ports.items()},
        "cells": {
            "rx.pad": cell("SB_IO", PACKAGE_PIN=6, D_IN_0=8),
            "tx.pad": cell("SB_IO", PACKAGE_PIN=7, D_OUT_0=9),
            "slow": cell("SB_DFF", C=3, D=8, Q=10),
            "fast": cell("SB_DFFE", C=4, E=5, D=10, Q=9),
            **cells,
        },
        "netnames": {"a.long.name": {"hide_name": 0, "bits": [10], "attributes": {}}},
    }
    library = {"attributes": {"blackbox": "1"}, "ports": {}, "cells": {}, "netnames": {}}
    path.write_text(json.dumps({"modules": {"signfire": module, "SB_DFF": library}}))
    return path


def test_the_plls_clock_becomes_a_port_and_its_reference_a_wire(tmp_path) -> None:
    opened = open_netlist(written(tmp_path / "n.json", pll=PLL), tmp_path / "open.json")
    module = json.loads((tmp_path / "open.json").read_text())["modules"]["signfire"]
    (slow,) = [c for c in module["cells"].values() if c["type"] == "SB_DFF"]
    (fast,) = [c for c in module["cells"].values() if c["type"] == "SB_DFFE"]

    assert {"direction": "input", "bits": [4]} == module["ports"]["pll_clock"]
    assert [2] == slow["connections"]["C"]  # the pad of the oscillator
    assert [4] == fast["connections"]["C"]
    assert ["1"] == fast["connections"]["E"]  # a PLL that is locked
    assert ("pll_clock", Fraction(53, 8)) == (opened.pll_clock, opened.ratio)
    assert {"SB_IO": 2, "SB_DFF": 1, "SB_DFFE": 1} == opened.cells


def test_the_ports_that_a_pad_reads_are_named(tmp_path) -> None:
    opened = open_netlist(written(tmp_path / "n.json", pll=PLL), tmp_path / "open.json")

    assert ("clk", "rx") == opened.inputs


def test_a_netlist_without_a_pll_runs_on_its_oscillator(tmp_path) -> None:
    opened = open_netlist(written(tmp_path / "n.json"), tmp_path / "open.json")

    assert (None, 1) == (opened.pll_clock, opened.ratio)


def test_two_plls_are_refused(tmp_path) -> None:
    path = written(tmp_path / "n.json", pll=PLL, other=PLL)

    with pytest.raises(ValueError, match=r"a netlist must have one PLL, and n\.json has 2"):
        open_netlist(path, tmp_path / "open.json")


def strap(kind: str, table: str, number: int, bits: str) -> dict:
    made = cell(kind, {table: bits})
    return made | {"attributes": {"signfire_strap": f"{number:032b}"}}


ROUTED = {"pll": cell("ICESTORM_PLL", binary(DIVR=0, DIVF=52, DIVQ=3) | {"PLLTYPE": "100"})}


def setting():
    return fastest_setting(
        family="ice40", input_hz=12_000_000, target_hz=Fraction(40_000_000), part="iCE40UP5K"
    )


def test_a_layout_gets_another_clock_and_nothing_else(tmp_path) -> None:
    straps = {
        f"strap_{n}": strap("ICESTORM_LC", "LUT_INIT", n, "01"[n % 2] * 16) for n in range(32)
    }
    before = written(tmp_path / "n.json", **ROUTED, **straps)
    set_routed_clock(before, setting(), tmp_path / "other.json")
    old, new = (
        json.loads(path.read_text())["modules"]["signfire"]["cells"]
        for path in (before, tmp_path / "other.json")
    )

    pll = new["pll"]["parameters"]
    assert "100" == pll["PLLTYPE"]
    clock = Fraction(12_000_000 * (int(pll["DIVF"], 2) + 1), int(pll["DIVR"], 2) + 1)
    assert setting().clock_hz == clock / 2 ** int(pll["DIVQ"], 2)
    found = {n: new[f"strap_{n}"]["parameters"]["LUT_INIT"] for n in range(32)}
    wanted = round(setting().clock_hz)
    assert {n: str(wanted >> n & 1) * 16 for n in range(32)} == found
    assert {k: c for k, c in old.items() if k != "pll" and k not in straps} == {
        k: c for k, c in new.items() if k != "pll" and k not in straps
    }


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({}, r"a layout must have one PLL, and n\.json has 0"),
        (
            {**ROUTED, "strap": strap("ICESTORM_LC", "LUT_INIT", 0, "0" * 15 + "1")},
            r"n\.json has a strap that is no constant: ICESTORM_LC",
        ),
        (
            {**ROUTED, "strap": strap("OTHER", "LUT_INIT", 0, "0" * 16)},
            r"n\.json has a strap that is no constant: OTHER",
        ),
    ],
)
def test_a_layout_that_is_not_as_expected_is_refused(tmp_path, cells, message) -> None:
    path = written(tmp_path / "n.json", **cells)

    with pytest.raises(ValueError, match=f"^{message}$"):
        set_routed_clock(path, setting(), tmp_path / "other.json")
