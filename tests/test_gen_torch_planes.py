"""Convolutional models in many styles give a Network that computes the same; others are refused."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from signfire.gen.front.builder import Builder
from signfire.gen.front.export import import_network
from signfire.gen.front.loading import load_model
from signfire.gen.front.refusals import UnsupportedModel
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network

SAMPLES = 9
MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(7)
    torch.set_num_threads(1)


def check(model: nn.Module, *shape: int) -> Network:
    """Import the model and compare the Network with it on random data of ``shape``."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.3, 3.0)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    x = np.random.default_rng(3).normal(size=(SAMPLES, *shape)).astype(np.float32)
    network = import_network(model, x)
    with torch.no_grad():
        expected = model.eval().double()(torch.from_numpy(x).double()).numpy()
    got = network.answers(x)

    np.testing.assert_allclose(
        got, expected.reshape(SAMPLES, -1), rtol=1e-5, atol=1e-5 * np.abs(expected).max()
    )
    return network


def kinds(network: Network) -> dict[str, list[str]]:
    return {p.name: [q.map.kind for q in p.sources] for p in network.populations[1:]}


def functions(network: Network) -> list[str]:
    return [p.function for p in network.populations[1:]]


def small(*layers: nn.Module, features: int = 4) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 3))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(2, 4, 3),
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0)),
        nn.Conv2d(2, 4, 3, padding="same"),
        nn.Conv2d(2, 4, (2, 3), padding="same"),
        nn.Conv2d(2, 4, 3, padding="valid"),
        nn.Conv2d(2, 4, 3, groups=2, padding=1),
        nn.Conv2d(2, 4, 1, stride=2),
        nn.Conv2d(2, 4, 5, stride=3, padding=2),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 4, 3)),
    ],
    ids=str,
)
def test_every_geometry_of_a_convolution(conv) -> None:
    network = check(small(conv, nn.BatchNorm2d(4), nn.ReLU()), 2, 9, 8)

    assert list(kinds(network).values()) == [["conv"], ["pooled"]]
    assert network.populations[1].operands[0].bias.shape == (4, 1, 1)


def test_signals_of_one_axis_are_planes_of_height_one() -> None:
    model = nn.Sequential(
        nn.Conv1d(3, 4, 5, stride=2, padding=2),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.Conv1d(4, 4, 3, groups=4),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.AvgPool1d(2),
        nn.Flatten(),
        nn.Linear(12, 5),
    )

    network = check(model, 3, 30)

    assert network.populations[1].shape == (4, 1, 15)
    assert functions(network) == ["relu", "relu", "max", "relu", "readout"]


class Residual(nn.Module):
    """Both kinds of shortcut, a reused module, functional forms, asymmetric padding."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.down = nn.Conv2d(4, 8, 3, stride=2)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for _ in range(2):
            x = F.relu(x + self.norm(self.twice(x)))
        y = self.down(F.pad(x, (0, 1, 0, 1)))
        short = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return self.fc(F.relu(short + y).mean((2, 3)))


def test_residual_sums_share_an_operand() -> None:
    network = check(Residual(), 3, 8, 8)

    assert kinds(network) == {
        "first": ["conv"],
        "twice": ["window", "conv"],
        "twice_2": ["window", "conv"],
        "down": ["window", "conv"],
        "fc": ["pooled"],
    }
    shortcut = next(network["down"].sources).map
    assert shortcut.sources == (-1, -1, 0, 1, 2, 3, -1, -1) and shortcut.stride == (2, 2)
    assert [p.map.padding for p in network["down"].sources][1] == (0, 1, 0, 1)


class Branches(nn.Module):
    """Concatenation of two branches and of the input's own channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 2, 1)
        self.c = nn.Conv2d(5, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([F.relu(self.a(x)), F.relu(self.b(x))], dim=1)
        return self.c(F.relu(self.c(y) * 2)[:, :, :1, :1].repeat(1, 2, 3, 3)[:, :5]).flatten(1)


class Concatenated(Branches):
    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.relu(self.a(x)), torch.relu(self.b(x))
        return self.c(torch.cat([a, b], 1)).flatten(1)


def test_concatenated_channels_become_two_projections() -> None:
    network = check(Concatenated(), 2, 6, 6)

    assert kinds(network) == {"a": ["conv"], "b": ["conv"], "c": ["conv", "conv"]}


def test_clamped_relus_have_a_limit() -> None:
    class Clamped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList([nn.Conv2d(2, 2, 3) for _ in range(4)])

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu6(self.convs[0](x) * 5)
            x = F.hardtanh(self.convs[1](x), 0, 2)
            x = self.convs[2](x).clamp(0, 0.5)
            return F.relu(self.convs[3](x)).sum((2, 3))

    network = check(Clamped(), 2, 12, 12)

    assert [p.limit for p in network.populations[1:]] == [6.0, 2.0, 0.5, None, None]


@pytest.mark.parametrize(
    ("pool", "names"),
    [
        (nn.MaxPool2d(2), ["relu", "max", "readout"]),
        (nn.MaxPool2d(3, stride=2, padding=1), ["relu", "max", "readout"]),
        (nn.MaxPool2d((1, 2), stride=1), ["relu", "max", "readout"]),
        (nn.MaxPool2d(2, ceil_mode=True), ["relu", "max", "readout"]),
        (nn.AvgPool2d(2), ["relu", "relu", "readout"]),
        (nn.AvgPool2d(3, stride=2, padding=1), ["relu", "relu", "readout"]),
    ],
    ids=str,
)
def test_pooling(pool, names) -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), pool, nn.Conv2d(4, 3, 2), nn.Flatten())

    assert functions(check(model, 2, 9, 9)) == names


def test_relu_behind_a_max_pooling_moves_before_it() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten())

    network = check(nn.Sequential(model, nn.Linear(36, 3)), 1, 8, 8)

    assert functions(network) == ["relu", "max", "readout"]


def test_max_pooling_of_values_below_zero_has_a_linear_population() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))

    assert functions(check(model, 1, 8, 8)) == ["linear", "max", "readout"]


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.MaxPool2d(2, stride=2, padding=1),
        nn.MaxPool2d(3, stride=3, padding=(0, 1), ceil_mode=True),
    ],
    ids=str,
)
def test_padding_of_a_max_pooling_is_below_every_value(pool) -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), pool, nn.Conv2d(4, 3, 2), nn.Flatten())
    with torch.no_grad():
        model[0].bias -= 20  # all values are negative: a zero beside them would win

    network = check(model, 2, 9, 9)

    assert functions(network) == ["linear", "max", "readout"]
    assert any(np.isneginf(o.bias).any() for o in network.populations[2].operands)


def test_max_pooling_of_signals_is_padded_too() -> None:
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.MaxPool1d(3, 2, 1), nn.Conv1d(4, 3, 2))
    with torch.no_grad():
        model[0].bias -= 20

    check(nn.Sequential(model, nn.Flatten()), 2, 11)


def test_larger_of_two_branches_is_a_population_of_two_operands() -> None:
    class Larger(Branches):
        def forward(self, x: Tensor) -> Tensor:
            return torch.maximum(self.a(x), self.a(x.flip(3))).mean((2, 3))

    with pytest.raises(UnsupportedModel, match=r"no slice, padding or order of planes"):
        check(Larger(), 2, 5, 5)

    class Maxout(Branches):
        def forward(self, x: Tensor) -> Tensor:
            return torch.maximum(self.a(x), self.a(x * 2) - 1).mean((2, 3))

    network = check(Maxout(), 2, 5, 5)

    assert functions(network) == ["max", "readout"]
    assert len(network.populations[1].operands) == 2


def test_linear_maps_in_a_row_get_a_population_where_one_would_be_larger() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 3), nn.ReLU()
    )

    network = check(small(*model, features=8), 2, 6, 6)

    assert functions(network) == ["relu", "linear", "relu", "readout"]
    assert [p.name for p in network.populations[1:]] == ["0", "2", "3", "7"]


def test_pixel_convolutions_in_a_row_become_one_where_that_is_smaller() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, 1), nn.ReLU())

    assert functions(check(small(*model), 2, 6, 6)) == ["relu", "readout"]


def test_images_with_channels_last_and_flat_images_are_read() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv(x.permute(0, 3, 1, 2))).mean((2, 3))

    network = check(Last(), 6, 5, 3)
    assert network.input.shape == (6, 5, 3)
    assert next(network["conv"].sources).map.layout.axes == (2, 0, 1)

    class Flat(Last):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv(x.view(-1, 3, 6, 5))).mean((2, 3))

    assert check(Flat(), 90).input.shape == (90,)

    class Grey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv(x.unsqueeze(1))).mean((2, 3))

    assert check(Grey(), 7, 5).input.shape == (7, 5)


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: (x / 255).unsqueeze(1),
        lambda x: ((x - 20) / 255).reshape(-1, 1, 7, 5),
        lambda x: (x * 2)[:, None],
    ],
    ids=["divided", "normalised", "multiplied"],
)
def test_scaling_in_front_of_a_reshape_costs_no_population(forward) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv(forward(x))).mean((2, 3))

    assert kinds(check(Scaled(), 7, 5))["conv"] == ["conv"]
    assert kinds(check(Scaled(), 7, 5)).keys() == {"conv", "readout"}


def test_planes_made_by_a_linear_layer() -> None:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.conv = nn.Linear(5, 24), nn.Conv2d(2, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(F.relu(self.fc(x)).view(-1, 2, 3, 4)).flatten(1)

    assert kinds(check(Decoder(), 5)) == {"fc": ["dense"], "conv": ["conv"]}


def test_normalised_images_have_a_bias_at_the_border() -> None:
    """Padding is 0 behind the normalisation, which is no raw value: it goes into the bias."""

    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, padding=1)
            self.register_buffer("mean", torch.tensor([0.4, 0.6]).view(1, 2, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv((x / 255 - self.mean) / 0.25)).mean((2, 3))

    network = check(Normalised(), 2, 5, 6)

    bias = network["conv"].operands[0].bias
    assert bias.shape == (4, 5, 6)
    inside = bias[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inside, np.broadcast_to(inside[:, :1, :1], inside.shape))
    assert not np.allclose(bias[:, 0, 0], bias[:, 1, 1])


def test_padding_with_a_value_goes_into_the_bias() -> None:
    class Padded(Branches):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.b(F.pad(x, (1, 0, 2, 1), value=0.5))).mean((2, 3))

    assert check(Padded(), 2, 4, 4)["b"].operands[0].bias.shape == (2, 7, 5)


def test_repeated_channels_are_read() -> None:
    class Repeated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv(x.expand(x.shape[0], 3, 6, 5))).mean((2, 3))

    assert next(check(Repeated(), 1, 6, 5)["conv"].sources).map.layout.planes == (1, 6, 5)


@pytest.mark.parametrize(
    ("name", "weights", "shape", "populations"),
    [
        ("DSCNN", "dscnn_kws_mlperf_tiny", (1, 49, 10), 11),
        ("CifarResNet", "cifar_resnet20", (3, 32, 32), 21),
    ],
)
def test_third_party_models_are_read_as_they_are(name, weights, shape, populations) -> None:
    file = MODELS / f"{weights}.pth"
    if not file.is_file():
        pytest.skip(f"there is no {file.name} in a shared/models beside the checkout")
    model = load_model(f"{MODELS / 'reference_models.py'}:{name}", file)
    x = np.random.default_rng(3).normal(size=(3, *shape)).astype(np.float32)

    network = import_network(model, x)  # compares its answers with the model's

    assert len(network.populations) == populations
    assert set(functions(network)) == {"relu", "readout"}


@pytest.mark.parametrize(
    ("forward", "layers", "message"),
    [
        (
            lambda m, x: m[0](x),
            [nn.Conv2d(2, 4, 3, dilation=2)],
            "conv2d at {} (only dilation 1 is supported)",
        ),
        (
            lambda m, x: m[0](x),
            [nn.ConvTranspose2d(2, 4, 3)],
            "conv_transpose2d at {} (train nn.Upsample(scale_factor=N, mode='nearest') and a "
            "convolution in its place)",
        ),
        (
            lambda m, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            [],
            "avg_pool2d at {} (at the borders it divides by other numbers "
            "(count_include_pad=True does not))",
        ),
        (
            lambda m, x: F.max_pool2d(x, 3, 2, 1, dilation=2),
            [],
            "max_pool2d at {} (only dilation 1 is supported)",
        ),
        (
            lambda m, x: F.adaptive_avg_pool2d(x, 3),
            [],
            "adaptive_avg_pool2d at {} (8 x 8 pixels do not divide into 3 x 3)",
        ),
        (
            lambda m, x: m[0](F.pad(x, (1, 1, 1, 1), mode="reflect")),
            [nn.Conv2d(2, 4, 3)],
            "conv2d at {} (its argument is no slice, padding or order of planes that is known)",
        ),
        (lambda m, x: F.glu(m[0](x), 1), [nn.Conv2d(2, 4, 3)], "glu at {}"),
    ],
)
def test_refused_by_name_with_the_line(forward, layers, message) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(layers)

        def forward(self, x: Tensor) -> Tensor:
            return forward(self.layers, x).flatten(1)

    with pytest.raises(UnsupportedModel) as caught:
        import_network(Net(), np.random.default_rng(3).normal(size=(5, 2, 8, 8)))

    pattern = re.escape(f"the model is not supported: {message}").replace(
        re.escape("{}"), r"test_gen_torch_planes\.py:\d+"
    )
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)


def test_a_linear_population_that_has_a_bias_does_not_stand_for_its_map() -> None:
    builder = Builder()
    value = builder.add_input((6,))
    source, inner = "input", Dense(np.ones((4, 6)), (6,))

    plain = builder.inner_population(source, inner, value)
    (made,) = builder.populations[-1:]
    assert builder.inner_population(source, inner, value) == plain == made.name

    operand = replace(made.operands[0], bias=made.operands[0].bias + 1)
    builder.populations[-1] = replace(made, operands=(operand,))
    assert builder.inner_population(source, inner, value) != plain
