"""Sums over pixels: every sum of every sample, and the cycles that the docstring promises."""

import random

import pytest
from amaranth.sim import Simulator

from signfire.hdl.sum_buffer import PlaneSums
from signfire.hdl.words import sum_bits, sum_pace

SHAPES = [  # words, pixels, lanes, steps, sum_steps
    (1, 2, 1, 1, 2),
    (1, 3, 4, 3, 5),
    (2, 5, 2, 2, 6),
    (3, 2, 1, 4, 5),
    (4, 4, 3, 1, 3),
]
SAMPLES = 3


@pytest.mark.parametrize(
    ("pixels", "steps", "bits"), [(2, 1, 2), (64, 5, 11), (125, 5, 12), (4, 1, 3), (16, 4, 8)]
)
def test_a_sum_has_the_bits_of_all_pixels_greatest(pixels, steps, bits):
    assert sum_bits(pixels=pixels, steps=steps) == bits
    assert 2 ** (bits - 1) <= pixels * (2**steps - 1) < 2**bits


@pytest.mark.parametrize(("words", "pace"), [(1, 3), (2, 2), (3, 1), (64, 1)])
def test_a_sum_is_stored_before_it_is_wanted(words, pace):
    assert sum_pace(words) == pace
    assert words * pace >= 3


def train_of(value: int, steps: int) -> int:
    """Return a number as a train, the first step its highest bit, in bit 0 of the word."""
    return int(f"{value:0{steps}b}"[::-1], 2)


class Bench:
    """Sums between a source and a sink that both stall at random."""

    def __init__(self, shape: tuple, stalls: tuple[float, float]) -> None:
        self.words, self.pixels, self.lanes, self.steps, self.sum_steps = shape
        self.dut = PlaneSums(
            words=self.words,
            pixels=self.pixels,
            lanes=self.lanes,
            steps=self.steps,
            sum_steps=self.sum_steps,
        )
        rng, self.stalls = random.Random(repr(shape)), stalls
        self.values = [  # by sample, pixel and channel; the last sample is full everywhere
            [
                [
                    2**self.steps - 1 if sample == SAMPLES - 1 else rng.randrange(2**self.steps)
                    for _ in range(self.words * self.lanes)
                ]
                for _ in range(self.pixels)
            ]
            for sample in range(SAMPLES)
        ]
        self.taken: list[int] = []
        self.offered: list[int] = []  # cycle from which the source shows each word
        self.left: list[tuple[int, list[int]]] = []

    def run(self) -> "Bench":
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._sink)
        simulator.add_testbench(self._source, background=True)
        simulator.run()
        return self

    async def _source(self, ctx):
        cycle, rng = 0, random.Random(1)
        channels = [c for sample in self.values for pixel in sample for c in pixel]
        for first in range(0, len(channels), self.lanes):
            while rng.random() < self.stalls[0]:
                ctx.set(self.dut.trains.valid, 0)
                await ctx.tick()
                cycle += 1
            self.offered.append(cycle)
            word = [train_of(c, self.steps) for c in channels[first : first + self.lanes]]
            ctx.set(self.dut.trains.valid, 1)
            ctx.set(self.dut.trains.payload, word)
            while not ctx.get(self.dut.trains.ready):
                await ctx.tick()
                cycle += 1
            self.taken.append(cycle)
            await ctx.tick()
            cycle += 1
        ctx.set(self.dut.trains.valid, 0)

    async def _sink(self, ctx):
        cycle, rng = 0, random.Random(2)
        while len(self.left) < SAMPLES * self.words:
            ctx.set(self.dut.sums.ready, rng.random() >= self.stalls[1])
            if ctx.get(self.dut.sums.valid & self.dut.sums.ready):
                payload = ctx.get(self.dut.sums.payload)
                self.left.append((cycle, [payload[k] for k in range(self.lanes)]))
            await ctx.tick()
            cycle += 1
        ctx.set(self.dut.sums.ready, 0)

    def sums(self) -> list[list[int]]:
        """Words of sums, as they must leave."""
        found = []
        for sample in self.values:
            whole = [train_of(sum(pixels), self.sum_steps) for pixels in zip(*sample, strict=True)]
            found += [whole[k : k + self.lanes] for k in range(0, len(whole), self.lanes)]
        return found


@pytest.mark.parametrize("stalls", [(0, 0), (0.4, 0.4), (0, 0.6)])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_sum_leaves_once_and_words_keep_their_pace(shape, stalls):
    bench = Bench(shape, stalls).run()

    assert [word for _, word in bench.left] == bench.sums()
    pace, each = sum_pace(bench.words), bench.pixels * bench.words
    free, leaving = 0, iter(bench.left)
    for k, (offered, taken) in enumerate(zip(bench.offered, bench.taken, strict=True)):
        assert taken == max(offered, free)
        free = taken + pace
        if k % each >= each - bench.words:  # of the last pixel
            left, _ = next(leaving)
            assert left > taken
            free = max(free, left)
    if not stalls[1]:
        last = [t for k, t in enumerate(bench.taken) if k % each >= each - bench.words]
        assert [cycle for cycle, _ in bench.left] == [taken + 1 for taken in last]


def test_trains_that_sums_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"^sums of 5 bits do not fit trains of 4 steps$"):
        PlaneSums(words=1, pixels=3, lanes=1, steps=3, sum_steps=4)
