"""The report: ``report.html``, one page that needs nothing else, and ``report.json`` beside it.

``report.json`` is one object; numbers are in the unit that ends their name, shares lie in 0..1,
and what was not done is ``null``:

=================== =============================================================================
``design_hash``     SHA-256 of the Design, ``name`` its word, ``firing`` and ``dynamics`` its mode,
                    ``manner`` the same in words
``board``           name, ``device`` its part, ``null`` where nothing was built
``outputs``         what each output gives: its kind, names, threshold
``accuracy``        ``float``, ``golden``, ``rtl``, ``samples``, ``over_steps``, ``confusion``;
                    ``figure`` says which figure that is: ``accuracy``, or what fits the output
                    (``r2``, ``auc``, ``miou``), or without labels the ``agreement`` with the float
                    network; ``outputs`` all figures; ``float_missing`` says why there is no
                    ``float``, ``float_differs`` in what its model is not the one that was converted
``verdict``         what the integers lost against the float network when they were converted
``cycles``          ``latency`` (first sample word in to class out), ``interval``, and
                    ``first_logit``, of which the class is the last; no sample takes more. Where
                    silent words are skipped, ``spread`` says what samples take: ``latency`` and
                    ``interval`` on average, ``worst_latency``, of how many ``samples``
``clock_hz``        of the core on this board; ``latency_s`` and ``throughput_per_s`` at it
``link``            the same end to end: bytes a sample, and of each of its ``lines``
                    ``bits_per_s``, ``latency_s``, ``limit`` (``link`` or ``core``), ...
``utilisation``     by cell type ``used`` and ``available``
``layers``          one object a layer
``checks``          ``cycle``, ``bulk``, ``netlist``, ``bitstream``: ``samples``, ``equal``,
                    ``compared`` (how many values); ``equal`` is ``null`` where a bitstream cannot
                    be read back here, and ``note`` says why
``faults``          the fault table, see :func:`signfire.tools.fault_table.summary`
``energy``          an estimate with its ``assumptions``
``limit``           what keeps the folding from being faster, and what would help, ``said`` in
                    words; ``interval_cycles``, and ``fastest_cycles`` of the fastest that fits
``bound``           cycles a sample in which all of a resource would do the work, the ``resource``
                    that sets the bound, and the ``factor`` between it and the interval
``alternatives``    the same integers on multipliers, one object each, this design first; ``routed``
                    says which figures are those of place and route
``versions``        of all that took part; ``command`` made the report
=================== =============================================================================
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..gen.design.design import Design
from ..sim.golden import Trace
from . import plots
from .console import to_json
from .judge import WORDS
from .source import not_converted

GLOSSARY = {
    "event": "one bit of a spike train: the neuron's sign was negative at this step",
    "T": "time steps of a spike train",
    "golden model": "the NumPy model in exact integers that the hardware must equal",
    "latency": "from the first word of a sample to its class, which comes with its last logit",
    "interval": "from one sample to the next when they arrive back to back",
    "pe, simd, unroll": "outputs, inputs and time steps that a layer works on at once",
    "bound": "the fewest cycles in which the device's memories, or its LUTs, could do the work",
    "SQNR": "signal-to-quantisation-noise ratio of a layer's outputs against the float network",
    "sent": "share of the possible events that occur; the fewer, the sparser",
    "harmful": "changes an event of any neuron, a logit or a class on these samples",
    "fmax": "the highest clock that place and route found to be safe",
}

PREFIXES = (
    ("G", 1e9),
    ("M", 1e6),
    ("k", 1e3),
    ("", 1.0),
    ("m", 1e-3),
    ("µ", 1e-6),
    ("n", 1e-9),
    ("p", 1e-12),
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One sample for the spike raster: its Design, its trace, and which one it is."""

    design: Design
    trace: Trace
    index: int
    true_class: int | float | None


def write_report(
    record: Mapping[str, Any], folder: Path | str, example: Example | None = None
) -> Path:
    """Write ``report.json`` and ``report.html`` into ``folder``; return the page's path.

    Parameters
    ----------
    record
        What ``report.json`` holds, see the module.
    folder
        Made if missing.
    example
        The sample whose events and membranes are drawn; left out for ``None``.
    """
    folder = Path(folder)
    page = render(record, example)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.json", to_json(record, indent=2) + "\n")
    write_text(folder / "report.html", page)
    return folder / "report.html"


def render(record: Mapping[str, Any], example: Example | None = None) -> str:
    """Return the page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["not_converted"] = not_converted
    environment.globals["figure_word"] = WORDS[record["accuracy"]["figure"]]
    environment.filters |= {
        "percent": percent,
        "figure": lambda share: shown(record["accuracy"]["figure"], share),
        "si": si,
        "count": lambda n: "not known" if n is None else f"{n:,}",
    }
    template = environment.get_template("report.html.jinja")
    return template.render(r=record, svg=_plots(record, example), example=example, terms=GLOSSARY)


def _plots(record: Mapping[str, Any], example: Example | None) -> dict[str, str]:
    accuracy = record["accuracy"]
    drawn = {}
    curve = accuracy.get("over_steps") or []
    if len(curve) > 1:
        drawn["curve"] = plots.accuracy_over_steps(
            curve,
            chosen=record["steps"],
            measured=accuracy["golden"],
            float_accuracy=accuracy["float"],
            word=WORDS[accuracy["figure"]],
        )
    if accuracy.get("confusion") is not None:
        drawn["confusion"] = plots.confusion(accuracy["confusion"])
    if example is not None:
        drawn["raster"] = plots.raster(example.design, example.trace)
        drawn["membranes"] = plots.membranes(example.design, example.trace)
    return {name: Markup(svg) for name, svg in drawn.items()}


def shown(figure: str, share: float | None) -> str:
    """Return a figure as a percentage where it is a share, else as the number that it is."""
    if share is None or figure in ("accuracy", "agreement"):
        return percent(share)
    return f"{share:.4f}"


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share 0..1 as a percentage."""
    return "not measured" if share is None else f"{100 * share:.{digits}f} %"


def si(value: float | None, unit: str, digits: int = 3) -> str:
    """Return a number with an SI prefix: ``si(2.1e-5, "s")`` is 21 µs."""
    if value is None:
        return "not known"
    if value == 0:
        return f"0 {unit}"
    prefix, factor = next(((p, f) for p, f in PREFIXES if abs(value) >= f * 0.9995), PREFIXES[-1])
    scaled = value / factor
    places = max(0, digits - len(str(int(abs(scaled)))))
    return f"{scaled:.{places}f} {prefix}{unit}"


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
