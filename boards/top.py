"""The whole FPGA design of a board: clocks, serial line, lights, and what runs behind them."""

from amaranth.build import ResourceError
from amaranth.hdl import ClockDomain, DomainRenamer, Module, Signal
from amaranth.lib import io, stream, wiring
from amaranth.lib.cdc import PulseSynchronizer
from amaranth.lib.wiring import In, Out

from ..hdl.uart import Uart
from .boards import Board
from .clock import OSCILLATOR, ClockTree
from .crossing import ByteCrossing
from .pll import PllSetting

HEARTBEAT_SECONDS = 1


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
    ``sync`` at the oscillator.

    Parameters
    ----------
    application
        Component of the signature :class:`Application`.
    board
        Whose platform this is elaborated for.
    setting
        Of the PLL; None to run on the oscillator.
    """

    def __init__(self, *, application, board: Board, setting: PllSetting | None) -> None:
        self.application = application
        self.board = board
        self.setting = setting
        super().__init__({})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.application = application = self.application
        domain = "sync"
        if self.setting is not None:
            domain = OSCILLATOR
            m.domains += [ClockDomain(OSCILLATOR, reset_less=True), ClockDomain("sync")]
            m.submodules.clocks = ClockTree(board=self.board, setting=self.setting)
        uart = Uart(clock_hz=self.board.input_hz, baud=self.board.baud)
        m.submodules.uart = DomainRenamer(domain)(uart)
        pins = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", pins.rx)
        m.submodules.tx = tx = io.Buffer("o", pins.tx)
        m.d.comb += [uart.rx_pin.eq(rx.i), tx.o.eq(uart.tx_pin)]

        received, sent, lost = uart.rx, application.sent, uart.overrun
        if domain != "sync":
            m.submodules.inward = inward = ByteCrossing(source=domain, target="sync")
            m.submodules.outward = outward = ByteCrossing(source="sync", target=domain)
            wiring.connect(m, received, inward.i)
            wiring.connect(m, sent, outward.i)
            m.submodules.lost = pulse = PulseSynchronizer(domain, "sync")
            m.d.comb += pulse.i.eq(uart.overrun)
            received, sent, lost = inward.o, outward.o, pulse.o
        wiring.connect(m, received, application.received)
        wiring.connect(m, sent, uart.tx)
        m.d.comb += application.lost.eq(lost)
        self._lights(m, platform, domain)
        return m

    def _lights(self, m: Module, platform, domain: str) -> None:
        """Blink the first LED, and show the alarm on the second."""
        lights = _request_lights(platform)
        if not lights:
            return
        period = self.board.input_hz * HEARTBEAT_SECONDS
        beat = Signal(range(period))
        m.d[domain] += beat.eq(beat + 1)
        shown = {"heartbeat": beat[-1], "alarm": self.application.alarm}
        for light, (name, value) in zip(lights, shown.items(), strict=False):
            m.submodules[name] = buffer = io.Buffer("o", light)
            m.d.comb += buffer.o.eq(value)


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
