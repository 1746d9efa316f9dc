"""Constant synapses against a NumPy matrix product, every cycle; groups by hand."""

import numpy as np
import pytest

from signfire.hdl.constant_sums import (
    Group,
    groups_of,
    inputs_of,
    joined,
    logic_depth,
    signed_bits,
)
from signfire.hdl.logic_array import LogicArray


def words(events: np.ndarray) -> list[int]:
    """Events of each step as one integer, input 0 in the lowest bit."""
    return [int(sum(int(bit) << j for j, bit in enumerate(step))) for step in events]


def test_groups_are_made_of_the_weights_that_are_not_0():
    assert groups_of([0, 3, 0, 0]) == [Group((1,), (3,))]
    assert groups_of([1, 0, 2, 3, -4, 5]) == [Group((0, 2, 3, 4), (1, 2, 3, -4)), Group((5,), (5,))]
    assert groups_of([0, 0]) == []


def test_a_group_s_bits_by_hand():
    group = Group((4, 7), (1, -2))  # sums 0, 1, -2, -1 for no event, the first, the second, both

    assert group.range == (-2, 1)
    # bit 0 of 000 001 110 111, bit 1, and the sign
    assert group.masks == (0b1010, 0b1100, 0b1100)[: signed_bits(-2, 1)]
    assert inputs_of(0b1010, 2) == [0]
    assert inputs_of(0b0110, 2) == [0, 1]
    assert inputs_of(0b1111, 2) == []


def test_ranges_of_a_tree_are_sums_of_ranges():
    assert joined([(-1, 2), (0, 3), (-4, 0)]) == [
        [(-1, 2), (0, 3), (-4, 0)],
        [(-1, 5), (-4, 0)],
        [(-5, 5)],
    ]
    assert joined([]) == []


def test_pruned_weights_shorten_the_tree():
    assert [logic_depth([row]) for row in ([1] * 4, [1] * 5, [1, 0] * 4, [0])] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("pe", "simd", "unroll", "bits", "density"),
    [(1, 1, 1, 2, 1.0), (4, 9, 1, 4, 0.6), (3, 17, 3, 3, 1.0), (5, 6, 2, 8, 0.4), (2, 4, 4, 2, 1)],
)
def test_sums_of_every_word_appear_latency_cycles_later(play, pe, simd, unroll, bits, density):
    rng = np.random.default_rng(simd)
    limit = 2 ** (bits - 1) - 1
    weights = rng.integers(-limit - 1, limit + 1, (pe, simd)) * (rng.random((pe, simd)) < density)
    weights[-1] = 0 if pe > 1 else limit  # an output without weights, beside deep ones
    events = rng.integers(0, 2, (40, unroll, simd))
    events[0], events[1] = 1, 0
    dut = LogicArray(weights=weights.tolist(), unroll=unroll)

    seen = play(dut, [{"events": words(e)} for e in events], ["sums"])

    scale = 2 ** np.arange(unroll)[::-1]
    expected = [(weights @ (scale @ e)).tolist() for e in events]
    assert expected[: 40 - dut.LATENCY] == [s["sums"] for s in seen[dut.LATENCY :]]


def test_the_least_and_the_greatest_sum_fit(play):
    weights = [[7, 7, 7, 7, 7], [-8, -8, -8, -8, -8]]
    dut = LogicArray(weights=weights, unroll=2)

    seen = play(dut, [{"events": [31, 31]}] * 8, ["sums"])

    assert seen[dut.LATENCY]["sums"] == [105, -120]
    assert dut.sum_shape.width == signed_bits(-120, 105)
