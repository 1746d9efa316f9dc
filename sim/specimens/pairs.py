"""Small Designs whose neurons have two operands: normalisation, quotients and products of rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...gen.convert.calibrate import calibrate
from ...gen.convert.options import LayerOptions, Options
from ...gen.design.design import Design
from ...gen.design.folding import Folding
from ...gen.model.maps import Conv, Dense, Layout, LinearMap, Pooled, Window
from ...gen.model.network import INPUT, LINEAR, READOUT, Network, Operand, Population, Projection
from ...gen.model.several import SEVERAL

UNARY_OF = {"divide_root": "square", "divide": "abs"}  # of the second operand, else a sigmoid


def pairs_network(
    *,
    seed: int = 0,
    function: str = "divide_root",
    shared: bool = True,
    rows: tuple[int, int] = (1, 5),
    features: int = 6,
    channels: int = 8,
    residual: bool = False,
    outputs: int = 3,
) -> Network:
    """Return ``input`` - ``first`` - ``second`` - ``pair`` - ``out``.

    ``first`` is linear, ``second`` a function of one operand, that of the first less its mean. The
    operands of ``pair`` are the first less its mean, and a sum of the second; so a LayerNorm is
    made of root and square.

    Parameters
    ----------
    function
        Of the pair.
    shared
        The sum is that over all channels; else each channel has a sum of its own, or none: of a
        product the second itself.
    rows
        (height, width): as many vectors of ``features`` numbers as a sample has.
    channels
        Of the layers between.
    residual
        The read-out also reads the first.
    """
    rng = np.random.default_rng(seed)
    planes = (channels, *rows)
    layout = Layout(planes=planes)

    def conv(kernel: np.ndarray, in_shape=planes, of=layout, *, fixed: bool = True) -> Conv:
        return Conv(in_shape=in_shape, layout=of, kernel=kernel[:, :, None, None], fixed=fixed)

    def operand(source: str, linear: LinearMap, bias: float = 0.0) -> Operand:
        return Operand(
            projections=(Projection(source=source, map=linear),), bias=np.full((1, 1, 1), bias)
        )

    def layer(name: str, function: str, *operands: Operand) -> Population:
        each = np.ones((channels, 1, 1))
        operands = tuple(Operand(projections=o.projections, bias=o.bias * each) for o in operands)
        return Population(name=name, shape=planes, function=function, operands=operands)

    identity = Window(
        in_shape=planes, layout=layout, factor=np.ones(channels), sources=tuple(range(channels))
    )
    weights = rng.normal(0, features**-0.5, (channels, features))
    sample = Layout(planes=(features, *rows), axes=(2, 0, 1))
    centred = conv(np.eye(channels) - 1 / channels)
    sums: LinearMap = conv(np.full((channels, channels), 1 / channels))
    if not shared:
        positive = rng.uniform(0, 1 / channels, (channels, channels))
        sums = conv(positive, fixed=False) if SEVERAL[function].divides else identity
    matrix = rng.normal(size=(outputs, channels))
    readers = ["pair", "first"] if residual else ["pair"]
    populations = (
        Population(name=INPUT, shape=(*rows, features), function=INPUT),
        layer(
            "first",
            LINEAR,
            operand(INPUT, conv(weights, (*rows, features), sample, fixed=False), 0.1),
        ),
        layer("second", UNARY_OF.get(function, "sigmoid"), operand("first", centred)),
        layer(
            "pair",
            function,
            operand("first", centred),
            operand("second", sums, 0.05 if SEVERAL[function].divides else 0.0),
        ),
        Population(
            name="out",
            shape=(outputs,),
            function=READOUT,
            operands=(
                Operand(
                    projections=tuple(
                        Projection(
                            source=name,
                            map=Pooled(matrix=matrix * (k + 1), in_shape=planes, layout=layout)
                            if k
                            else Dense(rng.normal(size=(outputs, int(np.prod(planes)))), planes),
                        )
                        for k, name in enumerate(readers)
                    ),
                    bias=rng.normal(size=outputs),
                ),
            ),
        ),
    )
    return Network(name=f"pairs{seed}", populations=populations)


def random_pairs(
    *,
    seed: int = 0,
    steps: int = 4,
    input_steps: int = 4,
    weight_bits: int = 6,
    layers: Mapping[str, LayerOptions] | None = None,
    folding: Mapping[str, Folding] | None = None,
    **network: Any,
) -> Design:
    """Return a calibrated Design of :func:`pairs_network`, settled and binary.

    ``layers`` are exceptions as of :class:`.calibrate.Options`.
    """
    made = pairs_network(seed=seed, **network)
    rng = np.random.default_rng(seed)
    samples = rng.integers(-100, 100, (64, *made.input.shape)).astype(np.int8)
    options = Options(
        steps=steps, input_steps=input_steps, weight_bits=weight_bits, layers=layers or {}
    )
    design = calibrate(made, samples, options)
    return design if folding is None else design.with_folding(folding)
