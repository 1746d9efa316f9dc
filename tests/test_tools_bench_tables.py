"""Tables of raw features at default options: convert, evaluate, and what the board is given."""

import numpy as np
import pytest
import torch
from torch import nn

from signfire.gen.design.calibrated import UnlikeCalibration
from signfire.tools import api, bench_tables


class Standardised(nn.Module):
    """A linear read-out of features that are standardised inside."""

    def __init__(self, weight: list[list[float]], mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.fc = nn.Linear(len(mean), len(weight))
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor(weight))
            self.fc.bias.zero_()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc((x - self.mean) / (self.std + 1e-8))


def two_ranges(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features of 0..1 and of 0..1000, and the class that the first alone decides."""
    rng = np.random.default_rng(seed)
    small, large = rng.random(n), rng.random(n) * 1000
    return np.stack([small, large], axis=1).astype(np.float32), (small > 0.5).astype(np.int64)


@pytest.fixture(scope="module")
def converted() -> api.Conversion:
    model = Standardised([[-5.0, 0.0], [5.0, 0.0]], [0.5, 500.0], [0.3, 300.0])
    return api.convert(model, api.Dataset(path="", x=two_ranges(400, 0)[0], y=None))


def test_a_small_feature_beside_a_large_one_decides_as_it_did(converted):
    x, y = two_ranges(400, 1)

    found = api.evaluate(converted.design, api.Dataset(path="", x=x, y=y))

    assert found.correct / len(x) >= 0.99


def test_data_in_other_units_are_told_by_the_verbs(converted):
    x, y = two_ranges(400, 1)

    with pytest.warns(UnlikeCalibration, match=r"1 of 2 features is unlike: feature 1 reaches 0\."):
        api.evaluate(converted.design, api.Dataset(path="", x=x / [1, 1000], y=y))


def test_the_bench_pools_the_answers_of_all_folds():
    pytest.importorskip("sklearn", reason="the tables of scikit-learn are not installed")
    given = bench_tables.table("iris")
    seen = [judged for _, judged in bench_tables.splits(len(given.x), 0)]

    assert list(range(150)) == sorted(np.concatenate(seen))
    assert all(len(set(rows) & set(judged)) == 0 for rows, judged in bench_tables.splits(150, 1))
    answers = np.eye(3)[given.y]
    answers[:15] = answers[:15, ::-1]  # class 0 as class 2
    assert 0.9 == bench_tables.score(given, np.arange(150), answers)
