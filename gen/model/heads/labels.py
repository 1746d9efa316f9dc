"""Several yes or no at a time: each logit against a threshold."""

from dataclasses import dataclass

import numpy as np

from .above import Above
from .measures import area_under_curve
from .output import Answers, Figures, ends, whole


@dataclass(frozen=True, kw_only=True)
class Labels(Above):
    """Each label applies where its logit is above a threshold."""

    kind = "labels"
    chief = "accuracy"
    names_of = "labels"

    @property
    def named(self) -> int | None:
        return self.size

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str:
        return "" if int(np.prod(shape)) > 1 else "has one value, which is no set of labels"

    def said(self) -> str:
        yes, _ = self.said_of_both
        return f"{self.size} labels, each {yes} above {self.shown:.4g}"

    def answers(self, values: np.ndarray, given: np.ndarray | None = None) -> Answers:
        rows = values.reshape(len(values), -1)
        found: Answers = {"label": (rows > self.threshold).astype(np.int64)}
        if self.names_its_own:
            found["value"] = self.numbers(found["label"])
        if self.is_probability:
            found["probability"] = self.probabilities(values).reshape(rows.shape)
        elif not self.decides:
            found["score"] = self.returned(values).reshape(rows.shape)
        return found

    def truth(self, labels: np.ndarray, network: str) -> np.ndarray:
        if labels.size != len(labels) * self.size:
            raise ValueError(
                f"labels must be 0 or 1 for each of the {self.size} outputs of {network!r}, "
                f"(n, {self.size}), not of shape {labels.shape}"
            )
        found = whole(self.as_labels(labels).reshape(len(labels), self.size), "0 or 1")
        if len(found) and (found.min() < 0 or found.max() > 1):
            raise ValueError(
                f"labels must be 0 or 1 for each output of {network!r}, not {ends(found)}"
            )
        return found

    def figures(
        self, values: np.ndarray, truth: np.ndarray, given: np.ndarray | None = None
    ) -> Figures:
        """``accuracy`` is the share of right labels, ``exact`` of samples with all of them."""
        rows = values.reshape(len(values), -1)
        right = (rows > self.threshold) == (truth == 1)
        each = [area_under_curve(rows[:, k], truth[:, k] == 1) for k in range(self.size)]
        known = [area for area in each if area is not None]
        return {
            "accuracy": float(right.mean()),
            "exact": float(right.all(axis=1).mean()),
            "auc": float(np.mean(known)) if known else None,
            "auc_each": each,
            "threshold": self.shown,
        }

    def without_labels(self, values: np.ndarray, given: np.ndarray | None = None) -> Figures:
        rows = values.reshape(len(values), -1)
        return {"answers": (rows > self.threshold).sum(axis=0).tolist()}
