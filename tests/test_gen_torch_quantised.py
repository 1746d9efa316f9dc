"""Models trained with quantisation keep their scales: integers and steps are taken over."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao import quantization
from torch.nn import functional as F

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.convert.quantise import grid
from signfire.gen.front.export import import_network
from signfire.sim import golden


@pytest.fixture
def trained() -> tuple[nn.Module, np.ndarray]:
    """Return a convolutional network after some quantisation-aware training, and samples."""
    torch.manual_seed(3)
    torch.set_num_threads(1)
    model = nn.Sequential(
        quantization.QuantStub(),
        nn.Conv2d(2, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(72, 3),
    )
    model = quantization.fuse_modules_qat(model.train(), [["1", "2", "3"], ["4", "5", "6"]])
    model.qconfig = quantization.get_default_qat_qconfig("fbgemm")
    model[8].qconfig = quantization.QConfig(
        activation=nn.Identity, weight=quantization.default_weight_fake_quant
    )
    model = quantization.prepare_qat(model)
    x = torch.randn(64, 2, 8, 8)
    optimiser = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(8):
        optimiser.zero_grad()
        F.mse_loss(model(x), x.mean((2, 3)) @ torch.ones(2, 3)).backward()
        optimiser.step()
    return model, x.numpy()


def test_model_is_read_with_frozen_scales_and_left_as_it_was(trained) -> None:
    model, x = trained
    scale = model[1].activation_post_process.scale.clone()

    network = import_network(model, x)

    conv = network["1"]
    assert conv.step == pytest.approx(float(scale))
    assert conv.limit == pytest.approx(127 * float(scale)) and conv.low == 0
    assert network.input.step is not None and network.input.low < 0
    assert isinstance(model[1].activation_post_process, quantization.FakeQuantizeBase)
    assert torch.equal(model[1].activation_post_process.scale, scale)


def test_integers_and_steps_of_the_training_are_those_of_the_design(trained) -> None:
    model, x = trained
    network = import_network(model, x)

    design = calibrate(network, x, Options(steps=7, weight_bits=8, input_steps=8))

    for name in ("1", "4"):
        layer = getattr(model, name)
        gain = layer.bn.weight / torch.sqrt(layer.bn.running_var + layer.bn.eps)
        fake = layer.weight_fake_quant
        wanted = torch.clamp(
            torch.round(layer.weight * gain.reshape(-1, 1, 1, 1) / fake.scale.reshape(-1, 1, 1, 1)),
            -128,
            127,
        )
        found = next(design[name].sources).map.kernel
        assert np.array_equal(np.abs(found), np.abs(wanted.detach().numpy()))
        # values are multiples of two units, 0..127 of them: those of the quantised training
        assert 2 * design[name].code.unit == pytest.approx(network[name].step)
        assert design[name].code.high // 2 == 127


def test_golden_model_answers_as_the_quantised_training_does(trained) -> None:
    model, x = trained
    network = import_network(model, x)
    exact = network.answers(x)

    design = calibrate(network, x, Options(steps=7, weight_bits=8, input_steps=8))

    logits = golden.run(design, design.raw_samples(x)).logits * design.readout.operands[0].scale
    # factors of 16 bits and biases in float leave some sums a step away
    assert ((logits - exact) ** 2).mean() < 1e-4 * (exact**2).mean()


def test_grid_is_found_where_there_is_one() -> None:
    rng = np.random.default_rng(0)
    q = rng.integers(-127, 128, (8, 9)).astype(float)
    q[:, 0] = 127
    q[3] = 0
    steps = rng.uniform(0.01, 0.02, 8)

    found = grid((q * steps[:, None]).astype(np.float32).astype(float))

    keep = np.arange(8) != 3
    assert np.allclose(found[keep], steps[keep], rtol=1e-5)
    assert grid(rng.normal(size=(8, 9))) is None
    assert grid(q * steps[:, None], shared=True) is None
    assert np.allclose(grid(q * 0.5, shared=True), 0.5)


def test_few_weights_prove_no_grid() -> None:
    assert grid(np.array([[1.0, 2.0]])) is None


def test_exported_weights_on_a_grid_are_taken_over_at_their_own_width() -> None:
    """As Brevitas exports them: plain tensors, each channel a multiple of its own scale."""
    rng = np.random.default_rng(4)
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3))
    q = rng.integers(-7, 8, (6, 2, 3, 3))
    q[:, 0, 0, 0], q[:, 0, 0, 1] = 7, 6  # no divisor in common
    scale = rng.uniform(0.01, 0.05, (6, 1, 1, 1))
    model[0].weight.data = torch.tensor(q * scale, dtype=torch.float32)
    x = rng.integers(0, 256, (40, 2, 6, 6), np.uint8)
    network = import_network(model, x)

    design = calibrate(network, x, Options(steps=6, weight_bits=4, equalise=0))
    searched = calibrate(network, x, Options(steps=6, weight_bits=3))

    found = next(design["0"].sources).map
    assert np.array_equal(found.kernel, q)
    real = design["0"].operands[0].scale / design.input.code.unit
    np.testing.assert_allclose(real, scale.ravel(), rtol=1e-4)
    assert np.abs(next(searched["0"].sources).map.kernel).max() == 3
