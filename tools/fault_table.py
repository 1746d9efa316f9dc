"""The fault table: what a campaign planted, and which check caught it first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from ..sim.faults import CHECKS, OBSERVERS, CampaignResult, Outcome
from ..sim.faults_sample import KINDS
from .tables import table

SAMPLES = 8  # of the sample set, where none was chosen
MOST_ESCAPES = 20  # that people are shown; --json has all
IN_HARDWARE = tuple(name for name in OBSERVERS if name != "static")
WHAT = {  # for people
    "file": "number in the saved design",
    "weight": "weight in ROM",
    "bias": "bias in ROM",
    "factor": "factor M in ROM",
    "eta": "η in ROM",
    "constant": "constant in logic",
    "stuck-at-0": "wire stuck at 0",
    "stuck-at-1": "wire stuck at 1",
    "inverted": "wire inverted",
    "register upset": "register flipped once",
    "memory upset": "RAM bit flipped once",
}


def summary(result: CampaignResult) -> dict[str, Any]:
    """Return the table as JSON values.

    Of every row, and of the total: ``what`` was flipped; ``planted``; ``harmful``, which is the
    sum of ``first`` (by check, those that it catches first) and ``escapes``; ``hangs`` among the
    harmful; ``answers``, the harmful that change no event but a logit or a class; harmless ones by
    whether they were ``noticed`` or ``unseen``. Of the harmful in the hardware, ``alone`` is how
    many each check would catch by itself; ``latest`` is after how many samples the last of them is
    caught. ``escaped`` are the faults that no check catches, ``said`` the whole in words.
    """
    outcomes = result.outcomes
    hardware = [outcome for outcome in outcomes if outcome.harmful and outcome.kind != "file"]
    record = {
        "samples": result.samples,
        "seed": result.seed,
        **_row("all", outcomes),
        "rows": [
            {"kind": kind, **_row(WHAT[kind], of_kind)}
            for kind in KINDS
            if (of_kind := [outcome for outcome in outcomes if outcome.kind == kind])
        ],
        "in_hardware": len(hardware),
        "alone": {name: sum(name in o.caught for o in hardware) for name in IN_HARDWARE},
        "latest": max((o.caught[c] for o in hardware if (c := o.first()) is not None), default=0),
        "escaped": [fault_record(outcome) for outcome in result.escapes()],
    }
    return {**record, "said": sentences(record)}


def _row(what: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    harmful = [outcome for outcome in outcomes if outcome.harmful]
    harmless = [outcome for outcome in outcomes if not outcome.harmful]
    noticed = sum(outcome.first() is not None for outcome in harmless)
    return {
        "what": what,
        "planted": len(outcomes),
        "harmful": len(harmful),
        "answers": sum(not outcome.events and outcome.answers for outcome in harmful),
        "hangs": sum(outcome.hang for outcome in harmful),
        "first": {check: sum(o.first() == check for o in harmful) for check in CHECKS},
        "noticed": noticed,
        "unseen": len(harmless) - noticed,
        "escapes": sum(outcome.escapes() for outcome in outcomes),
    }


def fault_record(outcome: Outcome) -> dict[str, Any]:
    """Return what --json says of a fault."""
    return {
        **asdict(outcome),
        "harmful": outcome.harmful,
        "first": outcome.first(),
        "escapes": outcome.escapes(),
    }


def of_faults(record: Mapping[str, Any]) -> list[RenderableType]:
    """Return the table, what it comes to, and the escapes if there are any."""
    rows = [_cells(row) for row in (*record["rows"], record)]
    headers = ["fault", "planted>", "harmful>", *(f"{check}>" for check in CHECKS)]
    headers += ["escape>", "harmless: noticed>", "unseen>"]
    lines: list[RenderableType] = [table(headers, rows), *record["said"]]
    lines += [of_escape(each) for each in record["escaped"][:MOST_ESCAPES]]
    more = len(record["escaped"]) - MOST_ESCAPES
    return [*lines, f"and {more} more"] if more > 0 else lines


def _cells(row: Mapping[str, Any]) -> list[object]:
    first = [row["first"][check] or "-" for check in CHECKS]
    rest = [row["escapes"], row["noticed"], row["unseen"]]
    return [row["what"], row["planted"], row["harmful"], *first, *rest]


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Say in words what the table comes to."""
    alone = record["alone"]
    verdict = "none escapes" if not record["escapes"] else f"{record['escapes']} ESCAPE"
    return [
        f"{record['planted']:,} faults, one at a time, on {record['samples']} samples at full "
        f"speed and again with stalls: {record['harmful']:,} are harmful, {verdict}",
        f"{record['answers']:,} of the harmful change no event, but a logit or a class; "
        f"{record['hangs']:,} stop the answers, which a time-out tells",
        f"of {record['in_hardware']:,} that are harmful in the hardware the cycle check alone "
        f"catches {alone['cycle']:,}, the bulk check alone {alone['bulk']:,}, and a look at the "
        f"class alone {alone['class']:,}; the last is caught after {record['latest']} samples",
    ]


def of_escape(each: Mapping[str, Any]) -> str:
    """Name a fault that no check caught, and how to run it alone."""
    return (
        f"escaped: fault {each['id']}, {WHAT[each['kind']]}, {each['where']} (--only {each['id']})"
    )


def of_fault(outcome: Outcome) -> list[str]:
    """Say all that is known of one fault."""
    when = "" if outcome.cycle is None else f", in cycle {outcome.cycle}"
    lines = [f"fault {outcome.id}: {WHAT[outcome.kind]}, {outcome.where}{when}"]
    changed = [
        word for word, is_so in (("events", outcome.events), ("answers", outcome.answers)) if is_so
    ]
    lines.append(f"harmful: changes {' and '.join(changed)}" if changed else "changes no event")
    if outcome.golden is not None:
        verdict = "harmful" if outcome.golden else "harmless"
        lines.append(f"by the golden model with the faulty number: {verdict}")
    if outcome.hang:
        lines.append("the answers stop")
    first = outcome.first()
    if first is None:
        return [*lines, "no check sees it" if not outcome.harmful else "ESCAPES: no check sees it"]
    after = "before any sample" if first == "static" else f"after {outcome.caught[first]} samples"
    return [*lines, f"caught by the {first} check {after}: {outcome.evidence}"]


def default_folder(name: str) -> Path:
    """Return where a campaign over the design ``name`` keeps what it found."""
    return Path("build") / f"{name}-faults"
