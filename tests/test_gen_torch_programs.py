"""What exports, traces and scripts give is read as the module that they were made of."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx.node import map_arg
from torch.nn import functional as F

from signfire.gen.front import export
from signfire.gen.front.export import import_network
from signfire.gen.front.loading import load_model
from signfire.gen.front.refusals import UnsupportedModel

X = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)).eval()


def exported(*, free: bool = False) -> torch.export.ExportedProgram:
    sizes = ({0: torch.export.Dim("batch")},) if free else None
    return torch.export.export(perceptron(), (torch.tensor(X[:2]),), dynamic_shapes=sizes)


FORMS = {
    "program": exported,
    "program of any batch": lambda: exported(free=True),
    "module of a program": lambda: exported().module(),
    "module of any batch": lambda: exported(free=True).module(),
    "trace": lambda: torch.jit.trace(perceptron(), torch.tensor(X[:2])),
    "script": lambda: torch.jit.script(perceptron()),
    "graph": lambda: torch.fx.symbolic_trace(perceptron()),
    "compiled": lambda: torch.compile(perceptron()),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_model_is_read(form):
    network = import_network(form(), X)

    wanted = perceptron()(torch.tensor(X)).detach().numpy()
    assert ["input", "relu", "readout"] == [p.function for p in network.populations]
    np.testing.assert_allclose(network.answers(X), wanted, atol=1e-6)


def test_factory_may_return_a_program(tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\n\n\ndef net():\n    model = torch.nn.Linear(6, 3)\n"
        "    return torch.export.export(model, (torch.zeros(2, 6),))\n"
    )

    network = import_network(load_model(f"{tmp_path / 'net.py'}:net"), X)

    assert (3,) == network.readout.shape


@pytest.mark.parametrize("form", ["program", "module of a program"])
def test_samples_that_a_program_does_not_take_are_refused(form):
    message = r"^the program takes samples of shape \(6\), the data have \(5,\)$"
    with pytest.raises(ValueError, match=message):
        import_network(FORMS[form](), X[:, :5])


class Indexed(nn.Module):
    """A layer, some of whose outputs another reads."""

    def __init__(self, taken) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 6), nn.Linear(4, 3)
        self.register_buffer("index", torch.tensor([4, 0, 2, 2]))
        self.taken = taken

    def forward(self, x):
        y = torch.relu(self.first(x))
        return self.second(self.taken(y, self.index, x))


@pytest.mark.parametrize(
    "taken",
    [
        lambda y, i, x: y.index_select(1, i),
        lambda y, i, x: x.index_select(1, i),
        lambda y, i, x: y[:, i],
        lambda y, i, x: y[:, [4, 0, -3, 2]],
        lambda y, i, x: y.gather(1, i.expand(len(x), -1)),
        lambda y, i, x: torch.take_along_dim(y, i[None], 1),
        lambda y, i, x: y[:, torch.tensor([True, True, False, True, False, True])],
    ],
)
def test_fixed_indices_move_elements(taken):
    model = Indexed(taken)

    network = import_network(model, X)

    np.testing.assert_allclose(
        network.answers(X), model(torch.tensor(X)).detach().numpy(), atol=1e-6
    )


def test_channels_are_chosen_by_a_buffer():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv1d(1, 3, 3), nn.Linear(8, 2)
            self.register_buffer("index", torch.tensor([2, 0]))

        def forward(self, x):
            y = torch.relu(self.conv(x.unsqueeze(1)))
            return self.fc(y.index_select(1, self.index).flatten(1))

    model = Net()

    network = import_network(model, X)

    np.testing.assert_allclose(
        network.answers(X), model(torch.tensor(X)).detach().numpy(), atol=1e-6
    )


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        (lambda y, i, x: y.index_select(0, i)[:, :4], "the batch axis must stay the first"),
        (lambda y, i, x: y[i][:, :4], "the batch axis must stay the first"),
        (lambda y, i, x: y.gather(1, torch.arange(28).reshape(7, 4) % 6), "for every sample"),
    ],
)
def test_samples_are_not_moved(taken, words):
    with pytest.raises(UnsupportedModel, match=re.escape(words)):
        import_network(Indexed(taken), X)


class Everything(nn.Module):
    """Every operator that an exported graph keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(2, 2, 1), nn.Linear(32, 3)
        self.norm, self.prelu = nn.LayerNorm(4), nn.PReLU()

    def forward(self, x):
        y = self.prelu(self.norm(self.conv(x)))
        for function in (
            *(F.relu, F.leaky_relu, F.relu6, torch.sigmoid, torch.tanh, F.gelu, F.silu),
            *(F.softplus, F.elu, F.selu, F.celu, F.hardtanh, F.logsigmoid, F.hardsigmoid),
            *(F.hardswish, torch.special.expit, torch.sin, torch.exp, torch.abs, torch.sqrt),
            *(torch.square, torch.reciprocal, torch.round),
        ):
            y = function(y)
        y = (1 - (y + x) * x - x) / 2
        y = torch.maximum(2.0 ** y.clamp(0, 1), x**2)
        y = y.softmax(1) + y.log_softmax(1) + y.sum() + y.sum(1, keepdim=True)
        y = torch.cat([y[:, 0].unsqueeze(1), y[:, 1:].flip(1)], 1)
        y = y @ y.transpose(2, 3) + y.permute(0, 1, 3, 2) + y[:, :1].expand(-1, 2, -1, -1)
        y = self.linear(y.view(7, 32)) + y[:, :1, :1, :3].squeeze(1).squeeze(1)
        return y + y.argmax(1).view(7, 1) + (y @ y.t()).sum()


def nodes(program: torch.export.ExportedProgram) -> list[tuple[str, ...]]:
    """Return what stands in a graph, each node by its number."""
    found, numbers = [], {}
    for node in program.graph.nodes:
        arguments = map_arg((node.args, node.kwargs), lambda other: f"%{numbers[other.name]}")
        target = "" if node.op == "placeholder" else str(node.target)
        found.append((node.op, target, str(arguments)))
        numbers[node.name] = len(numbers)
    outputs = program.graph_signature.output_specs
    return [*found, ("outputs", *(f"{o.kind} %{numbers[o.arg.name]}" for o in outputs))]


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        (Everything(), True),
        (nn.Sequential(nn.Conv2d(2, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)), True),
        (nn.Sequential(nn.Flatten(), nn.Flatten(), nn.Linear(32, 3)), True),
        (nn.Sequential(nn.Conv2d(2, 2, 3), nn.Flatten()), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(32, 3), nn.ReLU(inplace=True)), False),
        (nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(2), nn.Linear(16, 3)), False),
    ],
)
def test_a_graph_that_is_kept_is_the_one_that_torch_would_write_out(model, kept, monkeypatch):
    model, x = model.eval(), (torch.rand(7, 2, 4, 4),)
    with torch.no_grad():
        wanted = torch.export.export(model, x, strict=False).run_decompositions({})
        anew = []
        write_out = torch.export.ExportedProgram.run_decompositions
        monkeypatch.setattr(
            torch.export.ExportedProgram,
            "run_decompositions",
            lambda program, table: anew.append(program) or write_out(program, table),
        )
        found = export.export(model, x)

    assert nodes(wanted) == nodes(found)
    assert kept == (anew == [])
    if isinstance(model, Everything):
        used = {str(node.target) for node in found.graph.nodes if node.op == "call_function"}
        assert export.LEFT_ALONE == used
