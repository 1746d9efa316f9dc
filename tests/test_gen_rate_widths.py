"""Membranes, currents and constants stay within the widths that are derived for them."""

import random

import numpy as np
import pytest

from signfire.gen.layers.rate.widths import RateWidths, reach


def sums_of(currents, theta: int) -> list[int]:
    """Return m(t) + I(t) at every step."""
    m, sums = 0, []
    for current in currents:
        sums.append(m + current)
        m = sums[-1] - theta * (sums[-1] >= theta)
    return sums


@pytest.mark.parametrize(
    ("low", "high", "theta", "steps"),
    [(-3, 2, 4, 5), (-1, 9, 4, 6), (1, 3, 5, 7), (-4, -1, 2, 3), (-5, 5, 1, 1)],
)
def test_reach_is_never_passed(low, high, theta, steps):
    least, greatest = reach(low=low, high=high, threshold=theta, steps=steps)
    rng = random.Random(steps)
    rows = [[low] * steps, [high] * steps]
    rows += [[rng.randint(low, high) for _ in range(steps)] for _ in range(300)]

    for row in rows:
        sums = sums_of(row, theta)
        assert least <= min(sums) - theta
        assert max(sums) <= greatest


def test_reach_by_hand():
    # never an event: -3 a step, and θ below it
    assert (-3 * 5 - 4, 3 + 2) == reach(low=-3, high=2, threshold=4, steps=5)
    # 9 a step and 4 given up: 3 beyond θ at first, then 5 more a step
    assert (-4, 3 + 5 * 5 + 9) == reach(low=0, high=9, threshold=4, steps=6)


def test_widths_by_hand():
    widths = RateWidths.of(
        low=np.array([-7, -2]),
        high=np.array([3, 8]),
        bias=np.array([1, -1]),
        threshold=np.array([4, 9]),
        steps=3,
    )

    assert 5 == widths.constants  # -10..1
    assert 5 == widths.current  # -12..7
    assert 6 == widths.membrane  # 3·-6 - 4 = -22; 3·-3 - 9 = -18
