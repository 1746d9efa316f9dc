"""The passing queue: every word once, in order, in the cycle in which it enters if none waits."""

import numpy as np
import pytest

from signfire.hdl.passing_queue import PassingQueue


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_every_word_is_offered_once_in_order_and_at_once(play, depth):
    rng = np.random.default_rng(depth)
    waiting, stimuli, expected = [], [], []
    for word in range(200):
        ready = bool(rng.random() < 0.5)
        push = bool(rng.random() < 0.6) and len(waiting) < depth
        waiting += [word] if push else []
        expected.append(waiting[0] if waiting else None)
        if ready and waiting:
            waiting.pop(0)
        stimuli.append({"push": push, "word": word, "ready": ready})

    seen = play(PassingQueue(width=8, depth=depth), stimuli, ["valid", "payload"])

    assert [s["payload"] if s["valid"] else None for s in seen] == expected


def test_a_queue_of_nothing_is_refused():
    with pytest.raises(ValueError) as error:
        PassingQueue(width=4, depth=0)

    assert str(error.value) == "a queue has a word of one bit at least, not 0 of 4"
