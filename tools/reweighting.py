"""New weights in a finished build, and what the packed file then answers."""

from collections.abc import Callable
from pathlib import Path

from ..boards import readback
from ..boards.boards import find_board
from ..boards.build import SHAPE
from ..boards.reweight import Reweighted
from ..gen.design.design import Design
from . import api, proof


def run(
    build: Path,
    design: Design | Path,
    output: Path,
    samples: api.Dataset | None = None,
    *,
    progress: Callable[[str], None],
) -> tuple[Reweighted, proof.ChipCheck | None]:
    """Reweight a build; with ``samples``, let what is read back of the chip answer the first one.

    Raises
    ------
    ValueError
        If the Design does not fit the build, or the chip cannot be read back on this machine.
    """
    loaded = api.load_design(design)
    result = api.reweight(build, loaded, output, progress=progress)
    if samples is None:
        return result, None
    board, shape = find_board(result.board), api.load_design(result.bitstream.parent / SHAPE)
    reason = readback.obstacle(board)
    if reason:
        raise ValueError(f"{result.bitstream} is done, but it cannot answer samples: {reason}")
    chip = proof.verify_bitstream(
        result.bitstream,
        board,
        loaded.with_folding({p.name: p.folding for p in shape.populations if p.folding}),
        samples.first(1),
        output / "readback",
        shape=shape,
        build=output,
        progress=progress,
    )
    return result, chip
