"""What a Design knows of the words of its trains that hold an event."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.plans import plan_layers
from signfire.gen.design.activity import Activity, busy_words
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.technology import find_technology


def test_words_with_events_by_hand():
    events = np.zeros((2, 2, 4), bool)
    events[0, 0, 1] = events[0, 1, 1] = events[0, 1, 2] = True

    # neuron 1 fires in both steps, neuron 2 in the second
    assert [[1, 2], [0, 0]] == busy_words(events, 1, 1).tolist()
    assert [[1, 2], [0, 0]] == busy_words(events, 2, 1).tolist()
    assert [[2], [0]] == busy_words(events, 1, 2).tolist()
    assert [[1, 1], [0, 0]] == busy_words(events, 4, 1).tolist()


def test_every_word_is_counted_and_one_of_every_plane_is_read():
    events = np.random.default_rng(3).random((5, 4, 6)) < 0.1

    found = Activity.of(events)

    for word in (1, 2, 3, 6):
        for unroll in (1, 2, 4):
            assert np.array_equal(busy_words(events, word, unroll), found.busy(word, unroll))
    least = [max(1, int(n)) for n in events.reshape(5, 4, 6).sum(axis=2).ravel()]
    assert sum(least) / 5 == found.read(1, 1)
    assert 5 == found.samples


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((3, 2)), r"has 4 rows of samples, not the shape \(3, 2\)$"),
        (np.zeros((4, 0)), r"has 4 rows of samples, not the shape \(4, 0\)$"),
        (np.full((4, 2), -1), "counts words from 0 to as many as there are$"),
        (np.array([[4], [2], [1], [2]]), "counts words from 0 to as many as there are$"),
    ],
)
def test_a_table_of_another_form_is_refused(table, message):
    assert Activity(size=4, steps=1, table=np.zeros((3, 1), int)).samples == 1
    with pytest.raises(ValueError, match=message):
        Activity(size=6, steps=1, table=table)


def counted(design: Design, share: float = 0.3) -> Design:
    """Return a Design that has seen trains of random events."""
    rng = np.random.default_rng(1)
    return replace(
        design,
        activity={
            p.name: Activity.of(rng.random((3, p.code.steps, p.size)) < share)
            for p in design.populations[:-1]
        },
    )


def test_activity_is_saved_beside_the_hash(make_design, tmp_path):
    plain = make_design()
    design = counted(plain)
    design.save(tmp_path / "d.npz")

    found = Design.load(tmp_path / "d.npz")

    assert plain.hash == design.hash == found.hash
    assert set(found.activity) == {"input", "fc1"}
    for name, activity in design.activity.items():
        assert np.array_equal(activity.table, found.activity[name].table)
    plain.save(tmp_path / "plain.npz")
    assert {} == Design.load(tmp_path / "plain.npz").activity


@pytest.mark.parametrize("name", ["fc1", "fc2", "none"])
def test_activity_of_other_trains_is_refused(make_design, name):
    other = Activity.of(np.zeros((1, 2, 3), bool))

    with pytest.raises(ValueError, match=f"^the activity of '{name}', 3 neurons in 2 steps, is"):
        replace(make_design(), activity={name: other})


def test_skipping_is_saved_with_the_folding_where_it_is_done(make_design, tmp_path):
    folding = {"fc1": Folding(pe=2, simd=4, skips=True), "fc2": Folding(pe=2)}
    make_design(folding=folding).save(tmp_path / "d.npz")

    found = Design.load(tmp_path / "d.npz")

    assert folding == {p.name: p.folding for p in found.populations[1:]}
    assert {"pe": 2, "simd": 1, "unroll": 1, "synapse": "events"} == found["fc2"].folding.record
    assert found["fc1"].folding.record["skips"] is True


def test_a_plan_is_laid_out_for_the_words_that_are_read_on_average(make_design):
    folding = {"fc1": Folding(pe=2, simd=1, skips=True), "fc2": Folding(pe=2, simd=1)}
    design = counted(make_design(sizes=(24, 6, 4), folding=folding))

    first, second = plan_layers(design, find_technology("ecp5"))[1]

    mean = design.activity["input"].busy(1, 1).sum(axis=1).mean()
    assert -(-mean // 2) == first.read_words < first.words == 24
    assert 3 * 2 * first.read_words == first.tiles * first.tile_cycles
    assert first.interval == 24 * 2  # the queue is written word by word, step by step
    assert second.words == second.read_words == 6
    unknown = plan_layers(replace(design, activity={}), find_technology("ecp5"))[1][0]
    assert 24 == unknown.read_words


def test_windows_and_joins_cannot_skip(make_windows):
    design = make_windows(
        folding={"conv1": Folding(skips=True)} | dict(pool2=Folding(), dense3=Folding())
    )

    with pytest.raises(ValueError) as error:
        plan_layers(design, find_technology("ecp5"))

    assert str(error.value) == (
        "'conv1' cannot skip silent words: it has several sources, or reads windows or sums of "
        "them (leave it at silent=read)"
    )
