"""Fitting: retrained models take the place of others in hardware that was made for them."""

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.core.shape import crowds, differences
from signfire.gen.front.export import import_network
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.sim import golden
from signfire.tools import api, fitting

SAMPLES = np.random.default_rng(0).uniform(0, 1, (300, 12))
OPTIONS = Options(steps=5, weight_bits=6, input_steps=5)


def network(seed: int, reach: float = 1.0) -> Network:
    """12-10-5 of one seed, whose hidden neurons and logits reach ``reach`` times as far."""
    rng = np.random.default_rng(seed)

    def dense(name, function, source, n_in, n_out):
        linear = Dense(rng.normal(0, reach * n_in**-0.5, (n_out, n_in)), (n_in,))
        projection = Projection(source=source, map=linear)
        operand = Operand(projections=(projection,), bias=rng.normal(0, 0.2 * reach, n_out))
        return Population(name=name, shape=(n_out,), function=function, operands=(operand,))

    return Network(
        name="net",
        populations=(
            Population(name="input", shape=(12,), function="input"),
            dense("fc1", "relu", "input", 12, 10),
            dense("fc2", "readout", "fc1", 10, 5),
        ),
    )


def differing(net: Network, design) -> float:
    said = golden.run(design, design.raw_samples(SAMPLES)).labels
    return float((said != net.answers(SAMPLES).argmax(axis=1)).mean())


SHAPE = calibrate(network(0), SAMPLES, OPTIONS)


def misfits(design) -> list[str]:
    return list(differences(fitting.serial(SHAPE), design, "ecp5"))


def test_retrained_models_fit_and_answer_as_when_they_are_free():
    refused = 0
    for seed, reach in [*((seed, 1.0) for seed in range(1, 9)), (9, 2.5), (10, 0.4)]:
        net = network(seed, reach)
        refused += bool(misfits(calibrate(net, SAMPLES, like=SHAPE)))

        design = api.fitted(fitting.converted_like(net, SAMPLES, None, SHAPE), SHAPE)

        assert differing(net, design) <= differing(net, calibrate(net, SAMPLES, OPTIONS)) + 0.03
    assert refused, "these seeds show nothing"


def pooled(seed: int) -> Network:
    torch.manual_seed(seed)
    layers = [nn.Unflatten(1, (1, 12)), nn.Conv1d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2)]
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(12, 3))
    return import_network(module, SAMPLES.astype(np.float32))


def test_neurons_take_a_coarser_unit_where_factors_can_grow_no_more(monkeypatch):
    shape = calibrate(pooled(0), SAMPLES, Options())
    for seed in (3, 4):
        api.fitted(fitting.converted_like(pooled(seed), SAMPLES, None, shape), shape)
    monkeypatch.setattr(fitting, "beyond_factors", lambda *_: [0.0])

    with pytest.raises(ValueError, match=r"of '1' reach"):
        for seed in (3, 4):
            api.fitted(fitting.converted_like(pooled(seed), SAMPLES, None, shape), shape)


def test_ranges_of_another_training_take_the_units_that_are_there():
    net = network(1, 4.0)

    design = fitting.converted_like(net, SAMPLES, None, SHAPE)

    code = design["fc1"].spike_code
    assert code == SHAPE["fc1"].spike_code
    values = golden.trace(design, design.raw_samples(SAMPLES[:1])[0]).populations["fc1"]
    assert values.membranes[-1].max() < code.high  # and is not clipped


def test_registers_are_crowded_where_numbers_do_not_fit():
    shape = fitting.serial(SHAPE)
    full = {"fc1": False, "fc2": False}
    for seed in range(1, 9):
        design = calibrate(network(seed), SAMPLES, like=SHAPE)
        said = misfits(design)
        for name, crowd in crowds(shape, design, "ecp5").items():
            sums = [word for word in said if f"of {name!r}" in word and "targets" not in word]
            targets = [word for word in said if f"targets of {name!r}" in word]
            assert bool(sums) == any((each > 1).any() for each in crowd.operands)
            assert bool(targets) == (crowd.targets > 1)
            full[name] |= bool(sums or targets)
    assert any(full.values()), "these seeds show nothing"


def test_the_same_model_becomes_the_same_design():
    assert fitting.converted_like(network(0), SAMPLES, OPTIONS, SHAPE).hash == SHAPE.hash
