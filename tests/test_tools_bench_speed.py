"""The bench of the software's speed: what takes turns, and what is compared with what."""

import numpy as np
import pytest

from signfire.sim.specimens.chains import random_design
from signfire.tools import bench_speed
from signfire.tools.measure import example


def test_works_take_turns_and_the_best_of_each_counts(monkeypatch) -> None:
    called, now = [], iter([0, 4, 4, 5, 5, 7, 7, 10])
    monkeypatch.setattr(bench_speed.time, "process_time", lambda: next(now))

    found = bench_speed.images_per_second(
        {"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 12, turns=2
    )

    assert called == ["a", "b", "a", "b"]
    assert found == {"a": 6.0, "b": 12.0}


def test_golden_model_and_torch_answer_the_same_images(monkeypatch) -> None:
    design = random_design(sizes=(784, 6, 10))
    x = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    given = []
    run = bench_speed.golden.run
    monkeypatch.setattr(
        bench_speed.golden,
        "run",
        lambda *args, **options: given.append((args[1], options)) or run(*args, **options),
    )

    speeds = bench_speed.beside_torch(example(32), design, x, 16, turns=1)

    assert min(speeds) > 0
    (raw, options), *others = given
    assert not others and options == {"batch": 16}
    assert raw.dtype == np.uint8 and np.array_equal(raw, x.reshape(40, 784))


def test_the_batch_at_which_torch_is_fastest_decides(monkeypatch) -> None:
    speeds = {64: (30.0, 20.0), 512: (24.0, 48.0)}
    monkeypatch.setattr(bench_speed, "beside_torch", lambda model, design, x, batch: speeds[batch])
    design = random_design()

    *_, ratio = bench_speed.at_the_best_of_torch("m", example(32), design, np.zeros(1), 1.0)

    assert ratio.value == pytest.approx(0.5) and ratio.holds is False
    assert ratio.note == "1.50 in batches of 64, 0.50 in batches of 512"
