"""Numbers of an input that fires as integrate-and-fire neurons do."""

from ...cost import Resources, address_bits, apart_from_adder, carry_luts, scaled
from ...design.design import Design
from ...design.population import bits_for
from ..plan import InputPlan


class RateInput(InputPlan):
    """Samples that are the currents of integrate-and-fire neurons, of threshold θ."""

    kind = "rate"
    hardware = "make_encoder"

    @classmethod
    def claims(cls, design: Design) -> bool:
        return design.dynamics != "signgd"

    @property
    def membrane_width(self) -> int:
        assert self.threshold is not None
        return bits_for(-1, self.threshold)

    def cost(self, *, linked: bool = False) -> Resources:
        """Price the current of every neuron, I - θ, the choice between the two, the residual."""
        assert self.threshold is not None
        technology = self.technology
        bits, steps = self.threshold.bit_length(), self.code.steps
        offset = 0 if self.format.low == 0 else carry_luts(technology, bits)
        less = carry_luts(technology, bits + 1)
        lane = Resources(
            lut=offset + less + 2 * bits + carry_luts(technology, bits + 1),
            ff=bits + 2 * (bits + 1) + bits + steps - 1,
            lone_ff=2 * bits + steps - 1 + apart_from_adder(technology, bits + 1),
        )
        return scaled(lane, self.lanes) + Resources(lut=10, ff=4 + address_bits(steps))
