"""The training script rounds as it says, and gives the same weights for the same seed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from signfire.tools.mnist_mlp import mlp32
from signfire.tools.train_mnist import (
    main,
    quantise_activations,
    quantise_pixels,
    quantise_rows,
    quantised_forward,
)


def test_pixels_go_to_the_nearest_level_and_ties_go_down() -> None:
    pixels = torch.tensor([0.0, 42.0, 42.5, 43.0, 127.0, 127.5, 128.0, 213.0, 255.0])

    levels = quantise_pixels(pixels, 2) / 85

    assert levels.tolist() == [0, 0, 0, 1, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rows_become_symmetric_integers_times_a_scale_of_their_own(bits: int) -> None:
    weight = torch.randn(5, 3000, generator=torch.Generator().manual_seed(1))

    rounded = quantise_rows(weight, bits)

    for row in rounded:
        levels = row.abs().unique()
        unit = levels[levels > 0].min()
        assert torch.allclose(row / unit, (row / unit).round(), atol=1e-4)
        assert (row / unit).abs().max().round() <= 2 ** (bits - 1) - 1
    error = (rounded - weight).square().sum(dim=1)
    assert (error <= quantise_plainly(weight, bits)).all()


def quantise_plainly(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Return each row's squared error without clipping."""
    scale = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    return (torch.round(weight / scale) * scale - weight).square().sum(dim=1) + 1e-6


def test_gradient_passes_straight_through_the_rounding() -> None:
    weight = torch.randn(3, 8, requires_grad=True)

    quantise_rows(weight, 4).sum().backward()

    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.ones(3, 8))


def test_activations_have_at_most_the_levels_of_their_steps() -> None:
    x = torch.relu(torch.randn(500, generator=torch.Generator().manual_seed(1)))

    assert len(quantise_activations(x, 3, 3.0).unique()) == 8


def test_wide_numbers_change_nothing() -> None:
    model = mlp32().eval()
    pixels = torch.randint(0, 256, (20, 28, 28)).float()

    rounded = quantised_forward(model, pixels, weight_bits=16, input_steps=8, steps=16, clip=20.0)

    assert torch.allclose(rounded, model(pixels), atol=1e-2)
    assert not any(layer._forward_hooks for layer in model.modules() if isinstance(layer, nn.ReLU))


def test_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    y = random.integers(0, 10, 600).astype(np.uint8)
    x = np.zeros((600, 28, 28), np.uint8)
    x[np.arange(600), y, y] = 255
    np.savez(tmp_path / "data.npz", x=x, y=y)

    states = []
    for seed, folder in ((1, "a"), (1, "b"), (2, "c")):
        arguments = ["--data", tmp_path / "data.npz", "--test", tmp_path / "data.npz"]
        arguments += ["--model", "mlp32", "--epochs", 1, "--seed", seed, "--out", tmp_path / folder]
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        states.append(torch.load(tmp_path / folder / "mnist_mlp32.pth", weights_only=True))

    a, b, c = (state["fc1.weight"] for state in states)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
