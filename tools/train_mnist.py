"""Train the example's networks on MNIST and write their weights and the example's images.

Half of the batches see what the hardware will do: pixels of few levels, weights of few bits,
activations of few levels, with the gradient passed straight through the rounding. The other half
see floats, so the model is good before and after the conversion.
"""

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from .mnist_cnn import cnn
from .mnist_mlp import gelu128, mlp32, mlp128

FACTORIES: Mapping[str, Callable[[], nn.Module]] = {
    "mlp128": mlp128,
    "mlp32": mlp32,
    "gelu128": gelu128,
    "cnn": cnn,
}
BATCH = 256
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02
TEST_IMAGES = 2000  # how many of the test file's first images the repository keeps
CALIBRATION_IMAGES = 512
CLIPS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4)  # fractions of a row's greatest weight that are tried


def straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """Return ``rounded`` with the gradient of ``x``."""
    return x + (rounded - x).detach()


def quantise_pixels(pixels: Tensor, steps: int) -> Tensor:
    """Round 0..255 to the nearest of 2^steps levels, ties down."""
    top = 2**steps - 1
    return torch.ceil(pixels * (top / 255) - 0.5) * (255 / top)


def quantise_rows(weight: Tensor, bits: int) -> Tensor:
    """Round each row to symmetric integers times the scale of least squared error.

    Parameters
    ----------
    weight
        (n_out, n_in), or the kernel of a convolution, a row for each output channel.
    bits
        2..8
    """
    if weight.ndim > 2:
        return quantise_rows(weight.flatten(1), bits).reshape(weight.shape)
    top = 2 ** (bits - 1) - 1
    with torch.no_grad():
        peak = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
        tried = []
        for clip in CLIPS:
            scale = peak * (clip / top)
            tried.append(torch.clamp(torch.round(weight / scale), -top, top) * scale)
        errors = torch.stack([(t - weight).square().sum(dim=1) for t in tried])
        rounded = torch.stack(tried)[errors.argmin(dim=0), torch.arange(len(weight))]
    return straight_through(weight, rounded)


def quantise_activations(x: Tensor, steps: int, clip: float) -> Tensor:
    """Round to 2^steps levels from 0 to ``clip`` times the root mean square, ties down."""
    top = 2**steps - 1
    with torch.no_grad():
        unit = clip * x.square().mean().sqrt().clamp(min=1e-6) / top
    limited = torch.minimum(x, unit * top)
    return straight_through(limited, torch.ceil(limited / unit - 0.5) * unit)


@contextmanager
def quantised_activations(model: nn.Module, steps: int, clip: float):
    """Let every ReLU of ``model`` answer in 2^steps levels."""

    def quantised(layer: nn.Module, inputs: tuple, out: torch.Tensor) -> torch.Tensor:
        return quantise_activations(out, steps, clip)

    handles = [
        layer.register_forward_hook(quantised)
        for layer in model.modules()
        if isinstance(layer, nn.ReLU)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def quantised_forward(
    model: nn.Module, pixels: Tensor, *, weight_bits: int, input_steps: int, steps: int, clip: float
) -> Tensor:
    """Evaluate ``model`` about as its design will.

    Batch normalisation scales whole rows of the weights in front of it, and each row has a scale
    of its own: rounding before or after the folding is the same.
    """
    weights = {
        name: quantise_rows(p, weight_bits)
        for name, p in model.named_parameters()
        if name.endswith("weight") and p.ndim >= 2
    }
    with quantised_activations(model, steps, clip):
        return functional_call(model, weights, (quantise_pixels(pixels, input_steps),))


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, stretch and move each image a little; (n, 28, 28) floats in and out."""
    n = len(images)

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    angle, shear = between(-0.14, 0.14), between(-0.1, 0.1)
    wide, high = between(0.92, 1.08), between(0.92, 1.08)
    row_x = torch.stack([wide * angle.cos(), shear - angle.sin(), between(-0.1, 0.1)], dim=1)
    row_y = torch.stack([angle.sin(), high * angle.cos(), between(-0.1, 0.1)], dim=1)
    grid = F.affine_grid(torch.stack([row_x, row_y], dim=1), [n, 1, 28, 28], align_corners=False)
    return F.grid_sample(images[:, None], grid, align_corners=False)[:, 0]


def train(
    name: str, x: Tensor, y: Tensor, *, epochs: int, seed: int, bits: Mapping[str, int]
) -> nn.Module:
    """Train one model from scratch.

    Parameters
    ----------
    name
        A key of :data:`FACTORIES`.
    x, y
        (n, 28, 28) uint8 pixels, (n,) int64 classes.
    bits
        ``weight_bits``, ``input_steps`` and ``steps`` of the batches that are quantised.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = FACTORIES[name]()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=LEARNING_RATE, total_steps=epochs * batches, pct_start=0.1
    )
    for _ in track(range(epochs), description=name, console=Console(stderr=True)):
        order = torch.randperm(len(x), generator=generator)
        for i, rows in enumerate(order[: batches * BATCH].split(BATCH)):
            pixels = distort(x[rows].float(), generator)
            if i % 2:
                clip = 3.0 + 1.5 * float(torch.rand((), generator=generator))
                logits = quantised_forward(model, pixels, clip=clip, **bits)
            else:
                logits = model(pixels)
            loss = F.cross_entropy(logits, y[rows], label_smoothing=0.02)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(logits: Tensor, y: Tensor) -> float:
    """Percent of rows whose greatest logit is the class."""
    return 100 * float((logits.argmax(dim=1) == y).float().mean())


def load(path: Path) -> tuple[Tensor, Tensor]:
    with np.load(path, allow_pickle=False) as file:
        return torch.from_numpy(file["x"]), torch.from_numpy(file["y"].astype(np.int64))


def save_images(path: Path, x: Tensor, y: Tensor) -> None:
    np.savez_compressed(path, x=x.numpy(), y=y.numpy().astype(np.uint8))


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--test", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("tools"))
@click.option("--model", "names", type=click.Choice(list(FACTORIES)), multiple=True)
@click.option("--epochs", type=click.IntRange(1), default=60, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--weight-bits", type=click.IntRange(2, 8), default=4, show_default=True)
@click.option("--input-steps", type=click.IntRange(1, 8), default=2, show_default=True)
@click.option("--steps", type=click.IntRange(1, 8), default=4, show_default=True)
def main(
    data: Path,
    test: Path,
    out: Path,
    names: tuple[str, ...],
    epochs: int,
    seed: int,
    weight_bits: int,
    input_steps: int,
    steps: int,
) -> None:
    """Train the MNIST networks; DATA and TEST are .npz files with x (n, 28, 28) and y."""
    torch.set_num_threads(1)  # the order of sums, and so the result, is then the same everywhere
    x, y = load(data)
    test_x, test_y = load(test)
    bits = {"weight_bits": weight_bits, "input_steps": input_steps, "steps": steps}
    out.mkdir(parents=True, exist_ok=True)
    for name in names or tuple(FACTORIES):
        model = train(name, x, y, epochs=epochs, seed=seed, bits=bits)
        pixels = test_x.float()
        with torch.no_grad():
            plain = accuracy(model(pixels), test_y)
            rounded = accuracy(quantised_forward(model, pixels, clip=3.75, **bits), test_y)
        torch.save(model.state_dict(), out / f"mnist_{name}.pth")
        click.echo(f"{name}: float {plain:.2f} %, rounded as in training {rounded:.2f} %")
    save_images(out / "mnist_example.npz", test_x[:TEST_IMAGES], test_y[:TEST_IMAGES])
    save_images(out / "mnist_calibrate.npz", x[:CALIBRATION_IMAGES], y[:CALIBRATION_IMAGES])


if __name__ == "__main__":
    main()
