"""Goal: what a search for a folding seeks, and what a folded Design is worth by it."""

from collections.abc import Sequence

import numpy as np

from ..core.plans import core_timing, plan_layers
from ..cost import Resources
from ..design.design import Design
from ..layers.cycles import predict
from ..layers.plan import LayerPlan
from ..technology import Technology

LATENCY, THROUGHPUT, ENERGY = GOALS = ("latency", "throughput", "energy")

COUNTED = 16  # samples over which a latency that depends on silence is averaged
TRIED = 6  # intervals that are tried
FARTHEST = 6  # times the shortest interval, beyond which none is tried for the sake of latency
ALIKE = 1.02  # latencies that far apart count as equal: the one of fewest cells is taken
BLOCK_CELLS = 20  # logic cells that switch as much as a DSP block


def class_latency(design: Design, technology: Technology) -> float:
    """Return the cycles from taking the first word of a sample to its class; exact.

    Where layers skip silent words, the mean over samples that were counted.
    """
    timing = core_timing(design, technology)
    busy = {
        plan.name: plan.activity.busy(plan.readers[0].word, plan.folding.unroll)[:, None]
        for plan in plan_layers(design, technology)[1]
        if plan.skips and plan.activity is not None
    }
    if not busy:
        return predict(timing, 1).latency(0)
    count = min(len(table) for table in busy.values())
    chosen = np.unique(np.linspace(0, count - 1, COUNTED).astype(int))
    each = (
        predict(timing, 1, busy={name: table[[n]] for name, table in busy.items()}) for n in chosen
    )
    return float(np.mean([prediction.latency(0) for prediction in each]))


def energy_proxy(resources: Resources, interval: int, idle_cells: float) -> float:
    """Return logic cells times cycles that a sample switches, what stands by counted in cells."""
    cells = resources.lut + resources.lone_ff + BLOCK_CELLS * resources.multipliers
    return (cells + idle_cells) * interval


def tail_of(plan: LayerPlan) -> float:
    """Return which share of a layer's cycles comes after the last word of a source, 0..1.

    Of windows those that read the last lines; of whole samples all.
    """
    shares = []
    for reader in plan.readers:
        bands = reader.bands
        late = sum(band.windows for band in bands if band.needs >= bands[-1].frees)
        shares.append(late / sum(band.windows for band in bands))
    return max(shares)


def spread(targets: Sequence[int], farthest: float) -> list[int]:
    """Return a few of ascending intervals, evenly by their ratio, up to ``farthest`` the first."""
    within = [target for target in targets if target <= farthest * targets[0]]
    wanted = np.geomspace(within[0], within[-1], TRIED)
    return sorted({min(within, key=lambda target: abs(target - want)) for want in wanted})
