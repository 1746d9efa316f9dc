"""Benches of group E: a house to grow in."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .measure import ROOT, Measurement, Rows, bench, bench_of_rows

TITLE = "A house to grow in"
BEFORE = "50c7eff"  # what make test and make demo are compared with
NOW, PLANTED = "now", "planted"  # rows of E4 beside that commit's
FOLDERS = ("hdl", "gen", "sim", "boards", "tools")
KINDS = {
    "minimum": "a neuron of the minimum of its operands",
    "repeat": "a reader that repeats pixels",
}
DEMO = "from signfire.tools.cli import main; main()"
# Inputs that failed at that commit, and the tests of each.
CASES = {
    "names as paths, paths as printed": ("test_tools_console", "test_gen_name"),
    "words of fold": ("test_tools_limit",),
    "ports that VHDL takes": ("test_hdl_names",),
    "places and warnings of libraries": ("test_gen_messages", "test_tools_console"),
    "overwritten weights": ("test_tools_source",),
    "latency to the class": ("test_gen_cycles",),
    "labels out of range": ("test_tools_hostile",),
    "convert without weights": ("test_tools_source",),
    "integer and complex weights": ("test_gen_torch_import",),
    "fold auto of ResNet20": ("test_gen_fold",),
    "boards that the link fills": ("test_gen_fold", "test_boards_budget"),
    "max pooling compared": ("test_gen_shape",),
    "folders with spaces": ("test_tools_spaces",),
    "files that are none": ("test_tools_hostile",),
    "lines of watch": ("test_tools_watch",),
    "two at once": ("test_tools_claim",),
    "larger than memory": ("test_tools_hostile",),
    "code named by a file, flipped bits": ("test_tools_source", "test_tools_hostile"),
}


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a program took, with all that it started.

    Parameters
    ----------
    cpu_s, wall_s
        Seconds.
    said
        Its output.
    status
        Its exit status.
    """

    cpu_s: float
    wall_s: float
    said: str
    status: int


def spend(command: Sequence[str], folder: Path, **environment: str) -> Spent:
    """Run a command in a folder, and measure it."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = time.perf_counter() - begun
    return Spent(cpu_s=cpu, wall_s=wall, said=done.stdout, status=done.returncode)


def tool(name: str) -> str:
    """Return the path of a program of the environment."""
    return str(Path(sys.executable).with_name(name))


def earlier() -> tuple[Path, Path]:
    """Return the tree of :data:`BEFORE`, and the folder by which Python finds it.

    It uses the packages that are installed for this one; what it compares with lies beside it as
    beside this one.

    Raises
    ------
    ValueError
        Where git does not know the commit.
    """
    place = ROOT / "build" / "bench" / "earlier"
    tree, links = place / BEFORE, place / "links"
    if not tree.exists():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile() as archive:
            done = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, stdout=archive)
            if done.returncode:
                raise ValueError(f"git does not know {BEFORE} (fetch the whole history)")
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                tar.extractall(tree, filter="data")
        beside = ROOT.parent / "shared"
        if beside.is_dir():
            (place / "shared").symlink_to(beside)
        (links / "signfire").mkdir(parents=True)
        for folder in FOLDERS:
            (links / "signfire" / folder).symlink_to(tree / folder)
    return tree, links


# -- E1 to E3 ----------------------------------------------------------------------------------


@bench("E1", "imports of the whole package")
def imports() -> Iterator[Measurement]:
    """Count circles of modules, and imports that break a contract of pyproject.toml."""
    import grimp  # of the development packages, as what the other benches here run

    sys.path.insert(0, str(ROOT / "tests" / "typed"))
    try:
        graph = grimp.build_graph("signfire", cache_dir=None)
    finally:
        del sys.path[0]
    among = [
        name
        for name in graph.modules
        if any(
            name in graph.find_upstream_modules(imported)
            for imported in graph.find_modules_directly_imported_by(name)
        )
    ]
    yield Measurement(
        what="modules in a circle of imports",
        value=len(among),
        unit="modules",
        target="== 0",
        note=f"of {len(graph.modules):,}, {graph.count_imports():,} imports",
        details={"modules": sorted(among)},
    )
    links = {"PYTHONPATH": str(ROOT / "tests" / "typed")}
    done = spend([tool("lint-imports"), "--no-logo", "--no-cache"], ROOT, **links)
    broken = re.search(r"(\d+) kept, (\d+) broken", done.said)
    assert broken is not None, done.said
    yield Measurement(
        what="contracts on the order of imports that are broken",
        value=int(broken[2]),
        unit="contracts",
        target="== 0",
        note=f"{broken[1]} are kept",
    )


@bench("E2", "two new kinds: what they changed outside their own packages")
def new_kinds() -> Iterator[Measurement]:
    """Read from the history what the commit changed that brought each kind."""
    for kind, title in KINDS.items():
        log = spend(["git", "log", "--format=%H", f"--grep=^Kind: {kind}$"], ROOT)
        commits = log.said.split()
        if log.status or len(commits) != 1:
            raise ValueError(f"git finds {len(commits)} commits that say Kind: {kind}")
        changed = ["git", "show", "--format=", "--name-only", "--diff-filter=MDR", commits[0]]
        files = [f for f in spend(changed, ROOT).said.split() if f.split("/")[0] in FOLDERS]
        yield Measurement(
            what=f"product files changed for {title}",
            value=len(files),
            unit="files",
            target="<= 3",
            note=", ".join(files),
            details={"commit": commits[0]},
        )


@bench("E3", "types: pyright, standard rules, hdl gen sim boards tools")
def types() -> Iterator[Measurement]:
    """Check the whole package, and count what is suppressed."""
    done = spend([tool("pyright"), "--outputjson"], ROOT, PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    summary = json.loads(done.said[done.said.index("{") :])["summary"]
    yield Measurement(
        what="errors",
        value=summary["errorCount"],
        unit="errors",
        target="== 0",
        note=f"{summary['filesAnalyzed']} files",
    )
    sources = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    mark = re.compile(r"#\s*(?:pyright|type):\s*ignore.*")
    found = [line for path in sources for line in mark.findall(path.read_text())]
    bare = [line for line in found if not re.search(r"ignore(\[[^\]]*\])?\s*#?\s*\w", line)]
    yield Measurement(what="suppressions", value=len(found), unit="lines", target="<= 20")
    yield Measurement(
        what="suppressions without a reason", value=len(bare), unit="lines", target="== 0"
    )


# -- E4: tests ---------------------------------------------------------------------------------


def run_tests(row: str) -> dict[str, Any]:
    """Run a suite from nothing that was compiled before, or plant the faults of the table.

    Raises
    ------
    RuntimeError
        Where a test of this tree fails, or pytest does not say how many passed.
    """
    if row == PLANTED:
        done = spend([sys.executable, "tests/mutants/plant.py"], ROOT)
        found = re.search(r"(\d+) of (\d+) seen", done.said)
        if found is None:
            raise RuntimeError(done.said[-2000:])
        return {"seen": int(found[1]), "there": int(found[2])}
    suite = [sys.executable, "-m", "pytest", "-n", "auto", "-q"]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as kept:
        if row == BEFORE:
            tree, links = earlier()
            run = spend(suite, tree, PYTHONPATH=str(links), **one_thread)
        else:
            run = spend(suite, ROOT, SIGNFIRE_CACHE_DIR=kept, **one_thread)
    passed = re.search(r"(\d+) passed", run.said)
    if passed is None or (row == NOW and run.status):
        raise RuntimeError(run.said[-2000:])
    spent = {"wall_s": run.wall_s, "cpu_s": run.cpu_s}
    return spent | {"passed": int(passed[1]), "status": run.status}


def tests(rows: Mapping[str, dict[str, Any]]) -> Iterator[Measurement]:
    """Compare the suites, and count the faults that are seen."""
    if NOW in rows and BEFORE in rows:
        new, old = rows[NOW], rows[BEFORE]
        yield Measurement(
            what=f"time of make test by that of commit {BEFORE}, on the clock",
            value=round(new["wall_s"] / old["wall_s"], 3),
            unit="times",
            target="<= 0.4",
            note=f"{new['wall_s'] / 60:.1f} min for {old['wall_s'] / 60:.1f} min, "
            f"{new['passed']:,} tests for {old['passed']:,}",
            details={"status": [old["status"], new["status"]]},
        )
        yield Measurement(
            what="make test by that commit's in processor time",
            value=round(new["cpu_s"] / old["cpu_s"], 3),
            unit="times",
            note=f"{new['cpu_s'] / 60:.1f} min for {old['cpu_s'] / 60:.1f} min",
        )
    if PLANTED in rows:
        seen, there = rows[PLANTED]["seen"], rows[PLANTED]["there"]
        yield Measurement(what="faults planted by hand", value=there, unit="faults", target=">= 60")
        yield Measurement(
            what="faults planted by hand that the tests see",
            value=seen,
            unit="faults",
            target=f"== {there}",
        )


bench_of_rows(
    "E4",
    "make test, and faults that it must see",
    Rows(names=(NOW, BEFORE, PLANTED), measure=run_tests, sum_up=tests),
)


# -- E5: demonstration -------------------------------------------------------------------------


@bench("E5", "make demo after set-up")
def demonstration() -> Iterator[Measurement]:
    """Run both from nothing but what set-up makes, in turn, and compare processor time."""
    _, links = earlier()
    runs: dict[str, list[float]] = {"old": [], "new": []}
    for _ in range(2):
        with tempfile.TemporaryDirectory() as kept:
            cache = {"SIGNFIRE_CACHE_DIR": str(Path(kept) / "cache")}
            ready = spend([sys.executable, "-m", "signfire.sim.verilator"], ROOT, **cache)
            assert ready.status == 0, ready.said[-2000:]
            command = [sys.executable, "-P", "-c", DEMO, "demo"]
            for name, extra in (("old", {"PYTHONPATH": str(links)}), ("new", cache)):
                folder = Path(kept) / name
                folder.mkdir()
                done = spend(command, folder, **extra)
                assert done.status == 0, done.said[-2000:]
                runs[name].append(done.cpu_s)
                shutil.rmtree(folder)
    old, new = (min(runs[name]) for name in ("old", "new"))
    yield Measurement(
        what=f"processor time by that of commit {BEFORE}",
        value=round(new / old, 3),
        unit="times",
        target="<= 0.6",
        note=f"{new:.0f} s for {old:.0f} s, the lesser of two runs each; set-up compiles "
        "Verilator's runtime, nothing else is compiled before",
        details=runs,
    )


# -- E6: kinds and cases -----------------------------------------------------------------------


@bench("E6", "every kind through every question, and inputs that failed")
def questions() -> Iterator[Measurement]:
    """Run the tests that ask them, and count."""
    report = [sys.executable, "-m", "pytest", "-q", "-rA", "--no-header", "-p", "no:cacheprovider"]
    asked = spend([*report, "tests/test_gen_kinds.py"], ROOT)
    yield _outcomes(asked, "questions to kinds that are answered")
    modules = sorted({f"tests/{module}.py" for row in CASES.values() for module in row})
    cases = spend([*report, *modules], ROOT)
    yield _outcomes(cases, "tests of inputs that failed")
    passed, failed = (
        set(re.findall(rf"^(?:{outcome}) tests/(\w+)\.py", cases.said, re.M))
        for outcome in ("PASSED", "FAILED|ERROR")
    )
    held = [row for row, of in CASES.items() if passed >= set(of) and not failed & set(of)]
    yield Measurement(
        what="kinds of input whose tests all pass",
        value=len(held),
        unit="kinds",
        target=f"== {len(CASES)}",
        details={"missing": sorted(set(CASES) - set(held))},
    )


def _outcomes(run: Spent, what: str) -> Measurement:
    outcomes = Counter(re.findall(r"^(PASSED|FAILED|ERROR) ", run.said, re.M))
    passed = outcomes["PASSED"]
    return Measurement(
        what=what,
        value=passed,
        unit="tests",
        target=f"== {sum(outcomes.values())}",
        details={"status": run.status},
    )
