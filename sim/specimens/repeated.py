"""Random Designs of windows over repeated pixels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...gen.design.design import Design
from ...gen.design.folding import Folding
from ...gen.design.population import DesignPopulation
from ...gen.model.maps import Conv, Dense, Layout, LinearMap, Window
from ...gen.model.maps.repeated import Repeated, repeated_planes
from ...gen.model.network import INPUT, READOUT
from .chains import empty_map, image_layout, plane_codes, plane_design, random_operand


def random_repeated(
    *,
    seed: int = 0,
    planes: tuple[int, int, int] = (2, 2, 3),
    repeat: tuple[int, int] = (2, 2),
    reader: Mapping[str, Any] | None = None,
    turned: bool = False,
    outputs: int = 2,
    code: str = "silent",
    steps: int = 3,
    input_steps: int = 3,
    weight_bits: int = 4,
    folding: Mapping[str, Folding] | None = None,
) -> Design:
    """Return ``source``, windows over its repeated pixels (``behind``), and a dense read-out.

    Parameters
    ----------
    planes
        Of the source: channels, height, width; a sample has as many pixels and one channel.
    repeat
        How often each pixel stands, down and right.
    reader
        Map of the repeated planes, as a layer of :func:`.chains.random_windows`; ``None`` is a
        convolution of 3x3, padded, with two outputs.
    turned
        The source is a dense layer, whose neurons come channel after channel; else a convolution
        of one pixel.
    outputs
        Of the read-out.

    The other parameters are those of :func:`.chains.random_windows`.
    """
    rng = np.random.default_rng(seed)
    spec = reader or {"conv": 2, "window": (3, 3), "padding": (1, 1, 1, 1)}
    channels, height, width = planes
    first, hidden = plane_codes(code, steps, input_steps, (0, 255))
    populations = [
        DesignPopulation(name="input", shape=(height, width), function=INPUT, code=first)
    ]

    def add(name: str, linear: LinearMap, last: bool = False) -> None:
        own = None if last else hidden
        populations.append(
            DesignPopulation(
                name=name,
                shape=linear.out_shape,
                function=READOUT if last else "relu",
                code=own,
                operands=(random_operand(rng, populations[-1], linear, weight_bits, code=own),),
            )
        )

    size = height * width
    if turned:
        add("source", Dense(np.zeros((channels * size, size), np.int64), (height, width)))
    else:
        pixel = {"conv": channels, "window": (1, 1)}
        shape = (height, width)
        add("source", empty_map("conv", pixel, shape, image_layout(shape)))
    seen = repeated_planes(planes, repeat)
    windows = empty_map(next(iter(spec)), dict(spec), seen, Layout(planes=seen))
    assert isinstance(windows, Conv | Window)
    source = populations[-1].shape
    add(
        "behind",
        Repeated(in_shape=source, layout=Layout(planes=planes), repeat=repeat, windows=windows),
    )
    behind = populations[-1].shape
    add("out", Dense(np.zeros((outputs, int(np.prod(behind))), np.int64), behind), last=True)
    return plane_design(f"repeated{seed}", (0, 255), populations, folding)
