"""Requantised: numbers of layers that multiply X by a factor, F of X·M / 2^S."""

from collections.abc import Iterator

import numpy as np

from ..design.population import bits_for
from ..facts import fact
from ..model.ties import shifted
from .plan import LayerPlan


class RequantisedPlan(LayerPlan):
    """A layer whose integrators are requantised, with one factor or one for each sign of X."""

    @property
    def has_two_factors(self) -> bool:
        """Whether the sign of X chooses between two factors."""
        operand = self.population.operands[0]
        return operand.below is not None and not operand.is_magnitude

    @property
    def has_plain_relu(self) -> bool:
        """Whether targets are max(F, 0) and nothing else: no table, no clamp."""
        return self.population.function == "relu" and self.population.limit is None

    @property
    def greatest_factor(self) -> int:
        """Of the shape's factors."""
        operand = self.population.operands[0]
        factors = [operand.multiplier]
        if self.has_two_factors:
            assert operand.below is not None
            factors.append(operand.below)
        return max(int(each.max()) for each in factors)

    @fact
    def factor(self) -> np.ndarray:
        """(outputs,) requantisation factors, held in memory; that for X < 0 in the upper bits."""
        operand = self.held.operands[0]
        if not self.has_two_factors:
            return operand.multiplier
        assert operand.below is not None
        return operand.multiplier | operand.below << self.factor_bits

    @fact
    def factor_bits(self) -> int:
        """Bits of a factor."""
        return self.greatest_factor.bit_length()

    @property
    def stored_factor_bits(self) -> int:
        """Bits of a word of factors."""
        return self.factor_bits * (2 if self.has_two_factors else 1)

    @property
    def ties(self) -> str:
        """What happens to ties where F is made of X."""
        return self.population.operand_ties

    def target_of(self, product: int) -> int:
        """Return F of X·M."""
        return shifted(product, self.shift, self.ties)

    @fact
    def requantised_range(self) -> tuple[int, int]:
        """Bounds of F, counted from the first entry of a table; of max(F, 0) for ReLU."""
        greatest = self.x_bound * self.greatest_factor
        high = self.target_of(greatest)
        if self.has_plain_relu:
            return 0, high
        first = 0 if self.population.table is None else self.population.table.first
        return min(-high - first, -1), max(high - first, 0)

    @property
    def requantised_width(self) -> int:
        """Signed width of F."""
        low, high = self.requantised_range
        return bits_for(min(low, -1), high)

    def holds(self, wanted: LayerPlan) -> bool:
        assert isinstance(wanted, RequantisedPlan), "another plan of this layer is of its kind"
        reach = self.requantised_range[1].bit_length()
        return super().holds(wanted) and wanted.requantised_range[1].bit_length() <= reach

    def greatest_target(self, bounds: np.ndarray) -> int:
        """Return the greatest F of the numbers that are held, for |X| of at most ``bounds``."""
        operand = self.held.operands[0]
        multipliers = operand.multiplier
        if operand.below is not None and self.has_two_factors:
            multipliers = np.maximum(multipliers, operand.below)
        pairs = zip(bounds, multipliers, strict=True)
        return self.target_of(max(int(x) * int(m) for x, m in pairs))

    def targets_crowd(self, bounds: np.ndarray) -> float:
        """Return the greatest F over the greatest that registers hold."""
        held = self.requantised_range[1]
        most = 2 ** held.bit_length() - 1
        if not self.has_plain_relu:
            most = 2 ** (self.requantised_width - 1) - 1
        return self.greatest_target(bounds) / max(1, most)

    def wide_targets(self, bounds: np.ndarray) -> Iterator[str]:
        """Yield what does not fit of factors and of what they make of integrators.

        ``bounds`` are the greatest |X| by output, (outputs,) int64.
        """
        operand = self.held.operands[0]
        multipliers = operand.multiplier
        if operand.below is not None and self.has_two_factors:
            multipliers = np.maximum(multipliers, operand.below)
        factor = int(multipliers.max())
        if factor.bit_length() > self.factor_bits:
            limit = 2**self.factor_bits - 1
            yield (
                f"requantisation factors of {self.name!r} reach {factor}, and {self.factor_bits} "
                f"bits hold {limit}"
            )
        code, held = self.population.spike_code, self.requantised_range[1]
        target = self.greatest_target(bounds)
        if not self.has_plain_relu:  # what comes behind clamps
            first = 0 if self.population.table is None else self.population.table.first
            if bits_for(-target - first - 1, target - first) > self.requantised_width:
                yield (
                    f"requantised inputs of {self.name!r} reach {target}, and its registers less"
                )
            return

        def widths(high: int) -> tuple[int, int]:
            """Bits of a target, and of rest - target."""
            step = max(code.eta)
            return high.bit_length(), bits_for(min(code.rest - high, -step), max(code.rest, step))

        if any(a > b for a, b in zip(widths(target), widths(held), strict=True)):
            limit = 2 ** held.bit_length() - 1
            yield f"targets of {self.name!r} reach {target}, and its neurons hold up to {limit}"
