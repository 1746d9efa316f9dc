"""Neurons as thresholds: the trains of settled neurons, out of constant comparisons."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed


class ThresholdNeurons(wiring.Component):
    """Fire neurons whose every step asks whether a number reaches a constant.

    e(t) = total >= thresholds[e(0), ..., e(t-1)]

    A settled neuron steps up where its membrane lies below its target. Which membrane that is, the
    events so far say; and where the target does not fall while the total grows, it lies above from
    some total on. All comparisons are made at once, in LUTs, and registered; the events choose
    among them.

    Timing: ``LATENCY`` cycles. Accepts a total for every neuron a cycle; neither provides nor
    respects backpressure.

    Parameters
    ----------
    thresholds
        For every neuron 2^T - 1 integers: that of step 0, those of step 1 after no event and after
        one, those of step 2 after 00, 01, 10, 11, the earliest event being the first digit.
    width
        Signed width of a total.

    Members
    -------
    valid : In
    total : In, lanes x signed(width)
    train_valid : Out
    train : Out, lanes words of T bits, bit t is e(t)
    """

    LATENCY = 1

    valid: Signal
    total: data.View
    train_valid: Signal
    train: data.View

    def __init__(self, *, thresholds: Sequence[Sequence[int]], width: int) -> None:
        self.thresholds = [[int(threshold) for threshold in row] for row in thresholds]
        self.steps = (len(self.thresholds[0]) + 1).bit_length() - 1
        if any(len(row) + 1 != 1 << self.steps for row in self.thresholds):
            raise ValueError(
                f"a neuron of T steps has 2^T - 1 thresholds, not {len(self.thresholds[0])}"
            )
        self.width = width
        lanes = len(self.thresholds)
        super().__init__(
            {
                "valid": In(1),
                "total": In(data.ArrayLayout(signed(width), lanes)),
                "train_valid": Out(1),
                "train": Out(data.ArrayLayout(unsigned(self.steps), lanes)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += self.train_valid.eq(delayed(m, self.valid, 1, name="valid"))
        for lane, thresholds in enumerate(self.thresholds):
            reached = Signal(len(thresholds), name=f"reached_{lane}", reset_less=True)
            total = self.total[lane].as_unsigned()
            m.d.sync += reached.eq(
                Cat(reaches(total, threshold, self.width) for threshold in thresholds)
            )
            events: list[Value] = []
            for step in range(self.steps):
                first = (1 << step) - 1
                options = [reached[first + k] for k in range(1 << step)]
                for event in events:  # the earliest one chooses between halves
                    half = len(options) // 2
                    options = [
                        Mux(event, one, zero)
                        for zero, one in zip(options[:half], options[half:], strict=True)
                    ]
                events.append(options[0])
            m.d.comb += self.train[lane].eq(Cat(events))
        return m


def reaches(number: Value, threshold: int, width: int) -> Value:
    """Return whether a signed number, given as its ``width`` bits, is at least ``threshold``.

    A chain of ANDs and ORs from the lowest bit that matters on: synthesis makes a carry chain of
    a comparison, with twice the LUTs.
    """
    offset = 1 << width - 1
    level = threshold + offset  # beside the number with its sign turned, which is unsigned
    if level <= 0:
        return Const(1)
    if level >= 1 << width:
        return Const(0)
    found: Value = Const(1)
    for bit in range(width):
        own = ~number[bit] if bit == width - 1 else number[bit]
        if level >> bit & 1:
            found = own & found
        elif level & ((1 << bit) - 1):
            found = own | found
    return found
