"""Specimens of integrate-and-fire networks, made of other specimens: what tests of them run on."""

from dataclasses import replace

import numpy as np

from ...gen.design.design import Design
from ...gen.design.population import DesignPopulation, InputFormat
from ...gen.model.codes import RateCode
from ...gen.model.network import INPUT


def as_rate(design: Design, *, steps: int = 7, seed: int = 0) -> Design:
    """Return the weights of a Design of ReLU neurons in the dynamics ``if``, the folding kept.

    Biases and thresholds are random, so that some neurons are silent, some send nothing but events
    and most lie between.
    """
    rng = np.random.default_rng(seed)
    fmt = design.input_format
    return Design(
        name=f"{design.name}-rate",
        firing="overlapped",
        dynamics="if",
        input_format=InputFormat(
            low=fmt.low, high=fmt.high, scale=fmt.scale, multiplier=1, shift=1
        ),
        populations=tuple(_as_rate(p, fmt, steps, rng) for p in design.populations),
    )


def _as_rate(
    population: DesignPopulation, fmt: InputFormat, steps: int, rng: np.random.Generator
) -> DesignPopulation:
    code = None if population.code is None else RateCode(steps=steps, theta=1.0)
    if population.function == INPUT:
        return replace(population, code=code, threshold=np.array([fmt.high - fmt.low]))
    (operand,) = population.operands
    gain = sum(q.map.gain for q in operand.projections)
    spread = np.broadcast_to(gain, population.shape[:1]) / 2
    noise = spread / (4 if code is not None else 32)  # or it would decide on the class alone
    bias = np.rint(rng.normal(noise / 2, noise)).astype(np.int64)
    theta = rng.uniform(0.1, 0.8, population.shape[0]) * spread
    return replace(
        population,
        code=code,
        operands=(
            replace(
                operand,
                bias=bias.reshape(-1, *[1] * (len(population.shape) - 1)),
                multiplier=np.ones_like(operand.multiplier),
                shift=0,
            ),
        ),
        threshold=None if code is None else np.maximum(1, np.rint(theta)).astype(np.int64),
    )
