"""Benches of group D: neurons beyond ReLU."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..boards.accelerator import technology_of
from ..boards.boards import Board, find_board
from ..gen.convert.calibrate import calibrate
from ..gen.convert.options import Options
from ..gen.core.core import core_timing
from ..gen.core.estimate import estimate
from ..gen.design.design import Design
from ..gen.design.folding import Folding
from ..gen.layers.cycles import steady
from ..gen.model.codes import Schedule, SpikeCode, make_code
from ..gen.model.functions import BUILT_IN, UNARY, Unary, make_table, slope_below
from ..gen.model.several import SEVERAL, make_comparison
from ..sim import golden
from . import analysis, api, demo, plots, robustness, tune
from .bench_conv import CONFIDENCE, SHARED, in_rtl, model_of, paired, placed, resnet8, response
from .bench_perceptron import against_estimate
from .console import progress, to_json
from .measure import ROOT, TOOLS, Measurement, bench, example, open_data
from .page import Plot, Section, write_page
from .report import write_text

TITLE = "Beyond ReLU, and the schedules"
STEPS = (4, 5, 6, 7, 8)
SEEN = (-4.0, 4.0)  # operands that the tables are made for
PARAMETERS = {"clamp": (-1.0, 2.0), "leaky_relu": (0.1,)}
POINTS = 200_001  # at which a function is compared with what its neurons say
SLOPES = 64  # points of an input step, for the slope
FACTOR = 2**14  # M of functions that the sign decides
GELU_STEPS = 5
RTL_IMAGES = 500
ALL_IMAGES = 5000
FOLD = {
    "input": Folding(pe=7),
    "fc1": Folding(pe=16, simd=49, unroll=2),
    "fc2": Folding(pe=10, simd=16),
}


def code_for(unary: Unary, parameters: tuple[float, ...], steps: int) -> SpikeCode:
    """Return a code that reaches nine tenths of what the function makes of :data:`SEEN`."""
    y = unary(np.linspace(*SEEN, 4001), parameters) * 0.9
    return make_code(
        kind="silent" if unary.nonnegative else "offset",
        schedule=Schedule(),
        steps=steps,
        low=0.0 if unary.nonnegative else min(0.0, float(y.min())),
        high=float(y.max()),
    )


def by_table(unary: Unary, parameters: tuple[float, ...], code: SpikeCode):
    """Return x of a table's domain, the value its neurons settle at, and the step of x."""
    table = make_table(unary, parameters, code, SEEN)
    x = np.linspace(*table.domain, POINTS)[1:]
    settled = code.settle(table(np.ceil(x / table.unit))) * code.unit
    return x, settled, table.unit, len(table.entries)


def by_sign(slope: float, code: SpikeCode):
    """Return the same of a function that has a factor for each sign, of the finest integrator."""
    x = np.linspace(*SEEN, POINTS)
    shift = 30
    integrators = np.rint(x / code.unit * 2**shift / FACTOR).astype(np.int64)
    factor = np.where(integrators < 0, round(FACTOR * slope), FACTOR)
    target = golden.requantise(integrators, factor, shift)
    return integrators * FACTOR * code.unit / 2**shift, code.settle(target) * code.unit, 0.0, 0


def worst(name: str, steps: int) -> tuple[float, float, int]:
    """Return the worst error of a function, its bound, both in levels, and entries of its table."""
    unary, parameters = UNARY[name], PARAMETERS.get(name, ())
    code = code_for(unary, parameters, steps)
    slope = slope_below(name, parameters)
    found = by_table(unary, parameters, code) if slope is None else by_sign(slope, code)
    x, settled, step, entries = found
    within = np.array([code.low, code.high]) * code.unit
    real = np.clip(unary(x, parameters), *within)
    level = 2 * code.unit
    fine = np.linspace(x[0], x[-1], max(2, entries) * SLOPES)
    slopes = np.abs(np.diff(np.clip(unary(fine, parameters), *within))) / np.diff(fine)
    bound = 0.5 + step / 2 * float(slopes.max()) / level
    if slope is not None:  # the second factor is rounded to a whole number
        bound += abs(round(FACTOR * slope) / FACTOR - slope) * -SEEN[0] / level
    return float(np.abs(settled - real).max()) / level, bound, entries


@bench("D1", "Every unary function")
def unary_functions() -> Iterator[Measurement]:
    for name in sorted(BUILT_IN):
        found = {steps: worst(name, steps) for steps in STEPS}
        at = max(found, key=lambda steps: found[steps][0] - found[steps][1])
        error, bound, _ = found[at]
        sizes = [entries for _, _, entries in found.values()]
        made = f"tables of {min(sizes)} to {max(sizes)} entries" if max(sizes) else "by the sign"
        yield Measurement(
            what=f"{name}, worst error over its domain, T = {STEPS[0]} to {STEPS[-1]}",
            value=round(error, 4),
            unit="levels",
            target=f"<= {bound + 5e-5:.4f}",
            note=f"at T = {at}, which comes nearest to its bound; {made}",
            details={
                str(steps): {"error": e, "bound": b, "entries": n}
                for steps, (e, b, n) in found.items()
            },
        )


def gelu_model() -> api.Model:
    """Return the repository's perceptron with GELU."""
    return api.Model(
        spec=f"{TOOLS / 'mnist_mlp.py'}:gelu128",
        weights=str(TOOLS / "mnist_gelu128.pth"),
        calibrate=str(TOOLS / "mnist_calibrate.npz"),
    )


@bench("D2", "Perceptron with GELU, MNIST, settled")
def gelu_perceptron() -> Iterator[Measurement]:
    model = gelu_model()
    data = open_data("mnist_test_open.npz").first(ALL_IMAGES)
    result = api.convert(model, options=Options(steps=GELU_STEPS))
    design = result.design
    exact = 100 * api.float_accuracy(result.network, data)
    integers = 100 * api.evaluate(design, data).accuracy
    table = design["fc1"].table
    assert table is not None
    yield Measurement(
        what=f"loss of accuracy at T = {GELU_STEPS}",
        value=round(exact - integers, 2),
        unit="points",
        target="<= 0.3",
        note=f"float {exact:.2f} %, golden {integers:.2f} % of {len(data.x)} images; a table of "
        f"{len(table.entries)} entries, worst error {table.error:.3f} levels",
        details={"float": exact, "golden": integers, "entries": len(table.entries)},
    )
    few = data.first(RTL_IMAGES)
    checked = api.simulate_bulk(design.with_folding(FOLD), few, ROOT / "build" / "bench" / "gelu")
    yield Measurement(
        what="images of which the Verilog gives every word as the golden model does",
        value=checked.samples if checked.passed else 0,
        unit="images",
        target=f"== {RTL_IMAGES}",
        note=f"{checked.words:,} words over {checked.cycles:,} cycles",
    )


# -- schedules and the baseline ----------------------------------------------------------------

BASELINE = ROOT / "build" / "bench" / "baseline"
CURVE_IMAGES = 100  # the first of ResNet8's 592
CURVE_SAMPLES = 64  # of calibration
RATE_STEPS = (8, 16, 32, 64, 128, 256)
PAPER_STEPS = (8, 16, 32, 64)
HELD_STEPS = (8, 16, 24, 32)
SETTLED_STEPS = (3, 4, 6)
HELD = {"eta0": 0.3, "delay": 1.0, "percentile": 99.99, "code": "centred"}  # gamma: 0.8
CURVES = {
    "if": "integrate-and-fire, rate code",
    "paper": "signGD overlapped, the paper's schedule",
    "held": "signGD overlapped, steps held by depth",
    "settled": "signGD settled",
}


def say(line: str) -> None:
    progress.print(line)


def resnet8_curves() -> tuple[dict[str, dict[int, float]], float]:
    """Return accuracies in %, by form and T, and that of the float network."""
    task = resnet8()
    network = api.load_network(model_of(task), task.calibrate.x)
    data = task.test.first(CURVE_IMAGES)
    base = Options(weight_bits=8, samples=CURVE_SAMPLES)
    eta = tune.parametric(max(HELD_STEPS), 0.8)
    forms = {
        "if": (analysis.rate_as(base, max(RATE_STEPS)), RATE_STEPS),
        "paper": (
            replace(analysis.overlapped_as(base, max(PAPER_STEPS)), percentile=99.99),
            PAPER_STEPS,
        ),
        "held": (tune.overlapped_options(network, base, eta, **HELD), HELD_STEPS),
    }
    found: dict[str, dict[int, float]] = {}
    judge = api.Judge.of(network, data)
    assert judge is not None, "the images have labels"
    for name, (options, steps) in forms.items():
        say(f"  {CURVES[name]}")
        design = calibrate(network, task.calibrate.x, replace(options, rounding="plain"))
        kept = BASELINE / f"{design.hash[:16]}-{CURVE_IMAGES}.json"  # an hour's work is kept
        if not kept.is_file():
            curve = analysis.over_steps(design, data, judge, steps, say)
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_text(kept, to_json(curve))
        curve = json.loads(kept.read_text())
        found[name] = {p["steps"]: 100 * p["accuracy"] for p in curve}
    found["settled"] = {}
    for t in SETTLED_STEPS:
        say(f"  {CURVES['settled']}, T = {t}")
        options = replace(base, steps=t, rounding="nearest")
        design = calibrate(network, task.calibrate.x, options)
        found["settled"][t] = 100 * api.evaluate(design, data).accuracy
    return found, 100 * api.float_accuracy(network, data)


@bench("D6", "Integrate-and-fire beside signGD, ResNet8, CIFAR-10")
def baseline() -> Iterator[Measurement]:
    """Take the first 100 images and 8-bit weights; a page goes to build/bench/baseline."""
    found, exact = resnet8_curves()
    lines = [
        plots.Curve(name=CURVES[name], points=list(curve.items()), dashed=name == "if")
        for name, curve in found.items()
    ]
    steps = sorted({t for curve in found.values() for t in curve})
    drawn = plots.curves(
        lines,
        "baseline",
        x="steps T",
        y="accuracy, %",
        log_x=True,
        level=("float network", exact),
    )
    write_page(
        BASELINE,
        "baseline",
        {"float": exact, "images": CURVE_IMAGES, "curves": found},
        title="Integrate-and-fire beside signGD",
        intro=f"ResNet8, CIFAR-10, the first {CURVE_IMAGES} test images, 8-bit weights.",
        sections=[
            Section(
                title="Accuracy over T",
                plots=[Plot(svg=drawn)],
                head=["", *(CURVES[name] for name in found)],
                rows=[
                    [f"T = {t}", *(f"{c[t]:.0f} %" if t in c else "" for c in found.values())]
                    for t in steps
                ],
            )
        ],
    )
    for t in steps:
        beside = [f"{CURVES[n]} {c[t]:.0f} %" for n, c in found.items() if n != "if" and t in c]
        name = "if" if t in found["if"] else next(n for n in found if t in found[n])
        yield Measurement(
            what=f"{CURVES[name]}, T = {t}",
            value=round(found[name][t], 1),
            unit="%",
            note="; ".join(b for b in beside if not b.startswith(CURVES[name]))
            or f"float {exact:.0f} % of these {CURVE_IMAGES} images",
            details={n: c[t] for n, c in found.items() if t in c},
        )


TUNE_BUDGET = 32
TUNE_TRIALS = 8
TUNE_SAMPLES = 48  # of a full conversion
TUNE_IMAGES = 48  # whose answers are compared; the training half's, without labels


@bench("D7", "Tuned overlapped firing, ResNet8, CIFAR-10")
def tuned_residual() -> Iterator[Measurement]:
    """Search on training images, and measure the choice on all 592 test images."""
    task = resnet8()
    network = api.load_network(model_of(task), task.calibrate.x)
    search = tune.Search(
        network,
        task.calibrate.x,
        tune.Goal(budget=TUNE_BUDGET),
        base=Options(weight_bits=8, samples=TUNE_SAMPLES),
        firings=("overlapped",),
        images=TUNE_IMAGES,
        record=ROOT / "build" / "bench" / f"resnet8-{TUNE_BUDGET}.tune.jsonl",
    )
    found = search.run(TUNE_TRIALS, say)
    data = task.test
    exact = 100 * api.float_accuracy(network, data)
    say("  all test images")
    integers = 100 * api.evaluate(found.design, data).accuracy
    steps = found.design.input.train_code.steps
    yield Measurement(
        what="steps",
        value=steps,
        unit="steps",
        target="<= 32",
        note=f"of {TUNE_TRIALS} trials {found.pruned} ended early; "
        f"{100 * found.best.differing:.1f} % of {TUNE_IMAGES} answers differ in the search",
        details=tune.record_of(found)["best"],
    )
    yield Measurement(
        what=f"loss of accuracy at T = {steps}",
        value=round(exact - integers, 2),
        unit="points",
        target="<= 1",
        note=f"float {exact:.2f} %, golden {integers:.2f} % of {len(data.x)} images",
        details={
            "float": exact,
            "golden": integers,
            "design_hash": found.design.hash,
            "convert": tune.words(found.best.options),
        },
    )


ROBUST_IMAGES = 1000
ROBUST_RATE_STEPS = 64
SHOWN_NOISE, SHOWN_FLIPS = (0.0, 0.1, 0.2, 0.3), (0.0, 0.001, 0.01, 0.03, 0.1)


@bench("D8", "Robustness, MNIST 784-128-10")
def robust_perceptron() -> Iterator[Measurement]:
    """Measure the first 1,000 images; a page goes to build/bench/robustness."""
    model = example(128)
    data = open_data("mnist_test_open.npz").first(ROBUST_IMAGES)
    settled = api.convert(model, options=Options(steps=4, weight_bits=8, input_steps=4))
    network, samples = settled.network, settled.calibrate.x
    base = api.options_of(settled.design)
    eta = tune.parametric(16, 0.75)
    designs = {
        "settled, T = 4": settled.design,
        "overlapped, T = 16": calibrate(
            network,
            samples,
            tune.overlapped_options(network, analysis.without_steps(base), eta, **HELD),
        ),
        f"integrate-and-fire, T = {ROBUST_RATE_STEPS}": calibrate(
            network, samples, analysis.rate_as(base, ROBUST_RATE_STEPS)
        ),
    }
    record = robustness.measure(
        designs, network, data, noise=SHOWN_NOISE, flips=SHOWN_FLIPS, progress=say
    )
    write_page(
        ROOT / "build" / "bench" / "robustness",
        "robustness",
        record,
        title="Robustness of the MNIST perceptron",
        intro=f"784-128-10, {ROBUST_IMAGES:,} test images.",
        sections=robustness.sections(record),
    )
    for kind, key, what in (("noise", "deviations", "noise of"), ("flips", "rates", "flips at")):
        found = record[kind]
        for k, level in enumerate(found[key]):
            shares = {name: 100 * found[name][k] for name in ("float", *designs)}
            first = next(iter(designs))
            said = f"{100 * level:g} % of the input's range" if kind == "noise" else f"{level:g}"
            yield Measurement(
                what=f"accuracy, {what} {said}, {first}",
                value=round(shares[first], 1),
                unit="%",
                note="; ".join(f"{n} {a:.1f} %" for n, a in shares.items() if n != first),
                details=shares,
            )


# -- the baseline on the same hardware ---------------------------------------------------------

RATE_STEPS = (16, 32)
RATE_FOLD = ("input:pe=16", "fc1:pe=16,simd=16", "fc2:pe=2,simd=16")  # of both, lane for lane
RATE_BITS = 3  # of weights, where both are to fit a small device


@bench("D14", "Integrate-and-fire beside signGD in hardware, MNIST 784-32-10")
def rate_hardware() -> Iterator[Measurement]:
    """Equal lanes on an ECP5-25F, all 5,000 images in Verilog; then what a small device takes."""
    data = open_data("mnist_test_open.npz").first(ALL_IMAGES)
    model, large, small = example(32), find_board("ulx3s-25f"), find_board("icebreaker")
    options = demo.SMALL.options
    settled = f"signGD settled, T = {options.layer_steps}"
    kinds = {settled: options} | {
        f"integrate-and-fire, T = {t}": analysis.rate_as(options, t) for t in RATE_STEPS
    }
    designs = {
        name: api.folded(api.convert(model, options=own).design, RATE_FOLD, large)
        for name, own in kinds.items()
    }
    for name, design in designs.items():
        yield from _on_lanes(name, design, data, technology_of(large))
    for bits in (options.layer_bits, RATE_BITS):
        for name, own in kinds.items():
            found = api.convert(model, options=replace(own, weight_bits=bits)).design
            yield from _on_small(f"{name}, {bits}-bit weights", found, small, data)


def _on_lanes(
    name: str, design: Design, data: api.Dataset, technology: str
) -> Iterator[Measurement]:
    """Yield accuracy, equality of the Verilog, cycles and resources of a folded design."""
    latency, interval = steady(core_timing(design, technology))
    needs = estimate(design, technology).resources
    folder = ROOT / "build" / "bench" / f"rate-{design.dynamics}-{design.input.train_code.steps}"
    run = api.simulate_bulk(design, data, folder, technology=technology, progress=say)
    wrong = {m.sample for m in run.mismatches}
    yield Measurement(
        what=f"{name}, golden accuracy",
        value=round(100 * api.evaluate(design, data).accuracy, 2),
        unit="%",
        note=f"{len(data):,} images",
    )
    yield Measurement(
        what=f"{name}, logit vectors of the Verilog equal to golden, with class and cycle",
        value=run.samples - (len(wrong) if run.passed or wrong else run.samples),
        unit="images",
        target=f"== {len(data)}",
        note=f"{run.cycles:,} cycles",
        details={"differing": run.differing, "design_hash": design.hash},
    )
    yield Measurement(
        what=f"{name}, latency",
        value=latency,
        unit="cycles",
        note=f"{interval:,} from sample to sample; estimate of the core on an ECP5: "
        f"{needs.lut:,} LUTs, {needs.ff:,} flip-flops, {needs.block_ram} block RAMs, "
        f"{needs.multipliers} multipliers",
        details={"interval": interval, "estimate": vars(needs)},
    )


def _on_small(name: str, design: Design, board: Board, data: api.Dataset) -> Iterator[Measurement]:
    """Yield how fast a design is on an iCE40UP5K in the fastest folding that the estimate fits."""
    accuracy = f"golden accuracy {100 * api.evaluate(design, data).accuracy:.2f} %"
    try:
        folded = api.folded(design, ("auto",), board)
    except ValueError as reason:
        said = str(reason).partition(" (")[0]
        yield Measurement(
            what=f"{name}, fits an iCE40UP5K", value=0, unit="", note=f"{said}; {accuracy}"
        )
        return
    technology = technology_of(board)
    latency, interval = steady(core_timing(folded, technology))
    needs = estimate(folded, technology).resources
    yield Measurement(
        what=f"{name}, latency on an iCE40UP5K, fastest folding that fits",
        value=latency,
        unit="cycles",
        note=f"{interval:,} from sample to sample; estimate of the core: {needs.lut:,} LUTs, "
        f"{needs.block_ram} block RAMs; {accuracy}",
        details={
            "interval": interval,
            "estimate": vars(needs),
            "folding": {p.name: p.folding.record for p in folded.populations if p.folding},
            "design_hash": folded.hash,
        },
    )


# -- several operands --------------------------------------------------------------------------

GRID = 1501  # points of each operand
KEYWORD_STEPS = 9
KEYWORD_OWN = 100  # of the test inputs, without labels, for the calibration
KEYWORD_INPUT = {"input_steps": 9, "input_bits": 12, "input_percentile": 99.5}  # not of silence
KEYWORD_SAMPLES = 16  # of these, 99 rows each
KEYWORD_PART = 50  # inputs answered at a time
CLASSES = "down go left no off on right stop up yes _silence_ _unknown_".split()


def worst_of_two(name: str, steps: int) -> tuple[float, float]:
    """Return the worst error of a function of two operands and the one stated, in levels."""
    function = SEVERAL[name]
    x1, x2 = np.meshgrid(*(np.linspace(*ends, GRID) for ends in function.domain))
    exact = function.evaluate(x1, x2)
    code = make_code(
        kind="offset", schedule=Schedule(), steps=steps, low=exact.min() / 2, high=exact.max() / 2
    )
    comparison, units = make_comparison(function, code, x1, x2)
    f1, f2 = (function.rounded(x, unit) for x, unit in zip((x1, x2), units, strict=True))
    settled = code.settle(function.target(f1, f2, comparison.fraction))
    wanted = np.clip(exact / code.unit, code.low, code.high)
    return float(np.abs(settled - wanted).max()) / 2, comparison.error


@bench("D4", "Neurons of two operands")
def two_operands() -> Iterator[Measurement]:
    for name in SEVERAL:
        found = {steps: worst_of_two(name, steps) for steps in STEPS}
        at = max(found, key=lambda steps: found[steps][0] - found[steps][1])
        yield Measurement(
            what=f"{name}, worst error over its domain, T = {STEPS[0]} to {STEPS[-1]}",
            value=round(found[at][0], 4),
            unit="levels",
            target=f"<= {found[at][1] + 5e-5:.4f}",
            note=f"at T = {at}, which comes nearest to the error that the unit states; "
            f"{GRID} x {GRID} pairs",
            details={str(steps): {"error": e, "stated": s} for steps, (e, s) in found.items()},
        )


def keyword_features() -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """Return KWT1 from its features on, those of the 500 inputs, its answers and their classes."""
    import torch
    from torch import nn

    from ..gen.front.loading import load_model

    model: Any = load_model(f"{SHARED / 'reference_models.py'}:KWT1", SHARED / "kwt1_arm.pth")
    model.eval()
    data = open_data("mlperf_kws01_audio_test_open.npz", inputs="audio")
    audio = torch.from_numpy(data.x.astype(np.float32) / 2**15)
    with torch.no_grad():
        features = torch.cat([model.features(part) for part in audio.split(KEYWORD_PART)])
        answers = torch.cat([model.classify(part) for part in features.split(KEYWORD_PART)])

    class Classifier(nn.Module):
        """The model behind its features, which are computed in float."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model.classify(x)

    order = np.array([model.CLASSES.index(name) for name in CLASSES])
    return Classifier(), features.numpy(), answers.argmax(dim=1).numpy(), order[data.y]


@bench("D5", "KWT1, keyword spotting by attention")
def keyword_transformer() -> Iterator[Measurement]:
    """All 500 inputs; twelve blocks of attention, LayerNorm and GELU."""
    from ..gen.front.export import import_network

    model, features, answers, classes = keyword_features()
    say("  the network")
    network = import_network(model, features[:8], "kwt1")
    say("  its integers")
    options = Options(steps=KEYWORD_STEPS, weight_bits=8, samples=KEYWORD_SAMPLES, **KEYWORD_INPUT)
    design = calibrate(network, features[:KEYWORD_OWN], options)
    raw, labels, right = design.raw_samples(features), [], np.zeros(0, bool)
    for start in range(0, len(raw), KEYWORD_PART):
        labels.append(golden.run(design, raw[start : start + KEYWORD_PART]).labels)
        done = start + len(labels[-1])
        right = np.concatenate(labels) == classes[:done]
        say(
            f"  {right.sum()} of {done} right, by the float network "
            f"{(answers == classes)[:done].sum()}"
        )
    others = 100 * float(right[KEYWORD_OWN:].mean())
    alike = 100 * float((np.concatenate(labels) == answers).mean())
    yield Measurement(
        what=f"golden accuracy at T = {KEYWORD_STEPS}, 8-bit weights",
        value=round(100 * float(right.mean()), 2),
        unit="%",
        target=">= 90",
        note=f"of {len(right)}, {others:.1f} % of those that did not calibrate; float "
        f"{100 * float((answers == classes).mean()):.1f} %, {alike:.1f} % of the answers are the "
        f"same; {len(design.populations)} populations",
        details={"design_hash": design.hash},
    )


# -- mixers and ConvNeXt -----------------------------------------------------------------------

CLOTHES_STEPS = (4, 5, 6, 7, 8)
CLOTHES_LEAST = 88  # % of the float network
CLOTHES_LOSS = 1  # points at the most steps
CLOTHES_BOARD, CLOTHES_HZ = "ulx3s-85f", 62.5e6
CLOTHES_IN_RTL, CLOTHES_RTL_STEPS = 50, 6  # images


def clothes_model(name: str) -> api.Model:
    """Return one of the repository's networks of clothes."""
    return api.Model(
        spec=f"{TOOLS / 'fashion_networks.py'}:{name}",
        weights=str(TOOLS / f"fashion_{name}.pth"),
        calibrate=str(TOOLS / "fashion_calibrate.npz"),
    )


def clothes(name: str) -> Iterator[Measurement]:
    """Yield a network's float accuracy and that of its integers by T, of the open test half."""
    data = open_data("fashion_mnist_test_open.npz")
    source = clothes_model(name)
    samples = api.load_data(source.calibrate)
    network = api.load_network(source, samples.x)
    exact = network.answers(data.x).argmax(axis=1) == data.classes
    weights = sum(q.map.weights.size for p in network.populations for q in p.sources)
    yield Measurement(
        what="float accuracy",
        value=round(100 * float(exact.mean()), 2),
        unit="%",
        target=f">= {CLOTHES_LEAST}",
        note=f"of {len(exact)} images; {len(network.populations)} populations, {weights:,} weights",
    )
    for steps in CLOTHES_STEPS:
        say(f"  T = {steps}")
        options = Options(steps=steps, weight_bits=8, input_steps=8)
        design = calibrate(network, samples.x, options)
        right = golden.run(design, design.raw_samples(data.x)).labels == data.classes
        change, error = paired(right, exact)
        yield Measurement(
            what=f"loss of accuracy at T = {steps}, 8-bit weights",
            value=round(-change, 2),
            unit="points",
            target=f"<= {CLOTHES_LOSS}" if steps == max(CLOTHES_STEPS) else "",
            note=f"golden {100 * float(right.mean()):.2f} %; 95 % within "
            f"{-change - CONFIDENCE * error:+.2f} to {-change + CONFIDENCE * error:+.2f}",
            details={"design_hash": design.hash, "differing": int((right != exact).sum())},
        )


def clothes_in_hardware(name: str) -> Iterator[Measurement]:
    """Fold a network for the board, run images through its Verilog, and route it."""
    source = clothes_model(name)
    samples = api.load_data(source.calibrate)
    options = Options(steps=CLOTHES_RTL_STEPS, weight_bits=8, input_steps=8)
    design = calibrate(api.load_network(source, samples.x), samples.x, options)
    design = api.folded(design, ("auto",), CLOTHES_BOARD)
    data = open_data("fashion_mnist_test_open.npz").first(CLOTHES_IN_RTL)
    yield in_rtl(design, data, folder=f"bulk-{name}", least=CLOTHES_IN_RTL)
    say("  place and route")
    found = placed(design, CLOTHES_BOARD, f"{name}-{CLOTHES_BOARD}", CLOTHES_HZ)
    yield from response(found)
    yield from against_estimate(found, CLOTHES_BOARD)


@bench("D9", "ResMLP, Fashion-MNIST, on an ECP5-85F (ULX3S)")
def clothes_resmlp() -> Iterator[Measurement]:
    """All 5,000 images of the open half; some of them in bulk RTL, which is routed."""
    yield from clothes("resmlp")
    yield from clothes_in_hardware("resmlp")


@bench("D10", "MLP-Mixer, Fashion-MNIST, on an ECP5-85F (ULX3S)")
def clothes_mixer() -> Iterator[Measurement]:
    """All 5,000 images of the open half; some of them in bulk RTL, which is routed."""
    yield from clothes("mixer")
    yield from clothes_in_hardware("mixer")


@bench("D11", "ConvNeXt, Fashion-MNIST, on an ECP5-85F (ULX3S)")
def clothes_convnext() -> Iterator[Measurement]:
    """All 5,000 images of the open half; some of them in bulk RTL, which is routed."""
    yield from clothes("convnext")
    yield from clothes_in_hardware("convnext")
