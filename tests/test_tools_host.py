"""The host driver against the RTL of the link in Amaranth's simulator, byte by byte."""

import random

import numpy as np
import pytest
import serial
from amaranth.sim import Simulator

from signfire.gen.core.core import core_timing
from signfire.gen.design.linkformat import SampleFormat, identity_of
from signfire.gen.layers.cycles import predict
from signfire.hdl.link import Link
from signfire.hdl.protocol import VERSION, Command, Error
from signfire.hdl.readout import result_layout
from signfire.hdl.storage import Rom
from signfire.sim import golden
from signfire.sim.specimens.chains import random_design
from signfire.tools.host import Board, LinkError, decode_frame, encode_frame, open_port

LOGIT_BITS = 20
LATENCY = 7  # cycles of the core below, from its last word to its first logit
CYCLES_PER_BYTE = 10  # the link takes one in nine
CLOCK_HZ = 1_000_000
TIMEOUT_S = 0.0004  # of simulated time: 40 bytes


def logits_of(raw, outputs: int) -> list[int]:
    """Logits that no other sample is likely to give, of both signs."""
    return [
        (-1) ** k * sum((k + 1 + i) * int(p) for i, p in enumerate(raw)) - 100 * k
        for k in range(outputs)
    ]


class SimulatedPort:
    """A serial port at whose other end a :class:`Link` runs while somebody reads."""

    def __init__(self, design, *, lanes=2, stalls=0.0, version=VERSION):
        self.timeout, self.baudrate = TIMEOUT_S, 10 * CLOCK_HZ // CYCLES_PER_BYTE
        self.form = SampleFormat.of(design)
        self.lanes, self.outputs = lanes, design.readout.size
        identity = identity_of(
            design, link_version=version, lanes=lanes, logit_bits=LOGIT_BITS, clock_hz=CLOCK_HZ
        )
        form = design.input_format
        self.link = Link(
            elements=self.form.elements,
            code_bits=self.form.code_bits,
            table=self.form.table,
            raw_shape=range(min(form.low, 0), form.high + 1),
            lanes=lanes,
            outputs=self.outputs,
            result_layout=result_layout(logit_width=LOGIT_BITS, outputs=self.outputs),
            identity=Rom(content=list(identity.to_bytes()), width=8),
        )
        self.to_board: list[int] = []
        self.from_board = bytearray()
        self.mangle_up = self.mangle_down = lambda data: data
        self.cycle = self.resets = 0
        self.stalls, self.random = stalls, random.Random(1)
        self.samples: list[list[int]] = []
        self.simulator = Simulator(self.link)
        self.simulator.add_clock(1 / CLOCK_HZ)
        self.simulator.add_testbench(self._line)
        self.simulator.add_testbench(self._core)

    @property
    def in_waiting(self) -> int:
        return len(self.from_board)

    def write(self, data: bytes) -> int:
        self.to_board += self.mangle_up(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits: bytes travel while somebody reads."""

    def read(self, size: int = 1) -> bytes:
        end = self.cycle + int(self.timeout * CLOCK_HZ)
        while not self.from_board and (self.cycle < end or self.to_board):
            self.simulator.advance()
        data, self.from_board = self.from_board[:size], self.from_board[size:]
        return self.mangle_down(bytes(data))

    def clock(self) -> float:
        return self.cycle / CLOCK_HZ

    async def _line(self, ctx):
        """Carry bytes both ways, each way one in CYCLES_PER_BYTE cycles at the most."""
        rx, tx, reset = self.link.rx, self.link.tx, self.link.core_reset
        offers, down = False, 0
        ctx.set(tx.ready, 1)
        async for _, _, taken, offered, byte, is_reset in ctx.tick().sample(
            rx.ready, tx.valid, tx.payload, reset
        ):
            if offers and taken:
                offers = False
                ctx.set(rx.valid, 0)
            if down:
                down -= 1
                ctx.set(tx.ready, down == 0)
            elif offered:
                self.from_board.append(byte)
                down = CYCLES_PER_BYTE
                ctx.set(tx.ready, 0)
            self.resets += is_reset
            self.cycle += 1
            if not offers and self.to_board and self.cycle % CYCLES_PER_BYTE == 0:
                offers = True
                ctx.set(rx.valid, 1)
                ctx.set(rx.payload, self.to_board.pop(0))

    async def _core(self, ctx):
        samples, results, reset = self.link.samples, self.link.results, self.link.core_reset
        raw: list[int] = []
        answer: list[dict] = []
        ready, offers, wait = False, False, 0
        # Nothing is set to what it is already, which would cost as much as the rest of a cycle.
        async for _, _, valid, word, taken, is_reset in ctx.tick().sample(
            samples.valid, samples.payload, results.ready, reset
        ):
            wait = max(0, wait - 1)
            if offers and taken:
                answer.pop(0)
            if ready and valid:
                raw += [word[lane] for lane in range(self.lanes)]
            if is_reset:
                raw, answer = [], []
            if len(raw) == self.form.elements:
                self.samples.append(raw)
                answer, raw, wait = self._answer(raw), [], LATENCY - 1
            was_ready, ready = ready, not answer and self.random.random() >= self.stalls
            if ready != was_ready:
                ctx.set(samples.ready, ready)
            shown, offers = offers and not taken, bool(answer) and wait == 0
            if offers and not shown:
                ctx.set(results.payload, answer[0])
            if offers != shown or taken:
                ctx.set(results.valid, offers)

    def _answer(self, raw: list[int]) -> list[dict]:
        logits = logits_of(raw, self.outputs)
        label = int(np.argmax(logits))
        return [
            {"logit": x, "label": label, "last": k == self.outputs - 1}
            for k, x in enumerate(logits)
        ]


def connect(design, **options) -> tuple[SimulatedPort, Board]:
    port = SimulatedPort(design, **options)
    return port, Board(port, timeout_s=TIMEOUT_S, clock=port.clock)


@pytest.fixture(scope="module")
def design():
    return random_design(sizes=(14, 6, 5), input_steps=2)


def some_samples(design, count: int, seed: int = 0) -> np.ndarray:
    form = design.input_format
    rng = np.random.default_rng(seed)
    return rng.integers(form.low, form.high + 1, (count, design.input.size))


def expected_logits(port: SimulatedPort, x: np.ndarray) -> list[list[int]]:
    sent = port.form.unpack(port.form.pack(x))
    return [logits_of(raw, port.outputs) for raw in sent]


@pytest.mark.parametrize(
    ("options", "lanes", "stalls"),
    [
        ({"sizes": (14, 6, 5), "input_steps": 2}, 2, 0.0),
        ({"sizes": (14, 6, 5), "input_steps": 3}, 7, 0.5),
        ({"sizes": (9, 6, 5), "input_range": (-128, 127), "input_steps": 2}, 3, 0.9),
        ({"sizes": (9, 6, 1), "input_range": (-3, 4), "input_steps": 8}, 1, 0.0),
        ({"sizes": (5, 6, 5), "input_range": (0, 255), "input_steps": 8}, 5, 0.5),
    ],
)
def test_samples_come_back_as_the_logits_of_the_core(options, lanes, stalls):
    design = random_design(**options)
    port, board = connect(design, lanes=lanes, stalls=stalls)
    x = some_samples(design, 3)
    done = []

    results = list(board.infer(design, x, progress=done.append))

    assert expected_logits(port, x) == [list(r.logits) for r in results]
    assert [int(np.argmax(r.logits)) for r in results] == [r.label for r in results]
    assert [LATENCY] * 3 == [r.first_logit_cycles for r in results]
    assert [1, 2, 3] == done


def test_identity_is_that_of_the_design(design):
    _, board = connect(design)

    identity = board.identify()

    assert design.hash == identity.design_hash
    assert (14, 8, 2, 5) == (
        identity.elements,
        identity.raw_bits,
        identity.code_bits,
        identity.outputs,
    )
    assert "random0" == identity.name


def test_another_design_is_refused_with_both_hashes(design):
    other = random_design(sizes=(14, 6, 5), input_steps=2, seed=9)
    port, board = connect(other)

    with pytest.raises(LinkError) as refusal:
        next(board.infer(design, some_samples(design, 1)))

    assert (
        f"the board runs design {other.hash[:12]} (random9), not {design.hash[:12]} (random0): "
        f"flash the bitstream of this design, or name the design that the board runs"
    ) == str(refusal.value)
    assert not port.samples


def test_another_version_of_the_link_is_refused(design):
    _, board = connect(design, version=VERSION + 1)

    with pytest.raises(LinkError, match=f"has version {VERSION + 1}, this signfire speaks"):
        board.identify()


def corrupt_every(n: int):
    """Return a line that flips a bit of each ``n``-th byte."""
    count = 0

    def mangle(data: bytes) -> bytes:
        nonlocal count
        mangled = bytearray(data)
        for i in range(len(mangled)):
            count += 1
            if count % n == 0:
                mangled[i] ^= 1 << count % 8
        return bytes(mangled)

    return mangle


@pytest.mark.parametrize("direction", ["mangle_up", "mangle_down"])
def test_bit_errors_on_the_line_cost_retries_and_no_wrong_answer(design, direction):
    port, board = connect(design)
    board.identify()
    board.retries = 20
    board.identify = lambda: board.identity
    x = some_samples(design, 6)
    setattr(port, direction, corrupt_every(61))

    results = list(board.infer(design, x))

    assert expected_logits(port, x) == [list(r.logits) for r in results]
    assert len(port.samples) > len(x) or port.resets  # the line did spoil something


def test_a_cut_frame_is_followed_by_a_good_one(design):
    port, board = connect(design)
    x = some_samples(design, 1)
    frame = encode_frame(Command.INFER, 3, port.form.pack(x)[0].tobytes())
    board.identify()
    for cut in (2, 4, 6, 8, len(frame) - 2):
        port.write(frame[:cut])

        (result,) = board.infer(design, x)

        assert expected_logits(port, x) == [list(result.logits)]


def test_status_counts_good_and_bad_frames_and_clears_its_alarm(design):
    port, board = connect(design)
    board.identify()
    port.write(encode_frame(Command.STATUS, 1)[:-3] + b"\x00\xc0")
    port.write(encode_frame(0x55, 2))
    port.read(1000)
    board.resynchronise()

    first, second = board.status(), board.status()

    assert (Error.COMMAND, 2) == (first.last_error, first.bad)
    assert (True, False) == (first.alarm, second.alarm)
    assert first.good + 1 == second.good
    assert (0, 0, design.hash) == (first.lost, first.resets, first.design_hash)
    assert not first.busy


def test_a_late_reply_is_not_taken_for_another(design):
    port, board = connect(design)
    x = some_samples(design, 2)
    board.identify()
    stale = encode_frame(Command.INFER + 0x80, board._sequence, bytes(21))
    port.from_board += stale

    results = list(board.infer(design, x))

    assert expected_logits(port, x) == [list(r.logits) for r in results]


def test_a_dead_board_is_reported_after_the_retries(design):
    port, board = connect(design)
    port.mangle_up = lambda data: b""

    with pytest.raises(
        LinkError, match=r"did not answer identity in 4 attempts of 0\.0065 s, the last: no reply"
    ):
        board.identify()


def test_garbage_before_the_first_request_does_no_harm(design):
    port, board = connect(design)
    port.from_board += b"hello\xc0\xdb\xdb\xc0\x00"
    port.write(bytes(range(256)))

    assert design.hash == board.identify().design_hash


def test_missing_port_lists_the_ports_found(monkeypatch):
    monkeypatch.setattr("signfire.tools.host.list_ports", lambda: ["/dev/ttyA", "/dev/ttyB"])

    with pytest.raises(LinkError) as refusal:
        open_port("/dev/no-such-port", 1_000_000)

    expected = "there is no serial port /dev/no-such-port; ports found: /dev/ttyA, /dev/ttyB"
    assert expected == str(refusal.value)


def test_missing_permission_names_the_group(monkeypatch):
    def refuse(*args, **kwargs):
        raise serial.SerialException(13, "could not open port")

    monkeypatch.setattr("serial.serial_for_url", refuse)

    with pytest.raises(LinkError, match=r"may not be opened by this user .* dialout"):
        open_port("/dev/ttyUSB0", 1_000_000)


@pytest.mark.parametrize("payload", [b"", b"\xc0\xdb\xdc\xdd", bytes(300)])
def test_frames_survive_their_encoding(payload):
    frame = encode_frame(3, 7, payload)

    assert 2 == frame.count(b"\xc0")
    assert (3, 7, payload) == decode_frame(
        frame[1:-1].replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
    )


def test_a_frame_with_any_bit_flipped_is_not_decoded():
    good = encode_frame(3, 7, b"AB")[1:-1]
    for bit in range(8 * len(good)):
        frame = bytearray(good)
        frame[bit // 8] ^= 1 << bit % 8
        assert decode_frame(bytes(frame)) is None


# -- the whole board, over a real pseudo-terminal ----------------------------------------------


@pytest.fixture
def simulated_board(small_bench):
    """Return a design, its simulated board, and the host's side of the line to it."""
    design, bench = small_bench
    with bench.powered() as simulated, open_port(simulated.path, 1_000_000) as port:
        yield design, simulated, Board(port, timeout_s=10.0)


def test_a_board_on_a_terminal_answers_as_the_golden_model_does(simulated_board, small_bench):
    design, _, board = simulated_board
    x = some_samples(design, 8)
    expected = golden.run(design, x)
    timing = core_timing(design, "ice40-up")
    cycles = predict(timing, 1, gaps=[1000] * timing.input_words).answer()

    results = list(board.infer(design, x))

    assert expected.logits.tolist() == [list(r.logits) for r in results]
    assert expected.labels.tolist() == [r.label for r in results]
    assert [cycles] * 8 == [r.first_logit_cycles for r in results]
    assert round(small_bench[1].model.core_hz) == board.identity.clock_hz


def test_a_board_on_a_terminal_answers_the_frame_after_one_that_was_cut(simulated_board):
    design, _, board = simulated_board
    x = some_samples(design, 1)
    frame = encode_frame(Command.INFER, 3, SampleFormat.of(design).pack(x)[0].tobytes())
    board.identify()
    for cut in (3, 6, len(frame) - 2):
        board.port.write(frame[:cut])

        (result,) = board.infer(design, x)

        assert golden.run(design, x).logits[0].tolist() == list(result.logits)


def test_status_of_a_board_on_a_terminal_counts_its_frames_and_its_simulated_time(simulated_board):
    design, simulated, board = simulated_board
    list(board.infer(design, some_samples(design, 3)))
    board.port.write(encode_frame(0x55, 2))
    board.resynchronise()

    first, second = board.status(), board.status()

    assert (Error.COMMAND, 1) == (first.last_error, first.bad)
    assert (True, False) == (first.alarm, second.alarm)
    assert first.good + 1 == second.good
    # Uptime comes in steps of 2^16 cycles of the core, 1.65 ms.
    assert 0 <= simulated.state().seconds - second.uptime_s < 0.004


def test_a_board_on_a_terminal_that_runs_another_design_is_refused(simulated_board):
    _, _, board = simulated_board
    other = random_design(sizes=(14, 6, 5), input_steps=2, seed=9)

    with pytest.raises(LinkError, match=f"the board runs design .* not {other.hash[:12]}"):
        board.expect(other)
