"""Golden model of convolutions: by hand, and against loops over every synapse and step."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.design.design import Design
from signfire.gen.design.population import (
    DesignOperand,
    DesignPopulation,
    DesignProjection,
    InputFormat,
)
from signfire.gen.model.codes import Schedule, SpikeCode
from signfire.gen.model.maps import Conv, Layout, Pooled, Window
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.sim import float_reference, golden
from signfire.sim.specimens.chains import random_planes_network

CODES = {
    "settled": ("settled", "binary", 4),
    "overlapped": ("overlapped", "exponential", 6),
}


def projection(source, linear, bits=8):
    return DesignProjection(source=source, map=linear, weight_bits=bits)


def operand(projections, bias, multiplier, shift):
    channels = len(bias)
    return DesignOperand(
        projections=projections,
        bias=np.array(bias).reshape(-1, *[1] * (2 if shift else 0)),
        scale=np.ones(channels),
        multiplier=np.full(channels, multiplier),
        shift=shift,
    )


@pytest.fixture
def tiny() -> Design:
    """2x2 pixels, a 2x2 convolution padded below and right, a residual sum, a sum of planes."""
    source, layout = (1, 2, 2), Layout(planes=(1, 2, 2))
    kernel = np.array([[[[1, -1], [2, 0]]]])
    conv = Conv(in_shape=source, layout=layout, kernel=kernel, padding=(0, 1, 0, 1))
    same = Window(in_shape=source, layout=layout, factor=np.array([3]), sources=(0,))
    relu = DesignPopulation(
        name="conv",
        shape=(1, 2, 2),
        function="relu",
        code=SpikeCode(eta=(4, 2, 1), rest=7, unit=1.0),
        operands=(operand((projection("input", conv), projection("input", same)), [1], 3, 3),),
    )
    pooled = Pooled(matrix=np.array([[1], [-2]]), in_shape=source, layout=layout)
    return Design(
        name="tiny",
        firing="settled",
        input_format=InputFormat(low=0, high=7, scale=1.0, multiplier=2, shift=1),
        populations=(
            DesignPopulation(
                name="input",
                shape=source,
                function="input",
                code=SpikeCode(eta=(2, 1), rest=3, unit=1.0),
            ),
            relu,
            DesignPopulation(
                name="out",
                shape=(2,),
                function="readout",
                code=None,
                operands=(operand((projection("conv", pooled),), [0, 5], 1, 0),),
            ),
        ),
    )


def test_convolution_and_residual_by_hand(tiny) -> None:
    trace = golden.trace(tiny, np.array([6, 2, 0, 5]))

    # F = p; values settle to 6 2 0 4 (of 5 the even value below: 3 < 5 event, 5 >= 5 none)
    assert trace.populations["input"].membranes[-1].tolist() == [6, 2, 0, 4]
    hidden = trace.populations["conv"]
    # X = 1 + (x - right + 2·below) + 3·x with zeros outside:
    # 1 + 6 - 2 + 0 + 18 = 23, 1 + 2 - 0 + 8 + 6 = 17, 1 + 0 - 4 + 0 + 0 = -3, 1 + 4 + 0 + 0 + 12
    assert hidden.integrators[0][-1].tolist() == [23, 17, -3, 17]
    # F = ceil(3X/8) = ceil(8.6) 9, ceil(6.4) 7, ceil(-1.1) -1, 7; values 8, 6, 0, 6
    assert hidden.requantised[0].tolist() == [[9, 7, -1, 7]]
    assert hidden.membranes[-1].tolist() == [8, 6, 0, 6]
    assert trace.logits.tolist() == [20, 5 - 40]
    assert golden.run(tiny, np.array([[6, 2, 0, 5]])).logits.tolist() == [[20, -35]]


def test_bias_may_differ_from_pixel_to_pixel(tiny) -> None:
    conv = tiny["conv"]
    border = replace(conv.operands[0], bias=np.array([[[1, 9], [1, 1]]]))
    changed = replace(
        tiny, populations=(tiny.input, replace(conv, operands=(border,)), tiny.readout)
    )

    trace = golden.trace(changed, np.array([6, 2, 0, 5]))

    assert trace.populations["conv"].integrators[0][-1].tolist() == [23, 25, -3, 17]
    assert golden.run(changed, np.array([[6, 2, 0, 5]])).logits.tolist() == [trace.logits.tolist()]


def test_limit_bounds_what_a_relu_fires_on(tiny) -> None:
    limited = replace(tiny["conv"], limit=7)
    changed = replace(tiny, populations=(tiny.input, limited, tiny.readout))

    trace = golden.trace(changed, np.array([6, 2, 0, 5]))

    assert trace.populations["conv"].targets[0].tolist() == [7, 7, 0, 7]
    assert trace.populations["conv"].membranes[-1].tolist() == [6, 6, 0, 6]
    assert golden.run(changed, np.array([[6, 2, 0, 5]])).logits.tolist() == [[18, -31]]


# -- an implementation of its own, without maps ------------------------------------------------


def place(layout, *at):
    """Return where (channel, row, column) stands in the order of the neurons."""
    where = [0, 0, 0]
    for number, axis in zip(at, layout.axes, strict=True):
        where[axis] = number
    _, lines, pixels = layout.memory
    return (where[0] * lines + where[1]) * pixels + where[2]


def synapses(linear):
    """Yield (output, input, weight) of every synapse, places as indices of the flat arrays."""
    if isinstance(linear, Pooled):
        _, rows, columns = linear.layout.planes
        for o, c in product(*map(range, linear.matrix.shape)):
            for y, x in product(range(rows), range(columns)):
                yield o, place(linear.layout, c, y, x), int(linear.matrix[o, c])
        return
    channels, rows, columns = linear.layout.planes
    _, height, width = linear.out_planes
    top, left = linear.padding[0], linear.padding[2]
    for o, i, j, u, v in product(
        range(linear.out_planes[0]), range(height), range(width), *map(range, linear.window)
    ):
        y, x = i * linear.stride[0] - top + u, j * linear.stride[1] - left + v
        if not (0 <= y < rows and 0 <= x < columns):
            continue
        if isinstance(linear, Window):
            pairs = [(linear.sources[o], int(linear.factor[o]))]
        else:
            per_group = linear.kernel.shape[1]
            first = o // (len(linear.kernel) // linear.groups) * per_group
            pairs = [(first + c, int(linear.kernel[o, c, u, v])) for c in range(per_group)]
        for channel, weight in pairs:
            if 0 <= channel < channels:
                yield (o * height + i) * width + j, place(linear.layout, channel, y, x), weight


class Slow:
    """Sign gradient descent of a Design with Python integers, one synapse after the other."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.wires = {
            (p.name, k): [(q.source, list(synapses(q.map))) for q in op.projections]
            for p in design.populations
            for k, op in enumerate(p.operands)
        }

    def sums(self, population, values):
        for k, op in enumerate(population.operands):
            bias = np.broadcast_to(op.bias, population.shape).ravel()
            x = [int(b) for b in bias]
            for source, wires in self.wires[population.name, k]:
                for o, i, weight in wires:
                    x[o] += weight * values[source][i]
            yield x

    def target(self, population, values, raw):
        fmt = self.design.input_format
        if population.function == "input":
            return [-(-int(p) * fmt.multiplier // 2**fmt.shift) for p in raw]
        pixels = population.size // population.shape[0]
        found = []
        for op, x in zip(population.operands, self.sums(population, values), strict=True):
            m = [int(m) for m in op.multiplier]
            found.append([-(-n * m[i // pixels] // 2**op.shift) for i, n in enumerate(x)])
        if population.function == "max":
            return [max(column) for column in zip(*found, strict=True)]
        if population.function == "linear":
            return found[0]
        assert population.function == "relu"
        return [max(0, f) for f in found[0]]

    def logits(self, raw):
        neurons = self.design.populations[:-1]
        values = {p.name: [p.code.rest] * p.size for p in neurons}

        def fire(p, t, target):
            eta = p.code.eta[t]
            v = values[p.name]
            values[p.name] = [
                a - eta if a >= f else a + eta for a, f in zip(v, target, strict=True)
            ]

        if self.design.firing == "settled":
            for p in neurons:
                target = self.target(p, values, raw)
                for t in range(p.code.steps):
                    fire(p, t, target)
        else:
            for t in range(self.design.input.code.steps):
                for p in neurons:
                    fire(p, t, self.target(p, values, raw))
        return next(self.sums(self.design.readout, values))


def converted(firing: str, seed: int) -> tuple[Network, Design, np.ndarray]:
    mode, schedule, steps = CODES[firing]
    network = random_planes_network(seed=seed)
    samples = np.random.default_rng(seed).integers(0, 256, (40, *network.input.shape), np.uint8)
    options = Options(
        firing=mode, schedule=Schedule(kind=schedule), steps=steps, weight_bits=3 + seed
    )
    return network, calibrate(network, samples, options), samples


@pytest.mark.parametrize("firing", CODES)
@pytest.mark.parametrize("seed", range(4))
def test_every_map_and_function_against_loops(firing, seed) -> None:
    _, design, samples = converted(firing, seed)
    raw = design.raw_samples(samples[:3])
    slow = Slow(design)

    expected = [slow.logits(one) for one in raw]

    assert golden.run(design, raw).logits.tolist() == expected
    assert [golden.trace(design, one).logits.tolist() for one in raw] == expected
    assert len({tuple(row) for row in expected}) == 3


@pytest.mark.parametrize("firing", CODES)
def test_both_forms_send_the_same_events(firing) -> None:
    _, design, samples = converted(firing, 5)
    raw = design.raw_samples(samples[:4])

    fast = golden.run(design, raw, count_events=True)

    for k, one in enumerate(raw):
        trace = golden.trace(design, one)
        for name, counts in fast.events.items():
            assert counts[k] == trace.populations[name].events.sum()
    assert all(counts.any() for counts in fast.events.values())


def test_batches_give_what_one_does(monkeypatch) -> None:
    _, design, samples = converted("settled", 1)
    raw = design.raw_samples(samples)
    whole = golden.run(design, raw)

    monkeypatch.setattr("signfire.sim.golden.BATCH_VALUES", 1000)

    assert np.array_equal(golden.run(design, raw).logits, whole.logits)


def test_settled_values_are_dropped_behind_their_last_reader(make_design) -> None:
    """Of a chain no more than two neighbours are held; overlapped firing holds all."""
    sizes = [p.size for p in make_design(firing="settled").populations]

    settled = golden.most_held(make_design(firing="settled"))
    assert settled == max(a + b for a, b in pairwise(sizes)) < sum(sizes)
    assert golden.most_held(make_design(firing="overlapped")) == sum(sizes)


def test_branches_are_held_until_they_meet() -> None:
    _, design, _ = converted("settled", 1)
    last = golden.last_readers(design)
    readers = {name: [] for name in (p.name for p in design.populations)}
    for population in design.populations:
        for name in golden.read_by(population):
            readers[name].append(population.name)

    dropped = {
        name: population.name
        for population, done in zip(design.populations, last, strict=True)
        for name in done
    }

    assert any(len(names) > 1 for names in readers.values())
    assert dropped == {name: names[-1] for name, names in readers.items() if names}


def test_sums_beyond_float32_stay_exact(tiny) -> None:
    conv = tiny["conv"]
    # 2^24 + 1 has no float32: the identity's sums are 32767·6 each, the bias pushes them beyond
    large = replace(conv.operands[0], bias=np.array([[[2**24 + 1 - 22]]]), shift=22)
    changed = replace(
        tiny, populations=(tiny.input, replace(conv, operands=(large,)), tiny.readout)
    )

    trace = golden.trace(changed, np.array([6, 2, 0, 5]))

    assert trace.populations["conv"].integrators[0][-1][0] == 2**24 + 1
    assert golden.run(changed, np.array([[6, 2, 0, 5]])).logits.tolist() == [trace.logits.tolist()]


def test_design_of_planes_is_saved_and_read_whole(tmp_path) -> None:
    _, design, samples = converted("settled", 2)
    limited = replace(design.populations[1], limit=9)
    design = replace(design, populations=(design.input, limited, *design.populations[2:]))

    design.save(tmp_path / "d.npz")
    again = Design.load(tmp_path / "d.npz")

    assert again.hash == design.hash and again["conv1"].limit == 9
    raw = design.raw_samples(samples[:5])
    assert np.array_equal(golden.run(again, raw).logits, golden.run(design, raw).logits)


def test_float_network_and_integers_agree_with_many_steps() -> None:
    network = random_planes_network(seed=6)
    samples = np.random.default_rng(6).integers(0, 256, (60, *network.input.shape), np.uint8)
    options = Options(steps=9, weight_bits=8, input_steps=8, multiplier_bits=12)

    design = calibrate(network, samples, options)

    logits = (
        golden.run(design, design.raw_samples(samples)).logits * design.readout.operands[0].scale
    )
    exact = network.answers(samples.astype(np.float64))
    assert np.abs(logits - exact).max() < 0.05 * np.abs(exact).max()


def test_step_by_step_reference_follows_convolutions_too() -> None:
    network, _, samples = converted("overlapped", 4)
    options = Options(
        firing="overlapped",
        schedule=Schedule(kind="exponential"),
        steps=24,
        weight_bits=8,
        equalise=0,
    )
    design = calibrate(network, samples, options)

    floats = float_reference.run(network, samples, float_reference.codes_of(design))
    integers = golden.run(design, design.raw_samples(samples)).logits

    scale = design.readout.operands[0].scale
    error = integers * scale - floats
    assert (error**2).mean() < 0.02 * (floats**2).mean()


def test_maximum_says_its_source_s_values_unchanged() -> None:
    _, design, samples = converted("settled", 3)

    assert design["pool"].code == design["join"].code
    values = golden.trace(design, design.raw_samples(samples[:1])[0]).populations
    rows = values["join"].membranes[-1].reshape(design["join"].shape)
    pooled = values["pool"].membranes[-1].reshape(design["pool"].shape)
    # 2x2 windows, two rows and one column apart
    wanted = np.maximum(rows[:, ::2], rows[:, 1::2])
    wanted = np.maximum(wanted[:, :, :-1], wanted[:, :, 1:])
    assert np.array_equal(pooled, wanted)


@pytest.mark.parametrize("firing", CODES)
def test_a_window_beyond_the_border_is_the_maximum_of_what_lies_inside(firing) -> None:
    network, _, samples = converted(firing, 3)
    mode, schedule, steps = CODES[firing]
    source = replace(network["conv1"], function="linear", name="low")
    source = replace(
        source, operands=(replace(source.operands[0], bias=np.full((4, 1, 1), -3000.0)),)
    )
    layout = Layout(planes=source.shape)
    inside = {}  # by operand, whether each of its pixels lies within the source
    operands = []
    for u, v in product(range(3), repeat=2):
        rows, columns = np.arange(4) * 2 - 1 + u, np.arange(3) * 2 - 1 + v
        inside[u, v] = np.outer((rows >= 0) & (rows < 7), (columns >= 0) & (columns < 6))
        linear = Window(
            in_shape=source.shape,
            layout=layout,
            factor=np.ones(4),
            sources=tuple(range(4)),
            stride=(2, 2),
            padding=(1 - u, u - 1, 1 - v, v - 2),
        )
        bias = np.broadcast_to(np.where(inside[u, v], 0.0, -np.inf), linear.out_shape)
        operands.append(Operand(projections=(Projection(source="low", map=linear),), bias=bias))
    pool = Population(name="pool", shape=(4, 4, 3), function="max", operands=tuple(operands))
    out = Pooled(
        matrix=np.ones((2, 4)) * [[1], [2]], in_shape=pool.shape, layout=Layout(planes=pool.shape)
    )
    readout = Population(
        name="out",
        shape=(2,),
        function="readout",
        operands=(Operand(projections=(Projection(source="pool", map=out),), bias=np.zeros(2)),),
    )
    network = Network(name="n", populations=(network.input, source, pool, readout))
    schedule = Schedule(kind=schedule)
    design = calibrate(network, samples, Options(firing=mode, schedule=schedule, steps=steps))
    raw = design.raw_samples(samples[:3])

    traces = [golden.trace(design, one) for one in raw]

    answers = golden.run(design, raw).logits.tolist()
    assert answers == [t.logits.tolist() for t in traces] == [Slow(design).logits(p) for p in raw]
    assert design["pool"].code == design["low"].code
    for seen in traces if firing == "settled" else []:
        rows = seen.populations["low"].membranes[-1].reshape(source.shape)
        rows = np.pad(rows, [(0, 0), (1, 1), (1, 1)], constant_values=-(2**40))
        taps = [rows[:, u : u + 7 : 2, v : v + 5 : 2] for u, v in product(range(3), repeat=2)]
        wanted = np.max(taps, axis=0)
        assert (wanted < 0).mean() > 0.5
        assert np.array_equal(seen.populations["pool"].membranes[-1], wanted.ravel())


def test_operands_of_the_network_must_fit(tiny) -> None:
    shapes = Population(
        name="a",
        shape=(1, 2, 2),
        function="relu",
        operands=(
            Operand(
                projections=(
                    Projection(
                        source="input",
                        map=Window(
                            in_shape=(1, 2, 2),
                            layout=Layout(planes=(1, 2, 2)),
                            factor=np.ones(1),
                            sources=(0,),
                            stride=(2, 2),
                            padding=(0, -1, 0, -1),
                        ),
                    ),
                ),
                bias=np.zeros(1),
            ),
        ),
    )
    source = Population(name="input", shape=(1, 2, 2), function="input")

    with pytest.raises(
        ValueError, match=r"^a projection of 'a' gives shape \(1, 1, 1\), not \(1, 2, 2\)$"
    ):
        Network(name="n", populations=(source, shapes, replace(shapes, function="readout")))
