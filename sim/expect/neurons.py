"""Golden quantities of neurons of one operand."""

import numpy as np

from ...gen.layers.neurons.plan import NeuronsPlan
from ..golden import Trace
from .judge import Judge as Base
from .judge import trains_of
from .sums import Sums


class Judge(Base):
    """Sums, integrators, targets, membranes, events and trains."""

    def __init__(self, plan: NeuronsPlan) -> None:
        super().__init__(plan)
        self.sums = Sums(plan)

    def quantities(self, sample: Trace) -> dict[str, np.ndarray]:
        seen = sample.populations[self.plan.name]
        x, targets = seen.integrators[0], seen.targets
        if not self.plan.has_plain_relu:  # hardware clamps where f makes no difference any more
            targets = np.clip(targets, *self.plan.target_range)
        return {
            "sum": self.sums.totals(x, sample),
            "integrator": self.sums.integrators(x),
            "target": targets,
            "membrane": seen.membranes,
            "event": seen.events,
            "train": trains_of(seen.events),
        }
