"""RTL of a read-out."""

from typing import Any

from amaranth.hdl import Module, Shape, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....hdl.readout import Readout, result_layout
from ....hdl.readout_at_once import ReadoutAtOnce
from ....hdl.storage import Rom
from ..rtl import IntegratingLayer, LayerLatency, SummingLayer
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


class ReadoutLayerAtOnce(SummingLayer):
    """The read-out of all logits in one word; ports of :class:`LayerComponent`.

    trains -> [reader -> synapses -> accumulators -> read-out -> FIFO] -> logits and class
    """

    def _make_parts(self, plan: ReadoutPlan) -> None:
        super()._make_parts(plan)
        self.readout = ReadoutAtOnce(
            bias=plan.folded_bias[0].tolist(),
            total_width=plan.total_width,
            x_width=plan.x_width,
            shift=plan.sum_places,
        )
        self.layout = self.readout.result.shape()

    @property
    def roms(self) -> dict[str, Rom]:
        return self.weight_roms

    @property
    def pushed(self) -> Signal:
        return self.readout.result_valid

    @property
    def observed(self) -> dict[str, Any]:
        return super().observed | {"x_valid": self.readout.x_valid, "x": self.readout.x}

    @classmethod
    def latency_of(cls, plan: ReadoutPlan) -> LayerLatency:
        first = ReadoutAtOnce.X_LATENCY
        return LayerLatency(
            total=cls.sums_latency(plan),
            drain=0,
            x=first,
            target=0,
            result=ReadoutAtOnce.LATENCY - first,
        )

    def _finish(self, m: Module) -> None:
        m.submodules.readout = readout = self.readout
        m.d.comb += [readout.valid.eq(self.tile_valid), readout.total.eq(self.accumulator.total)]
        self._queue(m, readout.result)


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
