"""UART, 8 data bits, no parity, one stop bit: pins on one side, byte streams on the other."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .idle_wire import idle_high

MIN_CYCLES_PER_BIT = 8  # below it, the sampling point wanders by more than an eighth of a bit
RESOLUTION_BITS = 10  # the increment of the phase is at least 2^10, so the rate is within 0.05 %


class BitClock(wiring.Component):
    """Tick once a bit, at ``baud`` bits a second on average, from any clock.

    phase(c+1) = phase(c) + increment mod 2^width; a tick is the carry out, so that ticks lie
    clock_hz/baud cycles apart, rounded up or down.

    Parameters
    ----------
    clock_hz, baud
        Of the ``sync`` domain, and bits a second.

    Members
    -------
    restart : In, set the phase to zero: the next tick comes one bit later
    halfway : In, with ``restart``: the next tick comes in the middle of the bit that has just begun
    tick : Out

    Raises
    ------
    ValueError
        Where a bit is shorter than :data:`MIN_CYCLES_PER_BIT` clock cycles.
    """

    restart: Signal
    halfway: Signal
    tick: Signal

    def __init__(self, *, clock_hz: float, baud: float) -> None:
        if not baud > 0 or clock_hz < MIN_CYCLES_PER_BIT * baud:
            raise ValueError(
                f"a UART needs {MIN_CYCLES_PER_BIT} clock cycles a bit, not {clock_hz:g} Hz / "
                f"{baud:g} baud (at this clock, at most {clock_hz / MIN_CYCLES_PER_BIT:g} baud)"
            )
        self.width = int(clock_hz / baud).bit_length() + RESOLUTION_BITS
        self.increment = round(baud * 2**self.width / clock_hz)
        self.baud = clock_hz * self.increment / 2**self.width
        super().__init__({"restart": In(1), "halfway": In(1), "tick": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        phase = Signal(self.width)
        m.d.sync += Cat(phase, self.tick).eq(phase + self.increment)
        with m.If(self.restart):
            # The start bit is two cycles old when its receiver sees the tick that it counts from.
            half = 2 ** (self.width - 1) + 2 * self.increment
            m.d.sync += [phase.eq(Mux(self.halfway, half, 0)), self.tick.eq(0)]
        return m


class UartTransmitter(wiring.Component):
    """Send bytes: a low start bit, eight data bits from the lowest, a high stop bit.

    Accepts a byte whenever the stop bit of the one before is over; ten bits a byte.

    Members
    -------
    data : In, stream of bytes
    pin : Out, idle high
    """

    data: stream.Interface
    pin: Signal

    def __init__(self, *, clock_hz: float, baud: float) -> None:
        self.bit_clock = BitClock(clock_hz=clock_hz, baud=baud)
        super().__init__({"data": In(stream.Signature(8)), "pin": idle_high(Out)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.bit_clock = bit_clock = self.bit_clock
        shifter = Signal(9)  # what is left to send; the highest one is the stop bit
        busy = Signal()
        m.d.comb += [
            self.data.ready.eq(~busy),
            bit_clock.restart.eq(~busy),
        ]
        with m.If(~busy):
            m.d.sync += [self.pin.eq(1), busy.eq(self.data.valid)]
            with m.If(self.data.valid):
                m.d.sync += [self.pin.eq(0), shifter.eq(Cat(self.data.payload, 1))]
        with m.Elif(bit_clock.tick):
            m.d.sync += [self.pin.eq(shifter[0]), shifter.eq(shifter >> 1)]
            with m.If(shifter == 0):  # the stop bit was on the line
                m.d.sync += [self.pin.eq(1), busy.eq(0)]
        return m


class UartReceiver(wiring.Component):
    """Receive bytes; each bit is sampled once, in its middle.

    A start bit that is over before its middle is taken for noise, and a byte without a high stop
    bit is dropped; the line must then go high before another byte starts.

    Members
    -------
    pin : In, asynchronous
    data : Out, stream of bytes
    overrun : Out, a pulse where a byte is lost, since the one before was not taken
    """

    pin: Signal
    data: stream.Interface
    overrun: Signal

    def __init__(self, *, clock_hz: float, baud: float) -> None:
        self.bit_clock = BitClock(clock_hz=clock_hz, baud=baud)
        super().__init__(
            {"pin": idle_high(In), "data": Out(stream.Signature(8)), "overrun": Out(1)}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.bit_clock = bit_clock = self.bit_clock
        line = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.pin, line, init=1)
        with m.If(self.data.ready):
            m.d.sync += self.data.valid.eq(0)
        m.d.sync += self.overrun.eq(0)

        shifter = Signal(8)
        marker = Signal(9)  # a one that travels to bit 0 in eight shifts
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [bit_clock.restart.eq(1), bit_clock.halfway.eq(1)]
                with m.If(~line):
                    m.next = "START"
            with m.State("START"), m.If(bit_clock.tick):
                m.d.sync += marker.eq(1 << 8)
                with m.If(line):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "DATA"
            with m.State("DATA"), m.If(bit_clock.tick):
                m.d.sync += marker.eq(marker >> 1)
                with m.If(marker[0]):  # eight bits are in: this is the stop bit
                    m.next = "RELEASE"
                    with m.If(line):
                        self._deliver(m, shifter)
                with m.Else():
                    m.d.sync += shifter.eq(Cat(shifter[1:], line))
            with m.State("RELEASE"), m.If(line):
                m.next = "IDLE"
        return m

    def _deliver(self, m: Module, byte) -> None:
        with m.If(self.data.valid & ~self.data.ready):
            m.d.sync += self.overrun.eq(1)
        with m.Else():
            m.d.sync += [self.data.valid.eq(1), self.data.payload.eq(byte)]


class Uart(wiring.Component):
    """Both directions of a UART.

    Parameters
    ----------
    clock_hz, baud
        Frequency of the ``sync`` domain and bits a second; at least 8 cycles a bit.

    Members
    -------
    rx_pin, tx_pin : In and Out, the lines, idle high
    rx : Out, stream of received bytes
    tx : In, stream of bytes to send
    overrun : Out, a pulse where a received byte was lost
    """

    rx_pin: Signal
    tx_pin: Signal
    rx: stream.Interface
    tx: stream.Interface
    overrun: Signal

    def __init__(self, *, clock_hz: float, baud: float) -> None:
        self.receiver = UartReceiver(clock_hz=clock_hz, baud=baud)
        self.transmitter = UartTransmitter(clock_hz=clock_hz, baud=baud)
        super().__init__(
            {
                "rx_pin": idle_high(In),
                "tx_pin": idle_high(Out),
                "rx": Out(stream.Signature(8)),
                "tx": In(stream.Signature(8)),
                "overrun": Out(1),
            }
        )

    @property
    def baud(self) -> float:
        """Bits a second that the divider really gives."""
        return self.transmitter.bit_clock.baud

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receiver = receiver = self.receiver
        m.submodules.transmitter = transmitter = self.transmitter
        wiring.connect(m, wiring.flipped(self.rx), receiver.data)
        wiring.connect(m, transmitter.data, wiring.flipped(self.tx))
        m.d.comb += [
            receiver.pin.eq(self.rx_pin),
            self.overrun.eq(receiver.overrun),
            self.tx_pin.eq(transmitter.pin),
        ]
        return m
