"""The search of the cheapest settings: what it keeps, what it saves, and how it goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import LayerOptions, Options, parse_layer
from signfire.gen.model.heads import output_of
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.tools import api, cheapest, knobs, tables, verdict

SAMPLES = np.random.default_rng(0).uniform(0, 1, (160, 8))
TRIALS = 18


def network() -> Network:
    rng = np.random.default_rng(2)

    def layer(name, function, source, n_in, n_out):
        linear = Dense(rng.normal(0, 2.5 * n_in**-0.5, (n_out, n_in)), (n_in,))
        projection = Projection(source=source, map=linear)
        operand = Operand(projections=(projection,), bias=rng.normal(0, 0.2, n_out))
        return Population(name=name, shape=(n_out,), function=function, operands=(operand,))

    return Network(
        name="net",
        populations=(
            Population(name="input", shape=(8,), function="input"),
            layer("fc1", "relu", "input", 8, 12),
            layer("fc2", "readout", "fc1", 12, 4),
        ),
    )


def search(loss: float = 2.0, **settings) -> cheapest.Search:
    return cheapest.Search(network(), SAMPLES, loss, **settings)


@pytest.fixture(scope="module")
def found() -> cheapest.Cheapest:
    return search().run(TRIALS)


# -- what is lost ------------------------------------------------------------------------------


def test_answers_that_differ_count_by_how_sure_the_float_network_was():
    exact = np.log(np.array([[0.5, 0.3, 0.1, 0.1], [0.8, 0.1, 0.05, 0.05], [0.4, 0.3, 0.2, 0.1]]))
    said = exact.copy()
    said[1] = said[1, [1, 0, 2, 3]]

    lost = verdict.expected(network(), exact, said)

    squares = np.array([0.8, 0.1, 0.05, 0.05]) ** 2
    assert lost == pytest.approx([0, 100 * (squares[0] - squares[1]) / squares.sum(), 0])


def test_a_threshold_counts_likewise():
    output = output_of("threshold", shape=(1,), threshold=1.0)
    one = replace(network(), populations=network().populations, outputs=())
    exact, said = np.array([[2.0], [1.5], [0.0]]), np.array([[0.5], [1.2], [0.9]])

    lost = verdict._surer(output, exact, said, None)

    assert lost == pytest.approx([np.tanh(1.0), 0, 0])
    assert one.head.is_single


# -- the search --------------------------------------------------------------------------------


def test_settings_are_cheap_and_keep_the_loss(found):
    seen = found.judged.found

    assert found.met and seen.points <= 2 and 100 * seen.differing <= 20
    assert found.trials == TRIALS and 0 < found.kept <= TRIALS
    finest = knobs.effort(network(), search().options({}))
    assert found.effort.product < 0.3 * finest.product
    assert found.effort == knobs.effort(network(), found.options)
    assert found.judged.design.hash == calibrate(network(), SAMPLES, found.options).hash


def test_no_loss_is_dearer_than_some(found):
    strict = search(loss=0.2).run(TRIALS)

    assert strict.effort.product > found.effort.product


def test_what_was_given_is_the_most_that_is_tried():
    base = Options(
        steps=5, weight_bits=6, input_steps=4, layers={"fc2": LayerOptions(weight_bits=7)}
    )
    bounded = search(base=base)

    assert {k.said: bounded._values(k) for k in bounded.knobs} == {
        "the steps of the input": (1, 2, 3, 4),
        "the steps of 'fc1'": (2, 3, 4, 5),
        "the weights of 'fc1'": (2, 3, 4, 5, 6),
    }
    options = bounded.options({"steps": 9, "weights": 8, "input": 1})
    assert (options.of("fc1").steps, options.of("fc1").weight_bits) == (5, 6)
    assert (options.of_input.steps, options.of("fc2").weight_bits) == (1, 7)


def test_search_goes_on_where_it_was_interrupted(tmp_path, found):
    record, told = tmp_path / "d.loss.jsonl", []

    def interrupt(said: str) -> None:
        told.append(said)
        if said.startswith("trial 10 "):
            raise KeyboardInterrupt

    cut = search(record=record, progress=interrupt).run(TRIALS)
    resumed = search(record=record)
    assert cut.interrupted and cut.trials == 9 and len(resumed.record.entries) == 9

    again = resumed.run(TRIALS)

    assert again.options == found.options and not again.interrupted
    lines = record.read_text().splitlines()
    assert len(lines) == TRIALS + 1 and "search" in json.loads(lines[0])
    with pytest.raises(ValueError, match="is the record of another search"):
        search(loss=1.0, record=record)


def test_nothing_left_to_choose_is_refused():
    layers = {"fc1": LayerOptions(steps=4, weight_bits=4), "fc2": LayerOptions(weight_bits=4)}

    with pytest.raises(ValueError, match=r"^nothing of 'net' is left to choose"):
        search(base=Options(input_steps=1, layers=layers))


def test_conversion_says_what_was_found_and_how_to_make_it_again(monkeypatch, tmp_path, found):
    monkeypatch.setattr(api, "loaded", lambda model, x, **_: (network(), None))
    data = api.Dataset(path="memory", x=SAMPLES, y=None)

    design = api.convert(None, data, loss=2.0, trials=TRIALS).design

    kept = design.provenance["search"]
    assert design.hash == found.judged.design.hash and kept["met"]
    words = kept["options"]
    given = {words[i]: words[i + 1] for i in range(0, len(words), 2) if words[i] != "--layer"}
    layers = [words[i + 1] for i in range(0, len(words), 2) if words[i] == "--layer"]
    again = Options(
        steps=int(given.get("--steps", 4)),
        weight_bits=int(given.get("--weight-bits", 4)),
        input_steps=int(given.get("--input-steps", 2)),
        code=given.get("--code", "auto"),
        layers=dict(parse_layer(word) for word in layers),
    )
    assert calibrate(network(), SAMPLES, again).hash == design.hash
    assert any(kept["said"] in str(line) for line in tables.of_conversion(design, tmp_path / "d"))


def test_a_design_like_another_is_not_searched(monkeypatch, found):
    monkeypatch.setattr(api, "loaded", lambda model, x, **_: (network(), None))
    data = api.Dataset(path="memory", x=SAMPLES, y=None)

    with pytest.raises(ValueError, match="a design like another one has its settings"):
        api.convert(None, data, loss=1.0, like=found.judged.design)


# -- what is judged ----------------------------------------------------------------------------


def test_choices_to_judge_go_from_the_cheapest_to_the_dearest():
    options = [Options(steps=2, samples=k) for k in range(1, 21)]

    assert [o.samples for o in cheapest.spread(options, 8)] == [1, 2, 3, 4, 5, 10, 15, 20]
    assert cheapest.spread(options[:3], 8) == options[:3]


def judged_as(monkeypatch, points: dict[str, float], error: float = 0.0) -> cheapest.Cheapest:
    """Judge what a search of three choices found, which lose nothing by a quick look."""
    made = search()
    choices = [
        cheapest.Choice(
            options=Options(steps=steps),
            params={},
            points=0.0,
            differing=0.0,
            effort=knobs.effort(network(), Options(steps=steps)),
        )
        for steps in (4, 2, 3)
    ]

    def judge(self, options):
        judged = search_judge(self, Options(steps=2))
        lost = points[repr(options)]
        found = replace(judged.found, points=lost, points_error=error, differing=0.0)
        return replace(judged, found=found)

    search_judge = cheapest.Search._judge
    monkeypatch.setattr(cheapest.Search, "_judge", judge)
    return made._judged(choices, interrupted=False)


@pytest.mark.parametrize(
    ("lost", "finest", "steps", "met"),
    [
        ((3.0, 1.0, 0.5), 0.0, 3, True),  # the cheapest that keeps it
        ((3.0, 2.5, 2.2), 1.9, 10, True),  # the finest alone
        ((3.0, 2.5, 4.0), 9.0, 3, False),  # none: the one that loses least
    ],
)
def test_the_cheapest_that_keeps_the_loss_is_taken_else_the_one_that_loses_least(
    monkeypatch, lost, finest, steps, met
):
    points = {repr(Options(steps=t)): p for t, p in zip((2, 3, 4), lost, strict=True)}
    points[repr(search().options({}))] = finest

    found = judged_as(monkeypatch, points)

    taken = found.options.layers["fc1"].steps if not found.options.layers == {} else None
    assert (taken or found.options.steps, found.met) == (steps, met)


def test_what_cannot_be_told_from_the_least_loss_is_the_dearest(monkeypatch):
    points = {repr(Options(steps=t)): p for t, p in zip((2, 3, 4), (3.0, 2.5, 2.9), strict=True)}
    points[repr(search().options({}))] = 3.1

    assert judged_as(monkeypatch, points, error=0.3).options.steps == 3
    assert judged_as(monkeypatch, points, error=0.5).options.steps == 4


# -- what costs nothing ------------------------------------------------------------------------


def test_units_that_conversions_share_change_nothing():
    units = {}
    fine = Options(steps=5, weight_bits=8, input_steps=6, equalise=1.0)
    stretched = replace(fine, layers={"fc1": LayerOptions(reach=1.25)})

    first = [calibrate(network(), SAMPLES, o, units=units).hash for o in (fine, stretched)]
    second = [calibrate(network(), SAMPLES, o, units=units).hash for o in (fine, stretched)]

    alone = [calibrate(network(), SAMPLES, o).hash for o in (fine, stretched)]
    assert first == second == alone and len(set(alone)) == 2
    assert len(units) == 1  # of fc1, whose reach all its channels share


def test_a_reach_stretches_the_range_of_equalised_channels():
    fine = Options(steps=8, weight_bits=8, input_steps=8, equalise=1.0)
    plain, stretched, clipped = (
        calibrate(network(), SAMPLES, replace(fine, layers={"fc1": own}))
        for own in (LayerOptions(), LayerOptions(reach=1.25), LayerOptions(clip=3.0))
    )

    assert stretched["fc1"].spike_code.unit == pytest.approx(1.25 * plain["fc1"].spike_code.unit)
    assert clipped["fc1"].spike_code.unit * clipped["fc1"].spike_code.high == pytest.approx(3.0)
    exact = network().answers(SAMPLES)
    lost = verdict.compare(network(), exact, verdict.outputs(stretched, SAMPLES), SAMPLES)
    assert lost.r2 is not None and lost.r2 > 0.999


def test_what_costs_nothing_is_turned_where_nothing_keeps_the_loss():
    made = search(loss=0.0, base=Options(steps=3, weight_bits=3, input_steps=1))
    params = made.plain(3, 3, 1)
    worst = cheapest.Choice(
        options=made.options(params),
        params=params,
        points=5.0,
        differing=5.0,
        effort=knobs.effort(network(), made.options(params)),
    )
    tried, turned = {repr(worst.options)}, []

    while (found := made.turned_down(worst, tried, free=True)) is not None:
        turned.append({key for key in found if found[key] != params[key]})
        tried.add(repr(made.options(found)))
        assert knobs.effort(network(), made.options(found)) == worst.effort

    assert turned == [{"equalise"}] * 3 + [{"reach of fc1"}] * 2


def test_words_say_what_costs_nothing_too():
    found = Options(steps=4, equalise=0.5, layers={"fc1": LayerOptions(reach=1.25, steps=5)})

    words = knobs.words(network(), SAMPLES, Options(steps=4), found)

    assert words == ["--steps", "5", "--equalise", "0.5", "--layer", "fc1:reach=1.25"]


# -- what is lost, of few samples --------------------------------------------------------------


def test_errors_of_all_samples_are_looked_at_on_each():
    exact = np.array([[1.0, 0.0, -9, -9], [0.1, 0.0, -9, -9]])
    said = exact + np.array([[0.0, 0.5, 0, 0], [0, 0, 0, 0]])  # on the sample that is sure

    assert verdict.expected(network(), exact, said) == pytest.approx([0, 0])

    wavering = 100 * np.tanh(0.1)
    assert verdict.paired(network(), exact, said) == pytest.approx([0, wavering / 2])
    assert verdict.compare(network(), exact, said).points == pytest.approx(wavering / 4)


def test_groups_are_looked_at_by_others():
    groups = np.repeat(np.arange(8), 20)
    made = search(groups=groups)

    assert made.chosen.how == verdict.IN_TURN
    rows = {row.tobytes(): k for k, row in enumerate(SAMPLES)}
    seen, judges = (
        {int(groups[rows[row.tobytes()]]) for row in part}
        for part in (made.looks.calibrate, made.looks.judges)
    )
    assert seen and judges and not seen & judges


# -- what is left to do ------------------------------------------------------------------------


def test_bounds_are_named_only_where_more_would_do(monkeypatch):
    made = search(loss=2.0, base=Options(steps=2, weight_bits=2))
    found = made.run(13)

    assert not found.met and found.bounds == ("--steps", "--weight-bits")
    said = cheapest.sentence(found, 2.0)
    assert said.endswith("(leave out --steps and --weight-bits: the finest settings lose no more)")
    assert search(loss=2.0).run(13).met  # which is the way out


def test_more_is_asked_for_where_no_settings_keep_the_loss():
    made = search(loss=0.0)
    found = made.run(12)

    assert not found.met and found.bounds == ()
    allowed = np.ceil(10 * found.judged.found.points) / 10
    said = cheapest.sentence(found, 0.0)
    assert said.endswith(f"(calibrate on more samples, or allow {allowed:g})")
