"""Cores whose neurons are not ReLU: every integrator, target and cycle as the models say."""

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing
from signfire.gen.design.folding import Folding as F
from signfire.gen.layers.cycles import predict
from signfire.gen.layers.neurons.rtl import NeuronLayer, function_latency
from signfire.gen.model.codes import Schedule
from signfire.gen.model.functions import UNARY
from signfire.sim import golden
from signfire.sim.specimens.chains import random_design

FOLDING = {"input": F(pe=2), "fc1": F(pe=6, simd=4), "fc2": F(pe=2, simd=3)}
OVERLAPPED = dict(
    firing="overlapped", schedule=Schedule(kind="list", values=(7, 3, 4, 1)), code="offset"
)
DESIGNS = {  # arguments of random_design, technology
    **{name: (dict(function=name, code="offset"), "ecp5") for name in UNARY},
    "gelu, LUT RAM": (dict(function="gelu", code="offset", steps=6), "ice40-hx"),
    "exp, silent": (dict(function="exp", steps=3), "gowin"),
    "relu with a limit": (dict(limit=11), "ecp5"),
    "relu with a limit, offset": (dict(limit=5, code="offset"), "ice40-up"),
    "linear with a limit": (dict(function="linear", limit=3, code="offset", steps=3), "ecp5"),
    "relu with a limit beyond its code": (dict(limit=999), "ice40-up"),
    "overlapped gelu": (dict(function="gelu", **OVERLAPPED), "ecp5"),
    "overlapped leaky_relu": (dict(function="leaky_relu", **OVERLAPPED), "ice40-up"),
    "overlapped abs": (dict(function="abs", **OVERLAPPED), "gowin"),
    "overlapped relu with a limit": (dict(limit=3, **OVERLAPPED), "ecp5"),
}


@pytest.mark.parametrize("options,technology", DESIGNS.values(), ids=DESIGNS)
def test_core_computes_what_the_models_say(run_core, options, technology):
    design = random_design(seed=2, folding=FOLDING, **options)
    core = Core(design, technology)
    raw = np.random.default_rng(3).integers(0, 256, (3, 8))
    run = run_core(core, raw)
    plan = core.layers[0].plan
    wanted = [golden.trace(design, sample) for sample in raw]
    targets, events = [], []
    for sample in wanted:
        seen = sample.populations["fc1"]
        for row in seen.targets if plan.overlapped else seen.targets[:1]:
            targets += np.clip(row, *plan.target_range).tolist()
        events += seen.events.T.tolist()

    found = [lane for (group,) in run.values["target", 0] for lane in group]
    words = [word for (word,) in run.values["x", 1]]
    logits = [r["logit"] for r in run.results]
    expected = predict(core_timing(design, technology), 3)

    assert targets == found
    assert len(set(targets)) > 3  # the sample moves it
    assert [sample.logits.tolist() for sample in wanted] == np.reshape(logits, (3, 4)).tolist()
    assert words
    assert expected.layers[0].pushed == run.moved["pushed", 0]
    assert expected.layers[1].taken == run.moved["taken", 1]


@pytest.mark.parametrize(
    ("options", "cycles"),
    [
        (dict(), 0),
        (dict(limit=5), 1),
        (dict(function="abs"), 2),
        (dict(function="leaky_relu", code="offset"), 2),
        (dict(function="square"), 3),  # address, memory, its second register
    ],
)
def test_latency_of_the_function_is_that_of_its_components(options, cycles):
    plain = Core(random_design(seed=2, folding=FOLDING), "ecp5").layers[0].plan
    plan = Core(random_design(seed=2, folding=FOLDING, **options), "ecp5").layers[0].plan

    assert cycles == function_latency(plan)
    later = [NeuronLayer.latency_of(each).target for each in (plain, plan)]
    assert later[1] - later[0] >= cycles - 1


def test_a_wrong_entry_changes_the_targets_of_the_core(run_core):
    design = random_design(seed=2, folding=FOLDING, function="gelu", code="offset")
    raw = np.random.default_rng(3).integers(0, 256, (3, 8))
    core = Core(design, "ecp5")
    table = core.layers[0].tail.function
    known = [golden.trace(design, sample).populations["fc1"] for sample in raw]
    used = known[0].requantised[0].ravel()[0] - design["fc1"].table.first
    address = min(max(int(used), 0), len(table.entries) - 1)
    for rom in table.roms:
        rom.content = [*rom.content]
        rom.content[address] ^= 1
    run = run_core(core, raw)

    targets = [lane for (group,) in run.values["target", 0] for lane in group]
    assert targets != [t for seen in known for t in seen.targets[0].tolist()]
    assert abs(targets[0] - known[0].targets[0, 0]) == 1
