"""A finished build, as its folder tells of it."""

import hashlib
import json
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .boards import Board, find_board
from .build import FORMAT_VERSION, RESULT
from .pll import PllSetting, fastest_setting

_SUBFOLDER = "fpga"  # where `signfire build` and `signfire demo` put what is here called a build
_SLACK_HZ = 1000  # above what was recorded: PLL settings lie farther apart


@dataclass(frozen=True, kw_only=True)
class FinishedBuild:
    """A bitstream and what it was built for.

    Parameters
    ----------
    folder
        That holds the bitstream.
    board
        That it was built for.
    bitstream
        The file, whole as it was when it was built.
    clock_hz
        Of the core.
    """

    folder: Path
    board: Board
    bitstream: Path
    clock_hz: float

    @property
    def setting(self) -> PllSetting | None:
        """Of the PLL in this bitstream; None where the design runs on the oscillator."""
        if not self.board.has_pll:
            return None
        return fastest_setting(
            family=self.board.family,
            input_hz=self.board.input_hz,
            target_hz=Fraction(self.clock_hz) + _SLACK_HZ,
            part=self.board.part,
        )


def read_build(folder: Path | str) -> FinishedBuild:
    """Return the build in a folder, or in the one that ``signfire build`` made inside it.

    Raises
    ------
    ValueError
        If there is none, it belongs to another signfire, or its bitstream was changed.
    """
    folder = Path(folder)
    found = next((f for f in (folder, folder / _SUBFOLDER) if (f / RESULT).is_file()), None)
    if found is None:
        raise ValueError(
            f"{folder} holds no finished build (signfire build DESIGN --board NAME -o {folder} "
            f"makes one)"
        )
    try:
        record = json.loads((found / RESULT).read_text())
        version, result = record["format"], record["result"]
        digest, board = record["bitstream_sha256"], result["board"]
        name, clock_hz = result["bitstream"], float(result["clock_hz"])
        if not isinstance(board, str) or not 0 < clock_hz < math.inf:
            raise TypeError("a board is a word, and its clock a number above 0")
        plain = isinstance(name, str) and name.isprintable() and name.strip(".")
        if not plain or Path(name).name != name:
            raise TypeError("a bitstream is a file of the folder")
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError(f"{found / RESULT} is not what signfire writes (build again)") from None
    bitstream = found / name
    if version != FORMAT_VERSION:
        raise ValueError(f"{found} was built by another signfire (build again)")
    if not bitstream.is_file():
        raise ValueError(f"the bitstream {bitstream} is gone (build again)")
    if hashlib.sha256(bitstream.read_bytes()).hexdigest() != digest:
        raise ValueError(f"the bitstream {bitstream} is not the one that was built (build again)")
    return FinishedBuild(
        folder=found, board=find_board(board), bitstream=bitstream, clock_hz=clock_hz
    )
