"""A reconstruction of the sample: how far off it is tells what is unusual."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from .measures import area_under_curve, confusion_of, deviation
from .output import Answers, Figures, Output, ends, whole


@dataclass(frozen=True, kw_only=True)
class Reconstruction(Output):
    """An autoencoder's output; its mean squared error against the sample is the score.

    Parameters
    ----------
    threshold
        Of the error, above which a sample is unusual; ``None`` where none was chosen.
    """

    kind = "reconstruction"
    chief = "auc"
    threshold: float | None = None

    @property
    def named(self) -> int | None:
        return 2

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str:
        return ""

    def said(self) -> str:
        found = f"a reconstruction of the sample ({self.size} values)"
        if self.threshold is None:
            return found
        return f"{found}, unusual where its mean squared error is above {self.threshold:.4g}"

    def with_threshold(self, value: float) -> Self:
        if value <= 0:
            raise ValueError(
                f"an error of reconstruction is compared with a number above 0, not {value:g}"
            )
        return replace(self, threshold=float(value))

    def errors(self, values: np.ndarray, given: np.ndarray | None) -> np.ndarray:
        """Return the mean squared error of each sample, (n,) float64."""
        if given is None:
            raise ValueError("the error of a reconstruction needs the samples beside it")
        if given.size != values.size:
            raise ValueError(
                f"{self.what} has {self.size} values, and a sample {given.size // len(given)}: it "
                f"is no reconstruction of it"
            )
        found = self.returned(values).reshape(len(values), -1)
        return ((found - given.reshape(found.shape)) ** 2).mean(axis=1)

    def answers(self, values: np.ndarray, given: np.ndarray | None = None) -> Answers:
        error = self.errors(values, given)
        found: Answers = {"error": error}
        if self.threshold is not None:
            found["label"] = (error > self.threshold).astype(np.int64)
        return found | {"value": self.returned(values)}

    def truth(self, labels: np.ndarray, network: str) -> np.ndarray:
        if labels.size != len(labels):
            raise ValueError(
                f"labels must be 0 (usual) or 1 (unusual), one a sample, not of shape "
                f"{labels.shape}"
            )
        found = whole(labels.reshape(-1), "0 (usual) or 1 (unusual)")
        if len(found) and (found.min() < 0 or found.max() > 1):
            raise ValueError(f"labels must be 0 (usual) or 1 (unusual), not {ends(found)}")
        return found

    def figures(
        self, values: np.ndarray, truth: np.ndarray, given: np.ndarray | None = None
    ) -> Figures:
        error = self.errors(values, given)
        found: Figures = {"auc": area_under_curve(error, truth == 1)}
        if self.threshold is not None:
            label = (error > self.threshold).astype(np.int64)
            found["accuracy"] = float((label == truth).mean())
            found["confusion"] = confusion_of(label, truth, 2)
            found["threshold"] = self.threshold
        return found | self.without_labels(values, given)

    def without_labels(self, values: np.ndarray, given: np.ndarray | None = None) -> Figures:
        error = self.errors(values, given)
        assert given is not None, "there are errors"
        own = deviation(self.returned(values), given.reshape(len(given), -1))
        found: Figures = {"rmse": own["rmse"], "r2": own["r2"]}
        if self.threshold is not None:
            unusual = int((error > self.threshold).sum())
            found["answers"] = [len(error) - unusual, unusual]
        return found

    def agreement(
        self, values: np.ndarray, others: np.ndarray, given: np.ndarray | None = None
    ) -> Figures:
        """Both: decisions where there is a threshold, and how far the reconstructions differ."""
        decided = {} if given is None else super().agreement(values, others, given)
        return decided | deviation(self.returned(values), self.returned(others))
