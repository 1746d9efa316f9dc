"""The queue of words that hold events: every list of every sample, on its cycle."""

import random
from itertools import product

import pytest
from amaranth.sim import Simulator

from signfire.gen.readers.reader import QUEUE_AHEAD
from signfire.hdl.train_queue import TrainQueue

SHAPES = [  # size, simd, steps, unroll, lanes, repeats, banks, tiles
    (1, 1, 1, 1, 1, 1, 2, 1),
    (6, 3, 2, 2, 1, 1, 2, 1),
    (6, 2, 3, 1, 2, 3, 2, 2),
    (12, 2, 4, 2, 1, 2, 3, 1),
    (8, 4, 2, 1, 4, 1, 1, 3),
    (6, 1, 1, 1, 3, 1, 2, 2),
    (6, 1, 1, 1, 6, 1, 3, 1),
    (12, 2, 3, 1, 6, 2, 2, 1),
    (24, 2, 2, 2, 8, 1, 1, 2),
]


def queued(trains: list[int], simd: int, unroll: int, steps: int, repeats: int, parts: int) -> list:
    """Return for every plane the (row of weights, events) that are read, one at least.

    Events are an integer of ``unroll`` times ``simd`` bits. ``parts`` rows come at once, and all
    first ones are read before the second ones. A plane without events gives a word of zeros, whose
    row does not matter: ``None``.
    """
    rows, lists = len(trains) // simd, []
    for plane in range(steps // unroll):
        found = []
        for row in (r for part in range(parts) for r in range(part, rows, parts)):
            own = trains[row * simd : (row + 1) * simd]
            bits = [t >> plane * unroll + u & 1 for u in range(unroll) for t in own]
            word = sum(bit << k for k, bit in enumerate(bits))
            if word:
                found.append((row % (rows // repeats), word))
        lists.append(found or [(None, 0)])
    return lists


def test_lists_by_hand():
    # neurons 2 and 3 fire in step 0, neuron 3 in step 1 too; the rows of weights come twice
    trains = [0b00, 0b00, 0b01, 0b11]

    assert [[(0, 0b1), (1, 0b1)], [(1, 0b1)]] == queued(trains, 1, 1, 2, repeats=2, parts=1)
    assert [[(1, 0b1011)]] == queued(trains, 2, 2, 2, repeats=1, parts=1)
    assert [[(None, 0)], [(None, 0)]] == queued([0, 0], 1, 1, 2, repeats=1, parts=1)
    # rows 1 and 3 come behind rows 0 and 2
    assert [[(2, 1), (1, 1), (3, 1)]] == queued([0, 1, 1, 1], 1, 1, 1, repeats=1, parts=2)


def every_sample(size: int, steps: int, most: int) -> list[list[int]]:
    """Return every sample there is, in random order, or ``most`` of them, half of them sparse."""
    rng = random.Random(size)
    if steps * size <= 6:
        found = [list(s) for s in product(range(1 << steps), repeat=size)]
        rng.shuffle(found)
        return found
    dense = [[rng.getrandbits(steps) for _ in range(size)] for _ in range(most)]
    return [s if k % 2 else [t * (rng.random() < 0.2) for t in s] for k, s in enumerate(dense)]


class Bench:
    """A queue between a source and a reader that both stall at random."""

    def __init__(self, shape: tuple, stalls: float) -> None:
        size, simd, steps, unroll, lanes, repeats, banks, tiles = shape
        self.rng, self.stalls, self.lanes = random.Random(repr(shape)), stalls, lanes
        self.dut = TrainQueue(
            size=size, simd=simd, steps=steps, unroll=unroll, lanes=lanes, repeats=repeats,
            banks=banks, tiles=tiles,
        )  # fmt: skip
        self.samples = every_sample(size, steps, 40)
        self.read: list[list[list]] = []
        self.taken: list[int] = []
        self.full: list[int] = []
        self.released: list[int] = []
        self.pending: tuple[list, int] | None = None

    def run(self) -> "Bench":
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._reader)
        simulator.add_testbench(self._source, background=True)
        simulator.run()
        return self

    async def _source(self, ctx):
        cycle, trains, rng = 0, self.dut.trains, random.Random(1)
        for word in (
            s[i : i + self.lanes] for s in self.samples for i in range(0, len(s), self.lanes)
        ):
            while rng.random() < self.stalls:
                ctx.set(trains.valid, 0)
                await ctx.tick()
                cycle += 1
            ctx.set(trains.valid, 1)
            ctx.set(trains.payload, word)
            while not ctx.get(trains.ready):
                await ctx.tick()
                cycle += 1
            self.taken.append(cycle)
            await ctx.tick()
            cycle += 1
        ctx.set(trains.valid, 0)

    async def _reader(self, ctx):
        self.cycle, dut = 0, self.dut
        for _ in self.samples:
            while not ctx.get(dut.full):
                await self._tick(ctx)
            self.full.append(self.cycle)
            for tile in range(dut.tiles):
                self.read.append([[] for _ in range(dut.planes)])
                for plane, words in enumerate(self.read[-1]):
                    ends = tile == dut.tiles - 1 and plane == dut.planes - 1
                    await self._read_plane(ctx, words, ends)
        for _ in range(2):
            await self._tick(ctx)

    async def _read_plane(self, ctx, words: list, ends: bool):
        """Read a plane, the last one of its sample if it ``ends`` there."""
        dut, last = self.dut, 0
        while not last:
            while self.rng.random() < self.stalls:
                await self._tick(ctx)
            assert ctx.get(dut.full), "within a sample a word can be read in every cycle"
            ctx.set(dut.read, 1)
            last = ctx.get(dut.last)
            if last and ends:
                ctx.set(dut.release, 1)
                self.released.append(self.cycle)
            await self._tick(ctx, words)
            ctx.set(dut.read, 0)
            ctx.set(dut.release, 0)

    async def _tick(self, ctx, words: list | None = None):
        """Let a cycle pass; note the row of what was read in it, events of what was before."""
        await ctx.tick()
        self.cycle += 1
        if self.pending is not None:
            self.pending[0].append((self.pending[1], int(ctx.get(self.dut.events.as_value()))))
            row, word = self.pending[0][-1]
            self.pending[0][-1] = (row if word else None, word)
        self.pending = None if words is None else (words, ctx.get(self.dut.row))


@pytest.mark.parametrize("stalls", [0.0, 0.4])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_list_holds_the_words_with_events_and_no_others(shape, stalls):
    _, simd, steps, unroll, lanes, repeats, _, tiles = shape

    bench = Bench(shape, stalls).run()

    parts = max(1, lanes // simd)
    lists = [queued(s, simd, unroll, steps, repeats, parts) for s in bench.samples]
    assert [each for each in lists for _ in range(tiles)] == bench.read


@pytest.mark.parametrize("shape", SHAPES)
def test_words_move_in_the_cycles_of_a_train_buffer_and_samples_behind_the_walk(shape):
    size, simd, steps, unroll, lanes, _, banks, _ = shape
    bench = Bench(shape, 0.0).run()
    planes, words, parts = steps // unroll, size // lanes, max(1, simd // lanes)

    free, full = 0, []
    for number, taken in enumerate(bench.taken):
        after = bench.taken[number - 1] + 1 if number else 0
        assert max(after, free) == taken
        sample, word = divmod(number, words)
        if (word + 1) % parts == 0:
            freed = bench.released[sample - banks] + 1 if sample >= banks else 0
            begin = max(taken + 1, freed)
            free = begin + planes - 1
            if word == words - 1:
                full.append(begin + planes + TrainQueue.AHEAD)
    read = [0] + [cycle + 1 for cycle in bench.released[:-1]]
    assert [max(a, b) for a, b in zip(full, read, strict=True)] == bench.full


def test_reset_forgets_what_was_gathered(play):
    dut = TrainQueue(size=4, simd=2, steps=2, unroll=2, lanes=1)
    word = {"trains.valid": 1, "trains.payload": [3]}

    seen = play(
        dut,
        [*[word] * 5, {"reset": 1, "trains.valid": 0}, {"reset": 0}]
        + [{"trains.valid": 1, "trains.payload": [0]}] * 4
        + [{"trains.valid": 0}] * (5 + TrainQueue.AHEAD),
        ["full", "last", "events", "trains.ready"],
    )

    assert (0, 1) == (seen[6]["full"], seen[6]["trains.ready"])
    assert (1, 1, [0, 0]) == tuple(seen[-1][k] for k in ("full", "last", "events"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"simd": 5}, "simd must divide 12, not 5"),
        ({"unroll": 3}, "unroll must divide 4, not 3"),
        ({"lanes": 3}, "lanes must divide 4, not 3"),
        ({"lanes": 5}, "lanes must divide 12, not 5"),
        ({"lanes": 6}, "simd must divide 6, not 4"),
        ({"repeats": 2}, "repeats must divide 3, not 2"),
        ({"tiles": 0}, "tiles must be at least 1, not 0"),
    ],
)
def test_parts_that_do_not_divide_are_refused(wrong, message):
    numbers = {"size": 12, "simd": 4, "steps": 4, "unroll": 2, "lanes": 2}
    with pytest.raises(ValueError, match=f"^{message}$"):
        TrainQueue(**numbers | wrong)


def test_the_cycle_model_knows_how_far_the_walk_is_ahead():
    assert TrainQueue.AHEAD == QUEUE_AHEAD
