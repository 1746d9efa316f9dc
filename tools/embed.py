"""The network alone, for a design of the user's own: Verilog, a manifest, and an example.

Three files: ``NAME.v`` is the core, whose first comment is enough to use it; ``NAME.json`` says
what its ports carry and when, and what each layer is; and
``NAME_example.v`` is a module that instantiates it and hands out the class, to copy from.
"""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from amaranth.hdl import Shape

from ..gen.core.core import Core, core_timing, to_verilog
from ..gen.design.design import Design
from ..gen.design.population import DesignPopulation
from ..gen.layers.cycles import first_logit, steady
from ..gen.model.codes import RateCode, SpikeCode
from ..gen.model.heads import Labels, Output, Pixels, Threshold
from ..hdl.names import is_legal, port_name
from .claim import BRIEF_S, claiming
from .console import to_json
from .report import write_text

MANIFEST_VERSION = 1
LANES_SHOWN = 4  # in the comment that heads the Verilog
MEANING = {
    "logit": "signed",
    "label": "the class, in the last word only",
    "last": "1 in the last word of a sample",
}


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """What ``generate`` wrote.

    Parameters
    ----------
    verilog, manifest, example
        Paths of the three files.
    content
        The manifest.
    """

    verilog: Path
    manifest: Path
    example: Path
    content: dict[str, Any]


def manifest(
    design: Design, core: Core, cycles: tuple[int, int, int], *, module: str, technology: str
) -> dict[str, Any]:
    """Return the manifest of a core, JSON values; ports as Verilog sees them.

    ``cycles`` are latency, interval, and those to the first logit.
    """
    raw, fmt = Shape.cast(core.raw_shape), design.input_format
    latency, interval, first = cycles
    lanes = core.result_lanes
    fields = [
        {
            "name": name,
            "offset": field.offset,
            "width": Shape.cast(field.shape).width,
            "signed": Shape.cast(field.shape).signed,
        }
        for name, field in core.result_layout
    ]
    return {
        "manifest": MANIFEST_VERSION,
        "signfire": version("signfire"),
        "module": module,
        "design": design.name,
        "design_hash": design.hash,
        "technology": technology,
        "firing": design.firing,
        "layers": [_layer(population) for population in design.populations],
        "clock": "clk",
        "reset": {"port": "rst", "active": "high", "synchronous": True},
        "handshake": "a transfer happens where valid and ready are both high on a rising clock "
        "edge; a source holds valid and payload until then and does not wait for ready",
        "samples": {
            "ports": _ports("samples", raw.width * core.lanes, into=True),
            "lanes": core.lanes,
            "lane_width": raw.width,
            "lane_signed": raw.signed,
            "lane_offsets": [raw.width * lane for lane in range(core.lanes)],
            "words_per_sample": design.input.size // core.lanes,
            "shape": list(design.input.shape),
            "order": "elements in C order, lane 0 first; no framing, samples follow each other",
            "low": fmt.low,
            "high": fmt.high,
            **_encoding(design),
        },
        "results": {
            "ports": _ports("results", core.result_layout.size * lanes, into=False),
            "fields": fields,
            "lanes": lanes,
            "lane_width": core.result_layout.size,
            "words_per_sample": design.readout.size // lanes,
            "order": _order(design, lanes),
            "outputs": [_output(design, output) for output in design.head],
        },
        "latency_cycles": latency,
        "interval_cycles": interval,
        "latency_means": "from taking the first word of a sample to its class, which comes with "
        "the last logit, the core idle and neither end waiting",
        "first_logit_cycles": first,
    }


def _encoding(design: Design) -> dict[str, Any]:
    """Say how real values become the integers that the core takes, in words and in code.

    ``scale`` and ``offset`` are numbers, or nested lists that broadcast to ``shape``. What a
    constant feature is divided by does not matter: its weights are 0.
    """
    features = design.input_format.features
    scale: Any = design.input_format.scale
    offset: Any = 0.0
    if features is not None:
        arrays = [np.where(features.scale > 0, features.scale, 1.0), features.offset]
        if design.channels_first:
            arrays = [np.moveaxis(array, 0, -1) for array in arrays]
        scale, offset = (array.tolist() for array in arrays)
    return {
        "scale": scale,
        "offset": offset,
        "encode": "element = (x - offset) / scale of a real value x in the units of the "
        "calibration, rounded to nearest and clipped to low..high; scale and offset broadcast to "
        "shape",
        "encode_python": "numpy.clip(numpy.rint((x - offset) / scale), low, high).astype(int)",
    }


def _order(design: Design, lanes: int) -> str:
    """Say in words in which order logits come."""
    if lanes > 1:
        return (
            f"{lanes} logits a word, lane 0 first, each of the fields; label is the class in the "
            "lane with last = 1"
        )
    if design.readout.size > design.readout.shape[0]:
        return (
            "one word a logit, pixel after pixel, the channels of a pixel together; label means "
            "nothing"
        )
    return "one word a logit; label is the class in the word with last = 1"


def _output(design: Design, output: Output) -> dict[str, Any]:
    """Describe an output: what it is, what a unit of its logits is worth, and where it decides.

    A logit is ``worth`` so much in real numbers, one number a channel of the read-out;
    ``yes_above`` is the greatest logit that is still no, where one threshold decides.
    """
    worth = design.values(np.ones((1, design.readout.size), np.int64))[0]
    own = worth[output.start : output.start + output.size]
    found = output.record() | {"worth": np.unique(own).tolist()}
    if isinstance(output, Threshold | Labels | Pixels) and not (
        isinstance(output, Pixels) and output.planes > 1
    ):
        found["yes_above"] = int(np.floor(output.threshold / own[0]))
    return found


def _layer(population: DesignPopulation) -> dict[str, Any]:
    """Describe a population: its size, code, and folding; the read-out has no code."""
    code, folding = population.code, population.folding
    return {
        "name": population.name,
        "function": population.function,
        "shape": list(population.shape),
        "neurons": population.size,
        "fan_in": sum(p.map.weights.shape[1] for p in population.sources) or None,
        "weight_bits": max((p.weight_bits for p in population.sources), default=None),
        "steps": None if code is None else code.steps,
        "code": None if code is None else _code(code),
        "folding": None if folding is None else folding.record,
    }


def _code(code: SpikeCode | RateCode) -> dict[str, Any]:
    """Describe what events stand for; those of a rate code each for one unit."""
    said = {"kind": code.kind, "schedule": code.schedule, "unit": code.unit}
    if isinstance(code, RateCode):
        return said
    return said | {"eta": list(code.eta), "rest": code.rest}


def _ports(stream: str, width: int, *, into: bool) -> list[dict[str, Any]]:
    forward, back = ("input", "output") if into else ("output", "input")
    return [
        {"name": port_name(stream, "payload"), "direction": forward, "width": width},
        {"name": port_name(stream, "valid"), "direction": forward, "width": 1},
        {"name": port_name(stream, "ready"), "direction": back, "width": 1},
    ]


@claiming("folder", wait_s=BRIEF_S)
def generate(
    design: Design, folder: Path | str, *, technology: str = "ecp5", module: str = "signfire_core"
) -> Embedding:
    """Write the core of a folded Design, its manifest and an example into ``folder``."""
    if not is_legal(module):
        raise ValueError(
            "the module needs a name that Verilog and VHDL take, of letters, digits and single _ "
            f"between them, a letter first and no keyword, not {module!r}"
        )
    timing = core_timing(design, technology)  # refuses what has no hardware
    cycles = (*steady(timing), first_logit(timing))
    core = Core(design, technology)
    content = manifest(design, core, cycles, module=module, technology=technology)
    verilog = to_verilog(core, name=module)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= {"m": content, "MEANING": MEANING, "LANES_SHOWN": LANES_SHOWN}
    head = environment.get_template("core.v.jinja").render()
    example = environment.get_template("example.v.jinja").render()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "verilog": (folder / f"{module}.v", head + verilog),
        "manifest": (folder / f"{module}.json", to_json(content, indent=2) + "\n"),
        "example": (folder / f"{module}_example.v", example),
    }
    for path, text in paths.values():
        write_text(path, text)
    return Embedding(content=content, **{name: path for name, (path, _) in paths.items()})
