"""Channels last: the same answers for the same pixels in another order."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.calibrate import calibrate
from signfire.gen.channels_last import channels_last
from signfire.gen.maps import Layout
from signfire.gen.plan import no_hardware
from signfire.gen.specimen import random_planes_network
from signfire.gen.specimen_joins import random_joins
from signfire.sim import golden


def test_samples_of_pixels_get_the_answers_of_samples_of_planes():
    network = random_planes_network(seed=0, planes=(2, 7, 6))
    samples = np.random.default_rng(0).integers(0, 256, (9, *network.input.shape), np.uint8)
    design = calibrate(network, samples)

    turned = channels_last(design)

    assert (7, 6, 2) == turned.input.shape
    raw = design.raw_samples(samples), turned.raw_samples(samples.transpose(0, 2, 3, 1))
    one, other = (golden.run(d, r).logits for d, r in zip((design, turned), raw, strict=True))
    assert one.tolist() == other.tolist() != golden.run(turned, raw[0]).logits.tolist()


def test_what_was_refused_for_its_order_is_read():
    planes = {"conv1": [("input", {"conv": 4, "window": (3, 3)})]}
    layers = planes | {"out": [("conv1", {"pooled": 2})]}
    design = random_joins(shape=(6, 5, 2), layers=layers)
    conv = design["conv1"].operands[0].projections[0]
    first = replace(conv.map, in_shape=(2, 6, 5), layout=Layout(planes=(2, 6, 5)))
    operand = replace(design["conv1"].operands[0], projections=(replace(conv, map=first),))
    refused = replace(
        design,
        populations=(
            replace(design.input, shape=(2, 6, 5)),
            replace(design["conv1"], operands=(operand,)),
            design.readout,
        ),
    )

    assert "in another order than they come" in no_hardware(refused)
    assert no_hardware(channels_last(refused)) is None
    assert channels_last(refused).hash == design.hash


@pytest.mark.parametrize("shape", [(6,), (7, 6), (7, 6, 2)])
def test_samples_that_come_pixel_by_pixel_stay_as_they_are(shape):
    first = {"conv": 4, "window": (3, 3)} if len(shape) > 1 else {"dense": 4}
    layers = {"one": [("input", first)], "out": [("one", {"dense": 2})]}
    design = random_joins(shape=shape, layers=layers)

    assert channels_last(design) is design
