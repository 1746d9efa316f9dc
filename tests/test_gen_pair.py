"""Layers of two operands: what is shared, what fits a shape, how they are folded."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import core_timing
from signfire.gen.core.estimate import estimate
from signfire.gen.core.plans import plan_layers
from signfire.gen.core.shape import differences
from signfire.gen.cost import Budget
from signfire.gen.design.folding import Folding as F
from signfire.gen.fold.fold import auto_fold
from signfire.gen.layers.cycles import steady
from signfire.gen.layers.pair.plan import is_shared
from signfire.gen.technology import find_technology
from signfire.sim.specimens.pairs import random_pairs

FOLDING = {name: F() for name in ("first", "second", "pair", "out")}


def changed(design, number: int, **numbers):
    """Return the design in which an operand of the pair has other numbers."""
    pair = design["pair"]
    operands = list(pair.operands)
    operands[number] = replace(operands[number], **numbers)
    other = replace(pair, operands=tuple(operands))
    return replace(design, populations=tuple(other if p is pair else p for p in design.populations))


def test_a_sum_is_shared_where_all_channels_have_it_and_its_numbers():
    design = random_pairs()
    operand = design["pair"].operands[1]
    bias, multiplier = operand.bias.copy(), operand.multiplier.copy()
    bias[3] += 1
    multiplier[7] -= 1

    assert is_shared(design["pair"])
    assert not is_shared(changed(design, 1, bias=bias)["pair"])
    assert not is_shared(changed(design, 1, multiplier=multiplier)["pair"])
    assert not is_shared(random_pairs(function="divide", shared=False)["pair"])
    assert not is_shared(random_pairs(function="multiply", shared=False)["pair"])


@pytest.mark.parametrize("number", [0, 1])
def test_numbers_of_each_operand_fit_the_shape_or_are_named(number):
    shape = random_pairs(folding=FOLDING)
    operand = shape["pair"].operands[number]
    far = operand.bias + 2**24

    assert [] == list(differences(shape, shape, "ecp5"))
    assert [] == list(differences(shape, changed(shape, number, bias=operand.bias - 1), "ecp5"))
    (reason, *_) = differences(shape, changed(shape, number, bias=far), "ecp5")
    assert reason.startswith("integrators of 'pair' reach ")
    (reason,) = differences(shape, changed(shape, number, shift=operand.shift + 1), "ecp5")
    assert reason == f"shift S of 'pair' must be {operand.shift}, not {operand.shift + 1}"


def test_hardware_of_a_shared_sum_holds_no_other():
    shape = random_pairs(folding=FOLDING)
    bias = shape["pair"].operands[1].bias.copy()
    bias[2] -= 1

    reasons = list(differences(shape, changed(shape, 1, bias=bias), "ecp5"))

    assert reasons == ["operand 2 of 'pair' must be the same for all channels"]


def test_neurons_are_as_wide_as_the_words_of_their_operands():
    _, plans = plan_layers(random_pairs(folding=FOLDING), find_technology("ecp5"))
    pair = plans[2]

    for operand in pair.parts:
        held = 2 ** (operand.requantised_width - 1) - 1
        assert operand.requantised_range[1] <= held == operand.greatest


def test_another_fraction_is_refused():
    shape = random_pairs(folding=FOLDING, function="multiply", shared=False)
    pair = shape["pair"]
    p = pair.comparison.fraction
    other = replace(pair, comparison=replace(pair.comparison, fraction=p + 1))
    design = replace(shape, populations=tuple(other if q is pair else q for q in shape.populations))

    reasons = list(differences(shape, design, "ecp5"))

    assert reasons == [f"the fraction of 'pair' must be {p}, not {p + 1}"]


@pytest.mark.parametrize(
    ("arguments", "lut"),
    [
        (dict(rows=(1, 4)), 12_000),
        (dict(rows=(1, 4)), 4_000),
        (dict(function="divide", shared=False, rows=(2, 2)), 6_000),
        (dict(function="multiply", shared=False, residual=True), 5_000),
    ],
)
def test_a_search_folds_both_operands_and_the_cycle_model_agrees(arguments, lut):
    design = random_pairs(steps=6, **arguments)
    budget = Budget(lut=lut, ff=lut, block_ram=40, multipliers=20)

    choice = auto_fold(design, "ecp5", budget)

    assert choice.estimate.fits
    assert steady(core_timing(choice.design, "ecp5"))[1] == choice.interval
    serial = design.with_folding(FOLDING)
    assert choice.interval < steady(core_timing(serial, "ecp5"))[1]


def test_the_cost_grows_with_lanes_and_has_the_parts_of_any_layer():
    parts = []
    for pe in (1, 4):
        design = random_pairs(
            folding=FOLDING | {"pair": F(pe=pe, simd=8, unroll=4), "out": F(simd=4)}
        )
        layers = {layer.name: layer.parts for layer in estimate(design, "ecp5").layers}
        parts.append(layers["pair"])
        assert set(layers["pair"]) == set(layers["second"])

    assert parts[0]["neurons"].lut < parts[1]["neurons"].lut
    assert parts[0]["synapses"].lut < parts[1]["synapses"].lut
    assert np.all([part.lut > 0 for part in parts[0].values()])
