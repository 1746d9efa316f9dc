"""SPI against a host made by hand: random ratios and phases of the two clocks, cuts, glitches."""

import random

import pytest
from amaranth.sim import Simulator

from signfire.hdl.slip import END, ESC
from signfire.hdl.spi import FILL, MAX_RATIO, Spi

CYCLE = 1e-6  # of sync


class Host:
    """The other end of the pins: sends bytes and notes what comes back.

    Parameters
    ----------
    ratio
        SCK as a multiple of the clock of ``sync``.
    """

    def __init__(self, dut: Spi, *, ratio: float, seed: int = 0) -> None:
        self.dut, self.half = dut, CYCLE / ratio / 2
        self.rng = random.Random(seed)

    async def wait(self, ctx) -> None:
        """Let a random time go by, so that any phase occurs."""
        await ctx.delay(self.rng.uniform(0, 8) * CYCLE)

    async def transfer(self, ctx, data, *, bits: int | None = None) -> list[int]:
        """Select, exchange bytes, or only the first ``bits`` bits of them, and deselect."""
        dut, seen = self.dut, []
        ctx.set(dut.deselected, 0)
        await ctx.delay(self.half)
        bits = 8 * len(data) if bits is None else bits
        for n in range(bits):
            ctx.set(dut.copi, data[n // 8] >> (7 - n % 8) & 1)
            await ctx.delay(self.half)
            seen.append(ctx.get(dut.cipo))
            ctx.set(dut.sck, 1)
            await ctx.delay(self.half)
            ctx.set(dut.sck, 0)
        await ctx.delay(self.half)
        ctx.set(dut.deselected, 1)
        await ctx.delay(self.half)
        whole = [seen[at : at + 8] for at in range(0, len(seen) - 7, 8)]
        return [int("".join(map(str, byte)), 2) for byte in whole]


class Bench:
    """A simulated :class:`Spi` whose streams a core serves.

    Parameters
    ----------
    replies
        Bytes that the core has to say.
    taking, speaking
        Chances that the core takes a byte, or has its next one, in a cycle.
    """

    def __init__(self, *, ratio, seed, replies=(), taking=1.0, speaking=1.0) -> None:
        self.dut = Spi()
        self.host = Host(self.dut, ratio=ratio, seed=seed)
        self.rng = random.Random(seed + 1)
        self.replies, self.taking, self.speaking = list(replies), taking, speaking
        self.taken: list[int] = []
        self.lost = 0

    def run(self, script) -> None:
        simulator = Simulator(self.dut)
        simulator.add_clock(CYCLE, phase=self.rng.uniform(0.01, 0.99) * CYCLE)
        simulator.add_testbench(script)
        simulator.add_testbench(self._take, background=True)
        simulator.add_testbench(self._speak, background=True)
        simulator.run()

    async def _take(self, ctx) -> None:
        rx = self.dut.rx
        while True:
            ctx.set(rx.ready, self.rng.random() < self.taking)
            _, _, valid, ready, byte, lost = await ctx.tick().sample(
                rx.valid, rx.ready, rx.payload, self.dut.overrun
            )
            if valid and ready:
                self.taken.append(byte)
            self.lost += lost

    async def _speak(self, ctx) -> None:
        tx = self.dut.tx
        for byte in self.replies:
            while self.rng.random() >= self.speaking:
                await ctx.tick()
            ctx.set(tx.payload, byte)
            ctx.set(tx.valid, 1)
            await ctx.tick().until(tx.ready)
            ctx.set(tx.valid, 0)
            ctx.set(tx.payload, self.rng.randrange(256))


def said(line) -> list[int]:
    """Return what a board said without its fill bytes, as a host has to read it."""
    rest, said, before = list(line), [], END
    while rest:
        byte = rest.pop(0)
        if byte == ESC and rest and rest[0] == FILL:
            rest.pop(0)
            continue
        if byte != END or before != END:
            said.append(byte)
        before = byte
    return said


def slip_bytes(rng: random.Random, count: int) -> list[int]:
    """Return bytes as SLIP sends them: END apart, ESC only before ESC_END or ESC_ESC."""
    out: list[int] = []
    while len(out) < count:
        out += rng.choice(([rng.randrange(256)],) * 6 + ([END],) * 2)
        if out[-1] == ESC:
            out.append(rng.choice((0xDC, 0xDD)))
        if out[-2:] == [END, END]:
            out.pop()
    return [*out, END]


RATIOS = [0.05, 0.33, 0.77, 1.0, 1.31, MAX_RATIO]


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("seed", range(3))
def test_bytes_back_to_back_reach_the_core_once_and_in_order(ratio, seed):
    bench = Bench(ratio=ratio, seed=seed)
    sent = [0x00, 0xFF, 0x80, 0x01, *random.Random(seed).randbytes(30)]

    async def script(ctx):
        await bench.host.wait(ctx)
        await bench.host.transfer(ctx, sent)
        await ctx.delay(6 * CYCLE)  # no further edge of SCK

    bench.run(script)

    assert sent == bench.taken
    assert 0 == bench.lost


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("seed", range(3))
def test_what_the_core_says_comes_out_once_and_in_order(ratio, seed):
    speaking = (1.0, 0.5, 0.05)[seed]
    rng = random.Random(seed)
    replies = slip_bytes(rng, 20)
    bench = Bench(ratio=ratio, seed=seed, replies=replies, speaking=speaking)
    line: list[int] = []

    async def script(ctx):
        for _ in range(3000):
            if said(line) == said(replies):
                break
            line.extend(await bench.host.transfer(ctx, [END] * rng.randrange(1, 12)))
            await bench.host.wait(ctx)
        line.extend(await bench.host.transfer(ctx, [END] * 4))

    bench.run(script)

    assert said(replies) == said(line)


@pytest.mark.parametrize("ratio", [0.3, 1.0, MAX_RATIO])
def test_bytes_that_are_ready_follow_each_other_without_fill(ratio):
    replies = [END, *range(1, 40), END]
    bench = Bench(ratio=ratio, seed=1, replies=replies)
    line: list[int] = []

    async def script(ctx):
        await ctx.delay(10 * CYCLE)
        line.extend(await bench.host.transfer(ctx, [END] * 60))

    bench.run(script)

    assert bytes(replies) in bytes(line)
    assert {END} == set(line[line.index(39) + 1 :])


@pytest.mark.parametrize("ratio", [0.2, 0.9, MAX_RATIO])
@pytest.mark.parametrize("seed", range(4))
def test_a_transfer_cut_at_any_bit_costs_its_last_byte_and_nothing_else(ratio, seed):
    rng = random.Random(seed)
    replies = slip_bytes(rng, 40)
    bench = Bench(ratio=ratio, seed=seed, replies=replies)
    whole, line = [], []

    async def script(ctx):
        for _ in range(14):
            data = list(rng.randbytes(5))
            bits = rng.randrange(41)
            whole.extend(data[: bits // 8])
            line.extend(await bench.host.transfer(ctx, data, bits=bits))
            await bench.host.wait(ctx)
        whole.extend([0xA5] * 90)
        line.extend(await bench.host.transfer(ctx, [0xA5] * 90))
        await ctx.delay(6 * CYCLE)

    bench.run(script)

    assert whole == bench.taken
    assert 0 == bench.lost
    assert said(replies) == said(line)


@pytest.mark.parametrize("bit", range(8))
def test_a_glitch_of_chip_select_begins_a_new_byte_and_the_next_transfer_is_whole(bit):
    bench = Bench(ratio=0.8, seed=bit)

    async def script(ctx):
        await bench.host.transfer(ctx, [0x77], bits=bit)
        ctx.set(bench.dut.deselected, 0)  # again at once, within the time of one cycle
        await ctx.delay(CYCLE / 10)
        await bench.host.transfer(ctx, [0x12, 0x34])
        await ctx.delay(6 * CYCLE)

    bench.run(script)

    assert [0x12, 0x34] == bench.taken


def test_a_clock_without_chip_select_says_nothing():
    bench = Bench(ratio=0.5, seed=0)

    async def script(ctx):
        for _ in range(40):
            ctx.set(bench.dut.sck, 1)
            await ctx.delay(CYCLE)
            ctx.set(bench.dut.sck, 0)
            await ctx.delay(CYCLE)
        await bench.host.transfer(ctx, [0x5A])
        await ctx.delay(6 * CYCLE)

    bench.run(script)

    assert [0x5A] == bench.taken


def test_the_first_bit_of_a_byte_needs_no_clock():
    bench = Bench(ratio=0.5, seed=3, replies=[END, 0x80, 0x01, END])
    levels = []

    async def script(ctx):
        await ctx.delay(10 * CYCLE)
        for _ in range(6):
            ctx.set(bench.dut.deselected, 0)
            await ctx.delay(CYCLE)
            levels.append(ctx.get(bench.dut.cipo))
            await bench.host.transfer(ctx, [END])

    bench.run(script)

    # fill, END, 0x80, 0x01, END, fill
    assert [1, 1, 1, 0, 1, 1] == levels


def test_a_byte_that_is_not_taken_is_kept_and_the_next_counts_as_lost():
    bench = Bench(ratio=0.9, seed=2, taking=0.0)

    async def script(ctx):
        await bench.host.transfer(ctx, [0x11, 0x22, 0x33])
        await ctx.delay(6 * CYCLE)
        assert ctx.get(bench.dut.rx.valid)
        assert ctx.get(bench.dut.rx.payload) == 0x11

    bench.run(script)

    assert 2 == bench.lost


def test_beyond_the_permitted_rate_bytes_go_astray():
    """The limit of the contract is there for a reason: the tests above can fail."""
    sent = list(random.Random(5).randbytes(40))
    arrived = []
    for seed in range(4):
        bench = Bench(ratio=4 * MAX_RATIO, seed=seed)

        async def script(ctx, bench=bench):
            await bench.host.wait(ctx)
            await bench.host.transfer(ctx, sent)
            await ctx.delay(6 * CYCLE)

        bench.run(script)
        arrived.append(bench.taken)

    assert any(taken != sent for taken in arrived)
