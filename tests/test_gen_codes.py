"""Schedules and codes against hand-worked numbers."""

import re

import numpy as np
import pytest

from signfire.gen.model.codes import (
    MAX_STEPS,
    Schedule,
    SpikeCode,
    fire,
    integer_steps,
    make_code,
    moved,
)


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        (Schedule(kind="binary"), 4, (8, 4, 2, 1)),
        (Schedule(kind="binary"), 1, (1,)),
        (Schedule(kind="constant", eta0=0.1), 3, (1, 1, 1)),
        (Schedule(kind="list", values=(5, 3, 2)), 3, (5, 3, 2)),
        (Schedule(kind="list", values=(8, 4, 2)), 3, (4, 2, 1)),
        (Schedule(kind="list", values=(0.5, 0.25)), 2, (2, 1)),
        # 1024, 1024/2, 1024/3 = 341.3
        (Schedule(kind="inverse"), 3, (1024, 512, 341)),
        # 1024, 921.6, 829.44
        (Schedule(kind="exponential", gamma=0.9), 3, (1024, 922, 829)),
        # 1024·0.5^11 = 0.5 rounds to 1 and 1024·0.5^12 is raised to 1
        (Schedule(kind="exponential", gamma=0.5), 13, (*(2**k for k in range(10, -1, -1)), 1, 1)),
    ],
)  # fmt: skip
def test_integer_step_sizes(schedule, steps, expected):
    assert integer_steps(schedule, steps) == expected


def test_silent_code_starts_at_the_top_and_needs_no_event_for_zero():
    code = make_code(kind="silent", schedule=Schedule(), steps=3, low=0, high=7)

    assert (code.eta, code.rest, code.unit) == ((4, 2, 1), 7, 0.5)
    assert (code.low, code.high, code.zero) == (0, 14, 0)
    assert code.values.tolist() == [0, 2, 4, 6, 8, 10, 12, 14]


def test_binary_offset_code_holds_zero_exactly():
    code = make_code(kind="offset", schedule=Schedule(), steps=4, low=-3, high=12)

    # unit 15/30; z = 2·round(3/0.5/2) = 6
    assert (code.unit, code.rest, code.low, code.high, code.zero) == (0.5, 9, -6, 24, 0)


@pytest.mark.parametrize("steps", [2, 3, 5])
def test_binary_offset_code_holds_zero_wherever_the_range_lies(steps):
    lows = np.linspace(-20, -0.1, 60)

    codes = [
        make_code(kind="offset", schedule=Schedule(), steps=steps, low=low, high=7) for low in lows
    ]

    assert {0} == {code.zero for code in codes}
    assert len({code.rest for code in codes}) > 2


def test_binary_centred_code_turns_zero_into_minus_one():
    code = make_code(kind="centred", schedule=Schedule(), steps=3, low=-2, high=7)

    # 0 >= 0: -4; -4 < 0: -2; -2 < 0: -1
    assert (code.unit, code.rest, code.zero) == (1.0, 0, -1)


def test_eta0_is_a_fraction_of_the_scale():
    code = make_code(
        kind="centred",
        schedule=Schedule(kind="exponential", eta0=0.15, gamma=0.95),
        steps=16,
        low=-1,
        high=4,
    )

    assert code.eta[0] * code.unit == pytest.approx(0.15 * 4)


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_binary_settles_at_the_nearest_level_and_ties_go_down(steps):
    code = make_code(kind="silent", schedule=Schedule(), steps=steps, low=0, high=1)
    target = np.arange(-3, code.high + 4)

    # levels 0, 2, 4, ..; an odd target lies halfway
    expected = np.clip(target // 2 * 2, 0, code.high)
    assert code.settle(target).tolist() == expected.tolist()


def test_settling_follows_the_rule_step_by_step():
    code = SpikeCode(eta=(5, 3, 2), rest=1, unit=1.0)
    for target in range(code.low - 2, code.high + 4):
        v = code.rest
        for eta in code.eta:
            v = v - eta if v >= target else v + eta
        assert code.settle(np.array(target)) == v


def test_population_that_is_always_zero_gets_a_code():
    code = make_code(kind="silent", schedule=Schedule(), steps=4, low=0, high=0)

    assert code.unit > 0 and code.zero == 0


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Schedule(kind="square"), "schedule must be one of binary, exponential, inverse, "
         "constant, list, not 'square'"),
        (lambda: Schedule(eta0=0), "eta0 must be positive, not 0"),
        (lambda: Schedule(kind="exponential", gamma=1.5), "gamma must lie above 0 and not above 1, "
         "not 1.5"),
        (lambda: Schedule(kind="list"), "a schedule list needs step sizes, all of them positive"),
        (lambda: Schedule().relative(0), f"steps must lie in 1..{MAX_STEPS}, not 0"),
        (lambda: Schedule(kind="list", values=(2, 1)).relative(3), "the schedule list has 2 step "
         "sizes, but steps is 3"),
        (lambda: SpikeCode(eta=(2, 0), rest=0, unit=1.0), "eta needs 1 to 256 steps of at least 1, "
         "not (2, 0)"),
        (lambda: SpikeCode(eta=(1,), rest=0, unit=0.0), "unit must be positive, not 0.0"),
        (lambda: make_code(kind="loud", schedule=Schedule(), steps=2, low=0, high=1),
         "code must be one of silent, offset, centred, not 'loud'"),
        (lambda: make_code(kind="silent", schedule=Schedule(), steps=2, low=-1, high=1),
         "the silent code has no values below 0, and -1 was asked for (use offset)"),
    ],
)  # fmt: skip
def test_wrong_numbers_are_refused(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


def test_neurons_fire_by_hand():
    code = SpikeCode(eta=(4, 2, 1), rest=7, unit=1.0)

    # v: 7, 3, 1, 0 for f = 0 (7 >= 0, 3 >= 0, 1 >= 0); 7, 3, 5, 6 for f = 6 (7 >= 6, 3 < 6, 5 < 6);
    # 7, 3, 5, 4 for f = 5: at 5 it is equal, and no event is sent; 7, 11, 13, 14 for f = 14.
    targets = np.array([[0, 6], [5, 14]])
    assert code.trains(targets).tolist() == [
        [[False, False, False], [False, True, True]],
        [[False, True, False], [True, True, True]],
    ]
    assert code.settle(targets).tolist() == [[0, 6], [4, 14]]


def test_a_step_moves_each_neuron_against_its_own_target():
    event, v = fire(np.array([3.0, 3.0, -1.0]), np.array([3, 4, 0]), 2)

    assert event.tolist() == [False, True, True]
    assert v.tolist() == moved(np.array([3.0, 3.0, -1.0]), event, 2).tolist() == [1, 5, 1]
