"""Analysis of a model: what its neurons, codes and schedules do, for a page and as numbers.

===================== ===========================================================================
``functions``         by neuron function: of each schedule and way of firing, over T, the worst
                      and the root mean square error, in shares of the greatest value
``accuracy``          ``float``, and over T: ``settled``, ``overlapped`` (the paper's schedule),
                      ``design`` where it fires overlapped with another, ``if`` where all neurons
                      are ReLU; 1 at best. ``figure`` says which: accuracy, or what fits the
                      output; without labels, the agreement with the float network
``membranes``         of one sample, by way of firing and population: neurons, v(t) and f(x(t)), in
                      real numbers
``events``            by way of firing and population: share of the neurons that send, by step
===================== ===========================================================================
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..gen.convert.calibrate import calibrate
from ..gen.convert.options import Options
from ..gen.convert.rate import NEURONS
from ..gen.design.design import Design
from ..gen.model.codes import RateCode, Schedule, SpikeCode, make_code
from ..gen.model.network import INPUT, LINEAR, MAX, READOUT, Network, Population
from ..sim import golden
from . import api, plots
from .judge import WORDS, Judge
from .page import Plot, Section
from .report import percent

PAPER = Schedule(kind="exponential", eta0=0.15, gamma=0.95)
SCHEDULES: dict[str, tuple[Schedule, str]] = {  # and the code; auto: silent or offset
    "binary": (Schedule(), "auto"),
    "exponential, γ = 0.8": (Schedule(kind="exponential", gamma=0.8), "auto"),
    "inverse": (Schedule(kind="inverse"), "auto"),
    "constant": (Schedule(kind="constant"), "auto"),
    "the paper's, (0.15, 0.95)": (PAPER, "centred"),
}
FUNCTION_STEPS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64)
BINARY_LIMIT = 16  # steps; more of them say no more
POINTS = 401  # operands that a function is looked at
SHOWN = 6  # neurons whose membranes are kept
TRACED = 4  # samples that events are counted of, step by step
RATE_PERCENTILE = 99.9  # of the activations, the baseline's θ


@dataclass(frozen=True, kw_only=True)
class Question:
    """What an analysis looks at.

    Parameters
    ----------
    settled, overlapped, rate
        T that accuracy is measured for, ascending.
    traced
        Samples whose events are counted step by step.
    """

    settled: Sequence[int] = (2, 3, 4, 5, 6, 8)
    overlapped: Sequence[int] = (8, 16, 32, 64)
    rate: Sequence[int] = (8, 16, 32, 64, 128)
    traced: int = TRACED


# -- functions ---------------------------------------------------------------------------------


def neuron_functions(
    network: Network, samples: np.ndarray
) -> Iterator[tuple[Population, float, float]]:
    """Yield one population of each neuron function with the least and the greatest operand seen."""
    _, operands = network.forward(samples)
    seen: dict[tuple, list] = {}
    for p in network.populations:
        if p.function not in (INPUT, READOUT, LINEAR, MAX) and len(p.operands) == 1:
            key = p.function, p.parameters, p.limit
            x = operands[p.name][0]
            low, high = float(x.min()), float(x.max())
            if key in seen:
                low, high = min(low, seen[key][1]), max(high, seen[key][2])
            seen[key] = [seen[key][0] if key in seen else p, low, high]
    for population, low, high in seen.values():
        yield population, low, high if high > low else low + 1.0


def function_error(
    f: Callable[[np.ndarray], np.ndarray],
    low: float,
    high: float,
    steps: int,
    schedule: Schedule,
    code: str,
    firing: str,
) -> tuple[float, float]:
    """Return the worst and the root mean square error of a neuron, as shares of its greatest value.

    In overlapped firing its operand comes from one neuron of the same schedule that says x.
    """
    x = np.linspace(low, high, POINTS)
    y = f(x)

    def fitted(values: np.ndarray) -> SpikeCode:
        least, most = float(min(0, values.min())), float(max(0, values.max()))
        kind = code if code != "auto" else "silent" if least == 0 else "offset"
        return make_code(kind=kind, schedule=schedule, steps=steps, low=least, high=most)

    own = fitted(y)
    if firing == "settled":
        said = own.settle(np.ceil(y / own.unit))
    else:
        source = fitted(x)
        v, said = np.full(POINTS, source.rest), np.full(POINTS, own.rest)
        wanted = np.ceil(x / source.unit)
        for eta, step in zip(source.eta, own.eta, strict=True):
            v = np.where(v >= wanted, v - eta, v + eta)
            goal = np.ceil(f(v * source.unit) / own.unit)
            said = np.where(said >= goal, said - step, said + step)
    error = np.abs(said * own.unit - y) / max(float(np.abs(y).max()), 1e-12)
    return float(error.max()), float(np.sqrt((error**2).mean()))


def function_errors(network: Network, samples: np.ndarray) -> dict[str, Any]:
    """Return ``functions`` of the record."""
    found = {}
    for population, low, high in neuron_functions(network, samples):
        rows = {}
        for firing in ("settled", "overlapped"):
            for name, (schedule, code) in SCHEDULES.items():
                steps = [
                    t for t in FUNCTION_STEPS if schedule.kind != "binary" or t <= BINARY_LIMIT
                ]
                errors = [
                    function_error(
                        lambda x, p=population: p.apply([x]), low, high, t, schedule, code, firing
                    )
                    for t in steps
                ]
                rows[f"{firing}, {name}"] = {
                    "firing": firing,
                    "schedule": name,
                    "steps": steps,
                    "worst": [w for w, _ in errors],
                    "rms": [r for _, r in errors],
                }
        limit = "" if population.limit is None else f", at most {population.limit:g}"
        numbers = ", ".join(f"{n:g}" for n in population.parameters)
        name = f"{population.function}{numbers and f'({numbers})'}{limit}"
        found[name] = {"operand": [low, high], "curves": rows}
    return found


# -- accuracy ----------------------------------------------------------------------------------


def without_steps(options: Options) -> Options:
    """Return options whose layers have no T, code and schedule of their own."""
    layers = {
        name: replace(own, steps=None, code=None, schedule=None)
        for name, own in options.layers.items()
    }
    return replace(options, layers=layers, input_steps=None, input_schedule=None, input_code=None)


def settled_as(options: Options) -> Options:
    if options.firing == "settled" and options.dynamics == "signgd":
        return options
    plain = without_steps(options)
    return replace(plain, firing="settled", dynamics="signgd", schedule=Schedule(), code="auto")


def overlapped_as(options: Options, steps: int) -> Options:
    plain = without_steps(options)
    return replace(
        plain, firing="overlapped", dynamics="signgd", schedule=PAPER, code="centred", steps=steps
    )


def rate_as(options: Options, steps: int) -> Options:
    plain = without_steps(options)
    return replace(plain, dynamics="if", steps=steps, percentile=RATE_PERCENTILE)


def relu_only(network: Network) -> bool:
    """Whether integrate-and-fire neurons can say a network."""
    return all(
        p.function in NEURONS and not any(operand.products for operand in p.operands)
        for p in network.populations
    )


def over_steps(
    design: Design,
    data: api.Dataset,
    judge: Judge,
    steps: Sequence[int],
    progress: Callable[[str], None],
) -> list[dict[str, float | None]]:
    """Return how right answers are after each of ``steps`` steps of one run."""
    raw = design.raw_samples(data.x)
    said = golden.run_over_steps(
        design,
        raw,
        steps,
        batch=32,
        progress=lambda done: progress(f"{design.dynamics}, {done} of {len(raw)} samples"),
    )
    return [
        {"steps": t, "accuracy": judge.share(design.values(logits, t))}
        for t, logits in zip(steps, said, strict=True)
    ]


def check_question(design: Design, question: Question) -> None:
    """Refuse a T of the question that the design's neurons cannot have.

    Raises
    ------
    ValueError
        Naming the option and the values that are allowed.
    """
    options = api.options_of(design)
    for option, ts, made in (
        ("--settled", question.settled, lambda t: api.with_steps(settled_as(options), t)),
        ("--overlapped", question.overlapped, lambda t: overlapped_as(options, t)),
        ("--rate", question.rate, lambda t: rate_as(options, t)),
    ):
        for t in ts:
            try:
                made(t)
            except ValueError as reason:
                raise ValueError(f"{option}: {reason}") from None


def accuracies(
    design: Design,
    network: Network,
    calibrate_on: np.ndarray,
    data: api.Dataset,
    question: Question,
    progress: Callable[[str], None],
) -> tuple[dict[str, Any], dict[str, Design]]:
    """Return ``accuracy`` of the record, and a Design of each way of firing to look into."""
    options = api.options_of(design)
    exact = network.answers(data.x)
    judge = Judge.of(design, data, lambda: exact)
    assert judge is not None, "there is a float network"
    found: dict[str, Any] = {
        "float": judge.share(exact),
        "figure": judge.figure,
        "samples": len(data),
    }
    designs: dict[str, Design] = {}
    curve = []
    wanted = settled_as(options)
    for t in question.settled:
        progress(f"settled firing, T = {t}")
        some = calibrate(network, calibrate_on, api.with_steps(wanted, t))
        values = some.values(golden.run(some, some.raw_samples(data.x)).logits)
        curve.append({"steps": t, "accuracy": judge.share(values)})
        designs["settled"] = some
    found["settled"] = curve
    if design.firing == "settled":
        designs["settled"] = design
    progress("overlapped firing, the paper's schedule")
    longest = max(question.overlapped)
    paper = calibrate(network, calibrate_on, overlapped_as(options, longest))
    found["overlapped"] = over_steps(paper, data, judge, question.overlapped, progress)
    designs["overlapped"] = paper
    if design.firing == "overlapped" and design.dynamics == "signgd":
        own = sorted({t for t in question.overlapped if t < design.input.train_code.steps})
        own.append(design.input.train_code.steps)
        found["design"] = over_steps(design, data, judge, own, progress)
        designs["overlapped"] = design
    if relu_only(network):
        progress("integrate-and-fire")
        rate = calibrate(network, calibrate_on, rate_as(options, max(question.rate)))
        found["if"] = over_steps(rate, data, judge, question.rate, progress)
        designs["if"] = rate
    return found, designs


# -- trains ------------------------------------------------------------------------------------


def membranes_of(design: Design, trace: golden.Trace) -> dict[str, Any]:
    """Return ``membranes`` of the record for one way of firing."""
    found = {}
    for p in design.populations[1:-1]:
        record = trace.populations[p.name]
        goal = record.targets[-1]
        order = np.argsort(goal, kind="stable")
        chosen = np.unique(order[np.linspace(0, len(order) - 1, min(SHOWN, p.size)).astype(int)])
        rate = isinstance(p.code, RateCode)
        unit = 1.0 if rate else p.spike_code.unit
        found[p.name] = {
            "neurons": chosen,
            "v": (record.membranes[:, chosen] * unit).T,
            "threshold" if rate else "f": (record.targets[:, chosen] * unit).T,
        }
    return found


def events_of(design: Design, traces: Sequence[golden.Trace]) -> dict[str, list[float]]:
    """Return ``events`` of the record for one way of firing."""
    return {
        p.name: np.mean([t.populations[p.name].events.mean(axis=1) for t in traces], axis=0)
        for p in design.populations[:-1]
    }


# -- all of it ---------------------------------------------------------------------------------


def analyse(
    design: Design,
    network: Network,
    calibrate_on: np.ndarray,
    data: api.Dataset,
    question: Question | None = None,
    progress: Callable[[str], None] = lambda said: None,
) -> tuple[dict[str, Any], list[Section]]:
    """Return the numbers of an analysis, see the module, and the sections of its page.

    Parameters
    ----------
    design
        Whose options every other conversion takes.
    network
        Float network that it was made from.
    calibrate_on
        Samples of the conversions.
    data
        Samples; without labels answers are compared with the float network's.
    question
        Which T.
    """
    question = question or Question()
    Judge.of(design, data)  # refuses labels that are none
    check_question(design, question)
    progress("neuron functions")
    functions = function_errors(network, calibrate_on[:64])
    accuracy, designs = accuracies(design, network, calibrate_on, data, question, progress)
    record: dict[str, Any] = {
        "name": design.name,
        "design_hash": design.hash,
        "functions": functions,
        "accuracy": accuracy,
        "membranes": {},
        "events": {},
    }
    drawn: dict[str, str] = {}
    for firing, each in designs.items():
        progress(f"trains, {firing}")
        traces = [golden.trace(each, raw) for raw in each.raw_samples(data.x[: question.traced])]
        record["membranes"][firing] = membranes_of(each, traces[0])
        record["events"][firing] = events_of(each, traces)
        if firing != "if":
            drawn[firing] = plots.membranes(each, traces[0])
    return record, sections(record, drawn, question)


NAMES = {
    "settled": "settled",
    "overlapped": "overlapped, the paper's schedule",
    "design": "overlapped, this design's schedule",
    "if": "integrate-and-fire, rate code",
}


def accuracy_curves(accuracy: Mapping[str, Any]) -> list[plots.Curve]:
    return [
        plots.Curve(
            name=title,
            points=[
                (p["steps"], 100 * p["accuracy"])
                for p in accuracy[key]
                if p["accuracy"] is not None
            ],
            dashed=key == "if",
        )
        for key, title in NAMES.items()
        if accuracy.get(key)
    ]


def sections(
    record: Mapping[str, Any], drawn: Mapping[str, str], question: Question
) -> list[Section]:
    """Return the page of a record."""
    accuracy = record["accuracy"]
    word = WORDS[accuracy["figure"]]
    word = word[0].upper() + word[1:]
    functions = [
        Plot(
            title=f"{name}, {firing}",
            svg=plots.curves(
                [
                    plots.Curve(
                        name=curve["schedule"],
                        points=list(
                            zip(
                                curve["steps"], [100 * e or None for e in curve["rms"]], strict=True
                            )
                        ),
                    )
                    for curve in found["curves"].values()
                    if curve["firing"] == firing
                ],
                f"error-{name}-{firing}",
                x="steps T",
                y="error, % of the greatest value",
                log_x=True,
                log_y=True,
            ),
        )
        for name, found in record["functions"].items()
        for firing in ("settled", "overlapped")
    ]
    steps = sorted({p["steps"] for key in NAMES for p in accuracy.get(key) or []})
    at = {key: {p["steps"]: p["accuracy"] for p in accuracy.get(key) or []} for key in NAMES}
    shown = [key for key in NAMES if at[key]]
    rows = [
        [f"T = {t}", *(percent(at[key][t], 1) if t in at[key] else "" for key in shown)]
        for t in steps
    ]
    titles = {"settled": "settled firing", "overlapped": "overlapped firing", "if": NAMES["if"]}
    return [
        Section(
            title=f"{word} over T",
            plots=[
                Plot(
                    svg=plots.curves(
                        accuracy_curves(accuracy),
                        "accuracy-over-steps",
                        x="steps T",
                        y=f"{WORDS[accuracy['figure']]}, %",
                        log_x=True,
                        level=("float network", 100 * (accuracy["float"] or 0)),
                    )
                )
            ],
            head=["", *(NAMES[key] for key in shown)],
            rows=rows,
            notes=[
                f"{accuracy['samples']:,} samples; float network {percent(accuracy['float'], 1)}. "
                f"Settled firing is converted anew for each T; the others are looked at after T "
                f"steps of one train."
            ],
        ),
        Section(
            title="Error of the neuron functions over T",
            text=[
                "Root mean square of what one neuron says, less f(x), for x over the range of its "
                "operand in calibration. In overlapped firing x comes from a neuron of the same "
                "schedule, and is still on the move."
            ],
            plots=functions,
        ),
        Section(
            title="Membranes against f(x)",
            text=["The first sample. Dotted: what the neuron has to express, f(x), at each step."],
            plots=[Plot(title=titles[key], svg=svg) for key, svg in drawn.items()],
        ),
        Section(
            title="Events",
            text=[
                "Share of a population's neurons that send an event, by step; beside it, the mean "
                "over the train."
            ],
            plots=[
                Plot(
                    title=titles[key],
                    svg=plots.activity(
                        list(found), [list(row) for row in found.values()], f"events-{key}"
                    ),
                )
                for key, found in record["events"].items()
            ],
            notes=[f"Mean of {question.traced} samples."],
        ),
    ]
