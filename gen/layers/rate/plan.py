"""Numbers of integrate-and-fire neurons."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np

from ...cost import (
    Resources,
    address_bits,
    apart_from_adder,
    carry_luts,
    ram_cost,
    rom_cost,
    scaled,
)
from ...design.border import pixel_biases
from ...design.design import Design
from ...design.population import DesignPopulation
from ...facts import fact
from ...model.network import READOUT
from ..cost import state_style, sums_cost, sums_of_trains
from ..fit import unfit_weights, wide_sums
from ..observation import Observation, firing_of
from ..plan import Given, LayerPlan, step_sums
from ..refusals import no_sums
from .widths import RateWidths


class RateSums(LayerPlan):
    """Sums of trains of integrate-and-fire neurons, whose 0 is no event, beyond the planes too."""

    @classmethod
    def refuses_network(cls, design: Design) -> str | None:
        if design.dynamics == "lif":
            return (
                "there is no RTL for a leak: leaky integrate-and-fire neurons are a baseline that "
                "the golden model runs (use signfire evaluate, or the dynamics if)"
            )
        theta, fmt = design.input.threshold, design.input_format
        if theta is not None and theta[0] < fmt.high - fmt.low:
            return (
                f"there is no RTL for an input whose threshold is less than its range, {theta[0]} "
                f"below {fmt.high - fmt.low} (the golden model runs it: use signfire evaluate)"
            )
        return None

    @classmethod
    def of(cls, given: Given, **numbers: Any) -> Self:
        plan = super().of(given, **numbers)
        silent = (0,) * plan.source_code.steps
        return replace(plan, readers=tuple(replace(r, beyond=silent) for r in plan.readers))


class RatePlan(RateSums):
    """A layer of integrate-and-fire neurons: the sums of a step go to them as they are.

    trains -> [readers -> synapses -> neurons] -> trains
    """

    kind = "rate"
    hardware = "RateLayer"

    @classmethod
    def claims(cls, design: Design, population: DesignPopulation) -> bool:
        return design.dynamics != "signgd" and population.function != READOUT

    @classmethod
    def refuses(cls, design: Design, population: DesignPopulation) -> str:
        return no_sums(design, population)

    @fact
    def widths(self) -> RateWidths:
        """Of constants, currents and membranes."""
        return self._widths_of(self.population)

    @property
    def held_widths(self) -> RateWidths:
        """Widths that the numbers in the memories need."""
        return self._widths_of(self.held)

    def _widths_of(self, population: DesignPopulation) -> RateWidths:
        low, high = step_sums(population)
        assert population.threshold is not None
        return RateWidths.of(
            low=low,
            high=high,
            bias=pixel_biases(population.operands[0].bias, population.shape)[:, 0],
            threshold=population.threshold,
            steps=self.source_code.steps,
        )

    @property
    def threshold(self) -> np.ndarray:
        """(outputs,) θ, held in memory."""
        assert self.held.threshold is not None
        return self.held.threshold

    @property
    def constant_width(self) -> int:
        """Bits of a word of the ROM of B and B - θ."""
        return self.lanes * 2 * self.widths.constants

    def cost(self) -> dict[str, Resources]:
        return sums_of_trains(self, sums_cost) | {"neurons": rate_neurons_cost(self)}

    def differences(self) -> Iterator[str]:
        yield from unfit_weights(self)
        yield from wide_sums(self)
        for what, needed, there in (
            ("B and B - θ", self.held_widths.constants, self.widths.constants),
            ("currents", self.held_widths.current, self.widths.current),
            ("membranes", self.held_widths.membrane, self.widths.membrane),
        ):
            if needed > there:
                yield f"{what} of {self.name!r} need {needed} bits, and {there} are there"

    def observations(self) -> tuple[Observation, ...]:
        return (
            *self.sums_seen,
            *firing_of(self.lanes, self.widths.membrane),
            self.trains_seen,
        )


def rate_neurons_cost(plan: RatePlan) -> Resources:
    """Price both currents and both sums of a lane, their choice, membranes and trains."""
    technology, lanes, steps = plan.technology, plan.lanes, plan.source_code.steps
    width, membrane = plan.widths.current, plan.widths.membrane
    constants = rom_cost(technology, plan.constant_words, plan.constant_width, False)
    state = lanes * (membrane + steps)
    memory = ram_cost(technology, plan.groups, state, state_style(plan, state))
    lane = Resources(
        lut=2 * carry_luts(technology, width) + 2 * carry_luts(technology, membrane) + 2 * membrane,
        ff=plan.total_width + 2 * width + 2 * membrane + steps,
        lone_ff=plan.total_width
        + steps
        + 2 * (apart_from_adder(technology, width) + apart_from_adder(technology, membrane)),
    )
    order = address_bits(plan.groups) + address_bits(steps) + 2 * address_bits(plan.constant_words)
    return constants + memory + scaled(lane, lanes) + Resources(lut=2 * order + 12, ff=order + 12)
