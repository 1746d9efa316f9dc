"""The baseline: integrate-and-fire neurons with a rate code, and leaky ones with an average.

A neuron adds the current I(t) = B + Σ_j W_ij s_j(t) to its membrane, bias included, at every step,
and sends an event s(t) and gives up θ where the membrane has reached θ:

    s(t) = [m(t) + I(t) >= θ]        m(t+1) = m(t) + I(t) - θ s(t)        m(0) = 0

With x̄ and y the means of I and of θ s over the first steps, that is the subgradient method on
h(y) = y²/2 + θ max(x̄ - y, 0), whose least point is min(max(x̄, 0), θ), but for a threshold that is
passed a little late; :mod:`signfire.sim.subgradient` states it. With a leak, which keeps
λ = 1 - 2^-k of the membrane at each step, the same holds of exponential averages and a constant
step size 1 - λ.

An event of a source is worth its θ, however many steps there are: T changes nothing but what the
whole train is divided by. The weights are quantised as those of other neurons, and the threshold is
rounded to a whole number of units of X, one for each channel.
"""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics: ANN-to-SNN Conversion
# Beyond ReLU Network", ICML 2024, arXiv 2407.01645, section 4.

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..design.population import DesignOperand, DesignPopulation, InputFormat
from ..model.codes import RateCode
from ..model.network import INPUT, READOUT, Network, Operand, Population
from .operand import Rounding, convert_operand
from .options import Options

NEURONS = (INPUT, READOUT, "relu")


@dataclass(kw_only=True)
class Rates:
    """Populations converted so far, for T = 1, and the mean events a step of each neuron.

    Members
    -------
    populations : list of DesignPopulation
    values : by name, (n, *shape) float64 in 0..1
    """

    populations: list[DesignPopulation] = field(default_factory=list)
    values: dict[str, np.ndarray] = field(default_factory=dict)


def convert(
    network: Network,
    raw: tuple[int, int, float],
    outputs: Mapping[str, np.ndarray],
    operands: Mapping[str, list[np.ndarray]],
    options: Options,
) -> tuple[InputFormat, tuple[DesignPopulation, ...]]:
    """Convert a Network of ReLU neurons.

    Parameters
    ----------
    network
        What is computed.
    raw
        Least and greatest raw value of the input, and the real value of one raw step.
    outputs, operands
        Of the float network for calibration samples, see :meth:`Network.forward`.
    options
        Steps, percentile or clip for θ, widths and rounding; see
        :class:`signfire.gen.convert.options.Options`.

    Raises
    ------
    ValueError
        For a function that is not ReLU.
    """
    for population in network.populations:
        if population.function not in NEURONS:
            raise ValueError(
                f"integrate-and-fire neurons compute ReLU alone, and {population.name!r} "
                f"{population.place and f'({population.place}) '}computes {population.function} "
                f"(use the dynamics signgd)"
            )
        if any(operand.products for operand in population.operands):
            raise ValueError(
                f"integrate-and-fire neurons multiply no trains, as {population.name!r} does (use "
                f"the dynamics signgd)"
            )
    low, high, scale = raw
    leak = options.leak if options.dynamics == "lif" else 0
    name, shape = network.input.name, network.input.shape
    code = RateCode(steps=1, theta=scale * (high - low), leak=leak)
    found = Rates()
    found.populations.append(
        DesignPopulation(
            name=name, shape=shape, function=INPUT, code=code, threshold=np.array([high - low])
        )
    )
    found.values[name] = np.clip((outputs[name] - scale * low) / code.theta, 0, 1)
    for population in network.populations[1:]:
        own = options.of(population.name)
        code = None
        if population.function != READOUT:
            seen = outputs[population.name]
            theta = own.clip or own.reach * _theta(population, seen, options.percentile)
            code = RateCode(steps=1, theta=theta, leak=leak)
            found.values[population.name] = np.clip(outputs[population.name] / theta, 0, 1)
        (operand,) = population.operands
        integers = convert_operand(
            population,
            _offset(operand, name, scale * low),
            operands[population.name][0],
            code,
            found,
            Rounding.of(options, population.name, multiplier_bits=16),
        )
        found.populations.append(_neurons(population, code, integers))
    fmt = InputFormat(low=low, high=high, scale=scale, multiplier=1, shift=1)
    return fmt, tuple(
        p if p.code is None else replace(p, code=replace(p.code, steps=options.layer_steps))
        for p in found.populations
    )


def _theta(population: Population, activations: np.ndarray, percentile: float) -> float:
    """Return θ: a percentile of what is to be expressed, at most the neuron's own limit."""
    theta = float(np.percentile(activations, percentile))
    if population.limit is not None:
        theta = min(theta, population.limit)
    return theta if theta > 0 else 1.0  # neurons that never fire still need one


def _offset(operand: Operand, source: str, low: float) -> Operand:
    """Return the operand with a bias for an input that says x - ``low`` in place of x."""
    if low == 0:
        return operand
    constant = sum(
        p.map.apply(np.full((1, *p.map.in_shape), low))[0]
        for p in operand.projections
        if p.source == source
    )
    return replace(operand, bias=operand.bias + constant)


def _neurons(
    population: Population, code: RateCode | None, operand: DesignOperand
) -> DesignPopulation:
    threshold = None
    if code is not None:
        threshold = np.maximum(1, np.rint(code.theta / operand.scale)).astype(np.int64)
    ones = np.ones_like(operand.multiplier)
    return DesignPopulation(
        name=population.name,
        shape=population.shape,
        function=population.function,
        code=code,
        operands=(replace(operand, multiplier=ones, shift=0),),
        place=population.place,
        threshold=threshold,
    )
