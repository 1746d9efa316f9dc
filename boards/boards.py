"""The boards that a design can be built for: those of amaranth-boards that have a UART."""

import difflib
import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import Any

import amaranth_boards
from amaranth.build import Attrs, Clock, Pins, PinsN, Platform, Resource, Subsignal
from amaranth.build.res import ResourceError
from amaranth_boards.resources import UARTResource

from .devices import DEVICES, Device

BAUD = 1_000_000
OPEN_TOOLCHAINS = ("IceStorm", "Trellis", "Apicula")
SCK_GOAL = Clock(50e6)  # what place-and-route aims for, and no more
# toolchain -> attributes of a 3.3 V pin; the level is the bank's own on iCE40
_LEVELS = {
    "IceStorm": {"IO_STANDARD": "SB_LVCMOS"},
    "Trellis": {"IO_TYPE": "LVCMOS33"},
    "Apicula": {"IO_TYPE": "LVCMOS33"},
}


@dataclass(frozen=True, kw_only=True)
class SpiPins:
    """Where the SPI peripheral comes out: 3.3 V, and the host's ground beside them.

    Parameters
    ----------
    sck, cs, copi, cipo
        Pins of the connector; cs is low while the host speaks, cipo goes to the host.
    connector
        Name and number in amaranth-boards; None where the pins are those of the package.
    where
        What a user looks for on the board.
    direct_clock
        iCE40: the SCK pin is one that drives a clock net without a way through the fabric.
    """

    sck: str
    cs: str
    copi: str
    cipo: str
    connector: tuple[str, int] | None
    where: str
    direct_clock: bool = False

    def record(self) -> dict[str, str | None]:
        """Return the pins as JSON values, the connector as ``pmod 0``."""
        connector = None if self.connector is None else f"{self.connector[0]} {self.connector[1]}"
        pins = {name: getattr(self, name) for name in ("sck", "cs", "copi", "cipo")}
        return {"connector": connector, **pins, "where": self.where}

    def resource(self, toolchain: str) -> Resource:
        """Return the resource that Top asks for, ``("spi_link", 0)``."""
        clock = Attrs(GLOBAL=True) if self.direct_clock else Attrs()
        return Resource(
            "spi_link",
            0,
            Subsignal("sck", Pins(self.sck, dir="i", conn=self.connector), SCK_GOAL, clock),
            Subsignal("cs", PinsN(self.cs, dir="i", conn=self.connector)),
            Subsignal("copi", Pins(self.copi, dir="i", conn=self.connector)),
            Subsignal("cipo", Pins(self.cipo, dir="o", conn=self.connector)),
            Attrs(**_LEVELS[toolchain]),
        )


def _pmod(number: int, where: str, *, row: int = 1, direct_clock: bool = False) -> SpiPins:
    """Return a row of a Pmod in the order that its standard gives SPI: CS, COPI, CIPO, SCK."""
    cs, copi, cipo, sck = map(str, range(1, 5) if row == 1 else range(7, 11))
    return SpiPins(
        sck=sck,
        cs=cs,
        copi=copi,
        cipo=cipo,
        connector=("pmod", number),
        where=f"{where}, pins {cs} to {sck}",
        direct_clock=direct_clock,
    )


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board.

    Parameters
    ----------
    name
        What the user types.
    title
        What the manufacturer calls it.
    module, platform_class
        Where amaranth-boards defines it.
    toolchain
        The tools that amaranth builds it with (IceStorm, Trellis, Apicula, Vivado, ...).
    part
        Device as the platform states it.
    device
        Capacity, for devices of the open tool chains; else None.
    input_hz
        The oscillator on the board.
    baud
        Speed of the host link, bit/s.
    uart_note
        Where the UART comes out, where it is not the board's own USB serial port.
    uart_pins
        (rx, tx, connector) of a UART that the platform lacks, on a connector; else None.
    spi_pins
        Of an SPI link, where the board has pins to spare for one; else None.
    clock_on_pll_pad
        iCE40: the oscillator enters through the PLL's own pad, so that the PLL has to pass it on.
    has_pll
        Whether the package has a PLL; without one the design runs on the oscillator.
    """

    name: str
    title: str
    module: str
    platform_class: str
    toolchain: str
    part: str
    device: Device | None
    input_hz: int
    baud: int = BAUD
    uart_note: str = ""
    uart_pins: tuple[str, str, tuple[str, int]] | None = None
    spi_pins: SpiPins | None = None
    clock_on_pll_pad: bool = False
    has_pll: bool = True

    @property
    def builds_bitstream(self) -> bool:
        """Whether signfire goes all the way to a bitstream; else it makes a build archive."""
        return self.device is not None

    @property
    def family(self) -> str:
        """``ice40``, ``ecp5`` or ``gowin``; empty for a device of other tools."""
        return "" if self.device is None else self.device.family

    @property
    def open_device(self) -> Device:
        """The device of a board that signfire goes all the way to a bitstream for.

        Raises
        ------
        ValueError
            For a device of other tools, whose capacity is not known.
        """
        if self.device is None:
            raise ValueError(
                f"the capacity of {self.part} on {self.name} is not known: its tools are "
                f"{self.toolchain} (choose a board of iCE40, ECP5 or Gowin)"
            )
        return self.device

    def platform(self) -> Any:  # amaranth-stubs know little of platforms, and no vendor's
        """Return a fresh platform with ``("uart", 0)`` and, where it can, ``("spi_link", 0)``."""
        module = importlib.import_module(f"amaranth_boards.{self.module}")
        platform = getattr(module, self.platform_class)()
        if self.uart_pins is not None:
            rx, tx, connector = self.uart_pins
            attrs = Attrs(IO_TYPE="LVCMOS33")
            platform.add_resources([UARTResource(0, rx=rx, tx=tx, conn=connector, attrs=attrs)])
        if self.spi_pins is not None:
            platform.add_resources([self.spi_pins.resource(self.toolchain)])
        return platform


# class in amaranth-boards -> (name, title); a class that is not listed here is offered under its
# own name in lower case, so that boards added there appear here.
_NAMES = {
    "ICEBreakerPlatform": ("icebreaker", "1BitSquared iCEBreaker"),
    "ICE40HX8KBEVNPlatform": ("ice40-hx8k-b-evn", "Lattice iCE40-HX8K breakout board"),
    "ICEStickPlatform": ("icestick", "Lattice iCEstick"),
    "ICESugarPlatform": ("icesugar", "Muse Lab iCESugar"),
    "ICESugarNanoPlatform": ("icesugar-nano", "Muse Lab iCESugar-nano"),
    "BlackIcePlatform": ("blackice", "myStorm BlackIce"),
    "BlackIceIIPlatform": ("blackice-ii", "myStorm BlackIce II"),
    "NandlandGoPlatform": ("nandland-go", "Nandland Go"),
    "ULX3S_12F_Platform": ("ulx3s-12f", "Radiona ULX3S 12F"),
    "ULX3S_25F_Platform": ("ulx3s-25f", "Radiona ULX3S 25F"),
    "ULX3S_45F_Platform": ("ulx3s-45f", "Radiona ULX3S 45F"),
    "ULX3S_85F_Platform": ("ulx3s-85f", "Radiona ULX3S 85F"),
    "OrangeCrabR0_2_25FPlatform": ("orangecrab-25f", "OrangeCrab r0.2 25F"),
    "OrangeCrabR0_2_85FPlatform": ("orangecrab-85f", "OrangeCrab r0.2 85F"),
    "Colorlight_5A75B_R70Platform": ("colorlight-5a-75b", "Colorlight 5A-75B revision 7.0"),
    "ICESugarProPlatform": ("icesugar-pro", "Muse Lab iCESugar-Pro"),
    "IcepiZero1_3Platform": ("icepi-zero", "Icepi Zero 1.3"),
    "ECP55GEVNPlatform": ("ecp5-5g-evn", "Lattice ECP5-5G evaluation board"),
    "ECPIX545Platform": ("ecpix5-45f", "LambdaConcept ECPIX-5 45F"),
    "ECPIX585Platform": ("ecpix5-85f", "LambdaConcept ECPIX-5 85F"),
    "Supercon19BadgePlatform": ("supercon19-badge", "Hackaday Supercon 2019 badge"),
    "VersaECP5Platform": ("versa-ecp5", "Lattice ECP5 Versa"),
    "VersaECP55GPlatform": ("versa-ecp5-5g", "Lattice ECP5-5G Versa"),
    "TangNano9kPlatform": ("tang-nano-9k", "Sipeed Tang Nano 9K"),
    "TangPrimer20kPlatform": ("tang-primer-20k", "Sipeed Tang Primer 20K, core board"),
    "TangPrimer20kLitePlatform": ("tang-primer-20k-lite", "Sipeed Tang Primer 20K Lite"),
    "TangPrimer20kDockPlatform": ("tang-primer-20k-dock", "Sipeed Tang Primer 20K Dock"),
    "AlchitryPtV2Platform": ("alchitry-pt-v2", "Alchitry Pt V2"),
    "AlchitryPtV2AlphaPlatform": ("alchitry-pt-v2-alpha", "Alchitry Pt V2 Alpha"),
    "AX7325BPlatform": ("alinx-ax7325b", "Alinx AX7325B"),
    "ArtyA7_35Platform": ("arty-a7-35", "Digilent Arty A7-35T"),
    "ArtyA7_100Platform": ("arty-a7-100", "Digilent Arty A7-100T"),
    "ArtyS7_25Platform": ("arty-s7-25", "Digilent Arty S7-25"),
    "ArtyS7_50Platform": ("arty-s7-50", "Digilent Arty S7-50"),
    "AtlysPlatform": ("atlys", "Digilent Atlys"),
    "CmodA7_15Platform": ("cmod-a7-15", "Digilent Cmod A7-15T"),
    "CmodA7_35Platform": ("cmod-a7-35", "Digilent Cmod A7-35T"),
    "CmodS7_Platform": ("cmod-s7", "Digilent Cmod S7"),
    "EBAZ4205Platform": ("ebaz4205", "EBAZ4205"),
    "Genesys2Platform": ("genesys2", "Digilent Genesys 2"),
    "KC705Platform": ("kc705", "Xilinx KC705"),
    "Nexys4DDRPlatform": ("nexys4-ddr", "Digilent Nexys 4 DDR"),
    "DE0Platform": ("de0", "Terasic DE0"),
    "DE10LitePlatform": ("de10-lite", "Terasic DE10-Lite"),
    "DE10NanoPlatform": ("de10-nano", "Terasic DE10-Nano"),
    "MiSTPlatform": ("mist", "MiST"),
    "MisterPlatform": ("mister", "MiSTer"),
    "RZEasyFPGAA2_2Platform": ("rz-easyfpga", "RZ-EasyFPGA A2.2"),
    "MachXO3LSKPlatform": ("machxo3l-sk", "Lattice MachXO3L starter kit"),
    "MachXO3LFSKPlatform": ("machxo3lf-sk", "Lattice MachXO3LF starter kit"),
    "StepMXO2Platform": ("step-mxo2", "STEP-MXO2"),
}
# amaranth 0.5.10 drives this one's clock twice, so that nothing elaborates for it.
_BROKEN = {"QuickfeatherPlatform"}
_ULX3S_SPI = SpiPins(
    sck="0+",
    cs="1+",
    copi="2+",
    cipo="3+",
    connector=("gpio", 0),
    where="header J1: sck GP0, cs GP1, copi GP2, cipo GP3",
)
_ORANGECRAB = {
    "uart_pins": ("0", "1", ("io", 0)),
    "uart_note": "3.3 V serial adapter on the header: rx on pin 0, tx on pin 1, and ground",
    "spi_pins": SpiPins(
        sck="sck",
        cs="10",
        copi="copi",
        cipo="cipo",
        connector=("io", 0),
        where="header: SCK, MOSI (copi), MISO (cipo), and 10 for cs",
    ),
}
# What the platform classes do not say.
_EXTRA: dict[str, dict] = {
    "icebreaker": {
        "clock_on_pll_pad": True,
        "spi_pins": _pmod(0, "PMOD1A, lower row", row=2, direct_clock=True),
    },
    "icesugar": {
        "clock_on_pll_pad": True,
        "spi_pins": _pmod(1, "PMOD2, upper row", direct_clock=True),
    },
    "icesugar-nano": {
        "has_pll": False,  # the 36-ball package has no PLL supply
        "spi_pins": _pmod(2, "PMOD3, upper row"),
    },
    "nandland-go": {
        "has_pll": False,  # nor has the 100-pin package
        "spi_pins": _pmod(0, "PMOD, upper row"),
    },
    "icestick": {"spi_pins": _pmod(0, "PMOD J2, upper row")},
    "ice40-hx8k-b-evn": {
        "spi_pins": SpiPins(
            sck="10",
            cs="4",
            copi="5",
            cipo="6",
            connector=("j", 2),
            where="header J2: sck pin 10 (M15), cs 4 (R15), copi 5 (P16), cipo 6 (P15)",
        )
    },
    "blackice": {"spi_pins": _pmod(2, "PMOD5/6, upper row")},
    "blackice-ii": {"spi_pins": _pmod(2, "PMOD5/6, upper row")},
    "ulx3s-12f": {"spi_pins": _ULX3S_SPI},
    "ulx3s-25f": {"spi_pins": _ULX3S_SPI},
    "ulx3s-45f": {"spi_pins": _ULX3S_SPI},
    "ulx3s-85f": {"spi_pins": _ULX3S_SPI},
    "orangecrab-25f": _ORANGECRAB,
    "orangecrab-85f": _ORANGECRAB,
    "icepi-zero": {
        "spi_pins": SpiPins(
            sck="11",
            cs="8",
            copi="10",
            cipo="9",
            connector=("gpio", 0),
            where="GPIO header, as SPI0 of a Raspberry Pi: GPIO11, GPIO8, GPIO10, GPIO9",
        )
    },
    "ecpix5-45f": {"spi_pins": _pmod(0, "PMOD0, upper row")},
    "ecpix5-85f": {"spi_pins": _pmod(0, "PMOD0, upper row")},
    "tang-nano-9k": {
        "spi_pins": SpiPins(
            sck="28",
            cs="25",
            copi="26",
            cipo="27",
            connector=None,
            where="header: cs 25, copi 26, cipo 27, sck 28",
        )
    },
    "tang-primer-20k-dock": {"spi_pins": _pmod(0, "PMOD0, upper row")},
    # The buffers behind this one's headers only drive outwards: no pins for SPI.
    "colorlight-5a-75b": {
        "uart_note": "3.3 V serial adapter on J19: rx on KEY+ (M13), tx on DATA_LED- (P11); the "
        "button and the LED share these pins",
    },
}


def _part(platform: Platform) -> str:
    return getattr(platform, "part", None) or getattr(platform, "device", "")


def _describe(module: str, platform_class: type[Platform]) -> Board | None:
    """Return the board of a platform class, or None if it has no UART or no clock of its own."""
    class_name = platform_class.__name__
    plain = class_name.removesuffix("Platform").strip("_").lower()
    name, title = _NAMES.get(class_name, (plain, plain))
    extra = _EXTRA.get(name, {})
    try:
        platform: Any = platform_class()
        has_uart = ("uart", 0) in platform.resources or "uart_pins" in extra
        input_hz = round(platform.default_clk_frequency) if has_uart else 0
    except (ValueError, AttributeError, ResourceError):
        return None  # a platform that amaranth itself refuses, or one whose clock is elsewhere
    if not has_uart:
        return None
    open_toolchain = platform.toolchain in OPEN_TOOLCHAINS
    key = getattr(platform, "family", "") if platform.toolchain == "Apicula" else _part(platform)
    return Board(
        name=name,
        title=title,
        module=module,
        platform_class=class_name,
        toolchain=platform.toolchain,
        part=_part(platform),
        device=DEVICES.get(key) if open_toolchain else None,
        input_hz=input_hz,
        **extra,
    )


@cache
def list_boards() -> tuple[Board, ...]:
    """Return every board with a UART: those that signfire builds in full first, each by name."""
    boards = {}
    for info in pkgutil.iter_modules(amaranth_boards.__path__):
        if info.ispkg:
            continue
        module = importlib.import_module(f"amaranth_boards.{info.name}")
        for class_name in getattr(module, "__all__", ()):
            candidate = getattr(module, class_name)
            if class_name in _BROKEN:
                continue
            if inspect.isclass(candidate) and issubclass(candidate, Platform):
                board = _describe(info.name, candidate)
                if board is not None:
                    boards.setdefault(board.name, board)
    return tuple(sorted(boards.values(), key=lambda b: (not b.builds_bitstream, b.name)))


def find_board(name: str) -> Board:
    """Return the board of that name.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest ones.
    """
    boards = {board.name: board for board in list_boards()}
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    if wanted in boards:
        return boards[wanted]
    near = difflib.get_close_matches(wanted, boards, n=3, cutoff=0.5)
    near += [known for known in boards if wanted and known.startswith(wanted) and known not in near]
    hint = f"did you mean {' or '.join(near[:4])}?" if near else "signfire boards lists them all"
    raise ValueError(f"there is no board {name!r} ({hint})")
