"""Populations in integers, and the integers that a sample enters as."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.codes import RateCode, SpikeCode
from ..model.functions import FunctionTable
from ..model.maps import LinearMap
from ..model.products import Product
from ..model.several import SEVERAL, Comparison
from ..model.ties import DOWN
from .features import Features
from .folding import Folding

MULTIPLIER_LIMIT = 1 << 16  # requantisation factors M are unsigned, mostly of at most 16 bits
FACTOR_LIMIT = 1 << 32  # where trained scales ask for more, of several DSP blocks
INPUT_MULTIPLIER_LIMIT = 1 << 32  # that of the input is a constant, and no block multiplies by it


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """How a sample enters: integers p in low..high, real value = scale·p.

    With ``features``, each of them has a scale and an offset of its own, and ``scale`` is 1. The
    host encodes real values, hardware sees p alone: weights and biases hold what the steps of each
    feature are worth. The input population fires on F = ceil(p·multiplier / 2^shift).
    """

    low: int
    high: int
    scale: float
    multiplier: int
    shift: int
    features: Features | None = None

    def __post_init__(self) -> None:
        if not self.low <= self.high or self.high <= 0:
            raise ValueError(f"an input range must reach above 0, not {self.low}..{self.high}")
        if not 1 <= self.multiplier < INPUT_MULTIPLIER_LIMIT or self.shift < 1:
            raise ValueError(f"input factor {self.multiplier}/2^{self.shift} is out of range")

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "InputFormat":
        """Undo :meth:`record`."""
        fields = dict(record)
        if "features" in fields:
            fields["features"] = Features.read(fields["features"])
        return cls(**fields)

    def record(self) -> dict[str, Any]:
        """Return JSON values; without features there is no word of them."""
        found = dict(vars(self))
        features = found.pop("features")
        return found if features is None else found | {"features": features.record()}

    @property
    def takes_integers(self) -> bool:
        """Whether whole numbers of samples are the integers p themselves."""
        return self.scale == 1 and self.features is None

    def steps(self, x: np.ndarray) -> np.ndarray:
        """Return p of real values, (n, *sample shape) float64, neither rounded nor clipped."""
        return x / self.scale if self.features is None else self.features.steps(x)

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Return the nearest p of real values, (n, *sample shape) int64 in low..high."""
        return np.clip(np.rint(self.steps(x)), self.low, self.high).astype(np.int64)

    def real(self, p: np.ndarray) -> np.ndarray:
        """Return the real values of integers p, (n, *sample shape) float64."""
        return p * self.scale if self.features is None else self.features.real(p)

    @property
    def signed(self) -> bool:
        return self.low < 0

    @property
    def bits(self) -> int:
        """Bits of one raw sample p."""
        return bits_for(self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class DesignProjection:
    """An integer linear map from a population.

    ``weight_bits`` b bounds its weights to ±(2^(b-1) - 1); those that were trained with
    quantisation may be -2^(b-1) too.
    """

    source: str
    map: LinearMap
    weight_bits: int


@dataclass(frozen=True, kw_only=True)
class DesignOperand:
    """X = bias + Σ W·value, F = ceil(X·multiplier / 2^shift).

    Parameters
    ----------
    bias
        int64, broadcasts to the population's shape.
    scale
        (channels,) float64, real value of one unit of X; not used by hardware.
    multiplier
        (channels,) int64 in 1..2^32 - 1; all ones for the read-out, which is not requantised.
    shift
        S >= 1 (0 for the read-out).
    below
        (channels,) int64, the multiplier where X < 0, from 0 on, or -multiplier for abs; ``None``
        where it is ``multiplier``.
    products
        Of values of two populations, in the place of projections.
    """

    projections: tuple[DesignProjection, ...]
    bias: np.ndarray
    scale: np.ndarray
    multiplier: np.ndarray
    shift: int
    below: np.ndarray | None = None
    products: tuple[Product, ...] = ()

    @property
    def is_magnitude(self) -> bool:
        """Whether F is that of |X|."""
        return self.below is not None and np.array_equal(self.below, -self.multiplier)


@dataclass(frozen=True, kw_only=True)
class DesignPopulation:
    """A population in integers; ``code`` is ``None`` for the read-out alone.

    ``folding`` is ``None`` where none was chosen yet. ``limit`` is the greatest target that
    neurons fire on, ``None`` where nothing but the code bounds it. ``table`` holds the targets of a
    function that is not decided by comparison, ``comparison`` what decides one of two operands.
    ``threshold`` is θ of integrate-and-fire neurons in units of X, (channels,) int64; of the input,
    in raw steps, (1,); ``None`` for all others. ``ties`` is what happens where v = f(x), one of
    :data:`signfire.gen.model.ties.TIES`; the entries of a table are rounded by it.
    """

    name: str
    shape: tuple[int, ...]
    function: str
    code: SpikeCode | RateCode | None
    operands: tuple[DesignOperand, ...] = ()
    folding: Folding | None = None
    place: str = ""
    limit: int | None = None
    table: FunctionTable | None = None
    threshold: np.ndarray | None = None
    comparison: Comparison | None = None
    ties: str = DOWN

    @property
    def operand_ties(self) -> str:
        """What happens to ties where F is made of X.

        A table rounds its entries by ``ties``, and a function of operands that are rounded to the
        nearest unit its own result; F of their operands is rounded up.
        """
        if self.table is not None:
            return DOWN
        if self.comparison is not None and SEVERAL[self.function].nearest:
            return DOWN
        return self.ties

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def sources(self) -> Iterator[DesignProjection]:
        return (p for operand in self.operands for p in operand.projections)

    @property
    def train_code(self) -> SpikeCode | RateCode:
        """What the trains of a population mean; the read-out sends none."""
        assert self.code is not None, f"the read-out {self.name!r} has no code"
        return self.code

    @property
    def spike_code(self) -> SpikeCode:
        """The code of a population that follows sign gradient descent."""
        assert isinstance(self.code, SpikeCode), f"{self.name!r} has no spike code"
        return self.code

    @property
    def rate_code(self) -> RateCode:
        """The code of a population of integrate-and-fire neurons."""
        assert isinstance(self.code, RateCode), f"{self.name!r} has no rate code"
        return self.code

    @property
    def error_levels(self) -> float | None:
        """Worst distance of the value settled at from f within the code's range, in levels.

        A comparison errs by half a level of the binary schedule; a second factor M, rounded to a
        whole number, adds half of what it stands for. ``None`` where nothing is promised.
        """
        if self.table is not None:
            return self.table.error
        if self.comparison is not None:
            return self.comparison.error
        if self.code is None or not self.code.is_binary or not self.operands:
            return None
        below = self.operands[0].below
        if below is None or self.operands[0].is_magnitude:
            return 0.5
        return 0.5 + max(0, -self.code.low) / 4 / max(1, int(below.min()))


def bits_for(low: int, high: int) -> int:
    """Bits that hold every integer of low..high; two's complement where low < 0."""
    if low >= 0:
        return max(1, high.bit_length())
    return max((-low - 1).bit_length(), high.bit_length() if high > 0 else 0) + 1
