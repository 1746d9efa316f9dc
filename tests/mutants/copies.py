"""Copies of the tree: mutated, imported in the place of the tree, and tested.

A copy is a folder called ``signfire`` whose parent leads the search path of modules, so that
``import signfire.hdl`` finds it before what is installed.
"""

import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import marks
import recorder

HERE = Path(__file__).parent
PLUGIN = "unshrunk"
SEEN, MISSED, LATE, BROKEN = "seen", "missed", "out of time", "broken"
CODES = {0: MISSED, 1: SEEN}  # of pytest; the others say that it could not run the tests
LIMIT = 1800.0  # seconds of the processor for a run of tests
SLACK = 6.0  # seconds on the clock for one of the processor, on a machine that does more than this
FOUND_BY = re.compile(r"(FAILED|ERROR) tests/")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a run of tests ended.

    Parameters
    ----------
    outcome
        :data:`SEEN`, :data:`MISSED`, :data:`LATE` or :data:`BROKEN`, where no test ran.
    by
        The first test that failed; the last words of pytest where it is broken.
    seconds
        On the clock.
    spent
        Seconds of the processor.
    """

    outcome: str
    by: str
    seconds: float
    spent: float


def tracked(root: Path) -> list[str]:
    """Return the files of the working tree that git keeps or would keep, sorted."""
    said = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    names = {name for name in said.stdout.split("\0") if name}
    return sorted(name for name in names if os.path.lexists(root / name))


def digest_of(root: Path) -> str:
    """Return a digest of all files of the working tree and of their names."""
    digest = hashlib.sha256()
    for name in tracked(root):
        path = root / name
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


class Copy:
    """A copy of the tree at ``root`` in ``folder``.

    Parameters
    ----------
    root
        Of a repository.
    folder
        An empty one.
    cache
        For compiled simulators; kept when the copy goes.
    """

    def __init__(self, root: Path, folder: Path, cache: Path) -> None:
        self.root, self.cache = folder / "signfire", cache
        self.folder = folder
        self._servers: dict[bool, subprocess.Popen[str]] = {}
        for name in tracked(root):
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target, follow_symlinks=False)

    @property
    def environment(self) -> dict[str, str]:
        """Of what runs in the copy."""
        return os.environ | {
            "PYTHONPATH": os.pathsep.join([str(self.root.parent), str(HERE)]),
            "SIGNFIRE_CACHE_DIR": str(self.cache),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def require_own_modules(self, file: str) -> None:
        """Make sure that the module that ``file`` belongs to is imported from this copy.

        Raises
        ------
        RuntimeError
            If another one would be.
        """
        path = Path(file)
        if not file.endswith(".py"):  # what lies beside modules, or in a folder below theirs
            path = next(p for p in path.parents if (self.root / p / "__init__.py").is_file())
        parts = path.with_suffix("").parts
        module = ".".join(("signfire", *(parts[:-1] if parts[-1] == "__init__" else parts)))
        program = f"from importlib.util import find_spec as f; print(f({module!r}).origin)"
        said = subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        origin = Path(said.stdout.strip() or ".").resolve()
        if not origin.is_relative_to(self.root.resolve()):
            raise RuntimeError(f"{module} is not imported from the copy, but from {origin}")

    def write(self, file: str, text: str) -> None:
        """Write a file, so that no module compiled before stands for it."""
        path = self.root / file
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        path.write_text(text)

    def test(
        self, tests: Sequence[str], *options: str, limit: float = LIMIT, first: bool = True
    ) -> Verdict:
        """Run tests by pytest in the copy, up to the first that fails.

        Parameters
        ----------
        tests
            Files or single tests.
        options
            Of pytest, more of them.
        limit
            Seconds of the processor, of each process, after which the run is ended; on the clock
            it is :data:`SLACK` times as long.
        first
            Stop at the first that fails.
        """
        arguments = ["-q", "-rfE", "--no-header", "--tb=line"]
        arguments += ["-p", "no:cacheprovider", "-p", PLUGIN, "--hypothesis-seed=0"]
        arguments += ["-x"] if first else []
        begun = time.monotonic()
        code, spent, said = self._run([*arguments, *options, *tests], limit)
        late = code in (None, -signal.SIGXCPU, -signal.SIGKILL)
        outcome = LATE if late else CODES.get(code or 0, BROKEN)
        lines = said.splitlines()
        failed = [line.split(" ", 1)[1].split(" - ")[0] for line in lines if FOUND_BY.match(line)]
        if outcome == SEEN and not all("::" in name for name in failed):
            outcome = BROKEN  # a file whose tests cannot be collected
        by = {SEEN: "; ".join(failed), BROKEN: " | ".join(lines[-6:])}.get(outcome, "")
        return Verdict(outcome=outcome, by=by, seconds=time.monotonic() - begun, spent=spent)

    def record(self, file: str, limit: float = LIMIT) -> dict[str, Any]:
        """Run all tests of a file, and return which blocks of the product each of them runs.

        See ``recorder.py``; a file whose tests cannot run, or not within the limit, has none.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            record = Path(folder) / "record"
            environment = {recorder.RECORD: str(record), marks.FOLDER: folder}
            arguments = ["-q", "-p", "no:cacheprovider", "-p", PLUGIN, "--hypothesis-seed=0"]
            arguments += ["-p", recorder.__name__, file]
            self._run(arguments, limit, marked=True, environment=environment)
            if not record.is_file():
                return {"names": [], "collected": [], "tests": {}}
            return json.loads(record.read_text())

    def _run(
        self,
        arguments: Sequence[str],
        limit: float,
        *,
        marked: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int | None, float, str]:
        """Return how pytest ended, None where its time on the clock did, what it spent and said."""
        said = self.folder / "said"
        job = {
            "arguments": list(arguments),
            "environment": dict(environment or {}),
            "limit": math.ceil(limit),
            "patience": SLACK * limit,
            "said": str(said),
        }
        server = self._server(marked=marked)
        assert server.stdin is not None and server.stdout is not None
        print(json.dumps(job), file=server.stdin, flush=True)
        answer = json.loads(server.stdout.readline())
        return answer["code"], answer["spent"], said.read_text(errors="replace")

    def _server(self, *, marked: bool) -> subprocess.Popen[str]:
        """Return the process that forks those of the tests; it ends with this one."""
        if marked not in self._servers:
            environment = self.environment
            if marked:
                path = os.pathsep.join([str(HERE / "marked"), environment["PYTHONPATH"]])
                environment |= {
                    "PYTHONPATH": path,
                    marks.KEPT: str(self.folder / "marked"),
                    marks.ROOT: str(self.root),
                    marks.FOLDER: str(self.folder),
                }
            self._servers[marked] = subprocess.Popen(
                [sys.executable, str(HERE / "server.py")],
                cwd=self.root,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._servers[marked]

    def close(self) -> None:
        """End the processes that it started."""
        for server in self._servers.values():
            server.communicate()
        self._servers.clear()
