"""The committed weights are those of the committed models, and as good as the notes beside them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from signfire.tools import mnist_cnn, mnist_mlp

TOOLS = Path(mnist_mlp.__file__).resolve().parent


@pytest.mark.parametrize(
    ("name", "least"),
    [("mlp128", 98.1), ("mlp32", 96.7), ("gelu128", 98.3), ("cnn", 98.3)],
    ids=["mlp128", "mlp32", "gelu128", "cnn"],
)
def test_committed_weights_classify_the_committed_images(name: str, least: float) -> None:
    model = getattr(mnist_cnn if name == "cnn" else mnist_mlp, name)()
    model.load_state_dict(torch.load(TOOLS / f"mnist_{name}.pth", weights_only=True))
    with np.load(TOOLS / "mnist_example.npz", allow_pickle=False) as file:
        x, y = file["x"], file["y"]

    with torch.no_grad():
        classes = model.eval()(torch.from_numpy(x).float()).argmax(dim=1).numpy()

    assert (x.shape, x.dtype, y.shape) == ((2000, 28, 28), np.uint8, (2000,))
    assert 100 * (classes == y).mean() >= least


def test_calibration_images_are_not_test_images() -> None:
    with np.load(TOOLS / "mnist_example.npz", allow_pickle=False) as file:
        tested = {image.tobytes() for image in file["x"]}
    with np.load(TOOLS / "mnist_calibrate.npz", allow_pickle=False) as file:
        calibrated = {image.tobytes() for image in file["x"]}

    assert len(calibrated) == 512
    assert not tested & calibrated
