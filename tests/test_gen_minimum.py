"""Minima of two values: read from torch, decided as the rules say, and in hardware."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.core.estimate import estimate
from signfire.gen.core.plans import no_hardware, plan_layers
from signfire.gen.core.shape import differences
from signfire.gen.cost import Budget
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding as F
from signfire.gen.design.population import (
    DesignOperand,
    DesignPopulation,
    DesignProjection,
    InputFormat,
)
from signfire.gen.fold.fold import auto_fold
from signfire.gen.front.export import import_network
from signfire.gen.front.refusals import UnsupportedModel
from signfire.gen.layers.minimum.plan import MinimumPlan
from signfire.gen.model.codes import SpikeCode
from signfire.gen.model.maps import Dense
from signfire.gen.model.several import SEVERAL, Comparison
from signfire.gen.technology import find_technology
from signfire.sim import golden
from signfire.sim.bulk import run_bulk
from signfire.sim.cycle import check_cycles
from signfire.sim.specimens.minima import minima_network, random_minima

pytestmark = pytest.mark.usefixtures("quick_compilation")

VECTORS = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
IMAGES = np.random.default_rng(1).normal(size=(120, 2, 4, 5)).astype(np.float32)
OPTIONS = Options(steps=7, input_steps=7, weight_bits=8)


# -- by hand -----------------------------------------------------------------------------------


def test_the_least_value_by_hand():
    minimum = SEVERAL["minimum"]

    found = minimum.target(np.array([3, 4, -5, -7, 6]), np.array([4, 3, -7, 5, 6]), 0)

    assert found.tolist() == [3, 3, -7, -7, 6]
    assert minimum.target(np.array([5, -5]), np.array([9, 9]), 1).tolist() == [3, -2]
    assert minimum.units(0.25, (9.0, 9.0), None) == (0, (0.25, 0.25))
    assert minimum.rounded(np.array([0.5, 0.6, -0.6]), 0.25).tolist() == [2, 3, -2]


def by_hand() -> Design:
    """Input values 0 2 4 6; two neurons of values -3 -1 .. 3; operands with factors 5/4 and 7/8."""

    def operand(source: str, weights, bias, multiplier: int, shift: int) -> DesignOperand:
        linear = Dense(np.array(weights), (2,))
        return DesignOperand(
            projections=(DesignProjection(source=source, map=linear, weight_bits=4),),
            bias=np.array(bias),
            scale=np.ones(len(weights)),
            multiplier=np.full(len(weights), multiplier),
            shift=shift,
        )

    def population(name: str, function: str, code, *operands, **settings) -> DesignPopulation:
        return DesignPopulation(
            name=name, shape=(2,), function=function, code=code, operands=operands, **settings
        )

    least = population(
        "least",
        "minimum",
        SpikeCode(eta=(2, 1), rest=0, unit=1.0, kind="centred"),
        operand("input", [[1, -1], [1, 0]], [0, -4], 5, 2),
        operand("input", [[0, 1], [-1, 1]], [-3, 2], 7, 3),
        comparison=Comparison(fraction=0, error=0.5),
    )
    return Design(
        name="hand",
        firing="settled",
        input_format=InputFormat(low=0, high=255, scale=1.0, multiplier=3, shift=7),
        populations=(
            population("input", "input", SpikeCode(eta=(2, 1), rest=3, unit=1.0)),
            least,
            population("out", "readout", None, operand("least", [[2, 1], [0, -1]], [1, 0], 1, 0)),
        ),
    )


def test_golden_model_by_hand():
    design = by_hand()

    found = golden.trace(design, np.array([255, 100]))

    # F = ceil(255·3/128) = 6 and ceil(100·3/128) = 3: values 6 and 2 (3 is a tie and goes down)
    assert found.populations["input"].membranes[-1].tolist() == [6, 2]
    seen = found.populations["least"]
    # X1 = 6-2, 6-4: F1 = ceil(20/4), ceil(10/4); X2 = 2-3, -6+2+2: F2 = ceil(-7/8), ceil(-14/8)
    assert [f[0].tolist() for f in seen.requantised] == [[5, 3], [0, -1]]
    # v: 0 >= 0 to -2, below 0 to -1; 0 >= -1 to -2, below -1 to -1
    assert seen.targets.tolist() == [[0, -1], [0, -1]]
    assert seen.membranes.tolist() == [[0, 0], [-2, -2], [-1, -1]]
    assert seen.events.tolist() == [[False, False], [True, True]]
    assert found.logits.tolist() == [1 - 2 - 1, 1]
    assert golden.run(design, np.array([[255, 100]])).logits.tolist() == [[-2, 1]]


@pytest.mark.parametrize("join", [False, True])
def test_a_neuron_says_the_level_nearest_to_the_lesser_operand(join):
    """Whatever the sources say, rounding the operands adds nothing to half a level."""
    design = random_minima(join=join, steps=5)
    raw = golden_samples(design, 40)
    least = design["least"]
    code = least.spike_code

    for one in raw:
        seen = golden.trace(design, one).populations["least"]
        exact = np.min(
            [
                x[-1] * operand.multiplier.repeat(9) / 2**operand.shift
                for x, operand in zip(seen.integrators, least.operands, strict=True)
            ],
            axis=0,
        )
        wanted = np.clip(exact, code.low, code.high)
        assert np.abs(seen.membranes[-1] - wanted).max() <= 1.0  # levels are 2 apart


def test_conversion_rounds_operands_up_in_the_unit_of_v():
    """A bias with half a unit taken off would round them to the nearest."""
    network = minima_network()
    samples = np.random.default_rng(0).integers(-100, 100, (64, *network.input.shape))
    options = Options(steps=5, input_steps=5, weight_bits=8, bias_correction=False)
    least = calibrate(network, samples.astype(np.int8), options)["least"]

    for operand, exact in zip(least.operands, network["least"].operands, strict=True):
        unit = operand.scale * 2**operand.shift / operand.multiplier
        off = operand.bias.ravel() * operand.scale - exact.bias.ravel()

        assert unit == pytest.approx(least.spike_code.unit)
        assert (np.abs(off) <= operand.scale / 2 + 1e-9).all()
        assert operand.scale.max() < unit.min() / 2


def test_it_is_silent_at_zero_only_where_no_operand_is_negative():
    never_negative = SEVERAL["minimum"].never_negative

    assert never_negative((True, True))
    assert not never_negative((True, False))
    assert not never_negative((False, True))


# -- from torch --------------------------------------------------------------------------------


class Between(nn.Module):
    """Two layers of one input, what is made of both, and a layer behind."""

    def __init__(self, made, first: nn.Module, second: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.made, self.first, self.second, self.last = made, first, second, last

    def forward(self, x):
        return self.last(self.made(self.first(x), self.second(x)))


def dense(made) -> nn.Module:
    torch.manual_seed(2)
    return Between(made, nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(5, 3))


def planes() -> nn.Module:
    torch.manual_seed(3)
    last = nn.Sequential(nn.Flatten(), nn.Linear(60, 3))
    return Between(torch.minimum, nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 1), last)


BOUND = torch.tensor([0.5, -0.25, 0.0, 1.0, 0.125])
FORMS = {  # what is made of two values -> functions of the populations that it becomes
    "torch.minimum": (torch.minimum, ["minimum"]),
    "torch.min": (torch.min, ["minimum"]),
    "x.minimum": (lambda a, b: a.minimum(b), ["minimum"]),
    "of three": (lambda a, b: torch.min(a, torch.min(b, a - b)), ["minimum", "minimum"]),
    "of a row": (lambda a, b: torch.minimum(a, b.mean(1, keepdim=True)), ["minimum"]),
    "a constant": (lambda a, b: torch.minimum(a + b, BOUND), ["relu"]),
    "a constant first": (lambda a, b: torch.minimum(BOUND, a - b), ["relu"]),
    "amin": (lambda a, b: a + torch.amin(b, -1, keepdim=True), ["minimum"] * 3),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_read_and_answer_as_torch_does(form):
    made, functions = FORMS[form]
    model = dense(made)
    network = import_network(model, VECTORS)
    design = calibrate(network, VECTORS, OPTIONS)
    with torch.no_grad():
        wanted = model(torch.from_numpy(VECTORS)).double().numpy()

    exact = network.answers(VECTORS)
    raw = design.raw_samples(VECTORS)
    seen = golden.run(design, raw).logits

    assert [p.function for p in network.populations[1:-1]] == functions
    assert np.abs(exact - wanted).max() < 1e-5
    real = seen * design.readout.operands[0].scale
    assert ((real - exact) ** 2).mean() < 2e-3 * exact.var()
    assert [golden.trace(design, one).logits.tolist() for one in raw[:4]] == seen[:4].tolist()
    assert no_hardware(design) is None


REFUSED = {
    "min of an axis": (
        lambda a, b: a + b.min(1, keepdim=True).values,
        "min: only that of two values and torch.amin over the last axis are supported",
    ),
    "amin of all": (lambda a, b: a + b.amin((0, 1)), "amin: only over the last axis"),
    "an end beyond all": (
        lambda a, b: torch.minimum(a + b, BOUND * torch.inf),
        "minimum: a minimum needs a finite end",
    ),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_minimum_of_two_values_is_refused_with_a_way_out(form):
    made, reason = REFUSED[form]

    with pytest.raises(UnsupportedModel) as refused:
        import_network(dense(made), VECTORS)

    name, way_out = reason.split(": ")
    assert name in str(refused.value)
    assert way_out in str(refused.value)


def test_overlapped_firing_is_refused_by_name_with_a_way_out():
    network = import_network(dense(torch.minimum), VECTORS)
    design = calibrate(network, VECTORS, replace(OPTIONS, firing="overlapped"))
    name = network.populations[1].name

    reason = no_hardware(design)

    assert (
        f"{name!r} has two operands, for which firing must be settled and the schedule binary"
        in (reason)
    )


def test_a_model_trained_again_fits_the_hardware_of_the_one_before():
    shape = calibrate(import_network(dense(torch.minimum), VECTORS), VECTORS, OPTIONS)
    shape = shape.with_folding({p.name: F() for p in shape.populations})
    model = dense(torch.minimum)
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 0.9
    network = import_network(model, VECTORS)

    design = calibrate(network, VECTORS, like=shape)

    assert list(differences(shape, design, "ecp5")) == []
    assert design["first_minimum"].comparison == shape["first_minimum"].comparison
    exact = network.answers(VECTORS)
    seen = golden.run(design, design.raw_samples(VECTORS)).logits
    error = seen * design.readout.operands[0].scale - exact
    assert (error**2).mean() < 2e-3 * exact.var()


def golden_samples(design, count: int) -> np.ndarray:
    fmt, shape = design.input_format, (count, design.input.size)
    return np.random.default_rng(5).integers(fmt.low, fmt.high + 1, shape)


@pytest.mark.parametrize(
    ("model", "samples"), [(dense(torch.minimum), VECTORS), (planes(), IMAGES)], ids=str
)
def test_a_model_of_torch_becomes_rtl_that_answers_as_the_golden_model(model, samples, tmp_path):
    network = import_network(model, samples)
    design = calibrate(network, samples, Options(steps=4, input_steps=4, weight_bits=6))
    budget = Budget(lut=2500, ff=2500, block_ram=20, multipliers=8)
    folded = auto_fold(design, "ecp5", budget).design

    found = run_bulk(
        folded,
        folded.raw_samples(samples[:40]),
        tmp_path,
        technology="ecp5",
        stalls=(0.3, 0.5),
        reset_at=50,
    )

    assert found.mismatches == ()
    assert found.words == 40 * 3
    assert estimate(folded, "ecp5", budget).fits


# -- in hardware -------------------------------------------------------------------------------

CORES = {  # arguments of random_minima, technology, whether F2 is shared
    "two windows of one source": (
        dict(folding={"first": F(pe=2), "least": F(pe=4, simd=2, unroll=2), "out": F(simd=4)}),
        "ecp5",
        False,
    ),
    "a residual sum, and the input": (
        dict(join=True, folding={"first": F(pe=4, simd=2), "least": F(pe=2), "out": F(simd=2)}),
        "ice40-hx",
        False,
    ),
    "one operand for all channels": (
        dict(alike=True, steps=5, folding={"first": F(), "least": F(pe=2, simd=4), "out": F()}),
        "gowin",
        True,
    ),
}


@pytest.mark.parametrize("name", CORES)
def test_every_word_stands_on_its_cycle_whatever_the_stalls(name, tmp_path):
    arguments, technology, shared = CORES[name]
    design = random_minima(**arguments)
    plan = plan_layers(design, find_technology(technology))[1][1]
    raw = golden_samples(design, 4)

    result = check_cycles(design, raw, tmp_path, technology=technology, stalls=(0.3, 0.5), seed=3)

    assert isinstance(plan, MinimumPlan)
    assert (plan.shared, plan.second.outputs) == (shared, 1 if shared else 4)
    assert result.mismatches == ()
    assert result.words > 400


def test_each_operand_decides_in_the_specimens():
    """Neither operand is the lesser everywhere, so that both are checked."""
    for arguments, _, _ in CORES.values():
        design = random_minima(**arguments)
        traces = [golden.trace(design, one) for one in golden_samples(design, 20)]
        both = np.array([[f[0] for f in t.populations["least"].requantised] for t in traces])

        share = (both[:, 0] < both[:, 1]).mean()

        assert 0.2 < share < 0.8


def test_golden_model_comes_near_the_float_network_of_the_specimens():
    rng = np.random.default_rng(0)
    for settings in ({}, {"join": True}, {"alike": True}):
        design = random_minima(**settings, steps=7, input_steps=7, weight_bits=8)
        network = minima_network(**settings)
        samples = rng.integers(-100, 100, (64, *network.input.shape)).astype(np.int8)
        exact = network.answers(samples)

        seen = golden.run(design, design.raw_samples(samples)).logits

        error = seen * design.readout.operands[0].scale - exact
        assert (error**2).mean() < 2e-3 * exact.var()
