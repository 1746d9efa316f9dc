"""The demonstration: an MNIST perceptron of the repository, from torch to bitstream and report.

Every stage keeps its result, so that a second run does only what has changed.
"""

from dataclasses import dataclass
from pathlib import Path

from ..boards.boards import Board, find_board
from ..gen.design import Design
from . import api, pipeline
from .stages import Stages, file_digest

TOOLS = Path(__file__).resolve().parent
FOLDER = Path("build") / "demo"
CYCLE_SAMPLES = 2
NETLIST_SAMPLES, BITSTREAM_SAMPLES = 2, 1
FAULTS = 220  # 20 of each kind
DEFAULT_BOARD = "icebreaker"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the demonstration runs on a board: a factory of ``mnist_mlp.py``, and ``--fold``."""

    model: str
    folding: tuple[str, ...]


SMALL = Choice(model="mlp32", folding=("auto",))
# Auto would fill the block RAMs of an ECP5-25F and be 1.75 times as fast; this folding takes half
# of them, and a small part of the time in place and route.
LARGE = Choice(
    model="mlp128",
    folding=("input:pe=16", "fc1:pe=16,simd=16,unroll=2", "fc2:pe=2,simd=16,unroll=2"),
)
LARGE_LUTS = 20_000  # from here on a device takes the larger model


def choose(board: Board) -> Choice:
    """Return what fits the board; the larger model where the device is large enough."""
    large = board.device is not None and board.device.luts >= LARGE_LUTS
    return LARGE if large else SMALL


def job_for(board: Board, stages: Stages, command: str) -> pipeline.Job:
    """Convert the board's model and return the job of its report."""
    choice = choose(board)
    source = api.Model(
        spec=f"{TOOLS / 'mnist_mlp.py'}:{choice.model}",
        weights=str(TOOLS / f"mnist_{choice.model}.pth"),
        calibrate=str(TOOLS / "mnist_calibrate.npz"),
    )
    name = f"{choice.model}.npz"

    def work() -> dict[str, str]:
        result = api.convert(source, command=command)
        result.design.save(stages.folder / name)
        return {"design_hash": result.design.hash}

    files = (source.spec.rpartition(":")[0], source.weights, source.calibrate)
    inputs = {str(path): file_digest(Path(path)) for path in files if path}
    title = f"convert {choice.model}: torch to integers"
    stages.run(f"convert-{choice.model}", title, inputs, work, files=[name])
    # A device of unknown size is taken for no larger than that of the default board.
    sized = find_board(DEFAULT_BOARD) if board.device is None else board
    return pipeline.Job(
        design=api.folded(Design.load(stages.folder / name), choice.folding, sized),
        data=api.load_data(TOOLS / "mnist_example.npz"),
        command=command,
        board=board,
        cycle_samples=CYCLE_SAMPLES,
        bulk=True,
        netlist_samples=NETLIST_SAMPLES,
        bitstream_samples=BITSTREAM_SAMPLES,
        faults=FAULTS,
    )


def run(
    board: str = DEFAULT_BOARD,
    folder: Path = FOLDER,
    *,
    fresh: bool = False,
    command: str = "signfire demo",
) -> tuple[dict[str, object], Path]:
    """Run the demonstration; return what :func:`signfire.tools.pipeline.report` returns."""
    target = find_board(board)
    folder.mkdir(parents=True, exist_ok=True)
    job = job_for(target, Stages(folder, fresh=fresh), command)
    return pipeline.report(job, folder, fresh=fresh)
