"""The verbs as functions: what the command line does not show."""

import pytest

from signfire.tools import api


@pytest.mark.parametrize(
    ("board", "shared"), [("icebreaker", True), ("tang-nano-9k", True), ("ulx3s-25f", False)]
)
def test_a_lone_flip_flop_costs_a_lut_where_the_two_share_a_site(board, shared) -> None:
    assert api.budget_of(api.find_board(board)).shared_cells is shared
