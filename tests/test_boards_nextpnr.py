"""What is asked of nextpnr, and what its answers mean."""

import json

import pytest

from signfire.boards.boards import find_board
from signfire.boards.netlist import set_clock
from signfire.boards.nextpnr import command, failure, read_report, synthesis_options
from signfire.boards.pll import PllSetting

PLANNED = {
    "icebreaker": "--quiet --log a.tim --up5k --package sg48 --json a.json --pcf a.pcf --asc a.asc",
    "tang-nano-9k": "--quiet --log a.tim --device GW1NR-LV9QN88PC6/I5 --family GW1N-9C "
    "--json a.syn.json --cst a.cst --write a.pnr.json",
}


def test_gowin_options_are_those_of_the_new_program() -> None:
    board = find_board("tang-nano-9k")

    got = command(
        PLANNED[board.name].split(), board, netlist="n.json", output="out", seed=3, clock_hz=54e6
    )

    assert " ".join(got) == (
        "--quiet --log out.log --device GW1NR-LV9QN88PC6/I5 --vopt family=GW1N-9C --json n.json "
        "--vopt cst=a.cst --write out.placed --report out.report.json --seed 3 --freq 54 "
        "--timing-allow-fail"
    )


def test_ice40_options_are_amaranths_with_other_files() -> None:
    board = find_board("icebreaker")

    got = command(
        PLANNED[board.name].split(), board, netlist="n.json", output="out", seed=1, clock_hz=8e7
    )

    assert " ".join(got).startswith(
        "--quiet --log out.log --up5k --package sg48 --json n.json --pcf a.pcf --asc out.placed"
    )


@pytest.mark.parametrize(
    ("board", "options"),
    [
        ("icebreaker", "-dsp -abc9 -device u"),
        ("ice40-hx8k-b-evn", "-abc9 -device hx"),
        ("icesugar-nano", "-abc9 -device lp"),
        ("ulx3s-85f", ""),
    ],
)
def test_multipliers_are_used_where_there_are_any(board: str, options: str) -> None:
    assert options == synthesis_options(find_board(board))


FIT = "Info: Device utilisation:\nInfo: \t ICESTORM_LC:  {used}/  1280  {percent}%\n"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            FIT.format(used=2100, percent=164) + "ERROR: Unable to place cell 'x'",
            "the design does not fit icestick: it needs 2100 logic cells, and there are 1280 (fold "
            "the design more (smaller pe or simd), or choose a larger board)",
        ),
        (
            FIT.format(used=1279, percent=99) + "ERROR: Unable to find legal placement for all "
            "cells, design is probably at utilisation limit.",
            "the design could not be placed and routed on icestick: Unable to find legal placement "
            "for all cells, design is probably at utilisation limit (fold the design more (smaller "
            "pe or simd), or choose a larger board; log: p.log)",
        ),
        (
            "ERROR: cell type 'FOO' is unsupported\n",
            "nextpnr refused the design for icestick: cell type 'FOO' is unsupported (log: p.log)",
        ),
        ("", "nextpnr refused the design for icestick: it gave no reason (log: p.log)"),
    ],
)
def test_failure_is_one_sentence_with_a_way_out(output: str, message: str) -> None:
    assert message == str(failure(find_board("icestick"), "p.log", output))


def test_report_is_read_by_plain_net_names(tmp_path) -> None:
    def hop(kind: str, delay: float, start: str, end: str) -> dict:
        return {"type": kind, "delay": delay, "from": {"cell": start}, "to": {"cell": end}}

    path = tmp_path / "report.json"
    path.write_text(
        json.dumps(
            {
                "fmax": {
                    "$glbnet$a": {"achieved": 50.5, "constraint": 200},
                    "b$glb_clk": {"achieved": 99, "constraint": 12},
                },
                "utilization": {
                    "LUT4": {"used": 7, "available": 9},
                    "X": {"used": 0, "available": 0},
                },
                "critical_paths": [
                    {
                        "from": "posedge $glbnet$a",
                        "to": "posedge $glbnet$a",
                        "path": [
                            hop("clk-to-q", 0.5, "r", "r"),
                            hop("routing", 2.0, "r", "l"),
                            hop("logic", 0.25, "l", "l"),
                            hop("routing", 1.0, "l", "s"),
                            hop("setup", 0.25, "s", "s"),
                        ],
                    },
                    {"from": "posedge $glbnet$a", "to": "<async>", "path": []},
                ],
            }
        )
    )

    report = read_report(path)

    assert {"a": 50.5e6, "b": 99e6} == report.fmax_hz
    assert ["LUT4"] == list(report.utilisation)
    path_of_a = report.critical_paths["a"]
    assert ("r", "s", 1) == (path_of_a.start, path_of_a.end, path_of_a.cells)
    assert (4.0, 1.0, 3.0) == (path_of_a.delay_ns, path_of_a.logic_ns, path_of_a.routing_ns)


def netlist_with(cells: dict) -> str:
    names = {"clk": {"bits": [7]}, "clocks.clk": {"bits": [7]}, "other": {"bits": [8]}}
    return json.dumps({"modules": {"top": {"cells": cells, "netnames": names}}})


def test_setting_the_clock_touches_the_pll_and_nothing_else(tmp_path) -> None:
    pll = {
        "type": "rPLL",
        "attributes": {},
        "parameters": {"IDIV_SEL": "0", "FCLKIN": "27", "DEVICE": "GW1NR-9C"},
        "connections": {"CLKOUT": [7], "LOCK": [8]},
    }
    lut = {"type": "LUT4", "attributes": {}, "parameters": {"INIT": "0" * 16}, "connections": {}}
    source, target = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(netlist_with({"pll": pll, "lut": lut}))
    setting = PllSetting(
        family="gowin",
        input_hz=100_000_000,
        clock_hz=50_000_000,
        vco_hz=400_000_000,
        parameters={"IDIV_SEL": 5, "FCLKIN": "100"},
    )

    names = set_clock(source, setting, target)

    cells = json.loads(target.read_text())["modules"]["top"]["cells"]
    assert {"clk", "clocks.clk"} == names
    assert f"{5:032b}" == cells["pll"]["parameters"]["IDIV_SEL"]
    assert "100 " == cells["pll"]["parameters"]["FCLKIN"]  # text, not the number 4
    assert "GW1NR-9C" == cells["pll"]["parameters"]["DEVICE"]
    assert lut == cells["lut"]


def test_netlist_without_a_pll_is_refused(tmp_path) -> None:
    source = tmp_path / "in.json"
    source.write_text(netlist_with({}))

    with pytest.raises(ValueError, match=r"a netlist must have one PLL, and in\.json has 0"):
        set_clock(source, None, tmp_path / "out.json")
