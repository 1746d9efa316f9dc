"""Function tables and clamps against their equations, every cycle; numbers by hand."""

import random

import pytest

from signfire.hdl.function_table import Clamp, FunctionTable, table_latency

ENTRIES = (-3, -1, 0, 4)
BY_HAND = [(-8, -3), (-1, -3), (0, -3), (1, -1), (2, 0), (3, 4), (4, 4), (7, 4)]  # position, target


@pytest.mark.parametrize("registered", [False, True])
def test_an_address_beyond_the_table_takes_the_entry_at_its_end(play, registered):
    dut = FunctionTable(lanes=1, position_width=4, entries=ENTRIES, registered=registered)
    stimuli = [{"valid": 1, "position": [position]} for position, _ in BY_HAND]

    seen = play(dut, [*stimuli, *[{"valid": 0}] * dut.LATENCY], ["target_valid", "target"])

    assert table_latency(registered=registered) == dut.LATENCY
    assert [cycle["target_valid"] for cycle in seen] == [0] * dut.LATENCY + [1] * len(BY_HAND)
    assert [[t] for _, t in BY_HAND] == [c["target"] for c in seen[dut.LATENCY :]]


@pytest.mark.parametrize(
    ("lanes", "width", "n"), [(1, 9, 2), (2, 3, 8), (3, 4, 8), (2, 5, 8), (2, 12, 64), (1, 3, 16)]
)
def test_every_width_of_position_reads_its_entry(play, lanes, width, n):
    rng = random.Random(width)
    entries = [rng.randint(-100, 100) for _ in range(n)]
    dut = FunctionTable(lanes=lanes, position_width=width, entries=entries)
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    corners = [low, high, -1, 0, min(n - 1, high), min(n, high)]
    groups = [
        [rng.choice([*corners, rng.randint(low, high)]) for _ in range(lanes)] for _ in range(60)
    ]

    seen = play(dut, [{"valid": 1, "position": g} for g in groups], ["target"])

    expected = [[entries[min(max(p, 0), n - 1)] for p in g] for g in groups]
    assert expected[: len(groups) - dut.LATENCY] == [c["target"] for c in seen[dut.LATENCY :]]


def test_a_table_is_as_wide_as_its_entries():
    assert len(FunctionTable(lanes=1, position_width=4, entries=ENTRIES).target[0]) == 4


@pytest.mark.parametrize("n", [0, 1, 3, 6])
def test_a_table_of_another_length_is_refused(n):
    message = f"^the entries of a function table are a power of two, not {n}$"
    with pytest.raises(ValueError, match=message):
        FunctionTable(lanes=1, position_width=4, entries=[0] * n)


@pytest.mark.parametrize(("low", "high"), [(0, 5), (-4, 3), (-7, -7), (-2, 40)])
def test_clamp_keeps_what_lies_between_its_ends(play, low, high):
    dut = Clamp(lanes=2, position_width=5, low=low, high=high)
    groups = [[p, -1 - p] for p in range(-16, 16)]

    seen = play(dut, [{"valid": 1, "position": g} for g in groups], ["target_valid", "target"])

    expected = [[min(max(p, low), high) for p in g] for g in groups]
    assert expected[:-1] == [cycle["target"] for cycle in seen[1:]]
    assert [cycle["target_valid"] for cycle in seen] == [0] + [1] * 31


def test_clamp_whose_end_lies_below_its_start_is_refused():
    with pytest.raises(ValueError, match=r"^a clamp needs an end above its start, not 3\.\.2$"):
        Clamp(lanes=1, position_width=4, low=3, high=2)
