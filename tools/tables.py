"""Results as tables and lines for people."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table

from ..boards.boards import Board
from ..boards.budget import holds_networks
from ..boards.reweight import Reweighted
from ..boards.toolchain import OK, Tool
from ..gen.convert.summary import zero_of
from ..gen.core.spread import Spread
from ..gen.design.border import border_of
from ..gen.design.design import Design
from ..gen.design.folding import EVENTS
from ..gen.model.heads import Answers, Classes, Head, Output, Reconstruction, Threshold
from ..gen.model.network import MAX
from ..sim.cache import Cache
from .api import AutoFold, Costs, Embedding, Evaluation, Inference
from .heads import notes_of
from .host import REASONS
from .judge import WORDS
from .report import percent, si
from .source import not_converted
from .verdict import said_of

if TYPE_CHECKING:
    from ..gen.design.linkformat import Identity
    from ..sim.bulk import BulkResult
    from ..sim.cycle import CycleResult
    from .host import BoardStatus
    from .proof import ChipCheck
    from .tune import Tuned

MOST_MISMATCHES = 20
SHOWN_ANSWERS, SHOWN_VALUES = 10, 12  # rows, and numbers of a row
SHOWN_FEATURES = 8  # that a note lists by number
UNLIMITED = 10_000  # columns of a terminal


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> Table:
    """Return a plain table; columns whose header ends in ``>`` are set to the right."""
    result = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for header in headers:
        right = header.endswith(">")
        result.add_column(
            header.removesuffix(">"),
            justify="right" if right else "left",
            no_wrap=right or header == headers[0],
        )
    for row in rows:
        result.add_row(*(str(cell) for cell in row))
    return result


class Fitting:
    """A table that leaves columns out, the least important first, where the line is too short."""

    def __init__(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        spare: Sequence[str],
        title: str = "",
    ) -> None:
        self.headers, self.rows, self.spare, self.title = headers, rows, spare, title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        result = self._without(())
        for left_out in range(1, len(self.spare) + 1):
            if Measurement.get(console, options.update(max_width=UNLIMITED), result).maximum <= (
                options.max_width
            ):
                break
            result = self._without(self.spare[:left_out])
        yield result

    def _without(self, left_out: Sequence[str]) -> Table:
        kept = [i for i, header in enumerate(self.headers) if header not in left_out]
        rows = [[row[i] for i in kept] for row in self.rows]
        return table([self.headers[i] for i in kept], rows, title=self.title)


FIGURES = {  # name -> words, and whether it is a share
    "accuracy": ("accuracy", True),
    "exact": ("all labels of a sample right", True),
    "auc": ("area under the ROC curve", False),
    "r2": ("r2", False),
    "rmse": ("RMSE", False),
    "mae": ("mean absolute error", False),
    "correlation": ("correlation", False),
    "miou": ("mean intersection over union", False),
    "agreement": ("agreement with the float network", True),
    "threshold": ("threshold", False),
}


def figure(name: str, value: float | None) -> str:
    """Return ``accuracy 97.50%`` or ``r2 0.871``."""
    word, share = FIGURES[name]
    if value is None:
        return f"{word} not defined"
    return f"{word} {value:.2%}" if share else f"{word} {value:.4g}"


def by_output(figures: Mapping[str, Any]) -> Any:
    """Return figures by output; of a single one, as they are."""
    return figures[""] if "" in figures else dict(figures)


def of_evaluation(result: Evaluation) -> list[RenderableType]:
    """How right each output is, then what each class was taken for and how much was sent."""
    lines: list[RenderableType] = []
    for name, each in result.outputs.items():
        head = f"{name}: " if name else ""
        found = dict(each.figures)
        right = ""
        if name == result.judged and result.correct is not None and "accuracy" in found:
            first = figure("accuracy", found.pop("accuracy"))
            whole = result.accuracy == result.correct / result.samples  # not of pixels or labels
            right = f"{first} ({result.correct} of {result.samples})" if whole else first
            if each.output.chief != "accuracy":
                right = f"{figure(each.output.chief, found.pop(each.output.chief))}, {right}"
        others = [figure(key, found[key]) for key in FIGURES if key in found]
        if not each.is_labelled:
            others.append(f"{result.samples} samples without labels")
        lines.append(head + ", ".join(([right] if right else []) + others))
        if name in result.float_figures:
            exact = result.float_figures[name]
            shown = [figure(key, exact[key]) for key in FIGURES if key in exact]
            lines.append(f"{head}float network: {', '.join(shown)}")
        if name in result.agreement:
            alike = result.agreement[name]
            shown = [figure(key, alike[key]) for key in FIGURES if key in alike]
            lines.append(f"{head}against the float network: {', '.join(shown)}")
        if "confusion" in found:
            lines.append(of_confusion(found["confusion"], class_names(each.output)))
        if "answers" in found:
            lines.append(of_counts(found["answers"], class_names(each.output)))
    activity = ", ".join(f"{name} {share:.1%}" for name, share in result.activity.items())
    return [*lines, f"events sent, of all possible: {activity}"]


def class_names(output: Output) -> Sequence[object]:
    """Return the names of an output's classes, or their numbers."""
    if output.names:
        return output.names
    if isinstance(output, Reconstruction):
        return ("usual", "unusual")
    return range(output.named or 2)


def of_counts(counts: Sequence[int], names: Sequence[object]) -> Table:
    """One line an answer: how often it is given."""
    rows = [(name, f"{count:,}") for name, count in zip(names, counts, strict=True) if count]
    return table(["answer", "times>"], rows)


def of_confusion(confusion: np.ndarray, names: Sequence[object]) -> Table:
    """One line a class: how many are answered rightly, and what they are taken for."""
    rows = []
    for k, total in enumerate(confusion.sum(axis=1)):
        if total == 0:
            continue
        wrong = confusion[k].copy()
        wrong[k] = 0
        most = f"{names[int(wrong.argmax())]} ({wrong.max()})" if wrong.any() else "-"
        rows.append((names[k], total, f"{confusion[k, k] / total:.1%}", most))
    return table(["class>", "samples>", "right>", "most often taken for"], rows)


def of_prediction(
    answers: Mapping[str, Answers], head: Head, rows: Sequence[str], path: Path | None
) -> list[RenderableType]:
    """Say where the answers lie, and show the first ones."""
    lines: list[RenderableType] = []
    for name, found in answers.items():
        count = len(next(iter(found.values())))
        shown = {key: a for key, a in found.items() if a.ndim <= 2}
        output = head[name]
        lines.append(f"{name}: {output.said()}" if name else output.said())
        if not shown:
            lines.append(f"{count:,} samples of {' x '.join(map(str, output.shape))} values")
            continue
        body = []
        for k in range(min(count, SHOWN_ANSWERS)):
            cells = [_cell(array[k], output, key) for key, array in shown.items()]
            body.append((rows[k] if rows else k, *cells))
        lines.append(table(["sample", *(f"{key}>" for key in shown)], body))
        if count > SHOWN_ANSWERS:
            lines.append(f"and {count - SHOWN_ANSWERS:,} more")
    hint = "give -o FILE for all of them in a .npz, .csv or .json file"
    return [*lines, hint if path is None else f"wrote {path}"]


def _cell(value: np.ndarray, output: Output, key: str) -> str:
    if value.ndim:
        return " ".join(f"{v:.4g}" for v in value[:SHOWN_VALUES])
    if key == "label" and output.names and isinstance(output, Classes | Threshold):
        return output.names[int(value)]
    return f"{value:.4g}"


def of_tuning(tuned: "Tuned", path: Path, command: str) -> list[RenderableType]:
    """Return the choices converted in full, the best one first, and how to make it again."""
    rows = [
        (
            f.trial + 1,
            f.options.firing,
            f.options.code,
            f"{f.steps:.3g}",
            f"{100 * f.differing:.1f} %",
            f"{f.divergence:.4f}",
        )
        for f in tuned.finals
    ]
    tried = len(tuned.trials) + tuned.pruned
    head = ["trial>", "firing", "code", "mean T>", "differing answers>", "divergence, nats>"]
    return [
        table(head, rows),
        f"of {tuned.samples} samples; {tried} choices were tried, {tuned.pruned} ended early",
        *([] if tuned.met else ["no choice keeps the loss that was allowed; this is the nearest"]),
        f"wrote {path}, which this makes again:",
        command,
    ]


def judged(accuracy: Mapping[str, Any], share: float | None, digits: int = 1) -> str:
    """Return a figure of a record, as the record's own figure is shown."""
    if share is None or FIGURES[accuracy["figure"]][1]:
        return percent(share, digits)
    return f"{share:.3f}"


def of_analysis(record: Mapping[str, Any], page: Path) -> list[RenderableType]:
    """Accuracy over T; the rest is on the page."""
    accuracy = record["accuracy"]
    curves = {key: found for key, found in accuracy.items() if isinstance(found, list)}
    steps = sorted({p["steps"] for found in curves.values() for p in found})
    at = {key: {p["steps"]: p["accuracy"] for p in found} for key, found in curves.items()}
    rows = [
        (t, *(judged(accuracy, at[key][t]) if t in at[key] else "" for key in curves))
        for t in steps
    ]
    return [
        table(["T>", *(f"{key}>" for key in curves)], rows, title=WORDS[accuracy["figure"]]),
        f"float {judged(accuracy, accuracy['float'])}, {accuracy['samples']} samples",
        f"wrote {page}",
    ]


def of_robustness(record: Mapping[str, Any], page: Path) -> list[RenderableType]:
    """Accuracy, or what fits the output, by noise, and by rate of flips."""
    parts: list[RenderableType] = []
    for kind, key, head in (("noise", "deviations", "noise>"), ("flips", "rates", "flips>")):
        found = record[kind]
        names = [name for name in found if name != key]
        rows = [
            (f"{level:g}", *(judged(record, found[name][k]) for name in names))
            for k, level in enumerate(found[key])
        ]
        parts.append(
            table([head, *(f"{name}>" for name in names)], rows, title=WORDS[record["figure"]])
        )
    return [*parts, f"{record['samples']} samples; wrote {page}"]


def of_conversion(design: Design, path: Path) -> list[RenderableType]:
    """One line a layer: what it became and how much noise that costs."""
    rows = []
    for layer in design.provenance["layers"]:
        population = design[layer["name"]]
        fan_in = sum(p.map.weights.shape[1] for p in population.sources)
        rows.append(
            (
                layer["name"],
                layer["function"],
                " x ".join(map(str, population.shape)),
                fan_in or "-",
                layer["weight_bits"] or "-",
                layer["steps"] or "-",
                f"{layer['code']}, {layer['schedule']}" if layer["code"] else "-",
                "-" if layer["sqnr_db"] is None else f"{layer['sqnr_db']:.1f} dB",
            )
        )
    headers = ["layer", "function", "neurons>", "fan-in>", "weight bits>", "T>", "code", "SQNR>"]
    lines: list[RenderableType] = [table(headers, rows), *notes(design)]
    if "search" in design.provenance:
        found = design.provenance["search"]
        lines.append(f"{found['said']} ({' '.join(found['options'])})")
    if "value_steps" in design.provenance:
        lines.append(design.provenance["value_steps"]["said"])
    if "input_steps" in design.provenance:
        lines.append(design.provenance["input_steps"]["said"])
    lines += notes_of(design.head)
    lines.append(f"{path}: design {design.hash[:12]}, {design.manner}")
    said = said_of(design)
    return [*lines, *(f"verdict: {line}" for line in said[:1]), *said[1:]]


def notes(design: Design) -> list[str]:
    """Say what a code, a padding or a function cannot express exactly."""
    return [
        *input_notes(design),
        *zero_notes(design),
        *border_notes(design),
        *function_notes(design),
        *reach_notes(design),
        *training_notes(design),
    ]


def input_notes(design: Design) -> list[str]:
    """Say what ranges features have where these are their own, and which never change."""
    fmt = design.input_format
    if fmt.features is None:
        return []
    low, high = (fmt.real(np.full(fmt.features.shape, p)).ravel() for p in (fmt.low, fmt.high))
    if len(low) == 1:
        return [
            f"the input reaches over {low[0]:.4g}..{high[0]:.4g}, and takes others for its ends"
        ]
    width = np.where(high > low, high - low, np.inf)
    first, last = int(width.argmin()), int(np.where(np.isinf(width), 0, width).argmax())
    found = [
        f"each of {len(low)} features has a range of its own, from {low[first]:.4g}.."
        f"{high[first]:.4g} (feature {first}) to {low[last]:.4g}..{high[last]:.4g} (feature {last})"
    ]
    still = np.flatnonzero(high <= low)
    if len(still):
        listed = ", ".join(map(str, still[:SHOWN_FEATURES]))
        more = f" and {len(still) - SHOWN_FEATURES} more" if len(still) > SHOWN_FEATURES else ""
        found.append(
            f"never changed in the calibration samples, and taken as constant whatever comes: "
            f"feature {listed}{more}"
        )
    return found


def reach_notes(design: Design) -> list[str]:
    """Say of every layer of the paper's mode, which rescales ReLU alone, what it cannot say."""
    found = []
    for layer in design.provenance.get("layers", ()):
        seen, clip = layer.get("seen", 0), layer["clip"]
        if seen and seen > clip:
            code = design[layer["name"]].spike_code
            needed = code.eta[0] * code.unit * seen / clip
            found.append(
                f"{layer['name']!r} met values up to {seen:.3g} in calibration, and the paper's "
                f"step sizes reach {clip:.3g}: the rest is cut off (give --schedule an ETA0 of "
                f"{needed * 1.005:.3g}, or samples in less)"
            )
    return found


def training_notes(design: Design) -> list[str]:
    """Say of layers that were trained with quantisation what they say otherwise, and of ties."""
    layers = design.provenance.get("layers", [])
    found = []
    for layer in layers:
        if layer.get("unlike"):
            found.append(
                f"{layer['name']}: {layer['unlike']:.2%} of its integers are not those of the "
                f"training, for the calibration samples (--multiplier-bits 24 comes closer where "
                f"scales are no powers of two)"
            )
    met = {layer["name"]: layer["ties_met"] for layer in layers if layer.get("ties_met")}
    known = any(layer.get("unlike") is not None or layer.get("ties") == "even" for layer in layers)
    if met and known:
        rules = sorted({layer["ties"] for layer in layers if layer["name"] in met})
        listed = ", ".join(f"{name} {share:.2%}" for name, share in met.items())
        found.append(f"exactly between two levels, which go {' or '.join(rules)}: {listed}")
    return found


def border_notes(design: Design) -> list[str]:
    """Say of every layer whose padding is no raw 0 where it went, and the error that this leaves.

    Padding adds exactly 0 to an integrator; what it stands for beyond that is in the biases of the
    pixels at the border, and they are rounded to whole units of the integrator. Where no code says
    0, hardware takes off in whole numbers what the train beyond the planes adds.
    """
    found = []
    for p in design.populations:
        for operand in () if p.function == MAX else p.operands:
            sources = [(q.map, design[q.source].train_code) for q in operand.projections]
            kinds = border_of(operand.bias, p.shape, sources).count
            if kinds == 1:
                continue
            unsaid = [
                q.source
                for q in operand.projections
                if q.map.padded and design[q.source].train_code.zero != 0
            ]
            what = "stands for values other than 0: they are"
            if unsaid:
                what = (
                    f"is 0, which the code of {unsaid[0]!r} cannot say: what it says is taken off"
                )
            steps = float((operand.multiplier / 2 ** (operand.shift + 1)).max())
            found.append(
                f"the padding of {p.name!r} {what} in the biases of its border pixels ({kinds} "
                f"kinds of pixel), off by at most {steps:.2g} steps of its membrane"
            )
    return found


def function_notes(design: Design) -> list[str]:
    """Say of every function that is not ReLU how it is made, and its worst error in levels."""
    found = []
    for p in design.populations[1:-1]:
        if p.table is not None:
            low, high = p.table.domain
            found.append(
                f"{p.name!r} is {p.function} by a table of {len(p.table.entries)} targets over "
                f"{low:.3g}..{high:.3g}: off by at most {p.table.error:.3f} levels there (the "
                f"bound is {p.table.bound:.3f})"
            )
        elif p.operands[0].below is not None and p.error_levels is not None:
            found.append(
                f"{p.name!r} is {p.function} by the sign of its input: off by at most "
                f"{p.error_levels:.3f} levels"
            )
    return found


def zero_notes(design: Design) -> list[str]:
    """Say of every code that cannot express 0 which value 0 becomes."""
    return [
        f"0 becomes {zero_of(p) * p.code.unit:+.4g} in {p.name!r}: its code, {p.code.kind} with "
        f"{p.code.schedule} steps, cannot express 0"
        for p in design.populations
        if p.code is not None and zero_of(p) != 0
    ]


def of_embedding(result: Embedding) -> list[RenderableType]:
    """Return the files, then what the user's clock has to wait for."""
    content = result.content
    return [
        f"{result.verilog}: module {content['module']}, design {content['design_hash'][:12]}",
        f"{result.manifest}: ports, data layout, layers",
        f"{result.example}: how to instantiate it",
        f"latency {content['latency_cycles']:,} cycles to the class, interval "
        f"{content['interval_cycles']:,}",
    ]


def of_folding(design: Design) -> Table:
    """One line a layer: what is worked on at once, and how, where some layer takes no events."""
    others = any(p.folding is not None and p.folding.synapse != EVENTS for p in design.populations)
    skips = any(p.folding is not None and p.folding.skips for p in design.populations)
    rows = [
        (p.name, p.folding.pe, p.folding.simd, p.folding.unroll)
        + ((p.folding.synapse,) if others else ())
        + (("skipped" if p.folding.skips else "read",) if skips else ())
        for p in design.populations
        if p.folding is not None
    ]
    headers = ["layer", "pe>", "simd>", "unroll>", *(["synapse"] if others else [])]
    headers += ["silent words"] if skips else []
    return table(headers, rows)


def of_needs(needs: Mapping[str, tuple[int, int]]) -> Table:
    """One line a resource: the estimate beside the budget."""
    rows = [
        (name, f"{needed:,}", f"{available:,}", "yes" if needed <= available else "NO")
        for name, (needed, available) in needs.items()
    ]
    return table(["estimated", "needed>", "available>", "fits"], rows)


def of_auto(design: Design, auto: AutoFold) -> list[RenderableType]:
    """Say what ``auto`` chose, for which board, what it costs there, and why it is not faster."""
    board = f"{auto.board}, as no board was named (--board NAME)" if auto.assumed else auto.board
    return [
        f"folded automatically for {board}, {auto.goal} first",
        of_folding(design),
        of_needs(auto.needs),
        because(auto),
        auto.remedy,
    ]


def of_costs(design: Design, result: Costs, limit: str = "") -> list[RenderableType]:
    """Folding, predicted cycles and their times, then the estimate beside what the board offers."""
    verdict = {True: "fits, by this estimate", False: "does not fit, by this estimate", None: ""}
    return [
        of_folding(design),
        f"latency {result.latency:,} cycles to the class ({result.first_logit:,} to the first "
        f"logit), interval {result.interval:,} (exact)",
        *([] if result.spread is None else [of_spread(result.spread)]),
        *of_times(result),
        *([of_needs(result.needs)] if result.needs else []),
        verdict[result.fits] or "the vendor's tools will say whether it fits",
        *([limit] if limit else []),
    ]


def of_spread(spread: Spread) -> str:
    """Say what silence does to cycles."""
    return (
        f"these are the most; over {spread.samples} samples of the calibration latency is "
        f"{spread.latency:,.1f} cycles on average, {spread.worst_latency:,} at worst, and the "
        f"interval {spread.interval:,.1f} (exact)"
    )


def of_times(result: Costs) -> list[RenderableType]:
    """Say what the cycles of a folding are in time, and an energy, each as an estimate."""
    if result.clock is None:
        return ["no clock is known for this board, so no times"]
    how = "" if result.clock.is_exact else "estimated: "
    lines: list[RenderableType] = [
        f"at {si(result.clock.hz, 'Hz')} ({how}{result.clock.why}): latency "
        f"{si(result.latency_s, 's')}, {si(result.throughput_per_s, 'samples/s')}"
    ]
    if result.energy is not None:
        found = result.energy
        ends = f"{si(found.energy_low_j, 'J', 2)} to {si(found.energy_high_j, 'J', 2)}"
        lines.append(
            f"energy, estimated: {si(found.energy_j, 'J', 2)} a sample ({ends}), "
            f"{si(found.power_w, 'W', 2)} back to back"
        )
    return lines


def because(auto: AutoFold) -> str:
    """Say why ``auto`` chose nothing faster."""
    return f"not faster: {auto.explanation}"


def of_simulation(result: "CycleResult | BulkResult") -> list[RenderableType]:
    """Say what was compared, or name the first differences."""
    size = f"{result.samples} samples, {result.cycles:,} cycles, {result.words:,} values"
    file = getattr(result, "waves", None)  # the bulk check has none
    waves = [f"waves: {file}"] if file else []
    if result.passed:
        return [f"equal: {size}, each on its predicted cycle", *waves]
    shown = [str(mismatch) for mismatch in result.mismatches[:MOST_MISMATCHES]]
    more = getattr(result, "differing", len(result.mismatches)) - len(shown)
    return [f"DIFFERENT: {size}", *shown, *([f"and {more} more"] if more else []), *waves]


def chip_record(result: "ChipCheck") -> dict[str, Any]:
    """Return what --json says of a check of the chip."""
    return {
        "bitstream": result.bitstream,
        "board": result.board,
        "samples": result.samples,
        "compared": result.words,
        "equal": result.passed,
        "clock_hz": result.clock_hz,
        "cells": result.cells,
        "mismatches": result.mismatches,
    }


def of_chip(result: "ChipCheck") -> list[RenderableType]:
    """Say what was simulated and compared, or name the first differences."""
    cells = ", ".join(f"{count:,} {cell}" for cell, count in sorted(result.cells.items()))
    source = "netlist" if result.bitstream is None else f"read back from {result.bitstream}"
    lines = [f"{source}: {cells}"]
    if result.clock_hz is None:
        size = f"{result.words:,} words of the memories that hold the design"
    else:
        lines.append(f"core at {si(result.clock_hz, 'Hz')}, as its PLL's cell says")
        size = f"{result.samples} samples, {result.words:,} words (logits, classes, cycle counts)"
    if result.passed:
        return [*lines, f"equal: {size}"]
    shown = [str(mismatch) for mismatch in result.mismatches[:MOST_MISMATCHES]]
    more = len(result.mismatches) - len(shown)
    return [*lines, f"DIFFERENT: {size}", *shown, *([f"and {more} more"] if more else [])]


def of_reweighting(result: Reweighted, chip: "ChipCheck | None" = None) -> list[RenderableType]:
    """Where the bitstream lies, how much of it is new, and what was checked of it."""
    lines: list[RenderableType] = [
        f"bitstream: {result.bitstream}",
        f"{result.changed:,} of {result.words:,} words in {result.roms} memories are new, in "
        f"{result.seconds:.1f} s; every word was read back from the packed file",
        f"core at {si(result.clock_hz, 'Hz')}, as in the build",
    ]
    return lines if chip is None else lines + of_chip(chip)


def first_answers(answers: Mapping[str, Answers]) -> Iterable[tuple[str, str]]:
    """Yield of each output what the first samples give beside a label."""
    for name, found in answers.items():
        for key in ("probability", "value", "score", "error"):
            if key in found and found[key].ndim <= 2:
                rows = found[key][:3].reshape(len(found[key][:3]), -1)[:, :SHOWN_VALUES]
                said = "; ".join(" ".join(f"{v:.4g}" for v in row) for row in rows)
                more = ", ..." if len(found[key]) > 3 else ""
                yield name, f"{key} {said}{more}"


def of_inference(result: Inference) -> list[RenderableType]:
    """Accuracy, whether the board said what the golden model says, and how fast."""
    samples = len(result.labels)
    lines: list[RenderableType] = [
        f"{result.equal:,} of {samples:,} samples equal to the golden model, every logit"
    ]
    for name, found in result.figures.items():
        shown = ", ".join(figure(key, found[key]) for key in FIGURES if key in found)
        lines.append(f"{name}: {shown}" if name else shown)
    lines += [f"{name or 'answers'}: {said}" for name, said in first_answers(result.answers)]

    def cycles(count: int) -> str:
        clock = f" ({si(count / result.clock_hz, 's')})" if result.clock_hz else ""
        return f"{count:,} cycles{clock}"

    if result.latency_cycles:
        latency = cycles(result.latency_cycles)
        lines.append(f"core: {latency} from the first word of a sample to its class, predicted")
    typical = cycles(int(np.median(result.first_logit_cycles)))
    lines.append(f"core: {typical} from the last word of a sample to its first logit, counted")
    lines.append(f"through the link: {samples / result.seconds:,.0f} samples/s")
    return lines


def of_board_status(
    identity: "Identity", status: "BoardStatus", wanted: Design | None
) -> list[RenderableType]:
    """Return what a board runs, its counters, and whether that is what it should run."""
    error = REASONS.get(status.last_error, "none")
    clock = f" at {si(identity.clock_hz, 'Hz')}" if identity.clock_hz else ""
    rows = [
        ("design", f"{identity.design_hash[:12]} ({identity.name}){clock}"),
        ("now", "a sample is in the core" if status.busy else "waits for a sample"),
        ("up for", duration(status.uptime_s)),
        ("since the last status", "something went wrong" if status.alarm else "all well"),
        ("frames", f"{status.good:,} good, {status.bad:,} refused"),
        ("last error", error),
        ("bytes lost", at_most(status.lost)),
        ("resets of a silent core", at_most(status.resets)),
    ]
    parts: list[RenderableType] = [table(["board", ""], rows)]
    if wanted is not None and wanted.hash != identity.design_hash:
        parts.append(
            f"the board runs design {identity.design_hash[:12]}, not {wanted.hash[:12]} "
            f"({wanted.name}): flash the bitstream of this design"
        )
    return parts


def at_most(count: int) -> str:
    """Return a counter of one byte, which stops at 255."""
    return f"{count}" if count < 255 else "255 or more"


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    hours, rest = divmod(round(seconds), 3600)
    days, hours = divmod(hours, 24)
    return f"{days} d " * bool(days) + f"{hours} h {rest // 60} min"


def of_report(record: Mapping[str, Any], page: Path) -> list[RenderableType]:
    """Return the three numbers that matter, then where the page lies."""
    accuracy = record["accuracy"]
    lines = []
    if accuracy["golden"] is not None:
        whose = "another float model's" if accuracy["float_differs"] else "float"
        lines.append(
            f"{WORDS[accuracy['figure']]} {judged(accuracy, accuracy['golden'], 2)}, {whose} "
            f"{judged(accuracy, accuracy['float'], 2)} ({accuracy['samples']:,} samples)"
        )
        lines += not_converted(accuracy["float_differs"])
        if accuracy["float_missing"]:
            lines.append(f"no float figures: {accuracy['float_missing']}")
    cycles = record["cycles"] or {}
    spread = cycles.get("spread")
    if cycles:
        lines.append(f"latency {cycles['latency']:,} cycles, interval {cycles['interval']:,}")
        if spread:
            lines[-1] += (
                f" at most; of {spread['samples']:,} samples {spread['latency']:,.0f} and "
                f"{spread['interval']:,.0f} on average, {spread['worst_latency']:,} at worst"
            )
    if record["clock_hz"]:
        mean = spread and f" ({si(spread['latency'] / record['clock_hz'], 's')} on average)"
        lines.append(
            f"on {record['board']} at {si(record['clock_hz'], 'Hz')}: "
            f"{si(record['latency_s'], 's')}{mean or ''}, "
            f"{si(record['throughput_per_s'], 'samples/s')}"
        )
    for line in (record["link"] or {"lines": ()})["lines"]:
        lines.append(
            f"through {line['name'].upper()}: {si(line['throughput_per_s'], 'samples/s')}; "
            f"{line['verdict']}"
        )
    if record["link"] and record["link"]["hint"]:
        lines.append(record["link"]["hint"])
    if record["energy"]:
        lines.append(f"energy, estimated: {si(record['energy']['energy_j'], 'J', 2)} a sample")
    if record["bound"]:
        lines.append(record["bound"]["said"])
    if record["limit"]:
        lines.append(record["limit"]["said"])
    done = [f"{name} {verdict(check)}" for name, check in record["checks"].items() if check]
    if done:
        lines.append(f"checks: {', '.join(done)}")
    return [*lines, f"report: {page}"]


def of_comparison(rows: Sequence[Mapping[str, Any]], bound: str) -> list[RenderableType]:
    """One line a design, records of :class:`.comparison.Row`; then what they rest on."""
    lines = []
    for row in rows:
        clock = si(row["clock_hz"], "Hz")
        found = row["energy"]
        lines.append(
            (
                "events" if row["name"] == "events" else f"multiply, {row['name']}",
                "routed" if row["routed"] else "estimate" if row["fits"] else "does not fit",
                f"{row['lut']:,}",
                row["multipliers"],
                row["block_ram"],
                clock if row["routed"] else f"({clock})",
                f"{row['latency_cycles']:,}",
                si(row["latency_s"], "s"),
                f"{row['interval_cycles']:,}",
                "-" if found is None else si(found["energy_j"], "J", 2),
            )
        )
    headers = ["design", "", "LUT>", "DSP>", "RAM>", "clock>", "latency>", "in time>", "interval>"]
    parts: list[RenderableType] = [table([*headers, "energy>"], lines)]
    if not all(row["routed"] for row in rows):
        parts.append(
            "cycles are exact; cells that were not routed are an estimate, and a clock in brackets "
            "is assumed"
        )
    return [*parts, "energy is an estimate in every line; the host link is included", bound]


def verdict(check: Mapping[str, Any]) -> str:
    """Say how a check ended, in one or two words."""
    return {True: "equal", False: "DIFFERENT", None: "not done"}[check["equal"]]


def board_record(board: Board) -> dict[str, Any]:
    """Return what ``signfire boards --json`` says of a board."""
    device = board.device
    return {
        "name": board.name,
        "title": board.title,
        "part": board.part,
        "toolchain": board.toolchain,
        "bitstream": board.builds_bitstream and holds_networks(board),
        "baud": board.baud,
        "uart_note": board.uart_note,
        "spi_pins": None if board.spi_pins is None else board.spi_pins.record(),
        "capacity": None
        if device is None
        else {
            "luts": device.luts,
            "flip_flops": device.flip_flops,
            "block_ram_bits": device.block_ram.count * device.block_ram.bits,
            "multipliers": device.multipliers,
        },
    }


def of_boards(boards: Sequence[Board]) -> list[RenderableType]:
    """Two tables: boards that signfire builds in full, and those whose tools are elsewhere.

    Boards that no network fits are named behind the first.
    """
    full = [(b, b.device) for b in boards if b.device is not None and holds_networks(b)]
    small = [b for b in boards if not holds_networks(b)]
    others = [b for b in boards if b.device is None]
    parts: list[RenderableType] = []
    if full:
        headers = ["name", "board", "part", "LUT>", "RAM kbit>", "mult.>", "tools"]
        rows = [
            (
                b.name,
                b.title,
                b.part,
                f"{device.luts:,}",
                f"{device.block_ram.count * device.block_ram.bits // 1024:,}",
                device.multipliers,
                b.toolchain,
            )
            for b, device in full
        ]
        title = "Built to a bitstream with open tools"
        parts.append(Fitting(headers, rows, spare=["board"], title=title))
        parts += [f"{b.name}: {b.uart_note}" for b, _ in full if b.uart_note]
    parts += [
        f"{b.name} ({b.title}, {b.part}): the link to the host leaves no room for a network; "
        "signfire generate writes the core alone"
        for b in small
    ]
    if (full or small) and others:
        parts.append("")
    if others:
        rows = [(b.name, b.title, b.part, b.toolchain) for b in others]
        title = "Built to an archive that the vendor's tools finish"
        headers = ["name", "board", "part", "tools"]
        parts.append(Fitting(headers, rows, spare=["board"], title=title))
    return parts


def of_cache(cache: Cache | None) -> str:
    """Where simulators lie that were compiled before, and how much room they take."""
    if cache is None:
        return "compiled simulators are not kept (SIGNFIRE_CACHE=off)"
    bound = "" if cache.bound_bytes is None else f" of at most {cache.bound_bytes / 1e6:,.0f}"
    return f"compiled simulators: {cache.size_bytes / 1e6:,.0f}{bound} MB in {cache.root}"


def of_tools(tools: Sequence[Tool]) -> list[RenderableType]:
    """Every tool, then what to do about those that are missing."""
    rows = [
        (
            t.name,
            t.version or "-",
            t.state if t.required or t.state == OK else f"{t.state} (optional)",
            t.purpose,
            t.path or "-",
        )
        for t in tools
    ]
    headers = ["tool", "version", "state", "needed for", "place"]
    parts: list[RenderableType] = [Fitting(headers, rows, spare=["place", "needed for"])]
    lacking = [t for t in tools if t.state != OK]
    parts += [f"{t.name} is missing ({t.purpose}): {t.remedy}" for t in lacking]
    required = [t.name for t in lacking if t.required]
    if required:
        parts.append(f"not ready: signfire cannot do without {', '.join(required)}")
    else:
        parts.append("everything that signfire needs is here")
    return parts
