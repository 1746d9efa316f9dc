"""Neuron functions of torch, as modules and as calls: read, converted, and equal to the model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.design.design import Design
from signfire.gen.front.export import import_network
from signfire.gen.front.refusals import UnsupportedModel
from signfire.gen.model import functions
from signfire.gen.model.codes import Schedule
from signfire.gen.model.functions import UNARY, register_neuron
from signfire.sim import float_reference, golden

SAMPLES = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
FORMS = {  # what the user writes -> function, parameters
    "LeakyReLU": (nn.LeakyReLU(0.2), "leaky_relu", (0.2,)),
    "F.leaky_relu": (F.leaky_relu, "leaky_relu", (0.01,)),
    "PReLU": (nn.PReLU(), "leaky_relu", (0.25,)),
    "ReLU6": (nn.ReLU6(), "relu", ()),
    "F.hardtanh": (lambda x: F.hardtanh(x), "clamp", (-1.0, 1.0)),
    "Hardtanh": (nn.Hardtanh(-2, 3), "clamp", (-2.0, 3.0)),
    "clamp": (lambda x: x.clamp(-0.5, 2), "clamp", (-0.5, 2.0)),
    "GELU": (nn.GELU(), "gelu", ()),
    "F.gelu": (F.gelu, "gelu", ()),
    "GELU tanh": (nn.GELU("tanh"), "gelu_tanh", ()),
    "F.gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), "gelu_tanh", ()),
    "SiLU": (nn.SiLU(), "silu", ()),
    "in-place SiLU": (nn.SiLU(inplace=True), "silu", ()),
    "F.silu": (F.silu, "silu", ()),
    "Sigmoid": (nn.Sigmoid(), "sigmoid", ()),
    "torch.sigmoid": (torch.sigmoid, "sigmoid", ()),
    "x.sigmoid": (lambda x: x.sigmoid(), "sigmoid", ()),
    "Tanh": (nn.Tanh(), "tanh", ()),
    "torch.tanh": (torch.tanh, "tanh", ()),
    "Hardswish": (nn.Hardswish(), "hardswish", ()),
    "F.hardswish": (F.hardswish, "hardswish", ()),
    "Hardsigmoid": (nn.Hardsigmoid(), "relu", ()),
    "F.hardsigmoid": (F.hardsigmoid, "relu", ()),
    "ELU": (nn.ELU(0.5), "elu", (0.5, 1.0, 1.0)),
    "F.elu": (F.elu, "elu", (1.0, 1.0, 1.0)),
    "CELU": (nn.CELU(0.5), "elu", (0.5, 1.0, 2.0)),
    "SELU": (nn.SELU(), "elu", (1.6732632423543772, 1.0507009873554805, 1.0)),
    "Softplus": (nn.Softplus(2.0), "softplus", (2.0, 20.0)),
    "F.softplus": (F.softplus, "softplus", (1.0, 20.0)),
    "abs": (torch.abs, "abs", ()),
    "x.abs": (lambda x: x.abs(), "abs", ()),
    "square": (torch.square, "square", ()),
    "x ** 2": (lambda x: x**2, "square", ()),
    "x * x": (lambda x: x * x, "square", ()),
    "exp": (torch.exp, "exp", ()),
    "x.exp": (lambda x: x.exp(), "exp", ()),
}


class Net(nn.Module):
    """6-8-3 with any function between."""

    def __init__(self, act) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc1, self.fc2, self.act = nn.Linear(6, 8), nn.Linear(8, 3), act

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


@pytest.fixture(autouse=True)
def registrations():
    """Undo what a test registered."""
    yield
    for name in set(UNARY) - functions.BUILT_IN:
        del UNARY[name]


@pytest.mark.parametrize("act,function,parameters", FORMS.values(), ids=FORMS)
def test_forms_are_read_and_their_designs_answer_as_the_model_does(
    act, function, parameters, tmp_path: Path
):
    """Settled at T = 7: the logits lie within a few levels of the float model's."""
    network = import_network(Net(act), SAMPLES)
    design = calibrate(network, SAMPLES, Options(steps=7, input_steps=7, weight_bits=8))
    exact = network.answers(SAMPLES)
    seen = golden.run(design, design.raw_samples(SAMPLES)).logits
    real = seen * design.readout.operands[0].scale[0]
    one = golden.trace(design, design.raw_samples(SAMPLES[:1])[0])
    design.save(tmp_path / "design.npz")

    assert [p.function for p in network.populations] == ["input", function, "readout"]
    assert network.populations[1].parameters == pytest.approx(parameters)
    assert network.populations[1].place.startswith("test_gen_torch_functions.py:")
    assert ((real - exact) ** 2).mean() / exact.var() < 1e-3
    assert one.logits.tolist() == seen[0].tolist()
    assert Design.load(tmp_path / "design.npz").hash == design.hash


def test_several_functions_in_a_row_are_populations_of_their_own():
    network = import_network(Net(lambda x: torch.tanh(F.gelu(x)).abs()), SAMPLES)

    assert [p.function for p in network.populations[1:-1]] == ["gelu", "tanh", "abs"]


def test_what_follows_a_function_that_is_never_negative_needs_no_relu():
    network = import_network(Net(lambda x: F.relu(torch.sigmoid(x))), SAMPLES)

    assert [p.function for p in network.populations[1:-1]] == ["sigmoid"]


@pytest.mark.parametrize("form", ["GELU", "LeakyReLU", "abs", "Tanh"])
def test_overlapped_golden_follows_the_float_dynamics(form):
    network = import_network(Net(FORMS[form][0]), SAMPLES)
    schedule = Schedule(kind="exponential", eta0=0.15, gamma=0.95)
    options = Options(firing="overlapped", steps=48, weight_bits=8, schedule=schedule)
    design = calibrate(network, SAMPLES, options)
    few = SAMPLES[:40]

    reference = float_reference.run(network, few, float_reference.codes_of(design))
    integers = golden.run(design, design.raw_samples(few)).logits
    one = golden.trace(design, design.raw_samples(few[:1])[0])
    real = integers * design.readout.operands[0].scale[0]

    assert one.logits.tolist() == integers[0].tolist()
    assert ((real - reference) ** 2).mean() / reference.var() < 0.02


def test_a_design_states_the_error_of_its_table():
    design = calibrate(import_network(Net(nn.GELU()), SAMPLES), SAMPLES, Options(steps=5))
    table = design["fc1"].table
    layer = design.provenance["layers"][1]

    assert layer["function"] == "gelu"
    assert layer["table"]["entries"] == len(table.entries)
    assert 0.5 < table.error <= table.bound < 0.8
    assert layer["table"]["error_levels"] == round(table.error, 3)
    assert design["fc1"].code.zero == 0


def test_signs_need_no_table():
    for act, below in ((nn.LeakyReLU(0.25), 0.25), (torch.abs, -1.0)):
        operand = calibrate(import_network(Net(act), SAMPLES), SAMPLES)["fc1"].operands[0]

        np.testing.assert_allclose(operand.below / operand.multiplier, below, rtol=0.02)


def test_an_operator_that_is_registered_becomes_a_neuron(tmp_path: Path):
    net = Net(lambda x: torch.sin(x.clamp(-1.5, 1.5)))
    with pytest.raises(UnsupportedModel) as caught:
        import_network(net, SAMPLES)
    register_neuron(torch.sin, np.sin)
    network = import_network(net, SAMPLES)
    design = calibrate(network, SAMPLES, Options(steps=6, input_steps=6, weight_bits=8))
    design.save(tmp_path / "design.npz")
    del UNARY["sin"]
    raw = design.raw_samples(SAMPLES)
    wanted = golden.run(design, raw).logits

    again = Design.load(tmp_path / "design.npz")

    assert "register_neuron can make it a neuron function" in str(caught.value)
    assert [p.function for p in network.populations[1:-1]] == ["clamp", "sin"]
    assert again.populations[2].function == "sin"
    assert golden.run(again, raw).logits.tolist() == wanted.tolist()
    real = wanted * design.readout.operands[0].scale[0]
    exact = net(torch.from_numpy(SAMPLES)).detach().numpy()
    assert ((real - exact) ** 2).mean() / exact.var() < 5e-3


def test_other_arguments_than_the_usual_are_not_those_that_were_registered():
    register_neuron("logit", lambda x: np.log(x / (1 - x)), domain=(0.01, 0.99))

    import_network(Net(lambda x: torch.logit(x.sigmoid().clamp(0.1, 0.9))), SAMPLES)
    with pytest.raises(UnsupportedModel, match=r"logit at .*\(registered with eps None, not 0.2\)"):
        import_network(Net(lambda x: torch.logit(x.sigmoid(), 0.2)), SAMPLES)


def test_a_registered_function_that_is_another_than_torchs_is_refused():
    register_neuron(torch.sin, np.cos)

    with pytest.raises(ValueError, match=r"^the network read from the model differs from it by"):
        import_network(Net(torch.sin), SAMPLES)
