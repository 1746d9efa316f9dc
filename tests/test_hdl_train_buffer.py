"""The train buffer: planes of every sample, and the cycles that its docstring promises."""

import random

import pytest
from amaranth.sim import Simulator

from signfire.hdl.train_buffer import TrainBuffer
from signfire.hdl.words import buffer_depth

SHAPES = [  # size, simd, steps, unroll, lanes, banks
    (1, 1, 1, 1, 1, 2),
    (6, 6, 3, 1, 2, 2),
    (6, 3, 4, 2, 1, 2),
    (8, 2, 1, 1, 2, 2),
    (12, 4, 6, 3, 4, 2),
    (10, 5, 5, 5, 1, 2),
    (9, 3, 2, 1, 3, 3),
    (4, 2, 3, 1, 1, 1),
]


def planes(sample: list[int], simd: int, unroll: int, row: int, plane: int) -> list[int]:
    """Events of ``simd`` neurons in each of ``unroll`` steps, as the integers of ``events``."""
    trains = sample[row * simd : (row + 1) * simd]
    return [
        sum((train >> step & 1) << j for j, train in enumerate(trains))
        for step in range(plane * unroll, (plane + 1) * unroll)
    ]


def test_planes_by_hand():
    # neuron 2 fires in step 0 (0b01), neuron 3 in both
    sample = [0b00, 0b10, 0b01, 0b11]

    assert [0b11] == planes(sample, simd=2, unroll=1, row=1, plane=0)
    assert [0b10] == planes(sample, simd=2, unroll=1, row=1, plane=1)
    assert [0b00, 0b10] == planes(sample, simd=2, unroll=2, row=0, plane=0)


class Bench:
    """A buffer between a source and a reader that both stall at random."""

    def __init__(self, shape: tuple, samples: int, stalls: float, slow: int) -> None:
        self.size, self.simd, self.steps, self.unroll, self.lanes, self.banks = shape
        self.rng = random.Random(repr(shape))
        self.stalls, self.slow = stalls, slow
        self.dut = TrainBuffer(
            size=self.size,
            simd=self.simd,
            steps=self.steps,
            unroll=self.unroll,
            lanes=self.lanes,
            banks=self.banks,
        )
        self.samples = [
            [self.rng.getrandbits(self.steps) for _ in range(self.size)] for _ in range(samples)
        ]
        self.taken: list[int] = []  # cycle of every word's transfer
        self.full: list[int] = []  # first cycle in which the reader found each sample
        self.released: list[int] = []
        self.read: list[list[list[int]]] = []

    def run(self) -> "Bench":
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._reader)
        simulator.add_testbench(self._source, background=True)
        simulator.run()
        return self

    async def _source(self, ctx):
        cycle, rng = 0, random.Random(1)
        words = [
            sample[i : i + self.lanes]
            for sample in self.samples
            for i in range(0, self.size, self.lanes)
        ]
        for word in words:
            while rng.random() < self.stalls:
                ctx.set(self.dut.trains.valid, 0)
                await ctx.tick()
                cycle += 1
            ctx.set(self.dut.trains.valid, 1)
            ctx.set(self.dut.trains.payload, word)
            while not ctx.get(self.dut.trains.ready):
                await ctx.tick()
                cycle += 1
            self.taken.append(cycle)
            await ctx.tick()
            cycle += 1
        ctx.set(self.dut.trains.valid, 0)

    async def _reader(self, ctx):
        cycle = 0
        for _ in self.samples:
            while not ctx.get(self.dut.full):
                await ctx.tick()
                cycle += 1
            self.full.append(cycle)
            for _ in range(self.slow):
                await ctx.tick()
                cycle += 1
            sample = []
            order = [(r, p) for p in range(self.dut.planes) for r in range(self.dut.rows)]
            for index, (row, plane) in enumerate(order):
                ctx.set(self.dut.row, row)
                ctx.set(self.dut.plane, plane)
                if index == len(order) - 1:
                    ctx.set(self.dut.release, 1)
                    self.released.append(cycle)
                await ctx.tick()
                cycle += 1
                ctx.set(self.dut.release, 0)
                events = ctx.get(self.dut.events)
                sample.append([events[u] for u in range(self.unroll)])
            self.read.append(sample)

    def promised(self) -> tuple[list[int], list[int]]:
        """Earliest cycle of every word, and the cycle in which each sample is full."""
        word_row = self.simd // self.lanes
        words = self.size // self.lanes
        earliest, full, free = [], [], 0
        for number, taken in enumerate(self.taken):
            earliest.append(free)
            sample, word = divmod(number, words)
            if (word + 1) % word_row:
                continue
            freed = sample - self.banks
            begin = max(taken + 1, self.released[freed] + 1 if freed >= 0 else 0)
            free = begin + self.dut.planes - 1  # in the cycle of the row's last plane
            if word == words - 1:
                full.append(begin + self.dut.planes)
        return earliest, full


@pytest.mark.parametrize(("stalls", "slow"), [(0.0, 0), (0.0, 25), (0.4, 0), (0.4, 9)])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_sample_is_read_as_it_was_written(shape, stalls, slow):
    bench = Bench(shape, samples=5, stalls=stalls, slow=slow).run()

    simd, unroll = bench.simd, bench.unroll
    assert [
        [
            planes(sample, simd, unroll, row, plane)
            for plane in range(bench.dut.planes)
            for row in range(bench.dut.rows)
        ]
        for sample in bench.samples
    ] == bench.read


@pytest.mark.parametrize("slow", [0, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_words_and_samples_move_in_the_promised_cycles(shape, slow):
    bench = Bench(shape, samples=6, stalls=0.0, slow=slow).run()

    earliest, full = bench.promised()
    # a source that never stalls has each word taken as soon as it may be
    after = [0] + [taken + 1 for taken in bench.taken[:-1]]
    assert [max(a, e) for a, e in zip(after, earliest, strict=True)] == bench.taken
    free = [0] + [released + 1 for released in bench.released[:-1]]
    assert [max(f, r) for f, r in zip(full, free, strict=True)] == bench.full


@pytest.mark.parametrize("shape", [(6, 3, 4, 2, 1, 2), (8, 2, 1, 1, 2, 2)])
def test_reset_forgets_what_was_gathered(play, shape):
    size, simd, steps, unroll, lanes, banks = shape
    dut = TrainBuffer(size=size, simd=simd, steps=steps, unroll=unroll, lanes=lanes, banks=banks)
    ones, none = [(1 << steps) - 1] * lanes, [0] * lanes
    half = [{"trains.valid": 1, "trains.payload": ones}] * (size // lanes - 1)
    word = {"trains.valid": 1, "trains.payload": none}

    seen = play(
        dut,
        [*half, {"reset": 1, "trains.valid": 0}, {"reset": 0}]
        + [word] * (size * steps)
        + [{"trains.valid": 0, "row": row % dut.rows} for row in range(dut.rows + 1)],
        ["full", "trains.ready", "events"],
    )

    first = seen[len(half) + 1]
    assert (0, 1) == (first["full"], first["trains.ready"])
    assert seen[-dut.rows]["full"]
    assert all(s["events"] == [0] * unroll for s in seen[-dut.rows :])


@pytest.mark.parametrize(
    ("banks", "rows", "planes", "depth"),
    [(1, 1, 1, 1), (2, 16, 2, 64), (2, 5, 3, 4 * 8 + 2 * 8 + 5), (3, 3, 1, 11), (2, 1, 4, 8)],
)
def test_depth_gives_every_index_whole_address_bits(banks, rows, planes, depth):
    assert depth == buffer_depth(banks=banks, rows=rows, planes=planes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"simd": 5}, "simd must divide 12, not 5"),
        ({"unroll": 3}, "unroll must divide 4, not 3"),
        ({"lanes": 3}, "lanes must divide 4, not 3"),
        ({"lanes": 0}, "lanes must divide 4, not 0"),
    ],
)
def test_parts_that_do_not_divide_are_refused(wrong, message):
    numbers = {"size": 12, "simd": 4, "steps": 4, "unroll": 2, "lanes": 2}
    with pytest.raises(ValueError, match=f"^{message}$"):
        TrainBuffer(**numbers | wrong)
