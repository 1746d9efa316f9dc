"""Random Designs of networks that fork and join."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...gen.design.design import Design
from ...gen.design.folding import Folding
from ...gen.design.population import DesignOperand, DesignPopulation, DesignProjection
from ...gen.model.functions import UNARY, FunctionTable, make_table
from ...gen.model.maps import Layout, LinearMap, Window
from ...gen.model.network import INPUT, MAX, READOUT
from .chains import (
    SEEN,
    empty_map,
    image_layout,
    plane_codes,
    plane_design,
    random_maximum,
    random_operand,
)

Branch = tuple[str, Mapping[str, Any]]  # population that is read, and what random_windows takes

WIDE = {"window": (3, 3), "padding": (1, 1, 1, 1)}
RESIDUAL: dict[str, Sequence[Branch]] = {  # identity, 1x1 of stride 2, a slice among zeros
    "first": [("input", {"conv": 4, **WIDE})],
    "inner1": [("first", {"conv": 4, **WIDE})],
    "join1": [("inner1", {"conv": 4, **WIDE}), ("first", {"pick": (0, 1, 2, 3), "bits": 9})],
    "inner2": [("join1", {"conv": 6, **WIDE, "stride": (2, 2)})],
    "join2": [
        ("join1", {"conv": 6, "window": (1, 1), "stride": (2, 2)}),
        ("inner2", {"conv": 6, **WIDE}),
    ],
    "inner3": [("join2", {"conv": 8, **WIDE, "stride": (2, 2)})],
    "join3": [
        ("join2", {"pick": (-1, 0, 1, 2, 3, 4, 5, -1), "stride": (2, 2), "bits": 7}),
        ("inner3", {"conv": 8, **WIDE}),
    ],
    "out": [("join3", {"pooled": 3})],
}
CONCATENATION: dict[str, Sequence[Branch]] = {  # of channels in front of a convolution and behind
    "left": [("input", {"conv": 4, **WIDE})],
    "right": [("left", {"conv": 2, "window": (1, 1)})],
    "both": [("left", {"conv": 4, **WIDE}), ("right", {"conv": 4, **WIDE})],
    "beside": [
        ("both", {"pick": (0, 1, 2, 3, -1, -1)}),
        ("right", {"pick": (-1, -1, -1, -1, 0, 1)}),
    ],
    "out": [("beside", {"pooled": 3})],
}
MIXING: dict[str, Sequence[Branch]] = {  # 6 tokens of 5 channels: mixed, mixed by an inner layer
    "emb": [("input", {"conv": 5, "window": (1, 1)})],
    "mix1": [
        ("emb", {"conv": 6, "window": (1, 1), "turned": True}),
        ("emb", {"pick": (0, 1, 2, 3, 4, 5), "turned": True, "bits": 9}),
    ],
    "inner1": [("mix1", {"conv": 7, "window": (1, 1), "turned": True})],
    "sum1": [
        ("inner1", {"conv": 5, "window": (1, 1)}),
        ("mix1", {"pick": (0, 1, 2, 3, 4), "turned": True, "bits": 9}),
    ],
    "tokens2": [("sum1", {"conv": 4, "window": (1, 1), "turned": True})],
    "mix2": [
        ("sum1", {"pick": (0, 1, 2, 3, 4, 5), "turned": True, "bits": 9}),
        ("tokens2", {"conv": 6, "window": (1, 1)}),
    ],
    "out": [("mix2", {"pooled": 3, "turned": True})],
}
EVERYTHING: dict[str, Sequence[Branch]] = {  # forks, joins, a maximum
    "first": [("input", {"conv": 2, **WIDE})],
    "inner": [("first", {"conv": 2, "window": (1, 2), "padding": (0, 0, 1, 0)})],
    "sum": [
        ("inner", {"conv": 3, "window": (1, 1)}),
        ("first", {"pick": (1, -1, 0), "bits": 7}),
    ],
    "greatest": [("sum", {"max": (2, 2), "stride": (2, 2)})],
    "out": [("greatest", {"dense": 3}), ("greatest", {"pooled": 3})],
}


def random_joins(
    *,
    seed: int = 0,
    shape: tuple[int, ...] = (7, 6),
    layers: Mapping[str, Sequence[Branch]] = RESIDUAL,
    code: str = "silent",
    steps: int = 3,
    input_steps: int | None = None,
    weight_bits: int = 4,
    input_range: tuple[int, int] = (0, 255),
    folding: Mapping[str, Folding] | None = None,
    functions: Mapping[str, str] | None = None,
) -> Design:
    """Return layers of windows, each of which sums what it reads of others; settled and binary.

    Parameters
    ----------
    layers
        By name what each reads: populations before it, and of each a map as in
        :func:`.specimen.random_windows`, or ``pick`` with the channels that the outputs read and
        ``bits``, the width of their factors. Either may be ``turned``: pixels are channels and
        channels pixels; or ``seen`` as a :class:`.maps.Layout`. Of a maximum, ``max``, that is all
        that is read. The last is the read-out.
    input_steps
        ``None`` takes ``steps``, so that the input may be joined too.
    functions
        Of the layers that are not ``relu``: ``linear``, or one of a table.

    The other parameters are those of :func:`.specimen.random_windows`.
    """
    rng = np.random.default_rng(seed)
    input_code, hidden = plane_codes(code, steps, input_steps or steps, input_range)
    known = {
        INPUT: DesignPopulation(name=INPUT, shape=shape, function=INPUT, code=input_code),
    }
    layouts = {INPUT: image_layout(shape) if len(shape) > 1 else Layout.of(shape)}
    for name, branches in layers.items():
        own = None if name == list(layers)[-1] else hidden
        if MAX in branches[0][1]:
            [(source, spec)] = branches
            known[name] = random_maximum(name, dict(spec), known[source], layouts[source])
            layouts[name] = Layout.of(known[name].shape)
            continue
        function = READOUT if own is None else (functions or {}).get(name, "relu")
        table = make_table(UNARY[function], (), hidden, SEEN) if function in UNARY else None
        operand = _joined(
            [
                _branch(rng, known[source], layouts[source], dict(spec), weight_bits, own, table)
                for source, spec in branches
            ]
        )
        known[name] = DesignPopulation(
            name=name,
            shape=operand.projections[0].map.out_shape,
            function=function,
            code=own,
            operands=(operand,),
            table=table,
        )
        layouts[name] = Layout.of(known[name].shape)
    return plane_design(f"joins{seed}", input_range, known.values(), folding)


def _branch(
    rng: np.random.Generator,
    source: DesignPopulation,
    layout: Layout,
    spec: dict[str, Any],
    weight_bits: int,
    code,
    table: FunctionTable | None,
) -> DesignOperand:
    """Return the operand of one projection."""
    layout = spec.pop("seen", layout)
    if spec.pop("turned", False):
        layout = turned_layout(layout)
    if "pick" not in spec:
        empty: LinearMap = empty_map(next(iter(spec)), spec, source.shape, layout)
        return random_operand(rng, source, empty, weight_bits, code=code, table=table)
    sources, bits = spec.pop("pick"), spec.pop("bits", 2)
    limit = 2 ** (bits - 1) - 1
    factor = rng.integers(1, limit + 1, len(sources))
    factor[0] = limit
    window = Window(
        in_shape=source.shape, layout=layout, factor=factor, sources=tuple(sources), **spec
    )
    operand = random_operand(rng, source, window, weight_bits, code=code, table=table)
    projection = DesignProjection(source=source.name, map=window, weight_bits=bits)
    return DesignOperand(
        projections=(projection,),
        bias=operand.bias,
        scale=operand.scale,
        multiplier=operand.multiplier,
        shift=operand.shift,
    )


def turned_layout(layout: Layout) -> Layout:
    """Return the planes of one line whose channels are the pixels of such planes."""
    (channels, height, width), (first, second, third) = layout.planes, layout.axes
    return Layout(planes=(height * width, 1, channels), axes=(third, second, first))


def _joined(operands: Sequence[DesignOperand]) -> DesignOperand:
    """Return the sum of operands, requantised as that of them whose sums are greatest."""
    least = min(operands, key=lambda op: float(op.multiplier.mean()) / 2**op.shift)
    return DesignOperand(
        projections=tuple(q for op in operands for q in op.projections),
        bias=sum((op.bias for op in operands[1:]), operands[0].bias),
        scale=least.scale,
        multiplier=least.multiplier,
        shift=least.shift,
    )
