"""What integrate-and-fire neurons approximate: the subgradient method on one objective a neuron.

    h(y) = y²/2 + θ max(x - y, 0)        subgradient g(y) = y - θ [x >= y]
    least at min(max(x, 0), θ): ReLU, as far as a train of nothing but events can say it

Let y(T) = θ/T Σ s(t), and x(T) the mean of I(0)..I(T-1). Then m(T) = T (x(T) - y(T)), and
what the neuron does is one step of size 1/(T+1), for s(T) is asked with a threshold:

    y(T+1) = y(T) - 1/(T+1) (y(T) - θ s(T))
    s(T) = [m(T) + I(T) >= θ] = [x(T+1) - y(T) >= (θ - x(T+1)) / T]

It differs from [x(T+1) >= y(T)] only where |x(T+1) - y(T)| <= |θ - x(T+1)| / T, and there what was
taken for a subgradient is an ε-subgradient, h(z) >= h(y) + g (z - y) - ε for all z, with

    ε = θ |x(T+1) - y(T)| <= θ |θ - x(T+1)| / T                                              (rate)

so that the trajectory stays within a distance of the exact iteration's that dies out as 1/T: where
every current lies in 0..θ, 0 <= m < θ, so 0 <= x(T) - y(T) < θ/T; the exact iteration z keeps
|x - z(T)| <= θ/T for a current that does not move, and then |z(T) - y(T)| <= 2θ/T.

With a leak, λ = 1 - 2^-k and exponential averages x and y, the step size is the constant 1 - λ:

    y(T+1) = y(T) - (1 - λ) (y(T) - θ s(T))
    s(T) = [x(T+1) - λ y(T) >= (1 - λ) θ] = [x(T+1) - y(T) >= (1 - λ) (θ - y(T))]
    ε = θ |x(T+1) - y(T)| <= θ (1 - λ) |θ - y(T)|                                           (leaky)
"""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics: ANN-to-SNN Conversion
# Beyond ReLU Network", ICML 2024, arXiv 2407.01645, section 4.

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """A subgradient method on h, and how far from one it is.

    Members
    -------
    y : (T + 1, n) float64, y(0) = 0 .. y(T)
    x : (T + 1, n) float64, the averaged current; row 0 is 0 and means nothing
    epsilon : (T, n) float64, of the ε-subgradient that step t takes; 0 where it is a subgradient
    bound : (T, n) float64, what ε cannot pass
    """

    y: np.ndarray
    x: np.ndarray
    epsilon: np.ndarray
    bound: np.ndarray


def objective(y: np.ndarray, x: np.ndarray, theta: float) -> np.ndarray:
    """Return h(y)."""
    return y**2 / 2 + theta * np.maximum(x - y, 0)


def averages(currents: np.ndarray, leak: int = 0) -> np.ndarray:
    """Return x(0)..x(T), (T + 1, n): means of (T, n) currents, or exponential averages."""
    x = np.zeros((len(currents) + 1, *currents.shape[1:]))
    for t, current in enumerate(currents):
        x[t + 1] = x[t] - _step(t, leak) * (x[t] - current)
    return x


def followed(currents: np.ndarray, events: np.ndarray, theta: float, leak: int = 0) -> Iteration:
    """Return the iteration that neurons went through.

    Parameters
    ----------
    currents
        (T, n) I(t) in the units of ``theta``.
    events
        (T, n) bool, what the neurons sent.
    theta
        Threshold.
    leak
        Shift of the leak; 0 for none.
    """
    x, y = averages(currents, leak), averages(theta * events, leak)
    after, before = x[1:], y[:-1]
    gap = after - before
    wrong = events != (gap >= 0)
    steps = np.arange(len(currents))[:, None]
    late = (1 / np.maximum(steps, 1) if leak == 0 else 2.0**-leak) * np.ones_like(gap)
    slack = np.abs(theta - (after if leak == 0 else before)) * late
    if leak == 0:
        slack[0] = np.inf  # y(0) is weighted by nothing: the first step forgets it
    return Iteration(y=y, x=x, epsilon=theta * np.abs(gap) * wrong, bound=theta * slack)


def exact(x: np.ndarray, theta: float, leak: int = 0) -> np.ndarray:
    """Return z(0)..z(T) of the exact subgradient method for objectives of x(1)..x(T)."""
    z = np.zeros_like(x)
    for t in range(len(x) - 1):
        z[t + 1] = z[t] - _step(t, leak) * (z[t] - theta * (x[t + 1] >= z[t]))
    return z


def _step(t: int, leak: int) -> float:
    return 1 / (t + 1) if leak == 0 else 2.0**-leak
