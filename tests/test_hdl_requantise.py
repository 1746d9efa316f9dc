"""Requantisation against exact fractions, every cycle."""

import random
from fractions import Fraction
from math import ceil

import pytest

from signfire.hdl.requantise import Requantiser, ceil_shift, requantiser_latency, target_shift

ROUNDING = [  # x, factor, shift, F by hand
    (0, 5, 3, 0),
    (1, 1, 1, 1),  # 1/2 -> 1
    (-1, 1, 1, 0),  # -1/2 -> 0
    (8, 1, 3, 1),  # exactly 1
    (9, 1, 3, 2),  # 9/8 -> 2
    (-8, 1, 3, -1),
    (-9, 1, 3, -1),  # -9/8 -> -1
    (-7, 3, 2, -5),  # -21/4 -> -5
    (7, 3, 2, 6),  # 21/4 -> 6
]


@pytest.mark.parametrize(("x", "factor", "shift", "target"), ROUNDING)
def test_rounding_is_up(x, factor, shift, target):
    assert target == ceil_shift(x * factor, shift)
    assert target == ceil(Fraction(x * factor, 2**shift))


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("x", "factor", "shift", "target"), ROUNDING)
def test_rtl_rounds_up_and_cuts_off_below_zero(play, x, factor, shift, target, relu):
    dut = Requantiser(
        lanes=1, x_width=5, factor_bits=3, shift=shift, target_width=8, kind="dsp", relu=relu
    )

    seen = play(dut, [{"x": [x], "factor": [factor]}] * (dut.LATENCY + 1), ["target"])

    assert [max(target, 0) if relu else target] == seen[-1]["target"]


TIES = {  # x -> F of x/4 by rule, by hand: of 3, 7, -1 and -5 the level below is odd
    "down": {4: 1, 5: 2, 12: 3, 20: 5, 28: 7, -4: -1, -12: -3, -20: -5, 8: 2},
    "up": {4: 2, 5: 2, 12: 4, 20: 6, 28: 8, -4: 0, -12: -2, -20: -4, 8: 3},
    "even": {4: 1, 5: 2, 12: 4, 20: 5, 28: 8, -4: 0, -12: -3, -20: -4, 8: 2},
}


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("ties", TIES)
def test_ties_go_as_the_rule_says(play, ties, relu):
    dut = Requantiser(
        lanes=1,
        x_width=6,
        factor_bits=1,
        shift=2,
        target_width=6,
        kind="dsp",
        relu=relu,
        ties=ties,
    )

    late = dut.LATENCY
    seen = play(dut, [{"x": [x], "factor": [1]} for x in [*TIES[ties], *[0] * late]], ["target"])

    wanted = [max(0, target) if relu else target for target in TIES[ties].values()]
    assert wanted == [word["target"][0] for word in seen[late:]]
    assert list(TIES[ties].values()) == [target_shift(x, 2, ties) for x in TIES[ties]]


@pytest.mark.parametrize("ties", ["up", "even"])
@pytest.mark.parametrize(
    ("x_width", "factor_bits", "shift", "first"), [(3, 2, 6, 0), (6, 3, 1, -5)]
)
def test_narrow_and_wide_products_settle_ties(play, ties, x_width, factor_bits, shift, first):
    dut = Requantiser(
        lanes=1,
        x_width=x_width,
        factor_bits=factor_bits,
        shift=shift,
        target_width=10,
        kind="lut",
        relu=False,
        first=first,
        ties=ties,
    )
    xs = range(-(1 << x_width - 1), 1 << x_width - 1)
    pairs = [(x, m) for x in xs for m in range(1 << factor_bits)]

    late = dut.LATENCY
    stimuli = [{"x": [x], "factor": [m]} for x, m in [*pairs, *[(0, 0)] * late]]
    seen = play(dut, stimuli, ["target"])

    wanted = [target_shift(x * m, shift, ties) - first for x, m in pairs]
    assert wanted == [word["target"][0] for word in seen[late:]]


@pytest.mark.parametrize("kind", ["dsp", "lut"])
@pytest.mark.parametrize(
    ("lanes", "x_width", "factor_bits", "shift"),
    [(1, 1, 1, 1), (1, 8, 3, 4), (3, 15, 8, 10), (2, 22, 16, 20), (1, 6, 16, 1)],
)
def test_targets_of_every_group_appear_latency_cycles_later(
    play, kind, lanes, x_width, factor_bits, shift
):
    rng = random.Random(shift)
    limit, greatest = 1 << (x_width - 1), (1 << factor_bits) - 1
    width = (ceil_shift(limit * greatest, shift)).bit_length() + 1
    groups = [
        [
            (
                rng.choice([-limit, limit - 1, 0, rng.randint(-limit, limit - 1)]),
                rng.choice([1, greatest, rng.randint(0, greatest)]),
            )
            for _ in range(lanes)
        ]
        for _ in range(60)
    ]
    valids = [rng.randint(0, 1) for _ in groups]
    dut = Requantiser(
        lanes=lanes,
        x_width=x_width,
        factor_bits=factor_bits,
        shift=shift,
        target_width=width,
        kind=kind,
    )

    seen = play(
        dut,
        [
            {"valid": valid, "x": [x for x, _ in group], "factor": [m for _, m in group]}
            for valid, group in zip(valids, groups, strict=True)
        ],
        ["target_valid", "target"],
    )

    late = dut.LATENCY
    assert late == requantiser_latency(kind=kind, factor_bits=factor_bits)
    assert [0] * late + valids[:-late] == [s["target_valid"] for s in seen]
    assert [[max(0, ceil_shift(x * m, shift)) for x, m in group] for group in groups[:-late]] == [
        s["target"] for s in seen[late:]
    ]
