"""Every way out that a refusal names is gone, and works."""

import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.front.export import import_network
from signfire.gen.front.loading import load_model
from signfire.gen.front.refusals import UnsupportedModel

X = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)
F = nn.functional


class Net(nn.Module):
    """Layers around what a case makes of their results."""

    def __init__(self, made) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.conv, self.out = (
            nn.Linear(8, 8),
            nn.Conv1d(1, 2, 3, padding=1),
            nn.Linear(8, 8),
        )
        self.up, self.after = nn.ConvTranspose1d(1, 2, 2, 2), nn.Conv1d(1, 2, 3, padding=1)
        self.weight = nn.Parameter(torch.randn(8, 8))
        self.made = made

    def forward(self, x):
        return self.made(self, torch.relu(self.fc(x)))


def pooled(net, y, counted: bool):
    planes = net.conv(y.unsqueeze(1))
    return F.avg_pool1d(planes, 3, 2, 1, count_include_pad=counted).flatten(1)


def raised(net, y, scale):
    planes = F.interpolate(y.reshape(-1, 1, 8), scale_factor=scale, mode="nearest")
    return net.after(planes).flatten(1)


CASES = {  # what is refused, words of the way out, what it leads to
    "transposed": (
        lambda net, y: net.up(y.unsqueeze(1)).flatten(1),
        "train nn.Upsample(scale_factor=N, mode='nearest') and a convolution in its place",
        lambda net, y: raised(net, y, 2),
    ),
    "interpolated": (
        lambda net, y: F.interpolate(y.unsqueeze(1), scale_factor=2, mode="linear").flatten(1),
        "only mode='nearest' is supported, by whole factors",
        lambda net, y: raised(net, y, 2),
    ),
    "fraction": (
        lambda net, y: raised(net, y, 1.5),
        "(give a size that is a multiple)",
        lambda net, y: net.after(F.interpolate(y.unsqueeze(1), size=16)).flatten(1),
    ),
    "weights first": (
        lambda net, y: torch.bmm(net.weight.expand(len(y), 8, 8), y.unsqueeze(2)).squeeze(2),
        "write it as x @ weight, with the batch axis first",
        lambda net, y: y @ net.weight,
    ),
    "borders": (
        lambda net, y: pooled(net, y, False),
        "count_include_pad=True does not",
        lambda net, y: pooled(net, y, True),
    ),
    "dropout": (
        lambda net, y: F.dropout(y, 0.5),
        "pass training=self.training",
        lambda net, y: F.dropout(y, 0.5, training=net.training),
    ),
    "batch": (
        lambda net, y: y * len(y),
        "let forward compute each sample by itself, without len(x) and means over axis 0",
        lambda net, y: y * 7,
    ),
    "clamp": (
        lambda net, y: torch.clamp(net.out(y), min=0.5),
        "only a clamp from 0 up, or one with a number at each end, is supported",
        lambda net, y: torch.clamp(net.out(y), 0.5, 2) + torch.clamp(net.out(y), min=0),
    ),
    "maximum": (
        lambda net, y: torch.maximum(net.out(y), torch.tensor(0.5)),
        "only the maximum with 0, which is ReLU, or of two values is supported",
        lambda net, y: torch.maximum(net.out(y), torch.tensor(0.0)) + torch.maximum(net.out(y), y),
    ),
    "rounding": (
        lambda net, y: net.out(torch.round(y * 4) / 4),
        "clamp(round(x / step), low, high) * step",
        lambda net, y: net.out(torch.clamp(torch.round(y / 0.25), 0, 15) * 0.25),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_way_out_that_is_named_works(case):
    refused, words, way_out = case

    with pytest.raises(UnsupportedModel) as error:
        import_network(Net(refused), X)
    model = Net(way_out)
    network = import_network(model, X)

    assert words in str(error.value)
    wanted = model.eval()(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(network.answers(X), wanted, atol=1e-4)


# -- spiking networks ------------------------------------------------------------------------------

NEURON = """import torch
from torch import nn


class Leaky(nn.Module):
    def forward(self, x):
        return (x > 1).float()


class Linear(nn.Linear):
    pass
"""
SPIKING = """from torch import nn
from {library}.neurons import Leaky, Linear


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = Linear(8, 4)
        self.lif = Leaky()

    def forward(self, x):
        return self.lif(
            self.fc(x)
        )


class Plain(Net):
    def __init__(self):
        super().__init__()
        self.lif = nn.ReLU()
"""


@pytest.mark.parametrize("library", ["snntorch", "spikingjelly", "sinabs", "norse"])
def test_spiking_networks_are_told_to_bring_what_they_were_converted_from(
    tmp_path, monkeypatch, library
):
    folder = tmp_path / "lib" / "site-packages" / library
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "neurons.py").write_text(NEURON)
    monkeypatch.syspath_prepend(folder.parent)
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "net.py").write_text(SPIKING.format(library=library))

    with pytest.raises(UnsupportedModel) as error:
        import_network(load_model(f"{tmp_path / 'net.py'}:Net"), X)

    assert str(error.value) == (
        f"the model is not supported: Leaky of {library}, a spiking network at net.py:12 (signfire "
        f"makes the neurons itself: bring the network of plain layers that it was converted from, "
        f"with its activations in their places, or its NIR graph)"
    )
    plain = import_network(load_model(f"{tmp_path / 'net.py'}:Plain"), X)
    assert ["input", "relu", "readout"] == [p.function for p in plain.populations]


# -- what torch converted --------------------------------------------------------------------------


def test_integer_kernels_are_refused_and_the_model_before_is_read():
    from torch.ao import quantization

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(
            quantization.QuantStub(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3)
        ).train()
        model.qconfig = quantization.get_default_qat_qconfig("fbgemm")
        model = quantization.prepare_qat(model)
        model(torch.tensor(X))
        converted = quantization.convert(model.eval())

        with pytest.raises(UnsupportedModel) as error:
            import_network(converted, X)
        network = import_network(model, X)

    words = "give the model before torch.ao.quantization.convert, whose scales are read"
    assert words in str(error.value) and "Linear of converted integer kernels" in str(error.value)
    assert ["input", "relu", "linear", "readout"] == [p.function for p in network.populations]
    assert all(p.step is not None for p in network.populations[:-1])


# -- samples ---------------------------------------------------------------------------------------


def test_an_answer_that_is_no_number_is_named():
    some = np.abs(X) + 1
    some[4, 0] = 0

    class Divided(nn.Module):
        def forward(self, x):
            return x.std(1, keepdim=True) / x

    with pytest.raises(ValueError, match="answers NaN or an infinity for calibration sample 4,"):
        import_network(Divided(), some)
