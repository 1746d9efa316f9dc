"""The networks of clothes in small: read as few layers, and nearer to float with every step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.front.export import import_network
from signfire.gen.model.maps import Dense
from signfire.sim import golden
from signfire.tools import fashion_networks
from signfire.tools.fashion_networks import Affine, ConvNeXt, Mixer, ResMLP

TOOLS = Path(fashion_networks.__file__).resolve().parent
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 28, 28)).astype(np.float32)
SMALL = {
    "resmlp": lambda: ResMLP(channels=4, hidden=6, depth=2),
    "mixer": lambda: Mixer(channels=4, token_hidden=5, hidden=6, depth=1),
    "convnext": lambda: ConvNeXt(channels=4, hidden=6, depth=2),
}
LAYERS = {  # beside the input
    "resmlp": "linear linear gelu linear linear gelu linear readout",
    "mixer": "square divide_root gelu linear linear square divide_root gelu square divide_root "
    "readout",
    "convnext": "linear linear square divide_root gelu linear linear square divide_root gelu "
    "linear readout",
}


def uneven(model: nn.Module) -> nn.Module:
    """Give factors and shifts numbers that differ, as training does."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return {name: import_network(uneven(make()), PIXELS) for name, make in SMALL.items()}


@pytest.mark.parametrize("name", list(SMALL))
def test_layers_are_maps_of_planes_and_no_sum_is_made_twice(networks, name: str) -> None:
    populations = networks[name].populations

    assert [p.function for p in populations[1:]] == LAYERS[name].split()
    dense = [p.name for p in populations for q in p.sources if isinstance(q.map, Dense)]
    assert dense == ["fc"]


@pytest.mark.parametrize("name", list(SMALL))
def test_golden_model_comes_nearer_to_float_with_every_two_steps(networks, name: str) -> None:
    network = networks[name]
    wanted = network.answers(PIXELS)

    errors = []
    for steps in (4, 6, 8):
        options = Options(steps=steps, weight_bits=8, input_steps=8, rounding="nearest")
        design = calibrate(network, PIXELS, options)
        found = golden.run(design, design.raw_samples(PIXELS)).logits
        scaled = found * design.readout.operands[0].scale
        errors.append(float(np.abs(scaled - wanted).mean() / wanted.std()))

    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


class FactorsOfChannels(nn.Module):
    """Tokens mixed between factors of channels, which its weights cannot take in."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.before, self.after = Affine(4), Affine(4)
        self.tokens = nn.Linear(6, 6)
        self.channels = nn.Linear(4, 4)
        self.fc = nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x + self.after(self.tokens(self.before(x).transpose(1, 2)).transpose(1, 2))
        x = x + torch.relu(self.channels(x))
        return self.fc(x.flatten(1))


def test_factors_of_channels_around_mixed_tokens_are_read() -> None:
    x = np.random.default_rng(1).normal(size=(20, 6, 3)).astype(np.float32)
    model = uneven(FactorsOfChannels())

    network = import_network(model, x)

    with torch.no_grad():
        wanted = model(torch.from_numpy(x)).numpy()
    assert np.allclose(network.answers(x), wanted, atol=1e-5)
