"""Numbers of neurons of one operand."""

from collections.abc import Iterator

from ...cost import Resources
from ...design.design import Design
from ...design.population import DesignPopulation, bits_for
from ...facts import fact
from ...model.network import MAX, READOUT
from ..cost import sums_of_trains
from ..fit import held_bounds, unfit_weights, wide_integrators, wide_sums
from ..observation import TARGET, Observation, firing_of
from ..refusals import no_sums
from ..requantised import RequantisedPlan
from .cost import neurons_cost


class NeuronsPlan(RequantisedPlan):
    """Integrators, requantisation, a function and neurons, of signGD.

    trains -> [readers -> synapses -> integrators -> requantise -> f -> neurons] -> trains
    """

    kind = "neurons"
    hardware = "NeuronLayer"

    @classmethod
    def claims(cls, design: Design, population: DesignPopulation) -> bool:
        other = len(population.operands) != 1 or population.function in (MAX, READOUT)
        return design.dynamics == "signgd" and not other

    @classmethod
    def refuses(cls, design: Design, population: DesignPopulation) -> str:
        return no_sums(design, population)

    @property
    def is_magnitude(self) -> bool:
        """Whether |X| is requantised."""
        return self.population.operands[0].is_magnitude

    @fact
    def target_range(self) -> tuple[int, int]:
        """Least and greatest f(F); beyond the code's ends F makes no difference to a neuron."""
        table, code, limit = self.population.table, self.population.code, self.population.limit
        if table is not None:
            return int(table.entries.min()), int(table.entries.max())
        low, high = self.requantised_range
        if self.has_plain_relu:
            return low, high
        assert code is not None
        if self.population.function in ("relu", "abs"):
            low = 0
        end = code.high + 1 if limit is None else min(code.high + 1, limit)
        low = max(low, code.low)
        return low, max(low, min(high, end))

    @property
    def target_width(self) -> int:
        """Signed width of a target."""
        low, high = self.target_range
        return bits_for(min(low, -1), high)

    @property
    def membrane_width(self) -> int:
        """Signed width of v."""
        code = self.population.code
        assert code is not None
        return bits_for(min(code.low, -1), code.high)

    def cost(self) -> dict[str, Resources]:
        return sums_of_trains(self) | {"neurons": neurons_cost(self)}

    def differences(self) -> Iterator[str]:
        bounds = held_bounds(self)
        yield from unfit_weights(self)
        yield from wide_integrators(self, bounds)
        yield from wide_sums(self)
        yield from self.wide_targets(bounds)

    def observations(self) -> tuple[Observation, ...]:
        return (
            *self.integrators_seen,
            Observation(
                quantity="target",
                when=TARGET,
                valid="target_valid",
                port="target",
                lanes=self.lanes,
                bits=self.target_width,
            ),
            *firing_of(self.lanes, self.membrane_width),
            self.trains_seen,
        )
