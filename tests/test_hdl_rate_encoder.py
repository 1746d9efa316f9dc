"""The rate encoder against a loop that says the equations, every raw value, every cycle."""

import random

import pytest
from amaranth.sim import Simulator

from signfire.hdl.rate_encoder import RateEncoder, SteadyNeurons

FORMATS = {  # low, high, threshold, T
    "pixels": (0, 255, 255, 16),
    "one bit": (0, 1, 1, 3),
    "one step": (0, 5, 5, 1),
    "signed": (-128, 127, 255, 9),
    "positive only": (3, 12, 9, 7),
    "a threshold beyond the range": (0, 9, 14, 5),
}


def fire(current: int, theta: int, steps: int) -> tuple[list[int], list[int]]:
    """Return events s(t) and membranes m(0)..m(T-1)."""
    m, events, membranes = 0, [], []
    for _ in range(steps):
        membranes.append(m)
        events.append(int(m + current >= theta))
        m += current - theta * events[-1]
    return events, membranes


def encoder(name: str, lanes: int) -> RateEncoder:
    low, high, threshold, steps = FORMATS[name]
    return RateEncoder(lanes=lanes, low=low, high=high, threshold=threshold, steps=steps)


def run(dut: RateEncoder, values: list[int], stalls: float):
    """Return what was seen: trains, (membrane, event) of every step, cycles of both ends."""
    trains, fired, taken, left = [], [], [], []
    words = [values[i : i + dut.lanes] for i in range(0, len(values), dut.lanes)]

    async def source(ctx):
        stall = random.Random(1)
        for word in words:
            while stall.random() < stalls:
                ctx.set(dut.samples.valid, 0)
                await ctx.tick()
            ctx.set(dut.samples.valid, 1)
            ctx.set(dut.samples.payload, word)
            await ctx.tick().until(dut.samples.ready)
        ctx.set(dut.samples.valid, 0)

    async def sink(ctx):
        stall, cycle = random.Random(2), 0
        while len(trains) < len(words):
            ready = stall.random() >= stalls
            ctx.set(dut.trains.ready, ready)
            if ctx.get(dut.samples.valid) and ctx.get(dut.samples.ready):
                taken.append(cycle)
            if ctx.get(dut.firing) and (ready or not ctx.get(dut.trains.valid)):
                membranes = [int(ctx.get(dut.membrane[lane])) for lane in range(dut.lanes)]
                fired.append((membranes, int(ctx.get(dut.event))))
            if ctx.get(dut.trains.valid) and ready:
                left.append(cycle)
                trains.append([int(ctx.get(dut.trains.payload[lane])) for lane in range(dut.lanes)])
            await ctx.tick()
            cycle += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source, background=True)
    simulator.add_testbench(sink)
    simulator.run()
    return trains, fired, taken, left


@pytest.mark.parametrize("stalls", [0.0, 0.5])
@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_every_raw_value_gives_its_train(name, lanes, stalls):
    low, high, theta, steps = FORMATS[name]
    values = list(range(low, high + 1)) if lanes == 1 else [low, high] * 2
    wanted = [fire(p - low, theta, steps) for p in values]

    trains, fired, _, _ = run(encoder(name, lanes), values, stalls)

    words = [wanted[i : i + lanes] for i in range(0, len(wanted), lanes)]
    assert [
        [sum(event << t for t, event in enumerate(events)) for events, _ in word] for word in words
    ] == trains
    assert [
        (
            [membranes[t] for _, membranes in word],
            sum(events[t] << lane for lane, (events, _) in enumerate(word)),
        )
        for word in words
        for t in range(steps)
    ] == fired


def test_train_by_hand():
    # 3 of 4: 3; 6 >= 4: 2; 5 >= 4: 1; 4 >= 4: 0
    assert ([0, 1, 1, 1], [0, 3, 2, 1]) == fire(3, 4, 4)


@pytest.mark.parametrize("name", FORMATS)
def test_a_word_every_t_cycles_after_the_latency(name):
    dut = encoder(name, 1)
    steps = FORMATS[name][3]

    _, _, taken, left = run(dut, [FORMATS[name][1]] * 6, stalls=0.0)

    assert [dut.LATENCY + i * steps for i in range(6)] == left
    assert [0, *(1 + i * steps for i in range(5))] == taken


def test_reset_drops_the_words_inside(play):
    dut = RateEncoder(lanes=1, low=0, high=4, threshold=4, steps=4)
    begun = [{"samples.valid": 1, "samples.payload": [4], "trains.ready": 1}] * 4
    clean = [{"reset": 0, "samples.valid": 1, "samples.payload": [3]}]
    clean += [{"samples.valid": 0}] * dut.LATENCY

    seen = play(
        dut, [*begun, {"reset": 1, "samples.valid": 0}, *clean], ["trains.valid", "trains.payload"]
    )

    after = seen[len(begun) + 1 :]
    assert [0] * dut.LATENCY + [1] == [s["trains.valid"] for s in after]
    assert [0b1110] == after[-1]["trains.payload"]


def test_threshold_below_the_range_is_refused():
    with pytest.raises(ValueError, match="must be at least the range of the samples, 255, not 254"):
        RateEncoder(lanes=1, low=-128, high=127, threshold=254, steps=4)
    with pytest.raises(ValueError, match="a threshold must be at least 1, not 0"):
        SteadyNeurons(lanes=1, threshold=0, steps=4)
