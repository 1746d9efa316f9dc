"""UART against waveforms made by hand, at rates that divide the clock and rates that do not."""

import random

import pytest
from amaranth.sim import Simulator

from signfire.hdl.uart import BitClock, Uart

RATES = [(8e6, 1e6), (12e6, 1e6), (10.3e6, 1e6), (50e6, 3e6)]


def simulate(dut, *testbenches, background=()) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for testbench in background:
        simulator.add_testbench(testbench, background=True)
    simulator.run()


def waveform(byte: int, *, start: int = 0, stop: int = 1) -> list[int]:
    return [start, *(byte >> n & 1 for n in range(8)), stop]


async def drive(ctx, pin, levels: list[int], cycles_per_bit: float) -> None:
    """Put levels on a pin, each for ``cycles_per_bit`` cycles on average."""
    at = 0
    for n, level in enumerate(levels, start=1):
        ctx.set(pin, level)
        until = round(n * cycles_per_bit)
        await ctx.tick().repeat(until - at)
        at = until


async def collect(ctx, dut, received: list[int]) -> None:
    ctx.set(dut.rx.ready, 1)
    async for _, _, valid, byte in ctx.tick().sample(dut.rx.valid, dut.rx.payload):
        if valid:
            received.append(byte)


@pytest.mark.parametrize(("clock_hz", "baud"), RATES)
def test_bytes_come_back_through_both_directions(clock_hz, baud):
    dut = Uart(clock_hz=clock_hz, baud=baud)
    sent = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, *random.Random(1).randbytes(20)]
    received: list[int] = []

    async def send(ctx):
        for byte in sent:
            ctx.set(dut.tx.payload, byte)
            ctx.set(dut.tx.valid, 1)
            await ctx.tick().until(dut.tx.ready)
        ctx.set(dut.tx.valid, 0)
        await ctx.tick().repeat(round(15 * clock_hz / baud))

    async def loop(ctx):
        async for _, _, level in ctx.tick().sample(dut.tx_pin):
            ctx.set(dut.rx_pin, level)

    async def take(ctx):
        await collect(ctx, dut, received)

    simulate(dut, send, background=(loop, take))

    assert sent == received


@pytest.mark.parametrize("error", [-0.03, -0.01, 0.0, 0.01, 0.03])
@pytest.mark.parametrize(("clock_hz", "baud"), RATES)
def test_bytes_of_a_sender_whose_rate_is_off_are_received(clock_hz, baud, error):
    dut = Uart(clock_hz=clock_hz, baud=baud)
    sent = [0x00, 0xFF, 0xA5, 0x5A, 0x80, 0x7F]
    received: list[int] = []

    async def send(ctx):
        await ctx.tick().repeat(20)
        for byte in sent:
            await drive(ctx, dut.rx_pin, waveform(byte), clock_hz / baud * (1 + error))
        await ctx.tick().repeat(40)

    async def take(ctx):
        await collect(ctx, dut, received)

    simulate(dut, send, background=(take,))

    assert sent == received


@pytest.mark.parametrize("byte", [0x00, 0xFF, 0xA5])
def test_the_line_carries_a_start_bit_eight_data_bits_and_a_stop_bit(byte):
    dut = Uart(clock_hz=16e6, baud=1e6)
    levels = []

    async def send(ctx):
        ctx.set(dut.tx.payload, byte)
        ctx.set(dut.tx.valid, 1)
        await ctx.tick().until(dut.tx.ready)
        ctx.set(dut.tx.valid, 0)
        for _ in range(10):
            await ctx.tick().repeat(8)
            levels.append(ctx.get(dut.tx_pin))
            await ctx.tick().repeat(8)

    simulate(dut, send)

    assert waveform(byte) == levels


def test_a_byte_without_stop_bit_and_a_glitch_are_dropped():
    dut = Uart(clock_hz=16e6, baud=1e6)
    received: list[int] = []

    async def send(ctx):
        await drive(ctx, dut.rx_pin, [1, 1, *waveform(0x33, stop=0), 0, 0, 1, 1], 16)
        await drive(ctx, dut.rx_pin, [0, 1, 1], 5)  # a start bit that is over too soon
        await ctx.tick().repeat(200)
        await drive(ctx, dut.rx_pin, [*waveform(0x44), 1, 1], 16)

    async def take(ctx):
        await collect(ctx, dut, received)

    simulate(dut, send, background=(take,))

    assert [0x44] == received


def test_a_byte_that_is_not_taken_is_kept_and_the_next_counts_as_lost():
    dut = Uart(clock_hz=16e6, baud=1e6)
    lost = []

    async def send(ctx):
        await drive(ctx, dut.rx_pin, [1, *waveform(0x11), *waveform(0x22), 1, 1], 16)
        assert ctx.get(dut.rx.valid)
        assert ctx.get(dut.rx.payload) == 0x11

    async def count(ctx):
        async for _, _, pulse in ctx.tick().sample(dut.overrun):
            lost.append(pulse)

    simulate(dut, send, background=(count,))

    assert 1 == sum(lost)


@pytest.mark.parametrize("clock_hz", [12e6, 16e6, 25e6, 27e6, 33.33e6, 47.8e6, 100e6, 131.07e6])
@pytest.mark.parametrize("baud", [9600, 115200, 1e6])
def test_any_clock_reaches_the_rate_within_a_thousandth(clock_hz, baud):
    assert abs(BitClock(clock_hz=clock_hz, baud=baud).baud / baud - 1) < 1e-3


def test_a_rate_too_fast_for_the_clock_is_refused():
    with pytest.raises(ValueError) as refusal:
        Uart(clock_hz=4e6, baud=1e6)

    assert (
        "a UART needs 8 clock cycles a bit, not 4e+06 Hz / 1e+06 baud (at this clock, at most "
        "500000 baud)"
    ) == str(refusal.value)
