"""What outputs share whose logits are compared with a threshold."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from .links import LINKS
from .output import Output, logit_threshold


@dataclass(frozen=True, kw_only=True)
class Above(Output):
    """Yes where a logit is above a threshold.

    Parameters
    ----------
    threshold
        Of a logit, in real numbers; 0 is 0.5 behind a sigmoid.
    no, yes
        What ``forward`` returns for either; labels may be these numbers too.
    """

    threshold: float = 0.0
    no: float = 0.0
    yes: float = 1.0

    @property
    def shown(self) -> float:
        """The threshold of what ``forward`` returns."""
        return float(LINKS[self.link](np.array([self.threshold]), 0)[0])

    @property
    def names_its_own(self) -> bool:
        """Whether ``forward`` returns other numbers than 0 and 1."""
        return (self.no, self.yes) != (0, 1)

    @property
    def said_of_both(self) -> tuple[str, str]:
        """What is said of a yes and of a no."""
        own = (f"{self.yes:g}", f"{self.no:g}")
        return own if self.names_its_own else ("yes", "no")

    def numbers(self, label: np.ndarray) -> np.ndarray:
        """Return what ``forward`` returns for labels, 0 or 1, float64."""
        return np.where(label == 1, self.yes, self.no)

    def decided(self, values: np.ndarray) -> np.ndarray:
        found = super().decided(values)
        return self.numbers(found) if self.names_its_own else found

    def as_labels(self, labels: np.ndarray) -> np.ndarray:
        """Return 0 and 1 of the numbers that ``forward`` returns, and other labels as they are."""
        if not self.names_its_own or labels.dtype.kind not in "biuf":
            return labels
        if labels.dtype.kind == "b" or not np.isin(labels, (self.no, self.yes)).all():
            return labels
        return (labels == self.yes).astype(np.int64)

    def with_threshold(self, value: float) -> Self:
        return replace(self, threshold=logit_threshold(self, value))
