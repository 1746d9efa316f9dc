"""SLIP, frames and unpacking against sliplib, zlib and NumPy, with stalls at every stream."""

import random
import struct
import zlib

import numpy as np
import pytest
import sliplib
from amaranth.hdl import signed, unsigned
from amaranth.sim import Simulator

from signfire.hdl.frame import FrameParser
from signfire.hdl.link import SampleUnpacker
from signfire.hdl.protocol import Error
from signfire.hdl.slip import SlipDecoder, SlipEncoder

END, ESC = 0xC0, 0xDB


def pump(dut, streams_in: dict, streams_out: dict, *, stalls: float, seed: int = 0) -> None:
    """Feed each input stream its words and gather what output streams give, with random stalls.

    ``streams_in`` and ``streams_out`` map ports to lists; the run ends after a long silence.
    """
    rng = random.Random(seed)

    async def run(ctx):
        idle = 0
        pending = {port: list(words) for port, words in streams_in.items()}
        offered = {port: False for port in streams_in}
        while idle < 60 + 60 * (stalls > 0):
            idle += 1
            takes = {port: rng.random() >= stalls for port in streams_out}
            for port, words in pending.items():
                offered[port] = bool(words) and (offered[port] or rng.random() >= stalls)
                ctx.set(port.valid, offered[port])
                if offered[port]:
                    ctx.set(port.payload, words[0])
            for port, take in takes.items():
                ctx.set(port.ready, take)
            await ctx.delay(0.4e-6)
            for port, words in pending.items():
                if offered[port] and ctx.get(port.ready):
                    words.pop(0)
                    offered[port], idle = False, 0
            for port, take in takes.items():
                if take and ctx.get(port.valid):
                    streams_out[port].append(ctx.get(port.payload))
                    idle = 0
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(run)
    simulator.run()


def item(byte: int, *, end: int = 0, broken: int = 0) -> dict:
    return {"byte": byte, "end": end, "broken": broken}


def items_of(frames: list[bytes]) -> list[dict]:
    return [i for f in frames for i in [*map(item, f), item(END, end=1)]]


FRAMES = [
    b"",
    b"abc",
    bytes([END]),
    bytes([ESC, END, 0xDC, 0xDD, ESC]),
    bytes([ESC] * 5),
    random.Random(2).randbytes(40),
]


@pytest.mark.parametrize("stalls", [0.0, 0.5])
def test_frames_are_decoded_as_sliplib_encodes_them(stalls):
    dut = SlipDecoder()
    encoded = b"".join(sliplib.encode(f) + sliplib.END for f in FRAMES)
    received: list = []

    pump(dut, {dut.encoded: encoded}, {dut.items: received}, stalls=stalls)

    ends = [n for n, i in enumerate(received) if i["end"]]
    assert len(FRAMES) == len(ends)
    assert FRAMES == [
        bytes(i["byte"] for i in received[a + 1 : b])
        for a, b in zip([-1, *ends], ends, strict=False)
    ]
    assert not any(i["broken"] for i in received)


@pytest.mark.parametrize(
    "wrong", [[ESC, 0x41], [ESC, ESC], [0x41, ESC], [ESC, ESC, 0xDC], [ESC, 0x00, 0x41]]
)
def test_a_wrong_escape_breaks_its_frame_and_no_other(wrong):
    dut = SlipDecoder()
    received: list = []

    pump(dut, {dut.encoded: [0x42, END, *wrong, END, 0x43, END]}, {dut.items: received}, stalls=0)

    assert [0, 1, 0] == [i["broken"] for i in received if i["end"]]


@pytest.mark.parametrize("stalls", [0.0, 0.5])
def test_frames_are_encoded_as_sliplib_does(stalls):
    dut = SlipEncoder()
    encoded: list[int] = []
    words = [{"byte": i["byte"], "end": i["end"]} for i in items_of(FRAMES)]

    pump(dut, {dut.items: words}, {dut.encoded: encoded}, stalls=stalls)

    assert b"".join(sliplib.encode(f) + sliplib.END for f in FRAMES) == bytes(encoded)


def frame(command: int, payload: bytes, *, sequence: int = 9, length: int | None = None) -> bytes:
    length = len(payload) if length is None else length
    body = struct.pack("<BBH", command, sequence, length) + payload
    return body + struct.pack("<I", zlib.crc32(body))


PAYLOAD = bytes(range(200, 205))
GOOD = frame(3, PAYLOAD)
VERDICTS = [
    (GOOD, Error.NONE),
    (frame(1, b""), Error.NONE),
    (frame(4, bytes(300)), Error.NONE),
    (GOOD[:1], Error.SHORT),
    (GOOD[:4], Error.SHORT),
    (GOOD[:6], Error.SHORT),
    (GOOD[:-1], Error.SHORT),
    (GOOD + b"\0", Error.LONG),
    (GOOD + bytes(70000 % 256), Error.LONG),
    (frame(3, PAYLOAD, length=4), Error.LONG),
    (frame(3, PAYLOAD, length=6), Error.SHORT),
    (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), Error.CHECKSUM),
    (bytes([GOOD[0] ^ 2]) + GOOD[1:], Error.CHECKSUM),
    (GOOD[:5] + bytes([GOOD[5] ^ 128]) + GOOD[6:], Error.CHECKSUM),
    (frame(0, b""), Error.COMMAND),
    (frame(0x83, PAYLOAD), Error.COMMAND),
    (frame(3, PAYLOAD + b"x"), Error.LENGTH),
    (frame(3, b""), Error.LENGTH),
    (frame(1, b"x"), Error.LENGTH),
    (frame(4, bytes(44)), Error.LENGTH),  # 300 modulo 256
]


@pytest.mark.parametrize("stalls", [0.0, 0.6])
def test_every_frame_gets_its_verdict_and_the_next_is_unharmed(stalls):
    frames = [f for f, _ in VERDICTS for f in (f, b"", GOOD)]
    dut = FrameParser(lengths={1: 0, 3: len(PAYLOAD), 4: 300}, consumer=3)
    verdicts: list = []
    passed: list[int] = []

    pump(
        dut,
        {dut.items: items_of(frames)},
        {dut.request: verdicts, dut.payload: passed},
        stalls=stalls,
    )

    expected = [e for _, error in VERDICTS for e in (error, Error.NONE)]
    assert expected == [v["error"] for v in verdicts]
    assert {9} == {v["sequence"] for v, e in zip(verdicts, expected, strict=True) if not e}
    assert len(VERDICTS) <= bytes(passed).count(PAYLOAD)


@pytest.mark.parametrize("cut", range(4, len(GOOD)))
def test_a_frame_cut_in_its_payload_passes_nothing_of_the_next(cut):
    dut = FrameParser(lengths={3: len(PAYLOAD)}, consumer=3)
    passed: list[int] = []

    pump(
        dut,
        {dut.items: items_of([GOOD[:cut], GOOD])},
        {dut.request: [], dut.payload: passed},
        stalls=0,
    )

    assert PAYLOAD[: cut - 4] + PAYLOAD == bytes(passed)


def test_a_broken_escape_is_reported_first():
    dut = FrameParser(lengths={3: len(PAYLOAD)}, consumer=3)
    verdicts: list = []
    items = [*map(item, GOOD), item(END, end=1, broken=1), *items_of([GOOD])]

    pump(dut, {dut.items: items}, {dut.request: verdicts, dut.payload: []}, stalls=0)

    assert [Error.ESCAPE, Error.NONE] == [v["error"] for v in verdicts]


@pytest.mark.parametrize("stalls", [0.0, 0.7])
@pytest.mark.parametrize(
    ("code_bits", "lanes", "elements", "table"),
    [
        (2, 4, 12, [0, 85, 170, 255]),
        (1, 1, 9, [0, 200]),
        (3, 5, 15, [-7, -5, -1, 0, 1, 4]),
        (5, 2, 6, list(range(-16, 16))),
        (8, 3, 6, None),
        (11, 1, 5, None),
    ],
)
def test_packed_samples_become_words_of_raw_integers(code_bits, lanes, elements, table, stalls):
    is_signed = table is not None and min(table) < 0
    shape = unsigned(code_bits) if table is None else signed(9) if is_signed else unsigned(8)
    rng = np.random.default_rng(code_bits)
    codes = rng.integers(0, 2**code_bits if table is None else len(table), (3, elements))
    bits = (codes[:, :, None] >> np.arange(code_bits) & 1).astype(np.uint8)
    packed = np.packbits(bits.reshape(3, -1), axis=1, bitorder="little")
    dut = SampleUnpacker(
        elements=elements, code_bits=code_bits, table=table, raw_shape=shape, lanes=lanes
    )
    words: list = []

    pump(dut, {dut.packed: packed.ravel().tolist()}, {dut.samples: words}, stalls=stalls)

    raw = codes if table is None else np.array(table)[codes]
    assert raw.ravel().tolist() == [word[lane] for word in words for lane in range(lanes)]


def test_lanes_that_do_not_divide_the_sample_are_refused():
    with pytest.raises(ValueError, match="lanes must divide the 10 elements of a sample, not 4"):
        SampleUnpacker(elements=10, code_bits=2, table=[0, 1, 2], raw_shape=8, lanes=4)
