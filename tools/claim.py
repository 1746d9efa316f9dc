"""One signfire at a time in a folder.

A claim is a lock of the operating system on a small file in the folder, which goes with the process
that holds it, however that ends. The file says who holds it, and is removed with the claim.
"""

import functools
import inspect
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TextIO, TypeVar

LOCK = ".signfire.lock"
PAUSE_S = 0.05
BRIEF_S = 10.0  # how long another may take that only writes what it has computed

Given = ParamSpec("Given")
Found = TypeVar("Found")

_held: set[str] = set()  # by this process, which may claim what it holds


@contextmanager
def claim(folder: Path | str, *, wait_s: float = 0.0) -> Iterator[Path]:
    """Make a folder, if it is missing, and hold it meanwhile.

    Parameters
    ----------
    folder
        That is written into. Within a claim the same process may claim it again.
    wait_s
        How long another process may take until it lets go.

    Raises
    ------
    ValueError
        If another process holds it, with that process.
    """
    folder = Path(folder)
    with _claimed(folder / LOCK, folder, wait_s):
        yield folder


def claiming(
    parameter: str, *, wait_s: float = 0.0
) -> Callable[[Callable[Given, Found]], Callable[Given, Found]]:
    """Make a function hold the folder that one of its parameters names, see :func:`claim`."""

    def wrap(function: Callable[Given, Found]) -> Callable[Given, Found]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def run(*args: Given.args, **kwargs: Given.kwargs) -> Found:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            with claim(bound.arguments[parameter], wait_s=wait_s):
                return function(*args, **kwargs)

        return run

    return wrap


@contextmanager
def claim_file(path: Path | str) -> Iterator[Path]:
    """Hold a file that is written piece by piece, see :func:`claim`; its folder is made."""
    path = Path(path)
    with _claimed(path.with_name(f".{path.name}.lock"), path, 0.0):
        yield path


@contextmanager
def _claimed(lock: Path, what: Path, wait_s: float) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    key = str(lock.resolve())
    if key in _held:
        yield
        return
    deadline = time.monotonic() + wait_s
    while (file := _taken(lock)) is None:
        if time.monotonic() >= deadline:
            raise ValueError(
                f"{what} is in use by another signfire{_holder(lock)} (wait for it, or write "
                f"somewhere else with -o)"
            )
        time.sleep(PAUSE_S)
    try:
        with file:
            file.write(json.dumps(_self()) + "\n")
            file.flush()
            _held.add(key)
            try:
                yield
            finally:
                _held.discard(key)
                _let_go(lock)
    finally:
        if os.name == "nt":  # where an open file cannot be removed
            lock.unlink(missing_ok=True)


def _let_go(lock: Path) -> None:
    if os.name != "nt":
        lock.unlink(missing_ok=True)  # while it is held: who waits for it sees that it is gone


def _taken(lock: Path) -> TextIO | None:
    """Return the lock's file, held; ``None`` where another process holds it."""
    while True:
        try:
            file = os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o644), "r+")
        except PermissionError:
            if os.name != "nt":
                raise
            return None
        try:
            _hold(file)
            if _is_still(lock, file):
                file.truncate(0)
                return file
        except OSError:
            file.close()
            return None
        file.close()  # removed by who held it: there is another file, or none


def _hold(file: TextIO) -> None:
    """Raise OSError where another process holds the file."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_still(lock: Path, file: TextIO) -> bool:
    try:
        found, held = os.stat(lock), os.fstat(file.fileno())
    except FileNotFoundError:
        return False
    return os.name == "nt" or (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)


def _self() -> dict[str, object]:
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": " ".join(["signfire", *sys.argv[1:2]]),
    }


def _holder(lock: Path) -> str:
    """Say who holds a lock, as far as its file tells."""
    try:
        found = json.loads(lock.read_text())
        return (
            f": process {found['process']} on {found['host']}, {found['command']}, since "
            f"{found['since']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ""
