"""Widths of weights, layer by layer, by what each layer's rounding does to the answer.

A layer is rounded to b bits alone, in the float network, and the change of the read-out is
measured. The widths then go where they take off most for each bit stored.
"""

# Ref: Z. Dong et al., "HAWQ-V2: Hessian Aware trace-Weighted Quantization of Neural Networks",
# NeurIPS 2020, for choosing widths by a sum of measured losses under a budget.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..model.network import Network, Population
from .operand import moments
from .quantise import Rounder, quantise_rows

WIDTHS = (2, 3, 4, 5, 6, 7, 8)
SAMPLES = 48  # that sensitivities are measured on


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What a layer's width costs and does.

    Members
    -------
    weights : number of trained weights that are stored
    loss : by width in bits, mean squared change of the read-out over its own mean square
    """

    weights: int
    loss: Mapping[int, float]


def trained(population: Population):
    """Yield every projection of a population whose weights are stored."""
    return (p for p in population.sources if not p.map.fixed)


def measure(
    network: Network, samples: np.ndarray, *, feedback: bool = True
) -> dict[str, Sensitivity]:
    """Round one layer at a time and measure the read-out; by population name.

    Parameters
    ----------
    network
        In floats, already equalised where it will be.
    samples
        (n, *input shape); the first :data:`SAMPLES` are used.
    feedback
        Whether the conversion will round with error feedback.
    """
    samples = samples[:SAMPLES]
    outputs, _ = network.forward(samples)
    exact = outputs[network.readout.name]
    power = float((exact**2).mean()) or 1.0
    found: dict[str, Sensitivity] = {}
    for number, population in enumerate(network.populations):
        projections = list(trained(population))
        if not projections:
            continue
        rounders = [
            _rounder(operand, outputs, feedback=feedback) for operand in population.operands
        ]
        loss = {}
        for bits in WIDTHS:
            coarse = _rounded(population, rounders, bits, shared=population is network.readout)
            changed = _from(network, number, coarse, outputs)
            loss[bits] = float(((changed - exact) ** 2).mean()) / power
        found[population.name] = Sensitivity(
            weights=sum(p.map.weights.size for p in projections), loss=loss
        )
    return found


@dataclass(frozen=True, kw_only=True)
class _Outputs:
    """What the float network's populations say, by name."""

    values: dict[str, np.ndarray]


def _rounder(operand, outputs, *, feedback: bool) -> Rounder | None:
    projections = [p for p in operand.projections if not p.map.fixed]
    if not projections:
        return None
    seen = moments(projections, _Outputs(values=outputs), centre=True)
    return Rounder(seen, feedback=feedback)


def _rounded(
    population: Population, rounders: Sequence[Rounder | None], bits: int, *, shared: bool
) -> Population:
    """Return the population with its trained weights rounded to ``bits``."""
    operands = []
    for operand, rounder in zip(population.operands, rounders, strict=True):
        if rounder is None:
            operands.append(operand)
            continue
        own = [p for p in operand.projections if not p.map.fixed]
        rows = np.concatenate([p.map.weights for p in own], axis=1)
        limits = np.full(rows.shape[1], 2.0 ** (bits - 1) - 1)
        best = quantise_rows(rows, rounder, limits, snap=lambda scale: scale, shared=shared)
        real = best.weights * best.scale[:, None]
        ends = np.cumsum([p.map.weights.shape[1] for p in own])[:-1]
        parts = iter(np.split(real, ends, axis=1))
        operands.append(
            replace(
                operand,
                projections=tuple(
                    p if p.map.fixed else replace(p, map=p.map.with_weights(next(parts)))
                    for p in operand.projections
                ),
            )
        )
    return replace(population, operands=tuple(operands))


def _from(
    network: Network, number: int, changed: Population, outputs: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the read-out with one population changed; those before it keep their outputs.

    The mean that the change adds to a channel is taken off, as bias correction does.
    """
    values = dict(outputs)
    for population in (changed, *network.populations[number + 1 :]):
        operands = [operand.sums(values) for operand in population.operands]
        if population is changed:
            operands = [
                _recentred(x, was, outputs)
                for x, was in zip(operands, network.populations[number].operands, strict=True)
            ]
        values[population.name] = population.expressed(population.apply(operands))
    return values[network.readout.name]


def _recentred(x: np.ndarray, operand, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    exact = operand.sums(outputs)
    around = (0, *range(2, x.ndim))
    return x + (exact - x).mean(axis=around, keepdims=True)


def choose(
    found: Mapping[str, Sensitivity], budget: float, given: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Return the width of each layer, so that the mean over all weights is at most ``budget``.

    Parameters
    ----------
    found
        Sensitivities by layer.
    budget
        Mean bits of a weight, 2..8.
    given
        Widths that are settled; they count towards the mean.

    Raises
    ------
    ValueError
        If the widths that are given leave too little for the others.
    """
    given = {name: bits for name, bits in (given or {}).items() if name in found}
    widths = {name: given.get(name, WIDTHS[0]) for name in found}
    total = sum(layer.weights for layer in found.values())
    spare = budget * total - sum(found[name].weights * bits for name, bits in widths.items())
    if spare < 0:
        least = sum(found[name].weights * bits for name, bits in widths.items()) / total
        raise ValueError(
            f"a mean of {budget:g} bits cannot be had: the widths given and 2 bits for the rest "
            f"take {least:.2f}"
        )
    while True:
        best = max(
            (
                ((layer.loss[widths[name]] - layer.loss[bits]) / cost, cost, name, bits)
                for name, layer in found.items()
                if name not in given
                for bits in range(widths[name] + 1, WIDTHS[-1] + 1)
                if (cost := layer.weights * (bits - widths[name])) <= spare
            ),
            default=None,
        )
        if best is None or best[0] <= 0:
            return widths
        _, cost, name, bits = best
        widths[name], spare = bits, spare - cost
