"""Channels last: the same network for samples whose pixels come one after the other, whole.

Models of torch take (channels, height, width); line buffers take pixel after pixel, the channels of
a pixel together, as cameras send them. No number changes but the order of a sample.
"""

from dataclasses import replace

from .design import Design, DesignPopulation, DesignProjection
from .maps import Dense, Layout, LinearMap, Pooled, Sliding


def channels_last(design: Design) -> Design:
    """Return the Design for samples of shape (height, width, channels).

    A Design that sees no planes of shape (channels, height, width) in its samples, or only one, is
    returned as it is.

    Raises
    ------
    ValueError
        Where one layer sees such planes in the samples and another sees them otherwise.
    """
    planes = design.input.shape
    maps = [q.map for p in design.populations for q in p.sources if q.source == design.input.name]
    if not any(isinstance(m, Sliding | Pooled) and _sees(m, planes) for m in maps):
        return design
    channels, height, width = planes
    shape = height, width, channels

    def turned(linear: LinearMap, name: str) -> LinearMap:
        if isinstance(linear, Sliding | Pooled) and _sees(linear, planes):
            return replace(linear, in_shape=shape, layout=Layout(planes=planes, axes=(2, 0, 1)))
        if isinstance(linear, Dense):
            matrix = linear.matrix.reshape(-1, *planes).transpose(0, 2, 3, 1)
            return Dense(matrix.reshape(len(matrix), -1), shape)
        raise ValueError(f"{name!r} reads the samples in an order that has no channels last")

    def read(projection: DesignProjection, name: str) -> DesignProjection:
        if projection.source != design.input.name:
            return projection
        return replace(projection, map=turned(projection.map, name))

    def population(p: DesignPopulation) -> DesignPopulation:
        if p is design.input:
            return replace(p, shape=shape)
        operands = tuple(
            replace(op, projections=tuple(read(q, p.name) for q in op.projections))
            for op in p.operands
        )
        return replace(p, operands=operands)

    return replace(design, populations=tuple(population(p) for p in design.populations))


def _sees(linear: Sliding | Pooled, planes: tuple[int, ...]) -> bool:
    """Whether a map sees the samples as several planes, one after the other."""
    return len(planes) == 3 and planes[0] > 1 and linear.layout == Layout(planes=planes)
