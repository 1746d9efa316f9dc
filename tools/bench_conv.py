"""Benches of group C: convolutional and residual networks, from weights that others trained.

Models and data lie beside the checkout in ``shared``; nothing of them is copied. Where a test set
has no training half, the calibration takes some of its samples, without their labels, and the
accuracy of all others is stated beside that of the whole set.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..boards.accelerator import technology_of
from ..boards.boards import Board, find_board
from ..gen.convert.options import Options
from ..gen.core.core import core_timing
from ..gen.design.design import Design
from ..gen.fold.alternative import BLOCKS_ALONE, EQUAL_INTERVAL, EQUAL_LANES
from ..gen.layers.cycles import predict, steady
from ..sim import golden
from ..sim.bulk import BulkResult
from . import api, comparison, demo
from .bench_perceptron import against_estimate, speed
from .measure import ROOT, SEED, TOOLS, Measurement, Routed, bench, example, open_data, routed

TITLE = "Convolutional and residual networks"
SHARED = ROOT.parent / "shared" / "models"
IN_RTL = 100  # samples
ESTIMATE = 20  # per cent by which the estimate of LUTs may be wrong
CONFIDENCE = 1.96  # standard errors on either side of a difference: 95 %
INPUT_STEPS = 8  # pixels and features enter with all of their bits
CALIBRATION = 1000  # images of the CIFAR-10 training half; the conversion may take fewer
OWN_CALIBRATION = 100  # samples of a set that has no training half

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A third-party model with its data.

    Parameters
    ----------
    model
        Class in ``reference_models.py``, and ``weights``, its file.
    calibrate
        Samples without labels.
    test
        Samples with labels.
    own
        How many of the test samples, the first, are those of the calibration.
    """

    model: str
    weights: str
    calibrate: api.Dataset
    test: api.Dataset
    own: int = 0


def dataset(x: np.ndarray, y: np.ndarray | None = None, *, name: str) -> api.Dataset:
    return api.Dataset(path=name, x=x, y=y)


def cifar(convert: Callable[[np.ndarray], np.ndarray]) -> tuple[api.Dataset, api.Dataset]:
    """Return images of the training half, and the open test half with its labels."""
    train = open_data("cifar10_train10k.npz").first(CALIBRATION)
    test = open_data("cifar10_lossless_test_open.npz")
    planes = [convert(d.x).transpose(0, 3, 1, 2) for d in (train, test)]
    return dataset(planes[0], name=train.path), dataset(planes[1], test.y, name=test.path)


def resnet8() -> Task:
    train, test = cifar(lambda x: x)
    return Task(model="ResNet8", weights="resnet8_mlperf_tiny", calibrate=train, test=test)


def resnet20() -> Task:
    train, test = cifar(lambda x: (x.astype(np.float32) / 255 - MEAN) / DEVIATION)
    return Task(model="CifarResNet", weights="cifar_resnet20", calibrate=train, test=test)


def of_itself(model: str, weights: str, data: api.Dataset, x: np.ndarray) -> Task:
    """Return a task whose calibration takes some of the test samples, without labels."""
    return Task(
        model=model,
        weights=weights,
        calibrate=dataset(x[:OWN_CALIBRATION], name=data.path),
        test=dataset(x, data.y, name=data.path),
        own=OWN_CALIBRATION,
    )


def keywords() -> Task:
    data = open_data("mlperf_kws01_mfcc_test_open.npz", inputs="mfcc_int8")
    x = (data.x.astype(np.float32) - 83) * np.float32(0.5847029)
    return of_itself("DSCNN", "dscnn_kws_mlperf_tiny", data, x[:, None])


def wake_words() -> Task:
    data = open_data("mlperf_vww01_test_open.npz")
    x = (data.x.astype(np.float32) / 255).transpose(0, 3, 1, 2)
    return of_itself("MobileNetV1VWW", "mobilenetv1_vww_mlperf_tiny", data, x)


def model_of(task: Task) -> api.Model:
    return api.Model(
        spec=f"{SHARED / 'reference_models.py'}:{task.model}",
        weights=str(SHARED / f"{task.weights}.pth"),
        calibrate=task.calibrate.path,
    )


@cache
def float_answers(make: Callable[[], Task]) -> np.ndarray:
    """Return the float network's outputs for the test samples."""
    task = make()
    network = api.load_network(model_of(task), task.calibrate.x)
    return network.answers(task.test.x)


@cache
def converted(make: Callable[[], Task], **settings: Any) -> Design:
    """Return the Design of a task in integers, not folded."""
    task = make()
    options = Options(input_steps=INPUT_STEPS, **settings)
    return api.convert(model_of(task), task.calibrate, options).design


def paired(right: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """Return a difference of accuracies on the same samples and its standard error, in points.

    Only samples that one of the two answers rightly and the other wrongly count, as in McNemar's
    test.
    """
    difference = right.astype(float) - exact.astype(float)
    return 100 * difference.mean(), 100 * difference.std() / len(difference) ** 0.5


def classified(
    make: Callable[[], Task], *, least: float, what: str, **options: Any
) -> Iterator[Measurement]:
    """Convert a classifier and yield its golden accuracy beside the float network's."""
    task = make()
    truth = task.test.classes
    exact = float_answers(make).argmax(axis=1) == truth
    design = converted(make, **options)
    start = time.perf_counter()
    result = golden.run(design, design.raw_samples(task.test.x))
    seconds = time.perf_counter() - start
    right = result.labels == truth
    change, error = paired(right, exact)
    others = f"; {100 * right[task.own :].mean():.1f} % of the others" if task.own else ""
    yield Measurement(
        what=f"golden accuracy, {what}",
        value=round(100 * float(right.mean()), 2),
        unit="%",
        target=f">= {least:g}",
        note=f"of {len(truth)}{others}; {change:+.1f} points against float, 95 % within "
        f"{change - CONFIDENCE * error:+.1f} to {change + CONFIDENCE * error:+.1f}",
        details={
            "design_hash": design.hash,
            "differing": int((right != exact).sum()),
            "calibration_samples": design.provenance["calibration_samples"],
            "layers": design.provenance["layers"],
            "samples_per_s": len(truth) / seconds,
        },
    )
    if "budget_bits" in options:
        yield Measurement(
            what=f"mean bits of a weight, {what}",
            value=round(mean_bits(design), 3),
            unit="bits",
            target=f"<= {options['budget_bits']:g}",
        )


def mean_bits(design) -> float:
    """Return the mean width of the trained weights of a Design."""
    stored = [
        (q.weight_bits, q.map.weights.size)
        for p in design.populations
        for q in p.sources
        if not q.map.fixed
    ]
    return sum(bits * n for bits, n in stored) / sum(n for _, n in stored)


def in_a_row(found: BulkResult) -> int:
    """Return how many samples come before the first difference."""
    return found.samples if found.passed else min(m.sample or 0 for m in found.mismatches)


def in_rtl(design: Design, data: api.Dataset, *, folder: str, least: int) -> Measurement:
    """Run samples through the Verilog, and count those before the first difference."""
    found = api.simulate_bulk(design, data, ROOT / "build" / "bench" / folder)
    latency = predict(core_timing(design, "ecp5"), 1).latency()
    return Measurement(
        what="samples in a row with every logit, class and cycle equal in bulk RTL",
        value=in_a_row(found),
        unit="samples",
        target=f">= {least}",
        note=f"of {found.samples}; {found.words:,} words, {found.cycles:,} cycles; latency "
        f"{latency:,} cycles",
        details={
            "differing": found.differing,
            "mismatches": [str(m) for m in found.mismatches],
            "design_hash": design.hash,
            "folding": {p.name: p.folding.record for p in design.populations if p.folding},
        },
    )


def placed(design: Design, board: str, name: str, frequency: float | None = None) -> Routed:
    """Build a Design for a board with one seed, since so large a one takes long.

    A ``frequency`` in Hz takes one run in place of two.
    """
    folder = ROOT / "build" / "bench" / name
    built = api.build(design, board, folder, seeds=(SEED,), frequency=frequency)
    latency, interval = steady(core_timing(design, technology_of(find_board(board))))
    return Routed(design=design, built=built, latency=latency, interval=interval)


def response(
    found: Routed,
    *,
    latency_ms: float | None = None,
    interval_ms: float | None = None,
    mhz: float | None = None,
) -> Iterator[Measurement]:
    """Yield fmax, latency and interval at the clock of the bitstream."""
    clock = found.built.clock_hz
    yield Measurement(
        what="fmax, routed with the host link",
        value=round(max(run.fmax_hz for run in found.built.seeds) / 1e6, 1),
        unit="MHz",
        target="" if mhz is None else f">= {mhz:g}",
        note=f"clock of the bitstream {clock / 1e6:.1f} MHz",
        details=found.details,
    )
    yield Measurement(
        what="latency",
        value=round(found.latency / clock * 1e3, 3),
        unit="ms",
        target="" if latency_ms is None else f"<= {latency_ms:g}",
        note=f"{found.latency:,} cycles",
    )
    yield Measurement(
        what="interval",
        value=round(found.interval / clock * 1e3, 3),
        unit="ms",
        target="" if interval_ms is None else f"<= {interval_ms:g}",
        note=f"{found.interval:,} cycles",
    )


def float_accuracy(make: Callable[[], Task]) -> Measurement:
    truth = make().test.classes
    right = float_answers(make).argmax(axis=1) == truth
    return Measurement(
        what="float accuracy",
        value=round(100 * float(right.mean()), 2),
        unit="%",
        note=f"of {len(truth)}",
    )


# A sample in 58,000 cycles.
RESIDUAL_BOARD = "ulx3s-85f"
RESIDUAL_HZ = 62.5e6
RESIDUAL_FOLDING = (
    "input:pe=1",
    "conv0:pe=16,simd=3,unroll=2",
    *(f"conv{i}:pe=16,simd=16" for i in (1, 2, 5, 8)),
    *(f"conv{i}:pe=8,simd=16" for i in (3, 6)),
    "fc:pe=5,simd=8",
)
# In bulk an eighth of the lanes, so that the model of so large a network compiles in minutes.
RESIDUAL_IN_RTL = (
    "input:pe=1",
    "conv0:pe=4,simd=3",
    *(f"conv{i}:pe=4,simd=8" for i in (1, 2, 5, 8)),
    *(f"conv{i}:pe=2,simd=8" for i in (3, 6)),
    "fc:pe=1,simd=8",
)


@bench("C1", "ResNet8, CIFAR-10, on an ECP5-85F (ULX3S)")
def residual() -> Iterator[Measurement]:
    """All 592 images at 8 bits and at means of 5 and 4 bits, in bulk RTL; then routed."""
    options = {"steps": 6, "weight_bits": 8}
    yield float_accuracy(resnet8)
    yield from classified(resnet8, least=87.5, what="T = 6, 8-bit weights", **options)
    yield from classified(resnet8, least=86, what="T = 6, mean of 5 bits", steps=6, budget_bits=5)
    yield from classified(resnet8, least=86, what="T = 6, mean of 4 bits", steps=6, budget_bits=4)
    design = converted(resnet8, **options)
    narrow = api.folded(design, RESIDUAL_IN_RTL)
    yield in_rtl(narrow, resnet8().test, folder="bulk-resnet8", least=IN_RTL)
    folded = api.folded(design, RESIDUAL_FOLDING)
    found = placed(folded, RESIDUAL_BOARD, "resnet8-ulx3s-85f", RESIDUAL_HZ)
    yield from response(found, latency_ms=2, interval_ms=1, mhz=60)
    yield from against_estimate(found, RESIDUAL_BOARD, bound=ESTIMATE)


# Balanced by hand: a sample in 40,000 cycles, for which half of an ECP5-45F is enough.
KEYWORD_BOARD = "ulx3s-45f"
KEYWORD_FOLDING = (
    "input:pe=1",
    "conv0:pe=8,unroll=8",
    *(f"dw.{i}:pe=8,unroll=2; pw.{i}:pe=4,simd=8,unroll=3" for i in range(4)),
    "fc:pe=6,simd=8,unroll=2",
)


@bench("C2", "DSCNN, keyword spotting, on an ECP5-45F (ULX3S)")
def keyword_spotting() -> Iterator[Measurement]:
    """All 500 samples in integers, 100 of them in bulk RTL, then routed, host link included."""
    options = {"steps": 6, "weight_bits": 8}
    yield float_accuracy(keywords)
    yield from classified(keywords, least=89.5, what="T = 6, 8-bit weights", **options)
    design = api.folded(converted(keywords, **options), KEYWORD_FOLDING)
    yield in_rtl(design, keywords().test.first(IN_RTL), folder="bulk-dscnn", least=IN_RTL)
    found = placed(design, KEYWORD_BOARD, "dscnn-ulx3s-45f")
    yield from response(found, latency_ms=1)
    yield from against_estimate(found, KEYWORD_BOARD, bound=ESTIMATE)


DEEP_IN_RTL = 10  # images


@bench("C3", "CifarResNet(20), CIFAR-10")
def deep_residual() -> Iterator[Measurement]:
    """All 592 images in integers, ten of them in bulk RTL of eight lanes a layer."""
    options = {"steps": 6, "weight_bits": 8}
    yield float_accuracy(resnet20)
    yield from classified(resnet20, least=92, what="T = 6, 8-bit weights", **options)
    design = converted(resnet20, **options)
    others = {"input": "pe=1", "conv1": "pe=1,simd=3", "linear": "pe=1,simd=8"}
    folding = [f"{p.name}:{others.get(p.name, 'pe=2,simd=4')}" for p in design.populations]
    some = resnet20().test.first(DEEP_IN_RTL)
    yield in_rtl(api.folded(design, folding), some, folder="bulk-resnet20", least=DEEP_IN_RTL)


# Near 300,000 cycles a layer: steps in parallel, and few channels.
WAKE_WORD_FOLDING = (
    "input:pe=1",
    "conv.0:simd=3,unroll=4",
    *(f"conv.{i}:simd={simd},unroll=4" for i, simd in enumerate((2, 2, 4, 2, 4, 2), 1)),
    *(f"conv.{i}:simd={simd},unroll=4" for i, simd in enumerate((4, 4, 4, 4, 4, 2, 4), 7)),
    *(f"dw.{i}:unroll={unroll}" for i, unroll in enumerate((4, 2, 4, 1, 2))),
    *(f"dw.{i}:pe=1" for i in range(5, 13)),
    "fc:pe=1",
)
FEW_IN_RTL = 3  # photographs


@bench("C4", "MobileNetV1, visual wake words")
def mobile() -> Iterator[Measurement]:
    """All 500 photographs of 96x96 in integers, three of them in bulk RTL."""
    options = {"steps": 8, "weight_bits": 8}
    yield float_accuracy(wake_words)
    yield from classified(wake_words, least=84, what="T = 8, 8-bit weights", **options)
    design = api.folded(converted(wake_words, **options), WAKE_WORD_FOLDING)
    some = wake_words().test.first(FEW_IN_RTL)
    yield in_rtl(design, some, folder="bulk-mobilenet", least=FEW_IN_RTL)


# -- anomalies ---------------------------------------------------------------------------------

SOUND_FOLDING = ("input:pe=1", *(f"fc.{i}:pe=8,simd=8" for i in range(10)))
WINDOWS_IN_RTL = 20
FRAMES = 5  # log-mel frames of a window
CLIPS = 12  # normal ones, whose windows calibrate


def windows(clips: np.ndarray) -> np.ndarray:
    """Return (clips, windows, 640) of (clips, frames, 128): five frames in a row."""
    frames = np.lib.stride_tricks.sliding_window_view(clips, FRAMES, axis=1)
    return frames.transpose(0, 1, 3, 2).reshape(*frames.shape[:2], -1)


def separation(score: np.ndarray, anomalous: np.ndarray) -> float:
    """Return the area under the ROC curve: the share of pairs in the right order, ties half."""
    above = score[anomalous][:, None] - score[~anomalous]
    return float((above > 0).mean() + (above == 0).mean() / 2)


def bootstrap(score: np.ndarray, exact: np.ndarray, anomalous: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two areas, over clips drawn again."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        k = rng.integers(0, len(score), len(score))
        if anomalous[k].any() and not anomalous[k].all():
            found.append(separation(score[k], anomalous[k]) - separation(exact[k], anomalous[k]))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


@bench("C5", "ToyCarAE, anomalous sounds")
def anomalies() -> Iterator[Measurement]:
    """Area under the ROC curve of the mean squared reconstruction error, all 124 clips."""
    data = open_data("mlperf_ad01_test_open.npz", inputs="logmel")
    x = windows(data.x.astype(np.float32))
    anomalous = data.classes == 1
    known = np.flatnonzero(~anomalous)[:CLIPS]
    calibrate = dataset(x[known].reshape(-1, x.shape[2]), name=data.path)
    task = Task(
        model="ToyCarAE", weights="toycar_ae_mlperf_tiny", calibrate=calibrate, test=calibrate
    )
    network = api.load_network(model_of(task), calibrate.x)
    flat = x.reshape(-1, x.shape[2])

    def score(outputs: np.ndarray) -> np.ndarray:
        return ((outputs - flat) ** 2).mean(axis=1).reshape(len(x), -1).mean(axis=1)

    exact = score(network.answers(flat))
    options = Options(
        steps=8, weight_bits=8, input_steps=INPUT_STEPS, equalise=1.0, samples=len(calibrate)
    )
    design = api.convert(model_of(task), calibrate, options).design
    logits = golden.run(design, design.raw_samples(flat)).logits
    found = score(logits * design.readout.operands[0].scale)
    low, high = bootstrap(found, exact, anomalous)
    unseen = np.ones(len(x), bool)
    unseen[known] = False
    yield Measurement(
        what="float AUC", value=round(separation(exact, anomalous), 4), unit="", note="of 124 clips"
    )
    yield Measurement(
        what="golden AUC, T = 8, 8-bit weights",
        value=round(separation(found, anomalous), 4),
        unit="",
        target=">= 0.85",
        note=f"{separation(found[unseen], anomalous[unseen]):.3f} without the {CLIPS} clips of the "
        f"calibration; against float 95 % within {low:+.3f} to {high:+.3f}",
        details={"design_hash": design.hash, "layers": design.provenance["layers"]},
    )
    folded = api.folded(design, SOUND_FOLDING)
    some = dataset(flat[:: len(flat) // WINDOWS_IN_RTL][:WINDOWS_IN_RTL], name=data.path)
    yield in_rtl(folded, some, folder="bulk-toycar", least=10)


# -- the repository's own ----------------------------------------------------------------------

BOARD = "icebreaker"


@bench("C6", "Small MNIST CNN, 4-bit weights, T = 4, 2-bit input, on an iCE40UP5K (iCEBreaker)")
def own() -> Iterator[Measurement]:
    """Accuracy, every image in bulk RTL, then routed with four seeds, host link included."""
    choice, data = demo.CONVOLUTIONS, open_data("mnist_test_open.npz")
    found = routed(choice.model, BOARD, choice.folding)
    network = api.load_network(example(choice.model), data.x)
    yield Measurement(
        what="float accuracy", value=round(100 * api.float_accuracy(network, data), 2), unit="%"
    )
    yield Measurement(
        what="golden accuracy",
        value=round(100 * api.evaluate(found.design, data).accuracy, 2),
        unit="%",
        target=">= 98.3",
        note=f"of {len(data):,}",
    )
    run = api.simulate_bulk(
        found.design,
        data,
        ROOT / "build" / "bench" / f"bulk-{choice.model}",
        technology=api.technology_of(find_board(BOARD)),
    )
    wrong = {m.sample for m in run.mismatches}
    yield Measurement(
        what="logit vectors equal to golden in bulk RTL, with class and cycle",
        value=run.samples - (len(wrong) if run.passed or wrong else run.samples),
        unit="images",
        target=f"== {len(data)}",
        note=f"{run.cycles:,} cycles",
        details={"differing": run.differing, "design_hash": found.design.hash},
    )
    yield from speed(found, mhz=24, latency_us=5000)
    yield Measurement(
        what="interval",
        value=round(found.interval / found.built.clock_hz * 1e6, 2),
        unit="µs",
        note=f"{found.interval:,} cycles; {found.built.clock_hz / found.interval:,.0f} images/s",
    )
    yield from against_estimate(found, BOARD, bound=ESTIMATE)


# -- the plain alternative ---------------------------------------------------------------------

SMALL = ("input:pe=14", "fc1:pe=8,simd=14", "fc2:simd=2,unroll=4")
COMPARED = {"icebreaker": (32, SMALL), "ulx3s-25f": (128, demo.LARGE.folding)}
CLOSE = 20  # per cent, between an estimate of LUTs and place and route


@bench("C7", "the same integers on multipliers, beside the example's perceptrons")
def multipliers() -> Iterator[Measurement]:
    """Route what fits of events and alternatives, and run the products' Verilog on every image."""
    data = open_data("mnist_test_open.npz")
    for name, (hidden, folding) in COMPARED.items():
        board, folder = find_board(name), ROOT / "build" / "bench" / f"compare-{name}"
        design = api.folded(api.convert(example(hidden)).design, folding, board)
        designs = comparison.designs_on(design, board)
        builds = comparison.build_all(
            designs, board, folder, seeds=(SEED,), progress=lambda stage: None
        )
        for row in comparison.compare(designs, board, builds):
            yield from compared(row, board, f"784-{hidden}-10, {name}")
        lanes = designs[EQUAL_LANES]
        run = api.simulate_bulk(lanes, data, folder, technology=api.technology_of(board))
        yield Measurement(
            what=f"words of the Verilog unlike golden, 784-{hidden}-10, {EQUAL_LANES}",
            value=run.differing,
            unit="",
            target="== 0",
            note=f"{run.words:,} words of {run.samples:,} images",
        )


def compared(row: comparison.Row, board: Board, what: str) -> Iterator[Measurement]:
    """Yield what a design takes, and of a routed one how far the estimate is from that."""
    synapse = row.name if row.name == comparison.EVENTS else f"multiply, {row.name}"
    clock = f"{row.clock_hz / 1e6:.1f} MHz" if row.routed else f"{row.clock_is} clock"
    state = "routed" if row.routed else "estimate" if row.fits else "estimate, does not fit"
    microjoule = "" if row.energy is None else f", about {row.energy.energy_j * 1e6:.2g} µJ"
    yield Measurement(
        what=f"{what}, {synapse}",
        value=row.lut,
        unit="LUT",
        note=f"{state}; {row.multipliers} DSP, {row.block_ram} block RAM, {clock}, "
        f"{row.latency_s * 1e6:.2f} µs, interval {row.interval_cycles:,} cycles{microjoule}",
        details=row.record(),
    )
    if row.routed and row.name != comparison.EVENTS:
        lut, block_ram, blocks, _ = comparison.resources_of(row.design, board, None)
        yield Measurement(
            what=f"LUTs estimated less routed, {what}, {row.name}",
            value=round(abs(100 * (lut / row.lut - 1)), 1),
            unit="%",
            target=f"<= {CLOSE}",
            note=f"{lut:,} for {row.lut:,}",
        )
        yield Measurement(
            what=f"block RAMs and DSP blocks estimated less routed, {what}, {row.name}",
            value=abs(block_ram - row.block_ram) + abs(blocks - row.multipliers),
            unit="",
            target="== 0",
            note=f"{block_ram} and {blocks}",
        )


# One place and route takes long for networks of this size: one alternative, one seed, one clock.
ORDER = (EQUAL_LANES, EQUAL_INTERVAL, BLOCKS_ALONE)  # of preference, among those that fit
OWN_HZ = 24e6


@bench("C8", "the small MNIST CNN on multipliers, on an iCE40UP5K (iCEBreaker)")
def own_multiplied() -> Iterator[Measurement]:
    """Route one alternative to C6."""
    choice = demo.CONVOLUTIONS
    design = api.convert(example(choice.model), options=choice.options).design
    folded = api.folded(design, choice.folding, find_board(BOARD))
    yield from beside("C6", folded, BOARD, OWN_HZ)


@bench("C9", "DSCNN on multipliers, on an ECP5-45F (ULX3S)")
def keyword_multiplied() -> Iterator[Measurement]:
    """Route one alternative to C2."""
    design = converted(keywords, steps=6, weight_bits=8)
    yield from beside("C2", api.folded(design, KEYWORD_FOLDING), KEYWORD_BOARD, RESIDUAL_HZ)


@bench("C10", "ResNet8 on multipliers, its residual sums on adders, on an ECP5-85F (ULX3S)")
def residual_multiplied() -> Iterator[Measurement]:
    """Route one alternative to C1."""
    design = converted(resnet8, steps=6, weight_bits=8)
    yield from beside("C1", api.folded(design, RESIDUAL_FOLDING), RESIDUAL_BOARD, RESIDUAL_HZ)


def beside(bar: str, design: Design, name: str, frequency: float) -> Iterator[Measurement]:
    """Route the first alternative that fits, and set it beside what ``bar`` recorded of events.

    Events themselves are not routed again: their row is an estimate, and the record follows where
    it is of the same Design.
    """
    board, what = find_board(name), f"beside {bar}"
    designs = comparison.designs_on(design, board)
    chosen = fitting(designs, board)
    builds = {}
    if chosen is not None:
        folder = ROOT / "build" / "bench" / f"compare-{bar.lower()}-{name}"
        builds[chosen] = api.build(
            designs[chosen], board, folder, seeds=(SEED,), frequency=frequency
        )
    for row in comparison.compare(designs, board, builds):
        yield from compared(row, board, what)
    record = recorded(bar, design)
    if record is not None:
        assert board.device is not None
        used = record["details"]["utilisation"]
        block = used.get(board.device.multiplier_cell, {"used": 0})
        ram = used[board.device.block_ram.cell]
        yield Measurement(
            what=f"{what}, events, as {bar} recorded them",
            value=used[board.device.lut_cell]["used"],
            unit="LUT",
            note=f"routed; {block['used']} DSP, {ram['used']} block RAM, "
            f"{record['details']['clock_hz'] / 1e6:.1f} MHz",
        )


def fitting(designs: Mapping[str, Design], board: Board) -> str | None:
    """Return the alternative to route: the first of :data:`ORDER` that fits by the estimate."""
    there = (name for name in ORDER if name in designs)
    return next((n for n in there if comparison.resources_of(designs[n], board, None)[3]), None)


def recorded(bar: str, design: Design) -> dict[str, Any] | None:
    """Return the record of a routed Design, ``None`` where the bar has none of this one."""
    records = json.loads((TOOLS / "bench_results.json").read_text())
    return next(
        (
            record
            for record in records
            if record["bar"] == bar
            and "utilisation" in record["details"]
            and record["details"]["design_hash"] == design.hash
        ),
        None,
    )
