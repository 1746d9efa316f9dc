"""Verbs that study a model before hardware is made of it; imported as thinly as :mod:`.cli`."""

import shlex
from pathlib import Path

import click

from .console import DONE, Outcome, shown, verb
from .options import FILE, command_line, examples


@click.command(
    name="tune-schedule",
    short_help="Search firing, codes, T and step sizes for a model.",
    epilog=examples(
        "the best answers within 16 steps of overlapped firing:",
        "signfire tune-schedule model.py:make_net --weights net.pth --calibrate train.npz \\",
        "    --firing overlapped --budget 16 -o design.npz",
        "the fewest steps that change at most one answer in a hundred:",
        "signfire tune-schedule model.py:make_net --weights net.pth --calibrate train.npz \\",
        "    --loss 1 --budget 32 --trials 60 -o design.npz",
    ),
)
@click.argument("model")
@click.option("--weights", type=FILE, help="State dict of the model (a .pt2 has its own).")
@click.option("--calibrate", required=True, type=FILE, help=".npz of typical samples.")
@click.option("--inputs", default="x", show_default=True, help="Array of samples in it.")
@click.option("-o", "--output", required=True, type=FILE, help="The design file to write.")
@click.option("--name", help="Name of the design; by default the factory's.")
@click.option("--budget", default=8, show_default=True, help="Mean T of the populations, at most.")
@click.option(
    "--loss",
    type=float,
    metavar="POINTS",
    help="Answers in a hundred that may differ from the float network's: seek the fewest steps. "
    "Without it: the best answers within the budget.",
)
@click.option(
    "--firing",
    type=click.Choice(["any", "settled", "overlapped"]),
    default="any",
    show_default=True,
    help="Ways of firing to look at.",
)
@click.option("--free", is_flag=True, help="Move single steps of the best overlapped schedule too.")
@click.option("--weight-bits", default=8, show_default=True, help="Bits of a weight, 2 to 8.")
@click.option("--trials", default=40, show_default=True, help="How many choices are tried in all.")
@click.option("--images", default=64, show_default=True, help="Samples whose answers are compared.")
@click.option("--samples", default=500, show_default=True, help="Samples of a full conversion.")
@click.option("--seed", default=0, show_default=True, help="Of samples and trials.")
@click.option(
    "--record",
    type=FILE,
    help="File of finished trials, from which an interrupted search goes on; by default beside "
    "the design.",
)
@verb
def tune_schedule(
    model: str,
    weights: Path | None,
    calibrate: Path,
    inputs: str,
    output: Path,
    name: str | None,
    budget: int,
    loss: float | None,
    firing: str,
    free: bool,
    weight_bits: int,
    trials: int,
    images: int,
    samples: int,
    seed: int,
    record: Path | None,
) -> Outcome:
    """Search firing, codes, T of every population and step sizes, on the golden model.

    What is compared are answers of the golden model and of the float network, so no labels are
    needed: no more accuracy is lost than answers differ. Trials are kept as they come; the same
    command goes on where it was interrupted, and comes to the same end. It prints the signfire
    convert command that makes the design again.
    """
    from dataclasses import replace

    from ..gen.calibrate import Options
    from . import api, tables, tune

    goal = tune.Goal(budget=budget, loss=loss)
    base = Options(weight_bits=weight_bits, samples=samples)
    source = api.Model(
        spec=model,
        weights=None if weights is None else str(weights),
        calibrate=str(calibrate),
        inputs=inputs,
    )
    data = api.load_data(calibrate, inputs=inputs, need_labels=False)
    network = api.load_network(source, data.x, name=name)
    search = tune.Search(
        network,
        data.x,
        goal,
        base=base,
        firings=tune.FIRINGS if firing == "any" else (firing,),
        free=free,
        images=images,
        seed=seed,
        record=record or output.with_suffix(".tune.jsonl"),
    )
    resumed = len(search.kept)
    with shown("tuning") as say:
        found = search.run(trials, say)
    design = replace(
        found.design,
        provenance={
            **found.design.provenance,
            "command": command_line(),
            "versions": api.versions(),
            "model": vars(source.absolute),
        },
    )
    design.save(output)
    asked = ["signfire", "convert", model, "--calibrate", str(calibrate), "-o", str(output)]
    asked += [] if weights is None else ["--weights", str(weights)]
    asked += [] if inputs == "x" else ["--inputs", inputs]
    asked += [] if name is None else ["--name", name]
    again = shlex.join([*asked, *tune.words(found.best.options)])
    data_out = tune.record_of(found)
    return Outcome(
        data={
            **data_out,
            "design": output,
            "design_hash": design.hash,
            "resumed": min(resumed, trials),
            "convert": again,
        },
        text=tables.of_tuning(found, output, again),
        status=DONE,
    )


COMMANDS: tuple[click.Command, ...] = (tune_schedule,)
