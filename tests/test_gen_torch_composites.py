"""Normalisation, softmax and attention in every way they are written, against the float network."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.front.export import import_network
from signfire.gen.front.refusals import UnsupportedModel
from signfire.gen.model.network import Network
from signfire.sim import golden

TOKENS, WIDTH, FEATURES = 6, 8, 5
SAMPLES = np.random.default_rng(0).normal(size=(60, TOKENS, FEATURES)).astype(np.float32)


class Written(nn.Module):
    """A function between two linear layers, the first on each token."""

    def __init__(self, function, size: int = TOKENS * WIDTH) -> None:
        super().__init__()
        self.first, self.function = nn.Linear(FEATURES, WIDTH), function
        self.last = nn.Linear(size, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.first(x)).flatten(1))


def by_hand(x: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + 1e-5)


def by_variance(x: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    return (x - mean) * torch.rsqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5)


def by_root_mean_square(x: Tensor) -> Tensor:
    return x * (x.pow(2).mean(-1, keepdim=True) + 1e-5) ** -0.5


def by_exp(x: Tensor) -> Tensor:
    powers = torch.exp(x - x.amax(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)


def heads(x: Tensor) -> Tensor:
    return x.view(len(x), TOKENS, 2, WIDTH // 2).transpose(1, 2)


def attention(x: Tensor) -> Tensor:
    found = F.scaled_dot_product_attention(heads(x), heads(x * 0.5 + 0.1), heads(x.flip(1)))
    return found.transpose(1, 2).reshape(len(x), TOKENS, WIDTH)


def attention_by_hand(x: Tensor) -> Tensor:
    return torch.softmax(x @ x.transpose(1, 2) * 0.3, -1) @ x


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]


def adjusted(norm: nn.Module) -> nn.Module:
    """Give a normalisation weights of its own."""
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return norm


NORM = ["square", "divide_root"]
SHARES = ["max", "exp", "divide"]
WAYS = {  # function, the functions of the populations that it becomes
    "LayerNorm": (lambda: adjusted(nn.LayerNorm(WIDTH)), NORM),
    "LayerNorm by hand": (lambda: by_hand, NORM),
    "LayerNorm by var and rsqrt": (lambda: by_variance, NORM),
    "RMSNorm": (lambda: adjusted(nn.RMSNorm(WIDTH)), NORM),
    "RMSNorm by hand": (lambda: by_root_mean_square, NORM),
    "Softmax": (lambda: nn.Softmax(-1), SHARES),
    "Softmax over tokens": (lambda: nn.Softmax(1), SHARES),
    "Softmax by hand": (lambda: by_exp, SHARES),
    "attention of two heads": (lambda: attention, SHARES),
    "attention by hand": (lambda: attention_by_hand, SHARES),
    "MultiheadAttention": (SelfAttention, SHARES),
    "gate": (lambda: lambda x: x * torch.sigmoid(x.flip(2)), ["sigmoid", "multiply"]),
    "root": (lambda: lambda x: torch.sqrt(x * x + 0.5), ["square", "divide_root"]),
}


@pytest.fixture(scope="module")
def made():
    """Return the network and the design of a way, made once."""
    known: dict[str, tuple] = {}

    def make(name: str):
        if name not in known:
            torch.manual_seed(1)
            network = import_network(Written(WAYS[name][0]()), SAMPLES)  # compares the answers
            options = Options(steps=9, weight_bits=8, input_steps=8)
            known[name] = network, calibrate(network, SAMPLES, options)
        return known[name]

    return make


@pytest.mark.parametrize("name", WAYS)
def test_every_way_becomes_the_neurons_that_there_are(made, name) -> None:
    network, _ = made(name)

    functions = [p.function for p in network.populations[1:-1]]

    assert WAYS[name][1] == [f for f in functions if f != "linear"]


@pytest.mark.parametrize("name", WAYS)
def test_golden_model_comes_near_the_float_network(made, name) -> None:
    network, design = made(name)
    raw = design.raw_samples(SAMPLES)

    found = golden.run(design, raw).logits * design.readout.operands[0].scale

    exact = network.answers(SAMPLES)
    assert (found - exact).std() < 0.04 * exact.std()
    assert (
        golden.trace(design, raw[0]).logits.tolist()
        == golden.run(design, raw[:1]).logits[0].tolist()
    )


@pytest.mark.parametrize("name", ["attention of two heads", "LayerNorm"])
def test_design_with_products_is_saved_and_read_whole(made, tmp_path, name) -> None:
    _, design = made(name)
    raw = design.raw_samples(SAMPLES[:5])

    design.save(tmp_path / "d.npz")
    again = type(design).load(tmp_path / "d.npz")

    assert again.hash == design.hash
    assert np.array_equal(golden.run(again, raw).logits, golden.run(design, raw).logits)


def test_products_sum_what_the_trains_say(made) -> None:
    _, design = made("attention by hand")
    seen = golden.trace(design, design.raw_samples(SAMPLES)[0]).populations
    (scores,) = (
        p
        for p in design.populations
        if p.operands and p.operands[0].products[:1] and p.shape == (TOKENS, 1, TOKENS)
    )
    (product,) = scores.operands[0].products
    x, z = (seen[name].membranes[-1] for name in (product.source, product.other))

    found = seen[scores.name].integrators[0][-1].reshape(TOKENS, TOKENS)

    for n in range(TOKENS):
        for m in range(TOKENS):
            terms = zip(product.left[0, n], product.right[0, :, m], strict=True)
            assert found[m, n] == sum(int(x[i]) * int(z[j]) for i, j in terms)


def test_group_norm_and_layer_norm_of_planes() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(1, (1, TOKENS)),
        nn.Conv2d(1, 4, 3, padding=1),
        adjusted(nn.GroupNorm(2, 4)),
        nn.ReLU(),
        adjusted(nn.LayerNorm((4, TOKENS, FEATURES))),
        nn.Flatten(),
        nn.Linear(4 * TOKENS * FEATURES, 3),
    )

    network = import_network(model, SAMPLES)

    functions = [p.function for p in network.populations[1:-1] if p.function != "linear"]
    assert [*NORM, "relu", *NORM] == functions


def test_transformer_block_with_a_class_token() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, 3)
            self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
            self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
            self.n1, self.n2 = adjusted(nn.LayerNorm(WIDTH)), adjusted(nn.LayerNorm(WIDTH))
            self.f1, self.f2 = nn.Linear(WIDTH, 16), nn.Linear(16, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.cat([self.token.expand(len(x), -1, -1), self.first(x)], 1)
            shares = torch.softmax(self.q(x) @ self.k(x).transpose(1, 2) * 0.35, -1)
            x = self.n1(x + self.o(shares @ self.v(x)))
            return self.last(self.n2(x + self.f2(F.gelu(self.f1(x))))[:, 0])

    torch.manual_seed(3)
    network = import_network(Block(), SAMPLES)
    design = calibrate(network, SAMPLES, Options(steps=9, weight_bits=8, input_steps=8))

    assert all(p.map.kind != "dense" for q in network.populations[:-1] for p in q.sources)
    exact = network.answers(SAMPLES)
    found = golden.run(design, design.raw_samples(SAMPLES)).logits
    assert (found * design.readout.operands[0].scale - exact).std() < 0.04 * exact.std()


def test_outputs_of_each_token_keep_their_order() -> None:
    network = import_network(nn.Sequential(nn.Linear(FEATURES, 4), nn.Linear(4, 3)), SAMPLES)

    assert [p.function for p in network.populations] == ["input", "readout"]
    assert network.readout.shape == (TOKENS * 3,)


def network_of(function) -> Network:
    return import_network(Written(function), SAMPLES)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
            "scaled_dot_product_attention at {} (a causal mask is not supported)",
        ),
        (lambda x: x - x.var(0, keepdim=True), "var at {} (the batch axis must stay the first)"),
        (
            lambda x: 3 / (x * x + 1),
            "reciprocal at {} (register_neuron can make it a neuron function)",
        ),
    ],
)
def test_refused_by_name_with_the_line(function, message) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        network_of(function)

    pattern = re.escape(f"the model is not supported: {message}").replace(
        re.escape("{}"), r"test_gen_torch_composites\.py:\d+"
    )
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)


def test_products_of_trains_need_settled_firing() -> None:
    torch.manual_seed(1)
    network = network_of(attention_by_hand)

    with pytest.raises(ValueError, match=r"sums products of trains, for which firing must be sett"):
        calibrate(network, SAMPLES, Options(firing="overlapped", steps=6))
