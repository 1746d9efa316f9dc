"""Benches of group B: proved down to the chip, and spoken to."""

from collections.abc import Iterator

from ..boards.accelerator import technology_of
from ..boards.boards import find_board
from ..sim.faults import run_faults
from . import api, demo, fault_table
from .measure import ROOT, TOOLS, Measurement, bench, example

TITLE = "Proved down to the chip, and spoken to"
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
