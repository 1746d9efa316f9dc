"""T and bits of weights of outputs that are values: as fine as the samples ask for."""

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.options import LayerOptions, Options
from signfire.gen.front.export import import_network
from signfire.sim import golden
from signfire.tools import api, value_steps
from signfire.tools.dataset import Dataset

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype(np.float32)


class Values(nn.Module):
    """A perceptron of rough answers: what its hidden neurons say cancels for the most part."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, outputs))
        with torch.no_grad():
            inner = self.net(torch.tensor(X)).mean(axis=0)
            self.net[2].bias -= inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 40 * self.net(x) + 150


def converted(labels: np.ndarray, outputs: int = 1, options: Options | None = None):
    data = Dataset(path="data", x=X, y=labels)
    return api.convert(Values(outputs).eval(), data, options)


def test_values_are_as_fine_as_their_variance_asks_for() -> None:
    found = converted(X[:, 0] * 30)

    told = found.design.provenance["value_steps"]
    exact = Values().eval()(torch.tensor(X)).detach().numpy()
    said = found.design.values(golden.run(found.design, found.design.raw_samples(X)).logits)
    assert (told["steps"], told["weight_bits"]) > value_steps.LADDER[0]
    assert [p.code.steps for p in found.design.populations[1:-1]] == [told["steps"]]
    assert ((said - exact) ** 2).mean() <= 0.01 * exact.var()  # the input's own steps included


def test_the_first_that_is_fine_enough_is_taken(monkeypatch) -> None:
    network = import_network(Values().eval(), X)
    network = api.settle(network, api.HeadOptions(), Dataset(path="d", x=X, y=X[:, 0])).network
    ladder = value_steps.LADDER
    alone = {}
    for rung in ladder:
        monkeypatch.setattr(value_steps, "LADDER", (rung,))
        alone[rung] = value_steps.choose(network, X, Options()).unexplained
    monkeypatch.setattr(value_steps, "LADDER", ladder)

    found = value_steps.choose(network, X, Options())

    fine = [rung for rung in ladder if alone[rung] <= value_steps.UNEXPLAINED]
    assert (found.steps, found.weight_bits) == fine[0]
    assert found.unexplained == alone[fine[0]]


def test_classes_and_what_options_say_stay() -> None:
    classes = converted(np.arange(120) % 3, 3)
    given = converted(X[:, 0] * 30, options=Options(steps=3))

    assert "value_steps" not in classes.design.provenance
    assert [p.code.steps for p in classes.design.populations[1:-1]] == [4]
    assert "value_steps" not in given.design.provenance
    assert [p.code.steps for p in given.design.populations[1:-1]] == [3]


class Trained(nn.Module):
    """A perceptron of values that were rounded in its training."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Values().net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.inner[0](x))
        return self.inner[2](torch.fake_quantize_per_tensor_affine(hidden, 0.125, 0, 0, 31))


@pytest.mark.parametrize(
    ("model", "options", "are"),
    [
        (Values, Options(), True),
        (Values, Options(steps=4), False),
        (Values, Options(weight_bits=4), False),
        (Values, Options(layers={"net.0": LayerOptions(steps=3)}), False),
        (Values, Options(dynamics="if"), False),
        (Trained, Options(), False),
    ],
)
def test_what_is_given_or_trained_is_not_open(model, options, are) -> None:
    network = import_network(model().eval(), X)

    assert value_steps.are_open(network, options) is are
