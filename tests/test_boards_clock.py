"""Clocks and their crossings, simulated."""

import random

import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from signfire.boards.clock import OSCILLATOR, ResetDelay
from signfire.boards.crossing import ByteCrossing


def reset_trace(good: list[int], cycles: int) -> list[int]:
    """Return ``hold`` after every cycle while ``good`` plays, from configuration on."""
    dut = ResetDelay(cycles=cycles)
    m = Module()
    m.domains += ClockDomain(OSCILLATOR, reset_less=True)
    m.submodules.dut = dut
    seen = []

    async def bench(ctx):
        for level in good:
            ctx.set(dut.good, level)
            await ctx.tick(OSCILLATOR)
            seen.append(ctx.get(dut.hold))

    sim = Simulator(m)
    sim.add_clock(1e-6 / 12, domain=OSCILLATOR)
    sim.add_testbench(bench)
    sim.run()
    return seen


@pytest.mark.parametrize("cycles", [1, 5, 180])
def test_reset_is_held_for_the_given_cycles_of_good(cycles: int) -> None:
    held = reset_trace([1] * (cycles + 20), cycles)

    assert [1] * (cycles + 2) == held[: cycles + 2]
    assert 0 == held[cycles + 4]
    assert sorted(held, reverse=True) == held


def test_a_break_starts_the_wait_again() -> None:
    held = reset_trace([1] * 8 + [0] + [1] * 30, 10)

    first_free = held.index(0)
    assert 9 + 10 <= first_free <= 9 + 10 + 4


def test_reset_returns_when_the_clock_is_lost() -> None:
    held = reset_trace([1] * 20 + [0] * 10, 5)

    assert 0 in held
    assert [1] * 6 == held[-6:]


@pytest.mark.parametrize(("source_mhz", "target_mhz"), [(12, 121), (121, 12), (27, 27.5), (48, 48)])
def test_every_byte_crosses_once_and_in_order(source_mhz: float, target_mhz: float) -> None:
    rng = random.Random(7)
    sent = [rng.randrange(256) for _ in range(60)]
    dut = ByteCrossing(source="source", target="target")
    m = Module()
    m.domains += [ClockDomain("source"), ClockDomain("target")]
    m.submodules.dut = dut
    received = []

    async def send(ctx):
        for byte in sent:
            ctx.set(dut.i.payload, byte)
            ctx.set(dut.i.valid, 1)
            await ctx.tick("source").until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            ctx.set(dut.i.payload, rng.randrange(256))
            await ctx.tick("source").repeat(rng.choice((1, 1, 5)))

    async def receive(ctx):
        while len(received) < len(sent):
            ctx.set(dut.o.ready, rng.random() < 0.6)
            _, _, valid, ready, payload = await ctx.tick("target").sample(
                dut.o.valid, dut.o.ready, dut.o.payload
            )
            if valid and ready:
                received.append(payload)
        ctx.set(dut.o.ready, 1)
        await ctx.tick("target").repeat(20)
        assert not ctx.get(dut.o.valid)

    sim = Simulator(m)
    sim.add_clock(1e-6 / source_mhz, domain="source")
    sim.add_clock(1e-6 / target_mhz, phase=3.3e-9, domain="target")
    sim.add_testbench(send)
    sim.add_testbench(receive)
    sim.run()

    assert sent == received


def test_reset_of_one_side_neither_invents_nor_loses_a_byte() -> None:
    dut = ByteCrossing(source="source", target="target")
    m = Module()
    target = ClockDomain("target")
    m.domains += [ClockDomain("source"), target]
    m.submodules.dut = dut

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.payload, 0x5A)
        ctx.set(dut.i.valid, 1)
        await ctx.tick("source").until(dut.i.ready)  # an odd number of bytes: the toggles are high
        ctx.set(dut.i.valid, 0)
        await ctx.tick("target").repeat(10)
        ctx.set(target.rst, 1)
        await ctx.tick("source").repeat(3)
        ctx.set(target.rst, 0)
        for _ in range(10):
            _, _, valid = await ctx.tick("target").sample(dut.o.valid)
            assert not valid
        ctx.set(dut.i.payload, 0xA5)
        ctx.set(dut.i.valid, 1)
        await ctx.tick("source").until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        (payload,) = await ctx.tick("target").sample(dut.o.payload).until(dut.o.valid)
        assert 0xA5 == payload

    sim = Simulator(m)
    sim.add_clock(1e-6 / 12, domain="source")
    sim.add_clock(1e-6 / 60, domain="target")
    sim.add_testbench(bench)
    sim.run_until(20e-6)
