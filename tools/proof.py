"""Checks of the chip itself: its netlist, and the bitstream that is loaded into it.

Both end at the pins: a request goes bit by bit to the serial input of what was synthesised, or of
what was read back from the packed file, and every word of the reply is compared.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..boards.accelerator import Accelerator, technology_of
from ..boards.boards import Board, find_board
from ..boards.build import SHAPE, synthesise
from ..boards.devices import ECP5
from ..boards.placed import PlacedBuild
from ..boards.readback import PROMISES, recover
from ..boards.reweight import contents_of, read_packed
from ..boards.rom_cells import BLOCK
from ..boards.top import UART
from ..gen.core.shape import refuse_unlike
from ..gen.design.design import Design
from ..sim.chip import PATIENCE, powered
from ..sim.mismatch import Mismatch
from ..sim.netlist import check_link
from .api import Dataset, load_design
from .claim import claiming

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ChipCheck:
    """What a chip answered.

    Parameters
    ----------
    board
        Name of its board.
    samples, words
        How much was compared; a word is a logit, a class or a count of cycles, and without samples
        a word of a memory.
    mismatches
        Empty where chip, golden model and cycle model agree.
    clock_hz
        Of the core, as the PLL's cell says; ``None`` where only memories were read.
    cells
        Kind to number of the cells that were simulated, or read.
    bitstream
        The packed file that was read back; ``None`` for a netlist.
    promise
        What the check says for this family, in words.
    """

    board: str
    samples: int
    words: int
    mismatches: tuple[Mismatch, ...]
    clock_hz: float | None
    cells: dict[str, int]
    bitstream: Path | None = None
    promise: str = ""

    @property
    def passed(self) -> bool:
        """Whether every word is as it must be."""
        return not self.mismatches


def _silent(stage: str) -> None:
    """Tell nobody."""


# -- netlist -----------------------------------------------------------------------------------


@claiming("folder")
def check_netlist(
    design: Design | Path | str,
    data: Dataset,
    board: Board | str,
    folder: Path | str,
    *,
    shape: Design | None = None,
    synthesis: Path | str | None = None,
    clock_hz: float | None = None,
    link: str = UART,
    progress: Progress = _silent,
) -> ChipCheck:
    """Synthesise a design for a board, and let the netlist answer samples through its pins.

    Parameters
    ----------
    design
        Folded.
    data
        Samples; labels are not needed.
    board
        That open tools build for.
    folder
        For the compiled simulation.
    shape
        Folded Design whose hardware holds ``design`` in its memories.
    synthesis
        Folder of a build, whose netlist is taken where it is of the same source; by default
        ``synthesis`` in ``folder``.
    clock_hz
        Of the core; by default half of what place and route aims for, which designs reach.
    link
        Lines of the chip: ``uart``, through which it is asked, or ``both``.
    progress
        Told what is being done.
    """
    board = find_board(board) if isinstance(board, str) else board
    design, folder = load_design(design), Path(folder)
    frequency = None
    if board.builds_bitstream and board.has_pll:
        # The PLL's clock is not above what is asked for; a float may lie below the exact one.
        goal_hz = board.open_device.goal_hz
        frequency = goal_hz / 2 if clock_hz is None else clock_hz * (1 + 1e-9)
    found = synthesise(
        Accelerator(design, board, shape),
        board,
        synthesis or folder / "synthesis",
        frequency=frequency,
        link=link,
        progress=progress,
    )
    progress("compile the netlist and simulate")
    with powered(found.chip, folder, requests=len(data.x)) as exchange:
        raw = design.raw_samples(data.x)
        result = check_link(design, raw, exchange, technology=technology_of(board), shape=shape)
    return ChipCheck(
        board=board.name,
        samples=result.samples,
        words=result.words,
        mismatches=result.mismatches,
        clock_hz=float(found.chip.clock_hz),
        cells=dict(found.chip.cells),
    )


# -- bitstream ---------------------------------------------------------------------------------


@claiming("folder")
def verify_bitstream(
    bitstream: Path | str,
    board: Board | str,
    design: Design | Path | str,
    data: Dataset,
    folder: Path | str,
    *,
    shape: Design | None = None,
    build: Path | str | None = None,
    patience: int = PATIENCE,
    progress: Progress = _silent,
) -> ChipCheck:
    """Turn a packed bitstream back into a chip, and let it answer samples through its pins.

    Of an ECP5's, whose logic no tool gives back, every word of the memories that hold the Design is
    compared instead.

    Parameters
    ----------
    bitstream
        The packed file; nothing else of the build is read, but for an ECP5 where its memories lie.
    board
        That it is for.
    design
        Folded as it was built.
    data
        Samples; labels are not needed.
    folder
        For the compiled simulation.
    shape
        Folded Design whose hardware holds ``design`` in its memories.
    build
        Folder of the build, which an ECP5 needs.
    patience
        Cycles of the oscillator after a request, when what came of the reply is taken as it is.
    progress
        Told what is being done.
    """
    board = find_board(board) if isinstance(board, str) else board
    design = load_design(design)
    progress("read the bitstream back")
    if board.family == ECP5:
        return _check_memories(Path(bitstream), board, design, build, shape)
    found = recover(bitstream, board)
    progress("compile what was read back and simulate")
    requests = len(data.x)
    with powered(found.chip, folder, requests=requests, patience=patience) as exchange:
        raw = design.raw_samples(data.x)
        result = check_link(design, raw, exchange, technology=technology_of(board), shape=shape)
    return ChipCheck(
        board=board.name,
        samples=result.samples,
        words=result.words,
        mismatches=result.mismatches,
        clock_hz=float(found.chip.clock_hz),
        cells=found.cells,
        bitstream=Path(bitstream),
        promise=PROMISES[board.family],
    )


def _check_memories(
    bitstream: Path, board: Board, design: Design, build: Path | str | None, shape: Design | None
) -> ChipCheck:
    """Compare every word of every ROM of an ECP5's bitstream with the Design's."""
    if build is None:
        raise ValueError(
            f"{board.name} needs the folder of its build, which tells where memories lie (give it "
            f"in place of {bitstream})"
        )
    placed = PlacedBuild.load(Path(build))
    if shape is None:
        shape = Design.load(Path(build) / SHAPE)
    refuse_unlike(shape, design, technology_of(board))
    expected = contents_of(design, board, shape, bytes(placed.record))
    with tempfile.TemporaryDirectory() as folder:
        found = read_packed(bitstream, placed.pack[0], placed.contents, Path(folder))
    wrong = tuple(
        Mismatch(
            layer=name,
            what=f"word {address} of memory",
            cycle=0,
            expected=word,
            got=found[name][address],
        )
        for name, words in expected.items()
        for address, word in enumerate(words)
        if found[name][address] != word
    )
    cells: Counter[str] = Counter()
    for grid in placed.contents.grids.values():
        cells["DP16KD" if grid.kind == BLOCK else "LUT4"] += grid.cells
    return ChipCheck(
        board=board.name,
        samples=0,
        words=sum(map(len, expected.values())),
        mismatches=wrong,
        clock_hz=None,
        cells=dict(cells),
        bitstream=bitstream,
        promise=PROMISES[board.family],
    )


def promises_table() -> str:
    """Return the README's table of what a bitstream of each family is checked for, Markdown."""
    names = {"ice40": "iCE40", "ecp5": "ECP5", "gowin": "Gowin"}
    rows = [f"| {names[family]} | {promise} |" for family, promise in PROMISES.items()]
    return "\n".join(["| family | what `verify-bitstream` proves |", "|---|---|", *rows])
