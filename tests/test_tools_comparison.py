"""Comparison: estimates beside what was routed, and where there is nothing to compare."""

import json
from dataclasses import replace

import pytest

from signfire.boards.boards import find_board
from signfire.boards.build import BuildResult
from signfire.boards.nextpnr import Usage
from signfire.gen.design.folding import Folding
from signfire.sim.specimens.chains import random_design
from signfire.tools import cli, comparison, console, pipeline, report, tables

BOARD = find_board("ulx3s-25f")
FOLDING = {"input": Folding(pe=4), "fc1": Folding(pe=4, simd=4), "fc2": Folding(pe=2, simd=4)}


def design(**options):
    return random_design(sizes=(12, 8, 4), folding=FOLDING, **options)


def built(clock_hz: float = 60e6) -> BuildResult:
    device = BOARD.device
    used = {device.lut_cell: 1234, device.block_ram.cell: 2, device.multiplier_cell: 3}
    return BuildResult(
        board=BOARD.name,
        bitstream=None,
        clock_hz=clock_hz,
        utilisation={cell: Usage(used=n, available=10**4) for cell, n in used.items()},
        versions={},
        logs={},
        seconds=1.0,
    )


@pytest.fixture
def signfire(capfd):
    """Run a command; return exit status and the JSON object it prints."""

    def run(*args: object) -> tuple[int, dict]:
        status = console.run_program(cli.cli, "signfire", [str(a) for a in (*args, "--json")])
        return status, json.loads(capfd.readouterr().out)

    return run


def test_the_alternatives_answer_alike_in_fewer_cycles():
    rows = comparison.compare(comparison.designs_on(design(), BOARD), BOARD)

    events, lanes, slower, alone = rows
    assert [r.name for r in rows] == ["events", "equal lanes", "equal interval", "blocks alone"]
    assert {r.design.hash for r in rows} == {design().hash}
    assert lanes.interval_cycles < events.interval_cycles
    assert slower.interval_cycles <= events.interval_cycles
    assert slower.lut < lanes.lut
    assert events.multipliers < alone.multipliers <= BOARD.device.multipliers
    assert {(r.routed, r.clock_is, r.clock_hz) for r in rows} == {
        (False, "assumed: typical", 100e6)
    }


def test_what_was_routed_stands_beside_estimates_at_its_clock():
    events, lanes, *_ = comparison.compare(
        comparison.designs_on(design(), BOARD), BOARD, {"events": built()}
    )

    assert (events.lut, events.block_ram, events.multipliers) == (1234, 2, 3)
    assert (events.routed, events.clock_is, events.fits) == (True, "routed", True)
    assert (lanes.routed, lanes.clock_is, lanes.clock_hz) == (
        False,
        "assumed: that of events",
        60e6,
    )
    assert events.latency_s == events.latency_cycles / 60e6


def test_an_alternative_that_was_routed_has_its_own_clock():
    designs = comparison.designs_on(design(), BOARD)

    rows = comparison.compare(designs, BOARD, {"events": built(), "equal lanes": built(50e6)})

    assert [r.clock_hz for r in rows] == [60e6, 50e6, 60e6, 60e6]


def test_blocks_count_in_the_energy():
    designs = comparison.designs_on(design(), BOARD)

    events = comparison.compare(designs, BOARD, {"events": built()})[0]

    assert any("a DSP block counts as 20 cells" in a for a in events.energy.assumptions)


def test_the_report_says_what_limits_and_shows_the_alternatives():
    job = pipeline.Job(design=design(), data=None, command="signfire build", board=BOARD)
    record = pipeline.describe(job) | pipeline.beside(job, built())

    page = report.render(record)

    assert record["bound"]["said"] in tables.of_report(record, "page")
    assert "Bound of this network on this device" in page
    said = record["limit"]["said"]
    assert said in tables.of_report(record, "page") and f"{said[0].upper()}{said[1:]}." in page
    assert page.count("multiply, ") == 3
    assert "1,234" in page


def test_the_report_says_why_there_is_no_alternative():
    overlapped = random_design(
        sizes=(12, 8, 4), folding=FOLDING, firing="overlapped", steps=4, schedule="inverse"
    )
    job = pipeline.Job(design=overlapped, data=None, command="signfire build", board=BOARD)
    record = pipeline.describe(job) | pipeline.beside(job, built())

    assert record["alternatives"] is None
    assert "No alternative on multipliers: &#39;fc1&#39; cannot multiply" in report.render(record)


def test_the_command_compares(signfire, tmp_path):
    design().save(tmp_path / "design.npz")

    status, found = signfire("compare", tmp_path / "design.npz", "--board", BOARD.name)

    assert status == 0
    assert next(d["name"] for d in found["designs"]) == "events"
    assert all(d["latency_s"] > 0 < d["energy"]["energy_j"] for d in found["designs"])
    assert found["bound"]["factor"] > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--board", "arty-a7-35"],
            "the size of arty-a7-35's device is not known here, so nothing can be compared on it "
            "(take a board that signfire boards lists with its LUTs)",
        ),
        (
            ["--board", "ulx3s-25f", "--synapse", "multiply"],
            "'fc1' multiplies already: the alternative is to a design that adds (give --synapse "
            "events)",
        ),
        (
            ["--board", "ulx3s-25f", "--synapse", "any"],
            "--synapse any leaves the choice to a search (give --fold auto)",
        ),
    ],
)
def test_nothing_to_compare_is_one_line(signfire, tmp_path, options, message):
    design().save(tmp_path / "design.npz")

    status, found = signfire("compare", tmp_path / "design.npz", *options)

    assert (status, found["error"]) == (2, message)


def test_constant_time_is_a_word_of_every_folding(signfire, tmp_path):
    skipping = {p.name: replace(p.folding, skips=True) for p in design().populations[1:]}
    design().with_folding(skipping).save(tmp_path / "design.npz")
    words = ["fold", tmp_path / "design.npz", "--board", "ulx3s-25f", "--constant-time"]

    status, found = signfire(*words)

    assert status == 2
    assert found["error"].startswith("with --constant-time 'fc1' must read silent words too")
    status, found = signfire(*words, "--fold", "auto")
    assert status == 0
    assert not any("skips" in folding for folding in found["folding"].values())


def test_synapse_is_a_word_of_every_folding(signfire, tmp_path):
    design().save(tmp_path / "design.npz")

    status, found = signfire(
        "fold", tmp_path / "design.npz", "--board", "ulx3s-25f", "--synapse", "multiply",
        "--fold", "fc2:pe=4,simd=2", "-o", tmp_path / "folded.npz",
    )  # fmt: skip

    assert status == 0
    assert found["folding"]["fc1"] == {"pe": 4, "simd": 4, "unroll": 2, "synapse": "multiply"}
    assert found["folding"]["fc2"] == {"pe": 4, "simd": 2, "unroll": 4, "synapse": "multiply"}
    status, found = signfire(
        "fold", tmp_path / "folded.npz", "--board", "ulx3s-25f", "--fold", "auto"
    )
    assert {f["synapse"] for f in found["folding"].values()} == {"events"}
