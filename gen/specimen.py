"""Random Designs and Networks of a wanted shape: what runs where no model is needed."""

from collections.abc import Mapping, Sequence

import numpy as np

from .codes import Schedule, SpikeCode, make_code
from .design import (
    Design,
    DesignOperand,
    DesignPopulation,
    DesignProjection,
    Folding,
    InputFormat,
)
from .maps import Conv, Dense, Layout, Pooled, Window
from .network import INPUT, LINEAR, MAX, READOUT, Network, Operand, Population, Projection

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
        populations.append(
            DesignPopulation(
                name=f"fc{k + 1}",
                shape=(size,),
                function=READOUT if last else "relu",
                code=None if last else codes[k + 1],
                operands=(
                    _random_operand(rng, source, size, weight_bits, None if last else codes[k + 1]),
                ),
            )
        )
    design = Design(
        name=f"random{seed}",
        firing=firing,
        input_format=InputFormat(low=low, high=high, scale=1.0, multiplier=factor, shift=SHIFT),
        populations=tuple(populations),
    )
    return design if folding is None else design.with_folding(folding)


def _random_operand(
    rng: np.random.Generator,
    source: DesignPopulation,
    size: int,
    weight_bits: int,
    code: SpikeCode | None,
) -> DesignOperand:
    """Return random weights and biases with factors that spread F over the range of ``code``."""
    assert source.code is not None
    limit = 2 ** (weight_bits - 1) - 1
    weights = rng.integers(-limit, limit + 1, (size, source.size))
    weights.flat[0] = limit  # both ends of the range always occur
    weights.flat[-1] = -limit
    spread = limit * max(abs(source.code.low), source.code.high) * source.size**0.5 / 2
    bias = np.rint(rng.normal(0, spread / 4, size)).astype(np.int64)
    if code is None:
        multiplier, shift = np.ones(size, np.int64), 0
    else:
        reach = rng.uniform(0.5, 1.5, size) * max(code.high, 1) / spread
        shift = SHIFT + max(0, int(np.ceil(-np.log2(reach.min()))) - 2)
        multiplier = np.clip(np.rint(reach * 2**shift), 1, 65535).astype(np.int64)
    unit = 1.0 if code is None else code.unit
    return DesignOperand(
        projections=(
            DesignProjection(
                source=source.name, map=Dense(weights, source.shape), weight_bits=weight_bits
            ),
        ),
        bias=bias,
        scale=multiplier / 2**shift * unit,
        multiplier=multiplier,
        shift=shift,
    )


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
    pooled = Pooled(matrix=matrix, in_shape=mean.shape, layout=Layout(planes=mean.shape))
    out = layer("out", READOUT, ("mean", pooled))
    source = Population(name=INPUT, shape=planes, function=INPUT)
    return Network(name=f"planes{seed}", populations=(source, first, depth, join, pool, mean, out))
