"""Estimate: what a folded Design costs on a device family, by arithmetic alone.

Every figure comes from the plans' numbers and from how the hardware is built, see :mod:`..cost`.
Block RAM and multipliers are counted as synthesis counts them; LUTs and flip-flops are close, which
the tests repeat.
"""

from dataclasses import dataclass

from ..cost import Budget, Resources, total
from ..design.design import Design
from ..technology import Technology, find_technology
from .plans import plan_layers

PARTS = (
    "encoder",
    "buffer",
    "weights",
    "synapses",
    "integrators",
    "maxima",
    "neurons",
    "fifo",
    "control",
)


@dataclass(frozen=True, kw_only=True)
class LayerEstimate:
    """Resources of one layer by part, see :data:`PARTS`; the input's only part is the encoder."""

    name: str
    parts: dict[str, Resources]

    @property
    def resources(self) -> Resources:
        return total(self.parts.values())


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a Design costs; the host link is not part of it."""

    technology: str
    layers: tuple[LayerEstimate, ...]
    budget: Budget | None = None

    @property
    def resources(self) -> Resources:
        return total(layer.resources for layer in self.layers)

    @property
    def parts(self) -> dict[str, Resources]:
        """Over all layers, by part."""
        return {
            part: total(layer.parts[part] for layer in self.layers if part in layer.parts)
            for part in PARTS
        }

    @property
    def fits(self) -> bool | None:
        """Whether the budget holds; ``None`` without one."""
        return None if self.budget is None else self.budget.fits(self.resources)


def estimate(
    design: Design, technology: Technology | str, budget: Budget | None = None
) -> Estimate:
    """Estimate the core of a folded Design, behind the host link where ``budget`` is beside one.

    Raises
    ------
    ValueError
        If the design is not folded, or is not what the RTL can build.
    """
    technology = find_technology(technology)
    entry, plans = plan_layers(design, technology)
    encoder = entry.cost(linked=budget is not None and budget.linked)
    layers = [LayerEstimate(name=entry.name, parts={"encoder": encoder})]
    layers += [LayerEstimate(name=plan.name, parts=plan.cost()) for plan in plans]
    return Estimate(technology=technology.name, layers=tuple(layers), budget=budget)
