"""Frames of the host link: checked on the way in, completed on the way out."""

from collections.abc import Mapping
from typing import Any

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

    start: Signal
    valid: Signal
    byte: Signal
    ready: Signal
    crc: Signal
    matches: Signal

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "valid": In(1),
                "byte": In(8),
                "ready": Out(1),
                "crc": Out(32),
                "matches": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        serial: Any = CRC32_ISO_HDLC(data_width=1).create()  # amaranth-stubs leave lib.crc out
        m.submodules.serial = serial
        # The lowest bit goes first, and a one behind the byte marks its end.
        shifter, idle = Signal(9), Signal(init=1)
        m.d.comb += [
            self.ready.eq(idle),
            serial.start.eq(idle & self.start),
            serial.valid.eq(~idle),
            serial.data.eq(shifter[0]),
            self.crc.eq(serial.crc),
            self.matches.eq(serial.match_detected),
        ]
        with m.If(~idle):
            m.d.sync += [shifter.eq(shifter >> 1), idle.eq(shifter[1:] == 1)]
        with m.Elif(self.valid):
            m.d.sync += [shifter.eq(Cat(self.byte, 1)), idle.eq(0)]
        return m


class FrameFields(wiring.Component):
    """Read the fields of a frame as its bytes come, and find where its payload lies.

    Timing: a field is right four cycles after its last byte, before the next byte can come: a
    byte keeps its checksum busy for eight. So no comparison stands in the way of a byte.

    Parameters
    ----------
    lengths
        Payload length of each command, 0..65535 bytes.
    consumer
        The command whose payload somebody takes.

    Members
    -------
    take, byte : In, the next byte of the frame
    finish : In, a pulse: the frame is over, a cycle after its last byte or later
    busy : In, the consumer can take no payload now
    drop : In, a pulse: the consumer lost what it has of this frame
    command, sequence : Out
    begun : Out, at least one byte of a frame was taken
    passing : Out, the next byte belongs to a payload that the consumer takes
    complete, long : Out, all bytes of the checksum came; and more bytes behind them
    known, fits : Out, there is such a command; and its payload has this length
    refused, dropped : Out, the consumer was busy; or it lost the payload
    """

    take: Signal
    byte: Signal
    finish: Signal
    busy: Signal
    drop: Signal
    command: Signal
    sequence: Signal
    begun: Signal
    passing: Signal
    complete: Signal
    long: Signal
    known: Signal
    fits: Signal
    refused: Signal
    dropped: Signal

    def __init__(self, *, lengths: Mapping[int, int], consumer: int) -> None:
        for command, length in lengths.items():
            if not 0 <= length <= LENGTH_LIMIT:
                raise ValueError(
                    f"a frame holds at most {LENGTH_LIMIT} bytes, and command {command} takes "
                    f"{length}"
                )
        self.lengths, self.consumer = dict(lengths), consumer
        inputs = {name: In(1) for name in ("take", "finish", "busy", "drop")}
        found = "begun passing complete long known fits refused dropped".split()
        super().__init__(
            {"byte": In(8), "command": Out(8), "sequence": Out(8)}
            | inputs
            | {name: Out(1) for name in found}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        state = Signal(Part)
        length = Signal(16)  # of the payload; the same register then counts what is left of it
        of_length = {n: Signal(name=f"length_is_{n}") for n in {0, *self.lengths.values()}}
        empty, headed = of_length[0], Signal(2)  # the header is complete, and was compared
        consumes, admitted = Signal(), Signal()
        in_payload = (state == Part.PAYLOAD) & ~empty
        m.d.comb += self.begun.eq(state != Part.COMMAND)
        m.d.sync += [
            *(equal.eq(length == n) for n, equal in of_length.items()),
            headed.eq(Cat(self.take & (state == Part.LENGTH_HIGH), headed)),
            self.known.eq(Cat(self.command == command for command in self.lengths).any()),
            consumes.eq(self.command == self.consumer),
            self.refused.eq(consumes & ~admitted),
            # A payload that its frame's end cuts off passes nothing of the next frame.
            self.passing.eq(in_payload & admitted & ~self.dropped & ~self.drop & ~self.finish),
        ]
        with m.If(headed[1]):
            fits = [(self.command == c) & of_length[n] for c, n in self.lengths.items()]
            m.d.sync += [
                self.fits.eq(Cat(*fits).any()),
                admitted.eq(consumes & of_length[self.lengths[self.consumer]] & ~self.busy),
            ]
        with m.If(self.drop & admitted):
            m.d.sync += self.dropped.eq(1)
        with m.If(self.take):
            m.d.sync += state.eq(state + 1)
            with m.Switch(state):
                with m.Case(Part.COMMAND):
                    m.d.sync += [self.command.eq(self.byte), admitted.eq(0), self.dropped.eq(0)]
                    m.d.sync += [self.complete.eq(0), self.long.eq(0)]
                with m.Case(Part.SEQUENCE):
                    m.d.sync += self.sequence.eq(self.byte)
                with m.Case(Part.LENGTH_LOW):
                    m.d.sync += length[:8].eq(self.byte)
                with m.Case(Part.LENGTH_HIGH):
                    m.d.sync += length[8:].eq(self.byte)
                with m.Case(Part.PAYLOAD):
                    # Where nothing is left, this is the first byte of the checksum.
                    m.d.sync += [length.eq(length - 1), state.eq(Part.PAYLOAD + empty)]
                with m.Case(Part.CHECKSUM):
                    # `length` counts on below 0, and its two low bits count the four bytes.
                    last = length[:2] == 1
                    m.d.sync += [length.eq(length - 1), self.complete.eq(last)]
                    m.d.sync += state.eq(Part.CHECKSUM + last)
                with m.Case(Part.REST):
                    m.d.sync += [state.eq(Part.REST), self.long.eq(1)]
        with m.Elif(self.finish):
            m.d.sync += state.eq(Part.COMMAND)
        return m


class FrameParser(wiring.Component):
    """Check frames, pass on the payload of one command, and give a verdict at their end.

    The payload leaves as it arrives, before the checksum is known: whoever takes it forgets it
    if the verdict is an error. A frame of another command or length passes nothing on, nor does
    one whose header ends while its consumer is ``busy``, and after a ``drop`` the rest of the
    payload is passed over.

    Timing: an item is held in a register, so that no sender waits for what becomes of it in the
    same cycle; a byte in ten cycles, for its checksum. The item that ends a frame is held until
    its verdict is taken. Full backpressure. Wherever a frame breaks, its end leads back to the
    start of the next.

    Parameters
    ----------
    lengths, consumer
        See :class:`FrameFields`.

    Members
    -------
    items : In, stream of :data:`.slip.RECEIVED`
    payload : Out, stream of bytes, to the consumer
    busy, drop : In, see :class:`FrameFields`
    request : Out, stream of :data:`REQUEST`, one for each frame that is not empty, be it a wrong
        escape alone; ``error`` is the first :class:`.protocol.Error` that holds, 0 for a good frame
    """

    items: stream.Interface
    payload: stream.Interface
    busy: Signal
    drop: Signal
    request: stream.Interface

    def __init__(self, *, lengths: Mapping[int, int], consumer: int) -> None:
        self.fields = FrameFields(lengths=lengths, consumer=consumer)
        super().__init__(
            {
                "items": In(stream.Signature(RECEIVED)),
                "payload": Out(stream.Signature(8)),
                "busy": In(1),
                "drop": In(1),
                "request": Out(stream.Signature(REQUEST)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.crc = crc = Checksum()
        m.submodules.fields = fields = self.fields
        item, full, judged = Signal(RECEIVED), Signal(), Signal()
        byte_here, end_here = full & ~item.end & crc.ready, full & item.end & crc.ready
        take = byte_here & (~fields.passing | self.payload.ready)
        finish, nothing = judged & self.request.ready, ~fields.begun & ~item.broken
        m.d.comb += [
            self.items.ready.eq(~full),
            self.payload.valid.eq(byte_here & fields.passing),
            self.payload.payload.eq(item.byte),
            fields.byte.eq(item.byte),
            fields.busy.eq(self.busy),
            fields.drop.eq(self.drop),
            crc.byte.eq(item.byte),
            crc.valid.eq(take),
            crc.start.eq(~fields.begun),
            self.request.valid.eq(judged),
            self.request.payload.command.eq(fields.command),
            self.request.payload.sequence.eq(fields.sequence),
        ]
        with m.If(~full):
            m.d.sync += [item.eq(self.items.payload), full.eq(self.items.valid)]
        with m.Elif(take | finish | (end_here & nothing)):
            m.d.sync += full.eq(0)
        # An item stays for a cycle after it was taken, in which its byte is read. The verdict has a
        # register of its own, one cycle behind the end.
        m.d.sync += [
            fields.take.eq(take),
            fields.finish.eq(finish),
            judged.eq(end_here & ~nothing & ~finish),
            self.request.payload.error.eq(self._verdict(item.broken, crc.matches)),
        ]
        return m

    def _verdict(self, broken, matches):
        fields, error = self.fields, Error.NONE
        checks = [
            (broken, Error.ESCAPE),
            (~fields.complete, Error.SHORT),
            (fields.long, Error.LONG),
            (~matches, Error.CHECKSUM),
            (~fields.known, Error.COMMAND),
            (~fields.fits, Error.LENGTH),
            (fields.refused, Error.BUSY),
            (fields.dropped, Error.TIMEOUT),
        ]
        for fails, number in reversed(checks):
            error = Mux(fails, number, error)
        return error


class Place(enum.IntEnum, shape=4):
    """What of a reply goes out, in order; the highest bit says that something does."""

    IDLE = 0
    OPEN = 8
    HEADER = 9
    BODY = 10
    CHECKSUM = 11
    CLOSE = 12


class FrameBuilder(wiring.Component):
    """Put a header before a body and a checksum behind it.

    A reply is END, the header, ``length`` bytes of the body, the checksum, END; a byte in ten
    cycles, for its checksum. Full backpressure.

    Parameters
    ----------
    length_limit
        The greatest ``length``.

    Members
    -------
    start : In, send a frame; the header is held until ``idle``
    abort : In, a pulse: end the frame here, so that nobody takes it for a whole one
    code, sequence, length : In, the header
    position : Out, number of the byte that the body is asked for
    byte_valid, byte : In, that byte, at the latest seven cycles after ``position`` came to stand
    byte_taken : Out, in its last cycle
    items : Out, stream of :data:`.slip.SENT`
    idle : Out
    """

    start: Signal
    abort: Signal
    code: Signal
    sequence: Signal
    length: Signal
    position: Signal
    byte_valid: Signal
    byte: Signal
    byte_taken: Signal
    items: stream.Interface
    idle: Signal

    def __init__(self, *, length_limit: int) -> None:
        if not 1 <= length_limit <= LENGTH_LIMIT:
            raise ValueError(f"a reply holds 1 to {LENGTH_LIMIT} bytes, not {length_limit}")
        super().__init__(
            {
                "start": In(1),
                "abort": In(1),
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
        place, following = Signal(Place), self.position + 1
        chosen, settled, last = Signal(8), Signal(), Signal()  # the byte; it stands; of its place
        sent = settled & ~self.items.valid
        at_end = (place == Place.OPEN) | (place == Place.CLOSE)
        advance = sent & (last | at_end)

        # Choosing a byte, escaping it, and telling the last one are a cycle each.
        header = Cat(self.code, self.sequence, Cat(self.length, Const(0, 16))[:16])
        in_body, in_checksum = place == Place.BODY, place == Place.CHECKSUM
        m.d.sync += [
            chosen.eq(
                Mux(
                    in_body,
                    self.byte,
                    Mux(in_checksum, crc.crc[:8], header.word_select(self.position[:2], 8)),
                )
            ),
            settled.eq(crc.ready & ~sent & ~self.idle & (~in_body | self.byte_valid)),
            last.eq(following == Mux(in_body, self.length, 4)),
        ]
        with m.If(sent):
            m.d.sync += [
                self.items.valid.eq(1),
                self.items.payload.byte.eq(chosen),
                self.items.payload.end.eq(at_end),
                self.position.eq(Mux(advance, 0, following)),
            ]
        with m.Elif(self.items.ready):
            m.d.sync += self.items.valid.eq(0)

        with m.If(self.idle):
            m.d.sync += place.eq(Mux(self.start, Place.OPEN, Place.IDLE))
        with m.Elif(self.abort):
            m.d.sync += place.eq(Place.CLOSE)
        with m.Elif(advance):
            m.d.sync += place.eq(Mux(place == Place.CLOSE, Place.IDLE, place + 1))

        m.d.comb += [
            self.idle.eq(~place[-1]),
            self.byte_taken.eq(sent & in_body),
            crc.start.eq(place == Place.OPEN),
            crc.valid.eq(sent & ~at_end),
            # The complement of the lowest byte of a CRC-32 shifts it out.
            crc.byte.eq(Mux(in_checksum, ~chosen, chosen)),
        ]
        return m
