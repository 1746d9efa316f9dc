"""Random torch networks, as people write them, and random ways to convert, fold and run them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...gen.convert.calibrate import Options
from ...gen.model.codes import Schedule

SAMPLES = 120  # for calibration

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "hardtanh": F.hardtanh,
    "abs": torch.abs,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
}
PLAIN = ("relu",)  # what most layers have
BOARDS = ("icebreaker", "ulx3s-25f", "ulx3s-25f", "tang-nano-9k")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A drawn network and what is done with it.

    Parameters
    ----------
    seed
        All was drawn by it.
    shape
        Of one sample.
    blocks
        What the network is made of, in order: a word each.
    classes
        Outputs.
    integers
        Whether samples are uint8, else float.
    options
        Of the conversion.
    fold
        ``auto``, ``drawn`` or ``serial``.
    board
        Whose device is folded for.
    budget
        Share of its resources that ``auto`` may take.
    stalls
        Of source and sink.
    reset
        Where in the run a reset falls, 0 to 1; ``None`` for none.
    samples
        Run through the hardware.
    """

    seed: int
    shape: tuple[int, ...]
    blocks: tuple[str, ...]
    classes: int
    integers: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    fold: str = "auto"
    board: str = "ulx3s-25f"
    budget: float = 1.0
    stalls: tuple[float, float] = (0.0, 0.0)
    reset: float | None = None
    samples: int = 6

    def converting(self) -> Options:
        """Return the options of the conversion."""
        given = dict(self.options)
        if "schedule" in given:
            given["schedule"] = Schedule(kind=given["schedule"])
        return Options(**given)


class Blocks(nn.Module):
    """Blocks one after the other, a read-out behind them."""

    def __init__(self, blocks: Sequence[nn.Module], classes: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        with torch.no_grad():
            width = self._through(torch.zeros(2, *shape)).flatten(1).shape[1]
        self.out = nn.Linear(width, classes)

    def _through(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self._through(x).flatten(1))


class Activated(nn.Module):
    """A linear map with a function behind."""

    def __init__(self, linear: nn.Module, activation: str, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.linear, self.norm, self.activation = linear, norm, activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        if self.norm is not None:
            x = self.norm(x)
        return ACTIVATIONS[self.activation](x)


class Residual(nn.Module):
    """A sum with what went around, a ReLU behind."""

    def __init__(self, inner: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.inner, self.last = inner, last

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.last(self.inner(x)))


class Joined(nn.Module):
    """Two branches side by side."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.first(x), self.second(x)], 1)


class Paired(nn.Module):
    """Two maps of one value, joined value by value."""

    def __init__(self, first: nn.Module, second: nn.Module, how: str) -> None:
        super().__init__()
        self.first, self.second, self.how = first, second, how

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x), self.second(x)
        if self.how == "maximum":
            return torch.maximum(a, b)
        return a * torch.sigmoid(b) if self.how == "gate" else a * b


def linear_block(word: str, x: Tensor, rng: np.random.Generator, plain: bool) -> nn.Module:
    """Return a block over features ``x`` of (n, features)."""
    width, to = x.shape[1], int(rng.integers(2, 13))
    if word == "residual":
        return Residual(Activated(nn.Linear(width, to), "relu"), nn.Linear(to, width))
    if word == "layernorm":
        return nn.LayerNorm(width)
    if word in ("product", "gate", "maximum"):
        return Paired(nn.Linear(width, to), nn.Linear(width, to), word)
    if word == "joined":
        wide, narrow = (Activated(nn.Linear(width, k), "relu") for k in (to, max(1, to // 2)))
        return Joined(wide, narrow)
    norm = nn.BatchNorm1d(to) if word == "batchnorm" else None
    return Activated(nn.Linear(width, to), _activation(rng, plain), norm)


def plane_block(word: str, x: Tensor, rng: np.random.Generator, plain: bool) -> nn.Module:
    """Return a block over planes ``x`` of (n, channels, height, width)."""
    channels, height, width = x.shape[1:]
    to = int(rng.integers(1, 6))
    kernel = (int(rng.integers(1, min(3, height) + 1)), int(rng.integers(1, min(3, width) + 1)))
    high, wide = (int(rng.integers(0, (k + 1) // 2)) for k in kernel)
    padding = (high, wide)
    stride = int(rng.choice([1, 1, 2]))
    two = (min(2, height), min(2, width))
    if word == "maxpool":
        return nn.MaxPool2d(two)
    if word == "avgpool":
        return nn.AvgPool2d(two)
    if word == "flatten":
        return nn.Flatten()
    if word == "residual":
        inner = Activated(nn.Conv2d(channels, to, 3, padding=1), "relu")
        return Residual(inner, nn.Conv2d(to, channels, 3, padding=1))
    if word == "joined":
        first, second = (
            Activated(nn.Conv2d(channels, to, kernel, stride, padding), "relu") for _ in range(2)
        )
        return Joined(first, second)
    if word in ("product", "maximum"):
        first, second = (nn.Conv2d(channels, to, kernel, stride, padding) for _ in range(2))
        return Paired(first, second, word)
    if word == "depthwise":
        conv = nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels)
        return Activated(conv, "relu")
    conv = nn.Conv2d(channels, to, kernel, stride, padding)
    norm = nn.BatchNorm2d(to) if word == "batchnorm" else None
    return Activated(conv, _activation(rng, plain), norm)


# What settled firing with a binary schedule has hardware for, and what all ways of firing have.
LINEAR_WORDS = (*("dense", "batchnorm", "residual", "layernorm", "joined"), *("product", "gate"))
PLANE_WORDS = (
    *("conv", "batchnorm", "maxpool", "avgpool", "residual", "joined", "depthwise", "product"),
)
COMMON_LINEAR, COMMON_PLANE = ("dense", "batchnorm"), ("conv", "batchnorm", "depthwise")
RARE = 0.1  # share of cases that draw from all words, whatever has hardware


def _activation(rng: np.random.Generator, plain: bool = False) -> str:
    return str(rng.choice(PLAIN if rng.random() < 0.6 or plain else list(ACTIVATIONS)))


def draw(seed: int) -> Drawn:
    """Draw a network and what is done with it; equal seeds draw equal ones."""
    rng = np.random.default_rng([seed, 1])
    options = _options(rng)
    common = {"dynamics", "firing", "schedule"} & set(options) and rng.random() > RARE
    linear = COMMON_LINEAR if common else LINEAR_WORDS
    planes = COMMON_PLANE if common else PLANE_WORDS
    if rng.random() < RARE:
        linear, planes = (*linear, "maximum"), (*planes, "maximum")
    if rng.random() < 0.5:
        shape: tuple[int, ...] = (int(rng.integers(2, 17)),)
        blocks = tuple(map(str, rng.choice(linear, rng.integers(1, 5))))
    else:
        shape = (int(rng.integers(1, 4)), int(rng.integers(3, 9)), int(rng.integers(3, 9)))
        blocks = tuple(map(str, rng.choice(planes, rng.integers(1, 4))))
        if rng.random() < 0.4:
            blocks = (*blocks, "flatten", *map(str, rng.choice(linear, 1)))
    return Drawn(
        seed=seed,
        shape=shape,
        blocks=blocks,
        classes=int(rng.integers(1, 6)),
        integers=bool(rng.random() < 0.5),
        options=options,
        fold=str(rng.choice(["auto", "drawn", "drawn", "serial"])),
        board=str(rng.choice(BOARDS)),
        budget=float(rng.choice([1.0, 0.5, 0.25])),
        stalls=(0.0, 0.0) if rng.random() < 0.3 else (_stall(rng), _stall(rng)),
        reset=float(rng.random()) if rng.random() < 0.4 else None,
        samples=int(rng.integers(2, 9)),
    )


def _stall(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, 0.6))


def _options(rng: np.random.Generator) -> dict[str, Any]:
    """Draw the options of a conversion."""
    steps = int(rng.integers(1, 9))
    drawn: dict[str, Any] = {"steps": steps, "weight_bits": int(rng.integers(2, 9))}
    kind = rng.random()
    if kind < 0.12:
        return drawn | {"dynamics": str(rng.choice(["if", "lif"])), "leak": int(rng.integers(1, 7))}
    if kind < 0.32:
        schedule = str(rng.choice(["binary", "exponential", "inverse", "constant"]))
        return drawn | {"firing": "overlapped", "schedule": schedule}
    if rng.random() < 0.5:
        drawn["input_steps"] = int(rng.integers(1, 9))
    if rng.random() < 0.4:
        drawn["code"] = str(rng.choice(["silent", "offset", "centred"]))
    if rng.random() < 0.2:
        drawn["schedule"] = str(rng.choice(["exponential", "inverse", "constant"]))
    if rng.random() < 0.2:
        drawn["rounding"] = str(rng.choice(["nearest", "plain"]))
    if rng.random() < 0.2:
        drawn["multiplier_bits"] = int(rng.integers(4, 17))
    return drawn


def network(drawn: Drawn) -> tuple[nn.Module, np.ndarray]:
    """Return a drawn network with weights, and (:data:`SAMPLES`, *shape) samples of its input."""
    rng = np.random.default_rng([drawn.seed, 2])
    with torch.random.fork_rng():
        torch.manual_seed(drawn.seed)
        x, blocks = torch.zeros(2, *drawn.shape), []
        for word in drawn.blocks:
            make = plane_block if x.ndim == 4 else linear_block
            block = make(word, x, rng, "dynamics" in drawn.options).eval()
            with torch.no_grad():
                x = block(x)
            blocks.append(block)
        module = Blocks(blocks, drawn.classes, drawn.shape).eval()
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                assert layer.running_mean is not None and layer.running_var is not None
                nn.init.normal_(layer.running_mean, std=0.1)
                nn.init.uniform_(layer.running_var, 0.3, 3.0)
                nn.init.uniform_(layer.weight, 0.5, 2.0)
    if drawn.integers:
        samples = rng.integers(0, 256, (SAMPLES, *drawn.shape)).astype(np.uint8)
        return Scaled(module).eval(), samples
    low = -1.0 if rng.random() < 0.5 else 0.0
    return module, rng.uniform(low, 1.0, (SAMPLES, *drawn.shape)).astype(np.float32)


class Scaled(nn.Module):
    """A network that takes pixels."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x / 255)
