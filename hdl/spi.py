"""SPI peripheral, mode 0: pins on one side, byte streams on the other.

A host's clock cannot wait, so the line has no backpressure. Towards the board a byte that comes
before the one before it was taken is lost, and counted, as on a UART. Towards the host a byte goes
out in every eight clocks, whether there is one to say or not: between frames it is SLIP's END,
which every receiver drops as an empty frame, and within a frame, where END would cut it, the pair
ESC :data:`FILL`, which SLIP has no other use for. A host removes such pairs before it looks for
frames; since ESC is only ever followed by ESC_END or ESC_ESC, no two of these readings collide.
"""

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Module, Mux, ResetSignal, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .idle_wire import idle_high
from .slip import END, ESC

FILL = 0xDE  # behind ESC: nothing was said in these two bytes
RISE, FALL = "sck", "sck_fall"  # clock domains of the two edges of SCK, without reset
# The same edges; reset while the chip is not selected. Only the place within a byte is kept here.
RISE_PLACE, FALL_PLACE = "sck_place", "sck_fall_place"

# SCK as a multiple of the frequency of ``sync``: a received byte must lie still for the four
# cycles that its toggle takes, of eight SCK; one to send must pass two registers before the
# eighth falling edge, six SCK after its predecessor was taken, and that news takes four cycles.
MAX_RATIO = 1.5


class SpiReceiver(wiring.Component):
    """Collect bytes on the rising edges of SCK, highest bit first, and hand them to ``sync``.

    The eighth edge of a byte stores it and turns a toggle over; SCK may stop right there. A byte
    that is cut by the end of the transfer is dropped.

    Members
    -------
    copi : In, stable around the rising edge of SCK
    data : Out, stream of bytes, in ``sync``
    overrun : Out, a pulse where a byte is lost, since the one before was not taken
    """

    copi: Signal
    data: stream.Interface
    overrun: Signal

    def __init__(self) -> None:
        super().__init__({"copi": In(1), "data": Out(stream.Signature(8)), "overrun": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        place = Signal(3)
        shifter, held, toggle = Signal(7), Signal(8), Signal()
        m.d[RISE_PLACE] += place.eq(place + 1)
        m.d[RISE] += shifter.eq(Cat(self.copi, shifter))
        with m.If(place == 7):
            m.d[RISE] += [held.eq(Cat(self.copi, shifter)), toggle.eq(~toggle)]

        arrived, known = Signal(), Signal(reset_less=True)
        m.submodules.toggle = FFSynchronizer(toggle, arrived)
        m.d.sync += [known.eq(arrived), self.overrun.eq(0)]
        with m.If(self.data.ready):
            m.d.sync += self.data.valid.eq(0)
        with m.If(arrived != known):
            with m.If(self.data.valid & ~self.data.ready):
                m.d.sync += self.overrun.eq(1)
            with m.Else():
                m.d.sync += [self.data.valid.eq(1), self.data.payload.eq(held)]
        return m


class SpiTransmitter(wiring.Component):
    """Send bytes on the falling edges of SCK, highest bit first.

    What the next eight clocks say is chosen on the falling edge before them, so that its first
    bit is there before the first rising edge, though SCK may have stopped in between. A byte that
    is cut by the end of the transfer is sent again from its first bit in the next one. The first
    byte of a transfer was chosen at the end of the one before it, and is a fill byte unless the
    host stopped within a reply.

    Members
    -------
    data : In, stream of bytes, in ``sync``
    cipo : Out
    """

    data: stream.Interface
    cipo: Signal

    def __init__(self) -> None:
        super().__init__({"data": In(stream.Signature(8)), "cipo": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        held, held_ends = Signal(8, reset_less=True), Signal(reset_less=True)
        offered, offered_seen = Signal(reset_less=True), Signal()
        taken, taken_seen = Signal(), Signal()
        m.submodules.taken = FFSynchronizer(taken, taken_seen)
        m.submodules.offered = FFSynchronizer(offered, offered_seen, o_domain=FALL)
        m.d.comb += self.data.ready.eq(offered == taken_seen)
        with m.If(self.data.valid & self.data.ready):
            m.d.sync += [
                held.eq(self.data.payload),
                held_ends.eq(self.data.payload == END),
                offered.eq(~offered),
            ]

        place, first = Signal(3), Signal(init=1)  # the first bit needs no clock to appear
        byte, shifter = Signal(8, init=END), Signal(7)
        between_frames = Signal(init=1)
        filling = Signal()  # ESC went out, and FILL has to follow
        m.d.comb += self.cipo.eq(Mux(first, byte[7], shifter[6]))
        m.d[FALL_PLACE] += [place.eq(place + 1), first.eq(place == 7)]
        m.d[FALL] += shifter.eq(Mux(first, byte, Cat(Const(0, 1), shifter))[:7])
        with m.If(place == 7):
            with m.If(filling):
                m.d[FALL] += [byte.eq(FILL), filling.eq(0)]
            with m.Elif(offered_seen != taken):
                m.d[FALL] += [byte.eq(held), between_frames.eq(held_ends), taken.eq(~taken)]
            with m.Else():
                m.d[FALL] += [byte.eq(Mux(between_frames, END, ESC)), filling.eq(~between_frames)]
        return m


class Spi(wiring.Component):
    """Both directions of an SPI peripheral, mode 0 (SCK idles low), words of eight bits.

    SCK clocks a few registers of its own, both edges; bytes cross to and from ``sync`` by toggles.
    Against sampling SCK in ``sync``, which has to find an edge, and answer it within half a period
    of SCK, this does not tie SCK to an eighth of the core's clock.

    Timing contract, with f the frequency of ``sync``:

    - SCK runs at most at ``MAX_RATIO`` f, and as place-and-route allows; chip select falls half a
      period of SCK before its first rising edge, and rises after its last falling edge.
    - CIPO is valid one clock-to-pad delay behind the falling edge of SCK, or of chip select, and a
      host that samples on the rising edge wants it within half a period: SCK <= 1 / 2(clock to
      pad + the host's set-up time + the way of SCK and CIPO through pads and cables).
    - A received byte appears in ``rx`` 3 to 4 cycles of ``sync`` after its eighth rising edge. To
      lose none, whoever takes them needs at most 8 f / SCK cycles a byte.
    - A byte that ``tx`` has before the sixth falling edge of the eight begins behind the eighth.

    Members
    -------
    sck, copi : In, pins
    deselected : In, pin, chip select at its level: low while the host speaks
    cipo : Out, pin, to be driven while selected
    rx : Out, stream of received bytes
    tx : In, stream of bytes to send: SLIP, since fill bytes go between them
    overrun : Out, a pulse where a received byte was lost
    """

    sck: Signal
    deselected: Signal
    copi: Signal
    cipo: Signal
    rx: stream.Interface
    tx: stream.Interface
    overrun: Signal

    def __init__(self) -> None:
        super().__init__(
            {
                "sck": In(1),
                "deselected": idle_high(In),
                "copi": In(1),
                "cipo": Out(1),
                "rx": Out(stream.Signature(8)),
                "tx": In(stream.Signature(8)),
                "overrun": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        for free, placed, edge in ((RISE, RISE_PLACE, "pos"), (FALL, FALL_PLACE, "neg")):
            m.domains += [
                ClockDomain(free, reset_less=True, clk_edge=edge),
                ClockDomain(placed, async_reset=True, clk_edge=edge),
            ]
            m.d.comb += [
                ClockSignal(free).eq(self.sck),
                ClockSignal(placed).eq(self.sck),
                ResetSignal(placed).eq(self.deselected),
            ]
        m.submodules.receiver = receiver = SpiReceiver()
        m.submodules.transmitter = transmitter = SpiTransmitter()
        wiring.connect(m, wiring.flipped(self.rx), receiver.data)
        wiring.connect(m, transmitter.data, wiring.flipped(self.tx))
        m.d.comb += [
            receiver.copi.eq(self.copi),
            self.cipo.eq(transmitter.cipo),
            self.overrun.eq(receiver.overrun),
        ]
        return m
