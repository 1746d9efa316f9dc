"""Golden model against hand-worked numbers, and its two forms against each other."""

import re
from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.design.design import Design
from signfire.gen.design.population import (
    DesignOperand,
    DesignPopulation,
    DesignProjection,
    InputFormat,
)
from signfire.gen.model.codes import SpikeCode
from signfire.gen.model.maps import Dense
from signfire.sim import golden


def operand(source, weights, bias, multiplier=(1,), shift=0):
    weights = np.array(weights)
    return DesignOperand(
        projections=(
            DesignProjection(source=source, map=Dense(weights, (weights.shape[1],)), weight_bits=4),
        ),
        bias=np.array(bias),
        scale=np.ones(len(weights)),
        multiplier=np.broadcast_to(np.array(multiplier), len(weights)),
        shift=shift,
    )


def population(name, size, function, code=None, *operands):
    return DesignPopulation(
        name=name, shape=(size,), function=function, code=code, operands=operands
    )


@pytest.fixture
def settled() -> Design:
    """Binary, silent; values of the input 0 2 4 6, of fc1 0 2 .. 14."""
    return Design(
        name="settled",
        firing="settled",
        input_format=InputFormat(low=0, high=255, scale=1.0, multiplier=3, shift=7),
        populations=(
            population("input", 2, "input", SpikeCode(eta=(2, 1), rest=3, unit=1.0)),
            population(
                "fc1",
                2,
                "relu",
                SpikeCode(eta=(4, 2, 1), rest=7, unit=1.0),
                operand("input", [[1, -2], [-3, 2]], [4, 5], (5, 7), 2),
            ),
            population("fc2", 2, "readout", None, operand("fc1", [[2, 1], [2, -3]], [0, 0])),
        ),
    )


@pytest.fixture
def overlapped() -> Design:
    """Centred, step sizes 4 2, signed input."""
    code = SpikeCode(eta=(4, 2), rest=0, unit=1.0, kind="centred", schedule="list")
    return Design(
        name="overlapped",
        firing="overlapped",
        input_format=InputFormat(low=-8, high=8, scale=1.0, multiplier=3, shift=1),
        populations=(
            population("input", 2, "input", code),
            population("fc1", 1, "relu", code, operand("input", [[3, 2]], [-6], (1,), 1)),
            population("fc2", 2, "readout", None, operand("fc1", [[1], [-2]], [1, 0])),
        ),
    )


def test_settled_trace_is_what_the_rules_give_by_hand(settled):
    trace = golden.trace(settled, np.array([255, 100]))

    # F = ceil(255·3/128) = ceil(5.98) = 6, ceil(100·3/128) = ceil(2.34) = 3
    source = trace.populations["input"]
    assert source.targets.tolist() == [[6, 3], [6, 3]]
    # neuron 0: 3 < 6 event, 5 < 6 event, 6; neuron 1: 3 >= 3 (a tie is σ = +1), 1 < 3 event, 2
    assert source.membranes.tolist() == [[3, 3], [5, 1], [6, 2]]
    assert source.events.tolist() == [[True, False], [True, True]]
    hidden = trace.populations["fc1"]
    # X(0) = B + W·(3, 3) = (1, 2); σ(0) = (-1, +1), Wσ = (-3, 5), X(1) = X(0) - 2·Wσ = (7, -8)
    # σ(1) = (-1, -1), Wσ = (1, 1), X(2) = (6, -9), which is B + W·(6, 2)
    assert hidden.integrators[0].tolist() == [[1, 2], [7, -8], [6, -9]]
    # F = ceil(6·5/4) = ceil(7.5) = 8, ceil(-9·7/4) = ceil(-15.75) = -15, f = max(F, 0)
    assert hidden.requantised[0].tolist() == [[8, -15]]
    assert hidden.targets.tolist() == [[8, 0]] * 3
    # neuron 0: 7 < 8 event, 11, 9, 8; neuron 1: 7, 3, 1, 0 without an event
    assert hidden.membranes.tolist() == [[7, 7], [11, 3], [9, 1], [8, 0]]
    assert hidden.events.tolist() == [[True, False], [False, False], [False, False]]
    # X = (2·8 + 0, 2·8 - 0): of two equal logits the first is the class
    assert trace.logits.tolist() == [16, 16]
    assert trace.label == 0
    assert trace.populations["fc2"].events.shape == (0, 2)


def test_overlapped_trace_is_what_the_rules_give_by_hand(overlapped):
    trace = golden.trace(overlapped, np.array([3, -2]))

    # F = ceil(3·3/2) = 5, ceil(-2·3/2) = -3
    source = trace.populations["input"]
    assert source.membranes.tolist() == [[0, 0], [4, -4], [6, -2]]
    hidden = trace.populations["fc1"]
    # X(0) = -6; σ(0) = (-1, +1), X(1) = -6 - 4·(-3 + 2) = -2; σ(1) = (-1, -1), X(2) = -2 + 2·5 = 8
    assert hidden.integrators[0].tolist() == [[-6], [-2], [8]]
    # F(X(1)) = -1, F(X(2)) = 4: the step sees x after the events of the same step
    assert hidden.requantised[0].tolist() == [[-1], [4]]
    assert hidden.targets.tolist() == [[0], [4]]
    # 0 >= 0 is σ = +1: -4; -4 < 4 event: -2
    assert hidden.membranes.tolist() == [[0], [-4], [-2]]
    assert hidden.events.tolist() == [[False], [True]]
    # X(0) = (1, 0); X(1) = (1 - 4, 0 + 8); X(2) = (-3 + 2, 8 - 4)
    assert trace.populations["fc2"].integrators[0].tolist() == [[1, 0], [-3, 8], [-1, 4]]
    assert trace.logits.tolist() == [-1, 4]
    assert trace.label == 1


def test_fast_form_gives_the_numbers_worked_by_hand(settled, overlapped):
    first = golden.run(settled, np.array([[255, 100]]), count_events=True)
    second = golden.run(overlapped, np.array([[3, -2]]), count_events=True)

    assert first.logits.tolist() == [[16, 16]] and first.labels.tolist() == [0]
    assert {name: n.tolist() for name, n in first.events.items()} == {"input": [3], "fc1": [1]}
    assert second.logits.tolist() == [[-1, 4]] and second.labels.tolist() == [1]
    assert {name: n.tolist() for name, n in second.events.items()} == {"input": [3], "fc1": [1]}


@pytest.mark.parametrize("firing", ["settled", "overlapped"])
@pytest.mark.parametrize("schedule", ["binary", "exponential", "inverse", "constant"])
@pytest.mark.parametrize("code", ["silent", "offset", "centred"])
@pytest.mark.parametrize("seed", range(4))
def test_both_forms_agree(make_design, firing, schedule, code, seed):
    rng = np.random.default_rng(seed)
    low, high = (-100, 127) if seed % 2 else (0, 255)
    design = make_design(
        seed=seed,
        sizes=(9, 7, 5, 3),
        firing=firing,
        schedule=schedule,
        code=code,
        steps=5 if firing == "overlapped" else (4, 1 + seed),
        weight_bits=2 + 2 * seed,
        input_range=(low, high),
    )
    raw = rng.integers(low, high + 1, (6, 9))

    fast = golden.run(design, raw, batch=4, count_events=True)

    traces = [golden.trace(design, sample) for sample in raw]
    assert fast.logits.tolist() == [t.logits.tolist() for t in traces]
    assert fast.labels.tolist() == [t.label for t in traces]
    for name, counts in fast.events.items():
        assert counts.tolist() == [int(t.populations[name].events.sum()) for t in traces]


@pytest.mark.parametrize("firing", ["settled", "overlapped"])
def test_trains_say_their_value_and_integrators_their_closed_form(make_design, firing):
    design = make_design(seed=3, sizes=(9, 7, 3), firing=firing, schedule="exponential", steps=6)
    raw = np.random.default_rng(3).integers(0, 256, 9)

    trace = golden.trace(design, raw)

    for each in design.populations[:-1]:
        seen = trace.populations[each.name]
        train = 2 * np.array(each.code.eta) @ seen.events
        assert seen.membranes[-1].tolist() == (each.code.low + train).tolist()
    for each in design.populations[1:]:
        source = trace.populations[each.operands[0].projections[0].source]
        closed = each.operands[0].bias + (
            source.membranes @ each.operands[0].projections[0].map.weights.T
        )
        assert trace.populations[each.name].integrators[0].tolist() == closed.tolist()


def test_several_projections_with_trains_of_different_length_add_up(settled):
    """fc2 reads the input (T = 2) beside fc1 (T = 3): a residual sum."""
    extra = DesignProjection(source="input", map=Dense(np.eye(2, dtype=int), (2,)), weight_bits=4)
    readout = settled.readout
    sums = replace(readout.operands[0], projections=(*readout.operands[0].projections, extra))
    design = replace(
        settled, populations=(*settled.populations[:-1], replace(readout, operands=(sums,)))
    )

    trace = golden.trace(design, np.array([255, 100]))

    # the logits (16, 16) of fc1 alone and the values (6, 2) of the input
    assert trace.logits.tolist() == [22, 18]
    assert golden.run(design, np.array([[255, 100]])).logits.tolist() == [[22, 18]]
    # X(0) = W·(7, 7) + (3, 3); t = 0: fc1 σ = (-1, +1), η 4, Wσ = (-1, -5); input +2, -2; ...
    assert trace.populations["fc2"].integrators[0][:2].tolist() == [[24, -4], [30, 14]]
    assert len(trace.populations["fc2"].integrators[0]) == 4


@pytest.mark.parametrize(
    ("x", "multiplier", "shift", "expected"),
    [(0, 5, 3, 0), (1, 1, 3, 1), (8, 1, 3, 1), (9, 1, 3, 2), (-1, 1, 3, 0), (-8, 1, 3, -1)],
)
def test_requantisation_rounds_up(x, multiplier, shift, expected):
    assert golden.requantise(np.int64(x), multiplier, shift) == expected


@pytest.mark.parametrize("shape", [(2,), (2, 1, 3)])
def test_the_second_factor_is_that_of_sums_below_zero(make_design, shape):
    """Two channels, X·M / 4: M of 4 and 8 above zero, of 2 and 1 below, rounded up."""
    (own,) = make_design(sizes=(2, 2, 2))["fc1"].operands
    own = replace(own, multiplier=np.array([4, 8]), below=np.array([2, 1]), shift=2)
    fc1 = replace(make_design(sizes=(2, 2, 2))["fc1"], operands=(own,), shape=shape)
    each = np.array([[5, 5], [-5, -5], [0, 0], [1, -1]])
    x = np.broadcast_to(each.reshape(4, 2, *[1] * (len(shape) - 1)), (4, *shape))

    found = golden.requantise_operand(own, x, fc1)

    expected = np.array([[5, 10], [-2, -1], [0, 0], [1, 0]])
    assert (expected.reshape(4, 2, *[1] * (len(shape) - 1)) == found).all()


def test_comparison_with_the_requantised_is_the_exact_comparison():
    rng = np.random.default_rng(0)
    x, m = rng.integers(-(2**20), 2**20, 4000), rng.integers(1, 2**16, 4000)
    v = ((x * m) >> 9) + rng.integers(-1, 2, 4000)

    assert np.array_equal(v >= golden.requantise(x, m, 9), v * 2**9 >= x * m)


def test_targets_beyond_the_range_saturate(settled):
    """Weights that drive fc1 far beyond its greatest value leave it at that value."""
    hidden = settled["fc1"]
    strong = replace(hidden.operands[0], multiplier=np.array([65535, 65535]), shift=1)
    design = replace(
        settled,
        populations=(settled.input, replace(hidden, operands=(strong,)), settled.readout),
    )

    assert golden.run(design, np.array([[255, 100]])).logits.tolist() == [[28, 28]]
    assert golden.trace(design, np.array([255, 100])).logits.tolist() == [28, 28]


def test_no_samples_give_no_answers(settled):
    result = golden.run(settled, np.zeros((0, 2), np.int64), count_events=True)

    assert result.logits.shape == (0, 2) and result.labels.shape == (0,)
    assert result.events["fc1"].shape == (0,)


@pytest.mark.parametrize(
    ("raw", "kind", "sentence"),
    [
        (np.zeros((1, 2)), TypeError, "raw samples must be integers, not float64 "
         "(Design.raw_samples makes them)"),
        (np.zeros((1, 3), int), ValueError, "a raw sample needs 2 integers, not shape (3,)"),
        (np.array([[0, 256]]), ValueError, "raw samples must lie in 0..255, not 0..256"),
    ],
)  # fmt: skip
def test_wrong_samples_are_refused(settled, raw, kind, sentence):
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        golden.run(settled, raw)


def test_integrators_too_wide_for_exact_float64_are_refused(settled):
    hidden = settled["fc1"]
    wide = replace(hidden.operands[0], bias=np.array([0, 2**53]))
    design = replace(
        settled,
        populations=(settled.input, replace(hidden, operands=(wide,)), settled.readout),
    )

    with pytest.raises(ValueError, match=r"^integrators of 'fc1' must stay below 2\^53 and"):
        golden.run(design, np.array([[255, 100]]))
