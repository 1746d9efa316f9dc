"""Planes as outputs: a logit for each channel of each pixel, in hardware as in the golden model."""

import numpy as np
import pytest

from signfire.gen.core.plans import no_hardware
from signfire.gen.design.folding import Folding as F
from signfire.sim import golden
from signfire.sim.bulk import run_bulk
from signfire.sim.cycle import check_cycles
from signfire.sim.specimens.chains import random_windows
from signfire.sim.specimens.rate import as_rate

pytestmark = pytest.mark.usefixtures("quick_compilation")

WINDOW = {"window": (3, 3), "padding": (1, 1, 1, 1)}
DESIGN = random_windows(
    shape=(5, 4),
    layers=({"conv": 2, **WINDOW}, {"conv": 3, "window": (1, 1)}),
    folding={"conv1": F(pe=2), "conv2": F(simd=2)},
)


def raw(count: int) -> np.ndarray:
    fmt = DESIGN.input_format
    shape = (count, DESIGN.input.size)
    return np.random.default_rng(3).integers(fmt.low, fmt.high + 1, shape)


def test_logits_go_pixel_after_pixel_and_values_plane_after_plane() -> None:
    result, trace = golden.run(DESIGN, raw(2)), golden.trace(DESIGN, raw(2)[1])
    planes = trace.populations["conv2"].integrators[0][-1].reshape(DESIGN.readout.shape)

    assert DESIGN.readout.shape[0] == 3 and planes.ndim == 3
    assert result.logits[1].tolist() == trace.logits.tolist()
    assert trace.logits[:3].tolist() == planes[:, 0, 0].tolist()
    assert trace.logits[3:6].tolist() == planes[:, 0, 1].tolist()
    scale = DESIGN.readout.operands[0].scale
    wanted = planes * scale[:, None, None]
    assert np.allclose(DESIGN.values(result.logits)[1], wanted.ravel())
    (output,) = DESIGN.head
    part = DESIGN.head.part(DESIGN.values(result.logits), output)
    assert output.decisions(part)[1].tolist() == wanted.argmax(axis=0).tolist()  # pyright: ignore


def test_every_word_of_planes_is_on_its_cycle(tmp_path) -> None:
    found = check_cycles(DESIGN, raw(2), tmp_path, stalls=(0.3, 0.3))

    assert found.passed, found.mismatches[:3]


def test_planes_run_free_with_stalls(tmp_path) -> None:
    found = run_bulk(DESIGN, raw(8), tmp_path, stalls=(0.3, 0.5))

    assert found.mismatches == ()
    assert found.words == 8 * DESIGN.readout.size
    assert found.labels.tolist() == golden.run(DESIGN, raw(8)).labels.tolist()


def test_rates_have_no_planes_for_outputs() -> None:
    reason = no_hardware(as_rate(DESIGN))

    assert reason is not None and "has planes for outputs, which integrate-and-fire" in reason
