"""What was compiled before, kept for every later run of the user: folders named by their content.

An entry is a folder of files that were made from all that its key is the digest of. It appears
whole or not at all: it is made in a folder of its own, sealed with the size and the digest of each
file, and renamed. Before it serves, its files are compared with the seal, so that one that was cut
short is made again. One process makes an entry; others that want it wait for it.

In the environment, ``SIGNFIRE_CACHE_DIR`` names another place than ``signfire`` below the user's
cache folder, ``SIGNFIRE_CACHE_MB`` another bound of its size, and ``SIGNFIRE_CACHE=off`` switches
it off.
"""

import atexit
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

PLACE, SWITCH, BOUND = "SIGNFIRE_CACHE_DIR", "SIGNFIRE_CACHE", "SIGNFIRE_CACHE_MB"
DEFAULT_MB = 2000
SEAL = "seal.json"
# An entry that served within this time stays, whatever the bound: a process may be about to use it.
GRACE_S = 600.0
LOCKS = 64  # files a name that processes lock, each for the keys that fall to it
STALE_S = 86400.0  # after which what a killed process began to make is swept away

_log = logging.getLogger(__name__)


def key_of(made_of: object) -> str:
    """Return the digest of what JSON can write: 16 hexadecimal digits."""
    text = json.dumps(made_of, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Cache:
    """A folder of entries.

    Parameters
    ----------
    root
        The folder; it need not be there yet.
    bound_bytes
        Size above which the entries that served longest ago are removed; None for no bound.

    Raises
    ------
    OSError
        By :meth:`entry`, where the folder cannot be written.
    """

    def __init__(self, root: Path, bound_bytes: int | None = None) -> None:
        self.root, self.bound_bytes = root, bound_bytes

    def entry(self, name: str, key: str, make: Callable[[Path], None]) -> Path:
        """Return the folder of an entry.

        Parameters
        ----------
        name
            What it is; a word before the key in the folder's name.
        key
            Digest of all that it is made of.
        make
            Writes the files into a folder that is given to it; called where there is no entry, or
            none that is whole.
        """
        entry = self.root / f"{name}-{key}"
        self.root.mkdir(parents=True, exist_ok=True)
        with self._locked(name, key):
            if _whole(entry):
                with suppress(OSError):
                    os.utime(entry)
                return entry
            making = self.root / "making"
            making.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=making) as folder:
                made = Path(folder) / "entry"
                made.mkdir()
                make(made)
                _seal(made)
                shutil.rmtree(entry, ignore_errors=True)
                with suppress(OSError):  # where locks do not work another may have come first
                    made.rename(entry)
            if not _whole(entry):
                raise OSError(f"{entry} does not hold what was written to it")
        self._keep_bound(entry)
        return entry

    @property
    def size_bytes(self) -> int:
        """Of all files in it."""
        return sum(size for _, _, size in self._entries())

    def clear(self) -> None:
        """Remove every entry."""
        for _, entry, _ in self._entries():
            shutil.rmtree(entry, ignore_errors=True)

    @contextmanager
    def _locked(self, name: str, key: str) -> Iterator[None]:
        """Hold off other processes that want the same entry.

        Whoever makes an entry may ask for one of another name meanwhile.
        """
        folder = self.root / "locks"
        folder.mkdir(exist_ok=True)
        with open(folder / f"{name}-{int(key, 16) % LOCKS}", "a") as file:
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _entries(self) -> list[tuple[float, Path, int]]:
        """Return (when it served last, folder, bytes) of every entry, oldest first."""
        found = []
        with suppress(OSError):
            for folder in self.root.iterdir():
                with suppress(OSError):
                    if (folder / SEAL).exists():
                        size = sum(file.stat().st_size for file in folder.iterdir())
                        found.append((folder.stat().st_mtime, folder, size))
        return sorted(found)

    def _keep_bound(self, newest: Path) -> None:
        now = time.time()
        for left in (self.root / "making").iterdir():
            with suppress(OSError):
                if left.stat().st_mtime < now - STALE_S:
                    shutil.rmtree(left, ignore_errors=True)
        if self.bound_bytes is None:
            return
        entries = self._entries()
        size = sum(of_entry for _, _, of_entry in entries)
        for served, entry, of_entry in entries:
            if size <= self.bound_bytes or served > now - GRACE_S:
                break
            if entry != newest:
                shutil.rmtree(entry, ignore_errors=True)
                size -= of_entry


def _seal(folder: Path) -> None:
    files = {file.name: [file.stat().st_size, _digest(file)] for file in folder.iterdir()}
    (folder / SEAL).write_text(json.dumps(files))


def _whole(folder: Path) -> bool:
    """Whether the files of an entry are those that were sealed."""
    try:
        files = json.loads((folder / SEAL).read_text())
        return bool(files) and all(
            (folder / name).stat().st_size == size and _digest(folder / name) == digest
            for name, (size, digest) in files.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _digest(file: Path) -> str:
    """Return the digest of a file, which is read once while it stays as it is."""
    stat = file.stat()
    return _digest_of(file, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@cache
def _digest_of(file: Path, *_: int) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def place(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the user's cache, which need not be there."""
    if environment.get(PLACE):
        return Path(environment[PLACE]).expanduser().absolute()
    above = environment.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(above):
        above = os.path.expanduser("~/.cache")
    return Path(above) / "signfire"


def user_cache(environment: Mapping[str, str] = os.environ) -> Cache | None:
    """Return the user's cache; None where it is switched off.

    Raises
    ------
    ValueError
        If a variable of the environment holds what it must not.
    """
    switch = environment.get(SWITCH, "") or "on"
    if switch not in ("on", "off"):
        raise ValueError(f"{SWITCH} must be on or off, not {switch!r}")
    megabytes = environment.get(BOUND, "") or str(DEFAULT_MB)
    if not megabytes.isdecimal():
        raise ValueError(f"{BOUND} must be a number of megabytes, not {megabytes!r}")
    return Cache(place(environment), int(megabytes) * 1_000_000) if switch == "on" else None


def available() -> tuple[Cache, bool]:
    """Return the user's cache and True, or one that lasts as long as this process and False.

    The second where the first is switched off, or cannot be written, which is told in one line.
    """
    users = user_cache()
    if users is not None and _writable(users.root):
        return users, True
    return _of_process(os.getpid()), False


@cache
def _of_process(_: int) -> Cache:
    folder = tempfile.TemporaryDirectory(prefix="signfire-")
    atexit.register(folder.cleanup)
    return Cache(Path(folder.name))


@cache
def _writable(root: Path) -> bool:
    """Whether a file can be made in a folder; if not, that is told, once."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return True
    except OSError as error:
        _log.warning(
            "the cache %s cannot be written (%s): simulators are compiled for this run alone "
            "(%s names another place, %s=off does without)",
            root,
            error.strerror,
            PLACE,
            SWITCH,
        )
        return False
