"""Cross-layer equalisation: channels of one population rescaled to the same range.

A ReLU does not change its shape where its input is divided by k > 0: relu(x/k) = relu(x)/k. So a
channel may be divided by k where every weight that reads it is multiplied by k, and the network
computes the same. With k the unit that suits the channel alone, channels of very different ranges
can share a spike code, and the hardware does nothing else: the unit of each channel goes into its
requantisation factor and into the weights behind it.
"""

# Ref: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
# ICCV 2019, section 4.1.

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..model.maps import LinearMap
from ..model.network import INPUT, LINEAR, MAX, Network, Operand, Population

# f(x/k) = f(x)/k for every k > 0
HOMOGENEOUS = ("relu", LINEAR, MAX, "leaky_relu", "abs")
LEAST = 2.0**-10  # of the largest k of a population: quieter channels are not raised further


def equalise(
    network: Network,
    units: Callable[[Population], np.ndarray | None],
    *,
    strength: float = 1.0,
    level: bool = True,
    functions: Sequence[str] = HOMOGENEOUS,
    turned: bool = False,
) -> tuple[Network, dict[str, np.ndarray]]:
    """Return the network with its channels rescaled, and k of each rescaled population.

    Parameters
    ----------
    network
        Left as it is.
    units
        (channels,) the real value that a channel of a population would have for its unit; 0 for a
        channel that is never active, ``None`` to leave the population as it is. Asked only for
        populations that can be rescaled.
    strength
        Exponent of k: 0 changes nothing.
    level
        Let k be about 1 in the middle of a population's channels; else it is the unit itself.
    functions
        Of the populations that are rescaled.
    turned
        Rescale those too that are read as if they had other channels; all of theirs need one k.

    Returns
    -------
    network, factors
        The same function of the input; (channels,) k by population name.
    """
    factors: dict[str, np.ndarray] = {}
    products = [(p.name, q) for p in network.populations for op in p.operands for q in op.products]
    bound = {name for own, q in products for name in (own, q.source, q.other)}  # no weights there
    if not turned:
        bound |= {q.source for p in network.populations for q in p.sources if turns(q.map)}
    for population in network.populations:
        if population.name in bound:
            continue
        if population.function not in functions or population.limit is not None:
            continue
        found = _passed_on(population, factors) if population.function == MAX else units(population)
        if found is not None:
            plain = population.function == MAX or not level
            factors[population.name] = found if plain else levelled(found) ** strength
    populations = tuple(_rescaled(p, factors) for p in network.populations)
    return replace(network, populations=populations), factors


def turns(linear: LinearMap) -> bool:
    """Whether a map takes something else for channels than the channels of its source."""
    layout = linear.sees
    if layout is None:
        return False
    return layout.planes[0] != linear.in_shape[0] or layout.memory[0] != layout.planes[0]


def levelled(units: np.ndarray) -> np.ndarray:
    """Return k of each channel, about 1 in the middle, from the unit that suits it."""
    active = units[units > 0]
    if not active.size:
        return np.ones_like(units)
    middle = float(np.exp(np.log(active).mean()))
    raised = np.where(units > 0, np.maximum(units, LEAST * units.max()), middle)
    return raised / middle


def _passed_on(population: Population, factors: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return k of a maximum over pixels of one source: its operands must share the source's."""
    projections = list(population.sources)
    first = projections[0]
    alike = all(
        p.source == first.source
        and p.map.fixed
        and np.array_equal(p.map.sources_of_weights, first.map.sources_of_weights)
        for p in projections
    )
    if not alike or first.source not in factors:
        return None
    return factors[first.source][first.map.sources_of_weights[:, 0]]


def _rescaled(population: Population, factors: Mapping[str, np.ndarray]) -> Population:
    own = factors.get(population.name, np.ones(population.shape[0]))
    if population.function == INPUT:
        return population

    def weighted(linear: LinearMap, source: str) -> LinearMap:
        weights = linear.weights / own[:, None]
        if source in factors:
            k = factors[source]
            weights = weights * (k[0] if turns(linear) else k[linear.sources_of_weights])
        return linear.with_weights(weights)

    def operand(old: Operand) -> Operand:
        return Operand(
            projections=tuple(replace(p, map=weighted(p.map, p.source)) for p in old.projections),
            bias=old.bias / own.reshape(-1, *[1] * (len(population.shape) - 1)),
            products=old.products,
        )

    return replace(population, operands=tuple(map(operand, population.operands)))
