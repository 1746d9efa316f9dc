"""The synapse array against a NumPy matrix product, every cycle."""

import numpy as np
import pytest

from signfire.hdl.synapses import SynapseArray, synapse_latency


def weighted_sums(weights: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Σ_u 2^(unroll-1-u) Σ_j weights[p][j]·events[u][j]: (pe, simd), (unroll, simd) -> (pe,)."""
    scale = 2 ** np.arange(len(events))[::-1]
    return weights @ (scale @ events)


def words(events: np.ndarray) -> list[int]:
    """Events of each step as one integer, input 0 in the lowest bit."""
    return [int(sum(int(bit) << j for j, bit in enumerate(step))) for step in events]


def test_model_by_hand():
    weights = np.array([[3, -2], [-7, 7]])
    events = np.array([[1, 0], [1, 1], [0, 1]])

    # 4·3 + 2·(3 - 2) + 1·(-2) = 12; 4·(-7) + 2·0 + 7 = -21
    assert [12, -21] == weighted_sums(weights, events).tolist()


@pytest.mark.parametrize(
    ("simd", "unroll", "latency"), [(1, 1, 1), (4, 1, 3), (3, 2, 4), (49, 4, 9), (1, 3, 3)]
)
def test_latency_is_gate_tree_and_join(simd, unroll, latency):
    assert latency == synapse_latency(simd=simd, unroll=unroll)
    # Gates within the first adders take no stage; one input has no adder.
    gated = synapse_latency(simd=simd, unroll=unroll, gated_adders=True)
    assert latency - (simd > 1) == gated


@pytest.mark.parametrize("gated_adders", [False, True])
@pytest.mark.parametrize(
    ("pe", "simd", "unroll", "weight_bits"),
    [(1, 1, 1, 2), (2, 3, 1, 4), (3, 4, 2, 4), (1, 5, 3, 8), (2, 2, 4, 3), (1, 49, 1, 4)],
)
def test_sums_of_every_word_appear_latency_cycles_later(
    play, pe, simd, unroll, weight_bits, gated_adders
):
    rng = np.random.default_rng(simd)
    limit = 1 << (weight_bits - 1)
    weights = rng.integers(-limit, limit, (40, pe, simd))
    events = rng.integers(0, 2, (40, unroll, simd))
    weights[0], events[0] = -limit, 1  # the least sum
    weights[1], events[1] = limit - 1, 1  # the greatest
    weights[2], events[2] = limit - 1, 0  # silence
    dut = SynapseArray(
        pe=pe, simd=simd, unroll=unroll, weight_bits=weight_bits, gated_adders=gated_adders
    )

    seen = play(
        dut,
        [{"weights": w.tolist(), "events": words(e)} for w, e in zip(weights, events, strict=True)],
        ["sums"],
    )

    assert dut.LATENCY == synapse_latency(simd=simd, unroll=unroll, gated_adders=gated_adders)
    expected = [weighted_sums(w, e).tolist() for w, e in zip(weights, events, strict=True)]
    assert expected[: 40 - dut.LATENCY] == [s["sums"] for s in seen[dut.LATENCY :]]


@pytest.mark.parametrize(("pe", "unroll", "weight_bits"), [(1, 1, 2), (4, 1, 4), (3, 3, 5)])
def test_outputs_apart_take_their_own_events_alone(play, pe, unroll, weight_bits):
    rng = np.random.default_rng(pe)
    limit = 1 << (weight_bits - 1)
    weights = rng.integers(-limit, limit, (40, pe, 1))
    events = rng.integers(0, 2, (40, unroll, pe))
    dut = SynapseArray(pe=pe, simd=1, unroll=unroll, weight_bits=weight_bits, apart=True)

    seen = play(
        dut,
        [{"weights": w.tolist(), "events": words(e)} for w, e in zip(weights, events, strict=True)],
        ["sums"],
    )

    scale = 2 ** np.arange(unroll)[::-1]
    expected = (weights[:, :, 0] * (scale @ events)).tolist()
    assert expected[: 40 - dut.LATENCY] == [s["sums"] for s in seen[dut.LATENCY :]]


@pytest.mark.parametrize("gated_adders", [False, True])
@pytest.mark.parametrize(("pe", "simd", "unroll"), [(2, 1, 1), (3, 4, 2), (1, 2, 1), (2, 5, 1)])
def test_a_first_input_of_an_outputs_own_may_have_a_wider_weight(
    play, pe, simd, unroll, gated_adders
):
    rng = np.random.default_rng(simd)
    first = rng.integers(-512, 512, (40, pe))
    others = rng.integers(-8, 8, (40, pe, simd - 1))
    own, shared = rng.integers(0, 2, (40, unroll, pe)), rng.integers(0, 2, (40, unroll, simd - 1))
    first[0], others[0], own[0], shared[0] = -512, -8, 1, 1  # the least sum
    dut = SynapseArray(
        pe=pe,
        simd=simd,
        unroll=unroll,
        weight_bits=4,
        apart=True,
        first_bits=10,
        gated_adders=gated_adders,
    )
    weights = [
        [{"first": f, "others": o} for f, o in zip(fs, os, strict=True)]
        for fs, os in zip(first.tolist(), others.tolist(), strict=True)
    ]
    events = np.concatenate([own, shared], axis=2)

    seen = play(
        dut,
        [{"weights": w, "events": words(e)} for w, e in zip(weights, events, strict=True)],
        ["sums"],
    )

    scale = 2 ** np.arange(unroll)[::-1]
    expected = first * (scale @ own) + (others * (scale @ shared)[:, None]).sum(axis=2)
    assert expected.tolist()[: 40 - dut.LATENCY] == [s["sums"] for s in seen[dut.LATENCY :]]
