"""Alternatives on multipliers: what stays, what gets smaller, and where the blocks go."""

import pytest

from signfire.gen.core.estimate import estimate
from signfire.gen.core.plans import plan_layers
from signfire.gen.design.folding import Folding
from signfire.gen.design.parallel import has_synapses
from signfire.gen.fold.alternative import BLOCKS_ALONE, EQUAL_INTERVAL, EQUAL_LANES, alternatives
from signfire.gen.technology import find_technology
from signfire.sim.specimens.chains import random_design, random_windows
from signfire.sim.specimens.joins import random_joins

WINDOWS = {
    "conv1": Folding(pe=4, unroll=1),
    "pool2": Folding(pe=4),
    "dense3": Folding(pe=3, simd=12),
}


def folded():
    return random_design(sizes=(32, 16, 4), steps=4, input_steps=2).with_folding(
        {
            "input": Folding(pe=8),
            "fc1": Folding(pe=8, simd=8),
            "fc2": Folding(pe=2, simd=8, unroll=2),
        }
    )


def intervals(design) -> list[int]:
    return [plan.interval for plan in plan_layers(design, find_technology("ecp5"))[1]]


def test_equal_lanes_take_one_pass():
    design = folded()

    lanes = alternatives(design, "ecp5", 156)[EQUAL_LANES]

    assert lanes.hash == design.hash
    assert [p.folding for p in lanes.populations] == [
        Folding(pe=8),
        Folding(pe=8, simd=8, unroll=2, synapse="multiply"),
        Folding(pe=2, simd=8, unroll=4, synapse="multiply"),
    ]


@pytest.mark.parametrize("design", [folded(), random_windows(folding=WINDOWS)])
def test_an_equal_interval_takes_fewer_lanes_and_no_layer_is_slower(design):
    found = alternatives(design, "ecp5", 156)

    for before, after in zip(intervals(design), intervals(found[EQUAL_INTERVAL]), strict=True):
        assert after <= before
    lanes = [
        [p.folding.pe * p.folding.simd for p in d.populations[1:]]
        for d in (found[EQUAL_INTERVAL], found[EQUAL_LANES])
    ]
    assert lanes[0] != lanes[1]
    assert all(few <= many for few, many in zip(*lanes, strict=True))


def test_half_the_lanes_are_as_fast_at_two_steps():
    fewer = alternatives(folded(), "ecp5", 156)[EQUAL_INTERVAL]

    assert fewer["fc1"].folding == Folding(pe=4, simd=8, unroll=2, synapse="multiply")


@pytest.mark.parametrize("multipliers", [8, 12, 20, 156])
def test_blocks_are_taken_as_far_as_they_reach(multipliers):
    for design in alternatives(folded(), "ecp5", multipliers).values():
        assert estimate(design, "ecp5").resources.multipliers <= multipliers


def test_blocks_that_do_not_reach_for_all_serve_where_each_saves_most():
    few = alternatives(folded(), "ecp5", 20)[EQUAL_LANES]

    assert [p.folding.synapse for p in few.populations[1:]] == ["multiply-lut", "multiply"]


def test_blocks_alone_take_as_many_lanes_as_they_reach_for():
    few, many = (alternatives(folded(), "ecp5", n)[BLOCKS_ALONE] for n in (12, 60))

    for design, most in ((few, 12), (many, 60)):
        assert {p.folding.synapse for p in design.populations[1:]} == {"multiply"}
        assert estimate(design, "ecp5").resources.multipliers <= most
    assert max(intervals(many)) < max(intervals(few))
    assert BLOCKS_ALONE not in alternatives(folded(), "ecp5", 2)


def test_a_device_without_blocks_makes_every_product_of_luts():
    found = alternatives(folded(), "ice40-hx", 0)

    for design in found.values():
        assert {p.folding.synapse for p in design.populations[1:]} == {"multiply-lut"}


def test_maxima_and_sums_of_branches_stay_as_they_are():
    layers = ({"conv": 4, "window": (3, 3)}, {"max": (2, 2), "stride": (2, 2)}, {"dense": 3})
    pooled = random_windows(
        layers=layers, folding={"conv1": Folding(pe=4), "max2": Folding(pe=4), "dense3": Folding()}
    )
    joined = random_joins(folding={p.name: Folding() for p in random_joins().populations})

    for design in (pooled, joined):
        for found in alternatives(design, "ecp5", 156).values():
            kinds = {p.name: p.folding.synapse for p in found.populations[1:]}
            assert {"events", "multiply"} == set(kinds.values())
            for p in found.populations[1:]:
                assert (kinds[p.name] == "events") != has_synapses(p)
            assert max(intervals(found)) <= max(intervals(design))


def test_an_alternative_to_multipliers_is_refused():
    with pytest.raises(ValueError) as error:
        alternatives(folded().with_synapse("multiply"), "ecp5", 28)

    assert str(error.value) == (
        "'fc1' multiplies already: the alternative is to a design that adds (give --synapse events)"
    )


def test_trains_that_are_no_numbers_have_no_alternative():
    folding = {"fc1": Folding(), "fc2": Folding()}

    with pytest.raises(ValueError, match=r"^'fc1' cannot multiply: only with settled firing"):
        alternatives(random_design(firing="overlapped", folding=folding), "ecp5", 28)
