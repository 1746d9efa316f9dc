"""Benches of group A: from a trained perceptron to a checked bitstream."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..boards.accelerator import technology_of
from ..boards.boards import find_board
from ..boards.top import UART
from ..gen.convert.options import Options
from ..gen.core.estimate import estimate
from ..gen.cost import link_cost
from ..gen.design.folding import Folding
from ..gen.model.codes import Schedule
from ..sim import float_reference, golden
from ..sim.cycle import check_cycles
from ..sim.specimens.chains import random_design
from . import api, demo
from .measure import ROOT, SEEDS, Measurement, Routed, bench, example, open_data, rate, routed

TITLE = "From a trained perceptron to a checked bitstream"
PAPER_SAMPLES = 50  # images through the Verilog at each T; a sample takes 25,000 cycles at T = 64


def paper_options(steps: int) -> Options:
    """Return the paper's dynamics with 8-bit weights."""
    return Options(
        firing="overlapped",
        schedule=Schedule(kind="exponential", eta0=0.15, gamma=0.95),
        code="centred",
        steps=steps,
        weight_bits=8,
    )


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


@bench("A8", "golden model against a float64 step-by-step simulation at T = 64, 5,000 images")
def golden_speed() -> Iterator[Measurement]:
    """Images per second of both, best of three, in this process, one after the other."""
    data = open_data("mnist_test_open.npz")
    fast = api.convert(example(128))
    slow = api.convert(example(128), options=paper_options(64))
    raw = fast.design.raw_samples(data.x)
    codes = float_reference.codes_of(slow.design)
    integers = rate(lambda: golden.run(fast.design, raw), len(data), repeats=3)
    floats = rate(lambda: float_reference.run(slow.network, data.x, codes), len(data), repeats=1)
    yield Measurement(what="golden model", value=round(integers), unit="images/s")
    yield Measurement(what="step by step in float64", value=round(floats), unit="images/s")
    yield Measurement(what="ratio", value=round(integers / floats, 1), unit="times", target=">= 20")


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
        details={"seeds": {run.seed: run.fmax_hz for run in found.built.seeds}} | found.details,
    )
    yield Measurement(
        what="latency",
        value=round(found.latency / clock * 1e6, 2),
        unit="µs",
        target=f"<= {latency_us:g}",
        note=f"{found.latency:,} cycles at {clock / 1e6:.1f} MHz",
    )


def against_estimate(
    found: Routed, board: str, *, bound: float | None = None
) -> Iterator[Measurement]:
    """Yield how far the estimate of core and link lies from place and route.

    With a ``bound`` in percent that is a bar, and that block RAMs are exact another.
    """
    target = find_board(board)
    technology = technology_of(target)
    budget = api.budget_of(target)
    guess = estimate(found.design, technology, budget).resources + link_cost(technology, UART)
    cells = budget.used(guess)["LUTs"][0]
    used = found.built.utilisation[target.open_device.lut_cell].used
    error = round(100 * (cells / used - 1), 1)
    yield Measurement(
        what="estimate of LUTs against place and route" + (", either way" if bound else ""),
        value=error if bound is None else abs(error),
        unit="%",
        target="" if bound is None else f"<= {bound:g}",
        note=f"{cells:,} for {used:,}, link included",
    )
    blocks = found.built.utilisation[target.open_device.block_ram.cell].used
    yield Measurement(
        what="estimate of block RAMs less place and route",
        value=guess.block_ram - blocks,
        unit="",
        target="" if bound is None else "== 0",
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
