"""Loop counters that skip silent words against nested Python loops, every cycle, with stalls."""

import random

import pytest

from signfire.hdl.event_sequencer import EventSequencer

WATCHED = (
    "valid",
    "begin",
    "release",
    "tile",
    "plane",
    "word",
    "base",
    "first_word",
    "last_word",
    "first_plane",
    "last_plane",
)
SHAPES = [  # tiles, planes, words, rest, each_step
    (1, 1, 1, 1, False),
    (1, 1, 4, 3, False),
    (3, 1, 5, 4, False),
    (2, 3, 4, 5, False),
    (2, 3, 4, 3, True),
    (3, 2, 1, 6, False),
]
ROWS = 7


def expected_cycles(shape: tuple, stimuli: list[dict]) -> list[dict]:
    """Follow the docstring, cycle by cycle: a stimulus says ``last`` of the word that is read."""
    tiles, planes, _, rest, each_step = shape
    tile = plane = word = 0
    begun, ready, expected = False, 0, []  # ready: the first cycle in which results may be done
    for cycle, stimulus in enumerate(stimuli):
        begins = not begun and stimulus["credit"] and (stimulus["full"] or tile)
        begun = bool(begun or begins)
        done = stimulus["last"] and (each_step or plane == planes - 1)
        valid = begun and not (done and cycle < ready)
        ends_tile = valid and stimulus["last"] and plane == planes - 1
        expected.append(
            {
                "valid": int(valid),
                "begin": int(bool(begins)),
                "release": int(ends_tile and tile == tiles - 1),
                "tile": tile,
                "plane": plane,
                "word": word,
                "base": tile * ROWS,
                "first_word": int(word == 0),
                "last_word": stimulus["last"],
                "first_plane": int(plane == 0),
                "last_plane": int(plane == planes - 1),
            }
        )
        if valid and done:
            ready = cycle + rest
        if valid:
            word = 0 if stimulus["last"] else word + 1
            plane = (plane + stimulus["last"]) % planes
            if ends_tile:
                tile, begun = (tile + 1) % tiles, False
    return expected


def play_lists(play, shape: tuple, likely: float, length: int = 300) -> tuple[list, list]:
    """Play with steps of random lengths, which ``last`` tells as a queue does."""
    rng = random.Random(repr(shape))
    tiles, planes, words, rest, each_step = shape
    stimuli = [
        {"full": int(rng.random() < likely), "credit": int(rng.random() < likely), "last": 0}
        for _ in range(length)
    ]
    left = rng.randrange(words)
    for n, stimulus in enumerate(stimuli):
        stimulus["last"] = int(left == 0)
        if expected_cycles(shape, stimuli[: n + 1])[-1]["valid"]:
            left = rng.randrange(words) if left == 0 else left - 1
    dut = EventSequencer(
        tiles=tiles, planes=planes, words=words, rows=ROWS, rest=rest, each_step=each_step
    )
    return expected_cycles(shape, stimuli), play(dut, stimuli, WATCHED)


def test_model_by_hand():
    # two tiles of two and one words; results take three cycles, so the second tile waits for two
    go = {"full": 1, "credit": 1}
    lasts = (0, 1, 1, 1, 1)

    cycles = expected_cycles((2, 1, 2, 3, False), [go | {"last": last} for last in lasts])

    assert [1, 1, 0, 0, 1] == [c["valid"] for c in cycles]
    assert [1, 0, 1, 0, 0] == [c["begin"] for c in cycles]
    assert [0, 0, 0, 0, 1] == [c["release"] for c in cycles]


@pytest.mark.parametrize("likely", [1.0, 0.4])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_index_is_right_in_every_cycle(play, shape, likely):
    expected, seen = play_lists(play, shape, likely)

    assert expected == seen
    assert sum(cycle["release"] for cycle in seen) > 3


def test_reset_in_a_tile_starts_over(play):
    go = {"full": 1, "credit": 1, "last": 0}
    shape = (3, 2, 5, 4, False)
    dut = EventSequencer(tiles=3, planes=2, words=5, rows=ROWS, rest=4)

    seen = play(dut, [go, go | {"last": 1}] * 3 + [{"reset": 1}, go | {"reset": 0}, go], WATCHED)

    assert expected_cycles(shape, [go, go]) == seen[7:]


@pytest.mark.parametrize("wrong", ["tiles", "planes", "words", "rows", "rest"])
def test_loops_that_are_empty_are_refused(wrong):
    numbers = dict(tiles=1, planes=1, words=1, rows=1, rest=1) | {wrong: 0}

    with pytest.raises(ValueError, match=r"^a loop is empty, or results take no time "):
        EventSequencer(**numbers)
