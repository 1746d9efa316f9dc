"""Bench of the paper's mode: its authors' rule in float64, and the Verilog."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from torch import manual_seed, nn

from ..gen.convert.options import paper_options
from ..gen.design.design import Design
from ..gen.design.folding import Folding
from ..sim import golden, paper
from ..sim.bulk import run_bulk
from ..sim.cycle import check_cycles
from . import api
from .dataset import Dataset
from .measure import ROOT, Measurement, bench

TITLE = "Any trained model arrives intact"
SIZES = (16, 12, 8, 3)
SAMPLES, CHECKED = 64, 8  # of every network; of the cycle check
NETWORKS = 10
ZEROS = 0.4  # share of the pixels


def pixels(seed: int) -> np.ndarray:
    """Return samples in 0..1, of which many pixels are 0."""
    rng = np.random.default_rng(seed)
    shape = (SAMPLES, SIZES[0])
    return (rng.random(shape) * (rng.random(shape) > ZEROS)).astype(np.float32)


def converted(seed: int) -> Design:
    """Return a perceptron of random weights as ``convert --paper`` makes it."""
    manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(SIZES):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    data = Dataset(path="", x=pixels(seed), y=None)
    return api.convert(model, data, paper_options(), name=f"paper{seed}", judge=False).design


def difference(design: Design, raw: np.ndarray) -> float:
    """Return the greatest distance of golden logits from the authors' rule, in real numbers."""
    scale = design.readout.operands[0].scale[0]
    return float(np.abs(golden.run(design, raw).logits * scale - paper.run(design, raw)).max())


@bench("F5", "the paper's authors' rule, 16-12-8-3, T = 32, samples with zero pixels")
def authors_rule() -> Iterator[Measurement]:
    """Logits of the rule in float64, and of the Verilog."""
    designs = [converted(seed) for seed in range(NETWORKS)]
    samples = [design.raw_samples(pixels(100 + k)) for k, design in enumerate(designs)]
    worst = max(difference(d, raw) for d, raw in zip(designs, samples, strict=True))
    first = designs[0].with_folding({p.name: Folding() for p in designs[0].populations})
    place = ROOT / "build" / "bench" / "paper"
    bulk = run_bulk(first, samples[0], place / "bulk")
    cycles = check_cycles(first, samples[0][:CHECKED], place / "cycle", stalls=(0.2, 0.2))
    eta0 = first.input.spike_code.eta[0] * first.input.spike_code.unit
    yield Measurement(
        what=f"greatest difference of logits, {NETWORKS} networks, {SAMPLES} samples each",
        value=worst,
        unit="",
        target="<= 1e-12",
        note=f"η(0) of the input is {eta0:.10f}",
    )
    yield Measurement(
        what="words of the Verilog unlike the golden model",
        value=bulk.differing,
        unit="",
        target="== 0",
        note=f"{bulk.words:,} words of {bulk.samples} samples",
    )
    yield Measurement(
        what="observed words off their value or their cycle",
        value=len(cycles.mismatches),
        unit="",
        target="== 0",
        note=f"{cycles.words:,} words of {cycles.samples} samples, with random stalls",
    )
