"""Flipped events: what one of them does, how many there are, and that none is none."""

import re
from functools import partial

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.sim import event_flips, golden


def network() -> Network:
    rng = np.random.default_rng(0)

    def dense(name, function, source, n_in, n_out):
        linear = Dense(rng.normal(0, 0.6, (n_out, n_in)), (n_in,))
        operand = Operand(
            projections=(Projection(source=source, map=linear),), bias=rng.normal(0, 0.1, n_out)
        )
        return Population(name=name, shape=(n_out,), function=function, operands=(operand,))

    first = Population(name="input", shape=(6,), function="input")
    hidden = dense("fc1", "relu", "input", 6, 20)
    return Network(name="n", populations=(first, hidden, dense("fc2", "readout", "fc1", 20, 4)))


def design_of(kind: str):
    samples = np.random.default_rng(1).uniform(0, 1, (60, 6))
    options = {
        "settled": Options(weight_bits=8, steps=5, input_steps=5),
        "overlapped": Options(weight_bits=8, steps=6, firing="overlapped"),
        "if": Options(weight_bits=8, steps=9, dynamics="if"),
        "lif": Options(weight_bits=8, steps=9, dynamics="lif", leak=2),
    }[kind]
    design = calibrate(network(), samples, options)
    return design, design.raw_samples(samples)


KINDS = ("settled", "overlapped", "if", "lif")


@pytest.mark.parametrize("kind", KINDS)
def test_no_flips_change_nothing(kind):
    design, raw = design_of(kind)

    tiny = event_flips.run(design, raw, rate=1e-12)
    assert (tiny == golden.run(design, raw).logits).all()
    assert (event_flips.run(design, raw, rate=0) == tiny).all()


@pytest.mark.parametrize("kind", ["settled", "overlapped"])
def test_all_flipped_turn_every_value_about_rest(kind):
    """V' = rest + Σ η σ where v = rest - Σ η σ, in the first population at least."""
    design, raw = design_of(kind)
    answer = event_flips.FlippedSignGD(design, event_flips.Flips(1.0, 0))
    plain = golden.ClosedForm(design, False)
    run, same = (partial(each._settled, keep=True) for each in (answer, plain))
    if kind == "overlapped":
        run, same = answer._overlapped, plain._overlapped

    flipped, straight = run(raw)[0]["input"], same(raw)[0]["input"]

    assert (flipped == 2 * design.input.code.rest - straight).all()


def test_all_flipped_events_of_rate_codes_arrive_where_there_were_none():
    answer = event_flips.FlippedIntegrateFire(design_of("if")[0], event_flips.Flips(1.0, 0))
    events = np.array([[True, False, True]])

    assert answer.arriving(events).tolist() == [[False, True, False]]


@pytest.mark.parametrize("rate", [0.002, 0.3])
def test_rate_is_the_share_that_is_flipped(rate):
    drawn = event_flips.Flips(rate, 3).draw((400, 1000))

    assert drawn.mean() == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_more_flips_leave_less_of_the_answer(kind):
    design, raw = design_of(kind)
    exact = golden.run(design, raw).logits

    errors = [
        np.abs(event_flips.run(design, raw, rate=rate, seed=1) - exact).mean()
        for rate in (0.003, 0.05, 0.4)
    ]

    assert 0 < errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_flip_the_same_events(kind):
    design, raw = design_of(kind)

    first, same, other = (
        event_flips.run(design, raw, rate=0.05, seed=seed).tolist() for seed in (1, 1, 2)
    )

    assert first == same != other


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_rate_beyond_all_events_is_refused(rate):
    design, raw = design_of("settled")
    with pytest.raises(ValueError, match=re.escape(f"must lie in 0..1, not {rate:g}")):
        event_flips.run(design, raw, rate=rate)
