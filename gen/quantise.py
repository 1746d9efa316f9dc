"""Weights in integers: one scale per output channel, rounded for the least error of the output.

The error that counts is that of the sum x = W·v over the vectors v that really occur, which is
(w - q·s)ᵀ H (w - q·s) for a row w, with H the second moments of v (their covariance where a bias
will take up the mean).
"""

# Ref: B. Hassibi, D. Stork, "Second order derivatives for network pruning: Optimal Brain Surgeon",
# NIPS 1992; E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative
# Pre-trained Transformers", ICLR 2023, for rounding columns in turn and handing their error on.

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FRACTIONS = np.linspace(0.4, 1.0, 16)  # of the scale that takes the largest weight unclipped
BLOCK = 64  # columns whose errors go to the columns after them in one matrix product
DAMPING = 0.01  # of the mean of H's diagonal, so that inputs which never fire do no harm


@dataclass(frozen=True, kw_only=True)
class QuantisedRows:
    """Integer rows and the real value of one unit of each.

    Members
    -------
    weights : (channels, fan_in) int64, within ±(2^(bits-1) - 1)
    scale : (channels,) float64, real weight = scale·weights
    """

    weights: np.ndarray
    scale: np.ndarray


class Rounder:
    """Rounds rows of weights to integer multiples of a scale, for inputs of second moments H.

    Parameters
    ----------
    moments
        (fan_in, fan_in) float64 H, symmetric.
    feedback
        Round column by column, the most active input first, and let the columns that are still
        to come make up for the error so far; ``False`` rounds every weight to nearest.
    """

    def __init__(self, moments: np.ndarray, *, feedback: bool = True) -> None:
        self.moments = moments
        self.feedback = feedback
        diagonal = moments.diagonal()
        self.order = np.argsort(-diagonal, kind="stable")
        if feedback:
            damping = DAMPING * diagonal.mean() or 1.0
            damped = moments[np.ix_(self.order, self.order)] + damping * np.eye(len(moments))
            # upper factor U of the inverse, H⁻¹ = UᵀU: row j says what an error in column j
            # is worth in the columns after it
            self.factor = np.linalg.cholesky(np.linalg.inv(damped)).T

    def round(self, rows: np.ndarray, scale: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Return integers q, (channels, fan_in) int64, for ``rows`` ≈ q·scale.

        ``limits`` is (fan_in,), the greatest magnitude that each column may take.
        """
        if not self.feedback:
            return np.clip(np.rint(rows / scale[:, None]), -limits, limits).astype(np.int64)
        rest, limits = rows[:, self.order].T.copy(), limits[self.order]
        q, errors, factor = np.empty_like(rest), np.empty_like(rest), self.factor
        for start in range(0, len(rest), BLOCK):
            stop = min(start + BLOCK, len(rest))
            for j in range(start, stop):
                q[j] = np.clip(np.rint(rest[j] / scale), -limits[j], limits[j])
                errors[j] = (rest[j] - q[j] * scale) / factor[j, j]
                rest[j + 1 : stop] -= np.outer(factor[j, j + 1 : stop], errors[j])
            rest[stop:] -= factor[start:stop, stop:].T @ errors[start:stop]
        integers = np.empty(rows.shape, np.int64)
        integers[:, self.order] = q.T.astype(np.int64)
        return integers

    def error(self, rows: np.ndarray, scale: np.ndarray, integers: np.ndarray) -> np.ndarray:
        """Return the mean squared error of the output of each channel, (channels,)."""
        difference = rows - integers * scale[:, None]
        return ((difference @ self.moments) * difference).sum(axis=1)


def widest_scales(rows: np.ndarray, limits: np.ndarray, *, shared: bool = False) -> np.ndarray:
    """Return the least scale of each row that clips none of its weights, (channels,) positive.

    A row of zeros takes that of the widest row; ``shared`` gives all rows that one.
    """
    widest = np.abs(rows / limits).max(axis=1)
    greatest = widest.max() or 1.0
    return np.where(widest == 0, greatest, np.maximum(widest, greatest * shared))


def quantise_rows(
    rows: np.ndarray,
    rounder: Rounder,
    limits: np.ndarray,
    *,
    snap: Callable[[np.ndarray], np.ndarray],
    shared: bool = False,
) -> QuantisedRows:
    """Search the scale of each row that leaves the least error at the output.

    Parameters
    ----------
    rows
        (channels, fan_in) float64 weights.
    rounder
        Turns rows into integers.
    limits
        (fan_in,) greatest magnitude of an integer in each column.
    snap
        Moves scales to those that the hardware can represent.
    shared
        One scale for all rows, as the read-out needs.
    """
    widest = widest_scales(rows, limits, shared=shared)
    best = QuantisedRows(weights=np.zeros(rows.shape, np.int64), scale=widest)
    least = np.full(len(rows), np.inf)
    for fraction in FRACTIONS:
        scale = snap(widest * fraction)
        integers = rounder.round(rows, scale, limits)
        error = rounder.error(rows, scale, integers)
        if shared:
            error[:] = error.sum()
        better = error < least
        least = np.where(better, error, least)
        best = QuantisedRows(
            weights=np.where(better[:, None], integers, best.weights),
            scale=np.where(better, scale, best.scale),
        )
    return best
