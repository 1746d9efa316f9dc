"""Host link: bytes from a UART or an SPI become samples for a core, and its results a reply."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, ShapeLike, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .frame import FrameBuilder, FrameParser
from .protocol import (
    ERROR_REPLY,
    HASH_BYTES,
    HASH_OFFSET,
    LENGTH_LIMIT,
    REPLY,
    UPTIME_BITS,
    Command,
    Error,
)
from .slip import SlipDecoder, SlipEncoder
from .storage import Words

STATUS_BYTES = HASH_OFFSET  # of which the link keeps account; the hash behind them is in a ROM
TAIL_BYTES = 6  # class and cycles, behind the logits
ONE_BYTE = 255  # where a counter of one byte stops


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

    packed: stream.Interface
    samples: stream.Interface
    last: Signal
    restart: Signal

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
        take = self.packed.ready & self.packed.valid
        # The byte behind a sample waits until its last word is gone, and the filling with it.
        m.d.sync += self.packed.ready.eq(spent & ~(full & self.last) & ~take)
        m.d.comb += [
            self.samples.valid.eq(full),
            self.last.eq(remaining == 0),
        ]
        with m.If(take):
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
        # Beyond its end an Array gives 0 in Verilog and its last value in Amaranth's simulator.
        beyond = [self.table[-1]] * (2**self.code_bits - len(self.table))
        return Array(Const(value, self.raw_shape) for value in [*self.table, *beyond])[code]


class ResultBytes(wiring.Component):
    """Serialise the results of one sample: logits, class, cycles; see :mod:`.protocol`.

    Every logit is sign-extended to whole bytes, lowest first. Full backpressure: a word of
    ``results`` is taken in the cycle after its last byte; the next byte is right two cycles later.

    Members
    -------
    results : In, stream of ``result_layout``
    cycles : In, clock cycles of the sample
    restart : In, begin with the first byte of the first logit
    byte_valid, byte : Out
    byte_taken : In

    Parameters
    ----------
    result_layout
        Fields ``logit``, ``label`` and ``last``.
    cycle_bits
        Of ``cycles``, at most 32.
    """

    results: stream.Interface
    cycles: Signal
    restart: Signal
    byte_valid: Signal
    byte: Signal
    byte_taken: Signal

    def __init__(self, *, result_layout: data.StructLayout, cycle_bits: int) -> None:
        logit = Shape.cast(result_layout["logit"].shape)
        self.logit_bytes = -(-logit.width // 8)
        label = Shape.cast(result_layout["label"].shape)
        if label.width > 16:
            raise ValueError(f"a class has at most 16 bits on the link, not {label.width}")
        self.label_shape = label
        super().__init__(
            {
                "results": In(stream.Signature(result_layout)),
                "cycles": In(cycle_bits),
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
        tail = Cat(Cat(label, Const(0, 16))[:16], self.cycles, Const(0, 32))[: 8 * TAIL_BYTES]
        last_byte = Signal()
        m.d.sync += last_byte.eq(index == self.logit_bytes - 1)  # a byte stands for some cycles
        m.d.comb += [
            extended.eq(result.logit),
            self.byte_valid.eq(self.results.valid | in_tail),
            self.byte.eq(Mux(in_tail, _byte_of(tail, index), _byte_of(extended, index))),
        ]
        m.d.sync += self.results.ready.eq(self.byte_taken & last_byte & ~in_tail)
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


class Watchdog(wiring.Component):
    """Count the cycles in which a core is silent, and notice when they are too many.

    silence(c+1) = 1 after a word that the core takes or gives, else silence(c) + waiting(c)

    The core is waited for where it does not take a word that is offered, or owes a result: from
    the last word of a sample to the last logit, and wherever somebody ``awaits`` one.

    Timing: what is seen goes through a register first.

    Parameters
    ----------
    timeout_cycles
        Silence that is too long; rounded up to a power of two.

    Members
    -------
    offered, entered : In, a word of a sample is offered to the core; and is taken
    last : In, with ``entered``: it ends the sample
    answered, taken : In, a logit is offered by the core; and is taken
    final : In, with ``taken``: it ends the result
    restart : In, the core is reset
    awaits : In, a result is asked for
    silence : Out, from the cycle after that in which the first logit of a sample is offered to
        that in which it is taken: cycles from the entry of its last word to that offer
    expired : Out, a pulse: the core was silent for ``timeout_cycles``
    """

    offered: Signal
    entered: Signal
    last: Signal
    answered: Signal
    taken: Signal
    final: Signal
    restart: Signal
    awaits: Signal
    silence: Signal
    expired: Signal

    def __init__(self, *, timeout_cycles: int) -> None:
        if not 2 <= timeout_cycles < 1 << 31:
            raise ValueError(f"a timeout has 2 to 2^31 - 1 cycles, not {timeout_cycles}")
        self.bits = (timeout_cycles - 1).bit_length()
        self.seen = data.StructLayout(
            {name: 1 for name in "offered entered last answered taken final restart".split()}
        )
        super().__init__(
            {name: In(1) for name in (*self.seen.members, "awaits")}
            | {"silence": Out(self.bits), "expired": Out(1)}
        )

    @property
    def timeout_cycles(self) -> int:
        """Cycles of silence after which the watchdog really acts."""
        return 1 << self.bits

    def elaborate(self, platform) -> Module:
        m = Module()
        seen = Signal(self.seen)
        count, owes = Signal(self.bits + 1, init=1), Signal()
        m.d.sync += [seen[name].eq(getattr(self, name)) for name in self.seen.members]
        m.d.comb += [self.silence.eq(count), self.expired.eq(count[-1])]
        with m.If(seen.entered | seen.taken | seen.restart | self.expired):
            m.d.sync += count.eq(1)
        with m.Elif(seen.offered | ((owes | self.awaits) & ~seen.answered)):
            m.d.sync += count.eq(count + 1)
        with m.If(seen.restart | (seen.taken & seen.final)):
            m.d.sync += owes.eq(0)
        with m.Elif(seen.entered & seen.last):
            m.d.sync += owes.eq(1)
        return m


class Status(wiring.Component):
    """Counters of the link, as the first bytes of a status reply; see :mod:`.protocol`.

    What is longer than a byte stands still while the reply goes out. Uptime is cut for that: its
    lowest byte is copied, and a carry out of it waits for the end of the reply.

    Members
    -------
    good, bad, lost, expired : In, pulses: a frame is good, a frame is refused, a byte was lost,
        the watchdog resets the core
    error : In, with ``bad``: why
    busy : In, the core has a sample
    told : In, a pulse: a status reply begins
    telling : In, it goes out, from the cycle after ``told``
    alarm : Out, an error since the last status reply
    index : In, number of a byte
    byte : Out, that byte of the reply, one cycle later
    """

    good: Signal
    bad: Signal
    lost: Signal
    expired: Signal
    told: Signal
    busy: Signal
    telling: Signal
    error: Signal
    alarm: Signal
    index: Signal
    byte: Signal

    def __init__(self) -> None:
        pulses = {name: In(1) for name in ("good", "bad", "lost", "expired", "told")}
        super().__init__(
            pulses
            | {
                "busy": In(1),
                "telling": In(1),
                "error": In(Error),
                "alarm": Out(1),
                "index": In(range(STATUS_BYTES)),
                "byte": Out(8),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        good, bad = Signal(16), Signal(16)
        lost, resets = Signal(8), Signal(8)
        last_error, told_alarm = Signal(Error), Signal()
        for pulse, counter in ((self.good, good), (self.bad, bad)):
            with m.If(pulse):
                m.d.sync += counter.eq(counter + 1)
        for pulse, counter in ((self.lost, lost), (self.expired, resets)):
            with m.If(pulse & (counter != ONE_BYTE)):
                m.d.sync += counter.eq(counter + 1)
        with m.If(self.expired):
            m.d.sync += last_error.eq(Error.TIMEOUT)
        with m.Elif(self.bad):
            m.d.sync += last_error.eq(self.error)
        with m.If(self.told):
            m.d.sync += told_alarm.eq(self.alarm)
        with m.If(self.bad | self.lost | self.expired):
            m.d.sync += self.alarm.eq(1)
        with m.Elif(self.told):
            m.d.sync += self.alarm.eq(0)

        flags = Cat(self.busy, told_alarm, Const(0, 6))
        error = Cat(last_error, Const(0, 8))[:8]
        reply = Cat(flags, error, good, bad, lost, resets, self._uptime(m))
        m.d.sync += self.byte.eq(_byte_of(reply, self.index))
        return m

    def _uptime(self, m: Module):
        """Return the time of the last ``told``, of three carry chains that are short."""
        prescaler, low, high = Signal(UPTIME_BITS + 1), Signal(9), Signal(24)
        told_low, owed = Signal(8), Signal()
        carry = low[8] | owed
        m.d.sync += [
            prescaler.eq(prescaler[:UPTIME_BITS] + 1),
            low.eq(low[:8] + prescaler[UPTIME_BITS]),
            owed.eq(carry & self.telling),
            high.eq(high + (carry & ~self.telling)),
        ]
        with m.If(self.told):
            m.d.sync += told_low.eq(low[:8])
        return Cat(told_low, high)


class Kind(enum.IntEnum, shape=2):
    """What a reply answers: a command by its number, or nothing that can be answered."""

    ERROR = 0
    IDENTITY = Command.IDENTITY
    STATUS = Command.STATUS
    INFER = Command.INFER


class Link(wiring.Component):
    """Answer the frames of a host: identity, status, inference. See :mod:`.protocol`.

    A sample is not stored: its words enter the core as its bytes arrive, and the core's logits
    are held by backpressure until the frame's checksum was found right. A frame that turns out
    broken resets the core, so that a part of a sample leaves no trace; so does a core that is
    silent for too long. From the verdict on an INFER to the end of its reply the core has no
    other sample.

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
        or a component with its ports and ``content``. The 32 bytes at ``HASH_OFFSET`` also end a
        status reply.
    timeout_cycles
        How long the core may be silent; rounded up to a power of two.

    Members
    -------
    rx, tx : In and Out, streams of bytes, from and to the line
    lost : In, a pulse for each byte that the line lost
    samples : Out, stream of lanes raw integers, to the core
    results : In, stream of ``result_layout``, from the core
    core_reset : Out, reset of the core, one cycle
    error : Out, something went wrong since the last status reply; for an LED
    """

    rx: stream.Interface
    tx: stream.Interface
    lost: Signal
    samples: stream.Interface
    results: stream.Interface
    core_reset: Signal
    error: Signal

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
        identity: Words,
        timeout_cycles: int = 1 << 16,
    ) -> None:
        self.unpacker = SampleUnpacker(
            elements=elements, code_bits=code_bits, table=table, raw_shape=raw_shape, lanes=lanes
        )
        self.watchdog = Watchdog(timeout_cycles=timeout_cycles)
        self.serialiser = ResultBytes(
            result_layout=result_layout, cycle_bits=len(self.watchdog.silence)
        )
        self.result_bytes = outputs * self.serialiser.logit_bytes + TAIL_BYTES
        for what, least, count in (
            ("a packed sample", 1, self.unpacker.byte_count),
            ("the identity record", HASH_OFFSET + HASH_BYTES, len(identity.content)),
            ("a reply", 1, self.result_bytes),
        ):
            if not least <= count <= LENGTH_LIMIT:
                raise ValueError(f"{what} must have {least} to {LENGTH_LIMIT} bytes, not {count}")
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
        m.submodules.watchdog = watchdog = self.watchdog
        m.submodules.status = status = Status()
        m.d.comb += [
            unpacker.restart.eq(self.core_reset),
            watchdog.offered.eq(self.samples.valid),
            watchdog.entered.eq(self.samples.valid & self.samples.ready),
            watchdog.last.eq(unpacker.last),
            watchdog.answered.eq(self.results.valid),
            watchdog.taken.eq(self.results.valid & self.results.ready),
            watchdog.final.eq(self.results.payload.last),
            watchdog.restart.eq(self.core_reset),
            parser.drop.eq(watchdog.expired),
            status.expired.eq(watchdog.expired),
            status.lost.eq(self.lost),
            self.error.eq(status.alarm),
        ]
        self._reply(m, parser, status)
        return m

    def _reply(self, m: Module, parser: FrameParser, status: Status) -> None:
        """Decide what is answered next, whenever the reply before has left."""
        watchdog, request = self.watchdog, parser.request.payload
        limit = max(len(self.rom.content), HASH_OFFSET + HASH_BYTES, self.result_bytes)
        m.submodules.builder = builder = FrameBuilder(length_limit=limit)
        kind, error = Signal(Kind), Signal(Error)
        # A sample waits for its result, which is there, or goes out; or there is none to wait for.
        pending, due, answering, given_up = Signal(), Signal(), Signal(), Signal()
        sequence = Signal(8)  # of that sample

        refused = request.error != Error.NONE
        command = request.command[:2]  # enough of a frame that is good
        begin_error, begin_result = builder.idle & given_up, builder.idle & due & ~given_up
        taken = builder.idle & ~due & ~given_up & parser.request.valid
        accepted = taken & ~refused & (command == Command.INFER)
        busy = pending | answering
        m.d.comb += [
            parser.request.ready.eq(builder.idle & ~due & ~given_up),
            parser.busy.eq(busy),
            builder.start.eq(begin_error | begin_result | (taken & ~accepted)),
            builder.abort.eq(answering & watchdog.expired),
            builder.code.eq(Mux(kind == Kind.ERROR, ERROR_REPLY, kind | REPLY)),
            watchdog.awaits.eq(pending),
            status.error.eq(error),
            status.busy.eq(busy),
        ]
        m.d.sync += [
            # A cycle behind the decision, as `error` is.
            status.good.eq(taken & ~refused),
            status.bad.eq(taken & refused),
            status.told.eq(taken & ~refused & (command == Command.STATUS)),
            status.telling.eq(~builder.idle & (kind == Kind.STATUS)),
            self.core_reset.eq((taken & refused & ~busy) | watchdog.expired),
            due.eq(pending & self.results.valid & ~begin_result & ~watchdog.expired),
        ]
        with m.If(builder.idle):
            m.d.sync += [
                builder.sequence.eq(Mux(given_up | due, sequence, request.sequence)),
                error.eq(Mux(given_up, Error.TIMEOUT, request.error)),
                answering.eq(begin_result),
                given_up.eq(0),
                kind.eq(Mux(due & ~given_up, Kind.INFER, command)),
            ]
            with m.If(given_up | (~due & refused)):
                m.d.sync += kind.eq(Kind.ERROR)
        with m.If(begin_result | watchdog.expired):
            m.d.sync += pending.eq(0)
        with m.Elif(accepted):
            m.d.sync += pending.eq(1)
        with m.If(accepted):
            m.d.sync += sequence.eq(request.sequence)
        with m.If(watchdog.expired):
            m.d.sync += given_up.eq(pending | accepted)
        self._body(m, builder, status, kind=kind, error=error, answering=answering)

    def _body(self, m: Module, builder, status, *, kind, error, answering) -> None:
        """Give the builder the bytes that its reply holds."""
        m.submodules.serialiser = serialiser = self.serialiser
        m.submodules.rom = rom = self.rom
        m.submodules.encoder = encoder = SlipEncoder()
        wiring.connect(m, builder.items, encoder.items)
        wiring.connect(m, encoder.encoded, wiring.flipped(self.tx))
        wiring.connect(m, wiring.flipped(self.results), serialiser.results)
        position = builder.position
        with m.If(builder.idle):  # the result is offered, and no byte of it was taken
            m.d.sync += serialiser.cycles.eq(self.watchdog.silence)
        m.d.comb += [
            serialiser.restart.eq(builder.idle),
            serialiser.byte_taken.eq(builder.byte_taken & answering),
            rom.address.eq(position),
            status.index.eq(position),
            builder.byte_valid.eq(1),
        ]
        with m.Switch(kind):
            with m.Case(Kind.IDENTITY):
                m.d.comb += [builder.byte.eq(rom.data), builder.length.eq(len(rom.content))]
            with m.Case(Kind.STATUS):
                counted = position < HASH_OFFSET
                m.d.comb += [
                    builder.byte.eq(Mux(counted, status.byte, rom.data)),
                    builder.length.eq(HASH_OFFSET + HASH_BYTES),
                ]
            with m.Case(Kind.INFER):
                m.d.comb += [
                    builder.byte.eq(serialiser.byte),
                    builder.byte_valid.eq(serialiser.byte_valid),
                    builder.length.eq(self.result_bytes),
                ]
            with m.Default():
                m.d.comb += [builder.byte.eq(error), builder.length.eq(1)]
