"""Small Designs whose neurons fire against the minimum of two operands."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...gen.convert.calibrate import calibrate
from ...gen.convert.options import Options
from ...gen.design.design import Design
from ...gen.design.folding import Folding
from ...gen.model.maps import Conv, Dense, Layout, LinearMap, Planes, Window
from ...gen.model.network import INPUT, READOUT, Network, Operand, Population, Projection


def minima_network(
    *,
    seed: int = 0,
    planes: Planes = (2, 3, 3),
    channels: int = 4,
    join: bool = False,
    alike: bool = False,
    outputs: int = 3,
) -> Network:
    """Return ``input`` - ``first`` - ``least`` - ``out``.

    ``first`` is a ReLU of single pixels. The operands of ``least`` are a 3x3 convolution of it, and
    a 1x1 convolution of the same: both have one source.

    Parameters
    ----------
    planes
        Of a sample.
    join
        The first operand also adds ``first`` itself, and the second reads the input instead.
    alike
        The second operand is the same for all channels.
    """
    rng = np.random.default_rng(seed)
    inner = (channels, planes[1], planes[2])
    layout = Layout(planes=inner)

    def conv(source: Planes, size: int) -> Conv:
        kernel = rng.normal(0, (size * size * source[0]) ** -0.5, (channels, source[0], size, size))
        if alike and size == 1 and source == read:
            kernel[:] = kernel[:1]
        edge = size // 2
        return Conv(
            in_shape=source,
            layout=Layout(planes=source),
            kernel=kernel,
            padding=(edge, edge, edge, edge),
        )

    def operand(*each: tuple[str, LinearMap], bias: float) -> Operand:
        return Operand(
            projections=tuple(Projection(source=name, map=of) for name, of in each),
            bias=np.full((channels, 1, 1), bias),
        )

    name, read = (INPUT, planes) if join else ("first", inner)
    own = Window(
        in_shape=inner, layout=layout, factor=np.ones(channels), sources=tuple(range(channels))
    )
    entry = Population(
        name="first",
        shape=inner,
        function="relu",
        operands=(operand((INPUT, conv(planes, 1)), bias=10.0),),
    )
    into = [("first", conv(inner, 3)), *([("first", own)] if join else [])]
    least = Population(
        name="least",
        shape=inner,
        function="minimum",
        operands=(operand(*into, bias=0.0), operand((name, conv(read, 1)), bias=5.0)),
    )
    matrix = rng.normal(size=(outputs, int(np.prod(inner))))
    out = Population(
        name="out",
        shape=(outputs,),
        function=READOUT,
        operands=(
            Operand(
                projections=(Projection(source="least", map=Dense(matrix, inner)),),
                bias=rng.normal(size=outputs),
            ),
        ),
    )
    first = Population(name=INPUT, shape=planes, function=INPUT)
    return Network(name=f"minima{seed}", populations=(first, entry, least, out))


def random_minima(
    *,
    seed: int = 0,
    steps: int = 4,
    input_steps: int = 4,
    weight_bits: int = 6,
    folding: Mapping[str, Folding] | None = None,
    **network: Any,
) -> Design:
    """Return a calibrated Design of :func:`minima_network`, settled and binary."""
    made = minima_network(seed=seed, **network)
    rng = np.random.default_rng(seed)
    samples = rng.integers(-100, 100, (64, *made.input.shape)).astype(np.int8)
    options = Options(steps=steps, input_steps=input_steps, weight_bits=weight_bits)
    design = calibrate(made, samples, options)
    return design if folding is None else design.with_folding(folding)
