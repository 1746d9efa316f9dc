"""The read-out against NumPy's argmax, every cycle."""

import random

import numpy as np
import pytest

from signfire.hdl.readout import Readout, result_layout

SAMPLES = {  # logits -> class, by hand
    "first of equals": ([3, 7, 7, -8], 1),
    "all equal": ([5, 5, 5, 5], 0),
    "all least": ([-8, -8, -8, -8], 0),
    "greatest last": ([-8, -7, -6, 7], 3),
    "greatest first": ([7, -8, 6, 6], 0),
    "negative": ([-5, -3, -4, -3], 1),
}


def stimulate(samples: list[list[int]], gap) -> list[dict]:
    """Offer logits ``gap()`` cycles apart, and leave the pipeline time to empty."""
    stimuli = []
    for logits in samples:
        for logit in logits:
            stimuli += [{"valid": 1, "logit": logit}] + [{"valid": 0, "logit": 0}] * (gap() - 1)
    return stimuli + [{"valid": 0}] * Readout.LATENCY


@pytest.mark.parametrize("name", SAMPLES)
def test_label_is_the_first_maximum(play, name):
    logits, label = SAMPLES[name]
    stimuli = stimulate([logits], lambda: Readout.PACE)

    seen = play(Readout(logit_width=4, outputs=4), stimuli, ["result_valid", "result"])

    last = [s["result"] for s in seen if s["result_valid"]][-1]
    assert {"logit": logits[-1], "label": label, "last": 1} == last


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize(("outputs", "width"), [(1, 4), (2, 2), (10, 15), (7, 3)])
def test_every_logit_appears_latency_cycles_later(play, outputs, width, even):
    rng = random.Random(outputs)
    limit = 1 << (width - 1)
    samples = [[rng.randint(-limit, limit - 1) for _ in range(outputs)] for _ in range(9)]
    stimuli = stimulate(samples, lambda: Readout.PACE + (0 if even else rng.randint(0, 3)))

    seen = play(Readout(logit_width=width, outputs=outputs), stimuli, ["result_valid", "result"])

    offered = [s["valid"] for s in stimuli]
    assert [0] * Readout.LATENCY + offered[: -Readout.LATENCY] == [s["result_valid"] for s in seen]
    results = [s["result"] for s in seen if s["result_valid"]]
    assert [
        {"logit": logits[i], "label": int(np.argmax(logits[: i + 1])), "last": i == outputs - 1}
        for logits in samples
        for i in range(outputs)
    ] == results


def test_reset_in_a_sample_forgets_the_maximum(play):
    begun = stimulate([[7, 6]], lambda: Readout.PACE)
    after = stimulate([[-4, -3, -3, -8]], lambda: Readout.PACE)

    seen = play(
        Readout(logit_width=4, outputs=4),
        [*begun, {"reset": 1}, {"reset": 0}, *after],
        ["result_valid", "result"],
    )

    results = [s["result"] for s in seen[len(begun) + 1 :] if s["result_valid"]]
    assert {"logit": -8, "label": 1, "last": 1} == results[-1]
    assert [0, 0, 0, 1] == [r["last"] for r in results]


@pytest.mark.parametrize(("outputs", "bits"), [(1, 1), (2, 1), (3, 2), (10, 4), (16, 4), (17, 5)])
def test_label_holds_every_class(outputs, bits):
    assert 9 + bits + 1 == result_layout(logit_width=9, outputs=outputs).size
