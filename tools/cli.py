"""Command line: a thin skin on :mod:`signfire.tools.api`.

Verbs import what they need when they run, so that ``signfire boards`` does not wait for torch.
"""

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import DIFFERENCE, DONE, USER, Outcome, progress, run_program, shown, verb, working

if TYPE_CHECKING:
    from ..boards.boards import Board
    from ..gen.design import Design
    from .api import AutoFold

FILE = click.Path(path_type=Path)
MHZ = click.FloatRange(0, min_open=True)


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--data``, ``--inputs`` and ``--labels``."""
    for option in reversed(
        (
            click.option(
                "--data", required=True, type=FILE, help=".npz file with samples and labels."
            ),
            click.option("--inputs", default="x", show_default=True, help="Array of samples."),
            click.option("--labels", default="y", show_default=True, help="Array of classes."),
        )
    ):
        function = option(function)
    return function


def examples(*lines: str) -> str:
    """Return an epilog that shows ``lines`` as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read ``2,4,8``."""
    words = text.split(",")
    if not all(word.strip().isdigit() and int(word) > 0 for word in words):
        raise ValueError(f"{option} takes whole numbers above 0 like 2,4,8, not {text!r}")
    return tuple(int(word) for word in words)


def fold_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--fold``."""
    return click.option(
        "--fold",
        multiple=True,
        metavar="auto|NAME:pe=N,simd=N,unroll=N",
        help="Outputs, inputs and input steps of a layer that are worked on at once; may be "
        "repeated. auto: the fastest that the estimate says fits the board.",
    )(function)


def fold_as_told(
    design: "Design", words: tuple[str, ...], board: "Board | str | None"
) -> "tuple[Design, dict[str, Any]]":
    """Fold a design; what ``auto`` chose goes to standard error, and into the JSON object."""
    from . import api, tables

    choice = api.choose_fold(design, words, board)
    if choice.auto is not None:
        for part in tables.of_auto(choice.design, choice.auto):
            progress.print(part, highlight=False, soft_wrap=isinstance(part, str))
    return choice.design, {"auto_fold": auto_record(choice.auto)}


def auto_record(auto: "AutoFold | None") -> dict[str, Any] | None:
    """Return what --json says of an automatic folding."""
    return None if auto is None else {**vars(auto), "needs": needs_record(auto.needs)}


def needs_record(needs: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
    """Return an estimate beside its budget as --json says it."""
    return {name: {"needed": n, "available": a} for name, (n, a) in needs.items()}


def written(
    record: Mapping[str, Any], page: Path, auto: Mapping[str, Any] | None = None
) -> Outcome:
    """Return what a command that ends in a report prints; a failed check is its status."""
    from . import tables

    checks = [check for check in record["checks"].values() if check is not None]
    return Outcome(
        data={**record, **(auto or {}), "report": page},
        text=tables.of_report(record, page),
        status=DONE if all(check["equal"] for check in checks) else DIFFERENCE,
    )


class InOrder(click.Group):
    """Lists its commands in the order of use, which is that of this file."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "signfire doctor",
        "signfire demo",
        "signfire convert model.py:factory --weights w.pth --calibrate train.npz -o design.npz",
        "signfire evaluate design.npz --data test.npz",
    ),
)
@click.version_option(package_name="signfire", message="%(prog)s %(version)s")
def cli() -> None:
    """From a trained torch model to a checked spiking accelerator on a small FPGA.

    Results go to standard output, progress to standard error. Every command takes --json. Exit
    status: 0 done, 1 a check found a difference, 2 your input or environment is wrong.
    """


def command_line() -> str:
    """Return the command as it was typed, for the records."""
    return shlex.join(["signfire", *sys.argv[1:]])


@cli.command(
    epilog=examples(
        "signfire convert model.py:make_net --weights net.pth --calibrate train.npz -o design.npz",
        "signfire convert net.pt2 --calibrate train.npz --steps 6 --weight-bits 6 -o design.npz",
        "signfire convert model.py:make_net --weights net.pth --calibrate train.npz \\",
        "    --layer fc1:steps=3 --layer fc2:weight_bits=8 -o design.npz",
        "the paper's dynamics:",
        "signfire convert model.py:make_net --weights net.pth --calibrate train.npz --steps 32 \\",
        "    --firing overlapped --schedule exponential:0.15,0.95 --code centred -o design.npz",
    )
)
@click.argument("model")
@click.option("--weights", type=FILE, help="State dict of the model (a .pt2 has its own).")
@click.option(
    "--calibrate", required=True, type=FILE, help=".npz of typical samples; some hundred do."
)
@click.option("--inputs", default="x", show_default=True, help="Array of samples in it.")
@click.option("-o", "--output", required=True, type=FILE, help="The design file to write.")
@click.option("--name", help="Name of the design; by default the factory's.")
@click.option("--steps", default=4, show_default=True, help="T, time steps of the layers.")
@click.option("--weight-bits", default=4, show_default=True, help="Bits of a weight, 2 to 8.")
@click.option(
    "--input-steps", type=int, help="T of the input; by default 2, overlapped as --steps."
)
@click.option(
    "--firing",
    type=click.Choice(["settled", "overlapped"]),
    default="settled",
    show_default=True,
    help="settled: after all inputs arrived; overlapped: in the same step (the paper's).",
)
@click.option(
    "--schedule",
    default="binary",
    show_default=True,
    help="binary, exponential:ETA0,GAMMA, inverse:ETA0, constant:ETA0 or list:8,4,2,1.",
)
@click.option(
    "--code",
    type=click.Choice(["auto", "silent", "offset", "centred"]),
    default="auto",
    show_default=True,
    help="What a train without events means: 0 (silent), the least value of the layer (offset), "
    "as in the paper (centred).",
)
@click.option("--input-schedule", help="Schedule of the input; by default as --schedule.")
@click.option(
    "--input-code",
    type=click.Choice(["auto", "silent", "offset", "centred"]),
    help="Code of the input; by default as --code.",
)
@click.option(
    "--percentile",
    default=100.0,
    show_default=True,
    help="Percentile of the activations that is their scale, where the schedule has an ETA0.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME:KEY=VALUE,...",
    help="Exception for a layer: steps, weight_bits, code, schedule, clip. May be repeated.",
)
@fold_option
@click.option("--board", help="Board that --fold auto fits the design to.")
@verb
def convert(
    model: str,
    weights: Path | None,
    calibrate: Path,
    inputs: str,
    output: Path,
    name: str | None,
    schedule: str,
    input_schedule: str | None,
    layers: tuple[str, ...],
    fold: tuple[str, ...],
    board: str | None,
    **settings: Any,
) -> Outcome:
    """Turn a trained torch model into a design in integers.

    MODEL is path/to/file.py:factory, where the factory returns an nn.Module, or a .pt2 program
    saved by torch.export. What is not supported is refused by name before anything else runs.
    """
    from ..gen.calibrate import Options, parse_layer, parse_schedule
    from . import api, tables

    options = Options(
        schedule=parse_schedule(schedule),
        input_schedule=None if input_schedule is None else parse_schedule(input_schedule),
        layers=dict(parse_layer(word) for word in layers),
        **settings,
    )
    source = api.Model(
        spec=model,
        weights=None if weights is None else str(weights),
        calibrate=str(calibrate),
        inputs=inputs,
    )
    samples = api.load_data(calibrate, inputs=inputs, need_labels=False)
    with working("converting"):
        result = api.convert(source, samples, options, name=name, command=command_line())
    design, auto = fold_as_told(result.design, fold, board) if fold else (result.design, {})
    design.save(output)
    return Outcome(
        data={
            **auto,
            "design": output,
            "design_hash": design.hash,
            "name": design.name,
            "layers": design.provenance["layers"],
        },
        text=tables.of_conversion(design, output),
    )


@cli.command(epilog=examples("signfire evaluate design.npz --data test.npz"))
@click.argument("design", type=FILE)
@data_options
@click.option("--samples", type=int, help="Only the first N samples.")
@verb
def evaluate(design: Path, data: Path, inputs: str, labels: str, samples: int | None) -> Outcome:
    """Measure accuracy and event counts with the golden model."""
    from . import api, tables

    result = api.evaluate(design, api.load_data(data, inputs=inputs, labels=labels).first(samples))
    record = {
        "design_hash": result.design_hash,
        "accuracy": {"golden": result.accuracy, "samples": result.samples},
        "confusion": result.confusion,
        "activity": result.activity,
    }
    return Outcome(data=record, text=tables.of_evaluation(result))


@cli.command(
    epilog=examples(
        "signfire generate design.npz --board ulx3s-25f -o core",
        "signfire generate design.npz --fold fc1:pe=8,simd=16 --fold fc2:pe=2,simd=8 -o core",
    )
)
@click.argument("design", type=FILE)
@click.option("--board", help="Board whose device the core is made for; by default an ECP5.")
@fold_option
@click.option("--module", default="signfire_core", show_default=True, help="Name of the module.")
@click.option("-o", "--output", required=True, type=FILE, help="Folder for the files.")
@verb
def generate(
    design: Path, board: str | None, fold: tuple[str, ...], module: str, output: Path
) -> Outcome:
    """Write the network as Verilog for a design of your own.

    Beside the Verilog stand a JSON manifest (ports, data layout, latency, interval, hash) and an
    example that instantiates it.
    """
    from ..boards.boards import find_board
    from . import api, tables

    technology = "ecp5" if board is None else api.technology_of(find_board(board))
    chosen, auto = fold_as_told(api.load_design(design), fold, board)
    with working("generating Verilog"):
        result = api.generate(chosen, output, technology=technology, module=module)
    files = {"verilog": result.verilog, "manifest": result.manifest, "example": result.example}
    return Outcome(data={**files, **result.content, **auto}, text=tables.of_embedding(result))


@cli.command(
    short_help="Estimate cost and speed of a folding, without synthesis.",
    epilog=examples(
        "signfire fold design.npz --board icebreaker --fold fc1:pe=8,simd=7 --fold fc2:pe=2,simd=4",
        "signfire fold design.npz --board ulx3s-25f --fold auto -o folded.npz",
    ),
)
@click.argument("design", type=FILE)
@click.option("--board", required=True, help="Its name, see signfire boards.")
@fold_option
@click.option("-o", "--output", type=FILE, help="Write the design with this folding.")
@verb
def fold(design: Path, board: str, fold: tuple[str, ...], output: Path | None) -> Outcome:
    """Estimate what a folding costs on a board, and how fast it is, without synthesis.

    With --fold auto it finds the fastest folding that fits, by the estimate.
    """
    from ..boards.boards import find_board
    from . import api, tables

    choice = api.choose_fold(api.load_design(design), fold, board)
    chosen = choice.design
    result = api.estimate_on(chosen, find_board(board))
    if output is not None:
        chosen.save(output)
    return Outcome(
        data={
            "board": board,
            "folding": {p.name: p.folding for p in chosen.populations if p.folding},
            "cycles": {"latency": result.latency, "interval": result.interval},
            "estimate": needs_record(result.needs),
            "fits": result.fits,
            "auto_fold": auto_record(choice.auto),
            "design": output,
        },
        text=tables.of_costs(chosen, result, choice.auto),
    )


@cli.command(
    short_help="Compare the Verilog with the golden model, cycle by cycle.",
    epilog=examples(
        "signfire simulate design.npz --data test.npz",
        "signfire simulate design.npz --data test.npz --samples 2 --stalls 0.3 --waves",
        "signfire simulate design.npz --data test.npz --bulk",
    ),
)
@click.argument("design", type=FILE)
@data_options
@click.option("--samples", type=int, help="The first N samples; by default 3, --bulk all.")
@click.option("--bulk", is_flag=True, help="Compile to run free; compare logits and classes.")
@click.option("--board", help="Board whose hardware is simulated; by default an ECP5's.")
@fold_option
@click.option(
    "--stalls",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of cycles in which both ends pause, at random.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random stalls."
)
@click.option("--waves", is_flag=True, help="Write a VCD file.")
@click.option("-o", "--output", type=FILE, help="Folder; by default build/NAME-simulate.")
@verb
def simulate(
    design: Path,
    data: Path,
    inputs: str,
    labels: str,
    samples: int | None,
    bulk: bool,
    waves: bool,
    board: str | None,
    fold: tuple[str, ...],
    output: Path | None,
    **settings: Any,
) -> Outcome:
    """Compare the Verilog with the golden model and the cycle model, cycle by cycle.

    Every word of every stream, every membrane and every integrator must have the expected value on
    the predicted cycle. A difference is named by layer, neuron, step and cycle. With --bulk the
    same Verilog runs free over the whole file, and every logit, class and their cycles are
    compared.
    """
    from ..boards.boards import find_board
    from . import api, tables

    if bulk and waves:
        raise ValueError("--waves goes with the cycle check: leave out --bulk")
    loaded = api.load_design(design)
    found = api.load_data(data, inputs=inputs, labels=labels)
    found = found.first(3 if samples is None and not bulk else samples)
    chosen, auto = fold_as_told(loaded, fold, board)
    technology = api.technology_of(find_board(board or api.DEFAULT_BOARD))
    folder = output or Path("build") / f"{chosen.name}-simulate"
    settings["technology"] = technology
    if bulk:
        with shown("bulk check") as say:
            result = api.simulate_bulk(chosen, found, folder, progress=say, **settings)
    else:
        with shown("cycle check") as say:
            result = api.simulate(
                chosen,
                found,
                folder,
                waves=waves,
                progress=say,
                **settings,
            )
    return Outcome(
        data={
            "check": "bulk" if bulk else "cycle",
            "samples": result.samples,
            "equal": result.passed,
            "cycles": result.cycles,
            "compared": result.words,
            "cycles_per_s": result.cycles / result.seconds if result.seconds else None,
            "mismatches": result.mismatches,
            "waves": None if bulk else result.waves,
            **auto,
        },
        text=tables.of_simulation(result),
        status=DONE if result.passed else DIFFERENCE,
    )


@cli.command(
    epilog=examples(
        "signfire report design.npz --data test.npz -o report",
        "signfire report design.npz --data test.npz --over-steps 2,4,8 -o report",
    )
)
@click.argument("design", type=FILE)
@data_options
@click.option("--samples", type=int, help="Only the first N samples.")
@click.option("--example", default=0, show_default=True, help="Sample whose spikes are drawn.")
@click.option("--board", help="Also build for this board.")
@fold_option
@click.option(
    "--cycle-samples", default=2, show_default=True, help="Samples of the cycle check; 0: none."
)
@click.option("--bulk/--no-bulk", default=True, help="Run all samples through the Verilog.")
@click.option("--over-steps", help="T's of the plot over T, 2,4,8 for instance.")
@click.option("-o", "--output", required=True, type=FILE, help="Folder of the report.")
@click.option("--fresh", is_flag=True, help="Use nothing that was kept of an earlier run.")
@verb
def report(
    design: Path,
    data: Path,
    inputs: str,
    labels: str,
    samples: int | None,
    example: int,
    board: str | None,
    fold: tuple[str, ...],
    cycle_samples: int,
    bulk: bool,
    over_steps: str | None,
    output: Path,
    fresh: bool,
) -> Outcome:
    """Write report.html and report.json for a design.

    What was measured is kept in the folder and used again until something that it depends on
    changes.
    """
    from ..boards.boards import find_board
    from . import api, pipeline

    chosen, auto = fold_as_told(api.load_design(design), fold, board)
    job = pipeline.Job(
        design=chosen,
        board=None if board is None else find_board(board),
        cycle_samples=cycle_samples,
        bulk=bulk,
        data=api.load_data(data, inputs=inputs, labels=labels).first(samples),
        command=command_line(),
        curve=None if over_steps is None else whole_numbers("--over-steps", over_steps),
        example=example,
    )
    return written(*pipeline.report(job, output, fresh=fresh), auto)


@cli.command(
    short_help="Build the bitstream for a board, and a report.",
    epilog=examples(
        "signfire build design.npz --board icebreaker --data test.npz",
        "signfire build design.npz --board ulx3s-25f --seeds 1,2,3,4 -o build/fast",
        "signfire build design.npz --board icebreaker --fold fc1:pe=8,simd=16 --fold fc2:pe=1",
    ),
)
@click.argument("design", type=FILE)
@click.option("--board", required=True, help="Its name, see signfire boards.")
@fold_option
@click.option("--seeds", default="1", show_default=True, help="Of place and route: 1,2,3,4.")
@click.option("--frequency", type=MHZ, help="Clock in MHz in place of the fastest.")
@click.option("--data", type=FILE, help=".npz with samples and labels, for the report's accuracy.")
@click.option("--inputs", default="x", show_default=True, help="Array of samples.")
@click.option("--labels", default="y", show_default=True, help="Array of classes.")
@click.option("-o", "--output", type=FILE, help="Folder; by default build/NAME-BOARD.")
@verb
def build(
    design: Path,
    board: str,
    fold: tuple[str, ...],
    seeds: str,
    frequency: float | None,
    data: Path | None,
    inputs: str,
    labels: str,
    output: Path | None,
) -> Outcome:
    """Build the bitstream for a board, at the fastest clock that place and route meets.

    Ends with the bitstream and a report. With --data the hardware is checked on the samples before
    it is built. For a board whose tools are the vendor's it makes an archive that these tools
    finish elsewhere.
    """
    from ..boards.boards import find_board
    from . import api, pipeline

    target, numbers = find_board(board), whole_numbers("--seeds", seeds)
    loaded = api.load_design(design)
    samples = None if data is None else api.load_data(data, inputs=inputs, labels=labels)
    chosen, auto = fold_as_told(loaded, fold, target)
    folder = output or Path("build") / f"{chosen.name}-{target.name}"
    job = pipeline.Job(
        design=chosen,
        data=samples,
        command=command_line(),
        board=target,
        seeds=numbers,
        frequency=None if frequency is None else frequency * 1e6,
        cycle_samples=2,
        bulk=True,
    )
    return written(*pipeline.report(job, folder), auto)


@cli.command(
    name="verify-bitstream",
    short_help="Read a packed bitstream back, and check what it answers.",
    epilog=examples(
        "signfire verify-bitstream build/net-icebreaker design.npz --data test.npz",
        "signfire verify-bitstream signfire.fs design.npz --board tang-nano-9k --data test.npz",
    ),
)
@click.argument("build", type=FILE)
@click.argument("design", type=FILE)
@data_options
@click.option("--samples", default=1, show_default=True, help="Only the first N samples.")
@click.option("--board", help="Its name, where BUILD is a file and not the folder of a build.")
@fold_option
@click.option("-o", "--output", type=FILE, help="Folder; by default readback beside the file.")
@verb
def verify_bitstream(
    build: Path,
    design: Path,
    data: Path,
    inputs: str,
    labels: str,
    samples: int,
    board: str | None,
    fold: tuple[str, ...],
    output: Path | None,
) -> Outcome:
    """Turn a packed bitstream back into logic, simulate it pin by pin, and compare with golden.

    BUILD is the folder of a build, or a packed file with its --board. Nothing but the packed file
    is read: iCE40 by icebox_vlog (apt install fpga-icestorm), Gowin by the tile reader of
    gowin_unpack.
    """
    from ..boards.boards import find_board
    from . import api, tables

    found = api.find_build(build, board)
    target = find_board(found.board)
    loaded = api.load_design(design)
    chosen, auto = fold_as_told(loaded, fold, target)
    wanted = api.load_data(data, inputs=inputs, labels=labels).first(samples)
    with shown("bitstream check") as say:
        result = api.verify_bitstream(
            found.bitstream,
            target,
            chosen,
            wanted,
            output or found.bitstream.parent / "readback",
            progress=say,
        )
    return Outcome(
        data={
            "bitstream": result.bitstream,
            "board": result.board,
            "samples": result.samples,
            "compared": result.words,
            "equal": result.passed,
            "clock_hz": result.clock_hz,
            "cells": result.cells,
            "mismatches": result.mismatches,
            **auto,
        },
        text=tables.of_bitstream(result),
        status=DONE if result.passed else DIFFERENCE,
    )


@cli.command(
    short_help="Let a board answer samples, and check what it says.",
    epilog=examples(
        "signfire infer design.npz --port /dev/ttyUSB1 --data test.npz",
        "signfire infer design.npz --port COM5 --data test.npz --samples 100",
    ),
)
@click.argument("design", type=FILE)
@click.option("--port", required=True, help="Serial port of the board.")
@click.option("--board", help="Its name, for a link of another speed than 1 Mbaud.")
@data_options
@click.option("--samples", type=int, help="Only the first N samples.")
@verb
def infer(
    design: Path,
    port: str,
    board: str | None,
    data: Path,
    inputs: str,
    labels: str,
    samples: int | None,
) -> Outcome:
    """Let a board answer samples, and compare each logit with the golden model.

    A board that runs another design is refused.
    """
    from ..boards.boards import BAUD, find_board
    from . import api, tables

    found = api.load_data(data, inputs=inputs, labels=labels).first(samples)
    baud = BAUD if board is None else find_board(board).baud
    with working(f"asking the board on {port}"):
        result = api.infer(design, port, found, baud=baud)
    equal = result.equal == len(found)
    return Outcome(
        data={
            "samples": len(found),
            "equal": result.equal,
            "accuracy": None if result.correct is None else result.correct / len(found),
            "labels": result.labels,
            "cycles": result.cycles,
            "seconds": result.seconds,
            "clock_hz": result.clock_hz,
        },
        text=tables.of_inference(result),
        status=DONE if equal else DIFFERENCE,
    )


@cli.command(
    short_help="Take the MNIST example from torch to a bitstream and a report.",
    epilog=examples("signfire demo", "signfire demo --board ulx3s-25f"),
)
@click.option("--board", default="icebreaker", show_default=True, help="See signfire boards.")
@click.option(
    "-o", "--output", type=FILE, default=Path("build/demo"), show_default=True, help="Folder."
)
@click.option("--fresh", is_flag=True, help="Use nothing that was kept of an earlier run.")
@verb
def demo(board: str, output: Path, fresh: bool) -> Outcome:
    """Take the example, an MNIST perceptron, from torch to a bitstream and a report.

    A second run does again only what has changed.
    """
    from . import demo

    return written(*demo.run(board, output, fresh=fresh, command=command_line()))


@cli.command(epilog=examples("signfire boards", "signfire boards ice"))
@click.argument("words", nargs=-1)
@verb
def boards(words: tuple[str, ...]) -> Outcome:
    """List the boards, or those whose name or part holds one of WORDS."""
    from ..boards.boards import list_boards
    from . import tables

    found = [
        board
        for board in list_boards()
        if not words
        or any(w.lower() in f"{board.name} {board.title} {board.part}".lower() for w in words)
    ]
    if not found:
        raise ValueError(f"no board matches {' '.join(words)} (signfire boards lists them all)")
    return Outcome(
        data={"boards": [tables.board_record(board) for board in found]},
        text=tables.of_boards(found),
    )


@cli.command(short_help="Check every tool that signfire runs.", epilog=examples("signfire doctor"))
@verb
def doctor() -> Outcome:
    """Check every tool that signfire runs: version, place, and what to do where one is missing.

    Exit status 2 where one is missing that signfire cannot do without.
    """
    from ..boards.toolchain import MISSING, tools
    from . import tables

    found = tools()
    missing = [tool.name for tool in found if tool.required and tool.state == MISSING]
    return Outcome(
        data={"ready": not missing, "missing": missing, "tools": found},
        text=tables.of_tools(found),
        status=USER if missing else DONE,
    )


def main() -> None:
    """Entry point of the ``signfire`` program."""
    sys.exit(run_program(cli, "signfire"))
