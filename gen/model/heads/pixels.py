"""A class for each pixel, or for each step of a sequence: planes of logits."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from .above import Above
from .measures import confusion_of, intersections_over_unions
from .output import Answers, Figures, ends, whole


@dataclass(frozen=True, kw_only=True)
class Pixels(Above):
    """Along ``axis`` lie the classes; each place of the other axes gets the first maximum.

    Where there is one plane, a pixel is 1 where its logit is above the threshold.
    """

    kind = "pixels"
    chief = "miou"

    @property
    def planes(self) -> int:
        return self.shape[self.axis]

    @property
    def named(self) -> int | None:
        return max(2, self.planes)

    @property
    def places(self) -> tuple[int, ...]:
        """The shape of the answers of a sample."""
        return (*self.shape[: self.axis], *self.shape[self.axis + 1 :])

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str:
        return "" if len(shape) > 1 else f"has shape {shape}, and classes of pixels need planes"

    def said(self) -> str:
        size = " x ".join(map(str, self.places))
        if self.planes > 1:
            return f"one of {self.planes} classes for each of {size} pixels"
        return f"yes above {self.shown:.4g} for each of {size} pixels"

    def with_threshold(self, value: float) -> Self:
        if self.planes > 1:
            raise self.without_threshold()
        return super().with_threshold(value)

    def classes(self, values: np.ndarray) -> np.ndarray:
        """Return the class of each pixel, (n, *places) int64."""
        if self.planes > 1:
            return values.argmax(axis=self.axis + 1)
        return (values.squeeze(self.axis + 1) > self.threshold).astype(np.int64)

    def answers(self, values: np.ndarray, given: np.ndarray | None = None) -> Answers:
        found: Answers = {"label": self.classes(values)}
        if self.is_probability:
            found["probability"] = self.probabilities(values)
        return found

    def truth(self, labels: np.ndarray, network: str) -> np.ndarray:
        if labels.size != len(labels) * int(np.prod(self.places)):
            raise ValueError(
                f"labels must be a class of each pixel of {network!r}, (n, "
                f"{', '.join(map(str, self.places))}), not of shape {labels.shape}"
            )
        found = whole(labels.reshape(len(labels), *self.places), "classes of pixels")
        last = max(2, self.planes) - 1
        if found.size and (found.min() < 0 or found.max() > last):
            raise ValueError(
                f"labels must lie in 0..{last}, the classes of pixels of {network!r}, not "
                f"{ends(found)}"
            )
        return found

    def figures(
        self, values: np.ndarray, truth: np.ndarray, given: np.ndarray | None = None
    ) -> Figures:
        label = self.classes(values)
        confusion = confusion_of(label, truth, max(2, self.planes))
        each = intersections_over_unions(confusion)
        known = [share for share in each if share is not None]
        return {
            "miou": float(np.mean(known)) if known else None,
            "accuracy": float((label == truth).mean()),
            "iou": each,
            "confusion": confusion,
        }

    def without_labels(self, values: np.ndarray, given: np.ndarray | None = None) -> Figures:
        count = np.bincount(self.classes(values).ravel(), minlength=self.named or 2)
        return {"answers": count.tolist()}
