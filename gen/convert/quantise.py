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
GRID_EVIDENCE = 12  # weights beyond the first of each row that must lie on a grid
GRID_TOLERANCE = 1e-4  # of a step: float32 weights of trained scales come within that
GRID_NOTHING = 1e-12  # of a step: what is 0 but for rounding
DAMPING = 0.01  # of the mean of H's diagonal, so that inputs which never fire do no harm


@dataclass(frozen=True, kw_only=True)
class QuantisedRows:
    """Integer rows and the real value of one unit of each.

    Members
    -------
    weights : (channels, fan_in) int64, within ±(2^(bits-1) - 1)
    scale : (channels,) float64, real weight = scale·weights
    as_trained : the integers and steps are those of the training, -2^(bits-1) among them
    """

    weights: np.ndarray
    scale: np.ndarray
    as_trained: bool = False


class Rounder:
    """Rounds rows of weights to integer multiples of a scale, for inputs of second moments H.

    Parameters
    ----------
    moments
        (fan_in, fan_in) float64 H, symmetric; or (groups, fan_in, fan_in) where equal runs of rows
        have inputs of their own, as the channels of a depthwise convolution do.
    feedback
        Round column by column, the most active input first, and let the columns that are still
        to come make up for the error so far; ``False`` rounds every weight to nearest.
    """

    def __init__(self, moments: np.ndarray, *, feedback: bool = True) -> None:
        self.moments = moments if moments.ndim == 3 else moments[None]
        self.feedback = feedback
        diagonal = np.diagonal(self.moments, axis1=1, axis2=2)
        self.order = np.argsort(-diagonal, axis=1, kind="stable")
        if feedback:
            damping = DAMPING * diagonal.mean(axis=1)
            damping[damping == 0] = 1.0
            order = self.order
            damped = np.take_along_axis(self.moments, order[:, :, None], axis=1)
            damped = np.take_along_axis(damped, order[:, None, :], axis=2)
            damped += damping[:, None, None] * np.eye(diagonal.shape[1])
            # upper factor U of the inverse, H⁻¹ = UᵀU: row j says what an error in column j
            # is worth in the columns after it
            self.factor = np.linalg.cholesky(np.linalg.inv(damped)).swapaxes(1, 2)

    def round(self, rows: np.ndarray, scale: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Return integers q, (channels, fan_in) int64, for ``rows`` ≈ q·scale.

        ``limits`` is (fan_in,), the greatest magnitude that each column may take.
        """
        if not self.feedback:
            return np.clip(np.rint(rows / scale[:, None]), -limits, limits).astype(np.int64)
        groups, fan_in = self.order.shape
        rest = rows.reshape(groups, -1, fan_in).swapaxes(1, 2)
        rest = np.take_along_axis(rest, self.order[:, :, None], axis=1)
        scale = scale.reshape(groups, -1)
        ordered, factor = limits[self.order][:, :, None], self.factor
        q, errors = np.empty_like(rest), np.empty_like(rest)
        for start in range(0, fan_in, BLOCK):
            stop = min(start + BLOCK, fan_in)
            for j in range(start, stop):
                q[:, j] = np.clip(np.rint(rest[:, j] / scale), -ordered[:, j], ordered[:, j])
                errors[:, j] = (rest[:, j] - q[:, j] * scale) / factor[:, j, j, None]
                rest[:, j + 1 : stop] -= factor[:, j, j + 1 : stop, None] * errors[:, j, None]
            handed = factor[:, start:stop, stop:].swapaxes(1, 2)
            rest[:, stop:] -= handed @ errors[:, start:stop]
        integers = np.empty_like(rest)
        np.put_along_axis(integers, self.order[:, :, None], q, axis=1)
        return integers.swapaxes(1, 2).reshape(rows.shape).astype(np.int64)

    def error(self, rows: np.ndarray, scale: np.ndarray, integers: np.ndarray) -> np.ndarray:
        """Return the mean squared error of the output of each channel, (channels,)."""
        difference = rows - integers * scale[:, None]
        grouped = difference.reshape(len(self.moments), -1, rows.shape[1])
        return ((grouped @ self.moments) * grouped).sum(axis=2).reshape(-1)


class FewInputs(Rounder):
    """A :class:`Rounder` for fewer inputs than an output has weights, without H itself.

    H = XᵀX / n has a rank of n at most. With G(j) = nλ + Σ_{i > j} x_i x_iᵀ over the columns that
    come after j, and λ the damping, what an error e in column j is worth in column k is
    e·x_jᵀG(j)⁻¹x_k: n numbers a column in the place of a row of H⁻¹.

    Parameters
    ----------
    inputs
        (n, fan_in) float64 X.
    feedback
        As of a :class:`Rounder`.
    """

    def __init__(self, inputs: np.ndarray, *, feedback: bool = True) -> None:
        self.inputs, self.feedback = inputs, feedback
        count, fan_in = inputs.shape
        diagonal = (inputs**2).sum(axis=0) / count
        order = np.argsort(-diagonal, kind="stable")
        self.order = order[None]
        if feedback:
            damping = DAMPING * diagonal.mean() or 1.0
            inverse = np.eye(count) / (count * damping)
            self.handed = np.empty((fan_in, count))
            for j, column in zip(range(fan_in)[::-1], inputs.T[order[::-1]], strict=True):
                self.handed[j] = there = inverse @ column
                inverse -= np.outer(there, there) / (1 + column @ there)

    def round(self, rows: np.ndarray, scale: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Return integers q, (channels, fan_in) int64, for ``rows`` ≈ q·scale."""
        if not self.feedback:
            return super().round(rows, scale, limits)
        integers = np.empty(rows.shape, np.int64)
        missed = np.zeros((len(rows), len(self.inputs)))  # Σ e·x_jᵀG(j)⁻¹
        for j, handed in zip(self.order[0], self.handed, strict=True):
            wanted = rows[:, j] + missed @ self.inputs[:, j]
            q = np.clip(np.rint(wanted / scale), -limits[j], limits[j])
            missed += np.outer(wanted - q * scale, handed)
            integers[:, j] = q
        return integers

    def error(self, rows: np.ndarray, scale: np.ndarray, integers: np.ndarray) -> np.ndarray:
        """Return the mean squared error of the output of each channel, (channels,)."""
        difference = rows - integers * scale[:, None]
        return ((difference @ self.inputs.T) ** 2).sum(axis=1) / len(self.inputs)


def widest_scales(
    rows: np.ndarray, limits: np.ndarray, *, shared: bool = False, idle: float | None = None
) -> np.ndarray:
    """Return the least scale of each row that clips none of its weights, (channels,) positive.

    A row of zeros, which has a bias alone, takes that of the widest row, or ``idle`` where that is
    less, or where all rows are zero; ``shared`` gives all rows that of the widest.
    """
    widest = np.abs(rows / limits).max(axis=1)
    greatest = widest.max() or idle or 1.0
    if shared:
        return np.full(len(rows), greatest)
    return np.where(widest == 0, greatest if idle is None else min(greatest, idle), widest)


def quantise_rows(
    rows: np.ndarray,
    rounder: Rounder,
    limits: np.ndarray,
    *,
    snap: Callable[[np.ndarray], np.ndarray],
    shared: bool = False,
    beside: Callable[[np.ndarray], np.ndarray] | None = None,
    least_scale: float | np.ndarray = 0.0,
    idle: float | None = None,
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
    beside
        Error, (channels,), that a choice of scales makes beside the weights: that of fixed
        coefficients which share them.
    least_scale
        No scale may be smaller; one for all rows, or (channels,).
    idle
        Scale that suits a row of zeros.
    """
    widest = widest_scales(rows, limits, shared=shared, idle=idle)
    best = QuantisedRows(weights=np.zeros(rows.shape, np.int64), scale=widest)
    least = np.full(len(rows), np.inf)
    for fraction in FRACTIONS:
        scale = snap(np.maximum(widest * fraction, least_scale))
        integers = rounder.round(rows, scale, limits)
        error = rounder.error(rows, scale, integers)
        if beside is not None:
            error = error + beside(scale)
        if shared:
            error[:] = error.sum()
        better = error < least
        least = np.where(better, error, least)
        best = QuantisedRows(
            weights=np.where(better[:, None], integers, best.weights),
            scale=np.where(better, scale, best.scale),
        )
    return best


def grid(
    rows: np.ndarray,
    *,
    shared: bool = False,
    most: int = 128,
    common: np.ndarray | None = None,
) -> np.ndarray | None:
    """Return the step of each row that all of its weights are whole multiples of, (channels,).

    Weights that were trained with quantisation lie on such a grid, of at most ``most`` steps either
    way; ``None`` where some row does not, or where so few weights might by chance. A weight far
    below a step is off it, or one huge weight would make a grid of all. ``shared`` asks for one
    step for all rows. Where the training is known, ``common`` are the greatest common divisors of
    its integers by row, which tell its step from a multiple of it.
    """
    if common is None and rows.shape[0] * (rows.shape[1] - 1) < GRID_EVIDENCE:
        return None
    divisors = np.ones(len(rows), np.int64) if common is None else np.maximum(1, common)
    if shared and common is not None:
        divisors = np.full(len(rows), max(1, int(np.gcd.reduce(common))))
    seen = rows.reshape(1, -1) if shared else rows
    widest = np.abs(seen).max(axis=1)
    known = np.flatnonzero(widest > 0)
    if not len(known):
        return None
    steps = np.where(widest > 0, 0.0, widest.max())
    for count in range(1, most + 1):
        multiples = seen[known] / widest[known, None] * count
        nearest = np.rint(multiples)
        lost = (nearest == 0) & (np.abs(multiples) > GRID_NOTHING)
        off = np.where(lost, np.inf, np.abs(multiples - nearest)).max(axis=1, initial=0)
        fits = off < GRID_TOLERANCE * np.maximum(1, count / 16)
        steps[known[fits]] = widest[known[fits]] / count
        known = known[~fits]
        if not len(known):
            return np.broadcast_to(steps, len(rows)) / divisors
    return None
