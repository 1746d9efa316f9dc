"""Contents of memories in netlists and placed files, by hand-made files of both families."""

import json

import pytest

from signfire.boards.contents import ContentsMap, set_words
from signfire.boards.rom_cells import BLOCK, LOGIC, Grid

TABLE = Grid(kind=LOGIC, words=5, width=1, cell_words=16, cell_width=1)
CONTENT = [1, 0, 1, 1, 0]


def ice40_file() -> str:
    tile = "\n".join("0" * 54 for _ in range(16))
    ram = "\n".join("0" * 64 for _ in range(16))
    return f".comment x\n.logic_tile 3 4\n{tile}\n.logic_tile 3 5\n{tile}\n.ram_data 6 7\n{ram}\n"


def ecp5_file() -> str:
    ram = "\n".join(" ".join(["000"] * 8) for _ in range(256))
    return (
        ".device LFE5U-25F\n\n.tile R4C3:PLC2\narc: A1 B2\nword: SLICEB.K1.INIT 0110100110010110\n"
        f"\n.tile R5C3:PLC2\nword: SLICEB.K1.INIT 0110100110010110\n\n.bram_init 2\n{ram}\n"
    )


FILES = {"ice40": ice40_file(), "ecp5": ecp5_file()}
BLOCKS = {
    "ice40": ([6, 7], Grid(kind=BLOCK, words=300, width=5, cell_words=512, cell_width=8)),
    "ecp5": ([2], Grid(kind=BLOCK, words=300, width=5, cell_words=2048, cell_width=9)),
}


def a_map(family: str, pins) -> ContentsMap:
    place, grid = BLOCKS[family]
    number = 0 if family == "ice40" else 3
    return ContentsMap(
        family=family,
        grids={"table": TABLE, "block": grid},
        places={"table": [[3, 4, number, *pins]], "block": [place]},
    )


@pytest.mark.parametrize("family", FILES)
@pytest.mark.parametrize("pins", [(0, 1, 2, 3), (3, 0, 1, 2), (1, 3, 0, 2)])
def test_what_is_written_is_read_and_nothing_else_changes(family, pins) -> None:
    found = a_map(family, pins)
    words = {"table": CONTENT, "block": [(7 * i) % 32 for i in range(300)]}

    text = found.written(FILES[family], words)

    assert words == found.read(text)
    pairs = zip(FILES[family].split("\n"), text.split("\n"), strict=True)
    changed = [n for n, (a, b) in enumerate(pairs) if a != b]
    table = range(2, 4) if family == "ice40" else range(4, 5)
    assert set(changed[:2]) & set(table)
    assert all(n in table or n > 8 for n in changed)
    assert found == ContentsMap.from_json(json.loads(json.dumps(found.to_json())))


def test_a_table_of_the_ice40_lies_where_icestorm_says() -> None:
    """Bit i of LUT_INIT is bit 4, 14, 15, 5, ... of the cell: columns 36 to 45 of two lines."""
    text = a_map("ice40", (0, 1, 2, 3)).written(ice40_file(), {"table": CONTENT})

    lines = text.split("\n")
    ones = {(n, c) for n in range(len(lines)) for c, digit in enumerate(lines[n]) if digit == "1"}
    # words 0, 2 and 3 are bits 4, 15 and 5
    assert {(2, 40), (3, 41), (2, 41)} <= ones


@pytest.mark.parametrize(
    ("pins", "table"),
    [
        ((0, 1, 2, 3), "0000000000001101"),
        ((1, 0, 2, 3), "0000000000001011"),  # words 1 and 2 change places
        ((0, 1, 2, -1), "0000110100001101"),  # input D is not connected, and does not matter
    ],
)
def test_a_table_of_the_ecp5_follows_its_pins(pins, table) -> None:
    text = a_map("ecp5", pins).written(ecp5_file(), {"table": CONTENT})

    assert f"word: SLICEB.K1.INIT {table}" == text.split("\n")[4]


def test_a_table_that_ecpunpack_leaves_out_is_all_ones() -> None:
    text = ecp5_file().replace("word: SLICEB.K1.INIT 0110100110010110\n", "", 1)

    assert [1] * 5 == a_map("ecp5", (0, 1, 2, 3)).read(text)["table"]


@pytest.mark.parametrize(
    ("family", "section", "message"),
    [
        ("ice40", ".logic_tile 3 4", "the placed file has no .logic_tile 3 4"),
        ("ice40", ".ram_data 6 7", "the placed file has no .ram_data 6 7"),
        ("ecp5", ".tile R4C3:PLC2", "the placed file has no SLICEB.K1.INIT in R4C3:PLC2"),
        ("ecp5", ".bram_init 2", "the placed file has no .bram_init 2"),
    ],
)
def test_a_file_of_another_build_is_refused(family, section, message) -> None:
    text = FILES[family].replace(f"{section}\n", f"{section}9\n", 1)

    with pytest.raises(ValueError) as error:
        a_map(family, (0, 1, 2, 3)).read(text)

    assert message == str(error.value)


def routed(family: str) -> str:
    """Return a routed netlist of a table, with the ways to its pins."""
    bel = {"ice40": "X3/Y4/lc0", "ecp5": "X3/Y4/SLICEB.K1"}[family]
    kind = {"ice40": "ICESTORM_LC", "ecp5": "TRELLIS_COMB"}[family]
    ways = {
        "ice40": "X3/Y4/3.4.lutff_0:in_3.->.3.4.lutff_0:in_0_lut;X3/Y4/3.4.lutff_0:in_0.->."
        "3.4.lutff_0:in_2_lut",
        "ecp5": "X3/Y4/0_0_D3->0_0_A3_SLICE;1;X3/Y4/0_0_A3->0_0_C3_SLICE",
    }[family]
    cell = {"type": kind, "attributes": {"signfire_rom": "a rom:0", "NEXTPNR_BEL": bel}}
    nets = {"n": {"attributes": {"ROUTING": ways}}}
    return json.dumps({"modules": {"top": {"cells": {"c": cell}, "netnames": nets}}})


@pytest.mark.parametrize(
    ("family", "place"),
    # nextpnr gives what is left, 1 and 2, to the pins 1 and 3 of an iCE40 that are not connected
    [("ice40", [3, 4, 0, 3, 1, 0, 2]), ("ecp5", [3, 4, 3, 3, -1, 0, -1])],
)
def test_swapped_pins_are_read_off_the_route(family, place) -> None:
    found = ContentsMap.of(routed(family), family, {"a rom": TABLE})

    assert {"a rom": [place]} == found.places


def test_a_netlist_without_a_cell_of_a_rom_is_refused() -> None:
    with pytest.raises(ValueError, match="the netlist lacks cell 0 of the ROM 'a rom'"):
        set_words({"modules": {}}, {"a rom": TABLE}, {"a rom": CONTENT})
    with pytest.raises(ValueError, match="the routed netlist lacks cells of the ROM 'a rom'"):
        ContentsMap.of('{"modules": {}}', "ecp5", {"a rom": TABLE})
