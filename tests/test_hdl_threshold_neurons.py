"""Threshold neurons against neurons that step by the sign, for every total."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from signfire.gen.model.codes import SpikeCode
from signfire.hdl.threshold_neurons import ThresholdNeurons, reaches


def thresholds_of(code: SpikeCode, target, totals) -> list[int]:
    """Return by trial the least total with which each step sends an event."""
    found, level = [], [code.rest]
    for eta in code.eta:
        found += [next((t for t in totals if v < target(t)), totals[-1] + 1) for v in level]
        level = [v + step for v in level for step in (-eta, eta)]
    return found


def trains_of(code: SpikeCode, target: int) -> int:
    train, v = 0, code.rest
    for t, eta in enumerate(code.eta):
        event = v < target
        train |= event << t
        v += eta if event else -eta
    return train


def test_every_comparison_with_a_constant():
    m, width = Module(), 4
    number, outputs = Signal(width), {}
    for threshold in range(-10, 11):
        outputs[threshold] = Signal(name=f"reached_{threshold + 10}")
        m.d.comb += outputs[threshold].eq(reaches(number, threshold, width))

    async def testbench(ctx):
        for value in range(-8, 8):
            ctx.set(number, value)
            for threshold, output in outputs.items():
                assert ctx.get(output) == (value >= threshold), (value, threshold)

    simulator = Simulator(m)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("eta", [(1,), (4, 2, 1), (3, 2, 2), (8, 4, 2, 1)])
def test_trains_are_those_of_neurons_that_step(play, eta):
    code = SpikeCode(eta=eta, rest=sum(eta) - 2, unit=1.0)
    totals = range(-16, 16)
    functions = [lambda s: max(s, 0), lambda s: s // 3 + 2, lambda s: 5]
    dut = ThresholdNeurons(thresholds=[thresholds_of(code, f, totals) for f in functions], width=5)

    seen = play(
        dut,
        [{"valid": total % 2, "total": [total] * 3} for total in totals],
        ["train_valid", "train"],
    )

    for total, after in zip(totals, seen[dut.LATENCY :], strict=False):
        assert after["train_valid"] == total % 2
        assert after["train"] == [trains_of(code, int(np.int64(f(total)))) for f in functions]


def test_thresholds_that_are_no_tree_are_refused():
    with pytest.raises(ValueError) as error:
        ThresholdNeurons(thresholds=[[1, 2]], width=4)

    assert str(error.value) == "a neuron of T steps has 2^T - 1 thresholds, not 2"
