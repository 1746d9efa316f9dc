"""Order of an input of several planes: pixel after pixel, as windows read its trains."""

from collections.abc import Iterator
from dataclasses import replace

from ..model.maps import Layout
from ..model.network import INPUT
from .design import Design
from .population import DesignOperand, DesignPopulation


def pixel_after_pixel(design: Design) -> Design:
    """Return a Design of the same answers whose samples enter pixel after pixel.

    An input (channels, height, width), or (channels, length), of several channels that windows
    read becomes (height, width, channels), and the Design says that samples are given with channels
    first. A line buffer then holds what a window needs and no more. Any other Design is returned as
    it is.
    """
    shape, first = design.input.shape, design.input.name
    readers = [q.map for p in design.populations for q in p.sources if q.source == first]
    if len(shape) not in (2, 3) or shape[0] == 1 or any(p.products for p in _operands(design)):
        return design
    usual = Layout.of(shape)
    if all(m.sees is None for m in readers) or not all(_alike(m.sees, usual) for m in readers):
        return design
    taken = (*shape[1:], shape[0])
    turned = [m.reading(taken, replace(usual, axes=(2, 0, 1))) for m in readers]
    if any(m is None for m in turned):
        return design
    new = iter(turned)  # in the order of the projections

    def reread(population: DesignPopulation) -> DesignPopulation:
        if population.function == INPUT:
            return replace(population, shape=taken)
        operands = tuple(
            replace(
                operand,
                projections=tuple(
                    replace(q, map=next(new)) if q.source == first else q
                    for q in operand.projections
                ),
            )
            for operand in population.operands
        )
        return replace(population, operands=operands)

    populations = tuple(reread(p) for p in design.populations)
    return replace(design, populations=populations, channels_first=True)


def _alike(seen: Layout | None, usual: Layout) -> bool:
    return seen is None or (seen.planes, seen.order) == (usual.planes, usual.order)


def _operands(design: Design) -> Iterator[DesignOperand]:
    return (operand for p in design.populations for operand in p.operands)
