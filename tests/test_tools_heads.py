"""What outputs are: said by the user, by labels or by samples; and the verbs that use it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.model.heads import Reconstruction, Threshold
from signfire.tools import api, cli, console, heads, judge

pytestmark = pytest.mark.usefixtures("undrawn")

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, outputs, end=None):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, outputs))
        self.end = end or nn.Identity()

    def forward(self, x):
        return self.end(self.body(x))

def yes(): return Net(1, nn.Sigmoid())
def one(): return Net(1)
def three(): return Net(3, nn.Softmax(dim=1))
def two_values(): return Net(2)

class Pair(Net):
    def __init__(self): super().__init__(5)
    def forward(self, x):
        x = self.body(x)
        return {"box": x[:, :2], "cls": torch.log_softmax(x[:, 2:], 1)}
"""
PRECISE = ["--steps", "8", "--weight-bits", "8", "--input-steps", "8"]


def net(outputs: int) -> nn.Sequential:
    """Return the network of MODEL."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, outputs))


def logits(outputs: int, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(outputs)(torch.from_numpy(x)).numpy()


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).random((160, 4)).astype(np.float32)


@pytest.fixture
def signfire(tmp_path, monkeypatch, capfd):
    """Run a command with --json beside the model file; return its object, or its error."""
    monkeypatch.chdir(tmp_path)
    Path("m.py").write_text(MODEL)

    def run(*args: object) -> dict:
        status = console.run_program(cli.cli, "signfire", [*map(str, args), "--json"])
        out, err = capfd.readouterr()
        found = json.loads(out)
        assert (status == 2) is ("error" in found), err
        return found

    return run


@pytest.fixture
def converted(signfire):
    """Convert a factory on a file; return what the command says."""

    def run(factory: str, data: str, *more: object) -> dict:
        asked = ("convert", f"m.py:{factory}", "--calibrate", data, *PRECISE, *more)
        return signfire(*asked, "-o", "design.npz")

    return run


def test_a_binary_classifier_is_judged_by_its_threshold(signfire, converted, x) -> None:
    score = logits(1, x)[:, 0]
    y = (score > np.quantile(score, 0.4)).astype(int)
    np.savez("d.npz", x=x, y=y)
    converted("yes", "d.npz")

    found = signfire("evaluate", "design.npz", "--data", "d.npz")

    assert found["accuracy"]["golden"] == pytest.approx(np.mean((score > 0) == y), abs=0.02)
    assert found["outputs"]["auc"] > 0.99
    assert found["outputs"]["threshold"] == 0.5


def test_a_threshold_is_chosen_on_labelled_samples(signfire, converted, x) -> None:
    score = logits(1, x)[:, 0]
    np.savez("d.npz", x=x, y=(score > np.quantile(score, 0.4)).astype(int))

    (output,) = converted("yes", "d.npz", "--threshold", "auto")["outputs"]

    found = signfire("evaluate", "design.npz", "--data", "d.npz")
    assert output["threshold"] == pytest.approx(np.quantile(score, 0.4), abs=0.03)
    assert found["accuracy"]["golden"] > 0.97


def test_a_threshold_is_said_in_what_forward_returns(signfire, converted, x) -> None:
    np.savez("d.npz", x=x)

    (output,) = converted("yes", "d.npz", "--threshold", "0.8")["outputs"]

    assert output["threshold"] == pytest.approx(np.log(4))
    answers = signfire("predict", "design.npz", "--data", "d.npz", "--threshold", "0.01")
    assert {a["label"] for a in answers["answers"]} == {1}
    refused = signfire("predict", "design.npz", "--data", "d.npz", "--threshold", "2")
    assert refused["error"] == (
        "no threshold 2 of the output: a sigmoid gives values between 0 and 1, not 2"
    )


def test_a_regression_is_known_by_its_labels(signfire, converted, x) -> None:
    y = 40 * logits(1, x)[:, 0] + 7
    np.savez("d.npz", x=x, y=y)

    (output,) = converted("one", "d.npz")["outputs"]
    np.savez("real.npz", x=x, y=logits(1, x)[:, 0])
    found = signfire("evaluate", "design.npz", "--data", "real.npz")

    assert output["kind"] == "values"
    assert found["accuracy"]["golden"] is None
    assert found["outputs"]["r2"] > 0.99
    assert found["outputs"]["rmse"] < 0.02


def test_a_regression_is_told_from_a_yes_or_no_by_the_labels_of_the_test(
    signfire, converted, x
) -> None:
    np.savez("bare.npz", x=x)
    np.savez("values.npz", x=x, y=logits(1, x))
    np.savez("yes.npz", x=x, y=(logits(1, x) > 0).astype(np.float32))
    converted("one", "bare.npz")

    assert signfire("evaluate", "design.npz", "--data", "values.npz")["outputs"]["r2"] > 0.99
    assert signfire("evaluate", "design.npz", "--data", "yes.npz")["accuracy"]["golden"] > 0.9
    for wrong in ([1, 2], [-1, 1]):
        np.savez("wrong.npz", x=x, y=np.resize(wrong, len(x)))
        assert signfire("evaluate", "design.npz", "--data", "wrong.npz")["error"] == (
            f"labels must be 0 or 1 for the one output of 'one', which decides between two, not "
            f"{wrong[0]}..{wrong[1]}"
        )


def test_probabilities_are_written_with_the_names_of_the_classes(signfire, converted, x) -> None:
    exact = logits(3, x)
    exact = np.exp(exact) / np.exp(exact).sum(axis=1, keepdims=True)
    np.savez("d.npz", x=x)
    converted("three", "d.npz", "--classes", "ok,dent,scratch")

    for suffix in ("npz", "csv", "json"):
        signfire("predict", "design.npz", "--data", "d.npz", "-o", f"answers.{suffix}")

    with np.load("answers.npz") as file:
        assert np.abs(file["probability"] - exact).max() < 0.02
        assert (file["label"] == exact.argmax(axis=1)).mean() > 0.97
        assert file["class"].tolist() == [["ok", "dent", "scratch"][k] for k in file["label"]]
        label, shares = file["label"], file["probability"]
    with Path("answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "label", "class", "probability_ok", "probability_dent", "probability_scratch"
    ]  # fmt: skip
    assert [int(row["label"]) for row in rows] == label.tolist()
    records = json.loads(Path("answers.json").read_text())
    assert [record["probability"] for record in records] == shares.tolist()


def test_answers_of_an_unknown_kind_of_file_are_refused_at_once(signfire) -> None:
    found = signfire("predict", "none.npz", "--data", "none.npz", "-o", "answers.xlsx")

    assert found["error"] == "answers are written to .npz, .csv, .json files, not to answers.xlsx"


def test_several_outputs_are_each_what_their_labels_say(signfire, converted, x) -> None:
    exact = logits(5, x)
    np.savez("d.npz", x=x, box=exact[:, :2], cls=exact[:, 2:].argmax(axis=1))
    outputs = converted("Pair", "d.npz")["outputs"]

    found = signfire("evaluate", "design.npz", "--data", "d.npz", "--model", "m.py:Pair")

    assert [(o["name"], o["kind"]) for o in outputs] == [("box", "values"), ("cls", "classes")]
    assert found["outputs"]["box"]["r2"] > 0.99
    assert found["outputs"]["cls"]["accuracy"] > 0.97
    assert found["agreement"]["cls"]["agreement"] > 0.97
    (first, *_) = signfire("predict", "design.npz", "--data", "d.npz")["answers"]
    assert set(first) == {"box", "cls"} and len(first["cls"]["probability"]) == 3


def test_the_kind_of_an_output_is_said_by_its_name(signfire, converted, x) -> None:
    np.savez("d.npz", x=x)

    outputs = converted("Pair", "d.npz", "--head", "box=values")["outputs"]

    assert [o["kind"] for o in outputs] == ["values", "classes"]
    assert "there is no output 'size'; there are 'box', 'cls'" in str(
        converted("Pair", "d.npz", "--head", "size=values")
    )
    assert converted("Pair", "d.npz", "--head", "values")["error"] == (
        "--head must name one of the outputs box, cls: --head NAME=..."
    )


def test_unlabelled_samples_are_answered_and_compared_with_the_float_model(
    signfire, converted, x
) -> None:
    np.savez("d.npz", x=x)
    converted("three", "d.npz")

    found = signfire("evaluate", "design.npz", "--data", "d.npz", "--model", "m.py:three")

    assert (found["labelled"], found["accuracy"]["golden"]) == (False, None)
    assert sum(found["outputs"]["answers"]) == len(x)
    assert 0.97 <= found["agreement"]["agreement"] <= 1


def test_studies_take_samples_without_labels(signfire, converted, x) -> None:
    np.savez("d.npz", x=x[:30])
    converted("three", "d.npz")

    noisy = signfire(
        "robustness", "design.npz", "--data", "d.npz", "--noise", "0,1", "--flips", "0",
        "--baseline-steps", "0", "-o", "study",
    )  # fmt: skip
    over = signfire(
        "analyse", "design.npz", "--data", "d.npz", "--settled", "4,8", "--overlapped", "8",
        "--rate", "8", "-o", "study",
    )  # fmt: skip
    report = signfire(
        "report", "design.npz", "--data", "d.npz", "--cycle-samples", "0", "--no-bulk",
        "--over-steps", "4,8", "-o", "report",
    )  # fmt: skip

    assert noisy["figure"] == over["accuracy"]["figure"] == "agreement"
    assert noisy["noise"]["float"][0] == 1.0 and noisy["noise"]["golden"][0] > 0.9
    assert noisy["noise"]["golden"][1] < noisy["noise"]["golden"][0]
    assert over["accuracy"]["settled"][1]["accuracy"] > 0.9
    assert report["accuracy"]["figure"] == "agreement" and report["accuracy"]["golden"] > 0.9
    assert report["accuracy"]["float"] is None
    assert len(report["accuracy"]["over_steps"]) == 2


def test_studies_of_a_regression_speak_of_its_r2(signfire, converted, x) -> None:
    np.savez("d.npz", x=x[:30], y=logits(1, x[:30]))
    converted("one", "d.npz")

    noisy = signfire(
        "robustness", "design.npz", "--data", "d.npz", "--noise", "0,1", "--flips", "0",
        "--baseline-steps", "0", "-o", "study",
    )  # fmt: skip
    report = signfire(
        "report", "design.npz", "--data", "d.npz", "--cycle-samples", "0", "--no-bulk",
        "--over-steps", "8", "-o", "report",
    )  # fmt: skip

    assert noisy["figure"] == "r2" and noisy["noise"]["float"][0] == pytest.approx(1, abs=1e-3)
    assert noisy["noise"]["golden"][0] > 0.95
    assert report["accuracy"]["figure"] == "r2" and report["accuracy"]["golden"] > 0.95


def autoencoder(x: np.ndarray) -> nn.Module:
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4)), torch.from_numpy(x)
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(200):
        optimiser.zero_grad()
        ((model(data) - data) ** 2).mean().backward()
        optimiser.step()
    return model


def test_an_autoencoder_is_known_by_its_samples_and_scored_by_its_error(x) -> None:
    data = api.Dataset(path="healthy", x=x, y=None)

    made = api.convert(autoencoder(x), data, api.Options(steps=8, weight_bits=8, input_steps=8))

    (output,) = made.design.head
    assert isinstance(output, Reconstruction) and output.threshold is not None
    answers = api.predict(made.design, data)[""]
    assert (answers["error"] > output.threshold).mean() == pytest.approx(0.01, abs=0.01)
    assert output.threshold == pytest.approx(np.percentile(answers["error"], 99))
    strange = np.concatenate([x, x[:, ::-1] * [1, -1, 1, -1]]).astype(np.float32)
    truth = np.repeat([0, 1], len(x))
    found = api.evaluate(made.design, api.Dataset(path="both", x=strange, y=truth))
    assert found.figures["auc"] > 0.95
    assert found.accuracy > 0.9


def test_a_classifier_of_as_many_classes_as_inputs_is_none(x) -> None:
    made = api.convert(net(4), api.Dataset(path="d", x=x, y=None), judge=False)

    assert made.design.head.outputs[0].kind == "classes"


def test_labels_that_do_not_fit_do_not_calibrate_and_are_told(x) -> None:
    data = api.Dataset(path="d.npz", x=x, y=np.arange(len(x)) % 3 + 1)

    made = api.convert(net(3), data, judge=False)

    assert made.notes == (
        "labels of d.npz are not used: labels must lie in 0..2, the 3 outputs of 'network', not "
        "1..3",
    )


def test_names_of_classes_travel_from_the_data(x) -> None:
    data = api.Dataset(path="d", x=x, y=np.arange(len(x)) % 3, names=("a", "b", "c"))

    assert api.convert(net(3), data, judge=False).design.head.outputs[0].names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((["oracle"], [], []), "--head takes one of classes, threshold, "),
        (([], ["much"], []), "--threshold takes a number or auto, not 'much'"),
        (([], ["nan"], []), "--threshold takes a finite number, not nan"),
        ((["values", "classes"], [], []), "--head is given twice for 'the output'"),
    ],
)
def test_options_of_heads_that_say_nothing_are_refused(words, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        heads.parse_head(*words)

    assert str(caught.value).startswith(message)


def test_a_threshold_of_classes_is_refused(x) -> None:
    data = api.Dataset(path="d", x=x, y=None)

    with pytest.raises(ValueError, match=r"^the output gives one of 3 classes, for which there is"):
        api.convert(net(3), data, head=heads.parse_head([], ["0.5"], []), judge=False)
    with pytest.raises(ValueError, match=r"^--threshold auto needs labels 0 and 1 in d \(array y"):
        api.convert(net(1), data, head=heads.parse_head([], ["auto"], []), judge=False)


def test_a_judge_prefers_the_output_that_decides(make_design) -> None:
    from signfire.gen.model.heads import Classes, Head, Values

    outputs = (Values(shape=(1,), name="v"), Classes(shape=(2,), name="c", start=1))
    design = make_design(sizes=(3, 4, 3)).with_head(Head(outputs=outputs))
    data = api.Dataset(
        path="d", x=np.zeros((4, 3), np.uint8), y=np.zeros(4), others={"c": np.array([0, 1, 1, 1])}
    )

    found = judge.Judge.of(design, data)

    assert found is not None and found.output.name == "c"
    assert found.share(np.array([[9, 1, 0], [9, 0, 1], [9, 1, 0], [9, 0, 1.0]])) == 0.75


def test_the_logit_of_one_output_is_worth_its_value_in_every_dynamics(x) -> None:
    data = api.Dataset(path="d", x=x, y=None)
    exact = logits(1, x)[:, 0]

    for dynamics in ("signgd", "if"):
        options = api.Options(
            steps=8 if dynamics == "signgd" else 200, weight_bits=8, dynamics=dynamics,
            input_steps=8 if dynamics == "signgd" else None,
        )  # fmt: skip
        head = heads.parse_head(["values"], [], [])
        made = api.convert(net(1), data, options, head=head, judge=False)
        assert np.abs(api.predict(made.design, data)[""]["value"] - exact).max() < 0.05
    assert not isinstance(made.design.head.outputs[0], Threshold)
