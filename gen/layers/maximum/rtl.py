"""RTL of maxima over windows."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data

from ....hdl.delay import delayed
from ....hdl.integrator import Drain
from ....hdl.running_maximum import RunningMaximum
from ....hdl.storage import Rom
from ..rtl import LayerLatency, TiledLayer, read_latency
from .plan import MaximumPlan


class MaximumLayer(TiledLayer):
    """Maxima over windows: trains are compared as they are read, and the greatest is handed on.

        trains -> [line buffer -> running maximum -> drain -> FIFO] -> trains

    Buffer, walk, credit and FIFO are those of any layer of windows; so are the ports.
    """

    def _make_parts(self, plan: MaximumPlan) -> None:
        pe, steps = plan.folding.pe, plan.source_code.steps
        self.maximum = RunningMaximum(lanes=pe, steps=steps)
        self.drain = Drain(pe=pe, lanes=plan.lanes, width=steps, pace=plan.pace)
        self.layout = data.ArrayLayout(unsigned(steps), plan.lanes)

    @property
    def roms(self) -> dict[str, Rom]:
        """Nothing of the Design lies in a memory."""
        return {}

    @property
    def observed(self) -> dict[str, Any]:
        return {"greatest_valid": self.greatest_valid, "greatest": self.maximum.greatest}

    @classmethod
    def latency_of(cls, plan: MaximumPlan) -> LayerLatency:
        total = read_latency(plan) + RunningMaximum.LATENCY
        return LayerLatency(total=total, drain=Drain.LATENCY, x=0, target=0, result=0)

    def _integrate(self, m: Module) -> None:
        """Lead trains to the comparison."""
        plan, sequencer = self.plan, self.sequencer
        m.submodules.maximum = maximum = self.maximum
        m.submodules.drain = drain = self.drain
        depth = read_latency(plan)
        pe = plan.folding.pe
        events = delayed(m, self.events, depth - 1, name="events", reset_less=True)
        done = sequencer.valid & sequencer.last_word
        self.greatest_valid = delayed(m, done, depth + 1, name="done")
        m.d.comb += [
            maximum.valid.eq(delayed(m, sequencer.valid, depth, name="valid")),
            maximum.first.eq(
                delayed(m, sequencer.first_word, depth, name="first", reset_less=True)
            ),
            # the buffer gives step after step, of each a bit a lane
            *(maximum.trains[lane].eq(Cat(events[lane::pe])) for lane in range(pe)),
            drain.load.eq(self.greatest_valid),
            drain.results.as_value().eq(maximum.greatest.as_value()),
        ]

    @property
    def pushed(self) -> Signal:
        return self.drain.valid

    def _finish(self, m: Module) -> None:
        self._queue(m, self.drain.group)
