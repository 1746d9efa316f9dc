"""Random networks through the whole flow, by seed: ``python -m signfire.tools.fuzz --help``.

A case is a torch network of :mod:`signfire.sim.specimens.networks`. It is converted; the golden
model answers in closed form and step by step; the Design is folded, and the generated Verilog runs
samples with pauses and a reset, every word on its cycle. A network that is refused with a sentence
is no failure; an error of another kind is. Every outcome is written to a log as it comes, so that a
run that was stopped goes on where it was, while the program is the same.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from ..boards.accelerator import technology_of
from ..boards.boards import find_board
from ..boards.budget import budget_of
from ..gen.convert.calibrate import calibrate
from ..gen.core.core import core_timing
from ..gen.core.estimate import estimate
from ..gen.core.plans import no_hardware
from ..gen.cost import Budget
from ..gen.design.design import Design
from ..gen.design.folding import Folding, divisors
from ..gen.fold.fold import auto_fold
from ..gen.front.export import import_network
from ..gen.layers.cycles import predict
from ..sim import golden, verilator
from ..sim.bulk import run_bulk
from ..sim.cache import BOUND, PLACE
from ..sim.specimens.networks import Drawn, draw, network

FOLDER = Path("build") / "fuzz"
PASSED, REFUSED, NO_HARDWARE = "passed", "refused", "no hardware"
DIFFERS, CRASHED = "differs", "crashed"
FAILURES = (DIFFERS, CRASHED)
TRACED = 3  # samples that are followed step by step
ATTEMPTS = 30  # random foldings that are tried before the serial one is taken
MOST_LANES = 256  # of a random folding
CACHE_MB = 300  # models of random networks hardly serve again


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a case.

    Parameters
    ----------
    kind
        :data:`PASSED`, :data:`REFUSED`, :data:`NO_HARDWARE`, or one of :data:`FAILURES`.
    stage
        Where it ended.
    text
        Why.
    seconds
        It took.
    """

    kind: str
    stage: str
    text: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return self.kind in FAILURES


class _Differs(Exception):
    """Two answers that must be equal are not."""


def check(case: Drawn) -> Outcome:
    """Put a case through the flow."""
    begun = time.monotonic()
    stage = ["network"]
    try:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            outcome = _through(case, Path(folder), stage.append)
    except _Differs as difference:
        outcome = Outcome(kind=DIFFERS, stage=stage[-1], text=str(difference))
    except ValueError as refusal:
        known = stage[-1] in ("convert", "fold")
        text = str(refusal) if known else traceback.format_exc()
        outcome = Outcome(kind=REFUSED if known else CRASHED, stage=stage[-1], text=text)
    except Exception:
        outcome = Outcome(kind=CRASHED, stage=stage[-1], text=traceback.format_exc())
    return replace(outcome, seconds=round(time.monotonic() - begun, 2))


def _through(case: Drawn, folder: Path, enter: Callable[[str], None]) -> Outcome:
    module, samples = network(case)
    enter("convert")
    imported = import_network(module, samples, f"fuzz{case.seed}")
    design = calibrate(imported, samples, case.converting())
    enter("golden")
    raw = design.raw_samples(samples[: case.samples])
    _compare_forms(design, raw)
    reason = no_hardware(design)
    if reason is not None:
        return Outcome(kind=NO_HARDWARE, stage="golden", text=reason)
    enter("fold")
    folded = _folded(case, design)
    enter("simulate")
    board = find_board(case.board)
    technology = technology_of(board)
    reset_at = None
    if case.reset is not None:
        last = predict(core_timing(folded, technology), len(raw)).layers[-1].taken[-1]
        reset_at = int(case.reset * last)
    result = run_bulk(
        folded,
        raw,
        folder,
        technology=technology,
        stalls=case.stalls,
        seed=case.seed,
        reset_at=reset_at,
    )
    if not result.passed:
        raise _Differs(f"{result.differing} of the RTL's numbers: {result.mismatches[0]}")
    return Outcome(kind=PASSED, stage="simulate", text=f"{result.words} words")


def _compare_forms(design: Design, raw: np.ndarray) -> None:
    """Compare the golden model's closed form with its steps, answers and events."""
    closed = golden.run(design, raw[:TRACED], count_events=True)
    for n, sample in enumerate(raw[:TRACED]):
        steps = golden.trace(design, sample)
        if not np.array_equal(closed.logits[n], steps.logits):
            raise _Differs(f"logits of sample {n}: {closed.logits[n]} and {steps.logits}")
        if closed.labels[n] != steps.label:
            raise _Differs(f"class of sample {n}: {closed.labels[n]} and {steps.label}")
        for name, counted in closed.events.items():
            seen = int(steps.populations[name].events.sum())
            if counted[n] != seen:
                raise _Differs(f"events of {name} in sample {n}: {counted[n]} and {seen}")


def _folded(case: Drawn, design: Design) -> Design:
    board = find_board(case.board)
    if case.fold == "auto":
        whole = budget_of(board)
        share = {f.name: getattr(whole, f.name) for f in fields(Budget)}
        numbers = {k: int(v * case.budget) for k, v in share.items() if type(v) is int}
        return auto_fold(design, technology_of(board), replace(whole, **numbers)).design
    if case.fold == "drawn":
        rng = np.random.default_rng([case.seed, 3])
        for _ in range(ATTEMPTS):
            try:
                folded = design.with_folding(_drawn_folding(design, rng))
                estimate(folded, technology_of(board), budget_of(board))  # plans every layer
                return folded
            except ValueError:
                continue
    return design.with_folding({p.name: Folding() for p in design.populations[1:]})


def _drawn_folding(design: Design, rng: np.random.Generator) -> dict[str, Folding]:
    """Draw a folding of every layer; most fit together only by chance."""

    def divisor(number: int, most: int) -> int:
        return int(rng.choice([d for d in divisors(number) if d <= most]))

    drawn = {}
    for population in design.populations[1:]:
        outputs = population.shape[0] if len(population.shape) > 1 else population.size
        sources = list(population.sources)
        fan_in = sources[0].map.weights.shape[1] if sources and rng.random() < 0.8 else 1
        pe = divisor(outputs, 8)
        simd = divisor(max(1, fan_in), MOST_LANES // pe)
        code = design[sources[0].source].code if sources else None
        unroll = divisor(code.steps, 8) if code is not None and rng.random() < 0.5 else 1
        drawn[population.name] = Folding(pe=pe, simd=simd, unroll=unroll)
    if rng.random() < 0.5:
        drawn["input"] = Folding(pe=divisor(design.input.size, 4))
    return drawn


# -- a smaller case that fails alike -----------------------------------------------------------


def smaller(case: Drawn) -> Iterator[Drawn]:
    """Yield cases that have a little less of something."""
    for n in range(len(case.blocks)):
        yield replace(case, blocks=case.blocks[:n] + case.blocks[n + 1 :])
    if case.reset is not None:
        yield replace(case, reset=None)
    if any(case.stalls):
        yield replace(case, stalls=(0.0, 0.0))
    if case.fold != "serial":
        yield replace(case, fold="serial")
    if case.samples > 1:
        yield replace(case, samples=case.samples // 2)
    if case.classes > 1:
        yield replace(case, classes=1)
    for name in case.options:
        yield replace(case, options={k: v for k, v in case.options.items() if k != name})


def shrink(case: Drawn, outcome: Outcome, tries: int = 40) -> Drawn:
    """Return a small case that fails in the same stage and in the same way."""
    shrunk = True
    while shrunk:
        shrunk = False
        for other in smaller(case):
            if tries == 0:
                return case
            tries -= 1
            found = check(other)
            if (found.kind, found.stage) == (outcome.kind, outcome.stage):
                case, shrunk = other, True
                break
    return case


# -- cases as text -----------------------------------------------------------------------------


def written(case: Drawn) -> str:
    """Return a case as one line of JSON."""
    return json.dumps(asdict(case), separators=(",", ":"))


def read(text: str) -> Drawn:
    """Return the case of a line of JSON."""
    record = json.loads(text)
    for name in ("shape", "blocks", "stalls"):
        record[name] = tuple(record[name])
    return Drawn(**record)


def command(case: Drawn) -> str:
    """Return the command that runs a case alone."""
    if case == draw(case.seed):
        return f"python -m signfire.tools.fuzz 1 --seed {case.seed}"
    return f"python -m signfire.tools.fuzz --case '{written(case)}'"


# -- a run ---------------------------------------------------------------------------------------


def program_digest() -> str:
    """Return the digest of all of signfire's own files."""
    root = Path(__file__).parents[1]
    digest = sha256()
    for folder in ("hdl", "gen", "sim", "boards", "tools"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".cpp", ".h", ".v"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _prepare() -> None:
    """Compile fast what runs for a moment, on one processor each."""
    torch.set_num_threads(1)
    verilator.OPTIMISATION.update(dict.fromkeys(verilator.OPTIMISATION, "-O0"))


def _work() -> None:
    """Prepare a process of the pool, which ends what it began when the run is stopped."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prepare()


def _of_seed(seed: int) -> tuple[Drawn, Outcome]:
    case = draw(seed)
    return case, check(case)


def run(
    seeds: Sequence[int], folder: Path, *, jobs: int, tell: Callable[[str], None]
) -> list[tuple[Drawn, Outcome]]:
    """Check the cases of ``seeds`` that the log does not hold yet; return those that failed.

    A run that is interrupted returns what it found so far.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault(PLACE, str((folder / "cache").absolute()))
    os.environ.setdefault(BOUND, str(CACHE_MB))
    log, digest = folder / "log.jsonl", program_digest()
    done = {case.seed: (case, outcome) for case, outcome in _logged(log, digest)}
    found = [done[seed] for seed in seeds if seed in done]
    left = [seed for seed in seeds if seed not in done]
    if found:
        tell(f"{len(found):,} of {len(seeds):,} cases were run before ({log})")
    begun = time.monotonic()
    pool = ProcessPoolExecutor(
        min(jobs, max(1, len(left))),
        mp_context=get_context("spawn"),
        initializer=_work,
        max_tasks_per_child=100,
    )
    try:
        with open(log, "a") as file:
            waiting: list[Future[tuple[Drawn, Outcome]]] = []
            waiting += (pool.submit(_of_seed, seed) for seed in left)
            for future in as_completed(waiting):
                case, outcome = future.result()
                found.append((case, outcome))
                line = {"program": digest, "case": asdict(case), "outcome": asdict(outcome)}
                file.write(json.dumps(line) + "\n")
                file.flush()
                rate = (time.monotonic() - begun) / max(1, len(found) - len(done))
                tell(_line(case, outcome, f"{len(found):,}/{len(seeds):,} {rate:.1f} s each"))
    except KeyboardInterrupt:
        tell(f"stopped after {len(found):,} of {len(seeds):,} cases; the same command goes on")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    tell(covered(found))
    return [(case, outcome) for case, outcome in found if outcome.failed]


def _logged(log: Path, digest: str) -> Iterator[tuple[Drawn, Outcome]]:
    """Yield what was found with the program as it is now; a line that was cut short is left out."""
    if not log.exists():
        return
    for line in log.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["program"] == digest:
            yield read(json.dumps(record["case"])), Outcome(**record["outcome"])


def _line(case: Drawn, outcome: Outcome, progress: str) -> str:
    words = f"{'x'.join(map(str, case.shape))} {','.join(case.blocks)} {case.fold}"
    options = " ".join(f"{k}={v}" for k, v in case.options.items())
    last = outcome.text.strip().splitlines()[-1:] if outcome.kind != PASSED else []
    why = f": {last[0][:160]}" if last else ""
    return f"[{progress}] seed {case.seed} {outcome.kind} ({words} {options}){why}"


def covered(found: Sequence[tuple[Drawn, Outcome]]) -> str:
    """Return how often everything was drawn, and how it ended."""
    kinds = Counter(outcome.kind for _, outcome in found)
    lines = [", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common()) or "no case"]
    drawn: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for case, outcome in found:
        what = {*case.blocks, f"fold {case.fold}", case.board}
        what |= {f"{k} {v}" for k, v in case.options.items()}
        what |= {"stalls"} if any(case.stalls) else set()
        what |= {"reset"} if case.reset is not None else set()
        drawn.update(what)
        passed.update(what if outcome.kind == PASSED else ())
    parts = [f"{what} {passed[what]}/{number}" for what, number in sorted(drawn.items())]
    return "\n".join([*lines, "passed of drawn: " + ", ".join(parts)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m signfire.tools.fuzz",
        description="Random networks through the whole flow, by seed.",
    )
    parser.add_argument("cases", nargs="?", type=int, default=20, help="how many (20)")
    parser.add_argument("--seed", type=int, default=1, help="of the first; the others follow (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"for the log ({FOLDER})")
    parser.add_argument("--case", help="run this one alone, as a failure printed it")
    parser.add_argument("--no-shrink", action="store_true", help="leave failures as they are")
    given = parser.parse_args(arguments)

    def tell(text: str) -> None:
        print(text, flush=True)

    if given.case is not None:
        _prepare()
        case = read(given.case)
        outcome = check(case)
        tell(f"{outcome.kind} in {outcome.stage}: {outcome.text}")
        return int(outcome.failed)
    seeds = range(given.seed, given.seed + given.cases)
    failures = run(seeds, given.folder, jobs=max(1, given.jobs), tell=tell)
    _prepare()
    for case, outcome in failures:
        tell(f"\nseed {case.seed} {outcome.kind} in {outcome.stage}: {outcome.text}")
        small = case if given.no_shrink else shrink(case, outcome)
        tell(f"repeat it: {command(case)}")
        if small != case:
            tell(f"smaller:   {command(small)}")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
