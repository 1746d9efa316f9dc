"""Verbs that study a model before hardware is made of it; imported as thinly as :mod:`.cli`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import DIFFERENCE, DONE, Outcome, shown, verb
from .options import (
    FILE,
    NEW_FILE,
    REAL,
    SEED,
    argument_option,
    command_line,
    data_options,
    examples,
    given_data,
    model_options,
    numbers,
    sample_options,
    shape_option,
    tell_random_weights,
    whole_numbers,
)

if TYPE_CHECKING:
    from .source import Named


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
@argument_option("Argument of the factory. May be repeated.")
@click.option(
    "--calibrate",
    required=True,
    type=FILE,
    help="Typical samples: .npz, .npy, .csv, or a folder of images.",
)
@sample_options
@shape_option
@click.option("-o", "--output", required=True, type=NEW_FILE, help="The design file to write.")
@click.option("--name", help="Name of the design; by default the factory's.")
@click.option("--budget", default=8, show_default=True, help="Mean T of the populations, at most.")
@click.option(
    "--loss",
    type=REAL,
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
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of samples and trials.")
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
    inputs: str | None,
    labels: str | None,
    white: int,
    sample_shape: str | None,
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
    arguments: tuple[str, ...],
) -> Outcome:
    """Search firing, codes, T of every population and step sizes, on the golden model.

    What is compared are answers of the golden model and of the float network, so no labels are
    needed: no more accuracy is lost than answers differ. Trials are kept as they come; the same
    command goes on where it was interrupted, and comes to the same end. It prints the signfire
    convert command that makes the design again. Exit status 1 where no choice keeps the loss.
    """
    from dataclasses import replace

    from ..gen.convert.options import Options
    from . import api, tables, tune
    from .claim import claim_file

    goal = tune.Goal(budget=budget, loss=loss)
    base = Options(weight_bits=weight_bits, samples=samples)
    source = api.Model(
        spec=model,
        weights=None if weights is None else str(weights),
        calibrate=str(calibrate),
        inputs=inputs or "x",
        labels=labels,
        white=white,
        arguments=arguments,
        shape=() if sample_shape is None else whole_numbers("--sample-shape", sample_shape),
    )
    data = source.samples()
    tell_random_weights(source)
    network, kept = api.loaded(source, data.x, name=name, inputs=data.parts)
    record = record or output.with_suffix(".tune.jsonl")
    with claim_file(record):
        search = tune.Search(
            network,
            data.x,
            goal,
            base=base,
            firings=tune.FIRINGS if firing == "any" else (firing,),
            free=free,
            images=images,
            seed=seed,
            record=record,
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
            "model": kept,
        },
    )
    design.save(output)
    asked = ["signfire", "convert", model, "--calibrate", str(calibrate), "-o", str(output)]
    asked += [] if weights is None else ["--weights", str(weights)]
    asked += [word for each in arguments for word in ("--arg", each)]
    asked += [] if inputs is None else ["--inputs", inputs]
    asked += [] if labels is None else ["--labels", labels]
    asked += [] if white == 1 else ["--white", str(white)]
    asked += [] if sample_shape is None else ["--sample-shape", sample_shape]
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
        status=DONE if found.met else DIFFERENCE,
    )


@click.command(
    short_help="Write a page on neurons, codes and schedules.",
    epilog=examples(
        "signfire analyse design.npz --data test.npz --samples 500",
        "signfire analyse design.npz --data test.npz --settled 3,4,5 --overlapped 16,32 -o pages",
    ),
)
@click.argument("design", type=FILE)
@data_options
@model_options
@click.option("--samples", default=500, show_default=True, help="Only the first N samples.")
@click.option(
    "--settled", default="2,3,4,5,6,8", show_default=True, help="T of settled firing to look at."
)
@click.option(
    "--overlapped", default="8,16,32,64", show_default=True, help="T of overlapped firing."
)
@click.option(
    "--rate", default="8,16,32,64,128", show_default=True, help="T of integrate-and-fire."
)
@click.option("-o", "--output", type=FILE, help="Folder; by default build/NAME-study.")
@verb
def analyse(
    design: Path,
    data: Path,
    inputs: str | None,
    labels: str | None,
    white: int,
    samples: int,
    settled: str,
    overlapped: str,
    rate: str,
    output: Path | None,
    named: "Named",
) -> Outcome:
    """Write analysis.html and analysis.json: error, accuracy, membranes and events over T.

    DESIGN must have been made by signfire convert: its float model is read again (a model file is
    run, see --model), and converted for
    settled firing at each T, for overlapped firing with the paper's schedule and, where all neurons
    are ReLU, for integrate-and-fire with a rate code.
    """
    from . import analysis, api, source, tables
    from .page import write_page
    from .source import not_converted

    loaded = api.load_design(design)
    found = given_data(data, inputs, labels, white, loaded, samples)
    question = analysis.Question(
        settled=sorted(whole_numbers("--settled", settled)),
        overlapped=sorted(whole_numbers("--overlapped", overlapped)),
        rate=sorted(whole_numbers("--rate", rate)),
    )
    analysis.check_question(loaded, question)
    origin = source.read(loaded, named)
    with shown("analysis") as say:
        record, sections = analysis.analyse(
            loaded, origin.network, origin.calibrate.x, found, question, say
        )
    record["float_differs"] = origin.differs
    page = write_page(
        output or Path("build") / f"{loaded.name}-study",
        "analysis",
        {**record, "command": command_line()},
        title=f"{loaded.name}: analysis",
        intro=f"{len(loaded.populations) - 2} hidden populations; golden model in integers.",
        warnings=not_converted(origin.differs),
        sections=sections,
        command=command_line(),
    )
    return Outcome(
        data={
            "page": page,
            "accuracy": record["accuracy"],
            "float_differs": origin.differs,
        },
        text=[*not_converted(origin.differs), *tables.of_analysis(record, page)],
    )


@click.command(
    short_help="Measure accuracy under input noise and flipped events.",
    epilog=examples(
        "signfire robustness design.npz --data test.npz",
        "signfire robustness design.npz --data test.npz --flips 0.001,0.01 --noise 0.1",
        "beside another design of the same model:",
        "signfire robustness design.npz --data test.npz --beside overlapped.npz",
    ),
)
@click.argument("design", type=FILE)
@data_options
@model_options
@click.option("--samples", default=500, show_default=True, help="Only the first N samples.")
@click.option(
    "--noise",
    default="0,0.02,0.05,0.1,0.2,0.3",
    show_default=True,
    help="Standard deviations of the noise, in shares of the input's range.",
)
@click.option(
    "--flips",
    default="0,0.0003,0.001,0.003,0.01,0.03,0.1",
    show_default=True,
    help="Rates of flipped events.",
)
@click.option("--beside", multiple=True, type=FILE, help="Another design of the same model.")
@click.option(
    "--baseline-steps",
    default=64,
    show_default=True,
    help="T of integrate-and-fire with a rate code, beside networks of ReLU; 0 leaves it out.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of noise and flips.")
@click.option("-o", "--output", type=FILE, help="Folder; by default build/NAME-study.")
@verb
def robustness(
    design: Path,
    data: Path,
    inputs: str | None,
    labels: str | None,
    white: int,
    samples: int,
    noise: str,
    flips: str,
    beside: tuple[Path, ...],
    baseline_steps: int,
    seed: int,
    output: Path | None,
    named: "Named",
) -> Outcome:
    """Write robustness.html and robustness.json: accuracy under noise and flipped events.

    The float network, the golden model of DESIGN, and integrate-and-fire neurons with a rate code
    stand side by side. Noise is added to the input values; of the events of all neurons, a share
    arrives as the opposite.
    """
    from ..gen.convert.calibrate import calibrate
    from . import analysis, api, source, tables
    from . import robustness as study
    from .page import write_page
    from .source import not_converted

    loaded = api.load_design(design)
    found = given_data(data, inputs, labels, white, loaded, samples)
    deviations, rates = numbers("--noise", noise), numbers("--flips", flips)
    origin = source.read(loaded, named)
    network = origin.network
    designs = {"golden": loaded}
    for path in beside:
        designs[path.stem] = api.load_design(path)
    if baseline_steps and loaded.dynamics == "signgd" and analysis.relu_only(network):
        options = analysis.rate_as(api.options_of(loaded), baseline_steps)
        name = f"integrate-and-fire, T = {baseline_steps}"
        designs[name] = calibrate(network, origin.calibrate.x, options)
    with shown("robustness") as say:
        record = study.measure(
            designs, network, found, noise=deviations, flips=rates, seed=seed, progress=say
        )
    record["float_differs"] = origin.differs
    page = write_page(
        output or Path("build") / f"{loaded.name}-study",
        "robustness",
        {**record, "command": command_line()},
        title=f"{loaded.name}: robustness",
        intro=f"{len(found):,} samples; golden models in integers.",
        warnings=not_converted(origin.differs),
        sections=study.sections(record),
        command=command_line(),
    )
    return Outcome(
        data={"page": page, **record},
        text=[*not_converted(origin.differs), *tables.of_robustness(record, page)],
    )


COMMANDS: tuple[click.Command, ...] = (tune_schedule, analyse, robustness)
