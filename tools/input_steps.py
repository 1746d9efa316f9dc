"""Input steps: T of the input where nobody gave one, by what it costs on the calibration samples.

The samples are converted with the finest input that their raw values can use, and with coarser
ones. The fewest steps are taken with which

- the mean squared error of the outputs against the float network is at most twice that of the
  finest input, so that the input adds no more error than all else makes together, and
- at most one answer in a hundred more differs from the float network's.

What kind of network it is does not matter, and labels are not needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..gen.convert.calibrate import (
    as_trained,
    calibrate,
    raw_range_of,
    steps_beside_input,
)
from ..gen.convert.options import Options
from ..gen.design.population import bits_for
from ..gen.model.codes import BINARY_STEPS
from ..gen.model.network import Network
from . import verdict

MOST_ERROR = 2.0  # times the squared error of the finest input
MOST_DIFFERING = 1.0  # answers of a hundred more than with the finest input
VALUES = 2**22  # neurons times samples that are looked at
FEWEST, MOST = 32, 512  # samples that are looked at
FINEST = 10  # steps of a binary input: more are hardly told from them by weights of 8 bits
OTHERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # T that are tried of a schedule not binary


@dataclass(frozen=True, kw_only=True)
class InputSteps:
    """The T that was chosen, and why.

    Members
    -------
    steps : T
    finest : the most that was looked at
    tried : by T, ascending: squared error over that of the finest, and loss in points
    samples : how many were looked at
    """

    steps: int
    finest: int
    tried: dict[int, tuple[float, float]]
    samples: int

    @property
    def said(self) -> str:
        """The choice in words."""
        if self.steps == self.finest:
            return (
                f"input: T = {self.steps}, as fine as its values; fewer steps lose too much "
                f"(measured on {self.samples} calibration samples; --input-steps N chooses another)"
            )
        error = self.tried[self.steps][0] ** 0.5
        return (
            f"input: T = {self.steps}, with which outputs err {error:.2f} times as much as with "
            f"T = {self.finest} (measured on {self.samples} calibration samples; --input-steps N "
            f"chooses another)"
        )

    def record(self) -> dict[str, Any]:
        """Return the choice as JSON values."""
        tried = [{"steps": t, "error": e, "loss": loss} for t, (e, loss) in self.tried.items()]
        return {**vars(self), "tried": tried, "said": self.said}


def is_open(network: Network, options: Options) -> bool:
    """Whether nothing but a measurement can say the T of the input."""
    if options.firing != "settled" or options.dynamics != "signgd":
        return False
    trained = as_trained(network, options)
    return trained.input_steps is None and steps_beside_input(network, trained) is None


def ladder(network: Network, samples: np.ndarray, options: Options) -> list[int]:
    """Return the T that may serve, ascending: up to what tells all raw values apart."""
    schedule = options.of_input.schedule
    if schedule.kind == "list":
        given = options.input_schedule or options.schedule
        return list(range(1, len(given.values) + 1))
    if schedule.kind != "binary":
        return [t for t in OTHERS if t <= max(options.layer_steps, FINEST)]
    low, high, _ = raw_range_of(network, samples, options)
    return list(range(1, min(FINEST, BINARY_STEPS, bits_for(low, high)) + 1))


def choose(
    network: Network,
    samples: np.ndarray,
    options: Options,
    progress: Callable[[str], None] = lambda said: None,
) -> InputSteps:
    """Choose T of the input for a network whose input :func:`is_open`.

    Parameters
    ----------
    network, samples, options
        As :func:`signfire.gen.convert.calibrate.calibrate` takes them; of many samples some are
        looked at.
    """
    few = min(len(samples), max(FEWEST, min(MOST, VALUES // network.size)))
    chosen = np.random.default_rng(options.seed).permutation(len(samples))[:few]
    some = samples[np.sort(chosen)]
    exact = network.answers(some)
    found: dict[int, verdict.Agreement] = {}

    def look(steps: int) -> verdict.Agreement:
        """Refuse as the conversion does, where the integers cannot be."""
        if steps not in found:
            progress(f"trying T = {steps} of the input")
            design = calibrate(network, some, replace(options, input_steps=steps))
            found[steps] = verdict.compare(network, exact, verdict.outputs(design, some), some)
        return found[steps]

    candidates = ladder(network, samples, options)
    while len(candidates) > 1:
        try:
            look(candidates[-1])
            break
        except ValueError:  # finer than the layers behind it can be
            candidates.pop()
    finest = candidates[-1]
    best = look(finest)

    def serves(steps: int) -> bool:
        try:
            seen = look(steps)
        except ValueError:
            return False
        return seen.rmse**2 <= MOST_ERROR * best.rmse**2 and seen.loss <= best.loss + MOST_DIFFERING

    steps = fewest(candidates, serves)
    least = max(best.rmse, np.finfo(float).tiny)
    return InputSteps(
        steps=steps,
        finest=finest,
        tried={t: ((found[t].rmse / least) ** 2, found[t].loss) for t in sorted(found)},
        samples=len(some),
    )


def fewest(candidates: Sequence[int], serves: Callable[[int], bool]) -> int:
    """Return the least candidate that serves, where all above one that serves do so too.

    The last is taken to serve without a look.
    """
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        if serves(candidates[middle]):
            high = middle
        else:
            low = middle + 1
    return candidates[low]
