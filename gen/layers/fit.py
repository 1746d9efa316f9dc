"""Fit: what the memories of a layer would hold that its registers cannot, shared by kinds."""

from collections.abc import Iterator

import numpy as np

from ..design.border import pixel_biases
from ..design.population import bits_for
from ..readers.reader import Reader
from .plan import LayerPlan


def unfit_weights(plan: LayerPlan) -> Iterator[str]:
    """Yield where shift, biases by pixel, or weights are not those of the shape."""
    name, operand = plan.name, plan.held.operands[0]
    if operand.shift != plan.shift:
        yield f"shift S of {name!r} must be {plan.shift}, not {operand.shift}"
    if plan.folding.is_logic and any(_other_weights(reader) for reader in plan.readers):
        yield (
            f"weights of {name!r} are logic, which no memory holds: they cannot be replaced (fold "
            f"it with synapse=events)"
        )
    if not plan.border.tells(pixel_biases(operand.bias, plan.held.shape)):
        yield (
            f"biases of {name!r} must be the same at all pixels of a kind, of which its "
            f"hardware knows {plan.border.count}"
        )
    for reader in plan.readers:
        bits = plan.first_bits if reader.apart else plan.weight_bits
        limit = 2 ** (bits - 1) - 1
        least, greatest = int(reader.weights.min(initial=0)), int(reader.weights.max(initial=0))
        if greatest > limit:
            yield f"weights of {name!r} reach {greatest}, and {bits} bits hold {limit}"
        elif least < -limit - (plan.packed < 2):  # where fields borrow, one more does not fit
            held = f"{bits} bits" + (" of a shared multiplier" if plan.packed > 1 else "")
            lowest = -limit - (plan.packed < 2)
            yield f"weights of {name!r} reach {least}, and {held} hold {lowest}"


def _other_weights(reader: Reader) -> bool:
    """Whether the weights that are held are not those of the shape."""
    return not np.array_equal(reader.map.weights, reader.held_map.weights)


def held_bounds(plan: LayerPlan) -> np.ndarray:
    """Return the greatest |X| of the numbers that are held, (outputs,) int64."""
    bounds = np.abs(pixel_biases(plan.held.operands[0].bias, plan.held.shape)).max(axis=1)
    return bounds + reach_of(plan)


def reach_of(plan: LayerPlan) -> np.ndarray:
    """Return the greatest |Σ W value| of the weights that are held, (outputs,) int64."""
    reach = np.zeros(plan.outputs, np.int64)
    for reader in plan.readers:
        farthest = max(abs(reader.source_code.low), abs(reader.source_code.high))
        reach += farthest * np.abs(reader.weights).sum(axis=1) * reader.shares
    return reach


def wide_integrators(plan: LayerPlan, bounds: np.ndarray) -> Iterator[str]:
    """Yield where integrators of such bounds do not fit."""
    bound = int(bounds.max())
    if bits_for(-bound, bound) > plan.x_width:
        limit = 2 ** (plan.x_width - 1) - 1
        yield f"integrators of {plan.name!r} reach {bound}, and {plan.x_width} bits hold {limit}"


def wide_sums(plan: LayerPlan) -> Iterator[str]:
    """Yield where sums of one step, or of all, do not fit."""
    weights = plan.weights * plan.shares
    low = int(np.minimum(weights, 0).sum(axis=1).min()) * plan.sum_scale
    high = int(np.maximum(weights, 0).sum(axis=1).max()) * plan.sum_scale
    if bits_for(min(low, -1), high) > plan.total_width:
        limit = 2 ** (plan.total_width - 1)
        yield (
            f"sums of {plan.name!r} reach {low}..{high}, and {plan.total_width} bits hold "
            f"{-limit}..{limit - 1}"
        )


def crowding(plan: LayerPlan) -> np.ndarray:
    """Return by how many times each output's numbers pass what its registers hold, (outputs,).

    At most 1 where sums and integrators fit. Weights, and with them X, that are divided by it do.
    """
    weights = plan.weights * plan.shares
    low = -np.minimum(weights, 0).sum(axis=1) * plan.sum_scale
    high = np.maximum(weights, 0).sum(axis=1) * plan.sum_scale
    limit, most = 2 ** (plan.total_width - 1), 2 ** (plan.x_width - 1) - 1
    return np.max([low / limit, high / max(1, limit - 1), held_bounds(plan) / most], axis=0)
