"""Links: functions at the end of a model that the host computes from its logits, in floats.

They keep the order of logits, of one by itself or of those along an axis, so no decision needs
them: no neuron is spent on them.
"""

from collections.abc import Callable, Mapping

import numpy as np

Link = Callable[[np.ndarray, int], np.ndarray]


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Return exp(x) over its sum along ``axis``."""
    raised = np.exp(x - x.max(axis=axis, keepdims=True))
    return raised / raised.sum(axis=axis, keepdims=True)


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Return the logarithm of the softmax along ``axis``."""
    below = x - x.max(axis=axis, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=axis, keepdims=True))


def sigmoid(x: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), of each element."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1 + small)


def log_sigmoid(x: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return log(sigmoid(x)), of each element."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


LINKS: Mapping[str, Link] = {
    "": lambda x, axis: x,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "sigmoid": sigmoid,
    "log_sigmoid": log_sigmoid,
    "tanh": lambda x, axis: np.tanh(x),
}
AMONG = ("softmax", "log_softmax")  # those over an axis
ONE_BY_ONE = ("sigmoid", "log_sigmoid")  # those that give a probability of each logit


def logit_of(value: float, link: str) -> float:
    """Return the logit that a link of one element turns into ``value``.

    Raises
    ------
    ValueError
        If no logit gives it.
    """
    ends = {"sigmoid": (0.0, 1.0), "log_sigmoid": (-np.inf, 0.0), "tanh": (-1.0, 1.0)}
    if link not in ends:
        return float(value)
    low, high = ends[link]
    if not low < value < high:
        raise ValueError(f"a {link} gives values between {low:g} and {high:g}, not {value:g}")
    if link == "tanh":
        return float(np.arctanh(value))
    share = np.exp(value) if link == "log_sigmoid" else value
    return float(np.log(share) - np.log1p(-share))
