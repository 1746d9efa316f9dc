"""The netlist check of every family: equal as synthesised; a wrong bit of a memory is seen."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from signfire.boards.accelerator import Accelerator, technology_of
from signfire.boards.boards import Board, find_board
from signfire.boards.build import netlist_chip
from signfire.boards.contents import grids_of, set_words, words_of
from signfire.boards.readback import PROMISES
from signfire.boards.rom_cells import FAMILIES
from signfire.gen.technology import find_technology
from signfire.sim import golden
from signfire.sim.chip import powered
from signfire.sim.netlist import check_link
from signfire.sim.specimens.chains import random_chip
from signfire.tools import api, proof

MEMORIES = {"icebreaker": "SB_RAM40_4K", "ulx3s-25f": "DP16KD", "tang-nano-9k": "SP"}
DESIGN = random_chip()
DATA = api.Dataset(
    x=np.random.default_rng(7).integers(0, 256, (4, 64)).astype(float), y=None, path="random"
)
WEIGHTS = next(DESIGN["fc1"].sources).map.weights
NEURON, INPUT = 18, 0


def unlike(weights: np.ndarray) -> dict[tuple[int, int], int]:
    """Return the logits that golden answers unlike before with other weights of fc1."""
    fc1 = DESIGN["fc1"]
    (operand,) = fc1.operands
    (projection,) = operand.projections
    projection = replace(projection, map=projection.map.with_weights(weights))
    changed = replace(fc1, operands=(replace(operand, projections=(projection,)),))
    populations = tuple(changed if p is fc1 else p for p in DESIGN.populations)
    raw = DESIGN.raw_samples(DATA.x)
    before = golden.run(DESIGN, raw).logits
    after = golden.run(replace(DESIGN, populations=populations), raw).logits
    return {(n, k): int(after[n, k]) for n, k in zip(*np.nonzero(before != after), strict=True)}


def set_weights(netlist: dict, board: Board, weights: np.ndarray) -> None:
    """Put weights into the block RAM of a netlist, a word of four bits each, by rows."""
    words = [int(w) & 15 for w in weights.ravel()]
    if board.family in FAMILIES:
        roms = Accelerator(DESIGN, board).roms
        assert [int(w) & 15 for w in WEIGHTS.ravel()] == words_of(roms)["fc1 weights"]
        grids = grids_of(roms, find_technology(technology_of(board)))
        set_words(netlist, grids, words_of(roms) | {"fc1 weights": words})
        return
    (memory,) = [
        cell["parameters"]
        for module in netlist["modules"].values()
        for cell in module["cells"].values()
        if cell["type"] == MEMORIES[board.name]
    ]
    for row in range(len(words) // 64):
        digits = "".join(f"{word:04b}" for word in reversed(words[64 * row : 64 * (row + 1)]))
        assert len(digits) == len(memory[f"INIT_RAM_{row:02X}"])
        memory[f"INIT_RAM_{row:02X}"] = digits


def logits_with(weights: np.ndarray, board: str, folder: Path) -> dict[tuple[int, int], int | None]:
    """Return the wrong logits of the netlist that was checked, with other weights in it."""
    synthesis, target = folder / "synthesis", find_board(board)
    found = (synthesis / f"signfire.{stage}.json" for stage in ("filled", "clocked"))
    netlist = json.loads(next(path for path in found if path.exists()).read_text())
    set_weights(netlist, target, weights)
    path = synthesis / "changed.json"
    path.write_text(json.dumps(netlist))
    chip, samples = netlist_chip(path, target), len(DATA.x)
    with powered(chip, folder / "changed", requests=samples) as exchange:
        raw = DESIGN.raw_samples(DATA.x)
        result = check_link(DESIGN, raw, exchange, technology=technology_of(target))
    assert not result.passed
    assert "cycles" not in {mismatch.what for mismatch in result.mismatches}
    return {(m.sample, m.neuron): m.got for m in result.mismatches if m.what == "logit"}


@pytest.fixture(scope="module")
def checked(request, tmp_path_factory) -> tuple[str, Path, proof.ChipCheck]:
    """Check a board's netlist once."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, proof.check_netlist(DESIGN, DATA, request.param, folder)


@pytest.mark.parametrize("checked", MEMORIES, indirect=True)
def test_the_netlist_answers_as_golden_and_on_the_predicted_cycle(checked) -> None:
    board, _, result = checked

    assert () == result.mismatches
    assert (4, 4 * (2 + 2)) == (result.samples, result.words)
    assert result.cells[MEMORIES[board]] >= 1


@pytest.mark.parametrize(
    "checked",
    [
        "icebreaker",
        "tang-nano-9k",
        pytest.param("ulx3s-25f", marks=pytest.mark.deep),  # filled as an iCE40
    ],
    indirect=True,
)
def test_one_flipped_bit_of_a_weight_is_seen_and_is_what_golden_says(checked) -> None:
    board, folder, _ = checked
    flipped = WEIGHTS.copy()
    flipped[NEURON, INPUT] += -8 if flipped[NEURON, INPUT] >= 0 else 8  # the sign's bit

    wrong = logits_with(flipped, board, folder)

    assert unlike(flipped) == wrong


@pytest.mark.deep  # a memory that is wrong in many places, as the one above is in one
@pytest.mark.parametrize("checked", ["icebreaker"], indirect=True)
def test_a_memory_full_of_zeros_is_seen_and_is_what_golden_says(checked) -> None:
    board, folder, _ = checked
    zeros = np.zeros_like(WEIGHTS)

    wrong = logits_with(zeros, board, folder)

    assert unlike(zeros) == wrong


def test_the_readme_says_what_each_family_can_promise() -> None:
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text()

    assert proof.promises_table() in readme
    assert set(PROMISES) == {find_board(board).family for board in MEMORIES}
    assert all(re.search(r"must be (golden's|the design's)", text) for text in PROMISES.values())


def test_the_flipped_bit_is_one_that_golden_sees() -> None:
    flipped = WEIGHTS.copy()
    flipped[NEURON, INPUT] += -8 if flipped[NEURON, INPUT] >= 0 else 8

    assert -8 < flipped[NEURON, INPUT] < 8
    assert unlike(flipped)
