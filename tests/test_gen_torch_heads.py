"""What forward ends in is taken off and remembered; the network computes the logits."""

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from signfire.gen.front.export import import_network
from signfire.gen.model.heads import Classes, Labels, Pixels, Threshold, Values

Pair = namedtuple("Pair", ["box", "cls"])


def samples(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, *shape)).astype(np.float32)


class Ends(nn.Module):
    """Two layers, and an end that the test gives."""

    def __init__(self, end, outputs: int = 3) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, outputs))
        self.end = end

    def forward(self, x: Tensor) -> Any:
        return self.end(self.body(x))


def logits_of(model: Ends, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.body(torch.from_numpy(x)).numpy()


ENDS = {
    "softmax": (lambda x: torch.softmax(x, 1), "softmax", 3),
    "softmax of the last axis": (lambda x: F.softmax(x, dim=-1), "softmax", 3),
    "a module of softmax": (nn.Softmax(dim=1), "softmax", 3),
    "a module of log_softmax": (nn.LogSoftmax(dim=1), "log_softmax", 3),
    "log_softmax": (lambda x: x.log_softmax(-1), "log_softmax", 3),
    "sigmoid": (torch.sigmoid, "sigmoid", 3),
    "logsigmoid": (F.logsigmoid, "log_sigmoid", 3),
    "tanh": (torch.tanh, "tanh", 3),
    "one sigmoid": (lambda x: x.sigmoid(), "sigmoid", 1),
    "squeeze, then sigmoid": (lambda x: torch.sigmoid(x.squeeze(-1)), "sigmoid", 1),
    "sigmoid, then squeeze": (lambda x: torch.sigmoid(x).squeeze(-1), "sigmoid", 1),
    "squeeze": (lambda x: x.squeeze(-1), "", 1),
    "view": (lambda x: x.view(-1), "", 1),
    "a column": (lambda x: torch.sigmoid(x)[:, 0], "sigmoid", 1),
    "another word for it": (lambda x: torch.special.expit(x), "sigmoid", 1),
    "float64": (lambda x: torch.softmax(x, 1).double(), "softmax", 3),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_link_is_taken_off_and_the_host_gives_what_forward_returns(end: str) -> None:
    function, link, outputs = ENDS[end]
    model, x = Ends(function, outputs), samples(5)

    network = import_network(model, x)

    (output,) = network.head
    values = network.answers(x)
    with torch.no_grad():
        wanted = model(torch.from_numpy(x)).numpy()
    assert output.link == link and not output.decides
    assert [p.function for p in network.populations] == ["input", "relu", "readout"]
    assert np.allclose(values, logits_of(model, x), atol=1e-5)
    assert np.allclose(output.returned(network.head.part(values, output)).ravel(), wanted.ravel(),
                       atol=1e-5)  # fmt: skip


DECISIONS = {
    "argmax": (lambda x: x.argmax(1), Classes, 3),
    "argmax of probabilities": (lambda x: torch.softmax(x, 1).argmax(dim=1), Classes, 3),
    "argmax that keeps its axis": (lambda x: x.argmax(-1, keepdim=True), Classes, 3),
    "the index of the maximum": (lambda x: x.max(1)[1], Classes, 3),
    "above one half": (lambda x: (torch.sigmoid(x) > 0.5).float(), Threshold, 1),
    "above a logit": (lambda x: x.squeeze(-1) > 0.1, Threshold, 1),
    "rounded": (lambda x: torch.sigmoid(x).round(), Threshold, 1),
    "several above one half": (lambda x: (torch.sigmoid(x) >= 0.3).int(), Labels, 3),
}


@pytest.mark.parametrize("end", DECISIONS)
def test_a_decision_is_taken_off_and_the_host_decides_alike(end: str) -> None:
    function, kind, outputs = DECISIONS[end]
    model, x = Ends(function, outputs), samples(5)

    network = import_network(model, x)

    (output,) = network.head
    values = network.answers(x)
    decided = output.decisions(network.head.part(values, output))
    assert decided is not None
    assert isinstance(output, kind) and output.decides and not output.guessed
    assert np.allclose(values, logits_of(model, x), atol=1e-5)
    assert decided.ravel().tolist() == model(torch.from_numpy(x)).int().ravel().tolist()


# Each end with the link, the size of its logits, and the outputs of the last layer.
ENDINGS = {
    "the second of two probabilities": (lambda x: torch.softmax(x, 1)[:, 1], "sigmoid", 1, 2),
    "the first of them": (lambda x: torch.softmax(x, -1)[..., 0], "sigmoid", 1, 2),
    "a column of them": (lambda x: torch.softmax(x, 1)[:, -1:], "sigmoid", 1, 2),
    "unbound": (lambda x: torch.softmax(x, 1).unbind(1)[1], "sigmoid", 1, 2),
    "its logarithm": (lambda x: torch.log_softmax(x, 1)[:, 1], "log_sigmoid", 1, 2),
    "two of three sigmoids": (lambda x: torch.sigmoid(x)[:, 1:], "sigmoid", 2, 3),
    "one tanh of three": (lambda x: torch.tanh(x)[:, 2], "tanh", 1, 3),
    "the other probability": (lambda x: 1 - torch.sigmoid(x), "sigmoid", 1, 1),
    "one less a softmax": (lambda x: 1.0 - torch.softmax(x, 1)[:, 0], "sigmoid", 1, 2),
    "the best two": (lambda x: x.topk(2).values, "", 3, 3),
    "the greatest": (lambda x: x.max(1).values, "", 3, 3),
    "the greatest probability": (lambda x: torch.softmax(x, 1).amax(1), "softmax", 3, 3),
    "sorted": (lambda x: torch.softmax(x, 1).sort(1, descending=True)[0], "softmax", 3, 3),
}


@pytest.mark.parametrize("end", ENDINGS)
def test_an_ending_costs_no_neuron_and_the_host_gives_what_forward_returns(end: str) -> None:
    function, link, size, outputs = ENDINGS[end]
    model, x = Ends(function, outputs), samples(5)

    network = import_network(model, x)

    (output,) = network.head
    returned = output.returned(network.head.part(network.answers(x), output))
    with torch.no_grad():
        wanted = model(torch.from_numpy(x)).numpy()
    assert (output.link, output.size, output.decides) == (link, size, False)
    assert [p.function for p in network.populations] == ["input", "relu", "readout"]
    assert np.allclose(returned.ravel(), wanted.ravel(), atol=1e-5)


def wavering(x: Tensor) -> Tensor:
    return x + torch.tensor([0.5, 0.0])  # either of two is the greatest


DECIDING_ENDINGS = {
    "below one half": (lambda x: torch.sigmoid(x) < 0.5, 1),
    "not above": (lambda x: (torch.sigmoid(x.squeeze(1)) <= 0.5).float(), 1),
    "below a logit": (lambda x: x < 0.1, 1),
    "not": (lambda x: ~(torch.sigmoid(x) > 0.6), 1),
    "logical not": (lambda x: torch.logical_not(x >= 0.1), 1),
    "where": (lambda x: torch.where(torch.sigmoid(x) > 0.5, 1, 0), 1),
    "where, the other way": (lambda x: torch.where(torch.sigmoid(x) > 0.5, 0.0, 1.0), 1),
    "where of tensors": (
        lambda x: torch.where(x < 0.1, torch.ones_like(x), torch.zeros_like(x)),
        1,
    ),
    "a probability of two": (lambda x: (torch.softmax(x, 1)[:, 1] > 0.6).long(), 2),
    "where of it": (lambda x: torch.where(torch.softmax(x, 1)[:, 1] < 0.65, 1, 0), 2),
    "one above the other": (lambda x: x[:, 1] - 0.5 > x[:, 0], 2),
    "above a tensor": (lambda x: torch.sigmoid(x) > torch.tensor(0.5), 1),
    "below another share": (lambda x: torch.sigmoid(x) < 0.45, 1),
    "several below": (lambda x: torch.sigmoid(x) < 0.5, 3),
    "argmin": (lambda x: x.argmin(1), 3),
    "the best two": (lambda x: torch.softmax(x, 1).topk(2).indices, 3),
    "the best of topk": (lambda x: x.topk(1, dim=1).indices, 3),
    "the order": (lambda x: x.argsort(1, descending=True), 3),
    "the second of two": (lambda x: wavering(x).argmax(1) == 1, 2),
    "the first of two": (lambda x: (torch.softmax(wavering(x), 1).argmax(1) == 0).float(), 2),
    "not the first of two": (lambda x: wavering(x).argmax(1, keepdim=True) != 0, 2),
    "where it is the second": (lambda x: torch.where(wavering(x).argmax(1).eq(1), 1, 0), 2),
}


@pytest.mark.parametrize("end", DECIDING_ENDINGS)
def test_an_ending_that_decides_costs_no_neuron_and_the_host_decides_alike(end: str) -> None:
    function, outputs = DECIDING_ENDINGS[end]
    model, x = Ends(function, outputs), samples(5)

    network = import_network(model, x)

    (output,) = network.head
    decided = output.decisions(network.head.part(network.answers(x), output))
    wanted = model(torch.from_numpy(x)).int().numpy()
    assert decided is not None and output.decides and not output.guessed
    assert [p.function for p in network.populations] == ["input", "relu", "readout"]
    assert decided.ravel().tolist() == wanted.ravel().tolist()
    assert len(np.unique(wanted)) > 1


NUMBERS = {
    "plus and minus": (lambda x: torch.where(x > 0.1, 1, -1), 1, (-1, 1)),
    "of a probability": (lambda x: torch.where(torch.sigmoid(x) > 0.5, 1.0, -1.0), 1, (-1, 1)),
    "the other way": (lambda x: torch.where(torch.sigmoid(x) < 0.5, 1, -1), 1, (-1, 1)),
    "two and five": (lambda x: torch.where(x.squeeze(1) > 0.1, 5.0, 2.0), 1, (2, 5)),
    "of tensors": (
        lambda x: torch.where(x > 0.1, torch.ones_like(x), -torch.ones_like(x)),
        1,
        (-1, 1),
    ),
    "scalars in tensors": (
        lambda x: torch.where(x > 0.1, torch.tensor(3.0), torch.tensor(-3.0)),
        1,
        (-3, 3),
    ),
    "sign": (torch.sign, 1, (-1, 1)),
    "sign of several": (lambda x: x.sign(), 3, (-1, 1)),
    "sign of a difference": (lambda x: torch.sgn(x[:, 1] - x[:, 0] - 0.5), 2, (-1, 1)),
    "the class of two": (lambda x: torch.where(wavering(x).argmax(1) == 1, 1, -1), 2, (-1, 1)),
}


@pytest.mark.parametrize("end", NUMBERS)
def test_numbers_of_a_decision_are_remembered(end: str) -> None:
    function, outputs, (no, yes) = NUMBERS[end]
    model, x = Ends(function, outputs), samples(5)

    network = import_network(model, x)

    (output,) = network.head
    wanted = model(torch.from_numpy(x)).detach().numpy().reshape(len(x), -1)
    answers = output.answers(network.head.part(network.answers(x), output))
    assert isinstance(output, Threshold | Labels) and output.decides and not output.guessed
    assert {output.no, output.yes} == {no, yes}
    assert [p.function for p in network.populations] == ["input", "relu", "readout"]
    assert answers["value"].reshape(len(x), -1).tolist() == wanted.tolist()
    assert set(np.unique(wanted)) == {no, yes}
    labels = wanted if output.size > 1 else wanted[:, 0]
    assert output.truth(labels, "net").tolist() == answers["label"].tolist()
    again = type(output).of_record(output.record())
    assert again == output


def test_a_row_with_one_1_is_the_class() -> None:
    model, x = Ends(lambda x: F.one_hot(x.argmax(1), 3).float()), samples(5)

    (output,) = import_network(model, x).head

    found = output.decisions(import_network(model, x).answers(x))
    assert isinstance(output, Classes) and output.decides and found is not None
    wanted = model(torch.from_numpy(x)).numpy()
    assert found.tolist() == wanted.argmax(1).tolist()
    assert output.truth(wanted.astype(int), "net").tolist() == found.tolist()


BOTH = {
    "max": lambda x: x.max(1),
    "max of probabilities": lambda x: torch.max(torch.softmax(x, dim=1), dim=1),
    "topk": lambda x: torch.softmax(x, 1).topk(2, dim=1),
    "sort": lambda x: x.sort(1, descending=True),
    "by names": lambda x: dict(zip(("score", "label"), torch.softmax(x, 1).max(1), strict=True)),
}


@pytest.mark.parametrize("end", BOTH)
def test_values_and_places_of_the_best_are_two_forms_of_the_same_logits(end: str) -> None:
    model, x = Ends(BOTH[end]), samples(5)

    network = import_network(model, x)

    score, label = network.head
    values = network.answers(x)
    with torch.no_grad():
        found = model(torch.from_numpy(x))
    first, second = found.values() if isinstance(found, dict) else found
    decided = label.decisions(network.head.part(values, label))
    returned = score.returned(network.head.part(values, score))
    assert values.shape == (40, 3) and network.head.size == 3
    assert decided is not None and decided.ravel().tolist() == second.ravel().tolist()
    assert np.allclose(returned.ravel(), first.numpy().ravel(), atol=1e-5)


@pytest.mark.parametrize(
    "end",
    [
        lambda x: x.topk(2, largest=False).indices,
        lambda x: x.sort(1).values,
        lambda x: x.max(0).values,
        lambda x: torch.where(x > 0, x, 0),
        lambda x: x.argmax(1) == 1,
        lambda x: F.one_hot(x.argmax(1), 5),
        lambda x: x.eq(0),
    ],
)
def test_other_endings_are_refused(end) -> None:
    with pytest.raises(ValueError, match="the model is not supported: "):
        import_network(Ends(end), samples(5))


def test_one_of_three_probabilities_is_refused_with_a_way_out_that_works() -> None:
    with pytest.raises(ValueError, match=r"softmax .*\(return all of its probabilities: at the"):
        import_network(Ends(lambda x: torch.softmax(x, 1)[:, 1]), samples(5))

    (output,) = import_network(Ends(lambda x: torch.softmax(x, 1)), samples(5)).head

    assert output.link == "softmax"


def test_a_program_that_the_user_keeps_is_not_rewritten() -> None:
    program = torch.export.export(
        Ends(lambda x: torch.softmax(x, 1)[:, 1], 2).eval(), (torch.zeros(7, 5),)
    )
    before = str(program.graph)

    (output,) = import_network(program, samples(5)).head

    assert output.link == "sigmoid"
    assert str(program.graph) == before


def test_a_threshold_behind_a_sigmoid_is_one_of_the_logit() -> None:
    (output,) = import_network(Ends(lambda x: torch.sigmoid(x) > 0.8, 1), samples(5)).head

    assert isinstance(output, Threshold)
    assert output.threshold == pytest.approx(np.log(4))
    assert output.shown == pytest.approx(0.8)


def test_a_sigmoid_that_is_not_the_end_is_a_neuron() -> None:
    network = import_network(Ends(lambda x: torch.sigmoid(x) * 3), samples(5))

    assert network.head.outputs[0].link == ""
    assert "sigmoid" in [p.function for p in network.populations]


@pytest.mark.parametrize("end", [torch.relu, F.softplus, torch.exp])
def test_what_is_never_below_0_is_a_value(end) -> None:
    (output,) = import_network(Ends(end, 1), samples(5)).head

    assert output.kind == "values" and output.guessed


def test_planes_beside_other_outputs_are_values() -> None:
    network = import_network(Planes(lambda x: (x, x.mean((2, 3)))), samples(1, 6, 6))

    assert [output.kind for output in network.head] == ["values", "classes"]


def test_rounding_that_is_no_decision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the model is not supported: round at "):
        import_network(Ends(lambda x: x.round()), samples(5))


def test_an_argmax_over_the_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"argmax .* \(it is taken off at the end of forward"):
        import_network(Ends(lambda x: x.argmax(0)), samples(5))


SEVERAL = {
    "a tuple": (lambda x: (x[:, :2], torch.softmax(x[:, 2:], 1)), ["0", "1"]),
    "a list": (lambda x: [x[:, :2], torch.softmax(x[:, 2:], 1)], ["0", "1"]),
    "a dictionary": (
        lambda x: {"box": x[:, :2], "cls": torch.softmax(x[:, 2:], 1)},
        ["box", "cls"],
    ),
    "a named tuple": (lambda x: Pair(x[:, :2], torch.softmax(x[:, 2:], 1)), ["box", "cls"]),
    "a nest": (
        lambda x: {"heads": (x[:, :2], {"cls": torch.softmax(x[:, 2:], 1)}), "aux": None},
        ["heads.0", "heads.1.cls"],
    ),
}


@pytest.mark.parametrize("form", SEVERAL)
def test_several_outputs_are_runs_of_logits_with_their_names(form: str) -> None:
    end, names = SEVERAL[form]
    model, x = Ends(end, 5), samples(5)

    network = import_network(model, x)

    values, wanted = network.answers(x), logits_of(model, x)
    assert [output.name for output in network.head] == names
    box, cls = network.head
    assert (box.link, cls.link) == ("", "softmax")
    assert np.allclose(network.head.part(values, box), wanted[:, :2], atol=1e-5)
    assert np.allclose(network.head.part(values, cls), wanted[:, 2:], atol=1e-5)


def test_one_value_in_two_forms_is_one_run_of_logits() -> None:
    network = import_network(Ends(lambda x: (x, torch.softmax(x, 1))), samples(5))

    assert network.readout.size == 3
    assert [(output.start, output.link) for output in network.head] == [(0, ""), (0, "softmax")]


def test_an_output_that_does_not_depend_on_the_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"^the model's output '1' does not depend on its input$"):
        import_network(Ends(lambda x: (x, torch.ones(len(x), 1))), samples(5))


class Planes(nn.Module):
    def __init__(self, end, planes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, planes, 1))
        self.end = end

    def forward(self, x: Tensor) -> Any:
        return self.end(self.body(x))


@pytest.mark.parametrize(
    ("end", "planes", "link"),
    [
        (nn.Identity(), 3, ""),
        (nn.Softmax(dim=1), 3, "softmax"),
        (nn.Sigmoid(), 1, "sigmoid"),
        (lambda x: x.argmax(1), 3, ""),
    ],
)
def test_planes_are_classes_of_pixels(end, planes: int, link: str) -> None:
    model, x = Planes(end, planes), samples(1, 6, 6)

    network = import_network(model, x)

    (output,) = network.head
    assert isinstance(output, Pixels)
    assert (output.shape, output.link) == ((planes, 6, 6), link)
    with torch.no_grad():
        wanted = model.body(torch.from_numpy(x)).numpy()
    assert np.allclose(network.head.part(network.answers(x), output), wanted, atol=1e-4)


class Steps(nn.Module):
    """Three logits of each of six steps."""

    def __init__(self, end) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(4, 3)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.fc(x))


@pytest.mark.parametrize(
    "end",
    [
        lambda x: torch.softmax(x, -1),
        lambda x: x.argmax(-1),
        lambda x: torch.sigmoid(x).argmax(2),
        lambda x: torch.softmax(x, 2).argmax(2),
    ],
)
def test_logits_of_steps_lie_along_the_last_axis(end) -> None:
    (output,) = import_network(Steps(end), samples(6, 4)).head

    assert isinstance(output, Pixels)
    assert (output.axis, output.places) == (1, (6,))


def test_a_softmax_along_another_axis_than_the_argmax_is_no_link() -> None:
    network = import_network(Steps(lambda x: torch.softmax(x, 2).argmax(1)), samples(6, 4))

    (output,) = network.head
    assert (output.link, output.axis, output.decides) == ("", 0, True)
    assert "divide" in [p.function for p in network.populations]


def test_a_program_says_its_outputs_too() -> None:
    model = Ends(lambda x: {"value": x[:, :1], "cls": x[:, 1:].softmax(1)}, 4).eval()
    program = torch.export.export(model, (torch.zeros(7, 5),))

    network = import_network(program, samples(5))

    assert [output.name for output in network.head] == ["value", "cls"]
    assert isinstance(network.head["value"], Threshold)  # one value: a guess
    assert network.head["value"].guessed and not network.head["cls"].guessed
    assert not isinstance(network.head["value"], Values)
