"""Rounding of weights: limits, scales, and less error than rounding to nearest."""

import itertools

import numpy as np
import pytest

from signfire.gen.convert.quantise import (
    FRACTIONS,
    FewInputs,
    Rounder,
    quantise_rows,
    widest_scales,
)


def correlated_inputs(seed: int, fan_in: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(400, 4)) @ rng.normal(size=(4, fan_in)) + 0.3 * rng.normal(
        size=(400, fan_in)
    )


def output_error(rows, found, inputs):
    difference = inputs @ (rows - found.weights * found.scale[:, None]).T
    return (difference**2).mean(axis=0)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_feedback_leaves_less_error_at_the_output_than_rounding_to_nearest(bits):
    rng = np.random.default_rng(bits)
    inputs = correlated_inputs(bits, 24)
    rows, limits = rng.normal(size=(6, 24)), np.full(24, 2.0 ** (bits - 1) - 1)
    errors = {}
    for feedback in (True, False):
        rounder = Rounder(inputs.T @ inputs / len(inputs), feedback=feedback)
        found = quantise_rows(rows, rounder, limits, snap=lambda scale: scale)
        assert np.abs(found.weights).max() <= limits[0]
        errors[feedback] = output_error(rows, found, inputs)

    assert errors[True].sum() < 0.7 * errors[False].sum()


@pytest.mark.parametrize("shared", [False, True])
def test_the_scale_of_the_least_error_is_taken(shared):
    rng = np.random.default_rng(5)
    inputs, rows, limits = correlated_inputs(5, 12), rng.normal(size=(6, 12)), np.full(12, 3.0)
    rounder = Rounder(inputs.T @ inputs / len(inputs))

    found = quantise_rows(rows, rounder, limits, snap=lambda scale: scale, shared=shared)

    least = rounder.error(rows, found.scale, found.weights)
    for fraction in FRACTIONS:
        scale = widest_scales(rows, limits, shared=shared) * fraction
        error = rounder.error(rows, scale, rounder.round(rows, scale, limits))
        if shared:
            assert least.sum() <= error.sum() * (1 + 1e-12)
        else:
            assert (least <= error * (1 + 1e-12)).all()


def test_stated_error_is_the_error_of_the_output():
    rng = np.random.default_rng(0)
    inputs, rows, scale = correlated_inputs(0, 5), rng.normal(size=(3, 5)), np.full(3, 0.4)
    rounder = Rounder(inputs.T @ inputs / len(inputs))
    integers = rounder.round(rows, scale, np.full(5, 7.0))

    stated = rounder.error(rows, scale, integers)

    measured = ((inputs @ (rows - 0.4 * integers).T) ** 2).mean(axis=0)
    assert stated == pytest.approx(measured)


def test_feedback_comes_close_to_the_best_of_all_roundings():
    """Three weights of one bit and a sign: all 27 roundings can be tried."""
    for seed in range(10):
        inputs = correlated_inputs(seed, 3)
        rows, scale = np.random.default_rng(seed).uniform(-1, 1, (1, 3)), np.ones(1)
        rounder = Rounder(inputs.T @ inputs / len(inputs))
        every = [np.array([q]) for q in itertools.product((-1, 0, 1), repeat=3)]
        errors = sorted(float(rounder.error(rows, scale, q)[0]) for q in every)

        reached = rounder.error(rows, scale, rounder.round(rows, scale, np.ones(3)))

        assert reached <= errors[len(errors) // 4]


def test_independent_inputs_round_to_nearest():
    rows = np.array([[0.6, -1.4, 2.2]])

    integers = Rounder(np.diag([1.0, 2.0, 3.0])).round(rows, np.ones(1), np.full(3, 2.0))

    assert integers.tolist() == [[1, -1, 2]]


def test_inputs_that_never_fire_do_no_harm():
    found = quantise_rows(
        np.array([[0.5, 1.0]]), Rounder(np.zeros((2, 2))), np.full(2, 7.0), snap=lambda s: s
    )

    assert np.isfinite(found.scale).all() and np.abs(found.weights).max() <= 7


def test_shared_scale_is_one_for_all_rows_and_snapped():
    rng = np.random.default_rng(2)
    inputs, rows = correlated_inputs(2, 8), rng.normal(size=(4, 8)) * np.array([[1], [2], [3], [9]])
    rounder = Rounder(inputs.T @ inputs / len(inputs))

    def snap(scale):
        return np.ceil(scale * 8) / 8

    found = quantise_rows(rows, rounder, np.full(8, 7.0), snap=snap, shared=True)

    assert len(set(found.scale)) == 1
    assert (found.scale * 8 % 1 == 0).all()


def test_widest_scale_clips_nothing_and_a_row_of_zeros_gets_one():
    rows = np.array([[3.5, -7.0], [0.0, 0.0]])

    assert widest_scales(rows, np.full(2, 7.0)).tolist() == [1.0, 1.0]
    assert widest_scales(np.zeros((2, 2)), np.full(2, 7.0)).tolist() == [1.0, 1.0]


def test_groups_are_rounded_as_each_would_be_alone():
    rng = np.random.default_rng(12)
    inputs = rng.normal(size=(3, 200, 7)) @ rng.normal(size=(3, 7, 7))
    moments = inputs.swapaxes(1, 2) @ inputs / 200
    rows = rng.normal(size=(6, 7))
    scale, limits = rng.uniform(0.2, 0.4, 6), np.full(7, 7.0)

    together = Rounder(moments)
    q = together.round(rows, scale, limits)
    error = together.error(rows, scale, q)

    for g in range(3):
        own, alone = slice(2 * g, 2 * g + 2), Rounder(moments[g])
        assert np.array_equal(q[own], alone.round(rows[own], scale[own], limits))
        np.testing.assert_allclose(error[own], alone.error(rows[own], scale[own], q[own]))


@pytest.mark.parametrize("count", [1, 7, 60])
@pytest.mark.parametrize("feedback", [False, True])
def test_few_inputs_round_as_their_moments_do(count, feedback):
    """Some inputs never fire, and some are equally active."""
    rng = np.random.default_rng(count)
    inputs = rng.integers(0, 30, (count, 4)) @ rng.normal(size=(4, 40)) + rng.normal(
        size=(count, 40)
    )
    inputs[:, [3, 17, 18]] = 0
    rows, limits = rng.normal(size=(5, 40)), rng.integers(1, 8, 40).astype(np.float64)
    scale = rng.uniform(0.05, 0.5, 5)
    whole = Rounder(inputs.T @ inputs / count, feedback=feedback)
    few = FewInputs(inputs, feedback=feedback)

    integers = few.round(rows, scale, limits)

    assert np.array_equal(integers, whole.round(rows, scale, limits))
    assert np.any(integers != Rounder(np.eye(40)).round(rows, scale, limits)) or not feedback
    error = few.error(rows, scale, integers)
    np.testing.assert_allclose(error, whole.error(rows, scale, integers), atol=1e-9)


def test_inputs_none_of_which_fires_round_to_nearest():
    rows = np.array([[0.4, 1.6, -2.4]])

    integers = FewInputs(np.zeros((2, 3))).round(rows, np.ones(1), np.full(3, 2.0))

    assert integers.tolist() == [[0, 2, -2]]
