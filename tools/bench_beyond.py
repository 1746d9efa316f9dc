"""Benches of group D: neurons beyond ReLU."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..gen.calibrate import Options, calibrate
from ..gen.codes import Schedule, SpikeCode, make_code
from ..gen.design import Folding
from ..gen.functions import BUILT_IN, UNARY, Unary, make_table, slope_below
from ..gen.several import SEVERAL, make_comparison
from ..sim import golden
from . import api
from .bench_conv import SHARED
from .measure import ROOT, TOOLS, Measurement, bench, open_data

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


# -- several operands --------------------------------------------------------------------------

RANGES = {  # of both operands
    "multiply": ((-2.0, 3.0), (-1.5, 0.5)),
    "divide": ((-4.0, 4.0), (0.3, 5.0)),
    "divide_root": ((-4.0, 4.0), (0.05, 9.0)),
}
GRID = 1501  # points of each operand
KEYWORD_STEPS = 9
KEYWORD_OWN = 100  # of the test inputs, without labels, for the calibration
CLASSES = "down go left no off on right stop up yes _silence_ _unknown_".split()


def worst_of_two(name: str, steps: int) -> tuple[float, float]:
    """Return the worst error of a function of two operands and the one stated, in levels."""
    x1, x2 = np.meshgrid(*(np.linspace(*ends, GRID) for ends in RANGES[name]))
    exact = SEVERAL[name].evaluate(x1, x2)
    code = make_code(
        kind="offset", schedule=Schedule(), steps=steps, low=exact.min() / 2, high=exact.max() / 2
    )
    comparison, units = make_comparison(name, code, x1, x2)
    f1, f2 = (np.ceil(x / u - 0.5).astype(np.int64) for x, u in zip((x1, x2), units, strict=True))
    settled = code.settle(SEVERAL[name].target(f1, f2, comparison.fraction))
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


def keyword_features() -> tuple[Any, np.ndarray, np.ndarray]:
    """Return KWT1 from its features on, the features of the 500 inputs, and their classes."""
    import torch
    from torch import nn

    from ..gen.torch_import import load_model

    model = load_model(f"{SHARED / 'reference_models.py'}:KWT1", SHARED / "kwt1_arm.pth").eval()
    data = open_data("mlperf_kws01_audio_test_open.npz", inputs="audio")
    audio = torch.from_numpy(data.x.astype(np.float32) / 2**15)
    with torch.no_grad():
        features = torch.cat([model.features(part) for part in audio.split(50)]).numpy()

    class Classifier(nn.Module):
        """The model behind its features, which are computed in float."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model.classify(x)

    order = np.array([model.CLASSES.index(name) for name in CLASSES])
    return Classifier(), features, order[data.y]


@bench("D5", "KWT1, keyword spotting by attention")
def keyword_transformer() -> Iterator[Measurement]:
    """All 500 inputs; twelve blocks of attention, LayerNorm and GELU."""
    from ..gen.torch_import import import_network

    model, features, classes = keyword_features()
    network = import_network(model, features[:8], "kwt1")
    options = Options(steps=KEYWORD_STEPS, weight_bits=8, input_steps=8)
    design = calibrate(network, features[:KEYWORD_OWN], options)
    exact = network.answers(features).argmax(axis=1) == classes
    right = golden.run(design, design.raw_samples(features)).labels == classes
    others = 100 * float(right[KEYWORD_OWN:].mean())
    yield Measurement(
        what=f"golden accuracy at T = {KEYWORD_STEPS}, 8-bit weights",
        value=round(100 * float(right.mean()), 2),
        unit="%",
        target=">= 90",
        note=f"of {len(right)}, {others:.1f} % of those that did not calibrate; float "
        f"{100 * float(exact.mean()):.1f} %; {len(design.populations)} populations",
        details={"design_hash": design.hash, "layers": design.provenance["layers"]},
    )
