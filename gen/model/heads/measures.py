"""Measures of answers against what is true, in NumPy."""

import numpy as np


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Return the area under the ROC curve: how often a positive has the greater score.

    Pairs of equal score count one half. ``None`` where there are not both kinds.

    Parameters
    ----------
    scores
        (n,) of any number.
    positive
        (n,) bool.
    """
    ones = int(positive.sum())
    if ones in (0, len(positive)):
        return None
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # mean of the ranks that equal scores share
    total = float(rank[place][positive].sum())
    return (total - ones * (ones + 1) / 2) / (ones * (len(positive) - ones))


def best_threshold(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the threshold that decides most pairs of sensitivity and specificity rightly.

    That is the greatest sum of both; of equal ones, the one with the widest gap between scores. It
    lies halfway between the scores that it parts.
    """
    order = np.argsort(scores, kind="stable")
    sorted_scores, truth = scores[order], positive[order]
    ones, zeros = int(truth.sum()), int((~truth).sum())
    if not ones or not zeros:
        raise ValueError("a threshold is chosen between labels 0 and 1: there must be some of both")
    # Of a cut before place k: what lies above is taken for positive.
    found = np.concatenate([[ones], ones - np.cumsum(truth)]) / ones
    spared = np.concatenate([[0], np.cumsum(~truth)]) / zeros
    gaps = np.concatenate([[0.0], np.diff(sorted_scores), [0.0]])
    cuts = np.flatnonzero(gaps > 0)
    if not len(cuts):
        return float(sorted_scores[0])
    merit = found[cuts] + spared[cuts]
    best = cuts[merit >= merit.max() - 1e-12]
    cut = int(best[np.argmax(gaps[best])])
    return float((sorted_scores[cut - 1] + sorted_scores[cut]) / 2)


def deviation(values: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """Return how values differ from what they should be, (n, columns) each.

    Returns
    -------
    dict
        ``rmse`` and ``mae`` in the unit of the values; ``r2``, the share of the variance that is
        explained, 1 at best, and ``correlation``, -1..1, both means over the columns that vary.
    """
    values, truth = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (values, truth))
    if not values.size:
        return {"rmse": None, "mae": None, "r2": None, "correlation": None}
    error = values - truth
    variance = truth.var(axis=0)
    varies = variance > 0
    r2 = correlation = None
    if varies.any():
        r2 = float((1 - (error**2).mean(axis=0)[varies] / variance[varies]).mean())
        spread = np.sqrt(values.var(axis=0) * variance)
        both = ((values - values.mean(axis=0)) * (truth - truth.mean(axis=0))).mean(axis=0)
        each = np.divide(both, spread, out=np.zeros_like(both), where=spread > 0)
        correlation = float(each[varies].mean())
    return {
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "r2": r2,
        "correlation": correlation,
    }


def confusion_of(answers: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """Return counts, (classes, classes) int64; row: true class, column: answer."""
    pairs = truth.ravel().astype(np.int64) * classes + answers.ravel()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def intersections_over_unions(confusion: np.ndarray) -> list[float | None]:
    """Return of each class what is both it and taken for it, over what is either.

    ``None`` where nothing is and nothing was taken for it.
    """
    both = np.diag(confusion)
    either = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    return [float(b / e) if e else None for b, e in zip(both, either, strict=True)]
