"""Maximum: max pooling as hardware does it, by comparing trains.

With the binary schedule and settled firing, a train whose first event weighs most is a binary
number, and the value that it says is the least value of the code and twice that number. So where a
maximum says values of its source in the source's own code, the greatest value of a window is said
by the greatest train: no integrator, no requantisation and no neuron stands between.
"""

from dataclasses import dataclass

import numpy as np

from ...design.population import DesignPopulation
from ...model.maps import Window


@dataclass(frozen=True, kw_only=True)
class Maximum:
    """What a maximum over the neurons of a window reads.

    Parameters
    ----------
    window
        Of the source's planes; its factors are 1.
    padding_train
        Events of what stands beyond the planes.
    """

    window: Window
    padding_train: tuple[int, ...]


def maximum_of(population: DesignPopulation, source: DesignPopulation) -> Maximum | str:
    """Return what a maximum reads, or why trains do not decide it, as the end of a sentence."""
    window = window_of(population)
    if window is None:
        return "is a maximum of other operands than the neurons of a window"
    code, own = source.spike_code, population.spike_code
    if (own.eta, own.rest) != (code.eta, code.rest):
        return (
            f"is a maximum in another code than that of {source.name!r} (leave out options of its "
            f"own)"
        )
    beyond: set[tuple[int, ...]] = set()
    for operand in population.operands:
        linear = operand.projections[0].map
        assert isinstance(linear, Window)
        factor, m = linear.factor[:, None], operand.multiplier[:, None]
        bias = np.broadcast_to(operand.bias, population.shape).reshape(len(factor), -1)
        ones = linear.with_weights(np.ones_like(linear.weights))
        inside = ones.apply(np.ones((1, *linear.in_shape)))[0].reshape(bias.shape) != 0
        says = -(-(factor * code.values) * m >> operand.shift)
        if bias[inside].any() or (says != code.values).any():
            return f"is a maximum that changes the values of {source.name!r}"
        targets = -(-bias * m >> operand.shift)[~inside]
        beyond |= {tuple(int(event) for event in code.trains(int(f))) for f in np.unique(targets)}
    if len(beyond) > 1:
        return "is a maximum whose operands differ beyond the planes"
    nothing = tuple(0 for _ in code.eta)
    return Maximum(window=window, padding_train=beyond.pop() if beyond else nothing)


def window_of(population: DesignPopulation) -> Window | None:
    """Return the window whose neurons are the operands; ``None`` where they are no such."""
    taps = []
    for operand in population.operands:
        if len(operand.projections) != 1:
            return None
        projection = operand.projections[0]
        if not isinstance(projection.map, Window) or projection.map.window != (1, 1):
            return None
        taps.append((projection.source, projection.map))
    source, first = taps[0]
    alike = all(
        name == source
        and (tap.in_shape, tap.layout, tap.stride, tap.sources)
        == (first.in_shape, first.layout, first.stride, first.sources)
        for name, tap in taps
    )
    tops, lefts = ([tap.padding[k] for _, tap in taps] for k in (0, 2))
    size = (max(tops) - min(tops) + 1, max(lefts) - min(lefts) + 1)
    if not alike or len(set(zip(tops, lefts, strict=True))) != size[0] * size[1]:
        return None
    return _around(first, size, max(tops), max(lefts))


def _around(tap: Window, size: tuple[int, int], top: int, left: int) -> Window:
    """Return the window of ``size`` that has as many positions as one of its pixels has."""
    _, rows, columns = tap.out_planes
    _, height, width = tap.layout.planes
    bottom = (rows - 1) * tap.stride[0] + size[0] - height - top
    right = (columns - 1) * tap.stride[1] + size[1] - width - left
    return Window(
        in_shape=tap.in_shape,
        layout=tap.layout,
        stride=tap.stride,
        padding=(top, bottom, left, right),
        factor=np.ones_like(tap.factor),
        sources=tap.sources,
        window=size,
    )
