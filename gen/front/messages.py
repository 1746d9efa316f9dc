"""Messages: what torch and the user's code say, in one line of ours."""

import logging
import re
import sysconfig
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Advice of libraries to switch off a protection, and what it is about.
ADVICE = (
    (re.compile(r"weights[ _]only", re.I), "torch loads no file that holds more than tensors"),
    (re.compile(r"allow_pickle"), "NumPy loads no array of objects"),
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
INSTALLED = ("site-packages", "dist-packages")
OURS = Path(__file__).resolve().parents[1]  # the generator: models stand among the tools too


def is_library(file: str) -> bool:
    """Whether a file is part of Python, of an installed package or of the generator."""
    if file.startswith("<"):  # <frozen importlib._bootstrap>, <eval_with_key>.0
        return True
    path = Path(file)
    return (
        any(part in INSTALLED for part in path.parts)
        or path.is_relative_to(sysconfig.get_path("stdlib"))
        or path.is_relative_to(OURS)
    )


def innermost(frames: Iterable[tuple[str, int | str]]) -> str:
    """Return ``file.py:line`` of the innermost line of the user's own, or ``""``.

    Parameters
    ----------
    frames
        (file, line) from the outermost call on.
    """
    own = [f"{Path(file).name}:{line}" for file, line in frames if not is_library(file)]
    return own[-1] if own else ""


def place_of_error(error: BaseException) -> str:
    """Return the innermost line of the user's own that an error passed."""
    frames = traceback.extract_tb(error.__traceback__)
    return innermost((frame.filename, frame.lineno or 0) for frame in frames)


def advice_of(text: object) -> str:
    """Return what a library's advice to switch off a protection is about, ``""`` for other words.

    Such advice is not ours to pass on: the user's file may be somebody else's.
    """
    return next((about for advice, about in ADVICE if advice.search(str(text))), "")


def said(error: object) -> str:
    """Return the first line of what an error or a warning says, in our words if it is advice."""
    text = COLOUR.sub("", str(error)).strip()
    return advice_of(text) or (text.splitlines()[0].strip() if text else "")


def in_one_line(error: BaseException) -> str:
    """Return kind, words and place of an error: ``RuntimeError: no luck (net.py:13)``."""
    words, place = said(error), place_of_error(error)
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return f"{text} ({place})" if place else text


@contextmanager
def silence() -> Iterator[None]:
    """Keep torch's warnings and logs to itself; what the user must know is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
