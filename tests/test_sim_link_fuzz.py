"""The link under hostile bytes: every reply judged, hangs and faults found."""

import struct
import zlib

import pytest
import sliplib
from hypothesis import given
from hypothesis import strategies as st

from signfire.gen.design.folding import Folding
from signfire.gen.design.linkformat import SampleFormat
from signfire.hdl import frame, link, slip
from signfire.sim import link_fuzz
from signfire.sim.link_fuzz import HANG, LinkBench, fuzz_link
from signfire.sim.link_reference import (
    CHECKSUM,
    COMMAND,
    ESCAPE,
    LENGTH,
    LONG,
    NONE,
    SHORT,
    Judge,
    Line,
    make_frame,
)
from signfire.sim.specimens.chains import random_design

SEED = 5


@pytest.fixture
def frames(amount):
    return amount(quick=600, deep=3000)


@pytest.fixture(scope="module")
def design():
    """Core whose link codes do not use up their bits: 9 of 16."""
    made = random_design(
        sizes=(16, 3), schedule="exponential", code="offset", input_steps=4
    ).with_folding({"input": Folding(pe=2), "fc1": Folding(simd=4)})
    assert 9 == len(SampleFormat.of(made).table)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def test_every_reply_to_many_hostile_frames_is_the_one_expected(design, folder, frames):
    found = fuzz_link(design, folder, frames=frames, seed=SEED)

    assert () == found.findings
    assert found.passed
    assert frames <= 1.01 * found.frames
    assert all(found.kinds.values())


def test_a_seed_gives_the_same_run_again(design, folder):
    first, again = (fuzz_link(design, folder, frames=200, seed=SEED) for _ in range(2))

    assert (first.frames, first.cycles, first.kinds) == (again.frames, again.cycles, again.kinds)


FAULTS = {
    "no checksum": (frame, "(~matches, Error.CHECKSUM)", "(matches & 0, Error.CHECKSUM)"),
    "part of a sample is kept": (
        link,
        "self.core_reset.eq((taken & refused & ~busy) | watchdog.expired)",
        "self.core_reset.eq(watchdog.expired)",
    ),
    "no watchdog": (link, "self.expired.eq(count[-1])", "self.expired.eq(0)"),
    "an escape too many": (
        slip,
        "item.broken.eq(is_end & (broken | escaped))",
        "item.broken.eq(0)",
    ),
}


def faulty_link(mutated, module, old: str, new: str) -> type:
    """Return a Link of which one line is another."""
    changed = mutated(module, (old, new))
    if module is link:
        return changed.Link
    copy = mutated(link)
    for name in ("FrameParser", "SlipDecoder"):
        if hasattr(changed, name) and getattr(changed, name).__module__ == module.__name__:
            setattr(copy, name, getattr(changed, name))
    return copy.Link


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_shown_in_few_bytes(
    fault, design, folder, frames, mutated, monkeypatch
):
    monkeypatch.setattr(link_fuzz, "MOST_FINDINGS", 1)  # to shorten each takes many runs
    bench = LinkBench(design, link=faulty_link(mutated, *FAULTS[fault]))

    found = fuzz_link(design, folder, frames=frames, seed=SEED, bench=bench)

    assert not found.passed
    first = found.findings[0]
    assert str(first).startswith(f"seed {SEED}, round {first.round} ({first.kind}), after ")
    assert (first.what == HANG) == (fault == "no watchdog")
    assert len(first.sent) < 80


def test_a_fuzz_without_frames_is_refused(design, folder):
    with pytest.raises(ValueError, match="the fuzz needs at least one frame, not 0"):
        fuzz_link(design, folder, frames=0)


# -- the judge itself


@pytest.fixture
def judge(design):
    return Judge(design=design, identity=b"I am", design_hash=bytes(32), logit_bytes=2)


def sent(*bodies: bytes) -> list:
    raw = b"".join(sliplib.END + sliplib.encode(body) + sliplib.END for body in bodies)
    return Line().take(raw, range(len(raw)))


GOOD = make_frame(3, 7, bytes(8))
VERDICTS = [
    (GOOD, NONE),
    (make_frame(1, 0), NONE),
    (make_frame(2, 255), NONE),
    (GOOD[:3], SHORT),
    (GOOD[:-1], SHORT),
    (make_frame(3, 7, bytes(8), length=9), SHORT),
    (make_frame(3, 7, bytes(8), length=7), LONG),
    (GOOD + b"\0", LONG),
    (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), CHECKSUM),
    (make_frame(4, 7), COMMAND),
    (make_frame(0x83, 7, bytes(8)), COMMAND),
    (make_frame(3, 7, bytes(9)), LENGTH),
    (make_frame(1, 7, bytes(8)), LENGTH),
]


@pytest.mark.parametrize(("body", "verdict"), VERDICTS)
def test_the_judge_knows_the_verdict_on_a_frame(body, verdict, judge):
    (found,) = sent(body)

    assert body == found.body
    assert verdict == judge.verdict(found)


def test_a_wrong_escape_breaks_a_frame_and_no_other(judge):
    raw = b"\xc0\x03\xdb\x41\x07\xc0\xdb\xc0\xdb\x41\xc0" + sliplib.encode(GOOD) + b"\xc0"

    broken, *nothing, whole = Line().take(raw, range(len(raw)))

    assert (b"\x03\x07", ESCAPE) == (broken.body, judge.verdict(broken))
    assert [(b"", ESCAPE)] * 2 == [(f.body, judge.verdict(f)) for f in nothing]
    assert (GOOD, NONE) == (whole.body, judge.verdict(whole))


@given(st.binary(), st.lists(st.binary(min_size=1), min_size=1, max_size=4), st.data())
def test_whatever_comes_before_frames_are_found_as_sliplib_encoded_them(noise, bodies, draw):
    raw = noise + b"".join(sliplib.END + sliplib.encode(body) + sliplib.END for body in bodies)
    cut = draw.draw(st.integers(0, len(raw)))
    line = Line()

    found = [*line.take(raw[:cut], range(cut)), *line.take(raw[cut:], range(cut, len(raw)))]

    assert bodies == [frame.body for frame in found[-len(bodies) :]]
    assert not any(frame.broken for frame in found[-len(bodies) :])


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=300), st.data())
def test_no_flipped_bit_of_a_frame_passes_for_good(command, sequence, payload, draw):
    design = random_design(sizes=(16, 3))
    body = bytearray(make_frame(command, sequence, payload))
    bit = draw.draw(st.integers(0, 8 * len(body) - 1))
    body[bit // 8] ^= 1 << bit % 8

    (found,) = sent(bytes(body))

    judge = Judge(design=design, identity=b"", design_hash=bytes(32), logit_bytes=2)
    assert judge.verdict(found) in (SHORT, LONG, CHECKSUM)


def reply(judge, *, flags=0, error=0, good=1, bad=0, lost=0, resets=0, uptime=0, sequence=9):
    told = struct.pack("<BBHHBBI", flags, error, good, bad, lost, resets, uptime)
    return make_frame(0x82, sequence, told + judge.design_hash)


def judged(judge, requests: list, replies: list, **more) -> list[str]:
    options = {"latencies": [(0, 30)], "pulses": (), "silent": ""} | more
    return judge.round(sent(*requests), sent(*replies), **options)


def test_the_judge_counts_frames_for_the_status(judge):
    requests = [make_frame(9, 1), make_frame(2, 9)]
    refused = make_frame(0xFF, 1, bytes([COMMAND]))

    assert [] == judged(judge, requests, [refused, reply(judge, flags=2, error=5, bad=1)])
    assert [] == judged(judge, [make_frame(2, 9)], [reply(judge, error=5, good=2, bad=1)])
    assert 1 == len(judged(judge, [make_frame(2, 9)], [reply(judge, error=5, good=9, bad=1)]))


def result(judge, sequence: int, cycles: int) -> bytes:
    judge.learn([bytes(8)])
    return make_frame(0x83, sequence, judge.known[bytes(8)] + struct.pack("<I", cycles))


def test_the_judge_takes_a_result_for_right_only_where_it_is(judge):
    assert [] == judged(judge, [GOOD], [result(judge, 7, 30)])
    assert 1 == len(judged(judge, [GOOD], [result(judge, 7, 31)]))
    assert 1 == len(judged(judge, [GOOD], [result(judge, 8, 30)]))
    assert 0 < judge.false_accepts


def test_a_result_to_a_frame_with_a_wrong_checksum_is_a_false_accept(judge):
    bad = GOOD[:-1] + bytes([GOOD[-1] ^ 1])

    assert 1 == len(judged(judge, [bad], [result(judge, 7, 30)]))
    assert 1 == judge.false_accepts


def test_a_frame_without_reply_is_noticed(judge):
    assert ["1 frames got no reply"] == judged(judge, [GOOD], [])


def test_a_reply_to_nothing_is_noticed(judge):
    assert 1 == len(judged(judge, [], [make_frame(0xFF, 0, b"\1")]))


def test_checksums_of_the_judge_are_those_of_zlib():
    assert zlib.crc32(GOOD[:-4]).to_bytes(4, "little") == GOOD[-4:]
