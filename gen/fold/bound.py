"""Bound: the fewest cycles in which a device's memories and LUTs could do a sample's work."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..design.parallel import has_synapses
from ..layers.constant_cost import logic_cost
from ..layers.plan import LayerPlan

BLOCK_RAM_PORTS, LUTS = RESOURCES = ("block RAM ports", "LUTs")


@dataclass(frozen=True, kw_only=True)
class Bound:
    """How far a folded Design is from what its device could do.

    Parameters
    ----------
    interval
        Cycles from one sample to the next.
    cycles
        By resource, the fewest cycles a sample in which all of the resource would do.
    slowest
        Layer that is busy longest with a sample.
    """

    interval: int
    cycles: dict[str, float]
    slowest: str

    @property
    def resource(self) -> str:
        """The resource that limits: no folding of this network on this device is faster."""
        return max(self.cycles, key=self.cycles.__getitem__)

    @property
    def factor(self) -> float:
        """Interval in multiples of the bound."""
        return self.interval / max(self.cycles.values())


def weight_bits_read(plan: LayerPlan) -> int:
    """Bits of weights that a sample needs at least: each once for every window, all steps at once.

    Weights that several inputs share in turn are read once, and plain factors (pooling) and those
    that are logic never.
    """
    if plan.folding.is_logic or all(reader.map.fixed for reader in plan.readers):
        return 0
    return plan.windows * plan.tiles * plan.weight_words * plan.word_bits


def adding_luts(plan: LayerPlan) -> int:
    """LUTs times cycles that the gated additions of a sample take at least.

    An input of an output takes T gates, and as many adders, of a LUT a bit of the weight; weights
    that are logic take what they take. A maximum adds nothing.
    """
    if not has_synapses(plan.population) and len(plan.readers) == 1:
        return 0
    if plan.folding.is_logic:
        return plan.windows * plan.planes * logic_cost(plan).lut
    inputs = sum(r.words * (1 if r.apart else plan.folding.simd) for r in plan.readers)
    additions = plan.windows * plan.outputs * inputs * plan.readers[0].steps
    return additions * 2 * plan.weight_bits


def bound_of(plans: Sequence[LayerPlan], interval: int, *, luts: int, block_ram_bits: int) -> Bound:
    """Return the bound of a device.

    Every block RAM gives one word a cycle, and all weights lie in block RAM; every LUT is a gate
    or a bit of an adder, in every cycle. Both are out of reach: control, neurons and the host link
    take LUTs too, and words seldom fill a block's port.

    Parameters
    ----------
    plans
        Of a folded Design.
    interval
        Cycles from one sample to the next, see :func:`signfire.gen.layers.cycles.steady`.
    luts, block_ram_bits
        LUTs of the device, and bits that all its block RAMs give a cycle.
    """
    return Bound(
        interval=interval,
        cycles={
            BLOCK_RAM_PORTS: sum(map(weight_bits_read, plans)) / block_ram_bits,
            LUTS: sum(map(adding_luts, plans)) / luts,
        },
        slowest=max(plans, key=lambda plan: plan.interval).name,
    )
