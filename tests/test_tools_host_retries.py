"""The host driver where bytes are lost, late, doubled or spoilt: each sample counts once."""

import numpy as np
import pytest

from signfire.gen.design.linkformat import SampleFormat
from signfire.hdl.protocol import ERROR_REPLY, Command, Error
from signfire.sim import golden
from signfire.tools.host import Board, LinkError, UnreachableError, encode_frame


@pytest.fixture
def design(make_design):
    return make_design(sizes=(12, 6, 4), input_steps=2)


@pytest.fixture
def connect(design, pretended_board, pretended_port):
    """Connect a driver to a board whose replies ``disturb`` may change."""

    def connected(disturb=None, **line):
        board = pretended_board(design)
        port = pretended_port(board, **line)
        host = Board(port, timeout_s=0.5, clock=port.clock)
        host.identify()
        if disturb is not None:
            board.disturb = lambda *reply: disturb(port, *reply)
        return host, port, board

    return connected


def some_samples(design, count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, design.input.size))


def check(design, host, x) -> None:
    """Demand one result for each sample, the golden model's, in order."""
    results = list(host.infer(design, x))
    packed = SampleFormat.of(design)
    expected = golden.run(design, packed.unpack(packed.pack(design.raw_samples(x))))
    assert expected.logits.tolist() == [r.logits.tolist() for r in results]
    assert expected.labels.tolist() == [r.label for r in results]


def infers_only(change):
    """Change the n-th reply to INFER, counted from 0, by ``change(n, port, sequence, reply)``."""
    count = -1

    def disturb(port, command, sequence, reply):
        nonlocal count
        if command != Command.INFER:
            return reply
        count += 1
        return change(count, port, sequence, reply)

    return disturb


def test_a_lost_reply_costs_another_attempt_and_counts_once(design, connect):
    host, _, board = connect(infers_only(lambda n, *_: _[-1] if n % 2 else b""))

    check(design, host, some_samples(design, 3))

    assert (6, 3) == (len(board.samples), host.repeats)


def test_a_late_reply_to_an_earlier_attempt_is_used_and_the_second_passed_over(design, connect):
    def late(n, port, sequence, reply):
        if n != 0:
            return reply
        port.later(0.6, reply)  # past the time-out: while the second attempt waits
        return b""

    def slow_second(n, port, sequence, reply):
        if n == 1:
            port.later(0.3, reply)  # it comes while the next sample is asked
            return b""
        return late(n, port, sequence, reply)

    host, _, board = connect(infers_only(slow_second))

    check(design, host, some_samples(design, 4))

    assert (5, 1) == (len(board.samples), host.repeats)


def test_a_reply_that_comes_twice_counts_once(design, connect):
    host, _, _ = connect(infers_only(lambda n, port, sequence, reply: reply + reply))

    check(design, host, some_samples(design, 5))

    assert 0 == host.repeats


def test_a_busy_board_is_given_time_and_the_first_attempts_result_is_used(design, connect):
    def busy(n, port, sequence, reply):
        if n == 0:
            port.later(0.51, reply)
            return b""
        return encode_frame(ERROR_REPLY, sequence, bytes([Error.BUSY])) if n == 1 else reply

    host, _, _ = connect(infers_only(busy))

    check(design, host, some_samples(design, 3))


def test_a_sample_of_an_earlier_program_is_waited_for(design, connect):
    def busy(n, port, sequence, reply):
        return encode_frame(ERROR_REPLY, sequence, bytes([Error.BUSY])) if n < 2 else reply

    host, port, _ = connect(infers_only(busy))

    check(design, host, some_samples(design, 2))

    assert port.now < 0.5  # nobody waited for a time-out


@pytest.mark.parametrize("cut", [8, 12, -2])
def test_a_reply_that_is_cut_short_is_asked_again_at_once(design, connect, cut):
    def shorten(n, port, sequence, reply):
        return reply[:cut] + b"\xc0" if n == 0 else reply

    host, port, _ = connect(infers_only(shorten))
    before = port.now

    check(design, host, some_samples(design, 2))

    assert 1 == host.repeats
    assert port.now - before < 0.5


def test_a_core_that_was_given_up_is_tried_again_and_named_at_last(design, connect):
    def give_up(n, port, sequence, reply):
        return encode_frame(ERROR_REPLY, sequence, bytes([Error.TIMEOUT]))

    host, _, board = connect(infers_only(give_up))

    with pytest.raises(UnreachableError, match="the last: it saw a core that did not answer"):
        check(design, host, some_samples(design, 1))
    assert 4 == len(board.samples)


def test_a_refusal_of_another_request_is_passed_over(design, connect):
    def stale(n, port, sequence, reply):
        return encode_frame(ERROR_REPLY, sequence ^ 0x80, bytes([Error.LENGTH])) + reply

    host, _, _ = connect(infers_only(stale))

    check(design, host, some_samples(design, 3))


def test_a_refusal_that_no_retry_mends_ends_the_request(design, connect):
    def refuse(n, port, sequence, reply):
        return encode_frame(ERROR_REPLY, sequence, bytes([Error.LENGTH]))

    host, _, board = connect(infers_only(refuse))

    with pytest.raises(LinkError, match="the board refuses infer: it saw a payload of the wrong"):
        check(design, host, some_samples(design, 1))
    assert 1 == len(board.samples)


def test_a_slow_line_is_waited_for_as_long_as_it_takes(design, connect):
    host, port, _ = connect(baudrate=300)  # a result is on the line for more than a second

    check(design, host, some_samples(design, 2))

    assert port.now > 3
    assert 0 == host.repeats


def test_a_line_that_never_falls_silent_is_given_up(design, connect):
    def chatter(n, port, sequence, reply):
        for k in range(400):
            port.later(0.05 * k, b"[boot] nothing here\r\n")
        return b""

    host, port, _ = connect(infers_only(chatter))

    with pytest.raises(UnreachableError, match=r"did not answer infer in 4 attempts"):
        check(design, host, some_samples(design, 1))
    assert port.now < 4 * 4 * 0.6 + 1


def test_a_port_that_vanishes_is_an_error_of_its_own(design, connect):
    host, port, _ = connect()
    port.dead = True

    with pytest.raises(UnreachableError, match="the serial port failed: device disconnected"):
        check(design, host, some_samples(design, 1))


def test_what_an_earlier_program_left_on_the_line_is_thrown_away(design, connect, pretended_port):
    _, _, board = connect()
    port = pretended_port(board)
    host = Board(port, timeout_s=0.5, clock=port.clock)
    host._sequence = 41
    for sequence in range(42, 46):  # replies that the earlier program did not wait for
        port.later(0.0, encode_frame(Command.INFER + 0x80, sequence, bytes(22)))

    check(design, host, some_samples(design, 3))
