"""Numbers of a read-out."""

from collections.abc import Iterator

import numpy as np

from ....hdl.words import result_bits
from ...cost import (
    Resources,
    address_bits,
    carry_luts,
    counter_luts,
)
from ...design.design import Design
from ...design.population import DesignPopulation
from ...model.network import READOUT
from ..cost import accumulators_cost, sums_of_trains
from ..fit import crowding, held_bounds, unfit_weights, wide_integrators, wide_sums
from ..observation import RESULT, Observation
from ..plan import LayerPlan
from ..refusals import no_sums

MOST_LOGITS = 2**16 - 1  # that a board says it has
MOST_AT_ONCE = 10  # logits that come together: every two are compared
READOUT_PACE = 2  # cycles between two logits, for a comparison with a register of its own


class ReadoutPlan(LayerPlan):
    """Integrators whose X are logits, one after the other, and the index of the greatest.

    trains -> [readers -> synapses -> integrators -> read-out] -> logits and class

    Where weights are logic and outputs few, all logits of a sample are one word of results.
    """

    kind = "readout"
    hardware = "ReadoutLayer"
    hardware_at_once = "ReadoutLayerAtOnce"

    @classmethod
    def claims(cls, design: Design, population: DesignPopulation) -> bool:
        return design.dynamics == "signgd" and population.function == READOUT

    @classmethod
    def refuses(cls, design: Design, population: DesignPopulation) -> str:
        if population.size > MOST_LOGITS:
            return f"has {population.size:,} outputs, and {MOST_LOGITS:,} are the most"
        return no_sums(design, population)

    @property
    def at_once(self) -> bool:
        """Whether all logits of a sample come together."""
        alone = self.windows == self.border.count == 1 < self.outputs <= MOST_AT_ONCE
        return self.folding.is_logic and not self.weighted and alone

    @property
    def built_as(self) -> str:
        return "hardware_at_once" if self.at_once else super().built_as

    @property
    def allowance(self) -> int:
        return self.short_allowance if self.at_once else super().allowance

    @property
    def queue_cycles(self) -> int:
        return 0 if self.at_once else super().queue_cycles

    @property
    def pace(self) -> int:
        return 1 if self.at_once else READOUT_PACE

    @property
    def logits(self) -> int:
        """Words of the result: those of planes pixel after pixel, the channels of one together."""
        return self.population.size

    def lane_options(self, following: int) -> list[int]:
        return [self.outputs if self.at_once else 1]

    @property
    def result_bits(self) -> int:
        """Bits of a word of the result stream."""
        return self.lanes * result_bits(logit_width=self.x_width, outputs=self.logits)

    def cost(self) -> dict[str, Resources]:
        if self.at_once:
            parts = sums_of_trains(self, accumulators_cost)
            return parts | {"neurons": at_once_cost(self)}
        return sums_of_trains(self) | {"neurons": readout_cost(self)}

    def differences(self) -> Iterator[str]:
        yield from unfit_weights(self)
        yield from self.other_biases()
        yield from wide_integrators(self, held_bounds(self))
        yield from wide_sums(self)

    def other_biases(self) -> Iterator[str]:
        """Yield where biases that are logic are not those of the shape."""
        ours, held = self.population.operands[0].bias, self.held.operands[0].bias
        if self.at_once and not np.array_equal(ours, held):
            yield (
                f"biases of {self.name!r} are logic, which no memory holds: they cannot be "
                f"replaced (fold it with synapse=events)"
            )

    def crowded(self) -> tuple[np.ndarray, ...]:
        return (crowding(self),)

    def observations(self) -> tuple[Observation, ...]:
        bits = self.result_bits // self.lanes
        logits = Observation(
            quantity="logit", when=RESULT, lanes=self.lanes, bits=bits, signed=False
        )
        return (*self.integrators_seen, logits)


def at_once_cost(plan: ReadoutPlan) -> Resources:
    """Price logits, the comparison of every two, and the class."""
    x, outputs = carry_luts(plan.technology, plan.x_width), plan.outputs
    pairs = outputs * (outputs - 1) // 2
    chosen = -(-pairs // 3) + outputs * address_bits(outputs) // 2
    return Resources(
        lut=(outputs + pairs) * x + chosen,
        ff=2 * outputs * plan.x_width + pairs + 2,
        lone_ff=outputs * plan.x_width,
    )


def readout_cost(plan: ReadoutPlan) -> Resources:
    """Logits on their way, the comparison with the best, the index."""
    x, index = plan.x_width, address_bits(plan.logits)
    return Resources(
        lut=carry_luts(plan.technology, x) + 2 * counter_luts(plan.logits) + 6,
        ff=4 * x + 4 * index + 8,
        lone_ff=4 * x + 3 * index,
    )
