"""A board that answers a stream of samples, or tells its state again and again, as long as wanted.

Everything is said in lines of JSON. A port that vanishes is opened again, and the sample that was
under way is asked again: it is counted where its answer arrives, once.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np

from ..gen.design.design import Design
from ..gen.design.linkformat import SampleFormat
from ..gen.model.heads import Classes, Threshold
from ..sim import golden
from .dataset import Dataset
from .host import Board, BoardStatus, LinkError, Port, UnreachableError

CHUNK = 1 << 16
VALUE_BYTES = 64  # that a number and what stands around it may take in a line
MARGIN = 1 << 20  # bytes of a line beside its numbers
SHOWN = 60  # characters of a line that a message repeats
FIRST = 32  # samples of a stream that are compared with those of the calibration
PAUSE_S = 1.0  # between two tries to reach a board
Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample on its way to a board.

    Parameters
    ----------
    raw
        (size,) integers as the hardware takes them; ``None`` where the sample is none.
    given
        (...) the sample as it came.
    expected
        Its label, where that is known.
    error
        Why it is none.
    """

    raw: np.ndarray | None = None
    given: np.ndarray | None = None
    expected: object = None
    error: str = ""


def of_data(design: Design, data: Dataset) -> Iterator[Sample]:
    """Yield the samples of a data set.

    Raises
    ------
    ValueError
        At the first, where a label is none of the design's.
    """
    output = data.fitted(design.head).outputs[0]
    truth = data.truth(output, design.name)
    for index, raw in enumerate(design.raw_samples(data.x)):
        expected = None if truth is None else truth[index].tolist()
        yield Sample(raw=raw, given=data.x[index], expected=expected)


def lines_of(file: BinaryIO, design: Design) -> Iterator[bytes]:
    """Yield the lines of a stream as they come, each cut where no sample would be so long."""
    longest = longest_line(design)
    while line := file.readline(longest + 1):
        yield line
        while line and not line.endswith(b"\n"):
            line = file.readline(CHUNK)


def longest_line(design: Design) -> int:
    """Return the bytes of a line that may be a sample of a design."""
    return VALUE_BYTES * design.input.size + MARGIN


def of_lines(design: Design, lines: Iterable[str | bytes]) -> Iterator[Sample]:
    """Yield the samples of lines as they come: one a line, empty lines left out.

    A line is a JSON array of numbers, nested or flat; a JSON object ``{"x": [...], "y": label}``,
    where ``y`` may be missing; or numbers with commas or spaces between them. They are real values
    in the units of the calibration, as in a data file; the host encodes them, each feature by its
    own scale and offset where the design has such. Whatever else a line holds, it is a sample with
    an error, and the next line is read.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _of_line(design, line)
        except (ValueError, TypeError) as refusal:
            yield Sample(error=f"line {number}: {refusal}")
        except (RecursionError, OverflowError, MemoryError) as fault:
            yield Sample(error=f"line {number}: this is no sample ({type(fault).__name__})")


def _of_line(design: Design, line: str | bytes) -> Sample:
    if len(line) > longest_line(design):
        raise ValueError(
            f"it is longer than {longest_line(design):,} bytes, which is more than "
            f"{design.input.size:,} numbers take"
        )
    if isinstance(line, bytes):
        try:
            line = line.decode("utf-8-sig")
        except UnicodeDecodeError as fault:
            raise ValueError(f"this is no text in UTF-8 (byte {fault.start + 1})") from fault
    text = line.strip()
    expected = None
    if text[0] in "[{":
        value = _of_json(text)
        if isinstance(value, dict) and design.inputs and "x" not in value:
            arrays = {k: np.array([v]) for k, v in value.items() if k != "y"}
            expected, value = _expected(design, value.get("y")), design.joined(arrays)[0]
        elif isinstance(value, dict):
            if "x" not in value:
                raise ValueError('an object holds a sample as "x", and its label as "y" if known')
            expected, value = _expected(design, value.get("y")), value["x"]
    else:
        value = [_number(word) for word in text.replace(",", " ").split()]
    try:
        array = np.array(value)
    except ValueError as fault:
        raise ValueError("a sample must hold numbers in rows of one length") from fault
    if array.dtype.kind not in "biuf":
        raise ValueError(f"a sample must hold numbers, not {array.dtype}")
    if array.dtype.kind == "f" and array.size and np.abs(array).max() >= 2**63:
        # Whole numbers beyond 64 bits become floats, and would be taken for the end of the range.
        if any(type(v) is int and abs(v) >= 2**63 for v in np.array(value, object).flat):
            raise ValueError("whole numbers of a sample must lie below 2^63")
    raw = design.raw_samples(array.reshape(1, -1))[0]
    return Sample(raw=raw, given=array, expected=expected)


def _expected(design: Design, label: object) -> object:
    """Return a label of a line, or raise where it is none of the first output's."""
    if label is None:
        return None
    output = design.head.outputs[0]
    if isinstance(output, Classes):
        last = output.size - 1
        if output.names and label in output.names:
            return output.names.index(str(label))
        if type(label) is not int:
            raise ValueError(f'"y" must be a class, a whole number, not {_short(label)}')
        if not 0 <= label <= last:
            raise ValueError(f'"y" must be a class, 0..{last}, not {_short(label)}')
        return label
    try:
        array = np.array([label])
        if array.dtype.kind not in "biuf":
            raise ValueError("labels must be numbers")
        return output.truth(array, design.name)[0].tolist()
    except (ValueError, TypeError, OverflowError) as fault:
        raise ValueError(f'"y" is no label: {fault}') from None


def _of_json(text: str) -> object:
    try:
        return json.loads(text)
    except RecursionError as fault:
        raise ValueError("this is no sample (it is nested too deeply)") from fault
    except ValueError as fault:  # a number of many digits is another ValueError
        raise ValueError(f"this is no JSON ({fault})") from fault


def _number(word: str) -> int | float:
    try:
        return int(word)
    except ValueError:
        with suppress(ValueError):
            return float(word)
        raise ValueError(f"{_short(word)} is no number") from None


def _short(value: object) -> str:
    """Return what was found in place of something else, as much of it as fits a message."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = "a number of many digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


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

    A record has ``index``, ``label`` (the decision of the first output, or the board's class where
    it decides nothing), ``logits``, ``first_logit_cycles`` (from the last word of the sample, as
    the board counted), ``latency_s`` (from the request to its reply), ``equal`` (to the golden
    model, every logit); ``probability``, ``value``, ``score`` or ``error`` as the output gives
    them, by output where there are several; and ``expected`` and ``correct`` where the label is
    known; or ``index`` and ``error``. Where something was lost on the line, a record with the
    board's own counters follows. Where the first samples of a stream of lines are not like those
    that calibrated the design, a record says so. The last one is the tally.
    """
    tally, form = Tally(), SampleFormat.of(design)
    first: list[np.ndarray] = []
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
            said = _answers(design, result.logits, sample)
            label = said.get("label", result.label)
            record = {
                "index": index,
                "label": label,
                "logits": result.logits,
                "first_logit_cycles": result.first_logit_cycles,
                "latency_s": seconds,
                "equal": equal,
            } | said
            if sample.expected is not None:
                record["expected"] = sample.expected
                if "label" in said:
                    correct = label == sample.expected
                    tally.labelled, tally.correct = tally.labelled + 1, tally.correct + correct
                    record["correct"] = correct
            emit(record)
            if sample.given is not None and len(first) < FIRST:
                first.append(np.ravel(sample.given))
                _tell_unlike(design, first if len(first) == FIRST else [], emit)
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
    _tell_unlike(design, first if len(first) < FIRST else [], emit)
    emit({"status": "done"} | asdict(tally))
    return tally


def _answers(design: Design, logits: np.ndarray, sample: Sample) -> dict[str, Any]:
    """Return what the outputs say of one sample, JSON values; of the first, in one object."""
    assert sample.given is not None, "an answered sample was given"
    values, given = design.values(logits[None]), sample.given[None]
    found: dict[str, Any] = {}
    for output in design.head:
        answers = output.answers(design.head.part(values, output), given)
        own = {key: array[0].tolist() for key, array in answers.items()}
        if isinstance(output, Classes | Threshold) and output.names:
            own["class"] = output.names[own["label"]]
        own.pop("output", None)  # the logits in real numbers
        found |= own if output.start == 0 and not found else {}
        if not design.head.is_single:
            found[output.name] = own
    return found


def _tell_unlike(design: Design, given: list[np.ndarray], emit: Emit) -> None:
    """Tell where samples are not like those that calibrated the design; none say nothing."""
    unlike = design.unlike_calibration(np.stack(given)) if given else None
    if unlike is not None:
        emit({"status": "unlike", "warning": unlike})


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
