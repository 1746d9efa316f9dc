"""Plant every fault of the table, each in a copy of the tree, and see that its tests fail.

    python tests/mutants/plant.py [NAME ...]

NAME is a fault or a part of its name. Before a fault is planted its tests must pass without it.
What was found is kept in ``build/mutants`` and holds until a file of the tree changes. The exit
status is 0 where all faults that were asked for are seen.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from copies import BROKEN, MISSED, SEEN, Copy, digest_of
from journal import Journal
from table import ROOT, Fault, faults_of, read_table

BUILD = ROOT / "build" / "mutants"
JOBS = 2

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="faults, or parts of their names")
    parser.add_argument("--jobs", type=int, default=JOBS, help="copies side by side")
    parser.add_argument("--fresh", action="store_true", help="forget what was found before")
    options = parser.parse_args(argv)
    every = read_table()
    faults = [f for f in every if not options.names or any(n in f.name for n in options.names)]
    wrong = [line for fault in every for line in faults_of(fault)]
    if wrong or not faults:
        print(*wrong, sep="\n", file=sys.stderr)
        print("no fault is of that name" if not faults else "the table must be mended first")
        return 2
    journal = Journal(BUILD / "planted.jsonl")
    if options.fresh:
        journal.known.clear()
    seen = run(faults, journal, options.jobs)
    print(f"{seen} of {len(faults)} seen")
    return 0 if seen == len(faults) else 1


def run(faults: Sequence[Fault], journal: Journal, jobs: int, root: Path = ROOT) -> int:
    """Return how many faults of the tree at ``root`` are seen; say of each how it ended."""
    tree = digest_of(root)
    todo = [fault for fault in faults if not kept(journal, tree, fault)]
    for fault in faults:
        if fault not in todo:
            print(f"{'kept':8} {fault.name}", flush=True)
    seen = len(faults) - len(todo)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [
            Copy(root, Path(folder) / str(k), BUILD / f"cache{k}")
            for k in range(min(jobs, len(todo)))
        ]
        broken = unsound(todo, copies, journal, tree)
        sound = [fault for fault in todo if not broken.intersection(fault.tests)]
        for fault in todo:
            if fault not in sound:
                print(f"{'UNSOUND':8} {fault.name}: a test fails without it", flush=True)
        for number, (fault, record) in enumerate(
            shared(copies, lambda copy, fault: judge(copy, fault, journal, tree), sound), 1
        ):
            seen += record["outcome"] == SEEN
            print(
                f"{record['outcome']:8} {fault.name} ({number} of {len(sound)}, "
                f"{record['seconds']:.0f} s): {fault.means}\n{'':8} {record['by']}",
                flush=True,
            )
        for copy in copies:
            copy.close()
    return seen


def key_of(tree: str, *parts: str) -> str:
    return hashlib.sha256("\0".join((tree, *parts)).encode()).hexdigest()


def kept(journal: Journal, tree: str, fault: Fault) -> bool:
    """Whether a fault was seen in this very tree."""
    record = journal.get(key_of(tree, fault.name, fault.before, fault.after, *fault.tests))
    return record is not None and record["outcome"] == SEEN


def unsound(
    faults: Sequence[Fault], copies: Sequence[Copy], journal: Journal, tree: str
) -> set[str]:
    """Return the tests of the faults that fail without any; say it of all."""
    by_file: dict[str, set[str]] = {}
    for test in {test for fault in faults for test in fault.tests}:
        if journal.get(key_of(tree, "sound", test)) is None:
            by_file.setdefault(test.partition("::")[0], set()).add(test)
    todo = sorted(sorted(tests) for tests in by_file.values())
    found: set[str] = set()
    for tests, verdict in shared(copies, lambda copy, tests: copy.test(tests, first=False), todo):
        failed = verdict.by.split("; ") if verdict.outcome == SEEN else []
        ok = verdict.outcome == MISSED
        wrong = [test for test in tests if any(name.startswith(test) for name in failed)]
        wrong = [] if ok else wrong or tests
        for test in tests:
            if test not in wrong:
                journal.keep(key_of(tree, "sound", test), test=test)
        print(f"{'sound' if ok else 'UNSOUND':8} {' '.join(tests)} ({verdict.seconds:.0f} s)")
        if not ok:
            print(f"{'':8} without a fault: {verdict.outcome}, {verdict.by}")
        sys.stdout.flush()
        found.update(wrong)
    return found


def judge(copy: Copy, fault: Fault, journal: Journal, tree: str) -> dict[str, Any]:
    """Plant a fault, run its tests, and take it out again."""
    before = (copy.root / fault.file).read_text()
    copy.write(fault.file, fault.planted(before))
    try:
        copy.require_own_modules(fault.file)
        verdict = copy.test(fault.tests)
    finally:
        copy.write(fault.file, before)
    outcome = "MISSED" if verdict.outcome == MISSED else verdict.outcome
    by = verdict.by if verdict.outcome in (SEEN, BROKEN) else f"by {', '.join(fault.tests)}"
    return journal.keep(
        key_of(tree, fault.name, fault.before, fault.after, *fault.tests),
        name=fault.name,
        outcome=outcome,
        by=by,
        seconds=verdict.seconds,
    )


def shared(
    copies: Sequence[Copy], work: Callable[[Copy, Any], T], items: Iterable[Any]
) -> Iterable[tuple[Any, T]]:
    """Yield (item, result) as they come, every copy at work on one item at a time."""
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)
    done: SimpleQueue[tuple[Any, T | BaseException]] = SimpleQueue()

    def one(item: Any) -> None:
        copy = free.get()
        try:
            done.put((item, work(copy, item)))
        except BaseException as error:
            done.put((item, error))
        finally:
            free.put(copy)

    items = list(items)
    with ThreadPoolExecutor(max(1, len(copies))) as pool:
        for item in items:
            pool.submit(one, item)
        for _ in items:
            item, result = done.get()
            if isinstance(result, BaseException):
                pool.shutdown(cancel_futures=True)
                raise result
            yield item, result


if __name__ == "__main__":
    sys.exit(main())
