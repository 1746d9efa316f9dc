"""Layers keep what they were trained for: steps, ranges, biases beside weights of nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.operand import between_levels, common_step
from signfire.gen.convert.options import LayerOptions, Options
from signfire.gen.design.folding import MULTIPLY, Folding
from signfire.gen.front.export import import_network
from signfire.sim import golden
from signfire.sim.specimens.chains import random_design

X = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float32)
FINE = dict(weight_bits=8, input_steps=8)


class Rounded(nn.Module):
    """Two layers; what the first says is rounded to whole steps of a range."""

    def __init__(self, function, step: float, zero: int, low: int, high: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b = nn.Linear(16, 24), nn.Linear(24, 5)
        self.a.weight.data.mul_(12)  # so that sums pass the ends of the range
        self.function, self.grid = function, (step, zero, low, high)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.fake_quantize_per_tensor_affine(self.function(self.a(x)), *self.grid))


def said(design, name: str) -> np.ndarray:
    """Return the values that neurons of a layer settle at, in units of its code."""
    found = [golden.trace(design, raw).populations[name] for raw in design.raw_samples(X[:20])]
    return np.array([trace.membranes[-1] for trace in found])


def same(x: torch.Tensor) -> torch.Tensor:
    return x


@pytest.mark.parametrize(
    ("function", "grid", "steps", "low", "top"),
    [
        (same, (0.125, 0, -7, 7), 4, -14, 14),
        (same, (0.125, 0, -7, 7), 6, -14, 14),
        (same, (0.125, 0, -7, 7), None, -14, 14),
        (same, (0.1, 3, 0, 15), 4, -6, 24),
        (torch.relu, (0.125, 0, -128, 127), 8, 0, 254),
        (torch.relu, (0.02, 0, 0, 20), None, 0, 40),
        (nn.functional.gelu, (0.0625, 3, 0, 12), None, -6, 18),
        (nn.functional.leaky_relu, (0.1, 0, -2, 9), 5, -4, 18),
    ],
)
def test_trained_step_is_kept_and_the_range_becomes_a_clamp(function, grid, steps, low, top):
    model = Rounded(function, *grid)

    design = calibrate(import_network(model, X), X, Options(steps=steps, **FINE))

    layer = design.populations[1]
    values = said(design, layer.name)
    assert layer.code.unit == pytest.approx(grid[0] / 2)
    assert (low, top) == (layer.code.low, layer.limit or layer.code.high)
    assert not (values % 2).any() and values.min() >= low and values.max() <= top
    assert values.max() == top
    if steps is None:  # the fewest steps of as many levels
        assert 2 ** (layer.code.steps - 1) < (top - low) / 2 + 1 <= 2**layer.code.steps


def test_narrow_range_answers_as_the_training_does():
    model = Rounded(same, 0.125, 0, -7, 7)
    network = import_network(model, X)

    design = calibrate(network, X, Options(**FINE))

    logits = golden.run(design, design.raw_samples(X)).logits * design.readout.operands[0].scale
    exact = network.answers(X)
    assert ((logits - exact) ** 2).mean() < 1e-3 * (exact**2).mean()


def test_fewer_levels_than_trained_span_the_range_of_the_training():
    design = calibrate(import_network(Rounded(torch.relu, 0.02, 0, 0, 255), X), X, Options(steps=4))

    code = design.populations[1].code
    assert 4 == code.steps and code.high * code.unit == pytest.approx(255 * 0.02)


def test_layer_option_goes_before_the_training():
    network = import_network(Rounded(torch.relu, 0.02, 0, 0, 20), X)
    name = network.populations[1].name

    design = calibrate(network, X, Options(layers={name: LayerOptions(steps=7)}, **FINE))

    assert 7 == design[name].code.steps and 40 == design[name].limit


def test_trained_input_enters_in_its_own_steps():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(16, 3)

        def forward(self, x):
            return self.fc(torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -12, 15))

    network = import_network(Net(), X)

    design = calibrate(network, X, Options())

    raw = design.raw_samples(X)
    trains = golden.trace(design, raw[0]).populations["input"].membranes[-1]
    assert np.array_equal(np.clip(np.rint(X.astype(float) / 0.1), -12, 15), raw)
    assert np.array_equal(2 * raw[0], trains)
    assert 5 == design.input.code.steps


def test_what_something_else_reads_too_is_rounded_in_a_copy():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(16, 8), nn.Linear(8, 3), nn.Linear(8, 3)

        def forward(self, x):
            y = torch.relu(self.a(x))
            return self.b(y) + self.c(torch.fake_quantize_per_tensor_affine(y, 0.5, 0, 0, 3))

    network = import_network(Net(), X)

    assert [None, None, 0.5] == [p.step for p in network.populations[:3]]
    assert ["a", "a_2"] == [p.name for p in network.populations[1:3]]


def test_a_maximum_of_rounded_values_is_not_rounded_again():
    class Net(nn.Module):
        def __init__(self, high):
            super().__init__()
            self.conv, self.fc = nn.Conv1d(1, 2, 3, padding=1), nn.Linear(16, 3)
            self.high = high

        def forward(self, x):
            y = torch.relu(self.conv(x.unsqueeze(1)))
            y = torch.fake_quantize_per_tensor_affine(y, 0.25, 0, 0, 7)
            y = nn.functional.max_pool1d(y, 2)
            y = torch.fake_quantize_per_tensor_affine(y, 0.25, 0, 0, self.high)
            return self.fc(y.flatten(1))

    kept, clamped = (import_network(Net(high), X) for high in (7, 3))

    assert ["input", "relu", "max", "readout"] == [p.function for p in kept.populations]
    assert ["input", "relu", "max", "relu", "readout"] == [p.function for p in clamped.populations]
    design = calibrate(kept, X, Options(**FINE))
    assert design.populations[1].code == design.populations[2].code


def test_layers_that_are_summed_take_one_t():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(16, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x):
            y = torch.fake_quantize_per_tensor_affine(torch.relu(self.a(x)), 0.125, 0, 0, 15)
            z = torch.fake_quantize_per_tensor_affine(self.b(y), 0.25, 0, -31, 31)
            return self.c(torch.fake_quantize_per_tensor_affine(y + z, 0.5, 0, -7, 7))

    design = calibrate(import_network(Net(), X), X, Options())

    assert [6, 6, 4] == [p.code.steps for p in design.populations[1:-1]]
    assert [30, 62, 14] == [p.limit for p in design.populations[1:-1]]
    assert [1, 2] == [int(q.map.weights.max()) for q in design.populations[3].sources]


# -- biases ----------------------------------------------------------------------------------------


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.net = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
        with torch.no_grad():
            self.net[2].bias.copy_(torch.tensor([0.1, 0.5, -0.3]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def without(*places, layer: int, to: float = 0.0) -> nn.Module:
    """Return a perceptron with weights of a layer set to a number."""
    model = Perceptron()
    with torch.no_grad():
        model.net[layer].weight[places or slice(None)] = to
    return model


@pytest.mark.parametrize(
    "options", [Options(), Options(steps=6, **FINE), Options(firing="overlapped", steps=8)]
)
@pytest.mark.parametrize(
    "model",
    [
        without(layer=2),
        without(layer=2, to=1e-20),
        without(1, layer=2),
        without(layer=0),
    ],
    ids=["no read-out", "hardly a read-out", "an output", "no hidden layer"],
)
def test_biases_are_kept_where_there_are_no_weights(model, options):
    network = import_network(model, X)

    design = calibrate(network, X, options)

    logits = golden.run(design, design.raw_samples(X)).logits * design.readout.operands[0].scale
    alone = ~np.abs(network.readout.operands[0].projections[0].map.weights > 1e-9).any(axis=1)
    alone |= not model.net[0].weight.any()
    assert alone.any()
    np.testing.assert_allclose(logits[:, alone], network.answers(X)[:, alone], atol=4e-3)


def test_a_hidden_row_without_weights_keeps_its_bias():
    model = without(slice(4), layer=0)
    model.net[0].bias.data[:4] = torch.tensor([0.01, 0.02, 0.3, -0.1])
    design = calibrate(import_network(model, X), X, Options(steps=6, **FINE))

    layer = design.populations[1]
    values = said(design, layer.name)[:, :4] * layer.code.unit
    assert np.abs(values - [0.01, 0.02, 0.3, 0]).max() <= 1.01 * layer.code.unit


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_whole_bias_leaves_every_sum_on_its_side(level):
    sums = np.arange(-60, 61)[:, None] * 2
    biases = np.array([-3.0, -2.5, -1.2, -0.2, 0.0, 0.1, 0.9, 1.0, 1.1, 1.999, 2.0, 3.0, 7.3])
    thresholds = (2 * np.arange(-9, 9) + 1)[:, None, None] * level

    whole = between_levels(biases, np.array(float(level)))

    assert np.array_equal(np.sign(sums + whole - thresholds), np.sign(sums + biases - thresholds))


def test_a_common_step_is_found_where_there_is_one():
    assert 0.25 == common_step(np.array([1.0, -0.75, 0, 0.5]), 100)
    assert common_step(np.array([0.3, 0.1 + 1e-9]), 100) == pytest.approx(0.1)
    assert common_step(np.array([1.0, 0.2501]), 100) is None
    assert common_step(np.array([1.0, 1 / 64]), 10) is None
    assert common_step(np.zeros(3), 10) is None


# -- the least weight ------------------------------------------------------------------------------


def least_weights():
    """Return a design of 4-bit weights that are -8, and of a factor for each layer of 25 bits.

    It is folded so that outputs would share multipliers.
    """
    folding = {
        "input": Folding(pe=2),
        "fc1": Folding(pe=6, simd=4, synapse=MULTIPLY),
        "fc2": Folding(pe=2, simd=3, synapse=MULTIPLY),
    }
    design = random_design(seed=2, folding=folding)
    for name in ("fc1", "fc2"):
        (projection,) = design[name].sources
        projection.map.weights[::2, ::3] = -8  # in place: of this test's own
    hidden = design["fc1"]
    (operand,) = hidden.operands
    spread = np.arange(len(operand.multiplier)) * 12345
    wide = replace(
        operand, multiplier=(operand.multiplier << 20) + spread, shift=operand.shift + 20
    )
    populations = [replace(p, operands=(wide,)) if p is hidden else p for p in design.populations]
    return replace(design, populations=tuple(populations))


def test_weights_of_minus_two_to_the_power_compute_in_hardware_what_they_say(run_core):
    from signfire.gen.core.core import Core

    design = least_weights()
    core = Core(design, "ecp5")
    raw = np.random.default_rng(3).integers(0, 256, (3, 8))

    run = run_core(core, raw)

    assert 2**20 < design["fc1"].operands[0].multiplier.max()
    assert [1, 1] == [layer.plan.packed for layer in core.layers]
    wanted = [golden.trace(design, sample).logits.tolist() for sample in raw]
    assert wanted == np.reshape([r["logit"] for r in run.results], (3, 4)).tolist()
