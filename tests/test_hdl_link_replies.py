"""The link as a whole, before cores that are slow, dead, or die half way: who is answered when."""

import struct
import zlib
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import sliplib
from amaranth.sim import Simulator

import signfire.hdl.link as link_module
from signfire.hdl.link import Link, Status, Watchdog
from signfire.hdl.protocol import (
    ERROR_REPLY,
    HASH_BYTES,
    HASH_OFFSET,
    REPLY,
    STATUS_REPLY,
    Command,
    Error,
)
from signfire.hdl.readout import result_layout
from signfire.hdl.storage import Rom

OUTPUTS, ELEMENTS = 3, 6
TIMEOUT = 512
QUIET = 3 * TIMEOUT  # cycles after which nothing will move any more
RECORD = bytes(range(100, 100 + HASH_OFFSET + HASH_BYTES + 5))
HASH = RECORD[HASH_OFFSET : HASH_OFFSET + HASH_BYTES]


def frame(command: int, sequence: int, payload: bytes = b"") -> bytes:
    body = struct.pack("<BBH", command, sequence, len(payload)) + payload
    return sliplib.encode(body + struct.pack("<I", zlib.crc32(body))) + sliplib.END


def infer(sequence: int, sample: bytes = b"\x12\x34\x56") -> bytes:
    return sliplib.END + frame(Command.INFER, sequence, sample)


def status(sequence: int) -> bytes:
    return sliplib.END + frame(Command.STATUS, sequence)


def logits_of(sample: bytes) -> list[int]:
    codes = [b >> s & 15 for b in sample for s in (0, 4)]
    return [sum((k + 1) * c for k, c in enumerate(codes)) * (-1) ** n - n for n in range(OUTPUTS)]


@dataclass
class ScriptedCore:
    """How a core behaves, sample by sample; the last entry goes on.

    ``latency``: cycles from the last word to the first logit; ``None``: it never answers.
    ``logits``: how many it gives before it dies. ``words``: how many it takes before it dies.
    """

    latency: list[int | None] = field(default_factory=lambda: [7])
    logits: list[int] = field(default_factory=lambda: [OUTPUTS])
    words: list[int] = field(default_factory=lambda: [ELEMENTS])
    samples: list[bytes] = field(default_factory=list)
    started: int = 0
    resets: list[int] = field(default_factory=list)

    def of(self, behaviour: list):
        return behaviour[min(self.started, len(behaviour) - 1)]


def converse(
    core: ScriptedCore, talk: list, *, cycles: int = 6000, stalled: int = 0
) -> list[bytes]:
    """Send bytes (``int`` entries are cycles of silence), return the frames that come back.

    It ends after ``cycles``, or where nothing has moved for a long time. The line takes a byte in
    twelve cycles both ways, and loses what the link does not take; no byte is taken from the link
    in the first ``stalled`` cycles.
    """
    dut = Link(
        elements=ELEMENTS,
        code_bits=4,
        table=None,
        raw_shape=4,
        lanes=1,
        outputs=OUTPUTS,
        result_layout=result_layout(logit_width=12, outputs=OUTPUTS),
        identity=Rom(content=list(RECORD), width=8),
        timeout_cycles=TIMEOUT,
    )
    received = bytearray()
    lost = 0
    moved = stalled  # the cycle in which something did last

    async def line(ctx):
        nonlocal lost, moved
        pending = [b for part in talk for b in ([part] if isinstance(part, int) else [*part])]
        kinds = [
            k for part in talk for k in ([True] if isinstance(part, int) else [False] * len(part))
        ]
        wait, down, offered = 0, stalled, False
        for cycle in range(cycles):
            if pending or offered:
                moved = max(moved, cycle)
            elif cycle > moved + QUIET:
                return
            taken = ctx.get(dut.rx.ready) and offered
            ctx.set(dut.tx.ready, down == 0)
            if down == 0 and ctx.get(dut.tx.valid):
                received.append(ctx.get(dut.tx.payload))
                down, moved = 12, max(moved, cycle)
            await ctx.tick()
            down = max(0, down - 1)
            wait = max(0, wait - 1)
            if taken:
                offered = False
                ctx.set(dut.rx.valid, 0)
            if wait == 0 and pending:
                if kinds.pop(0):
                    wait = pending.pop(0)
                    continue
                lost += offered
                offered, wait = True, 12
                ctx.set(dut.rx.valid, 1)
                ctx.set(dut.rx.payload, pending.pop(0))

    async def run_core(ctx):
        codes: list[int] = []
        answer: list[int] = []
        wait = 0
        for cycle in range(cycles):
            if cycle > moved + QUIET:
                return
            dead = core.latency and core.of(core.latency) is None
            ready = not answer and len(codes) < core.of(core.words)
            ctx.set(dut.samples.ready, ready)
            offers = bool(answer) and wait == 0
            ctx.set(dut.results.valid, offers)
            if offers:
                value = {"logit": answer[0], "label": 2, "last": len(answer) == 1}
                ctx.set(dut.results.payload, value)
            reset = ctx.get(dut.core_reset)
            if offers and ctx.get(dut.results.ready):
                answer.pop(0)
                if len(answer) == OUTPUTS - core.of(core.logits):
                    wait = -1
                if not answer:
                    core.started += 1
            if ready and ctx.get(dut.samples.valid):
                codes.append(int(ctx.get(dut.samples.payload[0])))
                if len(codes) == ELEMENTS:
                    sample = bytes(a | b << 4 for a, b in zip(codes[::2], codes[1::2], strict=True))
                    core.samples.append(sample)
                    answer, codes = logits_of(sample), []
                    wait = -1 if dead else core.of(core.latency)
            wait = wait - 1 if wait > 0 else wait
            if reset:
                core.started += bool(answer or codes) or not core.of(core.words)
                codes, answer = [], []
                core.resets.append(cycle)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(line)
    simulator.add_testbench(run_core)
    simulator.run()
    assert lost == 0, "the test sends faster than the link may be spoken to"
    return [sliplib.decode(f) for f in bytes(received).split(sliplib.END) if f]


def good(frames: list[bytes]) -> list[tuple[int, int, bytes]]:
    """Code, sequence and payload of the frames that are whole."""
    whole = [f for f in frames if len(f) > 4 and struct.pack("<I", zlib.crc32(f[:-4])) == f[-4:]]
    return [(f[0], f[1], f[4:-4]) for f in whole]


def result(sequence: int, sample: bytes = b"\x12\x34\x56", *, cycles: int = 7):
    logits = b"".join(struct.pack("<h", x) for x in logits_of(sample))
    return (Command.INFER | REPLY, sequence, logits + struct.pack("<HI", 2, cycles))


def refusal(sequence: int, error: Error):
    return (ERROR_REPLY, sequence, bytes([error]))


def read_status(reply: tuple[int, int, bytes], sequence: int) -> dict:
    assert (Command.STATUS | REPLY, sequence) == reply[:2]
    names = ("flags", "error", "good", "bad", "lost", "resets", "uptime", "hash")
    return dict(zip(names, struct.unpack(STATUS_REPLY, reply[2]), strict=True))


def test_status_is_answered_while_the_core_computes_and_the_result_follows():
    core = ScriptedCore(latency=[400])
    talk = [infer(5), status(6), 450, status(7)]

    asked, answer, after = good(converse(core, talk, cycles=4000))

    assert result(5, cycles=400) == answer
    assert {"flags": 1, "error": 0, "good": 2, "bad": 0} == {
        k: v for k, v in read_status(asked, 6).items() if k in ("flags", "error", "good", "bad")
    }
    assert (0, HASH) == (read_status(after, 7)["flags"], read_status(after, 7)["hash"])


def test_identity_is_answered_while_the_core_computes():
    core = ScriptedCore(latency=[450])

    replies = good(converse(core, [infer(5), frame(Command.IDENTITY, 6)]))

    assert [(Command.IDENTITY | REPLY, 6, RECORD), result(5, cycles=450)] == replies


def test_a_core_that_never_answers_is_reset_and_the_next_sample_is_answered():
    core = ScriptedCore(latency=[None, 7])
    talk = [infer(5), TIMEOUT + 300, status(6), 800, infer(7)]

    given_up, told, answer = good(converse(core, talk))

    assert refusal(5, Error.TIMEOUT) == given_up
    assert result(7) == answer
    found = read_status(told, 6)
    assert (2, Error.TIMEOUT, 1, 0) == tuple(found[k] for k in ("flags", "error", "resets", "bad"))
    assert 1 == len(core.resets)


def test_status_is_answered_before_the_core_is_given_up():
    core = ScriptedCore(latency=[None])

    told, given_up = good(converse(core, [infer(5), status(6)], cycles=3000))

    assert 1 == read_status(told, 6)["flags"] & 1
    assert refusal(5, Error.TIMEOUT) == given_up


@pytest.mark.parametrize("logits", [1, 2])
def test_a_core_that_dies_within_its_result_has_that_frame_cut_short(logits):
    core = ScriptedCore(logits=[logits, OUTPUTS])

    frames = converse(core, [infer(5), 1800, infer(6), 900, status(7)], cycles=5000)

    cut, answer, told = frames
    assert cut == bytes(result(5)[:2]) + b"\x0c\x00" + result(5)[2][: 2 * logits]
    assert result(6) == good([answer])[0]
    found = read_status(good([told])[0], 7)
    assert (Error.TIMEOUT, 1) == (found["error"], found["resets"])


@pytest.mark.parametrize("words", [0, 1, ELEMENTS - 1])
def test_a_core_that_takes_no_words_is_reset_and_its_frame_refused(words):
    core = ScriptedCore(words=[words, ELEMENTS])
    # The line would lose what is sent behind the byte that the core is stuck in.
    sent = 6 + words // 2
    talk = [infer(5)[:sent], TIMEOUT + 100, infer(5)[sent:], 500, infer(6)]

    replies = good(converse(core, talk))

    assert [refusal(5, Error.TIMEOUT), result(6)] == replies
    assert [b"\x12\x34\x56"] == core.samples


def test_a_core_that_dies_before_the_checksum_came_is_not_waited_for_twice():
    core = ScriptedCore(latency=[None, 7])
    whole = infer(5)
    talk = [whole[:-5], TIMEOUT + 200, whole[-5:], 400, infer(6)]

    replies = good(converse(core, talk, cycles=3000))

    assert [refusal(5, Error.TIMEOUT), result(6)] == replies


def test_another_sample_while_one_is_pending_is_refused_and_leaves_no_trace():
    core = ScriptedCore(latency=[500])
    other = b"\xff\xee\xdd"
    talk = [infer(5), infer(6, other), 1500, infer(7, other)]

    replies = good(converse(core, talk))

    assert [refusal(6, Error.BUSY), result(5, cycles=500), result(7, other, cycles=500)] == replies
    assert [b"\x12\x34\x56", other] == core.samples
    assert not core.resets


def test_another_sample_while_a_result_goes_out_is_refused():
    core = ScriptedCore()

    replies = good(converse(core, [infer(5), infer(6)], stalled=700))

    assert [result(5), refusal(6, Error.BUSY)] == replies


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (status(9)[:-2] + b"\x00\xc0", Error.CHECKSUM),
        (status(9)[:4] + b"\xc0", Error.SHORT),
        (infer(9)[:8] + b"\xc0", Error.SHORT),
        (sliplib.END + frame(0x55, 9), Error.COMMAND),
        (sliplib.END + frame(Command.INFER, 9, b"\x00"), Error.LENGTH),
        (b"\xc0\x41\xdb\x00\xc0", Error.ESCAPE),
        (b"\xc0\xdb\x00\xc0", Error.ESCAPE),
        (b"\xc0\xdb\xc0", Error.ESCAPE),
    ],
)
def test_a_refused_frame_does_not_disturb_the_sample_in_the_core(bad, error):
    core = ScriptedCore(latency=[400])

    refused, answer = good(converse(core, [infer(5), bad], cycles=3000))

    assert (ERROR_REPLY, bytes([error])) == (refused[0], refused[2])
    assert result(5, cycles=400) == answer
    assert not core.resets


@pytest.mark.parametrize("cut", range(1, len(infer(9)) - 1))
def test_after_a_cut_frame_a_good_one_works_at_once_behind_an_end(cut):
    core = ScriptedCore()

    replies = good(converse(core, [infer(9, b"\xaa\xbb\xcc")[:cut], 50, infer(5)], cycles=2500))

    assert result(5) == replies[-1]
    assert [ERROR_REPLY] * (cut > 1) == [code for code, _, _ in replies[:-1]]


@pytest.mark.parametrize("cut", range(2, len(infer(9)) - 1, 3))
def test_without_an_end_the_frame_behind_a_cut_is_refused_and_the_next_works(cut):
    core = ScriptedCore()
    joined = infer(9, b"\xaa\xbb\xcc")[:cut] + infer(4)[1:]

    refused, answer = good(converse(core, [joined, 400, infer(5)[1:]], cycles=3000))

    assert ERROR_REPLY == refused[0]
    assert result(5) == answer


def test_frames_need_no_leading_end():
    replies = good(converse(ScriptedCore(), [infer(5)[1:], 600, status(6)[1:]], cycles=3000))

    assert result(5) == replies[0]
    assert 2 == read_status(replies[1], 6)["good"]


def test_a_timeout_is_rounded_up_and_has_limits():
    assert 1024 == Watchdog(timeout_cycles=513).timeout_cycles
    with pytest.raises(ValueError, match=r"a timeout has 2 to 2\^31 - 1 cycles, not 1"):
        Watchdog(timeout_cycles=1)


def test_silence_is_counted_from_the_last_word_to_the_first_logit(play):
    quiet = dict.fromkeys("offered entered last answered taken final restart".split(), 0)
    word = quiet | {"offered": 1, "entered": 1}
    stimuli = [word, quiet, word, word | {"last": 1}, *[quiet] * 4]
    stimuli += [quiet | {"answered": 1}] * 6 + [quiet | {"answered": 1, "taken": 1, "final": 1}]

    seen = play(Watchdog(timeout_cycles=64), stimuli + [quiet] * 80, ["silence", "expired"])

    assert [5] * 6 == [s["silence"] for s in seen[9:15]]
    assert not any(s["expired"] for s in seen)  # nothing is owed behind the last logit


@pytest.mark.parametrize("name", ["offered", "awaits"])
def test_a_watchdog_expires_once_and_begins_anew(play, name):
    seen = play(Watchdog(timeout_cycles=8), [{name: 1}] * 40, ["expired"])

    at = [cycle for cycle, s in enumerate(seen) if s["expired"]]
    assert {8} == {b - a for a, b in pairwise(at)}
    assert 7 <= at[0] <= 9


def test_uptime_stands_still_while_it_is_told_and_loses_nothing(play, monkeypatch):
    monkeypatch.setattr(link_module, "UPTIME_BITS", 1)  # a unit is two cycles
    pauses = [(700, 90), (1020, 15), (1900, 300)]
    stimuli = [{"told": 0, "telling": 0, "index": 0} for _ in range(2700)]
    for start, length in pauses:
        stimuli[start]["told"] = 1
        for k in range(1, length):
            stimuli[start + k] |= {"telling": 1, "index": 8 + k // 3 % 4}

    seen = play(Status(), stimuli, ["byte"])

    for start, length in pauses:
        read = {i: set() for i in range(4)}
        for k in range(3, length):
            if k % 3 == 2:  # the index has stood for two cycles
                read[k // 3 % 4].add(seen[start + k]["byte"])
        assert {1} == {len(values) for values in read.values()}
        uptime = sum(values.pop() << 8 * i for i, values in read.items())
        assert start / 2 - 3 <= uptime <= start / 2


def test_counters_of_a_byte_stop_at_their_greatest_number(play):
    stimuli = [{"lost": 1, "expired": 1, "index": 6}] * 300 + [{"index": 6}, {"index": 7}, {}]

    seen = play(Status(), stimuli, ["byte", "alarm"])

    assert [255, 255] == [s["byte"] for s in seen[-2:]]
    assert 1 == seen[-1]["alarm"]


def test_an_alarm_lasts_until_it_is_told():
    quiet = status(1)
    spoilt = status(2)[:-3] + b"\x00\xc0"
    talk = [spoilt, 400, quiet, 900, quiet]

    _, first, second = good(converse(ScriptedCore(), talk, cycles=4000))

    assert 2 == read_status(first, 1)["flags"]
    assert 0 == read_status(second, 1)["flags"]
