"""Bulk check: the generated Verilog runs freely through a whole data set.

Only the two streams of the core are looked at: every logit, class and end mark against the golden
model, and the cycle of each against the cycle model. What happens inside is the matter of
:mod:`signfire.sim.cycle`, which sees everything and is slower by orders of magnitude.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..gen.core.core import Core, core_timing, to_verilog
from ..gen.core.plans import plan_layers
from ..gen.design.design import Design
from ..gen.layers.cycles import CoreTiming, predict
from ..gen.technology import Technology, find_technology
from ..hdl.readout import result_layout
from . import golden, verilator
from .activity import busy_of
from .mismatch import Mismatch
from .verilator import COMPILE_FLAGS, HURRY, Program

TOP = "signfire_core"
HARNESS = Path(__file__).with_name("bulk_main.cpp")
FLAGS = [*COMPILE_FLAGS, "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert"]
MOST_MISMATCHES = 64  # of those that are told; all are counted
PATTERN_CYCLES = 4093  # the sink's random pauses repeat after so many cycles, a prime
BATCH = 256  # samples packed at a time
# From so many cycles on a program that is compiled well has made up for the time that it takes.
WELL_COMPILED_CYCLES = 500_000
REPORTS = 100  # lines of progress a run


@dataclass(frozen=True, kw_only=True)
class BulkResult:
    """What the bulk check did and found.

    Parameters
    ----------
    samples, words
        How much was compared; a word is a logit with its class, end mark and cycle.
    cycles, seconds
        Simulated, without compiling.
    differing
        Numbers that are not as expected.
    mismatches
        The first of them.
    labels
        (samples,) int64, the classes that the RTL gave; -1 where none came.
    """

    samples: int
    words: int
    cycles: int
    seconds: float
    differing: int
    mismatches: tuple[Mismatch, ...]
    labels: np.ndarray

    @property
    def passed(self) -> bool:
        return self.differing == 0

    @property
    def cycles_per_second(self) -> float:
        return self.cycles / self.seconds


@dataclass(frozen=True, kw_only=True)
class Words:
    """Results in order, those of a word lane after lane; one array entry a result, all int64.

    Members
    -------
    logit, label, last : what a word holds; ``label`` counts only where ``last`` is 1
    cycle : in which its word is taken
    """

    logit: np.ndarray
    label: np.ndarray
    last: np.ndarray
    cycle: np.ndarray


def run_bulk(
    design: Design,
    raw: np.ndarray,
    directory: Path | str,
    *,
    technology: Technology | str = "ecp5",
    stalls: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
    reset_at: int | None = None,
    shape: Design | None = None,
    verilog: str | None = None,
    timing: CoreTiming | None = None,
    progress: Callable[[str], None] | None = None,
) -> BulkResult:
    """Run all of ``raw`` back to back and compare every result word and its cycle.

    Parameters
    ----------
    design
        Folded; golden model and cycle model read it.
    raw
        (samples, input size) integers p.
    directory
        For the compiled model, which is kept and serves again while the Verilog is the same.
    technology
        Device family whose RTL is made.
    stalls, seed
        Probabilities, 0 up to 1, that the source pauses before a word and that the sink is not
        ready; the cycle model foresees the pauses.
    reset_at
        Reset the core in this cycle, and start over: what follows must be as if nothing had been.
    shape
        Folded Design whose hardware holds ``design`` in its memories.
    verilog
        The hardware, if not made from ``design`` itself: so a fault can be planted.
    timing
        What the cycle model is told, if not the timing of ``design``; likewise.
    progress
        Told what is being done.

    Raises
    ------
    ValueError
        If there is no sample, an option is out of its range, or a system program is missing.
    RuntimeError
        If Verilator or the compiled model itself failed.
    """
    raw = _checked(raw, stalls)
    tell = progress or (lambda _: None)
    technology = find_technology(technology)
    directory = Path(directory)
    tell("expectation")
    pauses = _Pauses(design, len(raw), stalls, seed)
    timing = timing or core_timing(shape or design, technology)
    _, plans = plan_layers(design, technology, shape)
    expected = expect(design, raw, timing, pauses, busy_of(design, plans, raw))
    if reset_at is not None and not 0 <= reset_at <= expected.cycle[-1]:
        raise ValueError(
            f"a reset must fall into the run, cycles 0 to {expected.cycle[-1]}, not {reset_at}"
        )
    tell("Verilog")
    text = verilog or to_verilog(Core(design, technology, shape), TOP)
    tell("compile")
    hurry = expected.cycle[-1] < WELL_COMPILED_CYCLES
    model = compiled(text, directory, optimisation=HURRY if hurry else {})
    with tempfile.TemporaryDirectory(prefix="run-", dir=directory) as folder:
        run = _Run(shape or design, technology, Path(folder), len(expected.cycle))
        run.write(raw, pauses)
        got, cycles, seconds = run.simulate(
            model,
            patience=_patience(expected.cycle),
            reset_at=reset_at,
            tell=lambda done: tell(f"{done:,} of {len(raw):,} samples"),
        )
    found = list(compare(design, expected, got, cycles))
    return BulkResult(
        samples=len(raw),
        words=len(expected.cycle),
        cycles=cycles,
        seconds=seconds,
        differing=len(found),
        mismatches=tuple(found[:MOST_MISMATCHES]),
        labels=_classes(got, len(raw), design.readout.size),
    )


def _checked(raw: np.ndarray, stalls: tuple[float, float]) -> np.ndarray:
    raw = np.asarray(raw)
    if len(raw) == 0:
        raise ValueError("the bulk check needs at least one sample")
    if not all(0 <= share < 1 for share in stalls):
        raise ValueError(f"stalls must lie in 0 up to 1, not {stalls[0]} and {stalls[1]}")
    return raw.reshape(len(raw), -1)


class _Pauses:
    """Pauses of both ends: ``gaps`` by raw word, ``ready`` by cycle, repeating; None for none."""

    def __init__(
        self, design: Design, samples: int, stalls: tuple[float, float], seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        self.gaps = self.ready = None
        if stalls[0]:
            lanes = design.input.folding.pe if design.input.folding else 1
            words = samples * design.input.size // lanes
            drawn = rng.geometric(1 - stalls[0], words) - 1
            self.gaps = np.minimum(drawn, np.iinfo(np.uint16).max).astype(np.uint16)
        if stalls[1]:
            self.ready = rng.random(PATTERN_CYCLES) >= stalls[1]
            self.ready[-1] = True  # the run ends whatever is drawn

    def is_ready(self, cycle: int) -> bool:
        return self.ready is None or bool(self.ready[cycle % PATTERN_CYCLES])


def expect(
    design: Design,
    raw: np.ndarray,
    timing: CoreTiming,
    pauses: _Pauses,
    busy: Mapping[str, np.ndarray],
) -> Words:
    """Lay golden model and cycle model over each other."""
    answer = golden.run(design, raw)
    outputs = design.readout.size
    prediction = predict(
        timing,
        len(raw),
        gaps=None if pauses.gaps is None else pauses.gaps.tolist(),
        ready=None if pauses.ready is None else pauses.is_ready,
        busy=busy,
    )
    last = np.arange(len(raw) * outputs) % outputs == outputs - 1
    taken = np.array(prediction.layers[-1].taken, np.int64)
    return Words(
        logit=answer.logits.reshape(-1),
        label=np.repeat(answer.labels, outputs),
        last=last.astype(np.int64),
        cycle=np.repeat(taken, timing.layers[-1].lanes),
    )


def _classes(got: Words, samples: int, outputs: int) -> np.ndarray:
    """Return the label of the last word of every sample, -1 where it never came."""
    labels = np.full(samples, -1, np.int64)
    came = got.label[outputs - 1 : samples * outputs : outputs]
    labels[: len(came)] = came
    return labels


def _patience(cycles: np.ndarray) -> int:
    """Cycles without a result after which the core must have hung; generous."""
    return 1000 + 4 * int(np.diff(cycles, prepend=0).max())


def compare(design: Design, expected: Words, got: Words, cycles: int) -> Iterator[Mismatch]:
    """Yield every difference in the order of the words.

    ``cycles`` is when the simulation ended, which is named where a word never came.
    """
    name, outputs = design.readout.name, design.readout.size
    common = min(len(expected.cycle), len(got.cycle))
    differs = {
        "logit": expected.logit[:common] != got.logit[:common],
        "last": expected.last[:common] != got.last[:common],
        "label": (expected.label[:common] != got.label[:common]) & (expected.last[:common] == 1),
        "cycle": expected.cycle[:common] != got.cycle[:common],
    }
    for k in np.flatnonzero(np.any(list(differs.values()), axis=0)):
        for what, where in differs.items():
            if where[k]:
                yield Mismatch(
                    layer=name,
                    what=what,
                    sample=int(k) // outputs,
                    neuron=None if what == "label" else int(k) % outputs,
                    cycle=int(got.cycle[k]),
                    expected=int(getattr(expected, what)[k]),
                    got=int(getattr(got, what)[k]),
                )
    for k in range(common, len(expected.cycle)):
        yield Mismatch(
            layer=name,
            what="logit",
            sample=k // outputs,
            neuron=k % outputs,
            cycle=cycles,
            expected=int(expected.logit[k]),
            got=None,
        )
    for k in range(common, len(got.cycle)):
        yield Mismatch(
            layer=name,
            what="logit",
            cycle=int(got.cycle[k]),
            expected=None,
            got=int(got.logit[k]),
        )


# -- the compiled model ------------------------------------------------------------------------


def compiled(
    verilog: str,
    directory: Path,
    *,
    harness: Path = HARNESS,
    headers: Mapping[str, str] = MappingProxyType({}),
    optimisation: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Return the program that simulates ``verilog``, see :func:`signfire.sim.verilator.compiled`.

    ``harness`` is the C++ that drives the model, and ``headers`` are the files that it includes;
    ``optimisation`` stands in place of the usual one.
    """
    program = Program(
        name=harness.stem.removesuffix("_main"),
        what="core",
        top=TOP,
        prefix="Vcore",
        verilog={"core.v": verilog},
        harness={harness.name: harness.read_text(), **headers},
        flags=FLAGS,
        optimisation=optimisation,
    )
    return verilator.compiled(program, directory)


class _Run:
    """One run of a compiled model, by files in a folder of its own."""

    def __init__(self, design: Design, technology: Technology, folder: Path, expected: int) -> None:
        self.entry, plans = plan_layers(design, technology)
        self.bits = design.input_format.bits
        self.outputs = plans[-1].population.size
        self.layout = result_layout(logit_width=plans[-1].x_width, outputs=self.outputs)
        self.lanes = plans[-1].lanes
        self.folder, self.expected = folder.resolve(), expected

    def write(self, raw: np.ndarray, pauses: _Pauses) -> None:
        """Write what goes in."""
        with open(self.folder / "samples", "wb") as file:
            for i in range(0, len(raw), BATCH):
                pack(raw[i : i + BATCH].reshape(-1, self.entry.lanes), self.bits).tofile(file)
        if pauses.gaps is not None:
            pauses.gaps.astype("<u2").tofile(self.folder / "gaps")
        if pauses.ready is not None:
            pauses.ready.astype(np.uint8).tofile(self.folder / "ready")

    def simulate(
        self, model: Path, *, patience: int, reset_at: int | None, tell: Callable[[int], None]
    ) -> tuple[Words, int, float]:
        """Return the words that came out, the cycles and the seconds."""
        path = {name: self.folder / name for name in ("samples", "gaps", "ready", "results")}
        options = {
            "samples": path["samples"],
            "gaps": path["gaps"] if path["gaps"].exists() else "",
            "ready": path["ready"] if path["ready"].exists() else "",
            "results": path["results"],
            "patience": patience,
            # A few too many are seen, endless ones cut.
            "limit": self.expected // self.lanes + MOST_MISMATCHES,
            "reset_at": -1 if reset_at is None else reset_at,
            "report_every": max(1, self.expected // self.lanes // REPORTS),
        }
        command = [str(model), *(f"{key}={value}" for key, value in options.items())]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            said = ""
            for line in process.stderr:
                if line.strip().isdecimal():
                    tell(int(line) * self.lanes // self.outputs)
                else:
                    said = line.strip()
            answer = process.stdout.read()
        if process.returncode:
            raise RuntimeError(f"the simulation ended early: {said or process.returncode}")
        numbers = json.loads(answer)
        words = unpack(path["results"], self.layout, numbers["results"], self.lanes)
        return words, numbers["cycles"], numbers["seconds"]


def pack(words: np.ndarray, bits: int) -> np.ndarray:
    """Lay the lanes of every word side by side, lane 0 lowest.

    (words, lanes) integers of ``bits`` bits, two's complement where negative, become
    (words, ceil(lanes·bits / 32)) uint32, least significant first.
    """
    laid = (words[..., None] >> np.arange(bits) & 1).astype(np.uint8).reshape(len(words), -1)
    laid = np.pad(laid, ((0, 0), (0, -laid.shape[1] % 32)))
    return np.packbits(laid, axis=1, bitorder="little").view("<u4")


def unpack(path: Path, layout, count: int, lanes: int = 1) -> Words:
    """Read ``count`` words of the result stream, of as many ``lanes`` of the read-out's layout."""
    size = layout.size * lanes
    record = np.dtype([("cycle", "<u8"), ("payload", "<u4", (-(-size // 32),))])
    found = np.fromfile(path, record, count)
    payload = np.ascontiguousarray(found["payload"]).view(np.uint8)
    laid = np.unpackbits(payload, axis=1, bitorder="little")[:, :size].astype(np.int64)
    laid = laid.reshape(-1, layout.size)
    logit, label, last = (_integers(laid, layout, name) for name in ("logit", "label", "last"))
    cycle = np.repeat(found["cycle"].astype(np.int64), lanes)
    return Words(logit=logit, label=label, last=last, cycle=cycle)


def _integers(laid: np.ndarray, layout, name: str) -> np.ndarray:
    """Return one field out of (words, bits); the logit alone is signed."""
    field = layout[name]
    weights = np.int64(1) << np.arange(field.width, dtype=np.int64)
    if name == "logit":
        weights[-1] = -weights[-1]
    return laid[:, field.offset : field.offset + field.width] @ weights
