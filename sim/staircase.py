"""What a neuron that fires on a target which does not move says at the end, v(T).

v(T) is a staircase of the target f, and so of the integrator X where f never falls as X rises.
:class:`Staircase` holds it by target; :class:`Levels` finds the level straight from the sums.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..gen.model.codes import SpikeCode


def precision(bound: int) -> type:
    """Return the float type that holds every integer up to ``bound``, the shorter where it can."""
    return np.float32 if bound < 1 << 24 else np.float64


class Staircase:
    """v(T), the number of events and, in ``sent``, each of them, by a target that does not move.

    Below ``low`` no event is sent and above ``high`` nothing but events, so that low..high + 1
    holds all that can happen.
    """

    def __init__(self, code: SpikeCode) -> None:
        self.low, self.top = code.low, code.high + 1
        targets = np.arange(self.low, self.top + 1)
        v = np.full_like(targets, code.rest)
        sent = []
        for eta in code.eta:
            event = v < targets
            sent.append(event)
            v = np.where(event, v + eta, v - eta)
        self.sent = np.array(sent)
        self.events = self.sent.sum(axis=0)
        self.values = v.astype(precision(max(abs(code.low), abs(code.high))))

    def index(self, target: np.ndarray) -> np.ndarray:
        return np.clip(target, self.low, self.top) - self.low


@dataclass(frozen=True, kw_only=True, eq=False)
class Levels:
    """v(T) = base + step·k, k = clip(rint(S·slope + offset), 0, last), of sums S without bias.

    In floats each of these operations is monotone in S. So is v(T), and therefore the two are equal
    everywhere if they are equal on both sides of every step of the staircase: that is looked at,
    level by level and channel by channel, before a :class:`Levels` is made.

    Parameters
    ----------
    slope, offset
        float32 or float64, broadcast to the sums.
    base, step, last
        Values are base, base + step, ..., base + step·last.
    events
        (last + 1,) int64, events of a neuron by its level.
    dtype
        Of the values.
    leaves
        Whether sums may lead out of 0..last, so that k has to be clipped.
    bias
        Added to the sums beforehand, where it varies within a channel; ``None`` for nothing.
    """

    slope: np.ndarray
    offset: np.ndarray
    base: int
    step: int
    last: int
    events: np.ndarray
    dtype: type
    leaves: bool = True
    bias: np.ndarray | None = None

    def level(self, sums: np.ndarray) -> np.ndarray:
        """Return k, whole floats of the shape of ``sums``."""
        if self.bias is not None:
            sums = sums + self.bias.astype(sums.dtype)
        k = sums.astype(self.slope.dtype)
        k *= self.slope
        k += self.offset
        np.rint(k, out=k)
        return np.clip(k, 0, self.last, out=k) if self.leaves else k

    def values(self, level: np.ndarray) -> np.ndarray:
        """Return v(T) of k; ``level`` is overwritten."""
        v = level.astype(self.dtype, copy=False)
        v *= self.step
        if self.base:
            v += self.base
        return v

    @classmethod
    def of(
        cls,
        settle: Callable[[np.ndarray], np.ndarray],
        stairs: Staircase,
        *,
        multiplier: np.ndarray,
        shift: int,
        bias: np.ndarray,
        low: int,
        high: int,
        first: int,
        last: int,
    ) -> "Levels | None":
        """Return the levels of the channels of a population, ``None`` where there is no such form.

        Parameters
        ----------
        settle
            v(T) of integrators X, (k, channels) int64: the rule itself, step for step.
        stairs
            Of the code.
        multiplier, shift
            (channels,) M and S of F = X·M / 2^S, for which f(F) = min(max(F, first), last).
        bias
            (channels,) int64, X = S + bias.
        low, high
            Ends of X.
        first, last
            Least and greatest target.
        """
        by_target = stairs.values[first - stairs.low : last - stairs.low + 1].astype(np.int64)
        events = stairs.events[first - stairs.low : last - stairs.low + 1]
        said, at, level = np.unique(by_target, return_index=True, return_inverse=True)
        steps = np.unique(np.diff(said))
        if len(steps) != 1 or np.any(np.diff(level) < 0) or np.any(events != events[at][level]):
            return None
        if int(max(abs(first), abs(last))) + 1 << shift >= 1 << 62:
            return None
        rises = said[1:, None]
        # The least X of F >= target is this one or, where the rule of ties says so, the next.
        x = -(-(first + at[1:, None] - 1 << shift) // multiplier)
        x = x + (settle(x) < rises)
        if np.any(settle(x) < rises) or np.any(settle(x - 1) >= rises):
            return None
        slope = multiplier / 2.0**shift / steps[0]
        middle = np.arange(len(said) - 1)[:, None] + 0.5
        bound = max(-low, high) + int(np.abs(bias).max())
        reached = (low < x) & (x <= high)
        reached |= ~reached.any(axis=0)
        over = np.where(reached, x * slope - middle, np.inf).min(axis=0)
        under = np.where(reached, (x - 1) * slope - middle, -np.inf).max(axis=0)
        offset = bias * slope - (over + under) / 2
        for dtype in (np.float32, np.float64):
            found = cls(
                slope=slope.astype(dtype),
                offset=offset.astype(dtype),
                base=int(said[0]),
                step=int(steps[0]),
                last=len(said) - 1,
                events=events[at],
                dtype=stairs.values.dtype.type,
            )
            right = found.exact(x - bias, low - bias, high - bias)
            if right and precision(bound) in (dtype, np.float32):
                ends = replace(found, leaves=False).level(np.array([[low], [high]]) - bias)
                return replace(found, leaves=bool(ends.min() < 0 or ends.max() > found.last))
        return None

    def exact(self, begins: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
        """Return whether every level is said of sums from its first one on and not before it.

        Parameters
        ----------
        begins
            (last, channels) int64, the least sum of every level above 0.
        low, high
            (channels,) int64, ends of the sums.
        """
        rises = np.arange(1, self.last + 1)[:, None]
        on_it = self.level(np.maximum(begins, low)) >= rises
        before_it = self.level(np.minimum(begins - 1, high)) < rises
        return bool(np.all(on_it | (begins > high)) and np.all(before_it | (begins <= low)))

    def shaped(self, axes: int, bias: np.ndarray | None = None) -> "Levels":
        """Return the levels of channels that have ``axes`` axes of positions behind them."""
        shape = (-1, *[1] * axes)
        return replace(
            self,
            slope=self.slope.reshape(shape),
            offset=self.offset.reshape(shape),
            bias=bias,
        )
