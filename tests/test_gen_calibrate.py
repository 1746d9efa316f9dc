"""Calibration: what it promises of the Design, and how near the Design comes to the floats."""

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.calibrate import calibrate, within
from signfire.gen.convert.operand import Factors
from signfire.gen.convert.options import LayerOptions, Options, parse_layer, parse_schedule
from signfire.gen.convert.ranges import raw_range, sparse_factors
from signfire.gen.convert.summary import noise_db
from signfire.gen.core.plans import no_hardware
from signfire.gen.front.export import import_network
from signfire.gen.front.loading import load_model
from signfire.gen.model.codes import Schedule
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.sim import golden
from signfire.sim.specimens.chains import random_planes_network

PAPER = Schedule(kind="exponential", eta0=0.15, gamma=0.95)


def layer(name, function, source, weights, bias):
    projection = Projection(source=source, map=Dense(weights, (weights.shape[1],)))
    return Population(
        name=name,
        shape=(len(weights),),
        function=function,
        operands=(Operand(projections=(projection,), bias=bias),),
    )


@pytest.fixture
def network() -> Network:
    """24-16-12-5 on pixels 0..255, with channels of very different scale."""
    rng = np.random.default_rng(7)
    populations = [Population(name="input", shape=(24,), function="input")]
    for name, sizes, gain in (
        ("fc1", (24, 16), 1 / 255),
        ("fc2", (16, 12), 1),
        ("fc3", (12, 5), 1),
    ):
        weights = rng.normal(0, gain * sizes[0] ** -0.5, sizes[::-1])
        weights *= rng.uniform(0.2, 2, (sizes[1], 1))
        function = "readout" if name == "fc3" else "relu"
        source = populations[-1].name
        bias = rng.normal(0, 0.1, sizes[1])
        populations.append(layer(name, function, source, weights, bias))
    return Network(name="small", populations=tuple(populations))


@pytest.fixture
def pixels() -> np.ndarray:
    """Correlated samples, as images are."""
    rng = np.random.default_rng(8)
    mixed = rng.normal(size=(600, 6)) @ rng.normal(size=(6, 24)) * 40 + 100
    return np.clip(mixed, 0, 255).astype(np.uint8)


def logits_db(network, design, samples) -> float:
    """Signal-to-noise ratio of golden logits against the float network."""
    answer = golden.run(design, design.raw_samples(samples))
    outputs, _ = network.forward(samples)
    return noise_db(outputs[network.readout.name], answer.logits * design.readout.operands[0].scale)


@pytest.mark.parametrize("firing", ["settled", "overlapped"])
@pytest.mark.parametrize("schedule", [Schedule(), PAPER, Schedule(kind="inverse")])
@pytest.mark.parametrize("code", ["auto", "silent", "offset", "centred"])
def test_reported_noise_is_that_of_the_golden_model(network, pixels, firing, schedule, code):
    options = Options(firing=firing, schedule=schedule, code=code, steps=6, weight_bits=5)

    design = calibrate(network, pixels, options)

    reported = design.provenance["layers"][-1]
    assert reported["name"] == "fc3"
    assert reported["sqnr_db"] == pytest.approx(logits_db(network, design, pixels), abs=0.01)


@pytest.mark.parametrize(
    ("options", "least_db"),
    [
        (Options(steps=4, weight_bits=4), 14),
        (Options(steps=8, weight_bits=8, input_steps=8), 33),
        (Options(steps=4, weight_bits=4, code="centred"), 8),
        (Options(firing="overlapped", steps=64, weight_bits=8, schedule=PAPER, code="centred"), 25),
    ],
)
def test_integers_stay_near_the_floats_on_samples_not_calibrated_on(
    network, pixels, options, least_db
):
    design = calibrate(network, pixels[:400], options)

    assert logits_db(network, design, pixels[400:]) > least_db


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Options(), Options(rounding="nearest")),
        (Options(rounding="nearest"), Options(rounding="nearest", bias_correction=False)),
        (Options(steps=6), Options(steps=3)),
        (Options(steps=8, weight_bits=6), Options(steps=8, weight_bits=3)),
        (Options(steps=8, weight_bits=8, input_steps=4), Options(steps=8, weight_bits=8)),
    ],
    ids=["feedback", "bias correction", "steps", "weight bits", "input steps"],
)
def test_each_option_earns_its_decibels(network, pixels, better, worse):
    with_it, without = (
        logits_db(network, calibrate(network, pixels[:400], options), pixels[400:])
        for options in (better, worse)
    )

    assert with_it > without + 0.1


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_factors_have_the_asked_width_and_are_the_scale_exactly(network, pixels, bits):
    design = calibrate(network, pixels, Options(multiplier_bits=bits))

    for population in design.populations[1:-1]:
        operand = population.operands[0]
        assert 1 <= operand.multiplier.min() and operand.multiplier.max() < 2**bits
        exact = operand.multiplier * population.code.unit / 2**operand.shift
        assert operand.scale.tolist() == exact.tolist()
    assert len(set(design.readout.operands[0].scale)) == 1


def test_input_encoder_has_few_bits_and_its_unit_is_exact(network, pixels):
    design = calibrate(network, pixels, Options())

    fmt = design.input_format
    assert (fmt.low, fmt.high, fmt.scale) == (0, 255, 1.0)
    assert fmt.multiplier.bit_count() <= 3
    assert design.input.code.unit == 2**fmt.shift / fmt.multiplier
    assert (design.input.code.steps, design.input.code.kind) == (2, "silent")


def test_input_of_two_values_is_held_exactly(network):
    samples = np.random.default_rng(0).integers(0, 2, (200, 24)).astype(np.uint8) * 128

    design = calibrate(network, samples, Options(input_steps=1))

    assert design.provenance["layers"][0]["sqnr_db"] is None  # no noise at all


def test_signed_floats_get_an_offset_code_and_a_raw_grid(network):
    samples = np.random.default_rng(0).normal(0, 60, (300, 24))

    design = calibrate(network, samples, Options(input_steps=6, steps=6, weight_bits=8))

    fmt = design.input_format
    assert (fmt.low, fmt.high, design.input.code.kind, design.input.code.zero) == (
        -128,
        127,
        "offset",
        0,
    )
    assert fmt.high * fmt.scale >= samples.max() and fmt.low * fmt.scale <= samples.min()
    assert logits_db(network, design, samples) > 20


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([[3, 7]], np.uint8), (0, 255, 1.0)),
        (np.array([[3, -7]], np.int8), (-128, 127, 1.0)),
        (np.array([[3, 200]], np.int64), (0, 255, 1.0)),
        (np.array([[0, 256]], np.uint16), (0, 511, 1.0)),
        (np.array([[5, -9]], np.int32), (-16, 15, 1.0)),
        (np.array([[5, -8]], np.int32), (-8, 7, 1.0)),
        (np.array([[0, 0]], np.int32), (0, 1, 1.0)),
        (np.array([[True, False]]), (0, 1, 1.0)),
        (np.array([[0.0, 510.0]]), (0, 255, 2.0)),
        (np.array([[-256.0, 127.0, 0.3]]), (-128, 127, 2.0)),
        (np.array([[0.0, 0.0]]), (0, 255, 1.0)),
        (np.array([[-128.0 - 83, 44.0, 3.0, 2.0]]) * 0.5, (-211, 44, 0.5)),  # a grid with a shift
        (np.array([[-300.0, 2.0, 3.0]]), (-128, 127, 300 / 128)),  # of too many steps
    ],
)
def test_raw_range(samples, expected):
    assert raw_range(samples, 8) == expected


def far_samples() -> np.ndarray:
    """Return floats of deviation 1, one in five hundred of them forty times as far out."""
    samples = np.random.default_rng(5).normal(size=(400, 24))
    samples.reshape(-1)[::500] = 40.0
    return samples


def test_values_beyond_the_percentile_are_taken_for_the_end_of_the_input(network):
    samples = far_samples()
    design = calibrate(network, samples, Options(input_percentile=99.5, input_bits=10))

    fmt, reach = design.input_format, np.percentile(np.abs(samples), 99.5)
    assert reach < 4
    assert fmt.high * fmt.scale == pytest.approx(reach, rel=1e-9)
    raw = design.raw_samples(samples).reshape(samples.shape)
    assert (raw[samples == 40] == fmt.high).all()


def test_input_without_its_far_values_says_the_others_more_finely(network):
    samples = far_samples()
    near = np.abs(samples) < 3

    def noise(percentile: float) -> float:
        options = Options(input_percentile=percentile, input_bits=10, input_steps=6)
        design = calibrate(network, samples, options)
        said = design.input.code.settle(golden.input_target(design, design.raw_samples(samples)))
        real = said.reshape(samples.shape) * design.input.code.unit
        return float(((real - samples)[near] ** 2).mean())

    assert noise(99.5) < noise(100) / 50


def test_percentile_of_the_input_leaves_integer_samples_alone(network, pixels):
    whole = calibrate(network, pixels, Options())

    assert calibrate(network, pixels, Options(input_percentile=90)).hash == whole.hash


def test_a_percentile_is_that_of_each_feature_where_they_have_ranges_of_their_own() -> None:
    rng = np.random.default_rng(4)
    samples = rng.normal(size=(400, 4)) * [1e-3, 1, 1000, 0] + [0, 5, 0, 0]
    samples[7, 2], samples[:2, 3] = 1e6, 3.0  # the last one is rare

    found = within(samples, 99, features=True)

    assert np.abs(found[:, 2]).max() < 4000  # the value that lies far out is taken for the end
    inside = [(found[:, k] == samples[:, k]).mean() for k in range(4)]
    assert inside == pytest.approx([0.99, 0.99, 0.99, 1.0], abs=0.003)
    assert np.array_equal(found[:, 3], samples[:, 3])


def test_a_percentile_of_features_takes_nothing_from_those_with_large_numbers() -> None:
    rng = np.random.default_rng(4)
    scales = np.array([1e-3] * 9 + [1000])
    network = Network(
        name="table",
        populations=(
            Population(name="input", shape=(10,), function="input"),
            layer("fc", "readout", "input", rng.normal(size=(6, 10)) / scales, np.zeros(6)),
        ),
    )
    samples = rng.normal(size=(300, 10)) * scales
    exact = network.answers(samples)

    def error(**settings) -> float:
        design = calibrate(network, samples, Options(weight_bits=8, input_steps=8, **settings))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that samples reach beyond the range
            raw = design.raw_samples(samples)
        said = design.values(golden.run(design, raw).logits)
        return float(np.sqrt(((said - exact) ** 2).mean()) / exact.std())

    assert error(input_percentile=99) < 0.1
    assert error() < 0.02


def test_layers_have_their_own_options(network, pixels):
    options = Options(
        layers={
            "fc1": LayerOptions(steps=6, weight_bits=8, schedule=Schedule(kind="inverse")),
            "fc2": LayerOptions(code="centred", clip=2.5),
            "fc3": LayerOptions(weight_bits=2),
        }
    )

    design = calibrate(network, pixels, options)

    fc1, fc2, fc3 = design.populations[1:]
    assert (fc1.code.steps, fc1.code.schedule, fc2.code.steps) == (6, "inverse", 4)
    assert (fc2.code.kind, fc2.code.high * fc2.code.unit) == ("centred", pytest.approx(2.5))
    assert [next(p.sources).weight_bits for p in (fc1, fc2, fc3)] == [8, 4, 2]
    assert np.abs(next(fc3.sources).map.weights).max() == 1
    zero = design.provenance["layers"][2]["zero"]
    assert zero == -fc2.code.unit  # the binary centred code cannot express 0


def test_list_schedule_serves_the_input_by_its_first_numbers(network, pixels):
    design = calibrate(network, pixels, Options(schedule=parse_schedule("list:6,3,2,1")))

    assert (design.input.code.eta, design["fc1"].code.eta) == ((2, 1), (6, 3, 2, 1))


def test_dead_layer_still_converts(network, pixels):
    dead = replace(network["fc1"].operands[0], bias=np.full(16, -1e6))
    populations = [
        replace(p, operands=(dead,)) if p.name == "fc1" else p for p in network.populations
    ]
    network = Network(name="dead", populations=tuple(populations))

    design = calibrate(network, pixels, Options())

    result = golden.run(design, design.raw_samples(pixels), count_events=True)
    outputs, _ = network.forward(pixels)
    assert result.events["fc1"].max() == 0
    assert result.labels.tolist() == outputs["fc3"].argmax(axis=1).tolist()


def test_two_projections_share_scales(pixels):
    rng = np.random.default_rng(3)
    first = layer("fc1", "relu", "input", rng.normal(0, 1 / 600, (8, 24)), np.zeros(8))
    last = layer("fc2", "relu", "fc1", rng.normal(0, 0.4, (4, 8)), np.zeros(4))
    skip = Projection(source="input", map=Dense(rng.normal(0, 1 / 600, (4, 24)), (24,)))
    both = replace(last.operands[0], projections=(*last.operands[0].projections, skip))
    network = Network(
        name="skip",
        populations=(
            Population(name="input", shape=(24,), function="input"),
            first,
            replace(last, operands=(both,)),
            layer("fc3", "readout", "fc2", rng.normal(0, 0.5, (3, 4)), np.zeros(3)),
        ),
    )

    design = calibrate(network, pixels, Options(steps=6, weight_bits=6, input_steps=4))

    assert len(design["fc2"].operands[0].projections) == 2
    assert logits_db(network, design, pixels) > 20


def test_samples_above_the_limit_are_drawn_by_seed(network, pixels):
    first = calibrate(network, pixels, Options(samples=100))
    again = calibrate(network, pixels, Options(samples=100))
    other = calibrate(network, pixels, Options(samples=100, seed=1))

    assert first.hash == again.hash != other.hash
    assert first.provenance["calibration_samples"] == 100


def test_provenance_is_json(network, pixels):
    design = calibrate(network, pixels, Options(layers={"fc1": LayerOptions(steps=3)}))

    text = json.loads(json.dumps(dict(design.provenance)))
    assert text["options"]["layers"]["fc1"]["steps"] == 3
    assert [row["name"] for row in text["layers"]] == ["input", "fc1", "fc2", "fc3"]


def test_sparse_factors_are_odd_with_few_bits():
    assert sparse_factors(2, 4) == [1, 3, 5, 9]


def test_factors_widen_where_a_scale_needs_it():
    assert Factors.reaching("fc1", 1.0, 100.0, 8) == Factors(unit=1.0, shift=1, top=255)
    assert Factors.reaching("fc1", 1.0, 200.0, 8) == Factors(unit=1.0, shift=8, top=65535)
    sentence = (
        "one unit of the integrators of 'fc1' would be worth 40000 units of its membrane, and "
        "32767 is the most (take more weight_bits or fewer steps)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Factors.reaching("fc1", 1.0, 40000.0, 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("binary", Schedule()),
        ("exponential:0.15,0.95", PAPER),
        ("exponential:0.15", Schedule(kind="exponential", eta0=0.15)),
        ("exponential", Schedule(kind="exponential")),
        ("inverse:0.5", Schedule(kind="inverse", eta0=0.5)),
        ("constant", Schedule(kind="constant")),
        ("list:8,4,2,1", Schedule(kind="list", values=(8, 4, 2, 1))),
    ],
)
def test_schedules_are_read_from_words(text, expected):
    assert parse_schedule(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fc1:steps=6,weight_bits=8", ("fc1", LayerOptions(steps=6, weight_bits=8))),
        ("a.b:clip=1.5,code=offset", ("a.b", LayerOptions(clip=1.5, code="offset"))),
        ("a.b:reach=1.25", ("a.b", LayerOptions(reach=1.25))),
        (
            "fc1:schedule=exponential:0.15,0.95,steps=8",
            ("fc1", LayerOptions(schedule=PAPER, steps=8)),
        ),
    ],
)
def test_layer_options_are_read_from_words(text, expected):
    assert parse_layer(text) == expected


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Options(steps=0), "steps must lie in 1..256, not 0"),
        (lambda: Options(steps=17), "steps must lie in 1..16 with the binary schedule, whose step "
         "sizes double, not 17 (more steps take another schedule, like exponential:0.15,0.95)"),
        (lambda: Options(steps=32, firing="overlapped"), "steps must lie in 1..16 with the binary "
         "schedule, whose step sizes double, not 32 (more steps take another schedule, like "
         "exponential:0.15,0.95)"),
        (lambda: Options(input_steps=23), "input_steps must lie in 1..16 with the binary schedule, "
         "whose step sizes double, not 23 (more steps take another schedule, like "
         "exponential:0.15,0.95)"),
        (lambda: Options(layers={"fc1": LayerOptions(steps=20)}), "fc1: steps must lie in 1..16 "
         "with the binary schedule, whose step sizes double, not 20 (more steps take another "
         "schedule, like exponential:0.15,0.95)"),
        (lambda: Options(schedule=parse_schedule("list:262144,2,1,1")), "whole step sizes of a "
         "list must sum to at most 262144, not 262148 (divide them all by one number)"),
        (lambda: Options(weight_bits=9), "weight_bits must lie in 2..8, not 9"),
        (lambda: Options(firing="late"), "firing must be settled or overlapped, not 'late'"),
        (lambda: Options(code="loud"), "code must be one of silent, offset, centred, auto, not "
         "'loud'"),
        (lambda: Options(rounding="up"), "rounding must be one of feedback, nearest, plain, "
         "not 'up'"),
        (lambda: Options(samples=0), "samples must be at least 1, not 0"),
        (lambda: Options(input_percentile=20), "input_percentile must lie in 50..100, not 20"),
        (lambda: Options(multiplier_bits=33), "multiplier_bits must lie in 4..32, not 33"),
        (lambda: Options(layers={"fc1": LayerOptions(weight_bits=1)}),
         "fc1: weight_bits must lie in 2..8, not 1"),
        (lambda: Options(layers={"fc1": LayerOptions(clip=0)}),
         "fc1: clip must be positive, not 0"),
        (lambda: Options(layers={"fc1": LayerOptions(reach=0)}),
         "fc1: reach must be positive, not 0"),
        (lambda: Options(layers={"fc1": LayerOptions(reach=2, clip=1)}),
         "fc1: clip says how far the neurons reach: leave out clip or reach"),
        (lambda: Options(firing="overlapped", steps=16, input_steps=2),
         "overlapped firing needs one T for all populations, but the input has 2 and the layers "
         "16 (leave it out, or use settled firing)"),
        (lambda: parse_schedule("square"), "schedule must be one of binary, exponential, inverse, "
         "constant, list, not 'square'"),
        (lambda: parse_schedule("inverse:a"), "a schedule's numbers are separated by commas, "
         "not 'a'"),
        (lambda: parse_schedule("inverse:1,2"), "inverse takes at most 1 numbers, not 2 "
         "(inverse:1,2)"),
        (lambda: parse_layer("fc1"), "options of a layer read like fc1:steps=6,weight_bits=8, not "
         "'fc1'"),
        (lambda: parse_layer("fc1:pe=2"), "a layer has the options steps, weight_bits, code, "
         "schedule, clip, reach, not 'pe' (fc1:pe=2)"),
        (lambda: parse_layer("fc1:steps=six"), "steps of fc1 must be a whole number, not 'six'"),
        (lambda: parse_layer("fc1:clip=six"), "clip of fc1 must be a number, not 'six'"),
        (lambda: parse_layer("fc1:schedule=x"), "schedule must be one of binary, exponential, "
         "inverse, constant, list, not 'x'"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


@pytest.mark.parametrize(
    ("samples", "layers", "kind", "sentence"),
    [
        (np.zeros((0, 24)), {}, ValueError,
         "calibration needs at least one sample, and the set is empty"),
        (np.zeros((3, 5, 5)), {}, ValueError,
         "a calibration sample needs 24 values (shape (24,)), not shape (5, 5)"),
        (np.full((3, 24), np.nan), {}, ValueError,
         "calibration samples must be finite: row 0 holds nan at value 0 (counted from 0; leave "
         "the row out, or fill it in)"),
        (np.full((3, 24), "a"), {}, TypeError, "calibration samples must be numbers, not <U1"),
        (np.ones((3, 24)), {"fc9": LayerOptions(steps=2)}, ValueError,
         "there is no layer 'fc9' to set options for; there are fc1, fc2, fc3"),
        (np.ones((3, 24)), {"fc3": LayerOptions(steps=2)}, ValueError,
         "the read-out 'fc3' does not fire, so weight_bits is its only option"),
        (-np.ones((3, 24)), {}, ValueError,
         "the silent code has no values below 0, and -128 was asked for (use offset)"),
    ],
)  # fmt: skip
def test_wrong_samples_and_layers_are_refused(network, samples, layers, kind, sentence):
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        calibrate(network, samples, Options(layers=layers, input_code="silent"))


@pytest.mark.parametrize("schedule", ["exponential:0.15,0.95", "constant"])
def test_other_schedules_take_the_steps_that_the_binary_one_cannot(network, pixels, schedule):
    options = Options(steps=64, schedule=parse_schedule(schedule))

    assert calibrate(network, pixels, options)["fc1"].code.steps == 64


@pytest.mark.parametrize(("high", "most"), [(1, 14), (3, 15)])
def test_input_finer_than_its_factors_is_refused_before_any_work(network, monkeypatch, high, most):
    samples = np.random.default_rng(0).integers(0, high + 1, (20, 24)).astype(np.int64)
    sentence = (
        f"T of the input may be at most {most} for raw values 0..{high}, which factors of 16 bits "
        f"tell apart, not 16"
    )
    assert calibrate(network, samples, Options(input_steps=most)).input.code.steps == most
    monkeypatch.setattr(Network, "forward", None)

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        calibrate(network, samples, Options(input_steps=16))


class Shortcut(nn.Module):
    """Planes of the input, or maxima of them, summed with what a convolution makes of them."""

    def __init__(self, *, pooled: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, stride=2 if pooled else 1)
        self.pool = nn.MaxPool2d(2) if pooled else nn.Identity()
        self.fc = nn.Linear(8 if pooled else 32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc((self.pool(x) + torch.relu(self.conv(x))).relu().flatten(1))


@pytest.mark.parametrize("pooled", [False, True])
def test_input_that_is_summed_with_a_layer_takes_its_steps(pooled):
    images = np.random.default_rng(3).uniform(0, 1, (40, 2, 4, 4)).astype(np.float32)
    torch.manual_seed(0)
    network = import_network(Shortcut(pooled=pooled), images)

    chosen = calibrate(network, images, Options(steps=6))
    asked = calibrate(network, images, Options(steps=6, input_steps=7))

    assert chosen.input.code.steps == 6 and no_hardware(chosen) is None
    assert asked.input.code.steps == 7
    assert "; --input-steps 6 would do)" in (no_hardware(asked) or "")


@pytest.mark.parametrize(("model", "most_lost"), [("mlp128", 0.004), ("mlp32", 0.01)])
def test_example_keeps_its_accuracy_with_four_bit_weights(model, most_lost):
    """Four steps, 4-bit weights, pixels in two steps: within 0.4 points for 784-128-10."""
    folder = Path(__file__).resolve().parents[1] / "tools"
    with np.load(folder / "mnist_calibrate.npz") as data:
        samples = data["x"]
    with np.load(folder / "mnist_example.npz") as data:
        images, classes = data["x"], data["y"]
    weights = folder / f"mnist_{model}.pth"
    module = load_model(f"{folder / 'mnist_mlp.py'}:{model}", weights)
    network = import_network(module, samples[:1].astype(np.float32))

    design = calibrate(network, samples, Options(steps=4, weight_bits=4, input_steps=2))

    golden_share = (golden.run(design, design.raw_samples(images)).labels == classes).mean()
    outputs, _ = network.forward(images)
    float_share = (outputs[network.readout.name].argmax(axis=1) == classes).mean()
    assert golden_share >= float_share - most_lost


def test_design_like_another_takes_over_its_format_codes_and_shifts(network, pixels):
    shape = calibrate(network, pixels, Options(steps=5, weight_bits=6, multiplier_bits=10))

    design = calibrate(network, pixels[::2], like=shape)

    assert design.input_format == shape.input_format
    for own, held in zip(design.populations, shape.populations, strict=True):
        assert own.code == held.code
        for a, b in zip(own.operands, held.operands, strict=True):
            assert a.shift == b.shift
            assert int(a.multiplier.max()).bit_length() <= int(b.multiplier.max()).bit_length()
            assert [p.weight_bits for p in a.projections] == [p.weight_bits for p in b.projections]


def test_convolutions_like_another_design_keep_its_codes():
    network = random_planes_network(seed=1)
    samples = np.random.default_rng(1).integers(0, 256, (30, *network.input.shape), np.uint8)
    shape = calibrate(network, samples, Options(budget_bits=5))

    design = calibrate(network, samples[::2], like=shape)

    assert [p.code for p in design.populations] == [p.code for p in shape.populations]
    widths = [
        [q.weight_bits for q in p.sources if not q.map.fixed]
        for d in (design, shape)
        for p in d.populations
    ]
    assert widths[: len(widths) // 2] == widths[len(widths) // 2 :]


def test_images_before_convolutions_enter_with_eight_steps(network, pixels):
    planes = random_planes_network(seed=1)
    samples = np.random.default_rng(1).integers(0, 256, (30, *planes.input.shape), np.uint8)

    assert calibrate(planes, samples).input.code.steps == 8
    assert calibrate(planes, samples, Options(input_steps=3)).input.code.steps == 3
    assert calibrate(network, pixels).input.code.steps == 2
    listed = Options(schedule=parse_schedule("list:6,3,2,1"))
    assert calibrate(planes, samples, listed).input.code.eta == (2, 1)  # 6, 3 over their divisor


def test_code_that_nobody_chose_is_centred_in_overlapped_firing(network, pixels):
    overlapped = Options(firing="overlapped", schedule=PAPER, steps=8)

    assert {p.code.kind for p in calibrate(network, pixels, overlapped).populations[:-1]} == {
        "centred"
    }
    silent = replace(overlapped, code="silent")
    assert calibrate(network, pixels, silent)["fc1"].code.kind == "silent"
    assert calibrate(network, pixels)["fc1"].code.kind == "silent"
