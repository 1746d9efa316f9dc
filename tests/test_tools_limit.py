"""What ``fold`` says of a folding: times, energy, what limits it and what helps."""

import json

import pytest

from signfire.boards.boards import find_board, list_boards
from signfire.gen.core.core import core_timing
from signfire.gen.design.folding import Folding
from signfire.gen.layers.cycles import first_logit, steady
from signfire.sim.specimens.chains import random_design
from signfire.tools import api, cli, console, tables
from signfire.tools.clock import TYPICAL_HZ, assumed_clock
from signfire.tools.limit import limit_of

BOARD = find_board("icebreaker")
SLOW = {"fc1": Folding(pe=1, simd=1), "fc2": Folding(pe=1, simd=1)}


@pytest.fixture
def signfire(tmp_path, monkeypatch, capfd):
    """Run a command; return status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> tuple[int, str, str]:
        status = console.run_program(cli.cli, "signfire", [str(a) for a in args])
        return status, *capfd.readouterr()

    return run


def test_fold_says_what_its_cycles_are_in_time_and_energy(signfire) -> None:
    random_design(sizes=(64, 32, 10)).save("d.npz")
    words = ["fold", "d.npz", "--board", "icebreaker", "--fold", "fc1:pe=2;fc2:pe=2"]

    _, out, _ = signfire(*words)
    status, record, _ = signfire(*words, "--json")
    found = json.loads(record)

    assert status == 0
    timing = core_timing(api.folded(api.load_design("d.npz"), ("fc1:pe=2", "fc2:pe=2")), "ice40-up")
    latency, interval = steady(timing)
    assert {"latency": latency, "interval": interval, "first_logit": first_logit(timing)} == found[
        "cycles"
    ]
    times = found["times"]
    assert (35e6, True) == (times["clock"]["hz"], times["estimated"])
    assert latency / 35e6 == times["latency_s"] and 35e6 / interval == times["throughput_per_s"]
    assert found["energy"]["energy_low_j"] < found["energy"]["energy_j"]
    text = " ".join(out.split())
    assert f"latency {latency:,} cycles to the class ({first_logit(timing):,} to the first" in text
    assert "at 35.0 MHz (estimated: typical of routed designs on iCE40): latency" in text
    assert "energy, estimated: " in text and found["limit"]["said"] in text


@pytest.mark.parametrize("board", list_boards(), ids=lambda board: board.name)
def test_the_clock_is_the_boards_or_an_estimate(board) -> None:
    found = assumed_clock(board)

    if board.builds_bitstream and board.has_pll:
        assert (TYPICAL_HZ[board.family], False) == (found.hz, found.is_exact)
    elif board.input_hz:
        assert (board.input_hz, True) == (found.hz, found.is_exact)
    else:
        assert found is None


def test_a_board_of_vendor_tools_runs_on_its_oscillator() -> None:
    design = random_design(sizes=(12, 8, 4), folding=SLOW)
    board = next(b for b in list_boards() if not b.builds_bitstream and b.input_hz)

    lines = tables.of_times(api.estimate_on(design, board))

    assert "(the board's oscillator): latency" in lines[0]


def test_what_limits_is_said_alike_by_fold_build_and_compare(signfire) -> None:
    design = random_design(sizes=(64, 32, 10))
    choice = api.choose_fold(design, ("auto", "*:for=throughput"), BOARD)

    told = limit_of(choice.design, BOARD, auto=choice.auto)
    searched = limit_of(choice.design, BOARD)

    assert told == searched and told.interval == told.fastest
    assert told.said.startswith(tables.because(choice.auto))
    assert told.said.endswith(choice.auto.remedy)


def test_a_folding_that_is_slower_than_it_could_be_is_told_what_to_do() -> None:
    design = random_design(sizes=(64, 32, 10), folding=SLOW)

    found = limit_of(design, BOARD)

    fastest = api.choose_fold(design, ("auto", "*:for=throughput"), BOARD).design
    assert found.fastest == steady(core_timing(fastest, "ice40-up"))[1] < found.interval
    assert found.said == (
        f"a faster folding fits, by the estimate: {found.fastest:,} cycles a sample in place of "
        f"{found.interval:,} (--fold auto --for throughput)"
    )


@pytest.mark.parametrize(
    ("sizes", "remedy"), [((12, 8, 4), api.SMALLER), ((784, 128, 10), api.LARGER)]
)
def test_what_would_help_follows_from_what_is_short(sizes, remedy) -> None:
    choice = api.choose_fold(random_design(sizes=sizes, weight_bits=3), ("auto",), "ulx3s-25f")

    assert remedy == choice.auto.remedy
