"""Spread: cycles of a core whose layers skip silent words, over samples, beside their bound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.design import Design
from ..layers.cycles import CoreTiming, predict, steady
from ..layers.plan import LayerPlan
from ..technology import Technology, find_technology
from .core import core_timing
from .plans import plan_layers


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Cycles over a set of samples, each exact.

    Parameters
    ----------
    samples
        How many.
    latency, worst_latency
        From taking the first raw word of a sample to its class, the machine being empty before: on
        average, and of the slowest sample.
    interval
        Between two samples, back to back, on average.
    bound, interval_bound
        Latency and interval that no sample passes.
    """

    samples: int
    latency: float
    worst_latency: int
    interval: float
    bound: int
    interval_bound: int

    def record(self) -> dict[str, Any]:
        """Return JSON values."""
        return dict(vars(self))


def counted_words(plans: Sequence[LayerPlan]) -> dict[str, np.ndarray] | None:
    """Return the words that layers read of the samples that were counted, for :func:`spread_of`.

    ``None`` where no layer skips silent words, or of one nothing was counted.
    """
    found = {}
    for plan in plans:
        if plan.skips:
            if plan.activity is None:
                return None
            busy = plan.activity.busy(plan.readers[0].word, plan.folding.unroll)
            found[plan.name] = busy[:, None]
    return found or None


def spread_of(timing: CoreTiming, busy: Mapping[str, np.ndarray]) -> Spread:
    """Return the cycles of samples.

    Parameters
    ----------
    timing
        Of a core of which some layer skips silent words.
    busy
        By such layer, (samples, windows, planes), see :func:`..layers.cycles.predict`.
    """
    samples = min(len(words) for words in busy.values())
    latencies = [
        predict(timing, 1, busy={name: words[n : n + 1] for name, words in busy.items()}).latency()
        for n in range(samples)
    ]
    bound, interval_bound = steady(timing)
    intervals = predict(timing, samples, busy=busy).intervals if samples > 1 else latencies
    return Spread(
        samples=samples,
        latency=float(np.mean(latencies)),
        worst_latency=max(latencies),
        interval=float(np.mean(intervals)),
        bound=bound,
        interval_bound=interval_bound,
    )


def counted_spread(design: Design, technology: Technology | str) -> Spread | None:
    """Return the cycles of the samples whose trains were counted while a Design was made.

    ``None`` where cycles do not depend on the sample, or nothing was counted.
    """
    _, plans = plan_layers(design, find_technology(technology))
    busy = counted_words(plans)
    return None if busy is None else spread_of(core_timing(design, technology), busy)
