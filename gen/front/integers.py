"""Integers of constants: what quantised weights are whole multiples of.

Of weights a quantiser is computed while a model is read, and its integers are kept beside the
numbers.
"""

from collections.abc import Mapping
from typing import Any

import torch

CLAMPING = ("clamp", "clamp_min", "clamp_max", "hardtanh", "minimum", "maximum")
MOVING = (  # operators that move elements alone
    "alias", "clone", "contiguous", "detach", "lift_fresh_copy", "view", "_unsafe_view", "reshape",
    "flatten", "squeeze", "unsqueeze", "t", "transpose", "permute", "slice", "select", "expand",
    "numpy_T", "to", "_to_copy",
)  # fmt: skip
QUANTISING = (
    "fake_quantize_per_tensor_affine",
    "fake_quantize_per_channel_affine",
    "quantized_decomposed::dequantize_per_tensor",
    "quantized_decomposed::dequantize_per_channel",
)


def integers_of(
    name: str, arguments: Mapping[str, Any], result: torch.Tensor
) -> torch.Tensor | None:
    """Return the whole numbers that quantised weights are multiples of, of the result's shape.

    Parameters
    ----------
    name
        Of the operator that computed ``result`` of constants.
    arguments
        Of it; a :class:`.graph.Constant` has ``tensor`` and may have ``integers``.
    result
        Its numbers.

    Returns
    -------
    torch.Tensor or None
        float64 integers, the zero point taken off; ``None`` where nothing says that there are any.
    """
    if not result.is_floating_point():
        return None
    if name == "round":
        return result.double()
    if name in QUANTISING:
        scale = arguments.get("scale", arguments.get("scales"))
        steps = torch.as_tensor(getattr(scale, "tensor", scale)).double()
        if steps.numel() > 1:
            steps = steps.reshape([-1 if d == arguments["axis"] else 1 for d in range(result.ndim)])
        return (result.double() / steps).round()
    given = (getattr(value, "integers", None) for value in arguments.values())
    known = [integers for integers in given if integers is not None]
    if len(known) != 1:
        return None
    if name in ("mul", "div"):
        return known[0] if known[0].shape == result.shape else None
    if name in (*CLAMPING, "add", "sub"):
        whole = result.double()
        return whole if bool((whole == whole.round()).all()) else None
    return None
