"""Read-out of all logits at once, and results of several logits a word, one after the other."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .readout import result_layout


class ReadoutAtOnce(wiring.Component):
    """Finish all logits of a sample, x = bias + 2^shift·total, and find the first of the greatest.

    Every two logits are compared at once, in a register; the class is the one that reaches all
    behind it and is reached by none before it.

    Timing: ``LATENCY`` cycles from ``valid`` to the result, one less to x. Accepts a sample a
    cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    bias
        Of every output.
    total_width, x_width
        Signed widths of sums and of logits.
    shift
        Places by which a sum moves up.

    Members
    -------
    valid : In
    total : In, outputs x signed(total_width)
    x_valid, x : Out, outputs x signed(x_width)
    result_valid : Out
    result : Out, a word of :func:`.readout.result_layout` for every output, as they would come one
        after the other; ``label`` counts in the last alone and is 0 in the others
    """

    LATENCY = 2
    X_LATENCY = 1

    valid: Signal
    total: data.View
    x_valid: Signal
    x: data.View
    result_valid: Signal
    result: data.View

    def __init__(
        self, *, bias: Sequence[int], total_width: int, x_width: int, shift: int = 1
    ) -> None:
        self.shift = shift
        self.bias = [int(b) for b in bias]
        outputs = len(self.bias)
        self.one = result_layout(logit_width=x_width, outputs=outputs)
        super().__init__(
            {
                "valid": In(1),
                "total": In(data.ArrayLayout(signed(total_width), outputs)),
                "x_valid": Out(1),
                "x": Out(data.ArrayLayout(signed(x_width), outputs)),
                "result_valid": Out(1),
                "result": Out(data.ArrayLayout(self.one, outputs)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        outputs = len(self.bias)
        m.d.comb += [
            self.x_valid.eq(delayed(m, self.valid, 1, name="x_valid")),
            self.result_valid.eq(delayed(m, self.valid, 2, name="result_valid")),
        ]

        # Stage a: logits. Stage b: which of two is at least the other.
        reaches: dict[tuple[int, int], Signal] = {}
        for i, bias in enumerate(self.bias):
            x = Signal.like(self.x[i], name=f"x_{i}", reset_less=True)
            m.d.sync += x.eq((self.total[i] << self.shift) + bias)
            m.d.comb += [
                self.x[i].eq(x),
                self.result[i].logit.eq(delayed(m, x, 1, name=f"logit_{i}", reset_less=True)),
                self.result[i].last.eq(i == outputs - 1),
            ]
        for i in range(outputs):
            for j in range(i + 1, outputs):
                reaches[i, j] = Signal(name=f"reaches_{i}_{j}", reset_less=True)
                m.d.sync += reaches[i, j].eq(self.x[i] >= self.x[j])
        # The first that reaches all behind it is the greatest.
        label: Value = Const(outputs - 1, len(self.result[0].label))
        for i in reversed(range(outputs - 1)):
            wins = Cat(reaches[i, j] for j in range(i + 1, outputs)).all()
            label = Mux(wins, i, label)
        m.d.comb += self.result[outputs - 1].label.eq(label)
        return m


class OneByOne(wiring.Component):
    """Hand on the logits of a word one after the other, lane 0 first.

    A word stays offered until its last logit is taken. Combinational but for the count.

    Members
    -------
    words : In, stream of ``lanes`` results
    results : Out, stream of results
    """

    words: stream.Interface
    results: stream.Interface

    def __init__(self, *, layout: data.StructLayout, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {
                "words": In(stream.Signature(data.ArrayLayout(layout, lanes))),
                "results": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        lane = Signal(range(self.lanes))
        last = lane == self.lanes - 1
        m.d.comb += [
            self.results.valid.eq(self.words.valid),
            self.results.payload.as_value().eq(
                self.words.payload.as_value().word_select(
                    lane, Shape.cast(self.results.payload.shape()).width
                )
            ),
            self.words.ready.eq(self.results.ready & last),
        ]
        with m.If(self.results.valid & self.results.ready):
            m.d.sync += lane.eq(Mux(last, 0, lane + 1))
        return m
