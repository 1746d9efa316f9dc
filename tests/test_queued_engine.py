"""The engine of the tests simulates what Amaranth's own does, delta cycle by delta cycle."""

import pytest
from amaranth.hdl import (
    Array,
    Assert,
    Cat,
    ClockDomain,
    ClockSignal,
    Format,
    Module,
    Print,
    ResetSignal,
    Signal,
    signed,
)
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator
from queued_engine import QueuedEngine

(OWN,) = QueuedEngine.__bases__  # Amaranth's own


def simulated(engine, make, cycles=60):
    """Return what each cycle shows, and all that was printed comes out on the way."""
    m, inputs, outputs = make()
    simulator = Simulator(m, engine=engine)
    simulator.add_clock(1e-6)
    seen = []

    async def testbench(ctx):
        for cycle in range(cycles):
            for k, signal in enumerate(inputs):
                held = cycle // (3 - k % 2) * (7 + 4 * k) >> k % 3  # for some cycles
                ctx.set(signal, held & (1 << len(signal)) - 1)
            seen.append([ctx.get(signal) for signal in outputs])
            await ctx.tick()

    simulator.add_testbench(testbench)
    simulator.run()
    first = list(seen)
    seen.clear()
    simulator.reset()
    simulator.run()
    assert seen == first
    return seen


def arithmetic():
    """Signed and partial assignments, choices, and registers that hold for long."""
    m = Module()
    a, b, choice = Signal(signed(6)), Signal(5), Signal(3)
    total, parts, product = Signal(signed(9)), Signal(8), Signal(signed(12))
    held, wide, slow = Signal(signed(4), init=-3), Signal(12), Signal(20)
    shared, m.submodules.other = Signal(signed(7), init=5), Module()
    m.d.sync += shared[:3].eq(a)
    m.submodules.other.d.sync += shared[3:].eq(shared[3:] + b)
    m.d.comb += [
        product.eq((a - b) * a),
        parts[:3].eq(a[2:] ^ choice),
        parts.bit_select(choice[:2] + 3, 2).eq(b),
    ]
    m.d.sync += total.eq(total + (a >> 1) - Array([a, b, choice, -a])[choice[:2]])
    with m.Switch(choice):
        with m.Case("1-0"):
            m.d.sync += held.eq(a)
            m.d.comb += parts[7].eq(1)
        with m.Case(3, 5):
            m.d.sync += Cat(wide[:4], wide[8:]).eq(product)
        with m.Default():
            m.d.sync += wide[4:8].eq(a // (b[:2] + 1))
    with m.If(choice.all() & (b > 3)):
        m.d.sync += slow.eq(slow + 1)
    return m, [a, b, choice], [total, parts, product, held, wide, slow, shared]


def memories():
    """Ports that read at once or a cycle later, see what is written, and write parts of words."""
    m = Module()
    m.submodules.memory = memory = Memory(shape=8, depth=6, init=[1, 2, 3])
    m.submodules.plain = plain = Memory(shape=signed(5), depth=4, init=[-1, 2])
    write = memory.write_port(granularity=4)
    late, at_once = memory.read_port(transparent_for=(write,)), memory.read_port(domain="comb")
    put, got = plain.write_port(), plain.read_port()
    address, enable, kept = Signal(3), Signal(4), Signal(8)
    m.d.comb += [
        write.addr.eq(address),
        write.data.eq(Cat(enable, address)),
        write.en.eq(enable[1:3]),
        late.addr.eq(address ^ enable[0]),
        late.en.eq(enable[3]),
        at_once.addr.eq(address),
        put.addr.eq(address),
        put.data.eq(enable - address),
        put.en.eq(enable[0]),
        got.addr.eq(address + 1),
    ]
    m.d.sync += kept.eq(late.data + at_once.data)
    return m, [address, enable], [late.data, at_once.data, got.data, kept]


def domains():
    """Take clocks out of a register, a falling edge, and resets of both kinds."""
    m = Module()
    m.domains.sync = ClockDomain()
    m.domains.half = ClockDomain(async_reset=True)
    m.domains.down = ClockDomain(clk_edge="neg")
    divided, count, slow, fallen, crossed = (Signal(n) for n in (2, 5, 5, 6, 5))
    cause, reset = Signal(4), Signal()
    m.d.sync += [divided.eq(divided + 1), count.eq(count + 3)]
    m.d.comb += [
        reset.eq(cause == 9),
        ClockSignal("half").eq(divided[1]),
        ClockSignal("down").eq(divided[0]),
        ResetSignal("half").eq(reset & count[1]),
        ResetSignal("sync").eq(reset & (count > 20)),
        ResetSignal("down").eq(0),
    ]
    m.d.half += [slow.eq(slow + 1), crossed.eq(count)]
    m.d.down += fallen.eq(fallen + slow)
    return m, [cause], [divided, count, slow, fallen, crossed]


def telling():
    """Print at each edge, whether or not anything changes."""
    m = Module()
    a, held = Signal(signed(3)), Signal(4)
    m.d.sync += [held.eq(held + (a >> 1)), Print(Format("sign(x, -0x4) {} {:d}", held, a))]
    m.d.comb += Assert(a < 4, "a < 4: slots[0].curr")
    return m, [a], [held]


@pytest.mark.parametrize("make", [arithmetic, memories, domains, telling])
def test_each_cycle_shows_what_amaranths_engine_shows(make, capsys) -> None:
    expected = simulated(OWN, make)
    printed = capsys.readouterr().out
    found = simulated(QueuedEngine, make)

    assert found == expected
    assert len({str(each) for each in found}) > 5
    assert capsys.readouterr().out == printed


def test_an_assertion_fails_at_the_edge_that_breaks_it() -> None:
    def make():
        m = Module()
        a, held = Signal(3), Signal(3)
        m.d.sync += [held.eq(a), Assert(held != 5)]
        return m, [a], [held]

    for engine in (OWN, QueuedEngine):
        with pytest.raises(AssertionError, match=r"^Assertion violated$"):
            simulated(engine, make)


def test_a_process_that_reads_nothing_new_does_not_run() -> None:
    m, count, held, load = Module(), Signal(8), Signal(8), Signal()
    m.d.sync += count.eq(count + 1)
    m.submodules.part = part = Module()
    part.d.sync += held.eq(held + load)
    simulator = Simulator(m, engine=QueuedEngine)
    simulator.add_clock(1e-6)
    runs = []
    for process in simulator._engine._hardware:
        process.run = lambda run=process.run: (runs.append(run), run())

    async def testbench(ctx):
        await ctx.tick().repeat(20)
        assert len(runs) == 20 + 1  # the counter each time, what stands still to begin with
        ctx.set(load, 1)
        await ctx.tick().repeat(20)
        assert (ctx.get(held), len(runs)) == (20, 20 + 1 + 2 * 20)

    simulator.add_testbench(testbench)
    simulator.run()


def test_a_testbench_may_write_memories_and_add_processes() -> None:
    def run(engine):
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=4, init=[])
        port, doubled, seen = memory.read_port(), Signal(9), []
        simulator = Simulator(m, engine=engine)
        simulator.add_clock(1e-6)

        async def double(ctx):
            async for _, _, value in ctx.tick().sample(port.data):
                ctx.set(doubled, 2 * value)

        async def testbench(ctx):
            ctx.set(port.en, 1)
            for k in range(12):
                ctx.set(port.addr, k // 4)
                ctx.set(memory.data[k // 4], 17 * k)  # while nothing else changes
                await ctx.tick()
                seen.append((ctx.get(port.data), ctx.get(doubled)))

        simulator.add_process(double)
        simulator.add_testbench(testbench)
        simulator.run()
        return seen

    assert run(QueuedEngine) == run(OWN)


def test_what_amaranth_writes_is_what_is_improved() -> None:
    """Another Amaranth that writes other Python would be slow, and nobody would see it."""
    written = []

    def compiled(text, name, mode):
        written.append(text)
        return compile(text, name, mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("queued_engine._code", compiled)
        Simulator(arithmetic()[0], engine=QueuedEngine)
        Simulator(memories()[0], engine=QueuedEngine)

    assert len(written) >= 4
    for text in written:
        body = text.split(":\n", 1)[1]
        assert not any(word in body for word in ("slots[", "sign(", ".update("))
    assert any("if write_en" in text for text in written)
