"""A yes or no: one logit against a threshold."""

from dataclasses import dataclass

import numpy as np

from .above import Above
from .measures import area_under_curve, confusion_of
from .output import Answers, Figures, ends, whole


@dataclass(frozen=True, kw_only=True)
class Threshold(Above):
    """1 where the logit is above a threshold, else 0."""

    kind = "threshold"
    chief = "accuracy"

    @property
    def named(self) -> int | None:
        return 2

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str:
        return "" if int(np.prod(shape)) == 1 else f"has shape {shape}, and a threshold needs one"

    def said(self) -> str:
        yes, no = self.said_of_both
        return f"{yes} above {self.shown:.4g}, else {no}"

    def answers(self, values: np.ndarray, given: np.ndarray | None = None) -> Answers:
        row = values.reshape(len(values))
        found: Answers = {"label": (row > self.threshold).astype(np.int64)}
        if self.names_its_own:
            found["value"] = self.numbers(found["label"])
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
        found = whole(self.as_labels(labels).reshape(-1), "0 or 1")
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
