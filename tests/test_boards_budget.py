"""Budgets: what is left of a device beside the link, and boards on which nothing is."""

import pytest

from signfire.boards.boards import find_board, list_boards
from signfire.boards.budget import budget_of, holds_networks
from signfire.boards.build import build
from signfire.gen.design.folding import Folding
from signfire.sim.specimens.chains import random_design

SMALL = ["icestick", "icesugar-nano", "nandland-go"]


def test_boards_that_the_link_fills_are_those_of_a_thousand_cells():
    assert SMALL == sorted(b.name for b in list_boards() if not holds_networks(b))


@pytest.mark.parametrize("board", [b for b in list_boards() if b.builds_bitstream], ids=str)
def test_every_board_has_room_or_is_refused(board):
    if holds_networks(board):
        assert budget_of(board).lut > 1000
        return
    with pytest.raises(ValueError, match=f"^no network fits {board.name}: "):
        budget_of(board)


def test_more_lines_to_the_host_leave_less():
    board = find_board("icebreaker")

    assert budget_of(board, "both").lut < budget_of(board).lut < budget_of(board, "spi").lut


def test_a_board_that_the_link_fills_is_refused_with_a_way_out(tmp_path):
    design = random_design(sizes=(4, 2), folding={"fc1": Folding()})

    with pytest.raises(ValueError) as error:
        build(design, find_board("icestick"), tmp_path / "icestick")

    assert str(error.value) == (
        "no network fits icestick: the link to the host alone needs about 1,085 logic cells, and "
        "of the 1,280 of its iCE40HX1K place and route can use 1,024 (choose a larger board, see "
        "signfire boards; signfire generate with a folding by hand writes the core without the "
        "link)"
    )
    assert not (tmp_path / "icestick").exists()
