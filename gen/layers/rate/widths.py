"""Widths of integrate-and-fire neurons in hardware, derived from weights, biases and thresholds."""

from dataclasses import dataclass

import numpy as np

from ...design.population import bits_for


def reach(*, low: int, high: int, threshold: int, steps: int) -> tuple[int, int]:
    """Least m + I - θ and greatest m + I of a neuron over T steps of a current in low..high.

    An event leaves m + I - θ >= 0, so only steps without one take m below 0; no event leaves
    m < θ, so m passes θ - 1 by I - θ a step at most.
    """
    least = steps * min(low, 0) - threshold
    excess = (steps - 1) * max(0, high - threshold)
    return least, max(0, threshold - 1 + excess + high)


@dataclass(frozen=True, kw_only=True)
class RateWidths:
    """Signed widths, in bits.

    Members
    -------
    constants : of B and B - θ
    current : of I and I - θ
    membrane : of m + I and m + I - θ, and so of m
    """

    constants: int
    current: int
    membrane: int

    @classmethod
    def of(
        cls,
        *,
        low: np.ndarray,
        high: np.ndarray,
        bias: np.ndarray,
        threshold: np.ndarray,
        steps: int,
    ) -> "RateWidths":
        """Return the widths that hold every neuron of a layer.

        Parameters
        ----------
        low, high
            (n,) int64, least and greatest Σ W s of a step.
        bias, threshold
            (n,) int64, B and θ.
        steps
            T.
        """
        ends = [
            reach(low=least, high=greatest, threshold=theta, steps=steps)
            for least, greatest, theta in zip(
                (low + bias).tolist(), (high + bias).tolist(), threshold.tolist(), strict=True
            )
        ]
        return cls(
            constants=_signed((bias - threshold).min(), bias.max()),
            current=_signed((low + bias - threshold).min(), (high + bias).max()),
            membrane=_signed(min(least for least, _ in ends), max(most for _, most in ends)),
        )


def _signed(low: int, high: int) -> int:
    """Bits of a signed number that holds low..high."""
    return bits_for(min(int(low), -1), int(high))
