"""Borders in the generated Verilog: every number on its cycle, and faults that are seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import LayerOptions, Options
from signfire.gen.core.core import Core, to_verilog
from signfire.gen.design.border import border_of
from signfire.gen.design.folding import Folding as F
from signfire.gen.front.export import import_network
from signfire.sim import bulk, golden
from signfire.sim.bulk import run_bulk
from signfire.sim.cycle import check_cycles
from signfire.sim.specimens.chains import behind_means, random_windows

pytestmark = pytest.mark.usefixtures("quick_compilation")

STALLS = (0.3, 0.5)
WIDE = {"window": (3, 3), "padding": (1, 1, 1, 1)}
FOLDING = {"conv1": F(pe=2), "depthwise2": F(pe=2), "dense3": F(pe=3)}
LAYERS = (
    {"conv": 4, **WIDE},
    {"depthwise": True, "window": (3, 2), "padding": (1, 0, 2, 1), "stride": (2, 1)},
    {"dense": 3},
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """One folder, so that equal RTL is compiled once."""
    return tmp_path_factory.mktemp("border")


def made(**settings):
    return behind_means(random_windows(shape=(4, 4), layers=LAYERS, folding=FOLDING, **settings))


def samples(design, count: int) -> np.ndarray:
    fmt = design.input_format
    return np.random.default_rng(3).integers(fmt.low, fmt.high + 1, (count, design.input.size))


@pytest.mark.parametrize(
    "settings",
    [
        {"limit": 4},  # ReLU6
        {"schedule": "exponential", "code": "centred"},  # no code for 0, on the way there neither
    ],
)
def test_every_number_stands_on_its_cycle_whatever_the_stalls(directory, settings):
    design = made(**settings)

    result = check_cycles(design, samples(design, 3), directory, stalls=STALLS, seed=3)

    assert result.mismatches == ()
    assert result.words > 1000


class Normalised(nn.Module):
    """A convolutional network for images of 0..255, which it normalises and clips like ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4)
        self.last = nn.Linear(4, 3)
        self.first.weight.data *= 3  # so that some are clipped

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self.first((x / 255 - 0.45) / 0.2))
        return self.last(torch.relu(self.second(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def converted():
    """Return the network above as a Design, and 40 images as raw values."""
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 5, 4), np.uint8)
    network = import_network(Normalised().eval(), images.astype(np.float32))
    layers = {"first": LayerOptions(code="centred", clip=8.0)}
    design = calibrate(network, images, Options(steps=3, input_steps=4, layers=layers))
    folding = {
        p.name: F(pe=min(2, p.shape[0])) if len(p.shape) == 3 else F()
        for p in design.populations[1:]
    }
    return design.with_folding(folding), design.raw_samples(images)


def test_a_network_that_normalises_its_images_has_hardware(directory, converted):
    design, raw = converted
    first, second, _ = design.populations[1:]
    kinds = [
        border_of(
            p.operands[0].bias, p.shape, [(q.map, design[q.source].code) for q in p.sources]
        ).count
        for p in (first, second)
    ]
    assert [9, 6] == kinds
    assert first.limit is not None and first.limit < first.code.high
    assert 0 != first.code.zero and np.ptp(first.operands[0].bias.reshape(4, -1), axis=1).all()

    on_cycles = check_cycles(design, raw[:2], directory, stalls=STALLS, seed=3)
    in_bulk = run_bulk(design, raw, directory, technology="ecp5", stalls=STALLS, seed=5)

    assert on_cycles.mismatches == in_bulk.mismatches == ()
    assert in_bulk.labels.tolist() == golden.run(design, raw).labels.tolist()


def with_bias(design, bias):
    operand = replace(design["conv1"].operands[0], bias=bias)
    return replace(
        design,
        populations=tuple(
            replace(p, operands=(operand,)) if p.name == "conv1" else p for p in design.populations
        ),
    )


def test_biases_of_two_kinds_exchanged_and_one_pixel_of_another_kind_are_seen(directory):
    design = made()
    raw = samples(design, 60)
    verilog = to_verilog(Core(design, "ecp5"), bulk.TOP)
    right = design["conv1"].operands[0].bias
    exchanged, one = right.copy(), right.copy()
    exchanged[:, 0, 0], exchanged[:, 0, 3] = right[:, 0, 3], right[:, 0, 0]
    one[:, 0, 1] = right[:, 0, 0]

    def compared(bias):
        """Compare the hardware of the design with what another one should answer."""
        return run_bulk(
            with_bias(design, bias),
            raw,
            directory,
            technology="ecp5",
            verilog=verilog,
            shape=design,
            stalls=STALLS,
            seed=5,
        ).mismatches

    assert compared(right) == ()
    for bias in (exchanged, one):
        assert "logit" in {m.what for m in compared(bias)}
