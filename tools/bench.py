"""Bars: what signfire promises, measured by named benches and recorded beside the targets.

``python -m signfire.tools.bench`` runs what is asked for, replaces its records in
``bench_results.json`` and rewrites the README's tables from the file.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from . import (
    api,
    bench_beyond,
    bench_cases,
    bench_chip,
    bench_conv,
    bench_house,
    bench_latency,
    bench_logic,
    bench_paper,
    bench_perceptron,
    bench_quantised,
    bench_speed,
    bench_tables,
    bench_verdict,
    proof,
)
from .cli import cli
from .console import progress, run_program, to_json
from .measure import BENCHES, ROOT, SEED, TOOLS, Bench, Measurement
from .report import write_text

RESULTS = TOOLS / "bench_results.json"
README = ROOT / "README.md"
KEPT = ROOT / "build" / "bench" / "rows"  # rows of benches that were interrupted
BLOCKS = ("commands", "promises", "bars", "peers")  # of the README, between comments that name them
# Each module registers the benches of its group.
GROUPS = {
    "A": bench_perceptron.TITLE,
    "B": bench_chip.TITLE,
    "C": bench_conv.TITLE,
    "D": bench_beyond.TITLE,
    "E": bench_house.TITLE,
    "F": bench_paper.TITLE,
    "G": bench_speed.TITLE,
}
BESIDE = (
    bench_cases,
    bench_latency,
    bench_logic,
    bench_tables,
    bench_verdict,
    bench_quantised,
)  # modules of a group whose title another one has


# -- records -----------------------------------------------------------------------------------


def load_records(path: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the recorded measurements, none where there is no file yet."""
    return json.loads(path.read_text()) if path.exists() else []


def measure(chosen: Bench) -> list[dict[str, Any]]:
    """Run a bench and return its records."""
    return as_records(chosen, chosen.run())


def as_records(chosen: Bench, measured: Iterable[Measurement]) -> list[dict[str, Any]]:
    """Return what a bench found as records."""
    found = api.versions()
    return [
        {
            "bar": chosen.bar,
            "what": f"{chosen.title}: {m.what}",
            "value": m.value,
            "unit": m.unit,
            "target": m.target,
            "holds": m.holds,
            "command": f"make bench BENCH={chosen.bar}",
            "seed": SEED,
            "versions": found,
            "note": m.note,
            "details": m.details or {},
        }
        for m in measured
    ]


def measure_rows(
    chosen: Bench, wanted: Sequence[str] = (), folder: Path = KEPT
) -> Iterator[list[dict[str, Any]]]:
    """Measure the rows of a bench that were not kept, and yield the records after each.

    Each row is kept as soon as it is there, so that an interrupted bench goes on. Once all are
    there nothing is kept any more: the next run measures them anew.

    Parameters
    ----------
    wanted
        Names of the rows, all of them if empty.

    Raises
    ------
    ValueError
        If the bench has no rows, or none of that name.
    """
    rows = chosen.rows
    if rows is None:
        raise ValueError(f"bench {chosen.bar} has no rows (leave out --row)")
    for name in wanted:
        if name not in rows.names:
            raise ValueError(
                f"bench {chosen.bar} has no row {name!r}; there are {', '.join(rows.names)}"
            )
    path = folder / f"{chosen.bar}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in wanted or rows.names:
        if name not in found:
            progress.print(f"  {name}")
            found[name] = rows.measure(name)
            write_text(path, to_json(found, indent=1) + "\n")
        there = {name: found[name] for name in rows.names if name in found}
        if len(there) == len(rows.names):
            path.unlink(missing_ok=True)
        yield as_records(chosen, rows.sum_up(there))


def merge(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the old records with those of the new records' bars replaced, in order of bars."""
    measured = {record["bar"] for record in new}
    kept = [record for record in old if record["bar"] not in measured]
    return sorted([*kept, *new], key=lambda record: _order(record["bar"]))


def _order(bar: str) -> tuple[str, int]:
    return bar[0], int(bar[1:])


def choose(words: Sequence[str]) -> list[Bench]:
    """Return the benches that ``A3``, the group ``A`` or no word at all stand for."""
    if not words:
        return [BENCHES[name] for name in sorted(BENCHES, key=_order)]
    chosen: dict[str, Bench] = {}
    for word in words:
        found = {name: b for name, b in BENCHES.items() if word.upper() in (name, name[0])}
        if not found:
            there = ", ".join(sorted(BENCHES, key=_order))
            raise ValueError(f"there is no bench {word!r}; there are {there}")
        chosen |= found
    return [chosen[name] for name in sorted(chosen, key=_order)]


# -- README ------------------------------------------------------------------------------------


def tables(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the README's tables, Markdown."""
    parts = []
    for group, title in GROUPS.items():
        rows = [r for r in records if r["bar"].startswith(group)]
        if not rows:
            continue
        parts.append(f"**{group}. {title}**\n")
        parts.append("| bar | what | measured | bar is | holds |\n|---|---|---|---|---|")
        for r, before in zip(rows, [None, *rows], strict=False):
            title, _, what = r["what"].rpartition(": ")
            if before is None or before["bar"] != r["bar"]:
                parts.append(f"| {r['bar']} | **{title}** | | | |")
            holds = {True: "yes", False: "**no**", None: ""}[r["holds"]]
            note = f" ({r['note']})" if r.get("note") else ""
            target = f"{r['target']} {r['unit']}" if r["target"] else ""
            parts.append(f"| | {what} | {r['value']:,} {r['unit']}{note} | {target} | {holds} |")
        parts.append("")
    return "\n".join(parts).strip() if parts else "Nothing was measured yet (`make bench`)."


# MNIST 784-128-10 on an ECP5-25F, speed grade 6, Yosys 0.70, nextpnr 0.11.1, seed 1: accuracy of
# 5,000 images, LUT / FF / block RAM / DSP, fmax, cycles, latency.
PEERS = (
    (
        "Spiker+ 2.0.3, T = 10, 6-bit weights",
        "96.4 %",
        "17,319 / 3,977 / 45 / 0",
        "47 MHz",
        "9,855",
        "209.5 µs",
    ),
    (
        "Spiker+ 2.0.3, T = 100, 4-bit weights",
        "90.7 % (first 2,000)",
        "16,659 / 3,565 / 31 / 0",
        "48 MHz",
        "92,565",
        "1,912 µs",
    ),
    (
        "nngen 1.3.4, int8, weights in external memory",
        "97.9 %",
        "13,757 / 13,685 / 10 / 24",
        "63 MHz",
        "35,506",
        "564 µs",
    ),
)


def peers_table(records: Sequence[Mapping[str, Any]]) -> str:
    """Return others' figures and, where A1 and A3 were measured, signfire's own, Markdown."""
    rows = list(PEERS)
    found = {(r["bar"], r["what"].rpartition(": ")[2]): r for r in records}
    try:
        accuracy = found["A1", "golden accuracy"]["value"]
        fmax, latency = found["A3", "fmax, best seed"], found["A3", "latency"]
    except KeyError:
        pass
    else:
        used = {cell: use["used"] for cell, use in fmax["details"]["utilisation"].items()}
        cells = ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D")
        rows.append(
            (
                "**signfire**, T = 4, 4-bit weights, host link included",
                f"{accuracy} %",
                " / ".join(f"{used.get(cell, 0):,}" for cell in cells),
                f"{fmax['value']:g} MHz",
                latency["note"].partition(" cycles")[0],
                f"{latency['value']:g} µs",
            )
        )
    head = "design | accuracy of 5,000 | LUT / FF / block RAM / DSP | fmax | cycles | latency"
    lines = [f"| {head} |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def command_table() -> str:
    """Return the commands of ``signfire`` with the first sentence of their help, Markdown."""
    rows = [
        f"| `signfire {name}` | {command.get_short_help_str(limit=200).removesuffix('.')} |"
        for name, command in cli.commands.items()
    ]
    return "\n".join(["| command | does |", "|---|---|", *rows])


def rewrite_readme(text: str, records: Sequence[Mapping[str, Any]]) -> str:
    """Return the README with its marked blocks made anew."""
    made = {
        "commands": command_table(),
        "promises": proof.promises_table(),
        "bars": tables(records),
        "peers": peers_table(records),
    }
    for name in BLOCKS:
        begin, end = f"<!-- {name}: written by make readme -->", f"<!-- end of {name} -->"
        before, mark, rest = text.partition(begin)
        _, closing, after = rest.partition(end)
        if not mark or not closing:
            raise ValueError(f"README.md needs the lines {begin} and {end}")
        text = f"{before}{begin}\n\n{made[name]}\n\n{end}{after}"
    return text


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--row", "rows", multiple=True, help="Only these rows of a bench that is measured row by row."
)
@click.option("--readme", is_flag=True, help="Only rewrite the README's tables.")
@click.option("--list", "list_only", is_flag=True, help="Only list the benches.")
def program(names: tuple[str, ...], rows: tuple[str, ...], readme: bool, list_only: bool) -> int:
    """Measure bars (A3), groups of bars (A) or all of them, and record the figures."""
    if list_only:
        for name in sorted(BENCHES, key=_order):
            click.echo(f"{name}  {BENCHES[name].title}")
        return 0
    status = 0
    for chosen in [] if readme else choose(names):
        progress.print(f"{chosen.bar}  {chosen.title}", style="bold")
        new: list[dict[str, Any]] = []
        for new in measure_rows(chosen, rows) if chosen.rows or rows else [measure(chosen)]:
            write_text(RESULTS, to_json(merge(load_records(), new), indent=1) + "\n")
        for record in new:
            verdict = {True: "holds", False: "DOES NOT HOLD", None: ""}[record["holds"]]
            bar = f"(bar {record['target']}) " if record["target"] else ""
            what = record["what"].removeprefix(f"{chosen.title}: ")
            click.echo(f"  {what}: {record['value']:,} {record['unit']} {bar}{verdict}")
            status = max(status, int(record["holds"] is False))
    write_text(README, rewrite_readme(README.read_text(), load_records()))
    return status


if __name__ == "__main__":
    sys.exit(run_program(program, "bench"))
