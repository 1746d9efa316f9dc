"""Where weights lie: what a folding says of it, and what is moved when one of the two is scarce."""

from dataclasses import replace

import pytest

from signfire.boards.rom_cells import BLOCK, Grid
from signfire.gen.core.core import Core, core_timing
from signfire.gen.core.estimate import estimate
from signfire.gen.core.plans import plan_layers
from signfire.gen.cost import Budget
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.fold.fold import auto_fold, parse_fold
from signfire.gen.fold.memories import place_weights
from signfire.gen.technology import TECHNOLOGIES
from signfire.sim.specimens.chains import random_design

ECP5 = TECHNOLOGIES["ecp5"]
# Words and bits of weights: fc1 60 x 32 in a block RAM by the rate, fc2 30 x 32 and fc3 16 x 24 in
# LUTs, 96 of them and 24.
FOLDING = {
    "input": Folding(pe=4),
    "fc1": Folding(pe=2, simd=4),
    "fc2": Folding(pe=2, simd=4),
    "fc3": Folding(pe=2, simd=3),
}


def network() -> Design:
    return random_design(sizes=(24, 20, 12, 8), steps=4, weight_bits=4, folding=FOLDING)


def placed(design: Design) -> dict[str, str]:
    return {p.name: p.folding.rom for p in design.populations[1:] if p.folding}


def budget(design: Design, *, luts: float, block_rams: int) -> Budget:
    """Return a budget of which the design takes a share ``luts`` of the LUTs."""
    needed = estimate(design, ECP5).resources.lut
    return Budget(lut=round(needed / luts), ff=10**6, block_ram=block_rams, multipliers=28)


# -- what a folding says -----------------------------------------------------------------------


def test_a_word_says_where_weights_lie():
    assert {"fc1": Folding(pe=2, rom="block")} == parse_fold("fc1:pe=2,rom=block")
    with pytest.raises(ValueError, match=r"^rom must be one of auto, block, lut, not 'ram' \("):
        parse_fold("fc1:rom=ram")


def test_what_is_chosen_is_kept_in_the_file_and_what_is_not_leaves_the_hash(tmp_path):
    chosen = network().with_folding(FOLDING | {"fc2": replace(FOLDING["fc2"], rom="block")})
    chosen.save(tmp_path / "chosen.npz")

    assert "rom" not in FOLDING["fc2"].record
    assert placed(chosen) == placed(Design.load(tmp_path / "chosen.npz"))
    assert chosen.hash == Design.load(tmp_path / "chosen.npz").hash


@pytest.mark.parametrize(
    ("folding", "message"),
    [
        (
            {"fc1": Folding(rom="ram")},
            "the weights of 'fc1' lie in one of auto, block, lut, not 'ram'",
        ),
        (
            {"fc1": Folding(synapse="logic", rom="block")},
            "the weights of 'fc1' are logic and lie in no memory (leave out rom=block)",
        ),
    ],
)
def test_a_place_that_is_none_is_refused(folding, message):
    with pytest.raises(ValueError) as error:
        network().with_folding({"input": Folding(), **folding})

    assert message == str(error.value)


@pytest.mark.parametrize("technology", ["ecp5", "ice40-up"])
def test_hardware_and_estimate_put_weights_where_the_folding_says(technology):
    family, plain = TECHNOLOGIES[technology], network()
    for rom, style in (("block", "block"), ("lut", "logic")):
        chosen = {name: replace(fold, rom=rom) for name, fold in FOLDING.items() if name != "input"}
        design = plain.with_folding(FOLDING | chosen)
        core, found = Core(design, technology), estimate(design, technology)
        for layer in found.layers[1:]:
            made = core.roms[f"{layer.name} weights"]
            grid = Grid.of(made, family)
            assert style == made.style
            assert layer.parts["weights"].block_ram == (grid.cells if grid.kind == BLOCK else 0)
        assert core_timing(plain, technology) == core_timing(design, technology)


# -- what is scarce ----------------------------------------------------------------------------


def test_the_rate_puts_weights_as_the_tests_below_take_it():
    _, plans = plan_layers(network(), ECP5)

    assert ["block", "logic", "logic"] == [plan.weight_style for plan in plans]
    assert [0, 96, 24] == [plan.cost()["weights"].lut for plan in plans]


@pytest.mark.parametrize(
    ("luts", "block_rams", "expected"),
    [
        (0.95, 20, ["auto", "block", "block"]),  # idle block RAMs take what LUTs hold
        (0.95, 3, ["auto", "block", "auto"]),  # with a third one they would be the scarcer ones
        (0.45, 20, ["auto", "auto", "auto"]),  # nothing is scarce
        (0.10, 2, ["auto", "auto", "auto"]),  # half of the block RAMs is no more than may be
        (0.10, 1, ["lut", "auto", "auto"]),  # LUTs are left
    ],
)
def test_weights_lie_in_what_is_left(luts, block_rams, expected):
    design = network()

    found = place_weights(design, ECP5, budget(design, luts=luts, block_rams=block_rams))

    assert expected == list(placed(found).values())


def test_moving_saves_what_the_estimate_says():
    design = network()
    before = estimate(design, ECP5).resources

    after = estimate(
        place_weights(design, ECP5, budget(design, luts=0.95, block_rams=20)), ECP5
    ).resources

    assert (before.lut - 96 - 24, before.block_ram + 2) == (after.lut, after.block_ram)


def test_a_folding_that_is_found_lies_in_what_is_left():
    design = random_design(sizes=(24, 20, 12, 8), steps=4, weight_bits=4)
    room = Budget(lut=1300, ff=10**5, block_ram=30, multipliers=28)

    choice = auto_fold(design, ECP5, room)

    assert "block" in placed(choice.design).values()
    assert choice.estimate == estimate(choice.design, ECP5, room)
    again = place_weights(choice.design, ECP5, room)
    assert placed(again) == placed(choice.design)  # nothing is left to move
