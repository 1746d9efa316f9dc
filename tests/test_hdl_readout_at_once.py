"""The read-out of all logits at once against NumPy's argmax, and words handed on logit by logit."""

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from signfire.hdl.readout import result_layout
from signfire.hdl.readout_at_once import OneByOne, ReadoutAtOnce


@pytest.mark.parametrize(("outputs", "shift"), [(2, 1), (5, 1), (10, 0)])
def test_every_sample_appears_latency_cycles_later(play, outputs, shift):
    rng = np.random.default_rng(outputs)
    bias = rng.integers(-3, 4, outputs)
    totals = rng.integers(-4, 4, (60, outputs))
    totals[0], totals[1] = -4, 3
    dut = ReadoutAtOnce(bias=bias.tolist(), total_width=3, x_width=6, shift=shift)

    seen = play(
        dut,
        [{"valid": n % 3 != 0, "total": row.tolist()} for n, row in enumerate(totals)],
        ["x_valid", "x", "result_valid", "result"],
    )

    logits = bias + (totals << shift)
    for n, row in enumerate(logits[: -dut.LATENCY]):
        x, result = seen[n + dut.X_LATENCY], seen[n + dut.LATENCY]
        assert (x["x_valid"], x["x"]) == (n % 3 != 0, row.tolist())
        assert result["result_valid"] == (n % 3 != 0)
        assert [lane["logit"] for lane in result["result"]] == row.tolist()
        assert [lane["last"] for lane in result["result"]] == [0] * (outputs - 1) + [1]
        labels = [lane["label"] for lane in result["result"]]
        assert labels == [0] * (outputs - 1) + [int(np.argmax(row))]


def test_a_word_is_handed_on_logit_by_logit():
    layout, rng = result_layout(logit_width=4, outputs=3), np.random.default_rng(1)
    logits = rng.integers(-8, 8, (6, 3)).tolist()
    m = Module()
    m.domains.sync = ClockDomain()
    m.submodules.dut = dut = OneByOne(layout=layout, lanes=3)
    seen = []

    async def testbench(ctx):
        taken = 0
        for _ in range(120):
            offered = (taken < len(logits) and rng.random() < 0.7) or ctx.get(dut.results.valid)
            ctx.set(dut.words.valid, offered)
            if offered:
                row = logits[taken]
                word = [{"logit": x, "label": k, "last": k == 2} for k, x in enumerate(row)]
                ctx.set(dut.words.payload, word)
            ctx.set(dut.results.ready, int(rng.random() < 0.6))
            assert ctx.get(dut.results.valid) == offered  # a first logit waits for nothing
            if offered and ctx.get(dut.results.ready):
                result = ctx.get(dut.results.payload)
                seen.append((result.logit, result.label, result.last))
            taken += bool(offered and ctx.get(dut.words.ready))
            await ctx.tick()
            ctx.set(dut.words.valid, 0)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()

    assert seen == [(x, k, k == 2) for row in logits for k, x in enumerate(row)]
