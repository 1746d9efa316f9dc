"""Cores whose neurons have two operands: every word, step and cycle as the models say."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.convert.options import LayerOptions
from signfire.gen.core.core import Core, core_timing
from signfire.gen.design.folding import Folding as F
from signfire.gen.layers.cycles import predict, steady
from signfire.gen.layers.pair.rtl import RootLayer
from signfire.hdl import fire_pair
from signfire.sim import golden
from signfire.sim.cycle import check_cycles
from signfire.sim.specimens.pairs import random_pairs

pytestmark = pytest.mark.usefixtures("quick_compilation")

DESIGNS = {  # arguments of random_pairs, technology
    "LayerNorm of a vector": (
        dict(
            rows=(1, 1),
            folding={
                "first": F(pe=2, simd=6, unroll=4),
                "second": F(pe=4, simd=8, unroll=4),
                "pair": F(pe=4, simd=8, unroll=4),
                "out": F(pe=3, simd=8, unroll=2),
            },
        ),
        "ecp5",
    ),
    "LayerNorm of each row, one by one": (
        dict(
            rows=(1, 2),
            features=3,
            channels=4,
            folding={name: F() for name in ("first", "second", "pair", "out")},
        ),
        "ice40-hx",
    ),
    "LayerNorm within a residual sum, five steps below six": (
        dict(
            rows=(2, 2),
            residual=True,
            layers={"second": LayerOptions(steps=6), "pair": LayerOptions(steps=4)},
            folding={
                "first": F(pe=2, simd=3),
                "second": F(pe=8, simd=4, unroll=2),
                "pair": F(pe=4, simd=4, unroll=4),
                "out": F(pe=3, simd=4, unroll=4),
            },
        ),
        "gowin",
    ),
    "quotient by a sum of all channels": (
        dict(
            function="divide",
            rows=(1, 3),
            steps=5,
            folding={
                "first": F(pe=4, simd=2, unroll=4),
                "second": F(pe=2, simd=4),
                "pair": F(pe=2, simd=4, unroll=5),
                "out": F(simd=4),
            },
        ),
        "ice40-up",
    ),
    "quotient by each channel's own sum": (
        dict(
            function="divide",
            shared=False,
            rows=(2, 2),
            folding={
                "first": F(pe=4, simd=6),
                "second": F(pe=2, simd=4),
                "pair": F(pe=4, simd=4, unroll=2),
                "out": F(pe=3, simd=4),
            },
        ),
        "ecp5",
    ),
    "product of each channel with its own": (
        dict(
            function="multiply",
            shared=False,
            steps=3,
            folding={
                "first": F(pe=2, simd=3),
                "second": F(pe=4, simd=4),
                "pair": F(pe=4, simd=8, unroll=3),
                "out": F(pe=1, simd=2),
            },
        ),
        "ice40-hx",
    ),
}


@pytest.fixture(scope="module")
def made():
    """Return design and technology by name, made once."""
    known = {}

    def make(name: str):
        arguments, technology = DESIGNS[name]
        if name not in known:
            known[name] = random_pairs(**arguments)
        return known[name], technology

    return make


def samples(design, count: int, seed: int = 0) -> np.ndarray:
    fmt = design.input_format
    raw = np.random.default_rng(seed).integers(fmt.low, fmt.high + 1, (count, design.input.size))
    raw[-1] = fmt.high  # rows of one value, of which nothing is left less the mean
    return raw


def logits(run, design) -> list[list[int]]:
    found = [word["logit"] for word in run.results]
    return np.reshape(found, (-1, design.readout.size)).tolist()


def moves(timing, run, count: int, **stalls):
    """Yield (place, predicted, seen) of all transfers, those of operands too."""
    expected = predict(timing, count, **stalls)
    for n, cycles in enumerate(expected.layers):
        each = {(n,): cycles}
        for k, operand in enumerate(cycles.parts):
            each[n, k] = operand
        for key, of in each.items():
            for what in ("begins", "pushed", "taken", "released"):
                wanted = getattr(of, what)
                if wanted or what != "released":
                    yield (what, *key), wanted, run.moved[what, *key]


@pytest.mark.parametrize("name", DESIGNS)
def test_every_word_of_f_and_every_step_is_the_golden_models_on_its_cycle(
    made, run_core, core_of, name
):
    design, technology = made(name)
    raw = samples(design, 3)
    core = core_of(design, technology)

    run = run_core(core, raw)

    assert golden.run(design, raw).logits.tolist() == logits(run, design)
    for place, wanted, found in moves(core_timing(design, technology), run, 3):
        assert wanted == found and len(wanted), place
    layer = next(layer for layer in core.layers if layer.plan.name == "pair")
    n = core.layers.index(layer)
    traces = [golden.trace(design, one).populations["pair"] for one in raw]
    for k, operand in enumerate(layer.plan.parts):
        expected = []
        for seen in traces:
            f = seen.requantised[k][0].reshape(design["pair"].shape[0], -1)[: operand.outputs]
            expected += f.T.reshape(-1, operand.lanes).tolist()
        assert expected == [lanes for (lanes,) in run.values["f", (n, k)]]
        assert len({tuple(word) for word in expected}) > 2
    membranes = []
    for seen in traces:
        v = seen.membranes[:-1].reshape(len(seen.events), design["pair"].shape[0], -1)
        v = v.transpose(2, 1, 0).reshape(-1, layer.plan.lanes, len(seen.events))
        membranes += v.transpose(0, 2, 1).reshape(-1, layer.plan.lanes).tolist()
    assert membranes == [lanes for lanes, _ in run.values["fire", n]]


@pytest.mark.parametrize("name", DESIGNS)
def test_stalls_at_both_ends_change_no_answer_and_are_predicted(made, run_core, core_of, name):
    design, technology = made(name)
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
    for place, wanted, found in moves(timing, run, 2, **stalls):
        assert wanted == found, place


def test_reset_in_the_middle_leaves_a_clean_state(made, run_core, core_of):
    design, technology = made("LayerNorm of a vector")
    raw = samples(design, 2, seed=2)[:1]
    latency, _ = steady(core_timing(design, technology))

    for reset_at in (latency // 2, latency - 20):
        run = run_core(core_of(design, technology), raw, reset_at=reset_at)

        assert golden.run(design, raw).logits.tolist() == logits(run, design)


def test_one_output_serves_all_channels_of_a_row_where_they_share_it(made):
    for name in DESIGNS:
        design, technology = made(name)
        plan = next(p for p in Core(design, technology).plans if p.name == "pair")

        shared = "each channel" not in name
        channels = plan.outputs
        assert (shared, 1 if shared else channels) == (plan.shared, plan.second.outputs), name
        first, second = (
            operand.windows * operand.tiles * operand.tile_cycles
            for operand in (plan.first, plan.second)
        )
        assert second <= first, name


def test_latency_is_that_of_the_components(made):
    for name in DESIGNS:
        design, technology = made(name)
        layer = next(x for x in Core(design, technology).layers if x.plan.name == "pair")
        timing = core_timing(design, technology).layers[2]

        assert layer.neurons.LATENCY == timing.pushes
        assert layer.neurons.LOAD == timing.load
        for operand, of in zip(layer.operands, (timing.first, timing.second), strict=True):
            assert operand.tail.requantiser.LATENCY == of.target
            assert (operand.drain.LATENCY, 0) == (of.drain, of.result)


# -- in Verilator, every observable word -------------------------------------------------------

CHECKED = ["LayerNorm of a vector"]


@pytest.mark.parametrize("name", CHECKED)
def test_every_word_stands_on_its_cycle_in_verilator(made, tmp_path_factory, name):
    design, technology = made(name)
    folder = tmp_path_factory.getbasetemp() / "pairs"  # equal RTL is compiled once

    result = check_cycles(
        design, samples(design, 4), folder, technology=technology, stalls=(0.3, 0.5), seed=3
    )

    assert result.mismatches == ()
    assert result.words > 450


def changed(design, number: int, **numbers):
    """Return the design in which an operand of the pair has other numbers."""
    pair = design["pair"]
    operands = list(pair.operands)
    operands[number] = replace(operands[number], **numbers)
    other = replace(pair, operands=tuple(operands))
    return replace(design, populations=tuple(other if p is pair else p for p in design.populations))


@pytest.mark.parametrize("number", [0, 1])
def test_a_wrong_word_of_f_is_named(made, tmp_path_factory, number):
    design, technology = made(CHECKED[0])
    bias = design["pair"].operands[number].bias
    faulty = changed(design, number, bias=bias + 40)
    folder = tmp_path_factory.getbasetemp() / "pairs"

    result = check_cycles(
        faulty,
        samples(design, 2),
        folder,
        technology=technology,
        shape=design,
        under_test=Core(design, technology),
    )

    found = {(m.layer, m.what) for m in result.mismatches}
    assert ("pair", f"operand {number + 1} integrator") in found
    assert ("pair", f"operand {number + 1} F") in found
    first = result.mismatches[0]
    assert first.layer == "pair" and first.cycle and first.neuron is not None


def test_a_wrong_constant_of_the_root_is_named_step_by_step(
    made, tmp_path_factory, mutated, monkeypatch
):
    design, technology = made(CHECKED[0])
    wrong = mutated(fire_pair, ("times(quarter, -5)", "times(quarter, -4)"))
    monkeypatch.setattr(RootLayer, "NEURONS", wrong.RootNeurons)

    result = check_cycles(
        design,
        samples(design, 2),
        tmp_path_factory.getbasetemp() / "pairs",
        technology=technology,
        under_test=Core(design, technology),
    )

    first = result.mismatches[0]
    assert (first.layer, first.what) in {("pair", "membrane"), ("pair", "event")}
    assert first.step and first.neuron is not None
