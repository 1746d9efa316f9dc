"""Verbs that prove what was built; imported as thinly as :mod:`.cli` itself."""

from pathlib import Path

import click

from .console import DIFFERENCE, DONE, Outcome, shown, verb
from .options import FILE, SEED, data_options, examples, fold_as_told, fold_option, given_data


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
    inputs: str | None,
    labels: str | None,
    white: int,
    samples: int,
    board: str | None,
    fold: tuple[str, ...],
    output: Path | None,
) -> Outcome:
    """Turn a packed bitstream back into logic, simulate it pin by pin, and compare with golden.

    BUILD is the folder of a build, or a packed file with its --board; DESIGN is folded as it was
    built. Nothing but the packed file is read: iCE40 by icebox_vlog (apt install fpga-icestorm),
    Gowin by the tile reader of gowin_unpack. No tool gives the logic of an ECP5 back: there every
    word of the memories is compared with the design, and BUILD must be the folder.
    """
    from ..boards.boards import find_board
    from ..boards.build import SHAPE
    from ..boards.finished import read_build
    from ..gen.design.design import Design
    from . import api, proof, tables

    if build.is_file():
        if board is None:
            raise ValueError(f"the board of {build} is not known (give --board)")
        bitstream, target, folder, shape = build, find_board(board), None, None
    else:
        found = read_build(build)
        bitstream, target, folder = found.bitstream, found.board, found.folder
        shape = Design.load(folder / SHAPE) if (folder / SHAPE).is_file() else None
    loaded = api.load_design(design)
    wanted = given_data(data, inputs, labels, white, loaded, samples)
    chosen, auto = fold_as_told(loaded, fold, target)
    with shown("bitstream check") as say:
        result = proof.verify_bitstream(
            bitstream,
            target,
            chosen,
            wanted,
            output or bitstream.parent / "readback",
            build=folder,
            shape=shape,
            progress=say,
        )
    return Outcome(
        data={**tables.chip_record(result), "promise": result.promise, **auto},
        text=tables.of_chip(result),
        status=DONE if result.passed else DIFFERENCE,
    )


@click.command(
    short_help="Plant faults, and count which check catches each first.",
    epilog=examples(
        "signfire faults design.npz --data test.npz --board icebreaker",
        "signfire faults design.npz --data test.npz --count 1000 --seed 7 --samples 20",
        "one of them again, alone:",
        "signfire faults design.npz --data test.npz --board icebreaker --only 17",
    ),
)
@click.argument("design", type=FILE)
@data_options
@click.option("--board", help="Board whose hardware is taken; by default an ECP5's.")
@fold_option
@click.option("--count", default=200, show_default=True, help="How many faults.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Which faults; equal seeds, equal ones."
)
@click.option("--samples", default=8, show_default=True, help="The sample set: the first N.")
@click.option("--only", type=int, metavar="ID", help="Run this fault alone, by its number.")
@click.option("-o", "--output", type=FILE, help="Folder; by default build/NAME-faults.")
@click.option("--fresh", is_flag=True, help="Use nothing that was kept of an earlier run.")
@verb
def faults(
    design: Path,
    data: Path,
    inputs: str | None,
    labels: str | None,
    white: int,
    board: str | None,
    fold: tuple[str, ...],
    count: int,
    seed: int,
    samples: int,
    only: int | None,
    output: Path | None,
    fresh: bool,
) -> Outcome:
    """Plant faults one at a time, and count which check catches each first.

    Flipped are bits of the saved design, of weights, biases, factors and step sizes in ROM, of
    constants in the logic, of wires (stuck at 0 or 1, inverted) and, once, of registers and RAM. A
    fault is harmful if it changes any event of any neuron, a logit or a class; that is judged by
    a second simulation and by the golden model with the faulty number, not by the checks. Exit
    status 1 where a harmful fault escapes them all.

    What was found is kept as it comes: a campaign that was interrupted goes on where it stopped.
    """
    from ..boards.boards import find_board
    from ..sim.faults import run_faults
    from . import api, fault_table
    from .claim import claim

    loaded = api.load_design(design)
    found = given_data(data, inputs, labels, white, loaded, samples)
    chosen, auto = fold_as_told(loaded, fold, board)
    folder = output or fault_table.default_folder(chosen.name)
    with claim(folder), shown("fault campaign") as say:
        result = run_faults(
            chosen,
            chosen.raw_samples(found.x),
            folder,
            technology=api.technology_of(find_board(board or api.DEFAULT_BOARD)),
            count=count,
            seed=seed,
            only=only,
            fresh=fresh,
            progress=say,
        )
    record = fault_table.summary(result)
    alone = None if only is None else result.outcomes[0]
    return Outcome(
        data={**record, "faults": [fault_table.fault_record(o) for o in result.outcomes], **auto},
        text=fault_table.of_faults(record) if alone is None else fault_table.of_fault(alone),
        status=DONE if result.passed else DIFFERENCE,
    )


COMMANDS: tuple[click.Command, ...] = (verify_bitstream, faults)
