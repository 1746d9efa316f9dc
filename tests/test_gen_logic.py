"""Weights as logic: folded, priced by what they are, refused, and cycle by cycle."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing
from signfire.gen.core.estimate import estimate
from signfire.gen.core.plans import plan_layers
from signfire.gen.core.shape import differences
from signfire.gen.cost import Budget
from signfire.gen.design.folding import Folding
from signfire.gen.fold.fold import CHOICES, auto_fold, parse_fold
from signfire.gen.layers.constant_cost import logic_cost
from signfire.gen.layers.cycles import predict, steady
from signfire.gen.technology import TECHNOLOGIES
from signfire.hdl.constant_sums import Group
from signfire.sim import golden
from signfire.sim.bulk import run_bulk
from signfire.sim.cycle import check_cycles
from signfire.sim.specimens.chains import random_design, random_windows
from signfire.sim.specimens.joins import random_joins
from signfire.sim.specimens.rate import as_rate

ECP5 = TECHNOLOGIES["ecp5"]
LOGIC = Folding(synapse="logic")


def as_logic(design, **folding):
    """Return the Design with the weights of all layers as logic, but for those that are named."""
    return design.with_folding({p.name: LOGIC for p in design.populations[1:]} | folding)


def with_weights(design, layer: str, change):
    """Return the Design with other weights in a layer."""
    population = design[layer]
    (operand,) = population.operands
    (projection,) = operand.projections
    other = projection.map.with_weights(change(projection.map.weights))
    operand = replace(operand, projections=(replace(projection, map=other),))
    changed = replace(population, operands=(operand,))
    return replace(
        design, populations=tuple(changed if p.name == layer else p for p in design.populations)
    )


# -- foldings ----------------------------------------------------------------------------------


def test_a_layer_takes_all_of_its_inputs_and_outputs():
    design = as_logic(random_design(sizes=(8, 6, 4)), fc2=Folding(synapse="logic", unroll=2))

    assert design["fc1"].folding == Folding(pe=6, simd=8, synapse="logic")
    assert design["fc2"].folding == Folding(pe=4, simd=6, unroll=2, synapse="logic")
    assert parse_fold("fc1:synapse=logic") == {"fc1": LOGIC}
    assert design.with_synapse("events")["fc1"].folding == Folding(pe=6, simd=8)


@pytest.mark.parametrize(
    ("make", "layer", "folding", "message"),
    [
        (
            lambda: random_design(sizes=(8, 6, 4)),
            "fc1",
            Folding(pe=3, simd=8, synapse="logic"),
            "weights of 'fc1' are logic of all 6 outputs and 8 inputs at once, not 3 and 8 (leave "
            "out pe and simd)",
        ),
        (
            lambda: random_design(sizes=(8, 6, 4)),
            "fc1",
            Folding(synapse="logic", skips=True),
            "'fc1' cannot skip silent words: its weights are logic, which take a step a cycle "
            "(leave out silent=skip)",
        ),
        (
            lambda: random_windows(layers=({"conv": 2, "window": (2, 2)}, {"dense": 2})),
            "conv1",
            LOGIC,
            "weights of 'conv1' cannot be logic: it reads windows of 4 pixels, one after the other "
            "(leave it at synapse=events)",
        ),
        (
            lambda: random_windows(layers=({"max": (2, 2), "stride": (2, 2)}, {"dense": 2})),
            "max1",
            LOGIC,
            "weights of 'max1' cannot be logic: it is a maximum or sums several branches (leave it "
            "at synapse=events)",
        ),
    ],
)
def test_what_cannot_be_logic_is_refused(make, layer, folding, message):
    with pytest.raises(ValueError) as error:
        make().with_folding({layer: folding})

    assert str(error.value) == message


def test_all_layers_that_can_be_logic_are():
    design = random_windows(layers=({"conv": 2, "window": (2, 2)}, {"dense": 2}))
    folded = design.with_folding({p.name: Folding() for p in design.populations})

    found = folded.with_synapse("logic")

    assert found["conv1"].folding == Folding()
    assert found["dense2"].folding.is_logic


def test_a_layer_reads_a_step_a_cycle():
    design = as_logic(random_design(sizes=(8, 6, 4), steps=3), input=Folding(pe=8))

    _, plans = plan_layers(design, ECP5)

    assert [(plan.tiles, plan.words) for plan in plans] == [(1, 1), (1, 1)]
    assert plans[1].planes == 3
    assert "fc1 weights" not in Core(design).roms


# -- price -------------------------------------------------------------------------------------


def test_a_price_by_hand():
    base = as_logic(random_design(sizes=(5, 2), input_steps=2, weight_bits=4))
    rows = np.array([[1, 1, 0, -2, 0], [1, 1, 7, -2, 3]])
    design = with_weights(base, "fc1", lambda w: rows)
    (plan,) = plan_layers(design, ECP5)[1]

    assert plan.constant_sums == (
        (Group((0, 1, 3), (1, 1, -2)),),
        (Group((0, 1, 2, 3), (1, 1, 7, -2)), Group((4,), (3,))),
    )
    # Output 0: -2..2, three functions, and 3 bits that wait for a level. Output 1: -2..9, five
    # functions; 3 is the event itself in two bits, one register, and no sign; their sum -2..12.
    cost = logic_cost(plan)
    assert (cost.lut, cost.ff) == (3 + 5 + 6, 3 + 3 + 5 + 1 + 5)


def test_pruned_weights_cost_nothing():
    design = as_logic(random_design(sizes=(64, 8, 4), weight_bits=3))

    def price(change):
        (plan, _) = plan_layers(with_weights(design, "fc1", change), ECP5)[1]
        return logic_cost(plan).lut

    half = np.arange(64) % 2
    whole, pruned = price(lambda w: w), price(lambda w: w * half)
    assert 0.4 * whole < pruned < 0.55 * whole
    assert price(lambda w: w * 0) == 0
    assert 1.9 < whole / np.count_nonzero(design["fc1"].operands[0].projections[0].map.weights) < 3


def test_other_weights_are_refused_by_name():
    design = as_logic(random_design(sizes=(4, 4, 2)))
    smaller = with_weights(design, "fc2", lambda w: w // 2)

    assert list(differences(design, design, ECP5)) == []
    assert list(differences(design, smaller, ECP5)) == [
        "weights of 'fc2' are logic, which no memory holds: they cannot be replaced (fold it with "
        "synapse=events)"
    ]


# -- neurons as thresholds ---------------------------------------------------------------------


def with_ties(design, ties: str):
    return replace(
        design,
        populations=tuple(
            p if p.function in ("input", "readout") else replace(p, ties=ties)
            for p in design.populations
        ),
    )


NEURONS = {
    "relu": {},
    "limit": {"limit": 9},
    "leaky_relu": {"function": "leaky_relu", "code": "offset"},
    "sigmoid": {"function": "sigmoid"},
    "other schedule": {"schedule": "exponential", "input_steps": 2},
}


@pytest.mark.parametrize("ties", ["down", "up", "even"])
@pytest.mark.parametrize("name", NEURONS)
def test_thresholds_fire_as_the_golden_model_does_on_every_sum(name, ties):
    made = random_design(sizes=(5, 4, 2), steps=3, **NEURONS[name])
    if name == "other schedule":  # of the hidden layer alone: that of its source is binary
        binary = random_design(sizes=(5, 4, 2), steps=3, input_steps=2).input
        made = replace(made, populations=(binary, *made.populations[1:]))
        ties = ties.replace("even", "down")  # which is for the binary schedule alone
    design = with_ties(as_logic(made, fc2=Folding(simd=4)), ties)
    plan = plan_layers(design, ECP5)[1][0]
    assert plan.by_thresholds
    assert plan.readers[0].is_register

    sums = np.arange(-(1 << plan.total_width - 1), 1 << plan.total_width - 1)
    x = plan.folded_bias[0][:, None] + 2 * sums
    operand, population = plan.population.operands[0], plan.population
    requantised = golden.requantise_operand(operand, x.T, population)
    targets = golden.target_of(population, [requantised]).T

    v = np.full(targets.shape, population.code.rest)
    place = np.zeros(targets.shape, np.int64)
    for step, eta in enumerate(population.code.eta):
        own = plan.thresholds[np.arange(4)[:, None], (1 << step) - 1 + place]
        event = v < targets
        np.testing.assert_array_equal(sums >= own, event)
        place = 2 * place + event
        v = np.where(event, v + eta, v - eta)


@pytest.mark.parametrize(
    "numbers",
    [
        {"function": "gelu", "code": "offset"},  # falls where X grows
        {"steps": 5},
        {"function": "abs"},
    ],
)
def test_other_neurons_step_as_ever(numbers):
    design = as_logic(random_design(sizes=(5, 4, 2), **({"steps": 3} | numbers)))

    plan = plan_layers(design, ECP5)[1][0]

    assert not plan.by_thresholds
    assert "target" in {seen.quantity for seen in plan.observations()}


def test_other_constants_of_thresholds_are_refused_by_name():
    design = as_logic(random_design(sizes=(4, 4, 2), steps=3))
    population = design["fc1"]
    operand = replace(population.operands[0], bias=population.operands[0].bias // 2)
    other = replace(
        design,
        populations=tuple(
            replace(p, operands=(operand,)) if p.name == "fc1" else p for p in design.populations
        ),
    )

    assert list(differences(design, other, ECP5)) == [
        "biases and factors of 'fc1' are logic, which no memory holds: they cannot be replaced "
        "(fold it with synapse=events)"
    ]
    assert "fc1 constants" not in Core(design).roms


# -- search ------------------------------------------------------------------------------------


def test_a_search_mixes_logic_with_other_ways():
    design = random_design(sizes=(64, 16, 8, 4), weight_bits=3, steps=3, input_steps=3)
    room = Budget(lut=3500, ff=20_000, block_ram=20, multipliers=8)

    mixed = auto_fold(design, "ecp5", room, synapses=CHOICES["any"])
    events = auto_fold(design, "ecp5", room)

    found = {p.folding.synapse for p in mixed.design.populations[1:]}
    assert {"events", "logic"} <= found
    latencies = [steady(core_timing(each.design, ECP5))[0] for each in (mixed, events)]
    assert latencies[0] < latencies[1]
    assert estimate(mixed.design, ECP5, room).fits


def test_a_search_with_room_takes_logic_alone_and_says_what_limits_it():
    design = random_design(sizes=(12, 8, 4), weight_bits=3, steps=3, input_steps=3)
    room = Budget(lut=9000, ff=20_000, block_ram=20, multipliers=0)

    found = auto_fold(design, "ecp5", room, synapses=CHOICES["any"])

    assert {p.folding.synapse for p in found.design.populations[1:]} == {"logic"}
    assert found.interval == steady(core_timing(found.design, ECP5))[1] <= 3
    assert found.explanation.endswith(
        "is as parallel as it can be, so a larger device would not help"
    )


def test_a_search_for_logic_alone_leaves_other_layers_as_they_must_be():
    design = random_windows(layers=({"conv": 2, "window": (2, 2)}, {"dense": 2}))
    room = Budget(lut=9000, ff=20_000, block_ram=20, multipliers=8)

    found = auto_fold(design, "ecp5", room, synapses=CHOICES["logic"]).design

    assert [p.folding.synapse for p in found.populations[1:]] == ["events", "logic"]


# -- in simulation -----------------------------------------------------------------------------

TURNED = {
    "first": [("input", {"conv": 3, "window": (1, 1)})],
    "behind": [("first", {"conv": 2, "window": (1, 1)})],
    "out": [("behind", {"dense": 2})],
}
SPECIMENS = {
    "settled": lambda: as_logic(
        random_design(sizes=(8, 6, 5, 3), steps=3, input_steps=2),
        input=Folding(pe=4),
        fc2=Folding(synapse="logic", unroll=3),
        fc3=Folding(pe=1, simd=5),
    ),
    "all at once": lambda: as_logic(
        random_design(sizes=(6, 5, 4, 3), steps=3, input_steps=3), input=Folding(pe=6)
    ),
    "overlapped": lambda: as_logic(
        random_design(
            sizes=(6, 5, 2), firing="overlapped", schedule="exponential", code="centred", steps=3
        )
    ),
    "pixels": lambda: as_logic(random_joins(shape=(2, 2, 3), layers=TURNED)),
    "rate": lambda: as_logic(as_rate(random_design(sizes=(6, 5, 2)), steps=3)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder for each specimen, so that equal Verilog is compiled once."""
    root = tmp_path_factory.mktemp("logic")
    return lambda name: root / name


def samples(design, count: int) -> np.ndarray:
    fmt = design.input_format
    return np.random.default_rng(3).integers(fmt.low, fmt.high + 1, (count, design.input.size))


@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize("name", SPECIMENS)
def test_every_word_stands_on_its_cycle_with_stalls(name, folder):
    design = SPECIMENS[name]()

    found = check_cycles(design, samples(design, 3), folder(name), stalls=(0.3, 0.3))

    assert found.passed, found.mismatches[:3]


@pytest.mark.usefixtures("quick_compilation")
def test_all_logits_are_a_word_in_bulk_with_stalls_and_a_reset(folder):
    design = SPECIMENS["all at once"]()

    found = run_bulk(design, samples(design, 40), folder("bulk"), stalls=(0.2, 0.3), reset_at=60)

    assert found.passed, found.mismatches[:3]
    assert found.words == 40 * 3
    np.testing.assert_array_equal(found.labels, golden.run(design, samples(design, 40)).labels)


def test_a_board_hears_of_the_first_logit_when_the_word_stands():
    # As a simulated iCEBreaker counts it: samples are one word, so that is the latency.
    timing = core_timing(SPECIMENS["all at once"](), ECP5)

    assert predict(timing, 1).answer() == predict(timing, 1).latency() == steady(timing)[0]


def test_a_sample_takes_as_many_cycles_as_it_has_steps():
    timing = core_timing(SPECIMENS["all at once"](), ECP5)
    latency, interval = steady(timing)

    # Input: 1, its trains stand at once. A layer: the register, groups, a level of adders, three
    # steps, thresholds.
    assert (latency, interval) == (
        1 + (1 + 1 + 1 + 3 + 1) + (1 + 1 + 1 + 3 + 1) + (1 + 1 + 3 + 2),
        3,
    )
    large = as_logic(
        random_design(sizes=(16, 20, 20, 4), steps=3, input_steps=3), input=Folding(pe=16)
    )
    assert set(predict(core_timing(large, ECP5), 60).intervals) == {3}  # FIFOs never hold it up


@pytest.mark.usefixtures("quick_compilation")
def test_a_weight_that_differs_is_seen(folder):
    design = SPECIMENS["settled"]()
    judged = with_weights(design, "fc1", lambda w: w + (np.arange(w.size).reshape(w.shape) == 9))

    found = check_cycles(
        judged, samples(design, 3), folder("settled"), shape=design, under_test=Core(design)
    )

    assert {mismatch.layer for mismatch in found.mismatches} >= {"fc1"}
