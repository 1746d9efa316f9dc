"""Neurons of a minimum against the equations of DESIGN section 2 in plain Python integers."""

import random
from itertools import product

import pytest

from signfire.hdl import fire_minimum
from signfire.hdl.fire_pair import PairNumbers, binary_steps


def fire(rest: int, steps: int, first: int, second: int, fraction: int = 0):
    """Return v(0)..v(T-1) and the events: one where v·2^p lies below both operands."""
    v, membranes, events = rest, [], []
    for eta in binary_steps(steps):
        event = (v << fraction) < first and (v << fraction) < second
        membranes.append(v)
        events.append(int(event))
        v += eta if event else -eta
    return membranes, events


BY_HAND = [  # rest, T, F1, F2 -> v(0)..v(T-1), events
    ((7, 3, 5, 20), ([7, 3, 5], [0, 1, 0])),  # 5 ends at 4: a tie at 5 is no event
    ((7, 3, 20, 5), ([7, 3, 5], [0, 1, 0])),
    ((7, 3, 6, 6), ([7, 3, 5], [0, 1, 1])),
    ((7, 3, 900, 901), ([7, 11, 13], [1, 1, 1])),  # far beyond the code
    ((7, 3, 900, -900), ([7, 3, 1], [0, 0, 0])),
    ((-1, 2, -2, 4), ([-1, -3], [0, 1])),
    ((-1, 2, -3, -4), ([-1, -3], [0, 0])),
    ((-1, 2, -3, -3), ([-1, -3], [0, 0])),
]


@pytest.mark.parametrize(("given", "wanted"), BY_HAND)
def test_model_by_hand(given, wanted):
    assert fire(*given) == wanted


def make(*, lanes: int, shared: bool, **numbers):
    numbers = PairNumbers(kind="dsp", **numbers)
    return fire_minimum.MinimumNeurons(lanes=lanes, shared=shared, numbers=numbers)


def check(play, pairs, pace: int | None = None, **settings) -> int:
    """Compare every cycle of every neuron; return how many events there were.

    ``pairs`` are F1 of each lane, and F2 of each lane or of all.
    """
    dut = make(**settings)
    pace, fired = pace or dut.steps, 0
    stimuli = []
    for first, second in pairs:
        idle = {"valid": 0, "first": [1] * dut.lanes, "second": [-1] * len(second)}
        stimuli += [{"valid": 1, "first": first, "second": second}, *[idle] * (pace - 1)]
    stimuli += [{"valid": 0}] * (dut.LATENCY + 1)
    seen = play(dut, stimuli, ("train_valid", "train", "firing", "membrane", "event"))
    firing, last = set(), set()
    for k, (firsts, seconds) in enumerate(pairs):
        both = zip(firsts, list(seconds) * (dut.lanes if dut.shared else 1), strict=True)
        expected = [fire(dut.rest, dut.steps, *each, dut.fraction) for each in both]
        start = k * pace + dut.LOAD
        for t in range(dut.steps):
            word = seen[start + t]
            firing.add(start + t)
            assert [v[t] for v, _ in expected] == word["membrane"], (firsts, seconds, t)
            assert sum(e[t] << n for n, (_, e) in enumerate(expected)) == word["event"]
        last.add(k * pace + dut.LATENCY)
        trains = [sum(event << t for t, event in enumerate(e)) for _, e in expected]
        assert trains == seen[k * pace + dut.LATENCY]["train"]
        fired += sum(sum(e) for _, e in expected)
    assert [c in firing for c in range(len(seen))] == [bool(w["firing"]) for w in seen]
    assert [c in last for c in range(len(seen))] == [bool(w["train_valid"]) for w in seen]
    return fired


def test_neurons_by_hand(play):
    for (rest, steps, first, second), (_, events) in BY_HAND:
        settings = dict(rest=rest, steps=steps, first=1000, second=1000, fraction=0)

        found = check(play, [([first], [second])], lanes=1, shared=True, **settings)

        assert found == sum(events)


SMALL = [(-1, 3, 0), (3, 2, 1), (0, 1, 0), (5, 3, 2)]  # rest, steps, p


@pytest.mark.parametrize(("rest", "steps", "fraction"), SMALL)
def test_every_pair_of_small_operands_fires_as_the_equations_say(play, rest, steps, fraction):
    first, second = 17, 6
    every = list(product(range(-first, first + 1), range(-second, second + 1)))
    every += every[: -len(every) % 5]
    pairs = [tuple(zip(*every[k : k + 5], strict=True)) for k in range(0, len(every), 5)]

    fired = check(
        play,
        [(list(a), list(b)) for a, b in pairs],
        lanes=5,
        rest=rest,
        steps=steps,
        first=first,
        second=second,
        fraction=fraction,
        shared=False,
    )

    assert 0 < fired < len(every) * steps


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("rest", "steps", "first", "second", "fraction"),
    [
        (63, 6, 379, 400, 0),
        (31, 5, 70000, 3, 0),  # one operand far beyond what the code says
        (-9, 4, 3, 70000, 0),
        (5, 8, 40000, 40000, 3),
        (0, 2, 1, 1, 0),
    ],
)
def test_operands_of_any_size_fire_as_the_equations_say(
    play, rest, steps, first, second, fraction, shared
):
    rng = random.Random(first + 2 * second + shared)
    reach = sum(binary_steps(steps))
    pairs = []
    for k in range(60):
        near = rng.randint(rest - reach - 1, rest + reach + 1) << fraction

        def drawn(limit: int, near=near) -> int:
            value = rng.choice([near, near - 1, near + 1, rng.randint(-limit, limit)])
            return max(-limit, min(limit, value))

        f1s, f2s = [drawn(first) for _ in range(3)], [drawn(second) for _ in range(3)]
        if k < 4:  # the ends of both ranges
            f1s = [first if k & 1 else -first] * 3
            f2s = [second if k & 2 else -second] * 3
        pairs.append((f1s, f2s[:1] if shared else f2s))

    check(
        play,
        pairs,
        steps + rng.choice([0, 3]),
        lanes=3,
        rest=rest,
        steps=steps,
        first=first,
        second=second,
        fraction=fraction,
        shared=shared,
    )


def test_reset_in_the_middle_leaves_a_clean_state(play):
    settings = dict(rest=-1, steps=4, first=99, second=99, fraction=0)
    dut = make(lanes=1, shared=True, **settings)
    word = {"valid": 1, "first": [40], "second": [6], "reset": 0}
    stimuli = [
        word,
        *[{"valid": 0}] * (dut.LOAD + 1),
        {"valid": 0, "reset": 1},
        word,
        *[{"valid": 0}] * (dut.LATENCY + 2),
    ]

    seen = play(dut, stimuli, ("train_valid", "train"))

    trains = [(c, w["train"][0]) for c, w in enumerate(seen) if w["train_valid"]]
    _, events = fire(-1, 4, 40, 6)
    expected = sum(event << t for t, event in enumerate(events))
    assert trains == [(dut.LOAD + 3 + dut.LATENCY, expected)]


PLANTED = {
    "a maximum": ("first - second", "second - first"),
    "the first alone": ("Mux(less, first, second)", "first"),
    "a sign that is lost": ("first - second", "first.as_unsigned() - second.as_unsigned()"),
    "a difference that overflows": ("(first - second)[-1]", "(first - second)[-2]"),
    "a minimum that comes a cycle late": ("if not self.fraction:", "if False:"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_seen(play, mutated, monkeypatch, name):
    wrong = mutated(fire_minimum, PLANTED[name])
    monkeypatch.setattr(fire_minimum, "MinimumNeurons", wrong.MinimumNeurons)

    with pytest.raises(AssertionError):
        test_operands_of_any_size_fire_as_the_equations_say(play, 63, 6, 379, 400, 0, False)
