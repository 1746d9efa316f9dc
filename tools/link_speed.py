"""What a host gets through the lines of a board, beside what the core could do."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..boards.accelerator import technology_of
from ..boards.boards import Board
from ..boards.build import BuildResult
from ..boards.top import SPI, UART
from ..gen.core.plans import plan_layers
from ..gen.design.design import Design
from ..gen.design.linkformat import SampleFormat
from ..gen.technology import find_technology
from ..hdl.protocol import RESULT_TAIL
from .host import OVERHEAD
from .report import si

FRAME_BYTES = OVERHEAD + 2  # and SLIP's END before and after
UART_BITS = 10  # of a byte: start and stop
BYTE_CYCLES = 10  # without words, see signfire.hdl.frame and link


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line between host and core, one request at a time.

    Counted are the frames without the bytes that SLIP escapes and without fill bytes, and the
    core; the host's own delay, some milliseconds on USB, is not.

    Parameters
    ----------
    name
        ``uart`` or ``spi``.
    bits_per_s, bits_per_byte
        Of the line.
    rate_limit
        What keeps the line from being faster.
    line_s
        A sample's frames on the line, both ways.
    core_s, core_interval_s
        The core's latency, and its time a sample when they come back to back.
    """

    name: str
    bits_per_s: float
    bits_per_byte: int
    rate_limit: str
    line_s: float
    core_s: float
    core_interval_s: float

    @property
    def latency_s(self) -> float:
        """From the request's first bit to the reply's last."""
        return self.line_s + self.core_s

    @property
    def throughput_per_s(self) -> float:
        """Samples a second, the next request after the last reply."""
        return 1 / self.latency_s

    @property
    def times_slower(self) -> float:
        """Samples a second of the core alone, over those through this line."""
        return self.latency_s / self.core_interval_s

    @property
    def limit(self) -> str:
        """``link`` or ``core``: which takes more of the latency."""
        return "link" if self.line_s > self.core_s else "core"

    @property
    def verdict(self) -> str:
        """The same in words and numbers."""
        share = f"{si(self.line_s, 's')} of bytes and {si(self.core_s, 's')} of core a sample"
        slower = (
            f"{self.times_slower:,.0f}" if self.times_slower >= 10 else (f"{self.times_slower:.1f}")
        )
        return (
            f"the {self.limit} limits: {share}; the core alone would answer {slower} times as many"
        )

    def record(self) -> dict[str, Any]:
        """Return what ``report.json`` says of it."""
        return {
            "name": self.name,
            "bits_per_s": self.bits_per_s,
            "bits_per_byte": self.bits_per_byte,
            "rate_limit": self.rate_limit,
            "line_s": self.line_s,
            "latency_s": self.latency_s,
            "throughput_per_s": self.throughput_per_s,
            "times_slower": self.times_slower,
            "limit": self.limit,
            "verdict": self.verdict,
        }


def spi_byte_cycles(design: Design, technology: str) -> float:
    """Return how many cycles link and encoder take for a byte of a sample.

    With w = 8 / (lanes * bits of an element) words a byte: 10 for the checksum and one for each
    word, or, where that is more, the cycles that the encoder takes for each word.
    """
    entry, _ = plan_layers(design, find_technology(technology))
    words = 8 / (entry.lanes * SampleFormat.of(design).code_bits)
    return max(BYTE_CYCLES + words, words * max(1, entry.steps))


def frame_bytes(design: Design, technology: str) -> tuple[int, int]:
    """Return the bytes of a sample's request and of its reply, without escapes."""
    _, plans = plan_layers(design, find_technology(technology))
    logits = design.readout.size * -(-plans[-1].x_width // 8)
    sample = SampleFormat.of(design).byte_count
    return FRAME_BYTES + sample, FRAME_BYTES + logits + struct.calcsize(RESULT_TAIL)


def lines(
    design: Design, board: Board, built: BuildResult, cycles: Mapping[str, int]
) -> list[Line]:
    """Return the lines of a build, UART first."""
    technology = technology_of(board)
    total = sum(frame_bytes(design, technology))
    core = {
        "core_s": cycles["latency"] / built.clock_hz,
        "core_interval_s": cycles["interval"] / built.clock_hz,
    }
    found = []
    if built.link != SPI:
        found.append(
            Line(
                name=UART,
                bits_per_s=board.baud,
                bits_per_byte=UART_BITS,
                rate_limit="the board's baud rate",
                line_s=UART_BITS * total / board.baud,
                **core,
            )
        )
    if built.spi is not None:
        rates = {
            "SCK as place and route allows": built.spi.sck_hz(built.clock_hz),
            "the link's cycles a byte": 8 * built.clock_hz / spi_byte_cycles(design, technology),
        }
        limit = min(rates, key=rates.__getitem__)
        found.append(
            Line(
                name=SPI,
                bits_per_s=rates[limit],
                bits_per_byte=8,
                rate_limit=limit,
                line_s=8 * total / rates[limit],
                **core,
            )
        )
    return found
