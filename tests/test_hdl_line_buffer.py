"""The line buffer: planes of every line, whatever stalls, and the circle that it goes round."""

import random

import pytest
from amaranth.sim import Simulator

from signfire.hdl.line_buffer import LineBuffer

SHAPES = [  # rows, simd, steps, unroll, lanes, lines
    (1, 1, 1, 1, 1, 1),
    (3, 2, 3, 1, 1, 3),
    (4, 4, 4, 2, 2, 5),
    (5, 1, 2, 2, 1, 4),
    (2, 6, 6, 3, 3, 2),
]


class Bench:
    """A buffer between a source that stalls and a reader that gives back several lines at once."""

    def __init__(self, shape: tuple, count: int, stalls: float, slow: int) -> None:
        rows, simd, steps, unroll, lanes, lines = shape
        self.rng = random.Random(repr(shape))
        self.lanes, self.lines_held, self.stalls, self.slow = lanes, lines, stalls, slow
        self.dut = LineBuffer(
            rows=rows, simd=simd, steps=steps, unroll=unroll, lanes=lanes, lines=lines
        )
        self.lines = [
            [self.rng.getrandbits(steps) for _ in range(rows * simd)] for _ in range(count)
        ]
        self.read: list[list[int]] = []

    def run(self) -> "Bench":
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._reader)
        simulator.add_testbench(self._source, background=True)
        simulator.run()
        return self

    async def _source(self, ctx):
        rng, dut = random.Random(1), self.dut
        for line in self.lines:
            for i in range(0, len(line), self.lanes):
                while rng.random() < self.stalls:
                    ctx.set(dut.trains.valid, 0)
                    await ctx.tick()
                ctx.set(dut.trains.valid, 1)
                ctx.set(dut.trains.payload, line[i : i + self.lanes])
                while not ctx.get(dut.trains.ready):
                    await ctx.tick()
                await ctx.tick()
        ctx.set(dut.trains.valid, 0)

    async def _reader(self, ctx):
        dut, done = self.dut, 0
        while done < len(self.lines):
            wanted = min(self.rng.randint(1, self.lines_held), len(self.lines) - done)
            while ctx.get(dut.held) < wanted:
                await ctx.tick()
            for _ in range(self.slow):
                await ctx.tick()
            for number in range(done, done + wanted):
                trains = [0] * (dut.rows * dut.simd)
                ctx.set(dut.line, number % self.lines_held)
                for row in range(dut.rows):
                    for plane in range(dut.planes):
                        ctx.set(dut.row, row)
                        ctx.set(dut.plane, plane)
                        last = (number, row, plane) == (
                            done + wanted - 1,
                            dut.rows - 1,
                            dut.planes - 1,
                        )
                        ctx.set(dut.release, wanted if last else 0)
                        await ctx.tick()
                        self._note(ctx, trains, row, plane)
                self.read.append(trains)
            ctx.set(dut.release, 0)
            done += wanted

    def _note(self, ctx, trains: list[int], row: int, plane: int) -> None:
        """Put the events that were read into their trains."""
        dut = self.dut
        for u in range(dut.unroll):
            events = ctx.get(dut.events[u])
            for j in range(dut.simd):
                trains[row * dut.simd + j] |= (events >> j & 1) << (plane * dut.unroll + u)


@pytest.mark.parametrize(("stalls", "slow"), [(0.0, 0), (0.0, 25), (0.5, 0)])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_line_is_read_as_it_was_written(shape, stalls, slow):
    bench = Bench(shape, count=9, stalls=stalls, slow=slow).run()

    assert bench.lines == bench.read


def test_a_full_buffer_holds_back_what_comes(play):
    dut = LineBuffer(rows=1, simd=1, steps=1, unroll=1, lanes=1, lines=2)
    word = {"trains.valid": 1, "trains.payload": [1]}

    seen = play(dut, [word] * 6 + [{"release": 2}, {"release": 0}], ["held", "trains.ready"])

    # each word stands in the gathering register for a cycle; the third finds no place
    assert [0, 0, 1, 2, 2, 2, 2, 0] == [s["held"] for s in seen]
    assert [1, 1, 1, 0, 0, 0, 0, 1] == [s["trains.ready"] for s in seen]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"unroll": 3}, "unroll must divide 4, not 3"), ({"lanes": 3}, "lanes must divide 4, not 3")],
)
def test_parts_that_do_not_divide_are_refused(wrong, message):
    numbers = {"rows": 3, "simd": 4, "steps": 4, "unroll": 2, "lanes": 2, "lines": 3}
    with pytest.raises(ValueError, match=f"^{message}$"):
        LineBuffer(**numbers | wrong)
