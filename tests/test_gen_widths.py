"""Widths follow measured sensitivities and keep to their budget."""

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import LayerOptions, Options
from signfire.gen.convert.widths import WIDTHS, Sensitivity, choose, measure
from signfire.sim.specimens.chains import random_planes_network


def layer(weights: int, scale: float) -> Sensitivity:
    return Sensitivity(weights=weights, loss={bits: scale * 4.0**-bits for bits in WIDTHS})


@pytest.fixture
def found() -> dict[str, Sensitivity]:
    return {"a": layer(100, 1.0), "b": layer(1000, 1.0), "c": layer(100, 64.0)}


@pytest.mark.parametrize("budget", [2, 3.3, 5, 8])
def test_mean_is_at_most_the_budget_and_as_near_as_a_bit(found, budget) -> None:
    widths = choose(found, budget)

    mean = sum(found[name].weights * bits for name, bits in widths.items()) / 1200
    assert budget - 1 < mean <= budget
    assert set(widths) == set(found) and set(widths.values()) <= set(WIDTHS)


def test_sensitive_and_small_layers_get_more(found) -> None:
    widths = choose(found, 2.5)

    assert widths["c"] > widths["a"] > widths["b"]


def test_width_that_is_given_stays(found) -> None:
    assert choose(found, 4, {"b": 3})["b"] == 3


def test_budget_that_given_widths_exceed_is_refused(found) -> None:
    with pytest.raises(
        ValueError,
        match=r"^a mean of 3 bits cannot be had: the widths given and 2 bits for the rest take "
        r"7\.00$",
    ):
        choose(found, 3, {"b": 8})


def test_measured_loss_falls_with_the_width() -> None:
    network = random_planes_network(seed=2)
    samples = np.random.default_rng(0).normal(size=(40, *network.input.shape))

    found = measure(network, samples)

    assert {name: s.weights for name, s in found.items()} == {
        "conv1": 4 * 2 * 9,
        "depth": 4 * 9,
        "join": 6 * 4,
        "out": 3 * 6,
    }
    for sensitivity in found.values():
        losses = [sensitivity.loss[bits] for bits in WIDTHS]
        assert losses[0] > losses[2] > losses[4] > losses[6]


def test_conversion_keeps_the_budget_and_the_layers_own_width() -> None:
    network = random_planes_network(seed=2)
    samples = np.random.default_rng(0).integers(0, 256, (40, *network.input.shape), np.uint8)
    options = Options(budget_bits=4, layers={"join": LayerOptions(weight_bits=3)})

    design = calibrate(network, samples, options)

    widths = {
        p.name: q.weight_bits for p in design.populations for q in p.sources if not q.map.fixed
    }
    weights = {p.name: q.map.weights.size for p in design.populations for q in p.sources}
    assert widths["join"] == 3
    total = sum(widths[name] * weights[name] for name in widths)
    assert total <= 4 * sum(weights[name] for name in widths)
    assert len(set(widths.values())) > 1
    assert design.provenance["options"]["budget_bits"] == 4
