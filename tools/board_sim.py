"""A simulated board for a design: made, served, and watched until somebody ends it."""

import os
import selectors
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ..boards.accelerator import Accelerator
from ..boards.board_model import BoardModel, board_model
from ..boards.boards import Board
from ..boards.finished import read_build
from ..boards.pll import PllSetting, fastest_setting
from ..gen.design.design import Design
from ..sim.board import BoardState, SimulatedBoard, compiled, powered
from .claim import claiming

# Of the clock that place and route aims for, which is more than designs reach.
_USUAL_SHARE = Fraction(1, 2)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A simulated board that was compiled, and what a host must know of it.

    Parameters
    ----------
    board
        That is simulated.
    model
        Its Verilog and clocks.
    silent_cycles
        Of the core, after which the link answers in its place.
    program
        The compiled simulation.
    """

    board: Board
    model: BoardModel
    silent_cycles: int
    program: Path

    @contextmanager
    def powered(self, **options: bool) -> Iterator[SimulatedBoard]:
        """Switch the board on, and off at the end; see :func:`signfire.sim.board.powered`."""
        with powered(
            self.program,
            input_hz=self.model.input_hz,
            baud=self.model.baud,
            silent_cycles=self.silent_cycles,
            core_hz=float(self.model.core_hz),
            lights=self.model.lights,
            **options,
        ) as board:
            yield board


@claiming("folder")
def prepare(
    design: Design,
    board: Board,
    folder: Path | str,
    *,
    build: Path | None = None,
    frequency: float | None = None,
    quick: bool = False,
    progress: Callable[[str], None] = lambda doing: None,
) -> Bench:
    """Generate and compile the whole design of a board.

    Parameters
    ----------
    design
        Folded.
    board
        Any board.
    folder
        For the compiled simulation, which is kept.
    build
        Folder of a finished build, whose clock is taken.
    frequency
        Of the core in Hz, the PLL's nearest one below.
    quick
        Compile faster what then runs slower.

    Raises
    ------
    ValueError
        If the build is another board's, or the board cannot have the clock.
    """
    setting = clock_setting(board, build=build, frequency=frequency)
    progress("Verilog")
    application = Accelerator(design, board)
    model = board_model(application, board, setting=setting)
    progress("compile (a minute, once)")
    return Bench(
        board=board,
        model=model,
        silent_cycles=application.link.watchdog.timeout_cycles,
        program=compiled(model.verilog, folder, quick=quick),
    )


def clock_setting(
    board: Board, *, build: Path | None = None, frequency: float | None = None
) -> PllSetting | None:
    """Return the PLL's setting for a finished build's clock, a frequency, or neither."""
    if build is not None:
        if frequency is not None:
            raise ValueError("a finished build has its clock: leave out --frequency or --build")
        finished = read_build(build)
        if finished.board.name != board.name:
            raise ValueError(
                f"{build} was built for {finished.board.name}, not {board.name} (give --board "
                f"{finished.board.name})"
            )
        return finished.setting
    if not (board.has_pll and board.builds_bitstream):
        if frequency is not None:
            raise ValueError(
                f"{board.name} runs at its oscillator's {board.input_hz / 1e6:g} MHz (leave out "
                f"--frequency)"
            )
        return None
    return fastest_setting(
        family=board.family,
        input_hz=board.input_hz,
        target_hz=board.open_device.goal_hz * _USUAL_SHARE
        if frequency is None
        else Fraction(frequency),
        part=board.part,
    )


@contextmanager
def linked(path: str, link: Path | None) -> Iterator[None]:
    """Keep a symbolic link to ``path``; one that an earlier run left behind is replaced.

    Raises
    ------
    ValueError
        If something else than a symbolic link is in its place.
    """
    if link is None:
        yield
        return
    if link.exists() and not link.is_symlink():
        raise ValueError(f"{link} exists and is no symbolic link (choose another --link)")
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    try:
        yield
    finally:
        with suppress(OSError):
            if link.is_symlink() and os.readlink(link) == path:
                link.unlink()


def serve(
    board: SimulatedBoard,
    tell_port: Callable[[], None],
    tell_state: Callable[[], None],
    tell_speed: Callable[[int], None],
) -> None:
    """Stay until SIGINT or SIGTERM; the end of standard input changes nothing.

    Parameters
    ----------
    tell_port
        Called once all of this is ready.
    tell_state
        Called for each line on standard input, and for each SIGUSR1.
    tell_speed
        Called where a host's speed was wrong, with that speed.
    """
    waker, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, lambda *_: None) for number in signals}
    descriptor = signal.set_wakeup_fd(wakes)
    selector = selectors.DefaultSelector()
    selector.register(waker, selectors.EVENT_READ)
    selector.register(board, selectors.EVENT_READ)
    with suppress(OSError, ValueError):  # no standard input, or one that cannot be waited for
        if _is_ours(sys.stdin.fileno()):
            selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
    try:
        tell_port()
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if waker in ready:
                arrived = os.read(waker, 64)
                if signal.SIGINT in arrived or signal.SIGTERM in arrived:
                    return
                tell_state()
            if board.fileno() in ready:
                for speed in board.wrong_speeds():
                    tell_speed(speed)
            for fd in ready - {waker, board.fileno()}:
                text = os.read(fd, 4096) if _is_ours(fd) else b""
                if not text:
                    selector.unregister(fd)
                elif b"\n" in text:
                    tell_state()
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        selector.close()
        os.close(waker)
        os.close(wakes)


def _is_ours(descriptor: int) -> bool:
    """Whether reading is allowed: a terminal stops a program that reads in the background."""
    return not os.isatty(descriptor) or os.tcgetpgrp(descriptor) == os.getpgrp()


# -- what is said ------------------------------------------------------------------------------


def usage(bench: Bench, design: Path | str, port: str) -> str:
    """Return what to do with a board that was just switched on."""
    core, link = float(bench.model.core_hz) / 1e6, bench.model.baud
    return (
        f"{bench.board.name} is on, its core at {core:g} MHz, its link at {link:,} baud.\n"
        f"  ask it:    signfire infer {design} --port {port} --data DATA.npz\n"
        f"  look at it: Enter; switch it off: Ctrl-C"
    )


def state_record(state: BoardState) -> dict[str, object]:
    """Return a state as --json says it."""
    return {
        "cycle": state.cycle,
        "simulated_s": state.seconds,
        "lights": state.lights,
        "received": state.received,
        "sent": state.sent,
        "unread_lost": state.unread_lost,
        "board_cycles_per_cpu_s": state.cycle / state.cpu_s if state.cpu_s else None,
    }


def state_line(state: BoardState) -> str:
    """Return a state as one line."""
    lights = ", ".join(f"{name} {'on' if lit else 'off'}" for name, lit in state.lights.items())
    rate = f", {state.cycle / state.cpu_s / 1e6:.1f} M cycles per CPU second" if state.cpu_s else ""
    lost = f", {state.unread_lost:,} bytes lost that nobody read" if state.unread_lost else ""
    return (
        f"{state.seconds:.6f} s simulated ({state.cycle:,} board cycles{rate}); LEDs: "
        f"{lights or 'none'}; {state.received:,} bytes in, {state.sent:,} out{lost}"
    )


def speed_line(speed: int, baud: int) -> str:
    """Return what to say where a host has set the wrong speed."""
    told = f"{speed:,} baud" if speed else "a speed"
    return (
        f"a program wrote at {told}, and the board's link has {baud:,} baud: the board saw "
        f"nothing of it (set the program's speed to {baud})"
    )
