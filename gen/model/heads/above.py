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
    """

    threshold: float = 0.0

    @property
    def shown(self) -> float:
        """The threshold of what ``forward`` returns."""
        return float(LINKS[self.link](np.array([self.threshold]), 0)[0])

    def with_threshold(self, value: float) -> Self:
        return replace(self, threshold=logit_threshold(self, value))
