"""Summary: what a report says of a converted layer."""

import numpy as np

from ..design.population import DesignPopulation
from ..model.ties import DOWN, shifted


def noise_db(exact: np.ndarray, seen: np.ndarray) -> float | None:
    """Return the signal-to-quantisation-noise ratio in dB, ``None`` where one of them is zero."""
    if np.isneginf(exact).any():  # an operand that is left out says nothing
        exact, seen = exact[~np.isneginf(exact)], seen[~np.isneginf(exact)]
    signal, noise = float((exact**2).mean()), float(((seen - exact) ** 2).mean())
    return round(10 * float(np.log10(signal / noise)), 2) if signal > 0 and noise > 0 else None


def report(population: DesignPopulation, exact: np.ndarray, seen: np.ndarray) -> dict[str, object]:
    """Return what the report says of a layer, as JSON values.

    ``sqnr_db`` compares the operand (of the input, its output) with the float network's.
    """
    return {**summary(population), "sqnr_db": noise_db(exact, seen)}


def zero_of(population: DesignPopulation) -> int:
    """Return the value that neurons settle at for 0, by their rule for ties."""
    if population.ties == DOWN:
        return population.train_code.zero
    return int(population.spike_code.settle(shifted(np.array(0), 0, population.ties)))


def summary(population: DesignPopulation) -> dict[str, object]:
    code, table = population.code, population.table
    return {
        "name": population.name,
        "function": population.function,
        "weight_bits": max(
            (p.weight_bits for p in population.sources if not p.map.fixed), default=None
        ),
        "steps": None if code is None else code.steps,
        "code": None if code is None else code.kind,
        "schedule": None if code is None else code.schedule,
        "unit": None if code is None else code.unit,
        "clip": None if code is None else code.high * code.unit,
        "zero": None if code is None else zero_of(population) * code.unit,
        "sqnr_db": None,
        "ties": None if code is None else population.ties,
        "ties_met": None,  # share of the neurons that were exactly between two levels
        "unlike": None,  # share of those that say another level than in training
        "table": None
        if table is None
        else {
            "entries": len(table.entries),
            "domain": list(table.domain),
            "error_levels": round(table.error, 3),
            "bound_levels": round(table.bound, 3),
        },
    }
