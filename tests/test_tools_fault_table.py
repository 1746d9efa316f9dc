"""The fault table: what its numbers count, who is told of an escape, and the verb."""

import json

import numpy as np
import pytest

from signfire.gen.design.folding import Folding
from signfire.sim.faults import CampaignResult, Outcome
from signfire.tools import cli, console, fault_table, options, pipeline, report
from signfire.tools.dataset import Dataset

FOLDING = {"fc1": Folding(pe=3, simd=4), "fc2": Folding(pe=2, simd=3)}


def outcome(number: int, kind: str, **fields) -> Outcome:
    sound = {
        "where": f"site{number}",
        "cycle": None,
        "events": False,
        "answers": False,
        "golden": None,
        "caught": {},
        "hang": False,
        "evidence": "",
    }
    return Outcome(id=number, kind=kind, **(sound | fields))


CAUGHT = (
    outcome(0, "file", events=True, caught={"static": 0}),
    outcome(1, "weight", events=True, caught={"cycle": 1, "bulk": 3}),
    outcome(2, "weight", answers=True, caught={"cycle": 2, "bulk": 2, "class": 4}),
    outcome(3, "weight", golden=False, caught={"cycle": 1}),
    outcome(4, "weight"),
    outcome(5, "inverted", events=True, answers=True, hang=True, caught={"bulk": 5}),
)
ESCAPED = outcome(6, "inverted", events=True, caught={"class": 1})


def record(*outcomes: Outcome) -> dict:
    result = CampaignResult(samples=4, seed=3, outcomes=outcomes)
    return json.loads(console.to_json(fault_table.summary(result)))


def test_every_fault_is_counted_once_in_its_row() -> None:
    weight = next(row for row in record(*CAUGHT)["rows"] if row["kind"] == "weight")

    assert weight == {
        "kind": "weight",
        "what": "weight in ROM",
        "planted": 4,
        "harmful": 2,
        "answers": 1,
        "hangs": 0,
        "first": {"static": 0, "cycle": 2, "bulk": 0},
        "noticed": 1,
        "unseen": 1,
        "escapes": 0,
    }


def test_the_total_is_the_sum_of_the_rows() -> None:
    found = record(*CAUGHT, ESCAPED)

    for key in ("planted", "harmful", "answers", "hangs", "noticed", "unseen", "escapes"):
        assert found[key] == sum(row[key] for row in found["rows"])
    for row in (*found["rows"], found):
        assert row["harmful"] == sum(row["first"].values()) + row["escapes"]
        assert row["planted"] == row["harmful"] + row["noticed"] + row["unseen"]


def test_what_a_check_catches_alone_is_counted_in_the_hardware() -> None:
    found = record(*CAUGHT)

    assert found["in_hardware"] == 3
    assert found["alone"] == {"cycle": 2, "bulk": 3, "class": 1}
    assert found["latest"] == 5


def test_a_harmful_fault_that_only_the_class_shows_escapes() -> None:
    found = record(*CAUGHT, ESCAPED)

    assert [each["id"] for each in found["escaped"]] == [6]
    assert "1 ESCAPE" in found["said"][0]
    assert any("fault 6, wire inverted, site6 (--only 6)" in str(x) for x in _text(found))


def _text(found: dict) -> list:
    return fault_table.of_faults(found)


def test_an_escape_is_the_exit_status_of_a_report(make_design) -> None:
    job = pipeline.Job(design=make_design(), data=None, command="c")
    described = pipeline.describe(job)

    for outcomes, status in ((CAUGHT, console.DONE), ((*CAUGHT, ESCAPED), console.DIFFERENCE)):
        told = options.written({**described, "faults": record(*outcomes)}, "page")
        assert told.status == status


@pytest.mark.parametrize(
    ("outcomes", "pill", "named"),
    [(CAUGHT, "0 escapes", False), ((*CAUGHT, ESCAPED), "1 escape<", True)],
)
def test_the_report_shows_the_table_and_names_what_escaped(
    make_design, outcomes, pill, named
) -> None:
    described = pipeline.describe(pipeline.Job(design=make_design(), data=None, command="c"))

    page = report.render({**described, "faults": record(*outcomes)})

    assert pill in page and "weight in ROM" in page and "first caught by cycle" in page
    assert ("site6" in page) is named


def test_one_fault_is_told_with_all_that_is_known_of_it() -> None:
    caught = outcome(7, "weight", events=True, golden=True, caught={"cycle": 2}, evidence="fc1 sum")

    assert fault_table.of_fault(caught) == [
        "fault 7: weight in ROM, site7",
        "harmful: changes events",
        "by the golden model with the faulty number: harmful",
        "caught by the cycle check after 2 samples: fc1 sum",
    ]
    assert fault_table.of_fault(ESCAPED)[-1] == "ESCAPES: no check sees it"
    assert fault_table.of_fault(CAUGHT[4])[-1] == "no check sees it"


@pytest.fixture
def files(tmp_path, make_design):
    make_design(folding=FOLDING).save(tmp_path / "design.npz")
    rng = np.random.default_rng(1)
    np.savez(
        tmp_path / "data.npz", x=rng.integers(0, 256, (5, 8), np.uint8), y=rng.integers(0, 4, 5)
    )
    return tmp_path


def test_the_verb_prints_the_table_and_one_object(files, capfd) -> None:
    arguments = ["faults", files / "design.npz", "--data", files / "data.npz", "--count", 11]
    arguments += ["--samples", 2, "-o", files / "out"]

    def run(*more: object) -> str:
        status = console.run_program(cli.cli, "signfire", [str(a) for a in (*arguments, *more)])
        assert status == console.DONE
        return capfd.readouterr()[0]

    found = json.loads(run("--json"))
    text = run()
    alone = run("--only", 0)

    assert (found["planted"], found["samples"], found["escapes"]) == (11, 2, 0)
    assert [fault["id"] for fault in found["faults"]] == list(range(11))
    assert f"{found['harmful']} are harmful, none escapes" in text
    assert alone.startswith(f"fault 0: number in the saved design, {found['faults'][0]['where']}")


def test_the_stage_of_a_report_plants_and_keeps(files, make_design, tmp_path) -> None:
    data = Dataset(path="d", x=np.load(files / "data.npz")["x"], y=np.load(files / "data.npz")["y"])
    design = make_design(folding=FOLDING)
    job = pipeline.Job(design=design, data=data, command="c", faults=11, curve=())

    found, page = pipeline.report(job, tmp_path / "report")
    again, _ = pipeline.report(job, tmp_path / "report")

    assert found["faults"]["planted"] == 11 and found["faults"]["samples"] == 5  # all there are
    assert again["faults"] == found["faults"]
    assert "Faults planted" in page.read_text()
