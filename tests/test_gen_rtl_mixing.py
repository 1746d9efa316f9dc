"""Cores that mix tokens: every integrator, logit and cycle as golden and cycle model say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.core.core import Core, core_timing
from signfire.gen.core.plans import plan_layers
from signfire.gen.design.folding import Folding as F
from signfire.gen.front.export import import_network
from signfire.gen.layers.cycles import Deadlock, predict, steady
from signfire.gen.model.maps import Layout
from signfire.gen.readers.window.plan import WindowReader
from signfire.gen.technology import TECHNOLOGIES
from signfire.sim import golden
from signfire.sim.specimens.chains import behind_means, random_windows
from signfire.sim.specimens.joins import MIXING, random_joins

WINDOWS = {  # planes of two lines and more that are read turned, a maximum over them, one window
    "first": [("input", {"conv": 4, "window": (1, 1)})],
    "turned": [("first", {"conv": 3, "window": (1, 3), "padding": (0, 0, 1, 1), "turned": True})],
    "depth": [("turned", {"depthwise": True, "window": (1, 2), "turned": True})],
    "means": [("depth", {"pool": (1, 2), "stride": (1, 2), "turned": True})],
    "out": [("means", {"dense": 3})],
}
LINES = {  # an identity line by line beside a branch that needs the sample
    "first": [("input", {"conv": 3, "window": (3, 3), "padding": (1, 1, 1, 1)})],
    "tokens": [("first", {"conv": 12, "window": (1, 1), "turned": True})],
    "sum": [
        ("first", {"pick": (0, 1, 2), "bits": 6}),
        ("tokens", {"pick": (0, 1, 2), "seen": Layout(planes=(3, 4, 3), axes=(2, 0, 1))}),
    ],
    "out": [("sum", {"pooled": 3})],
}
RESIDUALS = dict.fromkeys(("emb", "mix1", "sum1", "mix2"), "linear")
DESIGNS = {  # arguments of random_joins, technology
    "mixing, one lane": (dict(shape=(1, 6, 4), layers=MIXING), "ice40-up"),
    "GELU, sums without a function, odd foldings": (
        dict(
            shape=(1, 6, 4),
            layers=MIXING,
            code="offset",
            input_range=(-20, 20),
            functions=RESIDUALS | {"inner1": "gelu"},
            folding={
                "input": F(pe=2),
                "emb": F(pe=5, simd=4, unroll=3),
                "mix1": F(pe=3, simd=2),
                "inner1": F(pe=7, simd=5, unroll=3),
                "sum1": F(pe=5, simd=7),
                "tokens2": F(pe=2, simd=6),
                "mix2": F(pe=6, simd=4, unroll=3),
                "out": F(pe=3, simd=5),
            },
        ),
        "ecp5",
    ),
    "mixing, multipliers": (
        dict(
            shape=(1, 6, 4),
            layers=MIXING,
            steps=4,
            folding={
                "emb": F(pe=1, simd=2, unroll=2),
                "mix1": F(pe=6, simd=3, unroll=2),
                "inner1": F(pe=7, simd=1, unroll=4, synapse="multiply"),
                "sum1": F(pe=1),
                "tokens2": F(pe=4, simd=3, unroll=4, synapse="multiply"),
                "mix2": F(pe=2, simd=2, unroll=1),
                "out": F(pe=1, simd=1, unroll=4),
            },
        ),
        "gowin",
    ),
    "lines beside whole samples": (
        dict(
            shape=(4, 3),
            layers=LINES,
            folding={
                "first": F(pe=3),
                "tokens": F(pe=4, simd=3),
                "sum": F(pe=3),
                "out": F(simd=3),
            },
        ),
        "ecp5",
    ),
    "windows": (
        dict(
            shape=(1, 7, 2),
            layers=WINDOWS,
            folding={
                "first": F(pe=4),
                "turned": F(pe=3, simd=7),
                "depth": F(pe=2),
                "means": F(pe=2),
                "out": F(pe=3, simd=4),
            },
        ),
        "ice40-hx",
    ),
}


FIRST = {  # layers that read an input of 2 planes of 5 x 4, given with channels first
    "padded windows": (
        ({"conv": 3, "window": (3, 3), "padding": (1, 1, 1, 1)}, {"dense": 3}),
        {"conv1": F(pe=3, simd=2), "dense2": F(pe=3, simd=3)},
    ),
    "windows that leave lines out": (
        ({"conv": 4, "window": (1, 2), "stride": (3, 2)}, {"pooled": 2}),
        {"conv1": F(pe=2, simd=1, unroll=2), "pooled2": F(simd=4)},
    ),
    "a maximum": (
        ({"max": (2, 2), "stride": (2, 2), "padding": (1, 0, 0, 0)}, {"pooled": 3}),
        {"max1": F(pe=2), "pooled2": F(pe=1, simd=2)},
    ),
    "a sum over all": (({"pooled": 3},), {"pooled1": F(pe=3, simd=2)}),
}


def channels_first(design):
    """Return the design whose samples are (channels, height, width) in the place of the image's."""
    height, width, channels = design.input.shape
    shape = (channels, height, width)

    def given(projection):
        if projection.source != "input":
            return projection
        turned = replace(projection.map, in_shape=shape, layout=Layout(planes=shape))
        return replace(projection, map=turned)

    populations = tuple(
        replace(
            p,
            shape=shape if p.name == "input" else p.shape,
            operands=tuple(
                replace(op, projections=tuple(map(given, op.projections))) for op in p.operands
            ),
        )
        for p in design.populations
    )
    return replace(design, populations=populations)


@pytest.mark.parametrize("name", FIRST)
def test_planes_of_several_lines_are_read_out_of_whole_samples(name, run_core):
    layers, folding = FIRST[name]
    image = random_windows(shape=(5, 4, 2), layers=layers)
    design = channels_first(image).with_folding({"input": F(pe=4), **folding})
    raw = samples(image, 2)

    run = run_core(Core(design, "ecp5"), raw)

    seen = raw.reshape(2, 2, 5, 4).transpose(0, 2, 3, 1).reshape(2, -1)
    assert golden.run(image, seen).logits.tolist() == logits(run, design)
    assert_predicted(predict(core_timing(design, "ecp5"), 2), run)


@pytest.mark.parametrize("schedule", ["binary", "exponential"])
def test_normalised_images_of_channels_first_have_borders(schedule, run_core):
    """Planes are turned, biases differ at the border, and no code says 0: all at once."""
    wide = {"window": (3, 3), "padding": (1, 1, 1, 1)}
    layers = ({"conv": 3, **wide}, {"conv": 2, **wide, "stride": (2, 2)}, {"dense": 3})
    image = behind_means(
        random_windows(shape=(5, 4, 2), layers=layers, code="centred", schedule=schedule, limit=4)
    )
    folding = {"conv1": F(pe=3, simd=2), "conv2": F(pe=2, simd=3), "dense3": F()}
    design = channels_first(image).with_folding({"input": F(pe=4), **folding})
    raw = samples(image, 2)

    run = run_core(Core(design, "ecp5"), raw)

    assert [9, 6, 1] == [plan.border.count for plan in plans(design)]
    assert plans(design)[0].readers[0].kind == "scattered"
    seen = raw.reshape(2, 2, 5, 4).transpose(0, 2, 3, 1).reshape(2, -1)
    assert golden.run(image, seen).logits.tolist() == logits(run, design)
    assert_predicted(predict(core_timing(design, "ecp5"), 2), run)


class Mixer(nn.Module):
    """Two blocks that mix 6 tokens and 5 channels in turn; sums go through a clamp.

    The last layer reads the channels of all tokens in an order of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.bounds = nn.Linear(4, 5), nn.Hardtanh(-3, 3)
        self.tokens = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 6)) for _ in range(2)
        )
        self.channels = nn.ModuleList(
            nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 5)) for _ in range(2)
        )
        self.classes = nn.Linear(30, 3)

    def forward(self, x):
        x = self.bounds(self.embed(x))
        for tokens, channels in zip(self.tokens, self.channels, strict=True):
            x = self.bounds(x + tokens(x.transpose(1, 2)).transpose(1, 2))
            x = self.bounds(x + channels(x))
        return self.classes(x.transpose(1, 2).flatten(1))


def test_a_mixer_of_torch_becomes_hardware_that_answers_as_golden_does(run_core):
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 6, 4)).astype(np.float32)
    design = calibrate(import_network(Mixer(), x), x, Options(weight_bits=6, input_steps=4))
    each = {p.name: F(pe=p.shape[0]) for p in design.populations[1:-1]}
    design = design.with_folding({"input": F(), "classes": F(simd=6), **each})
    raw = design.raw_samples(x[:1])

    run = run_core(Core(design, "ecp5"), raw)

    turned = [
        r.source.name for plan in plans(design) for r in plan.readers if r.kind == "scattered"
    ]
    # both ways, each once for the layer and once for the identity; the head's weights are permuted
    assert len(turned) == 2 * 4
    assert design["classes"].operands[0].projections[0].map.kind == "dense"
    assert golden.run(design, raw).logits.tolist() == logits(run, design)
    assert_predicted(predict(core_timing(design, "ecp5"), 1), run)


def plans(design):
    _, found = plan_layers(design, TECHNOLOGIES["ecp5"])
    return found


@pytest.fixture(params=DESIGNS)
def made(request):
    arguments, technology = DESIGNS[request.param]
    return folded(random_joins(**arguments)), technology


def folded(design):
    """Return a design whose layers without a folding have one lane."""
    if design.is_folded:
        return design
    own = {p.name: p.folding or F() for p in design.populations}
    return design.with_folding(own)


def samples(design, count: int, seed: int = 0) -> np.ndarray:
    fmt = design.input_format
    raw = np.random.default_rng(seed).integers(fmt.low, fmt.high + 1, (count, design.input.size))
    raw[:1] = fmt.high
    return raw


def logits(run, design) -> list[list[int]]:
    found = [word["logit"] for word in run.results]
    return np.reshape(found, (-1, design.readout.size)).tolist()


def test_every_integrator_and_logit_is_the_golden_models_on_its_cycle(made, run_core, core_of):
    design, technology = made
    raw = samples(design, 2)
    core = core_of(design, technology)

    run = run_core(core, raw)

    assert golden.run(design, raw).logits.tolist() == logits(run, design)
    traces = [golden.trace(design, one) for one in raw]
    for n, layer in enumerate(core.layers):
        plan = layer.plan
        expected = []
        for one in traces:
            x = one.populations[plan.name].integrators[0][-1]
            assert len(set(x.tolist())) > 2
            expected += x.reshape(len(plan.weights), -1).T.reshape(-1, plan.lanes).tolist()
        assert expected == [lanes for (lanes,) in run.values["x", n]], plan.name
    assert_predicted(predict(core_timing(design, technology), 2), run)


def assert_predicted(expected, run) -> None:
    for n, layer in enumerate(expected.layers):
        for what in ("begins", "pushed", "taken", "released"):
            assert getattr(layer, what) == run.moved[what, n], (n, what)


def test_an_identity_that_does_not_hold_the_sample_stands_still_and_is_seen(run_core, monkeypatch):
    arguments, technology = DESIGNS["lines beside whole samples"]
    design = random_joins(**arguments)
    latency, _ = steady(core_timing(design, technology))
    identity, truth = design["sum"].operands[0].projections[0].map, WindowReader.lines.fget
    monkeypatch.setattr(
        WindowReader, "lines", property(lambda self: 3 if self.map is identity else truth(self))
    )
    monkeypatch.setattr(run_core, "LIMIT", 2 * latency)

    with pytest.raises(Deadlock, match=r"^'sum' waits for ever: it holds 3 lines of stream 1,"):
        predict(core_timing(design, technology), 2)
    with pytest.raises(TimeoutError, match=r"^0 of 6 results came$"):
        run_core(Core(design, technology), samples(design, 2))


@pytest.mark.parametrize(
    "name", ["lines beside whole samples", "GELU, sums without a function, odd foldings", "windows"]
)
def test_stalls_at_both_ends_change_no_answer_and_are_predicted(run_core, core_of, name):
    arguments, technology = DESIGNS[name]
    design = folded(random_joins(**arguments))
    raw = samples(design, 2, seed=1)
    core = core_of(design, technology)
    timing = core_timing(design, technology)
    rng = np.random.default_rng(raw.size)
    gaps = (rng.geometric(0.3, raw.size // core.lanes) - 1).tolist()
    end = predict(timing, 2, gaps=gaps).layers[-1].taken[-1]
    ready = rng.random(end + 300) < 0.5
    ready[:end] = False  # the sink wakes up when all that can fill up is full

    run = run_core(core, raw, gaps=gaps, ready=ready.tolist())

    assert golden.run(design, raw).logits.tolist() == logits(run, design)
    stalls = {"gaps": gaps, "ready": lambda c: c >= len(ready) or bool(ready[c])}
    assert_predicted(predict(timing, 2, **stalls), run)
