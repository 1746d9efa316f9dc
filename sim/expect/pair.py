"""Golden quantities of neurons of two operands."""

import numpy as np

from ..golden import Trace
from .judge import Judge as Base
from .judge import trains_of


class Judge(Base):
    """Membranes, events and trains; operands have judges of their own."""

    def quantities(self, sample: Trace) -> dict[str, np.ndarray]:
        seen = sample.populations[self.plan.name]
        return {
            "membrane": seen.membranes,
            "event": seen.events,
            "train": trains_of(seen.events),
        }
