"""Cores with borders: as golden and cycle model say, where biases differ or no code says 0."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing
from signfire.gen.design.folding import Folding as F
from signfire.gen.layers.cycles import predict
from signfire.gen.readers.reader import Reader
from signfire.hdl import border_walk, integrator
from signfire.sim import golden
from signfire.sim.specimens.chains import behind_means, random_windows
from signfire.sim.specimens.joins import random_joins

WIDE = {"window": (3, 3), "padding": (1, 1, 1, 1)}
ODD = {"window": (3, 2), "padding": (1, 0, 2, 1)}
DESIGNS = {  # a Design, technology
    "normalised images": (
        behind_means(
            random_windows(
                shape=(4, 5, 2),
                layers=({"conv": 4, **WIDE}, {"conv": 2, **WIDE, "stride": (2, 2)}, {"dense": 3}),
                folding={"conv1": F(pe=2, simd=2), "conv2": F(simd=4, unroll=3), "dense3": F()},
            )
        ),
        "ecp5",
    ),
    "uneven padding, strides, depthwise, a sum, ReLU6": (
        behind_means(
            random_windows(
                shape=(5, 4, 2),
                layers=(
                    {"depthwise": True, **ODD, "stride": (2, 1)},
                    {"conv": 4, **ODD},
                    {"pool": (2, 2), "padding": (1, 0, 0, 1), "stride": (1, 2)},
                    {"pooled": 3},
                ),
                limit=4,
                folding={
                    "depthwise1": F(pe=2),
                    "conv2": F(pe=4, simd=2),
                    "pool3": F(pe=2),
                    "pooled4": F(pe=3, simd=4),
                },
            )
        ),
        "ice40-up",
    ),
    "no code for 0": (
        random_windows(
            shape=(4, 5),
            layers=(
                {"conv": 4, **WIDE},
                {"conv": 4, **ODD},
                {"depthwise": True, **WIDE},
                {"dense": 3},
            ),
            code="centred",
            folding={"conv1": F(), "conv2": F(pe=4), "depthwise3": F(pe=2), "dense4": F(pe=3)},
        ),
        "gowin",
    ),
    "a last window of padding without a code for 0": (
        random_windows(
            shape=(2, 2),
            layers=({"conv": 2, **WIDE}, {"conv": 3, "window": (4, 4), "padding": (1, 1, 1, 1)}),
            code="centred",
            folding={"conv1": F(), "conv2": F()},
        ),
        "ice40-hx",
    ),
    "a sum of branches of other borders": (
        behind_means(
            random_joins(
                shape=(4, 4),
                layers={
                    "first": [("input", {"conv": 4, **WIDE})],
                    "join": [
                        ("first", {"conv": 4, "window": (5, 3), "padding": (2, 2, 1, 1)}),
                        ("first", {"pick": (3, 2, 1, 0), "bits": 4}),
                    ],
                    "out": [("join", {"pooled": 3})],
                },
                code="centred",
                input_range=(-20, 20),
                folding={"first": F(pe=2), "join": F(pe=4, simd=2), "out": F()},
            )
        ),
        "ecp5",
    ),
}


def samples(design, count: int) -> np.ndarray:
    fmt = design.input_format
    return np.random.default_rng(2).integers(fmt.low, fmt.high + 1, (count, design.input.size))


def logits(run, design) -> list[list[int]]:
    found = [word["logit"] for word in run.results]
    return np.reshape(found, (-1, design.readout.size)).tolist()


def expected(design, plan, raw) -> list[list[int]]:
    """Return the integrators of a layer as they leave it, group after group."""
    rows = []
    for one in raw:
        x = golden.trace(design, one).populations[plan.name].integrators[0][-1]
        rows += x.reshape(len(plan.weights), -1).T.reshape(-1, plan.lanes).tolist()
    return rows


@pytest.fixture(scope="module")
def known() -> dict:
    """Keep what was run, by name: a design runs once for all that is asked of it."""
    return {}


@pytest.fixture(params=DESIGNS)
def ran(request, run_core, known):
    """Run a design at full speed; return it, its technology, its samples and the run."""
    design, technology = DESIGNS[request.param]
    raw = samples(design, 2)
    if request.param not in known:
        known[request.param] = run_core(Core(design, technology), raw)
    return design, technology, raw, known[request.param]


def test_every_integrator_and_logit_is_the_golden_models(ran):
    design, _, raw, run = ran

    assert golden.run(design, raw).logits.tolist() == logits(run, design)
    for n, layer in enumerate(run.core.layers):
        assert expected(design, layer.plan, raw) == [x for (x,) in run.values["x", n]]


def flat(design):
    """Return the Design with the bias of its first pixel everywhere."""

    def of(p):
        bias = [op.bias.reshape(len(op.bias), -1)[:, 0] for op in p.operands]
        shape = (-1, *[1] * (len(p.shape) - 1))
        return tuple(
            replace(op, bias=b.reshape(shape)) for op, b in zip(p.operands, bias, strict=True)
        )

    return replace(
        design, populations=tuple(replace(p, operands=of(p)) for p in design.populations)
    )


def test_borders_cost_no_cycle(ran):
    design, technology, _, run = ran
    timing = core_timing(design, technology)

    assert timing == core_timing(flat(design), technology)
    for n, cycles in enumerate(predict(timing, 2).layers):
        for what in ("begins", "pushed", "taken", "released"):
            assert list(getattr(cycles, what)) == list(run.moved[what, n])


@pytest.mark.parametrize(
    ("rows", "what"),
    [((1, 0, 0, 2), "two kinds exchanged"), ((0, 1, 2, 2), "one row of another kind")],
)
def test_constants_of_another_kind_are_seen(run_core, rows, what):
    design, technology = DESIGNS["normalised images"]
    raw = samples(design, 1)
    core = Core(design, technology)
    first = core.layers[0].integrator
    assert (0, 1, 1, 2) == first.border[0]
    first.border = rows, first.border[1]

    run = run_core(core, raw)

    assert expected(design, core.layers[0].plan, raw) != [x for (x,) in run.values["x", 0]], what


@pytest.mark.parametrize(
    "change",
    [
        ("i, j = place(2)", "i, j = place(3)"),
        ("across == width - 1", "across == width - 2"),
    ],
)
def test_a_walk_that_errs_is_seen(run_core, mutated, monkeypatch, change):
    design, technology = DESIGNS["normalised images"]
    raw = samples(design, 1)
    monkeypatch.setattr(integrator, "BorderWalk", mutated(border_walk, change).BorderWalk)
    core = Core(design, technology)

    run = run_core(core, raw)

    assert expected(design, core.layers[0].plan, raw) != [x for (x,) in run.values["x", 0]]


@pytest.mark.parametrize("name", ["no code for 0", "a last window of padding without a code for 0"])
def test_a_train_beyond_the_planes_that_is_not_taken_off_is_seen(run_core, monkeypatch, name):
    design, technology = DESIGNS[name]
    raw = samples(design, 1)
    truth = Reader.beyond_planes.fget
    monkeypatch.setattr(Reader, "beyond_planes", property(lambda reader: 0 * truth(reader)))

    run = run_core(Core(design, technology), raw)

    assert golden.run(design, raw).logits.tolist() != logits(run, design)
