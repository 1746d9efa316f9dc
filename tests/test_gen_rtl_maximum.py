"""Cores with max pooling: every maximum, logit and cycle as golden model and cycle model say."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing
from signfire.gen.core.estimate import estimate
from signfire.gen.design.folding import Folding as F
from signfire.gen.layers.cycles import predict, steady
from signfire.gen.technology import TECHNOLOGIES
from signfire.sim import golden
from signfire.sim.cycle import check_cycles
from signfire.sim.specimens.chains import random_windows

CONV = {"conv": 4, "window": (3, 3), "padding": (1, 1, 1, 1)}
HALF = {"max": (2, 2), "stride": (2, 2)}
DESIGNS = {  # arguments of random_windows, technology
    "one by one": (
        dict(layers=(CONV, HALF, {"dense": 3}), folding={"conv1": F(), "max2": F(), "dense3": F()}),
        "ecp5",
    ),
    "all channels, unroll means nothing": (
        dict(
            shape=(5, 4),
            layers=(CONV, HALF, {"dense": 3}),
            folding={"conv1": F(pe=4, unroll=2), "max2": F(pe=4, unroll=3), "dense3": F(simd=8)},
        ),
        "ice40-up",
    ),
    "padded, offset code, results of a tile in groups": (
        dict(
            shape=(6, 5),
            code="offset",
            layers=(
                CONV,
                {"max": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)},
                {"conv": 2, "window": (2, 2)},
                {"dense": 3},
            ),
            folding={
                "conv1": F(pe=4, unroll=2),
                "max2": F(pe=4),
                "conv3": F(pe=2, simd=1),
                "dense4": F(pe=3, simd=2),
            },
        ),
        "gowin",
    ),
    "windows that overlap, signed input, seven steps": (
        dict(
            shape=(5, 4, 3),
            code="offset",
            steps=7,
            input_range=(-20, 20),
            layers=(CONV, {"max": (2, 3)}, {"pooled": 3}),
            folding={
                "input": F(pe=3),
                "conv1": F(pe=4, simd=3),
                "max2": F(pe=2),
                "pooled3": F(pe=1, simd=4),
            },
        ),
        "ecp5",
    ),
    "of the input, of a maximum, of one step": (
        dict(
            shape=(7, 6),
            steps=1,
            input_steps=3,
            layers=(HALF, CONV, {"max": (2, 1)}, {"max": (1, 2), "stride": (1, 2)}, {"dense": 2}),
            folding={
                "max1": F(),
                "conv2": F(pe=4),
                "max3": F(pe=1),
                "max4": F(pe=2),
                "dense5": F(simd=2),
            },
        ),
        "ice40-hx",
    ),
    "signals": (
        dict(
            shape=(1, 21),
            layers=(
                {"conv": 4, "window": (1, 5), "padding": (0, 0, 2, 2)},
                {"max": (1, 3), "stride": (1, 3)},
                {"dense": 3},
            ),
            folding={"conv1": F(pe=2), "max2": F(pe=2), "dense3": F(pe=3, simd=4)},
        ),
        "ecp5",
    ),
}


def samples(design, count: int, seed: int = 0) -> np.ndarray:
    fmt = design.input_format
    raw = np.random.default_rng(seed).integers(fmt.low, fmt.high + 1, (count, design.input.size))
    raw[:1] = fmt.low
    return raw


def logits(run, design) -> list[list[int]]:
    found = [word["logit"] for word in run.results]
    return np.reshape(found, (-1, design.readout.size)).tolist()


@pytest.mark.parametrize("name", DESIGNS)
def test_every_maximum_and_logit_is_the_golden_models_on_its_cycle(run_core, core_of, name):
    arguments, technology = DESIGNS[name]
    design = random_windows(**arguments)
    raw = samples(design, 2)
    core = core_of(design, technology)

    run = run_core(core, raw)

    assert golden.run(design, raw).logits.tolist() == logits(run, design)
    expected = predict(core_timing(design, technology), 2)
    for n, layer in enumerate(core.layers):
        plan = layer.plan
        for what in ("begins", "pushed", "taken", "released"):
            wanted = getattr(expected.layers[n], what)
            found = run.moved[what, n]
            # a later sample is not under way: the run ends with the last logit
            assert wanted == found and len(wanted), (plan.name, what)
        if plan.population.function != "max":
            continue
        greatest = []
        for one in raw:
            events = golden.trace(design, one).populations[plan.name].events.astype(int)
            trains = ((1 << np.arange(len(events))) @ events).reshape(plan.population.shape)
            pixels = trains.reshape(len(trains), -1).T
            greatest += pixels.reshape(-1, plan.folding.pe).tolist()
        assert greatest == [lanes for (lanes,) in run.values["greatest", n]]
        assert len({tuple(lanes) for lanes in greatest}) > 1


@pytest.mark.parametrize("name", list(DESIGNS)[1:3])
def test_stalls_at_both_ends_change_no_answer(run_core, core_of, name):
    arguments, technology = DESIGNS[name]
    design = random_windows(**arguments)
    raw = samples(design, 2, seed=1)
    core = core_of(design, technology)
    rng = np.random.default_rng(raw.size)
    gaps = (rng.geometric(0.5, raw.size // core.lanes) - 1).tolist()
    free = predict(core_timing(design, technology), 2, gaps=gaps).layers[-1].taken[-1]
    ready = np.concatenate([np.zeros(free, bool), rng.random(30) < 0.5])

    run = run_core(core, raw, gaps=gaps, ready=ready.tolist())

    assert golden.run(design, raw).logits.tolist() == logits(run, design)
    blocked = predict(
        core_timing(design, technology),
        2,
        gaps=gaps,
        ready=lambda cycle: cycle >= len(ready) or bool(ready[cycle]),
    )
    assert [layer.taken for layer in blocked.layers] == [
        run.moved["taken", n] for n in range(len(core.layers))
    ]


def test_reset_in_the_middle_leaves_a_clean_state(run_core, core_of):
    arguments, technology = DESIGNS["all channels, unroll means nothing"]
    design = random_windows(**arguments)
    raw = samples(design, 2, seed=2)
    latency, _ = steady(core_timing(design, technology))

    run = run_core(core_of(design, technology), raw, reset_at=latency // 2)

    assert golden.run(design, raw).logits.tolist() == logits(run, design)


def test_a_comparison_that_weighs_the_last_step_most_is_seen(run_core, monkeypatch):
    design = random_windows(**DESIGNS["one by one"][0])
    raw = samples(design, 2)
    core = Core(design)
    monkeypatch.setattr("signfire.hdl.running_maximum.reversed", list, raising=False)

    run = run_core(core, raw)

    assert golden.run(design, raw).logits.tolist() != logits(run, design)


def test_latency_and_cost_are_those_of_the_components():
    design = random_windows(**DESIGNS["one by one"][0])
    for technology in TECHNOLOGIES.values():
        layer = Core(design, technology).layers[1]
        latency, parts = layer.latency, estimate(design, technology).layers[2].parts

        total = 1 + technology.rom_registered + layer.maximum.LATENCY
        assert (total, layer.drain.LATENCY, 0, 0, 0) == (
            latency.total,
            latency.drain,
            latency.x,
            latency.target,
            latency.result,
        )
        assert {"buffer", "maxima", "fifo", "control"} == set(parts)
        assert layer.roms == {}


def test_every_word_stands_on_its_cycle_in_verilator(tmp_path_factory):
    arguments, technology = DESIGNS["padded, offset code, results of a tile in groups"]
    design = random_windows(**arguments)
    folder = tmp_path_factory.getbasetemp() / "maximum"  # equal RTL is compiled once

    result = check_cycles(
        design, samples(design, 4), folder, technology=technology, stalls=(0.3, 0.5), seed=3
    )

    assert result.mismatches == ()
    assert result.words > 1000


def test_a_wrong_train_is_named(tmp_path_factory):
    arguments, technology = DESIGNS["padded, offset code, results of a tile in groups"]
    design = random_windows(**arguments)
    pool = design["max2"]
    high = pool.code.high  # wins where it should stand for nothing
    beyond = [replace(o, bias=np.where(o.bias < 0, high, 0)) for o in pool.operands]
    wrong = replace(pool, operands=tuple(beyond))
    populations = tuple(wrong if p is pool else p for p in design.populations)
    folder = tmp_path_factory.getbasetemp() / "maximum"

    result = check_cycles(
        replace(design, populations=populations),
        samples(design, 4),
        folder,
        technology=technology,
        under_test=Core(design, technology),
    )

    first = result.mismatches[0]
    assert (first.layer, first.what) == ("max2", "maximum")
    assert first.cycle and first.neuron is not None
