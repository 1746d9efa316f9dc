"""Reference model of the host link: what must come back for the bytes that went in.

It shares nothing with the hardware but the text of :mod:`signfire.hdl.protocol`: frames are undone
by sliplib, checksums are zlib's, logits are the golden model's. Time enters where the protocol
says so, and only there: an INFER is refused while another is under way, a status reply tells the
time, a result tells its cycles.
"""

import struct
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sliplib

from ..gen.design.design import Design
from ..gen.design.linkformat import SampleFormat
from . import golden

IDENTITY, STATUS, INFER = 1, 2, 3
NONE, ESCAPE, SHORT, LONG, CHECKSUM, COMMAND, LENGTH, BUSY, TIMEOUT = range(9)
FAILED = 0xFF  # code of an error reply
END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
SLACK = 40  # cycles that the link may take to notice what has happened on the line


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame that is not empty, as it went over the line.

    Parameters
    ----------
    body
        Without escapes; of a frame with a wrong escape, what the others give.
    broken
        A wrong escape was in it.
    headed, closed, ended
        Cycles of its fourth byte (of its end, if it has none), of its last byte, and of its end.
    """

    body: bytes
    broken: bool
    headed: int
    closed: int
    ended: int


class Line:
    """Cuts bytes into frames; a frame may go on in the next call."""

    def __init__(self) -> None:
        self.raw = bytearray()
        self.cycles: list[int] = []

    def take(self, data: bytes, cycles: Sequence[int]) -> list[Frame]:
        """Return the frames that end in ``data``, with the cycle of each byte."""
        frames = []
        for byte, cycle in zip(data, cycles, strict=True):
            self.raw.append(byte)
            self.cycles.append(cycle)
            if byte == END:
                frame = self._frame()
                if frame is not None:
                    frames.append(frame)
                self.raw.clear()
                self.cycles.clear()
        return frames

    def _frame(self) -> Frame | None:
        raw = bytes(self.raw[:-1])
        if not raw:
            return None
        whole = [n for n, byte in enumerate(raw) if byte != ESC]  # where a byte of the body ends
        try:
            body, broken = sliplib.decode(raw), False
        except sliplib.ProtocolError:
            whole, body = _lenient(raw)
            broken = True
        headed = self.cycles[whole[3]] if len(whole) > 3 else self.cycles[-1]
        return Frame(
            body=body,
            broken=broken,
            headed=headed,
            closed=self.cycles[-2],
            ended=self.cycles[-1],
        )


def _lenient(raw: bytes) -> tuple[list[int], bytes]:
    """Return what a frame with wrong escapes holds if these are left out, byte and place."""
    places, body, escaped = [], bytearray(), False
    for n, byte in enumerate(raw):
        if byte == ESC:
            escaped = not escaped
            continue
        if not escaped or byte in (ESC_END, ESC_ESC):
            places.append(n)
            body.append({ESC_END: END, ESC_ESC: ESC}[byte] if escaped else byte)
        escaped = False
    return places, bytes(body)


def make_frame(command: int, sequence: int, payload: bytes = b"", *, length: int = -1) -> bytes:
    """Return the body of a frame, with its checksum."""
    head = struct.pack("<BBH", command, sequence, len(payload) if length < 0 else length)
    return head + payload + struct.pack("<I", zlib.crc32(head + payload))


@dataclass
class Sample:
    """An INFER that was accepted, until its reply."""

    sequence: int
    reply: bytes  # its logits and class


@dataclass
class Judge:
    """Follows the link through a run, and says where a reply is not what it must be.

    Parameters
    ----------
    design
        What the core computes.
    identity
        The record that IDENTITY is answered with.
    design_hash
        What ends a status reply.
    logit_bytes
        Bytes of one logit.
    """

    design: Design
    identity: bytes
    design_hash: bytes
    logit_bytes: int

    def __post_init__(self) -> None:
        self.form = SampleFormat.of(self.design)
        self.known: dict[bytes, bytes] = {}
        self.frames = self.false_accepts = 0
        self.restart(0)

    def restart(self, cycle: int) -> None:
        """Begin as after a reset of everything."""
        self.line, self.replies = Line(), Line()
        self.good = self.bad = self.lost = self.resets = 0
        self.last_error, self.alarm = NONE, False
        self.base = cycle
        self.pending: Sample | None = None
        self.latencies: list[tuple[int, int]] = []
        self.free_at = -SLACK - 1  # last byte of the last reply to an INFER

    def learn(self, packed: Sequence[bytes]) -> None:
        """Compute the answers to samples beforehand, all at once."""
        new = sorted({p for p in packed if len(p) == self.form.byte_count} - self.known.keys())
        if not new:
            return
        raw = self.form.unpack(np.frombuffer(b"".join(new), np.uint8).reshape(len(new), -1))
        answer = golden.run(self.design, raw)
        for p, logits, label in zip(new, answer.logits, answer.labels, strict=True):
            values = (int(v).to_bytes(self.logit_bytes, "little", signed=True) for v in logits)
            self.known[p] = b"".join(values) + struct.pack("<H", int(label))

    def verdict(self, frame: Frame) -> int:
        """Return the error of a frame to an idle link, NONE for a good one."""
        body = frame.body
        if frame.broken:
            return ESCAPE
        length = int.from_bytes(body[2:4], "little") if len(body) >= 4 else 0
        whole = 4 + length + 4
        if len(body) < whole:
            return SHORT
        if len(body) > whole:
            return LONG
        if zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little"):
            return CHECKSUM
        if body[0] not in (IDENTITY, STATUS, INFER):
            return COMMAND
        return NONE if length == (self.form.byte_count, 0)[body[0] != INFER] else LENGTH

    def round(
        self,
        frames: Sequence[Frame],
        replies: Sequence[Frame],
        *,
        latencies: Sequence[tuple[int, int]],
        pulses: Sequence[int],
        silent: str,
    ) -> list[str]:
        """Compare one round: everything is answered at its end.

        Parameters
        ----------
        frames, replies
            In order.
        latencies
            (cycle, cycles since the last word entered) of each first logit of a sample.
        pulses
            Cycles in which the line reported a lost byte.
        silent
            ``in`` where the core takes no word in this round, ``out`` where it gives no whole
            result, else empty.
        """
        self.frames += len(frames)
        self.learn([f.body[4:-4] for f in frames if not f.broken and f.body[0] == INFER])
        self.latencies = [
            *self.latencies[-1:],
            *latencies,
        ]  # a frame may have begun before the round
        self.pulses, self.silent = list(pulses), silent
        waiting, found = deque(frames), []
        for n, reply in enumerate(replies):
            self._accept(waiting, reply)
            wrong = self._match(waiting, reply)
            if wrong:
                found.append(f"reply {n}: {wrong}")
                if reply.body[:1] == bytes([INFER | 0x80]):
                    self.false_accepts += 1
        self._accept(waiting, None)
        if waiting or self.pending:
            found.append(f"{len(waiting) + (self.pending is not None)} frames got no reply")
        self._count_pulses(None)
        return found

    # -- one reply

    def _is_busy(self, frame: Frame, reply: Frame | None) -> bool:
        """Tell whether an INFER comes while another one is under way.

        Where the other one's reply ends within a few cycles, ``reply`` says what happened.
        """
        if frame.headed < self.free_at - SLACK:
            return True
        if frame.headed > self.free_at + SLACK or reply is None:
            return False
        return reply.body[:2] == bytes([FAILED, frame.body[1]]) and reply.body[4:5] == bytes([BUSY])

    def _accept(self, waiting: deque, reply: Frame | None) -> None:
        """Let INFERs that the link accepts become pending."""
        if not waiting or self.pending is not None or self.silent == "in":
            return
        frame = waiting[0]
        if self.verdict(frame) != NONE or frame.body[0] != INFER or self._is_busy(frame, reply):
            return
        waiting.popleft()
        self.good += 1
        self.pending = Sample(sequence=frame.body[1], reply=self.known[frame.body[4:-4]])

    def _match(self, waiting: deque, reply: Frame) -> str:
        """Take what ``reply`` answers off; return what is wrong with it, if anything."""
        body, sample = reply.body, self.pending
        code = body[0]
        if sample is not None:
            mine = code == INFER | 0x80 or (
                code == FAILED and body[4:5] == bytes([TIMEOUT]) and body[1] == sample.sequence
            )
            if mine:
                return self._result(sample, reply)
        if not waiting:
            return f"{body.hex()} answers nothing"
        frame = waiting.popleft()
        error = self.verdict(frame)
        if error == NONE and frame.body[0] == INFER:
            error = TIMEOUT if self.silent == "in" else BUSY
        if self.silent == "in" and frame.body[:1] == bytes([INFER]) and self._reaches_core(frame):
            self._reset_by_watchdog()
        if error == NONE:
            self.good += 1
            return self._answer(frame, reply)
        self.bad += 1
        self.last_error, self.alarm = error, True
        expected = make_frame(
            FAILED, body[1] if error <= CHECKSUM else frame.body[1], bytes([error])
        )
        return (
            ""
            if body == expected
            else f"{body.hex()} in place of {expected.hex()} to {frame.body.hex()}"
        )

    def _reaches_core(self, frame: Frame) -> bool:
        body = frame.body
        return int.from_bytes(body[2:4], "little") == self.form.byte_count and len(body) >= 8

    def _reset_by_watchdog(self) -> None:
        self.resets = min(255, self.resets + 1)
        self.last_error, self.alarm = TIMEOUT, True

    def _result(self, sample: Sample, reply: Frame) -> str:
        """Check what an accepted INFER got: its result, or a part of it, or a TIMEOUT."""
        body = reply.body
        head = struct.pack("<BBH", INFER | 0x80, sample.sequence, len(sample.reply) + 4)
        if self.silent != "out":
            self.pending = None
            self.free_at = reply.closed
            latency = [n for at, n in self.latencies if at < reply.ended][-1:]
            tail = struct.pack("<I", latency[0]) if latency else b"????"
            expected = head + sample.reply + tail
            expected += struct.pack("<I", zlib.crc32(expected))
            return _differs(body, expected)
        self.pending = None
        self.free_at = reply.closed
        self._reset_by_watchdog()
        if body[0] == INFER | 0x80:  # what had begun is cut
            prefix = head + sample.reply
            cut = len(body) < len(prefix) and prefix.startswith(body)
            return "" if cut else f"{body.hex()} in place of a part of {prefix.hex()}"
        return _differs(body, make_frame(FAILED, sample.sequence, bytes([TIMEOUT])))

    def _answer(self, frame: Frame, reply: Frame) -> str:
        """Check the reply to a good IDENTITY or STATUS."""
        sequence, body = frame.body[1], reply.body
        if frame.body[0] == IDENTITY:
            expected = make_frame(IDENTITY | 0x80, sequence, self.identity)
            return _differs(body, expected)
        size = struct.calcsize("<BBHHBBI")
        if len(body) != 4 + size + len(self.design_hash) + 4:
            return f"{body.hex()} is no status reply"
        flags, *_, lost, _, uptime = struct.unpack_from("<BBHHBBI", body, 4)
        # Pulses before the frame ended count for sure, those up to the reply's end may.
        surely, maybe = self._count_pulses(frame.ended), self._peek_pulses(reply.ended)
        alarm = self.alarm or surely
        expected = make_frame(
            STATUS | 0x80,
            sequence,
            struct.pack(
                "<BBHHBBI",
                (self.pending is not None) | (flags & 2 if maybe and not alarm else 2 * alarm),
                self.last_error,
                self.good % 65536,
                self.bad % 65536,
                max(self.lost, min(lost, self.lost + maybe, 255)),
                self.resets,
                self._uptime(uptime, frame.ended, reply.ended),
            )
            + self.design_hash,
        )
        self.alarm = bool(maybe) and not flags & 2
        return _differs(body, expected)

    def _uptime(self, told: int, earliest: int, latest: int) -> int:
        """Return ``told`` where it is a time between the two, else the earlier."""
        low = max(0, earliest - self.base - SLACK) >> 16
        high = (latest - self.base + SLACK) >> 16
        return told if low <= told <= high else low

    def _count_pulses(self, until: int | None) -> bool:
        """Count the lost bytes up to a cycle; tell whether there was one."""
        past = [p for p in self.pulses if until is None or p <= until]
        self.pulses = self.pulses[len(past) :]
        self.lost = min(255, self.lost + len(past))
        self.alarm = self.alarm or bool(past)
        return bool(past)

    def _peek_pulses(self, until: int) -> int:
        return sum(p <= until for p in self.pulses)


def _differs(got: bytes, expected: bytes) -> str:
    return "" if got == expected else f"{got.hex()} in place of {expected.hex()}"
