"""A packed bitstream turned back into Verilog, so that what is loaded into the chip can be judged.

Nothing of the build is trusted but the packed file. Which pins carry the oscillator and the serial
line is what the board says, and the PLL's clock is what its recovered cell says.
"""

from pathlib import Path

from .boards import Board
from .devices import ECP5, GOWIN, ICE40
from .recovered import ReadbackError, Recovered

# What a bitstream of each family is checked for; the table of the README.
PROMISES = {
    ICE40: "iceunpack and icebox_vlog give the whole chip back, signfire adds the DSP blocks of "
    "the iCE40UP; it is simulated pin by pin, and class and logits must be golden's",
    GOWIN: "the whole chip is read back with the database of gowin_unpack, block RAM, multipliers "
    "and carry chains included; it is simulated pin by pin, and class and logits must be golden's",
    ECP5: "no open tool gives the logic back; every word of the memories that hold weights, "
    "biases, factors, step sizes and the hash is read back from the packed file (by ecpunpack, at "
    "the places of the build) and must be the design's",
}


def obstacle(board: Board) -> str:
    """Return why bitstreams of a board cannot be read back on this machine, and the way out.

    Empty where they can.
    """
    if board.family == ICE40:
        from .readback_ice40 import missing

        return missing()
    return ""


def recover(bitstream: Path | str, board: Board) -> Recovered:
    """Turn the packed file of a board back into Verilog.

    Raises
    ------
    ReadbackError
        If the file is not one of this board, holds what cannot be read back, or a program to read
        it is missing.
    """
    path = Path(bitstream)
    if not path.is_file():
        raise ReadbackError(f"there is no bitstream {path} (run signfire build first)")
    if board.family == ICE40:
        from .readback_ice40 import recover_ice40

        return recover_ice40(path, board)
    if board.family == GOWIN:
        from .readback_gowin import recover_gowin

        return recover_gowin(path, board)
    raise ReadbackError(
        f"no tool turns a bitstream of {board.name} back into logic (its block RAM can be read)"
    )
