"""The netlist check of every family: equal as synthesised; a wrong bit of a memory is seen."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from signfire.boards.accelerator import technology_of
from signfire.boards.boards import find_board
from signfire.boards.build import netlist_chip
from signfire.boards.readback import PROMISES
from signfire.boards.rom_cells import ATTRIBUTE
from signfire.gen.design import Folding
from signfire.gen.specimen import random_design
from signfire.sim.chip import powered
from signfire.sim.netlist import NetlistResult, check_link
from signfire.tools import api, proof

# Board -> (block RAM's cells, the parameters that hold their contents)
MEMORIES = {
    "icebreaker": (r"SB_RAM40_4K", r"INIT_[0-9A-F]"),
    "ulx3s-25f": (r"DP16KD|PDPW16KD", r"INITVAL_[0-9A-F]{2}"),
    "tang-nano-9k": (r"SP|SPX9|SDPB|SDPX9B", r"INIT_RAM_[0-9A-F]{2}"),
}
ONE = Folding(pe=1, simd=1, unroll=1)
DESIGN = random_design(sizes=(64, 32, 4), folding={n: ONE for n in ("input", "fc1", "fc2")})
DATA = api.Dataset(
    x=np.random.default_rng(7).integers(0, 256, (2, 64)).astype(float), y=None, path="random"
)


@pytest.fixture(scope="module", params=MEMORIES)
def checked(request, tmp_path_factory) -> tuple[str, Path, proof.ChipCheck]:
    """Check a board's netlist once."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, proof.check_netlist(DESIGN, DATA, request.param, folder)


def contents(data: dict, board: str) -> list[tuple[dict, str]]:
    """Return every parameter of a netlist that holds weights of fc1 in block RAM, and its cell.

    Gowin's cells do not say whose they are; nothing else of this design is deep enough for them.
    """
    cell_type, name = MEMORIES[board]
    return [
        (cell["parameters"], key)
        for module in data["modules"].values()
        for cell in module["cells"].values()
        if re.fullmatch(cell_type, cell["type"])
        and cell["attributes"].get(ATTRIBUTE, "fc1 weights").startswith("fc1 weights")
        for key in cell["parameters"]
        if re.fullmatch(name, key)
    ]


def check_changed(board: str, folder: Path, change) -> NetlistResult:
    """Change the netlist that was checked, and check what it then is."""
    synthesis = folder / "synthesis"
    found = (synthesis / f"signfire.{stage}.json" for stage in ("filled", "clocked"))
    data = json.loads(next(path for path in found if path.exists()).read_text())
    change(contents(data, board))
    path = synthesis / "changed.json"
    path.write_text(json.dumps(data))
    target = find_board(board)
    with powered(netlist_chip(path, target), folder / "changed") as exchange:
        raw = DESIGN.raw_samples(DATA.x)
        return check_link(DESIGN, raw, exchange, technology=technology_of(target))


def test_the_netlist_answers_as_golden_and_on_the_predicted_cycle(checked) -> None:
    board, _, result = checked

    assert () == result.mismatches
    assert (2, 2 * (4 + 2)) == (result.samples, result.words)
    assert any(re.fullmatch(MEMORIES[board][0], cell) for cell in result.cells)


def test_memories_full_of_zeros_are_seen(checked) -> None:
    board, folder, _ = checked

    def clear(found) -> None:
        assert any("1" in parameters[key] for parameters, key in found)
        for parameters, key in found:
            parameters[key] = "0" * len(parameters[key])

    result = check_changed(board, folder, clear)

    assert "logit" in {mismatch.what for mismatch in result.mismatches}
    assert "cycles" not in {mismatch.what for mismatch in result.mismatches}


def test_one_flipped_bit_of_a_weight_is_seen(checked) -> None:
    board, folder, _ = checked

    def flip(found) -> None:
        parameters, key = next((p, k) for p, k in found if "1" in p[k])
        place = parameters[key].rindex("1")
        parameters[key] = f"{parameters[key][:place]}0{parameters[key][place + 1 :]}"

    result = check_changed(board, folder, flip)

    assert not result.passed


def test_the_readme_says_what_each_family_can_promise() -> None:
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text()

    assert proof.promises_table() in readme
    assert 3 == len(PROMISES)
