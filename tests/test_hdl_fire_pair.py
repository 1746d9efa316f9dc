"""Neurons of two operands against the equations of DESIGN section 2 in plain Python integers."""

import random
from fractions import Fraction
from itertools import product

import pytest

from signfire.hdl import fire_pair
from signfire.hdl.fire_pair import (
    PairNumbers,
    ProductNeurons,
    QuotientNeurons,
    RootNeurons,
    binary_steps,
    times,
)

NEURONS = {"multiply": ProductNeurons, "divide": QuotientNeurons, "divide_root": RootNeurons}


def reached(
    function: str, v: int, first: int, second: int, fraction: int, ties: str = "down"
) -> bool:
    """Return whether no event is sent: v >= f, or v > f, by products of integers."""
    if ties != "down" and at(function, v, first, second, fraction):
        return ties == "even" and v % 4 != 3
    v <<= fraction
    if function == "multiply":
        return v >= first * second
    second = max(second, 1)
    if function == "divide":
        return v * second >= first
    if (v >= 0) != (first > 0):  # the signs say it, or v is not below a first of 0
        return v >= 0
    if v >= 0:
        return v * v * second >= first * first
    return v * v * second <= first * first


def at(function: str, v: int, first: int, second: int, fraction: int) -> bool:
    """Return whether v = f."""
    v, divisor = v << fraction, max(second, 1)
    if function == "multiply":
        return v == first * second
    if function == "divide":
        return v * divisor == first
    return v * abs(v) * divisor == first * abs(first)


def fire(function, rest, steps, first, second, fraction, ties) -> tuple[list[int], list[int]]:
    """Return v(0)..v(T-1) and the events."""
    v, membranes, events = rest, [], []
    for eta in binary_steps(steps):
        event = not reached(function, v, first, second, fraction, ties)
        membranes.append(v)
        events.append(int(event))
        v += eta if event else -eta
    return membranes, events


BY_HAND = [  # function, v, F1, F2, p -> v >= f
    ("divide_root", 3, 6, 4, 0, True),  # 6/2
    ("divide_root", 3, 7, 4, 0, False),
    ("divide_root", -3, -6, 4, 0, True),
    ("divide_root", -3, -5, 4, 0, False),
    ("divide_root", -4, -6, 4, 0, False),
    ("divide_root", 0, 0, 9, 0, True),
    ("divide_root", -1, 0, 9, 0, False),
    ("divide_root", 0, -1, 9, 0, True),
    ("divide_root", 1, 3, 0, 1, False),  # F2 counts as 1: 3/2
    ("divide", -2, -5, 2, 0, True),
    ("divide", -3, -5, 2, 0, False),
    ("divide", 1, 6, -3, 2, False),  # 6/4
    ("multiply", -3, 3, -4, 2, True),
    ("multiply", -4, 3, -4, 2, False),
]


@pytest.mark.parametrize(("function", "v", "first", "second", "fraction", "wanted"), BY_HAND)
def test_model_by_hand(function, v, first, second, fraction, wanted):
    assert reached(function, v, first, second, fraction) == wanted


@pytest.mark.parametrize("constant", [*range(-40, 41), 65025, -382, 3969])
def test_a_product_by_a_constant_is_a_sum_of_shifts(constant):
    assert all(times(n, constant) == n * constant for n in (-7, -1, 0, 1, 13))


def make(function: str, *, lanes: int, shared: bool, **numbers):
    """Return neurons."""
    return NEURONS[function](lanes=lanes, shared=shared, numbers=PairNumbers(**numbers))


def played(play, function: str, pairs, pace: int | None = None, **settings):
    """Fire pairs (F1 of each lane, F2 of each lane, or of all); return what came, by its cycle."""
    dut = make(function, **settings)
    pace = pace or dut.steps
    stimuli = []
    for first, second in pairs:
        stimuli.append({"valid": 1, "first": first, "second": second})
        idle = {"valid": 0, "first": [1] * dut.lanes, "second": [2] * len(second)}
        stimuli += [idle] * (pace - 1)
    stimuli += [{"valid": 0}] * (dut.LATENCY + 1)
    seen = play(dut, stimuli, ("train_valid", "train", "firing", "membrane", "event"))
    return dut, seen, pace


def check(play, function: str, pairs, pace: int | None = None, **settings) -> int:
    """Compare every step of every neuron; return how many events there were."""
    dut, seen, pace = played(play, function, pairs, pace, **settings)
    steps, fired = dut.steps, 0
    firing = {}
    for k, (firsts, seconds) in enumerate(pairs):
        start = k * pace + dut.LOAD
        seconds = list(seconds) * (dut.lanes if dut.shared else 1)
        expected = [
            fire(function, dut.rest, steps, f1, f2, dut.fraction, dut.ties)
            for f1, f2 in zip(firsts, seconds, strict=True)
        ]
        for t in range(steps):
            word = seen[start + t]
            firing[start + t] = True
            assert [v[t] for v, _ in expected] == word["membrane"], (firsts, seconds, t)
            assert sum(e[t] << n for n, (_, e) in enumerate(expected)) == word["event"], (
                firsts,
                seconds,
                t,
            )
        assert dut.LATENCY == dut.LOAD + steps - 1
        trains = [sum(event << t for t, event in enumerate(e)) for _, e in expected]
        assert trains == seen[k * pace + dut.LATENCY]["train"]
        fired += sum(sum(e) for _, e in expected)
    assert [c in firing for c in range(len(seen))] == [bool(w["firing"]) for w in seen]
    last = {k * pace + dut.LATENCY for k in range(len(pairs))}
    assert [c in last for c in range(len(seen))] == [bool(w["train_valid"]) for w in seen]
    return fired


@pytest.mark.parametrize("function", NEURONS)
@pytest.mark.parametrize(("rest", "steps", "fraction"), [(-1, 3, 0), (3, 2, 1), (0, 1, 0)])
def test_every_pair_of_small_operands_fires_as_the_equations_say(
    play, function, rest, steps, fraction, ties="down"
):
    first, second = 17, 6
    every = list(product(range(-first, first + 1), range(-second, second + 1)))
    every += every[: -len(every) % 5]
    pairs = [tuple(zip(*every[k : k + 5], strict=True)) for k in range(0, len(every), 5)]

    fired = check(
        play,
        function,
        [(list(a), list(b)) for a, b in pairs],
        lanes=5,
        rest=rest,
        steps=steps,
        first=first,
        second=second,
        fraction=fraction,
        shared=False,
        kind="dsp",
        ties=ties,
    )

    assert 0 < fired < len(every) * steps


@pytest.mark.parametrize(
    ("function", "ties"),
    [("multiply", "up"), ("multiply", "even"), ("divide", "up"), ("divide_root", "up")],
)
@pytest.mark.parametrize(("rest", "steps", "fraction"), [(-1, 3, 0), (3, 3, 1)])
def test_ties_of_every_pair_go_as_the_rule_says(play, function, ties, rest, steps, fraction):
    test_every_pair_of_small_operands_fires_as_the_equations_say(
        play, function, rest, steps, fraction, ties
    )


@pytest.mark.parametrize("function", ["divide", "divide_root"])
def test_ties_to_even_levels_are_refused_where_neurons_divide(function):
    numbers = dict(rest=3, steps=2, first=4, second=4, fraction=0, kind="dsp", ties="even")

    with pytest.raises(ValueError, match=r"^neurons that divide settle ties down or up, not even$"):
        make(function, lanes=1, shared=False, **numbers)


CORNERS = [  # rest, steps, greatest F1, greatest F2, p
    (-1, 6, 5189, 17818, 0),  # a LayerNorm as it is converted
    (1, 6, 9576, 11303, 0),
    (63, 6, 379, 400, 0),
    (31, 5, 70000, 3, 1),  # F1 far beyond what the code says
    (-9, 4, 3, 70000, 2),
    (5, 8, 40000, 40000, 3),
    (0, 2, 1, 1, 0),
]


@pytest.mark.parametrize("function", NEURONS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("kind", ["dsp", "lut"])
def test_operands_of_any_size_fire_as_the_equations_say(play, function, shared, kind):
    rng = random.Random(f"{function}{shared}{kind}")
    for rest, steps, first, second, fraction in CORNERS:
        reach = 2**steps - 1 + abs(rest)

        def near(f2: int, fraction=fraction, reach=reach) -> int:
            """Return an F1 that lies about a value of the code."""
            v = rng.randint(-reach, reach) << fraction
            f2 = max(f2, 1)
            return {
                "multiply": int(Fraction(v, f2)),
                "divide": v * f2,
                "divide_root": int(v * f2**0.5),
            }[function]

        pairs = []
        for k in range(24):
            ends = [-second, second, 1, 0, second - 1]
            f2s = [ends[k] if k < 5 else rng.randint(1, second) for _ in range(1 if shared else 3)]
            if function == "multiply" and k % 2:
                f2s = [-f2 for f2 in f2s]
            f1s = [near(f2) + rng.randint(-1, 1) for f2 in (f2s * 3)[:3]]
            if k < 3:
                f1s = [(first, -first, 0), (0, 1, -1), (-first, first - 1, 1)][k]
            pairs.append(([max(-first, min(first, f1)) for f1 in f1s], f2s))

        check(
            play,
            function,
            pairs,
            steps + rng.choice([0, 0, 3]),
            lanes=3,
            rest=rest,
            steps=steps,
            first=first,
            second=second,
            fraction=fraction,
            shared=shared,
            kind=kind,
        )


def test_a_tie_of_negative_numbers_is_no_event(play):
    settings = dict(rest=-1, steps=2, first=9, second=4, fraction=0, shared=True, kind="dsp")

    _, seen, _ = played(play, "divide_root", [([-2, -2, -1], [4])], lanes=3, **settings)

    # v = -1 is -2/√4: no event, to -3, which lies below; -1/2 lies above -1
    assert [0b10, 0b10, 0b01] == next(w["train"] for w in seen if w["train_valid"])


@pytest.mark.parametrize("function", NEURONS)
def test_reset_in_the_middle_leaves_a_clean_state(play, function):
    dut = make(
        function,
        lanes=1,
        rest=-1,
        steps=4,
        first=99,
        second=99,
        fraction=0,
        shared=True,
        kind="dsp",
    )
    word = {"valid": 1, "first": [40], "second": [16], "reset": 0}
    quiet = {"valid": 0}
    reset = {"valid": 0, "reset": 1}
    stimuli = [word, *[quiet] * (dut.LOAD + 1), reset, word, *[quiet] * (dut.LATENCY + 2)]

    seen = play(dut, stimuli, ("train_valid", "train"))

    trains = [(c, w["train"][0]) for c, w in enumerate(seen) if w["train_valid"]]
    _, events = fire(function, -1, 4, 40, 16, 0, "down")
    expected = sum(event << t for t, event in enumerate(events))
    assert [(dut.LOAD + 3 + dut.LATENCY, expected)] == trains


def test_operands_that_are_always_zero_are_refused():
    with pytest.raises(ValueError, match="operands must reach 1 at least, not 0 and 4"):
        PairNumbers(rest=0, steps=2, first=0, second=4, fraction=0, kind="dsp")


PLANTED = {  # function, a change of the source that makes other neurons, ties where not down
    "a tie of negative numbers that is none": ("divide_root", ("~negative if", "1 if"), "up"),
    "a tie of quotients that is none": ("divide", ("~first if", "-first if"), "up"),
    "a square of v that starts wrong": ("divide_root", ("rest * rest", "rest * rest + 1")),
    "a step of the square that is too short": ("divide_root", ("times(quarter, 3)", "quarter")),
    "a tie of negative numbers that fires": ("divide_root", ("else negative)", "else 0)")),
    "a direction that does not turn": ("divide_root", ("v_negative & ~r_negative", "v_negative")),
    "a divisor of 0": ("divide", ("Mux(above, second[:-1], 1)", "second[:-1]")),
    "a quotient that starts at 0": ("divide", ("else whole - first", "else -first")),
    "a sign that is lost": ("multiply", ("Mux(second[-1], -self.first", "Mux(0, -self.first")),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_seen(play, mutated, monkeypatch, name):
    function, change, *ties = PLANTED[name]
    wrong = getattr(mutated(fire_pair, change), NEURONS[function].__name__)
    monkeypatch.setitem(NEURONS, function, wrong)

    with pytest.raises(AssertionError):
        test_every_pair_of_small_operands_fires_as_the_equations_say(
            play, function, -1, 3, 0, *ties
        )
