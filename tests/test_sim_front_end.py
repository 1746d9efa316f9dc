"""Torch layers all the way: import, integers, generated RTL, whose every word is golden's."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.core.plans import no_hardware
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.front.export import import_network
from signfire.sim import golden
from signfire.sim.bulk import run_bulk

pytestmark = pytest.mark.usefixtures("quick_compilation")

SAMPLES = 12


class Signals(nn.Module):
    """Conv1d with a stride behind a padding of one side, BatchNorm1d, both poolings of signals."""

    shape = (3, 24)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, 4, 5, stride=2)
        self.norm = nn.BatchNorm1d(4)
        self.second = nn.Conv1d(4, 4, 3, stride=3, padding=1, groups=4)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(F.pad(x, (3, 0)))))
        x = F.relu(self.second(F.max_pool1d(x, 2, stride=1)))
        return self.fc(F.avg_pool1d(x, 2, stride=2).flatten(1))


class Uneven(nn.Module):
    """Asymmetric padding, strides that differ, mean pooling whose windows overlap, Flatten."""

    shape = (2, 9, 8)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, (3, 2), stride=(2, 1))
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 3, 3, padding="same")
        self.fc = nn.Linear(18, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(F.pad(x, (0, 1, 2, 0)))))
        x = F.avg_pool2d(x, 3, stride=2, padding=1)
        return self.fc(F.relu(self.second(x)).narrow(2, 0, 2)[:, :, :, :3].flatten(1))


class Maxima(nn.Module):
    """Maximum pooling with overlap and padding, and one that leaves out a column."""

    shape = (1, 9, 8)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 2)
        self.fc = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x)), 3, stride=2, padding=1)
        x = F.max_pool2d(F.relu(self.second(x)), (2, 1), stride=(2, 2))
        return self.fc(x.flatten(1))


class Blocks(nn.Module):
    """A sum of two convolutions, a slice beside channels of zeros, concatenation, global mean."""

    shape = (1, 7, 6)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.short, self.long = nn.Conv2d(2, 4, 1, stride=2), nn.Conv2d(2, 4, 3, 2, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)])
        self.wider, self.beside = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x = F.relu(self.norms[0](self.short(x)) + self.norms[1](self.long(x)))
        y = F.relu(self.wider(x) + F.pad(x, (0, 0, 0, 0, 1, 1)))
        both = torch.cat([y, F.relu(self.beside(x))], 1)
        return self.fc(both.mean((2, 3)))


class Apart(nn.Module):
    """Depthwise and pixel convolutions, and one of two groups."""

    shape = (2, 6, 6)

    def __init__(self) -> None:
        super().__init__()
        self.depth = nn.Conv2d(2, 2, 3, padding=1, stride=(1, 2), groups=2)
        self.pixel = nn.Conv2d(2, 4, 1)
        self.groups = nn.Conv2d(4, 6, (2, 3), groups=2)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.pixel(F.relu(self.depth(x))))
        return self.fc(F.relu(self.groups(x)).mean((2, 3)))


class Decoder(nn.Module):
    """Half the pixels and twice as many again, read where they stand once."""

    shape = (1, 8, 6)

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.conv = nn.Conv2d(4, 2, 3, padding=1)
        self.fc = nn.Linear(96, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(F.relu(self.down(x)))
        return self.fc(F.relu(self.conv(x)).flatten(1))


class Skips(nn.Module):
    """Planes out of a linear layer, an upsampled branch beside another, and added to another."""

    shape = (1, 4, 6)

    def __init__(self) -> None:
        super().__init__()
        self.few, self.conv = nn.Linear(24, 12), nn.Conv2d(1, 2, 3, padding=1)
        self.both, self.wide = nn.Conv2d(4, 2, 3, padding=1), nn.Conv2d(2, 2, 3, 2, padding=1)
        self.fc = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, skip = F.relu(self.few(x.flatten(1))).view(-1, 2, 2, 3), F.relu(self.conv(x))
        x = F.relu(self.both(torch.cat([F.interpolate(y, size=(4, 6)), skip], 1)))
        z = F.relu(self.wide(x)).repeat_interleave(2, 2).repeat_interleave(2, dim=3)
        return self.fc(F.relu(x - z).mean((2, 3)))


MODELS = (Signals, Uneven, Maxima, Blocks, Apart, Decoder, Skips)


def made(model: type[nn.Module]) -> tuple[Design, np.ndarray, np.ndarray]:
    """Return the Design of a model with random weights, its samples, and the model's answers."""
    torch.manual_seed(4)
    net = model()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.3, 3.0)
            nn.init.uniform_(layer.weight, 0.5, 2.0)
    x = np.random.default_rng(2).integers(0, 256, (200, *model.shape)).astype(np.uint8)

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x / 255)

    design = calibrate(import_network(Scaled(), x), x, Options(steps=5, weight_bits=8))
    with torch.no_grad():
        exact = net.eval()(torch.from_numpy(x).float() / 255).numpy()
    return design, x, exact


@pytest.mark.parametrize("model", MODELS)
def test_every_layer_comes_through_to_the_rtl(model, tmp_path) -> None:
    design, x, exact = made(model)
    raw = design.raw_samples(x)

    answers = golden.run(design, raw).logits * design.readout.operands[0].scale
    assert no_hardware(design) is None
    folded = design.with_folding({p.name: Folding() for p in design.populations[1:]})
    result = run_bulk(folded, raw[:SAMPLES], tmp_path, stalls=(0.2, 0.3))

    assert 10 * np.log10(np.var(exact) / np.mean((answers - exact) ** 2)) > 15
    assert result.passed and result.words == SAMPLES * 3
