"""The loop counters against nested Python loops, every cycle, with stalls between tiles."""

import random
from collections.abc import Iterator

import pytest

from signfire.hdl.sequencer import Sequencer

WATCHED = (
    "valid",
    "begin",
    "release",
    "tile",
    "plane",
    "word",
    "address",
    "first_word",
    "last_word",
    "first_plane",
    "last_plane",
)
SHAPES = [  # tiles, planes, words, period
    (1, 1, 1, 1),
    (1, 1, 1, 4),
    (1, 3, 1, 1),
    (3, 1, 1, 1),
    (1, 1, 5, 5),
    (2, 3, 4, 4),
    (3, 2, 5, 7),
    (5, 2, 3, 3),
    (4, 4, 2, 9),
]


def cycles_of_a_tile(tiles: int, planes: int, words: int, period: int, tile: int) -> Iterator[dict]:
    """Yield what a tile shows in each of its planes·period cycles, None where it does not care."""
    for plane in range(planes):
        for cycle in range(period):
            last = plane == planes - 1 and cycle == words - 1
            valid = cycle < words
            yield {
                "valid": int(valid),
                "begin": int(plane == 0 and cycle == 0),
                "release": int(last and tile == tiles - 1),
                "tile": tile if valid else None,
                "plane": plane if valid else None,
                "word": cycle if valid else None,
                "address": tile * words + cycle if valid else None,
                "first_word": int(cycle == 0) if valid else None,
                "last_word": int(cycle == words - 1) if valid else None,
                "first_plane": int(plane == 0) if valid else None,
                "last_plane": int(plane == planes - 1) if valid else None,
            }


def expected_cycles(shape: tuple, stimuli: list[dict]) -> list[dict]:
    """Follow the docstring: a tile begins where credit (and full, before the first) holds."""
    tiles = shape[0]
    expected, tile, running = [], 0, iter(())
    for stimulus in stimuli:
        cycle = next(running, None)
        if cycle is None and stimulus["credit"] and (stimulus["full"] or tile):
            running = cycles_of_a_tile(*shape, tile)
            cycle, tile = next(running), (tile + 1) % tiles
        expected.append(cycle or {"valid": 0, "begin": 0, "release": 0})
    return expected


def test_model_by_hand():
    # two tiles of one plane and two words in three cycles; the second waits a cycle for credit
    stimuli = [{"full": 1, "credit": credit} for credit in (1, 0, 0, 0, 1, 1, 1)]

    cycles = expected_cycles((2, 1, 2, 3), stimuli)

    assert [1, 1, 0, 0, 1, 1, 0] == [c["valid"] for c in cycles]
    assert [0, 1, 2, 3] == [c["address"] for c in cycles if c["valid"]]
    assert [0, 0, 0, 0, 0, 1, 0] == [c["release"] for c in cycles]


@pytest.mark.parametrize("likely", [1.0, 0.3])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_index_is_right_in_every_cycle(play, shape, likely):
    rng = random.Random(sum(shape))
    tiles, planes, words, period = shape
    length = min(400, 5 * tiles * planes * period + 40)
    stimuli = [
        {"full": int(rng.random() < likely), "credit": int(rng.random() < likely)}
        for _ in range(length)
    ]
    dut = Sequencer(tiles=tiles, planes=planes, words=words, period=period)

    seen = play(dut, stimuli, WATCHED)

    for expected, actual in zip(expected_cycles(shape, stimuli), seen, strict=True):
        wanted = {name: value for name, value in expected.items() if value is not None}
        assert wanted == {name: actual[name] for name in wanted}


def test_samples_follow_each_other_without_a_bubble(play):
    dut = Sequencer(tiles=2, planes=2, words=3, period=3)

    seen = play(dut, [{"full": 1, "credit": 1}] * 36, ["valid", "release"])

    assert all(s["valid"] for s in seen)
    assert [11, 23, 35] == [cycle for cycle, s in enumerate(seen) if s["release"]]


def test_reset_in_a_tile_starts_over(play):
    go = {"full": 1, "credit": 1}
    dut = Sequencer(tiles=3, planes=2, words=2, period=2)

    seen = play(dut, [go] * 9 + [{"reset": 1}, {"reset": 0}] + [go] * 11, WATCHED)

    assert expected_cycles((3, 2, 2, 2), [go] * 12) == seen[10:]


@pytest.mark.parametrize("shape", [(1, 1, 4, 3), (0, 1, 1, 1), (1, 0, 1, 1)])
def test_loops_that_do_not_fit_are_refused(shape):
    tiles, planes, words, period = shape
    with pytest.raises(
        ValueError,
        match=rf"^a step of {words} words does not fit {period} cycles, or a loop is empty "
        rf"\({tiles} tiles, {planes} planes\)$",
    ):
        Sequencer(tiles=tiles, planes=planes, words=words, period=period)


@pytest.mark.parametrize(("words", "repeats"), [(6, 3), (6, 2), (4, 4), (1, 1)])
def test_repeated_weights_are_gone_through_again(play, words, repeats):
    tiles, planes, rows = 3, 2, words // repeats
    dut = Sequencer(tiles=tiles, planes=planes, words=words, period=words + 1, repeats=repeats)

    seen = play(
        dut,
        [{"full": 1, "credit": 1}] * (2 * tiles * planes * (words + 1)),
        ["valid", "address"],
    )

    once = [
        tile * rows + word % rows
        for tile in range(tiles)
        for _ in range(planes)
        for word in range(words)
    ]
    assert once * 2 == [s["address"] for s in seen if s["valid"]]


def test_repeats_that_do_not_divide_the_words_are_refused():
    with pytest.raises(ValueError, match=r"^repeats must divide 6 words, not 4$"):
        Sequencer(tiles=1, planes=1, words=6, period=6, repeats=4)
