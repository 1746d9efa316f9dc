"""A simulated board: what it promises of time, and how it is served and left."""

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time

import pytest

from signfire.boards.accelerator import Accelerator
from signfire.boards.board_model import board_model
from signfire.boards.boards import find_board
from signfire.gen.design.folding import Folding
from signfire.hdl.protocol import Command
from signfire.sim.board import compiled, powered
from signfire.tools import board_sim
from signfire.tools.board_sim import clock_setting, linked
from signfire.tools.host import encode_frame

ONE = Folding(pe=1, simd=2, unroll=1)
BYTE_CYCLES = 120  # ten bits at 12 MHz and 1 Mbaud
IDENTITY = encode_frame(Command.IDENTITY, 1)


class Host:
    """A program at the other end that knows nothing but bytes."""

    def __init__(self, board):
        self.file = os.open(board.path, os.O_RDWR | os.O_NOCTTY)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.file)

    def write(self, data: bytes) -> None:
        assert os.write(self.file, data) == len(data)

    def read_frame(self, pause: float = 0.0) -> bytes:
        """Read to the second END, byte by byte."""
        got = b""
        while got.count(b"\xc0") < 2:
            ready, _, _ = select.select([self.file], [], [], 30)
            assert ready, f"no more than {got!r} came"
            got += os.read(self.file, 1)
            time.sleep(pause)
        return got


def settled(board):
    """Return the state once time stands still."""
    before = board.state()
    while True:
        time.sleep(0.05)
        now = board.state()
        if now.cycle == before.cycle:
            return now
        before = now


def conversation(bench, pause: float = 0.0, **options):
    """Ask thrice; return the cycles in which bytes began, and cycle and value of the replies'."""
    requests = [IDENTITY, encode_frame(Command.STATUS, 2), encode_frame(0x55, 3)]
    with bench.powered(trace=True, **options) as board, Host(board) as host:
        for request in requests:
            time.sleep(3 * pause)
            host.write(request)
            host.read_frame(pause)
        settled(board)
        return board.traced()


def test_a_slow_host_sees_the_same_bytes_after_the_same_cycles(small_bench) -> None:
    _, bench = small_bench

    assert conversation(bench) == conversation(bench, pause=0.005)


def test_edges_that_are_left_out_change_no_cycle_of_any_byte(small_bench) -> None:
    _, bench = small_bench

    assert conversation(bench) == conversation(bench, skip=False)


def test_most_edges_are_left_out_while_nothing_goes_on(small_bench) -> None:
    _, bench = small_bench
    with bench.powered() as board, Host(board) as host:
        host.write(IDENTITY)
        host.read_frame()
        state = settled(board)

    assert state.skipped_edges > 0.9 * state.core_edges > 0


@pytest.mark.parametrize("name", ["icesugar-nano", "ulx3s-25f", "tang-nano-9k"])
def test_a_clock_of_its_own_for_what_rests_changes_no_cycle(name, make_design, tmp_path) -> None:
    board = find_board(name)
    design = make_design(sizes=(4, 2, 2), steps=2, folding={"fc1": ONE, "fc2": ONE})
    setting = clock_setting(board)
    talks = []
    for gated in (True, False):
        application = Accelerator(design, board)
        model = board_model(application, board, setting=setting, gated=gated)
        program = compiled(model.verilog, tmp_path, quick=True)
        options = {"input_hz": model.input_hz, "baud": model.baud, "trace": True}
        with powered(program, **options) as simulated, Host(simulated) as host:
            host.write(IDENTITY)
            host.read_frame()
            state = settled(simulated)
            talks.append(simulated.traced())
        assert (state.skipped_edges > 0) is gated

    assert talks[0] == talks[1]
    assert len(talks[0][1]) > 50


def test_bytes_that_are_written_at_once_are_on_the_line_without_a_gap(small_bench) -> None:
    _, bench = small_bench
    with bench.powered(trace=True) as board, Host(board) as host:
        host.write(bytes(300))
        settled(board)
        began, _ = board.traced()

    assert [b - a for a, b in itertools.pairwise(began)] == [BYTE_CYCLES] * 299


def test_time_stands_still_and_costs_nothing_while_nobody_writes(small_bench) -> None:
    _, bench = small_bench
    with bench.powered() as board, Host(board) as host:
        host.write(IDENTITY)
        host.read_frame()
        before = settled(board)
        time.sleep(0.5)
        after = board.state()

    assert before.cycle == after.cycle
    assert after.cpu_s - before.cpu_s < 0.05


def test_every_burst_begins_where_both_clocks_rise_together(small_bench) -> None:
    _, bench = small_bench
    ratio = bench.model.core_hz / bench.model.input_hz
    with bench.powered(trace=True) as board, Host(board) as host:
        for _ in range(5):
            host.write(b"\xc0")
            settled(board)
        began, _ = board.traced()

    assert ratio.denominator > 1
    assert {cycle % ratio.denominator for cycle in began} == {0}
    assert len(began) == 5


def test_the_second_led_shows_a_refused_frame_until_the_status_is_read(small_bench) -> None:
    _, bench = small_bench
    shown = []
    with bench.powered() as board, Host(board) as host:
        for request in (IDENTITY, encode_frame(0x55, 1), encode_frame(Command.STATUS, 2)):
            host.write(request)
            host.read_frame()
            shown.append(settled(board).lights["alarm"])

    assert shown == [False, True, False]


def test_a_host_at_another_speed_is_told_of_and_not_heard(small_bench) -> None:
    _, bench = small_bench
    with bench.powered() as board, Host(board) as host:
        settings = termios.tcgetattr(host.file)
        settings[4] = settings[5] = termios.B115200
        termios.tcsetattr(host.file, termios.TCSANOW, settings)
        host.write(IDENTITY)
        while not (speeds := board.wrong_speeds()):
            select.select([board], [], [], 10)
        state = board.state()

    assert speeds == [115_200]
    assert (state.received, state.sent) == (0, 0)
    assert board_sim.speed_line(115_200, 1_000_000) == (
        "a program wrote at 115,200 baud, and the board's link has 1,000,000 baud: the board saw "
        "nothing of it (set the program's speed to 1000000)"
    )


def test_a_board_that_is_off_is_an_error_and_no_endless_wait(small_bench) -> None:
    _, bench = small_bench
    with bench.powered() as board:
        board._process.kill()
        board._process.wait()

        with pytest.raises(RuntimeError, match="the simulated board ended by itself, status -9"):
            board.state()


# -- the command -------------------------------------------------------------------------------


def start(small_bench, folder, *options):
    design, bench = small_bench
    design.save(folder / "design.npz")
    command = [sys.executable, "-c", "from signfire.tools.cli import main; main()", "board-sim"]
    command += [folder / "design.npz", "--board", "icebreaker", "--quick"]
    return subprocess.Popen(
        [*map(str, command), "-o", str(bench.program.parent), *map(str, options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_tells_its_port_serves_it_and_leaves_nothing(
    small_bench, tmp_path, number
) -> None:
    link = tmp_path / "board.tty"
    process = start(small_bench, tmp_path, "--link", link, "--json")
    first = json.loads(process.stdout.readline())
    assert os.readlink(link) == first["port"]
    process.stdin.write("\n")
    process.stdin.flush()
    second = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGUSR1)
    third = json.loads(process.stdout.readline())
    process.send_signal(number)
    rest, said = process.communicate(timeout=60)

    assert (process.returncode, rest) == (0, "")
    assert (first["board"], first["baud"], first["link"]) == ("icebreaker", 1_000_000, str(link))
    assert second["lights"] == {"heartbeat": False, "alarm": False}
    assert second["cycle"] == third["cycle"] > 0
    assert "signfire infer" in said
    assert not link.is_symlink()


def test_the_command_prints_the_port_first_and_outlives_its_standard_input(
    small_bench, tmp_path
) -> None:
    process = start(small_bench, tmp_path)
    port = process.stdout.readline().strip()
    process.stdin.close()
    file = os.open(port, os.O_RDWR | os.O_NOCTTY)
    os.write(file, IDENTITY)
    ready, _, _ = select.select([file], [], [], 30)
    os.close(file)
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=60) == 0
    assert ready
    process.stdout.close()
    process.stderr.close()


# -- clocks and links --------------------------------------------------------------------------


def test_the_usual_clock_is_one_that_designs_reach() -> None:
    assert clock_setting(find_board("icebreaker")).clock_hz == 39_750_000
    assert clock_setting(find_board("icebreaker"), frequency=39e6).clock_hz == 39_000_000


@pytest.mark.parametrize("name", ["icesugar-nano", "arty-a7-35"])
def test_a_board_on_its_oscillator_takes_no_frequency(name) -> None:
    board = find_board(name)

    assert clock_setting(board) is None
    with pytest.raises(
        ValueError, match=rf"{name} runs at its oscillator's {board.input_hz / 1e6:g} "
    ):
        clock_setting(board, frequency=20e6)


def test_a_file_in_the_place_of_the_link_is_kept(tmp_path) -> None:
    (tmp_path / "link").write_text("precious")

    with pytest.raises(ValueError, match="exists and is no symbolic link"):
        linked("/dev/pts/99", tmp_path / "link").__enter__()
    assert (tmp_path / "link").read_text() == "precious"


def test_a_link_that_was_left_behind_is_replaced_and_one_of_others_stays(tmp_path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/pts/98")
    with linked("/dev/pts/99", link):
        assert os.readlink(link) == "/dev/pts/99"
        link.unlink()
        link.symlink_to("/dev/pts/100")

    assert os.readlink(link) == "/dev/pts/100"
