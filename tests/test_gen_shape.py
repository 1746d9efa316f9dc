"""What fits into hardware made for another Design, and what is refused with its reason."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.core.core import Core
from signfire.gen.core.estimate import estimate
from signfire.gen.core.shape import differences, refuse_unlike
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.sim import golden
from signfire.sim.specimens.chains import random_design, random_windows
from signfire.sim.specimens.rate import as_rate

FOLDING = {"fc1": Folding(pe=2, simd=4), "fc2": Folding(pe=2, simd=2)}
SHAPE = random_design(seed=3, folding=FOLDING)


def changed(name: str = "fc1", **numbers):
    """Return the shape with other numbers in a layer's operand."""
    populations = []
    for p in SHAPE.populations:
        if p.name == name:
            (operand,) = p.operands
            p = replace(p, operands=(replace(operand, **numbers),))
        populations.append(p)
    return replace(SHAPE, name="other", populations=tuple(populations))


def with_weights(name: str, weights: np.ndarray, bits: int = 4):
    (projection,) = SHAPE[name].operands[0].projections
    map_ = projection.map.with_weights(weights)
    return changed(name, projections=(replace(projection, map=map_, weight_bits=bits),))


def reasons(design) -> list[str]:
    return list(differences(SHAPE, design, "ecp5"))


def test_a_design_fits_its_own_shape() -> None:
    assert [] == reasons(SHAPE)


def test_smaller_numbers_fit() -> None:
    operand = SHAPE["fc1"].operands[0]
    weights = np.clip(operand.projections[0].map.weights, -6, 6)[:, ::-1]

    assert [] == reasons(with_weights("fc1", weights))
    assert [] == reasons(changed(bias=-operand.bias // 2))
    assert [] == reasons(changed(multiplier=operand.multiplier // 2 + 1))


def test_weights_beyond_the_frozen_bits_are_refused() -> None:
    weights = SHAPE["fc2"].operands[0].projections[0].map.weights.copy()
    weights[0, 0] = -9

    found = reasons(with_weights("fc2", weights, 5))

    assert "weights of 'fc2' reach -9, and 4 bits hold -8" in found


def test_bigger_weights_than_the_frozen_accumulator_are_refused() -> None:
    weights = np.full_like(SHAPE["fc1"].operands[0].projections[0].map.weights, 7)
    design = with_weights("fc1", weights)

    found = " | ".join(reasons(design))

    assert "sums of 'fc1' reach 0..168, and 8 bits hold -128..127" in found
    with pytest.raises(ValueError) as error:
        refuse_unlike(SHAPE, design, "ecp5")
    assert str(error.value).startswith("'other' does not fit the shape of 'random3': ")
    assert str(error.value).endswith(
        "(convert the model with --like that design, or build it anew)"
    )


def test_a_bias_beyond_the_frozen_integrator_is_refused() -> None:
    bias = SHAPE["fc2"].operands[0].bias.copy()
    bias[1] = 1 << 20

    assert any(
        reason.startswith("integrators of 'fc2' reach 10") and "bits hold" in reason
        for reason in reasons(changed("fc2", bias=bias))
    )


def test_a_factor_too_wide_and_another_shift_are_refused() -> None:
    operand = SHAPE["fc1"].operands[0]
    bits = int(operand.multiplier.max()).bit_length()
    factors = operand.multiplier.copy()
    factors[0] = 1 << bits
    text = f"requantisation factors of 'fc1' reach {1 << bits}, and {bits} bits hold "

    assert text + str((1 << bits) - 1) in reasons(changed(multiplier=factors))
    shift = operand.shift
    assert f"shift S of 'fc1' must be {shift}, not {shift + 1}" in reasons(changed(shift=shift + 1))


def test_other_steps_layers_and_input_formats_are_refused() -> None:
    steps = random_design(seed=3, steps=3, folding=FOLDING)
    layers = random_design(seed=3, sizes=(8, 4, 4))
    signed = random_design(seed=3, input_range=(0, 127), folding=FOLDING)

    assert "'fc1' must have T = 4, not 3" in reasons(steps)
    assert [
        "the layers must be input 8 input, fc1 6 relu, fc2 4 readout, not input 8 input, fc1 4 "
        "relu, fc2 4 readout"
    ] == reasons(layers)
    assert "high of the input format must be 255, not 127" in reasons(signed)


def test_another_firing_is_refused() -> None:
    overlapped = random_design(seed=3, firing="overlapped", folding=FOLDING)

    assert "firing must be settled, not overlapped" in reasons(overlapped)


def test_another_limit_of_targets_is_refused() -> None:
    fc1 = replace(SHAPE["fc1"], limit=9)
    other = replace(SHAPE, populations=(SHAPE.input, fc1, SHAPE.readout))

    assert ["the greatest target of 'fc1' must be None, not 9"] == reasons(other)


def test_hardware_of_one_shape_differs_in_memories_alone() -> None:
    """The text of the core without its memories' contents is equal."""
    other = with_weights("fc1", SHAPE["fc1"].operands[0].projections[0].map.weights[:, ::-1])

    class Cells:
        """A platform that puts nothing in the place of every ROM."""

        def __init__(self, core: Core) -> None:
            self.known = set(map(id, core.roms.values()))

        def get_rom(self, rom):
            return Module() if id(rom) in self.known else None

    cores = Core(SHAPE, "ecp5"), Core(other, "ecp5", SHAPE)
    texts = [rtlil.convert(core, platform=Cells(core), emit_src=False) for core in cores]

    assert texts[0] == texts[1]
    assert [rom.content for rom in cores[0].roms.values()] != [
        rom.content for rom in cores[1].roms.values()
    ]


def network(seed: int) -> Network:
    """Return a float perceptron of 12, 6 and 3 neurons."""
    rng = np.random.default_rng(seed)

    def layer(name, source, outputs, inputs, function) -> Population:
        map_ = Dense(rng.normal(0, 1, (outputs, inputs)), (inputs,))
        operand = Operand(
            projections=(Projection(source=source, map=map_),), bias=rng.normal(0, 1, outputs)
        )
        return Population(name=name, shape=(outputs,), function=function, operands=(operand,))

    return Network(
        name=f"net{seed}",
        populations=(
            Population(name="input", shape=(12,), function="input"),
            layer("fc1", "input", 6, 12, "relu"),
            layer("fc2", "fc1", 3, 6, "readout"),
        ),
    )


def test_a_model_converted_like_a_design_takes_over_all_that_is_frozen() -> None:
    samples = np.random.default_rng(0).uniform(0, 1, (64, 12))
    original = calibrate(network(1), samples, Options(weight_bits=5, steps=3))
    like = calibrate(network(2), 0.9 * samples, Options(weight_bits=4, steps=5), like=original)

    assert original.input_format == like.input_format
    for held, given in zip(original.populations, like.populations, strict=True):
        assert held.code == given.code
        for a, b in zip(held.operands, given.operands, strict=True):
            assert (a.shift, a.projections[0].weight_bits) == (
                b.shift,
                b.projections[0].weight_bits,
            )
            assert int(b.multiplier.max()).bit_length() <= int(a.multiplier.max()).bit_length()
            assert (a.projections[0].map.weights != b.projections[0].map.weights).any()


def test_a_model_of_other_layers_than_the_design_is_refused() -> None:
    samples = np.random.default_rng(0).uniform(0, 1, (16, 12))

    with pytest.raises(ValueError) as error:
        calibrate(network(2), samples, like=SHAPE)

    assert str(error.value) == (
        "a model like the design 'random3' must have its layers, input 8 input, fc1 6 relu, fc2 4 "
        "readout, not input 12 input, fc1 6 relu, fc2 3 readout"
    )


def test_the_table_of_a_function_belongs_to_the_shape() -> None:
    shape = random_design(seed=3, folding=FOLDING, function="gelu", code="offset")
    table = shape["fc1"].table
    entries = table.entries.copy()
    entries[9] += 1
    (fc1,) = (replace(p, table=replace(table, entries=entries)) for p in [shape["fc1"]])
    other = replace(shape, populations=(shape.input, fc1, shape.readout))
    leaky = random_design(seed=3, folding=FOLDING, function="leaky_relu", code="offset")

    assert [] == list(differences(shape, shape, "ecp5"))
    assert ["the function table of 'fc1' must be the same, entry by entry"] == list(
        differences(shape, other, "ecp5")
    )
    assert "fc1 6 gelu" in next(differences(shape, leaky, "ecp5"))


def test_smaller_second_factors_fit_and_bigger_ones_do_not() -> None:
    shape = random_design(seed=3, folding=FOLDING, function="leaky_relu", code="offset")

    def with_below(below):
        fc1 = shape["fc1"]
        fc1 = replace(fc1, operands=(replace(fc1.operands[0], below=below),))
        return replace(shape, populations=(shape.input, fc1, shape.readout))

    below = shape["fc1"].operands[0].below

    assert [] == list(differences(shape, with_below(below // 2), "ecp5"))
    found, *_ = differences(shape, with_below(np.full_like(below, 65535)), "ecp5")
    assert found.startswith("requantisation factors of 'fc1' reach 65535, and ")
    assert ["'fc1' must have factors for X < 0 of the same kind"] == list(
        differences(shape, with_below(-shape["fc1"].operands[0].multiplier), "ecp5")
    )


@pytest.mark.parametrize("function", ["gelu", "leaky_relu", "abs"])
def test_a_design_made_like_another_takes_its_function_over(function) -> None:
    rng = np.random.default_rng(1)
    samples = rng.integers(0, 256, (200, 8)).astype(np.uint8)

    def network(seed: int) -> Network:
        weights = np.random.default_rng(seed)

        def operand(source, n_out, n_in):
            matrix = weights.uniform(-1, 1, (n_out, n_in)) / 128
            projection = Projection(source=source, map=Dense(matrix, (n_in,)))
            return (Operand(projections=(projection,), bias=np.zeros(n_out)),)

        return Network(
            name="net",
            populations=(
                Population(name="input", shape=(8,), function="input"),
                Population(
                    name="fc1", shape=(6,), function=function, operands=operand("input", 6, 8)
                ),
                Population(
                    name="fc2", shape=(4,), function="readout", operands=operand("fc1", 4, 6)
                ),
            ),
        )

    shape = calibrate(network(1), samples, Options(weight_bits=6)).with_folding(FOLDING)
    design = calibrate(network(2), samples, like=shape)

    held, given = shape["fc1"], design["fc1"]
    assert held.table is given.table
    assert (held.operands[0].below is None) == (given.operands[0].below is None)
    assert not [r for r in differences(shape, design, "ecp5") if "table" in r or "X < 0" in r]


MAXIMA = dict(
    shape=(5, 4),
    layers=(
        {"conv": 2, "window": (2, 2)},
        {"max": (2, 2), "stride": (2, 2), "padding": (1, 0, 1, 0)},
        {"dense": 3},
    ),
    folding={"conv1": Folding(), "max2": Folding(), "dense3": Folding()},
)


def test_other_weights_before_and_behind_a_maximum_fit() -> None:
    shape = random_windows(seed=5, **MAXIMA)
    quiet = replace(
        shape,
        populations=tuple(
            replace(p, operands=tuple(replace(o, bias=o.bias // 2) for o in p.operands))
            if p.function != "max"
            else p
            for p in shape.populations
        ),
    )

    assert [] == list(differences(shape, quiet, "ecp5"))


def test_a_maximum_that_reads_another_value_beyond_the_planes_does_not_fit() -> None:
    shape = random_windows(seed=5, code="offset", **MAXIMA)
    greatest = shape["max2"]
    beyond = tuple(
        replace(o, bias=np.where(o.bias == 0, 0, shape["conv1"].code.high))
        for o in greatest.operands
    )
    other = replace(
        shape,
        populations=tuple(
            replace(p, operands=beyond) if p is greatest else p for p in shape.populations
        ),
    )

    assert ["what 'max2' reads beyond the planes must be the same"] == list(
        differences(shape, other, "ecp5")
    )


# -- headroom ----------------------------------------------------------------------------------


def doubled() -> Design:
    """Return the shape with weights and biases of twice the size, in as many bits."""
    halved = random_design(seed=3, folding=FOLDING)
    populations = [halved.input]
    for p in halved.populations[1:]:
        (operand,) = p.operands
        (projection,) = operand.projections
        weights = np.clip(2 * projection.map.weights, -7, 7)
        projection = replace(projection, map=projection.map.with_weights(weights))
        operand = replace(operand, projections=(projection,), bias=2 * operand.bias)
        populations.append(replace(p, operands=(operand,)))
    return replace(halved, populations=tuple(populations))


def test_a_bit_of_headroom_holds_twice_as_much() -> None:
    roomy = replace(SHAPE, headroom=1)

    assert list(differences(SHAPE, doubled(), "ecp5")) != []
    assert list(differences(roomy, doubled(), "ecp5")) == []
    costs = [estimate(design, "ecp5").resources for design in (SHAPE, roomy)]
    assert costs[0].ff < costs[1].ff and costs[0].block_ram <= costs[1].block_ram


def test_hardware_with_headroom_gives_the_answers_of_what_it_holds(run_core) -> None:
    roomy, design = replace(SHAPE, headroom=1), doubled()
    raw = np.random.default_rng(0).integers(0, 256, (3, SHAPE.input.size))

    for held in (SHAPE, design):
        run = run_core(Core(held, "ecp5", roomy), raw)

        logits = [word["logit"] for word in run.results]
        assert logits == golden.run(held, raw).logits.ravel().tolist()


@pytest.mark.parametrize("headroom", [0, 3])
def test_headroom_travels_with_the_design_and_not_in_its_hash(tmp_path, headroom) -> None:
    design = replace(SHAPE, headroom=headroom)
    design.save(tmp_path / "d.npz")

    assert Design.load(tmp_path / "d.npz").headroom == headroom
    assert design.hash == SHAPE.hash


def test_headroom_that_cannot_be_is_refused() -> None:
    for headroom in (-1, 5):
        with pytest.raises(
            ValueError, match=rf"^headroom must lie in 0\.\.4 bits, not {headroom}$"
        ):
            replace(SHAPE, headroom=headroom)
    with pytest.raises(
        ValueError, match=r"^integrate-and-fire neurons have no headroom \(leave it at 0\)$"
    ):
        replace(as_rate(SHAPE), headroom=1)
