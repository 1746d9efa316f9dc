"""The paper's rule in float64, on a Design's own step sizes, weights and scales.

It knows nothing of integers or targets, and nothing of the golden model: membranes, inputs and step
sizes are real numbers, and every neuron keeps its input x by what arrives, as the paper has it:

    σ(t) = -1 where v(t) < f(x(t+1)), else +1, or +1 where v(t) > f(x(t+1)), else -1
    v(t+1) = v(t) - η(t) σ(t);  x(t+1) = x(t) - η(t) Σ_j w_ij σ_j(t)
"""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics: ANN-to-SNN Conversion
# Beyond ReLU Network", ICML 2024, arXiv 2407.01645, Eq. (8) to (11).

from collections.abc import Callable

import numpy as np

from ..gen.design.design import Design
from ..gen.design.population import DesignOperand, DesignPopulation
from ..gen.model.maps import LinearMap

# Functions that their authors' code compares strictly: a tie sends an event.
STRICT = ("input", "max", "leaky_relu", "abs")


def run(design: Design, raw: np.ndarray) -> np.ndarray:
    """Return the logits after T steps, (n, outputs) float64.

    Parameters
    ----------
    design
        That the paper's mode made: overlapped, v0 = 0, of functions that are no table.
    raw
        (n, input size) integers p.

    Raises
    ------
    ValueError
        For a Design of which the paper's rule says nothing.
    """
    if design.firing != "overlapped" or design.dynamics != "signgd":
        raise ValueError("the paper's neurons follow sign gradient descent and fire overlapped")
    units = {p.name: p.spike_code.unit for p in design.populations[:-1]}
    neurons = [_Neurons(p, len(raw), units) for p in design.populations[:-1]]
    readout = _Sum(design.readout, 0, len(raw), units)
    sample = raw.reshape(len(raw), *design.input.shape) * design.input_format.scale
    sent: dict[str, np.ndarray] = {}  # η(t)·σ(t) of this step
    for t in range(design.input.spike_code.steps):
        for each in neurons:
            sent[each.name] = each.step(t, sent, sample)
        readout.take(sent)
    return readout.x.reshape(len(raw), -1)


class _Sum:
    """x of one operand, by what arrives."""

    def __init__(
        self, population: DesignPopulation, number: int, samples: int, units: dict[str, float]
    ) -> None:
        operand: DesignOperand = population.operands[number]
        self.by_channel = (-1, *[1] * (len(population.shape) - 1))
        scale = operand.scale.reshape(self.by_channel)  # real value of a unit of X
        shape = (samples, *population.shape)
        self.x = np.broadcast_to(operand.bias * scale, shape).astype(np.float64)
        self.weights: list[tuple[str, LinearMap]] = []
        for q in operand.projections:
            real = q.map.weights * (operand.scale / units[q.source])[:, None]
            self.weights.append((q.source, q.map.with_weights(real)))

    def take(self, sent: dict[str, np.ndarray]) -> np.ndarray:
        for source, weights in self.weights:
            self.x = self.x - weights.apply(sent[source])
        return self.x


class _Neurons:
    """Neurons of a population."""

    def __init__(self, population: DesignPopulation, samples: int, units: dict[str, float]) -> None:
        code = population.spike_code
        if code.rest:
            raise ValueError(f"the paper's neurons begin at 0, and {population.name!r} does not")
        if population.table is not None or population.comparison is not None:
            raise ValueError(f"{population.function} of {population.name!r} is no function of x")
        self.population, self.name = population, population.name
        self.eta = [step * code.unit for step in code.eta]
        self.v = np.zeros((samples, *population.shape))
        self.sums = [_Sum(population, k, samples, units) for k in range(len(population.operands))]

    def step(self, t: int, sent: dict[str, np.ndarray], sample: np.ndarray) -> np.ndarray:
        """Take what arrives and fire; return η(t)·σ(t)."""
        f = self._value([each.take(sent) for each in self.sums] or [sample])
        strict = self.population.function in STRICT
        up = self.v > f if strict else self.v >= f
        moved = self.eta[t] * np.where(up, 1.0, -1.0)
        self.v = self.v - moved
        return moved

    def _value(self, x: list[np.ndarray]) -> np.ndarray:
        population = self.population
        found: dict[str, Callable[[], np.ndarray]] = {
            "input": lambda: x[0],
            "linear": lambda: x[0],
            "relu": lambda: np.where(x[0] > 0, x[0], 0.0),
            "abs": lambda: np.abs(x[0]),
            "max": lambda: np.max(x, axis=0),
            "leaky_relu": lambda: np.where(x[0] < 0, self._slope * x[0], x[0]),
        }
        value = found[population.function]()
        if population.limit is None or population.function != "relu":
            return value
        return np.minimum(value, population.limit * population.spike_code.unit)

    @property
    def _slope(self) -> np.ndarray:
        """Slope where x < 0 by channel, as the Design has it."""
        operand, by_channel = self.population.operands[0], self.sums[0].by_channel
        assert operand.below is not None, "its sign chooses between two slopes"
        return (operand.below / operand.multiplier).reshape(by_channel)
