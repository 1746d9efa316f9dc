"""Nested loops: every place in order, however long a step is held back."""

import random
from itertools import product

import pytest
from amaranth.sim import Simulator

from signfire.hdl.nest import Nest

LOOPS = {  # counts, strides: innermost first
    "one loop": ([5], [(3,)]),
    "a turned sheet": ([3, 4], [(4,), (1,)]),
    "address and slot": ([5, 3, 2], [(2, 0), (0, 1), (1, 0)]),
    "loops of one turn": ([1, 2, 1, 3, 1], [(7, 7), (1, 0), (9, 9), (5, 2), (0, 0)]),
    "a loop that stands still": ([2, 3, 2], [(0, 1), (4, 0), (0, 0)]),
    "nothing moves": ([2], [(0,)]),
}


def places(counts, strides) -> list[tuple[int, ...]]:
    """Return what the equation says."""
    found = []
    for outermost_first in product(*(range(n) for n in reversed(counts))):
        index = outermost_first[::-1]
        found.append(
            tuple(
                sum(i * along[k] for i, along in zip(index, strides, strict=True))
                for k in range(len(strides[0]))
            )
        )
    return found


@pytest.mark.parametrize("name", LOOPS)
def test_places_are_those_of_the_loops_again_and_again(name):
    counts, strides = LOOPS[name]
    dut, rng, seen, ends = Nest(counts=counts, strides=strides), random.Random(name), [], []
    expected = places(counts, strides)

    async def bench(ctx):
        while len(seen) < 3 * len(expected):
            step = rng.random() < 0.7
            ctx.set(dut.step, step)
            if step:
                seen.append(tuple(ctx.get(place) for place in dut.places))
                ends.append(ctx.get(dut.ends))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()

    assert expected * 3 == seen
    sizes = [1]
    for count in counts:
        sizes.append(sizes[-1] * count)
    assert ends == [
        sum(((k + 1) % size == 0) << j for j, size in enumerate(sizes[1:]))
        for k in range(len(seen))
    ]


@pytest.mark.parametrize(
    ("counts", "strides", "reason"),
    [
        ([], [], "a nest needs loops of one turn at least"),
        ([2, 0], [(1,), (1,)], "a nest needs loops of one turn at least"),
        ([2], [(1,), (2,)], "with 2 strides"),
        ([2, 3], [(1,), (-1,)], "must not be below 0"),
    ],
)
def test_a_nest_that_is_none_is_refused(counts, strides, reason):
    with pytest.raises(ValueError, match=reason):
        Nest(counts=counts, strides=strides)
