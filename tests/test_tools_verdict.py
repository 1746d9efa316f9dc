"""The verdict: which samples judge, and what is said of a conversion."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate, drawn
from signfire.gen.convert.options import Options
from signfire.gen.model.heads import output_of
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.tools import api, tables, verdict


def dense(name, function, source, weights, bias):
    projection = Projection(source=source, map=Dense(weights, (weights.shape[1],)))
    operand = Operand(projections=(projection,), bias=bias)
    return Population(name=name, shape=(len(weights),), function=function, operands=(operand,))


def network(outputs: int = 4, inputs: int = 8) -> Network:
    rng = np.random.default_rng(2)
    return Network(
        name="net",
        populations=(
            Population(name="input", shape=(inputs,), function="input"),
            dense("fc1", "relu", "input", rng.normal(0, 0.7, (16, inputs)), rng.normal(0, 0.2, 16)),
            dense("fc2", "readout", "fc1", rng.normal(0, 0.5, (outputs, 16)), np.zeros(outputs)),
        ),
    )


def samples(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (count, 8))


# -- which samples judge -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "options", "how", "judges"),
    [
        (5, Options(), verdict.SEEN, 5),
        (8, Options(), verdict.IN_TURN, 8),
        (999, Options(), verdict.IN_TURN, 999),
        (1000, Options(), verdict.KEPT_BACK, 200),
        (5000, Options(), verdict.KEPT_BACK, 1000),
        (5300, Options(), verdict.LEFT_OVER, 300),
        (9000, Options(), verdict.LEFT_OVER, 1000),
        (900, Options(samples=500), verdict.LEFT_OVER, 400),
        (600, Options(samples=500), verdict.IN_TURN, 600),
    ],
)
def test_samples_that_judge_were_not_calibrated_on(count, options, how, judges):
    chosen = verdict.split(count, network(), options)

    assert (chosen.how, len(chosen.judges)) == (how, judges)
    taken = chosen.base[drawn(len(chosen.base), network(), options)]
    if how in (verdict.LEFT_OVER, verdict.KEPT_BACK):
        assert not np.intersect1d(taken, chosen.judges).size
    else:
        assert np.array_equal(chosen.base, np.arange(count))
    if how == verdict.IN_TURN:
        assert np.array_equal(np.sort(np.concatenate(chosen.parts)), chosen.judges)
    again = verdict.split(count, network(), options)
    assert np.array_equal(chosen.judges, again.judges)


def test_large_networks_are_judged_in_fewer_parts():
    large = network(inputs=verdict.LARGE)

    assert len(verdict.split(100, network(), Options()).parts) == verdict.PARTS
    assert len(verdict.split(100, large, Options()).parts) == verdict.PARTS_OF_LARGE


def test_in_turn_each_part_is_answered_by_what_has_seen_the_others():
    x = samples(40)
    seen: list[np.ndarray] = []

    def convert(part: np.ndarray):
        seen.append(part)
        return calibrate(network(), part, Options())

    chosen = verdict.split(len(x), network(), Options())
    judged = verdict.judge(network(), x, chosen, convert)

    assert len(seen[0]) == 40 and judged.design.hash == calibrate(network(), x).hash
    for part, others in zip(chosen.parts, seen[1:], strict=True):
        assert len(others) == 30
        assert not (x[part][:, None] == others[None]).all(axis=2).any()


# -- how far two networks say the same ---------------------------------------------------------


# -- samples that belong together --------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "each", "how", "judges"),
    [
        (60, 20, verdict.IN_TURN, 60),  # three groups
        (900, 10, verdict.IN_TURN, 900),  # many, of few samples
        (2400, 200, verdict.IN_TURN, 1000),  # a dozen
        (1250, 50, verdict.KEPT_BACK, 250),  # five of 25
        (
            9000,
            10,
            verdict.KEPT_BACK,
            1000,
        ),  # what the calibration leaves over may be of its groups
    ],
)
def test_whole_groups_judge_and_nothing_of_them_calibrates(count, each, how, judges):
    groups = np.random.default_rng(1).permutation(np.arange(count) // each)

    chosen = verdict.split(count, network(), Options(), groups)

    assert (chosen.how, len(chosen.judges)) == (how, judges)
    if how == verdict.KEPT_BACK:
        assert not set(groups[chosen.base]) & set(groups[chosen.judges])
        assert len(set(groups[chosen.base])) == count // each - count // each // verdict.KEPT
    else:
        assert len(chosen.base) == count
        assert sorted(np.concatenate(chosen.parts)) == chosen.judges.tolist()
    for part in chosen.parts:
        others = chosen.without(part)
        assert not set(groups[part]) & set(groups[others])
        assert set(groups[part]) | set(groups[others]) == set(groups)


def test_one_group_cannot_judge_itself():
    with pytest.raises(ValueError, match=r"^all samples are of one group, .*leave out --groups\)$"):
        verdict.split(60, network(), Options(), np.zeros(60, int))


def test_samples_of_a_group_that_err_together_count_as_one():
    groups = np.repeat(np.arange(10), 8)
    alike = (groups == 3).astype(float)
    apart = np.tile(np.eye(8), (10, 1))[:, 0]

    assert verdict.worth(alike, groups) == pytest.approx(10)
    assert verdict.worth(apart, groups) == 80
    assert verdict.worth(np.zeros(80), groups) == 80


def test_an_interval_of_groups_is_wider_where_they_err_together():
    exact = np.random.default_rng(3).normal(size=(80, 4))
    groups = np.repeat(np.arange(10), 8)
    off = exact + np.where(groups < 5, 0.1, 0.5)[:, None]
    net = network()

    single = verdict.compare(net, exact, off)
    together = verdict.compare(net, exact, off, groups=groups)

    assert together.rmse == single.rmse and together.groups == 10
    assert single.groups is None
    assert together.rmse_high - together.rmse_low > 2 * (single.rmse_high - single.rmse_low)
    assert together.rmse_low < single.rmse_low < single.rmse_high < together.rmse_high


@pytest.mark.parametrize(("freedom", "value"), [(4, 2.776), (9, 2.262), (11, 2.201), (30, 2.042)])
def test_students_t_is_the_published_one(freedom, value):
    assert verdict.student(freedom) == pytest.approx(value, rel=3e-3)


def test_each_part_of_groups_is_answered_by_what_saw_none_of_them():
    x, groups = samples(40), np.repeat(np.arange(5), 8)
    chosen = verdict.split(40, network(), Options(), groups)
    seen = []

    def convert(given):
        seen.append(
            {int(g) for g, row in zip(groups, x, strict=True) if (given == row).all(1).any()}
        )
        return calibrate(network(), given)

    found = verdict.judge(network(), x, chosen, convert).found

    assert seen[0] == set(range(5))
    assert [
        g | {int(k) for k in groups[p]} for g, p in zip(seen[1:], chosen.parts, strict=True)
    ] == [set(range(5))] * len(chosen.parts)
    assert all(not g & set(groups[p]) for g, p in zip(seen[1:], chosen.parts, strict=True))
    assert found.groups == 5
    assert "of 5 groups, each answered by" in verdict.sentence(verdict.IN_TURN, found)


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),  # Newcombe 1998, table I, method 3
    [(81 / 263, 263, 0.2553, 0.3662), (15 / 148, 148, 0.0624, 0.1605), (0.0, 20, 0.0, 0.1611),
     (1 / 29, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_interval_is_the_published_one(share, count, low, high):
    assert verdict.wilson(share, count) == pytest.approx((low, high), abs=5e-5)


def test_classes_that_differ_are_counted():
    exact = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])
    said = exact.copy()
    said[0] = [0.2, 0.3, 0, 0]

    found = verdict.compare(network(), exact, said)

    assert (found.differing, found.agreement, found.loss) == (0.25, 0.75, 25.0)
    assert found.rmse == pytest.approx(((0.8**2 + 0.3**2) / 16) ** 0.5)
    assert found.low is not None and found.high is not None
    assert found.low < 0.75 < found.high


@pytest.mark.parametrize("sign", [1, -1])
def test_one_output_that_says_yes_to_nearly_all_is_a_value(sign):
    exact = sign * np.random.default_rng(0).uniform(1, 2, (50, 1))

    found = verdict.compare(network(outputs=1), exact, exact + 0.01)

    assert found.differing is None and found.rmse == pytest.approx(0.01)


def test_one_output_is_compared_by_its_sign():
    exact = np.array([[-1.0], [0.0], [0.5], [2.0]])
    said = np.array([[-0.5], [0.1], [0.4], [1.5]])

    assert verdict.compare(network(outputs=1), exact, said).differing == 0.25


def test_several_outputs_differ_where_one_does():
    outputs = (output_of("classes", shape=(2,), name="a"),)
    outputs += (output_of("threshold", shape=(1,), name="b", start=2),)
    outputs += (output_of("values", shape=(1,), name="c", start=3),)
    several = replace(network(), outputs=outputs)
    exact = np.array([[1.0, 0, 1, 7], [1, 0, 1, 7], [1, 0, 1, 7], [1, 0, 1, 7]])
    said = np.array([[1.0, 0, 1, 9], [0, 1, 1, 7], [1, 0, -1, 7], [0, 1, -1, 7]])

    assert verdict.differing(several, exact, said).tolist() == [0, 1, 1, 1]


def test_values_are_compared_by_their_error():
    rng = np.random.default_rng(1)
    exact = rng.normal(size=(200, 8))
    said = exact + 0.1 * rng.normal(size=exact.shape)

    found = verdict.compare(network(outputs=8), exact, said, given=exact + 0.3)

    assert verdict.compare(network(outputs=8), exact, said, given=-exact).differing is not None
    assert found.differing is None and found.agreement is None
    assert found.rmse == pytest.approx(0.1, rel=0.05)
    assert found.rmse_low < found.rmse < found.rmse_high < 1.1 * found.rmse
    assert found.r2 == pytest.approx(0.99, abs=2e-3)
    assert found.loss == pytest.approx(1, abs=0.2)
    assert found.correlation == pytest.approx(0.995, abs=1e-3)


# -- what a conversion says of itself ----------------------------------------------------------


def data(count: int) -> api.Dataset:
    return api.Dataset(path="memory", x=samples(count), y=None)


@pytest.fixture
def read(monkeypatch):
    """Let the model in memory be the network above."""
    monkeypatch.setattr(api, "loaded", lambda model, x, **_: (network(), None))


def test_conversion_ends_with_its_verdict(read, tmp_path):
    found = api.convert(None, data(80), Options(steps=3, weight_bits=3))

    kept = found.design.provenance["verdict"]
    assert found.judged is not None and kept["differing"] == found.judged.found.differing
    found.design.save(tmp_path / "d.npz")
    lines = tables.of_conversion(api.load_design(tmp_path / "d.npz"), tmp_path / "d.npz")
    low, high = verdict.wilson(1 - kept["differing"], 80)
    assert lines[-3 if kept["cure"]["loss"] is not None else -2] == (
        f"verdict: {100 * kept['agreement']:.2f} % of the answers are the float network's (95 % "
        f"interval {100 * low:.2f} to {100 * high:.2f}); 80 samples, each answered by a conversion "
        f"that had not seen it"
    )


def test_figure_is_that_of_samples_that_were_kept_back(read):
    x = samples(1200)

    found = api.convert(None, data(1200), Options(weight_bits=3, input_steps=3))

    judges = verdict.split(1200, network(), Options()).judges
    said = verdict.outputs(found.design, x[judges])
    exact = network().answers(x[judges])
    assert found.judged is not None and found.judged.found.samples == 240
    assert found.judged.found.differing == (said.argmax(1) != exact.argmax(1)).mean() > 0
    assert found.design.provenance["calibration_samples"] == 960


def test_damaged_verdict_of_a_file_says_nothing():
    design = calibrate(network(), samples(20))

    for kept in (None, 3, [], {"said": 4}, "good", {"said": "x", "cure": {"said": [3]}}):
        assert verdict.said_of(replace(design, provenance={"verdict": kept})) == []
