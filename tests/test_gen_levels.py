"""Quantised models arrive as the integers that they compute: weights, biases, every level, ties."""

import importlib
import re

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.design.design import Design
from signfire.gen.front.export import import_network
from signfire.gen.front.loading import QUANTISED_MODULE, load_model
from signfire.gen.front.refusals import UnsupportedModel
from signfire.sim import golden

RNG = np.random.default_rng(1)
X = (RNG.integers(-64, 64, (40, 12)) / 32).astype(np.float32)


class Written(nn.Module):
    """A quantiser written out, as Brevitas exports it: step, zero point and ends are buffers."""

    def __init__(self, step, low: int, high: int, zero: int = 0) -> None:
        super().__init__()
        for name, value in (("step", step), ("zero", zero), ("low", low), ("high", high)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))
        self.seen: list[torch.Tensor] = []

    def forward(self, x):
        q = torch.clamp(torch.round(x / self.step + self.zero), self.low, self.high) - self.zero
        if not torch.compiler.is_exporting():
            self.seen.append(q.detach())
        return q * self.step


class Trained(nn.Module):
    """A perceptron whose weights, biases and activations are quantised.

    Parameters
    ----------
    steps
        Of input, first weights (one, or one an output), hidden layer, last weights.
    bits
        Of weights; they reach -2^(bits-1).
    bias
        Whether biases are multiples of the steps of their sums.
    """

    def __init__(self, steps, bits: int = 4, *, bias: bool = True, zero: int = 0) -> None:
        super().__init__()
        torch.manual_seed(3)
        top = 2 ** (bits - 1)
        first, weights, hidden, last = steps
        self.a, self.b = nn.Linear(12, 20), nn.Linear(20, 3)
        weights = torch.as_tensor(weights, dtype=torch.float32).reshape(-1, 1)
        with torch.no_grad():
            for layer, step in ((self.a, weights), (self.b, torch.tensor(last))):
                layer.weight.copy_(torch.randint(-top, top, layer.weight.shape) * step)
                layer.weight[0, 0] = (step.reshape(-1)[0] * -top).item()
            if bias:
                self.a.bias.copy_(torch.randint(-9, 9, (20,)) * weights.reshape(-1) * first)
        self.input = Written(first, -64, 63)
        self.first = Written(weights, -top, top - 1)
        self.hidden = Written(hidden, -zero, 15 - zero, zero)
        self.last = Written(last, -top, top - 1)

    def forward(self, x):
        linear = nn.functional.linear
        y = torch.relu(linear(self.input(x), self.first(self.a.weight), self.a.bias))
        return linear(self.hidden(y), self.last(self.b.weight), self.b.bias)


def compared(model: Trained, options: Options | None = None):
    """Return the design of a model, and how many hidden levels are not those of torch."""
    design = calibrate(import_network(model, X), X, options or Options())
    model.hidden.seen.clear()
    model(torch.tensor(X))
    wanted = 2 * model.hidden.seen[-1].numpy()
    raw = design.raw_samples(X)
    said = [golden.trace(design, each).populations["a"].membranes[-1] for each in raw]
    return design, int((np.array(said) != wanted).sum())


def weights_of(design, name: str) -> np.ndarray:
    return next(design[name].sources).map.weights


EIGHTHS = [1 / 8, 1 / 4, 1 / 16, 1 / 8] * 5


@pytest.mark.parametrize(
    ("steps", "bits", "bias"),
    [
        ((1 / 32, 1 / 8, 1 / 2, 1 / 8), 4, True),
        ((1 / 32, 1 / 8, 1 / 2, 1 / 8), 4, False),
        ((1 / 32, EIGHTHS, 1 / 4, 1 / 8), 4, True),
        ((1 / 32, 1 / 64, 1 / 2, 1 / 64), 8, False),
        ((1 / 32, 1 / 4, 1 / 2, 1 / 4), 2, True),
    ],
)
def test_powers_of_two_leave_no_integer_unlike(steps, bits, bias):
    model = Trained(steps, bits, bias=bias)

    design, unlike = compared(model)

    assert 0 == unlike
    for name, layer, step in (("a", model.a, model.first.step), ("b", model.b, model.last.step)):
        wanted = torch.round(layer.weight / step).detach().numpy()
        assert np.array_equal(wanted, weights_of(design, name))
        assert -(2 ** (bits - 1)) == weights_of(design, name).min()
        assert {bits} == {q.weight_bits for q in design[name].sources}
    logits = golden.run(design, design.raw_samples(X)).logits * design.readout.operands[0].scale
    exact = model(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(logits, exact, atol=float(design.readout.operands[0].scale[0]))


def test_ties_go_to_even_levels_as_torch_rounds_and_are_counted():
    model = Trained((1 / 32, 1 / 8, 1 / 2, 1 / 8))

    design, unlike = compared(model)
    _, down = compared(model, Options(ties="down"))

    assert "even" == design["a"].ties and 0 == unlike < down
    layer = design.provenance["layers"][1]
    assert "even" == layer["ties"] and 0 < layer["ties_met"] < 0.2 and 0 == layer["unlike"]


def test_rule_for_ties_that_the_user_names_goes_before_the_training():
    design, _ = compared(Trained((1 / 32, 1 / 8, 1 / 2, 1 / 8)), Options(ties="up"))

    assert ["up", "up"] == [p.ties for p in design.populations[:-1]]


@pytest.mark.parametrize("zero", [0, 4])
def test_other_scales_take_wider_factors(zero, tmp_path):
    steps = (0.0313, list(RNG.uniform(0.01, 0.05, 20)), 0.0417, 0.037)
    model = Trained(steps, 8, zero=zero)
    model.hidden.high.fill_(255 - zero)

    design, unlike = compared(model)
    wide, none = compared(model, Options(multiplier_bits=28))

    assert 2**15 <= design["a"].operands[0].multiplier.max() < 2**16
    assert 2**16 <= wide["a"].operands[0].multiplier.max() < 2**28
    assert 0 == none <= unlike <= 1  # of 800
    assert design.provenance["layers"][1]["unlike"] == unlike / 800
    wide.save(tmp_path / "wide.npz")
    assert Design.load(tmp_path / "wide.npz").hash == wide.hash


def test_a_common_divisor_of_a_row_does_not_change_its_step():
    model = Trained((1 / 32, 1 / 8, 1 / 2, 1 / 8))
    with torch.no_grad():
        model.a.weight[3] = 0
        model.a.weight[4] = torch.randint(-3, 3, (12,)) * 2 / 8
        model.b.weight[:, 1:] = 0

    design, unlike = compared(model)

    wanted = torch.round(model.a.weight * 8).detach().numpy()
    assert 0 == unlike
    assert np.array_equal(wanted, weights_of(design, "a"))


def test_outputs_with_steps_of_their_own_share_a_finer_one():
    model = Trained((1 / 32, 1 / 8, 1 / 2, 1 / 8))
    powers = torch.tensor([[1 / 8], [1 / 2], [1 / 32]])
    others = torch.tensor([[0.11], [0.47], [0.013]])
    for steps, bits, error in ((powers, 7, 1e-9), (others, 8, 0.01)):
        model.last = Written(steps, -8, 7)

        design, _ = compared(model)

        real = weights_of(design, "b") * design.readout.operands[0].scale[:, None]
        wanted = (torch.clamp(torch.round(model.b.weight / steps), -8, 7) * steps).detach().numpy()
        unit = 2 * design["a"].code.unit / float(model.hidden.step)
        assert np.abs(real / design["a"].code.unit - wanted).max() <= error * np.abs(wanted).max()
        assert {bits} == {q.weight_bits for q in design["b"].sources} and unit == 1


def test_a_rounding_that_passes_gradients_through_is_read():
    class Through(Written):
        def forward(self, x):
            y = super().forward(x)
            return x + (y - x).detach()

    model = Trained((1 / 32, 1 / 8, 1 / 2, 1 / 8))
    model.hidden = Through(1 / 2, 0, 15)

    design, unlike = compared(model)

    assert 0 == unlike
    assert ["input", "a", "b"] == [p.name for p in design.populations]


def test_rounding_without_ends_is_refused_with_a_way_out_that_works():
    class Endless(nn.Module):
        def __init__(self, end):
            super().__init__()
            self.fc, self.end = nn.Linear(12, 3), end

        def forward(self, x):
            y = torch.round(torch.relu(self.fc(x)) / 0.25)
            y = torch.clamp(y, 0, 15) if self.end else y
            return nn.functional.linear(y * 0.25, torch.eye(3))

    message = "it needs a clamp to fixed ends behind it, clamp(round(x / step), low, high) * step"
    with pytest.raises(UnsupportedModel, match=re.escape(message)):
        import_network(Endless(False), X)
    assert 0.25 == import_network(Endless(True), X)["fc"].step


# -- what torchao writes ---------------------------------------------------------------------------


class Decomposed(nn.Module):
    """Operators of convert_pt2e: integers of weights are buffers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.register_buffer("q", torch.randint(-127, 128, (5, 12), dtype=torch.int8))
        self.register_buffer("scale", torch.rand(5) * 0.01 + 0.01)
        self.register_buffer("zero", torch.zeros(5, dtype=torch.int64))
        self.register_buffer("bias", torch.randn(5))

    def forward(self, x):
        ops = torch.ops.quantized_decomposed

        def both(v, scale, zero):
            ends = scale, zero, -128, 127, torch.int8
            return ops.dequantize_per_tensor(ops.quantize_per_tensor(v, *ends), *ends)

        w = ops.dequantize_per_channel(self.q, self.scale, self.zero, 0, -127, 127, torch.int8)
        y = torch.relu(nn.functional.linear(both(x, 0.0157, -3), w, self.bias))
        return both(y, 0.0421, -128)


@pytest.fixture
def decomposed() -> nn.Module:
    importlib.import_module(QUANTISED_MODULE)  # torch has the operators from here on
    return Decomposed()


def test_operators_of_convert_pt2e_keep_their_integers(decomposed):
    network = import_network(decomposed, X)

    design = calibrate(network, X, Options())

    layer = design.populations[1]
    assert np.array_equal(decomposed.q.numpy(), next(layer.sources).map.weights)
    assert 2 * layer.code.unit == pytest.approx(0.0421)
    exact = decomposed(torch.tensor(X)).numpy()
    logits = golden.run(design, design.raw_samples(X)).logits * design.readout.operands[0].scale
    assert (np.abs(logits - exact) < 0.0421 / 2).all()


def test_a_program_of_convert_pt2e_is_loaded(decomposed, tmp_path):
    program = torch.export.export(decomposed, (torch.tensor(X[:3]),))
    torch.export.save(program, tmp_path / "net.pt2")

    network = import_network(load_model(str(tmp_path / "net.pt2")), X)

    np.testing.assert_allclose(network.answers(X), decomposed(torch.tensor(X)).numpy(), atol=1e-6)
