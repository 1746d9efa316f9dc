"""nextpnr: its command line, its report, and what its failures mean."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .boards import Board
from .devices import ECP5, GOWIN, ICE40

GOWIN_TIMING_NOTE = (
    "nextpnr's timing for Gowin parts is not to be believed: it passes designs that real parts "
    "fail, so try a lower --frequency if the board misbehaves"
)
# Families whose layout, as ``--write`` leaves it, nextpnr takes again as it is, routed, and times.
# With ECP5 pins at a constant level are lost on the way.
READS_LAYOUTS = (ICE40,)
# What a user knows the cells of an over-full device as.
_CELL_NAMES = {
    "ICESTORM_LC": "logic cells",
    "ICESTORM_RAM": "block RAMs",
    "ICESTORM_DSP": "multipliers",
    "TRELLIS_COMB": "look-up tables",
    "TRELLIS_FF": "flip-flops",
    "DP16KD": "block RAMs",
    "MULT18X18D": "multipliers",
    "LUT4": "look-up tables",
    "DFF": "flip-flops",
    "BSRAM": "block RAMs",
}


class BuildError(ValueError):
    """A design that cannot be built for a board as it is; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Cells of one type: how many the design takes, and how many there are."""

    used: int
    available: int


@dataclass(frozen=True, kw_only=True)
class CriticalPath:
    """The slowest path between registers of one clock.

    Parameters
    ----------
    start, end
        Cells at the two ends, as the netlist names them.
    delay_ns, logic_ns, routing_ns
        The whole, and its shares in cells (clock-to-output and setup included) and in wires.
    cells
        Number of cells passed.
    """

    start: str
    end: str
    delay_ns: float
    logic_ns: float
    routing_ns: float
    cells: int


@dataclass(frozen=True, kw_only=True)
class PnrReport:
    """What nextpnr says of one run.

    Parameters
    ----------
    fmax_hz
        Clock net to the frequency it could run at.
    utilisation
        Cell type to its use, of the types the device has.
    critical_paths
        Clock net to its slowest path.
    falling_outputs_ns
        Clock net with registers on its falling edge, to the slowest way from one of them to a
        pad; None where nextpnr does not tell, as for Gowin.
    """

    fmax_hz: dict[str, float]
    utilisation: dict[str, Usage]
    critical_paths: dict[str, CriticalPath]
    falling_outputs_ns: dict[str, float | None]


def plain_net(name: str) -> str:
    """Return a net's name without what nextpnr adds when it makes the net global."""
    return name.removeprefix("$glbnet$").removesuffix("$glb_clk")


def read_report(path: Path) -> PnrReport:
    """Read the file that ``--report`` wrote."""
    data = json.loads(path.read_text())
    critical, falling = {}, {}
    for entry in data["critical_paths"]:
        edge, _, net = entry["from"].partition(" ")
        if edge == "negedge":
            falling.setdefault(plain_net(net), None)
            if entry["to"] == "<async>":
                falling[plain_net(net)] = sum(hop["delay"] for hop in entry["path"])
        if edge == "posedge" and entry["from"] == entry["to"]:
            critical[plain_net(net)] = _critical_path(entry["path"])
    return PnrReport(
        fmax_hz={plain_net(n): clock["achieved"] * 1e6 for n, clock in data["fmax"].items()},
        utilisation={
            cell: Usage(used=use["used"], available=use["available"])
            for cell, use in data["utilization"].items()
            if use["available"]
        },
        critical_paths=critical,
        falling_outputs_ns=falling,
    )


def _critical_path(hops: Sequence[dict]) -> CriticalPath:
    routing = sum(hop["delay"] for hop in hops if hop["type"] == "routing")
    total = sum(hop["delay"] for hop in hops)
    return CriticalPath(
        start=hops[0]["from"]["cell"],
        end=hops[-1]["to"]["cell"],
        delay_ns=total,
        logic_ns=total - routing,
        routing_ns=routing,
        cells=sum(hop["type"] == "logic" for hop in hops),
    )


def synthesis_options(board: Board) -> str:
    """Return the options of yosys's ``synth_*`` for a board."""
    if board.family != ICE40:
        return ""
    part = board.open_device.name
    kind = "u" if "UP" in part else "lp" if "LP" in part else "hx"
    multipliers = "-dsp " if board.open_device.multipliers else ""
    return f"{multipliers}-abc9 -device {kind}"


def command(
    template: Sequence[str], board: Board, *, netlist: str, output: str, seed: int, clock_hz: float
) -> list[str]:
    """Return the arguments of one run, made from those that amaranth planned.

    Parameters
    ----------
    template
        amaranth's command without the program's name.
    board
        Sets the dialect.
    netlist
        File to read.
    output
        Name of every file written, without its suffix; the report is ``output.report.json``.
    seed
        Of the placer.
    clock_hz
        What clocks have to meet that nextpnr does not derive from a PLL's dividers.
    """
    placed = {ICE40: "--asc", ECP5: "--textcfg", GOWIN: "--write"}[board.family]
    arguments = replace_option(template, "--json", netlist)
    arguments = replace_option(arguments, "--log", f"{output}.log")
    arguments = replace_option(arguments, placed, f"{output}.placed")
    if board.family == GOWIN:
        arguments = _himbaechel(arguments)
    return [
        *arguments,
        *("--report", f"{output}.report.json"),
        *("--seed", str(seed)),
        *("--freq", f"{clock_hz / 1e6:g}"),
        "--timing-allow-fail",
    ]


def replace_option(arguments: Sequence[str], option: str, value: str) -> list[str]:
    """Return the arguments with the value that follows ``option`` replaced."""
    place = arguments.index(option) + 1
    return [*arguments[:place], value, *arguments[place + 1 :]]


def _himbaechel(arguments: Sequence[str]) -> list[str]:
    """Turn ``--family X --cst Y`` of nextpnr-gowin into its successor's ``--vopt`` options."""
    renamed = list(arguments)
    for old in ("family", "cst"):
        place = renamed.index(f"--{old}")
        renamed[place : place + 2] = ["--vopt", f"{old}={renamed[place + 1]}"]
    return renamed


def failure(board: Board, log: str, output: str) -> BuildError:
    """Return what a failed run means for the user.

    Parameters
    ----------
    board
        What was built for.
    log
        Path of the log, as the user can open it.
    output
        Everything that nextpnr wrote.
    """
    way_out = "fold the design more (smaller pe or simd), or choose a larger board"
    for cell, used, available in re.findall(r"(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", output):
        if int(used) > int(available):
            name = _CELL_NAMES.get(cell, f"{cell} cells")
            return BuildError(
                f"the design does not fit {board.name}: it needs {used} {name}, and there are "
                f"{available} ({way_out})"
            )
    errors = re.findall(r"ERROR: (.+)", output)
    reason = errors[-1].strip().rstrip(".") if errors else "it gave no reason"
    if re.search(r"legal placement|no BELs remaining|place|rout", reason, re.IGNORECASE):
        return BuildError(
            f"the design could not be placed and routed on {board.name}: {reason} ({way_out}; "
            f"log: {log})"
        )
    return BuildError(f"nextpnr refused the design for {board.name}: {reason} (log: {log})")
