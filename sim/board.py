"""A simulated board: its whole design runs behind a pseudo-terminal that is its serial port.

Whatever program speaks to the terminal speaks to the pins of the design, bit by bit. How time
passes, and why equal bytes give equal bytes after equal cycles, stands in ``board_main.cpp``.
"""

import json
import os
import re
import selectors
import subprocess
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from . import verilator
from .verilator import COMPILE_FLAGS, Program

HARNESS = Path(__file__).with_name("board_main.cpp")
PINS = Path(__file__).with_name("uart_pins.h")
TOP = "board"
FLAGS = [*COMPILE_FLAGS, "-Wno-lint", "-O3", "--x-assign", "fast", "--x-initial", "fast"]
FLAGS += ["--noassert"]
FAST = {"OPT_FAST": "-O2"}
QUICK = {"OPT_FAST": "-O1"}  # to compile
# Times of a byte that a board may be silent before it answers, beside the silence of its core.
LINGER_BYTES = 8
START_S = 60.0  # a started program says so at once, but machines can be busy


@dataclass(frozen=True, kw_only=True)
class BoardState:
    """What a simulated board does.

    Parameters
    ----------
    cycle
        Of the oscillator, since power-up.
    seconds
        The same in simulated time.
    lights
        Name of each LED: whether it is lit.
    received, sent
        Bytes that the board got on its line, and sent on it.
    unread_lost
        Bytes that the host did not read in time, as a serial adapter would have lost them.
    core_edges, skipped_edges
        Rising edges of the core's clock, and how many of them were left out since they change
        nothing.
    cpu_s
        Seconds of processor time since power-up.
    """

    cycle: int
    seconds: float
    lights: dict[str, bool]
    received: int
    sent: int
    unread_lost: int
    core_edges: int
    skipped_edges: int
    cpu_s: float


class SimulatedBoard:
    """A board that is running; :func:`powered` makes one.

    Members
    -------
    path
        Of the pseudo-terminal that is its serial port.
    """

    def __init__(
        self,
        program: Path,
        *,
        input_hz: int,
        baud: int,
        linger: int,
        lights: tuple[str, ...],
        skip: bool,
        trace: bool,
    ) -> None:
        self.input_hz, self.baud, self.lights = input_hz, baud, lights
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        speed = getattr(termios, f"B{baud}", None)
        if speed is not None:
            settings = termios.tcgetattr(self._slave)
            settings[4] = settings[5] = speed
            termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        options = {
            "terminal": self._master,
            "speed": -1 if speed is None else speed,
            "input_hz": input_hz,
            "baud": baud,
            "linger": linger,
            "skip": int(skip),
            "trace": int(trace),
        }
        self._process = subprocess.Popen(
            [str(program), *(f"{key}={value}" for key, value in options.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._master],
        )
        self._text = b""
        self._events: list[dict] = []
        self._await("state", START_S)

    def fileno(self) -> int:
        """Return what becomes readable when there is something for :meth:`events`."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def state(self) -> BoardState:
        """Ask the board what it does; while it simulates it answers within a tenth of a second."""
        assert self._process.stdin is not None
        try:
            os.write(self._process.stdin.fileno(), b"\n")
        except BrokenPipeError:
            raise self._ended() from None
        return self._state(self._await("state", START_S))

    def traced(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Return what was traced so far, and forget it.

        First the cycles in which bytes to the board began, then cycle and value of each byte that
        it has sent.
        """
        self.state()
        events = [event for event in self._events if event["event"] in ("in", "out")]
        self._events = [event for event in self._events if event["event"] not in ("in", "out")]
        began = [event["cycle"] for event in events if event["event"] == "in"]
        return began, [(e["cycle"], e["byte"]) for e in events if e["event"] == "out"]

    def wrong_speeds(self) -> list[int]:
        """Return the speeds at which a host sent what the board could not understand, since last.

        To be called when :meth:`fileno` is readable; 0 for a speed that has no name.
        """
        self._read(0.0)
        found = [event for event in self._events if event["event"] == "speed"]
        self._events = [event for event in self._events if event["event"] != "speed"]
        return [_BAUDS.get(event["speed"], 0) for event in found]

    def close(self) -> None:
        """Switch the board off."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.terminate()
        process.wait()
        for descriptor in (self._master, self._slave):
            with suppress(OSError):
                os.close(descriptor)

    def _state(self, event: dict) -> BoardState:
        names = [*BoardState.__dataclass_fields__]
        lights = {name: bool(event["lights"] >> k & 1) for k, name in enumerate(self.lights)}
        given = {name: event[name] for name in names if name in event}
        return BoardState(**given | {"lights": lights, "seconds": event["cycle"] / self.input_hz})

    def _await(self, kind: str, seconds: float) -> dict:
        """Return the next event of a kind."""
        deadline = time.monotonic() + seconds
        while True:
            for event in self._events:
                if event["event"] == kind:
                    self._events.remove(event)
                    return event
            left = deadline - time.monotonic()
            if left <= 0:
                raise RuntimeError(f"the simulated board said nothing for {seconds:g} s")
            self._read(left)

    def _read(self, seconds: float) -> None:
        """Read what comes within a time; the first of it ends the wait."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            if not selector.select(seconds):
                return
        text = os.read(self.fileno(), 1 << 16)
        if not text:
            raise self._ended()
        *lines, self._text = (self._text + text).split(b"\n")
        self._events += [json.loads(line) for line in lines]

    def _ended(self) -> RuntimeError:
        return RuntimeError(f"the simulated board ended by itself, status {self._process.wait()}")


_BAUDS = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if re.fullmatch(r"B\d+", name)
}


@contextmanager
def powered(
    program: Path,
    *,
    input_hz: int,
    baud: int,
    silent_cycles: int = 0,
    core_hz: float = 0.0,
    lights: tuple[str, ...] = (),
    skip: bool = True,
    trace: bool = False,
) -> Iterator[SimulatedBoard]:
    """Switch a compiled board on, and off at the end.

    Parameters
    ----------
    program
        Of :func:`compiled`.
    input_hz, baud
        Frequency of the oscillator, and bits a second of the line.
    silent_cycles, core_hz
        Cycles of the core for which the board may be silent before it says something, and the
        core's frequency.
    lights
        Names of the LEDs.
    skip
        Leave out edges of the core's clock that change nothing; without it all is the same, and
        slower.
    trace
        Keep the cycles of bytes for :meth:`SimulatedBoard.traced`.
    """
    working = silent_cycles * input_hz / core_hz if silent_cycles else 0.0
    linger = int(working + LINGER_BYTES * 10 * input_hz / baud) + 1
    board = SimulatedBoard(
        program, input_hz=input_hz, baud=baud, linger=linger, lights=lights, skip=skip, trace=trace
    )
    try:
        yield board
    finally:
        board.close()


def compiled(verilog: str, directory: Path | str, *, quick: bool = False) -> Path:
    """Return the program that simulates a board, compiled if ``directory`` has it not yet.

    Parameters
    ----------
    verilog
        Its module :data:`TOP` has the ports that :class:`signfire.boards.board_model.BoardModel`
        tells of.
    directory
        The program's name there is the digest of all it is made of.
    quick
        Compile in less time what then runs at less speed.

    Raises
    ------
    ValueError
        If a system program is missing.
    RuntimeError
        If Verilator failed.
    """
    defines = ["DIRECT_EVAL"]
    if not re.search(r"\bnegedge (board_)?clk\b", verilog):
        defines.append("NO_FALLING_EDGES")
    program = Program(
        name="board",
        what="board",
        top=TOP,
        prefix="Vboard",
        verilog={"board.v": verilog},
        harness={source.name: source.read_text() for source in (HARNESS, PINS)},
        flags=FLAGS,
        defines=defines,
        optimisation=QUICK if quick else FAST,
    )
    try:
        return verilator.compiled(program, Path(directory))
    except RuntimeError:
        # A Verilator whose models have no such function to call is used as its manual says.
        return verilator.compiled(replace(program, defines=defines[1:]), Path(directory))
