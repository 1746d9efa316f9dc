"""Benches of group B: proved down to the chip, and spoken to."""

from collections.abc import Iterator

from ..boards.accelerator import technology_of
from ..boards.boards import Board, find_board
from ..gen.design import Design
from ..sim.faults import run_faults
from . import api, board_sim, demo, fault_table, proof
from .measure import ROOT, SEED, TOOLS, Measurement, bench, example

TITLE = "Proved down to the chip, and spoken to"
CHIPS = ("icebreaker", "ulx3s-25f", "tang-nano-9k")  # one board of each family
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
