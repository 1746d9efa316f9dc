"""Messages: the user's own lines are named, and what libraries advise is said in our words."""

import json
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.front import messages
from signfire.gen.front.export import import_network
from signfire.gen.front.loading import load_model
from signfire.gen.front.messages import innermost, is_library, said

OPERATORS = """from torch import nn


class Straight(nn.Module):
    def forward(self, x):
        return x.erfinv()


class Strict(nn.Module):
    def forward(self, x):
        raise RuntimeError("no luck\\nand more")
"""
NET = """import straight
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.ste, self.strict = straight.Straight(), straight.Strict()

    def forward(self, x):
        return self.fc(
            self.ste(x)
        )


class Failing(Net):
    def forward(self, x):
        return self.strict(x)
"""


@pytest.fixture
def net(tmp_path, monkeypatch) -> Path:
    """Write a model that calls an installed library."""
    installed = tmp_path / "lib" / "python3" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "straight.py").write_text(OPERATORS)
    monkeypatch.syspath_prepend(installed)
    monkeypatch.delitem(sys.modules, "straight", raising=False)
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def test_an_operator_within_a_library_is_named_by_the_line_of_the_user_above(net):
    model = load_model(f"{net}:Net")

    with pytest.raises(ValueError) as error:
        import_network(model, np.ones((2, 4), np.float32))

    assert str(error.value) == (
        "the model is not supported: erfinv at net.py:13 "
        "(register_neuron can make it a neuron function)"
    )


def test_an_error_within_a_library_is_named_by_the_line_of_the_user_above(net):
    model = load_model(f"{net}:Failing")

    with pytest.raises(ValueError) as error:
        import_network(model, np.ones((2, 4), np.float32))

    assert str(error.value) == (
        "the model fails on samples of shape (4,): RuntimeError: no luck (net.py:19)"
    )


@pytest.mark.parametrize(
    ("file", "library"),
    [
        (json.__file__, True),
        (np.__file__, True),
        (messages.__file__, True),
        ("<frozen importlib._bootstrap>", True),
        ("/usr/lib/python3/dist-packages/x.py", True),
        ("/usr/src/app/net.py", False),
        ("/home/a/site-packages-mine/net.py", False),
        (str(Path(messages.__file__).parents[2] / "tools" / "mnist_mlp.py"), False),
    ],
)
def test_what_is_a_library_is_known_by_where_it_lies(file, library):
    assert library is is_library(file)


def test_the_innermost_line_of_the_user_counts_and_none_where_there_is_none():
    frames = [("/home/a/outer.py", 1), ("/home/a/net.py", 7), (torch.__file__, 9)]

    assert "net.py:7" == innermost(frames)
    assert "" == innermost(frames[2:])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("\n one \n two", "one"),
        ("\x1b[1mloud\x1b[0m", "loud"),
        ("use weights_only=False", "torch loads no file that holds more than tensors"),
        ("Weights only load failed.\nSee", "torch loads no file that holds more than tensors"),
        ("failed when allow_pickle=False", "NumPy loads no array of objects"),
    ],
)
def test_the_first_line_is_said_and_advice_is_not(text, expected):
    assert expected == said(ValueError(text))


class Stranger:
    """No tensor."""


@pytest.mark.parametrize("kind", ["pickle", "script", "stranger"])
def test_weights_that_torch_advises_to_trust_are_refused_in_our_words(net, tmp_path, kind):
    path = tmp_path / "weights.pth"
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"a": Stranger()}))
    elif kind == "script":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)
    else:
        torch.save({"a": Stranger()}, path)

    with pytest.raises(ValueError) as error:
        load_model(f"{net}:Net", path)

    assert str(error.value) == (
        f"{path} holds more than tensors, or no tensors at all, and is not loaded "
        "(save it with torch.save(model.state_dict(), path))"
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("torch.load", "torch loads no file that holds more than tensors"),
        ("np.load", "NumPy loads no array of objects"),
    ],
)
def test_advice_to_the_users_own_code_is_not_passed_on(tmp_path, call, words):
    data = tmp_path / "data"
    if call == "torch.load":
        torch.save({"a": Stranger()}, data)
    else:
        with data.open("wb") as file:
            np.save(file, np.array([Stranger()], object), allow_pickle=True)
    (tmp_path / "own.py").write_text(
        f"import numpy as np, torch\n\n\ndef net():\n    return {call}({str(data)!r})\n"
    )

    with pytest.raises(ValueError) as error:
        load_model(f"{tmp_path / 'own.py'}:net")

    said_of_it = str(error.value)
    assert said_of_it.endswith(f": {words} (own.py:5)")
    assert "weights_only" not in said_of_it and "allow_pickle" not in said_of_it
