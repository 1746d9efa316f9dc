"""Integrate-and-fire networks against numbers worked by hand, and both forms of the model."""

import re
from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.core.plans import no_hardware
from signfire.gen.design.design import Design
from signfire.gen.design.population import (
    DesignOperand,
    DesignPopulation,
    DesignProjection,
    InputFormat,
)
from signfire.gen.model.codes import RateCode
from signfire.gen.model.maps import Conv, Dense, Layout, Pooled, Window
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.sim import golden


def by_hand(leak: int = 0, steps: int = 4) -> Design:
    """One input of 0..4, one neuron of threshold 5, current -1 + 3 s; one output 2 s."""
    code = RateCode(steps=steps, theta=1.0, leak=leak)

    def operand(source, weight, bias):
        linear = Dense(np.array([[weight]]), (1,))
        return DesignOperand(
            projections=(DesignProjection(source=source, map=linear, weight_bits=4),),
            bias=np.array([bias]),
            scale=np.ones(1),
            multiplier=np.ones(1, np.int64),
            shift=0,
        )

    return Design(
        name="by-hand",
        firing="overlapped",
        dynamics="lif" if leak else "if",
        input_format=InputFormat(low=0, high=4, scale=1.0, multiplier=1, shift=1),
        populations=(
            DesignPopulation(
                name="input", shape=(1,), function="input", code=code, threshold=np.array([4])
            ),
            DesignPopulation(
                name="fc1",
                shape=(1,),
                function="relu",
                code=code,
                operands=(operand("input", 3, -1),),
                threshold=np.array([2]),
            ),
            DesignPopulation(
                name="fc2",
                shape=(1,),
                function="readout",
                code=None,
                operands=(operand("fc1", 2, 1),),
            ),
        ),
    )


def test_trace_is_what_the_rules_give_by_hand():
    trace = golden.trace(by_hand(), np.array([3]))

    # 3; 6 >= 4: 2; 5 >= 4: 1; 4 >= 4: 0
    source, hidden = trace.populations["input"], trace.populations["fc1"]
    assert source.membranes[:, 0].tolist() == [0, 3, 2, 1, 0]
    assert source.events[:, 0].tolist() == [False, True, True, True]
    # currents -1 2 2 2: -1; 1; 3 >= 2: 1; 3 >= 2: 1. The bias comes at every step.
    assert hidden.membranes[:, 0].tolist() == [0, -1, 1, 1, 1]
    assert hidden.events[:, 0].tolist() == [False, False, True, True]
    # 1 1 3 3
    assert trace.logits.tolist() == [8]


def test_leaky_trace_is_what_the_rules_give_by_hand():
    trace = golden.trace(by_hand(leak=1), np.array([3]))

    # in halves, θ = 8: 0 - 0 + 6; 6 - 3 + 6 = 9 >= 8: 1; 1 - 0 + 6 = 7; 7 - 3 + 6 = 10 >= 8: 2
    source, hidden = trace.populations["input"], trace.populations["fc1"]
    assert source.membranes[:, 0].tolist() == [0, 6, 1, 7, 2]
    assert source.events[:, 0].tolist() == [False, True, False, True]
    # currents -2 4 -2 4, θ = 4: -2; floor(-2 / 2) = -1, so -2 + 1 + 4 = 3; 3 - 1 - 2 = 0; 4 >= 4: 0
    assert hidden.membranes[:, 0].tolist() == [0, -2, 3, 0, 0]
    assert hidden.events[:, 0].tolist() == [False, False, False, True]
    # read-out 2 2 2 6: 2; 2 - 1 + 2 = 3; 3 - 1 + 2 = 4; 4 - 2 + 6 = 8
    assert trace.logits.tolist() == [8]


def planes_network(seed: int = 0) -> Network:
    """Return a small residual network of ReLU neurons."""
    rng = np.random.default_rng(seed)
    planes = (2, 5, 6)

    def conv(shape, n_out):
        kernel = rng.normal(0, 0.4, (n_out, shape[0], 3, 3))
        layout = Layout(planes=shape)
        return Conv(in_shape=shape, layout=layout, kernel=kernel, padding=(1, 1, 1, 1))

    def layer(name, function, shape, *sources):
        bias = rng.normal(0, 0.2, (shape[0], *[1] * (len(shape) - 1)))
        projections = tuple(Projection(source=s, map=m) for s, m in sources)
        operand = Operand(projections=projections, bias=bias)
        return Population(name=name, shape=shape, function=function, operands=(operand,))

    inner = (3, 5, 6)
    same = Window(in_shape=inner, layout=Layout(planes=inner), factor=np.ones(3), sources=(0, 1, 2))
    mean = Pooled(matrix=rng.normal(size=(4, 3)), in_shape=inner, layout=Layout(planes=inner))
    return Network(
        name="planes",
        populations=(
            Population(name="input", shape=planes, function="input"),
            layer("conv1", "relu", inner, ("input", conv(planes, 3))),
            layer("join", "relu", inner, ("conv1", conv(inner, 3)), ("conv1", same)),
            layer("out", "readout", (4,), ("join", mean)),
        ),
    )


def converted(network: Network, low: float = 0.0, **options):
    samples = np.random.default_rng(1).uniform(low, 1, (40, *network.input.shape))
    options = {"dynamics": "if", "steps": 32, "weight_bits": 8} | options
    return calibrate(network, samples, Options(**options)), samples


@pytest.mark.parametrize("dynamics", ["if", "lif"])
@pytest.mark.parametrize("low", [0.0, -1.0])
def test_both_forms_agree(dynamics, low):
    design, samples = converted(planes_network(), low, dynamics=dynamics, leak=3, steps=17)
    raw = design.raw_samples(samples[:4])

    fast = golden.run(design, raw, count_events=True, batch=3)

    traces = [golden.trace(design, sample) for sample in raw]
    assert fast.logits.tolist() == [trace.logits.tolist() for trace in traces]
    for name, counts in fast.events.items():
        assert counts.tolist() == [int(t.populations[name].events.sum()) for t in traces]


@pytest.mark.parametrize("dynamics", ["if", "lif"])
def test_prefix_of_a_train_is_a_shorter_train(dynamics):
    design, samples = converted(planes_network(), dynamics=dynamics)
    raw = design.raw_samples(samples)

    found = golden.run_over_steps(design, raw, (3, 8, 32), batch=7)

    for t, logits in zip((3, 8, 32), found, strict=True):
        shorter = replace(
            design,
            populations=tuple(
                p if p.code is None else replace(p, code=replace(p.code, steps=t))
                for p in design.populations
            ),
        )
        assert (golden.run(shorter, raw).logits == logits).all()


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_logits_approach_the_float_network_as_steps_grow(low):
    network = planes_network()
    design, samples = converted(network, low, steps=256)
    exact = network.answers(samples)

    errors = []
    for t, logits in zip(
        (16, 64, 256),
        golden.run_over_steps(design, design.raw_samples(samples), (16, 64, 256)),
        strict=True,
    ):
        seen = logits * design.readout.operands[0].scale / t
        errors.append(float(np.abs(seen - exact).mean() / np.abs(exact).mean()))

    assert errors[2] < 0.03
    assert errors[2] < errors[1] / 2 < errors[0] / 4


def test_leaky_logits_are_averages_nearer_the_float_network_the_smaller_the_leak():
    """The membranes' rest, up to (1 - λ) θ, is missing from each average."""
    network = planes_network()
    errors = []
    for leak in (2, 3, 5):
        design, samples = converted(network, dynamics="lif", leak=leak, steps=256)
        logits = golden.run(design, design.raw_samples(samples)).logits
        exact = network.answers(samples)
        seen = logits * design.readout.operands[0].scale / 4**leak
        errors.append(float(np.abs(seen - exact).mean() / np.abs(exact).mean()))

    assert errors[2] < 0.15
    assert errors[2] < errors[1] < errors[0]


def test_saved_design_is_read_back_the_same(tmp_path):
    design, samples = converted(planes_network(), dynamics="lif")
    design.save(tmp_path / "d.npz")

    again = Design.load(tmp_path / "d.npz")

    assert again.hash == design.hash and again.dynamics == "lif"
    raw = design.raw_samples(samples)
    assert (golden.run(again, raw).logits == golden.run(design, raw).logits).all()


def test_threshold_is_part_of_the_hash():
    design, _ = converted(planes_network())
    changed = replace(design["conv1"], threshold=design["conv1"].threshold + 1)
    other = replace(
        design,
        populations=tuple(changed if p.name == "conv1" else p for p in design.populations),
    )

    assert other.hash != design.hash


def test_other_functions_are_refused(make_design):
    network = planes_network()
    gelu = tuple(
        replace(p, function="gelu") if p.name == "join" else p for p in network.populations
    )
    with pytest.raises(
        ValueError,
        match=re.escape(
            "integrate-and-fire neurons compute ReLU alone, and 'join' computes gelu (use the "
            "dynamics signgd)"
        ),
    ):
        converted(replace(network, populations=gelu))


def test_steps_of_settled_firing_cannot_be_looked_at_before_the_end(make_design):
    design = make_design()
    with pytest.raises(ValueError, match="what a network says before the end is known in overlap"):
        golden.run_over_steps(design, np.zeros((1, 8), np.int64), (2,))


def test_steps_beyond_the_train_are_refused():
    design, samples = converted(planes_network())
    with pytest.raises(ValueError, match=re.escape("must lie in 1..32, not [8, 33]")):
        golden.run_over_steps(design, design.raw_samples(samples), [8, 33])


def test_hardware_knows_no_leak():
    assert no_hardware(by_hand()) is None
    assert "there is no RTL for a leak" in no_hardware(by_hand(leak=1))


def test_settled_firing_is_refused():
    with pytest.raises(ValueError, match="firing must be overlapped, not 'settled'"):
        replace(by_hand(), firing="settled")


def test_thresholds_of_signgd_are_refused(make_design):
    design = make_design()
    first = replace(design.input, threshold=np.array([3]))
    with pytest.raises(ValueError, match="signgd has neither thresholds nor rate codes"):
        replace(design, populations=(first, *design.populations[1:]))
