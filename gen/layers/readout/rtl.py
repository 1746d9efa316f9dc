"""RTL of a read-out."""

from amaranth.hdl import Module, Shape, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....hdl.readout import Readout, result_layout
from ..rtl import IntegratingLayer, LayerLatency
from .plan import READOUT_PACE, ReadoutPlan


class ReadoutLayer(IntegratingLayer):
    """The read-out; ports of :class:`LayerComponent`, the results {logit, label, last}."""

    def _make_tail(self, plan: ReadoutPlan) -> "ReadoutTail":
        if READOUT_PACE < Readout.PACE:
            raise ValueError("the plan is faster than the components")
        return ReadoutTail(plan)

    @classmethod
    def latency_of(cls, plan: ReadoutPlan) -> LayerLatency:
        return cls.integrated(plan, target=0, result=Readout.LATENCY)


class ReadoutTail(wiring.Component):
    """Logits and class; of X, one after the other.

    Members
    -------
    x_valid, x, factor : In; there are no factors
    result_valid, result : Out
    """

    x_valid: Signal
    x: data.View
    factor: data.View
    result_valid: Signal
    result: data.View

    def __init__(self, plan: ReadoutPlan) -> None:
        self.plan = plan
        self.layout = result_layout(logit_width=plan.x_width, outputs=plan.logits)
        super().__init__(
            {
                "x_valid": In(1),
                "x": In(data.ArrayLayout(Shape(plan.x_width, signed=True), 1)),
                "factor": In(data.ArrayLayout(unsigned(0), 1)),
                "result_valid": Out(1),
                "result": Out(self.layout),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.readout = readout = Readout(
            logit_width=self.plan.x_width, outputs=self.plan.logits
        )
        m.d.comb += [
            readout.valid.eq(self.x_valid),
            readout.logit.eq(self.x[0]),
            self.result_valid.eq(readout.result_valid),
            self.result.eq(readout.result),
        ]
        return m
