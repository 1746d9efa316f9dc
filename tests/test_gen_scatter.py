"""Loops that put trains where they are read, for every order of the axes that has some."""

from itertools import permutations, product

import numpy as np
import pytest

from signfire.gen.design.folding import divisors
from signfire.gen.design.reading import is_turned, reading_places
from signfire.gen.model.maps import Conv, Layout, Pooled
from signfire.gen.readers.scattered.scatter import Scatter, can_scatter, scatter_of


def conv(shape, planes, axes) -> Conv:
    kernel = np.zeros((1, planes[0], 1, 1))
    return Conv(in_shape=shape, layout=Layout(planes=planes, axes=axes), kernel=kernel)


TOKENS = conv((5, 1, 6), (6, 1, 5), (2, 1, 0))  # 6 tokens of 5 channels, read channel by channel


def walked(scatter: Scatter) -> list[tuple[int, ...]]:
    """Return (line, row, slot) of each train in the order of their arrival."""
    found = []
    for outermost_first in product(*(range(n) for n in reversed(scatter.counts))):
        moves = zip(outermost_first[::-1], scatter.strides, strict=True)
        steps = [[i * s for s in along] for i, along in moves]
        found.append(tuple(map(sum, zip(*steps, strict=True))))
    return found


def test_tokens_by_hand():
    places = reading_places(TOKENS, (5, 1, 6), is_input=False)

    # token 0 gives channels 0..4, which are the first tokens of five columns
    assert places[:7].tolist() == [0, 6, 12, 18, 24, 1, 7]
    assert scatter_of(TOKENS, places, 1) == Scatter(counts=(5, 6), strides=((0, 6, 0), (0, 1, 0)))
    assert scatter_of(TOKENS, places, 2) == Scatter(
        counts=(5, 2, 3), strides=((0, 3, 0), (0, 0, 1), (0, 1, 0))
    )
    assert scatter_of(TOKENS, places, 6) == Scatter(counts=(5, 6), strides=((0, 1, 0), (0, 0, 1)))


def test_addresses_leave_room_for_whole_bits_of_a_row():
    scatter = Scatter(counts=(2, 3), strides=((1, 0, 0), (0, 2, 1)))

    assert scatter.addresses(4) == ((16, 0), (2, 1))


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("is_input", [False, True])
def test_every_order_of_the_axes_has_loops(axes, is_input):
    planes = (6, 3, 4)
    memory = Layout(planes=planes, axes=axes).memory
    linear = conv(memory, planes, axes)
    places = reading_places(linear, memory, is_input=is_input)

    assert can_scatter(linear, places)
    assert is_turned(linear, memory, is_input=is_input) == (places != np.arange(72)).any()
    for word in divisors(6):
        found = scatter_of(linear, places, word)
        rows = [y * 4 * 6 + row * word + slot for y, row, slot in walked(found)]
        assert rows == places.tolist()


def test_what_is_seen_as_it_comes_is_not_turned():
    for axes, turned in (((2, 0, 1), False), ((2, 1, 0), False), ((0, 1, 2), True)):
        assert turned == is_turned(conv((30,), (5, 1, 6), axes), (30,), is_input=False)


def test_a_sum_over_pixels_reads_them_in_any_order_but_channels_together():
    pooled = Pooled(matrix=np.zeros((2, 6)), in_shape=(5, 1, 6), layout=TOKENS.layout)
    places = reading_places(pooled, (5, 1, 6), is_input=False)

    assert is_turned(pooled, (5, 1, 6), is_input=False)
    assert scatter_of(pooled, places, 3).counts == (5, 3, 2)


def test_channels_that_come_apart_have_no_loops():
    # what comes as (2, 3, 4) is read with 6 channels made of its first and last axes' halves
    numbers = np.arange(24).reshape(2, 3, 2, 2).transpose(1, 3, 0, 2).ravel()
    places = np.empty(24, np.int64)
    places[numbers] = np.arange(24)
    shuffled = np.random.default_rng(0).permutation(24)

    linear = conv((24,), (4, 1, 6), (2, 1, 0))
    assert not can_scatter(linear, places)
    assert not can_scatter(linear, shuffled)
    assert scatter_of(linear, shuffled, 1) is None
