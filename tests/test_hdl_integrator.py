"""Accumulator, drain and integrators against integer arithmetic, every cycle."""

import random

import pytest
from amaranth.hdl import signed

from signfire.hdl.integrator import (
    Accumulator,
    Drain,
    GroupOrder,
    ShiftIntegrator,
    WeightedIntegrator,
    pack_fields,
    weighted_latency,
)


def any_of(rng: random.Random, bits: int) -> int:
    """Return a signed number, the ends of the range as likely as all the rest."""
    limit = 1 << (bits - 1)
    return rng.choice([-limit, limit - 1, rng.randint(-limit, limit - 1)])


# -- accumulator -------------------------------------------------------------------------------


def horner(steps: list[list[int]], shift: int) -> list[int]:
    """Return the total after every word of a sum over steps of words."""
    totals, total = [], 0
    for step in steps:
        total <<= shift if shift else 0
        for word in step:
            total += word
            totals.append(total)
    return totals


def test_horner_by_hand():
    # (3 - 1)·2 + (4 + 4) = 12, then ·2 + (0 - 5) = 19
    assert [3, 2, 8, 12, 24, 19] == horner([[3, -1], [4, 4], [0, -5]], shift=1)
    assert [3, 2, 6, 10, 10, 5] == horner([[3, -1], [4, 4], [0, -5]], shift=0)


@pytest.mark.parametrize(
    ("pe", "bits", "words", "steps", "shift"),
    [(1, 4, 1, 1, 0), (2, 5, 3, 4, 1), (1, 8, 1, 3, 2), (3, 3, 2, 1, 1), (1, 6, 4, 2, 0)],
)
def test_total_stands_in_the_cycle_after_each_word(play, pe, bits, words, steps, shift):
    rng = random.Random(words)
    width = bits + (words - 1).bit_length() + steps * max(shift, 1)
    stimuli, expected = [], []
    for _ in range(6):
        sums = [
            [[any_of(rng, bits) for _ in range(pe)] for _ in range(words)] for _ in range(steps)
        ]
        lanes = [horner([[w[p] for w in step] for step in sums], shift) for p in range(pe)]
        for number, word in enumerate(w for step in sums for w in step):
            while rng.random() < 0.3:  # words may come with gaps; the total is held
                stimuli.append({"valid": 0, "first": rng.randint(0, 1), "step": rng.randint(0, 1)})
                expected.append(expected[-1] if expected else None)
            step, first = number % words == 0, number == 0
            stimuli.append({"valid": 1, "first": int(first), "step": int(step), "sums": word})
            expected.append([lane[number] for lane in lanes])
    dut = Accumulator(pe=pe, sum_shape=signed(bits), width=width, shift=shift)

    seen = play(dut, stimuli, ["total"])

    pairs = zip(expected[: -dut.LATENCY], seen[dut.LATENCY :], strict=True)
    assert all(total == s["total"] for total, s in pairs if total is not None)


# -- drain -------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [0, 1, 5])
@pytest.mark.parametrize(
    ("pe", "lanes", "pace"), [(1, 1, 1), (4, 4, 1), (4, 2, 1), (6, 1, 3), (6, 3, 4), (3, 3, 5)]
)
def test_groups_leave_in_order_at_their_pace(play, pe, lanes, pace, extra):
    rng = random.Random(pe)
    groups = pe // lanes
    apart = groups * pace + extra
    stimuli, expected = [], [(0, None)]
    for _ in range(5):
        results = [any_of(rng, 7) for _ in range(pe)]
        stimuli.append({"load": 1, "results": results})
        stimuli += [{"load": 0, "results": [rng.randint(-64, 63) for _ in range(pe)]}] * (apart - 1)
        for cycle in range(apart):
            group = cycle // pace
            if cycle % pace or group >= groups:
                expected.append((0, None))
            else:
                expected.append((1, results[group * lanes : (group + 1) * lanes]))
    dut = Drain(pe=pe, lanes=lanes, width=7, pace=pace)

    seen = play(dut, stimuli, ["valid", "group"])

    assert [(s["valid"], s["group"] if s["valid"] else None) for s in seen] == expected[:-1]


def test_a_group_is_held_until_the_next(play):
    dut = Drain(pe=4, lanes=2, width=5, pace=3)

    seen = play(dut, [{"load": 1, "results": [1, 2, 3, 4]}] + [{"load": 0}] * 7, ["group"])

    assert [[1, 2]] * 3 + [[3, 4]] * 3 == [s["group"] for s in seen[1:7]]


# -- constants ---------------------------------------------------------------------------------


def test_fields_are_packed_lowest_first_and_negative_ones_wrap():
    assert [0b1011_001, 0b0000_111] == pack_fields([[(1, 3), (-5, 4)], [(-1, 3), (0, 4)]])


@pytest.mark.parametrize(("groups", "steps", "tiles"), [(1, 1, 1), (3, 2, 2), (1, 4, 3), (4, 1, 2)])
def test_groups_steps_and_tiles_are_counted_inside_out(play, groups, steps, tiles):
    order = [
        {
            "group": group,
            "step": step,
            "constant": tile * groups + group,
            "first": int(step == 0),
            "last": int(step == steps - 1),
        }
        for tile in range(tiles)
        for step in range(steps)
        for group in range(groups)
    ]
    rng = random.Random(groups)
    proceeds = [rng.randint(0, 1) for _ in range(6 * len(order))]
    dut = GroupOrder(groups=groups, steps=steps, tiles=tiles)

    seen = play(dut, [{"proceed": proceed} for proceed in proceeds], list(order[0]))

    expected = [order[sum(proceeds[:cycle]) % len(order)] for cycle in range(len(proceeds))]
    assert expected == seen


# -- binary schedules --------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["block", "logic"])
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize(
    ("outputs", "lanes", "width", "factor_bits"), [(1, 1, 3, 4), (6, 2, 9, 0), (4, 4, 5, 16)]
)
def test_x_is_bias_and_the_total_moved_up(play, outputs, lanes, width, factor_bits, style, shift):
    rng = random.Random(outputs)
    bias = [any_of(rng, width) for _ in range(outputs)]
    factor = [rng.getrandbits(factor_bits) if factor_bits else 0 for _ in range(outputs)]
    dut = ShiftIntegrator(
        lanes=lanes,
        total_width=width,
        x_width=width + 2,
        bias=bias,
        factor=factor,
        factor_bits=factor_bits,
        style=style,
        shift=shift,
    )
    stimuli, expected, group = [], [], 0
    for _ in range(60):
        valid, totals = rng.randint(0, 1), [any_of(rng, width) for _ in range(lanes)]
        stimuli.append({"valid": valid, "total": totals})
        mine = range(group * lanes, (group + 1) * lanes)
        if valid:
            group = (group + 1) % (outputs // lanes)
            x = [bias[i] + (total << shift) for i, total in zip(mine, totals, strict=True)]
            expected.append({"x_valid": 1, "x": x, "factor": [factor[i] for i in mine], "last": 1})
        else:
            expected.append({"x_valid": 0})

    seen = play(dut, stimuli, ["x_valid", "x", "factor", "last"])

    for wanted, actual in zip(expected, seen[dut.LATENCY :], strict=False):
        assert wanted == {name: actual[name] for name in wanted}


# -- other schedules ---------------------------------------------------------------------------


def integrate(start: int, row: int, eta: list[int], sums: list[int]) -> list[int]:
    """Return x after every step: x <- x + eta[t]·(2·sum - row)."""
    x, after = start, []
    for step, total in zip(eta, sums, strict=True):
        x += step * (2 * total - row)
        after.append(x)
    return after


def test_integration_by_hand():
    # row 4: without events x falls by 4·eta, with all of them it rises by 4·eta
    assert [10 - 12, -2 + 20, 18 + 0] == integrate(10, 4, [3, 5, 7], [0, 4, 2])


@pytest.mark.parametrize("spare", [0, 4])
@pytest.mark.parametrize("kind", ["dsp", "lut"])
@pytest.mark.parametrize(
    ("lanes", "groups", "tiles", "eta", "factor_bits"),
    [
        (1, 3, 1, (5,), 3),
        (1, 1, 2, (9, 4, 2, 1), 0),
        (2, 4, 3, (1, 1, 1), 8),
        (3, 2, 1, (1024, 973, 924, 878, 834), 16),
    ],
)
def test_x_after_every_step_appears_latency_cycles_later(
    play, lanes, groups, tiles, eta, factor_bits, kind, spare
):
    rng = random.Random(groups)
    outputs, sum_width = lanes * groups * tiles, 6
    start = [any_of(rng, 9) for _ in range(outputs)]
    row = [any_of(rng, 6) for _ in range(outputs)]
    factor = [rng.getrandbits(factor_bits) if factor_bits else 0 for _ in range(outputs)]
    dut = WeightedIntegrator(
        lanes=lanes,
        groups=groups,
        sum_width=sum_width,
        x_width=10 + (sum(eta) * 3 * 32).bit_length(),
        eta=eta,
        start=start,
        row=row,
        factor=factor,
        factor_bits=factor_bits,
        kind=kind,
        style="auto",
    )
    # groups of a step follow each other at once; steps no sooner than FEEDBACK cycles apart
    pause = max(0, WeightedIntegrator.FEEDBACK - groups) + spare
    stimuli, expected = [], []
    for tile in list(range(tiles)) * 3:  # three samples
        sums = [[any_of(rng, sum_width) for _ in eta] for _ in range(lanes * groups)]
        base = tile * lanes * groups
        xs = [
            integrate(start[base + i], row[base + i], eta, sums[i]) for i in range(lanes * groups)
        ]
        for t in range(len(eta)):
            for group in range(groups):
                mine = range(group * lanes, (group + 1) * lanes)
                stimuli.append({"valid": 1, "total": [sums[i][t] for i in mine]})
                expected.append(
                    {
                        "x_valid": 1,
                        "x": [xs[i][t] for i in mine],
                        "factor": [factor[base + i] for i in mine],
                        "last": int(t == len(eta) - 1),
                    }
                )
            stimuli += [{"valid": 0}] * pause
            expected += [{"x_valid": 0}] * pause

    seen = play(dut, stimuli, ["x_valid", "x", "factor", "last"])

    assert dut.LATENCY == weighted_latency(kind=kind, eta_bits=max(eta).bit_length())
    for wanted, actual in zip(expected, seen[dut.LATENCY :], strict=False):
        assert wanted == {name: actual[name] for name in wanted}
