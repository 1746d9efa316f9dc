"""Events of batches against those of single samples, and what is counted of them."""

import numpy as np
import pytest

from signfire.gen.core.plans import plan_layers
from signfire.gen.design.activity import busy_words
from signfire.gen.design.folding import Folding
from signfire.gen.technology import find_technology
from signfire.sim import golden
from signfire.sim.activity import MOST_SAMPLES, as_sent, busy_of, counted
from signfire.sim.specimens.chains import random_design, random_windows
from signfire.sim.specimens.rate import as_rate

DESIGNS = {
    "settled": lambda: random_design(),
    "overlapped": lambda: random_design(firing="overlapped", steps=3),
    "rate": lambda: as_rate(random_design(), steps=3),
    "planes": lambda: random_windows(),
}


def samples(design, count: int) -> np.ndarray:
    fmt = design.input_format
    return np.random.default_rng(5).integers(fmt.low, fmt.high + 1, (count, design.input.size))


@pytest.mark.parametrize("name", DESIGNS)
def test_events_of_a_batch_are_those_of_every_sample(name):
    design = DESIGNS[name]()
    raw = samples(design, 5)
    names = [p.name for p in design.populations[:-1]]

    batches = list(golden.events_of(design, raw, names, batch=2))

    for population in names:
        found = np.concatenate([events[population] for events in batches])
        one_by_one = [golden.trace(design, r).populations[population].events for r in raw]
        assert np.array_equal(np.array(one_by_one), found)


def test_words_are_counted_in_the_order_in_which_trains_are_sent():
    design = DESIGNS["planes"]()
    raw = samples(design, 3)
    pool = design.populations[2]

    found = counted(design, raw)

    (events,) = golden.events_of(design, raw, [pool.name])
    pixels = events[pool.name].reshape(3, -1, *pool.shape).transpose(0, 1, 3, 4, 2)
    sent = pixels.reshape(3, pool.code.steps, -1)
    assert np.array_equal(sent, as_sent(pool, events[pool.name]))
    assert np.array_equal(busy_words(sent, 2, 1), found[pool.name].busy(2, 1))
    assert [pool.name] == list(found)  # windows read the others


def test_layers_read_what_was_counted_of_their_sources():
    skips = Folding(pe=2, simd=2, skips=True)
    design = random_design().with_folding({"fc1": skips, "fc2": Folding()})
    raw = samples(design, MOST_SAMPLES)

    busy = busy_of(design, plan_layers(design, find_technology("ecp5"))[1], raw)

    assert ["fc1"] == list(busy)
    assert np.array_equal(counted(design, raw)["input"].busy(2, 1), busy["fc1"][:, 0])
