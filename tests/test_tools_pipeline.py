"""The checks of the chip in a report: what becomes of them, done or not done."""

import re
from dataclasses import asdict, replace

import numpy as np
import pytest

from signfire.boards import readback
from signfire.boards.boards import find_board
from signfire.boards.build import BuildResult
from signfire.gen.convert.options import Options
from signfire.gen.core.plans import plan_layers
from signfire.gen.design.folding import Folding
from signfire.sim.mismatch import Mismatch
from signfire.tools import console, options, pipeline, proof, report
from signfire.tools.dataset import Dataset
from signfire.tools.stages import Stages

WRONG = Mismatch(layer="fc2", what="logit", sample=0, neuron=1, cycle=900, expected=5, got=4)


@pytest.fixture
def job(make_design) -> pipeline.Job:
    rng = np.random.default_rng(2)
    data = Dataset(path="data.npz", x=rng.integers(0, 256, (3, 12), dtype=np.uint8), y=None)
    return pipeline.Job(
        design=make_design(sizes=(12, 8, 4)),
        data=data,
        command="signfire build",
        board=find_board("icebreaker"),
        netlist_samples=2,
        bitstream_samples=1,
    )


@pytest.fixture
def built(tmp_path) -> BuildResult:
    (tmp_path / "signfire.bin").write_bytes(b"packed")
    return BuildResult(
        board="icebreaker",
        bitstream=tmp_path / "signfire.bin",
        clock_hz=39e6,
        utilisation={},
        versions={},
        logs={},
        seconds=1.0,
    )


@pytest.fixture
def answers(monkeypatch):
    """Let both checks find what is asked for, and note how many samples each was given."""
    given: dict[str, int] = {}
    found: dict[str, tuple[Mismatch, ...]] = {"netlist": (), "bitstream": ()}

    def answer(kind: str, data: Dataset, board) -> proof.ChipCheck:
        given[kind] = len(data)
        return proof.ChipCheck(
            board=board.name,
            samples=len(data),
            words=6 * len(data),
            mismatches=found[kind],
            clock_hz=39e6,
            cells={"LUT": 7},
            promise="all of it" if kind == "bitstream" else "",
        )

    def netlist(design, data, board, folder, **settings):
        return answer("netlist", data, board)

    def bitstream(packed, board, design, data, folder, **settings):
        return answer("bitstream", data, board)

    monkeypatch.setattr(proof, "check_netlist", netlist)
    monkeypatch.setattr(proof, "verify_bitstream", bitstream)
    monkeypatch.setattr(readback, "obstacle", lambda board: "")
    return given, found


def outcome_of(job: pipeline.Job, checks: dict, tmp_path) -> console.Outcome:
    record = pipeline.describe(job)
    record["checks"] |= checks
    return options.written(record, report.write_report(record, tmp_path / "page"))


def test_netlist_and_bitstream_answer_their_samples(job, built, answers, tmp_path) -> None:
    checks = pipeline.chip_checks(job, Stages(tmp_path), built)

    assert {"netlist": 2, "bitstream": 1} == answers[0]
    assert {"netlist": (True, 12), "bitstream": (True, 6)} == {
        name: (check["equal"], check["compared"]) for name, check in checks.items()
    }
    assert console.DONE == outcome_of(job, checks, tmp_path).status
    assert "all of it" in (tmp_path / "page" / "report.html").read_text()


@pytest.mark.parametrize("kind", ["netlist", "bitstream"])
def test_a_difference_is_the_exit_status_and_stands_in_the_report(
    job, built, answers, tmp_path, kind
) -> None:
    answers[1][kind] = (WRONG,)

    checks = pipeline.chip_checks(job, Stages(tmp_path), built)
    outcome = outcome_of(job, checks, tmp_path)

    assert console.DIFFERENCE == outcome.status
    assert [str(WRONG)] == outcome.data["checks"][kind]["mismatches"]
    assert any(f"{kind} DIFFERENT" in str(line) for line in outcome.text)


def test_without_icebox_the_report_says_how_to_get_it(
    job, built, answers, tmp_path, monkeypatch
) -> None:
    reason = "the program icebox_vlog is missing (apt install fpga-icestorm)"
    monkeypatch.setattr(readback, "obstacle", lambda board: reason)

    checks = pipeline.chip_checks(job, Stages(tmp_path), built)
    outcome = outcome_of(job, checks, tmp_path)
    page = (tmp_path / "page" / "report.html").read_text()

    assert {"netlist": 2} == answers[0]
    assert console.DONE == outcome.status
    assert checks["bitstream"]["equal"] is None
    assert reason in page
    assert "not done</span>" in page


def test_what_was_not_asked_for_is_not_done(job, built, answers, tmp_path) -> None:
    fewer = replace(job, netlist_samples=0, bitstream_samples=0)

    assert {} == pipeline.chip_checks(fewer, Stages(tmp_path), built)
    assert {} == answers[0]


def test_steps_of_the_curve_that_cannot_be_are_refused_before_any_work(job, tmp_path) -> None:
    converted = replace(job.design, provenance={"options": asdict(Options())})
    sentence = (
        "--over-steps: steps must lie in 1..16 with the binary schedule, whose step sizes double, "
        "not 32 (more steps take another schedule, like exponential:0.15,0.95)"
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        pipeline.report(replace(job, design=converted, curve=(4, 32)), tmp_path / "report")

    assert not list((tmp_path / "report").glob("**/*.json"))


def test_a_layer_is_busy_with_every_window_of_a_sample(make_windows) -> None:
    bare = make_windows()
    design = bare.with_folding({p.name: Folding() for p in bare.populations})
    job = pipeline.Job(design=design, data=None, command="signfire report")

    rows = pipeline.describe(job)["layers"]
    pipeline.cycles(job, rows)

    busy = {row["name"]: row["cycles"] for row in rows}
    _, plans = plan_layers(design, job.technology)
    assert [busy[plan.name] for plan in plans] == [plan.interval for plan in plans]
    assert max(plan.windows for plan in plans) > 1
