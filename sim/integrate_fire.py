"""Golden model of integrate-and-fire networks: integers, step by step.

    I(t) = B + Σ_j W_ij s_j(t)        s(t) = [m(t) + I(t) >= θ]        m(t+1) = m(t) + I(t) - θ s(t)

Sources fire before their targets in the same step. With a leak of k the membrane is counted in
units of 2^-k of X, so that what rounding takes off it stays below one unit of X in all:

    a = m(t) - floor(m(t) / 2^k) + 2^k I(t)      s(t) = [a >= 2^k θ]      m(t+1) = a - 2^k θ s(t)

The read-out is a membrane without a threshold, and its logits are what it holds at the end. The
input adds p - low at every step, against θ = high - low.
"""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics: ANN-to-SNN Conversion
# Beyond ReLU Network", ICML 2024, arXiv 2407.01645, section 4.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..gen.design.design import Design
from ..gen.design.population import DesignPopulation
from ..gen.model.network import INPUT

EXACT = 1 << 53  # float64 holds every integer up to here
SINGLE = 1 << 24  # and float32 up to here


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that one population does for one sample, flattened to its n neurons in C order.

    Members
    -------
    events : (T, n) bool, s(t); no rows for the read-out
    membranes : (T + 1, n) int64, m(0)..m(T)
    currents : (T, n) int64, I(0)..I(T-1)
    threshold : (n,) int64, θ in the units of the membrane; zeros for the read-out
    """

    events: np.ndarray
    membranes: np.ndarray
    currents: np.ndarray
    threshold: np.ndarray


def leak_of(design: Design) -> int:
    """Return the shift of the leak, 0 where there is none."""
    return design.input.rate_code.leak


def threshold_of(population: DesignPopulation, leak: int) -> np.ndarray:
    """Return θ in the units of the membrane, so that it broadcasts to the population's shape."""
    assert population.threshold is not None, f"{population.name!r} is no integrate-and-fire neuron"
    return population.threshold.reshape(-1, *[1] * (len(population.shape) - 1)) << leak


def current_bound(design: Design, population: DesignPopulation) -> int:
    """Return max |I(t)| over the neurons of a population."""
    if population.function == INPUT:
        return design.input_format.high - design.input_format.low
    (operand,) = population.operands
    total = np.abs(np.broadcast_to(operand.bias, population.shape)).astype(np.float64)
    for projection in operand.projections:
        gain = projection.map.gain.astype(np.float64)
        total = total + gain.reshape(-1, *[1] * (len(population.shape) - 1))
    return int(total.max())


def check(design: Design) -> None:
    """Refuse a Design whose membranes pass 2^53."""
    leak = leak_of(design)
    for population in design.populations:
        bound = (current_bound(design, population) << leak) * design.input.rate_code.steps
        if bound >= EXACT:
            raise ValueError(
                f"membranes of {population.name!r} must stay below 2^53, but may reach {bound}"
            )


def trace(design: Design, raw: np.ndarray) -> dict[str, Record]:
    """Follow one sample, (input size,) raw integers, in int64 throughout."""
    check(design)
    leak = leak_of(design)
    events: dict[str, list] = {p.name: [] for p in design.populations}
    currents: dict[str, list] = {p.name: [] for p in design.populations}
    membranes = {p.name: [np.zeros((1, *p.shape), np.int64)] for p in design.populations}
    for _ in range(design.input.rate_code.steps):
        for p in design.populations:
            if p.function == INPUT:
                current = raw.astype(np.int64).reshape(1, *p.shape) - design.input_format.low
            else:
                (operand,) = p.operands
                current = np.broadcast_to(operand.bias, (1, *p.shape)).astype(np.int64)
                for q in operand.projections:
                    current = current + q.map.apply(events[q.source][-1].astype(np.int64))
            m = membranes[p.name][-1]
            m = m - (m >> leak if leak else 0) + (current << leak)
            if p.code is not None:
                theta = threshold_of(p, leak)
                event = m >= theta
                events[p.name].append(event)
                m = m - theta * event
            currents[p.name].append(current)
            membranes[p.name].append(m)

    def rows(kept: list, size: int, dtype: type) -> np.ndarray:
        return np.array(kept, dtype=dtype).reshape(len(kept), size)

    def threshold(p: DesignPopulation) -> np.ndarray:
        theta = 0 if p.code is None else threshold_of(p, leak)
        return np.broadcast_to(theta, p.shape).reshape(-1).astype(np.int64)

    return {
        p.name: Record(
            events=rows(events[p.name], p.size, bool),
            membranes=rows(membranes[p.name], p.size, np.int64),
            currents=rows(currents[p.name], p.size, np.int64),
            threshold=threshold(p),
        )
        for p in design.populations
    }


class IntegrateFire:
    """One Design at the speed of BLAS: call with (n, input size) raw samples.

    All numbers are integers in floats that hold them exactly.
    """

    def __init__(self, design: Design, *, count_events: bool = False) -> None:
        check(design)
        self.design = design
        self.count_events = count_events
        self.leak = leak_of(design)
        self.maps = {}
        self.biases = {}
        for p in design.populations[1:]:
            (operand,) = p.operands
            dtype = np.float32 if current_bound(design, p) < SINGLE else np.float64
            self.biases[p.name] = operand.bias.astype(np.float64) * 2**self.leak
            for k, q in enumerate(operand.projections):
                self.maps[p.name, k] = q.map.with_weights(q.map.weights.astype(dtype)), dtype

    def __call__(self, raw: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        (logits,), events = self._run(raw, [self.design.input.rate_code.steps])
        return logits, events

    def over_steps(self, raw: np.ndarray, steps: Sequence[int]) -> np.ndarray:
        """Return the logits after each of ``steps`` steps."""
        return self._run(raw, steps)[0]

    def arriving(self, events: np.ndarray) -> np.ndarray:
        """Return the events of a step as those who read them see them."""
        return events

    def _run(self, raw: np.ndarray, steps: Sequence[int]) -> tuple[np.ndarray, dict]:
        design, leak = self.design, self.leak
        m = {p.name: np.zeros((len(raw), *p.shape)) for p in design.populations}
        theta = {p.name: threshold_of(p, leak).astype(np.float64) for p in design.populations[:-1]}
        first = (raw.astype(np.int64) - design.input_format.low).reshape(
            len(raw), *design.input.shape
        )
        first = first.astype(np.float64) * 2**leak
        fired: dict[str, np.ndarray] = {}
        counts = {p.name: np.zeros(len(raw), np.int64) for p in design.populations[:-1]}
        said: dict[int, np.ndarray] = {}
        for t in range(1, max(steps) + 1):
            for p in design.populations:
                held = m[p.name]
                if leak:
                    held -= np.floor(held / 2**leak)
                held += first if p.function == INPUT else self._current(p, fired)
                if p.code is not None:
                    event = held >= theta[p.name]
                    held -= theta[p.name] * event
                    fired[p.name] = self.arriving(event)
                    if self.count_events:
                        counts[p.name] += np.count_nonzero(event.reshape(len(raw), -1), axis=1)
            if t in steps:
                last = m[design.readout.name].astype(np.int64)
                if last.ndim > 2:  # planes, pixel after pixel
                    last = np.moveaxis(last, 1, -1)
                said[t] = last.reshape(len(raw), -1)
        return np.array([said[t] for t in steps]), counts if self.count_events else {}

    def _current(self, population: DesignPopulation, fired: dict[str, np.ndarray]) -> np.ndarray:
        """Return 2^k I of a population, float64, from what its sources fired in this step."""
        current = self.biases[population.name]
        for k, projection in enumerate(population.operands[0].projections):
            linear, dtype = self.maps[population.name, k]
            sums = linear.apply(fired[projection.source].astype(dtype))
            current = current + (sums.astype(np.float64) * 2**self.leak if self.leak else sums)
        return current
