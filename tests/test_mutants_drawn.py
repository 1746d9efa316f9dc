"""Mutants drawn by seed: which there are, which tests run, and what counts as seen."""

import argparse
import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import draw
import marks
import pytest
from copies import BROKEN, LATE, MISSED, SEEN, Copy, Verdict
from draw import UNTESTED, Covering, Judge, Mutant, drawn, mutants_of, product
from journal import Journal
from older import Homes, put_tests
from table import ROOT

FILES = {
    "gen/__init__.py": "",
    "gen/rule.py": "LIMIT = 3\n\n\ndef fires(v, f):\n    return v < f\n",
    "gen/deep/__init__.py": "from ..rule import fires\n",
    "gen/deep/alone.py": "from .below import doubled\n\n\ndef twice(x):\n    return doubled(x)\n",
    "gen/deep/below.py": "def doubled(x):\n    return 2 * x\n",
    "gen/lost.py": "def nobody(x):\n    return x + 1\n",
    "tests/test_gen_rule.py": (
        "import time\nfrom signfire.gen.rule import fires\n\n\ndef test_wrong():\n"
        "    assert fires(4, 3)\n\n\ndef test_tie():\n    assert not fires(3, 3)\n\n\n"
        "def test_below():\n    while not fires(2, 3):\n        time.sleep(0.1)\n"
    ),
    "tests/test_gen_other.py": (
        "from signfire.gen.rule import LIMIT, fires\n\n\ndef test_limit():\n    assert LIMIT == 3\n"
    ),
    "tests/test_gen_alone.py": (
        "from signfire.gen.deep import alone\n\n\ndef test_twice():\n"
        "    assert alone.twice(3) == 6\n"
    ),
    "tests/test_sim_all.py": (
        "import signfire.gen.rule\nfrom signfire.gen.deep.alone import twice\n"
    ),
    "pyproject.toml": "[tool.pytest.ini_options]\n",
}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def git(root: Path, *words: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *own, *words], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """Make a small repository; what is found in it is kept beside it."""
    monkeypatch.setattr(draw, "BUILD", tmp_path / "build")
    root = tmp_path / "tree"
    write(root, FILES)
    git(root, "init", "-q")
    return root


@pytest.fixture
def copy(tree, tmp_path) -> Iterator[Copy]:
    (tmp_path / "copy").mkdir()
    copy = Copy(tree, tmp_path / "copy", tmp_path / "cache")
    yield copy
    copy.close()


def test_every_mutant_of_a_file_changes_its_line() -> None:
    text = (ROOT / "gen" / "model" / "codes.py").read_text()
    found = list(mutants_of("gen/model/codes.py", text))

    assert len(found) > 300
    assert len(set(found)) == len(found)
    for mutant in found[::40]:
        changed = mutant.applied(text).splitlines()
        differing = [k for k, line in enumerate(text.splitlines(), 1) if line != changed[k - 1]]
        assert mutant.line == differing[0]


def test_what_is_no_python_is_not_drawn() -> None:
    text = "def f(*, x):\n    return x * 2\n"
    found = [m for m in mutants_of("gen/f.py", text) if m.operator.endswith("Mul_Div")]

    assert [1, 2] == [mutant.line for mutant in found]
    assert [False, True] == [draw.is_sound(mutant, text) for mutant in found]


def test_the_seed_decides_what_is_drawn_and_no_line_is_drawn_twice(tree, tmp_path) -> None:
    first, again, other = (drawn(tree, 3, seed) for seed in (1, 1, 2))

    assert first == again != other
    assert 3 == len({(mutant.file, mutant.line) for mutant in first})
    assert any((tmp_path / "build" / "places").iterdir())  # kept, and read for the second
    assert {mutant.file for mutant in first} <= set(product(tree))
    assert not any(name.startswith("tests/") for name in product(tree))


def test_tests_of_the_name_come_first_then_those_that_import_the_module(tree) -> None:
    covering = Covering(tree, tree / "tests")

    assert ["tests/test_gen_rule.py", "tests/test_gen_other.py", "tests/test_sim_all.py"] == (
        covering.files("gen/rule.py")
    )
    assert ["tests/test_gen_alone.py", "tests/test_sim_all.py"] == covering.files(
        "gen/deep/alone.py"
    )
    # nothing names or imports it, so what imports its importer does
    assert ["tests/test_gen_alone.py", "tests/test_sim_all.py"] == covering.files(
        "gen/deep/below.py"
    )
    assert [] == covering.files("gen/lost.py")


PRETENDED = {
    "tests/test_gen_rule.py": {
        "test_wrong": lambda rule: False,
        "test_odd": lambda rule: False,
        "test_tie": lambda rule: not rule["fires"](3, 3),
        "test_below": lambda rule: rule["fires"](2, 3) or "endless",
    },
    "tests/test_gen_other.py": {"test_limit": lambda rule: rule["LIMIT"] == 3},
    "tests/test_sim_all.py": {},
    "tests/test_gen_alone.py": {},
}


FAILS = "test_wrong"  # without a mutant too


class PretendedCopy:
    """A copy whose tests are functions of the mutated module; some fail without a mutant too."""

    def __init__(self, root: Path) -> None:
        self.root, self.ran, self.collected = root, [], MISSED

    def close(self) -> None:
        """Nothing was started."""

    def write(self, file: str, text: str) -> None:
        (self.root / file).write_text(text)

    def record(self, file: str) -> dict:
        """Say that all tests run the function and the module, but none those of other files."""
        names = ["gen/rule.py:1:0", "gen/rule.py:5:4", "gen/rule.py:6:4"]
        tests = {
            f"{file}::{name}": {"passed": name != FAILS, "seconds": 1.0, "reached": [1, 2]}
            for name in PRETENDED[file]
        }
        return {"names": names, "collected": [0], "tests": tests}

    def test(self, tests, *options: str, limit: float = 9.0) -> Verdict:
        rule: dict = {}
        try:
            exec((self.root / "gen/rule.py").read_text(), rule)
        except Exception:
            return Verdict(outcome=BROKEN, by="no import", seconds=1.0, spent=1.0)
        if "--collect-only" in options:
            return Verdict(outcome=self.collected, by="", seconds=1.0, spent=1.0)
        for file, _, only in (test.partition("::") for test in tests):
            for name, passes in PRETENDED[file].items():
                test = f"{file}::{name}"
                if only and name != only:
                    continue
                self.ran.append(test)
                found = passes(rule)
                if found == "endless":
                    return Verdict(outcome=LATE, by="", seconds=limit, spent=limit)
                if not found:
                    return Verdict(outcome=SEEN, by=test, seconds=1.0, spent=1.0)
        return Verdict(outcome=MISSED, by="", seconds=1.0, spent=1.0)


def mutant(file: str, line: int, operator: str, occurrence: int = 0) -> Mutant:
    return Mutant(file=file, line=line, operator=f"core/{operator}", occurrence=occurrence)


LESS = "ReplaceComparisonOperator_Lt_"


@pytest.mark.parametrize(
    ("changed", "outcome", "by"),
    [
        (mutant("gen/rule.py", 6, f"{LESS}LtE"), SEEN, "tests/test_gen_rule.py::test_tie"),
        (mutant("gen/rule.py", 1, "NumberReplacer"), SEEN, "tests/test_gen_other.py::test_limit"),
        (mutant("gen/rule.py", 2, "NumberReplacer", 4), SEEN, "cannot be imported: no import"),
        (mutant("gen/rule.py", 6, f"{LESS}NotEq"), MISSED, ""),
        (
            mutant("gen/rule.py", 6, f"{LESS}Gt"),
            SEEN,
            "does not end: tests/test_gen_rule.py::test_tie; tests/test_gen_rule.py::test_below",
        ),
        (mutant("gen/lost.py", 2, "ReplaceBinaryOperator_Add_Sub"), UNTESTED, ""),
    ],
    ids=lambda value: str(getattr(value, "operator", ""))[-12:],
)
def test_what_fails_without_a_mutant_too_does_not_count(tree, tmp_path, changed, outcome, by):
    """One test fails as it is recorded, one later: both are left out, what others say counts."""
    text = "LIMIT = 3\nEACH = 1 / (LIMIT - 2)\n\n\ndef fires(v, f):\n    return v < f\n"
    write(tree, {"gen/rule.py": text})
    journal = Journal(tmp_path / "journal.jsonl")
    judge = Judge(Covering(tree, tree / "tests"), journal, "tree", 60.0)
    before = (tree / changed.file).read_text()

    copy = PretendedCopy(tree)
    record = judge.judge(copy, changed)

    assert (outcome, by) == (record["outcome"], record["by"])
    assert before == (tree / changed.file).read_text()
    kept = Journal(journal.path)
    assert record == kept.get(judge.key(changed))
    if outcome not in (UNTESTED, SEEN) or "::" in by:
        again = Judge(judge.covering, kept, "tree", 60.0)
        assert {"tests/test_gen_rule.py::test_odd"} == judge.unsound == again.unsound
    assert "tests/test_gen_rule.py::test_wrong" not in copy.ran


def test_an_earlier_commits_tests_run_on_todays_modules(tree, copy) -> None:
    """What moved is found by its name; a module in a string is led to its new place."""
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "now")
    old = {
        "tests/test_gen_rule.py": (
            "import pytest\n\n"
            "from signfire.gen.fire import LIMIT as MOST\n"
            "from signfire.gen import below\n"
            "from signfire.gen.rule import (\n    fires,\n)\n\n\n"
            "def test_moved(monkeypatch):\n"
            "    monkeypatch.setattr('signfire.gen.below.doubled', lambda x: MOST)\n"
            "    assert (3, True) == (below.doubled(1), fires(2, 3))\n"
        )
    }
    for name in FILES:
        if name.startswith("tests/"):
            (tree / name).unlink()
    write(tree, old)
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "earlier")

    put_tests("HEAD", tree, copy.root)

    assert ["test_gen_rule.py"] == [path.name for path in (copy.root / "tests").glob("*.py")]
    text = (copy.root / "tests/test_gen_rule.py").read_text()
    assert "from signfire.gen.rule import LIMIT as MOST\n" in text
    assert "from signfire.gen.deep import below\n" in text
    assert "'signfire.gen.deep.below.doubled'" in text
    assert MISSED == copy.test(["tests/test_gen_rule.py"]).outcome


def test_names_that_several_modules_have_are_those_of_the_same_room(tree) -> None:
    write(tree, {"sim/__init__.py": "", "sim/rule.py": "def fires():\n    pass\n"})
    homes = Homes(tree)

    assert "signfire.sim.rule" == homes.home("signfire.sim.gone", "fires")
    assert "signfire.gen.rule" == homes.home("signfire.gen.gone", "fires")
    assert "signfire.gen.gone" == homes.home("signfire.gen.gone", "nothing")


def test_a_run_counts_and_goes_on_where_it_stopped(tree, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(draw, "Copy", lambda root, *_: PretendedCopy(root))
    options = argparse.Namespace(count=3, seed=3, tests=None, limit=60.0, jobs=1)

    counts = draw.run(tree, options)
    said = capsys.readouterr().out
    again = draw.run(tree, options)

    assert 3 == sum(counts.values()) and counts == again
    assert 3 == said.count(" of 3, ")
    assert "" == capsys.readouterr().out


def test_a_mutant_whose_tests_take_more_than_its_limit_is_out_of_time(tree, tmp_path) -> None:
    judge = Judge(Covering(tree, tree / "tests"), Journal(tmp_path / "j"), "tree", 10.0)

    record = judge.judge(PretendedCopy(tree), mutant("gen/rule.py", 5, f"{LESS}Gt"))

    assert LATE == record["outcome"]


def test_tests_that_cannot_be_collected_without_a_mutant_either_say_nothing(tree, tmp_path) -> None:
    text = "LIMIT = 3\nEACH = 1 / (LIMIT - 2)\n\n\ndef fires(v, f):\n    return v < f\n"
    write(tree, {"gen/rule.py": text})
    judge = Judge(Covering(tree, tree / "tests"), Journal(tmp_path / "j"), "tree", 60.0)
    copy = PretendedCopy(tree)
    copy.collected = BROKEN

    record = judge.judge(copy, mutant("gen/rule.py", 2, "NumberReplacer", 4))

    assert UNTESTED == record["outcome"]


BLOCKS = {
    "hdl/__init__.py": "",
    "hdl/sign.py": (
        '"""Signs."""\n'
        "from __future__ import annotations\n\n"
        "from functools import cache\n\n\n"
        "def sign(x):\n"
        '    """Return it."""\n'
        "    if x < 0:\n"
        "        return -1\n"
        "    elif x:\n"
        "        return 1\n"
        "    return 0\n\n\n"
        "@cache\n"
        "def table():\n"
        "    return [sign(x) for x in range(3)]\n"
    ),
    "tests/test_hdl_sign.py": (
        "import subprocess, sys\n\nimport pytest\n\nfrom signfire.hdl.sign import sign, table\n\n"
        "ZERO = sign(0)\n\n\n"
        "@pytest.fixture(scope='module')\ndef shared():\n    return table()\n\n\n"
        "def test_below():\n    assert sign(-5) == -1\n\n\n"
        "def test_first(shared):\n    pass\n\n\n"
        "def test_second(shared):\n    pass\n\n\n"
        "def test_wrong():\n    assert sign(3) == 2\n\n\n"
        "def test_elsewhere():\n"
        "    program = 'from signfire.hdl.sign import sign; sign(-1)'\n"
        "    subprocess.run([sys.executable, '-c', program], check=True)\n"
    ),
}


def test_lines_belong_to_the_innermost_block() -> None:
    tree = ast.parse(BLOCKS["hdl/sign.py"])
    names = {line: marks.block_at("s.py", tree, line) for line in range(1, 19)}

    assert {*range(1, 8), *range(14, 18)} == {
        line for line, name in names.items() if name == "s.py:1:0"
    }
    assert {8, 9, 13} == {line for line, name in names.items() if name == "s.py:8:4"}
    assert ["s.py:10:8", "s.py:11:4", "s.py:12:8"] == [names[line] for line in (10, 11, 12)]
    assert "s.py:18:4" == names[18]


def test_what_each_test_runs_is_recorded(tree, tmp_path) -> None:
    """A fixture that several share counts for each, and so do processes that a test starts."""
    for name in FILES:
        (tree / name).unlink()
    write(tree, {"pyproject.toml": FILES["pyproject.toml"], **BLOCKS})
    (tmp_path / "copy").mkdir()
    copy = Copy(tree, tmp_path / "copy", tmp_path / "cache")

    record = copy.record("tests/test_hdl_sign.py")
    verdict = copy.test(["tests/test_hdl_sign.py"])
    none = copy.record("tests/test_gone.py")
    copy.close()

    def reached(test: str) -> set[str]:
        places = record["tests"][f"tests/test_hdl_sign.py::test_{test}"]["reached"]
        return {record["names"][k].removeprefix("hdl/sign.py:") for k in places}

    collected = {record["names"][k] for k in record["collected"]}
    assert {"hdl/sign.py:1:0", "hdl/sign.py:8:4", "hdl/sign.py:11:4"} <= collected
    assert {"10:8"} == reached("below") == reached("elsewhere")
    assert {"18:4", "12:8"} == reached("first") == reached("second")
    assert {"12:8"} == reached("wrong")
    failed = [name for name, test in record["tests"].items() if not test["passed"]]
    assert ["tests/test_hdl_sign.py::test_wrong"] == failed
    assert (SEEN, *failed) == (verdict.outcome, verdict.by)
    assert {} == none["tests"]
