"""RTL of integrate-and-fire neurons."""

from typing import Any

from amaranth.hdl import Module, Signal

from ....hdl.integrate_fire import IntegrateFireNeurons, integrate_fire_latency
from ....hdl.integrator import Drain
from ....hdl.storage import Rom
from ..plan import FEEDBACK_CYCLES
from ..rtl import DrainedLayer, LayerLatency
from .plan import RatePlan


class RateLayer(DrainedLayer):
    """Integrate-and-fire neurons: the sums of a step are their currents, but for the bias.

        trains -> [readers -> synapses -> drain -> neurons -> FIFO] -> trains

    Ports are those of :class:`LayerComponent`.
    """

    def _make_parts(self, plan: RatePlan) -> None:
        if FEEDBACK_CYCLES < IntegrateFireNeurons.FEEDBACK:
            raise ValueError("the plan is faster than the components")
        super()._make_parts(plan)
        self.neurons = IntegrateFireNeurons(
            lanes=plan.lanes,
            groups=plan.groups,
            steps=plan.source_code.steps,
            sum_width=plan.total_width,
            constant_width=plan.widths.constants,
            current_width=plan.widths.current,
            membrane_width=plan.widths.membrane,
            bias=plan.bias[0].tolist(),
            threshold=plan.threshold.tolist(),
            style=plan.technology.rom_style(plan.constant_words, plan.constant_width),
            registered=plan.technology.rom_registered,
        )
        self.layout = self.neurons.train.shape()

    @property
    def roms(self) -> dict[str, Rom]:
        return self.weight_roms | {"constants": self.neurons.rom}

    @property
    def pushed(self) -> Signal:
        return self.neurons.train_valid

    @property
    def observed(self) -> dict[str, Any]:
        neurons = self.neurons
        return super().observed | {
            "firing": neurons.firing,
            "membrane": neurons.membrane,
            "event": neurons.event,
        }

    @classmethod
    def latency_of(cls, plan: RatePlan) -> LayerLatency:
        """Neurons take the sums themselves: no X and no target stand between."""
        fired = integrate_fire_latency(registered=plan.technology.rom_registered)
        return LayerLatency(
            total=cls.sums_latency(plan), drain=Drain.LATENCY, x=0, target=0, result=fired
        )

    @classmethod
    def firing(cls, plan: RatePlan) -> tuple[int, int, bool]:
        return cls.latency_of(plan).result, 1, True

    def _finish(self, m: Module) -> None:
        m.submodules.neurons = neurons = self.neurons
        m.d.comb += [neurons.valid.eq(self.drain.valid), neurons.total.eq(self.drain.group)]
        self._queue(m, neurons.train)
