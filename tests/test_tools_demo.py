"""The demonstration: which design it makes for which board."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from signfire.boards.boards import find_board
from signfire.sim import golden
from signfire.tools import api, demo
from signfire.tools.cli import cli
from signfire.tools.stages import Stages


@pytest.mark.parametrize(
    ("board", "choice"),
    [("icebreaker", demo.SMALL), ("ulx3s-25f", demo.LARGE), ("arty-a7-35", demo.SMALL)],
)
def test_the_larger_model_is_for_boards_that_are_known_to_hold_it(board, choice) -> None:
    assert demo.choose(find_board(board)) == choice


def test_a_board_whose_size_is_not_known_gets_a_folding_too(tmp_path, monkeypatch) -> None:
    # The folding is chosen by shapes and bits: some samples serve as well as all.
    whole = demo.model(demo.SMALL.model)
    with np.load(whole.calibrate) as samples:
        np.savez(tmp_path / "few.npz", x=samples["x"][:8], y=samples["y"][:8])
    few = replace(whole, calibrate=str(tmp_path / "few.npz"))
    monkeypatch.setattr(demo, "model", {demo.SMALL.model: few}.__getitem__)

    job = demo.job_for(find_board("arty-a7-35"), Stages(tmp_path), "signfire demo")

    assert job.design.is_folded


def test_the_convolutional_network_is_folded_to_fit_the_smallest_board(tmp_path) -> None:
    board = find_board("icebreaker")

    job = demo.job_for(board, Stages(tmp_path), "signfire demo --model cnn", "cnn")

    kinds = [q.map.kind for p in job.design.populations[1:] for q in p.sources]
    right = golden.run(job.design, job.design.raw_samples(job.data.x)).labels == job.data.classes
    assert kinds == ["conv", "conv", "conv", "dense"]
    assert api.estimate_on(job.design, board).fits
    assert 100 * right.mean() >= 97.5  # of the 2,000 images of the repository


def test_every_model_that_can_be_asked_for_has_its_files() -> None:
    choices = next(p for p in cli.commands["demo"].params if p.name == "model").type.choices

    assert sorted(choices) == sorted(demo.MODELS)
    for name in choices:
        source = demo.model(name)
        assert all(Path(f).is_file() for f in (source.spec.rpartition(":")[0], source.weights))
