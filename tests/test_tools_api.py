"""The verbs as functions: what the command line does not show."""

from contextlib import nullcontext

import numpy as np
import pytest
import sliplib

from signfire.gen.model.heads import Head, Threshold
from signfire.hdl.protocol import Command
from signfire.sim import golden
from signfire.sim.specimens.chains import random_design
from signfire.tools import api, host, watch
from signfire.tools.host import decode_frame, encode_frame

DESIGN = random_design(sizes=(12, 6, 4), input_steps=2)
RAW = np.random.default_rng(5).integers(0, 256, (6, 12))


@pytest.fixture
def infer(monkeypatch, pretended_board, pretended_port):
    """Let a pretended board answer, whose replies go through ``disturb``."""

    def run(disturb=lambda command, sequence, reply: reply, labels=None):
        board = pretended_board(DESIGN, disturb=disturb)
        line = nullcontext(pretended_port(board))
        monkeypatch.setattr(host, "open_port", lambda port, baud: line)
        return api.infer(DESIGN, "port", api.Dataset(path="", x=RAW, y=labels))

    return run


def test_a_board_that_answers_as_the_golden_model_is_equal_in_every_sample(infer) -> None:
    labels = golden.run(DESIGN, RAW).labels

    found = infer(labels=(labels + (np.arange(6) < 2)) % 4)

    assert labels.tolist() == found.labels.tolist()
    assert (6, 4) == (found.equal, found.correct)


@pytest.mark.parametrize("place", [0, 5, 15, 16])
def test_a_logit_or_a_class_that_is_wrong_is_no_equal_answer(infer, place) -> None:
    """Four bytes a logit, then the class; of samples two are changed in one bit."""
    asked = []

    def disturb(command, sequence, reply):
        if command != Command.INFER:
            return reply
        asked.append(sequence)
        if len(asked) not in (2, 5):
            return reply
        code, _, payload = decode_frame(sliplib.decode(reply[1:-1]))
        payload = bytearray(payload)
        payload[place] ^= 1
        return encode_frame(code, sequence, bytes(payload))

    found = infer(disturb)

    assert 4 == found.equal
    assert (place < 16) is (golden.run(DESIGN, RAW).labels.tolist() == found.labels.tolist())


def test_rows_of_the_confusion_are_the_truth_and_columns_the_answers() -> None:
    answers = golden.run(DESIGN, RAW).labels
    labels = np.full(6, int(np.setdiff1d(np.arange(4), answers)[0]))

    found = api.evaluate(DESIGN, api.Dataset(path="", x=RAW, y=labels))

    assert 6 == found.confusion[labels[0]].sum()
    assert np.bincount(answers, minlength=4).tolist() == found.confusion[labels[0]].tolist()
    assert 0 == found.correct


@pytest.mark.parametrize(
    ("board", "shared"), [("icebreaker", True), ("tang-nano-9k", True), ("ulx3s-25f", False)]
)
def test_a_lone_flip_flop_costs_a_lut_where_the_two_share_a_site(board, shared) -> None:
    assert api.budget_of(api.find_board(board)).shared_cells is shared


def test_the_host_decides_for_one_logit_what_the_board_cannot(
    monkeypatch, pretended_board, pretended_port
) -> None:
    """The class that the hardware sends is the first maximum of one: always 0."""
    plain = random_design(sizes=(12, 6, 1), input_steps=2)
    values = plain.values(golden.run(plain, RAW).logits)[:, 0]
    middle = float(np.median(values))
    output = Threshold(shape=(1,), link="sigmoid", threshold=middle, names=("fine", "faulty"))
    design = plain.with_head(Head(outputs=(output,)))
    truth = (values > middle).astype(int)
    data = api.Dataset(path="", x=RAW, y=np.r_[1 - truth[:1], truth[1:]])
    board = pretended_board(design)
    monkeypatch.setattr(host, "open_port", lambda port, baud: nullcontext(pretended_port(board)))

    found = api.infer(design, "port", data)

    assert 0 < truth.sum() < 6
    assert (found.equal, found.correct) == (6, 5)
    assert found.labels.tolist() == truth.tolist()
    assert found.figures[""]["accuracy"] == pytest.approx(5 / 6)
    shares = 1 / (1 + np.exp(-values))
    assert found.answers[""]["probability"] == pytest.approx(shares)
    told: list[dict] = []
    reach = watch.Reach(
        lambda: nullcontext(pretended_port(board)), design, tries=0, emit=told.append
    )
    tally = watch.infer(design, watch.of_data(design, data), reach, told.append)
    answers = [record for record in told if "index" in record]
    assert (tally.samples, tally.equal, tally.correct) == (6, 6, 5)
    assert [a["label"] for a in answers] == truth.tolist()
    assert [a["class"] for a in answers] == [("fine", "faulty")[k] for k in truth]
    assert [a["probability"] for a in answers] == pytest.approx(shares.tolist())
    assert [a["correct"] for a in answers] == [False] + [True] * 5
