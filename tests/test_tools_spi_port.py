"""A host on SPI: every bit from spidev's transfer to the RTL of link and core, and back."""

import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import serial
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from signfire.boards.accelerator import Accelerator
from signfire.boards.arbiter import LineArbiter
from signfire.boards.boards import find_board
from signfire.gen.design.folding import Folding
from signfire.gen.design.linkformat import SampleFormat
from signfire.hdl.protocol import Command
from signfire.hdl.slip import END, ESC
from signfire.hdl.spi import FILL, Spi
from signfire.sim import golden
from signfire.sim.specimens.chains import random_design
from signfire.tools.host import Board, LinkError, encode_frame, open_port
from signfire.tools.link_speed import spi_byte_cycles
from signfire.tools.spi_port import POLL_BYTES, SpiPort, parse_name, serial_failures

CYCLE = 1e-6
FOLDING = {"fc1": Folding(pe=2, simd=2, unroll=1), "fc2": Folding(pe=1, simd=2, unroll=1)}


class SimulatedBoard:
    """SPI pins and a line of bytes, an arbiter, the link and the core of a design.

    Parameters
    ----------
    ratio
        SCK as a multiple of the core's clock.
    """

    def __init__(self, design, *, ratio: float = 0.8) -> None:
        self.half = CYCLE / ratio / 2
        self.spi, self.arbiter = Spi(), LineArbiter()
        application = Accelerator(design, find_board("arty-a7-35"))
        m = Module()
        m.submodules.spi, m.submodules.arbiter = self.spi, self.arbiter
        m.submodules.application = application
        wiring.connect(m, self.spi.rx, self.arbiter.received[1])
        wiring.connect(m, self.arbiter.sent[1], self.spi.tx)
        wiring.connect(m, self.arbiter.to_link, application.received)
        wiring.connect(m, application.sent, self.arbiter.from_link)
        m.d.comb += application.lost.eq(self.spi.overrun)
        self.work: list[int] | None = None
        self.answer: list[int] = []
        self.time = 0.0
        self.serial_up: list[int] = []
        self.serial_down = bytearray()
        self.simulator = Simulator(m)
        self.simulator.add_clock(CYCLE)
        self.simulator.add_testbench(self._pins)
        self.simulator.add_testbench(self._serial, background=True)

    def transfer(self, data) -> list[int]:
        """Exchange bytes in one transfer, as spidev's ``xfer2``."""
        self.work = list(data)
        while self.work is not None:
            self.simulator.advance()
        return self.answer

    def clock(self) -> float:
        return self.time

    async def _wait(self, ctx, seconds: float) -> None:
        self.time += seconds
        await ctx.delay(seconds)

    async def _pins(self, ctx):
        spi = self.spi
        while True:
            while self.work is None:
                await self._wait(ctx, 3 * CYCLE)
            answer = []
            ctx.set(spi.deselected, 0)
            for byte in self.work:
                heard = 0
                for bit in reversed(range(8)):
                    ctx.set(spi.copi, byte >> bit & 1)
                    await self._wait(ctx, self.half)
                    heard = heard << 1 | ctx.get(spi.cipo)
                    ctx.set(spi.sck, 1)
                    await self._wait(ctx, self.half)
                    ctx.set(spi.sck, 0)
                answer.append(heard)
            await self._wait(ctx, self.half)
            ctx.set(spi.deselected, 1)
            self.answer, self.work = answer, None

    async def _serial(self, ctx):
        """Carry bytes of the other line, one in 40 cycles each way."""
        up, down = self.arbiter.received[0], self.arbiter.sent[0]
        cycle = 0
        async for _, _, taken, said, byte in ctx.tick().sample(up.ready, down.valid, down.payload):
            cycle += 1
            if said and ctx.get(down.ready):
                self.serial_down.append(byte)
            ctx.set(down.ready, cycle % 40 == 0)
            if ctx.get(up.valid) and taken:
                ctx.set(up.valid, 0)
            elif self.serial_up and not ctx.get(up.valid) and cycle % 40 == 0:
                ctx.set(up.payload, self.serial_up.pop(0))
                ctx.set(up.valid, 1)


def install(monkeypatch, board: SimulatedBoard) -> SimpleNamespace:
    """Put a module ``spidev`` in place whose one bus leads to the board."""
    bus = SimpleNamespace(opened=None, closed=False)

    class SpiDev:
        def open(self, number, device):
            bus.opened = (number, device)

        def xfer2(self, data):
            bus.mode, bus.hz = self.mode, self.max_speed_hz
            return board.transfer(data)

        def close(self):
            bus.closed = True

    monkeypatch.setitem(sys.modules, "spidev", SimpleNamespace(SpiDev=SpiDev))
    return bus


def some_samples(design, count: int, seed: int = 0) -> np.ndarray:
    form = design.input_format
    rng = np.random.default_rng(seed)
    return rng.integers(form.low, form.high + 1, (count, design.input.size))


@pytest.fixture(scope="module")
def design():
    return random_design(seed=1, sizes=(8, 4, 2), steps=2, input_steps=2, folding=FOLDING)


def connect_to(simulated: SimulatedBoard) -> Board:
    """Return a host whose transfers fail as a bus does."""
    exchange = serial_failures(lambda data: bytes(simulated.transfer(data)))
    port = SpiPort(exchange, clock=simulated.clock)
    return Board(port, timeout_s=0.002, clock=simulated.clock)


@pytest.mark.few(1)
@pytest.mark.parametrize("ratio", [0.8, 0.4])
def test_samples_through_the_pins_give_what_golden_says(monkeypatch, design, ratio):
    simulated = SimulatedBoard(design, ratio=ratio)
    bus = install(monkeypatch, simulated)
    x = some_samples(design, 2)
    expected = golden.run(design, design.raw_samples(x))

    with open_port("spidev:0.1:20M", 0) as port:
        port.clock = simulated.clock
        board = Board(port, timeout_s=0.004, clock=simulated.clock)
        results = list(board.infer(design, x))
        status = board.status()

    assert expected.logits.tolist() == [r.logits.tolist() for r in results]
    assert expected.labels.tolist() == [r.label for r in results]
    assert ((0, 1), 0, 20_000_000, True) == (bus.opened, bus.mode, bus.hz, bus.closed)
    assert (0, 0) == (status.bad, status.lost)


@pytest.mark.few(2)  # below the rate and above it
@pytest.mark.parametrize(("share", "loses"), [(0.97, False), (1.3, True)])
@pytest.mark.parametrize("lanes", [4, 1])
def test_a_sample_loses_no_byte_at_the_rate_that_the_report_states(lanes, share, loses):
    folding = {"input": Folding(pe=lanes), "fc1": Folding(pe=2, simd=4), "fc2": Folding(pe=1)}
    design = random_design(seed=2, sizes=(96, 4, 2), steps=2, input_steps=2, folding=folding)
    simulated = SimulatedBoard(design)
    board = connect_to(simulated)
    board.identify()
    sample = SampleFormat.of(design).pack(some_samples(design, 1))[0].tobytes()
    fast = share * 8 / spi_byte_cycles(design, "ecp5")

    simulated.half, usual = CYCLE / fast / 2, simulated.half
    simulated.transfer(encode_frame(Command.INFER, 1, sample))
    simulated.half = usual
    status = board.status()

    assert loses == (status.lost > 0)
    assert loses == (status.bad > 0)


def test_two_hosts_at_once_both_get_their_own_answers(design):
    simulated = SimulatedBoard(design)
    board = connect_to(simulated)
    x = some_samples(design, 2)
    expected = golden.run(design, design.raw_samples(x))
    asked = 2
    for sequence in range(asked):
        simulated.serial_up += encode_frame(Command.STATUS, 0x40 + sequence)

    results = list(board.infer(design, x))
    while simulated.serial_up:
        simulated.transfer([END] * 64)
    simulated.transfer([END] * 400)

    assert expected.logits.tolist() == [r.logits.tolist() for r in results]
    replies = [f for f in bytes(simulated.serial_down).split(b"\xc0") if f]
    assert [(0x82, 0x40 + n) for n in range(asked)] == [(f[0], f[1]) for f in replies]


class Scripted:
    """A bus that says what it is told to, and then one byte for ever; 10 µs a transfer."""

    def __init__(self, *said: bytes, then: int) -> None:
        self.said, self.then, self.time = list(said), then, 0.0
        self.heard: list[bytes] = []

    def __call__(self, data: bytes) -> bytes:
        self.time += 1e-5
        self.heard.append(data)
        return self.said.pop(0) if self.said else bytes([self.then]) * len(data)

    def board(self) -> Board:
        port = SpiPort(serial_failures(self), clock=lambda: self.time)
        return Board(port, timeout_s=0.0005, clock=lambda: self.time)


@pytest.mark.parametrize("level", [0x00, 0xFF])
def test_a_line_that_nobody_drives_is_reported_as_no_answer(level):
    with pytest.raises(LinkError, match=r"did not answer identity in 4 attempts"):
        Scripted(then=level).board().identify()


@pytest.mark.parametrize("level", [0x00, 0xFF])
def test_a_line_that_falls_silent_within_a_reply_ends_in_a_time_out(level):
    with pytest.raises(LinkError, match="did not answer identity"):
        Scripted(b"\xc0", bytes([END, 0x81, 1, 4, 0]), then=level).board().identify()


def test_fill_bytes_are_removed_wherever_the_line_is_cut():
    rng = random.Random(1)
    frames = [[rng.choice((7, ESC, 0x55)) for _ in range(20)] for _ in range(20)]
    said = []
    for frame in frames:
        escaped = [b for x in frame for b in ([ESC, 0xDD] if x == ESC else [x])]
        said += [END, *escaped, END]
    line = []
    for byte in said:
        while rng.random() < 0.4:
            line += [END] if line and line[-1] == END else [ESC, FILL] if line else [END]
        line.append(byte)
    chunks = []
    while line:
        size = rng.randrange(1, 9)
        chunks.append(bytes(line[:size]))
        del line[:size]
    port = SpiPort(lambda data: chunks.pop(0) if chunks else bytes([END]) * 8)
    heard = b""
    while chunks:
        heard += port.read(1000)

    without_empty = [f for f in heard.split(bytes([END])) if f]
    assert [bytes(f) for f in said_frames(said)] == without_empty


def said_frames(said: list[int]) -> list[bytes]:
    return [f for f in bytes(said).split(bytes([END])) if f]


def test_reading_polls_until_time_is_up_and_not_longer():
    bus = Scripted(then=END)
    port = SpiPort(bus, timeout=4.5e-5, clock=lambda: bus.time)

    assert b"" == port.read(10)
    assert [bytes([END]) * POLL_BYTES] * 5 == bus.heard


def test_a_bus_that_fails_is_reported_as_a_port_that_fails():
    def broken(data: bytes) -> bytes:
        raise OSError("Input/output error")

    port = SpiPort(serial_failures(broken))

    with pytest.raises(serial.SerialException, match="Input/output error"):
        port.read(1)


def test_ftdi_adapter_is_driven_in_mode_0_and_full_duplex(monkeypatch):
    calls = []

    class SpiController:
        def configure(self, url):
            calls.append(url)

        def get_port(self, cs, freq, mode):
            calls.append((cs, freq, mode))
            return self

        def exchange(self, data, length, duplex):
            calls.append((data, length, duplex))
            return bytearray([END] * length)

        def close(self):
            calls.append("closed")

    modules = {
        "pyftdi": SimpleNamespace(),
        "pyftdi.ftdi": SimpleNamespace(FtdiError=OSError),
        "pyftdi.spi": SimpleNamespace(SpiController=SpiController),
        "pyftdi.usbtools": SimpleNamespace(UsbToolsError=OSError),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)

    with open_port("ftdi://ftdi:232h/1:30M", 0) as port:
        port.write(b"ab")

    assert ["ftdi://ftdi:232h/1", (0, 30_000_000, 0), (b"ab", 2, True), "closed"] == calls


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("spidev:0.0", ("spidev:0.0", 5_000_000)),
        ("spidev:1.2:20M", ("spidev:1.2", 20_000_000)),
        ("spidev:0.0:1.5M", ("spidev:0.0", 1_500_000)),
        ("ftdi://ftdi:232h/1", ("ftdi://ftdi:232h/1", 5_000_000)),
        ("ftdi://ftdi:232h:FT0AB/1:400k", ("ftdi://ftdi:232h:FT0AB/1", 400_000)),
    ],
)
def test_names_of_ports_carry_a_clock(name, meant):
    assert meant == parse_name(name)


@pytest.mark.parametrize("name", ["spidev:0", "spidev:0.0:fast", "ftdi://", "spidev:0.0:20G"])
def test_another_form_of_name_is_answered_with_those_there_are(name):
    with pytest.raises(LinkError) as refusal:
        open_port(name, 0)

    assert (
        "an SPI port is named spidev:BUS.DEVICE or ftdi://ftdi:232h/1, and :HZ behind it for "
        f"another clock than 5M (spidev:0.0:20M for instance), not {name!r}"
    ) == str(refusal.value)


@pytest.mark.parametrize(
    ("name", "library"), [("spidev:0.0", "spidev"), ("ftdi://ftdi:232h/1", "pyftdi")]
)
def test_a_missing_library_is_named_with_the_way_to_install_it(monkeypatch, name, library):
    for module in ("spidev", "pyftdi", "pyftdi.ftdi"):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(LinkError) as refusal:
        open_port(name, 0)

    assert (
        f"this port needs {library}, which is not installed (pip install signfire[spi])"
    ) == str(refusal.value)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (FileNotFoundError(2, "no"), "there is no /dev/spidev0.0 (enable SPI: dtparam=spi=on in"),
        (PermissionError(13, "no"), "/dev/spidev0.0 may not be opened by this user (sudo"),
        (OSError(22, "Invalid argument"), "/dev/spidev0.0 cannot be used at 5,000,000 Hz: "),
    ],
)
def test_a_bus_that_cannot_be_opened_comes_with_the_way_out(monkeypatch, failure, message):
    class SpiDev:
        def open(self, number, device):
            raise failure

    monkeypatch.setitem(sys.modules, "spidev", SimpleNamespace(SpiDev=SpiDev))

    with pytest.raises(LinkError) as refusal:
        open_port("spidev:0.0", 0)

    assert str(refusal.value).startswith(message)
