"""What answers over the link: replies that differ are named."""

import struct
import zlib

import numpy as np
import pytest
import sliplib

from signfire.gen.core.core import core_timing
from signfire.gen.design.folding import Folding
from signfire.gen.design.linkformat import SampleFormat
from signfire.gen.layers.cycles import predict
from signfire.sim import golden
from signfire.sim.netlist import check_link
from signfire.sim.specimens.chains import random_design

FOLDING = {"fc1": Folding(pe=1, simd=2, unroll=1), "fc2": Folding(pe=1, simd=2, unroll=1)}
DESIGN = random_design(seed=1, sizes=(4, 2, 2), steps=2, folding=FOLDING)
RAW = np.random.default_rng(1).integers(
    DESIGN.input_format.low, DESIGN.input_format.high + 1, (3, 4)
)


class Line:
    """Answers as golden and cycle model do; ``change`` spoils (logits, label, cycles)."""

    def __init__(self, change=lambda logits, label, cycles: (logits, label, cycles)):
        self.change, self.count = change, 0
        self.packed = SampleFormat.of(DESIGN).pack(RAW)
        timing = core_timing(DESIGN, "ecp5")
        self.cycles = predict(timing, 1, gaps=[99] * timing.input_words).answer()

    def __call__(self, request: bytes) -> tuple[bytes, int]:
        body = sliplib.decode(request.strip(sliplib.END))
        code, sequence, _ = struct.unpack_from("<BBH", body)
        assert body[4:-4] == self.packed[self.count].tobytes()
        answer = golden.run(DESIGN, RAW[self.count : self.count + 1])
        self.count += 1
        logits, label, cycles = self.change(
            answer.logits[0].tolist(), int(answer.labels[0]), self.cycles
        )
        payload = b"".join(x.to_bytes(3, "little", signed=True) for x in logits)
        payload += struct.pack("<HI", label, cycles)
        reply = struct.pack("<BBH", code + 0x80, sequence, len(payload)) + payload
        reply += struct.pack("<I", zlib.crc32(reply))
        return sliplib.END + sliplib.encode(reply) + sliplib.END, 1000


def test_equal_answers_pass():
    result = check_link(DESIGN, RAW, Line(), technology="ecp5")

    assert result.passed
    assert (result.samples, result.words) == (3, 12)


@pytest.mark.parametrize(
    ("change", "what", "neuron"),
    [
        (lambda g, c, n: ([g[0], g[1] + 1], c, n), "logit", 1),
        (lambda g, c, n: (g, 1 - c, n), "label", None),
        (lambda g, c, n: (g, c, n + 1), "cycles", None),
    ],
)
def test_a_word_that_differs_is_named(change, what, neuron):
    result = check_link(DESIGN, RAW, Line(change), technology="ecp5")

    assert [(m.sample, m.what, m.neuron) for m in result.mismatches] == [
        (n, what, neuron) for n in range(3)
    ]


def test_no_reply_is_a_mismatch_of_every_word():
    result = check_link(DESIGN, RAW[:1], lambda request: (b"", 5), technology="ecp5")

    assert [m.got for m in result.mismatches] == [None] * 4


@pytest.mark.parametrize("place", [0, 1])
def test_a_reply_to_another_request_or_another_sample_is_no_answer(place):
    """The first byte names what is answered, the second which of the requests."""
    line = Line()

    def other(request: bytes) -> tuple[bytes, int]:
        reply, cycle = line(request)
        body = bytearray(sliplib.decode(reply.strip(sliplib.END))[:-4])
        body[place] ^= 1
        body += struct.pack("<I", zlib.crc32(body))
        return sliplib.END + sliplib.encode(bytes(body)) + sliplib.END, cycle

    result = check_link(DESIGN, RAW[:1], other, technology="ecp5")

    assert [m.got for m in result.mismatches] == [None] * 4
