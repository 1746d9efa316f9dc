"""Netlist and bitstream check: what answers through the host link, against golden and cycle model.

What speaks to the pins is the caller's: a function that takes the bytes of a request and returns
those of the reply, and the cycle in which it was complete.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import sliplib

from ..gen.core.core import core_timing
from ..gen.core.plans import plan_layers
from ..gen.design.design import Design
from ..gen.design.linkformat import SampleFormat
from ..gen.layers.cycles import predict
from ..gen.technology import Technology, find_technology
from ..hdl.protocol import CHECKSUM, HEADER, REPLY, RESULT_TAIL, Command
from . import golden
from .activity import busy_of
from .chip import Exchange
from .mismatch import Mismatch

# Cycles between the words of a sample: any serial line is slower, and the answer is the same.
_LINE_GAP = 1000


@dataclass(frozen=True, kw_only=True)
class NetlistResult:
    """What the netlist check did and found.

    Parameters
    ----------
    samples, words
        How much was compared; a word is a logit, a class or a count of cycles.
    mismatches
        Empty where netlist, golden model and cycle model agree.
    """

    samples: int
    words: int
    mismatches: tuple[Mismatch, ...]

    @property
    def passed(self) -> bool:
        return not self.mismatches


def check_link(
    design: Design,
    raw: np.ndarray,
    exchange: Exchange,
    *,
    technology: Technology | str,
    shape: Design | None = None,
) -> NetlistResult:
    """Send samples over the host link and compare every logit, class and count of cycles.

    Parameters
    ----------
    design
        Folded; golden model and cycle model read it.
    raw
        (samples, input size) integers p.
    exchange
        Takes a request frame; returns the bytes of the reply and the cycle of the last one. Bytes
        that make no reply count as no answer.
    technology
        That the hardware was generated for.
    shape
        Folded Design whose hardware holds ``design``; None is ``design`` itself.
    """
    raw = np.asarray(raw)
    if len(raw) == 0:
        raise ValueError("the netlist check needs at least one sample")
    raw = raw.reshape(len(raw), -1)
    answer = golden.run(design, raw)
    timing = core_timing(shape or design, technology)
    gaps = [_LINE_GAP] * timing.input_words
    _, plans = plan_layers(design, find_technology(technology), shape)
    busy = busy_of(design, plans, raw)
    found: list[Mismatch] = []
    for n, packed in enumerate(SampleFormat.of(design).pack(raw)):
        reply, cycle = exchange(_frame(Command.INFER, n % 256, packed.tobytes()))
        got = _words(reply, n % 256, design.readout.size)
        own = {name: words[n : n + 1] for name, words in busy.items()}
        cycles = predict(timing, 1, gaps=gaps, busy=own).answer()
        expected = [*answer.logits[n].tolist(), int(answer.labels[n]), cycles]
        found += _compare(design, n, cycle, expected, got)
    words = len(raw) * (design.readout.size + 2)
    return NetlistResult(samples=len(raw), words=words, mismatches=tuple(found))


def _frame(code: int, sequence: int, payload: bytes) -> bytes:
    body = struct.pack(HEADER, code, sequence, len(payload)) + payload
    body += struct.pack(CHECKSUM, zlib.crc32(body))
    return sliplib.END + sliplib.encode(body) + sliplib.END


def _words(reply: bytes, sequence: int, outputs: int) -> list[int] | None:
    """Return logits, class and cycles of a reply, or None where it is none."""
    driver = sliplib.Driver()
    driver.receive(reply)
    try:
        frame = driver.get(block=False)
    except sliplib.ProtocolError:
        return None
    if not frame or len(frame) < struct.calcsize(HEADER) + 4:
        return None
    body, (checksum,) = frame[:-4], struct.unpack(CHECKSUM, frame[-4:])
    code, got_sequence, length = struct.unpack_from(HEADER, body)
    payload = body[struct.calcsize(HEADER) :]
    if checksum != zlib.crc32(body) or (code, got_sequence) != (Command.INFER + REPLY, sequence):
        return None
    width, rest = divmod(length - struct.calcsize(RESULT_TAIL), outputs)
    if rest or width < 1 or length != len(payload):
        return None
    logits = [
        int.from_bytes(payload[at : at + width], "little", signed=True)
        for at in range(0, outputs * width, width)
    ]
    return [*logits, *struct.unpack_from(RESULT_TAIL, payload, outputs * width)]


def _compare(
    design: Design, sample: int, cycle: int, expected: list[int], got: list[int] | None
) -> Iterator[Mismatch]:
    """Yield what differs of logits, class and cycles; all of it where no reply came."""
    outputs = design.readout.size
    for k, number in enumerate(expected):
        if got is None or got[k] != number:
            yield Mismatch(
                layer=design.readout.name,
                what="logit" if k < outputs else ("label", "cycles")[k - outputs],
                sample=sample,
                neuron=k if k < outputs else None,
                cycle=cycle,
                expected=number,
                got=None if got is None else got[k],
            )
