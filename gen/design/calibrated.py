"""Calibrated: what the samples that a Design was calibrated on were like, and which ones are not.

Samples in other units, as pixels of 0..1 where 0..255 were calibrated, are encoded as any others:
all of them near 0, or at the end of the range. So what was seen is kept beside the Design, and
samples that leave that range, or use hardly any of it, are told, in the user's own units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .population import InputFormat

MARGIN = 0.1  # of the range that was seen: values so far beyond are like it
BEYOND = 0.05  # share of a feature's values beyond the margin that is told, or more, ...
CHANCE = 3  # ... and so many values, which may lie there by chance
HARDLY = 1 / 16  # share of the range that is told, or less
HARDLY_OF_ONE = 1 / 50  # the same of one feature among others
FEWEST = 64  # values whose range says something
FEWEST_ROWS = 2


class UnlikeCalibration(UserWarning):
    """Samples are not like those that calibrated a Design."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The range of the samples that a Design was calibrated on, in the user's units.

    Parameters
    ----------
    dtype
        Their type, as NumPy calls it.
    shape
        Broadcasts to that of a sample: of the features, or all ones where they share a scale.
    low, high
        Ends, in C order of ``shape``.
    """

    dtype: str
    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, samples: np.ndarray, shape: tuple[int, ...] | None) -> "Calibrated":
        """Look at samples, (n, *sample shape); ``shape`` ``None`` takes them as one feature."""
        if shape is None:
            shape = (1,) * (samples.ndim - 1)
        low, high = ends(samples, shape)
        return cls(
            dtype=str(samples.dtype),
            shape=shape,
            low=tuple(low.tolist()),
            high=tuple(high.tolist()),
        )

    @classmethod
    def read(cls, record: object) -> "Calibrated | None":
        """Undo :meth:`record`; ``None`` where a Design does not say so."""
        if not isinstance(record, Mapping):
            return None
        try:
            found = cls(
                dtype=str(record["dtype"]),
                shape=tuple(int(n) for n in record["shape"]),
                low=tuple(float(x) for x in record["low"]),
                high=tuple(float(x) for x in record["high"]),
            )
        except (KeyError, TypeError, ValueError):
            return None
        alike = len(found.low) == len(found.high) == prod(found.shape)
        return found if alike and np.isfinite([found.low, found.high]).all() else None

    def record(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "low": list(self.low),
            "high": list(self.high),
        }

    def differs(self, samples: np.ndarray, fmt: InputFormat) -> str | None:
        """Return how samples, (n, *sample shape), are not like what was seen; ``None`` if they are.

        Parameters
        ----------
        samples
            Real values.
        fmt
            Of the input: what it can say at all is never beyond.
        """
        if (
            len(samples) < FEWEST_ROWS
            or samples.size < FEWEST
            or samples.ndim != len(self.shape) + 1
        ):
            return None
        if any(
            own not in (1, given) for own, given in zip(self.shape, samples.shape[1:], strict=True)
        ):
            return None
        seen = [np.array(end).reshape(self.shape) for end in (self.low, self.high)]
        span = seen[1] - seen[0]
        reach = [np.broadcast_to(fmt.real(np.array(p)), self.shape) for p in (fmt.low, fmt.high)]
        least = np.minimum(seen[0] - MARGIN * span, reach[0] - MARGIN * span)
        most = np.maximum(seen[1] + MARGIN * span, reach[1] + MARGIN * span)
        over = tuple(axis for axis, n in enumerate((1, *self.shape)) if n == 1)
        beyond = ((samples < least) | (samples > most)).mean(axis=over).ravel()
        bound = BEYOND + CHANCE * prod(self.shape) / samples.size
        low, high = ends(samples, self.shape)
        used = (high - low) / np.where(span.ravel() > 0, span.ravel(), 1.0)
        several = prod(self.shape) > 1
        hardly = (span.ravel() > 0) & (used < (HARDLY_OF_ONE if several else HARDLY))
        hardly &= (high > low) | (not several)
        wrong = (beyond >= bound) | hardly
        if not wrong.any():
            return None
        worst = int(np.argmax(np.where(wrong, beyond + hardly * (1 - used), -1.0)))
        what = "samples reach"
        if several:
            unlike = int(wrong.sum())
            verb = "is" if unlike == 1 else "are"
            count = f"{unlike} of {prod(self.shape)} features {verb} unlike: "
            place = np.unravel_index(worst, self.shape)
            name = ", ".join(str(int(k)) for k, n in zip(place, self.shape, strict=True) if n > 1)
            what = f"{count}feature {name} reaches"
        came = f"{_number(low[worst])}..{_number(high[worst])}"
        known = f"{_number(self.low[worst])}..{_number(self.high[worst])} ({self.dtype})"
        if beyond[worst] >= bound:
            effect = f"{100 * beyond[worst]:.0f} % of its values are taken for the end of the range"
        else:
            effect = f"that is {_percent(used[worst])} of its range"
        return (
            f"the samples are not like those that calibrated the design: {what} {came}, and "
            f"{known} was calibrated; {effect} (give samples in the units of the calibration, or "
            f"convert again with samples like these)"
        )


def ends(samples: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return least and greatest value of each feature, float64 in C order of ``shape``."""
    over = tuple(axis for axis, n in enumerate((1, *shape)) if n == 1)
    return tuple(f(axis=over).astype(np.float64).ravel() for f in (samples.min, samples.max))


def _number(x: float) -> str:
    return f"{x:.4g}" if abs(x) < 1e4 else f"{x:,.0f}" if abs(x) < 1e9 else f"{x:.3g}"


def _percent(share: float) -> str:
    return "less than 1 %" if share < 0.01 else f"{100 * share:.0f} %"
