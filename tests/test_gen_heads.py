"""What the host makes of logits: links, kinds of output and their figures."""

import json
from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.design.design import Design
from signfire.gen.model.codes import Schedule
from signfire.gen.model.heads import (
    Classes,
    Head,
    Labels,
    Pixels,
    Reconstruction,
    Threshold,
    Values,
    default_head,
)
from signfire.gen.model.heads.head import fitting, recast
from signfire.gen.model.heads.links import LINKS, logit_of
from signfire.gen.model.heads.measures import (
    area_under_curve,
    best_threshold,
    confusion_of,
    deviation,
    intersections_over_unions,
)
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import INPUT, READOUT, Network, Operand, Population, Projection
from signfire.sim import golden

DECAYING = Schedule(kind="exponential", gamma=0.9)

# -- links ---------------------------------------------------------------------------------------


def test_links_of_numbers_worked_by_hand() -> None:
    x = np.array([[0.0, np.log(3)]])

    assert LINKS["softmax"](x, 1) == pytest.approx(np.array([[0.25, 0.75]]))
    assert LINKS["log_softmax"](x, 1) == pytest.approx(np.log([[0.25, 0.75]]))
    assert LINKS["sigmoid"](x, 0) == pytest.approx(np.array([[0.5, 0.75]]))
    assert LINKS["log_sigmoid"](x, 0) == pytest.approx(np.log([[0.5, 0.75]]))


@pytest.mark.parametrize("link", LINKS)
def test_links_stay_finite_far_out(link: str) -> None:
    found = LINKS[link](np.array([[-2000.0, 0.0, 2000.0]]), 1)

    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("link", ["", "sigmoid", "log_sigmoid", "tanh"])
def test_a_threshold_goes_back_through_its_link(link: str) -> None:
    assert logit_of(float(LINKS[link](np.array([0.7]), 0)[0]), link) == pytest.approx(0.7)


# -- measures ------------------------------------------------------------------------------------


def test_area_under_curve_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 60), rng.random(60) < 0.4

    pairs = [(p > n) + (p == n) / 2 for p in scores[positive] for n in scores[~positive]]

    assert area_under_curve(scores, positive) == pytest.approx(np.mean(pairs))
    assert area_under_curve(scores, np.ones(60, bool)) is None


@pytest.mark.parametrize(
    ("scores", "truth", "threshold"),
    [
        ([0, 1, 2, 3], [0, 0, 1, 1], 1.5),
        ([0, 1, 2, 9, 10], [0, 0, 1, 1, 1], 1.5),
        ([3, 5, 4, 1], [1, 1, 1, 0], 2.0),
        ([0, 1, 2, 10], [0, 1, 0, 1], 6.0),  # as good as 0.5, with the wider gap
    ],
)
def test_best_threshold_of_scores_worked_by_hand(scores, truth, threshold: float) -> None:
    assert best_threshold(np.array(scores, float), np.array(truth) == 1) == threshold


def test_deviation_of_numbers_worked_by_hand() -> None:
    found = deviation(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 5.0]))

    # squares of errors 0, 1, 1; variance of 1, 3, 5 is 8/3
    assert found["rmse"] == pytest.approx(np.sqrt(2 / 3))
    assert found["mae"] == pytest.approx(2 / 3)
    assert found["r2"] == pytest.approx(1 - (2 / 3) / (8 / 3))
    assert found["correlation"] == pytest.approx(np.corrcoef([1, 2, 4], [1, 3, 5])[0, 1])


def test_intersections_over_unions_worked_by_hand() -> None:
    confusion = confusion_of(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 3)

    assert confusion.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert intersections_over_unions(confusion) == [1 / 2, 2 / 3, None]


# -- kinds ---------------------------------------------------------------------------------------


def test_the_class_is_the_first_maximum_and_has_its_probability() -> None:
    head = Classes(shape=(3,), link="softmax")
    values = np.log([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])

    found = head.answers(values)

    assert found["label"].tolist() == [1, 0]
    assert found["probability"] == pytest.approx(np.exp(values))
    assert head.figures(values, np.array([1, 2]))["accuracy"] == 0.5


def test_the_best_of_several_are_values_or_places() -> None:
    logits = np.log([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    values = Classes(shape=(3,), link="softmax", top=2)
    places = Classes(shape=(3,), link="softmax", top=2, decides=True)

    assert np.allclose(values.returned(logits), [[0.5, 0.3], [0.6, 0.3]])
    assert np.allclose(places.probabilities(logits), [[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    assert places.decisions(logits).tolist() == [[1, 2], [0, 2]]
    assert values.decisions(logits).tolist() == [1, 0]
    assert values.answers(logits)["ranking"].tolist() == [[1, 2], [0, 2]]
    assert Classes.of_record(places.record()) == places
    assert "top" not in Classes(shape=(3,)).record()
    with pytest.raises(ValueError, match=r"^the output has no best 4 of 3$"):
        Classes(shape=(3,), top=4)


def test_classes_may_be_one_hot() -> None:
    labels = np.array([[0, 1.0, 0], [0, 0, 1]])

    assert Classes(shape=(3,)).truth(labels, "net").tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"^labels must be a vector of integer classes, not float"):
        Classes(shape=(3,)).truth(labels * 2, "net")


def test_two_classes_have_an_area_too() -> None:
    values = np.array([[0, 3], [0, 1], [0, 2], [0, -1.0]])

    assert Classes(shape=(2,)).figures(values, np.array([1, 0, 1, 0]))["auc"] == 1.0


def test_a_threshold_decides_between_0_and_1() -> None:
    values = np.array([[-1.0], [0.5], [2.0], [1.0]])
    head = Threshold(shape=(1,), link="sigmoid")

    assert head.decisions(values).tolist() == [0, 1, 1, 1]  # pyright: ignore
    assert head.with_threshold(0.7).decisions(values).tolist() == [0, 0, 1, 1]
    assert head.answers(values)["probability"] == pytest.approx(1 / (1 + np.exp(-values[:, 0])))
    found = head.figures(values, np.array([0, 0, 1, 1]))
    assert (found["accuracy"], found["auc"], found["threshold"]) == (0.75, 1.0, 0.5)
    assert found["confusion"].tolist() == [[1, 1], [0, 2]]


def test_labels_are_right_by_themselves_and_together() -> None:
    head = Labels(shape=(2,), link="sigmoid")
    values = np.array([[1.0, -1], [1, 1], [-1, -1], [-2, 3]])
    truth = np.array([[1, 0], [1, 0], [0, 0], [0, 1]])

    found = head.figures(values, truth)

    assert head.answers(values)["label"].tolist() == [[1, 0], [1, 1], [0, 0], [0, 1]]
    assert (found["accuracy"], found["exact"], found["auc"]) == (7 / 8, 3 / 4, 1.0)


def test_values_are_in_the_users_unit() -> None:
    head = Values(shape=(1,))
    found = head.figures(np.array([[10.0], [20], [30]]), np.array([10.0, 20, 33]))

    assert head.answers(np.array([[1.5]]))["value"].tolist() == [1.5]
    assert found["rmse"] == pytest.approx(np.sqrt(3))
    assert found["r2"] == pytest.approx(1 - 9 / (11**2 + 1 + 12**2))


def test_a_reconstruction_is_scored_by_its_error() -> None:
    head = Reconstruction(shape=(2,), threshold=1.0)
    values, given = np.array([[1.0, 2], [1, 2], [0, 0]]), np.array([[1.0, 2], [1, 4], [1, 0]])

    found = head.answers(values, given)

    assert found["error"].tolist() == [0.0, 2.0, 0.5]
    assert found["label"].tolist() == [0, 1, 0]
    assert head.figures(values, np.array([0, 1, 1]), given)["auc"] == 1.0
    assert head.figures(values, np.array([0, 1, 1]), given)["accuracy"] == pytest.approx(2 / 3)


def test_pixels_are_measured_by_their_unions() -> None:
    head = Pixels(shape=(2, 1, 4))
    values = np.array([[[[1.0, 1, 0, 0]], [[0, 0, 1, 1]]]])
    truth = np.array([[[0, 1, 1, 1]]])

    found = head.figures(values, truth)

    assert head.answers(values)["label"].tolist() == [[[0, 0, 1, 1]]]
    assert found["miou"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["accuracy"] == 0.75


def test_one_plane_is_a_mask() -> None:
    head = Pixels(shape=(1, 2, 2), link="sigmoid")

    assert head.decisions(np.array([[[[1.0, -1], [0, 3]]]])).tolist() == [[[1, 0], [0, 1]]]  # pyright: ignore
    assert head.truth(np.array([[[[1, 0], [0, 1]]]]), "net").shape == (1, 2, 2)


REFUSED = [
    (Classes(shape=(3,)), [0, 1, 3], "labels must lie in 0..2, the 3 outputs of 'net', not 0..3"),
    (Classes(shape=(3,)), [1, 2, -1], "labels must lie in 0..2, the 3 outputs of 'net', not -1..2"),
    (
        Classes(shape=(3,)),
        [0.5, 1.5],
        "labels must be a vector of integer classes, not float64 of shape (2,)",
    ),
    (
        Threshold(shape=(1,)),
        [1, 2, 1],
        "labels must be 0 or 1 for the one output of 'net', which decides between two, not 1..2",
    ),
    (
        Threshold(shape=(1,)),
        [-1, 1],
        "labels must be 0 or 1 for the one output of 'net', which decides between two, not -1..1",
    ),
    (
        Threshold(shape=(1,)),
        [[0, 1], [1, 0]],
        "labels must be 0 or 1, one a sample, for the one output of 'net', not of shape (2, 2)",
    ),
    (
        Labels(shape=(2,)),
        [[0, 2], [1, 0]],
        "labels must be 0 or 1 for each output of 'net', not 0..2",
    ),
    (
        Values(shape=(2,)),
        [1.0, 2.0],
        "labels must be numbers, 2 a sample, for the outputs of 'net', not float64 of shape (2,)",
    ),
    (Values(shape=(1,)), [1.0, np.nan], "labels must be finite; there is a NaN or an infinity"),
    (Reconstruction(shape=(2,)), [0, 2], "labels must be 0 (usual) or 1 (unusual), not 0..2"),
    (
        Pixels(shape=(2, 2, 2)),
        np.full((1, 2, 2), 2),
        "labels must lie in 0..1, the classes of pixels of 'net', not 2..2",
    ),
]


@pytest.mark.parametrize(("output", "labels", "message"), REFUSED)
def test_labels_that_do_not_fit_are_refused(output, labels, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        output.truth(np.array(labels), "net")

    assert str(caught.value).startswith(message)


FITTED = [
    ((1,), [0, 1, 1], "threshold"),
    ((1,), [0.0, 1.0, 0.0], "threshold"),  # as a loss of logits takes them
    ((1,), [-1, 1, 1], "threshold"),  # refused then, as labels of two kinds
    ((1,), [151.0, 75.0, 141.0], "values"),
    ((1,), [151, 75, 141], "values"),
    ((3,), [0, 1, 2], "classes"),
    ((3,), [[0.1, 0.2, 0.3]] * 2, "values"),
    ((3,), [[0, 1, 1]] * 2, "labels"),
    ((3,), [[0, 1, 0], [1, 0, 0]], "classes"),
    ((3, 2, 2), np.zeros((2, 2, 2), int), "pixels"),
    ((3, 2, 2), np.full((2, 3, 2, 2), 0.5), "values"),
    ((1, 2, 2), np.ones((2, 1, 2, 2)), "pixels"),
]


@pytest.mark.parametrize(("shape", "labels", "kind"), FITTED)
def test_labels_say_what_a_guessed_output_is(shape, labels, kind: str) -> None:
    (output,) = default_head(shape)

    assert fitting(output, np.array(labels)).kind == kind


def test_a_kind_that_was_said_stays() -> None:
    output = recast(default_head((1,)).outputs[0], "values")

    assert fitting(output, np.array([0, 1])).kind == "values"


def test_agreement_of_two_networks_is_that_of_the_head() -> None:
    a, b = np.array([[2.0, 1, 3], [0, 1, 0]]), np.array([[2.0, 1, 1], [0, 2, 0]])

    assert default_head((3,)).agreement(a, b) == {"agreement": 0.5}
    (value,) = default_head((1,))
    values = Head(outputs=(recast(value, "values"),))
    found = values.agreement(a[:1].T, b[:1].T)
    assert found["rmse"] == pytest.approx(np.sqrt(4 / 3))
    pair = Head(outputs=(Classes(shape=(2,), name="a"), Values(shape=(1,), name="b", start=2)))
    found = pair.agreement(a, b)
    assert found["a"] == {"agreement": 1.0}
    assert found["b"]["rmse"] == pytest.approx(np.sqrt(2))


def test_names_must_be_as_many_as_classes() -> None:
    message = "^the output has 3 classes, and 2 names were given$"
    with pytest.raises(ValueError, match=message):
        Classes(shape=(3,), names=("good", "bad"))


# -- in a design ---------------------------------------------------------------------------------


def perceptron() -> Network:
    """Return 6 inputs, 8 neurons and 3 outputs with random weights."""
    rng = np.random.default_rng(3)

    def layer(name: str, function: str, source: str, n_in: int, n_out: int) -> Population:
        weights = rng.normal(size=(n_out, n_in)) / np.sqrt(n_in)
        projection = Projection(source=source, map=Dense(weights, (n_in,)))
        operand = Operand(projections=(projection,), bias=rng.normal(size=n_out) / 4)
        return Population(name=name, shape=(n_out,), function=function, operands=(operand,))

    first = Population(name=INPUT, shape=(6,), function=INPUT)
    hidden = layer("hidden", "relu", INPUT, 6, 8)
    return Network(name="net", populations=(first, hidden, layer("out", READOUT, "hidden", 8, 3)))


def small(**options) -> tuple[Design, np.ndarray]:
    """Return a perceptron in integers and its samples."""
    network = perceptron()
    x = np.random.default_rng(1).random((50, 6))
    return calibrate(network, x, Options(**options)), x


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 8, "input_steps": 8, "weight_bits": 8},
        {"steps": 32, "firing": "overlapped", "weight_bits": 8, "schedule": DECAYING},
        {"steps": 256, "dynamics": "if", "weight_bits": 8},
        {"steps": 256, "dynamics": "lif", "leak": 4, "weight_bits": 8},
    ],
)
def test_a_logit_is_worth_what_the_float_network_says(options) -> None:
    network = perceptron()
    x = np.random.default_rng(1).random((50, 6))
    design = calibrate(network, x, Options(**options))

    values = design.values(golden.run(design, design.raw_samples(x)).logits)

    exact = network.answers(x)
    assert np.corrcoef(values.ravel(), exact.ravel())[0, 1] > 0.97
    assert np.polyfit(exact.ravel(), values.ravel(), 1)[0] == pytest.approx(1, abs=0.06)


def test_logits_before_the_end_are_worth_as_much() -> None:
    network = perceptron()
    x = np.random.default_rng(1).random((50, 6))
    design = calibrate(network, x, Options(steps=256, dynamics="if", weight_bits=8))

    (early,) = golden.run_over_steps(design, design.raw_samples(x), [128])

    slope = np.polyfit(network.answers(x).ravel(), design.values(early, 128).ravel(), 1)[0]
    assert slope == pytest.approx(1, abs=0.06)


def test_a_design_predicts_what_its_values_say(tmp_path) -> None:
    design, x = small(steps=6, weight_bits=8, input_steps=8)
    values = design.values(golden.run(design, design.raw_samples(x)).logits)
    pair = Head(
        outputs=(
            Classes(shape=(2,), name="cls", link="softmax", names=("good", "bad")),
            Values(shape=(1,), name="size", start=2),
        )
    )

    alone = design.predict(x)
    both = design.with_head(pair).predict(x, output=tmp_path / "answers.json")

    assert np.array_equal(alone["output"], values)
    assert alone["label"].tolist() == values.argmax(axis=1).tolist()
    assert np.array_equal(both["size"]["value"], values[:, 2])
    first, *_ = json.loads((tmp_path / "answers.json").read_text())
    assert first["cls"]["class"] == ("good", "bad")[int(values[0, 1] > values[0, 0])]
    assert first["size"] == {"value": values[0, 2]}


def test_a_head_lies_in_the_file_and_not_in_the_hash(tmp_path) -> None:
    design, _ = small()
    head = Head(
        outputs=(
            Classes(shape=(2,), name="cls", link="softmax", names=("good", "bad")),
            Threshold(shape=(1,), name="alarm", start=2, link="sigmoid", threshold=-0.25),
        )
    )
    headed = design.with_head(head)

    headed.save(tmp_path / "d.npz")

    assert Design.load(tmp_path / "d.npz").head == head
    assert headed.hash == design.hash


def test_a_design_without_a_head_has_that_of_its_shape(tmp_path) -> None:
    design, _ = small()
    plain = replace(design, outputs=())

    plain.save(tmp_path / "d.npz")

    loaded = Design.load(tmp_path / "d.npz")
    assert loaded.outputs == () and loaded.head == default_head((3,))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([{"kind": "oracle", "shape": [3]}], "there is no such kind of output"),
        ([{"kind": "classes", "shape": [3], "link": "eval"}], "there is no link 'eval'"),
        ([{"kind": "classes", "shape": [3], "run": "x"}], "an output of kind classes has no 'run'"),
        ([{"kind": "classes", "shape": 3}], "a shape is a list of whole numbers, not 3"),
        ([{"kind": "threshold", "shape": [1], "threshold": "0"}], "threshold of an output is no"),
        ([{"kind": "classes", "shape": [4]}], "the outputs reach over 4 logits, and there are 3"),
    ],
)
def test_a_head_that_is_none_makes_no_design(record, message: str) -> None:
    design, _ = small()

    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        design.with_head(Head.of_record(record))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (Pixels(shape=(3, 2, 2)), "one of 3 classes for each of 2 x 2 pixels"),
        (Classes(shape=(3,)), "one of 3 classes"),
    ],
)
def test_first_maxima_have_no_threshold(head, said) -> None:
    with pytest.raises(ValueError) as refused:
        head.with_threshold(0.3)

    assert str(refused.value) == f"the output gives {said}, for which there is no threshold"
    plane = Pixels(shape=(1, 2, 2), link="sigmoid").with_threshold(0.3)
    assert plane.shown == pytest.approx(0.3)
