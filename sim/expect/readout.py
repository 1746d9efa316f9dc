"""Golden quantities of a read-out."""

import numpy as np

from ...gen.layers.readout.plan import ReadoutPlan
from ...hdl.words import label_bits
from ..golden import Trace
from .judge import Judge as Base
from .sums import Sums


class Judge(Base):
    """Sums, integrators and words of the result: logit, class so far, whether it is the last."""

    def __init__(self, plan: ReadoutPlan) -> None:
        super().__init__(plan)
        self.sums = Sums(plan)

    def quantities(self, sample: Trace) -> dict[str, np.ndarray]:
        x = sample.populations[self.plan.name].integrators[0]
        return {
            "sum": self.sums.totals(x, sample),
            "integrator": self.sums.integrators(x),
            "logit": self.in_order(self.words(sample.logits)),
        }

    def in_order(self, words: np.ndarray) -> np.ndarray:
        """Return words as they are sent in the order of the neurons, planes after planes."""
        shape = self.plan.population.shape
        return np.moveaxis(words.reshape(*shape[1:], shape[0]), -1, 0).reshape(-1)

    def words(self, logits: np.ndarray) -> np.ndarray:
        """Return the words of the result stream, (logits,) unsigned Python integers."""
        width, outputs = self.plan.x_width, self.plan.logits
        words = np.array(
            [
                (int(logit) & (1 << width) - 1)
                | int(np.argmax(logits[: k + 1])) << width
                | (k == outputs - 1) << (width + label_bits(outputs))
                for k, logit in enumerate(logits)
            ],
            dtype=object,
        )
        if self.plan.lanes > 1:  # then the class stands in the last lane alone
            words[:-1] &= (1 << width) - 1
        return words
