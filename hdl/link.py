"""Host link: bytes from a UART or an SPI become samples for a core, and its results a reply."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, ShapeLike, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .frame import FrameBuilder, FrameParser
from .protocol import ERROR_REPLY, LENGTH_LIMIT, REPLY, UPTIME_BITS, Command, Error
from .slip import SlipDecoder, SlipEncoder
from .storage import Rom

STATUS_BYTES = 12
TAIL_BYTES = 6  # class and cycles, behind the logits


class SampleUnpacker(wiring.Component):
    """Cut packed bytes into link codes, and expand these into words of raw integers.

    A sample is ``elements`` codes of ``code_bits`` bits, the first in the lowest bits of the first
    byte; the last byte is filled up with bits that mean nothing.

    Timing: a bit a cycle, which is no slower than any serial line beside it, and needs neither a
    barrel shifter nor a ``code_bits`` that divides 8. Full backpressure.

    Parameters
    ----------
    elements
        Raw integers of a sample, a multiple of ``lanes``.
    code_bits
        Bits of one link code.
    table
        Raw integer of each link code, at most 2^code_bits of them (codes beyond mean the last);
        ``None`` where the code is the raw integer itself.
    raw_shape
        Shape of a raw integer.
    lanes
        Raw integers of a word.

    Members
    -------
    packed : In, stream of bytes
    samples : Out, stream of lanes raw integers
    last : Out, beside ``samples``: the word ends a sample
    restart : In, forget a part of a sample
    """

    def __init__(
        self,
        *,
        elements: int,
        code_bits: int,
        table: Sequence[int] | None,
        raw_shape: ShapeLike,
        lanes: int,
    ) -> None:
        raw_shape = Shape.cast(raw_shape)
        if lanes < 1 or elements < 1 or elements % lanes:
            raise ValueError(f"lanes must divide the {elements} elements of a sample, not {lanes}")
        if table is None and code_bits != raw_shape.width:
            raise ValueError(
                f"without a table a link code has the {raw_shape.width} bits of a raw integer, "
                f"not {code_bits}"
            )
        if table is not None and not 1 <= len(table) <= 2**code_bits:
            raise ValueError(
                f"{code_bits} bits need a table of 1 to {2**code_bits} entries, not {len(table)}"
            )
        self.elements, self.code_bits, self.lanes = elements, code_bits, lanes
        self.table = None if table is None else [int(value) for value in table]
        self.raw_shape = raw_shape
        self.byte_count = -(-elements * code_bits // 8)
        super().__init__(
            {
                "packed": In(stream.Signature(8)),
                "samples": Out(stream.Signature(data.ArrayLayout(raw_shape, lanes))),
                "last": Out(1),
                "restart": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        word_bits, words = self.lanes * self.code_bits, self.elements // self.lanes
        byte, left = Signal(8), Signal(range(9))  # bits of the byte that are still to come
        word, missing = Signal(word_bits), Signal(range(word_bits + 1), init=word_bits)
        remaining = Signal(range(words), init=words - 1)
        spent, full = left == 0, missing == 0
        m.d.comb += [
            # The byte behind a sample waits until its last word is gone, and the filling with it.
            self.packed.ready.eq(spent & ~(full & self.last)),
            self.samples.valid.eq(full),
            self.last.eq(remaining == 0),
        ]
        with m.If(self.packed.ready & self.packed.valid):
            m.d.sync += [byte.eq(self.packed.payload), left.eq(8)]
        with m.Elif(~spent & ~full):
            m.d.sync += [byte.eq(byte >> 1), left.eq(left - 1), missing.eq(missing - 1)]
            m.d.sync += word.eq(Cat(word, byte[0])[1:])
        with m.If(full & self.samples.ready):
            m.d.sync += [missing.eq(word_bits), remaining.eq(remaining - 1)]
            with m.If(self.last):
                # What is left of the byte is filling.
                m.d.sync += [left.eq(0), remaining.eq(words - 1)]
        with m.If(self.restart):
            m.d.sync += [left.eq(0), missing.eq(word_bits), remaining.eq(words - 1)]
        for lane in range(self.lanes):
            code = word[lane * self.code_bits : (lane + 1) * self.code_bits]
            m.d.comb += self.samples.payload[lane].eq(self._raw(code))
        return m

    def _raw(self, code):
        if self.table is None:
            return code.as_signed() if self.raw_shape.signed else code
        return Array(Const(value, self.raw_shape) for value in self.table)[code]


class ResultBytes(wiring.Component):
    """Serialise the results of one sample: logits, class, cycles; see :mod:`.protocol`.

    Every logit is sign-extended to whole bytes, lowest first. Full backpressure: a word of
    ``results`` is held until its last byte is taken.

    Members
    -------
    results : In, stream of ``result_layout``
    cycles : In, clock cycles of the sample
    restart : In, begin with the first byte of the first logit
    byte_valid, byte : Out
    byte_taken : In
    """

    def __init__(self, *, result_layout: data.StructLayout) -> None:
        logit = Shape.cast(result_layout["logit"].shape)
        self.logit_bytes = -(-logit.width // 8)
        label = Shape.cast(result_layout["label"].shape)
        if label.width > 16:
            raise ValueError(f"a class has at most 16 bits on the link, not {label.width}")
        self.label_shape = label
        super().__init__(
            {
                "results": In(stream.Signature(result_layout)),
                "cycles": In(32),
                "restart": In(1),
                "byte_valid": Out(1),
                "byte": Out(8),
                "byte_taken": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        result = self.results.payload
        label = Signal(self.label_shape)
        in_tail = Signal()
        index = Signal(range(max(self.logit_bytes, TAIL_BYTES)))
        extended = Signal(Shape(8 * self.logit_bytes, signed=True))
        tail = Cat(label, Const(0, 16))[:16], self.cycles
        last_byte = index == self.logit_bytes - 1
        m.d.comb += [
            extended.eq(result.logit),
            self.byte_valid.eq(self.results.valid | in_tail),
            self.byte.eq(Mux(in_tail, _byte_of(Cat(*tail), index), _byte_of(extended, index))),
            self.results.ready.eq(self.byte_taken & last_byte & ~in_tail),
        ]
        with m.If(self.byte_taken):
            m.d.sync += index.eq(index + 1)
            with m.If(last_byte & ~in_tail):
                m.d.sync += [index.eq(0), in_tail.eq(result.last), label.eq(result.label)]
        with m.If(self.restart):
            m.d.sync += [index.eq(0), in_tail.eq(0)]
        return m


def _byte_of(value, index):
    """Return byte ``index`` of ``value``, lowest first."""
    return Array(value[at : at + 8] for at in range(0, len(value), 8))[index]


class CycleCount(wiring.Component):
    """Count from the entry of a sample's last word to the core's first logit.

    cycles(c) = number of cycles after that of ``entered`` up to the first with ``answered``, but
    for those in which the core still offers the logits of the sample before

    Members
    -------
    entered : In, the last word is transferred
    answered : In, a logit is offered
    replying : In, a reply takes logits; where it began before ``entered`` they are those of the
        sample before, else a slow core's of this one
    cycles : Out, modulo 2^32
    """

    entered: In(1)
    answered: In(1)
    replying: In(1)
    cycles: Out(32)

    def elaborate(self, platform) -> Module:
        m = Module()
        running, before = Signal(), Signal()
        with m.If(self.entered):
            m.d.sync += [self.cycles.eq(0), running.eq(1), before.eq(self.replying)]
        with m.Elif(running):
            m.d.sync += self.cycles.eq(self.cycles + 1)
            with m.If(~self.replying):
                m.d.sync += before.eq(0)
            with m.If(self.answered & ~(before & self.replying)):
                m.d.sync += running.eq(0)
        return m


class Status(wiring.Component):
    """Counters of the link, as the bytes of a status reply; see :mod:`.protocol`.

    Members
    -------
    good, bad, lost : In, pulses: a frame is answered, a frame is refused, a byte was lost
    error : In, with ``bad``: why
    busy : In, of the core
    told : In, a pulse: the host was sent a status reply
    alarm : Out, an error since the last status reply
    index : In, number of a byte
    byte : Out, that byte of the reply, one cycle later
    """

    def __init__(self) -> None:
        pulses = {name: In(1) for name in ("good", "bad", "lost", "busy", "told")}
        super().__init__(
            pulses
            | {
                "error": In(Error),
                "alarm": Out(1),
                "index": In(range(STATUS_BYTES)),
                "byte": Out(8),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        good, bad, lost = Signal(16), Signal(16), Signal(16)
        prescaler, uptime = Signal(UPTIME_BITS + 1), Signal(32)  # two short carry chains
        told_uptime, told_alarm = Signal(32), Signal()  # they stand still while the reply goes out
        last_error = Signal(Error)
        m.d.sync += [
            prescaler.eq(prescaler[:UPTIME_BITS] + 1),
            uptime.eq(uptime + prescaler[UPTIME_BITS]),
        ]
        for pulse, counter in ((self.good, good), (self.bad, bad), (self.lost, lost)):
            with m.If(pulse):
                m.d.sync += counter.eq(counter + 1)
        with m.If(self.bad):
            m.d.sync += last_error.eq(self.error)
        with m.If(self.told):
            m.d.sync += [told_uptime.eq(uptime), told_alarm.eq(self.alarm)]
        with m.If(self.bad | self.lost):
            m.d.sync += self.alarm.eq(1)
        with m.Elif(self.told):
            m.d.sync += self.alarm.eq(0)

        flags = Cat(self.busy, told_alarm, Const(0, 6))
        error = Cat(last_error, Const(0, 8))[:8]
        reply = Cat(flags, error, good, bad, lost, told_uptime)
        m.d.sync += self.byte.eq(_byte_of(reply, self.index))
        return m


class Link(wiring.Component):
    """Answer the frames of a host: identity, status, inference. See :mod:`.protocol`.

    A sample is not stored: its words enter the core as its bytes arrive, and the core's logits
    are held by backpressure until the frame's checksum was found right. A frame that turns out
    broken resets the core, so that a part of a sample leaves no trace. Frames may arrive while a
    reply goes out: then the end of the new frame waits for the end of the old reply.

    Parameters
    ----------
    elements, code_bits, table, raw_shape, lanes
        Of a sample, see :class:`SampleUnpacker`.
    outputs
        Logits of a sample.
    result_layout
        Fields ``logit``, ``label`` and ``last`` of a word of ``results``.
    identity
        ROM of the record that the host identifies this link by: a :class:`.storage.Rom` of bytes,
        or a component with its ports and ``content``.

    Members
    -------
    rx, tx : In and Out, streams of bytes, from and to the line
    lost : In, a pulse for each byte that the line lost
    samples : Out, stream of lanes raw integers, to the core
    results : In, stream of ``result_layout``, from the core
    core_reset : Out, reset of the core, one cycle
    error : Out, something went wrong since the last status reply; for an LED
    """

    def __init__(
        self,
        *,
        elements: int,
        code_bits: int,
        table: Sequence[int] | None,
        raw_shape: ShapeLike,
        lanes: int,
        outputs: int,
        result_layout: data.StructLayout,
        identity: Rom,
    ) -> None:
        self.unpacker = SampleUnpacker(
            elements=elements, code_bits=code_bits, table=table, raw_shape=raw_shape, lanes=lanes
        )
        self.serialiser = ResultBytes(result_layout=result_layout)
        self.result_bytes = outputs * self.serialiser.logit_bytes + TAIL_BYTES
        for what, count in (
            ("a packed sample", self.unpacker.byte_count),
            ("the identity record", len(identity.content)),
            ("a reply", self.result_bytes),
        ):
            if not 1 <= count <= LENGTH_LIMIT:
                raise ValueError(f"{what} must have 1 to {LENGTH_LIMIT} bytes, not {count}")
        self.rom = identity
        super().__init__(
            {
                "rx": In(stream.Signature(8)),
                "tx": Out(stream.Signature(8)),
                "lost": In(1),
                "samples": Out(stream.Signature(data.ArrayLayout(raw_shape, lanes))),
                "results": In(stream.Signature(result_layout)),
                "core_reset": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.decoder = decoder = SlipDecoder()
        m.submodules.parser = parser = FrameParser(
            lengths={
                Command.IDENTITY: 0,
                Command.STATUS: 0,
                Command.INFER: self.unpacker.byte_count,
            },
            consumer=Command.INFER,
        )
        m.submodules.unpacker = unpacker = self.unpacker
        wiring.connect(m, wiring.flipped(self.rx), decoder.encoded)
        wiring.connect(m, decoder.items, parser.items)
        wiring.connect(m, parser.payload, unpacker.packed)
        wiring.connect(m, unpacker.samples, wiring.flipped(self.samples))
        m.submodules.cycle_count = cycle_count = CycleCount()
        m.submodules.status = status = Status()
        self._reply(m, parser.request, cycle_count, status)
        entered = self.samples.valid & self.samples.ready
        m.d.comb += [
            unpacker.restart.eq(self.core_reset),
            cycle_count.entered.eq(entered & unpacker.last),
            status.lost.eq(self.lost),
            status.busy.eq(~self.samples.ready | self.results.valid),
            self.error.eq(status.alarm),
        ]
        return m

    def _reply(self, m: Module, request, cycle_count: CycleCount, status: Status) -> None:
        """Send one reply for each verdict of the parser; the next verdict waits for its end."""
        m.submodules.serialiser = serialiser = self.serialiser
        m.submodules.rom = rom = self.rom
        m.submodules.encoder = encoder = SlipEncoder()
        limit = max(len(rom.content), STATUS_BYTES, self.result_bytes)
        m.submodules.builder = builder = FrameBuilder(length_limit=limit)
        wiring.connect(m, builder.items, encoder.items)
        wiring.connect(m, encoder.encoded, wiring.flipped(self.tx))
        wiring.connect(m, wiring.flipped(self.results), serialiser.results)

        taken, refused = Signal(), Signal()
        command, error = Signal(8), Signal(Error)
        m.d.comb += [
            request.ready.eq(builder.idle),
            taken.eq(request.valid & builder.idle),
            refused.eq(request.payload.error != Error.NONE),
            builder.start.eq(taken),
            builder.code.eq(command),
            status.good.eq(taken & ~refused),
            status.bad.eq(taken & refused),
            status.error.eq(request.payload.error),
            status.told.eq(status.good & (request.payload.command == Command.STATUS)),
        ]
        m.d.sync += self.core_reset.eq(taken & refused)
        with m.If(taken):
            m.d.sync += [
                command.eq(Mux(refused, ERROR_REPLY, request.payload.command | REPLY)),
                builder.sequence.eq(request.payload.sequence),
                error.eq(request.payload.error),
            ]
        inferring = (command == Command.INFER | REPLY) & ~builder.idle
        m.d.comb += [
            serialiser.cycles.eq(cycle_count.cycles),
            serialiser.restart.eq(builder.idle),
            serialiser.byte_taken.eq(builder.byte_taken & inferring),
            cycle_count.answered.eq(self.results.valid),
            cycle_count.replying.eq(inferring),
            rom.address.eq(builder.position),
            status.index.eq(builder.position),
            builder.byte_valid.eq(1),
        ]
        with m.Switch(command):
            with m.Case(Command.IDENTITY | REPLY):
                m.d.comb += [builder.byte.eq(rom.data), builder.length.eq(len(rom.content))]
            with m.Case(Command.STATUS | REPLY):
                m.d.comb += [builder.byte.eq(status.byte), builder.length.eq(STATUS_BYTES)]
            with m.Case(Command.INFER | REPLY):
                m.d.comb += [
                    builder.byte.eq(serialiser.byte),
                    builder.byte_valid.eq(serialiser.byte_valid),
                    builder.length.eq(self.result_bytes),
                ]
            with m.Default():
                m.d.comb += [builder.byte.eq(error), builder.length.eq(1)]
