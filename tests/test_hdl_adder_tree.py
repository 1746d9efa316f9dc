"""The adder tree against Python's sum, every cycle."""

import random

import pytest

from signfire.hdl.adder_tree import AdderTree, tree_depth

CORNERS = {  # count, width, addends -> sum
    "one": (1, 4, [-8], -8),
    "zero": (3, 4, [0, 0, 0], 0),
    "least": (5, 4, [-8] * 5, -40),
    "greatest": (8, 3, [3] * 8, 24),
    "cancel": (4, 8, [127, -128, -127, 128 - 1], -1),
    "bits": (7, 1, [-1] * 7, -7),
}


@pytest.mark.parametrize(("count", "depth"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (49, 6)])
def test_depth_is_the_logarithm_rounded_up(count, depth):
    assert depth == tree_depth(count)


@pytest.mark.parametrize("corner", CORNERS)
def test_corners_are_exact(play, corner):
    count, width, addends, total = CORNERS[corner]
    dut = AdderTree(count=count, width=width)

    seen = play(dut, [{"addends": addends}] * (dut.LATENCY + 1), ["total"])

    assert total == seen[-1]["total"]


@pytest.mark.parametrize(("count", "width"), [(1, 6), (2, 1), (3, 16), (6, 2), (16, 4), (49, 4)])
def test_every_set_is_summed_latency_cycles_later(play, count, width):
    rng = random.Random(count)
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    dut = AdderTree(count=count, width=width)
    sets = [
        [rng.choice([low, high, rng.randint(low, high)]) for _ in range(count)] for _ in "x" * 60
    ]

    seen = play(dut, [{"addends": addends} for addends in sets], ["total"])

    assert dut.LATENCY == tree_depth(count)
    expected = [sum(addends) for addends in sets[: len(sets) - dut.LATENCY]]
    assert expected == [s["total"] for s in seen[dut.LATENCY :]]


@pytest.mark.parametrize(("count", "width"), [(0, 4), (3, 0)])
def test_an_empty_sum_is_refused(count, width):
    with pytest.raises(
        ValueError, match=f"^a sum needs at least one addend of one bit, not {count} of {width}$"
    ):
        AdderTree(count=count, width=width)
