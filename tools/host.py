"""Host side of the link: a board on a serial port answers samples."""

import contextlib
import errno
import random
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import serial
import sliplib
from serial.tools import list_ports as serial_ports

from ..gen.design.design import Design
from ..gen.design.linkformat import Identity, SampleFormat
from ..hdl.protocol import (
    BROKEN_FRAME,
    CHECKSUM,
    ERROR_REPLY,
    HEADER,
    REPLY,
    RESULT_TAIL,
    STATUS_REPLY,
    UPTIME_BITS,
    VERSION,
    Command,
    Error,
)
from .spi_port import is_spi, open_spi

try:
    from termios import error as _TerminalError
except ImportError:  # Windows has none, and no such errors
    _TerminalError = OSError

OVERHEAD = struct.calcsize(HEADER) + struct.calcsize(CHECKSUM)
QUIET_S = 0.05  # a line that was silent for so long has nothing more to say
WRITE_S = 10.0  # a port that takes nothing for so long is dead
BITS = 10  # of a byte on a UART
LONGEST_REPLY = 300  # bytes, of those whose length no board has told yet
CUT = 255  # beside the numbers of a board's errors: its reply came, but not whole
EXTENSIONS = 4  # a reply may take so many times as long as reckoned, as long as bytes come

REASONS = {
    Error.ESCAPE: "a wrong escape",
    Error.SHORT: "a frame cut short",
    Error.LONG: "a frame too long",
    Error.CHECKSUM: "a wrong checksum",
    Error.COMMAND: "an unknown command",
    Error.LENGTH: "a payload of the wrong length",
    Error.BUSY: "a sample before the one before was answered",
    Error.TIMEOUT: "a core that did not answer, and reset it",
}


class LinkError(ValueError):
    """The board cannot be reached, or is not the one that was expected."""


class UnreachableError(LinkError):
    """There is no port, or no answer; a board that is plugged in again may answer."""


class Port(Protocol):
    """What a :class:`Board` needs of a :class:`serial.Serial`.

    ``read`` returns what came within ``timeout`` seconds, which may be nothing.
    """

    @property
    def timeout(self) -> float | None: ...

    @timeout.setter
    def timeout(self, seconds: float | None, /) -> None: ...

    def read(self, size: int = 1, /) -> bytes: ...

    def write(self, data: bytes, /) -> int | None: ...

    def flush(self) -> None: ...

    @property
    def in_waiting(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Result:
    """The answer to one sample.

    Parameters
    ----------
    logits
        (outputs,) int64.
    label
        The class, the first maximum.
    first_logit_cycles
        Clock cycles from the last word of the sample to the first logit, as the board counted
        them. The class comes with the last logit: :attr:`.Identity.latency_cycles`.
    """

    logits: np.ndarray
    label: int
    first_logit_cycles: int


@dataclass(frozen=True, kw_only=True)
class BoardStatus:
    """What a board says about its link; ``good`` and ``bad`` run modulo 2^16.

    Parameters
    ----------
    busy
        The core works, or holds results.
    alarm
        Something went wrong since the status before.
    last_error
        Why the last refused frame was refused.
    good, bad
        Frames answered and refused.
    lost
        Bytes that came faster than they were taken; stops at 255.
    resets
        Times the core was silent for too long and was reset; stops at 255.
    design_hash
        64 hex digits, see :attr:`signfire.gen.design.design.Design.hash`.
    uptime_s
        Seconds since reset.
    """

    busy: bool
    alarm: bool
    last_error: Error
    good: int
    bad: int
    lost: int
    resets: int
    design_hash: str
    uptime_s: float


def list_ports() -> list[str]:
    """Return the names of the serial ports of this machine, in order."""
    return sorted(port.device for port in serial_ports.comports())


def open_port(name: str, baud: int) -> contextlib.AbstractContextManager[Port]:
    """Open a serial port, or an SPI by a name that :mod:`.spi_port` knows.

    Raises
    ------
    UnreachableError
        Where there is no such port, it is in use, or may not be opened.
    """
    if is_spi(name):
        try:
            return open_spi(name, QUIET_S)
        except ValueError as failure:
            raise UnreachableError(str(failure)) from failure
    try:
        port = serial.serial_for_url(
            name, baudrate=baud, timeout=QUIET_S, write_timeout=WRITE_S, exclusive=True
        )
    except (serial.SerialException, OSError, ValueError, _TerminalError) as failure:
        raise UnreachableError(_why_closed(name, baud, failure)) from failure
    # An adapter that gathers bytes for 16 ms makes a short reply as slow as a long one.
    with contextlib.suppress(AttributeError, NotImplementedError, OSError, ValueError):
        port.set_low_latency_mode(True)
    return port


def _why_closed(name: str, baud: int, failure: Exception) -> str:
    number = getattr(failure, "errno", None)
    if number == errno.EACCES:
        return (
            f"serial port {name} may not be opened by this user (on Linux: sudo usermod -aG "
            f"dialout $USER, then log in again)"
        )
    if number in (errno.EBUSY, errno.EAGAIN):
        return f"serial port {name} is in use by another program (close it first)"
    if number == errno.ENOENT:
        found = ", ".join(list_ports()) or "none (is the board plugged in?)"
        return f"there is no serial port {name}; ports found: {found}"
    return f"serial port {name} cannot be opened at {baud} baud: {failure}"


def encode_frame(code: int, sequence: int, payload: bytes = b"") -> bytes:
    """Return a frame as it goes over the line, END before and after it."""
    body = struct.pack(HEADER, code, sequence, len(payload)) + payload
    return (
        sliplib.END + sliplib.encode(body + struct.pack(CHECKSUM, zlib.crc32(body))) + sliplib.END
    )


def decode_frame(frame: bytes) -> tuple[int, int, bytes] | None:
    """Return code, sequence and payload of a frame without its escapes; ``None`` if broken."""
    if len(frame) < OVERHEAD:
        return None
    body, (checksum,) = frame[:-4], struct.unpack(CHECKSUM, frame[-4:])
    code, sequence, length = struct.unpack_from(HEADER, body)
    if checksum != zlib.crc32(body) or length != len(frame) - OVERHEAD:
        return None
    return code, sequence, body[struct.calcsize(HEADER) :]


class Board:
    """A board behind a serial port.

    Every attempt has its own sequence number, and a reply is taken where its number is that of
    any attempt of the request under way. So a late reply to an earlier attempt is used, for it
    says the same; a reply to a request that was answered already is passed over. A request returns
    once, hence a sample is counted once, whatever was lost, late or doubled on the line. Numbers
    come again after 256 attempts, when no reply of theirs is under way: a board holds one sample
    at the most, and bytes of an earlier program are thrown away at the first contact.

    All requests may be repeated without harm: a board keeps nothing of them.

    Parameters
    ----------
    port
        A :class:`serial.Serial`, or anything like it.
    timeout_s
        Seconds allowed beside the time that request and reply take on the line and the core for
        its work; after so long without any byte a request counts as lost.
    retries
        Attempts after the first.
    clock
        Seconds that only grow; a simulated port brings its own.
    """

    def __init__(
        self,
        port: Port,
        *,
        timeout_s: float = 1.0,
        retries: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.port, self.timeout_s, self.retries, self.clock = port, timeout_s, retries, clock
        self.port.timeout = min(QUIET_S, timeout_s)
        self.identity: Identity | None = None
        self.repeats = 0  # attempts after the first, of all requests
        self._sequence = random.randrange(256)
        self._frames = sliplib.Driver()
        self._met = False

    # -- requests ------------------------------------------------------------------------------

    def identify(self) -> Identity:
        """Ask the board what it is.

        Raises
        ------
        LinkError
            Where nothing answers, or the link has another version.
        """
        record = self._request(Command.IDENTITY)
        if record[:1] != bytes([VERSION]):
            raise LinkError(
                f"the board's link has version {record[0] if record else '?'}, this signfire "
                f"speaks {VERSION} (build and flash the bitstream again)"
            )
        self.identity = Identity.from_bytes(record)
        return self.identity

    def expect(self, design: Design) -> Identity:
        """Identify the board and refuse it unless it runs ``design``."""
        identity = self.identify()
        if identity.design_hash != design.hash:
            raise LinkError(
                f"the board runs design {identity.design_hash[:12]} ({identity.name}), not "
                f"{design.hash[:12]} ({design.name}): flash the bitstream of this design, or "
                f"name the design that the board runs"
            )
        return identity

    def status(self) -> BoardStatus:
        """Ask for the state of the link."""
        identity = self.identity or self.identify()
        reply = self._request(Command.STATUS)
        if len(reply) < struct.calcsize(STATUS_REPLY):
            raise LinkError(f"the board's status is cut: {len(reply)} bytes")
        flags, error, good, bad, lost, resets, uptime, digest = struct.unpack_from(
            STATUS_REPLY, reply
        )
        return BoardStatus(
            busy=bool(flags & 1),
            alarm=bool(flags & 2),
            last_error=Error(error),
            good=good,
            bad=bad,
            lost=lost,
            resets=resets,
            design_hash=digest.hex(),
            uptime_s=(uptime << UPTIME_BITS) / max(1, identity.clock_hz),
        )

    def infer(
        self,
        design: Design,
        x: np.ndarray,
        *,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Iterator[Result]:
        """Answer samples, one after the other.

        Parameters
        ----------
        design
            What the board must run.
        x
            (n, ...) samples as :meth:`signfire.gen.design.design.Design.raw_samples` takes them.
        progress
            Called with the number of samples answered, after each.
        """
        packed = SampleFormat.of(design).pack(design.raw_samples(x))
        self.expect(design)
        for done, sample in enumerate(packed, start=1):
            yield self.answer(sample.tobytes())
            progress(done)

    def answer(self, packed: bytes) -> Result:
        """Answer one sample, packed as the board's design takes it."""
        identity = self.identity or self.identify()
        return _result(self._request(Command.INFER, packed), identity)

    # -- frames --------------------------------------------------------------------------------

    def _request(self, command: Command, payload: bytes = b"") -> bytes:
        """Return the payload of the reply; repeat what was lost on the line."""
        why, patience = "no reply", self.timeout_s
        mine: set[int] = set()
        try:
            if not self._met:
                self.resynchronise()
                self._met = True
            for attempt in range(self.retries + 1):
                self.repeats += attempt > 0
                self._sequence = (self._sequence + 1) % 256
                mine.add(self._sequence)
                frame = encode_frame(command, self._sequence, payload)
                patience = self._patience(command, frame)
                self.port.write(frame)
                self.port.flush()
                code, reply = self._await(command, mine, patience)
                if code == command + REPLY:
                    return reply
                if code == ERROR_REPLY:
                    why = _refusal(reply)
        except (OSError, _TerminalError) as failure:
            raise UnreachableError(f"the serial port failed: {failure}") from failure
        raise UnreachableError(
            f"the board did not answer {command.name.lower()} in {self.retries + 1} attempts of "
            f"{patience:.3g} s, the last: {why} (is it the right port and speed, and is "
            f"signfire's bitstream in the board?)"
        )

    def _patience(self, command: Command, frame: bytes) -> float:
        """Return how long a reply may take: both ways on the line, and the core's time."""
        baud = getattr(self.port, "baudrate", None)
        identity, reply = self.identity, LONGEST_REPLY
        if identity is not None and command == Command.INFER:
            reply = OVERHEAD + identity.outputs * identity.logit_bytes
        on_line = (len(frame) + 2 * reply) * BITS / baud if baud else 0.0  # escapes may double it
        return self.timeout_s + on_line + self._core_s

    @property
    def _core_s(self) -> float:
        """Seconds after which the board itself gives up its core."""
        if self.identity is None or not self.identity.clock_hz:
            return 0.0
        cycles = max(self.identity.timeout_cycles, self.identity.latency_cycles)
        return cycles / self.identity.clock_hz

    def _await(self, command: Command, mine: Set[int], patience: float) -> tuple[int | None, bytes]:
        """Return code and payload of the reply to a request, or ``None`` and nothing."""
        start = self.clock()
        deadline, end = start + patience, start + EXTENSIONS * patience
        refused: tuple[int | None, bytes] = (None, b"")
        while self.clock() < min(deadline, end):
            arrived = self.port.read(max(1, self.port.in_waiting))
            if arrived:
                if not refused[1]:
                    deadline = max(deadline, self.clock() + self.timeout_s)
                self._frames.receive(arrived)
            for message in self._messages():
                frame = decode_frame(message)
                if frame is None:
                    if len(message) > 1 and message[0] == command + REPLY and message[1] in mine:
                        return ERROR_REPLY, bytes([CUT])  # it will not come again
                    continue
                code, sequence, payload = frame
                if code == command + REPLY and sequence in mine:
                    return code, payload
                if code != ERROR_REPLY or not payload:
                    continue
                if payload[0] in BROKEN_FRAME:
                    return code, payload
                if sequence in mine and payload[0] == Error.BUSY:
                    # The sample of an earlier attempt, whose result is welcome, or of a program
                    # before this one.
                    refused = code, payload
                    deadline = self.clock() + self._core_s + min(QUIET_S, self.timeout_s)
                elif sequence in mine:
                    _refuse_what_no_retry_mends(command, payload)
                    return code, payload
        return refused

    def _messages(self) -> Iterator[bytes]:
        """Take what lies between two ENDs; what SLIP refuses counts as never sent."""
        while True:
            try:
                message = self._frames.get(block=False)
            except sliplib.ProtocolError:
                continue
            if not message:
                return
            yield message

    def resynchronise(self) -> None:
        """End any frame that was cut, and forget what the line still brings."""
        self.port.write(sliplib.END)
        deadline = self.clock() + self.timeout_s
        while self.clock() < deadline and self.port.read(max(1, self.port.in_waiting)):
            pass
        self._frames = sliplib.Driver()


def _refusal(payload: bytes) -> str:
    number = payload[0] if payload else 0
    if number == CUT:
        return "a reply that was spoilt or cut short"
    known = number in REASONS
    return f"it saw {REASONS[Error(number)]}" if known else f"it gave error {number}"


def _refuse_what_no_retry_mends(command: Command, payload: bytes) -> None:
    if payload[0] in (Error.COMMAND, Error.LENGTH):
        raise LinkError(f"the board refuses {command.name.lower()}: {_refusal(payload)}")


def _result(reply: bytes, identity: Identity) -> Result:
    width = identity.logit_bytes
    expected = identity.outputs * width + struct.calcsize(RESULT_TAIL)
    if len(reply) != expected:
        raise LinkError(f"the board's result has {len(reply)} bytes, not {expected}")
    logits = [
        int.from_bytes(reply[at : at + width], "little", signed=True)
        for at in range(0, identity.outputs * width, width)
    ]
    label, cycles = struct.unpack_from(RESULT_TAIL, reply, identity.outputs * width)
    return Result(logits=np.array(logits, dtype=np.int64), label=label, first_logit_cycles=cycles)
