"""Frames of the host link: checked on the way in, completed on the way out."""

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from .protocol import LENGTH_LIMIT, Error
from .slip import RECEIVED, SENT

REQUEST = data.StructLayout({"command": unsigned(8), "sequence": unsigned(8), "error": Error})


class Part(enum.IntEnum, shape=3):
    """Which part of a frame the next byte belongs to, in order."""

    COMMAND = 0
    SEQUENCE = 1
    LENGTH_LOW = 2
    LENGTH_HIGH = 3
    PAYLOAD = 4
    CHECKSUM = 5
    REST = 6


class Checksum(wiring.Component):
    """CRC-32 of bytes, as zlib.crc32, a bit a cycle.

    A serial line brings a byte in many cycles, and one bit a cycle takes a quarter of the logic
    of a byte a cycle.

    Timing: a byte taken in cycle c is counted in ``crc`` from cycle c + 9 on, where the next may
    be taken.

    Members
    -------
    start : In, begin anew, with ``valid`` or before it
    valid, byte : In, taken where ``ready``
    ready : Out, nothing is under way: ``crc`` and ``matches`` count all bytes
    crc : Out
    matches : Out, the last four bytes are the checksum of those before
    """

    start: In(1)
    valid: In(1)
    byte: In(8)
    ready: Out(1)
    crc: Out(32)
    matches: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.serial = serial = CRC32_ISO_HDLC(data_width=1).create()
        # The lowest bit goes first, and a one behind the byte marks its end.
        shifter = Signal(9, init=1)
        m.d.comb += [
            self.ready.eq(shifter == 1),
            serial.start.eq(self.ready & self.start),
            serial.valid.eq(~self.ready),
            serial.data.eq(shifter[0]),
            self.crc.eq(serial.crc),
            self.matches.eq(serial.match_detected),
        ]
        with m.If(~self.ready):
            m.d.sync += shifter.eq(shifter >> 1)
        with m.Elif(self.valid):
            m.d.sync += shifter.eq(Cat(self.byte, 1))
        return m


class FrameParser(wiring.Component):
    """Check frames, pass on the payload of one command, and give a verdict at their end.

    The payload leaves as it arrives, before the checksum is known: whoever takes it forgets it
    if the verdict is an error. A frame of another command or length passes nothing on.

    Timing: a byte in nine cycles, for its checksum. The item that ends a frame is held until its
    verdict is taken, and so are all items behind it. Full backpressure. Wherever a frame breaks,
    its end leads back to the start of the next.

    Parameters
    ----------
    lengths
        Payload length of each command, 0..65535 bytes.
    consumer
        The command whose payload is passed on.

    Members
    -------
    items : In, stream of :data:`.slip.RECEIVED`
    payload : Out, stream of bytes
    request : Out, stream of :data:`REQUEST`, one for each frame that is not empty; ``error`` is
        the first :class:`.protocol.Error` that holds, 0 for a good frame
    """

    items: In(stream.Signature(RECEIVED))
    payload: Out(stream.Signature(8))
    request: Out(stream.Signature(REQUEST))

    def __init__(self, *, lengths: Mapping[int, int], consumer: int) -> None:
        for command, length in lengths.items():
            if not 0 <= length <= LENGTH_LIMIT:
                raise ValueError(
                    f"a frame holds at most {LENGTH_LIMIT} bytes, and command {command} takes "
                    f"{length}"
                )
        self.lengths, self.consumer = dict(lengths), consumer
        super().__init__()

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.crc = crc = Checksum()
        item, request = self.items.payload, self.request.payload
        begun, complete, long = Signal(), Signal(), Signal()
        command, sequence = Signal(8), Signal(8)
        length = Signal(16)  # of the payload; the same register then counts what is left of it
        known, fits = Signal(), Signal()

        judged = Signal()  # the verdict has a register of its own, one cycle behind the end
        take_byte = Signal()
        pass_on = Signal()
        m.d.comb += [
            self.items.ready.eq(
                Mux(item.end, ~begun | (judged & self.request.ready), ~pass_on | self.payload.ready)
                & crc.ready
            ),
            take_byte.eq(self.items.valid & self.items.ready & ~item.end),
            self.payload.valid.eq(self.items.valid & ~item.end & pass_on & crc.ready),
            self.payload.payload.eq(item.byte),
            crc.byte.eq(item.byte),
            crc.valid.eq(take_byte),
            crc.start.eq(~begun),
            self.request.valid.eq(judged),
            request.command.eq(command),
            request.sequence.eq(sequence),
        ]
        ended = self.items.valid & item.end & begun & crc.ready
        m.d.sync += judged.eq(ended & ~(judged & self.request.ready))
        state = Signal(Part)
        with m.If(take_byte):
            m.d.sync += state.eq(state + 1)
            with m.Switch(state):
                with m.Case(Part.COMMAND):
                    m.d.sync += [command.eq(item.byte), complete.eq(0), long.eq(0)]
                with m.Case(Part.SEQUENCE):
                    m.d.sync += [sequence.eq(item.byte), known.eq(self._known(command))]
                with m.Case(Part.LENGTH_LOW):
                    m.d.sync += length[:8].eq(item.byte)
                with m.Case(Part.LENGTH_HIGH):
                    whole = Cat(length[:8], item.byte)
                    m.d.sync += [length[8:].eq(item.byte), fits.eq(self._fits(command, whole))]
                    with m.If(whole == 0):
                        m.d.sync += state.eq(Part.CHECKSUM)
                with m.Case(Part.PAYLOAD):
                    m.d.sync += length.eq(length - 1)
                    with m.If(length != 1):
                        m.d.sync += state.eq(Part.PAYLOAD)
                with m.Case(Part.CHECKSUM):
                    # `length` is 0 here, and its two low bits count the four bytes.
                    m.d.sync += [length.eq(length - 1), complete.eq(length[:2] == 1)]
                    with m.If(length[:2] != 1):
                        m.d.sync += state.eq(Part.CHECKSUM)
                with m.Case(Part.REST):
                    m.d.sync += [state.eq(Part.REST), long.eq(1)]
        with m.Elif(self.items.valid & self.items.ready):
            m.d.sync += state.eq(Part.COMMAND)
        m.d.comb += [
            begun.eq(state != Part.COMMAND),
            pass_on.eq((state == Part.PAYLOAD) & fits & (command == self.consumer)),
        ]
        self._judge(
            m,
            broken=item.broken,
            complete=complete,
            long=long,
            known=known,
            fits=fits,
            matches=crc.matches,
        )
        return m

    def _known(self, command):
        return Cat(command == known for known in self.lengths).any()

    def _fits(self, command, length):
        return Cat((command == c) & (length == n) for c, n in self.lengths.items()).any()

    def _judge(self, m: Module, *, broken, complete, long, matches, known, fits) -> None:
        checks = [
            (broken, Error.ESCAPE),
            (~complete, Error.SHORT),
            (long, Error.LONG),
            (~matches, Error.CHECKSUM),
            (~known, Error.COMMAND),
            (~fits, Error.LENGTH),
        ]
        error = Error.NONE
        for fails, number in reversed(checks):
            error = Mux(fails, number, error)
        m.d.sync += self.request.payload.error.eq(error)


class FrameBuilder(wiring.Component):
    """Put a header before a body and a checksum behind it.

    A reply is END, the header, ``length`` bytes of the body, the checksum, END; a byte in nine
    cycles, for its checksum. Full backpressure.

    Parameters
    ----------
    length_limit
        The greatest ``length``.

    Members
    -------
    start : In, send a frame; the header is held until ``idle``
    code, sequence, length : In, the header
    position : Out, number of the byte that the body is asked for
    byte_valid, byte : In, that byte, at the latest eight cycles after ``position`` came to stand
    byte_taken : Out, in its last cycle
    items : Out, stream of :data:`.slip.SENT`
    idle : Out
    """

    def __init__(self, *, length_limit: int) -> None:
        if not 1 <= length_limit <= LENGTH_LIMIT:
            raise ValueError(f"a reply holds 1 to {LENGTH_LIMIT} bytes, not {length_limit}")
        super().__init__(
            {
                "start": In(1),
                "code": In(8),
                "sequence": In(8),
                "length": In(range(length_limit + 1)),
                "position": Out(range(max(4, length_limit))),
                "byte_valid": In(1),
                "byte": In(8),
                "byte_taken": Out(1),
                "items": Out(stream.Signature(SENT)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.crc = crc = Checksum()
        # An item is held in a register: choosing a byte and escaping it are a cycle each.
        item, position = Signal(SENT), self.position
        offered = Signal()
        header = Cat(self.code, self.sequence, Cat(self.length, Const(0, 16))[:16])
        sent = Signal()
        m.d.comb += [sent.eq(offered & ~self.items.valid), crc.byte.eq(item.byte)]
        with m.If(self.items.ready):
            m.d.sync += self.items.valid.eq(0)
        with m.If(sent):
            m.d.sync += [self.items.valid.eq(1), self.items.payload.eq(item)]
        following = Signal.like(position)
        m.d.comb += following.eq(position)
        m.d.sync += position.eq(following)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.idle.eq(1), crc.start.eq(1), following.eq(0)]
                with m.If(self.start):
                    m.next = "OPEN"
            with m.State("OPEN"):
                m.d.comb += [offered.eq(1), item.end.eq(1)]
                with m.If(sent):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [
                    offered.eq(crc.ready),
                    item.byte.eq(header.word_select(position[:2], 8)),
                    crc.valid.eq(sent),
                ]
                with m.If(sent):
                    m.d.comb += following.eq(position + 1)
                    with m.If(position == 3):
                        m.d.comb += following.eq(0)
                        m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += [
                    offered.eq(crc.ready & self.byte_valid),
                    item.byte.eq(self.byte),
                    crc.valid.eq(sent),
                    self.byte_taken.eq(sent),
                ]
                with m.If(sent):
                    m.d.comb += following.eq(position + 1)
                    with m.If(position == self.length - 1):
                        m.d.comb += following.eq(0)
                        m.next = "CHECKSUM"
            with m.State("CHECKSUM"):
                m.d.comb += [
                    offered.eq(crc.ready),
                    item.byte.eq(crc.crc.word_select(position[:2], 8)),
                ]
                with m.If(sent):
                    m.d.comb += following.eq(position + 1)
                    with m.If(position == 3):
                        m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += [offered.eq(1), item.end.eq(1)]
                with m.If(sent):
                    m.next = "IDLE"
        return m
