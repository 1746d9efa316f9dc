"""Fault campaign: bits of the generated design are flipped, and which check first sees it counted.

A fault is one bit: of a number in the saved design, of a word in a ROM, of a constant in the
logic, of a wire (stuck or inverted for good), of a register or a word of RAM (flipped once). The
netlist of :mod:`signfire.sim.faults_netlist` holds all of them; it is compiled once, and every
fault is a run with another one switched on, at full speed and once more with stalls.

Two questions are asked of each fault, by different means:

*Is it harmful?* It is if it changes an event of any neuron, or a logit or class, on the sample
set. The faulty run's streams are compared with those of a run without a fault, word by word and
whatever the cycle; for numbers the golden model with the faulty number is asked too.

*Is it caught?* The checks compare with the golden model and the cycle model of the sound Design.
"""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..gen.core.core import Core, core_timing, to_verilog
from ..gen.design.design import Design
from ..gen.model.network import MAX
from ..gen.technology import Technology, find_technology
from .bulk import compiled
from .expect.expectation import expect
from .faults_netlist import Netlist, Plant
from .faults_numbers import Judge, corrupt, eta_fits, fits, load_refuses
from .faults_sample import WIRE_MODES, Fault, Sampler
from .faults_stimulus import Stimulus

HARNESS = Path(__file__).with_name("faults_main.cpp")
STALLS = (0.0, 0.3)  # share of cycles in which source and sink pause, by pass
CHECKS = ("static", "cycle", "bulk")  # in the order in which they are run
OBSERVERS = (*CHECKS, "class")  # and one that is no check of signfire: it reads the class alone


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a fault; all fields are JSON values.

    Parameters
    ----------
    id, kind, where, cycle
        The fault.
    events, answers
        Whether it changes an event of any neuron, a logit or a class on the sample set.
    golden
        Whether the golden model with the faulty number says that it changes any of these; ``None``
        where there is no such number.
    caught
        By observer, after how many samples it saw something; absent where it saw nothing. Samples
        of the run with stalls come after those at full speed.
    hang
        Answers stopped coming.
    evidence
        What the first check saw.
    """

    id: int
    kind: str
    where: str
    cycle: int | None
    events: bool
    answers: bool
    golden: bool | None
    caught: Mapping[str, int]
    hang: bool
    evidence: str

    @property
    def harmful(self) -> bool:
        """Whether any judge says that an event, a logit or a class changes."""
        return self.events or self.answers or bool(self.golden)

    def first(self, checks: Sequence[str] = CHECKS) -> str | None:
        """Return the check that catches it first; ``None`` where none does."""
        return next((check for check in checks if check in self.caught), None)

    def escapes(self, checks: Sequence[str] = CHECKS) -> bool:
        """Whether it is harmful and none of ``checks`` catches it."""
        return self.harmful and self.first(checks) is None


@dataclass(frozen=True, kw_only=True)
class CampaignResult:
    """What a campaign found.

    Parameters
    ----------
    samples, seed
        Of the run.
    outcomes
        By id.
    """

    samples: int
    seed: int
    outcomes: tuple[Outcome, ...]

    def escapes(self, checks: Sequence[str] = CHECKS) -> tuple[Outcome, ...]:
        """Return the harmful faults that none of ``checks`` catches."""
        return tuple(outcome for outcome in self.outcomes if outcome.escapes(checks))

    @property
    def passed(self) -> bool:
        return not self.escapes()


def run_faults(
    design: Design,
    raw: np.ndarray,
    directory: Path | str,
    *,
    technology: Technology | str = "ecp5",
    count: int = 200,
    seed: int = 0,
    only: int | None = None,
    fresh: bool = False,
    progress: Callable[[str], None] | None = None,
) -> CampaignResult:
    """Plant ``count`` faults, one at a time, and see which check first catches each.

    Networks may fork and join: whatever the RTL builds of ReLU neurons and maxima has its sites.

    Parameters
    ----------
    design
        Folded.
    raw
        (samples, input size) integers p: the sample set.
    directory
        For the compiled model and the outcomes, which are written as they come: a campaign that
        was interrupted goes on where it stopped, and a larger one adds to a smaller.
    technology
        Device family whose RTL is made.
    count, seed
        How many faults, and which. Kinds take turns; within a kind every site is as likely.
    only
        Run this fault alone, and anew.
    fresh
        Use no outcome that was kept.
    progress
        Told what is being done.

    Raises
    ------
    ValueError
        If there is no sample or no fault, or a system program for the compilation is missing.
    RuntimeError
        If the hardware without a fault does not pass the checks, or a tool failed.
    """
    raw = np.asarray(raw)
    if len(raw) == 0:
        raise ValueError("a fault campaign needs at least one sample")
    if design.dynamics != "signgd":
        raise ValueError(
            f"fault campaigns know the dynamics signgd alone, and {design.name!r} has "
            f"{design.dynamics}"
        )
    for population in design.populations[1:-1]:
        if population.function not in ("relu", MAX) or population.limit is not None:
            raise ValueError(
                f"fault campaigns know layers of ReLU and maxima alone, and {population.name!r} is "
                f"{population.function}" + (" with a limit" if population.limit is not None else "")
            )
    if count < 1:
        raise ValueError(f"a campaign needs at least 1 fault, not {count}")
    if only is not None and not 0 <= only < count:
        raise ValueError(f"there is no fault {only} among {count}: they are 0 to {count - 1}")
    campaign = Campaign(
        design, raw.reshape(len(raw), -1), Path(directory), find_technology(technology), seed
    )
    tell = progress or (lambda _: None)
    tell("netlist")
    faults = campaign.sampler.faults(count)
    if only is not None:
        (outcome,) = campaign.run(faults, [faults[only]], tell)
        return CampaignResult(samples=len(raw), seed=seed, outcomes=(outcome,))
    kept = {} if fresh else campaign.kept()
    left = [fault for fault in faults if fault.id not in kept]
    if fresh:
        campaign.record.unlink(missing_ok=True)
    for outcome in campaign.run(faults, left, tell) if left else ():
        campaign.keep(outcome)
        kept[outcome.id] = outcome
        tell(f"{sum(i < count for i in kept):,} of {count:,} faults")
    return CampaignResult(
        samples=len(raw), seed=seed, outcomes=tuple(kept[fault.id] for fault in faults)
    )


class Campaign:
    """The sites of one Design on one technology, and the runs over one sample set."""

    def __init__(
        self,
        design: Design,
        raw: np.ndarray,
        directory: Path,
        technology: Technology,
        seed: int,
    ) -> None:
        self.design, self.raw, self.seed = design, raw, seed
        self.directory, self.technology = directory, technology
        core = Core(design, technology)
        self.verilog = to_verilog(core)
        self.netlist = Netlist(self.verilog, directory)
        timing = core_timing(design, technology)
        self.passes = []
        for share in STALLS:
            expected = expect(design, timing, technology, raw, stalls=(share, share), seed=seed)
            self.passes.append(Stimulus(design, expected, share))
        self.sampler = Sampler(core, self.netlist, seed=seed, cycles=int(self.passes[0].ends[-1]))
        self.record = directory / f"faults-{self._key()}.jsonl"

    def _key(self) -> str:
        """Digest of all that an outcome depends on, but for the number of faults."""
        sources = [Path(__file__), HARNESS, *Path(__file__).parent.glob("faults_*.py")]
        made_of = [self.verilog, self.design.hash, str(self.seed), str(STALLS)]
        made_of += [path.read_text() for path in sorted(sources)]
        digest = hashlib.sha256("\0".join(made_of).encode())
        digest.update(np.ascontiguousarray(self.raw, np.int64).tobytes())
        return digest.hexdigest()[:16]

    # -- running -------------------------------------------------------------------------------

    def run(
        self, faults: Sequence[Fault], chosen: Sequence[Fault], tell: Callable[[str], None]
    ) -> Iterator[Outcome]:
        """Yield the outcomes of ``chosen``; the model holds all of ``faults``."""
        in_file = [fault for fault in chosen if fault.kind == "file"]
        built = [fault for fault in chosen if fault.kind != "file"]
        with tempfile.TemporaryDirectory(prefix="file-", dir=self.directory) as folder:
            sound = Path(folder) / "sound.npz"
            if in_file:
                self.design.save(sound)
            for fault in in_file:
                yield self._in_file(fault, sound)
        if built:
            tell("compile")
            yield from self._in_model(faults, built)

    def _in_file(self, fault: Fault, sound: Path) -> Outcome:
        assert fault.number is not None
        damaged = sound.with_name("damaged.npz")
        corrupt(sound, damaged, fault.number, fault.bit)
        reason = load_refuses(damaged)
        value = fault.number.read(self.design) ^ 1 << fault.bit
        try:
            events, answers = self.judge.changes(fault.number.put(self.design, value))
        except ValueError:
            events = answers = True  # no Design is like that: nothing could answer at all
        return Outcome(
            id=fault.id,
            kind=fault.kind,
            where=fault.where,
            cycle=None,
            events=events,
            answers=answers,
            golden=events or answers,
            caught={} if reason is None else {"static": 0},
            hang=False,
            evidence=reason.replace(str(damaged), "the file") if reason else "",
        )

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.design, self.raw)

    def _golden(self, fault: Fault) -> bool | None:
        """Ask the golden model whether a fault in a number is harmful; ``None``: it cannot say."""
        assert fault.site is not None
        rom = self.sampler.rom_fault(fault.kind, fault.site)
        if rom is None:
            return None
        try:
            faulty = rom.applied(self.design)
        except ValueError:
            return None  # a number that no Design may hold
        if faulty is None:
            return None
        if fault.kind == "eta":
            within, layers = eta_fits(self.design, rom), [rom.number.layer]
        else:
            plan = next(p for p in self.sampler.core.plans if p.name == rom.number.layer)
            within, layers = fits(plan, faulty), None
        return any(self.judge.changes(faulty, layers)) if within else None

    def _in_model(self, faults: Sequence[Fault], chosen: Sequence[Fault]) -> Iterator[Outcome]:
        plants, switch = [], {}
        for fault in faults:
            if fault.site is not None and fault.site.port:
                switch[fault.id] = len(plants)
                mode = fault.kind if fault.kind in WIRE_MODES else "inverted"
                plants.append(Plant(site=fault.site, mode=mode))
        observed, places = self._observed()
        model = compiled(
            self.netlist.instrumented(plants, observed),
            self.directory,
            harness=HARNESS,
            headers={"memories.h": "".join(f"MEMORY({m.index})\n" for m in self.netlist.memories)},
        )
        lines = [self._line(fault, switch.get(fault.id, -1)) for fault in chosen]
        with tempfile.TemporaryDirectory(prefix="run-", dir=self.directory) as folder:
            answers = self._simulate(model, Path(folder).resolve(), lines, places)
            sound = next(answers)
            if any(seen[what] for seen in sound["passes"] for what in ("cycle", "bulk", "class")):
                raise RuntimeError(
                    "the hardware without a fault does not pass the checks, so no fault can be "
                    "told from it (run signfire simulate)"
                )
            for fault, answer in zip(chosen, answers, strict=True):
                yield self._outcome(fault, answer["passes"])

    def _observed(self) -> tuple[list[int | str], list[tuple[list[int], int, int]]]:
        """Return the bits to observe, and for each probe valid bits, offset and width in them."""
        bits: list[int | str] = []
        places = []
        for probe in self.passes[0].expectation.probes:
            valid = []
            for name in probe.valid:
                valid.append(len(bits))
                bits += self.netlist.bits_of(name)
            word = self.netlist.bits_of(probe.value)
            places.append((valid, len(bits), len(word)))
            bits += word
        return bits, places

    def _line(self, fault: Fault, switch: int) -> str:
        site = fault.site
        assert site is not None
        memory = -1
        if not site.port:
            memory = next(m.index for m in self.netlist.memories if m.name == site.cell)
        first = -1 if fault.cycle is None else fault.cycle
        last = -1 if fault.cycle is None else fault.cycle
        return f"{fault.id} {switch} {memory} {site.address} {site.bit} {first} {last}\n"

    def _simulate(
        self,
        model: Path,
        folder: Path,
        lines: Sequence[str],
        places: Sequence[tuple[list[int], int, int]],
    ) -> Iterator[dict[str, Any]]:
        """Run the model; yield what it says of no fault, then of each line."""
        folders = []
        for k, each in enumerate(self.passes):
            folders.append(folder / f"pass{k}")
            folders[-1].mkdir()
            each.write(folders[-1], places)
        (folder / "faults").write_text("".join(lines))
        command = [
            str(model),
            f"stimuli={','.join(map(str, folders))}",
            f"faults={folder / 'faults'}",
            f"patience={max(each.patience for each in self.passes)}",
        ]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            try:
                for line in process.stdout:
                    yield json.loads(line)
            finally:
                if process.poll() is None:
                    process.terminate()
            said = process.stderr.read().strip()
        if process.returncode:
            raise RuntimeError(f"the simulation ended early: {said or process.returncode}")

    def _outcome(self, fault: Fault, seen: Sequence[Mapping[str, Any]]) -> Outcome:
        """Put together what the observers of both passes saw."""
        caught: dict[str, int] = {}
        evidence = ""
        for observer in OBSERVERS:
            for k, each in enumerate(seen):
                if each.get(observer) is None:
                    continue
                cycle = each[observer][0]
                samples = self.passes[k].samples_until(cycle)
                caught[observer] = k * len(self.raw) + samples
                if not evidence:
                    evidence = self.passes[k].explain(observer, *each[observer])
                break
        return Outcome(
            id=fault.id,
            kind=fault.kind,
            where=fault.where,
            cycle=fault.cycle,
            events=any(each["event"] for each in seen),
            answers=any(each["answer"] for each in seen),
            golden=self._golden(fault),
            caught=caught,
            hang=any(each["hang"] for each in seen),
            evidence=evidence,
        )

    # -- outcomes on disk ----------------------------------------------------------------------

    def keep(self, outcome: Outcome) -> None:
        """Append an outcome to the record."""
        with open(self.record, "a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")

    def kept(self) -> dict[int, Outcome]:
        """Return the outcomes of earlier runs; a line that was cut short is left out."""
        found = {}
        if self.record.exists():
            for line in self.record.read_text().splitlines():
                try:
                    outcome = Outcome(**json.loads(line))
                except (ValueError, TypeError):
                    continue
                found[outcome.id] = outcome
        return found
