"""What the report says of the lines: hand-worked figures, and which of link and core limits."""

import json
from dataclasses import replace

import numpy as np
import pytest
import sliplib

from signfire.boards.boards import find_board
from signfire.boards.build import BuildResult
from signfire.boards.spi_timing import OUTSIDE_NS, SpiTiming
from signfire.boards.top import LINKS
from signfire.gen.core.plans import plan_layers
from signfire.gen.design.folding import Folding
from signfire.gen.design.linkformat import SampleFormat
from signfire.gen.technology import find_technology
from signfire.hdl.protocol import Command
from signfire.sim.specimens.chains import random_design
from signfire.tools import pipeline, tables
from signfire.tools.cli import cli
from signfire.tools.host import encode_frame
from signfire.tools.link_speed import Line, frame_bytes, lines, spi_byte_cycles

FOLDING = {"input": Folding(pe=4), "fc1": Folding(pe=2, simd=4), "fc2": Folding(pe=1)}
BOARD = find_board("icebreaker")


@pytest.fixture(scope="module")
def design():
    return random_design(sizes=(16, 6, 3), input_steps=2, folding=FOLDING)


def built(*, link: str, clock_hz: float = 40e6, sck_fmax_hz: float = 90e6) -> BuildResult:
    return BuildResult(
        board=BOARD.name,
        clock_hz=clock_hz,
        bitstream="x.bin",
        utilisation={},
        versions={},
        logs={},
        seconds=1.0,
        link=link,
        spi=None if link == "uart" else SpiTiming(fmax_hz=sck_fmax_hz, cipo_ns=8.0),
    )


CYCLES = {"latency": 400, "interval": 200}


def test_sck_is_limited_by_the_way_of_cipo_its_registers_and_the_core() -> None:
    timing = SpiTiming(fmax_hz=90e6, cipo_ns=8.0)

    assert 1e9 / (2 * (8.0 + OUTSIDE_NS)) == timing.sck_hz(40e6)
    assert 15e6 == timing.sck_hz(10e6)
    assert 20e6 == replace(timing, fmax_hz=20e6).sck_hz(40e6)
    assert timing.sck_hz(40e6) > replace(timing, cipo_ns=None).sck_hz(40e6)


def test_each_line_takes_its_bits_for_the_bytes_of_both_frames(design) -> None:
    bytes_in, bytes_out = frame_bytes(design, "ice40-up")

    uart, spi = lines(design, BOARD, built(link="both"), CYCLES)

    # 16 elements of 2 bits; header 4, checksum 4, two ENDs
    assert 4 + 10 == bytes_in
    assert 10 * (bytes_in + bytes_out) / 1e6 == pytest.approx(uart.line_s)
    assert 8 * (bytes_in + bytes_out) / 25e6 == pytest.approx(spi.line_s)
    assert 400 / 40e6 == uart.core_s == spi.core_s
    assert 1 / (uart.line_s + 1e-5) == pytest.approx(uart.throughput_per_s)


def test_the_bytes_counted_are_those_of_whole_frames(design, pretended_board) -> None:
    """Request and reply as they go over the line, class and cycles of the reply included."""
    replies = []
    board = pretended_board(design, disturb=lambda *reply: replies.append(reply[-1]) or b"")
    packed = SampleFormat.of(design).pack(np.zeros((1, design.input.size), int))[0].tobytes()
    request = encode_frame(Command.INFER, 1, packed)

    board.receive(request)
    bytes_in, bytes_out = frame_bytes(design, "ice40-up")

    _, plans = plan_layers(design, find_technology("ice40-up"))
    logit_bytes = -(-plans[-1].x_width // 8)
    narrower = design.readout.size * (4 - logit_bytes)  # of the pretended board's four a logit
    assert 2 + len(sliplib.decode(request[1:-1])) == bytes_in
    assert 2 + len(sliplib.decode(replies[0][1:-1])) - narrower == bytes_out


def test_a_slow_core_takes_bytes_slower_than_sck_could_bring_them(design) -> None:
    (spi,) = lines(design, BOARD, built(link="spi", clock_hz=20e6), CYCLES)

    # a word is 4 elements of 2 bits, a byte: ten cycles and one
    assert 11 == spi_byte_cycles(design, "ice40-up")
    assert 8 * 20e6 / 11 == spi.bits_per_s
    assert "the link's cycles a byte" == spi.rate_limit


def line(line_s: float, core_s: float) -> Line:
    return Line(
        name="spi",
        bits_per_s=25e6,
        bits_per_byte=8,
        rate_limit="",
        line_s=line_s,
        core_s=core_s,
        core_interval_s=core_s / 2,
    )


def test_the_verdict_names_what_takes_longer_with_both_times() -> None:
    link, core = line(90e-6, 10e-6), line(10e-6, 90e-6)

    assert ("link", "core") == (link.limit, core.limit)
    assert (
        "the link limits: 90.0 µs of bytes and 10.0 µs of core a sample; the core alone would "
        "answer 20 times as many"
    ) == link.verdict
    assert "the core limits: 10.0 µs of bytes and 90.0 µs of core a sample" in core.verdict
    assert "2.2 times" in core.verdict


@pytest.mark.parametrize("link", LINKS)
def test_report_shows_every_line_and_a_wider_one_where_there_is_one(design, link, tmp_path) -> None:
    job = pipeline.Job(design=design, data=None, command="x", board=BOARD, link=link)
    record = pipeline.describe(job) | pipeline.cycles(job, [])
    found = pipeline.link(job, built(link=link), CYCLES)
    record |= {"link": found, "clock_hz": 4e7, "latency_s": 1e-5, "throughput_per_s": 2e5}
    record |= {"board": BOARD.name}

    page = pipeline.write_report(record, tmp_path, None).read_text()
    text = "\n".join(map(str, tables.of_report(record, tmp_path)))

    names = {"uart": ["uart"], "spi": ["spi"], "both": ["uart", "spi"]}[link]
    assert names == [entry["name"] for entry in found["lines"]]
    for entry in json.loads((tmp_path / "report.json").read_text())["link"]["lines"]:
        assert entry["limit"] in ("link", "core")
        assert entry["verdict"] in page
        assert f"through {entry['name'].upper()}: " in text
    assert (link == "uart") == ("--link both" in page)


def test_no_wider_line_is_offered_where_the_board_has_none(design) -> None:
    board = find_board("colorlight-5a-75b")
    job = pipeline.Job(design=design, data=None, command="x", board=board)

    assert "" == pipeline.link(job, built(link="uart"), CYCLES)["hint"]


def test_the_command_line_offers_every_link() -> None:
    (option,) = (o for o in cli.commands["build"].params if o.name == "link")

    assert LINKS == tuple(option.type.choices)


def test_boards_tell_their_spi_pins() -> None:
    pins = tables.board_record(BOARD)["spi_pins"]

    assert {
        "connector": "pmod 0",
        "sck": "10",
        "cs": "7",
        "copi": "8",
        "cipo": "9",
        "where": "PMOD1A, lower row, pins 7 to 10",
    } == pins
    assert tables.board_record(find_board("colorlight-5a-75b"))["spi_pins"] is None
