"""Link fuzz: hostile bytes into the RTL of the host link, every reply judged.

Random and mutated frames run through the link and a small core, compiled free-running; what comes
back is compared, byte by byte, with :mod:`.link_reference`. A run is given by its seed.
"""

import json
import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import sliplib
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..gen.core.core import Core, to_verilog
from ..gen.design.design import Design
from ..gen.design.linkformat import SampleFormat, identity_of
from ..hdl.link import Link
from ..hdl.protocol import VERSION
from ..hdl.storage import Rom
from . import verilator
from .link_reference import (
    END,
    ESC,
    ESC_END,
    ESC_ESC,
    IDENTITY,
    INFER,
    STATUS,
    Judge,
    Line,
    make_frame,
)
from .verilator import COMPILE_FLAGS, HURRY, Program

TOP = "signfire_link"
HARNESS = Path(__file__).with_name("link_fuzz_main.cpp")
FLAGS = [*COMPILE_FLAGS, "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert"]
TIMEOUT_CYCLES = 1 << 12  # of the watchdog: many times the core's latency
QUIET = 150  # cycles in which a link that has more to say says it
LIMIT = 16 * TIMEOUT_CYCLES  # without progress, then it has hung; the far end may be slow
MOST_SAMPLES = 64  # different ones in a run
MOST_FINDINGS = 8  # are explained; all are counted
# From so many frames on a program that is compiled well has made up for the time that it takes.
WELL_COMPILED_FRAMES = 2000
MOST_TRIES = 200  # to shorten one
ALWAYS, ALL = 256, (1 << 32) - 1
HANG = "the link hangs"
GOOD = "good"

# Operations and records of the harness, see there.
BYTE, GAP, PACE, SINK, HOLD_IN, HOLD_OUT, ALLOW, LOST, WAIT, ROUND = range(10)
RECEIVED, DROPPED, SENT, ANSWERED, RESET, BEGUN, HUNG, PULSED = range(8)
RECORD = np.dtype([("cycle", "<u8"), ("kind", "<u4"), ("value", "<u4")])


class Gate(wiring.Component):
    """Keeps the words of a stream back where ``hold``; a word that was offered stays offered.

    Members
    -------
    hold : In
    restart : In, what was offered is forgotten
    i, o : In and Out, streams
    """

    hold: Signal
    restart: Signal
    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape) -> None:
        super().__init__(
            {
                "hold": In(1),
                "restart": In(1),
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        offered, opened = Signal(), Signal()
        m.d.comb += [
            opened.eq(~self.hold | offered),
            self.o.valid.eq(self.i.valid & opened),
            self.o.payload.eq(self.i.payload),
            self.i.ready.eq(self.o.ready & opened),
        ]
        m.d.sync += offered.eq(self.o.valid & ~self.o.ready & ~self.restart)
        return m


class LinkBench(wiring.Component):
    """A link and its core, with gates between them that keep words back.

    Members
    -------
    rx, tx, lost : In, Out, In, of the link
    hold_in, hold_out : In, keep words from the core, or its results back
    core_reset, entered_last, answered, taken : Out, what the harness observes: the last word of a
        sample is taken by the core, a result is offered to the link, and taken
    """

    rx: stream.Interface
    tx: stream.Interface
    lost: Signal
    hold_in: Signal
    hold_out: Signal
    core_reset: Signal
    entered_last: Signal
    answered: Signal
    taken: Signal

    def __init__(self, design: Design, *, technology: str = "ecp5", link: type = Link) -> None:
        form = SampleFormat.of(design)
        self.core = core = Core(design, technology)
        logit = core.result_layout["logit"].width
        self.identity = identity_of(
            design, link_version=VERSION, lanes=core.lanes, logit_bits=logit, clock_hz=12e6
        )
        self.words = form.elements // core.lanes
        self.link = link(
            elements=form.elements,
            code_bits=form.code_bits,
            table=form.table,
            raw_shape=core.raw_shape,
            lanes=core.lanes,
            outputs=design.readout.size,
            result_layout=core.result_layout,
            identity=Rom(content=self.identity.to_bytes(), width=8),
            timeout_cycles=TIMEOUT_CYCLES,
        )
        super().__init__(
            {
                "rx": In(stream.Signature(8)),
                "tx": Out(stream.Signature(8)),
                "lost": In(1),
                "hold_in": In(1),
                "hold_out": In(1),
                "core_reset": Out(1),
                "entered_last": Out(1),
                "answered": Out(1),
                "taken": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.link = link = self.link
        m.submodules.core = core = ResetInserter(link.core_reset)(self.core)
        samples, results = self.core.samples, self.core.results
        m.submodules.entry = entry = Gate(samples.payload.shape())
        m.submodules.exit = leave = Gate(results.payload.shape())
        wiring.connect(m, wiring.flipped(self.rx), link.rx)
        wiring.connect(m, link.tx, wiring.flipped(self.tx))
        wiring.connect(m, link.samples, entry.i)
        wiring.connect(m, entry.o, core.samples)
        wiring.connect(m, core.results, leave.i)
        wiring.connect(m, leave.o, link.results)
        left = Signal(range(self.words), init=self.words - 1)
        entered = entry.o.valid & entry.o.ready
        with m.If(link.core_reset):
            m.d.sync += left.eq(self.words - 1)
        with m.Elif(entered):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += left.eq(self.words - 1)
        m.d.comb += [
            link.lost.eq(self.lost),
            entry.hold.eq(self.hold_in),
            leave.hold.eq(self.hold_out),
            entry.restart.eq(link.core_reset),
            leave.restart.eq(link.core_reset),
            self.core_reset.eq(link.core_reset),
            self.entered_last.eq(entered & (left == 0)),
            self.answered.eq(leave.o.valid),
            self.taken.eq(leave.o.valid & leave.o.ready),
        ]
        return m


# -- what is sent


@dataclass
class Round:
    """One round of the script: a hostile act, and then good frames.

    Parameters
    ----------
    kind
        What the act is.
    silent
        Whether the core is, see :meth:`.link_reference.Judge.round`.
    steps
        Pairs of operation and value.
    """

    kind: str
    silent: str = ""
    steps: list[tuple[int, int]] = field(default_factory=list)

    def send(self, raw: bytes, *, gaps: Callable[[], int] | None = None) -> None:
        for byte in raw:
            if gaps and (gap := gaps()):
                self.steps.append((GAP, gap))
            self.steps.append((BYTE, byte))

    def do(self, op: int, value: int = 0) -> None:
        self.steps.append((op, value))

    @property
    def raw(self) -> bytes:
        """The bytes that it sends."""
        return bytes(value for op, value in self.steps if op == BYTE)


def _enclose(body: bytes) -> bytes:
    """Return a frame as it goes over the line."""
    return sliplib.END + sliplib.encode(body) + sliplib.END


class Attacker:
    """Draws rounds, by seed.

    Parameters
    ----------
    bench
        Whose samples and results it speaks of.
    seed
        Of all that it draws.
    """

    def __init__(self, bench: LinkBench, seed: int) -> None:
        self.rng = random.Random(seed)
        self.form = SampleFormat.of(bench.core.design)
        self.outputs = bench.core.design.readout.size
        self.samples = [self.rng.randbytes(self.form.byte_count) for _ in range(MOST_SAMPLES)]
        self.sequence = 0
        self.kinds = {
            name.removeprefix("_act_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("_act_")
        }

    def round(self) -> Round:
        """Return the next round; a good INFER always ends it, and often a STATUS."""
        kind = self.rng.choice(list(self.kinds))
        made = Round(kind)
        made.do(SINK, self.rng.choice([ALWAYS, ALWAYS, ALWAYS, 128, 32]))
        self.kinds[kind](made)
        made.do(WAIT)
        for op, value in ((PACE, 0), (HOLD_IN, 0), (HOLD_OUT, 0), (ALLOW, ALL)):
            made.do(op, value)
        return made

    def closing(self) -> Round:
        """Return a round of good frames, which nothing before may have an effect on."""
        made = Round(GOOD)
        made.send(self._infer())
        if self.rng.random() < 0.5:
            made.do(WAIT)
            made.send(self._ask(STATUS))
        made.do(WAIT)
        return made

    # -- good frames

    def _next(self) -> int:
        if self.rng.random() < 0.9:  # else the sequence of the frame before again
            self.sequence = (self.sequence + 1) % 256
        return self.sequence

    def _body(self, command: int) -> bytes:
        payload = self.rng.choice(self.samples) if command == INFER else b""
        return make_frame(command, self._next(), payload)

    def _ask(self, command: int) -> bytes:
        return _enclose(self._body(command))

    def _infer(self) -> bytes:
        return self._ask(INFER)

    def _any(self) -> bytes:
        return self._ask(self.rng.choice([IDENTITY, STATUS, INFER, INFER, INFER]))

    # -- acts

    def _act_valid(self, made: Round) -> None:
        made.send(self._any())

    def _act_bit_flip(self, made: Round) -> None:
        raw = bytearray(self._any())
        for _ in range(self.rng.choice([1, 1, 1, 2, 5])):
            raw[self.rng.randrange(len(raw))] ^= 1 << self.rng.randrange(8)
        made.send(bytes(raw))

    def _act_checksum_flip(self, made: Round) -> None:
        body = bytearray(self._body(INFER))
        body[self.rng.randrange(4, len(body))] ^= 1 << self.rng.randrange(8)
        made.send(_enclose(bytes(body)))

    def _act_cut(self, made: Round) -> None:
        raw = self._any()
        made.send(raw[: self.rng.randrange(1, len(raw))])

    def _act_headless(self, made: Round) -> None:
        raw = self._any()
        made.send(raw[self.rng.randrange(1, len(raw)) :])

    def _act_missing_byte(self, made: Round) -> None:
        raw = bytearray(self._any())
        for _ in range(self.rng.randint(1, 3)):
            del raw[self.rng.randrange(len(raw))]
        made.send(bytes(raw))

    def _act_doubled_byte(self, made: Round) -> None:
        raw = bytearray(self._any())
        at = self.rng.randrange(len(raw))
        raw[at:at] = raw[at : at + 1] * self.rng.randint(1, 3)
        made.send(bytes(raw))

    def _act_reordered(self, made: Round) -> None:
        raw = bytearray(self._any())
        a, b = self.rng.randrange(len(raw)), self.rng.randrange(len(raw))
        raw[a], raw[b] = raw[b], raw[a]
        made.send(bytes(raw))

    def _act_merged(self, made: Round) -> None:
        made.send(self._any()[:-1] + self._any()[1:])

    def _act_wrong_length(self, made: Round) -> None:
        length = self.rng.choice(
            [0, 1, self.form.byte_count - 1, self.form.byte_count + 1, 255, 65535]
        )
        body = make_frame(
            self.rng.choice([INFER, STATUS]),
            self._next(),
            self.rng.choice(self.samples),
            length=length,
        )
        made.send(_enclose(body))

    def _act_other_payload(self, made: Round) -> None:
        size = self.rng.choice([0, 1, 2, self.form.byte_count - 1, self.form.byte_count + 1, 40])
        command = self.rng.choice([INFER, STATUS, IDENTITY])
        made.send(_enclose(make_frame(command, self._next(), self.rng.randbytes(size))))

    def _act_other_command(self, made: Round) -> None:
        payload = self.rng.choice([b"", self.rng.choice(self.samples)])
        made.send(_enclose(make_frame(self.rng.randrange(256), self._next(), payload)))

    def _act_oversized(self, made: Round) -> None:
        size = 66_000 if self.rng.random() < 0.002 else self.rng.randint(100, 400)
        payload = self.rng.choice([self.rng.randbytes(size), bytes(size)])
        body = self._body(INFER)
        made.send(
            self.rng.choice([_enclose(body + payload), _enclose(body[:8] + payload + body[8:])])
        )

    def _act_wrong_escape(self, made: Round) -> None:
        raw = bytearray(self._any())
        at = self.rng.randrange(1, len(raw))
        tail = self.rng.choice([[], [0x41], [ESC], [ESC, ESC_END], [ESC_END], [ESC_ESC], [0]])
        raw[at:at] = bytes([ESC, *tail])
        made.send(bytes(raw))

    def _act_ends(self, made: Round) -> None:
        made.send(bytes([END]) * self.rng.randint(1, 60))
        if self.rng.random() < 0.5:
            made.send(bytes([END]) * self.rng.randint(0, 3) + self._any())

    def _act_garbage(self, made: Round) -> None:
        made.send(self.rng.randbytes(self.rng.randint(1, 60)))

    def _act_framed_garbage(self, made: Round) -> None:
        special = [END, ESC, ESC_END, ESC_ESC, 0, 1, 2, 3, self.form.byte_count, 255]
        made.send(bytes(self.rng.choice(special) for _ in range(self.rng.randint(1, 40))))

    def _act_interleaved(self, made: Round) -> None:
        made.send(self._infer())
        for _ in range(self.rng.randint(1, 3)):
            made.send(self._ask(self.rng.choice([STATUS, STATUS, IDENTITY])))

    def _act_slow_core(self, made: Round) -> None:
        made.do(HOLD_IN, self.rng.choice([0, 64, 200]))
        made.do(HOLD_OUT, self.rng.choice([0, 200, 250]))
        made.send(self._infer())
        if self.rng.random() < 0.7:
            made.send(self._ask(STATUS))

    def _act_busy(self, made: Round) -> None:
        made.do(HOLD_OUT, self.rng.choice([0, 250]))
        made.send(self._infer())
        made.do(GAP, self.rng.choice([0, 0, 100, self.rng.randint(0, 600)]))
        made.send(self._infer())
        if self.rng.random() < 0.5:
            made.send(self._any())

    def _act_replay(self, made: Round) -> None:
        raw = self._infer()
        made.send(raw)
        if self.rng.random() < 0.5:
            made.do(WAIT)
        made.send(raw)

    def _act_line_gaps(self, made: Round) -> None:
        made.send(self._any(), gaps=lambda: self.rng.choice([0, 0, 10, 200]))

    def _act_long_gap(self, made: Round) -> None:
        raw = self._infer()
        at = self.rng.randrange(1, len(raw))
        made.send(raw[:at])
        made.do(GAP, 3 * TIMEOUT_CYCLES)
        made.send(raw[at:] if self.rng.random() < 0.5 else self._infer())

    def _act_lossy_line(self, made: Round) -> None:
        made.do(PACE, self.rng.choice([3, 6, 9, 10, 12]))
        made.send(self._infer() + (self._infer() if self.rng.random() < 0.5 else b""))
        made.do(GAP, 40)

    def _act_lost_byte(self, made: Round) -> None:
        raw = self._infer()
        at = self.rng.randrange(len(raw))
        made.send(raw[:at])
        made.do(LOST)
        made.send(raw[at + 1 :])

    def _act_deaf_core(self, made: Round) -> None:
        made.silent = "in"
        made.do(HOLD_IN, ALWAYS)
        body = bytearray(self._body(INFER))
        if self.rng.random() < 0.3:
            body[-1] ^= 1
        made.send(_enclose(bytes(body)))

    def _act_mute_core(self, made: Round) -> None:
        made.silent = "out"
        made.do(ALLOW, self.rng.choice([0, 0, self.rng.randrange(self.outputs)]))
        made.send(self._infer())
        if self.rng.random() < 0.5:
            made.send(self._ask(STATUS))
        if self.rng.random() < 0.3:
            made.send(self._infer())


# -- a run


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A round whose replies are not what they must be.

    Parameters
    ----------
    seed, round, frame
        Which it is: the run's seed, its number, and the number of frames before it.
    kind
        Of the round.
    what
        What is wrong.
    sent
        Bytes of this round, and, where these alone do not show it, of rounds before.
    """

    seed: int
    round: int
    frame: int
    kind: str
    what: str
    sent: bytes

    def __str__(self) -> str:
        return (
            f"seed {self.seed}, round {self.round} ({self.kind}), after {self.frame} frames: "
            f"{self.what}; sent {self.sent.hex(' ')}"
        )


@dataclass(frozen=True, kw_only=True)
class FuzzResult:
    """What a fuzz run did and found.

    Parameters
    ----------
    frames, rounds
        Sent; a frame that is empty does not count.
    kinds
        How many rounds of each kind.
    hangs, wrong, false_accepts
        Rounds in which the link stopped; rounds with a wrong reply; replies with a result that
        no good INFER asked for, or not this one.
    cycles, seconds, slowest_cycles
        Simulated; the longest time from the last byte of a round to its last reply's end.
    findings
        The first of the hangs and wrong rounds.
    """

    frames: int
    rounds: int
    kinds: dict[str, int]
    hangs: int
    wrong: int
    false_accepts: int
    cycles: int
    seconds: float
    slowest_cycles: int
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return self.hangs == self.wrong == self.false_accepts == 0


def fuzz_link(
    design: Design,
    directory: Path | str,
    *,
    frames: int,
    seed: int = 0,
    bench: LinkBench | None = None,
    progress: Callable[[str], None] | None = None,
) -> FuzzResult:
    """Send ``frames`` frames or a few more to the link of ``design``, and judge every reply.

    Parameters
    ----------
    design
        Folded.
    directory
        For the compiled model, which is kept and serves again while the Verilog is the same.
    frames, seed
        How many frames, good ones among them, and of what drawing.
    bench
        The hardware, if not made from ``design`` itself: so a fault can be planted.
    progress
        Told what is being done.

    Raises
    ------
    ValueError
        If no frame is asked for, or a system program is missing.
    RuntimeError
        If Verilator or the compiled model itself failed.
    """
    if frames < 1:
        raise ValueError(f"the fuzz needs at least one frame, not {frames}")
    tell = progress or (lambda _: None)
    bench = bench or LinkBench(design)
    tell("Verilog")
    text = to_verilog(bench, TOP)
    tell("compile")
    hurry = frames < WELL_COMPILED_FRAMES
    program = compiled(text, Path(directory), optimisation=HURRY if hurry else {})
    run = _Run(design, bench, program, seed)
    tell("draw")
    rounds = run.draw(frames)
    tell("simulate")
    outcome = run.play(rounds, tell)
    tell("judge")
    bad = run.judge(rounds, outcome)
    tell("minimise")
    findings = tuple(run.explain(rounds, *each) for each in bad[:MOST_FINDINGS])
    return FuzzResult(
        frames=outcome.numbers["frames"],
        rounds=len(rounds),
        kinds=dict(sorted(run.kinds.items())),
        hangs=sum(what == HANG for _, _, what in bad),
        wrong=sum(what != HANG for _, _, what in bad),
        false_accepts=run.false_accepts,
        cycles=outcome.numbers["cycles"],
        seconds=outcome.numbers["seconds"],
        slowest_cycles=outcome.numbers["slowest"],
        findings=findings,
    )


def compiled(
    verilog_text: str,
    directory: Path,
    *,
    optimisation: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Return the program that simulates the link, see :func:`signfire.sim.verilator.compiled`."""
    program = Program(
        name="link",
        what="link",
        top=TOP,
        prefix="Vlink",
        verilog={"link.v": verilog_text},
        harness={HARNESS.name: HARNESS.read_text()},
        flags=FLAGS,
        optimisation=optimisation,
    )
    return verilator.compiled(program, directory)


@dataclass
class _Outcome:
    """The log of a run, a slice for each round, and the harness's numbers."""

    log: np.ndarray
    starts: np.ndarray
    numbers: dict


class _Run:
    """Runs of one compiled link against one judge's rules."""

    def __init__(self, design: Design, bench: LinkBench, program: Path, seed: int) -> None:
        self.design, self.bench, self.program, self.seed = design, bench, program, seed
        self.attacker = Attacker(bench, seed)
        self.kinds: Counter[str] = Counter()
        self.false_accepts = 0

    def draw(self, frames: int) -> list[Round]:
        """Return rounds of at least so many frames, lost bytes apart."""
        rounds, line, count = [], Line(), 0
        while count < frames:
            for made in (self.attacker.round(), self.attacker.closing()):
                raw = made.raw
                count += len(line.take(raw, range(len(raw))))
                self.kinds[made.kind] += 1
                rounds.append(made)
        return rounds

    def play(self, rounds: Sequence[Round], tell: Callable[[str], None] | None = None) -> _Outcome:
        """Let the harness run the rounds."""
        steps = [s for n, made in enumerate(rounds) for s in [(ROUND, n), *made.steps]]
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=self.program.parent) as folder:
            script, log = Path(folder) / "script", Path(folder) / "log"
            np.array(steps, "<u4").tofile(script)
            options = {
                "script": script,
                "log": log,
                "seed": self.seed,
                "quiet": QUIET,
                "limit": LIMIT,
            }
            command = [str(self.program), *(f"{key}={value}" for key, value in options.items())]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None and process.stderr is not None
                said = ""
                for text in process.stderr:
                    if not text.strip().isdecimal():
                        said = text.strip()
                    elif tell:
                        tell(f"{int(text):,} of {len(rounds):,} rounds")
                answer = process.stdout.read()
            if process.returncode:
                raise RuntimeError(f"the simulation ended early: {said or process.returncode}")
            found = np.fromfile(log, RECORD)
        starts = np.flatnonzero(found["kind"] == BEGUN)
        return _Outcome(found, np.append(starts, len(found)), json.loads(answer))

    def judge(self, rounds: Sequence[Round], outcome: _Outcome) -> list[tuple[int, int, str]]:
        """Return (round, frames before it, what is wrong) of each round that is not right."""
        judge = self.make_judge()
        replies, bad = Line(), []
        for n, made in enumerate(rounds):
            part = outcome.log[outcome.starts[n] : outcome.starts[n + 1]]
            of = {kind: part[part["kind"] == kind] for kind in (RECEIVED, SENT, ANSWERED, PULSED)}
            frames = judge.line.take(*_bytes(of[RECEIVED]))
            came = replies.take(*_bytes(of[SENT]))
            before = judge.frames
            hung = part[part["kind"] == HUNG]
            if len(hung):
                bad.append((n, before, HANG))
                judge.restart(int(hung["cycle"][0]))
                replies = Line()
                continue
            wrong = judge.round(
                frames,
                came,
                latencies=of[ANSWERED][["cycle", "value"]].tolist(),
                pulses=of[PULSED]["cycle"].tolist(),
                silent=made.silent,
            )
            if wrong:
                bad.append((n, before, "; ".join(wrong)))
        self.false_accepts = judge.false_accepts
        return bad

    def make_judge(self) -> Judge:
        core = self.bench.core
        judge = Judge(
            design=self.design,
            identity=self.bench.identity.to_bytes(),
            design_hash=bytes.fromhex(self.design.hash),
            logit_bytes=-(-core.result_layout["logit"].width // 8),
        )
        judge.learn(self.attacker.samples)
        return judge

    def explain(self, rounds: Sequence[Round], number: int, frame: int, what: str) -> Finding:
        """Return a finding with the fewest bytes found that show it, from reset on."""
        accepts = self.false_accepts
        shown = self._shortest(rounds, number, what)
        self.false_accepts = accepts
        return Finding(
            seed=self.seed,
            round=number,
            frame=frame,
            kind=rounds[max(0, number - 1) if rounds[number].kind == GOOD else number].kind,
            what=what,
            sent=b"".join(made.raw for made in shown),
        )

    def _shortest(self, rounds: Sequence[Round], number: int, what: str) -> list[Round]:
        def fails(tried: list[Round]) -> bool:
            bad = self.judge(tried, self.play(tried))
            return any((w == HANG) == (what == HANG) for _, _, w in bad)

        size = 1
        while not fails(shown := list(rounds[max(0, number + 1 - size) : number + 1])):
            if size > number:
                return shown
            size *= 2
        tries = MOST_TRIES
        width = max(len(made.steps) for made in shown)
        while width >= 1:
            for made in [made for made in shown if not made.silent]:
                at = 0
                while at < len(made.steps) and tries:
                    kept, cut = made.steps, made.steps[at : at + width]
                    if any(op not in (BYTE, GAP) for op, _ in cut):
                        at += width
                        continue
                    made.steps = kept[:at] + kept[at + width :]
                    tries -= 1
                    if not fails(shown):
                        made.steps = kept
                        at += width
            width //= 2
        return shown


def _bytes(records: np.ndarray) -> tuple[bytes, list[int]]:
    return records["value"].astype(np.uint8).tobytes(), records["cycle"].tolist()
