"""Verbs for a board that has its bitstream; imported as thinly as :mod:`.cli` itself."""

from pathlib import Path

import click

from .console import DIFFERENCE, DONE, Outcome, verb, working
from .options import FILE, data_options, examples


@click.command(
    short_help="Let a board answer samples, and check what it says.",
    epilog=examples(
        "signfire infer design.npz --port /dev/ttyUSB1 --data test.npz",
        "signfire infer design.npz --port COM5 --data test.npz --samples 100",
        "signfire infer design.npz --port spidev:0.0:20M --data test.npz",
        "signfire infer design.npz --port ftdi://ftdi:232h/1:20M --data test.npz",
    ),
)
@click.argument("design", type=FILE)
@click.option(
    "--port",
    required=True,
    help="Serial port of the board, or SPI: spidev:BUS.DEVICE[:HZ], ftdi://...[:HZ].",
)
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


COMMANDS = (infer,)
