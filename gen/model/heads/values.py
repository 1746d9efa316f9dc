"""Values: numbers in the user's own unit."""

from dataclasses import dataclass

import numpy as np

from .measures import deviation
from .output import Answers, Figures, Output


@dataclass(frozen=True, kw_only=True)
class Values(Output):
    """What ``forward`` returns is what is wanted, in its own unit."""

    kind = "values"
    chief = "r2"
    names_of = "values"

    @property
    def named(self) -> int | None:
        return self.size

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str:
        return ""

    def said(self) -> str:
        return "a value" if self.size == 1 else f"{self.size} values"

    def answers(self, values: np.ndarray, given: np.ndarray | None = None) -> Answers:
        found = self.returned(values)
        return {"value": found.reshape(len(found)) if self.size == 1 else found}

    def truth(self, labels: np.ndarray, network: str) -> np.ndarray:
        if labels.dtype.kind not in "biuf" or labels.size != len(labels) * self.size:
            raise ValueError(
                f"labels must be numbers, {self.size} a sample, for the outputs of {network!r}, "
                f"not {labels.dtype} of shape {labels.shape}"
            )
        if not np.isfinite(labels).all():
            raise ValueError("labels must be finite; there is a NaN or an infinity among them")
        return labels.reshape(len(labels), self.size).astype(np.float64)

    def figures(
        self, values: np.ndarray, truth: np.ndarray, given: np.ndarray | None = None
    ) -> Figures:
        found = deviation(self.returned(values), truth)
        return {"r2": found.pop("r2"), **found}
