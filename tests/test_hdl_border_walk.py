"""The walk over kinds of window: where the constants of the next one begin, whatever the pauses."""

import random

import pytest

from signfire.hdl import border_walk
from signfire.hdl.border_walk import BorderWalk

BORDERS = {  # kind of each row, of each column; words of a kind
    "one pixel of padding": ((0, 1, 1, 2), (0, 1, 1, 1, 2), 4),
    "five rows": ((0, 1, 1, 2, 1), (0, 1, 1, 1, 2), 4),
    "kinds that differ by row alone": ((0, 1, 1), (0,), 3),
    "kinds that differ by column alone": ((0,), (0, 0, 1), 1),
    "every pixel its own": ((0, 1, 2), (0, 1), 5),
    "two windows": ((0, 1), (0,), 2),
    "a single window": ((0,), (0,), 3),
}


def begins(name: str) -> list[int]:
    """Return where the constants of each window of a sample begin."""
    rows, columns, words = BORDERS[name]
    return [(i * (max(columns) + 1) + j) * words for i in rows for j in columns]


def test_places_by_hand():
    assert [0, 4, 4, 4, 8, 12, 16, 16, 16, 20] == begins("one pixel of padding")[:10]


@pytest.mark.parametrize("likely", [1.0, 0.4])
@pytest.mark.parametrize("name", BORDERS)
def test_the_next_window_is_known_when_one_is_done(play, name, likely):
    rng = random.Random(3)
    rows, columns, words = BORDERS[name]
    dones = [int(rng.random() < likely) for _ in range(5 * len(begins(name)) + 9)]

    seen = play(
        BorderWalk(rows=rows, columns=columns, words=words),
        [{"done": done} for done in dones],
        ["following"],
    )

    wanted = begins(name)
    expected = [wanted[(sum(dones[:cycle]) + 1) % len(wanted)] for cycle in range(len(dones))]
    assert expected == [word["following"] for word in seen]


@pytest.mark.parametrize(
    "change",
    [
        ("i, j = place(2)", "i, j = place(1)"),
        ("with m.If(last_across):", "with m.If(1):"),
        ("Mux(last_down, 0, down + 1)", "down + 1"),
        ("self.rows = [kind * kinds * words", "self.rows = [kind * words"),
    ],
)
def test_a_walk_that_errs_is_seen(play, mutated, change):
    broken = mutated(border_walk, change)
    rows, columns, words = BORDERS["five rows"]
    expected = begins("five rows") * 3

    seen = play(
        broken.BorderWalk(rows=rows, columns=columns, words=words),
        [{"done": 1}] * (len(expected) - 1),
        ["following"],
    )

    assert expected[1:] != [word["following"] for word in seen]


def test_no_windows_are_refused():
    with pytest.raises(
        ValueError,
        match=r"^there must be windows and constants, not 0 x 2 windows of 3 words$",
    ):
        BorderWalk(rows=(), columns=(0, 1), words=3)
