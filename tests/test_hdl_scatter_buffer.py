"""The scattering buffer: every train in the slot where it is read, whatever stalls."""

import random
from itertools import pairwise, product

import pytest
from amaranth.sim import Simulator

from signfire.hdl.scatter_buffer import ScatterBuffer

# (tokens, channels, simd): a sample comes token after token and is read channel after channel, simd
# tokens a word; then steps, unroll, lanes, banks
SHAPES = [
    (6, 5, 3, 3, 1, 1, 2),
    (6, 5, 6, 4, 2, 5, 2),
    (4, 3, 1, 2, 2, 3, 3),
    (1, 2, 1, 1, 1, 1, 1),
    (8, 4, 2, 4, 4, 2, 1),
]


def turning(tokens: int, channels: int, simd: int) -> dict:
    """Loops of a sheet that is read the other way round."""
    words = tokens // simd
    return {
        "counts": [channels, simd, words],
        "strides": [(words, 0), (0, 1), (1, 0)],
        "depth": channels * words,
        "bank": channels * words,
        "simd": simd,
    }


class Bench:
    """A buffer between a source that stalls and a reader that takes its time."""

    def __init__(self, shape: tuple, count: int, stalls: float, slow: int, **changes) -> None:
        tokens, channels, simd, steps, unroll, lanes, banks = shape
        self.shape, self.stalls, self.slow = shape, stalls, slow
        numbers = turning(tokens, channels, simd) | changes
        numbers["depth"] *= banks
        self.dut = ScatterBuffer(**numbers, banks=banks, steps=steps, unroll=unroll, lanes=lanes)
        rng = random.Random(repr(shape))
        self.samples = [
            [[rng.getrandbits(steps) for _ in range(channels)] for _ in range(tokens)]
            for _ in range(count)
        ]
        self.read: list[list[list[int]]] = []
        self.taken: list[int] = []  # cycle of every word
        self.full: list[int] = []  # and of every sample that was there
        self.released: list[int] = []

    def run(self) -> "Bench":
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._reader)
        simulator.add_testbench(self._source, background=True)
        simulator.add_testbench(self._watch, background=True)
        simulator.run()
        return self

    async def _watch(self, ctx):
        dut, cycle, held = self.dut, 0, 0
        while True:
            if ctx.get(dut.trains.valid & dut.trains.ready):
                self.taken.append(cycle)
            if ctx.get(dut.release):
                self.released.append(cycle)
            now = ctx.get(dut.held) + len([c for c in self.released if c < cycle])
            self.full += [cycle] * (now - held)
            held = now
            await ctx.tick()
            cycle += 1

    async def _source(self, ctx):
        rng, dut = random.Random(1), self.dut
        for sample in self.samples:
            trains = [train for token in sample for train in token]
            for i in range(0, len(trains), dut.lanes):
                while rng.random() < self.stalls:
                    ctx.set(dut.trains.valid, 0)
                    await ctx.tick()
                ctx.set(dut.trains.valid, 1)
                ctx.set(dut.trains.payload, trains[i : i + dut.lanes])
                while not ctx.get(dut.trains.ready):
                    await ctx.tick()
                await ctx.tick()
        ctx.set(dut.trains.valid, 0)

    async def _reader(self, ctx):
        tokens, channels, simd, steps, unroll, _, banks = self.shape
        dut = self.dut
        for number in range(len(self.samples)):
            while ctx.get(dut.held) == 0:
                await ctx.tick()
            for _ in range(self.slow):
                await ctx.tick()
            found = [[0] * channels for _ in range(tokens)]
            words = tokens // simd
            last = (channels - 1, words - 1, steps // unroll - 1)
            for c, w, p in product(range(channels), range(words), range(steps // unroll)):
                address = number % banks * channels * words + c * words + w
                ctx.set(dut.address, address)
                ctx.set(dut.plane, p)
                ctx.set(dut.release, (c, w, p) == last)
                await ctx.tick()
                ctx.set(dut.release, 0)
                for slot in range(simd):
                    for u in range(unroll):
                        bit = ctx.get(dut.events[u]) >> slot & 1
                        found[w * simd + slot][c] |= bit << (p * unroll + u)
            self.read.append(found)


@pytest.mark.parametrize("stalls", [0.0, 0.6])
@pytest.mark.parametrize("slow", [0, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_train_is_read_where_it_belongs(shape, slow, stalls):
    bench = Bench(shape, 5, stalls, slow).run()

    assert bench.samples == bench.read


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sample_stands_in_the_cycle_after_its_last_train(shape):
    tokens, channels, _, _, _, lanes, _ = shape
    bench = Bench(shape, 4, 0.0, 90).run()
    words = tokens * channels // lanes

    assert bench.taken[words - 1] + 1 + lanes == bench.full[0]
    assert [lanes] * (words - 1) == [b - a for a, b in pairwise(bench.taken[:words])]


def test_a_stride_that_is_off_by_one_is_seen():
    shape = SHAPES[0]
    wrong = [(1, 0), (0, 1), (1, 0)]

    bench = Bench(shape, 2, 0.0, 0, strides=wrong).run()

    assert bench.samples != bench.read


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"unroll": 2}, "unroll must divide 3, not 2"),
        ({"lanes": 4}, "lanes must divide 30, not 4"),
        ({"depth": 9}, "trains go to address 19 and slot 2 of a memory of 9 words of 3 slots"),
        ({"simd": 2}, "trains go to address 19 and slot 2 of a memory of 20 words of 2 slots"),
    ],
)
def test_a_buffer_that_does_not_hold_its_trains_is_refused(wrong, reason):
    numbers = turning(6, 5, 3) | {"depth": 20, "banks": 2, "steps": 3, "unroll": 1, "lanes": 1}

    with pytest.raises(ValueError, match=reason):
        ScatterBuffer(**numbers | wrong)
