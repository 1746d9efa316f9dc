"""Read-out: logits as they come, and the class of the greatest."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .words import label_bits


def result_layout(*, logit_width: int, outputs: int) -> data.StructLayout:
    """One word of the result stream; ``label`` is the class where ``last`` is set."""
    return data.StructLayout(
        {
            "logit": signed(logit_width),
            "label": unsigned(label_bits(outputs)),
            "last": 1,
        }
    )


class Readout(wiring.Component):
    """Number the logits of a sample and keep the index of the first maximum.

    result(c + LATENCY) = (logit(c), argmax of the logits so far, whether it was the last)

    Accepts one logit every ``PACE`` cycles (the comparison has a register of its own, before the
    best logit is replaced); neither provides nor respects backpressure.

    Members
    -------
    valid, logit : In
    result_valid, result : Out
    """

    LATENCY = 3
    PACE = 2

    valid: Signal
    logit: Signal
    result_valid: Signal
    result: data.View

    def __init__(self, *, logit_width: int, outputs: int) -> None:
        self.outputs, self.logit_width = outputs, logit_width
        self.layout = result_layout(logit_width=logit_width, outputs=outputs)
        super().__init__(
            {
                "valid": In(1),
                "logit": In(signed(logit_width)),
                "result_valid": Out(1),
                "result": Out(self.layout),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        index = Signal(range(self.outputs))

        # Stage a: count. Stage b: compare with the best so far. Stage c: keep the better.
        a_valid = delayed(m, self.valid, 1, name="a_valid")
        b_valid = delayed(m, a_valid, 1, name="b_valid")
        a_first, a_index = Signal(), Signal.like(index)
        b_index, b_last = Signal.like(index), Signal()
        a_logit, b_logit = Signal.like(self.logit), Signal.like(self.logit)
        # The best is kept inverted: a - best - 1 = a + ~best is one carry chain without inverters.
        inverse_best, label, better = Signal.like(self.logit), Signal.like(index), Signal()
        above = (a_logit + inverse_best)[-1] == 0
        m.d.sync += [
            a_first.eq(index == 0),
            a_index.eq(index),
            a_logit.eq(self.logit),
            better.eq(a_first | above),
            b_index.eq(a_index),
            b_last.eq(a_index == self.outputs - 1),
            b_logit.eq(a_logit),
        ]
        with m.If(self.valid):
            m.d.sync += index.eq(Mux(index == self.outputs - 1, 0, index + 1))
        m.d.sync += self.result_valid.eq(b_valid)
        with m.If(b_valid):
            m.d.sync += [self.result.logit.eq(b_logit), self.result.last.eq(b_last)]
            with m.If(better):
                m.d.sync += [inverse_best.eq(~b_logit), label.eq(b_index)]
        m.d.comb += self.result.label.eq(label)
        return m
