"""Cores of integrate-and-fire neurons: every membrane, event, logit and cycle as predicted."""

import re
from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing
from signfire.gen.core.plans import no_hardware, plan_layers
from signfire.gen.core.shape import refuse_unlike
from signfire.gen.cost import Budget
from signfire.gen.design.folding import Folding as F
from signfire.gen.fold.fold import auto_fold
from signfire.gen.layers.cycles import predict, steady
from signfire.gen.model.codes import RateCode
from signfire.sim import golden
from signfire.sim.specimens.chains import random_design, random_windows
from signfire.sim.specimens.joins import random_joins
from signfire.sim.specimens.rate import as_rate

CONV = {"conv": 4, "window": (3, 3), "padding": (1, 1, 1, 1)}
SKIP = {  # samples beside a perceptron; the read-out sums two sources
    "fc1": [("input", {"dense": 6})],
    "fc2": [("fc1", {"dense": 4})],
    "sum": [("fc2", {"dense": 8}), ("input", {"pick": tuple(range(8)), "bits": 4})],
    "out": [("sum", {"dense": 3}), ("fc1", {"dense": 3})],
}
DESIGNS = {  # maker, its arguments, T, technology
    "one by one": (random_design, dict(folding={"fc1": F(), "fc2": F()}), 5, "ecp5"),
    "lanes": (
        random_design,
        dict(folding={"input": F(pe=2), "fc1": F(pe=3, simd=4), "fc2": F(pe=4, simd=3)}),
        7,
        "ice40-up",
    ),
    "everything at once": (
        random_design,
        dict(folding={"input": F(pe=8), "fc1": F(pe=6, simd=8), "fc2": F(pe=4, simd=6)}),
        4,
        "gowin",
    ),
    "one step": (random_design, dict(folding={"fc1": F(pe=2, simd=8), "fc2": F()}), 1, "ecp5"),
    "signed, three layers": (
        random_design,
        dict(
            sizes=(6, 4, 6, 3),
            input_range=(-128, 127),
            weight_bits=6,
            folding={"fc1": F(pe=4, simd=2), "fc2": F(pe=2, simd=4), "fc3": F(pe=3, simd=2)},
        ),
        9,
        "ice40-hx",
    ),
    "no hidden layer": (
        random_design,
        dict(sizes=(9, 5), folding={"fc1": F(pe=5, simd=3)}),
        6,
        "ecp5",
    ),
    "windows": (
        random_windows,
        dict(
            layers=(CONV, {"pool": (2, 2), "stride": (2, 2)}, {"dense": 3}),
            folding={"conv1": F(pe=2), "pool2": F(pe=4), "dense3": F(pe=3, simd=4)},
        ),
        3,
        "ecp5",
    ),
    "depthwise, strides, pooled read-out": (
        random_windows,
        dict(
            shape=(6, 5, 2),
            layers=(
                {"depthwise": True, "window": (3, 3), "padding": (2, 0, 1, 1), "stride": (2, 1)},
                {"conv": 4, "window": (2, 2)},
                {"pooled": 3},
            ),
            folding={"input": F(pe=2), "depthwise1": F(pe=2), "conv2": F(pe=4), "pooled3": F()},
        ),
        4,
        "ice40-up",
    ),
    "residual": (
        random_joins,
        dict(
            shape=(4, 3),
            folding={
                "first": F(pe=4),
                "inner1": F(pe=4, simd=4),
                "join1": F(pe=4, simd=4),
                "inner2": F(pe=3, simd=4),
                "join2": F(pe=6, simd=2),
                "inner3": F(pe=2, simd=6),
                "join3": F(pe=4, simd=4),
                "out": F(pe=3, simd=8),
            },
        ),
        3,
        "ecp5",
    ),
    "sums of whole samples": (
        random_joins,
        dict(
            shape=(8,),
            layers=SKIP,
            folding={
                "fc1": F(pe=2, simd=4),
                "fc2": F(pe=4, simd=6),
                "sum": F(pe=4, simd=4),
                "out": F(pe=3, simd=2),
            },
        ),
        8,
        "ecp5",
    ),
}
SAMPLES = 2


def made(name):
    maker, arguments, steps, technology = DESIGNS[name]
    return as_rate(maker(**arguments), steps=steps, seed=len(name)), technology


def samples(design, count: int = SAMPLES, seed: int = 0) -> np.ndarray:
    fmt = design.input_format
    raw = np.random.default_rng(seed).integers(fmt.low, fmt.high + 1, (count, design.input.size))
    raw[:1] = fmt.high
    return raw


def logits(run, design) -> list[list[int]]:
    found = [word["logit"] for word in run.results]
    return np.reshape(found, (-1, design.readout.size)).tolist()


def expected_fire(design, plan, raw) -> list[tuple[list[int], int]]:
    """Return the same by the golden model: windows, tiles, steps, groups."""
    found, apart = [], plan.windows
    for sample in raw:
        seen = golden.trace(design, sample).populations[plan.name]
        for window in range(plan.windows):
            for tile in range(plan.tiles):
                for t in range(plan.source_code.steps):
                    for group in range(plan.groups):
                        first = tile * plan.folding.pe + group * plan.lanes
                        which = slice(
                            first * apart + window, (first + plan.lanes) * apart + window, apart
                        )
                        events = seen.events[t][which]
                        found.append(
                            (
                                seen.membranes[t + 1][which].tolist(),
                                sum(int(e) << lane for lane, e in enumerate(events)),
                            )
                        )
    return found


def check(name: str, run_core, core_of, stalls: tuple[float, float]) -> None:
    """Compare every transfer, membrane, event and logit of a run."""
    design, technology = made(name)
    core, raw = core_of(design, technology), samples(design)
    rng = np.random.default_rng(1)
    gaps = (rng.geometric(1 - stalls[0], raw.size // core.lanes) - 1).tolist()
    ready = (rng.random(5000) >= stalls[1]).tolist()

    run = run_core(core, raw, gaps=gaps, ready=ready)

    predicted = predict(
        core_timing(design, technology),
        len(raw),
        gaps=gaps,
        ready=lambda cycle: cycle >= len(ready) or ready[cycle],
    )
    for place in ("accepted", "targets", "encoded"):
        assert getattr(predicted, place) == run.moved[place], place
    for n, layer in enumerate(predicted.layers):
        for place in ("begins", "released", "pushed", "taken"):
            assert getattr(layer, place) == run.moved[place, n], (place, n)
    for n, layer in enumerate(core.layers[:-1]):
        wanted = expected_fire(design, layer.plan, raw)
        assert len({events for _, events in wanted}) > 1, layer.plan.name
        assert wanted == run.values["fire", n], layer.plan.name
    assert golden.run(design, raw).logits.tolist() == logits(run, design)


@pytest.mark.parametrize("name", DESIGNS)
def test_every_number_stands_on_its_predicted_cycle_with_stalls(run_core, core_of, name):
    check(name, run_core, core_of, (0.3, 0.6))


@pytest.mark.parametrize("name", ["one by one", "everything at once", "sums of whole samples"])
def test_every_number_stands_on_its_predicted_cycle_at_full_speed(run_core, core_of, name):
    check(name, run_core, core_of, (0.0, 0.0))


def test_the_interval_has_settled():
    design, technology = made("lanes")
    timing = core_timing(design, technology)

    assert steady(timing) == (predict(timing, 30).latency(0), predict(timing, 30).intervals[-1])


# -- what does not move with the weights -------------------------------------------------------


def changed(design, layer, **changes):
    """Return the design with other attributes of one population."""
    return replace(
        design,
        populations=tuple(
            replace(p, **changes) if p.name == layer else p for p in design.populations
        ),
    )


def with_weights(design, layer, change):
    """Return the design with other weights of one population."""
    operand = design[layer].operands[0]
    projection = operand.projections[0]
    other = projection.map.with_weights(change(projection.map.weights.copy()))
    faulty = replace(operand, projections=(replace(projection, map=other),))
    return changed(design, layer, operands=(faulty,))


def test_other_weights_biases_and_thresholds_run_on_the_same_hardware(run_core):
    shape, technology = made("lanes")
    design = with_weights(shape, "fc1", lambda weights: -weights[::-1] // 2)
    operand = design["fc1"].operands[0]
    design = changed(
        design,
        "fc1",
        operands=(replace(operand, bias=operand.bias[::-1] // 2),),
        threshold=np.maximum(1, shape["fc1"].threshold - 1),
    )
    raw = samples(design)

    refuse_unlike(shape, design, technology)
    run = run_core(Core(design, technology, shape), raw)

    assert golden.run(design, raw).logits.tolist() == logits(run, design)
    assert golden.run(shape, raw).logits.tolist() != logits(run, design)


def test_what_does_not_fit_the_hardware_is_named():
    shape, technology = made("lanes")
    theta = shape["fc1"].threshold.copy()
    theta[2] = 5000
    cases = {
        "B and B - θ of 'fc1' need 14 bits": changed(shape, "fc1", threshold=theta),
        "weights of 'fc1' reach 15, and 4 bits hold 7": changed(
            shape,
            "fc1",
            operands=tuple(
                replace(
                    op,
                    projections=tuple(
                        replace(
                            q, weight_bits=8, map=q.map.with_weights(np.full((6, 8), 15, np.int64))
                        )
                        for q in op.projections
                    ),
                )
                for op in shape["fc1"].operands
            ),
        ),
        "the threshold of 'input' must be 255, not 256": changed(
            shape, "input", threshold=np.array([256])
        ),
        "dynamics must be if, not signgd": random_design(folding={"fc1": F(), "fc2": F()}),
    }
    for said, design in cases.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            refuse_unlike(shape, design, technology)


def test_widths_are_those_of_the_shape(run_core):
    """A design of small numbers does not make hardware of its own."""
    shape, technology = made("lanes")
    small = changed(shape, "fc1", threshold=np.ones_like(shape["fc1"].threshold))

    _, plans = plan_layers(small, Core(shape, technology).technology, shape)

    assert plans[0].widths == Core(shape, technology).plans[0].widths
    assert plans[0].threshold.tolist() == [1] * 6


# -- what has no hardware ----------------------------------------------------------------------


def test_a_leak_has_no_hardware():
    design, _ = made("lanes")
    leaky = replace(
        design,
        dynamics="lif",
        populations=tuple(
            p if p.code is None else replace(p, code=RateCode(steps=4, theta=1.0, leak=2))
            for p in design.populations
        ),
    )

    assert no_hardware(design) is None
    assert no_hardware(leaky) == (
        "there is no RTL for a leak: leaky integrate-and-fire neurons are a baseline that the "
        "golden model runs (use signfire evaluate, or the dynamics if)"
    )


def test_an_input_that_passes_its_threshold_has_no_hardware():
    design, _ = made("lanes")

    assert "threshold is less than its range, 254 below 255" in no_hardware(
        changed(design, "input", threshold=np.array([254]))
    )


def test_unroll_and_multipliers_are_refused():
    with pytest.raises(ValueError, match="unroll must be 1 for 'fc1'"):
        as_rate(random_design(), steps=4).with_folding({"fc1": F(unroll=2)})
    with pytest.raises(ValueError, match="'fc1' cannot multiply: only with settled firing"):
        as_rate(random_design(), steps=4).with_folding({"fc1": F(synapse="multiply")})


def test_the_fastest_folding_that_fits_takes_one_step_at_a_time():
    design = as_rate(random_design(sizes=(16, 8, 4)), steps=6)
    budget = Budget(lut=900, ff=2000, block_ram=4, multipliers=0)

    found = auto_fold(design, "ice40-up", budget)

    assert found.estimate.fits
    foldings = [p.folding for p in found.design.populations[1:]]
    assert {fold.unroll for fold in foldings} == {1}
    assert max(fold.pe * fold.simd for fold in foldings) > 1
    assert found.interval == steady(core_timing(found.design, "ice40-up"))[1]
