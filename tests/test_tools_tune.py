"""The search of schedules: what it proposes, that it finds, goes on and repeats itself."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.model.codes import Schedule
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.tools import api, cli, console, tune

TOOLS = Path(__file__).resolve().parents[1] / "tools"


def perceptron(sizes: tuple[int, ...] = (10, 16, 12, 4)) -> Network:
    rng = np.random.default_rng(3)
    populations = [Population(name="input", shape=sizes[:1], function="input")]
    for n, size in enumerate(sizes[1:], 1):
        matrix = rng.normal(0, 1.6 * sizes[n - 1] ** -0.5, (size, sizes[n - 1]))
        projection = Projection(source=populations[-1].name, map=Dense(matrix, sizes[n - 1 : n]))
        operand = Operand(projections=(projection,), bias=rng.normal(0, 0.2, size))
        function = "relu" if n < len(sizes) - 1 else "readout"
        populations.append(
            Population(name=f"fc{n}", shape=(size,), function=function, operands=(operand,))
        )
    return Network(name="perceptron", populations=tuple(populations))


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (200, 10))


def search(samples, record=None, **settings) -> tune.Search:
    settings = {"goal": tune.Goal(budget=8), "images": 80} | settings
    goal = settings.pop("goal")
    return tune.Search(perceptron(), samples, goal, record=record, **settings)


def figures(tuned: tune.Tuned) -> list:
    return [(f.trial, f.score, f.options) for f in tuned.trials]


def test_tuned_schedule_says_more_than_the_papers(samples):
    result = search(samples, firings=("overlapped",)).run(20)

    paper = next(f for f in result.trials if f.trial == 0)
    assert result.best.divergence < 0.9 * paper.divergence
    assert result.best.differing <= paper.differing
    assert result.design.firing == "overlapped" and result.design.input.code.steps == 8


def test_fewest_steps_keep_the_loss_that_is_allowed(samples):
    goal = tune.Goal(budget=8, loss=6)
    result = search(samples, goal=goal, firings=("settled",)).run(16)

    even = next(f for f in result.trials if f.trial == 0)
    assert even.steps == 8
    assert result.best.steps < 7
    assert 100 * result.best.differing <= 6
    assert tune.mean_steps(result.design) == pytest.approx(result.best.steps)


def test_overlapped_trains_end_where_the_loss_is_reached(samples):
    goal = tune.Goal(budget=24, loss=5)
    result = search(samples, goal=goal, firings=("overlapped",)).run(8)

    assert result.design.input.code.steps == result.best.steps < 24
    whole = calibrate(perceptron(), samples, result.best.options)
    assert whole.hash == result.design.hash


def test_loss_that_no_choice_keeps_is_said(samples):
    result = search(samples, goal=tune.Goal(budget=2, loss=0), firings=("settled",)).run(3)

    assert not result.met and result.best.differing > 0
    assert result.best.score > 2


def test_interrupted_search_goes_on_to_the_same_end(samples, tmp_path):
    whole = search(samples, tmp_path / "whole.jsonl").run(14)
    record = tmp_path / "cut.jsonl"
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    record.write_text("".join(lines[:8]) + lines[8][:20])  # seven trials, and half of one

    again = search(samples, record)
    tried = []
    again._evaluate, evaluate = (lambda *a: tried.append(a) or evaluate(*a)), again._evaluate
    result = again.run(14)

    assert len(tried) == 7
    assert figures(result) == figures(whole)
    assert result.design.hash == whole.design.hash
    assert record.read_text() == (tmp_path / "whole.jsonl").read_text()


def test_another_seed_is_another_search(samples):
    first, second = search(samples, seed=1).run(12), search(samples, seed=2).run(12)

    assert figures(first) != figures(second)


def test_record_of_another_search_is_refused(samples, tmp_path):
    search(samples, tmp_path / "r.jsonl").run(2)
    with pytest.raises(ValueError, match="is the record of another search"):
        search(samples, tmp_path / "r.jsonl", seed=5)


def test_changed_trial_in_the_record_is_noticed(samples, tmp_path):
    record = tmp_path / "r.jsonl"
    search(samples, record).run(4)
    lines = record.read_text().splitlines()
    entry = json.loads(lines[2])
    entry["params"]["delay"] = 1.25
    record.write_text("\n".join([*lines[:2], json.dumps(entry), *lines[3:]]) + "\n")

    with pytest.raises(ValueError, match=re.escape("trial 1 of")):
        search(samples, record).run(4)


def test_free_trials_move_single_steps_from_the_best_on(samples):
    one = search(samples, firings=("overlapped",), free=True)
    one.run(12)

    moved = [k["params"] for k in one.kept if "eta(3)" in k["params"]]
    assert len(moved) == 4  # a third
    parametric = min((k for k in one.kept[:8] if not k["pruned"]), key=lambda k: k["scores"][-1])
    eta = tune.parametric(8, parametric["params"]["gamma"])
    assert [moved[0][f"eta({t})"] for t in range(8)] == list(eta)
    assert moved[1] != moved[0]


def test_schedule_of_a_deeper_population_starts_to_shrink_later():
    options = tune.overlapped_options(
        perceptron(), Options(), (8, 4, 2, 1), eta0=0.3, delay=1.0, percentile=100.0, code="centred"
    )

    assert options.schedule.values == (8, 4, 2, 1)
    assert options.layers["fc1"].schedule.values == (8, 8, 4, 2)
    assert options.layers["fc2"].schedule.values == (8, 8, 8, 4)
    assert options.layers["fc2"].schedule.eta0 == 0.3


@pytest.mark.parametrize(
    ("steps", "budget", "expected"),
    [
        ({"a": 8, "b": 2}, 5, {"a": 8, "b": 2}),
        ({"a": 9, "b": 9, "c": 3}, 5, {"a": 6, "b": 6, "c": 3}),
        ({"a": 2, "b": 3}, 2, {"a": 2, "b": 2}),
    ],
)
def test_steps_are_taken_off_the_longest_trains_until_the_budget_holds(steps, budget, expected):
    assert tune.within(steps, budget) == expected


@pytest.mark.parametrize("firing", tune.FIRINGS)
def test_words_make_the_same_options_again(samples, firing):
    """What the command prints is what signfire convert takes."""
    best = search(samples, firings=(firing,)).run(6).best

    words = tune.words(best.options)
    command = cli.cli.commands["convert"]
    context = command.make_context(
        "convert", [*shlex.split("m.py:f --calibrate c.npz -o d.npz"), *words]
    )
    given = context.params

    from signfire.gen.convert.options import parse_layer, parse_schedule
    from signfire.tools.options import weight_options

    kept = {
        k: given[k] for k in ("firing", "steps", "code", "input_steps", "percentile", "samples")
    }
    again = Options(
        **weight_options(given["weight_bits"], given["budget_bits"]),
        **kept,
        schedule=parse_schedule(given["schedule"]),
        layers=dict(parse_layer(word) for word in given["layers"]),
    )
    rounded = calibrate(perceptron(), samples, again)
    exact = calibrate(perceptron(), samples, best.options)
    names = [p.name for p in exact.populations[:-1]]
    assert [rounded[n].code.eta for n in names] == [exact[n].code.eta for n in names]
    assert [rounded[n].code.unit for n in names] == pytest.approx(
        [exact[n].code.unit for n in names], rel=1e-4
    )


def test_words_say_what_the_input_is():
    found = tune.words(Options(input_bits=12, input_percentile=99.5))

    assert shlex.join(found).endswith("--input-bits 12 --input-percentile 99.5 --weight-bits 4")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: tune.Goal(budget=1), "the budget of steps must lie in 2..256, not 1"),
        (lambda x: tune.Goal(budget=4, loss=-1), "the loss is in points, from 0 up to 100, not -1"),
        (lambda x: search(x, images=3), "answers must be compared for at least 8 samples, not 3"),
        (lambda x: search(x).run(1), "a search needs at least 2 trials, not 1"),
    ],
)
def test_what_cannot_be_searched_is_refused(samples, make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(samples)


def test_network_of_one_output_is_refused(samples):
    network = perceptron((10, 8, 1))
    with pytest.raises(ValueError, match="has one output"):
        tune.Search(network, samples, tune.Goal(budget=4))


def test_quick_conversion_is_near_the_full_one(samples):
    network = perceptron()
    options = Options(weight_bits=8, steps=8)
    quick = calibrate(network, samples, replace(options, rounding="plain"))

    exact = network.answers(samples)
    data = api.Dataset(path="", x=samples, y=exact.argmax(axis=1))
    assert api.evaluate(quick, data).accuracy > 0.9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("list@0.25:8,4,2", Schedule(kind="list", eta0=0.25, values=(8, 4, 2))),
        ("exponential:,0.6", Schedule(kind="exponential", gamma=0.6)),
    ],
)
def test_schedules_of_the_search_are_read_back(text, expected):
    from signfire.gen.convert.options import parse_schedule

    assert parse_schedule(text) == expected
    assert tune.schedule_word(expected) == text


def test_command_writes_a_design_and_says_how_to_make_it(tmp_path, capfd):
    with np.load(TOOLS / "mnist_calibrate.npz") as samples:
        flat = samples["x"][:120].reshape(120, -1)
        np.savez(tmp_path / "some.npz", x=flat, y=samples["y"][:120])
    args = ["tune-schedule", f"{TOOLS}/mnist_mlp.py:mlp32"]
    args += ["--weights", f"{TOOLS}/mnist_mlp32.pth", "--calibrate", f"{tmp_path}/some.npz"]
    args += ["--budget", "3", "--trials", "3", "--images", "40", "--samples", "60", "--json"]
    args += ["--sample-shape", "28,28"]
    args += ["-o", str(tmp_path / "d.npz")]

    status = console.run_program(cli.cli, "signfire", args)
    out, _ = capfd.readouterr()
    first = json.loads(out)
    status_again = console.run_program(cli.cli, "signfire", args)
    second = json.loads(capfd.readouterr()[0])

    assert status == status_again == 0
    assert second["resumed"] == 3 and first["resumed"] == 0
    assert second["design_hash"] == first["design_hash"]
    assert first["best"]["mean_steps"] <= 3 and first["samples"] == 40
    convert = shlex.split(first["convert"])[1:]
    convert[convert.index("-o") + 1] = str(tmp_path / "again.npz")
    assert console.run_program(cli.cli, "signfire", convert) == 0
    again = api.load_design(tmp_path / "again.npz")
    assert again.hash == first["design_hash"] and again.sample_shape == (28, 28)


def test_maximum_of_values_keeps_the_code_of_its_source():
    from signfire.sim.specimens.chains import random_planes_network

    network = random_planes_network()
    names = tune.own_codes(network)

    assert "pool" not in names and names[0] == "input" and "join" in names
    x = np.random.default_rng(0).uniform(0, 1, (40, *network.input.shape))
    one = tune.Search(network, x, tune.Goal(budget=5), images=20, firings=("settled",))
    best = one.run(2).design
    assert best["pool"].code == best["join"].code
