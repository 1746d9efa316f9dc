"""The multiplier array against a NumPy matrix product, every cycle."""

import numpy as np
import pytest

from signfire.hdl.multiplier_array import (
    MultiplierArray,
    multiplier_latency,
    shared_groups,
    stored_weights,
)
from signfire.hdl.words import packed_width


def words(events: np.ndarray) -> list[int]:
    """Events of each step as one integer, input 0 in the lowest bit."""
    return [int(sum(int(bit) << j for j, bit in enumerate(step))) for step in events]


def stored(weights: np.ndarray, packed: int) -> list:
    """Weights (pe, simd) as they lie in memory: groups of ``packed`` outputs share a factor."""
    groups = [weights[list(g)] for g in shared_groups(pe=len(weights), packed=packed)]
    columns = [
        np.array([stored_weights(column) for column in group.T.tolist()]) for group in groups
    ]
    return np.concatenate([column.T for column in columns]).tolist()


def test_outputs_are_shared_evenly_among_the_fewest_multipliers():
    assert shared_groups(pe=4, packed=3) == [range(2), range(2, 4)]
    assert shared_groups(pe=5, packed=3) == [range(2), range(2, 5)]
    assert shared_groups(pe=3, packed=0) == [range(1), range(1, 2), range(2, 3)]


def test_a_field_below_0_borrows_of_the_one_above():
    assert stored_weights([3, 2, 1]) == [3, 2, 1]
    assert stored_weights([-3, 0, 1]) == [-3, -1, 0]
    assert stored_weights([-7, -7, -7]) == [-7, -8, -8]


@pytest.mark.parametrize(("weight_bits", "unroll", "packed"), [(4, 2, 3), (2, 1, 4), (8, 8, 2)])
def test_the_stored_fields_are_the_factor(weight_bits, unroll, packed):
    rng, limit = np.random.default_rng(0), 2 ** (weight_bits - 1) - 1
    field = weight_bits + unroll
    for weights in rng.integers(-limit, limit + 1, (50, packed)).tolist():
        fields = stored_weights(weights)

        assert min(fields) >= -limit - 1
        laid = sum((f & (1 << field) - 1) << field * i for i, f in enumerate(fields))
        factor = sum(w << field * i for i, w in enumerate(weights))
        assert factor == laid - (fields[-1] < 0) * (1 << field * packed)
        width = packed_width(weight_bits=weight_bits, unroll=unroll, packed=packed)
        assert -(1 << width - 1) <= factor < 1 << width - 1


@pytest.mark.parametrize(
    ("simd", "unroll", "packed", "latency"),
    [(1, 4, 1, 1), (1, 4, 2, 2), (8, 4, 1, 4), (3, 4, 3, 4), (4, 1, 0, 3), (4, 4, 0, 5)],
)
def test_latency_is_product_parting_and_tree(simd, unroll, packed, latency):
    assert latency == multiplier_latency(simd=simd, unroll=unroll, packed=packed)


@pytest.mark.parametrize(
    ("pe", "simd", "unroll", "weight_bits", "packed"),
    [
        (1, 1, 1, 2, 1),
        (4, 3, 2, 4, 3),  # two outputs a multiplier, as two multipliers it takes
        (5, 2, 2, 4, 3),  # three and two
        (3, 4, 4, 4, 2),
        (2, 5, 8, 8, 1),
        (3, 2, 3, 5, 3),
        (2, 3, 4, 4, 0),
        (1, 1, 1, 8, 0),
        (3, 2, 6, 3, 0),
    ],
)
def test_sums_of_every_word_appear_latency_cycles_later(
    play, pe, simd, unroll, weight_bits, packed
):
    rng = np.random.default_rng(simd)
    limit = 2 ** (weight_bits - 1) - 1
    weights = rng.integers(-limit, limit + 1, (40, pe, simd))
    events = rng.integers(0, 2, (40, unroll, simd))
    weights[0], events[0] = -limit, 1  # the least sum
    weights[1], events[1] = limit, 1  # the greatest
    weights[2], events[2] = -limit, 0  # silence
    weights[3], weights[3, ::2], events[3] = limit, -limit, 1  # every other field borrows
    dut = MultiplierArray(pe=pe, simd=simd, unroll=unroll, weight_bits=weight_bits, packed=packed)

    seen = play(
        dut,
        [
            {"weights": stored(w, packed), "events": words(e)}
            for w, e in zip(weights, events, strict=True)
        ],
        ["sums"],
    )

    scale = 2 ** np.arange(unroll)[::-1]
    expected = [(w @ (scale @ e)).tolist() for w, e in zip(weights, events, strict=True)]
    assert expected[: 40 - dut.LATENCY] == [s["sums"] for s in seen[dut.LATENCY :]]


@pytest.mark.parametrize(("pe", "unroll", "packed"), [(1, 1, 1), (4, 3, 1), (3, 3, 0)])
def test_outputs_apart_take_their_own_trains_alone(play, pe, unroll, packed):
    rng = np.random.default_rng(pe)
    weights = rng.integers(-7, 8, (40, pe, 1))
    events = rng.integers(0, 2, (40, unroll, pe))
    dut = MultiplierArray(pe=pe, simd=1, unroll=unroll, weight_bits=4, packed=packed, apart=True)

    seen = play(
        dut,
        [{"weights": w.tolist(), "events": words(e)} for w, e in zip(weights, events, strict=True)],
        ["sums"],
    )

    scale = 2 ** np.arange(unroll)[::-1]
    expected = (weights[:, :, 0] * (scale @ events)).tolist()
    assert expected[: 40 - dut.LATENCY] == [s["sums"] for s in seen[dut.LATENCY :]]


def test_outputs_apart_share_no_multiplier():
    with pytest.raises(ValueError) as error:
        MultiplierArray(pe=2, simd=1, unroll=1, weight_bits=4, packed=2, apart=True)

    assert str(error.value) == (
        "outputs with inputs of their own take simd 1 and share no multiplier, not simd 1 and 2 "
        "outputs a multiplier"
    )
