"""The fork hands every word to all readers, in order, whatever they do."""

import random

import pytest
from amaranth.sim import Simulator

from signfire.hdl.fork import Fork

WORDS = list(range(40))


def run(readers: int, ready: float, offered: float):
    """Return what each reader took, and the cycles in which the source's words were done with."""
    dut, rng = Fork(8, readers=readers), random.Random(readers)
    taken: list[list[int]] = [[] for _ in range(readers)]
    done: list[int] = []

    async def testbench(ctx):
        offers = True
        for cycle in range(4000):
            if len(done) == len(WORDS):
                return
            offers = offers or rng.random() < offered
            ctx.set(dut.words.valid, offers)
            ctx.set(dut.words.payload, WORDS[len(done)])
            before = [ctx.get(copy.valid) for copy in dut.copies]
            for copy in dut.copies:
                ctx.set(copy.ready, rng.random() < ready)
            # what is offered does not depend on who is ready
            assert before == [ctx.get(copy.valid) for copy in dut.copies]
            for found, copy in zip(taken, dut.copies, strict=True):
                if ctx.get(copy.valid) and ctx.get(copy.ready):
                    found.append(ctx.get(copy.payload))
            if offers and ctx.get(dut.words.ready):
                done.append(cycle)
                offers = rng.random() < offered
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return taken, done


@pytest.mark.parametrize("readers", [1, 2, 3])
@pytest.mark.parametrize(("ready", "offered"), [(0.5, 1.0), (0.2, 0.5), (0.9, 0.3)])
def test_every_reader_takes_every_word_once_and_in_order(readers, ready, offered):
    taken, done = run(readers, ready, offered)

    assert [WORDS] * readers == taken
    assert len(WORDS) == len(done)


def test_readers_that_are_always_ready_take_a_word_a_cycle():
    assert run(3, 1.0, 1.0) == ([WORDS] * 3, WORDS)


def test_a_fork_without_readers_is_refused():
    with pytest.raises(ValueError, match=r"^a fork needs at least one reader, not 0$"):
        Fork(8, readers=0)
