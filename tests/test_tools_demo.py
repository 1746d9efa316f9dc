"""The demonstration: which design it makes for which board."""

import pytest

from signfire.boards.boards import find_board
from signfire.tools import demo
from signfire.tools.stages import Stages


@pytest.mark.parametrize(
    ("board", "choice"),
    [("icebreaker", demo.SMALL), ("ulx3s-25f", demo.LARGE), ("arty-a7-35", demo.SMALL)],
)
def test_the_larger_model_is_for_boards_that_are_known_to_hold_it(board, choice) -> None:
    assert demo.choose(find_board(board)) == choice


def test_a_board_whose_size_is_not_known_gets_a_folding_too(tmp_path) -> None:
    job = demo.job_for(find_board("arty-a7-35"), Stages(tmp_path), "signfire demo")

    assert job.design.is_folded
