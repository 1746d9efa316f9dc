"""Messages: what torch and the user's code say, in one line of ours."""

import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def is_library(file: str) -> bool:
    return (
        "site-packages" in file
        or "dist-packages" in file
        or Path(file).parent == Path(__file__).parent
    )


def place_of_error(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f"{Path(f.filename).name}:{f.lineno}"
        for f in frames
        if not is_library(f.filename) and not f.filename.startswith(("<frozen", sys.base_prefix))
    ]
    return own[-1] if own else ""


def in_one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    place = place_of_error(error)
    text = f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
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
