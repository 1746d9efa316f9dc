"""Golden quantities of maxima."""

import numpy as np

from ..golden import Trace
from .judge import Judge as Base
from .judge import trains_of


class Judge(Base):
    """The greatest trains of every window, and the trains that leave."""

    def quantities(self, sample: Trace) -> dict[str, np.ndarray]:
        trains = trains_of(sample.populations[self.plan.name].events)
        return {"maximum": trains, "train": trains}
