"""Train the networks of clothes on Fashion-MNIST and write their weights.

Half of the images are mirrored. The weights are floats: with 8 bits and enough steps nothing has to
be learned of the rounding.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from .fashion_networks import convnext, mixer, resmlp
from .train_mnist import accuracy, load, save_images

FACTORIES: Mapping[str, Callable[[], nn.Module]] = {
    "resmlp": resmlp,
    "mixer": mixer,
    "convnext": convnext,
}
BATCH = 128
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.05
CALIBRATION_IMAGES = 256


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images, left to right; (n, 28, 28) in and out."""
    turned = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(turned[:, None, None], images.flip(2), images)


def train(name: str, x: Tensor, y: Tensor, *, epochs: int, seed: int) -> nn.Module:
    """Train one model from scratch.

    Parameters
    ----------
    name
        A key of :data:`FACTORIES`.
    x, y
        (n, 28, 28) uint8 pixels, (n,) int64 classes.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = FACTORIES[name]()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = max(1, len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=LEARNING_RATE, total_steps=epochs * batches, pct_start=0.15
    )
    for _ in track(range(epochs), description=name, console=Console(stderr=True)):
        order = torch.randperm(len(x), generator=generator)
        for rows in order[: batches * BATCH].split(BATCH):
            logits = model(mirrored(x[rows].float(), generator))
            loss = F.cross_entropy(logits, y[rows], label_smoothing=0.05)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--test", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("tools"))
@click.option("--model", "names", type=click.Choice(list(FACTORIES)), multiple=True)
@click.option("--epochs", type=click.IntRange(1), default=12, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(data: Path, test: Path, out: Path, names: tuple[str, ...], epochs: int, seed: int) -> None:
    """Train the Fashion-MNIST networks; DATA and TEST are .npz files with x (n, 28, 28) and y."""
    torch.set_num_threads(1)  # the order of sums, and so the result, is then the same everywhere
    x, y = load(data)
    test_x, test_y = load(test)
    out.mkdir(parents=True, exist_ok=True)
    for name in names or tuple(FACTORIES):
        model = train(name, x, y, epochs=epochs, seed=seed)
        with torch.no_grad():
            logits = torch.cat([model(part.float()) for part in test_x.split(500)])
        torch.save(model.state_dict(), out / f"fashion_{name}.pth")
        click.echo(f"{name}: float {accuracy(logits, test_y):.2f} %")
    save_images(out / "fashion_calibrate.npz", x[:CALIBRATION_IMAGES], y[:CALIBRATION_IMAGES])


if __name__ == "__main__":
    main()
