"""Input steps: chosen by what they cost, whatever the network."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options, parse_schedule
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.tools import api, input_steps, verdict


def dense(name, function, source, weights, bias):
    projection = Projection(source=source, map=Dense(weights, (weights.shape[1],)))
    operand = Operand(projections=(projection,), bias=bias)
    return Population(name=name, shape=(len(weights),), function=function, operands=(operand,))


def network(gain: float = 0.7) -> Network:
    rng = np.random.default_rng(2)
    return Network(
        name="net",
        populations=(
            Population(name="input", shape=(8,), function="input"),
            dense("fc1", "relu", "input", rng.normal(0, gain, (16, 8)), rng.normal(0, 0.2, 16)),
            dense("fc2", "readout", "fc1", rng.normal(0, 0.5, (4, 16)), np.zeros(4)),
        ),
    )


FINE = np.random.default_rng(0).uniform(0, 1, (300, 8))
TWO = (FINE > 0.5) * 1.0  # all that they say is said by one step


@pytest.mark.parametrize(("samples", "least", "most"), [(FINE, 4, 8), (TWO, 1, 1), (TWO > 0, 1, 1)])
def test_steps_follow_what_the_samples_need(samples, least, most):
    chosen = input_steps.choose(network(), samples, Options(weight_bits=8, steps=6))

    assert least <= chosen.steps <= most


def test_coarse_layers_need_no_fine_input():
    fine = input_steps.choose(network(), FINE, Options(weight_bits=8, steps=8))
    coarse = input_steps.choose(network(), FINE, Options(weight_bits=2, steps=2))

    assert coarse.steps < fine.steps


def test_choice_keeps_what_it_promises():
    options = Options(weight_bits=6, steps=5)
    chosen = input_steps.choose(network(), FINE, options)
    exact = network().answers(FINE)

    def found(steps: int) -> verdict.Agreement:
        design = calibrate(network(), FINE, replace(options, input_steps=steps))
        return verdict.compare(network(), exact, verdict.outputs(design, FINE))

    best, own, less = found(8), found(chosen.steps), found(chosen.steps - 1)
    assert chosen.finest == 8 and chosen.samples == 300
    assert own.rmse**2 <= 2 * best.rmse**2 and own.loss <= best.loss + 1
    assert less.rmse**2 > 2 * best.rmse**2 or less.loss > best.loss + 1
    assert chosen.tried[8][0] == 1 and f"T = {chosen.steps}" in chosen.said


def test_explicit_steps_and_other_ways_of_firing_are_left_alone():
    paper = parse_schedule("exponential:0.15,0.95")

    assert input_steps.is_open(network(), Options())
    assert not input_steps.is_open(network(), Options(input_steps=2))
    overlapped = Options(firing="overlapped", schedule=paper, steps=8)
    assert not input_steps.is_open(network(), overlapped)
    assert not input_steps.is_open(network(), Options(dynamics="if", steps=8))


@pytest.mark.parametrize(
    ("words", "steps", "listed"),
    [
        ("binary", 4, list(range(1, 9))),
        ("list:8,4,2,1", 4, [1, 2, 3, 4]),
        ("exponential:0.15,0.95", 16, [1, 2, 3, 4, 6, 8, 12, 16]),
    ],
)
def test_other_schedules_are_tried_up_to_their_own_ends(words, steps, listed):
    options = Options(schedule=parse_schedule(words), steps=steps)

    assert input_steps.ladder(network(), FINE, options) == listed


def test_fewest_that_serves_is_found_with_few_looks():
    looked: list[int] = []

    def serves(steps: int) -> bool:
        looked.append(steps)
        return steps >= 5

    assert input_steps.fewest(range(1, 9), serves) == 5
    assert len(looked) <= 3 and 8 not in looked
    assert input_steps.fewest([3], serves) == 3


def test_conversion_takes_and_records_the_choice(monkeypatch):
    monkeypatch.setattr(api, "loaded", lambda model, x, **_: (network(), None))
    data = api.Dataset(path="memory", x=FINE, y=None)

    found = api.convert(None, data, Options(weight_bits=8, steps=6), judge=False)

    chosen = input_steps.choose(network(), FINE, Options(weight_bits=8, steps=6))
    assert found.design.input.train_code.steps == chosen.steps
    assert found.design.provenance["input_steps"]["steps"] == chosen.steps
    assert api.options_of(found.design).input_steps == chosen.steps
