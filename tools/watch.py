"""A board that answers a stream of samples, or tells its state again and again, as long as wanted.

Everything is said in lines of JSON. A port that vanishes is opened again, and the sample that was
under way is asked again: it is counted where its answer arrives, once.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..gen.design.design import Design
from ..gen.design.linkformat import SampleFormat
from ..sim import golden
from .dataset import Dataset
from .host import Board, BoardStatus, LinkError, Port, UnreachableError

PAUSE_S = 1.0  # between two tries to reach a board
Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample on its way to a board.

    Parameters
    ----------
    raw
        (size,) integers as the hardware takes them; ``None`` where the sample is none.
    expected
        Its class, where that is known.
    error
        Why it is none.
    """

    raw: np.ndarray | None = None
    expected: int | None = None
    error: str = ""


def of_data(design: Design, data: Dataset) -> Iterator[Sample]:
    """Yield the samples of a data set.

    Raises
    ------
    ValueError
        At the first, where a label is no class of the design.
    """
    truth = None if data.y is None else data.classes_of(design.readout.size, design.name)
    for index, raw in enumerate(design.raw_samples(data.x)):
        yield Sample(raw=raw, expected=None if truth is None else int(truth[index]))


def of_lines(design: Design, lines: Iterable[str]) -> Iterator[Sample]:
    """Yield the samples of lines as they come: one a line, empty lines left out.

    A line is a JSON array of numbers, nested or flat; a JSON object ``{"x": [...], "y": class}``,
    where ``y`` may be missing; or numbers with commas or spaces between them. Whole numbers are
    taken as the hardware's integers, others as real values, as in a data file.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _of_line(design, line)
        except (ValueError, TypeError) as refusal:
            yield Sample(error=f"line {number}: {refusal}")


def _of_line(design: Design, line: str) -> Sample:
    text = line.strip()
    expected = None
    if text[0] in "[{":
        try:
            value = json.loads(text)
        except json.JSONDecodeError as fault:
            raise ValueError(f"this is no JSON ({fault})") from fault
        if isinstance(value, dict):
            if "x" not in value:
                raise ValueError('an object holds a sample as "x", and its class as "y" if known')
            expected, value = value.get("y"), value["x"]
            if expected is not None and (type(expected) is not int or expected < 0):
                raise ValueError(f'"y" must be a class, a whole number, not {expected!r}')
    else:
        value = [_number(word) for word in text.replace(",", " ").split()]
    array = np.array(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"a sample must hold numbers, not {array.dtype}")
    return Sample(raw=design.raw_samples(array.reshape(1, -1))[0], expected=expected)


def _number(word: str) -> int | float:
    try:
        return int(word)
    except ValueError:
        with suppress(ValueError):
            return float(word)
        raise ValueError(f"{word!r} is no number") from None


@dataclass(kw_only=True)
class Tally:
    """What was counted in a stream, every sample once.

    Parameters
    ----------
    samples, equal, correct, labelled
        Answered; with the golden model's logits; with the true class; with a class to compare.
    errors
        Lines that held no sample.
    repeats
        Attempts after the first.
    reconnects
        Times the board was reached again.
    """

    samples: int = 0
    equal: int = 0
    correct: int = 0
    labelled: int = 0
    errors: int = 0
    repeats: int = 0
    reconnects: int = 0


class Reach:
    """A board that may vanish and come back.

    Parameters
    ----------
    connect
        Opens the port.
    design
        What the board must run; ``None`` for any.
    tries
        How often a board that vanished is looked for before that is an error.
    emit
        Is told what happens, a record each.
    options
        Of :class:`.host.Board`.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Port]],
        design: Design | None,
        *,
        tries: int,
        emit: Emit,
        sleep: Callable[[float], None] = time.sleep,
        **options: Any,
    ) -> None:
        self.connect, self.design, self.tries = connect, design, tries
        self.emit, self.sleep, self.options = emit, sleep, options
        self.reconnects = self._repeats = 0
        self.board: Board | None = None
        self._open: AbstractContextManager[Port] | None = None

    @property
    def repeats(self) -> int:
        """Attempts after the first, of all requests."""
        return self._repeats + (0 if self.board is None else self.board.repeats)

    def begin(self) -> Board:
        """Open the port and identify the board."""
        self._open = self.connect()
        self.board = board = Board(self._open.__enter__(), **self.options)
        identity = board.identify() if self.design is None else board.expect(self.design)
        self.emit(
            {
                "status": "connected",
                "design_hash": identity.design_hash,
                "name": identity.name,
                "clock_hz": identity.clock_hz,
            }
        )
        return board

    def end(self) -> None:
        """Close the port, whatever state it is in."""
        self._repeats = self.repeats
        port, self._open, self.board = self._open, None, None
        if port is not None:
            with suppress(OSError):
                port.__exit__(None, None, None)

    def ask(self, question: Callable[[Board], Any]) -> Any:
        """Return what a board says to ``question``, which is asked again where it vanished.

        Raises
        ------
        UnreachableError
            Where it did not come back in ``tries`` tries.
        """
        lost: UnreachableError | None = None
        for attempt in range(self.tries + 1):
            try:
                answer = question(self.board or self.begin())
            except UnreachableError as failure:
                self.end()
                if attempt == self.tries:
                    raise
                lost = failure
                self.emit({"status": "lost", "error": str(lost), "try": attempt + 1})
                self.sleep(PAUSE_S)
            else:
                self.reconnects += lost is not None
                return answer
        raise AssertionError("a loop that returns or raises")


def infer(
    design: Design,
    samples: Iterable[Sample],
    reach: Reach,
    emit: Emit,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Tally:
    """Let a board answer samples as they come, and tell each answer at once.

    A record has ``index``, ``label``, ``logits``, ``first_logit_cycles`` (from the last word of
    the sample, as the board counted), ``latency_s`` (from the request to its reply), ``equal`` (to
    the golden model, every logit), and ``expected`` and ``correct`` where the class is known; or
    ``index`` and ``error``. Where something was lost on the line, a record with the board's own
    counters follows. The last one is the tally.
    """
    tally, form = Tally(), SampleFormat.of(design)
    try:
        reach.begin()
        for index, sample in enumerate(samples):
            if sample.raw is None:
                tally.errors += 1
                emit({"index": index, "error": sample.error})
                continue
            before, raw = reach.repeats, sample.raw[None]
            packed = form.pack(raw)[0].tobytes()
            start = clock()
            result = reach.ask(lambda board, packed=packed: board.answer(packed))
            seconds = clock() - start
            truth = golden.run(design, raw)
            equal = bool((truth.logits[0] == result.logits).all())
            equal &= int(truth.labels[0]) == result.label
            tally.samples, tally.equal = tally.samples + 1, tally.equal + equal
            record = {
                "index": index,
                "label": result.label,
                "logits": result.logits,
                "first_logit_cycles": result.first_logit_cycles,
                "latency_s": seconds,
                "equal": equal,
            }
            if sample.expected is not None:
                correct = result.label == sample.expected
                tally.labelled, tally.correct = tally.labelled + 1, tally.correct + correct
                record |= {"expected": sample.expected, "correct": correct}
            emit(record)
            if reach.repeats > before:
                emit({"status": "repeated", "index": index} | _of_status(reach))
    except KeyboardInterrupt:
        pass
    except LinkError as failure:
        emit({"status": "failed", "error": str(failure)})
        raise
    finally:
        reach.end()
        tally.repeats, tally.reconnects = reach.repeats, reach.reconnects
    emit({"status": "done"} | asdict(tally))
    return tally


def _of_status(reach: Reach) -> dict[str, Any]:
    """Return what the board's counters say, or why they do not."""
    try:
        return {"board": status_record(reach.ask(Board.status))}
    except UnreachableError as failure:
        return {"error": str(failure)}


def status_record(status: BoardStatus) -> dict[str, Any]:
    """Return a status as --json says it."""
    return asdict(status) | {"last_error": status.last_error.name.lower()}


def tell_status(
    reach: Reach, emit: Emit, *, every_s: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Tell the state of a board again and again, until interrupted."""
    with suppress(KeyboardInterrupt):
        try:
            reach.begin()
            while True:
                emit({"status": "board"} | status_record(reach.ask(Board.status)))
                sleep(every_s)
        finally:
            reach.end()
