"""A packed bitstream answers as golden does, and one wrong bit of it is seen."""

import itertools
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from signfire.boards.boards import find_board
from signfire.boards.build import build
from signfire.boards.placed import PlacedBuild
from signfire.boards.readback import recover
from signfire.boards.readback_gowin import _Chip, _expression_of, netlist_of
from signfire.boards.recovered import ReadbackError
from signfire.boards.rom_cells import BLOCK, LOGIC
from signfire.boards.toolchain import executable
from signfire.sim import golden
from signfire.sim.specimens.chains import random_chip
from signfire.tools import api, proof

SAMPLES = 4
PATIENCE = 200_000  # cycles; what answers does so within them, and some chips never do
TABLES = 8  # of a Gowin chip, inverted together; bits of its block RAM too
# Bits of a logic cell's twenty that are its truth table, in the table's order.
LUT_BITS = [4, 14, 15, 5, 6, 16, 17, 7, 3, 13, 12, 2, 1, 11, 10, 0]

needs_icebox = pytest.mark.skipif(
    shutil.which("icebox_vlog") is None, reason="icebox_vlog (apt install fpga-icestorm)"
)


@pytest.fixture(scope="module")
def design():
    """Weights that fill block RAM on both, and every cell that a larger design has."""
    return random_chip()


@pytest.fixture(scope="module")
def samples(design):
    low, high = design.input_format.low, design.input_format.high
    x = np.random.default_rng(7).integers(low, high + 1, (SAMPLES, design.input.size))
    return api.Dataset(x=x.astype(float), y=None, path="random")


@pytest.fixture(scope="module")
def built(design, tmp_path_factory):
    """Build a board's bitstream once."""
    done = {}

    def bitstream(board: str) -> Path:
        if board not in done:
            folder = tmp_path_factory.mktemp(board)
            done[board] = build(design, find_board(board), folder, frequency=25e6).bitstream
        return done[board]

    return bitstream


def check(bitstream, board, design, samples):
    folder = bitstream.parent
    return proof.verify_bitstream(
        bitstream, board, design, samples, folder / "readback", build=folder, patience=PATIENCE
    )


# -- iCE40 -----------------------------------------------------------------------------------------


def unpacked(bitstream: Path) -> str:
    run("yowasp-iceunpack", bitstream.name, "bits.asc", cwd=bitstream.parent)
    return (bitstream.parent / "bits.asc").read_text()


def packed(text: str, folder: Path) -> Path:
    (folder / "wrong.asc").write_text(text)
    run("yowasp-icepack", "wrong.asc", "wrong.bin", cwd=folder)
    return folder / "wrong.bin"


def run(program: str, *arguments: str, cwd: Path) -> None:
    subprocess.run([str(executable(program)), *arguments], cwd=cwd, check=True, capture_output=True)


def flipped(text: str, tile: str, row: int, column: int) -> str:
    """Turn one bit of a tile."""
    begin = re.search(rf"^\.{tile}\n", text, re.M).end()
    lines = text[begin:].split("\n")
    line = lines[row]
    lines[row] = line[:column] + str(1 - int(line[column])) + line[column + 1 :]
    return text[:begin] + "\n".join(lines)


@needs_icebox
def test_an_ice40_bitstream_with_block_ram_and_dsp_answers_as_golden(
    built, design, samples
) -> None:
    result = check(built("icebreaker"), "icebreaker", design, samples)

    assert result.mismatches == ()
    assert result.words == SAMPLES * (2 + 2)
    assert result.cells["SB_RAM40_4K"] >= 1
    assert result.cells["SB_MAC16"] >= 1


@needs_icebox
def test_a_flipped_bit_of_a_look_up_table_is_seen_on_ice40(built, design, samples) -> None:
    bitstream = built("icebreaker")
    chip = recover(bitstream, find_board("icebreaker"))
    # The look-up table that passes the serial input on: its entry 0 is what a low level gives.
    x, y, cell = map(
        int, re.search(r"/\* LUT +(\d+) +(\d+) +(\d+) \*/ !?rx;", chip.chip.verilog).groups()
    )
    row, column = divmod(LUT_BITS[0], 10)
    wrong = flipped(unpacked(bitstream), f"logic_tile {x} {y}", 2 * cell + row, 36 + column)

    result = check(packed(wrong, bitstream.parent), "icebreaker", design, samples)

    assert not result.passed


@needs_icebox
def test_wrong_weights_in_block_ram_are_seen_on_ice40(built, design, samples) -> None:
    bitstream = built("icebreaker")
    contents = PlacedBuild.load(bitstream.parent).contents
    assert contents.grids["fc1 weights"].kind == BLOCK
    fired = golden.trace(design, design.raw_samples(samples.x)[0]).populations["fc1"].events
    neuron, inputs = int(np.flatnonzero(fired.any(axis=0))[0]), design.input.size
    text = unpacked(bitstream)
    words = contents.read(text)
    for address in range(neuron * inputs, (neuron + 1) * inputs):
        words["fc1 weights"][address] ^= 8  # the sign

    wrong = packed(contents.written(text, words), bitstream.parent)

    assert not check(wrong, "icebreaker", design, samples).passed


@needs_icebox
def test_a_bitstream_of_another_board_is_refused(built) -> None:
    with pytest.raises(ReadbackError, match=r"is it a bitstream of this board|failed"):
        recover(built("icebreaker"), find_board("icestick"))


@needs_icebox
def test_a_cut_ice40_file_is_refused(built) -> None:
    bitstream = built("icebreaker")
    cut = bitstream.with_name("cut.bin")
    cut.write_bytes(bitstream.read_bytes()[:5000])

    with pytest.raises(ReadbackError, match=r"iceunpack cannot read cut\.bin"):
        recover(cut, find_board("icebreaker"))


# -- Gowin -----------------------------------------------------------------------------------------


def rewritten(bitstream: Path, *flips: tuple[int, int]) -> Path:
    """Turn fuses of a Gowin file, its CRC made good."""
    from apycula import bslib

    bits, header, footer, slots = bslib.read_bitstream(str(bitstream))
    for row, column in flips:
        bits[row][column] ^= 1
    path = bitstream.with_name("wrong.fs")
    bslib.write_bitstream(str(path), bits, header, footer, False, slots)
    return path


def test_a_gowin_bitstream_with_block_ram_and_multipliers_answers_as_golden(
    built, design, samples
) -> None:
    result = check(built("tang-nano-9k"), "tang-nano-9k", design, samples)

    assert result.mismatches == ()
    assert {"ALU", "MULT18X18", "MUX2"} <= result.cells.keys()
    assert {"SP", "SPX9", "SDPB", "SDPX9B"} & result.cells.keys(), sorted(result.cells)


@pytest.fixture(scope="module")
def fuses(built) -> _Chip:
    """Read the fuses of the bitstream once."""
    return _Chip(built("tang-nano-9k"), find_board("tang-nano-9k"))


def test_flipped_bits_of_a_block_ram_are_seen_on_gowin(built, fuses, design, samples) -> None:
    bitstream, chip = built("tang-nano-9k"), fuses
    ones = np.argwhere(np.array(chip.contents))
    chosen = np.random.default_rng(3).choice(len(ones), TABLES, replace=False)

    flips = [(chip.db.height + int(row), int(column)) for row, column in ones[chosen]]
    wrong = rewritten(bitstream, *flips)

    assert not check(wrong, "tang-nano-9k", design, samples).passed


def passing_tables(chip: _Chip):
    """Find the tables that pass or invert one input for a register that the answer depends on."""
    netlist = netlist_of(chip, find_board("tang-nano-9k"))
    netlist.verilog()
    for at, k in itertools.product(chip.tiles, range(6)):
        traced = {chip.net(at, f"F{k}"), chip.net(at, f"Q{k}")} <= netlist.names.keys()
        if traced and f"DFF{k}" in chip.bels[at] and f"ALU{k}" not in chip.bels[at]:
            table = np.array([netlist.table(at, k) >> i & 1 for i in range(16)]).reshape([2] * 4)
            matters = [(np.diff(table, axis=axis) != 0).any() for axis in range(4)]
            if sum(matters) == 1:
                yield at, k


def test_inverted_look_up_tables_are_seen_on_gowin(built, fuses, design, samples) -> None:
    bitstream, chip = built("tang-nano-9k"), fuses
    passing = list(passing_tables(chip))
    chosen = np.random.default_rng(3).choice(len(passing), TABLES, replace=False)
    flips = []  # of some such tables together, as no single one of them need matter to a sample
    for at, k in (passing[i] for i in chosen):
        top = sum(chip.db[r, 0].height for r in range(at[0]))
        left = sum(chip.db[0, c].width for c in range(at[1]))
        fuses = chip.db[at].bels[f"LUT{k}"].flags.values()
        flips += [(top + y, left + x) for ((y, x),) in fuses]

    wrong = rewritten(bitstream, *flips)

    assert not check(wrong, "tang-nano-9k", design, samples).passed


def test_a_gowin_file_with_a_wrong_crc_is_refused(built) -> None:
    bitstream = built("tang-nano-9k")
    lines = bitstream.read_text().splitlines()
    longest = max(range(len(lines)), key=lambda i: len(lines[i]))
    lines[longest] = str(1 - int(lines[longest][100])).join(
        (lines[longest][:100], lines[longest][101:])
    )
    wrong = bitstream.with_name("crc.fs")
    wrong.write_text("\n".join(lines) + "\n")

    with pytest.raises(ReadbackError, match=r"crc\.fs is no whole Gowin bitstream"):
        recover(wrong, find_board("tang-nano-9k"))


# -- ECP5 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ecp5(built) -> tuple[Path, PlacedBuild]:
    """Return a bitstream, and where its memories lie."""
    bitstream = built("ulx3s-25f")
    return bitstream, PlacedBuild.load(bitstream.parent)


def test_every_word_of_an_ecp5s_memories_is_the_designs(ecp5, design, samples) -> None:
    bitstream, placed = ecp5

    result = check(bitstream, "ulx3s-25f", design, samples)

    assert () == result.mismatches
    assert sum(grid.words for grid in placed.contents.grids.values()) == result.words
    assert result.words > 64 * 20  # every weight of fc1 has a word of its own, and fc2 some more
    assert result.cells["DP16KD"] >= 1


def test_a_flipped_bit_of_an_ecp5s_memories_is_named(ecp5, design, samples) -> None:
    bitstream, placed = ecp5
    folder = bitstream.parent
    text = (folder / "signfire.placed").read_text()
    words = placed.contents.read(text)
    names = {}  # of one memory of either kind, to the word that is wrong in it
    for kind in (BLOCK, LOGIC):
        name = next(name for name, grid in placed.contents.grids.items() if grid.kind == kind)
        names[name] = f"word {len(words[name]) - 1} of memory"
        words[name][-1] ^= 1
    (folder / "wrong.config").write_text(placed.contents.written(text, words))
    run("yowasp-ecppack", "wrong.config", "wrong.bit", cwd=folder)

    result = check(folder / "wrong.bit", "ulx3s-25f", design, samples)

    assert names == {found.layer: found.what for found in result.mismatches}
    assert 2 == len(result.mismatches)
    assert all(found.got == found.expected ^ 1 for found in result.mismatches)


def test_an_ecp5_needs_the_folder_of_its_build(ecp5, design, samples, tmp_path) -> None:
    with pytest.raises(ValueError, match="ulx3s-25f needs the folder of its build"):
        proof.verify_bitstream(ecp5[0], "ulx3s-25f", design, samples, tmp_path)


def test_another_designs_bitstream_is_seen_on_ecp5(ecp5, design, samples) -> None:
    fc1 = design["fc1"]
    (operand,) = fc1.operands
    (q,) = operand.projections
    q = replace(q, map=q.map.with_weights(q.map.weights[::-1].copy()))
    changed = replace(fc1, operands=(replace(operand, projections=(q,)),))
    populations = tuple(changed if p is fc1 else p for p in design.populations)
    other = replace(design, populations=populations)

    result = check(ecp5[0], "ulx3s-25f", other, samples)

    assert {"identity", "fc1 weights"} <= {mismatch.layer for mismatch in result.mismatches}


# -- both ------------------------------------------------------------------------------------------


def test_a_missing_file_is_refused_with_the_way_out(tmp_path) -> None:
    with pytest.raises(
        ReadbackError, match=r"there is no bitstream .*\(run signfire build first\)"
    ):
        recover(tmp_path / "none.bin", find_board("icebreaker"))


def test_ecp5_logic_cannot_be_read_back(tmp_path) -> None:
    (tmp_path / "x.bit").write_bytes(b"x")

    with pytest.raises(ReadbackError, match="no tool turns a bitstream of ulx3s-25f back"):
        recover(tmp_path / "x.bit", find_board("ulx3s-25f"))


def test_a_truth_table_becomes_the_expression_that_has_it() -> None:
    rng = np.random.default_rng(3)
    for table in [0, 0xFFFF, 0xFF00, *map(int, rng.integers(0, 1 << 16, 20))]:
        text = _expression_of(table, ["d", "c", "b", "a"]).replace("1'b", "")
        for index in range(16):
            levels = {name: str(index >> i & 1) for i, name in enumerate("abcd")}
            assert str(table >> index & 1) == value_of(text.translate(str.maketrans(levels)))


def value_of(text: str) -> str:
    """Evaluate nested choices between 0 and 1, the innermost first."""
    while "?" in text:
        text = re.sub(r"\((\d) \? (\d) : (\d)\)", lambda m: m[2] if m[1] == "1" else m[3], text)
    return text
