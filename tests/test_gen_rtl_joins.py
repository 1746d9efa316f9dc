"""Cores that fork and join: every integrator, logit and cycle as golden and cycle model say."""

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing
from signfire.gen.design.folding import Folding as F
from signfire.gen.layers.cycles import Deadlock, predict, steady
from signfire.gen.readers.window.plan import WindowReader
from signfire.sim import golden
from signfire.sim.specimens.joins import CONCATENATION, WIDE, random_joins

SKIP = {  # samples beside a perceptron: whole samples wait for each other
    "fc1": [("input", {"dense": 6})],
    "fc2": [("fc1", {"dense": 4})],
    "fc3": [("fc2", {"dense": 6})],
    "sum": [("fc3", {"dense": 8}), ("input", {"pick": tuple(range(8)), "bits": 4})],
    "out": [("sum", {"dense": 3}), ("fc1", {"dense": 3})],
}
UNEVEN = {  # the wide window lies on the short way; one source is read twice; a mean is joined
    "first": [("input", {"conv": 4, **WIDE})],
    "narrow": [("first", {"conv": 4, "window": (1, 1)})],
    "wide": [
        ("narrow", {"depthwise": True, **WIDE}),
        ("first", {"conv": 4, "window": (5, 3), "padding": (2, 2, 1, 1)}),
        ("narrow", {"pick": (3, 1, 0, 2), "bits": 6}),
    ],
    "half": [
        ("wide", {"pool": (2, 2), "stride": (2, 2)}),
        ("first", {"pick": (0, 1, 2, 3), "bits": 3, "stride": (2, 2), "padding": (0, -1, 0, -1)}),
    ],
    "out": [("half", {"pooled": 3})],
}
DESIGNS = {  # arguments of random_joins, technology
    "residual, offset code, signed input of two planes": (
        dict(
            shape=(4, 4, 2),
            code="offset",
            input_range=(-20, 20),
            folding={
                "input": F(pe=2),
                "first": F(pe=4, simd=2, unroll=3),
                "inner1": F(pe=4, simd=4),
                "join1": F(pe=4, simd=4),
                "inner2": F(pe=3, simd=4),
                "join2": F(pe=6, simd=2, unroll=3),
                "inner3": F(pe=2, simd=6),
                "join3": F(pe=4, simd=4),
                "out": F(pe=3, simd=8),
            },
        ),
        "ice40-up",
    ),
    "concatenation": (
        dict(
            shape=(4, 3),
            layers=CONCATENATION,
            steps=4,
            folding={
                "left": F(pe=4),
                "right": F(pe=1, simd=2, unroll=2),
                "both": F(pe=4, simd=2, unroll=2),
                "beside": F(pe=3, unroll=2),
                "out": F(simd=2),
            },
        ),
        "gowin",
    ),
    "whole samples": (
        dict(
            shape=(8,),
            layers=SKIP,
            folding={
                "fc1": F(pe=2, simd=4),
                "fc2": F(pe=4, simd=6),
                "fc3": F(pe=3, simd=2),
                "sum": F(pe=4, simd=3),
                "out": F(pe=3, simd=2),
            },
        ),
        "ecp5",
    ),
    "uneven ways": (
        dict(
            shape=(4, 4),
            layers=UNEVEN,
            folding={
                "first": F(pe=2),
                "narrow": F(pe=2, simd=4),
                "wide": F(pe=4, simd=4),
                "half": F(pe=4),
                "out": F(),
            },
        ),
        "ice40-hx",
    ),
}


@pytest.fixture(params=DESIGNS)
def made(request):
    arguments, technology = DESIGNS[request.param]
    return random_joins(**arguments), technology


def samples(design, count: int, seed: int = 0) -> np.ndarray:
    fmt = design.input_format
    raw = np.random.default_rng(seed).integers(fmt.low, fmt.high + 1, (count, design.input.size))
    raw[:1] = fmt.high
    return raw


def logits(run, design) -> list[list[int]]:
    found = [word["logit"] for word in run.results]
    return np.reshape(found, (-1, design.readout.size)).tolist()


def moves(timing, run, samples: int, **stalls):
    """Yield (layer, place, predicted, seen) of all transfers."""
    expected = predict(timing, samples, **stalls)
    for n, layer in enumerate(timing.layers):
        for what in ("begins", "pushed", "taken", "released"):
            yield layer.name, what, getattr(expected.layers[n], what), run.moved[what, n]


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
    for name, what, wanted, found in moves(core_timing(design, technology), run, 2):
        assert wanted == found and len(wanted), (name, what)


def test_a_buffer_too_short_for_the_long_way_stands_still_and_is_seen(run_core, monkeypatch):
    arguments, technology = DESIGNS["residual, offset code, signed input of two planes"]
    design = random_joins(**arguments)
    latency, _ = steady(core_timing(design, technology))
    # row 0 of the sum needs line 1 of the inner layer, and that line 2 of the first: three lines
    short, truth = design["join1"].operands[0].projections[1].map, WindowReader.lines.fget
    monkeypatch.setattr(
        WindowReader, "lines", property(lambda self: 2 if self.map is short else truth(self))
    )
    monkeypatch.setattr(run_core, "LIMIT", 2 * latency)

    with pytest.raises(Deadlock, match=r"^'join1' waits for ever: it holds 2 lines of stream 1,"):
        predict(core_timing(design, technology), 2)
    with pytest.raises(TimeoutError, match=r"^0 of 6 results came$"):
        run_core(Core(design, technology), samples(design, 2))


@pytest.mark.parametrize("name", ["concatenation", "whole samples"])
def test_stalls_at_both_ends_change_no_answer_and_are_predicted(run_core, core_of, name):
    arguments, technology = DESIGNS[name]
    design = random_joins(**arguments)
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
    for name, what, wanted, found in moves(timing, run, 2, **stalls):
        assert wanted == found, (name, what)
