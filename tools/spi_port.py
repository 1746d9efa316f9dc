"""A board behind SPI: what :class:`.host.Board` needs of a serial port, made of exchanges.

SPI has no line of its own for each direction in time: nothing comes unless the host clocks it.
Reading therefore sends END, which the board ignores, and hears what the board has to say.
"""

import importlib
import re
import struct
import time
from collections.abc import Callable
from typing import Any

import serial
import sliplib

from ..hdl.protocol import HEADER, LENGTH_LIMIT
from ..hdl.slip import END, ESC
from ..hdl.spi import FILL

DEFAULT_HZ = 5_000_000  # slow enough for the slowest core
POLL_BYTES = 64
CHUNK_BYTES = 4096  # of one exchange; spidev's usual limit
HEADER_BYTES = struct.calcsize(HEADER)
UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6}
NAME = re.compile(r"(spidev:(\d+)\.(\d+)|ftdi://\S+?/\d+)(?::(\d+(?:\.\d+)?)([kKM]?))?")
FORMS = (
    "spidev:BUS.DEVICE or ftdi://ftdi:232h/1, and :HZ behind it for another clock than 5M "
    "(spidev:0.0:20M for instance)"
)

Exchange = Callable[[bytes], bytes]  # send bytes and return as many


class SpiPort:
    """A port on which a board says its frames.

    Fill bytes are removed, see :mod:`signfire.hdl.spi`, and an END is kept only where it ends
    something. A line that stays at one level says nothing.

    Parameters
    ----------
    exchange
        One transfer with chip select, full duplex, of at most :data:`CHUNK_BYTES` bytes.
    close
        Gives the bus back, at the end of a ``with`` statement.
    timeout
        Seconds that ``read`` polls for.
    clock
        Seconds that only grow; a simulated bus brings its own.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        close: Callable[[], object] = lambda: None,
        timeout: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout, self.clock, self.close = timeout, clock, close
        self._exchange = exchange
        self._heard = bytearray()
        self._escape = False  # ESC came, and what it means depends on the next byte
        self._last = END
        self._level = 0  # bytes for which the line has stayed at one level

    def __enter__(self) -> "SpiPort":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def in_waiting(self) -> int:
        """Bytes that came and were not read."""
        return len(self._heard)

    def write(self, data: bytes) -> int:
        """Send bytes, and keep what comes in the meantime."""
        for at in range(0, len(data), CHUNK_BYTES):
            self._hear(self._exchange(bytes(data[at : at + CHUNK_BYTES])))
        return len(data)

    def flush(self) -> None:
        """Nothing waits: what was written is at the board."""

    def read(self, size: int = 1) -> bytes:
        """Return what came, at most ``size`` bytes; poll until there is some or time is up."""
        deadline = self.clock() + (self.timeout or 0)
        while not self._heard:
            self._hear(self._exchange(sliplib.END * POLL_BYTES))
            if self.clock() >= deadline:
                break
        data = bytes(self._heard[:size])
        del self._heard[:size]
        return data

    def _hear(self, line: bytes) -> None:
        if self._is_dead(line):
            return
        for byte in line:
            if self._escape:
                self._escape = False
                if byte == FILL:
                    continue
                self._keep(ESC)
            if byte == ESC:
                self._escape = True
            elif byte != END or self._last != END:
                self._keep(byte)

    def _is_dead(self, line: bytes) -> bool:
        """Whether nobody drives the line: it stays at one level, where no frame would."""
        if len(line) < HEADER_BYTES or set(line) not in ({0x00}, {0xFF}):
            self._level = 0
            return False
        self._level += len(line)
        # No frame begins so, and none goes on so for longer than the longest.
        return self._last == END or self._level > LENGTH_LIMIT

    def _keep(self, byte: int) -> None:
        self._heard.append(byte)
        self._last = byte


def is_spi(name: str) -> bool:
    """Whether a port's name is that of an SPI."""
    return name.startswith(("spidev:", "ftdi:"))


def parse_name(name: str) -> tuple[str, int]:
    """Return the bus or URL of a port's name, and the clock in Hz.

    Raises
    ------
    ValueError
        Where the name has another form.
    """
    found = NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"an SPI port is named {FORMS}, not {name!r}")
    where, _, _, number, unit = found.groups()
    hz = DEFAULT_HZ if number is None else round(float(number) * UNITS[unit])
    if hz < 1:
        raise ValueError(f"the clock of {name} must be at least 1 Hz, not {hz}")
    return where, hz


def open_spi(name: str, timeout: float) -> SpiPort:
    """Open the SPI of that name.

    Raises
    ------
    ValueError
        With the way out, where the name is wrong, the library missing, or the bus not to be had.
    """
    where, hz = parse_name(name)
    opener = _spidev if where.startswith("spidev:") else _ftdi
    exchange, close = opener(where, hz)
    return SpiPort(serial_failures(exchange), close=close, timeout=timeout)


def serial_failures(exchange: Exchange) -> Exchange:
    """Let a bus fail as a serial port does."""

    def checked(data: bytes) -> bytes:
        try:
            return exchange(data)
        except OSError as failure:
            raise serial.SerialException(str(failure)) from failure

    return checked


def _library(name: str) -> Any:
    """Return a module of a library that not everybody has; no types of it are known."""
    try:
        return importlib.import_module(name)
    except ImportError as failure:
        library = name.partition(".")[0]
        raise ValueError(
            f"this port needs {library}, which is not installed (pip install signfire[spi])"
        ) from failure


def _spidev(where: str, hz: int) -> tuple[Exchange, Callable[[], object]]:
    spidev = _library("spidev")
    bus, device = map(int, where.removeprefix("spidev:").split("."))
    spi = spidev.SpiDev()
    path = f"/dev/spidev{bus}.{device}"
    try:
        spi.open(bus, device)
        spi.mode = 0
        spi.max_speed_hz = hz
    except FileNotFoundError as failure:
        raise ValueError(
            f"there is no {path} (enable SPI: dtparam=spi=on in a Raspberry Pi's config.txt)"
        ) from failure
    except PermissionError as failure:
        raise ValueError(
            f"{path} may not be opened by this user (sudo usermod -aG spi $USER, then log in again)"
        ) from failure
    except OSError as failure:
        raise ValueError(f"{path} cannot be used at {hz:,} Hz: {failure}") from failure
    return lambda data: bytes(spi.xfer2(list(data))), spi.close


def _ftdi(where: str, hz: int) -> tuple[Exchange, Callable[[], object]]:
    ftdi, spi, usbtools = (_library(f"pyftdi.{name}") for name in ("ftdi", "spi", "usbtools"))
    controller = spi.SpiController()
    try:
        controller.configure(where)
        port = controller.get_port(cs=0, freq=hz, mode=0)
    except (OSError, ValueError, ftdi.FtdiError, usbtools.UsbToolsError) as failure:
        raise ValueError(
            f"{where} cannot be opened: {failure} (is the adapter plugged in, and may this user "
            f"open USB devices? ftdi:///? lists those found)"
        ) from failure
    return lambda data: bytes(port.exchange(data, len(data), duplex=True)), controller.close
