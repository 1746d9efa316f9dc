"""The golden model with events that arrive wrong: a rate of them is flipped at random on its way.

What a neuron sends is flipped for all of its readers alike; the neuron itself knows what it sent,
and goes on from there. In settled firing a flip moves the value that arrives by 2η(t), for good;
the value that integrate-and-fire neurons say moves by θ/T.
"""

from collections.abc import Callable

import numpy as np

from ..gen.design.design import Design
from ..gen.design.population import DesignPopulation
from . import golden
from .integrate_fire import IntegrateFire


class Flips:
    """Which events are flipped: each with probability ``rate``, by ``seed``."""

    def __init__(self, rate: float, seed: int) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"the rate of flipped events must lie in 0..1, not {rate:g}")
        self.rate, self.rng = rate, np.random.default_rng(seed)

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return bool of ``shape``, true where an event is flipped."""
        size = int(np.prod(shape))
        if self.rate > 0.01:
            return (self.rng.random(size) < self.rate).reshape(shape)
        # Few: how many, and then where. A place that is drawn twice is flipped once.
        flipped = np.zeros(size, bool)
        flipped[self.rng.integers(0, size, self.rng.binomial(size, self.rate))] = True
        return flipped.reshape(shape)


class FlippedSignGD(golden.ClosedForm):
    """:class:`signfire.sim.golden.ClosedForm` with flipped events."""

    def __init__(self, design: Design, flips: Flips) -> None:
        super().__init__(design, False)
        self.flips = flips

    def levels_of(self, population: DesignPopulation, samples: int) -> None:
        """Return nothing: which events are sent is known by target alone."""

    def settled_value(self, population: DesignPopulation, index: np.ndarray) -> np.ndarray:
        value = super().settled_value(population, index).astype(np.float64)
        for eta, sent in zip(
            population.spike_code.eta, self.stairs[population.name].sent, strict=True
        ):
            at = np.nonzero(self.flips.draw(index.shape))
            value[at] += np.where(sent[index[at]], -2 * eta, 2 * eta)
        return value

    def _overlapped(
        self,
        raw: np.ndarray,
        look: Callable[[int, dict], None] = lambda t, values: None,
        steps: int | None = None,
    ) -> tuple[dict, dict]:
        neurons = self.design.populations[:-1]
        own = {p.name: np.full((len(raw), *p.shape), float(p.spike_code.rest)) for p in neurons}
        arrived = {name: v.copy() for name, v in own.items()}
        for t in range(steps or self.design.input.train_code.steps):
            for population in neurons:
                name, eta = population.name, population.spike_code.eta[t]
                event = own[name] < self._target(population, arrived, raw)
                own[name] += np.where(event, eta, -eta)
                event = event ^ self.flips.draw(event.shape)
                arrived[name] += np.where(event, eta, -eta)
            look(t + 1, arrived)
        return arrived, {}


class FlippedIntegrateFire(IntegrateFire):
    """:class:`signfire.sim.integrate_fire.IntegrateFire` with flipped events."""

    def __init__(self, design: Design, flips: Flips) -> None:
        super().__init__(design)
        self.flips = flips

    def arriving(self, events: np.ndarray) -> np.ndarray:
        return events ^ self.flips.draw(events.shape)


def run(
    design: Design, raw: np.ndarray, *, rate: float, seed: int = 0, batch: int = 64
) -> np.ndarray:
    """Return logits, (n, outputs) int64, of samples whose events are flipped at a ``rate``.

    Parameters
    ----------
    design
        Any Design.
    raw
        (n, input size) integers p within the input format.
    rate
        Probability of each event, and of each step without one, to arrive as the other.
    seed
        Equal seeds, batches and rates flip the same events.
    batch
        Samples held in memory at a time.
    """
    flips = Flips(rate, seed)
    if rate == 0:
        return golden.run(design, raw, batch=batch).logits
    golden.run(design, raw[:0])  # refuses what the golden model refuses
    kind = FlippedSignGD if design.dynamics == "signgd" else FlippedIntegrateFire
    answer = kind(design, flips)
    parts = [answer(raw[i : i + batch])[0] for i in range(0, len(raw), batch)]
    return np.concatenate(parts or [np.zeros((0, design.readout.size), np.int64)])
