"""The running maximum against Python's own, train by train and cycle by cycle."""

import numpy as np
import pytest

from signfire.hdl.running_maximum import RunningMaximum


def number(train: int, steps: int) -> int:
    """Return what a train says: its earliest event weighs most."""
    return int(f"{train:0{steps}b}"[::-1], 2)


@pytest.mark.parametrize(("lanes", "steps"), [(1, 1), (1, 4), (3, 5), (2, 8)])
def test_the_greatest_train_of_a_window_stands_a_cycle_behind_its_last(play, lanes, steps):
    rng = np.random.default_rng(steps)
    words = [rng.integers(0, 2**steps, lanes).tolist() for _ in range(60)]
    firsts = [k % 7 == 0 for k in range(len(words))]
    valids = [first or bool(rng.random() < 0.7) for first in firsts]
    stimuli = [
        {"trains": word, "first": int(first), "valid": int(valid)}
        for word, first, valid in zip(words, firsts, valids, strict=True)
    ]

    found = play(RunningMaximum(lanes=lanes, steps=steps), [*stimuli, {"valid": 0}], ["greatest"])

    greatest = [0] * lanes
    for k, (word, first, valid) in enumerate(zip(words, firsts, valids, strict=True)):
        if valid:
            greatest = [
                max(own, held, key=lambda train: number(train, steps)) if not first else own
                for own, held in zip(word, greatest, strict=True)
            ]
        assert greatest == found[k + RunningMaximum.LATENCY]["greatest"], k


def test_the_first_event_decides_and_not_the_last(play):
    early, late = 0b0001, 0b1110  # bit t is e(t)
    stimuli = [{"valid": 1, "first": 1, "trains": [late]}, {"first": 0, "trains": [early]}, {}]

    found = play(RunningMaximum(lanes=1, steps=4), stimuli, ["greatest"])

    assert [[late], [early]] == [word["greatest"] for word in found[1:]]
