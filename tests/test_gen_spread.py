"""Cycles over samples where silent words are skipped, and foldings that are chosen by silence."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import core_timing
from signfire.gen.core.plans import plan_layers
from signfire.gen.core.spread import counted_spread, counted_words, spread_of
from signfire.gen.cost import Budget
from signfire.gen.design.activity import Activity
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.fold.fold import (
    CONSTANT_TIME,
    auto_fold,
    parse_fold,
    refuse_skipping,
    split_silent,
)
from signfire.gen.fold.foldings import wide_cost
from signfire.gen.layers.cycles import predict, steady
from signfire.gen.technology import find_technology

ECP5 = find_technology("ecp5")
BUDGET = Budget(lut=2600, ff=4000, block_ram=20, multipliers=8)
SKIPPING = {
    "input": Folding(pe=8),
    "fc1": Folding(pe=4, simd=2, unroll=2, skips=True),
    "fc2": Folding(pe=2, simd=2),
}


def seen(design: Design, share: float) -> Design:
    """Return a Design of whose input so many trains hold events, in each of five samples."""
    events = (
        np.random.default_rng(2).random((5, design.input.code.steps, design.input.size)) < share
    )
    return replace(design, activity={"input": Activity.of(events)})


def test_every_sample_takes_the_cycles_that_are_predicted_for_it(make_design):
    design = seen(make_design(sizes=(48, 8, 4), folding=SKIPPING), 0.1)
    timing = core_timing(design, ECP5)
    busy = counted_words(plan_layers(design, ECP5)[1])

    found = counted_spread(design, ECP5)

    each = [predict(timing, 1, busy={"fc1": busy["fc1"][n : n + 1]}).latency() for n in range(5)]
    assert (sum(each) / 5, max(each)) == (found.latency, found.worst_latency)
    assert min(each) < max(each) < found.bound
    assert (found.bound, found.interval_bound) == steady(timing)
    assert found.interval == np.mean(predict(timing, 5, busy=busy).intervals)
    assert found.record()["samples"] == 5
    silent = {"fc1": np.zeros((1, 1, 1), int)}
    alone = spread_of(timing, silent)
    assert alone.interval == alone.latency == alone.worst_latency < min(each)


def test_there_is_no_spread_where_cycles_depend_on_no_sample_or_nothing_was_counted(make_design):
    skipping = make_design(sizes=(48, 8, 4), folding=SKIPPING)
    reading = SKIPPING | {"input": Folding(), "fc1": Folding()}

    assert counted_spread(skipping, ECP5) is None
    assert counted_spread(seen(make_design(sizes=(48, 8, 4), folding=reading), 0.1), ECP5) is None


def test_a_search_lets_layers_skip_where_enough_words_are_silent(make_design):
    plain = make_design(sizes=(96, 16, 4), steps=2)
    silent, loud = seen(plain, 0.04), seen(plain, 0.9)

    by_words = auto_fold(plain, ECP5, BUDGET)
    found = auto_fold(silent, ECP5, BUDGET)

    assert found.design["fc1"].folding.skips
    assert found.interval < by_words.interval
    assert found.estimate.fits
    entry, plans = plan_layers(found.design, ECP5)
    assert found.interval == max(entry.words * entry.code.steps, *(p.interval for p in plans))
    assert counted_spread(found.design, ECP5).interval <= found.interval + 1
    # the input fires more trains at once than a word of the queue holds
    assert found.design.input.folding.pe % found.design["fc1"].folding.simd == 0
    for other in (
        auto_fold(loud, ECP5, BUDGET),
        auto_fold(silent, ECP5, BUDGET, constant_time=True),
    ):
        assert other.interval == by_words.interval
        assert not any(p.folding.skips for p in other.design.populations)


def test_a_queue_takes_several_words_of_the_input_at_once_and_no_other_reader_does(make_design):
    folding = {"input": Folding(pe=8), "fc1": Folding(simd=2)}

    assert make_design(sizes=(48, 8, 4), folding=SKIPPING).input.folding.pe == 8
    with pytest.raises(
        ValueError, match=r"^pe must divide the 2 parallel inputs of 'fc1', not 8 \("
    ):
        make_design(sizes=(48, 8, 4), folding=folding)


def test_what_several_words_at_once_cost_is_not_priced_too_low(make_design):
    def buffer(lanes: int, unroll: int):
        layer = replace(SKIPPING["fc1"], unroll=unroll)
        folding = SKIPPING | {"input": Folding(pe=lanes), "fc1": layer}
        plan = plan_layers(make_design(sizes=(48, 8, 4), folding=folding), ECP5)[1][0]
        return plan, plan.cost()["buffer"]

    more = []
    for unroll in (1, 2):
        (plan, narrow), (_, wide) = (buffer(lanes, unroll) for lanes in (2, 8))
        more.append({key: n - getattr(narrow, key) for key, n in vars(wide).items()})

    price = vars(wide_cost(plan, 2, 8))

    assert price == {key: max(0, *(each[key] for each in more)) for key in price}
    assert price["lut"] > 0 < price["ff"]


def test_words_say_whether_silent_words_are_skipped():
    assert parse_fold("fc1:pe=4,silent=skip") == {"fc1": Folding(pe=4, skips=True)}
    assert parse_fold("fc1:silent=read") == {"fc1": Folding()}
    with pytest.raises(ValueError) as error:
        parse_fold("fc1:silent=yes")
    assert str(error.value) == "silent must be read or skip, not 'yes' (fc1:silent=yes)"
    assert split_silent(["auto", CONSTANT_TIME]) == (("auto",), True)
    assert split_silent(["auto"]) == (("auto",), False)


def test_a_folding_that_skips_is_refused_where_every_sample_takes_as_long(make_design):
    refuse_skipping(make_design())

    with pytest.raises(ValueError) as error:
        refuse_skipping(make_design(sizes=(48, 8, 4), folding=SKIPPING))

    assert str(error.value) == (
        "with --constant-time 'fc1' must read silent words too, and its folding skips them (give "
        "--fold auto, or silent=read)"
    )
