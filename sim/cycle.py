"""Cycle check: the RTL in Verilator through cocotb, every observable number on its cycle."""

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cocotb_tools.config
import numpy as np
from cocotb_tools.runner import get_runner

from ..gen.core.core import Core, core_timing, to_verilog
from ..gen.design.design import Design
from ..gen.layers.cycles import CoreTiming
from ..gen.technology import Technology, find_technology
from . import verilator
from .expect.expectation import Expectation, Probe, expect
from .mismatch import Mismatch
from .verilator import COMPILE_FLAGS, HURRY, Program, require_programs

TOP = "signfire_core"
# From so many cycles on a program that is compiled well has made up for the time that it takes.
WELL_COMPILED_CYCLES = 100_000


@dataclass(frozen=True, kw_only=True)
class CycleResult:
    """What the cycle check did and found.

    Parameters
    ----------
    samples, cycles
        How much was simulated.
    words
        Observations compared: words of streams, integrators, membranes, events, each on its cycle.
    seconds
        Spent simulating, without compiling.
    mismatches
        Empty where RTL, golden model and cycle model agree.
    waves
        The VCD file, if one was asked for.
    """

    samples: int
    cycles: int
    words: int
    seconds: float
    mismatches: tuple[Mismatch, ...]
    waves: Path | None = None

    @property
    def passed(self) -> bool:
        return not self.mismatches


def check_cycles(
    design: Design,
    raw: np.ndarray,
    directory: Path,
    *,
    technology: Technology | str = "ecp5",
    stalls: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
    waves: bool = False,
    shape: Design | None = None,
    under_test: Core | None = None,
    verilog: str | None = None,
    timing: CoreTiming | None = None,
    progress: Callable[[str], None] | None = None,
) -> CycleResult:
    """Simulate ``raw`` and compare every observable number in every cycle.

    Parameters
    ----------
    design
        Folded; golden model and cycle model read it.
    raw
        (samples, input size) integers p.
    directory
        For Verilog, the compiled simulator and its log.
    technology
        Device family whose RTL is made.
    stalls, seed
        Random pauses of source and sink, see :func:`signfire.sim.expect.expectation.expect`.
    waves
        Write a VCD file.
    shape
        Folded Design whose hardware holds ``design`` in its memories.
    under_test
        The hardware, if not made from ``design`` itself: so a fault can be planted.
    verilog
        The same as :func:`hardware` writes it, so that it is written once for several checks.
    timing
        What the cycle model is told, if not the timing of ``design``; likewise.
    progress
        Told what is being done.

    Raises
    ------
    ValueError
        If there is no sample, or a system program for the compilation is missing.
    RuntimeError
        If the simulator itself failed; its log is named.
    """
    if len(raw) == 0:
        raise ValueError("the cycle check needs at least one sample")
    require_programs()
    tell = progress or (lambda _: None)
    technology = find_technology(technology)
    directory = Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    tell("expectation")
    timing = timing or core_timing(shape or design, technology)
    expectation = expect(design, timing, technology, raw, shape=shape, stalls=stalls, seed=seed)
    tell("Verilog")
    source = directory / f"{TOP}.v"
    text = verilog or hardware(under_test or Core(design, technology, shape))
    if not source.exists() or source.read_text() != text:  # an unchanged file is not recompiled
        source.write_text(text)
    found, cycles, seconds = _simulate(expectation, source, directory, waves, tell)
    return CycleResult(
        samples=len(raw),
        cycles=cycles,
        words=sum(len(probe.words) for probe in expectation.probes),
        seconds=seconds,
        mismatches=tuple(
            mismatch
            for index, cycle, expected, got in found
            for mismatch in _explain(expectation.probes[index], cycle, expected, got)
        ),
        waves=directory / "dump.vcd" if waves else None,
    )


def hardware(core: Core) -> str:
    """Return the Verilog that a check simulates."""
    return to_verilog(core, TOP)


def _simulate(
    expectation: Expectation,
    source: Path,
    directory: Path,
    waves: bool,
    tell: Callable[[str], None],
) -> tuple[list, int, float]:
    """Compile and run; return the raw differences, the cycles and the seconds."""
    plan, result = directory / "bench.json", directory / "bench_result.json"
    result.unlink(missing_ok=True)
    plan.write_text(json.dumps(_to_json(expectation) | {"result": str(result)}))
    tell("compile")
    made_of = _program(source.read_text(), expectation, waves)
    if expectation.cycles < WELL_COMPILED_CYCLES:
        made_of = replace(made_of, optimisation=HURRY)
    program = verilator.compiled(made_of, directory)
    with tempfile.TemporaryDirectory(prefix="cycle-", dir=directory) as folder:
        (Path(folder) / TOP).symlink_to(program)
        tell("simulate")
        try:
            get_runner("verilator").test(
                hdl_toplevel=TOP,
                hdl_toplevel_lang="verilog",
                build_dir=folder,
                test_module="signfire.sim.bench",
                test_dir=directory,
                waves=waves,
                log_file=directory / "simulation.log",
                # The bench asserts nothing, so there is nothing that pytest should rewrite.
                extra_env={"SIGNFIRE_BENCH": str(plan), "COCOTB_REWRITE_ASSERTION_FILES": ""},
            )
        except (SystemExit, RuntimeError) as error:
            raise RuntimeError(
                f"the simulator did not run ({error}); see {directory}/simulation.log"
            ) from error
    if not result.exists():
        raise RuntimeError(f"the simulation ended early; see {directory}/simulation.log")
    answer = json.loads(result.read_text())
    return answer["found"], answer["cycles"], answer["seconds"]


def _program(verilog: str, expectation: Expectation, waves: bool) -> Program:
    """Return the simulator that cocotb drives.

    cocotb sees the ports of the core and the signals that are checked, and no other: what is not
    to be seen Verilator works out in fewer steps. Waves show every signal.
    """
    libraries = cocotb_tools.config.libs_dir
    main = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
    seen = "".join(
        f'public_flat_{way} -module "{module}" -var "{name}"\n'
        for module, name, way in _seen(verilog, expectation)
    )
    return Program(
        name="waves" if waves else "cycle",
        what="core",
        top=TOP,
        prefix="Vtop",
        verilog={"core.v": verilog}
        if waves
        else {"seen.vlt": f"`verilator_config\n{seen}", "core.v": verilog},
        harness={main.name: main.read_text()},
        flags=[*COMPILE_FLAGS, "--vpi", *(["--public-flat-rw", "--trace"] if waves else [])],
        link=[f"-Wl,-rpath,{libraries}", f"-L{libraries}", "-lcocotbvpi_verilator"],
        packages=["cocotb"],
    )


def _seen(verilog: str, expectation: Expectation) -> list[tuple[str, str, str]]:
    """Return (module, signal, rw or rd) of all that cocotb drives or reads."""
    ports = re.search(rf"^module {TOP}\(([^)]*)\);", verilog, re.M)
    assert ports is not None
    seen = {(TOP, port.strip()): "rw" for port in ports[1].split(",")}
    for probe in expectation.probes:
        for path in (*probe.valid, probe.value):
            *modules, name = path.split(".")
            seen.setdefault((".".join([TOP, *modules]), name), "rd")
    return [(*place, way) for place, way in seen.items()]


def _to_json(expectation: Expectation) -> dict:
    return {
        "probes": [
            {
                "valid": probe.valid,
                "value": probe.value,
                "words": {cycle: word.value for cycle, word in probe.words.items()},
            }
            for probe in expectation.probes
        ],
        "raw_words": expectation.raw_words,
        "gaps": expectation.gaps,
        "ready": expectation.ready,
        "cycles": expectation.cycles,
    }


def _explain(probe: Probe, cycle: int, expected: int | None, got: int | None) -> list[Mismatch]:
    """Name the neurons that differ; a word out of its cycle is one mismatch."""
    word = probe.words.get(cycle)
    place = {"layer": probe.layer, "cycle": cycle}
    if word is None or got is None or expected is None:
        return [
            Mismatch(
                what=probe.what,
                expected=expected,
                got=got,
                sample=word.sample if word else None,
                neuron=word.first if word else None,
                step=word.step if word else None,
                **place,
            )
        ]
    differing = expected ^ got
    lanes = range(-(-differing.bit_length() // probe.lane_bits))
    return [
        Mismatch(
            what=probe.what,
            expected=probe.lane(expected, lane),
            got=probe.lane(got, lane),
            sample=word.sample,
            neuron=word.first + lane * word.apart,
            step=word.step,
            **place,
        )
        for lane in lanes
        if probe.lane(differing, lane)
    ]
