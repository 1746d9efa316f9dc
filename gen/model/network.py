"""Network: what is computed, in real numbers, without any hardware.

Data flow: populations in topological order; the first is the input, the last the read-out.
A population applies its function to its operands; an operand sums projections of earlier
populations and a bias: x = bias + Σ_k map_k(population_k).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .functions import UNARY
from .heads import Head, Output, default_head
from .inputs import Part
from .maps import LinearMap
from .products import Product
from .several import SEVERAL

INPUT = "input"
READOUT = "readout"
LINEAR = "linear"
MAX = "max"
# function -> number of operands, None for one or more; those of UNARY take one
FUNCTIONS: dict[str, int | None] = {
    INPUT: 0,
    READOUT: 1,
    "relu": 1,
    LINEAR: 1,
    MAX: None,
    **{name: function.operands for name, function in SEVERAL.items()},
}
FORWARD_BATCH = 64  # samples whose populations are held at a time where only answers are wanted


@dataclass(frozen=True, kw_only=True)
class Projection:
    """One linear map from a population, by name.

    ``common`` is known of weights that were trained with quantisation: (channels,) int64, the
    greatest common divisor of the integers of each row, 0 of a row of zeros.
    """

    source: str
    map: LinearMap
    common: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Operand:
    """x = bias + Σ projections; ``bias`` broadcasts to the population's shape, float64.

    A maximum's bias is -inf where the operand is left out, as beyond the border of a pooled plane.
    An operand may sum products of two populations instead of projections.
    """

    projections: tuple[Projection, ...]
    bias: np.ndarray
    products: tuple[Product, ...] = ()

    def __post_init__(self) -> None:
        if self.products and self.projections:
            raise ValueError("an operand sums projections or products, not both")

    def sums(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return x of float values by population, (n, *shape)."""
        x = sum((p.map.apply(values[p.source]) for p in self.projections), self.bias)
        return sum((product.apply(values) for product in self.products), x)


@dataclass(frozen=True, kw_only=True)
class Population:
    """A group of neurons that share a function and a spike code.

    Parameters
    ----------
    name
        Unique; the user's module path where there is one (``fc1``).
    shape
        Without the batch axis; channels first.
    function
        A key of :data:`FUNCTIONS` or of :data:`.functions.UNARY`.
    operands
        As many as the function takes.
    parameters
        Numbers that the function takes beside its operand, such as LeakyReLU's slope.
    place
        Where the user's source defines it, ``file:line``; empty if unknown.
    limit
        The greatest value, 6 for ReLU6; ``None`` for no limit.
    low, step, ties
        Of a population that was trained with quantisation: its least value, the step that its
        values are multiples of, and where values halfway between two go, see :mod:`.ties`; ``None``
        for any other.
    """

    name: str
    shape: tuple[int, ...]
    function: str
    operands: tuple[Operand, ...] = ()
    place: str = ""
    limit: float | None = None
    low: float | None = None
    step: float | None = None
    ties: str | None = None
    parameters: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def apply(self, operands: list[np.ndarray]) -> np.ndarray:
        """Return f of float operands, each (n, *shape)."""
        return evaluate(self.function, operands, self.limit, self.parameters)

    def expressed(self, values: np.ndarray) -> np.ndarray:
        """Return values as a population trained with quantisation expresses them."""
        if self.step is None:
            return values
        return np.clip(np.rint(values / self.step) * self.step, self.low, self.limit)

    @property
    def sources(self) -> Iterator[Projection]:
        """Every projection of every operand."""
        return (p for operand in self.operands for p in operand.projections)


def evaluate(
    function: str,
    operands: list[np.ndarray],
    limit: float | None = None,
    parameters: tuple[float, ...] = (),
) -> np.ndarray:
    """Return f of float operands, each (n, *shape), at most ``limit``."""
    found = _unlimited(function, operands, parameters)
    return found if limit is None else np.minimum(found, limit)


def _unlimited(
    function: str, operands: list[np.ndarray], parameters: tuple[float, ...]
) -> np.ndarray:
    if function in UNARY:
        return UNARY[function](operands[0], parameters)
    if function in (READOUT, LINEAR):
        return operands[0]
    if function == "relu":
        return np.maximum(operands[0], 0.0)
    if function == MAX:
        return np.max(operands, axis=0)
    if function in SEVERAL:
        return SEVERAL[function].evaluate(*operands)
    raise ValueError(f"there is no neuron function {function!r}")


@dataclass(frozen=True, kw_only=True)
class Network:
    """Populations in topological order, the input first, the read-out last.

    Parameters
    ----------
    outputs
        What the read-out's values mean; none: what its shape suggests.
    inputs
        The parts of a sample, where there are several.

    Raises
    ------
    ValueError
        Where a projection does not fit the shapes, or reads a population that does not stand
        before it, or outputs do not fit the read-out.
    """

    name: str
    populations: tuple[Population, ...]
    outputs: tuple[Output, ...] = ()
    inputs: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        check_graph(self.populations)
        check_head(self.head, self.readout.size)
        check_inputs(self.inputs, self.input.size)

    @cached_property
    def head(self) -> Head:
        """What the outputs mean."""
        return Head(outputs=self.outputs) if self.outputs else default_head(self.readout.shape)

    def __getitem__(self, name: str) -> Population:
        return next(p for p in self.populations if p.name == name)

    @property
    def input(self) -> Population:
        return self.populations[0]

    @property
    def readout(self) -> Population:
        return self.populations[-1]

    def forward(self, x: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, list[np.ndarray]]]:
        """Evaluate in float64.

        Parameters
        ----------
        x
            (n, *input shape) or anything that reshapes to it, real input values.

        Returns
        -------
        outputs, operands
            By population name: (n, *shape), and the list of operands x before the function.
        """
        real = x.reshape(len(x), *self.input.shape).astype(np.float64)
        outputs = {self.input.name: self.input.expressed(real)}
        operands: dict[str, list[np.ndarray]] = {self.input.name: []}
        for population in self.populations[1:]:
            operands[population.name] = [op.sums(outputs) for op in population.operands]
            found = population.apply(operands[population.name])
            outputs[population.name] = population.expressed(found)
        return outputs, operands

    def answers(self, x: np.ndarray) -> np.ndarray:
        """Return the read-out's values, (n, outputs) float64; memory stays bounded."""
        parts = [
            self.forward(x[i : i + FORWARD_BATCH])[0][self.readout.name]
            for i in range(0, len(x), FORWARD_BATCH)
        ]
        size = self.readout.size
        return np.concatenate(parts or [np.zeros((0, size))]).reshape(len(x), size)

    @property
    def size(self) -> int:
        """Neurons of all populations."""
        return sum(p.size for p in self.populations)


def check_head(head: Head, logits: int) -> None:
    """Raise ValueError where outputs are not runs of so many logits."""
    if head.size != logits:
        raise ValueError(f"the outputs reach over {head.size} logits, and there are {logits}")


def check_inputs(inputs: Sequence[Part], size: int) -> None:
    """Raise ValueError where parts are none of samples of so many values."""
    if inputs and sum(part.size for part in inputs) != size:
        raise ValueError(
            f"the inputs have {sum(part.size for part in inputs)} values, and a sample {size}"
        )
    if len({part.name for part in inputs}) != len(inputs):
        raise ValueError("two inputs have one name")


def check_graph(populations) -> None:
    """Check names, order, operand counts and shapes of a Network's or a Design's populations."""
    if len(populations) < 2:
        raise ValueError("a network needs an input and a read-out")
    if populations[0].function != INPUT or populations[-1].function != READOUT:
        raise ValueError("the first population must be the input, the last the read-out")
    seen: dict[str, tuple[int, ...]] = {}
    for population in populations:
        name = population.name
        unary = population.function in UNARY or getattr(population, "table", None) is not None
        if population.function not in FUNCTIONS and not unary:
            raise ValueError(f"there is no neuron function {population.function!r} ({name})")
        if name in seen:
            raise ValueError(f"two populations are called {name!r}")
        wanted = FUNCTIONS.get(population.function, 1)
        if not population.operands if wanted is None else len(population.operands) != wanted:
            raise ValueError(
                f"{population.function} takes {wanted or 'some'} operands, {name!r} has "
                f"{len(population.operands)}"
            )
        for product in (p for operand in population.operands for p in operand.products):
            for source, places in ((product.source, product.left), (product.other, product.right)):
                if source not in seen:
                    raise ValueError(f"{name!r} reads {source!r}, which does not stand before it")
                if places.max() >= np.prod(seen[source]) or product.out_shape != population.shape:
                    raise ValueError(f"a product of {name!r} does not fit the shapes")
        for projection in population.sources:
            if projection.source not in seen:
                raise ValueError(
                    f"{name!r} reads {projection.source!r}, which does not stand before it"
                )
            if projection.map.in_shape != seen[projection.source]:
                raise ValueError(
                    f"{name!r} expects shape {projection.map.in_shape} from "
                    f"{projection.source!r}, which has {seen[projection.source]}"
                )
            if projection.map.out_shape != population.shape:
                raise ValueError(
                    f"a projection of {name!r} gives shape {projection.map.out_shape}, not "
                    f"{population.shape}"
                )
        seen[name] = population.shape
