"""Random Designs and Networks of a wanted shape: what runs where no model is needed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from ...gen.design.design import Design
from ...gen.design.folding import Folding
from ...gen.design.population import DesignOperand, DesignPopulation, DesignProjection, InputFormat
from ...gen.model.codes import Schedule, SpikeCode, make_code
from ...gen.model.functions import UNARY, FunctionTable, make_table, slope_below
from ...gen.model.maps import Conv, Dense, Layout, LinearMap, Pooled, Sliding, Window
from ...gen.model.network import (
    INPUT,
    LINEAR,
    MAX,
    READOUT,
    Network,
    Operand,
    Population,
    Projection,
)

SEEN = (-3.0, 3.0)  # operands that a table is made for
SHIFT = 12  # of the requantisation; factors M then lie around 2^12 or below


def random_design(
    *,
    seed: int = 0,
    sizes: Sequence[int] = (8, 6, 4),
    firing: str = "settled",
    schedule: Schedule | str = "binary",
    code: str = "silent",
    input_code: str | None = None,
    steps: int | Sequence[int] = 4,
    input_steps: int | None = None,
    weight_bits: int = 4,
    input_range: tuple[int, int] = (0, 255),
    folding: Mapping[str, Folding] | None = None,
    function: str = "relu",
    limit: int | None = None,
) -> Design:
    """Return a perceptron with random weights whose neurons are neither all silent nor all full.

    Parameters
    ----------
    seed
        Of every random number; equal arguments give equal Designs.
    sizes
        Input, hidden layers, outputs; the layers are called ``input``, ``fc1``, ``fc2``, ...
    firing, schedule, code
        As in a Design; ``schedule`` is a :class:`Schedule` or the kind of one.
    input_code
        Code of the input; ``None`` is ``code``, but ``offset`` where raw samples may be negative
        and ``code`` is ``silent``.
    steps
        T of the hidden layers, one number or one for each.
    input_steps
        T of the input; ``None`` takes T of the first hidden layer for overlapped firing, else 2.
    weight_bits
        Of every projection.
    input_range
        Least and greatest raw sample.
    folding
        By layer name; ``None`` leaves the Design unfolded.
    function, limit
        Of the hidden layers: ``relu``, or a key of :data:`.functions.UNARY` with its usual
        parameters; LeakyReLU has the slope 0.1. ``limit`` is the greatest target of a ReLU.
    """
    rng = np.random.default_rng(seed)
    if isinstance(schedule, str):
        schedule = Schedule(kind=schedule)
    hidden = len(sizes) - 2
    each = [steps] * hidden if isinstance(steps, int) else list(steps)
    if input_steps is None:
        input_steps = each[0] if firing == "overlapped" and each else 2
    low, high = input_range
    if input_code is None:
        input_code = "offset" if low < 0 and code == "silent" else code

    codes = [make_code(kind=input_code, schedule=schedule, steps=input_steps, low=low, high=high)]
    codes += [
        make_code(
            kind=code, schedule=schedule, steps=t, low=0 if code == "silent" else -0.5, high=1
        )
        for t in each
    ]
    factor = min(65535, max(1, round(codes[0].high * 2**SHIFT / high)))
    populations = [DesignPopulation(name="input", shape=(sizes[0],), function=INPUT, code=codes[0])]
    for k, size in enumerate(sizes[1:]):
        last = k == hidden
        source = populations[-1]
        own = None if last else codes[k + 1]
        table = slope = None
        if own is not None and function in UNARY:
            parameters = {"leaky_relu": (0.1,), "clamp": (-0.4, 0.8)}.get(function, ())
            slope = slope_below(function, parameters)
            if slope is None:
                table = make_table(UNARY[function], parameters, own, SEEN)
        populations.append(
            DesignPopulation(
                name=f"fc{k + 1}",
                shape=(size,),
                function=READOUT if last else function,
                code=own,
                operands=(
                    random_operand(
                        rng,
                        source,
                        Dense(np.zeros((size, source.size), np.int64), source.shape),
                        weight_bits,
                        code=own,
                        table=table,
                        slope=slope,
                    ),
                ),
                limit=None if last else limit,
                table=table,
            )
        )
    design = Design(
        name=f"random{seed}",
        firing=firing,
        input_format=InputFormat(low=low, high=high, scale=1.0, multiplier=factor, shift=SHIFT),
        populations=tuple(populations),
    )
    return design if folding is None else design.with_folding(folding)


def random_chip(seed: int = 0) -> Design:
    """Return a folded perceptron that is little more than the link, with every kind of cell.

    Its first weights lie in block RAM (in two blocks of an iCE40), those of the readout in logic,
    and a multiplier requantises. Who builds the same one for the same clock builds it once.
    """
    one = Folding(pe=1, simd=1, unroll=1)
    folding = {name: one for name in ("input", "fc1", "fc2")}
    return random_design(seed=seed, sizes=(64, 20, 2), steps=2, folding=folding)


def random_operand(
    rng: np.random.Generator,
    source: DesignPopulation,
    empty: LinearMap,
    weight_bits: int,
    *,
    code: SpikeCode | None,
    table: FunctionTable | None = None,
    slope: float | None = None,
) -> DesignOperand:
    """Return random weights and biases with factors that spread F over the code or the table.

    ``empty`` is the map without weights; fixed coefficients are all 1.
    """
    assert source.code is not None
    limit = 2 ** (weight_bits - 1) - 1
    size, fan_in = empty.weights.shape
    weights = rng.integers(-limit, limit + 1, (size, fan_in))
    weights.flat[0] = limit  # both ends of the range always occur
    weights.flat[-1] = -limit
    strength = limit / 2
    if empty.fixed:
        weights, strength = np.ones((size, fan_in), np.int64), 1.0
    inputs = fan_in * empty.repeats
    spread = strength * max(abs(source.code.low), source.code.high) * inputs**0.5
    bias = np.rint(rng.normal(0, spread / 4, size)).astype(np.int64)
    if code is None:
        multiplier, shift = np.ones(size, np.int64), 0
    else:
        top = max(code.high, 1) if table is None else max(abs(table.first), abs(table.last))
        reach = rng.uniform(0.5, 1.5, size) * top / spread
        shift = SHIFT + max(0, int(np.ceil(-np.log2(reach.min()))) - 2)
        multiplier = np.clip(np.rint(reach * 2**shift), 1, 65535).astype(np.int64)
    unit = 1.0 if code is None else code.unit if table is None else table.unit
    return DesignOperand(
        projections=(
            DesignProjection(
                source=source.name, map=empty.with_weights(weights), weight_bits=weight_bits
            ),
        ),
        bias=bias.reshape(-1, *[1] * (len(empty.out_shape) - 1)),
        scale=multiplier / 2**shift * unit,
        multiplier=multiplier,
        shift=shift,
        below=None if slope is None else np.rint(multiplier * slope).astype(np.int64),
    )


def random_windows(
    *,
    seed: int = 0,
    shape: tuple[int, ...] = (7, 6),
    layers: Sequence[Mapping[str, Any]] = (
        {"conv": 4, "window": (3, 3), "padding": (1, 1, 1, 1)},
        {"pool": (2, 2), "stride": (2, 2)},
        {"dense": 3},
    ),
    code: str = "silent",
    steps: int = 3,
    input_steps: int = 2,
    weight_bits: int = 4,
    input_range: tuple[int, int] = (0, 255),
    folding: Mapping[str, Folding] | None = None,
    schedule: str = "binary",
    limit: int | None = None,
) -> Design:
    """Return a chain of windows over planes, settled, the last layer the read-out.

    Parameters
    ----------
    shape
        Of a sample: (height, width), or (height, width, channels).
    layers
        Of each its kind and number: ``conv`` with the output channels, maybe in ``groups``, and
        ``depthwise`` (True), both with ``window``; ``pool`` (sums) and ``max`` with the window;
        ``dense`` and ``pooled`` with the outputs.
        ``stride`` and ``padding`` as in :class:`signfire.gen.model.maps.Sliding`. The layers are
        called by their kind and position: ``conv1``, ``pool2``, ``dense3``.
    code
        Of the layers between; the input's is ``offset`` where its samples may be negative.
    schedule
        Kind of the step sizes of all of them.
    limit
        Greatest target of the layers between, ``None`` for no limit.
    """
    rng = np.random.default_rng(seed)
    input_code, hidden = plane_codes(code, steps, input_steps, input_range, schedule)
    populations = [DesignPopulation(name="input", shape=shape, function=INPUT, code=input_code)]
    layout = image_layout(shape)
    for k, spec in enumerate(layers, 1):
        kind = next(iter(spec))
        source, last = populations[-1], k == len(layers)
        if kind == MAX:
            populations.append(random_maximum(f"{kind}{k}", dict(spec), source, layout))
            layout = Layout.of(populations[-1].shape)
            continue
        empty = empty_map(kind, dict(spec), source.shape, layout)
        populations.append(
            DesignPopulation(
                name=f"{kind}{k}",
                shape=empty.out_shape,
                function=READOUT if last else "relu",
                code=None if last else hidden,
                operands=(
                    random_operand(rng, source, empty, weight_bits, code=None if last else hidden),
                ),
                limit=None if last else limit,
            )
        )
        if len(empty.out_shape) == 3:
            layout = Layout.of(empty.out_shape)
    return plane_design(f"windows{seed}", input_range, populations, folding)


def behind_means(design: Design, *, seed: int = 0) -> Design:
    """Return the Design with means taken off what its windows read, and padding behind that.

    So it is with normalised images: windows lack at the border what the mean of each channel is
    worth, and the biases differ there. Every layer of one operand that reads padded planes gets
    such means, up to half of its source's range.
    """
    rng = np.random.default_rng(seed)

    def worth(projection: DesignProjection, window: Sliding) -> np.ndarray:
        """Σ W·mean of what lies within the planes, of the population's shape."""
        code, layout = design[projection.source].train_code, window.layout
        means = rng.integers(
            1, (code.high - code.low) // 2, (layout.planes[0], 1, 1), endpoint=True
        )
        means = np.broadcast_to(means, layout.planes)
        source = means.transpose(np.argsort(layout.axes)).reshape(window.in_shape)
        return window.apply(source[None])[0]

    populations = []
    for population in design.populations:
        operands = population.operands
        if len(operands) == 1:
            padded = [
                (q, q.map)
                for q in operands[0].projections
                if isinstance(q.map, Sliding) and max(q.map.padding) > 0
            ]
            bias = operands[0].bias - sum(worth(*each) for each in padded)
            operands = (replace(operands[0], bias=bias),)
        populations.append(replace(population, operands=operands))
    return replace(design, populations=tuple(populations))


def plane_codes(
    code: str,
    steps: int,
    input_steps: int,
    input_range: tuple[int, int],
    kind_of_steps: str = "binary",
) -> tuple[SpikeCode, SpikeCode]:
    """Return the codes of the input and of the layers between, of one kind of schedule."""
    schedule = Schedule(kind=kind_of_steps)
    low, high = input_range
    kind = "offset" if low < 0 else "silent"
    floor = 0 if code == "silent" else -0.5
    return (
        make_code(kind=kind, schedule=schedule, steps=input_steps, low=low, high=high),
        make_code(kind=code, schedule=schedule, steps=steps, low=floor, high=1),
    )


def image_layout(shape: tuple[int, ...]) -> Layout:
    """Return the planes of a sample (height, width) or (height, width, channels)."""
    height, width, *channels = shape
    if channels:
        return Layout(planes=(channels[0], height, width), axes=(2, 0, 1))
    return Layout(planes=(1, height, width))


def plane_design(
    name: str,
    input_range: tuple[int, int],
    populations: Iterable[DesignPopulation],
    folding: Mapping[str, Folding] | None,
) -> Design:
    """Return a settled Design of populations whose input reaches its code's end."""
    first, *others = populations
    low, high = input_range
    assert first.code is not None
    multiplier = min(65535, max(1, round(first.code.high * 2**SHIFT / high)))
    design = Design(
        name=name,
        firing="settled",
        input_format=InputFormat(low=low, high=high, scale=1.0, multiplier=multiplier, shift=SHIFT),
        populations=(first, *others),
    )
    return design if folding is None else design.with_folding(folding)


def random_maximum(
    name: str, spec: dict[str, Any], source: DesignPopulation, layout: Layout
) -> DesignPopulation:
    """Return a maximum over windows that says its source's values; beyond the planes is nothing."""
    size = spec.pop(MAX)
    whole = empty_map("pool", {"pool": size, **spec}, source.shape, layout)
    assert isinstance(whole, Window) and source.code is not None
    top, _, left, _ = whole.padding
    operands = []
    for u, v in product(*map(range, size)):
        ends = [
            (whole.out_planes[k + 1] - 1) * whole.stride[k] + 1 - layout.planes[k + 1] - first
            for k, first in enumerate((top - u, left - v))
        ]
        tap = replace(whole, window=(1, 1), padding=(top - u, ends[0], left - v, ends[1]))
        inside = tap.apply(np.ones((1, *source.shape)))[0] != 0
        operands.append(
            DesignOperand(
                projections=(DesignProjection(source=source.name, map=tap, weight_bits=2),),
                bias=np.where(inside, 0, source.code.low).astype(np.int64),
                scale=np.full(whole.channels, source.code.unit),
                multiplier=np.full(whole.channels, 2**SHIFT, np.int64),
                shift=SHIFT,
            )
        )
    return DesignPopulation(
        name=name,
        shape=whole.out_shape,
        function=MAX,
        code=source.code,
        operands=tuple(operands),
    )


def empty_map(kind: str, spec: dict[str, Any], shape: tuple[int, ...], layout: Layout) -> LinearMap:
    """Return a map of one layer of :func:`random_windows`, its weights 0."""
    number = spec.pop(kind)
    channels = layout.planes[0]
    if kind == "dense":
        return Dense(np.zeros((number, int(np.prod(shape))), np.int64), shape)
    if kind == "pooled":
        return Pooled(matrix=np.zeros((number, channels), np.int64), in_shape=shape, layout=layout)
    if kind == "pool":
        return Window(
            in_shape=shape,
            layout=layout,
            window=number,
            factor=np.ones(channels, np.int64),
            sources=tuple(range(channels)),
            **spec,
        )
    window = spec.pop("window")
    groups = channels if kind == "depthwise" else spec.pop("groups", 1)
    outputs = channels if kind == "depthwise" else number
    kernel = np.zeros((outputs, channels // groups, *window), np.int64)
    return Conv(in_shape=shape, layout=layout, kernel=kernel, groups=groups, **spec)


def random_planes_network(*, seed: int = 0, planes: tuple[int, int, int] = (2, 7, 6)) -> Network:
    """Return a small network of every kind of map: what the tests of convolutions run on.

    ``input`` - ``conv1`` (3x3) - ``depth`` (depthwise, stride 2) - ``join`` (1x1 of depth beside a
    slice of conv1) - ``pool`` (maximum of 2x2) - ``mean`` (average of pairs, no ReLU) -
    ``out`` (pooled).
    """
    rng = np.random.default_rng(seed)

    def layer(name, function, *sources):
        shape = sources[0][1].out_shape
        bias = rng.normal(0, 0.3, (shape[0], *[1] * (len(shape) - 1)))
        operand = Operand(
            projections=tuple(Projection(source=s, map=m) for s, m in sources), bias=bias
        )
        return Population(name=name, shape=shape, function=function, operands=(operand,))

    def conv(shape, n_out, size, **settings):
        per_group = shape[0] // settings.get("groups", 1)
        kernel = rng.normal(0, (per_group * size[0] * size[1]) ** -0.5, (n_out, per_group, *size))
        gains = rng.uniform(0.3, 3.0, (n_out, 1, 1, 1))
        layout = Layout(planes=shape)
        return Conv(in_shape=shape, layout=layout, kernel=kernel * gains, **settings)

    def window(shape, sources, **settings):
        layout = Layout(planes=shape)
        factor = settings.pop("factor", 1.0) * (np.array(sources) >= 0)
        return Window(in_shape=shape, layout=layout, factor=factor, sources=sources, **settings)

    first = layer("conv1", "relu", ("input", conv(planes, 4, (3, 3), padding=(1, 1, 1, 1))))
    down = {"stride": (2, 2), "padding": (1, 1, 0, 1)}
    depth = layer("depth", "relu", ("conv1", conv(first.shape, 4, (3, 3), groups=4, **down)))
    rows, columns = depth.shape[1:]
    cut = ((rows - 1) * 2 + 1 - first.shape[1], (columns - 1) * 2 + 1 - first.shape[2])
    shortcut = window(
        first.shape, (-1, 0, 1, 2, 3, -1), stride=(2, 2), padding=(0, cut[0], 0, cut[1])
    )
    join = layer("join", "relu", ("conv1", shortcut), ("depth", conv(depth.shape, 6, (1, 1))))
    order = tuple(range(6))
    corners = [
        window(join.shape, order, stride=(2, 1), padding=(-u, u - 1, -v, v - 1))
        for u in range(2)
        for v in range(2)
    ]
    corners = [c for c in corners if c.out_shape == corners[0].out_shape]
    pool = Population(
        name="pool",
        shape=corners[0].out_shape,
        function=MAX,
        operands=tuple(
            Operand(projections=(Projection(source="join", map=c),), bias=np.zeros((6, 1, 1)))
            for c in corners
        ),
    )
    pairs = window(pool.shape, order, window=(1, 2), stride=(1, 1), factor=0.5)
    mean = layer("mean", LINEAR, ("pool", pairs))
    matrix = rng.normal(size=(3, 6))
    pooled = Pooled(matrix=matrix, in_shape=mean.shape, layout=Layout.of(mean.shape))
    out = layer("out", READOUT, ("mean", pooled))
    source = Population(name=INPUT, shape=planes, function=INPUT)
    return Network(name=f"planes{seed}", populations=(source, first, depth, join, pool, mean, out))
