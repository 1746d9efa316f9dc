"""One signfire at a time in a folder, and no trace of those that died."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from signfire.tools import cli, console
from signfire.tools.claim import LOCK, claim, claim_file, claiming

HOLD = """
import sys, time
from signfire.tools.claim import claim, claim_file
with (claim_file if sys.argv[2] == "file" else claim)(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder():
    """Let another process hold a folder or a file; ended with the test."""
    started = []

    def hold(place: Path, kind: str = "folder") -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(place), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert "held\n" == process.stdout.readline()
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def refusal(place: Path, process: subprocess.Popen) -> str:
    return (
        rf"{re.escape(str(place))} is in use by another signfire: process {process.pid} on \S+, "
        rf"signfire .*, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d \(wait for it, or write somewhere "
        rf"else with -o\)"
    )


def test_a_folder_that_another_process_holds_is_refused_with_who_holds_it(tmp_path, holder) -> None:
    other = holder(tmp_path / "out")

    with pytest.raises(ValueError, match=f"^{refusal(tmp_path / 'out', other)}$"):
        with claim(tmp_path / "out"):
            raise AssertionError("held by two")


def test_what_ended_holds_nothing_and_leaves_nothing(tmp_path, holder) -> None:
    other = holder(tmp_path)
    other.communicate("\n")

    assert [] == list(tmp_path.iterdir())
    with claim(tmp_path):
        assert os.getpid() == json.loads((tmp_path / LOCK).read_text())["process"]
    assert [] == list(tmp_path.iterdir())


def test_a_lock_of_a_process_that_was_killed_does_not_block(tmp_path, holder) -> None:
    other = holder(tmp_path)
    other.send_signal(signal.SIGKILL)
    other.wait()

    assert (tmp_path / LOCK).exists()
    with claim(tmp_path):
        pass
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "{}", "[" * 100, "\0\xff", '{"process": 1}'])
def test_a_lock_file_of_nobody_does_not_block_whatever_it_says(tmp_path, content) -> None:
    (tmp_path / LOCK).write_text(content)

    with claim(tmp_path):
        pass


def test_who_writes_briefly_waits_for_the_other(tmp_path, holder) -> None:
    other = holder(tmp_path)
    with pytest.raises(ValueError, match="is in use by another signfire"):
        with claim(tmp_path, wait_s=0.2):
            raise AssertionError("held by two")

    other.stdin.write("\n")
    other.stdin.flush()
    with claim(tmp_path, wait_s=20):
        other.wait()


def test_a_process_may_claim_what_it_holds_and_holds_it_to_the_end(tmp_path) -> None:
    @claiming("folder")
    def inner(number, folder=tmp_path) -> int:
        assert (tmp_path / LOCK).exists()
        return number

    with claim(tmp_path):
        assert 3 == inner(3) == inner(number=3, folder=str(tmp_path))
        assert (tmp_path / LOCK).exists()
    assert 4 == inner(4)
    assert not (tmp_path / LOCK).exists()


def test_of_many_processes_one_holds_at_a_time(tmp_path) -> None:
    program = """
import sys
from pathlib import Path
from signfire.tools.claim import claim
folder = Path(sys.argv[1])
for _ in range(40):
    with claim(folder, wait_s=60):
        (folder / "mine").mkdir()
        (folder / "mine").rmdir()
"""
    processes = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(4)]

    assert [0] * 4 == [process.wait(timeout=120) for process in processes]
    assert [] == list(tmp_path.iterdir())


def test_a_file_is_held_beside_it(tmp_path, holder) -> None:
    record = tmp_path / "sub" / "d.tune.jsonl"
    other = holder(record, "file")

    with claim(tmp_path / "sub"):
        with pytest.raises(ValueError, match=f"^{refusal(record, other)}$"), claim_file(record):
            raise AssertionError("held by two")


COMMANDS = {
    "simulate": ["d.npz", "--data", "data.npz", "-o", "out"],
    "simulate --bulk": ["d.npz", "--data", "data.npz", "-o", "out"],
    "simulate --netlist": ["d.npz", "--data", "data.npz", "--board", "icebreaker", "-o", "out"],
    "report": ["d.npz", "--data", "data.npz", "-o", "out"],
    "build": ["d.npz", "--board", "icebreaker", "-o", "out"],
    "faults": ["d.npz", "--data", "data.npz", "-o", "out"],
    "board-sim": ["d.npz", "--board", "icebreaker", "-o", "out"],
    "demo": ["-o", "out"],
}


def test_every_command_that_writes_into_a_folder_says_who_holds_it(
    tmp_path, holder, monkeypatch, capfd, make_design
) -> None:
    monkeypatch.chdir(tmp_path)
    make_design(sizes=(12, 8, 4)).save("d.npz")
    rng = np.random.default_rng(1)
    np.savez("data.npz", x=rng.integers(0, 256, (20, 12), dtype=np.uint8), y=rng.integers(0, 4, 20))
    other = holder(tmp_path / "out")
    before = sorted((tmp_path / "out").iterdir())

    for command, options in COMMANDS.items():
        capfd.readouterr()
        start = time.monotonic()
        status = console.run_program(cli.cli, "signfire", [*command.split(), *options, "--json"])
        answer = json.loads(capfd.readouterr().out)

        assert console.USER == status, (command, answer)
        assert re.fullmatch(refusal(Path("out"), other), answer["error"]), command
        assert time.monotonic() - start < 60
        assert before == sorted((tmp_path / "out").iterdir()), command
