"""How a command talks: results on standard output, everything else on standard error.

Standard output carries a command's result and nothing else: text for people, or with ``--json``
exactly one JSON object, on success and on errors alike. What tools print while a command runs
goes to standard error, whatever file descriptor they print it to.
"""

import functools
import io
import json
import logging
import math
import os
import sys
import time
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np
from rich.console import Console, RenderableType
from rich.text import Text

from ..gen.design.calibrated import UnlikeCalibration
from ..gen.front.messages import advice_of, is_library, said

DONE = 0
DIFFERENCE = 1  # a check found a difference
USER = 2  # the user's input or environment is wrong
INTERNAL = 3  # a fault of signfire itself, with a traceback

PACKAGE = str(Path(__file__).resolve().parents[1])
ROOMS = ("hdl", "gen", "sim", "boards", "tools")  # of the package; an environment may lie beside


class Plain(Console):
    """A console that prints what it is given, letter for letter.

    Names and paths come from users and files: in a string nothing is markup, an emoji or a link,
    and characters that steer a terminal are shown by their codes. What is meant to have a colour is
    a :class:`rich.text.Text`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(visible(text), **settings)


def visible(text: str) -> str:
    """Return a text whose control characters, all but line ends and tabs, are shown by codes.

    So are bytes of a path that are no text.
    """
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or not _steers(c) else _code(c) for c in text)


def _steers(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode()


progress = Plain(stderr=True)
Write = Callable[[Mapping[str, Any]], None]  # of one record


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command found.

    Parameters
    ----------
    data
        The JSON object of ``--json``.
    text
        The same for people, anything rich can print.
    status
        Exit status: ``DIFFERENCE`` where a check found one.
    """

    data: Mapping[str, Any]
    text: Sequence[RenderableType]
    status: int = DONE


def verb(function: Callable[..., Outcome]) -> Callable[..., int]:
    """Make a function that returns an :class:`Outcome` the body of a click command."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
    @functools.wraps(function)
    def run(*args: Any, as_json: bool, **kwargs: Any) -> int:
        with _output_to_stderr():
            outcome = function(*args, **kwargs)
        return _print(outcome, as_json)

    return run


def _print(outcome: Outcome, as_json: bool) -> int:
    if as_json:
        print_json(outcome.data)
    else:
        # a pipe has no width to keep to, and a wrapped table is of no use to a program
        console = Plain(width=None if sys.stdout.isatty() else 200)
        for part in outcome.text:
            # nor is a command or a path that is broken in two
            console.print(part, soft_wrap=isinstance(part, str) and not sys.stdout.isatty())
    return outcome.status


def streaming(function: Callable[..., Outcome | int]) -> Callable[..., int]:
    """Make a function that may write records while it runs the body of a click command.

    Its first argument ``write`` prints a record as a line of JSON, at once. It returns an
    :class:`Outcome` as that of a :func:`verb`; or an exit status, where its records said
    everything. A reader that goes away, as ``head`` does, has what it wanted.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, nothing else.")
    @functools.wraps(function)
    def run(*args: Any, as_json: bool, **kwargs: Any) -> int:
        with _output_to_stderr() as output:

            def write(record: Mapping[str, Any]) -> None:
                output.write(to_json(record) + "\n")
                output.flush()

            try:
                outcome = function(write, *args, **kwargs)
            except BrokenPipeError:
                # What is still buffered goes nowhere.
                os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
                return DONE
        return outcome if isinstance(outcome, int) else _print(outcome, as_json)

    return run


def service(function: Callable[..., None]) -> Callable[..., int]:
    """Make a function that runs until it is ended, and tells things meanwhile, a command's body.

    Its first argument ``tell`` takes the :class:`Outcome` to print now: with ``--json`` a line with
    one JSON object each.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print JSON objects, one a line.")
    @functools.wraps(function)
    def run(*args: Any, as_json: bool, **kwargs: Any) -> int:
        with _output_to_stderr() as output:
            console = Plain(file=output, soft_wrap=True)

            def tell(outcome: Outcome) -> None:
                if as_json:
                    output.write(to_json(outcome.data) + "\n")
                else:
                    for part in outcome.text:
                        console.print(part)
                output.flush()

            function(tell, *args, **kwargs)
        return DONE

    return run


def run_program(group: click.Command, name: str, args: Sequence[str] | None = None) -> int:
    """Run a click program and return its exit status; errors become one line, or one object."""
    argv = list(sys.argv[1:] if args is None else args)
    for stream in (sys.stdout, sys.stderr):  # a path may hold what their encoding lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    as_json = "--json" in argv
    try:
        with users_warnings(name):
            status = group.main(argv, prog_name=name, standalone_mode=False)
        return status if isinstance(status, int) else DONE
    except click.exceptions.NoArgsIsHelpError as e:
        click.echo(e.format_message(), err=True)
        return USER
    except click.Abort:
        return _fail(as_json, name, "interrupted", 130)
    except click.UsageError as e:
        context = e.ctx.command_path if e.ctx else name
        line = e.format_message().removesuffix(".")
        return _fail(as_json, name, f"{line} (see {context} --help)", USER)
    except click.ClickException as e:
        return _fail(as_json, name, e.format_message(), USER)
    except MemoryError as e:
        line = f"there is not enough memory for this ({str(e) or 'try fewer samples'})"
        return _fail(as_json, name, line, USER)
    except Exception as e:
        if is_users_doing(e):
            return _fail(as_json, name, str(e), USER)
        traceback.print_exc()
        line = f"internal error, please report it: {type(e).__name__}: {e}"
        return _fail(as_json, name, line, INTERNAL)


@contextmanager
def users_warnings(name: str) -> Iterator[None]:
    """Show warnings of the user's own code in a line each, and keep those of libraries back.

    What a library warns of is either none of the user's business or told by signfire; its advice
    may switch off a protection. Samples that are not like those of the calibration are told.
    """

    def show(
        message: Warning | str, category: type, file: str, line: int, *_: object, **__: object
    ) -> None:
        if issubclass(category, UnlikeCalibration):
            click.echo(f"{name}: warning: {visible(str(message))}", err=True)
        elif is_users(file) and not advice_of(message):
            click.echo(f"{name}: warning: {said(message)} ({Path(file).name}:{line})", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        kept, logging.lastResort = logging.lastResort, UsersLog(name)
        try:
            yield
        finally:
            logging.lastResort = kept


class UsersLog(logging.Handler):
    """Where log records go that nobody handles: to the terminal, if they are the user's own."""

    def __init__(self, program: str) -> None:
        super().__init__(logging.WARNING)
        self.program = program

    def emit(self, record: logging.LogRecord) -> None:
        if is_users(record.pathname):
            click.echo(f"{self.program}: warning: {record.getMessage()}", err=True)


def is_users(file: str) -> bool:
    """Whether a file is neither a library's nor signfire's."""
    ours = any(Path(file).is_relative_to(Path(PACKAGE) / room) for room in ROOMS)
    return not ours and not is_library(file)


def is_users_doing(error: BaseException) -> bool:
    """Tell a refusal from a fault.

    The operating system's errors are the environment's; a ValueError or TypeError is a refusal
    where signfire's own code raised it, and a fault where it comes out of a library.
    """
    if isinstance(error, OSError):
        return True
    if not isinstance(error, ValueError | TypeError):
        return False
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    source = Path(innermost.filename).resolve()
    raised_here = any(source.is_relative_to(Path(PACKAGE) / room) for room in ROOMS)
    return raised_here and (innermost.line or "").lstrip().startswith("raise ")


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show on standard error, where it is a terminal, that something is going on.

    What is yielded takes a word on what that is now.
    """
    status = progress.status(Text(visible(what)))
    with status if progress.is_terminal else nullcontext():
        yield lambda doing: status.update(Text(visible(f"{what}: {doing}")))


@contextmanager
def shown(title: str) -> Iterator[Callable[[str], None]]:
    """Show a stage while it runs and how long it took once it is done.

    What is yielded takes a word on what the stage is doing now.
    """
    start = time.monotonic()
    status = progress.status(Text(visible(title)))
    if progress.is_terminal:
        status.start()
    try:
        yield lambda doing: status.update(Text(visible(f"{title}: {doing}")))
    finally:
        status.stop()
    told("done", title, f"({time.monotonic() - start:.1f} s)")


def told(how: str, title: str, more: str = "") -> None:
    """Say on standard error how a stage ended: ``done`` or ``kept``."""
    first = (f"  {how}", "green" if how == "done" else "dim")
    progress.print(Text.assemble(first, f"  {visible(title)} ", (more, "dim")))


def print_json(data: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(to_json(data) + "\n")
    sys.stdout.flush()


def to_json(data: Any, *, indent: int | None = None) -> str:
    """Turn dataclasses, arrays and paths into JSON; a number that is not finite becomes null."""
    return json.dumps(_plain(data), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value


def _fail(as_json: bool, name: str, message: str, status: int) -> int:
    line = " ".join(message.split("\n")) if as_json else message.rstrip()
    if as_json:
        print_json({"error": line})
    click.echo(visible(f"{name}: {line}"), err=True)
    return status


@contextmanager
def _output_to_stderr() -> Iterator[TextIO]:
    """Send all that is printed meanwhile, by programs that are started too, to standard error.

    What is yielded still writes to standard output.
    """
    sys.stdout.flush()
    python_level, sys.stdout = sys.stdout, sys.stderr
    try:
        saved = os.dup(1)
    except OSError:  # standard output is closed
        saved = None
    try:
        if saved is not None:
            os.dup2(2, 1)
        place = os.devnull if saved is None else os.dup(saved)
        with open(place, "w", errors="backslashreplace") as output:
            yield output
    finally:
        sys.stdout = python_level
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)
