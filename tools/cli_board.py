"""Verbs for a board that has its bitstream; imported as thinly as :mod:`.cli` itself."""

import functools
import os
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import (
    DIFFERENCE,
    DONE,
    USER,
    Outcome,
    Write,
    progress,
    service,
    shown,
    streaming,
    verb,
    working,
)
from .options import (
    DATA,
    FILE,
    MHZ,
    Finite,
    auto_record,
    examples,
    fold_as_told,
    fold_option,
    given_data,
    sample_options,
    told_fold,
    whole_numbers,
)

if TYPE_CHECKING:
    from ..gen.design.design import Design
    from .dataset import Dataset
    from .watch import Tally


PORT = click.option(
    "--port",
    required=True,
    help="Serial port of the board, or SPI: spidev:BUS.DEVICE[:HZ], ftdi://...[:HZ].",
)
SPEED = click.option("--board", help="Its name, for a link of another speed than 1 Mbaud.")
TRIES = click.option(
    "--tries",
    type=click.IntRange(0),
    default=60,
    show_default=True,
    help="With --watch: how often a board that vanished is looked for, once a second.",
)


@click.command(
    short_help="Let a board answer samples, and check what it says.",
    epilog=examples(
        "signfire infer design.npz --port /dev/ttyUSB1 --data test.npz",
        "signfire infer design.npz --port COM5 --data test.npz --samples 100",
        "signfire infer design.npz --port spidev:0.0:20M --data test.npz",
        "signfire infer design.npz --port ftdi://ftdi:232h/1:20M --data test.npz",
        "signfire infer design.npz --port /dev/ttyUSB1 --data test.npz --watch | jq .label",
        "sensor | signfire infer design.npz --port /dev/ttyUSB1 --watch",
    ),
)
@click.argument("design", type=FILE)
@PORT
@SPEED
@click.option(
    "--data",
    type=FILE,
    help=f"{DATA} With --watch it may be left out: samples then come from standard input, one a "
    "line.",
)
@sample_options
@click.option("--samples", type=int, help="Only the first N samples.")
@click.option("--watch", is_flag=True, help="Print each answer at once, as a line of JSON.")
@TRIES
@streaming
def infer(
    write: Write,
    design: Path,
    port: str,
    board: str | None,
    data: Path | None,
    inputs: str | None,
    labels: str | None,
    white: int,
    samples: int | None,
    watch: bool,
    tries: int,
) -> Outcome | int:
    """Let a board answer samples, and compare each logit with the golden model.

    A board that runs another design is refused.

    With --watch every answer is a line of JSON as soon as it is there, until the samples end or
    Ctrl-C. Without --data a sample is a line of standard input: a JSON array of numbers, an object
    {"x": [...], "y": label}, or numbers with commas or spaces between them. Lines with "status"
    tell what else happened; a board that is unplugged is looked for, and goes on where it was.
    """
    from ..boards.boards import BAUD, find_board
    from ..gen.design.answers import records
    from . import api, tables

    if data is None and not watch:
        raise click.UsageError("--data is needed, or --watch to read samples from standard input")
    baud = BAUD if board is None else find_board(board).baud
    loaded, found = api.load_design(design), None
    if data is not None:
        found = given_data(data, inputs, labels, white, loaded, samples)
    if watch or found is None:
        tally = stream_infer(loaded, port, baud, found, samples, tries, write)
        return USER if tally.errors else DIFFERENCE if tally.equal < tally.samples else DONE
    with working(f"asking the board on {port}"):
        result = api.infer(loaded, port, found, baud=baud)
    equal = result.equal == len(found)
    return Outcome(
        data={
            "samples": len(found),
            "equal": result.equal,
            "accuracy": None if result.correct is None else result.correct / len(found),
            "outputs": tables.by_output(result.figures),
            "labels": result.labels,
            "answers": records(result.answers, loaded.head, found.rows),
            "first_logit_cycles": result.first_logit_cycles,
            "latency_cycles": result.latency_cycles,
            "seconds": result.seconds,
            "clock_hz": result.clock_hz,
        },
        text=tables.of_inference(result),
        status=DONE if equal else DIFFERENCE,
    )


def stream_infer(
    design: "Design",
    port: str,
    baud: int,
    data: "Dataset | None",
    samples: int | None,
    tries: int,
    write: Write,
) -> "Tally":
    """Answer a data set or the lines of standard input."""
    from . import watch
    from .host import open_port

    if samples is not None and samples < 1:
        raise ValueError(f"the number of samples must be at least 1, not {samples}")
    if data is None:
        if sys.stdin is None:
            raise ValueError("standard input is closed: there are no samples (give --data)")
        source = watch.of_lines(design, watch.lines_of(sys.stdin.buffer, design))
    else:
        source = watch.of_data(design, data)
    reach = watch.Reach(lambda: open_port(port, baud), design, tries=tries, emit=write)
    return watch.infer(design, islice(source, samples), reach, write)


@click.command(
    short_help="Ask a board what it runs and how it fares.",
    epilog=examples(
        "signfire status --port /dev/ttyUSB1",
        "signfire status --port /dev/ttyUSB1 --design design.npz",
        "signfire status --port /dev/ttyUSB1 --watch --every 10",
    ),
)
@PORT
@SPEED
@click.option("--design", type=FILE, help="Design that the board should run: exit 1 if not.")
@click.option("--watch", is_flag=True, help="Again and again, each time as a line of JSON.")
@click.option(
    "--every",
    type=Finite(0, min_open=True),
    default=1.0,
    show_default=True,
    help="With --watch: seconds between two lines.",
)
@TRIES
@streaming
def status(
    write: Write,
    port: str,
    board: str | None,
    design: Path | None,
    watch: bool,
    every: float,
    tries: int,
) -> Outcome | int:
    """Ask a board what it runs, how long it has been up, and what went wrong on its line.

    The board answers while it computes too. Asking puts out its alarm LED.
    """
    from ..boards.boards import BAUD, find_board
    from . import api, tables
    from . import watch as watching
    from .host import Board, open_port

    baud = BAUD if board is None else find_board(board).baud
    wanted = None if design is None else api.load_design(design)
    if watch:
        reach = watching.Reach(lambda: open_port(port, baud), wanted, tries=tries, emit=write)
        watching.tell_status(reach, write, every_s=every)
        return DONE
    with working(f"asking the board on {port}"), open_port(port, baud) as line:
        host = Board(line)
        identity, found = host.identify(), host.status()
    same = wanted is None or identity.design_hash == wanted.hash
    return Outcome(
        data={
            "identity": identity,
            **watching.status_record(found),
            "expected_hash": None if wanted is None else wanted.hash,
            "same_design": None if wanted is None else same,
        },
        text=tables.of_board_status(identity, found, wanted),
        status=DONE if same else DIFFERENCE,
    )


@click.command(
    "board-sim",
    short_help="Simulate a board, pin by pin, behind a serial port.",
    epilog=examples(
        "signfire board-sim design.npz --board icebreaker --link board.tty",
        "signfire infer design.npz --port board.tty --data test.npz    (in another terminal)",
        "signfire board-sim design.npz --board ulx3s-25f --build build/fast",
    ),
)
@click.argument("design", type=FILE)
@click.option("--board", required=True, help="Its name, see signfire boards.")
@fold_option
@click.option("--build", type=FILE, help="Folder of a finished build, to take its clock.")
@click.option("--frequency", type=MHZ, help="Clock of the core in MHz; by default a usual one.")
@click.option("--link", type=FILE, help="Symbolic link to make to the port, and remove at the end.")
@click.option("--quick", is_flag=True, help="Compile faster what then runs slower.")
@click.option("-o", "--output", type=FILE, help="Folder; by default build/NAME-board-sim.")
@service
def board_sim(
    tell: Callable[[Outcome], None],
    design: Path,
    board: str,
    fold: tuple[str, ...],
    build: Path | None,
    frequency: float | None,
    link: Path | None,
    quick: bool,
    output: Path | None,
) -> None:
    """Simulate a board with its whole design, and serve its UART on a pseudo-terminal.

    Every byte crosses the pins bit by bit, so that infer, or any other serial program, talks to it
    as to the real board. The first line printed is the path of the port. A line on standard input
    (Enter) or SIGUSR1 prints the lights and the simulated time; Ctrl-C ends it.

    Simulated time passes only while something is on the line and shortly after, so that equal bytes
    have equal answers after equal cycles, however fast your computer is.
    """
    from ..boards.boards import find_board

    if os.name == "nt":
        raise ValueError("board-sim needs a pseudo-terminal, which Windows lacks (WSL has them)")
    from . import api, board_sim
    from .claim import claim

    say = functools.partial(progress.print, soft_wrap=True)
    target = find_board(board)
    chosen, _ = fold_as_told(api.load_design(design), fold, target)
    folder = output or Path("build") / f"{chosen.name}-board-sim"
    with ExitStack() as held:
        held.enter_context(claim(folder))  # a board that runs must not be compiled anew
        with shown(f"simulated {target.name}") as doing:
            bench = board_sim.prepare(
                chosen,
                target,
                folder,
                build=build,
                frequency=None if frequency is None else frequency * 1e6,
                quick=quick,
                progress=doing,
            )
        simulated = held.enter_context(bench.powered())
        held.enter_context(board_sim.linked(simulated.path, link))

        def tell_port() -> None:
            record = {
                "port": simulated.path,
                "link": link,
                "board": target.name,
                "design_hash": chosen.hash,
                "baud": simulated.baud,
                "board_hz": simulated.input_hz,
                "clock_hz": float(bench.model.core_hz),
            }
            tell(Outcome(data=record, text=[simulated.path]))
            say(board_sim.usage(bench, design, str(link or simulated.path)))

        def tell_state() -> None:
            state = simulated.state()
            tell(Outcome(data=board_sim.state_record(state), text=[board_sim.state_line(state)]))

        def tell_speed(speed: int) -> None:
            say(board_sim.speed_line(speed, simulated.baud))

        board_sim.serve(simulated, tell_port, tell_state, tell_speed)


@click.command(
    short_help="Load a finished build into a board.",
    epilog=examples(
        "signfire flash build/mlp32-icebreaker",
        "signfire flash build/mlp32-ulx3s-25f --persist",
        "signfire flash build/mlp128-ulx3s-25f --dry-run",
    ),
)
@click.argument("build", type=FILE)
@click.option("--board", help="Its name; one that the build is not for is refused.")
@click.option(
    "--persist/--sram",
    "persistent",
    default=None,
    help="Into the flash, to be there after power-up, or into the FPGA until power is off; by "
    "default the latter where the board allows it.",
)
@click.option("--cable", help="Adapter in place of the board's own (openFPGALoader's name).")
@click.option("--serial", help="Serial number of the board's adapter, where there are several.")
@click.option("--device", metavar="BUS:DEVICE", help="The same by place, as lsusb says it.")
@click.option("--dry-run", is_flag=True, help="Print the command, and run nothing.")
@verb
def flash(build: Path, board: str | None, dry_run: bool, **settings: Any) -> Outcome:
    """Load a finished build into a board, through openFPGALoader.

    BUILD is the folder that build, demo or report has made. What openFPGALoader says is kept in
    flash.log beside the bitstream; where it fails, one line says why and what to do.
    """
    from ..boards import flash
    from ..boards.boards import find_board
    from ..boards.finished import read_build
    from .claim import claim

    finished = read_build(build)
    if board is not None and find_board(board).name != finished.board.name:
        raise ValueError(
            f"{build} was built for {finished.board.name}, not {board}: it would not run there "
            f"(signfire build DESIGN --board {board})"
        )
    chosen = flash.plan(finished, **settings)
    place = "flash" if chosen.persistent else "the FPGA, until power is off"
    if not dry_run:
        with (
            claim(finished.folder),
            shown(f"loading {finished.bitstream.name} into {finished.board.name}") as say,
        ):
            flash.load(chosen, progress=say)
    command = shlex.join(chosen.command)
    return Outcome(
        data={
            "board": finished.board.name,
            "bitstream": finished.bitstream,
            "persistent": chosen.persistent,
            "command": chosen.command,
            "log": None if dry_run else chosen.log,
        },
        text=[command if dry_run else f"{finished.board.name} is loaded ({place})"],
    )


@click.command(
    short_help="Put new weights into a finished build, in seconds.",
    epilog=examples(
        "signfire convert model.py:make_net --weights retrained.pth --calibrate train.npz \\",
        "    --like design.npz -o retrained.npz",
        "signfire reweight build/design-icebreaker retrained.npz -o build/retrained",
        "signfire reweight build/design-icebreaker retrained.npz --data test.npz -o build/new",
    ),
)
@click.argument("build", type=FILE)
@click.argument("design", type=FILE)
@click.option("-o", "--output", required=True, type=FILE, help="Folder for the bitstream.")
@click.option("--data", type=FILE, help=".npz: let what is read back of the chip answer a sample.")
@sample_options
@verb
def reweight(
    build: Path,
    design: Path,
    output: Path,
    data: Path | None,
    inputs: str | None,
    labels: str | None,
    white: int,
) -> Outcome:
    """Put the weights of another design into a finished build, without place-and-route.

    BUILD is the folder of signfire build, DESIGN a design of the same shape, as signfire convert
    --like makes it. Weights, biases, factors, step sizes and the design's hash are replaced in the
    memories of the placed design (iCE40 and ECP5), and every word is read back from the packed
    file. The result is byte for byte what signfire build --shape gives with the same seed. A design
    that does not fit the build's widths and codes is refused with the reason.
    """
    from ..boards.finished import read_build
    from . import api, reweighting, tables

    read_build(build)
    loaded, samples = api.load_design(design), None
    if data is not None:
        samples = given_data(data, inputs, labels, white, loaded, 1)
    with shown("new weights") as say:
        result, chip = reweighting.run(build, loaded, output, samples, progress=say)
    checked = None if chip is None else tables.chip_record(chip)
    return Outcome(
        data={**vars(result), "check": checked},
        text=tables.of_reweighting(result, chip),
        status=DONE if chip is None or chip.passed else DIFFERENCE,
    )


@click.command(
    short_help="Compare a design with the same integers on multipliers.",
    epilog=examples(
        "signfire compare design.npz --board ulx3s-25f --fold auto",
        "signfire compare folded.npz --board icebreaker --build --seeds 1,2",
    ),
)
@click.argument("design", type=FILE)
@click.option("--board", required=True, help="Its name, see signfire boards.")
@fold_option
@click.option("--build", "route", is_flag=True, help="Place and route them all, for their clocks.")
@click.option("--seeds", default="1", show_default=True, help="Of place and route: 1,2,3,4.")
@click.option("-o", "--output", type=FILE, help="Folder; by default build/NAME-BOARD-compare.")
@verb
def compare(
    design: Path, board: str, fold: tuple[str, ...], route: bool, seeds: str, output: Path | None
) -> Outcome:
    """Compare a design on a board with the plain alternative, multiply-accumulate units.

    The same integers answer alike, word for word. Beside the design stand its layers on multipliers
    with as many lanes (one pass in the place of several steps), with as few as are no slower, and
    in DSP blocks alone. LUTs, DSP blocks, block RAMs and energy are estimated, or those of place
    and route with --build; cycles are exact. The last lines say how far the design is from what the
    device could do at most, and what keeps it from being faster.
    """
    from ..boards.boards import find_board
    from . import api, comparison, limit, tables

    target, numbers = find_board(board), whole_numbers("--seeds", seeds)
    comparison.device_of(target)
    choice = told_fold(api.load_design(design), fold, target)
    chosen = choice.design
    designs = comparison.designs_on(chosen, target)
    builds = {}
    if route:
        folder = output or Path("build") / f"{chosen.name}-{target.name}-compare"
        with shown(f"bitstreams for {target.name}") as say:
            builds = comparison.build_all(designs, target, folder, seeds=numbers, progress=say)
    rows = [row.record() for row in comparison.compare(designs, target, builds)]
    bound = comparison.bound_record(comparison.bound_on(chosen, target))
    with working("looking for a faster folding") as doing:
        found = limit.limit_of(chosen, target, auto=choice.auto, progress=doing).record()
    return Outcome(
        data={
            "board": target.name,
            "designs": rows,
            "bound": bound,
            "limit": found,
            "auto_fold": auto_record(choice.auto),
        },
        text=[*tables.of_comparison(rows, bound["said"]), found["said"]],
    )


COMMANDS = (compare, flash, infer, status, reweight, board_sim)
