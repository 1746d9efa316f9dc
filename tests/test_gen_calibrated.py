"""Samples that are not like those that calibrated a Design are told in the user's units."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.design.calibrated import Calibrated, UnlikeCalibration
from signfire.gen.design.design import Design
from signfire.gen.front.export import import_network

WAY_OUT = (
    " (give samples in the units of the calibration, or convert again with samples like these)"
)


def perceptron(x: np.ndarray) -> Design:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(x.shape[1], 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    return calibrate(import_network(model, x), x, Options())


def images(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 20)).astype(np.uint8)


def table(n: int, seed: int) -> np.ndarray:
    """Return three features, milliseconds, megapascals and one that never changes."""
    rng = np.random.default_rng(seed)
    columns = [rng.normal(3e-3, 5e-4, n), rng.normal(250, 40, n), np.full(n, 7.0)]
    return np.stack(columns, axis=1).astype(np.float32)


def told(design: Design, x: np.ndarray) -> str | None:
    """Return what is warned of, without the way out, once it is seen to be there."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        design.raw_samples(x)
    if not seen:
        return None
    (warning,) = seen
    assert warning.category is UnlikeCalibration and str(warning.message).endswith(WAY_OUT)
    return str(warning.message).removesuffix(WAY_OUT)


def test_samples_of_the_same_units_are_not_told_of():
    pixels, rows = perceptron(images()), perceptron(table(60, 0))

    assert told(pixels, images(30)[::-1]) is None
    assert told(rows, table(40, 1)) is None
    assert told(rows, table(40, 1).astype(np.float64)) is None


def test_floats_of_0_to_1_in_the_place_of_bytes_are_told():
    design = perceptron(images())

    said = told(design, (images(30) / 255).astype(np.float32))

    assert said == (
        "the samples are not like those that calibrated the design: samples reach 0..1, and "
        "0..255 (uint8) was calibrated; that is less than 1 % of its range"
    )


def test_floats_beyond_the_calibrated_range_are_told():
    x = (images() / 255).astype(np.float32)

    said = told(perceptron(x), 16 * x)

    assert "samples reach 0..16, and 0..1 (float32) was calibrated; 9" in said
    assert said.endswith(" % of its values are taken for the end of the range")


def test_bytes_in_the_place_of_0_to_1_are_refused_in_the_users_units():
    design = perceptron((images() / 255).astype(np.float32))

    with pytest.raises(ValueError) as refusal:
        design.raw_samples(images(3))

    assert str(refusal.value) == (
        f"samples must lie in 0..1, not {images(3).min()}..{images(3).max()} (give them in the "
        "units of the calibration, or convert again with samples like these)"
    )


def test_a_feature_in_other_units_is_named():
    design, x = perceptron(table(60, 0)), table(40, 1)
    x[:, 0] *= 1000  # milliseconds, not seconds

    said = told(design, x)

    assert "1 of 3 features is unlike: feature 0 reaches 1." in said
    assert "100 % of its values are taken for the end of the range" in said


def test_a_constant_feature_that_moves_is_told():
    design, x = perceptron(table(60, 0)), table(40, 1)
    x[:, 2] = np.random.default_rng(0).normal(size=40)

    assert "feature 2 reaches -" in told(design, x)
    assert "7..7 (float32) was calibrated" in told(design, x)


def test_a_feature_of_hardly_any_range_is_told():
    design, x = perceptron(table(200, 0)), table(40, 1)
    x[:, 1] = 250 + x[:, 1] / 1e4

    assert "feature 1 reaches 250..250, and" in told(design, x)
    assert "that is less than 1 % of its range" in told(design, x)


@pytest.mark.parametrize("x", [np.zeros((1, 20)), np.zeros((3, 20))], ids=["one", "few"])
def test_few_values_say_nothing(x):
    assert told(perceptron(images()), x) is None


def test_what_was_calibrated_stands_in_the_file(tmp_path):
    design = perceptron(images())
    design.save(tmp_path / "design.npz")

    again = Design.load(tmp_path / "design.npz")

    assert told(again, images() / 255) == told(design, images() / 255) is not None


@pytest.mark.parametrize(
    "record",
    [
        None,
        "words",
        {},
        {"dtype": "uint8", "shape": [1], "low": [0], "high": ["a"]},
        {"dtype": "uint8", "shape": [2], "low": [0], "high": [1]},
        {"dtype": "uint8", "shape": [1], "low": [float("nan")], "high": [1]},
    ],
)
def test_a_design_that_does_not_say_tells_nothing(record):
    assert Calibrated.read(record) is None


def test_a_record_of_another_shape_tells_nothing():
    known = Calibrated(dtype="float32", shape=(3,), low=(0.0,) * 3, high=(1.0,) * 3)

    assert known.differs(np.full((40, 4), 9.0), perceptron(images()).input_format) is None
