"""Deviations: what is divided by one, whatever keeps it from 0, and what reads one as a value."""

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.convert.summary import noise_db
from signfire.gen.front.export import import_network
from signfire.gen.model.codes import Schedule, make_code
from signfire.gen.model.several import SEVERAL, make_comparison
from signfire.sim import golden


class Behind(nn.Module):
    """A linear layer behind a function of the sample."""

    def __init__(self, function, size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function, self.fc = function, nn.Linear(size, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.function(x))


def rows() -> np.ndarray:
    """Return windows of eight samples, of deviations around 1."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(150, 8)) * rng.uniform(0.5, 2, (150, 1))).astype(np.float32)


def planes() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(150, 4, 8)).astype(np.float32)


SMALL, LARGE = "divide_root", "divide"
DIVISORS = {
    "std and epsilon": (lambda x: x / (x.std(1, keepdim=True) + 1e-6), SMALL),
    "epsilon first": (lambda x: x / (1e-6 + x.std(dim=-1, keepdim=True)), SMALL),
    "standardised": (
        lambda x: (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-8),
        SMALL,
    ),
    "unsqueezed": (lambda x: x / (x.std(1).unsqueeze(1) + 1e-6), SMALL),
    "of all axes": (lambda x: x / (x.std((1,), unbiased=False, keepdim=True) + 1e-6), SMALL),
    "root of a variance": (lambda x: x / (x.var(1, keepdim=True).sqrt() + 1e-6), SMALL),
    "reciprocal": (lambda x: x * (1 / (x.std(1, keepdim=True) + 1e-6)), SMALL),
    "factors": (lambda x: 3 * x / (x.std(1, keepdim=True) / 2 + 1e-6), SMALL),
    "clamped": (lambda x: x / x.std(1, keepdim=True).clamp(min=1e-6), SMALL),
    "a large guard": (lambda x: x / (x.std(1, keepdim=True) + 0.5), LARGE),
    "a large guard's reciprocal": (lambda x: x * (2 / (x.std(1, keepdim=True) + 0.5)), LARGE),
    "a large clamp": (lambda x: x / x.std(1, keepdim=True).clamp(min=1.2), SMALL),
}


@pytest.mark.parametrize("name", DIVISORS)
def test_what_a_deviation_divides_is_that_of_the_model(name):
    function, neuron = DIVISORS[name]
    model, x = Behind(function, 8).eval(), rows()

    network = import_network(model, x)

    exact = model(torch.tensor(x)).detach().numpy()
    assert network.answers(x) == pytest.approx(exact, rel=1e-5, abs=2e-5)
    assert neuron == network.populations[-2].function
    design = calibrate(network, x, Options(steps=8, weight_bits=8, input_steps=8))
    said = golden.run(design, design.raw_samples(x)).logits
    assert noise_db(exact, said * design.readout.operands[0].scale) > 22


@pytest.mark.parametrize("shape", [(4, 16), (1, 8, 8)])
def test_a_whole_sample_is_standardised_before_a_convolution(shape):
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            kind = nn.Conv1d if len(shape) == 2 else nn.Conv2d
            self.conv, self.fc = kind(shape[0], 4, 3, padding=1), nn.Linear(4 * 64 // shape[0], 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            axes = tuple(range(1, x.ndim))
            mean, std = x.mean(axes, keepdim=True), x.std(axes, keepdim=True)
            return self.fc(torch.relu(self.conv((x - mean) / (std + 1e-6))).flatten(1))

    x = (np.random.default_rng(2).normal(size=(60, *shape)) * 3 + 5).astype(np.float32)
    model = Whole().eval()

    network = import_network(model, x)

    exact = model(torch.tensor(x)).detach().numpy()
    assert network.answers(x) == pytest.approx(exact, rel=1e-4, abs=1e-4)


VALUES = {
    "beside the mean": (lambda x: torch.cat([x.mean(2), x.std(2)], 1), 8),
    "stacked": (lambda x: torch.stack([x.std(2), x.mean(2)], 1).flatten(1), 8),
    "plus a value": (lambda x: x.std(2) + x.mean(2), 4),
    "less a number": (lambda x: x.std(2) - 0.2, 4),
    "of the channels": (lambda x: x.std(1), 8),
    "of all": (lambda x: x.std((1, 2)).unsqueeze(1), 1),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_deviation_is_a_value(name):
    function, size = VALUES[name]
    model, x = Behind(function, size).eval(), planes()

    network = import_network(model, x)

    exact = model(torch.tensor(x)).detach().numpy()
    assert network.answers(x) == pytest.approx(exact, rel=1e-5, abs=2e-5)


def test_a_deviation_may_be_the_answer():
    class Deviation(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.std(2)

    network = import_network(Deviation(), planes())

    assert network.answers(planes()) == pytest.approx(planes().std(2, ddof=1), abs=1e-5)


def test_the_deviation_of_a_dead_channel_is_0():
    model, x = Behind(lambda x: torch.relu(x - 1.5).std(2), 4).eval(), planes()
    exact = model(torch.tensor(x)).detach().numpy()
    assert (torch.relu(torch.tensor(x) - 1.5).std(2) == 0).any()

    network = import_network(model, x)
    design = calibrate(network, x, Options(steps=8, weight_bits=8, input_steps=8))

    assert network.answers(x) == pytest.approx(exact, rel=1e-5, abs=2e-5)
    said = golden.run(design, design.raw_samples(x)).logits
    assert noise_db(exact, said * design.readout.operands[0].scale) > 25


def test_a_divisor_may_be_0_where_what_it_divides_is():
    code = make_code(kind="silent", schedule=Schedule(), steps=6, low=0.0, high=2.0)
    x = np.array([0.0, 0.01, 0.5, 1.0, 4.0])
    function = SEVERAL["divide_root"]

    comparison, units = make_comparison(function, code, x, x)
    operands = [function.rounded(x, unit) for unit in units]
    said = code.settle(function.target(*operands, comparison.fraction)) * code.unit

    assert [0, 0.1, 0.5**0.5, 1, 2] == pytest.approx(function.evaluate(x, x))
    assert np.sqrt(x) == pytest.approx(said, abs=comparison.error * 2 * code.unit)
    with pytest.raises(ValueError, match=r"^a divisor must be positive, and is 0$"):
        make_comparison(function, code, x + 1, x)
