"""Numbers of an input that fires as signGD neurons do."""

from ...cost import Resources, apart_from_adder, carry_luts, scaled
from ...design.design import Design
from ...design.population import bits_for
from ...layers.cost import neuron_cost, ties_cost
from ...model.codes import SpikeCode
from ...model.ties import shifted
from ..plan import InputPlan


class FiredInput(InputPlan):
    """Samples p that fire on F = ceil(p M / 2^S)."""

    kind = "fired"
    hardware = "make_encoder"

    @classmethod
    def claims(cls, design: Design) -> bool:
        code = design.input.code
        return design.dynamics == "signgd" and not (code is not None and code.is_binary)

    @property
    def spike_code(self) -> SpikeCode:
        assert isinstance(self.code, SpikeCode), "the input's code is that of the dynamics"
        return self.code

    @property
    def membrane_width(self) -> int:
        return bits_for(min(self.code.low, -1), self.code.high)

    def cost(self, *, linked: bool = False) -> Resources:
        """Product by a constant, rounding and neurons for every lane."""
        fmt, technology = self.format, self.technology
        high = max(0, shifted(fmt.high * fmt.multiplier, fmt.shift, self.ties))
        low = min(0, shifted(fmt.low * fmt.multiplier, fmt.shift, self.ties))
        target = bits_for(min(low, -1), high)
        lane = product_cost(self) + Resources(
            ff=target, lone_ff=apart_from_adder(technology, target)
        )
        neuron = neuron_cost(technology, self.spike_code.rest, self.spike_code.eta, low, high)
        return scaled(lane + neuron, self.lanes) + Resources(lut=10, ff=4)


def product_cost(plan: FiredInput) -> Resources:
    """Price p M / 2^S of one lane: additions for the digits of M, and the rounding."""
    fmt, technology = plan.format, plan.technology
    odd = fmt.multiplier // (fmt.multiplier & -fmt.multiplier)  # the zeros below cost nothing
    terms = (odd ^ 3 * odd).bit_count()  # digits 1 and -1 that sum up to it, for the fewest
    width = plan.raw_bits + odd.bit_length()
    additions = Resources(lut=terms * carry_luts(technology, width))
    return additions + ties_cost(plan.ties, fmt.shift)
