"""Weights come out of the containers that training code writes, under the names that it gives."""

import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from signfire.gen.front.loading import load_model, parse_arguments

SOURCE = """from torch import nn


class Net(nn.Module):
    def __init__(self, width=4, *, bias=True):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, width, bias=bias), nn.BatchNorm1d(width))
        self.fc = nn.Linear(width, 2)

    def forward(self, x):
        return self.fc(self.net(x))


class Around(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Net()

    def forward(self, x):
        return self.model(x)


def needy(width):
    return Net(width)


ready = Net()
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "nets.py"
    path.write_text(SOURCE)
    return path


def weights_of(source: Path, factory: str = "Net") -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return load_model(f"{source}:{factory}").state_dict()


def wrapped(state, prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def is_filled(source: Path, file: Path, state, factory: str = "Net") -> bool:
    torch.manual_seed(6)
    found = load_model(f"{source}:{factory}", file).state_dict()
    return all(torch.equal(found[name], state[name]) for name in state)


CONTAINERS = {
    "plain": lambda state: state,
    "model": lambda state: {"model": state, "epoch": 3},
    "model_state_dict": lambda state: {
        "epoch": 9,
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{}]},
        "loss": torch.tensor(0.1),
    },
    "state_dict": lambda state: {"state_dict": state, "best_acc1": 0.9, "arch": "net"},
    "net": lambda state: {"net": state},
}
PREFIXES = ("", "module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "a.b.model.")


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_a_state_dict_is_found_in_its_container(source, tmp_path, container):
    state = weights_of(source)
    torch.save(container(state), tmp_path / "w.pth")

    assert is_filled(source, tmp_path / "w.pth", state)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_names_of_wrappers_are_cut_off(source, tmp_path, prefix):
    state = weights_of(source)
    torch.save({"state_dict": wrapped(state, prefix)}, tmp_path / "w.ckpt")

    assert is_filled(source, tmp_path / "w.ckpt", state)


def test_names_of_wrappers_within_are_cut_off(source, tmp_path):
    state = weights_of(source)
    inner = {name.replace("net.", "net._orig_mod."): t for name, t in state.items()}
    torch.save(wrapped(inner, "module."), tmp_path / "w.pth")

    assert is_filled(source, tmp_path / "w.pth", state)


def test_weights_of_what_the_model_wraps_are_taken(source, tmp_path):
    state = weights_of(source, "Around")
    inner = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    torch.save(inner, tmp_path / "w.pth")

    assert is_filled(source, tmp_path / "w.pth", state, "Around")


def test_what_torch_wraps_writes_what_is_read(source, tmp_path):
    model = load_model(f"{source}:Net")
    torch.save(torch.compile(model).state_dict(), tmp_path / "compiled.pth")
    torch.save(nn.DataParallel(model).state_dict(), tmp_path / "parallel.pth")

    for name in ("compiled.pth", "parallel.pth"):
        assert is_filled(source, tmp_path / name, model.state_dict())


@pytest.mark.parametrize("prefix", ["", "model."])
def test_safetensors_are_read(source, tmp_path, prefix):
    state = weights_of(source)
    file = tmp_path / "w.safetensors"
    safetensors.torch.save_file(wrapped(state, prefix), file)

    assert is_filled(source, file, state)


def test_counters_may_be_missing_under_a_prefix(source, tmp_path):
    state = weights_of(source)
    kept = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    torch.save(wrapped(kept, "module."), tmp_path / "w.pth")

    assert is_filled(source, tmp_path / "w.pth", kept)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda state: {"model": state, "ema": state},
            "{path} holds 2 state dicts, model, ema (save one with "
            "torch.save(checkpoint['model'], path))",
        ),
        (
            lambda state: {"epoch": 3},
            "{path} is not a state dict of tensors (save it with "
            "torch.save(model.state_dict(), path))",
        ),
        (
            lambda state: wrapped(state, "model.") | {"loss.weight": torch.ones(2)},
            "{path} does not fit the model: it lacks net.0.weight, net.0.bias, net.1.weight and 5 "
            "more; it has but the model has not model.net.0.weight, model.net.0.bias, "
            "model.net.1.weight and 7 more",
        ),
    ],
)
def test_what_could_be_meant_otherwise_is_refused(source, tmp_path, content, message):
    path = tmp_path / "w.pth"
    torch.save(content(weights_of(source)), path)

    with pytest.raises(ValueError, match=f"^{re.escape(message.format(path=path))}$"):
        load_model(f"{source}:Net", path)


def test_the_way_out_of_several_state_dicts_works(source, tmp_path):
    state, path = weights_of(source), tmp_path / "w.pth"
    checkpoint = {"model": state, "ema": state}
    torch.save(checkpoint["model"], path)

    assert is_filled(source, path, state)


def test_a_damaged_file_of_safetensors_is_named(source, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"\xff" * 40)

    with pytest.raises(ValueError, match=r"w\.safetensors is not a safetensors file: "):
        load_model(f"{source}:Net", path)


# -- arguments of the factory ----------------------------------------------------------------------


def test_a_factory_takes_arguments(source, tmp_path):
    arguments = parse_arguments(["width=6", "bias=False"])
    model = load_model(f"{source}:Net", arguments=arguments)

    assert (6, None) == (model.fc.in_features, model.net[0].bias)
    assert 5 == load_model(f"{source}:needy", arguments={"width": 5}).fc.in_features


def test_a_value_is_a_literal_or_text():
    words = ["a=3", "b=0.5", "c=relu", "d=(1, 2)", "e='7'", "f=", "g=None", "h=a=b", "i=__import__"]

    assert {
        "a": 3,
        "b": 0.5,
        "c": "relu",
        "d": (1, 2),
        "e": "7",
        "f": "",
        "g": None,
        "h": "a=b",
        "i": "__import__",
    } == parse_arguments(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["width"], "an argument of a factory reads like width=32, not 'width'"),
        (["2=3"], "an argument of a factory reads like width=32, not '2=3'"),
        (["a=1", "a=2"], "the argument 'a' of the factory is given twice"),
    ],
)
def test_words_that_are_no_arguments_are_refused(words, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_arguments(words)


@pytest.mark.parametrize(
    ("factory", "arguments", "message"),
    [
        ("Net", {"wide": 3}, "Net() of {path} has no argument 'wide' (it has width, bias)"),
        ("Around", {"a": 3}, "Around() of {path} has no argument 'a' (it has none)"),
        ("needy", {}, "needy() of {path} needs width (give --arg width=VALUE, or a default)"),
        (
            "ready",
            {"width": 3},
            "ready of {path} is a model, which takes no arguments: leave out width",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(source, factory, arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(path=source))}$"):
        load_model(f"{source}:{factory}", arguments=arguments)
