"""Bars: what signfire promises, measured by named benches and recorded beside the targets.

``python -m signfire.tools.bench`` runs what is asked for, replaces its records in
``bench_results.json`` and rewrites the README's tables from the file.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..boards.accelerator import technology_of
from ..boards.boards import find_board
from ..boards.build import BuildResult
from ..boards.devices import ICE40
from ..gen.calibrate import Options
from ..gen.codes import Schedule
from ..gen.cycles import steady
from ..gen.design import Design, Folding
from ..gen.estimate import LINK_LUTS, estimate
from ..gen.rtl import core_timing
from ..gen.specimen import random_design
from ..sim import float_reference, golden
from ..sim.cycle import check_cycles
from . import api, demo
from .cli import cli
from .console import progress, run_program, to_json
from .report import write_text

TOOLS = Path(__file__).resolve().parent
ROOT = TOOLS.parent
RESULTS = TOOLS / "bench_results.json"
README = ROOT / "README.md"
BLOCKS = ("commands", "bars", "peers")  # of the README, between comments that name them
GROUPS = {"A": "From a trained perceptron to a checked bitstream"}
SEED = 1
SEEDS = (1, 2, 3, 4)  # of place and route
PAPER_SAMPLES = 50  # images through the Verilog at each T; a sample takes 25,000 cycles at T = 64


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One figure.

    Parameters
    ----------
    what
        What was measured, a few words.
    value, unit
        The figure.
    target
        ``>= 97.7``, ``<= 12`` or ``== 5000``; empty for a figure without a bar.
    note
        What belongs beside it in the table.
    details
        JSON values, for the record alone.
    """

    what: str
    value: float
    unit: str
    target: str = ""
    note: str = ""
    details: Mapping[str, Any] | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the value meets the target; ``None`` where there is none."""
        if not self.target:
            return None
        sign, number = self.target.split()
        bound = float(number)
        return {
            ">=": self.value >= bound,
            "<=": self.value <= bound,
            "==": self.value == bound,
        }[sign]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A named bench and the function that yields its measurements."""

    bar: str
    title: str
    run: Callable[[], Iterable[Measurement]]


BENCHES: dict[str, Bench] = {}


def bench(
    bar: str, title: str
) -> Callable[[Callable[[], Iterable[Measurement]]], Callable[[], Iterable[Measurement]]]:
    """Register a function as the bench of a bar."""

    def register(
        function: Callable[[], Iterable[Measurement]],
    ) -> Callable[[], Iterable[Measurement]]:
        BENCHES[bar] = Bench(bar=bar, title=title, run=function)
        return function

    return register


# -- models and data ---------------------------------------------------------------------------


def open_data(name: str) -> api.Dataset:
    """Read one of the test sets that lie beside the checkout in ``shared/data``."""
    path = ROOT.parent / "shared" / "data" / name
    if not path.is_file():
        raise ValueError(
            f"this bench needs {name}, which is not in the repository (put it into {path.parent})"
        )
    return api.load_data(path)


def example(hidden: int) -> api.Model:
    """Return the repository's 784-``hidden``-10 perceptron."""
    return api.Model(
        spec=f"{TOOLS / 'mnist_mlp.py'}:mlp{hidden}",
        weights=str(TOOLS / f"mnist_mlp{hidden}.pth"),
        calibrate=str(TOOLS / "mnist_calibrate.npz"),
    )


def paper_options(steps: int) -> Options:
    """Return the paper's dynamics with 8-bit weights."""
    return Options(
        firing="overlapped",
        schedule=Schedule(kind="exponential", eta0=0.15, gamma=0.95),
        code="centred",
        steps=steps,
        weight_bits=8,
    )


# -- A -----------------------------------------------------------------------------------------


@bench("A1", "MNIST 784-128-10, 4-bit weights, T = 4, 2-bit input, 5,000 images")
def accuracy() -> Iterator[Measurement]:
    """Golden accuracy against the float network's."""
    data = open_data("mnist_test_open.npz")
    result = api.convert(example(128), options=Options(steps=4, weight_bits=4, input_steps=2))
    exact = 100 * api.float_accuracy(result.network, data)
    integers = 100 * api.evaluate(result.design, data).accuracy
    yield Measurement(what="float accuracy", value=round(exact, 3), unit="%", target=">= 98")
    yield Measurement(what="golden accuracy", value=round(integers, 3), unit="%", target=">= 97.7")
    yield Measurement(
        what="lost against float", value=round(exact - integers, 3), unit="points", target="<= 0.4"
    )


@bench("A2", "the same design in Verilog, free-running, every image")
def bulk() -> Iterator[Measurement]:
    """Compare all logit vectors of the bulk RTL, at the folding for an ECP5-25F."""
    data = open_data("mnist_test_open.npz")
    design = api.folded(api.convert(example(128)).design, demo.LARGE.folding, "ulx3s-25f")
    run = api.simulate_bulk(design, data, ROOT / "build" / "bench" / "bulk")
    wrong = {m.sample for m in run.mismatches}
    yield Measurement(
        what="logit vectors equal to golden, with class and cycle",
        value=run.samples - (len(wrong) if run.passed or wrong else run.samples),
        unit="images",
        target=f"== {len(data)}",
        note=f"{run.cycles:,} cycles",
        details={"differing": run.differing, "design_hash": design.hash},
    )


@dataclass(frozen=True, kw_only=True)
class Routed:
    """A Design on a board, with its predicted cycles."""

    design: Design
    built: BuildResult
    latency: int
    interval: int


@bench("A8", "golden model against a float64 step-by-step simulation at T = 64, 5,000 images")
def golden_speed() -> Iterator[Measurement]:
    """Images per second of both, best of three, in this process, one after the other."""
    data = open_data("mnist_test_open.npz")
    fast = api.convert(example(128))
    slow = api.convert(example(128), options=paper_options(64))
    raw = fast.design.raw_samples(data.x)
    codes = float_reference.codes_of(slow.design)
    integers = _rate(lambda: golden.run(fast.design, raw), len(data), repeats=3)
    floats = _rate(lambda: float_reference.run(slow.network, data.x, codes), len(data), repeats=1)
    yield Measurement(what="golden model", value=round(integers), unit="images/s")
    yield Measurement(what="step by step in float64", value=round(floats), unit="images/s")
    yield Measurement(what="ratio", value=round(integers / floats, 1), unit="times", target=">= 20")


def _rate(work: Callable[[], object], items: int, *, repeats: int) -> float:
    """Return items a second, the best of ``repeats`` runs."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return items / min(seconds)


def routed(model: int, board: str, fold: Sequence[str], seeds: Sequence[int] = SEEDS) -> Routed:
    """Convert, fold and build an example for a board; what is not changed is not built again."""
    target = find_board(board)
    design = api.folded(api.convert(example(model)).design, fold, target)
    built = api.build(design, target, ROOT / "build" / "bench" / board, seeds=seeds)
    latency, interval = steady(core_timing(design, technology_of(target)))
    return Routed(design=design, built=built, latency=latency, interval=interval)


def speed(found: Routed, *, mhz: float, latency_us: float) -> Iterator[Measurement]:
    """Yield fmax by seed, and latency at the clock of the bitstream."""
    fmax = [run.fmax_hz / 1e6 for run in found.built.seeds]
    clock = found.built.clock_hz
    yield Measurement(
        what="fmax, best seed",
        value=round(max(fmax), 1),
        unit="MHz",
        target=f">= {mhz:g}",
        note=f"median {statistics.median(fmax):.1f} of seeds {len(fmax)}",
        details={
            "seeds": {run.seed: run.fmax_hz for run in found.built.seeds},
            "clock_hz": clock,
            "utilisation": {cell: vars(use) for cell, use in found.built.utilisation.items()},
            "folding": {p.name: vars(p.folding) for p in found.design.populations if p.folding},
            "design_hash": found.design.hash,
        },
    )
    yield Measurement(
        what="latency",
        value=round(found.latency / clock * 1e6, 2),
        unit="µs",
        target=f"<= {latency_us:g}",
        note=f"{found.latency:,} cycles at {clock / 1e6:.1f} MHz",
    )


def against_estimate(found: Routed, board: str) -> Iterator[Measurement]:
    """Yield how far the estimate of core and link lies from place and route."""
    target = find_board(board)
    guess = estimate(found.design, technology_of(target)).resources
    cells = guess.lut + (guess.lone_ff if target.family == ICE40 else 0) + LINK_LUTS
    used = found.built.utilisation[target.device.lut_cell].used
    yield Measurement(
        what="estimate of LUTs against place and route",
        value=round(100 * (cells / used - 1), 1),
        unit="%",
        note=f"{cells:,} for {used:,}, link included",
    )
    blocks = found.built.utilisation[target.device.block_ram.cell].used
    yield Measurement(
        what="estimate of block RAMs less place and route",
        value=guess.block_ram - blocks,
        unit="",
        note=f"{guess.block_ram} for {blocks}",
    )


@bench("A3", "MNIST 784-128-10 on an ECP5-25F (ULX3S), host link included")
def ecp5() -> Iterator[Measurement]:
    """Routed with four seeds at the demonstration's folding."""
    found = routed(128, "ulx3s-25f", demo.LARGE.folding)
    yield from speed(found, mhz=100, latency_us=12)
    yield Measurement(
        what="interval",
        value=round(found.interval / found.built.clock_hz * 1e6, 2),
        unit="µs",
        target="<= 8",
        note=f"{found.interval:,} cycles",
    )
    yield from against_estimate(found, "ulx3s-25f")


@bench("A4", "MNIST 784-32-10 on an iCE40UP5K (iCEBreaker), weights in block RAM alone")
def ice40() -> Iterator[Measurement]:
    """Accuracy of the golden model, then routed with four seeds."""
    data = open_data("mnist_test_open.npz")
    found = routed(32, "icebreaker", demo.SMALL.folding)
    golden_accuracy = 100 * api.evaluate(found.design, data).accuracy
    yield Measurement(
        what="golden accuracy", value=round(golden_accuracy, 3), unit="%", target=">= 95"
    )
    yield from speed(found, mhz=30, latency_us=40)
    yield from against_estimate(found, "icebreaker")


@bench("A5", "MNIST 784-32-10 on a Tang Nano 9K")
def gowin() -> Iterator[Measurement]:
    """Routed and packed; its timing is not to be believed."""
    found = routed(32, "tang-nano-9k", ("auto",), seeds=SEEDS[:1])
    packed = found.built.bitstream is not None and found.built.bitstream.stat().st_size
    yield Measurement(what="bitstream", value=packed or 0, unit="bytes", target=">= 1")
    yield Measurement(
        what="fmax",
        value=round(found.built.seeds[0].fmax_hz / 1e6, 1),
        unit="MHz",
        note="not to be believed: nextpnr's Gowin timing passes what real parts fail",
    )
    yield from against_estimate(found, "tang-nano-9k")


@bench("A6", "the paper's dynamics: overlapped, exponential (0.15, 0.95), centred")
def paper_mode() -> Iterator[Measurement]:
    """Accuracy of the golden model over T, and the Verilog equal to it."""
    data = open_data("mnist_test_open.npz")
    some = data.first(PAPER_SAMPLES)
    for steps in (16, 32, 64):
        design = api.convert(example(128), options=paper_options(steps)).design
        accuracy = 100 * api.evaluate(design, data).accuracy
        folding = {
            "input": Folding(pe=16),
            "fc1": Folding(pe=16, simd=16),
            "fc2": Folding(pe=2, simd=16),
        }
        run = api.simulate_bulk(
            design.with_folding(folding), some, ROOT / "build" / "bench" / f"paper{steps}"
        )
        yield Measurement(
            what=f"golden accuracy at T = {steps}, 5,000 images", value=round(accuracy, 2), unit="%"
        )
        yield Measurement(
            what=f"words of the Verilog unlike golden at T = {steps}",
            value=run.differing,
            unit="",
            target="== 0",
            note=f"{run.words:,} words of {run.samples} images",
        )


@bench("A9", "bulk run against the cycle check, cycles a second, 784-32-10")
def bulk_speed() -> Iterator[Measurement]:
    """Run both on the same Verilog, one after the other."""
    data = open_data("mnist_test_open.npz")
    design = api.folded(api.convert(example(32)).design, demo.SMALL.folding, "icebreaker")
    folder = ROOT / "build" / "bench" / "speed"
    every = api.simulate(design, data.first(4), folder / "cycle", technology="ice40-up")
    free = api.simulate_bulk(design, data.first(2000), folder / "bulk", technology="ice40-up")
    if not (every.passed and free.passed):
        raise ValueError("the two runs differ from the golden model: speed is no matter here")
    rates = every.cycles / every.seconds, free.cycles / free.seconds
    yield Measurement(what="cycle check", value=round(rates[0]), unit="cycles/s")
    yield Measurement(what="bulk run", value=round(rates[1]), unit="cycles/s")
    yield Measurement(
        what="ratio", value=round(rates[1] / rates[0], 1), unit="times", target=">= 10"
    )


@bench("A7", "cycle model over foldings, T and modes")
def cycle_model() -> Iterator[Measurement]:
    """Check random perceptrons of many foldings, with random stalls on both ends."""
    wrong, cases = [], list(sweep())
    for number, (settings, folding) in enumerate(cases):
        design = random_design(seed=number, sizes=(24, 12, 6), folding=folding, **settings)
        rng = np.random.default_rng(number)
        raw = rng.integers(0, 256, (3, 24))
        with tempfile.TemporaryDirectory() as folder:
            result = check_cycles(design, raw, Path(folder), stalls=(0.2, 0.2), seed=number)
        if not result.passed:
            wrong.append({"case": number, "first": str(result.mismatches[0])})
    yield Measurement(what="foldings checked", value=len(cases), unit="", target=">= 30")
    yield Measurement(
        what="predicted unlike measured",
        value=len(wrong),
        unit="",
        target="== 0",
        details={"wrong": wrong},
    )


def sweep() -> Iterator[tuple[dict[str, Any], dict[str, Folding]]]:
    """Yield settings of a specimen and its folding: both firing modes, several T and schedules."""
    settled = [
        ({"firing": "settled", "steps": t, "input_steps": t_in}, unroll)
        for t, t_in, unroll in ((4, 2, 1), (4, 2, 2), (3, 3, 3), (2, 1, 1))
    ]
    overlapped = [
        ({"firing": "overlapped", "steps": t, "schedule": kind}, 1)
        for t, kind in ((4, "binary"), (8, "exponential"))
    ]
    for settings, unroll in [*settled, *overlapped]:
        for pe, simd in ((1, 1), (2, 4), (3, 6), (4, 3), (6, 12), (12, 24)):
            following = Folding(pe=2, simd=max(1, pe // 2) if pe % 2 == 0 else pe)
            yield settings, {"fc1": Folding(pe=pe, simd=simd, unroll=unroll), "fc2": following}


# -- records -----------------------------------------------------------------------------------


def load_records(path: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the recorded measurements, none where there is no file yet."""
    return json.loads(path.read_text()) if path.exists() else []


def measure(chosen: Bench) -> list[dict[str, Any]]:
    """Run a bench and return its records."""
    found = api.versions()
    return [
        {
            "bar": chosen.bar,
            "what": f"{chosen.title}: {m.what}",
            "value": m.value,
            "unit": m.unit,
            "target": m.target,
            "holds": m.holds,
            "command": f"make bench BENCH={chosen.bar}",
            "seed": SEED,
            "versions": found,
            "note": m.note,
            "details": m.details or {},
        }
        for m in chosen.run()
    ]


def merge(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the old records with those of the new records' bars replaced, in order of bars."""
    measured = {record["bar"] for record in new}
    kept = [record for record in old if record["bar"] not in measured]
    return sorted([*kept, *new], key=lambda record: _order(record["bar"]))


def _order(bar: str) -> tuple[str, int]:
    return bar[0], int(bar[1:])


def choose(words: Sequence[str]) -> list[Bench]:
    """Return the benches that ``A3``, the group ``A`` or no word at all stand for."""
    if not words:
        return list(BENCHES.values())
    chosen: dict[str, Bench] = {}
    for word in words:
        found = {name: b for name, b in BENCHES.items() if word.upper() in (name, name[0])}
        if not found:
            raise ValueError(f"there is no bench {word!r}; there are {', '.join(BENCHES)}")
        chosen |= found
    return [chosen[name] for name in sorted(chosen, key=_order)]


# -- README ------------------------------------------------------------------------------------


def tables(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the README's tables, Markdown."""
    parts = []
    for group, title in GROUPS.items():
        rows = [r for r in records if r["bar"].startswith(group)]
        if not rows:
            continue
        parts.append(f"**{group}. {title}**\n")
        parts.append("| bar | what | measured | bar is | holds |\n|---|---|---|---|---|")
        for r, before in zip(rows, [None, *rows], strict=False):
            title, _, what = r["what"].rpartition(": ")
            if before is None or before["bar"] != r["bar"]:
                parts.append(f"| {r['bar']} | **{title}** | | | |")
            holds = {True: "yes", False: "**no**", None: ""}[r["holds"]]
            note = f" ({r['note']})" if r.get("note") else ""
            target = f"{r['target']} {r['unit']}" if r["target"] else ""
            parts.append(f"| | {what} | {r['value']:,} {r['unit']}{note} | {target} | {holds} |")
        parts.append("")
    return "\n".join(parts).strip() if parts else "Nothing was measured yet (`make bench`)."


# MNIST 784-128-10 on an ECP5-25F, speed grade 6, Yosys 0.70, nextpnr 0.11.1, seed 1: accuracy of
# 5,000 images, LUT / FF / block RAM / DSP, fmax, cycles, latency.
PEERS = (
    (
        "Spiker+ 2.0.3, T = 10, 6-bit weights",
        "96.4 %",
        "17,319 / 3,977 / 45 / 0",
        "47 MHz",
        "9,855",
        "209.5 µs",
    ),
    (
        "Spiker+ 2.0.3, T = 100, 4-bit weights",
        "90.7 % (first 2,000)",
        "16,659 / 3,565 / 31 / 0",
        "48 MHz",
        "92,565",
        "1,912 µs",
    ),
    (
        "nngen 1.3.4, int8, weights in external memory",
        "97.9 %",
        "13,757 / 13,685 / 10 / 24",
        "63 MHz",
        "35,506",
        "564 µs",
    ),
)


def peers_table(records: Sequence[Mapping[str, Any]]) -> str:
    """Return others' figures and, where A1 and A3 were measured, signfire's own, Markdown."""
    rows = list(PEERS)
    found = {(r["bar"], r["what"].rpartition(": ")[2]): r for r in records}
    try:
        accuracy = found["A1", "golden accuracy"]["value"]
        fmax, latency = found["A3", "fmax, best seed"], found["A3", "latency"]
    except KeyError:
        pass
    else:
        used = {cell: use["used"] for cell, use in fmax["details"]["utilisation"].items()}
        cells = ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D")
        rows.append(
            (
                "**signfire**, T = 4, 4-bit weights, host link included",
                f"{accuracy} %",
                " / ".join(f"{used.get(cell, 0):,}" for cell in cells),
                f"{fmax['value']:g} MHz",
                latency["note"].partition(" cycles")[0],
                f"{latency['value']:g} µs",
            )
        )
    head = "design | accuracy of 5,000 | LUT / FF / block RAM / DSP | fmax | cycles | latency"
    lines = [f"| {head} |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def command_table() -> str:
    """Return the commands of ``signfire`` with the first sentence of their help, Markdown."""
    rows = [
        f"| `signfire {name}` | {command.get_short_help_str(limit=200).removesuffix('.')} |"
        for name, command in cli.commands.items()
    ]
    return "\n".join(["| command | does |", "|---|---|", *rows])


def rewrite_readme(text: str, records: Sequence[Mapping[str, Any]]) -> str:
    """Return the README with its marked blocks made anew."""
    made = {
        "commands": command_table(),
        "bars": tables(records),
        "peers": peers_table(records),
    }
    for name in BLOCKS:
        begin, end = f"<!-- {name}: written by make readme -->", f"<!-- end of {name} -->"
        before, mark, rest = text.partition(begin)
        _, closing, after = rest.partition(end)
        if not mark or not closing:
            raise ValueError(f"README.md needs the lines {begin} and {end}")
        text = f"{before}{begin}\n\n{made[name]}\n\n{end}{after}"
    return text


@click.command()
@click.argument("names", nargs=-1)
@click.option("--readme", is_flag=True, help="Only rewrite the README's tables.")
@click.option("--list", "list_only", is_flag=True, help="Only list the benches.")
def program(names: tuple[str, ...], readme: bool, list_only: bool) -> int:
    """Measure bars (A3), groups of bars (A) or all of them, and record the figures."""
    if list_only:
        for name in sorted(BENCHES, key=_order):
            click.echo(f"{name}  {BENCHES[name].title}")
        return 0
    status = 0
    for chosen in [] if readme else choose(names):
        progress.print(f"[bold]{chosen.bar}[/]  {chosen.title}")
        new = measure(chosen)
        for record in new:
            verdict = {True: "holds", False: "DOES NOT HOLD", None: ""}[record["holds"]]
            bar = f"(bar {record['target']}) " if record["target"] else ""
            what = record["what"].removeprefix(f"{chosen.title}: ")
            click.echo(f"  {what}: {record['value']:,} {record['unit']} {bar}{verdict}")
            status = max(status, int(record["holds"] is False))
        merged = merge(load_records(), new)
        write_text(RESULTS, to_json(merged, indent=1) + "\n")
    write_text(README, rewrite_readme(README.read_text(), load_records()))
    return status


if __name__ == "__main__":
    sys.exit(run_program(program, "bench"))
