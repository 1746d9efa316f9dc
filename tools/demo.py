"""The demonstration: an MNIST network of the repository, from torch to bitstream and report.

Every stage keeps its result, so that a second run does only what has changed.
"""

from dataclasses import dataclass, field
from pathlib import Path

from ..boards.boards import Board, find_board
from ..gen.design.design import Design
from . import api, pipeline
from .claim import claiming
from .stages import Stages, file_digest

TOOLS = Path(__file__).resolve().parent
FOLDER = Path("build") / "demo"
CYCLE_SAMPLES = 2
NETLIST_SAMPLES, BITSTREAM_SAMPLES = 2, 1
FAULTS = 220  # 20 of each kind
DEFAULT_BOARD = "icebreaker"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the demonstration runs on a board: a factory, ``--fold``, and how it is converted."""

    model: str
    folding: tuple[str, ...]
    options: api.Options = field(default_factory=api.Options)


SMALL = Choice(model="mlp32", folding=("auto",))
# Auto would fill the block RAMs of an ECP5-25F and be 1.75 times as fast; this folding takes half
# of them, and a small part of the time in place and route.
LARGE = Choice(
    model="mlp128",
    folding=("input:pe=16", "fc1:pe=16,simd=16,unroll=2", "fc2:pe=2,simd=16,unroll=2"),
)
LARGE_LUTS = 20_000  # from here on a device takes the larger model
CONVOLUTIONS = Choice(
    model="cnn", folding=("auto",), options=api.Options(steps=4, weight_bits=4, input_steps=2)
)
MODELS = {choice.model: choice for choice in (SMALL, LARGE, CONVOLUTIONS)}


def model(name: str) -> api.Model:
    """Return a network of the repository with its weights."""
    file = "mnist_cnn.py" if name == CONVOLUTIONS.model else "mnist_mlp.py"
    return api.Model(
        spec=f"{TOOLS / file}:{name}",
        weights=str(TOOLS / f"mnist_{name}.pth"),
        calibrate=str(TOOLS / "mnist_calibrate.npz"),
    )


def choose(board: Board, name: str | None = None) -> Choice:
    """Return the model of that name, or the larger perceptron that fits the board."""
    if name is not None:
        return MODELS[name]
    large = board.device is not None and board.device.luts >= LARGE_LUTS
    return LARGE if large else SMALL


def job_for(board: Board, stages: Stages, command: str, wanted: str | None = None) -> pipeline.Job:
    """Convert a model, by default the board's, and return the job of its report."""
    choice = choose(board, wanted)
    source, name = model(choice.model), f"{choice.model}.npz"

    def work() -> dict[str, str]:
        # The demonstration's settings are chosen: what they lose is measured, no cure is sought.
        result = api.convert(source, options=choice.options, command=command, accept=None)
        result.design.save(stages.folder / name)
        return {"design_hash": result.design.hash}

    files = (source.spec.rpartition(":")[0], source.weights, source.calibrate)
    inputs = {str(path): file_digest(Path(path)) for path in files if path}
    title = f"convert {choice.model}: torch to integers"
    stages.run(f"convert-{choice.model}", title, inputs, work, files=[name])
    # A device of unknown size is taken for no larger than that of the default board.
    sized = find_board(DEFAULT_BOARD) if board.device is None else board
    folded = api.choose_fold(Design.load(stages.folder / name), choice.folding, sized)
    return pipeline.Job(
        design=folded.design,
        auto=folded.auto,
        data=api.load_data(TOOLS / "mnist_example.npz"),
        command=command,
        board=board,
        cycle_samples=CYCLE_SAMPLES,
        bulk=True,
        netlist_samples=NETLIST_SAMPLES,
        bitstream_samples=BITSTREAM_SAMPLES,
        faults=FAULTS,
    )


@claiming("folder")
def run(
    board: str = DEFAULT_BOARD,
    folder: Path = FOLDER,
    *,
    model: str | None = None,
    fresh: bool = False,
    command: str = "signfire demo",
) -> tuple[dict[str, object], Path]:
    """Run the demonstration; return what :func:`signfire.tools.pipeline.report` returns."""
    target = find_board(board)
    job = job_for(target, Stages(folder, fresh=fresh), command, model)
    return pipeline.report(job, folder, fresh=fresh)
