"""Neurons against the dynamics of DESIGN section 1 in plain Python, every cycle."""

import random

import pytest
from amaranth.sim import Simulator

from signfire.hdl.fire import (
    NeuronArray,
    OverlappedNeurons,
    StepCounter,
    residual_range,
    signed_width,
)

CODES = {  # eta, rest
    "binary silent": ((8, 4, 2, 1), 15),
    "binary offset": ((4, 2, 1), 3),
    "binary centred": ((4, 2, 1), 0),
    "constant": ((1, 1, 1, 1, 1), 0),
    "exponential": ((1024, 973, 924, 878, 834, 792), 0),
    "growing": ((1, 2, 5), 1),
    "one step": ((1,), 1),
    "one large step": ((9,), -4),
}
TIES = [  # eta, rest, target -> events, v(T), by hand
    ((4, 2, 1), 7, 0, (0, 0, 0), 0),  # 7 3 1 0: a neuron at rest sends nothing
    ((4, 2, 1), 7, 7, (0, 1, 1), 6),  # 7>=7 -> 3 < 7 -> 5 < 7 -> 6
    ((4, 2, 1), 7, 8, (1, 0, 0), 8),  # 7 < 8 -> 11 -> 9 -> 8
    ((4, 2, 1), 7, 14, (1, 1, 1), 14),
    ((4, 2, 1), 7, 99, (1, 1, 1), 14),  # wider than the code: all events
    ((4, 2, 1), 0, -1, (0, 1, 1), -1),  # 0 -> -4 -> -2 -> -1
    ((1,), 0, 0, (0,), -1),  # a tie is not an event
]


def fire(eta, rest: int, targets) -> tuple[list[int], list[int]]:
    """Return events e(t) and membranes v(0)..v(T) for the target of each step."""
    v, events, membranes = rest, [], [rest]
    for step, target in zip(eta, targets, strict=True):
        event = v < target
        v = v + step if event else v - step
        events.append(int(event))
        membranes.append(v)
    return events, membranes


def word(events: list[int]) -> int:
    return sum(event << t for t, event in enumerate(events))


@pytest.mark.parametrize(("eta", "rest", "target", "events", "value"), TIES)
def test_model_by_hand(eta, rest, target, events, value):
    fired, membranes = fire(eta, rest, [target] * len(eta))

    assert (events, value) == (tuple(fired), membranes[-1])


def test_widths_by_hand():
    assert [1, 2, 4, 4, 5] == [
        signed_width(*r) for r in ((0, 0), (-1, 1), (-8, 7), (0, 7), (-9, 0))
    ]
    # v - target from 7 - 20 to 7 - 0; v - target from 0 - 1 to 0 + 0, but a step of 4 overshoots
    assert (-13, 7) == residual_range(rest=7, eta=(4, 2, 1), low=0, high=20)
    assert (-4, 4) == residual_range(rest=0, eta=(4, 2, 1), low=0, high=1)


# -- step counter ------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_step_size_is_that_of_the_running_step(play, code):
    eta, _ = CODES[code]
    rng = random.Random(len(eta))
    proceeds = [0] + [rng.randint(0, 1) for _ in range(60)]

    seen = play(StepCounter(eta=eta), [{"proceed": p} for p in proceeds], ["step_size", "last"])

    steps = [sum(proceeds[:cycle]) % len(eta) for cycle in range(len(proceeds))]
    # the ROM answers for the first time in cycle 1
    assert [eta[step] for step in steps[1:]] == [s["step_size"] for s in seen[1:]]
    assert [int(step == len(eta) - 1) for step in steps] == [s["last"] for s in seen]


# -- settled -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("eta", "rest", "target", "events", "value"), TIES)
def test_settled_corners_are_exact(play, eta, rest, target, events, value):
    dut = NeuronArray(lanes=1, rest=rest, eta=eta, target_low=min(0, target), target_high=99)
    stimuli = [{"targets.valid": 1, "targets.payload": [target], "trains.ready": 1}]
    stimuli += [{"targets.valid": 0}] * len(eta)

    seen = play(dut, stimuli, ["trains.valid", "trains.payload", "firing", "membrane"])

    assert [0] * len(eta) + [1] == [s["trains.valid"] for s in seen]
    assert [word(events)] == seen[-1]["trains.payload"]
    _, membranes = fire(eta, rest, [target] * len(eta))
    assert membranes[:-1] == [s["membrane"][0] for s in seen if s["firing"]]
    assert value == membranes[-1]


@pytest.mark.parametrize("stalls", [0.0, 0.4])
@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("code", CODES)
def test_settled_trains_and_membranes_are_right_on_their_cycle(code, lanes, stalls):
    eta, rest = CODES[code]
    rng = random.Random(lanes)
    reach = sum(eta)
    low, high = rest - 2 * reach, rest + 3 * reach
    groups = [
        [rng.choice([low, high, rest, rng.randint(low, high)]) for _ in range(lanes)]
        for _ in range(12)
    ]
    dut = NeuronArray(lanes=lanes, rest=rest, eta=eta, target_low=low, target_high=high)
    taken, left, trains, fired = [], [], [], []

    async def source(ctx):
        stall = random.Random(1)
        for group in groups:
            while stall.random() < stalls:
                ctx.set(dut.targets.valid, 0)
                await ctx.tick()
            ctx.set(dut.targets.valid, 1)
            ctx.set(dut.targets.payload, group)
            await ctx.tick().until(dut.targets.ready)
        ctx.set(dut.targets.valid, 0)

    async def sink(ctx):
        stall, cycle = random.Random(2), 0
        while len(trains) < len(groups):
            ready = stall.random() >= stalls
            ctx.set(dut.trains.ready, ready)
            if ctx.get(dut.targets.valid) and ctx.get(dut.targets.ready):
                taken.append(cycle)
            if ctx.get(dut.firing) and (ready or not ctx.get(dut.trains.valid)):
                membrane, event = ctx.get(dut.membrane), ctx.get(dut.event)
                fired.append([(membrane[i], event >> i & 1) for i in range(lanes)])
            if ctx.get(dut.trains.valid) and ready:
                left.append(cycle)
                trains.append([ctx.get(dut.trains.payload)[i] for i in range(lanes)])
            await ctx.tick()
            cycle += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source, background=True)
    simulator.add_testbench(sink)
    simulator.run()

    expected = [[fire(eta, rest, [target] * len(eta)) for target in group] for group in groups]
    assert [[word(events) for events, _ in group] for group in expected] == trains
    assert [
        [(membranes[t], events[t]) for events, membranes in group]
        for group in expected
        for t in range(len(eta))
    ] == fired
    if stalls:
        assert all(b - a >= dut.LATENCY for a, b in zip(taken, left, strict=True))
    else:
        steps = len(eta)
        assert [steps * (i + 1) for i in range(len(groups))] == [c - taken[0] for c in left]
        assert [steps * i for i in range(len(groups))] == [
            c - taken[0] for c in taken[: len(groups)]
        ]


def test_settled_train_is_held_until_it_is_taken(play):
    dut = NeuronArray(lanes=1, rest=7, eta=(4, 2, 1), target_low=0, target_high=20)
    stimuli = [{"targets.valid": 1, "targets.payload": [9], "trains.ready": 0}]
    stimuli += [{"targets.payload": [0]}] * 6 + [{"trains.ready": 1}] + [{}] * 3

    seen = play(dut, stimuli, ["targets.ready", "trains.valid", "trains.payload"])

    # 7 < 9 -> 11 -> 9 -> 8: the tie at 9 is no event
    assert [[0b001]] * 5 == [s["trains.payload"] for s in seen[3:8]]
    assert [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1] == [s["targets.ready"] for s in seen]
    assert [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1] == [s["trains.valid"] for s in seen]


def test_reset_while_firing_leaves_a_clean_state(play):
    dut = NeuronArray(lanes=1, rest=15, eta=(8, 4, 2, 1), target_low=0, target_high=40)
    begun = [{"targets.valid": 1, "targets.payload": [30], "trains.ready": 1}] + [{}] * 2
    clean = [{"reset": 0, "targets.valid": 1, "targets.payload": [11]}] + [{}] * 4

    seen = play(
        dut, [*begun, {"reset": 1, "targets.valid": 0}, *clean], ["trains.valid", "trains.payload"]
    )

    events, _ = fire(dut.eta, 15, [11] * 4)
    assert [0, 0, 0, 0, 1] == [s["trains.valid"] for s in seen[4:]]
    assert [word(events)] == seen[-1]["trains.payload"]


# -- overlapped --------------------------------------------------------------------------------


@pytest.mark.parametrize("spare", [0, 3])
@pytest.mark.parametrize(("lanes", "groups"), [(1, 1), (2, 1), (1, 3), (3, 4), (1, 8)])
@pytest.mark.parametrize("code", CODES)
def test_overlapped_trains_and_membranes_are_right_on_their_cycle(play, code, lanes, groups, spare):
    eta, rest = CODES[code]
    rng = random.Random(groups)
    width = signed_width(rest - 3 * sum(eta), rest + 3 * sum(eta))
    limit = 1 << (width - 1)
    pause = max(0, OverlappedNeurons.FEEDBACK - groups) + spare
    quiet = {"train_valid": 0, "firing": 0}
    late = OverlappedNeurons.LATENCY
    # the step sizes stand from cycle 1 on, and valid comes out of a pipeline that is longer
    stimuli, expected = [{"valid": 0}], [quiet] * (late + 1)
    for _ in range(3):
        targets = [
            [[rng.choice([-limit, limit - 1, rest, rng.randint(-limit, limit - 1)]) for _ in eta]]
            for _ in range(lanes * groups)
        ]
        fired = [fire(eta, rest, target[0]) for target in targets]
        for t in range(len(eta)):
            for group in range(groups):
                mine = range(group * lanes, (group + 1) * lanes)
                stimuli.append({"valid": 1, "target": [targets[i][0][t] for i in mine]})
                wanted = {
                    "firing": 1,
                    "membrane": [fired[i][1][t] for i in mine],
                    "event": sum(fired[i][0][t] << lane for lane, i in enumerate(mine)),
                    "train_valid": int(t == len(eta) - 1),
                }
                if t == len(eta) - 1:
                    wanted["train"] = [word(fired[i][0]) for i in mine]
                expected.append(wanted)
            stimuli += [{"valid": 0}] * pause
            expected += [quiet] * pause
    dut = OverlappedNeurons(lanes=lanes, groups=groups, rest=rest, eta=eta, target_width=width)

    seen = play(
        dut,
        stimuli + [{"valid": 0}] * late,
        ["train_valid", "train", "firing", "membrane", "event"],
    )

    for wanted, actual in zip(expected, seen, strict=True):
        assert wanted == {name: actual[name] for name in wanted}


def test_reset_between_steps_starts_from_rest(play):
    eta, rest, target = (4, 2, 1), 3, 5
    dut = OverlappedNeurons(lanes=1, groups=1, rest=rest, eta=eta, target_width=6)
    step = [{"valid": 1, "target": [target]}, {"valid": 0}, {"valid": 0}]

    seen = play(
        dut,
        [{"valid": 0}, *step, *step, {"reset": 1}, {"reset": 0}, *step * 3],
        ["train_valid", "train"],
    )

    events, _ = fire(eta, rest, [target] * 3)
    trains = [s["train"] for s in seen if s["train_valid"]]
    assert [[word(events)]] == trains
