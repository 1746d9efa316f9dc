"""Levels found in floats against the rules of firing, for every sum that there can be."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.model.codes import Schedule, SpikeCode
from signfire.gen.model.ties import TIES
from signfire.sim import golden
from signfire.sim.specimens.chains import random_design
from signfire.sim.staircase import Levels, Staircase

BOUND = 20_000  # of the sums
BINARY = {steps: tuple(2 ** (steps - 1 - t) for t in range(steps)) for steps in (1, 3, 6)}


def code_of(eta: tuple[int, ...], rest: int) -> SpikeCode:
    return SpikeCode(eta=eta, rest=rest, unit=1.0)


def settle_of(stairs: Staircase, multiplier, shift: int, ties: str, first: int, last: int):
    """Return v(T) of integrators, (k, channels) int64, by the rules alone."""

    def settle(x: np.ndarray) -> np.ndarray:
        target = np.clip(golden.requantise(x, multiplier, shift, ties), first, last)
        return stairs.values[stairs.index(target)].astype(np.int64)

    return settle


def found(code: SpikeCode, *, ties: str = "down", first: int, last: int, bound: int, seed: int = 0):
    """Return the levels of three channels, their bias, and the rule."""
    rng = np.random.default_rng(seed)
    stairs = Staircase(code)
    multiplier, shift = np.array([1, *rng.integers(2, 1 << 16, 2)]), 12
    bias = rng.integers(-50, 50, 3)
    settle = settle_of(stairs, multiplier, shift, ties, first, last)
    levels = Levels.of(
        settle,
        stairs,
        multiplier=multiplier,
        shift=shift,
        bias=bias,
        low=-bound,
        high=bound,
        first=first,
        last=last,
    )
    return levels, bias, settle


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("steps", BINARY)
@pytest.mark.parametrize("rest", ["silent", "offset", "centred"])
def test_every_sum_says_what_the_rules_say(ties, steps, rest) -> None:
    eta = BINARY[steps]
    code = code_of(eta, {"silent": sum(eta), "offset": 1, "centred": 0}[rest])
    for function, first in {"linear": code.low, "relu": max(code.low, 0)}.items():
        for last in (code.high + 1, max(first + 2, code.high // 2)):
            x = np.arange(-BOUND, BOUND + 1)[:, None] + np.zeros(3, np.int64)
            levels, bias, settle = found(code, ties=ties, first=first, last=last, bound=BOUND)
            if len(np.unique(settle(x))) < 2:
                continue

            if levels is None:  # whole sums lie on both sides of a tie, of which one goes up
                assert ties == "even" and rest != "silent", function
                continue
            assert np.array_equal(levels.values(levels.level(x - bias)), settle(x))


def test_levels_that_are_not_equally_far_apart_have_no_such_form() -> None:
    for eta in ((5, 3, 1), (1024, 973, 924)):
        levels, _, _ = found(code_of(eta, sum(eta)), first=0, last=2 * sum(eta) + 1, bound=9000)

        assert levels is None


def test_a_level_that_begins_one_sum_late_or_early_is_not_exact() -> None:
    levels, bias, settle = found(code_of((4, 2, 1), 7), first=0, last=15, bound=BOUND)
    x = np.arange(-BOUND, BOUND + 1)[:, None] + np.zeros(3, np.int64)
    said = settle(x)
    begins = np.array(
        [
            [x[:, c][said[:, c] >= v].min(initial=BOUND + 1) for c in range(3)]
            for v in range(2, 15, 2)
        ]
    )
    ends = (-BOUND - bias, BOUND - bias)

    assert levels is not None and levels.exact(begins - bias, *ends)
    for late in (-1, 1):
        moved = begins.copy()
        moved[2, 1] += late
        assert not levels.exact(moved - bias, *ends)


def test_sums_beyond_float32_are_looked_at_in_float64() -> None:
    """A slope so small that float32 cannot tell two sums apart where a level begins."""
    code = code_of(tuple(2 ** (9 - t) for t in range(10)), 1023)
    stairs = Staircase(code)
    multiplier, shift = np.array([40_009]), 28
    settle = settle_of(stairs, multiplier, shift, "down", 0, 2047)
    levels = Levels.of(
        settle,
        stairs,
        multiplier=multiplier,
        shift=shift,
        bias=np.array([12_345]),
        low=-(2**23),
        high=2**23,
        first=0,
        last=2047,
    )
    x = np.random.default_rng(1).integers(-(2**23), 2**23, (100_000, 1))

    assert levels is not None and levels.slope.dtype == np.float64
    assert np.array_equal(levels.values(levels.level(x - 12_345)), settle(x))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_samples_of_any_integer_type_say_the_same(dtype) -> None:
    design = random_design(sizes=(40, 12, 5), input_steps=2)
    rng = np.random.default_rng(3)
    raw = rng.integers(0, design.input_format.high + 1, (64, 40))
    raw[:, 7:25] = 0  # silent throughout

    said = golden.run(design, raw.astype(dtype))

    assert said.logits.tolist() == [golden.trace(design, one).logits.tolist() for one in raw]


def test_inputs_that_are_silent_in_a_batch_are_not_multiplied() -> None:
    design = random_design(sizes=(40, 12, 5), input_steps=2)
    raw = np.random.default_rng(3).integers(0, design.input_format.high + 1, (300, 40))
    raw[:, 7:25] = 0
    answer = golden.ClosedForm(design, False)

    logits, _ = answer(raw)

    assert answer.heard is not None and answer.heard.tolist() == [*range(7), *range(25, 40)]
    assert np.array_equal(logits, golden.run(design, raw, count_events=True).logits)
    raw[:, 9] = design.input_format.high
    other, _ = answer(raw)
    assert 9 in set(answer.heard) and not np.array_equal(other, logits)


def test_an_input_whose_0_stands_for_another_number_is_not_silent() -> None:
    """The centred code has no 0: of these step sizes its nearest value is -1."""
    design = random_design(sizes=(40, 12, 5), input_steps=2)
    code = replace(design.input.spike_code, rest=0)
    design = replace(
        design, populations=(replace(design.input, code=code), *design.populations[1:])
    )
    raw = np.random.default_rng(3).integers(0, design.input_format.high + 1, (300, 40))
    raw[:, 7:25] = 0

    said = golden.run(design, raw)

    assert said.logits[:5].tolist() == [golden.trace(design, p).logits.tolist() for p in raw[:5]]


def test_chains_of_equal_levels_are_followed_without_targets() -> None:
    design = random_design(sizes=(20, 12, 8, 5))
    raw = np.random.default_rng(3).integers(0, design.input_format.high + 1, (300, 20))
    answer = golden.ClosedForm(design, False)

    answer(raw)

    assert all(answer.levels_of(p, 300) for p in design.populations[:-1])
    schedule = Schedule(kind="exponential")
    uneven = random_design(sizes=(20, 12, 5), schedule=schedule)
    assert golden.ClosedForm(uneven, False).levels_of(uneven["fc1"], 300) is None
