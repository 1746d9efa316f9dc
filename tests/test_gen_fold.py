"""Folding: words of the command line, and the search against every folding there is."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from signfire.gen.core.core import core_timing
from signfire.gen.core.estimate import estimate
from signfire.gen.core.plans import plan_layers
from signfire.gen.cost import Budget, Resources
from signfire.gen.design.folding import Folding, divisors
from signfire.gen.fold.fold import CHOICES, _Search, auto_fold, parse_fold, split_synapse
from signfire.gen.fold.foldings import Choice, LayerFoldings, all_foldings
from signfire.gen.layers.cycles import steady
from signfire.gen.technology import TECHNOLOGIES
from signfire.sim.specimens.chains import random_design, random_windows
from signfire.sim.specimens.joins import MIXING, random_joins

AMPLE = Budget(lut=10**7, ff=10**7, block_ram=10**6, multipliers=10**6)


def tiny_design():
    return random_design(seed=3, sizes=(6, 4, 3), steps=2)


def small_windows():
    window = {"window": (3, 3), "padding": (1, 1, 1, 1)}
    return random_windows(
        shape=(12, 12),
        layers=(
            {"conv": 8, **window},
            {"depthwise": True, **window, "stride": (2, 2)},
            {"conv": 16, "window": (1, 1)},
            {"pool": (2, 2), "stride": (2, 2)},
            {"dense": 6},
        ),
        steps=4,
    )


def keyword_spotter():
    window = {"window": (3, 3), "padding": (1, 1, 1, 1)}
    pairs = ({"depthwise": True, **window}, {"conv": 64, "window": (1, 1)})
    return random_windows(
        shape=(49, 10),
        layers=(
            {"conv": 64, "window": (10, 4), "padding": (4, 5, 1, 1), "stride": (2, 2)},
            *(dict(layer) for _ in range(4) for layer in pairs),
            {"pooled": 12},
        ),
        steps=6,
        input_steps=8,
        weight_bits=8,
    )


def wasteful(choice, technology):
    """Layers more than twice as fast as the slowest, though a slower folding would do."""
    plans = plan_layers(choice.design, TECHNOLOGIES[technology])[1]
    chosen = {plan.name: plan for plan in plans}
    found = []
    for layer in all_foldings(choice.design, TECHNOLOGIES[technology], choice.budget)[1:]:
        plan = chosen[layer.name]
        fold = plan.folding
        if 2 * plan.interval >= choice.interval or fold.pe * fold.simd * fold.unroll == 1:
            continue
        if any(plan.interval < i <= choice.interval for i in layer.intervals):
            found.append(layer.name)
    return found


def slowest(design, technology):
    entry, plans = plan_layers(design, TECHNOLOGIES[technology])
    return max(entry.interval, *(plan.interval for plan in plans))


def answer_cycles(design, technology):
    entry, plans = plan_layers(design, TECHNOLOGIES[technology])
    return entry.interval + sum(plan.interval for plan in plans)


def every_folding(design):
    """Yield the Design in every folding that the rules allow, settled and binary."""
    first, second = design.populations[1:]

    def choices(population):
        weights = next(population.sources).map.weights
        steps = design[next(population.sources).source].code.steps
        return [
            Folding(pe=pe, simd=simd, unroll=unroll)
            for pe in divisors(weights.shape[0])
            for simd in divisors(weights.shape[1])
            for unroll in divisors(steps)
        ]

    for one, two in product(choices(first), choices(second)):
        for lanes in divisors(one.simd):
            yield design.with_folding(
                {"input": Folding(pe=lanes), first.name: one, second.name: two}
            )


# -- words -------------------------------------------------------------------------------------


def test_words_name_layers_and_numbers():
    assert parse_fold("fc1:pe=16,simd=28,unroll=2") == {"fc1": Folding(pe=16, simd=28, unroll=2)}


def test_words_say_how_weights_meet_inputs():
    assert {"fc1": Folding(pe=4, synapse="multiply")} == parse_fold("fc1:pe=4,synapse=multiply")
    with pytest.raises(ValueError) as error:
        parse_fold("fc1:synapse=add")
    assert str(error.value) == (
        "synapse must be one of events, multiply, multiply-lut, logic, not 'add' (fc1:synapse=add)"
    )


def test_several_layers_stand_between_semicolons_and_what_is_left_out_is_one():
    assert parse_fold("input:pe=7; fc1:simd=49,pe=2 ;fc2:unroll=4;") == {
        "input": Folding(pe=7),
        "fc1": Folding(pe=2, simd=49),
        "fc2": Folding(unroll=4),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a folding reads like fc1:pe=16,simd=16,unroll=1, not ''"),
        ("fc1", "a folding reads like fc1:pe=16,simd=16,unroll=1, not 'fc1'"),
        ("fc1:", "a folding reads like fc1:pe=16,simd=16,unroll=1, not 'fc1:'"),
        (":pe=2", "a folding reads like fc1:pe=16,simd=16,unroll=1, not ':pe=2'"),
        ("fc1:pe", "pe must be a whole number above 0, not '' (fc1:pe)"),
        ("fc1:pe=0", "pe must be a whole number above 0, not '0' (fc1:pe=0)"),
        ("fc1:pe=-2", "pe must be a whole number above 0, not '-2' (fc1:pe=-2)"),
        ("fc1:pe=2.5", "pe must be a whole number above 0, not '2.5' (fc1:pe=2.5)"),
        ("fc1:pe=²", "pe must be a whole number above 0, not '²' (fc1:pe=²)"),
        (
            "fc1:lanes=2",
            "a folding has pe, simd, unroll, synapse, silent and rom, each once, not 'lanes=2' "
            "(fc1:lanes=2)",
        ),
        (
            "fc1:pe=2,pe=4",
            "a folding has pe, simd, unroll, synapse, silent and rom, each once, not 'pe=4' "
            "(fc1:pe=2,pe=4)",
        ),
        (
            "fc1:pe=2;fc1:pe=4",
            "layer 'fc1' is folded twice in 'fc1:pe=2;fc1:pe=4' (fold it once)",
        ),
    ],
)
def test_words_of_another_form_are_refused(text, message):
    with pytest.raises(ValueError) as error:
        parse_fold(text)

    assert str(error.value) == message


# -- search ------------------------------------------------------------------------------------


@pytest.mark.parametrize("technology", ["ice40-up", "ecp5"])
def test_no_other_folding_that_fits_is_faster_or_better_in_both(technology):
    """The search against every folding there is."""
    design = tiny_design()
    all_of_them = [
        (slowest(d, technology), answer_cycles(d, technology), estimate(d, technology).resources)
        for d in every_folding(design)
    ]
    least = min(r.lut + r.lone_ff for _, _, r in all_of_them)
    most = max(r.lut + r.lone_ff for _, _, r in all_of_them)
    intervals = set()

    for percent in (0, 3, 8, 20, 50, 100):
        lut = least + (most - least) * percent // 100
        budget = Budget(lut=lut, ff=2000, block_ram=4, multipliers=2, shared_cells=True)
        choice = auto_fold(design, technology, budget)
        chosen = choice.estimate.resources
        cells, cycles = chosen.lut + chosen.lone_ff, answer_cycles(choice.design, technology)
        fitting = [(i, c, r) for i, c, r in all_of_them if budget.fits(r)]
        intervals.add(choice.interval)

        assert budget.fits(chosen)
        assert choice.interval == slowest(choice.design, technology)
        assert choice.interval == min(i for i, _, _ in fitting)
        assert not [
            r
            for i, c, r in fitting
            if i == choice.interval
            and (r.lut + r.lone_ff, c) != (cells, cycles)
            and r.lut + r.lone_ff <= cells
            and c <= cycles
        ]

    assert len(intervals) > 2  # the budgets did make a difference


@pytest.mark.parametrize("resource", ["lut", "ff", "block_ram", "multipliers"])
def test_each_resource_limits(resource):
    design = random_design(sizes=(64, 32, 10), steps=4)
    free = auto_fold(design, "ice40-up", replace(AMPLE, lut=9000))
    used = getattr(free.estimate.resources, resource)
    assert used > 1

    tight = auto_fold(design, "ice40-up", replace(AMPLE, lut=9000) if resource != "lut" else AMPLE)
    limited = auto_fold(design, "ice40-up", replace(tight.budget, **{resource: used - 1}))

    assert getattr(limited.estimate.resources, resource) <= used - 1
    assert limited.interval >= tight.interval


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"schedule": "exponential"},
        {"firing": "overlapped", "schedule": "exponential", "code": "centred"},
        {"sizes": (24, 12, 8, 6), "steps": (4, 3)},
    ],
)
def test_the_folding_is_legal_and_the_cycle_model_agrees(options):
    design = random_design(**{"sizes": (24, 12, 6), "steps": 4, "seed": 5} | options)

    choice = auto_fold(design, "ecp5", Budget(lut=4000, ff=4000, block_ram=8, multipliers=8))

    assert choice.design.is_folded
    assert choice.budget.fits(choice.estimate.resources)
    assert steady(core_timing(choice.design, "ecp5"))[1] == choice.interval


def test_overlapped_firing_is_not_unrolled():
    design = random_design(firing="overlapped", schedule="exponential", code="centred", steps=4)

    choice = auto_fold(design, "ecp5", AMPLE)

    assert {p.folding.unroll for p in choice.design.populations} == {1}


def test_the_answer_is_always_the_same_one():
    budget = Budget(lut=3000, ff=3000, block_ram=8, multipliers=4)
    design = random_design(sizes=(24, 12, 6))

    first = auto_fold(design, "gowin", budget)
    again = auto_fold(first.design, "gowin", budget)  # an earlier folding leaves no trace

    folding = [p.folding for p in first.design.populations]
    assert folding == [p.folding for p in again.design.populations]


@pytest.mark.parametrize(
    ("make", "lut"),
    [
        *((small_windows, lut) for lut in (3000, 6000, 12000, 24000)),
        *((keyword_spotter, lut) for lut in (9000, 40000)),
    ],
)
def test_windows_are_folded_so_that_no_lane_is_spent_for_nothing(make, lut):
    budget = Budget(lut=lut, ff=10**5, block_ram=90, multipliers=60)

    choice = auto_fold(make(), "ecp5", budget)

    assert budget.fits(choice.estimate.resources)
    assert choice.interval == slowest(choice.design, "ecp5")
    # Sums over pixels stand at the end of a sample; the few lanes that read them are worth it.
    assert set(wasteful(choice, "ecp5")) <= {"pooled10"}


def test_a_folding_that_wastes_lanes_is_noticed():
    choice = auto_fold(
        small_windows(), "ecp5", Budget(lut=4000, ff=10**5, block_ram=9, multipliers=9)
    )
    wide = choice.design.with_folding({"dense5": Folding(pe=6, simd=16, unroll=4)})

    assert wasteful(replace(choice, design=wide), "ecp5") == ["dense5"]


@pytest.mark.parametrize("lut", [3000, 8000])
def test_the_cycle_model_agrees_with_the_interval_of_windows(lut):
    budget = Budget(lut=lut, ff=10**5, block_ram=90, multipliers=60)

    choice = auto_fold(small_windows(), "ecp5", budget)

    assert steady(core_timing(choice.design, "ecp5"))[1] == choice.interval


@pytest.mark.parametrize("lut", [3500, 20000])
def test_the_cycle_model_agrees_where_trains_are_scattered(lut):
    design = random_joins(shape=(1, 6, 4), layers=MIXING)
    budget = Budget(lut=lut, ff=10**5, block_ram=90, multipliers=60)

    choice = auto_fold(design, "ecp5", budget)

    assert steady(core_timing(choice.design, "ecp5"))[1] == choice.interval >= 30


def test_a_sample_that_is_scattered_takes_a_cycle_a_train_at_least():
    choice = auto_fold(random_joins(shape=(1, 6, 4), layers=MIXING), "ecp5", AMPLE)

    assert choice.interval == 6 * 5
    assert "as parallel as it can be" in choice.explanation


def test_groups_are_folded_within_themselves_and_the_cycle_model_agrees():
    wide = {"window": (3, 3), "padding": (1, 1, 1, 1)}
    layers = ({"conv": 8, **wide}, {"conv": 12, "groups": 2, **wide}, {"pooled": 3})
    budget = Budget(lut=6000, ff=10**5, block_ram=40, multipliers=30)

    choice = auto_fold(random_windows(shape=(8, 8), layers=layers), "ecp5", budget)

    folding = choice.design["conv2"].folding
    assert 6 % folding.pe == 0 and 4 % folding.simd == 0 and folding.pe * folding.simd > 1
    assert steady(core_timing(choice.design, "ecp5"))[1] == choice.interval


def test_more_room_is_never_slower():
    design, intervals = small_windows(), []

    for lut in (1700, 1800, 1900, 2000, 2300, 3000, 9000):
        budget = Budget(lut=lut, ff=10**6, block_ram=200, multipliers=150)
        intervals.append(auto_fold(design, "ecp5", budget).interval)

    assert intervals == sorted(intervals, reverse=True)
    assert len(set(intervals)) > 3


def forked(costs):
    """Return a source that two layers read in words of their own, and a join of the two."""

    def layer(name, sources, choices):
        found = [Choice(Folding(pe=pe), words, word, 60 // pe) for pe, words, word in choices]
        return LayerFoldings(
            name, sources, found, lambda c: Resources(lut=costs[name] * c.folding.pe)
        )

    words = [(pe, word) for pe in (1, 2, 4) for word in (1, 2, 4)]
    return [
        layer("input", (), [(pe, (), word) for pe, word in words]),
        layer("left", ("input",), [(pe, (pe,), word) for pe, word in words]),
        layer("right", ("input",), [(pe, (pe,), word) for pe, word in words]),
        layer("join", ("left", "right"), [(pe, (pe, 1), 1) for pe in (1, 2, 4)]),
    ]


@pytest.mark.parametrize(("interval", "pe"), [(60, 1), (30, 2), (15, 4)])
def test_layers_that_share_a_source_or_join_are_folded_together(interval, pe):
    layers = forked({"input": 1, "left": 3, "right": 5, "join": 7})
    budget = Budget(lut=16 * pe, ff=0, block_ram=0, multipliers=0)

    found = _Search(layers, budget).best(interval, 0.0)
    too_fast = _Search(layers, budget).best(interval / 2, 0.0)

    assert [found.foldings[layer.name].pe for layer in layers] == [pe] * 4
    assert (found.interval, found.cells) == (interval, 16 * pe)
    assert too_fast is None


@pytest.mark.parametrize(
    ("layer", "open_words", "words", "fit"),
    [
        ("left", {"input": 2}, (2,), True),
        ("left", {"input": 2}, (4,), True),  # shared: it divides what each reader takes
        ("left", {"input": 2}, (3,), False),
        ("left", {"input": 4}, (2,), False),
        ("join", {"left": 2, "right": 1}, (2, 1), True),
        ("join", {"left": 2, "right": 1}, (4, 1), False),  # the only reader takes the word itself
        ("join", {"left": 2, "right": 1}, (0, 1), True),  # any number serves
    ],
)
def test_words_of_a_source_and_of_its_readers_must_fit(layer, open_words, words, fit):
    search = _Search(forked(dict.fromkeys(("input", "left", "right", "join"), 1)), AMPLE)
    (own,) = (one for one in search.layers if one.name == layer)

    assert fit is (search._after(own, open_words, words, 1) is not None)


def uneven_chain(layers=14, choices=10):
    """Layers whose choices differ in all resources, at random; any word serves."""
    rng = np.random.default_rng(57)
    made = []
    for k in range(layers):
        prices = {}
        for pe in range(1, choices + 1):
            words, following = (0,) if k else (), 0 if k < layers - 1 else 1
            choice = Choice(Folding(pe=pe), words, following, int(rng.integers(10, 200)))
            lut, ff, rams = (int(n) for n in rng.integers(1, 100, 3))
            prices[choice] = Resources(lut=lut, ff=ff, block_ram=rams)
        sources = (f"layer{k - 1}",) if k else ()
        made.append(LayerFoldings(f"layer{k}", sources, list(prices), prices.__getitem__))
    return made


def test_what_a_search_by_one_price_found_is_not_lost_to_another():
    budget = Budget(lut=392, ff=392, block_ram=392, multipliers=0)
    search = _Search(uneven_chain(), budget, balanced=False)
    frugal = search.best(200, 0.0)
    exchange = frugal.cells / frugal.cycles

    assert search.best(200, exchange) is None  # the labels that it keeps end nowhere
    assert search.best(200, exchange, known=frugal) is frugal


def test_of_what_two_searches_found_the_cheaper_counts():
    search = _Search(forked({"input": 1, "left": 3, "right": 5, "join": 7}), AMPLE)
    frugal, fast = search.best(60, 0.0), search.best(60, 1000.0)

    assert (16, 60) == (frugal.cells, frugal.foldings["join"].pe * 60)
    assert search.best(60, 1000.0, known=frugal).foldings == fast.foldings
    assert search.best(60, 0.0, known=fast).foldings == frugal.foldings


def test_a_folding_stays_where_the_price_of_latency_leads_nowhere(monkeypatch):
    budget = Budget(lut=2000, ff=10**6, block_ram=10**4, multipliers=99)
    whole = _Search._best

    def blind(self, within, slack, exchange):
        return None if exchange else whole(self, within, slack, exchange)

    usual = auto_fold(small_windows(), "ecp5", budget)
    monkeypatch.setattr(_Search, "_best", blind)
    choice = auto_fold(small_windows(), "ecp5", budget)

    assert choice.estimate.fits
    assert usual.interval == choice.interval


@pytest.mark.parametrize("synapse", ["events", "multiply", "multiply-lut", "any"])
def test_a_budget_without_a_lut_is_told(synapse):
    design = random_design(sizes=(8, 4, 2))
    nothing = Budget(lut=0, ff=500, block_ram=16, multipliers=0, shared_cells=True)

    with pytest.raises(
        ValueError, match=r"^the network does not fit: even the most frugal folding"
    ):
        auto_fold(design, "ice40-hx", nothing, synapses=CHOICES[synapse])


def test_the_search_says_how_far_it_is():
    said = []

    auto_fold(small_windows(), "ecp5", AMPLE, said.append)

    assert said[:2] == [
        "foldings of 'conv1', layer 1 of 5",
        "foldings of 'depthwise2', layer 2 of 5",
    ]
    assert any(word.endswith(" cycles fits") for word in said)


def test_lanes_are_not_spent_on_layers_that_do_not_shorten_the_interval():
    design = random_design(sizes=(96, 64, 4), steps=4)
    budget = Budget(lut=3500, ff=4000, block_ram=10, multipliers=8)

    choice = auto_fold(design, "ecp5", budget)

    folding = choice.design["fc2"].folding
    assert folding.pe * folding.simd * folding.unroll <= 64  # it could have been 4 x 64 x 4


def test_a_network_that_cannot_fit_names_the_resource():
    design = random_design(sizes=(64, 32, 10), weight_bits=8)
    budget = Budget(lut=100, ff=10**6, block_ram=100, multipliers=8)

    with pytest.raises(ValueError) as error:
        auto_fold(design, "ice40-up", budget)

    needed = str(error.value).split("needs about ")[1].split()[0]
    assert int(needed) > 100
    assert str(error.value) == (
        f"the network does not fit: even the most frugal folding needs about {needed} LUTs of "
        f"ice40-up, and the budget has 100 (use a smaller network, fewer weight bits, or a larger "
        f"board)"
    )


def test_the_explanation_names_what_is_short():
    design = random_design(sizes=(64, 32, 10))

    choice = auto_fold(design, "ecp5", Budget(lut=2000, ff=10**6, block_ram=10**4, multipliers=99))

    words = choice.explanation.split(" cycles ")
    assert int(words[0].removeprefix("an interval of ")) < choice.interval
    assert words[1] == "would need more LUTs than the budget has"


def test_with_room_for_everything_a_larger_device_does_not_help():
    choice = auto_fold(tiny_design(), "ecp5", AMPLE)

    assert (
        choice.explanation
        == "layer fc2 is as parallel as it can be, so a larger device would not help"
    )


# -- multipliers -------------------------------------------------------------------------------


def test_a_search_among_multipliers_takes_blocks_as_far_as_they_reach():
    design = random_design(sizes=(64, 32, 10), steps=4)
    budget = Budget(lut=4000, ff=10**5, block_ram=30, multipliers=8)

    choice = auto_fold(design, "ecp5", budget, synapses=CHOICES["multiply"])

    folding = [p.folding for p in choice.design.populations[1:]]
    assert {f.synapse for f in folding} <= {"multiply", "multiply-lut"}
    assert [f.unroll for f in folding] == [2, 4]
    assert budget.fits(choice.estimate.resources)
    more = auto_fold(design, "ecp5", replace(budget, multipliers=40), synapses=CHOICES["multiply"])
    assert more.interval < choice.interval


def test_a_search_among_all_ways_is_as_fast_as_the_best_of_them():
    design = random_design(sizes=(64, 32, 10), steps=4)
    budget = Budget(lut=3000, ff=10**5, block_ram=30, multipliers=20)

    intervals = {
        name: auto_fold(design, "ecp5", budget, synapses=CHOICES[name]).interval
        for name in ("events", "multiply", "any")
    }

    assert intervals["any"] <= min(intervals["events"], intervals["multiply"])
    mixed = auto_fold(design, "ecp5", budget, synapses=CHOICES["any"])
    assert slowest(mixed.design, "ecp5") == mixed.interval


def test_a_search_among_multipliers_where_a_train_is_no_number_is_refused():
    design = random_design(firing="overlapped")

    with pytest.raises(ValueError, match=r"^'fc1' cannot multiply: only with settled firing"):
        auto_fold(design, "ecp5", AMPLE, synapses=CHOICES["multiply"])

    assert auto_fold(design, "ecp5", AMPLE, synapses=CHOICES["any"]).interval > 0


def test_one_word_says_it_of_all_layers():
    assert split_synapse(["fc1:pe=2", "*:synapse=multiply"]) == (("fc1:pe=2",), "multiply")
    assert split_synapse(["auto"]) == (("auto",), None)
    with pytest.raises(ValueError) as error:
        split_synapse(["*:synapse=divide"])
    assert str(error.value) == (
        "synapses are all of one kind, events, multiply, multiply-lut, logic, any, not divide"
    )


def test_a_source_that_is_read_twice_stays_within_the_budget():
    """The trains of ``first`` go into two buffers, in words of different size."""
    wide = {"window": (3, 3), "padding": (1, 1, 1, 1)}
    layers = {
        "first": [("input", {"conv": 8, **wide})],
        "twice": [("first", {"conv": 8, **wide}), ("first", {"pick": tuple(range(8)), "bits": 7})],
        "out": [("twice", {"pooled": 3})],
    }
    budget = Budget(lut=1500, ff=10**5, block_ram=200, multipliers=50)

    choice = auto_fold(random_joins(layers=layers), "ecp5", budget)

    assert choice.estimate.fits and choice.budget == budget
    assert choice.interval == steady(core_timing(choice.design, "ecp5"))[1]
