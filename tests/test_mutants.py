"""The table of planted faults: every text and test is there; and how faults are judged."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import plant
import pytest
from copies import BROKEN, LATE, MISSED, SEEN, Copy, digest_of
from journal import Journal
from table import ROOT, Fault, faults_of, read_table

TABLE = read_table()
ROOMS = {
    *("hdl", "gen/model", "gen/design", "gen/front", "gen/convert", "gen/layers", "gen/core"),
    *("gen/fold", "sim", "sim/expect", "boards", "tools"),
}


@pytest.mark.parametrize("fault", TABLE, ids=lambda fault: fault.name)
def test_every_fault_still_has_its_place_and_its_tests(fault) -> None:
    """Where this fails a line has changed: plant its fault anew."""
    assert [] == faults_of(fault)


def test_there_are_enough_faults_and_some_in_every_room() -> None:
    assert len(TABLE) >= 60
    assert len({fault.name for fault in TABLE}) == len(TABLE)
    rooms = {str(Path(fault.file).parent) for fault in TABLE}
    assert [] == sorted(room for room in ROOMS if not any(r.startswith(room) for r in rooms))
    assert {".py", ".cpp", ".h", ".v"} <= {Path(fault.file).suffix for fault in TABLE}


FAULT = Fault(
    name="gen.tie",
    file="gen/rule.py",
    before="    return v < f\n",
    after="    return v <= f\n",
    means="a tie fires",
    tests=("tests/test_rule.py::test_tie",),
)
TESTS = """import time
from hypothesis import given, strategies as st
from signfire.gen.rule import fires


def test_tie():
    assert not fires(3, 3)


def test_below():
    assert fires(2, 3)


def test_slow():
    while True:
        pass


@given(st.lists(st.integers(), min_size=1))
def test_property(numbers):
    time.sleep(0.05)
    assert sum(numbers) < 50
"""


@pytest.fixture
def tree(tmp_path) -> Path:
    """Make a small repository."""
    root = tmp_path / "tree"
    for name, text in {
        "gen/__init__.py": "",
        "gen/rule.py": "def fires(v, f):\n    return v < f\n",
        "tests/test_rule.py": TESTS,
        "pyproject.toml": "[tool.pytest.ini_options]\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


@pytest.fixture
def copy(tree, tmp_path) -> Iterator[Copy]:
    (tmp_path / "copy").mkdir()
    copy = Copy(tree, tmp_path / "copy", tmp_path / "cache")
    yield copy
    copy.close()


def test_a_text_that_is_gone_or_there_twice_is_told(tree) -> None:
    (tree / "gen/rule.py").write_text("def fires(v, f):\n    return f > v\n")

    (said,) = faults_of(FAULT, tree)
    twice = replace(FAULT, before="f", after="g")
    lost = replace(FAULT, before="return f > v", tests=("tests/test_rule.py::test_gone",))

    assert said == (
        "gen.tie: its text must stand once in gen/rule.py, not 0 times; it has changed, so plant "
        "the fault anew ('return v < f')"
    )
    assert "must stand once in gen/rule.py, not 4 times" in faults_of(twice, tree)[0]
    assert ["gen.tie: there is no test tests/test_rule.py::test_gone"] == faults_of(lost, tree)
    assert ["gen.tie: there is no gen/none.py"] == faults_of(
        replace(FAULT, file="gen/none.py"), tree
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[a]\nfile = "x"\n', "must have after, before, file, means, tests, not ['file']"),
        ('[a]\nfile="x"\nbefore="b"\nafter="b"\nmeans="m"\ntests=["t"]', "must replace a text"),
        ('[a]\nfile="x"\nbefore="b"\nafter="c"\nmeans="m"\ntests=[]', "must name the tests"),
    ],
)
def test_an_entry_that_is_not_whole_is_refused(tmp_path, text, message) -> None:
    (tmp_path / "room.toml").write_text(text)

    with pytest.raises(ValueError) as error:
        read_table(tmp_path)

    assert str(error.value).startswith("room.a ") and message in str(error.value)


def test_what_is_imported_and_tested_is_the_copy(copy, tree) -> None:
    assert MISSED == copy.test(["tests/test_rule.py::test_tie"]).outcome

    copy.write("gen/rule.py", FAULT.planted((tree / "gen/rule.py").read_text()))
    copy.require_own_modules("gen/rule.py")
    copy.require_own_modules("gen/cells/block.v")
    found = copy.test(["tests/test_rule.py::test_below", "tests/test_rule.py::test_tie"])

    assert (SEEN, "tests/test_rule.py::test_tie") == (found.outcome, found.by)
    assert "<=" not in (tree / "gen/rule.py").read_text()


def test_a_module_from_elsewhere_is_refused(copy) -> None:
    with pytest.raises(RuntimeError, match=r"^signfire\.hdl\.fire is not imported from the copy"):
        copy.require_own_modules("hdl/fire.py")


def test_a_run_without_a_verdict_is_neither_seen_nor_missed(copy) -> None:
    assert LATE == copy.test(["tests/test_rule.py::test_slow"], limit=3).outcome
    assert BROKEN == copy.test(["tests/test_none.py"]).outcome
    copy.write("gen/rule.py", "def fires(\n")
    assert BROKEN == copy.test(["tests/test_rule.py"]).outcome


def test_what_hypothesis_finds_is_not_made_smaller(copy) -> None:
    found = copy.test(["tests/test_rule.py::test_property"])

    assert SEEN == found.outcome
    assert found.seconds < 20


@pytest.fixture
def run(tree, tmp_path, capsys):
    """Plant faults in the small repository; return how many are seen, and what is said."""

    def run(*faults) -> tuple[int, str]:
        seen = plant.run(faults, Journal(tmp_path / "journal.jsonl"), 2, tree)
        return seen, capsys.readouterr().out

    return run


def test_faults_are_counted_and_what_was_seen_is_kept(tree, run) -> None:
    blind = replace(FAULT, name="gen.blind", tests=("tests/test_rule.py::test_below",))

    seen, said = run(FAULT, blind)
    again, said_again = run(FAULT, blind)
    (tree / "gen/rule.py").write_text((tree / "gen/rule.py").read_text() + "\n")
    anew, said_anew = run(FAULT, blind)

    assert (1, 1, 1) == (seen, again, anew)
    assert "seen     gen.tie (" in said and "MISSED   gen.blind (" in said
    assert "kept     gen.tie\n" in said_again and "MISSED   gen.blind (" in said_again
    assert "kept" not in said_anew


def test_no_fault_is_judged_by_tests_that_fail_without_it(tree, run) -> None:
    (tree / "tests/test_rule.py").write_text(TESTS.replace("fires(2, 3)", "fires(3, 2)"))
    blind = replace(FAULT, name="gen.blind", tests=("tests/test_rule.py::test_below",))

    seen, said = run(FAULT, blind)

    assert 1 == seen
    assert "without a fault: seen, tests/test_rule.py::test_below\n" in said
    assert "UNSOUND  gen.blind: a test fails without it\n" in said
    assert "seen     gen.tie (1 of 1, " in said


def test_a_line_that_was_being_written_is_no_record(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.keep("a", outcome=SEEN)
    with journal.path.open("a") as file:
        file.write('{"key": "b", "out')

    known = Journal(journal.path)

    assert {"key": "a", "outcome": SEEN} == known.get("a")
    assert known.get("b") is None


def test_a_name_that_no_fault_has_is_an_error(capsys) -> None:
    assert 2 == plant.main(["no such fault"])
    assert "no fault is of that name\n" == capsys.readouterr().out


def test_the_digest_tells_content_and_names(tree) -> None:
    first = digest_of(tree)
    (tree / "gen/rule.py").rename(tree / "gen/rules.py")
    second = digest_of(tree)

    assert first != second == digest_of(tree)
    assert ROOT != tree
