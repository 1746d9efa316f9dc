"""Golden quantities of integrate-and-fire neurons."""

import numpy as np

from ..golden import PopulationTrace, Trace
from .judge import Judge as Base
from .judge import trains_of


class Judge(Base):
    """Sums of every step, membranes m(t+1), events s(t), trains."""

    def quantities(self, sample: Trace) -> dict[str, np.ndarray]:
        seen = sample.populations[self.plan.name]
        return {
            "sum": currents_of(seen) - np.repeat(self.plan.bias[0], self.plan.windows),
            "membrane": seen.membranes[1:],
            "event": seen.events,
            "train": trains_of(seen.events),
        }


def currents_of(seen: PopulationTrace) -> np.ndarray:
    """Return I(0)..I(T-1) of integrate-and-fire neurons, (T, n) int64."""
    return np.diff(seen.integrators[0], axis=0, prepend=0)
