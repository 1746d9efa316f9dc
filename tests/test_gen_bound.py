"""Bound: hand-worked, and what limits."""

import pytest

from signfire.gen.core.plans import plan_layers
from signfire.gen.design.folding import Folding
from signfire.gen.fold.bound import BLOCK_RAM_PORTS, LUTS, bound_of
from signfire.gen.technology import find_technology
from signfire.sim.specimens.chains import random_design, random_windows
from signfire.sim.specimens.joins import random_joins


def plans_of(design):
    return plan_layers(design, find_technology("ecp5"))[1]


def perceptron():
    folding = {"fc1": Folding(pe=2), "fc2": Folding(pe=4, simd=2)}
    return random_design(sizes=(8, 6, 4), steps=4, input_steps=2, weight_bits=4, folding=folding)


def test_a_perceptron_by_hand():
    found = bound_of(plans_of(perceptron()), 60, luts=100, block_ram_bits=36)

    # 48 and 24 weights of 4 bits; 48 · 2 and 24 · 4 gated additions of 8 LUTs
    assert found.cycles == {BLOCK_RAM_PORTS: 72 * 4 / 36, LUTS: 192 * 8 / 100}
    assert (found.resource, found.slowest) == (LUTS, "fc1")
    assert found.factor == pytest.approx(60 / 15.36)


def test_memories_limit_where_luts_are_many():
    found = bound_of(plans_of(perceptron()), 60, luts=10**6, block_ram_bits=36)

    assert (found.resource, found.factor) == (BLOCK_RAM_PORTS, 60 / 8)


def test_every_window_reads_its_weights():
    layers = ({"conv": 4, "window": (3, 3)}, {"pool": (2, 2), "stride": (2, 2)}, {"dense": 3})
    folding = {"conv1": Folding(pe=4), "pool2": Folding(), "dense3": Folding()}
    design = random_windows(shape=(6, 6), layers=layers, input_steps=2, folding=folding)
    conv, pool, _ = plans_of(design)

    found = bound_of([conv], 300, luts=100, block_ram_bits=36)

    assert found.cycles[BLOCK_RAM_PORTS] == 16 * 4 * 9 * 4 / 36  # 4x4 windows of 4 outputs
    assert found.cycles[LUTS] == 16 * 4 * 9 * 2 * 8 / 100
    assert bound_of([pool], 300, luts=100, block_ram_bits=36).cycles[BLOCK_RAM_PORTS] == 0


def test_no_folding_is_faster_than_the_bound_of_what_it_takes():
    folding = {
        "input": Folding(pe=8),
        "fc1": Folding(pe=6, simd=8, unroll=2),
        "fc2": Folding(pe=4, simd=6, unroll=4),
    }
    design = perceptron().with_folding(folding)
    plans = plans_of(design)
    ports = sum(p.folding.pe * p.folding.simd * p.weight_bits for p in plans)

    interval = max(plan.interval for plan in plans)
    found = bound_of(plans, interval, luts=10**6, block_ram_bits=ports)

    assert found.factor >= 1


def test_branches_are_all_added():
    joined = random_joins(folding={p.name: Folding() for p in random_joins().populations})

    for plan in plans_of(joined):
        found = bound_of([plan], 300, luts=100, block_ram_bits=36)

        inputs, steps = plan.words, plan.source_code.steps  # simd 1
        if plan.name == "out":  # 8 channels of 2x2 pixels at T = 3: sums of up to 4 times 7
            inputs, steps = 8, 5
        additions = plan.windows * plan.outputs * inputs * steps
        assert found.cycles[LUTS] == additions * 2 * plan.weight_bits / 100


def test_a_maximum_neither_reads_weights_nor_adds():
    layers = ({"max": (2, 2), "stride": (2, 2)}, {"dense": 3})
    design = random_windows(layers=layers, folding={"max1": Folding(), "dense2": Folding()})

    found = bound_of(plans_of(design)[:1], 300, luts=100, block_ram_bits=36)

    assert set(found.cycles.values()) == {0}
