"""Two hosts before one link: frames are never mixed, and replies never go astray."""

import random

import pytest
from amaranth.sim import Simulator

from signfire.boards.arbiter import LineArbiter
from signfire.hdl.slip import END


class Shared:
    """An arbiter, two hosts that send frames by a script, and a link that answers each frame.

    A frame is (line, number, ...); its reply is 0x80 and the same bytes.
    """

    def __init__(self, seed: int, *, ticking: int = 0) -> None:
        self.dut = LineArbiter()
        self.rng = random.Random(seed)
        self.ticking = ticking
        self.frames: list[list[int]] = []  # as the link saw them
        self.replies: list[list[list[int]]] = [[], []]  # as each host saw them
        self.hearing = [True, True]  # whether a host takes what it is told
        self.pause = 3

    def run(self, *scripts) -> None:
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        for script in scripts:
            simulator.add_testbench(script)
        for line in range(2):
            simulator.add_testbench(self._ear(line), background=True)
        simulator.add_testbench(self._link, background=True)
        simulator.add_testbench(self._clock, background=True)
        simulator.run()

    async def say(self, ctx, line: int, data) -> None:
        port = self.dut.received[line]
        for byte in data:
            await ctx.tick().repeat(self.rng.randrange(1, 1 + self.pause))
            ctx.set(port.payload, byte)
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

    def _ear(self, line: int):
        async def hear(ctx):
            port, frame = self.dut.sent[line], []
            while True:
                ctx.set(port.ready, self.hearing[line] and self.rng.random() < 0.5)
                _, _, valid, ready, byte = await ctx.tick().sample(
                    port.valid, port.ready, port.payload
                )
                if not (valid and ready):
                    continue
                if byte != END:
                    frame.append(byte)
                elif frame:
                    self.replies[line].append(frame)
                    frame = []

        return hear

    async def _link(self, ctx):
        """Answer as Link does: one reply after another, while the next frame already arrives."""
        source, sink = self.dut.to_link, self.dut.from_link
        frame, waiting, out, delay = [], [], [], 0
        while True:
            held_up = len(waiting) > 1
            ctx.set(source.ready, not held_up and self.rng.random() < 0.7)
            if not out and waiting and delay == 0:
                out = [END, 0x80, *waiting.pop(0), END]
                delay = self.rng.randrange(60)
            delay = max(0, delay - 1)
            ctx.set(sink.valid, bool(out))
            ctx.set(sink.payload, out[0] if out else 0)
            _, _, valid, ready, byte, taken = await ctx.tick().sample(
                source.valid, source.ready, source.payload, sink.ready
            )
            if out and taken:
                out.pop(0)
            if valid and ready:
                if byte != END:
                    frame.append(byte)
                elif frame:
                    self.frames.append(frame)
                    waiting.append(frame)
                    frame = []

    async def _clock(self, ctx):
        cycle = 0
        while True:
            cycle += 1
            ctx.set(self.dut.tick, self.ticking and cycle % self.ticking == 0)
            await ctx.tick()


def frame_of(line: int, number: int, rng: random.Random) -> list[int]:
    return [line, number, *(rng.randrange(0x10, 0x70) for _ in range(rng.randrange(6)))]


@pytest.mark.parametrize("seed", range(8))
def test_frames_of_two_hosts_are_never_mixed_and_each_gets_its_own_replies(seed):
    shared = Shared(seed)
    sent = [[frame_of(line, n, shared.rng) for n in range(12)] for line in range(2)]

    def host(line: int):
        async def script(ctx):
            for frame in sent[line]:
                await ctx.tick().repeat(shared.rng.choice((1, 1, 40, 200)))
                ends = [END] * shared.rng.randrange(4)
                await shared.say(ctx, line, [END, *frame, END, *ends])
            for _ in range(6000):
                if len(shared.replies[line]) == len(sent[line]):
                    break
                await ctx.tick()

        return script

    shared.run(host(0), host(1))

    assert sorted(sent[0] + sent[1]) == sorted(shared.frames)
    for line in range(2):
        assert [[0x80, *frame] for frame in sent[line]] == shared.replies[line]


def test_a_host_alone_may_send_frames_without_waiting_for_replies():
    shared = Shared(1)
    sent = [[0, n] for n in range(10)]

    async def script(ctx):
        for frame in sent:
            await shared.say(ctx, 0, [END, *frame, END])
        for _ in range(3000):
            await ctx.tick()

    shared.run(script)

    assert [[0x80, *frame] for frame in sent] == shared.replies[0]
    assert [] == shared.replies[1]


def test_the_other_line_waits_while_a_frame_is_open():
    shared = Shared(2)

    async def script(ctx):
        await shared.say(ctx, 0, [END, 0, 1])
        await shared.say(ctx, 1, [END, 0x11])  # a register holds it
        ctx.set(shared.dut.received[1].payload, 0x12)
        ctx.set(shared.dut.received[1].valid, 1)
        for _ in range(200):
            await ctx.tick()
            assert not ctx.get(shared.dut.received[1].ready)

    shared.run(script)

    assert [] == shared.frames


def test_a_host_that_stops_within_a_frame_gives_the_link_away():
    shared = Shared(3, ticking=100)

    async def script(ctx):
        await shared.say(ctx, 0, [END, 0, 1, 2])
        await shared.say(ctx, 1, [END, 1, 1, END])
        await ctx.tick().repeat(600)

    shared.run(script)

    assert [[0, 1, 2], [1, 1]] == shared.frames
    assert [[0x80, 0, 1, 2]] == shared.replies[0]
    assert [[0x80, 1, 1]] == shared.replies[1]


def test_a_host_that_does_not_take_its_reply_gives_the_link_away():
    shared = Shared(4, ticking=100)
    shared.hearing[1] = False

    async def script(ctx):
        await shared.say(ctx, 1, [END, 1, 1, END])
        await shared.say(ctx, 0, [END, 0, 1, END])
        await ctx.tick().repeat(600)
        shared.hearing[1] = True
        await shared.say(ctx, 1, [END, 1, 2, END])
        await ctx.tick().repeat(600)

    shared.run(script)

    assert [[0x80, 0, 1]] == shared.replies[0]
    assert [0x80, 1, 2] == shared.replies[1][-1]


def test_a_slow_host_keeps_the_link_as_long_as_bytes_move():
    shared = Shared(5, ticking=20)
    shared.pause = 15

    async def script(ctx):
        await shared.say(ctx, 0, [END, *range(60), END])
        await ctx.tick().repeat(900)

    shared.run(script)

    assert [list(range(60))] == shared.frames
    assert [[0x80, *range(60)]] == shared.replies[0]
