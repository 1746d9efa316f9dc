"""A yes or no: one logit against a threshold."""

from dataclasses import dataclass, replace

import numpy as np

from .links import LINKS
from .measures import area_under_curve, confusion_of
from .output import Answers, Figures, Output, ends, logit_threshold, whole


@dataclass(frozen=True, kw_only=True)
class Threshold(Output):
    """1 where the logit is above a threshold, else 0.

    Parameters
    ----------
    threshold
        Of the logit, in real numbers; 0 is 0.5 behind a sigmoid.
    """

    kind = "threshold"
    chief = "accuracy"
    threshold: float = 0.0

    @property
    def named(self) -> int | None:
        return 2

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str:
        return "" if int(np.prod(shape)) == 1 else f"has shape {shape}, and a threshold needs one"

    @property
    def shown(self) -> float:
        """The threshold of what ``forward`` returns."""
        return float(LINKS[self.link](np.array([self.threshold]), 0)[0])

    def said(self) -> str:
        return f"yes above {self.shown:.4g}, else no"

    def with_threshold(self, value: float) -> "Threshold":
        return replace(self, threshold=logit_threshold(self, value))

    def answers(self, values: np.ndarray, given: np.ndarray | None = None) -> Answers:
        row = values.reshape(len(values))
        found: Answers = {"label": (row > self.threshold).astype(np.int64)}
        if self.is_probability:
            found["probability"] = self.probabilities(values).reshape(len(values))
        elif not self.decides:
            found["score"] = self.returned(values).reshape(len(values))
        return found

    def truth(self, labels: np.ndarray, network: str) -> np.ndarray:
        if labels.size != len(labels):
            raise ValueError(
                f"labels must be 0 or 1, one a sample, for the one output of {network!r}, not of "
                f"shape {labels.shape}"
            )
        found = whole(labels.reshape(-1), "0 or 1")
        if len(found) and (found.min() < 0 or found.max() > 1):
            raise ValueError(
                f"labels must be 0 or 1 for the one output of {network!r}, which decides between "
                f"two, not {ends(found)}"
            )
        return found

    def figures(
        self, values: np.ndarray, truth: np.ndarray, given: np.ndarray | None = None
    ) -> Figures:
        row = values.reshape(len(values))
        label = (row > self.threshold).astype(np.int64)
        return {
            "accuracy": float((label == truth).mean()),
            "auc": area_under_curve(row, truth == 1),
            "confusion": confusion_of(label, truth, 2),
            "threshold": self.shown,
        }
