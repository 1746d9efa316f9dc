"""A netlist opened for a simulator: the PLL gives way to a port."""

import json
from fractions import Fraction

import pytest

from signfire.boards.netlist import open_netlist


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
