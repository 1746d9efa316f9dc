"""Figures of the convolutional benches against numbers worked by hand."""

import numpy as np
import pytest

from signfire.sim.bulk import BulkResult
from signfire.sim.mismatch import Mismatch
from signfire.tools.bench_conv import bootstrap, in_a_row, paired, separation, windows


def test_paired_difference_counts_only_what_differs() -> None:
    right = np.array([True, True, False, False])
    exact = np.array([True, False, True, True])

    change, error = paired(right, exact)

    # 0, +1, -1, -1: a mean of -1/4, a variance of 3/4 - 1/16 = 11/16, over 4 samples
    assert change == pytest.approx(-25)
    assert error == pytest.approx(100 * (11 / 16 / 4) ** 0.5)


def test_equal_answers_have_no_error() -> None:
    assert paired(np.array([True, False]), np.array([True, False])) == (0, 0)


def test_separation_is_the_share_of_pairs_in_order() -> None:
    score = np.array([1.0, 2.0, 2.0, 3.0])
    anomalous = np.array([False, False, True, True])

    # (2, 1) and (3, 1), (3, 2) in order, (2, 2) half: 3.5 of 4
    assert separation(score, anomalous) == pytest.approx(3.5 / 4)


def test_interval_of_one_score_against_itself_is_nothing() -> None:
    rng = np.random.default_rng(0)
    score, anomalous = rng.normal(size=30), rng.integers(0, 2, 30) == 1

    assert bootstrap(score, score, anomalous) == (0, 0)
    low, high = bootstrap(score + 3 * anomalous, score, anomalous)
    assert 0 < low < high


def test_window_holds_five_frames_in_a_row() -> None:
    clips = np.arange(2 * 8 * 3).reshape(2, 8, 3)

    found = windows(clips)

    assert found.shape == (2, 4, 15)
    assert found[1, 2].tolist() == clips[1, 2:7].ravel().tolist()


@pytest.mark.parametrize(("wrong", "expected"), [((), 9), ((4, 6), 4), ((0,), 0), ((None,), 0)])
def test_samples_behind_a_difference_do_not_count(wrong: tuple, expected: int) -> None:
    found = BulkResult(
        samples=9,
        words=18,
        cycles=100,
        seconds=1.0,
        differing=len(wrong),
        mismatches=tuple(
            Mismatch(layer="fc", what="logit", cycle=7, expected=1, got=2, sample=sample)
            for sample in wrong
        ),
        labels=np.zeros(9, np.int64),
    )

    assert in_a_row(found) == expected
