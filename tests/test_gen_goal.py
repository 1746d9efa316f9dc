"""What a search for a folding seeks: the class soonest, most samples, least energy."""

from dataclasses import replace

import pytest

from signfire.gen.core.core import core_timing
from signfire.gen.core.estimate import estimate
from signfire.gen.core.plans import plan_layers
from signfire.gen.cost import Budget, Resources
from signfire.gen.design.folding import divisors
from signfire.gen.fold.fold import auto_fold, split_goal
from signfire.gen.fold.goal import (
    ENERGY,
    GOALS,
    LATENCY,
    THROUGHPUT,
    class_latency,
    energy_proxy,
    spread,
    tail_of,
)
from signfire.gen.layers.cycles import steady
from signfire.gen.technology import find_technology
from signfire.sim.specimens.chains import random_design, random_windows

TECHNOLOGY = find_technology("ecp5")
BUDGET = Budget(lut=4000, ff=10**5, block_ram=30, multipliers=9)
WINDOWS = dict(
    shape=(8, 8),
    layers=({"conv": 4, "window": (3, 3)}, {"conv": 8, "window": (3, 3)}, {"pooled": 6}),
)
MADE = {
    "windows": lambda: random_windows(**WINDOWS),
    "perceptron": lambda: random_design(sizes=(24, 12, 6)),
}


@pytest.fixture(scope="module", params=MADE)
def found(request):
    """Return what is found for each goal, of a network."""
    design = MADE[request.param]()
    return {goal: auto_fold(design, TECHNOLOGY, BUDGET, goal=goal) for goal in GOALS}


def worth(choice) -> tuple[float, int, float]:
    """Return latency, interval and energy of what was found."""
    used = estimate(choice.design, TECHNOLOGY).resources
    latency = class_latency(choice.design, TECHNOLOGY)
    return latency, choice.interval, energy_proxy(used, choice.interval, 0.0)


def test_each_goal_is_served_best_by_its_own_folding(found):
    each = {goal: worth(choice) for goal, choice in found.items()}

    for k, goal in enumerate((LATENCY, THROUGHPUT, ENERGY)):
        best = min(values[k] for values in each.values())
        assert each[goal][k] <= 1.02 * best
    assert all(BUDGET.fits(choice.estimate.resources) for choice in found.values())


def test_the_encoder_has_the_fewest_lanes_with_which_the_class_comes_no_later(found):
    design = found[LATENCY].design
    own, latency = design.input.folding.pe, class_latency(design, TECHNOLOGY)

    for fewer in [lanes for lanes in divisors(own) if lanes < own]:
        other = design.with_folding({"input": replace(design.input.folding, pe=fewer)})
        assert class_latency(other, TECHNOLOGY) > latency


def test_the_latency_is_that_of_the_cycle_model(found):
    design = found[LATENCY].design

    assert class_latency(design, TECHNOLOGY) == steady(core_timing(design, TECHNOLOGY))[0]


def test_what_comes_behind_the_last_line_of_a_source_delays_the_class():
    design = random_windows(**WINDOWS)
    folded = auto_fold(design, TECHNOLOGY, BUDGET).design
    first, second, last = plan_layers(folded, TECHNOLOGY)[1]

    # one of six and one of four rows of windows; a sum over all pixels
    assert (tail_of(first), tail_of(second), tail_of(last)) == (1 / 6, 1 / 4, 1)


def test_what_stands_by_counts_as_cells():
    used = Resources(lut=100, lone_ff=10, multipliers=2)

    assert energy_proxy(used, 30, 50.0) == (100 + 10 + 2 * 20 + 50) * 30


def test_a_few_intervals_are_tried_evenly_by_their_ratio():
    assert spread(list(range(10, 1000, 10)), 4) == [10, 20, 30, 40]
    assert spread([7], 4) == [7]


def test_a_word_says_what_is_sought():
    assert split_goal(["auto", "*:for=energy"]) == (("auto",), "energy")
    assert split_goal(["auto"]) == (("auto",), None)
    with pytest.raises(ValueError) as error:
        split_goal(["*:for=speed"])
    assert str(error.value) == "a folding is for one of latency, throughput, energy, not speed"
    with pytest.raises(ValueError) as error:
        auto_fold(random_design(), TECHNOLOGY, BUDGET, goal="speed")
    assert str(error.value) == "a folding is for one of latency, throughput, energy, not 'speed'"
