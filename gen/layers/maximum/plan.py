"""Numbers of a maximum."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

from ...cost import (
    Resources,
    carry_luts,
    scaled,
)
from ...design.design import Design
from ...design.folding import Folding
from ...design.population import DesignPopulation
from ...model.network import MAX
from ...readers.kinds import reader_kind
from ..cost import buffer_cost, control_cost, results_cost
from ..observation import TOTAL, Observation
from ..plan import Given, LayerPlan
from ..refusals import takes_planes
from .windows import Maximum, maximum_of

MAXIMUM_ALLOWANCE = 8  # cycles for which the maxima of a tile may be under way


class MaximumPlan(LayerPlan):
    """A layer whose neurons say the greatest value of a window: maxima of trains, nothing else.

        trains -> [reader -> running maximum] -> trains

    A window is read once for each tile of ``pe`` channels, one pixel a cycle, all steps of a train
    at once; ``simd`` is 1 and ``unroll`` the T of the source, whatever the Design says.
    """

    kind = "maximum"
    hardware = "MaximumLayer"

    @classmethod
    def claims(cls, design: Design, population: DesignPopulation) -> bool:
        return design.dynamics == "signgd" and population.function == MAX

    @classmethod
    def refuses(cls, design: Design, population: DesignPopulation) -> str:
        if any(operand.products for operand in population.operands):
            return "sums products of trains"
        source = design[next(iter(population.sources)).source]
        names = sorted({q.source for q in population.sources} - {source.name})
        if names:
            return f"reads {', '.join(names)}"
        if not takes_planes(design, [source.code]):
            return "is a maximum, for which firing must be settled and the schedule binary"
        found = maximum_of(population, source)
        if isinstance(found, str):
            return found
        if not found.window.in_order:
            return "takes channels out of their order"
        return reader_kind(source, found.window).refuses(source, found.window)

    @classmethod
    def of(cls, given: Given, **numbers: Any) -> Self:
        source = given.design[next(iter(given.population.sources)).source]
        found = maximum_of(given.population, source)
        assert isinstance(found, Maximum)  # else it was refused
        reader = reader_kind(source, found.window)(
            source=source,
            map=found.window,
            held_source=given.stored[source.name],
            held_map=found.window,
            folding=given.folding,
            beyond=found.padding_train,
        )
        return super().of(given, readers=(reader,), **numbers)

    @property
    def pace(self) -> int:
        return 1

    @property
    def fifo_depth(self) -> int:
        return self.groups * (1 + -(-(MAXIMUM_ALLOWANCE + self.groups) // self.tile_cycles))

    @property
    def can_skip(self) -> bool:
        return False

    @property
    def together(self) -> bool:
        """Whole trains are read anyway."""
        return False

    def refolded(self, folding: Folding, *, source_lanes: int | Sequence[int], simd: int) -> Self:
        whole = replace(folding, unroll=self.source_code.steps)
        return super().refolded(whole, source_lanes=source_lanes, simd=simd)

    def cost(self) -> dict[str, Resources]:
        return {
            "buffer": buffer_cost(self),
            "maxima": maxima_cost(self),
            "fifo": results_cost(self),
            "control": control_cost(self),
        }

    def differences(self) -> Iterator[str]:
        held = maximum_of(self.held, self.readers[0].held_source)
        if isinstance(held, str):
            yield f"{self.name!r} {held}"
        elif list(held.padding_train) != self.readers[0].padding_train:
            yield f"what {self.name!r} reads beyond the planes must be the same"

    def observations(self) -> tuple[Observation, ...]:
        maxima = Observation(
            quantity="maximum",
            when=TOTAL,
            valid="greatest_valid",
            port="greatest",
            lanes=self.folding.pe,
            bits=self.source_code.steps,
            signed=False,
        )
        return (maxima, self.trains_seen)


def maxima_cost(plan: MaximumPlan) -> Resources:
    """Price a comparison and a train for each lane, and the drain's shift."""
    steps, pe, lanes = plan.source_code.steps, plan.folding.pe, plan.lanes
    lane = Resources(lut=carry_luts(plan.technology, steps), ff=steps)
    drain = Resources(lut=(pe - lanes) * steps, ff=pe * steps, lone_ff=lanes * steps)
    return scaled(lane, pe) + drain
