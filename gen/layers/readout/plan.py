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
from ..cost import sums_of_trains
from ..fit import crowding, held_bounds, unfit_weights, wide_integrators, wide_sums
from ..observation import RESULT, Observation
from ..plan import LayerPlan
from ..refusals import no_sums

MOST_LOGITS = 2**16 - 1  # that a board says it has
READOUT_PACE = 2  # cycles between two logits, for a comparison with a register of its own


class ReadoutPlan(LayerPlan):
    """Integrators whose X are logits, one after the other, and the index of the greatest.

    trains -> [readers -> synapses -> integrators -> read-out] -> logits and class
    """

    kind = "readout"
    hardware = "ReadoutLayer"

    @classmethod
    def claims(cls, design: Design, population: DesignPopulation) -> bool:
        return design.dynamics == "signgd" and population.function == READOUT

    @classmethod
    def refuses(cls, design: Design, population: DesignPopulation) -> str:
        if population.size > MOST_LOGITS:
            return f"has {population.size:,} outputs, and {MOST_LOGITS:,} are the most"
        return no_sums(design, population)

    @property
    def pace(self) -> int:
        return READOUT_PACE

    @property
    def logits(self) -> int:
        """Words of the result: those of planes pixel after pixel, the channels of one together."""
        return self.population.size

    def lane_options(self, following: int) -> list[int]:
        return [1]

    @property
    def result_bits(self) -> int:
        """Bits of a word of the result stream."""
        return result_bits(logit_width=self.x_width, outputs=self.logits)

    def cost(self) -> dict[str, Resources]:
        return sums_of_trains(self) | {"neurons": readout_cost(self)}

    def differences(self) -> Iterator[str]:
        yield from unfit_weights(self)
        yield from wide_integrators(self, held_bounds(self))
        yield from wide_sums(self)

    def crowded(self) -> tuple[np.ndarray, ...]:
        return (crowding(self),)

    def observations(self) -> tuple[Observation, ...]:
        logits = Observation(
            quantity="logit", when=RESULT, lanes=1, bits=self.result_bits, signed=False
        )
        return (*self.integrators_seen, logits)


def readout_cost(plan: ReadoutPlan) -> Resources:
    """Logits on their way, the comparison with the best, the index."""
    x, index = plan.x_width, address_bits(plan.logits)
    return Resources(
        lut=carry_luts(plan.technology, x) + 2 * counter_luts(plan.logits) + 6,
        ff=4 * x + 4 * index + 8,
        lone_ff=4 * x + 3 * index,
    )
