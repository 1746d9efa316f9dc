"""Running maximum: the greatest train of a window, found while its trains come by."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class RunningMaximum(wiring.Component):
    """Keep the greatest of the trains that come by on each lane.

    greatest <- train if first or number(train) > number(greatest)

    number(train) = Σ_t 2^(T-1-t) e(t): the first step weighs most. With the binary schedule and
    settled firing a train says the value rest - Ση + 2·number, so the train of the greatest number
    is the train of the greatest value, and nothing has to be summed or fired again.

    Accepts one train a lane and cycle; neither provides nor respects backpressure. The comparison
    is one carry chain of T bits; its result enables the register.

    Parameters
    ----------
    lanes
        Neurons in parallel.
    steps
        T.

    Members
    -------
    valid, first : In; ``first`` marks the first train of a window
    trains : In, lanes words of T bits, bit t the event of step t
    greatest : Out, the same; in the cycle after the last train of a window, its maximum
    """

    LATENCY = 1

    valid: Signal
    first: Signal
    trains: data.View
    greatest: data.View

    def __init__(self, *, lanes: int, steps: int) -> None:
        self.lanes, self.steps = lanes, steps
        layout = data.ArrayLayout(unsigned(steps), lanes)
        super().__init__(
            {"valid": In(1), "first": In(1), "trains": In(layout), "greatest": Out(layout)}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        for lane in range(self.lanes):
            greatest = Signal(self.steps, name=f"greatest_{lane}", reset_less=True)
            train = self.trains[lane]
            greater = Cat(*reversed(train)) > Cat(*reversed(greatest))
            with m.If(self.valid & (self.first | greater)):
                m.d.sync += greatest.eq(train)
            m.d.comb += self.greatest[lane].eq(greatest)
        return m
