"""Models written in many styles give a Network that computes the same; others are refused whole."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from signfire.gen.front.export import import_network
from signfire.gen.front.loading import load_model
from signfire.gen.front.refusals import UnsupportedModel
from signfire.gen.model.network import Network

SAMPLES = 40


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(7)
    torch.set_num_threads(1)


def trained(model: nn.Module) -> nn.Module:
    """Give batch normalisation the statistics, and its scale the signs, of a trained model."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.3, 3.0)
            if layer.affine:
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    return model


def check(model: nn.Module, *shape: int) -> Network:
    """Import the model and compare the Network with it on random data of ``shape``."""
    x = np.random.default_rng(3).normal(size=(SAMPLES, *shape)).astype(np.float32)
    network = import_network(model, x)
    with torch.no_grad():
        expected = model.eval().double()(torch.from_numpy(x).double()).numpy()
    got = network.forward(x)[0][network.readout.name]

    np.testing.assert_allclose(
        got, expected.reshape(SAMPLES, -1), rtol=1e-5, atol=1e-5 * np.abs(expected).max()
    )
    return network


def names(network: Network) -> list[str]:
    return [p.name for p in network.populations]


# --- supported styles ---------------------------------------------------------------------------


def test_sequential_of_modules() -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(20, 8), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(8, 3)
    )

    network = check(model, 4, 5)

    assert names(network) == ["input", "1", "4"]
    assert network.input.shape == (4, 5)
    assert network["1"].function == "relu"


class Norms(nn.Module):
    """Batch normalisation before, behind and between, and one without an affine part."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.BatchNorm1d(6)
        self.fc1 = nn.Linear(6, 8, bias=False)
        self.behind = nn.BatchNorm1d(8)
        self.after = nn.BatchNorm1d(8, affine=False)
        self.fc2 = nn.Linear(8, 4)
        self.last = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.behind(self.fc1(self.before(x))))
        return self.last(self.fc2(self.after(x)))


def test_batch_normalisation_is_folded_wherever_it_stands() -> None:
    network = check(trained(Norms()), 6)

    assert names(network) == ["input", "fc1", "fc2"]


def test_batch_normalisation_of_channels() -> None:
    check(trained(nn.Sequential(nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(15, 4))), 3, 5)


class Functional(nn.Module):
    """Parameters without layers, and ReLU in every spelling."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(8, 6))
        self.b1 = nn.Parameter(torch.randn(8))
        self.w2 = nn.Parameter(torch.randn(8, 8))
        self.w3 = nn.Parameter(torch.randn(5, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(F.linear(x, self.w1, self.b1))
        x = (x @ self.w2).relu()
        x = torch.clamp(torch.addmm(self.b1, x, self.w2.t(), alpha=0.5), min=0)
        x = torch.maximum(torch.mm(x, self.w2) - 0.1, torch.zeros(8))
        x = F.threshold(x.matmul(self.w2.T) + self.b1, 0, 0)
        x = (x @ self.w2).clamp_(min=0.0)
        return F.linear(x, self.w3)


def test_functional_calls_and_every_spelling_of_relu() -> None:
    network = check(Functional(), 6)

    assert [p.function for p in network.populations] == ["input", *["relu"] * 6, "readout"]
    assert names(network)[:3] == ["input", "w1", "w2"]


class Reused(nn.Module):
    """One layer twice, layers in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc(x))
        x = F.relu(self.fc(x))
        for block in self.blocks:
            x = block(x).relu_()
        return self.fc(x)


def test_reused_layers_occur_each_time_under_a_name_of_their_own() -> None:
    network = check(Reused(), 6)

    assert names(network) == [
        "input", "fc", "fc_2", "blocks.0", "blocks.1", "blocks.2", "fc_3",
    ]  # fmt: skip


class Normalised(nn.Module):
    """Constants in front, per pixel and per scalar, and a scale behind."""

    def __init__(self, scale: bool = True) -> None:
        super().__init__()
        self.register_buffer("mean", torch.rand(4, 5))
        self.register_buffer("std", torch.rand(1, 4, 5) + 0.5)
        self.fc = nn.Linear(20, 3)
        self.log_scale = nn.Parameter(torch.randn(3))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        x = (x.float() / 255.0 - self.mean) / self.std
        x = 1 - 2 * x
        x = self.fc(x.view(x.size(0), -1).contiguous())
        return -x * torch.exp(self.log_scale) + x.new_zeros(x.shape[0], 3)


def test_input_normalisation_is_absorbed_into_one_projection() -> None:
    model = Normalised()
    x = np.random.default_rng(3).integers(0, 256, (SAMPLES, 4, 5)).astype(np.uint8)

    network = import_network(model, x)

    assert names(network) == ["input", "fc"]
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    got = network.forward(x)[0]["fc"]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


class Shapes(nn.Module):
    """Reshapes and permutations of the features."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(3, 7)
        self.out = nn.Linear(28, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, 12).view(-1, 3, 4)
        x = x.transpose(1, 2).unsqueeze(1).squeeze(1)
        x = F.relu(self.rows(x))
        x = x.permute(0, 2, 1).flatten(1)
        return self.out(x)


def test_reshapes_and_permutations() -> None:
    network = check(Shapes(), 2, 6)

    assert network["rows"].shape == (7, 1, 4)  # the same 7 x 3 weights for each of four rows


class Residual(nn.Module):
    """Sums of branches, one of them the input."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.a(x))
        g = F.relu(self.b(h) + h - 0.5 * x)
        return torch.sub(self.c(g), h, alpha=2) + x


def test_sums_of_branches_become_several_projections_of_one_operand() -> None:
    network = check(Residual(), 6)

    assert names(network) == ["input", "a", "b", "c"]
    assert {p.source for p in network["b"].sources} == {"a", "input"}
    assert {p.source for p in network["c"].sources} == {"b", "a", "input"}


def test_layers_without_a_function_between_are_multiplied() -> None:
    network = check(nn.Sequential(nn.Linear(6, 30), nn.Identity(), nn.Linear(30, 4)), 6)

    assert names(network) == ["input", "2"]
    (projection,) = network.readout.sources
    assert projection.map.weights.shape == (4, 6)


def test_relu_at_the_end_is_followed_by_an_identity_read_out() -> None:
    network = check(nn.Sequential(nn.Linear(6, 4), nn.ReLU()), 6)

    assert [p.function for p in network.populations] == ["input", "relu", "readout"]
    (projection,) = network.readout.sources
    np.testing.assert_array_equal(projection.map.weights, np.eye(4))


def test_relu_of_a_relu_is_no_population_of_its_own() -> None:
    network = check(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.ReLU(), nn.Linear(4, 2)), 6)

    assert names(network) == ["input", "0", "3"]


class NegatedRelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(0.5 - F.relu(x)) + F.relu(F.relu(x) - 0.5)


def test_relu_of_a_negated_or_lowered_relu_stays() -> None:
    network = check(NegatedRelu(), 6)

    assert [p.function for p in network.populations].count("relu") == 4


class InPlaceView(nn.Module):
    """An in-place ReLU seen through a view that was made before it."""

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.25
        flat = x.view(x.shape[0], -1)
        x.relu_()
        return flat * 2


def test_in_place_operator_reaches_the_views() -> None:
    assert check(InPlaceView(), 2, 3)["relu"].function == "relu"


class InPlaceInput(nn.Module):
    """Normalises its own argument, and answers with a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.utils.parametrizations.weight_norm(nn.Linear(6, 3))

    def forward(self, x: Tensor, unused: Tensor | None = None) -> dict[str, Tensor]:
        x /= 255
        x -= 0.5
        with torch.no_grad():
            x = x * 3
        return {"logits": self.fc(x)}


def test_input_changed_in_place_and_parametrised_weights() -> None:
    model, x = InPlaceInput(), np.random.default_rng(3).uniform(0, 255, size=(4, 6))

    network = import_network(model, x)

    assert names(network) == ["input", "fc"]
    expected = model(torch.from_numpy(x).float())["logits"].detach().numpy()
    np.testing.assert_allclose(network.forward(x)[0]["fc"], expected, rtol=1e-5, atol=1e-5)


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


def test_model_that_remembers_is_refused() -> None:
    with pytest.raises(ValueError, match="does forward depend on more than its input"):
        import_network(Stateful(), np.ones((2, 3)))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x * 2


def test_changed_buffer_is_refused() -> None:
    message = "forward that changes the buffer count (it must be fixed)"
    with pytest.raises(UnsupportedModel, match=re.escape(message)):
        import_network(Counting(), np.ones((2, 3)))


class Constantly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.new_ones(x.shape[0], 2)


def test_output_that_does_not_depend_on_the_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the model's output does not depend on its input$"):
        import_network(Constantly(), np.ones((2, 3)))


def test_single_sample_is_enough() -> None:
    network = import_network(nn.Linear(3, 2), np.ones((1, 3)))

    assert network.readout.shape == (2,)


def test_module_keeps_its_mode_and_precision() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.Linear(4, 2).eval()).half()

    import_network(model, np.ones((2, 3)))

    assert [m.training for m in model] == [True, True, False]
    assert model[0].weight.dtype == torch.float16


# --- programs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed batch", "dynamic batch"])
def test_exported_program_gives_the_same_network(tmp_path: Path, dynamic: bool) -> None:
    model, x = trained(Norms()).eval(), np.random.default_rng(3).normal(size=(9, 6))
    sizes = {"x": {0: torch.export.Dim("n")}} if dynamic else None
    program = torch.export.export(model, (torch.rand(3, 6),), dynamic_shapes=sizes)
    torch.export.save(program, tmp_path / "norms.pt2")

    network = import_network(load_model(str(tmp_path / "norms.pt2")), x)

    expected = import_network(model, x).forward(x)[0]
    assert names(network) == list(expected)
    np.testing.assert_allclose(network.forward(x)[0]["fc2"], expected["fc2"], rtol=1e-12)


def saved_program(path: Path) -> Path:
    torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.rand(3, 3),)), path)
    return path


def edited(path: Path, member: str, edit) -> str:
    """Rewrite one JSON member of an archive with ``edit`` applied to its text."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in files if name.endswith(member))
    files[name] = edit(files[name].decode()).encode()
    assert json.loads(files[name])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


def test_program_with_pickled_weights_is_not_loaded(tmp_path: Path) -> None:
    path = edited(
        saved_program(tmp_path / "m.pt2"),
        "model_weights_config.json",
        lambda text: text.replace('"use_pickle": false', '"use_pickle": true'),
    )

    message = f"{path} is not loaded: it holds pickled objects, which could run code"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model(path)


def test_program_with_code_for_a_size_is_not_loaded(tmp_path: Path) -> None:
    size = "__import__('os').getcwd()"
    path = edited(
        saved_program(tmp_path / "m.pt2"),
        "models/model.json",
        lambda text: text.replace('{"as_int": 3}', f'{{"as_expr": {{"expr_str": "{size}"}}}}', 1),
    )

    message = f"{path} is not loaded: it holds the size {size!r}, which could run code"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model(path)


def test_program_with_an_operator_from_outside_aten_is_refused(tmp_path: Path) -> None:
    path = edited(
        saved_program(tmp_path / "m.pt2"),
        "models/model.json",
        lambda text: text.replace("torch.ops.aten.linear.default", "torch.hub.load"),
    )

    with pytest.raises(UnsupportedModel, match=r"^the model is not supported: torch\.hub\.load$"):
        load_model(path)


def test_program_with_a_stranger_in_the_archive_is_not_loaded(tmp_path: Path) -> None:
    path = saved_program(tmp_path / "m.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("m/data/weights/model.pt", b"")

    message = (
        f"{path} is not loaded: it holds 'data/weights/model.pt', "
        "which is no part of a plain program"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model(str(path))


def test_program_with_code_in_its_sample_inputs_is_not_loaded(tmp_path: Path, capsys) -> None:
    path = saved_program(tmp_path / "m.pt2")
    torch.save(((RunsCode(),), {}), tmp_path / "inputs.pt")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["m/data/sample_inputs/model.pt"] = (tmp_path / "inputs.pt").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)

    message = f"{path} is not loaded: its sample inputs are no plain tensors and could run code"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model(str(path))
    assert "never" not in capsys.readouterr().out


# --- loading ------------------------------------------------------------------------------------

SOURCE = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))

class Net(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)

def broken():
    raise RuntimeError("no luck")

def number():
    return 3
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "nets.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "under state_dict"])
def test_factory_with_weights(source: Path, nested: bool) -> None:
    state = {k: v + 1 for k, v in load_model(f"{source}:net").state_dict().items()}
    torch.save({"state_dict": state} if nested else state, source.with_suffix(".pth"))

    model = load_model(f"{source}:net", source.with_suffix(".pth"))

    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_module_class_is_a_factory(source: Path) -> None:
    assert load_model(f"{source}:Net").out_features == 2


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("missing", "{path} has no factory 'missing' (it has Net, broken, net, number)"),
        ("broken", "broken() of {path} fails: RuntimeError: no luck (nets.py:13)"),
        ("number", "number() of {path} must return an nn.Module, not int"),
    ],
)
def test_bad_factory_is_named(source: Path, factory: str, message: str) -> None:
    message = message.format(path=source)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model(f"{source}:{factory}")


def test_file_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("x = 1\ny = x.nothing\n")

    message = (
        f"{tmp_path / 'bad.py'} cannot be imported: AttributeError: "
        "'int' object has no attribute 'nothing' (bad.py:2)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model(f"{tmp_path / 'bad.py'}:net")


def test_missing_files_are_named(source: Path) -> None:
    with pytest.raises(ValueError, match=r"^there is no model file nowhere\.py$"):
        load_model("nowhere.py:net")
    with pytest.raises(ValueError, match=r"^there is no program file nowhere\.pt2$"):
        load_model("nowhere.pt2")
    with pytest.raises(ValueError, match=r"^there is no weights file nowhere\.pth$"):
        load_model(f"{source}:net", "nowhere.pth")
    message = "a model is named as path/to/file.py:factory or path/to/program.pt2, not 'net'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model("net")


class RunsCode:
    """Would run code where a file is unpickled."""

    def __reduce__(self):
        return print, ("this must never run",)


def test_weights_with_code_in_them_are_not_loaded(source: Path, capsys) -> None:
    path = source.with_suffix(".pth")
    torch.save({"0.weight": RunsCode()}, path)

    message = (
        f"{path} holds more than tensors, or no tensors at all, and is not loaded "
        "(save it with torch.save(model.state_dict(), path))"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model(f"{source}:net", path)
    assert "never" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cast", "words"),
    [
        (torch.int8, "integer ones (dequantise them)"),
        (torch.int64, "integer ones (dequantise them)"),
        (torch.bool, "boolean ones (save what the model computes with)"),
        (torch.complex64, "complex ones (save what the model computes with)"),
    ],
)
def test_weights_of_another_kind_of_number_are_not_cast(source: Path, cast, words: str) -> None:
    path = source.with_suffix(".pth")
    state = load_model(f"{source}:net").state_dict()
    state["2.weight"] = state["2.weight"].to(cast)
    torch.save(state, path)

    message = f"2.weight of {path} must be floating-point numbers, not {words}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model(f"{source}:net", path)


def test_floats_for_an_integer_buffer_are_not_rounded(tmp_path: Path) -> None:
    source, path = tmp_path / "norm.py", tmp_path / "norm.pth"
    source.write_text("from torch import nn\ndef net():\n    return nn.BatchNorm1d(3)\n")
    state = load_model(f"{source}:net").state_dict()
    torch.save(state | {"num_batches_tracked": torch.tensor(2.5)}, path)

    message = (
        f"num_batches_tracked of {path} must be integer numbers, not floating-point ones "
        "(save what the model computes with)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model(f"{source}:net", path)


def test_weights_of_another_precision_are_taken(source: Path) -> None:
    path = source.with_suffix(".pth")
    state = load_model(f"{source}:net").state_dict()
    torch.save({name: tensor.double() for name, tensor in state.items()}, path)

    loaded = load_model(f"{source}:net", path).state_dict()

    assert {name: t.dtype for name, t in loaded.items()} == dict.fromkeys(state, torch.float32)
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_complex_numbers_do_not_lose_their_imaginary_parts() -> None:
    class Turning(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("phase", torch.tensor(1 + 2j))

        def forward(self, x: Tensor) -> Tensor:
            return (x * self.phase).real

    with pytest.raises(UnsupportedModel, match=r"mul at .*complex numbers are not supported"):
        import_network(Turning(), np.ones((3, 4), np.float32))


def test_weights_that_do_not_fit_are_named(source: Path) -> None:
    path = source.with_suffix(".pth")
    state = load_model(f"{source}:net").state_dict()
    state["other"] = state.pop("0.bias")
    state["2.bias"] = torch.zeros(9)
    torch.save(state, path)

    message = (
        f"{path} does not fit the model: it lacks 0.bias; it has but the model has not other; "
        "it has in another shape 2.bias"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_model(f"{source}:net", path)


# --- refusals -----------------------------------------------------------------------------------


def refusal(tmp_path: Path, body: str, *shape: int, layers: str = "") -> str:
    """Return the message for a module whose forward is ``body``; its first line is line 10."""
    lines = ["import torch", "from torch import nn", "from torch.nn import functional as F", ""]
    lines += ["class Net(nn.Module):", "    def __init__(self):", "        super().__init__()"]
    lines += [f"        {layers or 'pass'}", "    def forward(self, x):"]
    lines += [f"        {line}" for line in body.splitlines()]
    (tmp_path / "net.py").write_text("\n".join(lines))
    model = load_model(f"{tmp_path / 'net.py'}:Net")
    with pytest.raises(UnsupportedModel) as caught:
        import_network(model, np.random.default_rng(3).normal(size=(5, *shape)))
    return str(caught.value)


def test_all_refusals_come_at_once_with_their_lines(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        "x = self.conv(x)\nx = torch.erfinv(x).flatten(1)\nx = F.relu(x)\nx = torch.sin(x)\n"
        "return F.log_softmax(x, dim=1)",
        1, 8, 8,
        layers="self.conv = nn.Conv2d(1, 2, 3, dilation=2)",
    )  # fmt: skip

    assert message == (
        "the model is not supported: "
        "conv2d at net.py:10 (only dilation 1 is supported); erfinv at net.py:11 "
        "(register_neuron can make it a neuron function); sin at net.py:13 "
        "(register_neuron can make it a neuron function)"
    )


BATCH_FIRST = "(the batch axis must stay the first)"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "return 2**x",
            "pow at net.py:10 (an exponent that depends on the input)",
        ),
        (
            "return 3 / torch.sqrt(x + 9)",
            "mul at net.py:10 (a reciprocal root has to be multiplied with a value at once)",
        ),
        ("return x @ x.t() ", f"t at net.py:10 {BATCH_FIRST}"),
        ("return x.sum()", f"sum at net.py:10 {BATCH_FIRST}"),
        (
            "return x.argmax(0)",
            "argmax at net.py:10 (it is taken off at the end of forward, over an axis of a sample, "
            "and only there)",
        ),
        (
            "return F.dropout(x)",
            "dropout at net.py:10 (it drops in eval mode too, pass training=self.training)",
        ),
        ("return x.view(-1)", f"view at net.py:10 {BATCH_FIRST}"),
        (
            "return 1 / x",
            "reciprocal at net.py:10 (register_neuron can make it a neuron function)",
        ),
        (
            "return x + torch.arange(7.0).view(7, 1)",
            "add at net.py:10 (a constant must be the same for every sample)",
        ),
        ("return x // 2", "floor_divide at net.py:10"),
        ("return x + torch.randn(6)", "randn at net.py:10 (its result is random)"),
        ("return x.to(torch.int32)", "to at net.py:10 (conversion to integers rounds)"),
        (
            "return x.clamp(max=6)",
            "clamp at net.py:10 (only a clamp from 0 up, or one with a number at each end, is "
            "supported)",
        ),
        ("return x**3", "pow at net.py:10 (only the square and roots that divide are supported)"),
        (
            "return F.prelu(x, torch.arange(6.0))",
            "prelu at net.py:10 (only with one weight for all channels)",
        ),
        (
            "return x.clamp(2, 1)",
            "clamp at net.py:10 (a clamp needs its start below its end, not 2 and 1)",
        ),
        ("return torch.softmax(x, 0) * 2", f"softmax at net.py:10 {BATCH_FIRST}"),
        (
            "if x.sum() > 0:\n    return x\nreturn -x",
            "control flow that depends on the data at net.py:10",
        ),
    ],
)
def test_refused(tmp_path: Path, capsys, body: str, message: str) -> None:
    assert refusal(tmp_path, body, 6) == f"the model is not supported: {message}"
    assert capsys.readouterr() == ("", "")  # torch.export of torch 2.13 prints graphs


def test_batch_statistics_are_refused(tmp_path: Path) -> None:
    layers = "self.norm = nn.BatchNorm1d(6, track_running_stats=False)"

    message = refusal(tmp_path, "return self.norm(x)", 6, layers=layers)

    assert message == (
        "the model is not supported: batch_norm at net.py:10 "
        "(it has no running statistics or is in training mode)"
    )


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * mask


def test_second_input_is_refused() -> None:
    message = (
        "the model is not supported: forward with 2 inputs, x, mask, not with one (give an array "
        "of each: --inputs x,mask)"
    )
    with pytest.raises(UnsupportedModel, match=f"^{re.escape(message)}$"):
        import_network(TwoInputs(), np.ones((2, 3)))


def test_data_of_the_wrong_shape_are_told_from_an_unsupported_model() -> None:
    message = (
        "the model fails on samples of shape (3, 3): RuntimeError: "
        "mat1 and mat2 shapes cannot be multiplied (21x3 and 9x2)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        import_network(nn.Linear(9, 2), np.ones((4, 3, 3)))


NESTED = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.fc(x)
        return self.act(x)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, x):
        return self.block(x)
"""


def test_place_of_a_population_is_the_innermost_line_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NESTED)

    network = import_network(load_model(f"{tmp_path / 'net.py'}:Net"), np.ones((2, 3)))

    assert network["block.fc"].place == "net.py:12"


def test_weights_that_are_not_finite_are_refused() -> None:
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, float("nan"))

    with pytest.raises(ValueError, match=r"^the weights of '.*' are not finite$"):
        import_network(model, np.ones((2, 3)))


class Batched(nn.Module):
    """A linear layer, and what the case makes of its result and of the input."""

    def __init__(self, made) -> None:
        super().__init__()
        self.fc, self.made = nn.Linear(3, 2), made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.made(self.fc(x), x)


@pytest.mark.parametrize(
    "made",
    [
        lambda y, x: y * len(x),
        lambda y, x: y if x.shape[0] > 1 else -y,
        lambda y, x: y if len(x) < 10 else 2 * y,
        lambda y, x: y.view(7, -1),
    ],
)
def test_model_that_depends_on_the_size_of_the_batch_is_refused(made) -> None:
    with pytest.raises(UnsupportedModel, match="that depends on the size of the batch") as error:
        import_network(Batched(made), np.random.default_rng(0).normal(size=(9, 3)))

    assert "without len(x) and means over axis 0" in error.value.refusals[0].way_out


@pytest.mark.parametrize(
    "made",
    [
        lambda y, x: y,
        lambda y, x: y.reshape(len(x), -1),
        lambda y, x: torch.cat([y.squeeze(), y.squeeze()], 1),  # fails on one sample
    ],
)
def test_model_that_computes_each_sample_by_itself_is_read(made) -> None:
    model, x = Batched(made), np.random.default_rng(0).normal(size=(9, 3))

    network = import_network(model, x)

    wanted = model(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(network.answers(x), wanted, atol=1e-6)
