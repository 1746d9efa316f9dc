"""Equalised networks compute what they did, with channels of one range."""

import numpy as np
import pytest

from signfire.gen.equalise import equalise, levelled
from signfire.gen.specimen import random_planes_network


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
