"""Verbs that prove what was built; imported as thinly as :mod:`.cli` itself."""

from pathlib import Path

import click

from .console import DIFFERENCE, DONE, Outcome, shown, verb
from .options import FILE, data_options, examples, fold_as_told, fold_option


@click.command(
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
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Only the first N samples.",
)
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

    BUILD is the folder of a build, or a packed file with its --board; DESIGN is folded as it was
    built. Nothing but the packed file is read: iCE40 by icebox_vlog (apt install fpga-icestorm),
    Gowin by the tile reader of gowin_unpack.
    """
    from ..boards.boards import find_board
    from . import api, proof, tables

    found = proof.find_build(build, board)
    target = find_board(found.board)
    chosen, auto = fold_as_told(api.load_design(design), fold, target)
    wanted = api.load_data(data, inputs=inputs, labels=labels, need_labels=False).first(samples)
    with shown("bitstream check") as say:
        result = proof.verify_bitstream(
            found.bitstream,
            target,
            chosen,
            wanted,
            output or found.bitstream.parent / "readback",
            progress=say,
        )
    return Outcome(
        data={**tables.chip_record(result), "promise": result.promise, **auto},
        text=tables.of_chip(result),
        status=DONE if result.passed else DIFFERENCE,
    )


COMMANDS = (verify_bitstream,)
