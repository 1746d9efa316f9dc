"""The network of bench G6: drawn and trained alike every time, and folded as logic."""

import numpy as np

from signfire.gen.core.core import core_timing
from signfire.gen.layers.cycles import steady
from signfire.sim import golden
from signfire.tools import api
from signfire.tools.bench_logic import BOARD, converted, samples_of, trained


def test_the_search_makes_logic_of_the_network_and_keeps_interval_and_cycles():
    x, classes = samples_of(1000, seed=1)
    again, _ = samples_of(1000, seed=1)
    np.testing.assert_array_equal(x, again)

    design = converted(trained(x, classes, epochs=6), x)
    folded = api.folded(design, ("auto", "*:synapse=any"), BOARD)

    tested, wanted = samples_of(500, seed=2)
    assert (golden.run(design, design.raw_samples(tested)).labels == wanted).mean() > 0.8
    assert {p.folding.synapse for p in folded.populations[1:]} == {"logic"}
    assert steady(core_timing(folded, "ecp5")) == (38, 3)
