"""Samples with channels first are taken pixel after pixel, and nothing else changes."""

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert import calibrate as calibration
from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.core.plans import no_hardware
from signfire.gen.design.design import Design
from signfire.gen.design.reading import is_turned
from signfire.gen.front.export import import_network
from signfire.sim import golden

IMAGES = np.random.default_rng(5).integers(0, 256, (20, 3, 6, 5)).astype(np.uint8)


class Net(nn.Module):
    """3x6x5 images, a convolution, the mean, a layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x / 255)).mean((2, 3)))


class Signals(Net):
    """The same of 3 signals of 30 values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x / 255)).mean(2))


def made(net: nn.Module, samples: np.ndarray) -> Design:
    return calibrate(import_network(net, samples), samples, Options(steps=4, weight_bits=6))


class Beside(Net):
    """The same with a dense layer that reads the images too."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Linear(90, 3)

    def forward(self, x):
        return super().forward(x) + self.whole(x.flatten(1) / 255)


@pytest.mark.parametrize("net,shape", [(Net, (3, 6, 5)), (Beside, (3, 6, 5)), (Signals, (3, 30))])
def test_channels_first_becomes_pixel_after_pixel_and_answers_alike(net, shape, monkeypatch):
    samples = IMAGES.reshape(-1, *shape)
    design = made(net(), samples)
    monkeypatch.setattr(calibration, "pixel_after_pixel", lambda design: design)
    as_given = made(net(), samples)

    raw = design.raw_samples(samples)

    assert design.channels_first and not as_given.channels_first
    assert design.sample_shape == as_given.input.shape == shape
    assert np.array_equal(raw, np.moveaxis(samples, 1, -1).reshape(len(raw), -1))
    assert np.array_equal(design.given_order(raw), samples)
    expected = golden.run(as_given, as_given.raw_samples(samples)).logits
    assert np.array_equal(golden.run(design, raw).logits, expected)
    assert not any(turned(design)) and any(turned(as_given))
    assert no_hardware(design) == no_hardware(as_given)


def turned(design) -> list[bool]:
    """Whether trains of the input have to be put in another order, by reader."""
    readers = [q for p in design.populations for q in p.sources if q.source == "input"]
    return [is_turned(q.map, design.input.shape, is_input=True) for q in readers]


def test_a_file_keeps_the_order(tmp_path):
    design = made(Net(), IMAGES)

    design.save(tmp_path / "d.npz")

    assert Design.load(tmp_path / "d.npz").channels_first
    assert Design.load(tmp_path / "d.npz").hash == design.hash


def test_a_design_like_another_takes_its_samples_in_the_same_order():
    network = import_network(Net(), IMAGES)
    design = calibrate(network, IMAGES, Options(steps=4, weight_bits=6))

    again = calibrate(network, IMAGES, Options(), like=design)

    assert again.channels_first and again.input.shape == (6, 5, 3)
    assert np.array_equal(again.raw_samples(IMAGES), design.raw_samples(IMAGES))


def test_dense_readers_take_samples_as_they_are():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(90, 3))

    assert not made(flat, IMAGES).channels_first
