"""Streams of answers as lines of JSON, and boards that vanish meanwhile."""

import io
import json
import os
import re
import threading
import tty
from contextlib import contextmanager

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.hdl.protocol import Command
from signfire.sim import golden
from signfire.tools import cli, console, watch
from signfire.tools.dataset import Dataset
from signfire.tools.host import LinkError, UnreachableError


@pytest.fixture
def design(make_design):
    return make_design(sizes=(12, 6, 4), input_steps=2)


@pytest.fixture
def data(design):
    rng = np.random.default_rng(5)
    x = rng.integers(0, 256, (6, 12))
    return Dataset(path="", x=x, y=golden.run(design, x).labels)


def perceptron_of(x):
    """Return the design of a network that standardises three features."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(4, 3)) / x.std(axis=0)
    return calibrate(two_layers(weights, -weights @ x.mean(axis=0)), x)


def two_layers(weights, bias):
    """Return a network of one hidden layer, of ReLU, of three real features."""
    rng = np.random.default_rng(2)

    def operand(source, matrix, constants):
        projection = Projection(source=source, map=Dense(matrix, (matrix.shape[1],)))
        return (Operand(projections=(projection,), bias=constants),)

    hidden, last = (
        operand("input", weights, bias),
        operand("fc1", rng.normal(size=(2, 4)), np.zeros(2)),
    )
    return Network(
        name="table",
        populations=(
            Population(name="input", shape=(3,), function="input"),
            Population(name="fc1", shape=(4,), function="relu", operands=hidden),
            Population(name="fc2", shape=(2,), function="readout", operands=last),
        ),
    )


class Reached:
    """A board that can be pulled out and plugged in again, watched by a :class:`watch.Reach`."""

    def __init__(self, board, make_port, design, *, tries=3):
        self.board, self.make_port = board, make_port
        self.records: list[dict] = []
        self.absent = self.opened = 0
        self.slept: list[float] = []
        self.reach = watch.Reach(
            self.connect, design, tries=tries, emit=self.records.append, sleep=self.slept.append
        )

    @contextmanager
    def connect(self):
        if self.absent:
            self.absent -= 1
            raise UnreachableError("there is no serial port")
        self.opened += 1
        self.port = self.make_port(self.board)
        yield self.port

    def pull_out(self, *, absent: int) -> None:
        self.port.dead, self.absent = True, absent

    def answers(self) -> list[int]:
        return [r["index"] for r in self.records if "label" in r]

    def events(self) -> list[str]:
        return [r["status"] for r in self.records if "status" in r]


@pytest.fixture
def reached(design, pretended_board, pretended_port):
    return Reached(pretended_board(design), pretended_port, design)


def test_every_answer_is_told_with_its_class_and_the_golden_models(design, data, reached):
    samples = watch.of_data(design, data)

    tally = watch.infer(design, samples, reached.reach, reached.records.append)

    answers = reached.records[1:-1]
    expected = golden.run(design, design.raw_samples(data.x))
    assert expected.logits.tolist() == [a["logits"].tolist() for a in answers]
    assert data.y.tolist() == [a["label"] for a in answers] == [a["expected"] for a in answers]
    assert all(a["equal"] and a["correct"] for a in answers)
    assert all(a["latency_s"] >= 0 and a["first_logit_cycles"] == 77 for a in answers)
    assert ["connected", "done"] == reached.events()
    assert (6, 6, 6, 6) == (tally.samples, tally.equal, tally.correct, tally.labelled)


def test_a_wrong_logit_is_told(design, data, reached):
    whole = reached.board._infer
    reached.board._infer = lambda packed: bytes([whole(packed)[0] ^ 1]) + whole(packed)[1:]

    tally = watch.infer(design, watch.of_data(design, data), reached.reach, lambda record: None)

    assert (6, 0) == (tally.samples, tally.equal)


def test_a_board_that_is_plugged_in_again_goes_on_and_no_sample_counts_twice(design, data, reached):
    def disturb(command, sequence, reply):
        if len(reached.board.samples) == 3 and not reached.slept:
            reached.pull_out(absent=2)  # in the middle of the third answer
        return reply

    reached.board.disturb = disturb

    tally = watch.infer(design, watch.of_data(design, data), reached.reach, reached.records.append)

    assert list(range(6)) == reached.answers()
    assert ["connected", *["lost"] * 3, "connected", "done"] == reached.events()
    assert (6, 6, 1) == (tally.samples, tally.equal, tally.reconnects)
    assert [watch.PAUSE_S] * 3 == reached.slept


def test_a_board_that_does_not_come_back_ends_the_stream(design, data, reached):
    def disturb(command, sequence, reply):
        if len(reached.board.samples) == 3:
            reached.pull_out(absent=100)
        return reply

    reached.board.disturb = disturb

    with pytest.raises(UnreachableError, match="there is no serial port"):
        watch.infer(design, watch.of_data(design, data), reached.reach, reached.records.append)
    assert [0, 1] == reached.answers()
    assert ["connected", *["lost"] * 3, "failed"] == reached.events()


def test_a_board_that_comes_back_with_another_design_is_refused(
    design, data, reached, make_design, pretended_board
):
    def disturb(command, sequence, reply):
        if command == Command.INFER:
            reached.pull_out(absent=0)
            reached.board = pretended_board(make_design(seed=1, sizes=(12, 6, 4), input_steps=2))
        return reply

    reached.board.disturb = disturb

    with pytest.raises(LinkError, match=r"the board runs design .* flash the bitstream"):
        watch.infer(design, watch.of_data(design, data), reached.reach, reached.records.append)
    assert "failed" == reached.events()[-1]


def test_a_missing_port_is_an_error_at_once(design, data, reached):
    reached.absent = 1

    with pytest.raises(UnreachableError):
        watch.infer(design, watch.of_data(design, data), reached.reach, reached.records.append)
    assert not reached.slept


def test_what_was_lost_on_the_line_is_told_with_the_boards_counters(design, data, reached):
    lost = []

    def disturb(command, sequence, reply):
        if len(reached.board.samples) == 2 and not lost:
            lost.append(reply)
            return b""
        return reply

    reached.board.disturb = disturb
    reached.reach.options["clock"] = lambda: reached.port.now

    watch.infer(design, watch.of_data(design, data), reached.reach, reached.records.append)

    (repeated,) = [r for r in reached.records if r.get("status") == "repeated"]
    assert 1 == repeated["index"]
    assert (5, 0) == (repeated["board"]["good"], repeated["board"]["bad"])
    assert list(range(6)) == reached.answers()


def test_an_interrupt_ends_the_stream_with_its_tally(design, data, reached):
    def until_interrupted():
        yield from list(watch.of_data(design, data))[:2]
        raise KeyboardInterrupt

    tally = watch.infer(design, until_interrupted(), reached.reach, reached.records.append)

    assert 2 == tally.samples
    assert {"status": "done", "samples": 2}.items() <= reached.records[-1].items()


def test_samples_are_read_from_lines_of_three_kinds(design):
    raw = [*range(12)]
    lines = [
        json.dumps(raw),
        "",
        json.dumps({"x": [raw[:6], raw[6:]], "y": 3}),
        " ".join(map(str, raw)),
    ]
    lines.append(", ".join(map(str, raw)))

    samples = list(watch.of_lines(design, io.StringIO("\n".join(lines))))

    assert [raw] * 4 == [s.raw.tolist() for s in samples]
    assert [None, 3, None, None] == [s.expected for s in samples]


SAMPLE = b"[" + b"3," * 11 + b"3]"
LINES = {
    "many brackets": (b"[" * 100_000, "this is no sample (it is nested too deeply)"),
    "many braces": (b'{"x":' * 50_000, "this is no sample (it is nested too deeply)"),
    "fewer brackets": (b"[" * 70 + b"1" + b"]" * 70, "a sample must hold numbers"),
    "no JSON": (b"[1, 2", "this is no JSON (Expecting"),
    "no text": (b"[1, \xff\xfe]", "this is no text in UTF-8 (byte 5)"),
    "UTF-16": ("[1, 2]".encode("utf-16"), "this is no text in UTF-8"),
    "zero bytes": (b"\0" * 40, "is no number"),
    "many digits": (b"[" + b"9" * 5000 + b"]", "this is no JSON (Exceeds the limit"),
    "digits": (b"9" * 5000 + b" 1" * 11, "samples must be finite"),
    "a huge number": (b"[1e999]" + b" " * 9, "a sample needs 12 values"),
    "huge numbers": (b"[" + b"1e999," * 11 + b"1]", "samples must be finite"),
    "large whole numbers": (b"[" + b"1" * 30 + b",1" * 11 + b"]", "must hold numbers, not object"),
    "whole numbers too great": (
        b"[" + b"18446744073709551615," * 11 + b"1]",
        "must lie below 2^63",
    ),
    "NaN": (b"[" + b"NaN," * 11 + b"1]", "samples must be finite"),
    "nan": (b"nan " * 12, "samples must be finite"),
    "words": (b'["a"]', "a sample must hold numbers, not <U1"),
    "null": (b"[null]", "a sample must hold numbers, not object"),
    "an object": (b'{"x": {"x": 1}}', "a sample must hold numbers, not object"),
    "an object of nothing": (b"{}", "an object holds a sample as"),
    "rows of two lengths": (b"[[1, 2], [3]]", "numbers in rows of one length"),
    "an empty array": (b"[]", "a sample needs 12 values"),
    "two samples": (SAMPLE + SAMPLE, "this is no JSON (Extra data"),
    "a long word": (b"x" * 9000, f"'{'x' * 59}... is no number"),
    "a long line": (b"1 " * 600_000, "it is longer than 1,049,344 bytes, which is more than 12"),
    "a class from 1": (b'{"x": %s, "y": 4}' % SAMPLE, "a class, 0..3, not 4"),
    "a class of -1": (b'{"x": %s, "y": -1}' % SAMPLE, "a class, 0..3, not -1"),
    "a class of many digits": (
        b'{"x": %s, "y": %s}' % (SAMPLE, b"9" * 100),
        f"not {'9' * 60}...",
    ),
    "a class that is true": (b'{"x": %s, "y": true}' % SAMPLE, "not True"),
    "a class that is a list": (b'{"x": %s, "y": [%s]}' % (SAMPLE, b"0," * 99 + b"0"), "not [0, 0,"),
}


@pytest.mark.parametrize("kind", LINES)
def test_a_line_that_is_no_sample_is_an_error_and_the_stream_goes_on(design, reached, kind):
    line, said = LINES[kind]
    stream = io.BytesIO(b"\n".join([SAMPLE, line, SAMPLE, line]))  # the last has no end
    samples = watch.of_lines(design, watch.lines_of(stream, design))

    tally = watch.infer(design, samples, reached.reach, reached.records.append)

    assert (2, 2) == (tally.samples, tally.errors)
    errors = [r["error"] for r in reached.records if "error" in r]
    assert 2 == len(errors) and all(said in error and len(error) < 200 for error in errors)
    assert errors[0].startswith("line 2: ") and errors[1].startswith("line 4: ")


def test_a_line_without_an_end_is_never_held_whole(design):
    class Endless(io.RawIOBase):
        asked = 0

        def readline(self, size=-1):
            assert 0 < size <= watch.longest_line(design) + 1
            self.asked += 1
            return b"1" * size if self.asked < 1000 else b""

    stream = Endless()
    (sample,) = watch.of_lines(design, watch.lines_of(stream, design))

    assert "line 1: it is longer than" in sample.error and stream.asked > 999


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[1, 2", "this is no JSON"),
        ("[1, 2]", r"a sample needs 12 values \(shape \(12,\)\), not shape \(2,\)"),
        ('{"y": 1}', 'an object holds a sample as "x"'),
        ('{"x": [1], "y": "cat"}', "\"y\" must be a class, a whole number, not 'cat'"),
        ("1 hello 2", "'hello' is no number"),
        (json.dumps(["a"] * 12), "a sample must hold numbers, not <U1"),
        (json.dumps([300] * 12), r"samples must lie in 0\.\.255, not 300\.\.300"),
        ("[NaN, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", "samples must be finite"),
    ],
)
def test_a_line_that_is_no_sample_is_told_and_the_next_is_answered(design, reached, line, why):
    lines = io.StringIO(f"{line}\n{[*range(12)]}\n")

    tally = watch.infer(
        design, watch.of_lines(design, lines), reached.reach, reached.records.append
    )

    refused, answer = reached.records[1:3]
    assert refused["index"] == 0
    assert re.match(f"line 1: {why}", refused["error"])
    assert (1, "label" in answer) == (answer["index"], True)
    assert (1, 1) == (tally.samples, tally.errors)


def test_status_is_told_until_interrupted(reached):
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    watch.tell_status(reached.reach, reached.records.append, every_s=0.5, sleep=sleep)

    assert ["connected", *["board"] * 3] == reached.events()
    assert [2, 3, 4] == [r["good"] for r in reached.records[1:]]
    assert [0.5] * 3 == pauses


# -- the commands, on a pseudo-terminal ------------------------------------------------------------


@contextmanager
def served(board):
    """Serve a board on a pseudo-terminal; what is yielded is its path."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)

    def serve():
        while b"stop" not in (data := os.read(ours, 4096)):
            os.write(ours, board.receive(data))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        os.write(theirs, b"stop")
        thread.join()
        os.close(theirs)
        os.close(ours)


@pytest.fixture
def signfire(capfd):
    """Run a command; return exit status, standard output and standard error."""

    def run(*args: object) -> tuple[int, str, str]:
        status = console.run_program(cli.cli, "signfire", [str(a) for a in args])
        out, err = capfd.readouterr()
        return status, out, err

    return run


@pytest.fixture
def files(tmp_path, design, data):
    design.save(tmp_path / "design.npz")
    np.savez(tmp_path / "data.npz", x=data.x, y=data.y)
    return tmp_path


@pytest.fixture
def port(design, pretended_board):
    with served(pretended_board(design)) as path:
        yield path


def test_infer_reports_on_a_whole_data_set(signfire, files, port):
    status, out, _ = signfire(
        "infer", files / "design.npz", "--port", port, "--data", files / "data.npz", "--json"
    )

    assert {"samples": 6, "equal": 6, "accuracy": 1.0}.items() <= json.loads(out).items()
    assert console.DONE == status


def test_infer_watches_a_data_set(signfire, files, port):
    arguments = ["--data", files / "data.npz", "--samples", 3, "--watch"]

    status, out, _ = signfire("infer", files / "design.npz", "--port", port, *arguments)

    first, *answers, last = map(json.loads, out.splitlines())
    assert "connected" == first["status"]
    assert [0, 1, 2] == [a["index"] for a in answers]
    assert {"samples": 3, "equal": 3, "correct": 3}.items() <= last.items()
    assert console.DONE == status


def test_infer_watches_standard_input(signfire, files, data, port, monkeypatch):
    lines = [json.dumps(x.tolist()) for x in data.x] + ["nonsense"]
    lines = io.BytesIO("\n".join(lines).encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(lines))

    status, out, _ = signfire("infer", files / "design.npz", "--port", port, "--watch")

    records = [json.loads(line) for line in out.splitlines()]
    assert data.y.tolist() == [r["label"] for r in records if "label" in r]
    assert {"index": 6, "error": "line 7: 'nonsense' is no number"} in records
    assert console.USER == status


def test_infer_without_samples_is_refused(signfire, files):
    status, _, err = signfire("infer", files / "design.npz", "--port", "/dev/null")

    expected = "--data is needed, or --watch to read samples from standard input"
    assert f"signfire: {expected} (see signfire infer --help)\n" == err
    assert console.USER == status


def test_a_reader_that_goes_away_ends_the_stream_quietly(files, port, monkeypatch):
    read, write = os.pipe()
    saved = os.dup(1)
    os.dup2(write, 1)
    os.close(write)
    os.close(read)  # as head does once it has its lines
    try:
        arguments = ["infer", files / "design.npz", "--port", port, "--watch"]
        arguments += ["--data", files / "data.npz"]
        status = console.run_program(cli.cli, "signfire", [str(a) for a in arguments])
    finally:
        os.dup2(saved, 1)
        os.close(saved)

    assert console.DONE == status


def test_status_tells_what_a_board_runs_and_whether_it_should(
    signfire, files, design, port, make_design
):
    other = make_design(seed=9, sizes=(12, 6, 4))
    other.save(files / "other.npz")

    status, out, _ = signfire("status", "--port", port, "--design", files / "design.npz", "--json")
    found = json.loads(out)
    assert (console.DONE, True) == (status, found["same_design"])
    assert (design.hash, 2, "none") == (found["design_hash"], found["good"], found["last_error"])

    status, out, _ = signfire("status", "--port", port, "--design", files / "other.npz")
    assert console.DIFFERENCE == status
    assert f"the board runs design {design.hash[:12]}, not {other.hash[:12]} (random9)" in out
    assert "4 good, 0 refused" in out


def test_infer_names_both_designs_where_they_differ(signfire, files, design, port, make_design):
    other = make_design(seed=9, sizes=(12, 6, 4))
    other.save(files / "other.npz")

    status, _, err = signfire(
        "infer", files / "other.npz", "--port", port, "--data", files / "data.npz"
    )

    assert console.USER == status
    assert f"the board runs design {design.hash[:12]} (random0), not {other.hash[:12]}" in err


def test_a_stream_in_other_units_is_told_once(pretended_board, pretended_port):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(60, 3)) * [1e-3, 40, 1] + [0, 300, 0]).astype(np.float32)
    design = perceptron_of(x)
    lines = [json.dumps((1000 * row).tolist()) for row in x]

    for count, expected in ((40, 1), (5, 0), (30, 1)):
        reached = Reached(pretended_board(design), pretended_port, design)
        samples = watch.of_lines(design, lines[:count])
        watch.infer(design, samples, reached.reach, reached.records.append)

        told = [r["warning"] for r in reached.records if r.get("status") == "unlike"]
        assert expected == len(told)
        assert all("3 of 3 features are unlike" in words for words in told)


def test_lines_are_encoded_by_each_features_scale_and_offset():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(60, 3)) * [1e-3, 40, 1] + [0, 300, 0]).astype(np.float32)
    design = perceptron_of(x)

    whole, real = watch.of_lines(design, ["0 300 1", "[0.0, 300.0, 1.0]"])

    assert whole.raw.tolist() == real.raw.tolist()
    assert np.array_equal(real.raw, design.raw_samples(np.array([[0.0, 300.0, 1.0]]))[0])
    assert 0 < real.raw.min() and real.raw.max() < 255
