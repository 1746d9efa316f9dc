"""Features: a scale and an offset for each, where that serves the network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.features import choose_features, groups_of, readers_of, reading_steps
from signfire.gen.convert.options import Options
from signfire.gen.convert.quantise import grid
from signfire.gen.convert.summary import noise_db
from signfire.gen.core.plans import no_hardware
from signfire.gen.design.design import Design
from signfire.gen.design.features import Features
from signfire.gen.front.export import import_network
from signfire.gen.model.codes import Schedule
from signfire.sim import golden

FINE = Options(steps=6, weight_bits=8, input_steps=8)


def table(n: int = 300, seed: int = 0) -> np.ndarray:
    """Return six features of very different ranges, in their units, float32."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, 3)) @ np.random.default_rng(9).normal(size=(3, 6))
    return (mixed * [1e-4, 1.0, 3e3, 0.02, 50.0, 1.0] + [0, 20, 1e4, 1.0, -300, 0]).astype(
        np.float32
    )


class Standardised(nn.Module):
    """A perceptron that standardises raw features as ``way`` says."""

    def __init__(self, x: np.ndarray, way: str, outputs: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way = way
        self.register_buffer("mean", torch.tensor(x.mean(axis=0)))
        self.register_buffer("std", torch.tensor(x.std(axis=0)))
        self.register_buffer("low", torch.tensor(x.min(axis=0)))
        self.register_buffer("high", torch.tensor(x.max(axis=0)))
        self.norm = nn.BatchNorm1d(x.shape[1])
        self.norm.running_mean, self.norm.running_var = self.mean.clone(), self.std.clone() ** 2
        self.net = nn.Sequential(nn.Linear(x.shape[1], 16), nn.ReLU(), nn.Linear(16, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.way == "std":
            x = (x - self.mean) / self.std
        elif self.way == "std and epsilon":
            x = (x - self.mean) / (self.std + 1e-8)
        elif self.way == "min-max":
            x = (x - self.low) / (self.high - self.low)
        elif self.way == "factor":
            x = x * (1 / self.std) + (-self.mean / self.std)
        elif self.way == "batch norm":
            x = self.norm(x)
        return self.net(x)


def logits_db(module: nn.Module, design: Design, samples: np.ndarray) -> float:
    """Signal-to-noise ratio of golden logits against the module."""
    said = golden.run(design, design.raw_samples(samples)).logits
    with torch.no_grad():
        exact = module(torch.tensor(samples)).numpy()
    return noise_db(exact, said * design.readout.operands[0].scale)


def converted(module: nn.Module, samples: np.ndarray, options: Options = FINE) -> Design:
    return calibrate(import_network(module.eval(), samples), samples, options)


# -- what is absorbed ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["std", "std and epsilon", "min-max", "factor", "batch norm"])
def test_what_standardises_inside_is_absorbed_whatever_it_is_written_as(way):
    x, unseen = table(), table(200, seed=1)
    model = Standardised(x, way).eval()

    design = converted(model, x)

    assert design.input_format.features is not None
    assert logits_db(model, design, unseen) > 30


def test_a_feature_of_0_to_1_beside_one_of_0_to_1000_has_its_own_range():
    rng = np.random.default_rng(0)
    x = np.stack([rng.random(400), rng.random(400) * 1000], axis=1).astype(np.float32)
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-5.0, 0.002], [5.0, 0.001]]))
        net.bias.copy_(torch.tensor([2.0, -3.0]))

    design = converted(net, x)
    first, second = design.input_format.features.scales

    assert 1 / 255 == pytest.approx(first, rel=0.05) and 1000 / 255 == pytest.approx(
        second, rel=0.05
    )
    labels = golden.run(design, design.raw_samples(x)).labels
    assert (labels == net(torch.tensor(x)).argmax(1).numpy()).mean() > 0.98


def test_constant_features_are_taken_off_and_told_as_constants():
    x = table()
    x[:, [1, 4]] = [7.5, 0.0]
    model = Standardised(x, "std and epsilon").eval()  # divides 0 by 1e-8

    design = converted(model, x)

    features, first = design.input_format.features, design.populations[1]
    assert np.flatnonzero(np.array(features.scales) == 0).tolist() == [1, 4]
    assert features.offsets[1] == 7.5
    assert not next(first.sources).map.weights[:, [1, 4]].any()
    assert (design.raw_samples(x)[:, [1, 4]] == 0).all()
    assert logits_db(model, design, x) > 30


@pytest.mark.parametrize("clipped", [False, True])
def test_a_constant_divided_by_nothing_is_no_trained_grid_for_the_others(clipped):
    x = table()
    x[:, 4] = 7.0  # 1e8 times its weight; those of the others are nothing beside it
    inner = Standardised(x, "std and epsilon").eval()
    model = inner
    if clipped:
        model = nn.Sequential(Absorbed(inner), nn.Hardtanh(-3, 3), inner.net).eval()

    design = converted(model, x)

    features = design.input_format.features
    assert np.flatnonzero(np.array(features.scales) == 0).tolist() == [4]
    assert logits_db(model, design, x) > 25


class Absorbed(nn.Module):
    """What a model standardises, alone."""

    def __init__(self, model: Standardised) -> None:
        super().__init__()
        self.mean, self.std = model.mean, model.std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / (self.std + 1e-8)


def test_a_rare_feature_costs_the_others_no_resolution():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 8)).astype(np.float32)
    x[:, 0] = np.where(rng.random(400) < 0.005, 40.0, 0.0)  # forty deviations, as a rare pixel
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    usual = x[x[:, 0] == 0]

    own = converted(model, x, Options(input_steps=4))
    one = converted(model, x, Options(input_steps=4, input_scales="one"))

    assert logits_db(model, own, usual) > logits_db(model, one, usual) + 5


# -- who keeps one scale ---------------------------------------------------------------------------


def pixels(n: int = 200) -> np.ndarray:
    """Return images of 8x8 with a dark border, uint8."""
    rng = np.random.default_rng(2)
    blobs = rng.random((n, 8, 8)) * 255
    blobs[:, [0, 7]] = blobs[:, :, [0, 7]] = 0
    return (blobs * (rng.random((n, 8, 8)) < 0.4)).astype(np.uint8)


def test_images_keep_one_scale_to_the_bit():
    x = pixels()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))

    design = converted(model, x, Options())

    assert design.input_format.features is None
    assert design.hash == converted(model, x, Options(input_scales="one")).hash
    assert "features" not in design.content()[0]["input"]


class MaximumFirst(nn.Module):
    """The greatest of neighbouring samples of channels of very different range."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.fc = nn.MaxPool1d(2), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(x).flatten(1))


def signals(n: int = 120) -> np.ndarray:
    """Return two channels of eight samples: acceleration, and a temperature in kelvin."""
    rng = np.random.default_rng(4)
    return np.stack([rng.normal(size=(n, 8)), 290 + rng.normal(size=(n, 8))], 1).astype(np.float32)


def test_a_maximum_of_the_input_keeps_one_scale():
    x = signals()
    torch.manual_seed(0)

    design = converted(MaximumFirst(), x, replace(FINE, input_scales="each"))

    assert design.input_format.features is None


def test_weights_on_a_trained_grid_keep_it():
    rng = np.random.default_rng(5)
    net = nn.Linear(6, 4)
    with torch.no_grad():
        net.weight.copy_(torch.tensor(rng.integers(-7, 8, (4, 6)) * 0.25))

    design = converted(net, table(), FINE)

    assert design.input_format.features is None


def test_rows_that_one_column_outweighs_lie_on_no_grid():
    rng = np.random.default_rng(6)
    weights = rng.normal(size=(16, 8)) * [1e6, *[1.0] * 7]

    assert grid(weights) is None
    assert grid(np.rint(weights / 1e5) * 0.5) is not None  # all but the first column are 0


class Squares(nn.Module):
    """Standardised features beside their squares, which read each feature alone."""

    def __init__(self, x: np.ndarray) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("mean", torch.tensor(x.mean(axis=0)))
        self.register_buffer("std", torch.tensor(x.std(axis=0)))
        self.fc = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - self.mean) / self.std
        return self.fc(torch.cat([x, x * x], 1))


def test_one_weight_a_row_is_no_trained_grid():
    model = Squares(table()).eval()

    assert logits_db(model, converted(model, table()), table(200, seed=1)) > 20


# -- the network that reads steps ------------------------------------------------------------------


class Sum(nn.Module):
    """The input beside what a layer makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(x + torch.relu(self.a(x))))


class Product(nn.Module):
    """Two layers of the input multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.a(x) * self.b(x))


class Last(nn.Module):
    """A convolution over (time, channel), which turns it first."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(2, 4, 3), nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x.transpose(1, 2))).flatten(1))


def padded() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))


def pooled() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 3))


def depthwise() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))


TURNED = np.ascontiguousarray(signals().transpose(0, 2, 1))
READERS = {
    "dense": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), table(), (6,)),
    "sum": (Sum, table(), (6,)),
    "product": (Product, table(), (6,)),
    "padded": (padded, signals(), (2, 1)),
    "pooled": (pooled, signals(), (2, 1)),
    "depthwise": (depthwise, signals(), (2, 1)),
    "channels last": (Last, TURNED, (1, 2)),
}


@pytest.mark.parametrize("name", READERS)
def test_a_network_that_reads_steps_says_what_it_said_of_real_values(name):
    factory, x, shape = READERS[name]
    torch.manual_seed(0)
    network = import_network(factory().eval(), x)

    features = choose_features(network, x, replace(FINE, input_scales="each"))
    steps = reading_steps(network, features)

    assert shape == features.shape
    assert network.answers(x) == pytest.approx(steps.answers(features.steps(x)), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", READERS)
def test_every_reader_of_features_stays_near_the_floats(name):
    factory, x, _ = READERS[name]
    torch.manual_seed(0)
    model = factory().eval()
    network = import_network(model, x)
    spread = x.std(axis=0 if x.ndim == 2 else (0, 2 if name != "channels last" else 1))
    first = next(network.populations[1].sources)
    assert first.source == network.input.name and spread.min() > 0

    design = converted(model, x, replace(FINE, steps=8, input_scales="each"))

    assert logits_db(model, design, x) > 25
    assert no_hardware(design) is None


def test_elements_that_share_a_weight_share_a_scale():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv1d(2, 4, 3), nn.Linear(16, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(x.flatten(1)) + torch.relu(self.a(x)).mean(2)[:, :3]

    network = import_network(Both().eval(), signals())

    assert [0] * 8 + [1] * 8 == groups_of(readers_of(network, Options())).tolist()


@pytest.mark.parametrize("firing", ["settled", "overlapped"])
def test_the_design_answers_as_integers_of_the_same_steps(firing):
    x = table()
    schedule = Schedule() if firing == "settled" else Schedule(kind="exponential", gamma=0.8)
    options = Options(firing=firing, steps=8, weight_bits=8, input_steps=8, schedule=schedule)
    design = converted(Standardised(x, "std"), x, options)
    fmt = design.input_format

    again = replace(design, input_format=replace(fmt, features=None))

    raw = design.raw_samples(x)
    assert np.array_equal(raw, fmt.encode(x))
    assert np.array_equal(golden.run(design, raw).logits, golden.run(again, raw).logits)
    assert again.hash != design.hash


def test_integrate_and_fire_neurons_read_the_same_steps():
    x = table()
    model = Standardised(x, "std").eval()
    options = Options(dynamics="if", firing="overlapped", steps=255, weight_bits=8)

    design = converted(model, x, options)

    assert design.input_format.features is not None
    labels = golden.run(design, design.raw_samples(x)).labels
    assert (labels == model(torch.tensor(x)).argmax(1).numpy()).mean() > 0.95


def test_a_design_like_another_takes_its_features():
    x = table()
    model, other = (Standardised(part, "std").eval() for part in (x, x * np.float32(1.1)))
    design = converted(model, x)

    again = calibrate(import_network(other, x), x, like=design)

    assert design.input_format == again.input_format
    assert logits_db(other, again, x) > 25


# -- files and samples -----------------------------------------------------------------------------


def test_features_stand_in_the_file(tmp_path):
    design = converted(Standardised(table(), "std"), table())

    design.save(tmp_path / "design.npz")
    again = Design.load(tmp_path / "design.npz")

    assert design.input_format == again.input_format
    assert design.hash == again.hash


def test_real_values_become_the_nearest_steps_and_the_ends_beyond():
    features = Features.of(np.array([0.5, 0.0, 10.0]), np.array([1.0, 3.0, -100.0]))
    design = converted(Standardised(table()[:, :3], "std"), table()[:, :3])
    design = replace(design, input_format=replace(design.input_format, features=features))

    raw = design.raw_samples(np.array([[1.0, 3.0, -100.0], [2.2, 9.0, -94.0], [1e6, -1.0, -1e9]]))

    assert [[0, 0, 0], [2, 0, 1], [255, 0, 0]] == raw.tolist()
    assert [[1.0, 3.0, -100.0], [2.0, 3.0, -90.0]] == design.input_format.real(raw[:2]).tolist()


def test_whole_numbers_of_features_are_real_values():
    x = table()
    design = converted(Standardised(x, "std"), x)
    whole = np.array([[0, 20, 10000, 1, -300, 0], [0, 25, 99999, 1, -200, 1]])

    assert np.array_equal(design.raw_samples(whole), design.raw_samples(whole.astype(float)))


def test_features_keep_only_the_axes_that_matter():
    scales = np.broadcast_to(np.array([1.0, 2.0])[:, None, None], (2, 3, 4))

    assert (2, 1, 1) == Features.of(scales, np.zeros((2, 3, 4))).shape
    assert (1, 1, 1) == Features.of(np.ones((2, 3, 4)), np.zeros((2, 3, 4))).shape


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"scales": (1.0,)}, "features of shape (2,) have 2 scales and offsets, not 1 and 2"),
        ({"scales": (1.0, -1.0)}, "scales of features are 0 or above, and offsets finite"),
        ({"offsets": (np.nan, 0.0)}, "scales of features are 0 or above, and offsets finite"),
    ],
)
def test_features_that_are_none_are_refused(numbers, said):
    with pytest.raises(ValueError) as refusal:
        Features(**{"shape": (2,), "scales": (1.0, 1.0), "offsets": (0.0, 0.0)} | numbers)

    assert str(refusal.value) == said
