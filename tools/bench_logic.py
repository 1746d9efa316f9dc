"""Bench of group G: a small network whose weights are logic."""

import statistics
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from ..boards.accelerator import technology_of
from ..boards.boards import find_board
from ..gen.convert.calibrate import calibrate
from ..gen.convert.options import Options
from ..gen.core.core import core_timing
from ..gen.design.design import Design
from ..gen.front.export import import_network
from ..gen.layers.cycles import steady
from ..sim import golden
from . import api
from .bench_perceptron import against_estimate
from .measure import ROOT, SEEDS, Measurement, Routed, bench

BOARD = "ulx3s-45f"
FEATURES, CLASSES, HIDDEN = 16, 5, (64, 32, 32)
CENTRES, SPREAD = 3, 1.6  # of each class; how far they lie apart, in deviations of a feature
EPOCHS, BATCH = 30, 100


def samples_of(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return samples (count, 16) float32 and their classes: each class lies about three centres."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, CENTRES, FEATURES)) * SPREAD
    rng = np.random.default_rng(seed)
    classes, which = rng.integers(0, CLASSES, count), rng.integers(0, CENTRES, count)
    x = centres[classes, which] + rng.normal(size=(count, FEATURES))
    return x.astype(np.float32), classes


def trained(x: np.ndarray, classes: np.ndarray, epochs: int = EPOCHS) -> nn.Module:
    """Return the perceptron, trained on samples."""
    torch.manual_seed(0)
    sizes = (FEATURES, *HIDDEN)
    hidden = (m for n, k in pairwise(sizes) for m in (nn.Linear(n, k), nn.ReLU()))
    model = nn.Sequential(*hidden, nn.Linear(sizes[-1], CLASSES))
    optimiser = torch.optim.Adam(model.parameters(), 2e-3, weight_decay=1e-4)
    inputs, wanted = torch.tensor(x), torch.tensor(classes)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(inputs[batch]), wanted[batch]).backward()
            optimiser.step()
    return model


def converted(model: nn.Module, x: np.ndarray) -> Design:
    """Return the integers: 3-bit weights, three steps."""
    network = import_network(model, x[:1])
    return calibrate(network, x[:2000], Options(weight_bits=3, steps=3, input_steps=3))


@bench("G6", "16-64-32-32-5, 3-bit weights, T = 3, on an ECP5-45F (ULX3S), host link included")
def logic() -> Iterator[Measurement]:
    """Trained here, folded by the search in all ways, routed with four seeds."""
    x, classes = samples_of(6000, seed=1)
    design = converted(trained(x, classes), x)
    tested, wanted = samples_of(2000, seed=2)
    right = golden.run(design, design.raw_samples(tested)).labels == wanted
    board = find_board(BOARD)
    design = api.folded(design, ("auto", "*:synapse=any"), board)
    built = api.build(design, board, ROOT / "build" / "bench" / "logic", seeds=SEEDS)
    latency, interval = steady(core_timing(design, technology_of(board)))
    found = Routed(design=design, built=built, latency=latency, interval=interval)
    fmax = [run.fmax_hz for run in built.seeds]
    clock = statistics.median(fmax)
    yield Measurement(
        what="latency at the clock of the median seed",
        value=round(latency / clock * 1e6, 3),
        unit="µs",
        target="<= 0.3",
        note=f"{latency} cycles at {clock / 1e6:.1f} MHz, best {max(fmax) / 1e6:.1f}; golden "
        f"accuracy {100 * right.mean():.1f} %",
        details={"seeds": {run.seed: run.fmax_hz for run in built.seeds}} | found.details,
    )
    yield Measurement(what="interval", value=interval, unit="cycles", target="<= 4")
    yield Measurement(
        what="cells, link included",
        value=built.utilisation[board.open_device.lut_cell].used,
        unit="",
        target="<= 30687",
        note="da4ml's Verilog of the same integers: 30,688, 63 MHz, 0.22 µs, interval 1",
    )
    yield from against_estimate(found, BOARD, bound=8)
