"""Converted: the populations that stand in integers so far, and what they say for the samples."""

from collections.abc import Mapping

import numpy as np

from ..design.population import DesignOperand, DesignPopulation, InputFormat
from ..model.codes import fire, moved
from ..model.network import INPUT, evaluate
from ..model.several import SEVERAL
from ..model.ties import rounded, shifted
from .operand import by_channel

BATCH = 512  # samples held as trains at a time


class Converted:
    """The populations converted so far, and what they say for the calibration samples.

    Members
    -------
    populations : list of DesignPopulation, the input first
    values : by name, (n, *shape) float64 integers v(T)
    """

    def __init__(
        self, firing: str, fmt: InputFormat, population: DesignPopulation, raw: np.ndarray
    ) -> None:
        self.firing = firing
        self.encoded = shifted(raw * fmt.multiplier, fmt.shift, population.ties)
        self.populations: list[DesignPopulation] = []
        self.values: dict[str, np.ndarray] = {}
        self.trains: dict[str, dict[tuple[int, int], np.ndarray]] = {}  # by first sample and step
        self.append(population)

    def __getitem__(self, name: str) -> DesignPopulation:
        return next(p for p in self.populations if p.name == name)

    def suppose(self, population: DesignPopulation, exact: np.ndarray) -> None:
        """Add a population that is supposed to say what the float network says."""
        self.populations.append(population)
        if population.code is not None:
            self.values[population.name] = exact / population.code.unit

    def append(self, population: DesignPopulation) -> None:
        self.populations.append(population)
        if population.code is None:
            return
        if self.firing == "settled":
            target = self._target(population, self.values, self.encoded)
            self.values[population.name] = population.spike_code.settle(target).astype(np.float64)
        else:
            self.values[population.name] = self._overlap(population)

    def integrators(
        self, population: DesignPopulation, values: Mapping[str, np.ndarray]
    ) -> list[np.ndarray]:
        """X = B + Σ W·v of each operand, (n, *shape) float64 integers."""
        found = []
        for operand in population.operands:
            x = sum((p.map.apply(values[p.source]) for p in operand.projections), operand.bias)
            found.append(sum((product.apply(values) for product in operand.products), x))
        return found

    def counted(self, population: DesignPopulation, x: np.ndarray) -> dict[str, float | None]:
        """Return the share of neurons that were exactly between two levels, ``ties_met``.

        ``None`` where that is no question: in overlapped firing, of other schedules than the
        binary one, and where more than one integrator X decides.
        """
        code = population.code
        plain = population.table is None and len(population.operands) == 1
        if code is None or not code.is_binary or not plain or self.firing != "settled":
            return {"ties_met": None}
        f = x * factors_of(population.operands[0], x, population.shape)
        met = (f % 2 == 1) & (f > code.low) & (f < code.high)
        return {"ties_met": float(met.mean())}

    def _target(self, population, values, encoded) -> np.ndarray:
        if population.function == INPUT:
            return encoded.reshape(len(encoded), *population.shape)
        requantised = [
            rounded(x * factors_of(operand, x, population.shape), population.operand_ties)
            for operand, x in zip(
                population.operands, self.integrators(population, values), strict=True
            )
        ]
        if population.table is not None:
            return population.table(requantised[0])
        if population.comparison is not None:
            f1, f2 = (f.astype(np.int64) for f in requantised)
            fraction, ties = population.comparison.fraction, population.ties
            return SEVERAL[population.function].target(f1, f2, fraction, ties)
        if population.operands[0].below is not None:
            f = requantised[0]
            return f if population.limit is None else np.minimum(f, population.limit)
        return evaluate(population.function, requantised, population.limit)

    def _overlap(self, population: DesignPopulation) -> np.ndarray:
        """v(T) in overlapped firing, where every source is on the move; its events are kept."""
        sources = {p.source: self[p.source] for p in population.sources}
        trains = self.trains[population.name] = {}
        code, parts = population.spike_code, []
        for start in range(0, len(self.encoded), BATCH):
            encoded = self.encoded[start : start + BATCH]
            n = len(encoded)
            values = {
                name: np.full((n, *p.shape), float(p.spike_code.rest))
                for name, p in sources.items()
            }
            v = np.full((n, *population.shape), float(code.rest))
            for t in range(code.steps):
                for name, p in sources.items():
                    sent = np.unpackbits(self.trains[name][start, t], count=values[name].size)
                    event = sent.reshape(values[name].shape)
                    values[name] = moved(values[name], event, p.spike_code.eta[t])
                event, v = fire(v, self._target(population, values, encoded), code.eta[t])
                trains[start, t] = np.packbits(event)
            parts.append(v)
        return np.concatenate(parts)


def factors_of(operand: DesignOperand, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return M/2^S for every integrator X."""
    factors = by_channel(operand.multiplier / 2**operand.shift, shape)
    if operand.below is None:
        return factors
    return np.where(x < 0, by_channel(operand.below / 2**operand.shift, shape), factors)
