"""The whole FPGA design of a board: clocks, lines, lights, and what runs behind them."""

from dataclasses import dataclass
from typing import Any

from amaranth.build.res import ResourceError
from amaranth.hdl import Cat, ClockDomain, DomainRenamer, Module, Signal
from amaranth.lib import io, stream, wiring
from amaranth.lib.cdc import FFSynchronizer, PulseSynchronizer
from amaranth.lib.wiring import In, Out

from ..hdl.spi import Spi
from ..hdl.uart import Uart
from .arbiter import LineArbiter
from .boards import Board
from .clock import OSCILLATOR, ClockTree
from .crossing import ByteCrossing
from .pll import PllSetting

HEARTBEAT_SECONDS = 1
UART, SPI, BOTH = LINKS = ("uart", "spi", "both")


class Application(wiring.Signature):
    """What a board's design runs: bytes in, bytes out, in the domain ``sync``.

    Members
    -------
    received : In(stream of 8 bits), what the host sent; a byte not taken before the next one
        arrives is lost
    lost : In(1), a pulse for each byte that was not taken in time
    sent : Out(stream of 8 bits), what goes to the host
    alarm : Out(1), something is wrong; lights the second LED where the board has one
    """

    def __init__(self) -> None:
        byte = stream.Signature(8)
        super().__init__({"received": In(byte), "lost": In(1), "sent": Out(byte), "alarm": Out(1)})


class Top(wiring.Component):
    """Connects an application to the pins of a board.

    With a PLL the application runs in ``sync`` behind it, and the serial line in ``board``, the
    oscillator's domain: its bit rate then does not depend on the PLL. Without one both run in
    ``sync`` at the oscillator. SPI brings its own clock, and crosses into ``sync`` itself.

    Parameters
    ----------
    application
        Component of the signature :class:`Application`.
    board
        Whose platform this is elaborated for.
    setting
        Of the PLL; None to run on the oscillator.
    link
        Which lines lead to the application: one of :data:`LINKS`.

    Raises
    ------
    ValueError
        Where the board has no pins for the link.
    """

    def __init__(
        self, *, application, board: Board, setting: PllSetting | None, link: str = UART
    ) -> None:
        if link not in LINKS:
            raise ValueError(f"link must be {', '.join(LINKS[:-1])} or {LINKS[-1]}, not {link!r}")
        if link != UART and board.spi_pins is None:
            raise ValueError(
                f"{board.name} has no pins for SPI (build with --link uart; signfire boards --json "
                f"tells which boards have some)"
            )
        self.application = application
        self.board = board
        self.setting = setting
        self.link = link
        super().__init__({})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.application = application = self.application
        domain = "sync"
        if self.setting is not None:
            domain = OSCILLATOR
            m.domains += [ClockDomain(OSCILLATOR, reset_less=True), ClockDomain("sync")]
            m.submodules.clocks = ClockTree(board=self.board, setting=self.setting)
        beat = Signal(range(self.board.input_hz * HEARTBEAT_SECONDS))
        m.d[domain] += beat.eq(beat + 1)

        lines = []
        if self.link != SPI:
            lines.append(self._uart(m, platform, domain))
        if self.link != UART:
            lines.append(self._spi(m, platform))
        m.d.comb += application.lost.eq(Cat(line.lost for line in lines).any())
        if len(lines) == 1:
            wiring.connect(m, lines[0].received, application.received)
            wiring.connect(m, application.sent, lines[0].sent)
        else:
            self._share(m, lines, beat[-2])
        self._lights(m, platform, beat[-1])
        return m

    def _uart(self, m: Module, platform, domain: str) -> "_Line":
        uart = Uart(clock_hz=self.board.input_hz, baud=self.board.baud)
        m.submodules.uart = DomainRenamer(domain)(uart)
        pins = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer(io.Direction.Input, pins.rx)
        m.submodules.tx = tx = io.Buffer(io.Direction.Output, pins.tx)
        m.d.comb += [uart.rx_pin.eq(rx.i), tx.o.eq(uart.tx_pin)]
        if domain == "sync":
            return _Line(received=uart.rx, sent=uart.tx, lost=uart.overrun)
        m.submodules.inward = inward = ByteCrossing(source=domain, target="sync")
        m.submodules.outward = outward = ByteCrossing(source="sync", target=domain)
        wiring.connect(m, uart.rx, inward.i)
        wiring.connect(m, outward.o, uart.tx)
        pulse: Any = PulseSynchronizer(domain, "sync")  # amaranth-stubs leave lib.cdc out
        m.submodules.lost = pulse
        m.d.comb += pulse.i.eq(uart.overrun)
        return _Line(received=inward.o, sent=outward.i, lost=pulse.o)

    def _spi(self, m: Module, platform) -> "_Line":
        m.submodules.spi = spi = Spi()
        pins = platform.request("spi_link", 0, dir="-")
        m.submodules.sck = sck = io.Buffer(io.Direction.Input, pins.sck)
        m.submodules.cs = cs = io.Buffer(io.Direction.Input, pins.cs)
        m.submodules.copi = copi = io.Buffer(io.Direction.Input, pins.copi)
        m.submodules.cipo = cipo = io.Buffer(io.Direction.Output, pins.cipo)
        m.d.comb += [
            spi.sck.eq(sck.i),
            spi.deselected.eq(~cs.i),
            spi.copi.eq(copi.i),
            cipo.o.eq(spi.cipo),
            cipo.oe.eq(cs.i),  # others may share the wire
        ]
        return _Line(received=spi.rx, sent=spi.tx, lost=spi.overrun)

    def _share(self, m: Module, lines: "list[_Line]", beat) -> None:
        """Put an arbiter between both lines and the application; it ticks four times a second."""
        m.submodules.arbiter = arbiter = LineArbiter()
        for line, received, sent in zip(lines, arbiter.received, arbiter.sent, strict=True):
            wiring.connect(m, line.received, received)
            wiring.connect(m, sent, line.sent)
        wiring.connect(m, arbiter.to_link, self.application.received)
        wiring.connect(m, self.application.sent, arbiter.from_link)
        level, before = Signal(), Signal()
        m.submodules.tick = FFSynchronizer(beat, level)
        m.d.sync += before.eq(level)
        m.d.comb += arbiter.tick.eq(level != before)

    def _lights(self, m: Module, platform, beat) -> None:
        """Blink the first LED, and show the alarm on the second."""
        shown = {"heartbeat": beat, "alarm": self.application.alarm}
        for light, (name, value) in zip(_request_lights(platform), shown.items(), strict=False):
            m.submodules[name] = buffer = io.Buffer(io.Direction.Output, light)
            m.d.comb += buffer.o.eq(value)


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One line in the domain ``sync``: its streams and its pulse for a byte that was lost."""

    received: stream.Interface
    sent: stream.Interface
    lost: Signal


def _request_lights(platform) -> list:
    """Return up to two LED ports that no other pin of the design shares."""
    found = []
    for number in range(2):
        try:
            port = platform.request("led", number, dir="-")
        except ResourceError:
            break
        if not isinstance(port, io.PortLike):
            break
        found.append(port)
    if found:
        return found
    try:
        colours = platform.request("rgb_led", 0, dir="-")
    except ResourceError:
        return []
    return [colours.g, colours.r]
