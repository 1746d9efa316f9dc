"""Benches of group B: proved down to the chip, and spoken to."""

from collections import Counter
from collections.abc import Iterator

from ..boards.accelerator import technology_of
from ..boards.boards import Board, find_board
from ..gen.design import Design, Folding
from ..gen.specimen import random_design
from ..sim.faults import run_faults
from ..sim.link_fuzz import GOOD, TIMEOUT_CYCLES, fuzz_link
from . import api, demo, fault_table, proof
from .measure import ROOT, SEED, TOOLS, Measurement, bench, example

TITLE = "Proved down to the chip, and spoken to"
CHIPS = ("icebreaker", "ulx3s-25f", "tang-nano-9k")  # one board of each family
NETLIST_SAMPLES, BITSTREAM_SAMPLES = 10, 2


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
        found = proof.verify_bitstream(built.bitstream, board, design, data, folder / "readback")
        yield _samples_equal(found, 1, f"of {len(data)} samples, {name}")


def _samples_equal(found: proof.ChipCheck, target: int, what: str) -> Measurement:
    wrong = {mismatch.sample for mismatch in found.mismatches}
    return Measurement(
        what=f"samples with logits, class and cycles equal, {what}",
        value=found.samples - len(wrong),
        unit="samples",
        target=f">= {target}",
        note=f"{found.words} words, core at {found.clock_hz / 1e6:.1f} MHz",
        details={"cells": found.cells, "clock_hz": found.clock_hz},
    )


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
    # More than 2^16 good frames pass where counters of that width must wrap.
    return {
        "settled firing": (plain, 120_000),
        "overlapped firing": (overlapped, 50_000),
        "signed samples": (signed, 50_000),
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
    seconds = sum(run.seconds for run in runs.values())
    yield Measurement(
        what="frames, three cores",
        value=sum(run.frames for run in runs.values()),
        unit="frames",
        target=">= 100000",
        note=f"{acts:,} acts of {len(kinds) - 1} kinds, good frames behind each; "
        f"{cycles / 1e6:.0f} million cycles, {cycles / seconds / 1e6:.1f} million a second",
        details={"kinds": kinds, "frames": {name: run.frames for name, run in runs.items()}},
    )
    for what, name in (
        ("rounds in which the link hangs", "hangs"),
        ("results that no good frame asked for", "false_accepts"),
        ("rounds with a reply that is not the one expected", "wrong"),
    ):
        yield Measurement(
            what=what,
            value=sum(getattr(run, name) for run in runs.values()),
            unit="",
            target="== 0",
            details={"findings": [str(f) for run in runs.values() for f in run.findings]},
        )
    yield Measurement(
        what="longest wait for the end of a reply",
        value=max(run.slowest_cycles for run in runs.values()),
        unit="cycles",
        note=f"the watchdog's {TIMEOUT_CYCLES:,} cycles among them",
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
