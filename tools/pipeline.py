"""From a Design to its report: measure, check, build where asked, and write it all down."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..boards import readback
from ..boards.accelerator import technology_of
from ..boards.boards import Board
from ..boards.build import BuildResult
from ..boards.top import SPI, UART
from ..gen.core.core import core_timing
from ..gen.core.plans import no_hardware, plan_layers
from ..gen.core.spread import Spread, counted_spread, spread_of
from ..gen.design.design import Design
from ..gen.layers.cycles import first_logit, steady
from ..gen.model.heads import Classes
from ..gen.technology import find_technology
from ..sim import golden
from ..sim.activity import busy_of
from ..sim.faults import run_faults
from . import api, comparison, energy, fault_table, proof, tables
from .claim import claiming
from .console import progress, shown, working
from .heads import notes_of
from .limit import limit_of
from .link_speed import frame_bytes, lines
from .report import Example, write_report
from .source import NOTHING_NAMED, Named, read_source, source_of
from .stages import Stages, file_digest
from .verdict import said_of

if TYPE_CHECKING:
    from ..sim.bulk import BulkResult

STALLS = 0.3  # share of cycles in which the second run of the cycle check pauses
CHECKS = ("cycle", "bulk", "netlist", "bitstream")
MOST_SPREAD = 5000  # samples whose cycles are looked at
CURVE = {"settled": (1, 2, 3, 4, 5, 6), "overlapped": (4, 8, 16, 32, 64)}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a report is made of.

    Parameters
    ----------
    design
        Folded, or not yet.
    shape
        Folded Design whose hardware holds ``design`` in its memories; ``None`` is ``design``.
    data
        Samples, with labels or without; ``None`` leaves out all that needs them.
    command
        What the user typed.
    named
        Files of the float model that the user named.
    board
        To build for; ``None`` for none.
    seeds
        Of place and route.
    frequency
        Clock to build for in Hz; ``None`` for the fastest.
    link
        Lines to build: ``uart``, ``spi`` or ``both``.
    curve
        T's of the plot over T; empty for none, ``None`` for the usual ones.
    example
        Index of the sample whose spikes are drawn.
    cycle_samples
        How many samples the cycle check simulates, once at full speed and once with stalls.
    bulk
        Run the bulk check on all samples.
    netlist_samples, bitstream_samples
        How many samples the netlist and what is read back from the bitstream answer.
    faults
        How many faults to plant, on a few samples; 0 for none.
    auto
        What the search said that has folded the design for this board and link, if one did.
    """

    design: Design
    data: api.Dataset | None
    command: str
    named: Named = NOTHING_NAMED
    board: Board | None = None
    shape: Design | None = None
    seeds: Sequence[int] = (1,)
    frequency: float | None = None
    link: str = UART
    curve: Sequence[int] | None = None
    example: int = 0
    cycle_samples: int = 0
    bulk: bool = False
    netlist_samples: int = 0
    bitstream_samples: int = 0
    faults: int = 0
    auto: api.AutoFold | None = None

    @property
    def technology(self) -> str:
        """What the hardware is generated for."""
        return "ecp5" if self.board is None else technology_of(self.board)


@claiming("folder")
def report(job: Job, folder: Path, *, fresh: bool = False) -> tuple[dict[str, Any], Path]:
    """Do what the job asks for, keep the results in ``folder``, and write the report there.

    Returns
    -------
    record, page
        What ``report.json`` holds, and the path of ``report.html``.
    """
    reason = no_hardware(job.design)
    if reason is not None and job.board is not None:
        raise ValueError(reason)
    _check_curve(job)
    stages = Stages(folder, fresh=fresh)
    record = describe(job)
    if job.design.is_folded:
        record |= cycles(job, record["layers"])
    if job.data is not None:
        record["accuracy"] = accuracy(job, stages)
        for layer in record["layers"]:
            layer["activity"] = record["accuracy"]["activity"].get(layer["name"])
    if job.data is not None and job.cycle_samples and reason is None:
        record["checks"]["cycle"] = cycle_check(job, stages, job.data.first(job.cycle_samples))
    if job.data is not None and job.bulk and reason is None:
        record["checks"]["bulk"] = bulk_check(job, stages, job.data)
        record["accuracy"]["rtl"] = record["checks"]["bulk"]["accuracy"]
    if job.data is not None and job.faults:
        record["faults"] = fault_campaign(job, stages, job.data.first(fault_table.SAMPLES))
    if job.board is not None:
        with shown(f"bitstream for {job.board.name}") as say:
            built = api.build(
                job.design,
                job.board,
                folder / "fpga",
                shape=job.shape,
                seeds=job.seeds,
                frequency=job.frequency,
                link=job.link,
                progress=say,
            )
        record |= on_board(job, built, record["cycles"])
        if job.data is not None and built.bitstream is not None:
            record["checks"] |= chip_checks(job, stages, built)
    return record, write_report(record, folder, example_of(job))


# -- speed and size ----------------------------------------------------------------------------


def cycles(job: Job, layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the cycle model says; each layer gets the cycles that a sample keeps it busy."""
    shape = job.shape or job.design
    timing = core_timing(shape, job.technology)
    latency, interval = steady(timing)
    _, plans = plan_layers(shape, find_technology(job.technology))
    busy = {plan.name: plan.interval for plan in plans}
    for layer in layers:
        layer["cycles"] = busy.get(layer["name"])
    found: dict[str, Any] = {
        "latency": latency,
        "interval": interval,
        "first_logit": first_logit(timing),
    }
    spread = spread_over(job)
    return {"cycles": found if spread is None else found | {"spread": spread.record()}}


def spread_over(job: Job) -> Spread | None:
    """Return the cycles of the samples, or of those that were counted while the design was made.

    ``None`` where cycles do not depend on the sample. Of many samples :data:`MOST_SPREAD` are
    looked at, evenly out of all.
    """
    shape, technology = job.shape or job.design, find_technology(job.technology)
    _, plans = plan_layers(job.design, technology, job.shape)
    if job.data is None or not any(plan.skips for plan in plans):
        return counted_spread(shape, technology)
    raw = job.design.raw_samples(job.data.x)
    raw = raw[np.linspace(0, len(raw) - 1, min(len(raw), MOST_SPREAD)).astype(int)]
    return spread_of(core_timing(shape, technology), busy_of(job.design, plans, raw))


def on_board(job: Job, built: BuildResult, cycles: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known once a bitstream, or a build archive, was made."""
    board = job.board
    assert board is not None
    record: dict[str, Any] = {
        "board": board.name,
        "device": board.part,
        "bitstream": built.bitstream,
        "archive": built.archive,
        "timing_trusted": built.timing_trusted,
        "timing_note": built.timing_note,
        "versions": api.versions() | built.versions,
    }
    if built.bitstream is None:
        return record  # the vendor's tools have yet to say whether this clock is met
    clock_hz = built.clock_hz
    record |= {
        "clock_hz": clock_hz,
        "fmax": [vars(run) for run in built.seeds],
        "latency_s": cycles["latency"] / clock_hz,
        "throughput_per_s": clock_hz / cycles.get("spread", cycles)["interval"],
        "link": link(job, built, cycles),
        "utilisation": {
            cell: {"used": use.used, "available": use.available}
            for cell, use in built.utilisation.items()
        },
        "energy": energy_of(job, built, round(cycles.get("spread", cycles)["interval"])),
        **beside(job, built),
    }
    return record


def beside(job: Job, built: BuildResult) -> dict[str, Any]:
    """Return what limits the folding, the bound of the device, and the alternatives; JSON values.

    ``alternatives`` is ``None`` where there are none, and ``alternatives_missing`` says why.
    """
    board, design = job.board, job.shape or job.design
    assert board is not None
    if board.device is None:
        return {}
    with working("looking for a faster folding") as doing:
        limit = limit_of(design, board, link=job.link, auto=job.auto, progress=doing).record()
    bound = comparison.bound_record(comparison.bound_on(design, board))
    found: dict[str, Any] = {"limit": limit, "bound": bound}
    try:
        designs = comparison.designs_on(design, board)
    except ValueError as reason:
        return found | {"alternatives": None, "alternatives_missing": str(reason)}
    rows = comparison.compare(designs, board, {comparison.EVENTS: built})
    return found | {"alternatives": [row.record() for row in rows]}


def energy_of(job: Job, built: BuildResult, interval_cycles: int) -> dict[str, Any] | None:
    """Return the energy estimate as JSON values, ``None`` where too little is known."""
    device = job.board.device if job.board is not None else None
    if device is None:
        return None
    found = energy.estimate(
        device=device.name,
        cells=built.utilisation[device.lut_cell].used,
        clock_hz=built.clock_hz,
        interval_cycles=interval_cycles,
        multipliers=comparison.multipliers_of(built, device),
    )
    return None if found is None else asdict(found)


def link(job: Job, built: BuildResult, cycles: Mapping[str, int]) -> dict[str, Any]:
    """Return bytes a sample, and of each line its speed beside the core's; JSON values."""
    board = job.board
    assert board is not None
    bytes_in, bytes_out = frame_bytes(job.shape or job.design, job.technology)
    found = lines(job.design, board, built, cycles)
    wider = built.link == UART and board.spi_pins is not None and found[0].limit == "link"
    return {
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "lines": [line.record() for line in found],
        "hint": "build with --link spi or --link both for a wider line" if wider else "",
    }


# -- checks ------------------------------------------------------------------------------------


def cycle_check(job: Job, stages: Stages, data: api.Dataset) -> dict[str, Any]:
    """Run the cycle check at full speed and with stalls; return what the report says of it."""

    def check() -> dict[str, Any]:
        runs = [
            api.simulate(
                job.design,
                data,
                stages.folder / "cycle",
                technology=job.technology,
                shape=job.shape,
                stalls=stalls,
            )
            for stalls in (0.0, STALLS)
        ]
        return {
            "samples": len(data),
            "equal": all(run.passed for run in runs),
            "stalls": STALLS,
            "compared": sum(run.words for run in runs),
            "cycles": sum(run.cycles for run in runs),
            "mismatches": [str(m) for run in runs for m in run.mismatches],
        }

    inputs = hardware(job) | {"data": data.digest, "stalls": STALLS}
    return stages.run("cycle", f"cycle check, {len(data)} samples", inputs, check)


def bulk_check(job: Job, stages: Stages, data: api.Dataset) -> dict[str, Any]:
    """Run all samples through the compiled Verilog; return what the report says of it."""

    def check() -> dict[str, Any]:
        run = api.simulate_bulk(
            job.design,
            data,
            stages.folder / "bulk",
            technology=job.technology,
            shape=job.shape,
        )
        return {
            "samples": run.samples,
            "equal": run.passed,
            "compared": run.words,
            "cycles": run.cycles,
            "accuracy": rtl_share(job.design, data, run),
            "mismatches": [str(m) for m in run.mismatches],
        }

    inputs = hardware(job) | {"data": data.digest, "outputs": job.design.head.record()}
    return stages.run("bulk", f"bulk check, {len(data):,} samples", inputs, check)


def rtl_share(design: Design, data: api.Dataset, run: "BulkResult") -> float | None:
    """Return how right the Verilog answers, by its classes, or by logits that are golden.

    ``None`` where it was cut short, or there are no labels.
    """
    judge = api.Judge.of(design, data)
    if judge is None or len(run.labels) != len(data):
        return None
    if isinstance(judge.output, Classes) and judge.truth is not None and design.head.is_single:
        return float((run.labels == judge.truth).mean())
    if not run.passed:
        return None
    return judge.share(design.values(golden.run(design, design.raw_samples(data.x)).logits))


def chip_checks(job: Job, stages: Stages, built: BuildResult) -> dict[str, Any]:
    """Run the netlist check and the bitstream check of a build, where the job asks for them."""
    assert job.data is not None
    checks = {}
    if job.link == SPI:
        say = "not done: netlist and bitstream check, which speak through a UART (--link both)"
        progress.print(f"  {say}")
        return checks
    if job.netlist_samples:
        data = job.data.first(job.netlist_samples)
        checks["netlist"] = netlist_check(job, stages, data, built)
    if job.bitstream_samples:
        data = job.data.first(job.bitstream_samples)
        checks["bitstream"] = bitstream_check(job, stages, data, built)
    return checks


def netlist_check(
    job: Job, stages: Stages, data: api.Dataset, built: BuildResult
) -> dict[str, Any]:
    """Let the build's netlist answer through its pins; return what the report says of it."""
    board = job.board
    assert board is not None

    def check() -> dict[str, Any]:
        return _chip_record(
            proof.check_netlist(
                job.design,
                data,
                board,
                stages.folder / "netlist",
                shape=job.shape,
                synthesis=stages.folder / "fpga",
                clock_hz=built.clock_hz,
                link=job.link,
            )
        )

    inputs = hardware(job) | {"data": data.digest, "board": board.name, "clock": built.clock_hz}
    inputs["link"] = job.link
    return stages.run("netlist", f"netlist check, {len(data)} samples", inputs, check)


def bitstream_check(
    job: Job, stages: Stages, data: api.Dataset, built: BuildResult
) -> dict[str, Any]:
    """Let what the bitstream holds answer through its pins; return what the report says of it.

    Where it cannot be read back here, ``note`` says why, and ``equal`` is ``None``.
    """
    board, bitstream = job.board, built.bitstream
    assert board is not None and bitstream is not None
    reason = readback.obstacle(board)
    if reason:
        progress.print(f"  not done: bitstream check, {reason}")
        return {"samples": 0, "equal": None, "compared": None, "mismatches": [], "note": reason}

    def check() -> dict[str, Any]:
        return _chip_record(
            proof.verify_bitstream(
                bitstream,
                board,
                job.design,
                data,
                stages.folder / "readback",
                build=bitstream.parent,
                shape=job.shape,
            )
        )

    inputs = hardware(job) | {
        "data": data.digest,
        "board": board.name,
        "bitstream": file_digest(bitstream),
    }
    return stages.run("bitstream", "bitstream check, read back", inputs, check)


def _chip_record(found: proof.ChipCheck) -> dict[str, Any]:
    record = tables.chip_record(found)
    return record | {"mismatches": [str(m) for m in found.mismatches], "note": found.promise}


def fault_campaign(job: Job, stages: Stages, data: api.Dataset) -> dict[str, Any]:
    """Plant faults in the compiled Verilog; return the table of what the checks caught."""

    def plant() -> dict[str, Any]:
        found = run_faults(
            job.design,
            job.design.raw_samples(data.x),
            stages.folder / "faults",
            technology=job.technology,
            count=job.faults,
            fresh=stages.fresh,
            progress=lambda doing: stages.say(doing),
        )
        return fault_table.summary(found)

    inputs = hardware(job) | {"data": data.digest, "faults": job.faults}
    title = f"{job.faults:,} faults planted, {len(data)} samples"
    return stages.run("faults", title, inputs, plant)


def hardware(job: Job) -> dict[str, Any]:
    """Return what the generated hardware depends on, JSON values."""
    folding = {p.name: p.folding.record for p in job.design.populations if p.folding}
    shape = job.shape or job.design
    skips = any(p.folding is not None and p.folding.skips for p in shape.populations)
    counted = {name: a.table.tolist() for name, a in shape.activity.items()} if skips else {}
    return ({"counted": counted} if counted else {}) | {
        "design": job.design.hash,
        "shape": None if job.shape is None else job.shape.hash,
        "headroom": shape.headroom,
        "folding": folding,
        "technology": job.technology,
    }


# -- accuracy ----------------------------------------------------------------------------------


def accuracy(job: Job, stages: Stages) -> dict[str, Any]:
    """Float and golden accuracy, or what fits the output, the confusion matrix, and all over T."""
    design, data = job.design, job.data
    assert data is not None

    def measure() -> dict[str, Any]:
        result = api.evaluate(design, data)
        judge = api.Judge.of(design, data)
        figures = {name: each.figures for name, each in result.outputs.items()}
        return {
            "golden": None if judge is None else result.figures[judge.figure],
            "figure": "agreement" if judge is None else judge.figure,
            "outputs": tables.by_output(figures),
            "samples": result.samples,
            "confusion": result.confusion,
            "activity": result.activity,
        }

    inputs = {"design": design.hash, "data": data.digest, "outputs": design.head.record()}
    found = stages.run("golden", f"golden model, {len(data):,} samples", inputs, measure)
    return found | {"rtl": None, "over_steps_missing": ""} | _against_float(job, stages, inputs)


def _against_float(job: Job, stages: Stages, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Measure what needs the float model: its accuracy, and conversions for other T."""
    data = job.data
    assert data is not None
    curve = CURVE[job.design.firing] if job.curve is None else tuple(job.curve)
    none = {"float": None, "over_steps": [], "float_differs": [], "float_missing": ""}
    none |= {"over_steps_missing": "" if curve else "it was not asked for"}

    def missing(reason: Exception) -> dict[str, Any]:
        if job.named != NOTHING_NAMED:  # what the user named is there, or the user must know
            raise reason
        said = f"the float model is not at hand: {reason}"
        return none | {"over_steps_missing": said, "float_missing": said}

    try:
        origin = source_of(job.design, job.named)
    except (ValueError, OSError) as reason:
        return missing(reason)
    try:
        options = api.options_of(job.design)
    except ValueError as reason:
        curve, none["over_steps_missing"] = (), str(reason)
    else:
        curve = tuple(t for t in curve if _why_not(options, t) is None)

    def measure() -> dict[str, Any]:
        try:
            found = read_source(job.design, origin, job.named)
        except ValueError as reason:
            return missing(reason)
        again = api.Conversion(design=job.design, network=found.network, calibrate=found.calibrate)
        exact = found.network.answers(data.x)
        judge = api.Judge.of(job.design, data, lambda: exact)
        assert judge is not None, "there is a float network"
        measured = {
            "float": judge.share(exact),
            "float_differs": found.differs,
            "over_steps": api.over_steps(again, data, curve),
        }
        if judge.truth is None:
            raw = job.design.raw_samples(data.x)
            measured["golden"] = judge.share(job.design.values(golden.run(job.design, raw).logits))
            measured |= {"float": None, "figure": judge.figure}
        return none | measured

    named = origin.model, job.named.spec is not None
    inputs = {**inputs, "files": origin.digests, "state": origin.state, "named": named}
    inputs |= {"curve": curve, "differs": origin.differs}
    return stages.run("float", f"float model, and T = {_listed(curve)}", inputs, measure)


def _check_curve(job: Job) -> None:
    """Refuse a T that was asked for and that the design's neurons cannot have."""
    if job.data is None or job.curve is None:
        return
    try:
        options = api.options_of(job.design)
    except ValueError:
        return  # the report says that there is no curve
    for t in job.curve:
        reason = _why_not(options, t)
        if reason is not None:
            raise ValueError(f"--over-steps: {reason}")


def _why_not(options: api.Options, steps: int) -> str | None:
    """Return why a design cannot be converted for another T; ``None`` where it can."""
    try:
        api.with_steps(options, steps)
    except ValueError as reason:
        return str(reason)
    return None


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) if numbers else "none"


def example_of(job: Job) -> Example | None:
    """Trace the sample that the report draws."""
    if job.data is None:
        return None
    index = min(job.example, len(job.data) - 1)
    raw = job.design.raw_samples(job.data.x[index : index + 1])[0]
    judge = api.Judge.of(job.design, job.data)
    truth = None
    if judge is not None and judge.truth is not None and judge.truth.ndim == 1:
        truth = judge.truth[index].item()
    trace = golden.trace(job.design, raw)
    return Example(design=job.design, trace=trace, index=index, true_class=truth)


def describe(job: Job) -> dict[str, Any]:
    """Return the record of a Design before anything was measured."""
    design = job.design
    noise = {row["name"]: row for row in design.provenance.get("layers", [])}
    firing = [p for p in design.populations[1:] if p.code is not None]
    return {
        "name": design.name,
        "design_hash": design.hash,
        "firing": design.firing,
        "dynamics": design.dynamics,
        "manner": design.manner,
        "steps": max((p.train_code.steps for p in firing), default=design.input.train_code.steps),
        "shape": [p.size for p in design.populations],
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": job.command,
        "convert_command": design.provenance.get("command", ""),
        "verdict": said_of(design),
        "versions": api.versions(),
        "board": None,
        "device": None,
        "accuracy": {
            "float": None,
            "golden": None,
            "rtl": None,
            "figure": "accuracy",
            "outputs": None,
            "samples": None,
            "over_steps": [],
            "over_steps_missing": "there were no samples",
            "float_missing": "",
            "float_differs": [],
            "confusion": None,
        },
        "cycles": None,
        "clock_hz": None,
        "fmax": None,
        "timing_trusted": True,
        "timing_note": "",
        "bitstream": None,
        "archive": None,
        "latency_s": None,
        "throughput_per_s": None,
        "link": None,
        "utilisation": None,
        "energy": None,
        "limit": None,
        "bound": None,
        "alternatives": None,
        "alternatives_missing": "",
        "checks": dict.fromkeys(CHECKS),
        "faults": None,
        "layers": [layer_record(p, noise.get(p.name, {})) for p in design.populations],
        "outputs": design.head.record(),
        "notes": [
            *notes_of(design.head),
            *tables.notes(design),
            *([] if (reason := no_hardware(design)) is None else [reason]),
        ],
    }


def layer_record(population: Any, noise: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``report.json`` says of a population."""
    code, folding = population.code, population.folding
    fan_in = sum(p.map.weights.shape[1] for p in population.sources)
    return {
        "name": population.name,
        "function": population.function,
        "neurons": population.size,
        "fan_in": fan_in or None,
        "weight_bits": max(
            (p.weight_bits for p in population.sources if not p.map.fixed), default=None
        ),
        "code": None if code is None else code.kind,
        "schedule": None if code is None else code.schedule,
        "steps": None if code is None else code.steps,
        "folding": None if folding is None else folding.record,
        "cycles": None,
        "sqnr_db": noise.get("sqnr_db"),
        "table_entries": None if population.table is None else len(population.table.entries),
        "error_levels": population.error_levels,
        "activity": None,
        "place": population.place,
    }
