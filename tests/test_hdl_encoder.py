"""Encoders against the golden model's input population, every cycle."""

import random
from fractions import Fraction

import pytest
from amaranth.sim import Simulator

from signfire.hdl.encoder import Encoder
from signfire.hdl.level_encoder import LevelEncoder, level_of
from signfire.hdl.requantise import target_shift

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


def run(
    dut: Encoder | LevelEncoder, words: list[list[int]], stalls: float
) -> tuple[list, list, list]:
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


# -- trains that stand at once

BINARY = {name: (form, "down") for name, form in FORMATS.items() if form[-1][-1] == 1} | {
    "4-bit pixels, ties to even": (FORMATS["4-bit pixels"], "even"),
    "4-bit pixels, ties up": (FORMATS["4-bit pixels"], "up"),
    "ties to even levels": RAISED["ties to even levels"],
    "clamped at both ends": ((-40, 40, 1, 1, 7, (4, 2, 1)), "down"),
    "clamped above": ((0, 40, 3, 2, 7, (4, 2, 1)), "down"),
}


def level_encoder(name: str, lanes: int = 1) -> LevelEncoder:
    (low, high, multiplier, shift, rest, eta), ties = BINARY[name]
    return LevelEncoder(
        lanes=lanes,
        low=low,
        high=high,
        multiplier=multiplier,
        shift=shift,
        rest=rest,
        steps=len(eta),
        ties=ties,
    )


def test_levels_by_hand():
    # levels 0, 2, 4, 6: 3 lies between 2 and 4, and the lower one is taken
    assert [0, 0, 1, 1, 2, 3, 4] == [level_of(f, rest=3, steps=2) for f in (0, 1, 2, 3, 4, 6, 8)]
    assert -1 == level_of(-1, rest=3, steps=2)


@pytest.mark.parametrize("name", BINARY)
def test_every_raw_value_gives_the_train_of_a_neuron(name):
    (low, high, multiplier, shift, rest, eta), ties = BINARY[name]
    words = [[p] for p in range(low, high + 1)]

    trains, taken, left = run(level_encoder(name), words, 0.0)

    assert [[train(p, multiplier, shift, rest, eta, ties)] for (p,) in words] == trains
    # one word a cycle, which stands a cycle later
    assert taken == list(range(len(words)))
    assert left == [cycle + LevelEncoder.LATENCY for cycle in taken]


def test_lanes_keep_apart_and_stalls_lose_no_word():
    words = [[p, 255 - p] for p in range(0, 256, 15)]
    numbers = FORMATS["4-bit pixels"][2:]

    trains, taken, left = run(level_encoder("4-bit pixels", lanes=2), words, 0.5)

    assert [[train(p, *numbers) for p in word] for word in words] == trains
    assert all(b > a for a, b in zip(taken, left, strict=True))
    # the next word is taken when the one before leaves
    assert all(later >= out for later, out in zip(taken[1:], left[:-1], strict=True))


def test_the_reach_of_targets_says_whether_levels_are_clamped():
    both = level_encoder("clamped at both ends")

    assert both.least == (target_shift(-40, 1)) >> 1 < 0
    assert both.greatest == 10 > 2**3 - 1
    plain = level_encoder("2-bit pixels")
    assert plain.least >= 0 and plain.greatest <= 3
