"""Kinds of layer: the only place that knows all of them."""

from ..design.design import Design
from ..design.population import DesignPopulation
from .maximum.plan import MaximumPlan
from .minimum.plan import MinimumPlan
from .neurons.plan import NeuronsPlan
from .pair.product import ProductPlan
from .pair.quotient import QuotientPlan
from .pair.root import RootPlan
from .plan import LayerPlan
from .rate.plan import RatePlan
from .rate_readout.plan import RateReadoutPlan
from .readout.plan import ReadoutPlan

LAYERS: tuple[type[LayerPlan], ...] = (
    NeuronsPlan,
    ReadoutPlan,
    MaximumPlan,
    ProductPlan,
    QuotientPlan,
    RootPlan,
    MinimumPlan,
    RatePlan,
    RateReadoutPlan,
)


def layer_kind(design: Design, population: DesignPopulation) -> type[LayerPlan]:
    """Return the kind of a population.

    Raises
    ------
    TypeError
        If no kind claims it.
    """
    for kind in LAYERS:
        if kind.claims(design, population):
            return kind
    raise TypeError(f"no kind of layer is {population.name!r}, {population.function}")
