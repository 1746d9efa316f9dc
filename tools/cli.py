"""Command line: a thin skin on :mod:`signfire.tools.api`.

Verbs import what they need when they run, so that ``signfire boards`` does not wait for torch.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import cli_board, cli_proof, cli_study
from .console import DIFFERENCE, DONE, USER, Outcome, progress, run_program, shown, verb, working
from .options import (
    COUNT,
    COUNT_OF_SAMPLES,
    DATA,
    FILE,
    MHZ,
    NEW_FILE,
    REAL,
    Finite,
    InOrder,
    argument_option,
    auto_record,
    choose_fold,
    command_line,
    data_options,
    examples,
    fold_as_told,
    fold_option,
    given_data,
    head_options,
    headroom_option,
    is_told,
    link_option,
    model_options,
    needs_record,
    sample_options,
    shape_option,
    tell_random_weights,
    told_fold,
    weight_options,
    whole_numbers,
    written,
)

if TYPE_CHECKING:
    from .heads import HeadOptions
    from .source import Named


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


@cli.command(
    epilog=examples(
        "signfire convert model.py:make_net --weights net.pth --calibrate train.npz -o design.npz",
        "signfire convert net.pt2 --calibrate train.npz --steps 6 --weight-bits 6 -o design.npz",
        "signfire convert model.py:make_net --weights net.pth --calibrate train.npz \\",
        "    --layer fc1:steps=3 --layer fc2:weight_bits=8 -o design.npz",
        "signfire convert cnn.py:make_net --weights cnn.pth --calibrate train.npz --steps 6 \\",
        "    --weight-bits auto --budget-bits 5 -o design.npz",
        "as the paper's authors run their code:",
        "signfire convert model.py:make_net --weights net.pth --calibrate train.npz --paper \\",
        "    --weight-bits 8 -o design.npz",
        "the paper's dynamics with our scales:",
        "signfire convert model.py:make_net --weights net.pth --calibrate train.npz --steps 32 \\",
        "    --firing overlapped --schedule exponential:0.15,0.95 --code centred -o design.npz",
        "integrate-and-fire neurons with a rate code, to compare with:",
        "signfire convert model.py:make_net --weights net.pth --calibrate train.npz --steps 64 \\",
        "    --dynamics if --percentile 99.9 -o rate.npz",
    )
)
@click.argument("model")
@click.option(
    "--weights",
    type=FILE,
    help="State dict of the model, or a checkpoint that holds one (.pth, .safetensors); a .pt2 has "
    "its own.",
)
@argument_option("Argument of the factory, a Python literal or text. May be repeated.")
@click.option(
    "--calibrate",
    required=True,
    type=FILE,
    help="Typical samples, some hundred do: .npz, .npy, .csv, or a folder of images.",
)
@sample_options
@shape_option
@click.option(
    "--groups",
    metavar="NAME|N",
    help="Which samples belong together, as windows of one recording do: the array or column that "
    "says so, or how many in a row. What is lost is then measured on groups that did not "
    "calibrate; by default each sample stands alone.",
)
@head_options
@click.option("-o", "--output", required=True, type=NEW_FILE, help="The design file to write.")
@click.option("--name", help="Name of the design; by default the factory's.")
@click.option(
    "--steps",
    type=int,
    help="T, time steps of the layers; by default 4, or what the levels of a layer take that was "
    "trained with quantisation.",
)
@click.option(
    "--weight-bits",
    metavar="N|auto",
    help="Bits of a weight, 2 to 8; auto: for each layer by its measured sensitivity; by default "
    "4, or as many as weights take that were trained with quantisation.",
)
@click.option(
    "--multiplier-bits",
    type=click.IntRange(4, 32),
    default=8,
    show_default=True,
    help="Bits of the factors that scale sums; scales that were trained take 16 at least.",
)
@click.option(
    "--ties",
    type=click.Choice(["down", "up", "even"]),
    help="Where neurons go that are exactly between two levels; by default down, or as the model "
    "was trained.",
)
@click.option(
    "--budget-bits",
    type=REAL,
    metavar="N",
    help="With --weight-bits auto: mean bits of a weight, 2 to 8.",
)
@click.option(
    "--equalise",
    type=Finite(0, 1),
    help="How far channels move to a range of their own; by default 0 without convolutions, else "
    "1 from 7 bits of weight on and 0.5 below.",
)
@click.option(
    "--input-steps",
    type=int,
    help="T of the input; by default the fewest that add no more error than all else, measured; "
    "summed with a layer, that layer's; overlapped as --steps.",
)
@click.option(
    "--firing",
    type=click.Choice(["settled", "overlapped"]),
    default="settled",
    show_default=True,
    help="settled: after all inputs arrived; overlapped: in the same step (the paper's).",
)
@click.option(
    "--dynamics",
    type=click.Choice(["signgd", "if", "lif"]),
    default="signgd",
    show_default=True,
    help="if, lif: the baseline of integrate-and-fire neurons with a rate code, and of leaky ones, "
    "for networks of ReLU (lif in the golden model alone); T and --percentile say all about them.",
)
@click.option(
    "--paper",
    is_flag=True,
    help="The conventions of the paper's authors, exactly: overlapped firing from 0, step sizes "
    "0.15 * 0.95^t in real numbers (--schedule takes others), T = 32, the input as it is, a scale "
    "for every ReLU, and their ties (see docs/paper.md).",
)
@click.option(
    "--leak",
    default=4,
    show_default=True,
    help="Of lif: a membrane keeps 1 - 2^-N of itself at a step.",
    metavar="N",
)
@click.option(
    "--schedule",
    default="binary",
    show_default=True,
    help="binary, exponential:ETA0,GAMMA, inverse:ETA0, constant:ETA0, list:8,4,2,1 or "
    "list@ETA0:8,4,2,1; without ETA0 the range of values is searched.",
)
@click.option(
    "--code",
    type=click.Choice(["auto", "silent", "offset", "centred"]),
    default="auto",
    show_default=True,
    help="What a train without events means: 0 (silent), the least value of the layer (offset), "
    "as in the paper (centred; auto in overlapped firing).",
)
@click.option(
    "--input-bits",
    default=8,
    show_default=True,
    help="Bits of a raw value, for float samples; integers keep the range of their type.",
)
@click.option(
    "--input-percentile",
    type=REAL,
    default=100.0,
    show_default=True,
    help="Percentile of the magnitudes of float samples that the input reaches to; what lies "
    "beyond is taken for the end. Below 100 where a few values lie far from all others; of "
    "features of different ranges each is looked at by itself.",
)
@click.option(
    "--input-scales",
    type=click.Choice(["auto", "one", "each"]),
    default="auto",
    show_default=True,
    help="one: a scale for the whole input; each: a scale and an offset for every feature, or "
    "channel of planes; auto: by the error that the samples predict.",
)
@click.option("--input-schedule", help="Schedule of the input; by default as --schedule.")
@click.option(
    "--input-code",
    type=click.Choice(["auto", "silent", "offset", "centred"]),
    help="Code of the input; by default as --code.",
)
@click.option(
    "--percentile",
    type=REAL,
    default=100.0,
    show_default=True,
    help="Percentile of the activations that is their scale, where the schedule has an ETA0, or "
    "the threshold of if and lif.",
)
@click.option(
    "--samples", default=5000, show_default=True, help="Calibration samples used at most."
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME:KEY=VALUE,...",
    help="Exception for a layer: steps, weight_bits, code, schedule, clip, reach. May be repeated.",
)
@fold_option
@click.option("--board", help="Board that --fold auto fits the design to.")
@click.option(
    "--like",
    type=FILE,
    help="Design whose input format, codes, shifts, widths and folding are taken over, so that "
    "signfire reweight can put the new one into a build of it; weights whose sums do not fit get a "
    "coarser scale.",
)
@headroom_option
@click.option(
    "--accept",
    type=Finite(0, 100),
    default=1.0,
    show_default=True,
    metavar="PERCENT",
    help="Answers of a hundred that may differ from the float network's: where more do, convert "
    "says which population loses most, and what cures it.",
)
@click.option(
    "--loss",
    type=Finite(0, 100, max_open=True),
    metavar="POINTS",
    help="Search the cheapest settings (T of every population and of the input, bits of weights, "
    "codes, ranges) with which no more accuracy is expected to be lost; --steps, --weight-bits and "
    "--input-steps are then the most that is tried. Finished trials are kept beside the design: "
    "the same command goes on, and Ctrl-C takes the best so far.",
)
@click.option("--trials", type=click.IntRange(1), default=80, show_default=True, help="Of --loss.")
@verb
def convert(
    model: str,
    weights: Path | None,
    calibrate: Path,
    inputs: str | None,
    labels: str | None,
    white: int,
    head: "HeadOptions",
    output: Path,
    name: str | None,
    weight_bits: str | None,
    budget_bits: float | None,
    schedule: str,
    input_schedule: str | None,
    layers: tuple[str, ...],
    arguments: tuple[str, ...],
    sample_shape: str | None,
    groups: str | None,
    fold: tuple[str, ...],
    board: str | None,
    like: Path | None,
    accept: float,
    loss: float | None,
    trials: int,
    headroom: int | None,
    paper: bool,
    **settings: Any,
) -> Outcome:
    """Turn a trained torch model into a design in integers.

    MODEL is path/to/file.py:factory, where the factory returns an nn.Module, or a .pt2 program
    saved by torch.export. What is not supported is refused by name before anything else runs.
    """
    from ..gen.convert.options import Options, paper_options, parse_layer, parse_schedule
    from . import api, tables

    settings["schedule"] = parse_schedule(schedule)
    if paper:
        settings = {key: value for key, value in settings.items() if is_told(key)}
    options = (paper_options if paper else Options)(
        **weight_options(weight_bits, budget_bits),
        input_schedule=None if input_schedule is None else parse_schedule(input_schedule),
        layers=dict(parse_layer(word) for word in layers),
        **settings,
    )
    source = api.Model(
        spec=model,
        weights=None if weights is None else str(weights),
        calibrate=str(calibrate),
        inputs=inputs or "x",
        labels=labels,
        white=white,
        arguments=arguments,
        shape=() if sample_shape is None else whole_numbers("--sample-shape", sample_shape),
        groups=groups,
    )
    samples = source.samples(need_labels=None)
    with working("converting") as doing:
        result = api.convert(
            source,
            samples,
            options,
            name=name,
            like=like,
            headroom=headroom,
            accept=accept,
            loss=loss,
            trials=trials,
            trial_record=None if loss is None else output.with_suffix(".loss.jsonl"),
            board=board,
            head=head,
            command=command_line(),
            progress=doing,
        )
    search = result.design.provenance.get("search")
    tell_random_weights(source)
    for note in result.notes:
        progress.print(f"warning: {note}", soft_wrap=True)
    design, auto = fold_as_told(result.design, fold, board) if fold else (result.design, {})
    design.save(output)
    return Outcome(
        data={
            **auto,
            "design": output,
            "design_hash": design.hash,
            "name": design.name,
            "outputs": design.head.record(),
            "layers": design.provenance["layers"],
            "value_steps": design.provenance.get("value_steps"),
            "input_steps": design.provenance.get("input_steps"),
            "verdict": design.provenance["verdict"],
            "search": search,
        },
        text=tables.of_conversion(design, output),
        status=DONE if search is None or search["met"] else DIFFERENCE,
    )


@cli.command(
    short_help="Measure how right the golden model answers.",
    epilog=examples(
        "signfire evaluate design.npz --data test.npz",
        "signfire evaluate design.npz --data test.csv --labels defect",
        "beside the float model:",
        "signfire evaluate design.npz --data test.npz --model model.py:make_net --weights net.pth",
    ),
)
@click.argument("design", type=FILE)
@data_options
@model_options
@click.option("--samples", type=COUNT_OF_SAMPLES, help="Only the first N samples.")
@verb
def evaluate(
    design: Path,
    data: Path,
    inputs: str | None,
    labels: str | None,
    white: int,
    named: "Named",
    samples: int | None,
) -> Outcome:
    """Measure how right the golden model answers, and count events.

    What is measured fits the outputs: accuracy and confusion of classes, the area under the ROC
    curve of a yes or no, error and r2 of values, the mean intersection over union of pixels.
    Without labels it says how often each answer is given. With --model the float model answers the
    same samples.
    """
    from . import api, source, tables

    loaded = api.load_design(design)
    found = given_data(data, inputs, labels, white, loaded, samples)
    origin = None if named.spec is None else source.read(loaded, named)
    result = api.evaluate(loaded, found, None if origin is None else origin.network)
    figures = {name: each.figures for name, each in result.outputs.items()}
    record = {
        "design_hash": result.design_hash,
        "samples": result.samples,
        "labelled": any(each.is_labelled for each in result.outputs.values()),
        "accuracy": {"golden": result.figures.get("accuracy"), "samples": result.samples},
        "outputs": tables.by_output(figures),
        "float": tables.by_output(result.float_figures),
        "agreement": tables.by_output(result.agreement),
        "confusion": result.confusion,
        "activity": result.activity,
        "float_differs": () if origin is None else origin.differs,
    }
    said = [] if origin is None else source.not_converted(origin.differs)
    return Outcome(data=record, text=[*said, *tables.of_evaluation(result)])


@cli.command(
    short_help="Write what the integers answer to samples.",
    epilog=examples(
        "signfire predict design.npz --data new.npz -o answers.npz",
        "signfire predict design.npz --data new.csv -o answers.csv",
        "signfire predict design.npz --data images/ --json",
    ),
)
@click.argument("design", type=FILE)
@data_options
@click.option("--samples", type=COUNT_OF_SAMPLES, help="Only the first N samples.")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="[NAME=]N",
    help="Threshold in place of the design's, of what forward returns: 0.3 behind a sigmoid.",
)
@click.option("-o", "--output", type=NEW_FILE, help="File of answers: .npz, .csv or .json.")
@verb
def predict(
    design: Path,
    data: Path,
    inputs: str | None,
    labels: str | None,
    white: int,
    samples: int | None,
    thresholds: tuple[str, ...],
    output: Path | None,
) -> Outcome:
    """Write the answers of the golden model: classes, probabilities, values, errors.

    Labels are not needed and not looked at. A board that runs DESIGN gives the same logits, so the
    same answers.
    """
    from ..gen.design import answers as files
    from . import api, heads, tables

    if output is not None:
        files.check_file(output)
    loaded = heads.rethresholded(api.load_design(design), thresholds)
    found = api.load_data(
        data,
        inputs=inputs,
        labels=labels,
        need_labels=False,
        design=loaded,
        samples=samples,
        white=white,
    )
    answers = api.predict(loaded, found, output=output)
    return Outcome(
        data={
            "design_hash": loaded.hash,
            "samples": len(found),
            "answers": files.records(answers, loaded.head, found.rows),
            "file": output,
        },
        text=tables.of_prediction(answers, loaded.head, found.rows, output),
    )


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
@link_option
@click.option("-o", "--output", type=NEW_FILE, help="Write the design with this folding.")
@verb
def fold(
    design: Path, board: str, fold: tuple[str, ...], link: str, output: Path | None
) -> Outcome:
    """Estimate what a folding costs on a board, and how fast it is, without synthesis.

    With --fold auto it finds the fastest folding that fits beside the link, by the estimate. Cycles
    are exact; times and energy are estimates, at the board's clock or one that routed designs on
    its family reach. The last line says what keeps the folding from being faster.
    """
    from ..boards.boards import find_board
    from . import api, limit, tables

    target = find_board(board)
    choice = choose_fold(api.load_design(design), fold, target, link)
    chosen = choice.design
    result = api.estimate_on(chosen, target, link=link)
    found = None
    if target.device is not None:
        with working("looking for a faster folding") as doing:
            found = limit.limit_of(chosen, target, link=link, auto=choice.auto, progress=doing)
    if output is not None:
        chosen.save(output)
    return Outcome(
        data={
            "board": board,
            "folding": {p.name: p.folding.record for p in chosen.populations if p.folding},
            "cycles": {
                "latency": result.latency,
                "interval": result.interval,
                "first_logit": result.first_logit,
            },
            "times": {
                "estimated": result.clock is not None and not result.clock.is_exact,
                "clock": result.clock,
                "latency_s": result.latency_s,
                "throughput_per_s": result.throughput_per_s,
            },
            "energy": result.energy,
            "estimate": needs_record(result.needs),
            "fits": result.fits,
            "limit": None if found is None else found.record(),
            "auto_fold": auto_record(choice.auto),
            "design": output,
        },
        text=tables.of_costs(chosen, result, "" if found is None else found.said),
    )


@cli.command(
    short_help="Compare the Verilog with the golden model, cycle by cycle.",
    epilog=examples(
        "signfire simulate design.npz --data test.npz",
        "signfire simulate design.npz --data test.npz --samples 2 --stalls 0.3 --waves",
        "signfire simulate design.npz --data test.npz --bulk",
        "signfire simulate design.npz --data test.npz --netlist --board icebreaker",
    ),
)
@click.argument("design", type=FILE)
@data_options
@click.option("--samples", type=int, help="The first N samples; by default 3, --bulk all.")
@click.option("--bulk", is_flag=True, help="Compile to run free; compare logits and classes.")
@click.option("--netlist", is_flag=True, help="Simulate the synthesised cells, by their pins.")
@click.option("--board", help="Board whose hardware is simulated; by default an ECP5's.")
@fold_option
@click.option(
    "--stalls",
    type=Finite(0, 1, max_open=True),
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
    inputs: str | None,
    labels: str | None,
    white: int,
    samples: int | None,
    bulk: bool,
    netlist: bool,
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
    compared. With --netlist the design is synthesised for the board, and the cells of the netlist
    are simulated: requests go to the serial input bit by bit, and every logit, class and count of
    cycles of the replies is compared.
    """
    from ..boards.boards import find_board
    from . import api, tables

    if bulk and netlist:
        raise ValueError("--bulk and --netlist are two checks: give one of them")
    if waves and (bulk or netlist):
        raise ValueError("--waves goes with the cycle check: leave out --bulk and --netlist")
    if netlist and settings["stalls"]:
        raise ValueError("--stalls does not go with --netlist: the serial line sets the pace")
    if netlist and board is None:
        raise ValueError("--netlist needs the board that is synthesised for (give --board)")
    loaded = api.load_design(design)
    count = 3 if samples is None and not bulk else samples
    found = given_data(data, inputs, labels, white, loaded, count)
    chosen, auto = fold_as_told(loaded, fold, board)
    technology = api.technology_of(find_board(board or api.DEFAULT_BOARD))
    folder = output or Path("build") / f"{chosen.name}-simulate"
    settings["technology"] = technology
    if netlist:
        from . import proof

        assert board is not None, "--netlist was refused without a board"
        with shown("netlist check") as say:
            checked = proof.check_netlist(chosen, found, find_board(board), folder, progress=say)
        return Outcome(
            data={"check": "netlist", **tables.chip_record(checked), **auto},
            text=tables.of_chip(checked),
            status=DONE if checked.passed else DIFFERENCE,
        )
    if bulk:
        with shown("bulk check") as say:
            result, drawn = api.simulate_bulk(chosen, found, folder, progress=say, **settings), None
    else:
        with shown("cycle check") as say:
            result = api.simulate(chosen, found, folder, waves=waves, progress=say, **settings)
            drawn = result.waves
    return Outcome(
        data={
            "check": "bulk" if bulk else "cycle",
            "samples": result.samples,
            "equal": result.passed,
            "cycles": result.cycles,
            "compared": result.words,
            "cycles_per_s": result.cycles / result.seconds if result.seconds else None,
            "mismatches": result.mismatches,
            "waves": drawn,
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
@model_options
@click.option("--samples", type=int, help="Only the first N samples.")
@click.option(
    "--example", type=COUNT, default=0, show_default=True, help="Sample whose spikes are drawn."
)
@click.option("--board", help="Also build for this board.")
@fold_option
@click.option(
    "--cycle-samples",
    type=COUNT,
    default=2,
    show_default=True,
    help="Samples of the cycle check; 0: none.",
)
@click.option("--bulk/--no-bulk", default=True, help="Run all samples through the Verilog.")
@click.option("--faults", type=COUNT, default=0, help="Plant N faults, see signfire faults.")
@click.option("--over-steps", help="T's of the plot over T, 2,4,8 for instance.")
@click.option("-o", "--output", required=True, type=FILE, help="Folder of the report.")
@click.option("--fresh", is_flag=True, help="Use nothing that was kept of an earlier run.")
@verb
def report(
    design: Path,
    data: Path,
    inputs: str | None,
    labels: str | None,
    white: int,
    named: "Named",
    samples: int | None,
    example: int,
    board: str | None,
    fold: tuple[str, ...],
    cycle_samples: int,
    bulk: bool,
    faults: int,
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

    loaded = api.load_design(design)
    found = given_data(data, inputs, labels, white, loaded, samples)
    choice = told_fold(loaded, fold, board)
    job = pipeline.Job(
        design=choice.design,
        auto=choice.auto,
        board=None if board is None else find_board(board),
        cycle_samples=cycle_samples,
        bulk=bulk,
        faults=faults,
        data=found,
        named=named,
        command=command_line(),
        curve=None if over_steps is None else whole_numbers("--over-steps", over_steps),
        example=example,
    )
    record = pipeline.report(job, output, fresh=fresh)
    return written(*record, {"auto_fold": auto_record(choice.auto)})


@cli.command(
    short_help="Build the bitstream for a board, and a report.",
    epilog=examples(
        "signfire build design.npz --board icebreaker --data test.npz",
        "signfire build design.npz --board ulx3s-25f --seeds 1,2,3,4 -o build/fast",
        "signfire build design.npz --board icebreaker --link both",
        "signfire build design.npz --board icebreaker --fold fc1:pe=8,simd=16 --fold fc2:pe=1",
        "signfire build retrained.npz --board icebreaker --shape design.npz",
    ),
)
@click.argument("design", type=FILE)
@click.option("--board", required=True, help="Its name, see signfire boards.")
@fold_option
@click.option(
    "--shape",
    type=FILE,
    help="Folded design whose hardware is built, with the weights of DESIGN; see reweight.",
)
@headroom_option
@click.option("--seeds", default="1", show_default=True, help="Of place and route: 1,2,3,4.")
@click.option("--frequency", type=MHZ, help="Clock in MHz in place of the fastest.")
@link_option
@click.option("--data", type=FILE, help=f"Samples for checks and the report: {DATA}")
@sample_options
@model_options
@click.option("--faults", type=COUNT, default=0, help="Plant N faults, see signfire faults.")
@click.option("-o", "--output", type=FILE, help="Folder; by default build/NAME-BOARD.")
@verb
def build(
    design: Path,
    board: str,
    fold: tuple[str, ...],
    shape: Path | None,
    headroom: int | None,
    seeds: str,
    frequency: float | None,
    link: str,
    data: Path | None,
    inputs: str | None,
    labels: str | None,
    white: int,
    named: "Named",
    faults: int,
    output: Path | None,
) -> Outcome:
    """Build the bitstream for a board, at the fastest clock that place and route meets.

    Ends with the bitstream and a report. With --data the hardware is checked on the samples before
    it is built, and netlist and bitstream are checked after. For a board whose tools are the
    vendor's it makes an archive that these tools finish elsewhere.
    """
    from dataclasses import replace

    from ..boards.boards import find_board
    from . import api, pipeline

    if faults and data is None:
        raise ValueError("--faults needs samples to run (give --data)")
    target, numbers = find_board(board), whole_numbers("--seeds", seeds)
    loaded = api.load_design(design)
    samples = None
    if data is not None:
        samples = given_data(data, inputs, labels, white, loaded, None)
    if shape is None:
        frozen = None
        if headroom is not None:
            loaded = replace(loaded, headroom=headroom)
        choice = told_fold(loaded, fold, target, link)
        chosen, auto = choice.design, choice.auto
    elif fold:
        raise ValueError("--shape brings its own folding: leave out --fold")
    elif headroom is not None:
        raise ValueError("--shape brings its own headroom: leave out --headroom")
    else:
        frozen, auto = api.load_design(shape), None
        chosen = api.fitted(loaded, frozen)
    folder = output or Path("build") / f"{chosen.name}-{target.name}"
    job = pipeline.Job(
        design=chosen,
        auto=auto,
        shape=frozen,
        data=samples,
        named=named,
        command=command_line(),
        board=target,
        seeds=numbers,
        frequency=None if frequency is None else frequency * 1e6,
        link=link,
        cycle_samples=2,
        bulk=True,
        netlist_samples=2,
        bitstream_samples=1,
        faults=faults,
    )
    return written(*pipeline.report(job, folder), {"auto_fold": auto_record(auto)})


for command in cli_study.COMMANDS + cli_proof.COMMANDS + cli_board.COMMANDS:
    cli.add_command(command)


@cli.command(
    short_help="Take the MNIST example from torch to bitstream and report.",
    epilog=examples(
        "signfire demo",
        "signfire demo --board ulx3s-25f",
        "signfire demo --model cnn -o build/demo-cnn",
    ),
)
@click.option("--board", default="icebreaker", show_default=True, help="See signfire boards.")
@click.option(
    "--model",
    type=click.Choice(["mlp32", "mlp128", "cnn"]),
    help="Perceptron or convolutional network; by default the perceptron that fits the board.",
)
@click.option(
    "-o", "--output", type=FILE, default=Path("build/demo"), show_default=True, help="Folder."
)
@click.option("--fresh", is_flag=True, help="Use nothing that was kept of an earlier run.")
@verb
def demo(board: str, model: str | None, output: Path, fresh: bool) -> Outcome:
    """Take an example, a network for MNIST, from torch to a bitstream and a report.

    A second run does again only what has changed.
    """
    from . import demo

    return written(*demo.run(board, output, model=model, fresh=fresh, command=command_line()))


@cli.command(
    short_help="List the boards, or those that match one of WORDS.",
    epilog=examples("signfire boards", "signfire boards ice"),
)
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
@click.option("--clear-cache", is_flag=True, help="Remove what was compiled before.")
@verb
def doctor(clear_cache: bool) -> Outcome:
    """Check every tool that signfire runs: version, place, and what to do where one is missing.

    It says where simulators lie that were compiled before (SIGNFIRE_CACHE_DIR names another place,
    SIGNFIRE_CACHE_MB a bound, SIGNFIRE_CACHE=off does without). Exit status 2 where a tool is
    missing that signfire cannot do without.
    """
    from ..boards.toolchain import MISSING, tools
    from ..sim.cache import user_cache
    from . import tables

    found = tools()
    missing = [tool.name for tool in found if tool.required and tool.state == MISSING]
    cache = user_cache()
    if clear_cache and cache is not None:
        cache.clear()
    kept = None
    if cache is not None:
        kept = {"folder": cache.root, "bytes": cache.size_bytes, "bound_bytes": cache.bound_bytes}
    return Outcome(
        data={"ready": not missing, "missing": missing, "tools": found, "cache": kept},
        text=[tables.of_cache(cache), *tables.of_tools(found)],
        status=USER if missing else DONE,
    )


def main() -> None:
    """Entry point of the ``signfire`` program."""
    sys.exit(run_program(cli, "signfire"))
