"""Golden integers against the float64 simulation of the same dynamics."""

import re
from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.design.design import Design
from signfire.gen.model.codes import Schedule, make_code
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.sim import float_reference, golden


def with_units_of_one(design: Design) -> Design:
    """Read the same integers as real numbers: every product below is then exact in float64."""
    return replace(
        design,
        populations=tuple(
            p if p.code is None else replace(p, code=replace(p.code, unit=1.0))
            for p in design.populations
        ),
    )


def as_network(design: Design) -> Network:
    """Return the float network whose operands are X·M/2^S, the targets without rounding."""
    populations = [Population(name="input", shape=design.input.shape, function="input")]
    for p in design.populations[1:]:
        (operand,) = p.operands
        factor = operand.multiplier / 2**operand.shift
        (projection,) = operand.projections
        weights = projection.map.weights * factor[:, None]
        populations.append(
            Population(
                name=p.name,
                shape=p.shape,
                function=p.function,
                operands=(
                    Operand(
                        projections=(
                            Projection(
                                source=projection.source,
                                map=Dense(weights, projection.map.in_shape),
                            ),
                        ),
                        bias=operand.bias * factor,
                    ),
                ),
            )
        )
    return Network(name="float", populations=tuple(populations))


@pytest.mark.parametrize("schedule", ["binary", "exponential", "inverse", "constant"])
@pytest.mark.parametrize("code", ["silent", "offset", "centred"])
def test_integers_equal_the_float_simulation_of_unrounded_targets(make_design, schedule, code):
    """Rounding F up loses nothing: v >= F where v >= X·M/2^S, at every step of every neuron."""
    for seed in range(4):
        design = with_units_of_one(
            make_design(
                seed=seed,
                sizes=(9, 7, 5, 3),
                firing="overlapped",
                schedule=schedule,
                code=code,
                steps=7,
            )
        )
        raw = np.random.default_rng(seed).integers(0, 256, (20, 9))
        fmt = design.input_format

        logits = float_reference.run(
            as_network(design),
            raw * (fmt.multiplier / 2**fmt.shift),
            float_reference.codes_of(design),
            batch=8,
        )

        assert logits.tolist() == golden.run(design, raw).logits.tolist()


def test_long_trains_approach_the_float_network(make_design):
    network = as_network(make_design(seed=1, sizes=(9, 7, 3)))
    x = np.random.default_rng(1).uniform(0, 6, (30, 9))
    outputs, _ = network.forward(x)
    distances = []
    for steps in (8, 64):
        codes = {
            name: make_code(
                kind="centred",
                schedule=Schedule(kind="exponential", eta0=0.3, gamma=0.93),
                steps=steps,
                low=0,
                high=outputs[name].max(),
            )
            for name in ("input", "fc1")
        }
        logits = float_reference.run(network, x, codes)
        distances.append(np.abs(logits - outputs["fc2"]).mean() / outputs["fc2"].std())

    assert distances[1] < 0.05 < distances[0]


def test_codes_of_different_length_are_refused(make_design):
    design = make_design(sizes=(4, 3, 2), steps=4, input_steps=2)

    sentence = "overlapped firing needs codes of one T for all populations"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        float_reference.run(as_network(design), np.zeros((1, 4)), float_reference.codes_of(design))
