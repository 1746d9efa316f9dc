"""Windows over repeated pixels: every word of every corner of their geometry on its cycle."""

import numpy as np
import pytest

from signfire.gen.core.plans import no_hardware, plan_layers
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.readers.repeated.plan import RepeatedReader, RepeatedSamplesReader
from signfire.gen.technology import find_technology
from signfire.sim import golden
from signfire.sim.cycle import check_cycles
from signfire.sim.specimens.repeated import random_repeated

pytestmark = pytest.mark.usefixtures("quick_compilation")

AROUND = (1, 1, 1, 1)
CORNERS = {
    "three times": dict(planes=(2, 2, 2), repeat=(3, 3)),
    "stride 2": dict(
        planes=(2, 3, 3),
        reader={"conv": 3, "window": (3, 3), "stride": (2, 2), "padding": AROUND},
        folding={"behind": Folding(pe=3, simd=2, unroll=3)},
    ),
    "rows and columns apart": dict(
        planes=(2, 3, 2),
        repeat=(2, 3),
        reader={"conv": 2, "window": (2, 3), "stride": (1, 2), "padding": (0, 1, 2, 0)},
        folding={"behind": Folding(pe=2, simd=1)},
    ),
    "a signal": dict(
        planes=(3, 1, 4),
        repeat=(1, 2),
        reader={"conv": 2, "window": (1, 3), "padding": (0, 0, 1, 1)},
    ),
    "source below the window": dict(
        planes=(2, 1, 2),
        reader={"conv": 2, "window": (5, 5), "padding": (2, 2, 2, 2)},
        code="offset",
    ),
    "depthwise": dict(
        planes=(4, 2, 2),
        reader={"depthwise": True, "window": (3, 3), "padding": AROUND},
        folding={"behind": Folding(pe=2)},
    ),
    "groups": dict(
        planes=(4, 2, 2),
        reader={"conv": 4, "groups": 2, "window": (2, 2)},
        folding={"behind": Folding(pe=1, simd=1)},
    ),
    "identity": dict(planes=(2, 2, 2), reader={"pool": (1, 1)}),
    "sums": dict(planes=(2, 2, 2), repeat=(3, 2), reader={"pool": (2, 2), "stride": (2, 2)}),
    "turned": dict(planes=(3, 2, 2), repeat=(2, 3), turned=True, code="centred"),
}


def made(name: str) -> Design:
    design = random_repeated(seed=5, **CORNERS[name])
    return design.with_folding({p.name: p.folding or Folding() for p in design.populations})


def samples(design: Design, count: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, design.input.size))


@pytest.mark.parametrize("name", CORNERS)
def test_golden_repeats_what_loops_repeat(name) -> None:
    design = made(name)
    linear = design["behind"].operands[0].projections[0].map
    down, right = linear.repeat
    x = np.random.default_rng(1).integers(-50, 51, (2, *linear.in_shape))
    planes = linear.layout.seen(x)
    _, channels, height, width = planes.shape
    repeated = np.zeros((2, channels, height * down, width * right), np.int64)
    for i, j in np.ndindex(height * down, width * right):
        repeated[:, :, i, j] = planes[:, :, i // down, j // right]

    assert np.array_equal(linear.apply(x), linear.windows.apply(repeated))
    assert linear.apply(x).dtype == np.int64


@pytest.mark.parametrize("name", CORNERS)
def test_every_word_stands_on_its_cycle_with_stalls(name, tmp_path) -> None:
    design = made(name)
    technology = find_technology("ecp5")
    _, plans = plan_layers(design, technology)
    kind = RepeatedSamplesReader if CORNERS[name].get("turned") else RepeatedReader

    found = check_cycles(
        design, samples(design), tmp_path, technology=technology, stalls=(0.3, 0.3)
    )

    assert no_hardware(design) is None
    assert [type(reader) for reader in plans[1].readers] == [kind]
    assert found.passed, found.mismatches[:3]


def test_lines_of_the_source_are_held_once() -> None:
    _, plans = plan_layers(made("three times"), find_technology("ecp5"))
    (reader,) = plans[1].readers

    # a window of three rows lies over two lines of which each stands three times
    assert (reader.lines, reader.line_words) == (2, 4)
    assert reader.written == (4, 1, 3)
    assert reader.rows.shape == (2, 18, 1)


def test_a_design_of_repeated_pixels_is_saved_and_loaded(tmp_path) -> None:
    design = made("rows and columns apart")
    path = tmp_path / "repeated.design"
    design.save(path)

    again = Design.load(path)

    assert again.hash == design.hash
    raw = samples(design)
    first, second = (golden.run(d, raw) for d in (design, again))
    assert np.array_equal(first.logits, second.logits)
