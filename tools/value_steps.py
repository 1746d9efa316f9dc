"""Value steps: T and bits of weights of outputs that are values, where nobody gave any.

A class stays what it is while logits move a little; a value does not. So where nothing decides, the
samples are converted ever finer, until the integers leave unexplained no more of the variance of
the float network's values than :data:`UNEXPLAINED`. Labels are not needed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..gen.convert.calibrate import as_trained, calibrate
from ..gen.convert.features import on_trained_grid
from ..gen.convert.options import Options
from ..gen.model.network import Network
from . import verdict
from .input_steps import FEWEST, MOST, VALUES, is_open, ladder

UNEXPLAINED = 0.5  # per cent of the variance of the float network's values
LADDER = ((4, 4), (5, 5), (6, 6), (6, 8), (7, 8), (8, 8))  # T and bits of weights that are tried


@dataclass(frozen=True, kw_only=True)
class ValueSteps:
    """What was chosen, and why.

    Members
    -------
    steps, weight_bits : T of the layers, and bits of their weights
    unexplained : per cent of the variance of the float network's values that is left
    samples : how many were looked at
    """

    steps: int
    weight_bits: int
    unexplained: float
    samples: int

    @property
    def said(self) -> str:
        """The choice in words."""
        return (
            f"layers: T = {self.steps} and weights of {self.weight_bits} bits, which leave "
            f"{self.unexplained:.2g} % of the values' variance unexplained (measured on "
            f"{self.samples} calibration samples; --steps N, --weight-bits N choose others)"
        )

    def record(self) -> dict[str, Any]:
        """Return the choice as JSON values."""
        return {**vars(self), "said": self.said}


def are_open(network: Network, options: Options) -> bool:
    """Whether nothing but a measurement can say T and bits: no option, and no training."""
    if options.steps is not None or options.weight_bits is not None or options.layers:
        return False
    if options.schedule.kind != "binary" or not is_open(network, options):
        return False
    every = (q for p in network.populations[1:] for o in p.operands for q in o.projections)
    trained = as_trained(network, options) != options or any(map(on_trained_grid, every))
    return not trained


def choose(
    network: Network,
    samples: np.ndarray,
    options: Options,
    progress: Callable[[str], None] = lambda said: None,
) -> ValueSteps | None:
    """Choose T and bits of a network for which they :func:`are_open`.

    Parameters
    ----------
    network, samples, options
        As :func:`signfire.gen.convert.calibrate.calibrate` takes them; of many samples some are
        looked at.

    Returns
    -------
    ValueSteps
        The first of :data:`LADDER` that is fine enough, else the one that leaves least; ``None``
        where outputs decide, or no value changes.
    """
    few = min(len(samples), max(FEWEST, min(MOST, VALUES // network.size)))
    chosen = np.random.default_rng(options.seed).permutation(len(samples))[:few]
    some = samples[np.sort(chosen)]
    exact = network.answers(some)
    if verdict.differing(network, exact, exact, some) is not None:
        return None
    finest = ladder(network, samples, options)[-1]
    tried: list[ValueSteps] = []
    for steps, bits in LADDER:
        progress(f"trying T = {steps} and weights of {bits} bits")
        turned = replace(options, steps=steps, weight_bits=bits, input_steps=finest)
        try:
            design = calibrate(network, some, turned)
        except ValueError:  # finer than its functions can be
            continue
        found = verdict.compare(network, exact, verdict.outputs(design, some), some)
        if found.r2 is None:
            return None
        tried.append(ValueSteps(steps=steps, weight_bits=bits, unexplained=found.loss, samples=few))
        if found.loss <= UNEXPLAINED:
            break
    return min(tried, key=lambda found: found.unexplained, default=None)
