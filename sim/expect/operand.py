"""Golden quantities of one operand of two."""

import numpy as np

from ...gen.layers.pair.plan import OperandPlan
from ..golden import Trace
from .judge import Judge as Base
from .sums import Sums


class Judge(Base):
    """Sums, integrators and words of F, as they come and as they are taken."""

    def __init__(self, plan: OperandPlan) -> None:
        super().__init__(plan)
        self.sums = Sums(plan)

    def quantities(self, sample: Trace) -> dict[str, np.ndarray]:
        seen, number = sample.populations[self.plan.name], self.plan.number
        neurons = slice(0, self.plan.outputs * self.plan.windows)  # all, or of the first channel
        x, f = (kept[number][:, neurons] for kept in (seen.integrators, seen.requantised))
        return {
            "sum": self.sums.totals(x, sample),
            "integrator": self.sums.integrators(x),
            "F": f[0],
            "F taken": f[0],
        }
