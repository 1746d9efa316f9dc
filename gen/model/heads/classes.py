"""A class: the index of the greatest of several logits."""

from dataclasses import dataclass

import numpy as np

from .links import AMONG
from .measures import area_under_curve, confusion_of
from .output import Answers, Figures, Output, ends


@dataclass(frozen=True, kw_only=True)
class Classes(Output):
    """The class is the first maximum; behind a softmax each has a probability.

    Where ``forward`` returns the ``top`` best, they are answered as ``ranking``.
    """

    kind = "classes"
    chief = "accuracy"

    @property
    def named(self) -> int | None:
        return self.size

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str:
        if int(np.prod(shape)) == max(shape, default=0) and max(shape, default=0) > 1:
            return ""
        return f"has shape {shape}, and one of several classes is a row of logits"

    def said(self) -> str:
        how = {True: "a class of", False: "one of"}[self.decides]
        more = " with probabilities" if self.link in AMONG else ""
        return f"{how} {self.size} classes{more}"

    def answers(self, values: np.ndarray, given: np.ndarray | None = None) -> Answers:
        rows = values.reshape(len(values), -1)
        found: Answers = {"label": rows.argmax(axis=1)}
        if self.is_probability:
            found["probability"] = self.probabilities(values).reshape(rows.shape)
        elif not self.decides:
            found["output"] = self.linked(values).reshape(rows.shape)
        if self.top > 1:
            found["ranking"] = self.ranking(rows)
        return found

    def ranking(self, rows: np.ndarray) -> np.ndarray:
        """Return the classes of the ``top`` greatest logits of (n, classes), the greatest first."""
        return np.argsort(-rows, axis=1, kind="stable")[:, : self.top]

    def decisions(self, values: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
        rows = values.reshape(len(values), -1)
        return self.ranking(rows) if self.decides and self.top > 1 else rows.argmax(axis=1)

    def truth(self, labels: np.ndarray, network: str) -> np.ndarray:
        last = self.size - 1
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.shape[1:] == (self.size,) and is_one_hot(labels):
            labels = labels.argmax(axis=1)
        if labels.ndim != 1 or labels.dtype.kind not in "biu":
            raise ValueError(
                f"labels must be a vector of integer classes, not {labels.dtype} of shape "
                f"{labels.shape}"
            )
        if len(labels) and (labels.min() < 0 or labels.max() > last):
            raise ValueError(
                f"labels must lie in 0..{last}, the {self.size} outputs of {network!r}, not "
                f"{ends(labels)}"
            )
        return labels.astype(np.int64)

    def figures(
        self, values: np.ndarray, truth: np.ndarray, given: np.ndarray | None = None
    ) -> Figures:
        rows = values.reshape(len(values), -1)
        label = rows.argmax(axis=1)
        found: Figures = {
            "accuracy": float((label == truth).mean()),
            "confusion": confusion_of(label, truth, self.size),
        }
        if self.size == 2:
            found["auc"] = area_under_curve(rows[:, 1] - rows[:, 0], truth == 1)
        return found


def is_one_hot(labels: np.ndarray) -> bool:
    """Whether each row of labels, (n, classes), holds a 1 and nothing else but 0."""
    if labels.ndim != 2 or labels.dtype.kind not in "biuf":
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())
