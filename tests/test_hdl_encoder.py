"""The encoder against the golden model's input population, every cycle."""

import random
from fractions import Fraction

import pytest
from amaranth.sim import Simulator

from signfire.hdl.encoder import Encoder

FORMATS = {  # low, high, multiplier, shift, rest, eta
    "2-bit pixels": (0, 255, 3, 7, 3, (2, 1)),
    "one bit": (0, 1, 2, 1, 1, (1,)),
    "4-bit pixels": (0, 255, 15, 8, 15, (8, 4, 2, 1)),
    "signed": (-128, 127, 4101, 12, 3, (100, 80, 60, 40)),
    "negative only": (-9, -2, 5, 2, 0, (4, 2, 1)),
    "positive only": (3, 12, 7, 3, 7, (4, 2, 1)),
}
RAISED = {  # the same with another rule for ties
    "ties up": ((-16, 15, 1, 2, 0, (4, 3, 2)), "up"),
    "ties to even levels": ((-16, 15, 2, 3, 3, (4, 2, 1)), "even"),
}


def train(p: int, multiplier: int, shift: int, rest: int, eta, ties: str = "down") -> int:
    """Return the train that fires on f = p·multiplier / 2^shift, bit t is e(t)."""
    f, v, bits = Fraction(p * multiplier, 2**shift), rest, 0
    for t, step in enumerate(eta):
        event = v < f or (v == f and (ties == "up" or (ties == "even" and f % 4 == 3)))
        bits |= event << t
        v = v + step if event else v - step
    return bits


def test_model_by_hand():
    # 3·128/128 = 3 is a tie with v0 = 3: no event, then 1 < 3: an event, the value is 2
    assert 0b10 == train(128, 3, 7, 3, (2, 1))
    # 3·129/128 rounds up to 4: an event, then 5 >= 4: the value is 4
    assert 0b01 == train(129, 3, 7, 3, (2, 1))


def run(dut: Encoder, words: list[list[int]], stalls: float) -> tuple[list, list, list]:
    """Return the trains, and the cycles in which words were taken and trains left."""
    taken, left, trains = [], [], []

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
            if ctx.get(dut.trains.valid) and ready:
                left.append(cycle)
                payload = ctx.get(dut.trains.payload)
                trains.append([payload[lane] for lane in range(dut.lanes)])
            await ctx.tick()
            cycle += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source, background=True)
    simulator.add_testbench(sink)
    simulator.run()
    return trains, taken, left


def encoder(name: str, lanes: int) -> Encoder:
    low, high, multiplier, shift, rest, eta = FORMATS[name]
    return Encoder(
        lanes=lanes, low=low, high=high, multiplier=multiplier, shift=shift, rest=rest, eta=eta
    )


@pytest.mark.parametrize("stalls", [0.0, 0.5])
@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_every_raw_value_gives_its_train(name, lanes, stalls):
    low, high, multiplier, shift, rest, eta = FORMATS[name]
    rng = random.Random(lanes)
    values = [low, high, *(rng.randint(low, high) for _ in range(20 * lanes - 2))]
    words = [values[i : i + lanes] for i in range(0, len(values), lanes)]

    trains, _, _ = run(encoder(name, lanes), words, stalls)

    assert [[train(p, multiplier, shift, rest, eta) for p in w] for w in words] == trains


@pytest.mark.parametrize("name", RAISED)
def test_ties_of_raw_values_go_as_the_rule_says(name):
    (low, high, multiplier, shift, rest, eta), ties = RAISED[name]
    dut = Encoder(
        lanes=1,
        low=low,
        high=high,
        multiplier=multiplier,
        shift=shift,
        rest=rest,
        eta=eta,
        ties=ties,
    )
    words = [[p] for p in range(low, high + 1)]

    trains, _, _ = run(dut, words, 0.0)

    plain = [[train(p, multiplier, shift, rest, eta)] for (p,) in words]
    assert [[train(p, multiplier, shift, rest, eta, ties)] for (p,) in words] == trains != plain


@pytest.mark.parametrize("name", FORMATS)
def test_a_word_every_t_cycles_after_the_latency(name):
    dut = encoder(name, 1)
    steps = len(dut.eta)

    _, taken, left = run(dut, [[FORMATS[name][0]]] * 6, stalls=0.0)

    assert 0 == taken[0]
    assert [dut.LATENCY + i * steps for i in range(6)] == left
    # one word waits in the register of targets, so the next is taken as the one before fires
    assert [0, *(1 + i * steps for i in range(5))] == taken


def test_one_word_is_taken_while_the_neurons_fire(play):
    dut = encoder("4-bit pixels", 1)
    word = {"samples.valid": 1, "samples.payload": [9], "trains.ready": 1}
    pause = {"samples.valid": 0}

    seen = play(dut, [word, pause, pause, word, word, word, word], ["samples.ready"])

    # the first word fires in cycles 2 to 5; the next waits from cycle 3 on and is taken in 5
    assert [1, 1, 1, 1, 0, 1, 0] == [s["samples.ready"] for s in seen]


def test_reset_drops_the_words_inside(play):
    dut = encoder("4-bit pixels", 1)
    begun = [{"samples.valid": 1, "samples.payload": [255], "trains.ready": 1}] * 4
    clean = [{"reset": 0, "samples.valid": 1, "samples.payload": [40]}]
    clean += [{"samples.valid": 0}] * dut.LATENCY

    seen = play(
        dut, [*begun, {"reset": 1, "samples.valid": 0}, *clean], ["trains.valid", "trains.payload"]
    )

    after = seen[len(begun) + 1 :]
    assert [0] * dut.LATENCY + [1] == [s["trains.valid"] for s in after]
    assert [train(40, 15, 8, 15, (8, 4, 2, 1))] == after[-1]["trains.payload"]
