"""Network: what is computed, in real numbers, without any hardware.

Data flow: populations in topological order; the first is the input, the last the read-out.
A population applies its function to its operands; an operand sums projections of earlier
populations and a bias: x = bias + Σ_k map_k(population_k).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

INPUT = "input"
READOUT = "readout"
FUNCTIONS: dict[str, int] = {INPUT: 0, READOUT: 1, "relu": 1}  # function -> number of operands


class LinearMap:
    """A linear map from one population to an operand; its numbers may be floats or integers.

    Members
    -------
    in_shape, out_shape : tuple of int, without the batch axis
    channels : number of output channels; each has one quantisation scale. The channel axis is the
        first of ``out_shape``.
    weights : (channels, fan_in) what is quantised; ``None`` for a map with fixed coefficients
    """

    kind = ""
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        return self.out_shape[0]

    @property
    def weights(self) -> np.ndarray:
        raise NotImplementedError(type(self).__name__)

    def with_weights(self, weights: np.ndarray) -> Self:
        """Return the same map with other ``weights``, (channels, fan_in)."""
        raise NotImplementedError(type(self).__name__)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Map a batch: (n, *in_shape) to (n, *out_shape)."""
        raise NotImplementedError(type(self).__name__)

    def patches(self, x: np.ndarray) -> np.ndarray:
        """Return (rows, fan_in): every vector of ``x`` that meets a row of ``weights``."""
        raise NotImplementedError(type(self).__name__)

    def parameters(self) -> dict[str, object]:
        """Numbers beside ``weights`` that rebuild the map: JSON values."""
        return {}

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, object]) -> Self:
        """Undo ``weights`` and ``parameters``."""
        raise NotImplementedError(cls.__name__)


@dataclass(frozen=True, eq=False)
class Dense(LinearMap):
    """y = W x over the flattened source, W : (n_out, n_in).

    Parameters
    ----------
    matrix
        (n_out, n_in), float64 in a Network, int64 in a Design.
    in_shape
        Shape of the source population; n_in elements in C order.
    """

    matrix: np.ndarray
    in_shape: tuple[int, ...]

    kind = "dense"

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.shape[1] != int(np.prod(self.in_shape)):
            raise ValueError(
                f"a dense map from shape {self.in_shape} needs {int(np.prod(self.in_shape))} "
                f"columns, not {self.matrix.shape}"
            )

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (self.matrix.shape[0],)

    @property
    def weights(self) -> np.ndarray:
        return self.matrix

    def with_weights(self, weights: np.ndarray) -> "Dense":
        return replace(self, matrix=weights)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1) @ self.matrix.T

    def patches(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1)

    def parameters(self) -> dict[str, object]:
        return {"in_shape": list(self.in_shape)}

    @classmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, object]) -> "Dense":
        return cls(weights, tuple(parameters["in_shape"]))


MAPS: dict[str, type[LinearMap]] = {cls.kind: cls for cls in (Dense,)}


@dataclass(frozen=True, kw_only=True)
class Projection:
    """One linear map from a population, by name."""

    source: str
    map: LinearMap


@dataclass(frozen=True, kw_only=True)
class Operand:
    """x = bias + Σ projections; ``bias`` broadcasts to the population's shape, float64."""

    projections: tuple[Projection, ...]
    bias: np.ndarray


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
        A key of :data:`FUNCTIONS`.
    operands
        As many as the function takes.
    place
        Where the user's source defines it, ``file:line``; empty if unknown.
    """

    name: str
    shape: tuple[int, ...]
    function: str
    operands: tuple[Operand, ...] = ()
    place: str = ""

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def sources(self) -> Iterator[Projection]:
        """Every projection of every operand."""
        return (p for operand in self.operands for p in operand.projections)


def evaluate(function: str, operands: list[np.ndarray]) -> np.ndarray:
    """Return f of float operands, each (n, *shape)."""
    if function == READOUT:
        return operands[0]
    if function == "relu":
        return np.maximum(operands[0], 0.0)
    raise ValueError(f"there is no neuron function {function!r}")


@dataclass(frozen=True, kw_only=True)
class Network:
    """Populations in topological order, the input first, the read-out last.

    Raises
    ------
    ValueError
        Where a projection does not fit the shapes, or reads a population that does not stand
        before it.
    """

    name: str
    populations: tuple[Population, ...]

    def __post_init__(self) -> None:
        check_graph(self.populations)

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
        outputs = {self.input.name: x.reshape(len(x), *self.input.shape).astype(np.float64)}
        operands: dict[str, list[np.ndarray]] = {self.input.name: []}
        for population in self.populations[1:]:
            operands[population.name] = [
                sum((p.map.apply(outputs[p.source]) for p in operand.projections), operand.bias)
                for operand in population.operands
            ]
            outputs[population.name] = evaluate(population.function, operands[population.name])
        return outputs, operands


def check_graph(populations) -> None:
    """Check names, order, operand counts and shapes of a Network's or a Design's populations."""
    if len(populations) < 2:
        raise ValueError("a network needs an input and a read-out")
    if populations[0].function != INPUT or populations[-1].function != READOUT:
        raise ValueError("the first population must be the input, the last the read-out")
    seen: dict[str, tuple[int, ...]] = {}
    for population in populations:
        name, wanted = population.name, FUNCTIONS.get(population.function)
        if wanted is None:
            raise ValueError(f"there is no neuron function {population.function!r} ({name})")
        if name in seen:
            raise ValueError(f"two populations are called {name!r}")
        if len(population.operands) != wanted:
            raise ValueError(
                f"{population.function} takes {wanted} operands, {name!r} has "
                f"{len(population.operands)}"
            )
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
