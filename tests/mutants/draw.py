"""Draw mutants of the product by seed, let cosmic-ray make them, and count those that tests see.

    python tests/mutants/draw.py COUNT [--seed 1] [--tests COMMIT]

Every line that can be mutated is drawn with the same probability, and then one of its mutants. The
test files that count are those of the module's name, ``tests/test_FOLDER_MODULE*.py``, then those
that import the module; where there are none of either, those that import what imports it. Of a
file, those tests run that run the block of the mutated line, the quickest first, up to the first
that fails; which those are is recorded once for each file (``recorder.py``). A test that fails
without a mutant too does not count. A mutant that makes tests run for several times as long as they
do without it is seen. ``--tests`` takes the tests of another commit for those of this one, over the
same mutants of the same code. What was found is kept in ``build/mutants`` and holds until a file of
the tree changes.
"""

import argparse
import ast
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import older
from copies import BROKEN, LATE, MISSED, SEEN, Copy, digest_of, tracked
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from journal import Journal
from marks import block_at
from plant import BUILD, JOBS, key_of, shared
from table import ROOT

ROOMS = ("hdl", "gen", "sim", "boards", "tools")
LIMIT = 60.0  # seconds of the processor for one mutant
SLOWER, LEAST = 4.0, 20.0  # times as long as without a mutant, and seconds, and tests do not end
MOST_FILES = 12  # of tests for one mutant
UNTESTED = "no test"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change that the library can make.

    Parameters
    ----------
    file, line
        Where, from 1.
    operator, occurrence
        Name of the library's operator, and which of its places in the file.
    """

    file: str
    line: int
    operator: str
    occurrence: int

    def applied(self, text: str) -> str:
        """Return the text of the file with the change."""
        operator = plugins.get_operator(self.operator)()
        mutated = mutate_code(text, operator, self.occurrence)
        if mutated is None or mutated == text:
            raise ValueError(f"{self} changes nothing")
        return mutated


def mutants_of(file: str, text: str) -> Iterator[Mutant]:
    """Yield every mutant of a file, those of operators that need no settings."""
    tree = list(ast_nodes(get_ast(text)))
    for name in sorted(plugins.operator_names()):
        kind = plugins.get_operator(name)
        if kind.arguments():
            continue
        operator = kind()
        places = (start for node in tree for start, _ in operator.mutation_positions(node))
        for occurrence, (line, _) in enumerate(places):
            yield Mutant(file=file, line=line, operator=name, occurrence=occurrence)


def kept_mutants(file: str, text: str, folder: Path) -> list[Mutant]:
    """Return every mutant of a file; what the library takes long to find is kept by the text."""
    path = folder / f"{key_of(version('cosmic-ray'), file, text)[:16]}.json"
    if not path.is_file():
        found = [[m.line, m.operator, m.occurrence] for m in mutants_of(file, text)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".part").write_text(json.dumps(found))
        path.with_suffix(".part").rename(path)
    return [
        Mutant(file=file, line=line, operator=operator, occurrence=occurrence)
        for line, operator, occurrence in json.loads(path.read_text())
    ]


def product(root: Path) -> list[str]:
    """Return the Python files of the product."""
    return [name for name in tracked(root) if name.endswith(".py") and Path(name).parts[0] in ROOMS]


def is_sound(mutant: Mutant, text: str) -> bool:
    """Whether a mutant is Python, and of another meaning; to the library a bare * is a product."""
    try:
        return ast.dump(ast.parse(mutant.applied(text))) != ast.dump(ast.parse(text))
    except (SyntaxError, ValueError):
        return False


def drawn(root: Path, count: int, seed: int) -> list[Mutant]:
    """Return ``count`` mutants of as many lines."""
    rng = random.Random(seed)
    texts = {file: (root / file).read_text() for file in product(root)}
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for file, text in texts.items():
        for mutant in kept_mutants(file, text, BUILD / "places"):
            by_line.setdefault((file, mutant.line), []).append(mutant)
    found: list[Mutant] = []
    for line in rng.sample(sorted(by_line), len(by_line)):
        if len(found) == count:
            break
        of_line = rng.sample(by_line[line], len(by_line[line]))
        chosen = next((m for m in of_line if is_sound(m, texts[m.file])), None)
        found += [] if chosen is None else [chosen]
    return found


# -- which tests --------------------------------------------------------------------------------


def module_of(file: str) -> str:
    """Return the name that a file of the product is imported by."""
    parts = Path(file).with_suffix("").parts
    return ".".join(("signfire", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def imports_of(path: Path, package: str = "") -> set[str]:
    """Return the modules of ours that a file may import: names of modules, and of what is in them.

    Parameters
    ----------
    path
        Of the file.
    package
        That it belongs to, for relative imports.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("signfire.")}


class Covering:
    """Which test files there are for a file of the product.

    Parameters
    ----------
    root
        Of the tree with the product.
    tests
        Folder of the tests.
    """

    def __init__(self, root: Path, tests: Path) -> None:
        self.of_tests = {path.name: imports_of(path) for path in sorted(tests.glob("test_*.py"))}
        self.of_product = {}
        for file in product(root):
            name = module_of(file)
            package = name if file.endswith("__init__.py") else name.rpartition(".")[0]
            self.of_product[name] = imports_of(root / file, package)

    def files(self, file: str) -> list[str]:
        """Return them from the likeliest on, at most :data:`MOST_FILES`."""
        module, path = module_of(file), Path(file)
        stem = path.parent.name if path.stem == "__init__" else path.stem
        named = [name for name in self.of_tests if name.startswith(f"test_{path.parts[0]}_{stem}")]
        importing = self._importing({module})
        if not named and not importing:
            above = {name for name, imported in self.of_product.items() if module in imported}
            importing = self._importing(above)
        found = list(dict.fromkeys([*named, *importing]))
        return [f"tests/{name}" for name in found[:MOST_FILES]]

    def _importing(self, modules: set[str]) -> list[str]:
        """Return the tests that import one of ``modules``, those of few imports first."""
        names = [name for name, imported in self.of_tests.items() if imported & modules]
        return sorted(names, key=lambda name: (len(self.of_tests[name]), name))


# -- running ------------------------------------------------------------------------------------


class Judge:
    """Runs tests against mutants, and knows which of them fail without one.

    Parameters
    ----------
    covering
        Which tests there are.
    journal, tree
        For what is found, and the digest that it holds for.
    limit
        Seconds of the processor for one mutant.
    """

    def __init__(self, covering: Covering, journal: Journal, tree: str, limit: float) -> None:
        self.covering, self.journal, self.tree, self.limit = covering, journal, tree, limit
        self.unsound = {
            record["test"] for record in journal.known.values() if record.get("unsound") == tree
        }

    def key(self, mutant: Mutant) -> str:
        return key_of(self.tree, str(mutant), str(self.limit))

    def judge(self, copy: Copy, mutant: Mutant) -> dict[str, Any]:
        """Return what became of a mutant, and write it down."""
        sound = (copy.root / mutant.file).read_text()
        block = block_at(mutant.file, ast.parse(sound), mutant.line)
        left, outcome, by = self.limit, UNTESTED, ""
        for file in self.covering.files(mutant.file):
            tests = self._reaching(copy, file, block)
            if tests and left <= 0:
                outcome = LATE
            if not tests or left <= 0:
                continue
            outcome, by, spent = self._judged_by(copy, mutant, sound, tests, left)
            left -= spent
            if outcome not in (MISSED, UNTESTED):
                break
        return self.journal.keep(
            self.key(mutant),
            **vars(mutant),
            outcome=outcome,
            by=by,
            seconds=self.limit - left,
        )

    def _judged_by(
        self, copy: Copy, mutant: Mutant, sound: str, tests: dict[str, float], left: float
    ) -> tuple[str, str, float]:
        """Return what tests say of a mutant, which of them, and seconds of the processor."""
        spent = 0.0
        while tests:
            long = SLOWER * sum(tests.values()) + LEAST
            copy.write(mutant.file, mutant.applied(sound))
            try:
                verdict = copy.test(list(tests), limit=min(left, long))
            finally:
                copy.write(mutant.file, sound)
            spent += verdict.spent
            if verdict.outcome == BROKEN:
                if copy.test(list(tests), "--collect-only").outcome == MISSED:
                    return SEEN, f"cannot be imported: {verdict.by}", spent
                return UNTESTED, f"cannot be collected: {verdict.by}", spent
            if verdict.outcome == LATE and long <= left:
                return SEEN, f"does not end: {'; '.join(tests)}", spent
            if verdict.outcome != SEEN or self._pass(copy, verdict.by):
                return verdict.outcome, verdict.by, spent
            tests = {test: cost for test, cost in tests.items() if test not in self.unsound}
        return MISSED, "", spent

    def _reaching(self, copy: Copy, file: str, block: str) -> dict[str, float]:
        """Return the tests of a file that run a block, with their seconds, the quickest first."""
        record = self._recorded(copy, file)
        if block not in record["names"]:
            return {}
        place = record["names"].index(block)
        found = {
            name: test["seconds"]
            for name, test in record["tests"].items()
            if test["passed"]
            and name not in self.unsound
            and (place in test["reached"] or place in record["collected"])
        }
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def _recorded(self, copy: Copy, file: str) -> dict[str, Any]:
        """Return what the tests of a file run, see ``recorder.py``."""
        path = self.journal.path.parent / "reached" / f"{key_of(self.tree, file)[:16]}.json"
        if not path.is_file():
            record = copy.record(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".part").write_text(json.dumps(record))
            path.with_suffix(".part").rename(path)
        return json.loads(path.read_text())

    def _pass(self, copy: Copy, tests: str) -> bool:
        """Whether the tests that failed pass without a mutant; those that do not are left out."""
        passed = True
        for test in tests.split("; "):
            if copy.test([test]).outcome != MISSED:
                self.unsound.add(test)
                self.journal.keep(key_of(self.tree, "unsound", test), test=test, unsound=self.tree)
                passed = False
        return passed


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("count", type=int, help="how many mutants")
    parser.add_argument("--seed", type=int, default=1, help="of the drawing")
    parser.add_argument("--tests", metavar="COMMIT", help="take the tests of another commit")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help="seconds of the processor for one mutant"
    )
    parser.add_argument("--jobs", type=int, default=JOBS, help="copies side by side")
    options = parser.parse_args(argv)
    counts = run(ROOT, options)
    whole = sum(counts.values())
    others = ", ".join(f"{counts[name]} {name}" for name in (MISSED, LATE, UNTESTED))
    print(f"{counts[SEEN]} of {whole} seen ({counts[SEEN] / whole:.1%}; {others})")
    return 0


def run(root: Path, options: argparse.Namespace) -> Counter[str]:
    """Return how many mutants came to which end; say it of each."""
    name = options.tests or "tests"
    journal = Journal(BUILD / f"drawn-{name}.jsonl")
    tree = key_of(digest_of(root), name)
    mutants = drawn(root, options.count, options.seed)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = []
        for k in range(options.jobs):
            copies.append(Copy(root, Path(folder) / str(k), BUILD / f"cache{k}"))
            if options.tests:
                older.put_tests(options.tests, root, copies[-1].root)
        covering = Covering(root, copies[0].root / "tests")
        judge = Judge(covering, journal, tree, options.limit)
        records = [journal.get(judge.key(mutant)) for mutant in mutants]
        todo = [m for m, known in zip(mutants, records, strict=True) if known is None]
        counts = Counter(known["outcome"] for known in records if known is not None)
        for number, (mutant, record) in enumerate(shared(copies, judge.judge, todo), 1):
            counts[record["outcome"]] += 1
            place = f"{mutant.file}:{mutant.line} {mutant.operator.rpartition('/')[2]}"
            print(
                f"{record['outcome']:11} {place} ({number} of {len(todo)}, "
                f"{record['seconds']:.0f} s)\n{'':11} {record['by'][:200]}",
                flush=True,
            )
        for copy in copies:
            copy.close()
    return counts


if __name__ == "__main__":
    sys.exit(main())
