"""Trains of one word, read as they arrive: step by step, with stalls, in the order given."""

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from signfire.hdl.train_register import TrainRegister


@pytest.mark.parametrize(("lanes", "unroll"), [(4, 1), (2, 3), (1, 1), (4, 3)])
def test_every_sample_is_read_step_by_step_while_words_and_readers_wait(lanes, unroll):
    size, steps = 4, 3
    rng = np.random.default_rng(lanes + unroll)
    trains = rng.integers(0, 1 << steps, (6, size))
    words = [word.tolist() for sample in trains for word in sample.reshape(-1, lanes)]
    m = Module()
    m.domains.sync = ClockDomain()
    m.submodules.dut = dut = TrainRegister(size=size, steps=steps, unroll=unroll, lanes=lanes)
    seen: list[list] = [[]]
    waits = 0

    async def testbench(ctx):
        nonlocal waits
        taken, plane = 0, 0
        for _ in range(400):
            offered = taken < len(words) and rng.random() < 0.7
            ctx.set(dut.trains.valid, offered)
            if offered:
                ctx.set(dut.trains.payload, words[taken])
            read = bool(ctx.get(dut.full)) and rng.random() < 0.8
            last = plane == steps // unroll - 1
            ctx.set(dut.take, read)
            ctx.set(dut.release, read and last)
            if read:
                seen[-1] += [int(ctx.get(dut.events[u])) for u in range(unroll)]
                plane = 0 if last else plane + 1
                if last:
                    seen.append([])
            ready = ctx.get(dut.trains.ready)
            waits += bool(offered and not ready)
            taken += bool(offered and ready)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()

    expected = [
        [int(sum((int(train) >> t & 1) << j for j, train in enumerate(sample))) for t in range(3)]
        for sample in trains
    ]
    assert seen == [*expected, []]
    assert waits


def test_a_full_register_takes_a_word_in_the_cycle_of_its_release(play):
    dut = TrainRegister(size=2, steps=2, unroll=1, lanes=2)
    word = {"trains.valid": 1, "trains.payload": [1, 2]}

    seen = play(
        dut,
        [word, {"take": 1}, {"release": 1}, {"take": 0, "release": 0}],
        ["full", "trains.ready", "events"],
    )

    assert [s["full"] for s in seen] == [0, 1, 1, 1]
    assert [s["trains.ready"] for s in seen] == [1, 0, 1, 0]
    assert [s["events"] for s in seen[1:]] == [[0b01], [0b10], [0b01]]


def test_what_does_not_divide_is_refused():
    with pytest.raises(ValueError) as error:
        TrainRegister(size=4, steps=3, unroll=2, lanes=1)

    assert str(error.value) == "unroll must divide 3, not 2"
