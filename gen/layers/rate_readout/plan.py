"""Numbers of the read-out of integrate-and-fire neurons."""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from ...design.design import Design
from ...design.population import DesignPopulation
from ...model.network import READOUT
from ..fit import reach_of, unfit_weights, wide_integrators, wide_sums
from ..plan import Given
from ..rate.plan import RateSums
from ..readout.plan import ReadoutPlan


class RateReadoutPlan(RateSums, ReadoutPlan):
    """The read-out of integrate-and-fire neurons: X = T·B + Σ_t Σ_j W s, every event worth one."""

    kind = "rate_readout"

    @classmethod
    def claims(cls, design: Design, population: DesignPopulation) -> bool:
        return design.dynamics != "signgd" and population.function == READOUT

    @classmethod
    def refuses(cls, design: Design, population: DesignPopulation) -> str:
        if population.size != population.shape[0]:
            return "has planes for outputs, which integrate-and-fire read-outs do not"
        return super().refuses(design, population)

    @classmethod
    def of(cls, given: Given, **numbers: Any) -> Self:
        return super().of(given, weighted=False, **numbers)

    @property
    def step_shift(self) -> int:
        return 0

    @property
    def sum_scale(self) -> int:
        return self.source_code.steps

    @property
    def sum_places(self) -> int:
        return 0

    @property
    def together(self) -> bool:
        return False

    @property
    def folded_bias(self) -> np.ndarray:
        """(1, outputs) T·B, everything constant in X."""
        return self.bias * self.source_code.steps

    def differences(self) -> Iterator[str]:
        bounds = np.abs(self.folded_bias).max(axis=0) + reach_of(self)
        yield from unfit_weights(self)
        yield from self.other_biases()
        yield from wide_integrators(self, bounds)
        yield from wide_sums(self)
