"""Compiled simulators: made of all that they depend on, once, and in any folder."""

import re
import shutil
import subprocess
from dataclasses import replace
from uuid import uuid4

import pytest

from signfire.sim import verilator
from signfire.sim.cache import available, place
from signfire.sim.verilator import COMPILE_FLAGS, Program, compiled

MAIN = """
#include <iostream>
#include "Vtop.h"
#include "edges.h"
int main() {
    Vtop top;
    for (int k = 0; k < EDGES; ++k) top.clk = k & 1, top.eval();
    std::cout << int(top.n) << " " << FACTOR << std::endl;
}
"""


def stepping(step: int) -> str:
    """Return a counter, called something else every time."""
    return f"""// {uuid4()}
    module top(input clk, output reg [7:0] n);
    always @(posedge clk) n <= n + 8'd{step};
    endmodule
    """


@pytest.fixture
def counter():
    """Return a counter that is clocked three times, which the cache does not hold yet."""
    return Program(
        name="counter",
        what="counter",
        top="top",
        prefix="Vtop",
        verilog={"top.v": stepping(2)},
        harness={"counter_main.cpp": MAIN, "edges.h": "const int EDGES = 6;\n"},
        flags=[*COMPILE_FLAGS, "--x-initial", "0"],
        defines=["FACTOR 7"],
        optimisation=dict.fromkeys(verilator.OPTIMISATION, "-O0"),
    )


@pytest.fixture
def runs(monkeypatch):
    """Every command that is run to compile something."""
    commands, run = [], subprocess.run

    def counted(command, **options):
        commands.append([str(word) for word in command])
        return run(command, **options)

    monkeypatch.setattr(verilator.subprocess, "run", counted)
    return commands


def said(program) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout.strip()


def test_a_program_is_compiled_once_for_all_folders(counter, tmp_path, runs) -> None:
    first = compiled(counter, tmp_path / "first")
    assert runs
    runs.clear()

    second = compiled(replace(counter), tmp_path / "with a space" / "second")

    assert runs == []
    assert first != second
    assert said(first) == said(second) == "6 7"


def test_the_runtime_is_compiled_once_for_all_programs(counter, tmp_path, runs):
    compiled(counter, tmp_path)
    runs.clear()
    slower = replace(
        counter,
        verilog={"top.v": stepping(1)},
        flags=[*counter.flags, "--vpi", "--public-flat-rw", "--trace"],
    )

    assert said(compiled(slower, tmp_path)) == "3 7"
    words = [word for command in runs for word in command]
    assert any(word.endswith("runtime.o") for word in words)
    assert not any(word.endswith("verilated.cpp") for word in words)
    assert "c++-header" not in words


def test_the_macros_of_a_model_stand_in_its_own_files_alone(counter, tmp_path):
    says = MAIN.replace("FACTOR", "VM_TRACE << VM_TRACE_VCD << VM_TIMING")
    harness = {**counter.harness, "counter_main.cpp": says}
    traced = replace(counter, harness=harness, flags=[*counter.flags, "--trace"])

    assert said(compiled(replace(counter, harness=harness), tmp_path)) == "6 000"
    assert said(compiled(traced, tmp_path)) == "6 110"
    asked = set()  # by Verilator's own files
    for file in verilator._include().glob("*.[hc]*"):
        asked |= set(re.findall(r"\bVM_(?!SOLVER)\w+", file.read_text()))
    assert asked == {"VM_SC", "VM_TRACE"}


def test_all_that_a_program_is_made_of_is_in_its_key(counter, monkeypatch) -> None:
    others = [
        replace(counter, name="other"),
        replace(counter, top="other"),
        replace(counter, prefix="Vother"),
        replace(counter, verilog={"top.v": counter.verilog["top.v"] + " "}),
        replace(counter, verilog={**counter.verilog, "more.v": ""}),
        replace(counter, harness={**counter.harness, "counter_main.cpp": MAIN + " "}),
        replace(counter, harness={**counter.harness, "edges.h": "const int EDGES = 8;\n"}),
        replace(counter, flags=[*counter.flags, "-O3"]),
        replace(counter, flags=counter.flags[:-1], defines=[counter.flags[-1]]),
        replace(counter, defines=["FACTOR 8"]),
        replace(counter, link=["-lm"]),
        replace(counter, optimisation={"OPT_FAST": "-O1", "OPT_SLOW": "-O0"}),
        replace(counter, optimisation={}),
        replace(counter, packages=["numpy"]),
    ]
    keys = {program.key for program in others}
    for name, value in [("CXXFLAGS", "-g"), ("LDFLAGS", "-g"), ("CPATH", "/include")]:
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            keys.add(counter.key)
    for name, other in [
        ("version", lambda package: "0.1"),
        ("_compiler_version", lambda path: "g++ 0.1"),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(verilator, name, other)
            keys.add(counter.key)

    assert len(keys - {counter.key}) == len(others) + 5
    assert replace(counter, verilog=dict(counter.verilog)).key == counter.key


def test_a_changed_harness_flag_or_module_is_compiled_anew(counter, tmp_path) -> None:
    other = {
        "6 7": counter,
        "8 7": replace(counter, harness={**counter.harness, "edges.h": "const int EDGES = 8;\n"}),
        "6 9": replace(counter, defines=["FACTOR 9"]),
        "15 7": replace(counter, verilog={"top.v": stepping(5)}),
    }

    assert list(other) == [said(compiled(program, tmp_path)) for program in other.values()]


def test_a_program_that_was_cut_short_is_compiled_again(counter, tmp_path) -> None:
    compiled(counter, tmp_path)
    kept = place() / f"counter-{counter.key}" / "program"
    kept.write_bytes(kept.read_bytes()[:5000])

    assert said(compiled(counter, tmp_path)) == "6 7"


def test_without_a_cache_the_folder_keeps_the_program(counter, tmp_path, monkeypatch, runs) -> None:
    kept, _ = available()
    monkeypatch.setattr(verilator, "available", lambda: (kept, False))
    first = compiled(counter, tmp_path)
    shutil.rmtree(place() / f"counter-{counter.key}")
    runs.clear()

    assert compiled(counter, tmp_path) == first
    assert runs == []
    assert said(first) == "6 7"


def test_what_does_not_compile_names_the_log(counter, tmp_path) -> None:
    broken = replace(counter, harness={"counter_main.cpp": MAIN.replace("top.n", "top.m")})

    with pytest.raises(RuntimeError) as caught:
        compiled(broken, tmp_path)

    log = tmp_path / "counter.log"
    assert str(caught.value) == f"Verilator could not compile the counter; see {log}"
    assert "error" in log.read_text()


def test_a_large_model_is_compiled_in_parts(counter, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(verilator, "ONE_FILE_BYTES", 0)

    assert said(compiled(counter, tmp_path)) == "6 7"
    assert (tmp_path / "counter.log").read_text().count("-c OPT_FAST_") > 1


def test_what_is_compiled_alike_is_compiled_together(counter, tmp_path) -> None:
    assert counter.optimisation["OPT_FAST"] == counter.optimisation["OPT_SLOW"]

    assert said(compiled(counter, tmp_path)) == "6 7"
    assert (tmp_path / "counter.log").read_text().count(" -c OPT_") == 1
