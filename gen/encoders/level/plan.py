"""Numbers of an input whose trains stand at once."""

from ...cost import Resources, apart_from_adder, carry_luts, scaled
from ...design.design import Design
from ...design.linkformat import SampleFormat
from ...model.ties import shifted
from ..fired.plan import FiredInput, product_cost


class LevelInput(FiredInput):
    """Samples p of the binary schedule: the train is the number of the level next to F.

    F is that of an input that fires, and so is the train; but all steps of it are known at once, as
    F stands still. No neuron fires, and none is observed.
    """

    kind = "level"
    hardware = "make_encoder"

    @classmethod
    def claims(cls, design: Design) -> bool:
        code = design.input.code
        return design.dynamics == "signgd" and code is not None and code.is_binary

    @property
    def steps(self) -> int:
        return 0

    def cost(self, *, linked: bool = False) -> Resources:
        """Price a product by a constant, which level, and the clamp where F goes beyond, a lane.

        Where the link sends the number of a train, and there are all trains, a lane is wires: of a
        sample that the link gives, the level is its number again.
        """
        if linked and self._is_wires:
            steps = self.spike_code.steps
            return scaled(Resources(ff=steps, lone_ff=steps), self.lanes) + Resources(lut=2, ff=1)
        code, fmt, technology = self.spike_code, self.format, self.technology
        ends = (shifted(end * fmt.multiplier, fmt.shift, self.ties) for end in (fmt.low, fmt.high))
        low, high = sorted(ends)
        bits, bottom = code.steps, code.rest - code.total
        clamps = (low < bottom) + (high > bottom + 2 * code.total + 1)
        offset = carry_luts(technology, bits + 1) if bottom else 0
        lane = Resources(
            lut=offset + clamps * (bits + 1),
            ff=bits,
            lone_ff=0 if clamps else apart_from_adder(technology, bits),
        )
        return scaled(product_cost(self) + lane, self.lanes) + Resources(lut=2, ff=1)

    @property
    def _is_wires(self) -> bool:
        sent = SampleFormat.of_input(self.size, self.format, self.spike_code, self.ties)
        return sent.table is not None and len(sent.table) == 2**self.spike_code.steps
