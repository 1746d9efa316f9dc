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

so that the trajectory stays by the exact iteration's, z(T) = θ/T N_z(T), at every T and whatever
the currents are:

    0 <= z(T) - y(T) <= θ/T                                                                  (rate)

For let S be the sum of I(0)..I(T) and N = Σ s(t) <= T. The neuron sends an event where
S >= θ (N + 1), the exact iteration where S T/(T+1) >= θ N_z (S >= 0 at first). While N_z = N, an
event of the neuron is one of the iteration, S T/(T+1) >= θ (N + 1) T/(T+1) >= θ N, so N_z does not
fall behind; while N_z = N + 1, an event of the iteration is one of the neuron,
S >= S T/(T+1) >= θ (N + 1), so it is never two ahead. Where all currents lie in 0..θ, m does too,
and 0 <= x(T) - y(T) < θ/T beside.

With a leak, λ = 1 - 2^-k and exponential averages x and y, the step size is the constant 1 - λ:

    y(T+1) = y(T) - (1 - λ) (y(T) - θ s(T))
    s(T) = [x(T+1) - λ y(T) >= (1 - λ) θ] = [x(T+1) - y(T) >= (1 - λ) (θ - y(T))]
    ε = θ |x(T+1) - y(T)| <= θ (1 - λ) |θ - y(T)|                                           (leaky)
    -(1 - λ) θ <= z(T) - y(T) <= (1 - λ²) θ

for where both send an event, or neither, the distance shrinks by λ; where the iteration alone does,
z <= x < λ y + (1 - λ) θ, and λ (z - y) + (1 - λ) θ <= (1 - λ) (λ θ + θ) follows; and where the
neuron alone does, z > x >= λ y + (1 - λ) θ, and λ (z - y) - (1 - λ) θ >= -(1 - λ) θ.
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


def exact_events(currents: np.ndarray, theta: np.ndarray | int) -> np.ndarray:
    """Return the events of the exact subgradient method without a leak, (T, n) bool.

    For integer currents and thresholds, in integers, so that ties are ties.
    """
    count = np.zeros(currents.shape[1:], np.int64)
    events = np.zeros(currents.shape, bool)
    for t, total in enumerate(currents.cumsum(axis=0)):
        events[t] = total >= 0 if t == 0 else total * t >= theta * count * (t + 1)
        count += events[t]
    return events


def exact(x: np.ndarray, theta: float, leak: int = 0) -> np.ndarray:
    """Return z(0)..z(T) of the exact subgradient method for objectives of x(1)..x(T)."""
    z = np.zeros_like(x)
    for t in range(len(x) - 1):
        z[t + 1] = z[t] - _step(t, leak) * (z[t] - theta * (x[t + 1] >= z[t]))
    return z


def _step(t: int, leak: int) -> float:
    return 1 / (t + 1) if leak == 0 else 2.0**-leak
