"""Sums: what accumulators and integrators hold, worked back from golden integrators."""

import numpy as np

from ...gen.layers.plan import LayerPlan
from ..golden import Trace


class Sums:
    """Sums of trains of one layer."""

    def __init__(self, plan: LayerPlan) -> None:
        self.plan = plan
        # Σ_j W of what lies within the planes, and by source of what its windows cover beyond them.
        inside = [
            reader.held_map.apply(np.ones((1, *reader.map.in_shape), np.int64)).ravel()
            for reader in plan.readers
        ]
        self.inside = sum(inside)
        self.outside = [
            np.repeat(reader.sums, plan.windows) - within
            for reader, within in zip(plan.readers, inside, strict=True)
        ]

    def integrators(self, x: np.ndarray) -> np.ndarray:
        """Return X after each step, (T, n), as the hardware holds it, of golden X, (T + 1, n).

        Beyond the planes it follows the train of 0 to where that ends, v(T), which is taken off at
        the start; so X differs by (v(t) - v(T)) Σ W of what lies there, and not at the end. Sums of
        powers of two have no X before that.
        """
        if self.plan.weighted:
            for reader, outside in zip(self.plan.readers, self.outside, strict=True):
                if outside.any():
                    events = np.array(reader.padding_train)
                    v = np.cumsum(
                        [0, *np.where(events, 1, -1) * np.array(reader.source.spike_code.eta)]
                    )
                    x = x + (v - v[-1])[:, None] * outside
        return x[1:]

    def totals(self, x: np.ndarray, sample: Trace) -> np.ndarray:
        """Return what the accumulators hold after every plane, (planes, n), of golden X."""
        planes = range(self.plan.planes)
        if self.plan.readers[0].steps != self.plan.source_code.steps:
            return np.array([self._of_sums(sample, plane) for plane in planes])
        return np.array([self._after(x, plane) for plane in planes])

    def _of_sums(self, sample: Trace, plane: int) -> np.ndarray:
        """Return what the accumulators hold after ``plane`` where sums over pixels are read.

        The sum S of a channel is read from its highest bit on; after k of its bits the accumulator
        holds Σ W (S >> those to come).
        """
        reader = self.plan.readers[0]
        eta = np.array(reader.source.spike_code.eta)
        values = eta @ sample.populations[reader.source.name].events.astype(np.int64)
        (sums,) = reader.held_map.patches(values.reshape(1, *reader.map.in_shape))[0]
        to_come = reader.steps - (plane + 1) * reader.unroll
        return reader.held_map.weights @ (sums >> to_come)

    def _after(self, x: np.ndarray, plane: int) -> np.ndarray:
        """Return what the accumulators hold after ``plane``.

        x(t') - x(0) = Σ_{t<t'} η(t)(2 S_t - R) with S_t = Σ_j W e, R = Σ_j W. With the binary
        schedule the accumulator holds A = Σ_{t<t'} 2^(t'-1-t) S_t, and η(t) = 2^(T-t') 2^(t'-1-t).
        The golden model leaves out what lies beyond the planes; in the accumulators it sends the
        train of 0.
        """
        eta, row = self.plan.source.spike_code.eta, self.inside
        each = list(zip(self.plan.readers, self.outside, strict=True))
        if self.plan.weighted:
            sums = ((x[plane + 1] - x[plane]) // eta[plane] + row) // 2
            return sums + sum(reader.padding_train[plane] * outside for reader, outside in each)
        done = (plane + 1) * self.plan.unroll
        moved = x[done] - x[0] + sum(eta[:done]) * row
        sums = moved >> (len(eta) - done + 1)
        for reader, outside in each:
            train = reader.padding_train[:done]
            sums = sums + sum(event << (done - 1 - t) for t, event in enumerate(train)) * outside
        return sums
