"""Benches of group G: the time to the class, as ``--fold auto`` gives it, on routed designs.

Each network is folded by the search in all ways of synapses. Its latency runs from the cycle in
which a sample's first word is taken to the one in which its class is valid. Where layers skip
silent words it depends on the sample: mean and worst are those of the named set, sample by sample
from the cycle model, which the bulk run compares with the Verilog. It is quoted at the clock of the
median seed of place and route.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..boards.accelerator import technology_of
from ..boards.boards import find_board
from ..boards.top import UART
from ..gen.core.core import core_timing
from ..gen.core.estimate import estimate
from ..gen.core.plans import plan_layers
from ..gen.core.spread import spread_of
from ..gen.cost import link_cost
from ..gen.design.design import Design
from ..gen.layers.cycles import steady
from ..gen.technology import find_technology
from ..sim import golden
from ..sim.activity import busy_of
from . import api, bench_conv, demo
from .measure import ROOT, SEEDS, Measurement, Rows, bench_of_rows, example, open_data

WORDS = ("auto", "*:synapse=any")
ECP5_HZ, UP5K_HZ = 40e6, 20e6  # asked of place and route; what it meets is more
ECP5_MHZ, LARGE_MHZ, UP5K_MHZ = 110, 95, 52  # bars of G7
LARGE_SHARE = 0.6  # of the LUTs of an ECP5-85F, from which on the lower bar holds
ESTIMATE = 8  # per cent, bar of G8
CYCLES = "cycles"  # the row of golden model and cycle model; the others are seeds


@dataclass(frozen=True, kw_only=True)
class Sought:
    """A network whose latency is sought on a board.

    Parameters
    ----------
    title
        Of the bench.
    board
        With the link to the host.
    design
        Makes the Design, not folded.
    data
        Reads the named set, with its classes.
    accuracy
        Least accuracy of the golden model in per cent, over the set.
    unit, scale
        Of times, and how many of it a second has.
    mean
        Bar of the mean latency, in ``unit``.
    worst, interval
        Bars of the slowest sample's latency and of the interval; ``None`` where there is none.
    before
        What commit 50c7eff took, folded by hand.
    """

    title: str
    board: str
    design: Callable[[], Design]
    data: Callable[[], api.Dataset]
    accuracy: float
    mean: float
    before: str
    unit: str = "µs"
    scale: float = 1e6
    worst: float | None = None
    interval: float | None = None

    @property
    def asked_hz(self) -> float:
        return UP5K_HZ if self.board == "icebreaker" else ECP5_HZ


def _example(model: int | str) -> Callable[[], Design]:
    source = example(model)
    return lambda: api.convert(source, options=demo.MODELS[source.name].options).design


def _third_party(make: Callable[[], bench_conv.Task]) -> Callable[[], Design]:
    return lambda: bench_conv.converted(make, steps=6, weight_bits=8)


def _digits() -> api.Dataset:
    return open_data("mnist_test_open.npz")


SOUGHT = {
    "G1": Sought(
        title="MNIST 784-128-10 on an ECP5-25F (ULX3S): the time to the class",
        board="ulx3s-25f",
        design=_example(128),
        data=_digits,
        accuracy=98.8,
        mean=1.6,
        worst=2.6,
        before="5.49",
    ),
    "G2": Sought(
        title="ResNet8, CIFAR-10, on an ECP5-85F (ULX3S): the time to the class",
        board="ulx3s-85f",
        design=_third_party(bench_conv.resnet8),
        data=lambda: bench_conv.resnet8().test,
        accuracy=87.5,
        mean=0.40,
        interval=0.25,
        before="1.81",
        unit="ms",
        scale=1e3,
    ),
    "G3": Sought(
        title="DSCNN, keyword spotting, on an ECP5-45F (ULX3S): the time to the class",
        board="ulx3s-45f",
        design=_third_party(bench_conv.keywords),
        data=lambda: bench_conv.keywords().test,
        accuracy=90.0,
        mean=0.16,
        before="0.687",
        unit="ms",
        scale=1e3,
    ),
    "G4": Sought(
        title="MNIST 784-32-10 on an iCE40UP5K (iCEBreaker): the time to the class",
        board="icebreaker",
        design=_example(32),
        data=_digits,
        accuracy=95,
        mean=7,
        before="16.2",
    ),
    "G5": Sought(
        title="small MNIST CNN on an iCE40UP5K (iCEBreaker): the time to the class",
        board="icebreaker",
        design=_example("cnn"),
        data=_digits,
        accuracy=98.7,
        mean=110,
        before="323",
    ),
}


@cache
def folded(bar: str) -> Design:
    """Return the Design of a bar as the search folds it for its board."""
    sought = SOUGHT[bar]
    return api.folded(sought.design(), WORDS, find_board(sought.board))


def counted(bar: str) -> dict[str, Any]:
    """Return what golden model and cycle model say of the whole set, and what is estimated."""
    sought, design = SOUGHT[bar], folded(bar)
    board = find_board(sought.board)
    technology = technology_of(board)
    data = sought.data()
    raw = design.raw_samples(data.x)
    right = golden.run(design, raw).labels == data.y
    timing = core_timing(design, technology)
    latency, interval = steady(timing)
    found = {"mean": latency, "worst": latency, "interval": interval, "bound": latency}
    busy = busy_of(design, plan_layers(design, find_technology(technology))[1], raw)
    if busy:
        spread = spread_of(timing, busy)
        found |= {
            "mean": spread.latency,
            "worst": spread.worst_latency,
            "interval": spread.interval,
        }
    budget = api.budget_of(board)
    guess = estimate(design, technology, budget).resources + link_cost(technology, UART)
    return found | {
        "accuracy": 100 * float(right.mean()),
        "samples": len(raw),
        "cells": budget.used(guess)["LUTs"][0],
        "block_ram": guess.block_ram,
        "design_hash": design.hash,
        "folding": {p.name: p.folding.record for p in design.populations if p.folding},
    }


def routed(bar: str, seed: int) -> dict[str, Any]:
    """Place and route the design with a seed, the link to the host included."""
    sought, design = SOUGHT[bar], folded(bar)
    board = find_board(sought.board)
    folder = ROOT / "build" / "bench" / f"latency-{bar}" / f"seed-{seed}"
    built = api.build(design, board, folder, seeds=(seed,), frequency=sought.asked_hz)
    device = board.open_device
    return {
        "fmax_hz": built.seeds[0].fmax_hz,
        "cells": built.utilisation[device.lut_cell].used,
        "block_ram": built.utilisation[device.block_ram.cell].used,
        "design_hash": design.hash,
    }


def row_of(bar: str) -> Callable[[str], dict[str, Any]]:
    """Return what measures a row of a bar."""

    def measure(name: str) -> dict[str, Any]:
        return counted(bar) if name == CYCLES else routed(bar, int(name.removeprefix("seed ")))

    return measure


def figures(bar: str, rows: Mapping[str, dict[str, Any]]) -> Iterator[Measurement]:
    """Yield a bar's figures from what was measured; times only where a seed was routed."""
    sought, words = SOUGHT[bar], rows.get(CYCLES)
    seeds = {name: row for name, row in rows.items() if name != CYCLES}
    if words is not None:
        yield Measurement(
            what="golden accuracy",
            value=round(words["accuracy"], 2),
            unit="%",
            target=f">= {sought.accuracy:g}",
            note=f"of {words['samples']:,}",
            details=words,
        )
    if words is None or not seeds:
        return
    fmax = [row["fmax_hz"] for row in seeds.values()]
    clock = statistics.median(fmax)
    unit, scale = sought.unit, sought.scale
    missing = f"; not routed: {len(SEEDS) - len(seeds)} of the seeds" if len(seeds) < 4 else ""
    yield Measurement(
        what="mean latency" if words["mean"] != words["worst"] else "latency",
        value=round(words["mean"] / clock * scale, 3),
        unit=unit,
        target=f"<= {sought.mean:g}",
        note=f"{words['mean']:,.0f} cycles at {clock / 1e6:.1f} MHz, the median; best seed "
        f"{max(fmax) / 1e6:.1f} MHz, {words['mean'] / max(fmax) * scale:.3g} {unit}; before "
        f"{sought.before} {unit}{missing}",
        details={name: row["fmax_hz"] for name, row in seeds.items()},
    )
    if sought.worst is not None:
        yield Measurement(
            what="latency of the slowest sample",
            value=round(words["worst"] / clock * scale, 3),
            unit=unit,
            target=f"<= {sought.worst:g}",
            note=f"{words['worst']:,} cycles; no sample takes more than {words['bound']:,}",
        )
    yield Measurement(
        what="interval",
        value=round(words["interval"] / clock * scale, 3),
        unit=unit,
        target="" if sought.interval is None else f"<= {sought.interval:g}",
        note=f"{words['interval']:,.0f} cycles",
    )
    yield from _against_tools(sought, words, next(iter(seeds.values())), clock)


def _against_tools(
    sought: Sought, words: Mapping[str, Any], place: Mapping[str, Any], clock: float
) -> Iterator[Measurement]:
    """Yield clock and estimate, which are bars of G7 and G8."""
    luts = find_board(sought.board).device
    assert luts is not None
    if sought.board == "icebreaker":
        least = UP5K_MHZ
    else:
        full = sought.board == "ulx3s-85f" and place["cells"] > LARGE_SHARE * luts.luts
        least = LARGE_MHZ if full else ECP5_MHZ
    yield Measurement(
        what="clock of the median seed (G7)",
        value=round(clock / 1e6, 1),
        unit="MHz",
        target=f">= {least}",
        note=f"{place['cells']:,} of {luts.luts:,} cells",
    )
    error = round(100 * (words["cells"] / place["cells"] - 1), 1)
    yield Measurement(
        what="estimate of LUTs against place and route, either way (G8)",
        value=abs(error),
        unit="%",
        target=f"<= {ESTIMATE}",
        note=f"{words['cells']:,} for {place['cells']:,}, link included",
    )
    yield Measurement(
        what="estimate of block RAMs less place and route (G8)",
        value=words["block_ram"] - place["block_ram"],
        unit="",
        target="== 0",
        note=f"{words['block_ram']} for {place['block_ram']}",
    )


def _register(bar: str) -> None:
    names = (CYCLES, *(f"seed {seed}" for seed in SEEDS))
    rows = Rows(names=names, measure=row_of(bar), sum_up=lambda found: figures(bar, found))
    bench_of_rows(bar, SOUGHT[bar].title, rows)


for _bar in SOUGHT:
    _register(_bar)


# -- every sample in Verilog -------------------------------------------------------------------


def in_verilog(bar: str) -> dict[str, Any]:
    """Run the whole set of a bar through the Verilog of its design."""
    sought, design = SOUGHT[bar], folded(bar)
    folder = ROOT / "build" / "bench" / f"bulk-{bar}"
    technology = technology_of(find_board(sought.board))
    found = api.simulate_bulk(design, sought.data(), folder, technology=technology)
    return {
        "equal": bench_conv.in_a_row(found),
        "samples": found.samples,
        "words": found.words,
        "cycles": found.cycles,
        "design_hash": design.hash,
    }


IN_VERILOG = {"G1": 5000, "G2": 592}  # images


def all_equal(rows: Mapping[str, dict[str, Any]]) -> Iterator[Measurement]:
    """Yield how many samples of each set are equal."""
    for bar, row in rows.items():
        yield Measurement(
            what=f"images in a row with every logit, class and cycle as predicted, {bar}",
            value=row["equal"],
            unit="images",
            target=f"== {IN_VERILOG[bar]}",
            note=f"of {row['samples']:,}; {row['words']:,} words, {row['cycles']:,} cycles",
            details=row,
        )


bench_of_rows(
    "G11",
    "every image of a set in the Verilog that --fold auto gives",
    Rows(names=tuple(IN_VERILOG), measure=in_verilog, sum_up=all_equal),
)
