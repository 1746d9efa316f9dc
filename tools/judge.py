"""By what the answers of several forms of a network are compared: labels, or the float network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..gen.design.design import Design
from ..gen.model.heads import Head, Output
from ..gen.model.network import Network
from .dataset import Dataset

WORDS = {
    "accuracy": "accuracy",
    "auc": "area under the ROC curve",
    "r2": "r2",
    "miou": "mean intersection over union",
    "agreement": "agreement with the float network",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """Says of answers how right they are, in one number: 1 is best.

    Parameters
    ----------
    head
        Of the network.
    output
        The one that is judged, as labels say what it is.
    figure
        Key of :data:`WORDS`.
    truth
        Labels of it; ``None`` without.
    others
        Without labels: what the float network says, (n, logits).
    given
        The samples in real numbers.
    """

    head: Head
    output: Output
    figure: str
    truth: np.ndarray | None
    others: np.ndarray | None
    given: np.ndarray

    @classmethod
    def of(
        cls,
        design: Design | Network,
        data: Dataset,
        exact: Callable[[], np.ndarray] | None = None,
    ) -> "Judge | None":
        """Return who judges a network on a data set; ``None`` where nothing is there to judge by.

        Parameters
        ----------
        exact
            Gives the float network's values for the samples, (n, logits).
        """
        head = data.fitted(design.head)
        labelled = [output for output in head if data.labels_of(output) is not None]
        if labelled:
            output = head.chief if head.chief in labelled else labelled[0]
            truth = data.truth(output, design.name)
            return cls(
                head=head,
                output=output,
                figure=output.chief,
                truth=truth,
                others=None,
                given=data.x,
            )
        if exact is None:
            return None
        output, others = head.chief, exact()
        part = head.part(others, output)
        decides = output.disagreement(part, part, data.x) is not None
        return cls(
            head=head,
            output=output,
            figure="agreement" if decides else "r2",
            truth=None,
            others=others,
            given=data.x,
        )

    @property
    def word(self) -> str:
        """The figure, in words."""
        return WORDS[self.figure]

    def share(self, values: np.ndarray) -> float | None:
        """Return how right answers are, of real values (n, logits)."""
        return self.figures(values)[self.figure]

    def figures(self, values: np.ndarray) -> dict[str, Any]:
        """Return everything that fits the output."""
        part = self.head.part(values, self.output)
        if self.truth is not None:
            return self.output.figures(part, self.truth, self.given)
        assert self.others is not None, "there are labels or another network"
        return self.output.agreement(part, self.head.part(self.others, self.output), self.given)
