"""Golden quantities of the read-out of integrate-and-fire neurons."""

import numpy as np

from ..golden import Trace
from .rate import currents_of
from .readout import Judge as ReadoutJudge


class Judge(ReadoutJudge):
    """Sums so far of every step, X, which is what membranes come to, and words of the result."""

    def quantities(self, sample: Trace) -> dict[str, np.ndarray]:
        seen = sample.populations[self.plan.name]
        return {
            "sum": (currents_of(seen) - self.plan.bias[0]).cumsum(axis=0),
            "integrator": seen.membranes[-self.plan.source_code.steps :],
            "logit": self.words(sample.logits),
        }
