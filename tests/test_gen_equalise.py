"""Equalised networks compute what they did, with channels of one range."""

import numpy as np
import pytest

from signfire.gen.convert.equalise import equalise, levelled
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.sim.specimens.chains import random_planes_network


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_equalised_network_computes_the_same(strength) -> None:
    network = random_planes_network(seed=3)
    x = np.random.default_rng(0).normal(size=(4, *network.input.shape))
    before, _ = network.forward(x)

    def units(population):
        return np.abs(before[population.name]).max(
            axis=(0, *range(2, 2 + len(population.shape) - 1))
        )

    changed, factors = equalise(network, units, strength=strength)
    after, _ = changed.forward(x)

    np.testing.assert_allclose(after[network.readout.name], before[network.readout.name])
    for name, factor in factors.items():
        ratio = before[name] / factor.reshape(-1, *[1] * (before[name].ndim - 2))
        np.testing.assert_allclose(after[name], ratio)
    assert bool(factors) and (strength == 0) == all(np.all(k == 1) for k in factors.values())


def test_channels_come_to_one_range() -> None:
    network = random_planes_network(seed=4)
    x = np.random.default_rng(0).normal(size=(8, *network.input.shape))
    before, _ = network.forward(x)

    def greatest(outputs, name):
        return outputs[name].max(axis=(0, *range(2, outputs[name].ndim)))

    changed, _ = equalise(network, lambda p: greatest(before, p.name))
    after, _ = changed.forward(x)

    reached = greatest(after, "conv1")
    assert np.allclose(reached[reached > 0], reached.max())


def test_silent_channel_keeps_the_middle() -> None:
    assert np.allclose(levelled(np.array([4.0, 0.0, 1.0])), [2.0, 1.0, 0.5])
    assert np.allclose(levelled(np.zeros(2)), 1)


@pytest.mark.parametrize(
    ("function", "moved"), [("leaky_relu", True), ("abs", True), ("gelu", False), ("tanh", False)]
)
def test_only_functions_that_keep_their_shape_are_rescaled(function, moved):
    rng = np.random.default_rng(0)

    def layer(name, function, source, n_out, n_in):
        projection = Projection(source=source, map=Dense(rng.normal(size=(n_out, n_in)), (n_in,)))
        operand = Operand(projections=(projection,), bias=rng.normal(size=n_out))
        return Population(name=name, shape=(n_out,), function=function, operands=(operand,))

    network = Network(
        name="net",
        populations=(
            Population(name="input", shape=(3,), function="input"),
            layer("fc1", function, "input", 4, 3),
            layer("fc2", "readout", "fc1", 2, 4),
        ),
    )
    x = rng.normal(size=(20, 3))

    found, factors = equalise(network, lambda _: np.array([0.5, 1.0, 2.0, 8.0]))

    assert ("fc1" in factors) == moved
    np.testing.assert_allclose(found.answers(x), network.answers(x), rtol=1e-9)
