"""Benches of group B: proved down to the chip, and spoken to."""

import resource
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..boards.accelerator import technology_of
from ..boards.boards import Board, find_board
from ..boards.top import BOTH
from ..gen.core.core import core_timing
from ..gen.design.design import Design
from ..gen.design.folding import Folding
from ..gen.layers.cycles import steady
from ..gen.model.network import Network, Projection
from ..sim.faults import run_faults
from ..sim.link_fuzz import GOOD, TIMEOUT_CYCLES, fuzz_link
from ..sim.specimens.chains import random_design
from . import api, board_sim, demo, fault_table, proof
from .link_speed import lines
from .measure import ROOT, SEED, TOOLS, Measurement, bench, example

TITLE = "Proved down to the chip, and spoken to"
CHIPS = ("icebreaker", "ulx3s-25f", "tang-nano-9k")  # one board of each family
SPI_CORE_MHZ = {"icebreaker": 30, "ulx3s-25f": 100}  # the core keeps its bars of A3 and A4
NETLIST_SAMPLES, BITSTREAM_SAMPLES = 10, 2
SIMULATED_SAMPLES, SIMULATED_HZ = 200, 39e6  # what the demonstration reaches on this board


def demo_design(board: Board) -> Design:
    """Return the demonstration's design for a board."""
    choice = demo.choose(board)
    hidden = int(choice.model.removeprefix("mlp"))
    return api.folded(api.convert(example(hidden)).design, choice.folding, board)


@bench("B1", "netlist check of the demonstration's design, through the serial pins")
def netlist() -> Iterator[Measurement]:
    """Synthesise for a board of each family, and compare every word of ten samples."""
    data = api.load_data(TOOLS / "mnist_example.npz").first(NETLIST_SAMPLES)
    for name in CHIPS:
        board = find_board(name)
        folder = ROOT / "build" / "bench" / f"netlist-{name}"
        found = proof.check_netlist(demo_design(board), data, board, folder)
        yield _samples_equal(found, len(data), f"of {len(data)} samples, {name}")


@bench("B2", "bitstream check of the demonstration's design: the packed file read back")
def bitstream() -> Iterator[Measurement]:
    """Build for a board of each family, and judge the packed file alone."""
    data = api.load_data(TOOLS / "mnist_example.npz").first(BITSTREAM_SAMPLES)
    for name in CHIPS:
        board, folder = find_board(name), ROOT / "build" / "bench" / f"bitstream-{name}"
        design = demo_design(board)
        built = api.build(design, board, folder, seeds=(SEED,))
        assert built.bitstream is not None
        found = proof.verify_bitstream(
            built.bitstream, board, design, data, folder / "readback", build=folder
        )
        if found.samples:
            yield _samples_equal(found, 1, f"of {len(data)} samples, {name}")
        else:
            yield _words_equal(found, name)


def _samples_equal(found: proof.ChipCheck, target: int, what: str) -> Measurement:
    assert found.clock_hz is not None
    wrong = {mismatch.sample for mismatch in found.mismatches}
    return Measurement(
        what=f"samples with logits, class and cycles equal, {what}",
        value=found.samples - len(wrong),
        unit="samples",
        target=f">= {target}",
        note=f"{found.words} words, core at {found.clock_hz / 1e6:.1f} MHz",
        details={"cells": found.cells, "clock_hz": found.clock_hz},
    )


@bench("B3", "simulated iCEBreaker with the demonstration's design, behind a pseudo-terminal")
def simulated_board() -> Iterator[Measurement]:
    """Let the host driver ask a simulated board, and count cycles by its processor time."""
    board, data = find_board("icebreaker"), api.load_data(TOOLS / "mnist_example.npz")
    data = data.first(SIMULATED_SAMPLES)
    design, folder = demo_design(board), ROOT / "build" / "bench" / "board-sim"
    simulated = board_sim.prepare(design, board, folder, frequency=SIMULATED_HZ)
    with simulated.powered() as port:
        before = port.state()
        found = api.infer(design, port.path, data)
        after = port.state()
    cycles = after.cycle - before.cycle
    left_out = (after.skipped_edges - before.skipped_edges) / (after.core_edges - before.core_edges)
    yield Measurement(
        what="samples with every logit equal to golden",
        value=found.equal,
        unit="samples",
        target=f"== {len(data)}",
        note=f"core at {float(simulated.model.core_hz) / 1e6:g} MHz",
    )
    yield Measurement(
        what="cycles of the board's 12 MHz clock a second of processor time, while it infers",
        value=round(cycles / (after.cpu_s - before.cpu_s)),
        unit="cycles/s",
        target=">= 2000000",
        note=f"{100 * left_out:.1f} % of the core's edges left out, since they change nothing",
        details={"cycles": cycles, "cpu_s": after.cpu_s - before.cpu_s, "wall_s": found.seconds},
    )


# Both with the smaller example, and a folding that leaves half an ECP5 free, for builds of minutes.
REWEIGHTED = {
    "icebreaker": demo.SMALL.folding,
    "ulx3s-25f": ("input:pe=16", "fc1:pe=8,simd=16", "fc2:pe=2,simd=8"),
}
PERTURBED = 0.1  # of a weight, its standard deviation: a stand-in for another training


@bench("B4", "other weights in a build of MNIST 784-32-10, without place-and-route")
def reweighted() -> Iterator[Measurement]:
    """Reweight, and compare file and CPU time with a full rebuild of the same shape and seed."""
    model = example(32)
    data = api.load_data(TOOLS / "mnist_example.npz")
    for name, folding in REWEIGHTED.items():
        board, folder = find_board(name), ROOT / "build" / "bench" / f"reweight-{name}"
        shape = api.folded(api.convert(model).design, folding, board)
        design = api.convert_network(_perturbed(model), model, like=shape)
        api.build(shape, board, folder / "original", seeds=(SEED,))
        shutil.rmtree(folder / "rebuilt", ignore_errors=True)
        times = [_cpu_seconds()]
        short = api.reweight(folder / "original", design, folder / "reweighted")
        times.append(_cpu_seconds())
        full = api.build(design, board, folder / "rebuilt", shape=shape, seeds=(SEED,))
        times.append(_cpu_seconds())
        assert full.bitstream is not None
        files = (short.bitstream, full.bitstream)
        a, b = (np.frombuffer(path.read_bytes(), np.uint8) for path in files)
        yield Measurement(
            what=f"bytes unlike a full rebuild, {name}",
            value=int((a != b).sum()) if len(a) == len(b) else max(len(a), len(b)),
            unit="bytes",
            target="== 0",
            note=f"of {len(b):,}; {short.changed:,} of {short.words:,} words are new",
            details={
                "golden_accuracy": {
                    "original": api.evaluate(shape, data).accuracy,
                    "reweighted": api.evaluate(design, data).accuracy,
                },
                "fmax_hz": full.fmax_hz,
                "utilisation": {cell: vars(use) for cell, use in full.utilisation.items()},
            },
        )
        seconds = [round(after - before, 2) for before, after in pairwise(times)]
        yield Measurement(
            what=f"CPU time by that of a full rebuild, {name}",
            value=round(seconds[0] / seconds[1], 4),
            unit="times",
            target="<= 0.1",
            note=f"{seconds[0]} s for {seconds[1]} s",
        )


def _perturbed(model: api.Model) -> Network:
    """Return the example's network with every weight a little off."""
    samples = api.load_data(model.calibrate, inputs=model.inputs, need_labels=False)
    network, rng = api.load_network(model, samples.x), np.random.default_rng(SEED)

    def off(projection: Projection) -> Projection:
        weights = projection.map.weights
        noise = rng.normal(1, PERTURBED, weights.shape)
        return replace(projection, map=projection.map.with_weights(weights * noise))

    return replace(
        network,
        populations=tuple(
            replace(
                p,
                operands=tuple(
                    replace(o, projections=tuple(off(q) for q in o.projections)) for o in p.operands
                ),
            )
            for p in network.populations
        ),
    )


def _cpu_seconds() -> float:
    """Return what this process and its finished children have used."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(r.ru_utime + r.ru_stime for r in used)


def fuzzed() -> dict[str, tuple[Design, int]]:
    """Return what the link is fuzzed with: small cores of every kind, and frames for each."""
    plain = random_design(seed=SEED, sizes=(24, 6, 5)).with_folding(
        {"input": Folding(pe=4), "fc1": Folding(pe=2, simd=4), "fc2": Folding(simd=2, unroll=2)}
    )
    overlapped = random_design(
        seed=SEED, sizes=(20, 4, 3), firing="overlapped", schedule="exponential", code="offset"
    ).with_folding({"input": Folding(pe=2), "fc1": Folding(pe=2, simd=2), "fc2": Folding()})
    signed = random_design(
        seed=SEED, sizes=(12, 7), input_range=(-128, 127), input_steps=8
    ).with_folding({"input": Folding(pe=3), "fc1": Folding(simd=3)})
    return {
        "settled firing": (plain, 60_000),
        "overlapped firing": (overlapped, 25_000),
        "signed samples": (signed, 25_000),
    }


@bench("B5", "link fuzz: hostile frames into the RTL, each reply judged by a model of its own")
def link_fuzz() -> Iterator[Measurement]:
    """Run random and mutated frames through the link of three cores."""
    runs = {
        name: fuzz_link(design, ROOT / "build" / "bench" / "fuzz", frames=frames, seed=SEED)
        for name, (design, frames) in fuzzed().items()
    }
    kinds: Counter[str] = Counter()
    for run in runs.values():
        kinds += Counter(run.kinds)
    acts = sum(kinds.values()) - kinds[GOOD]
    cycles = sum(run.cycles for run in runs.values())
    yield Measurement(
        what="frames, three cores",
        value=sum(run.frames for run in runs.values()),
        unit="frames",
        target=">= 100000",
        note=f"{acts:,} acts of {len(kinds) - 1} kinds, good frames behind each; "
        f"{cycles / 1e6:.0f} million cycles",
        details={"kinds": kinds, "frames": {name: run.frames for name, run in runs.items()}},
    )
    for what, name, unit in (
        ("acts and good frames at which the link hangs", "hangs", "hangs"),
        ("results that no good frame asked for", "false_accepts", "results"),
        ("acts and good frames with a reply that is not the one expected", "wrong", "rounds"),
    ):
        yield Measurement(
            what=what,
            value=sum(getattr(run, name) for run in runs.values()),
            unit=unit,
            target="== 0",
            details={"findings": [str(f) for run in runs.values() for f in run.findings]},
        )
    yield Measurement(
        what="longest wait for the end of a reply",
        value=max(run.slowest_cycles for run in runs.values()),
        unit="cycles",
        note=f"the watchdog's {TIMEOUT_CYCLES:,} cycles among them",
    )


def _words_equal(found: proof.ChipCheck, name: str) -> Measurement:
    return Measurement(
        what=f"words of its memories as the design's: weights, biases, factors, η, hash, {name}",
        value=found.words - len(found.mismatches),
        unit="words",
        target=f"== {found.words}",
        details={"cells": found.cells},
    )


SEEN_BY = {"cycle": "the cycle check", "bulk": "the bulk check", "class": "a look at the class"}


@bench("B6", "1,100 faults in the demo's design for an iCEBreaker, one bit each")
def faults() -> Iterator[Measurement]:
    """Plant faults of every kind, and count the harmful ones that no check catches."""
    board = find_board("icebreaker")
    design = api.folded(api.convert(example(32)).design, demo.SMALL.folding, board)
    data = api.load_data(TOOLS / "mnist_example.npz").first(fault_table.SAMPLES)
    result = run_faults(
        design,
        design.raw_samples(data.x),
        ROOT / "build" / "bench" / "faults",
        technology=technology_of(board),
        count=1100,
    )
    record = fault_table.summary(result)
    yield Measurement(
        what="faults planted",
        value=record["planted"],
        unit="faults",
        target=">= 200",
        note=f"{record['samples']} images, at full speed and with stalls",
        details={name: record[name] for name in ("rows", "seed", "latest")},
    )
    yield Measurement(
        what="harmful ones that escape every check",
        value=record["escapes"],
        unit="faults",
        target="== 0",
        note=f"{record['harmful']} are harmful",
        details={"escaped": record["escaped"]},
    )
    for name in fault_table.IN_HARDWARE:
        yield Measurement(
            what=f"harmful in the hardware, seen by {SEEN_BY[name]} alone",
            value=record["alone"][name],
            unit="faults",
            note=f"of {record['in_hardware']}",
        )


@bench("B7", "the demonstration's design behind UART and SPI at once")
def spi_link() -> Iterator[Measurement]:
    """Route it with both lines, and say what each lets through of what the core could do."""
    for name, mhz in SPI_CORE_MHZ.items():
        board = find_board(name)
        design, folder = demo_design(board), ROOT / "build" / "bench" / f"spi-{name}"
        built = api.build(design, board, folder, seeds=(SEED,), link=BOTH)
        assert built.fmax_hz is not None and built.spi is not None
        latency, interval = steady(core_timing(design, technology_of(board)))
        uart, spi = lines(design, board, built, {"latency": latency, "interval": interval})
        yield Measurement(
            what=f"fmax of the core, {name}",
            value=round(built.fmax_hz / 1e6, 1),
            unit="MHz",
            target=f">= {mhz}",
            note=f"{built.utilisation[board.open_device.lut_cell].used:,} cells, seed {SEED}",
            details={"clock_hz": built.clock_hz, "design_hash": design.hash},
        )
        yield Measurement(
            what=f"SCK that its registers could run at, {name}",
            value=round(built.spi.fmax_hz / 1e6, 1),
            unit="MHz",
            target=f">= {spi.bits_per_s / 1e6:.1f}",
            note=f"used: {spi.bits_per_s / 1e6:.1f} MHz, by {spi.rate_limit}",
            details=vars(built.spi),
        )
        for line in (uart, spi):
            yield Measurement(
                what=f"through {line.name.upper()}, {name}",
                value=round(line.throughput_per_s),
                unit="samples/s",
                note=line.verdict,
                details=line.record(),
            )
        yield Measurement(
            what=f"the core alone, {name}",
            value=round(built.clock_hz / interval),
            unit="samples/s",
            note=f"{interval:,} cycles a sample at {built.clock_hz / 1e6:.1f} MHz",
        )
        yield Measurement(
            what=f"samples/s of the core over those through SPI, {name}",
            value=round(spi.times_slower, 1),
            unit="times",
            target="<= 100",
            note=f"through UART {uart.times_slower:,.0f}",
        )
