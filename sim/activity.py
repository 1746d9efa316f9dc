"""Activity of a Design's trains on samples: what layers that skip silent words have to read."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..gen.design.activity import Activity
from ..gen.design.design import Design
from ..gen.design.population import DesignPopulation
from ..gen.layers.plan import LayerPlan
from ..gen.model.maps import raster_order
from ..gen.model.network import INPUT
from ..gen.readers.kinds import reader_kind
from . import golden

MOST_SAMPLES, FEWEST_SAMPLES = 64, 8  # that are counted for a Design
MOST_NEURONS = 2**21  # times samples, beyond which fewer samples are


def as_sent(population: DesignPopulation, events: np.ndarray) -> np.ndarray:
    """Return events (..., neurons) of C order in the order in which the trains are sent."""
    if population.function == INPUT:
        return events
    return events[..., raster_order(population.shape)]


def busy_words(
    plans: Sequence[LayerPlan], batches: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return by layer that skips silent words how many others it reads.

    Parameters
    ----------
    plans
        Of all layers.
    batches
        Events by population, (samples, T, neurons) bool of C order.

    Returns
    -------
    (samples, windows, planes) int64 each, see :func:`signfire.gen.layers.cycles.predict`.
    """
    readers = {plan.name: plan.readers[0] for plan in plans if plan.skips}
    found: dict[str, list[np.ndarray]] = {name: [] for name in readers}
    for events in batches if readers else ():
        for name, reader in readers.items():
            sent = as_sent(reader.source, events[reader.source.name])
            found[name].append(reader.busy(sent))
    return {name: np.concatenate(each) for name, each in found.items()}


def busy_of(design: Design, plans: Sequence[LayerPlan], raw: np.ndarray) -> dict[str, np.ndarray]:
    """Return :func:`busy_words` of raw samples, by the golden model."""
    names = {plan.source.name for plan in plans if plan.skips}
    return busy_words(plans, golden.events_of(design, raw, names) if names else ())


def counted(design: Design, raw: np.ndarray) -> dict[str, Activity]:
    """Count the words with events that a layer could read alone, by population.

    Of raw samples :data:`MOST_SAMPLES` are counted, of large networks fewer; they are taken evenly
    out of all of them.
    """
    sources = {}
    for population in design.populations[1:]:
        read = list(population.sources)
        source = design[read[0].source] if len(read) == 1 else None
        if source is not None and reader_kind(source, read[0].map).queue:
            sources[source.name] = source
    if not sources or not len(raw):
        return {}
    size = sum(p.size for p in design.populations)
    most = min(len(raw), MOST_SAMPLES, max(FEWEST_SAMPLES, MOST_NEURONS // size))
    chosen = raw[np.linspace(0, len(raw) - 1, most).astype(int)]
    batches = list(golden.events_of(design, chosen, list(sources)))
    return {
        name: Activity.of(as_sent(p, np.concatenate([events[name] for events in batches])))
        for name, p in sources.items()
    }
