"""What the ROMs of a build hold: set in the netlist, found after place-and-route, changed there.

The cells of :mod:`.rom_cells` are known in the netlist by an attribute, which nextpnr keeps. Its
routed netlist says where each cell was placed; with that, a :class:`ContentsMap` reads every word
out of the placed file that the packer takes (.asc, .config), or writes other words into it.
"""

# Ref: Project IceStorm, documentation of the .asc format and of the logic tile; Project Trellis,
# documentation of the .config format; nextpnr ice40/bitstream.cc and ecp5/bitstream.cc.

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..gen.technology import Technology
from ..hdl.storage import Rom
from .devices import ECP5, ICE40
from .rom_cells import (
    ATTRIBUTE,
    BLOCK,
    LUT_WORDS,
    Grid,
    ecp5_held,
    ecp5_rows,
    ice40_held,
    ice40_rows,
)
from .strap import LUTS

Words = Mapping[str, Sequence[int]]  # name of a ROM to its content
FORMAT_VERSION = 1

# Place of each bit of a look-up table among the 20 bits of an iCE40 logic cell: ten columns, from
# this one on, in each of two rows.
_ICE40_LUT = (4, 14, 15, 5, 6, 16, 17, 7, 3, 13, 12, 2, 1, 11, 10, 0)
_ICE40_LUT_COLUMN = 36
# A pin of a logic cell and the pin of the table behind it, as routes name the way between them:
# the router may swap the four.
_PINS = {
    ICE40: (
        re.compile(r"X(\d+)/Y(\d+)/[\d.]+lutff_(\d):in_([0-3])\.->\.[\d.]+lutff_\3:in_([0-3])_lut"),
        "0123",
    ),
    ECP5: (re.compile(r"X(\d+)/Y(\d+)/0_0_(?=[ABCD](\d))([ABCD])\3->0_0_([ABCD])\3_SLICE"), "ABCD"),
}


def grids_of(roms: Mapping[str, Rom], technology: Technology) -> dict[str, Grid]:
    """Return how each ROM is cut into cells."""
    return {name: Grid.of(rom, technology) for name, rom in roms.items()}


def words_of(roms: Mapping[str, Rom]) -> dict[str, list[int]]:
    """Return what each ROM holds."""
    return {name: [int(word) for word in rom.content] for name, rom in roms.items()}


# -- the netlist before place-and-route --------------------------------------------------------


def set_words(netlist: dict, grids: Mapping[str, Grid], words: Words) -> None:
    """Make the cells of a netlist, as yosys writes it in JSON, hold ``words``.

    Raises
    ------
    ValueError
        If a cell of a ROM is missing.
    """
    held = {name: grid.cut(words[name]) for name, grid in grids.items()}
    missing = {(name, i) for name, grid in grids.items() for i in range(grid.cells)}
    for module in netlist["modules"].values():
        for cell in module["cells"].values():
            owner = _owner(cell)
            if owner is not None:
                missing.remove(owner)
                name, number = owner
                cell["parameters"].update(_parameters(cell["type"], held[name][number]))
    if missing:
        name, number = min(missing)
        raise ValueError(f"the netlist lacks cell {number} of the ROM {name!r}")


def _owner(cell: Mapping) -> tuple[str, int] | None:
    """Return the ROM of a cell and the cell's number in it."""
    name, colon, number = cell["attributes"].get(ATTRIBUTE, "").rpartition(":")
    return (name, int(number)) if colon else None


def _parameters(cell: str, held: np.ndarray) -> dict[str, str]:
    """Return the parameters by which a cell holds (cell_words, cell_width), in binary digits."""
    if cell == "SB_RAM40_4K":
        rows = ice40_rows(held).reshape(16, 256)
        return {f"INIT_{i:X}": _binary(row) for i, row in enumerate(rows)}
    if cell == "DP16KD":
        rows = np.zeros((1024, 20), bool)
        rows[:, :18] = ecp5_rows(held)
        return {f"INITVAL_{i:02X}": _binary(row) for i, row in enumerate(rows.reshape(64, 320))}
    table = next(table for name, table, *_ in LUTS.values() if name == cell)
    return {table: _binary(held[:, 0])}


def _binary(bits: Iterable) -> str:
    """Return bits, the lowest first, as a number in binary digits."""
    return "".join("01"[int(bit)] for bit in bits)[::-1]


# -- the placed design -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ContentsMap:
    """Where in a placed file each word of each ROM lies.

    Parameters
    ----------
    family
        ``ice40`` or ``ecp5``.
    grids
        ROM to its cells.
    places
        ROM to the place of each cell: [x, y] of an iCE40's block RAM, [number] of an ECP5's,
        [x, y, number, pin, pin, pin, pin] of a look-up table of either, where pin i is the place of
        address bit i among the table's own inputs, -1 if it has none.
    """

    family: str
    grids: Mapping[str, Grid]
    places: Mapping[str, Sequence[Sequence[int]]]

    @classmethod
    def of(cls, routed: str, family: str, grids: Mapping[str, Grid]) -> "ContentsMap":
        """Read the netlist that nextpnr wrote after routing, a JSON text."""
        found: dict[str, dict[int, list[int]]] = {name: {} for name in grids}
        pins = _table_pins(routed, family)
        for module in json.loads(routed)["modules"].values():
            for cell in module["cells"].values():
                owner = _owner(cell)
                if owner is not None:
                    found[owner[0]][owner[1]] = _place(cell, family, pins)
        for name, grid in grids.items():
            if sorted(found[name]) != list(range(grid.cells)):
                raise ValueError(f"the routed netlist lacks cells of the ROM {name!r}")
        return cls(
            family=family,
            grids=grids,
            places={name: [cells[i] for i in range(len(cells))] for name, cells in found.items()},
        )

    def read(self, placed: str) -> dict[str, list[int]]:
        """Return what every ROM holds in a placed file.

        Raises
        ------
        ValueError
            If the file lacks a cell.
        """
        file = _PLACED[self.family](placed)
        words = {}
        for name, grid in self.grids.items():
            held = [
                file.block(place, grid)
                if grid.kind == BLOCK
                else _to_words(file.table(place), place[3:])
                for place in self.places[name]
            ]
            words[name] = grid.join(np.array(held))
        return words

    def written(self, placed: str, words: Words) -> str:
        """Return a placed file in which the ROMs named in ``words`` hold them.

        Raises
        ------
        ValueError
            If the file lacks a cell, or a ROM is of other words.
        """
        file = _PLACED[self.family](placed)
        for name, content in words.items():
            grid = self.grids[name]
            for place, held in zip(self.places[name], grid.cut(content), strict=True):
                if grid.kind == BLOCK:
                    file.set_block(place, held)
                else:
                    file.set_table(place, _to_table(held[:, 0], place[3:]))
        return file.text()

    def to_json(self) -> dict:
        """Return the map as JSON values."""
        grids = {name: asdict(grid) for name, grid in self.grids.items()}
        return {"family": self.family, "grids": grids, "places": dict(self.places)}

    @classmethod
    def from_json(cls, record: Mapping) -> "ContentsMap":
        """Undo :meth:`to_json`."""
        grids = {name: Grid(**grid) for name, grid in record["grids"].items()}
        return cls(family=record["family"], grids=grids, places=record["places"])


def _place(cell: Mapping, family: str, pins: Mapping) -> list[int]:
    bel = cell["attributes"]["NEXTPNR_BEL"]
    match = re.fullmatch(r"X(\d+)/Y(\d+)/(.+)", bel)
    assert match is not None, bel  # every bel of nextpnr has such a name
    x, y, name = match.groups()
    if cell["type"] == "DP16KD":
        return [int(cell["attributes"]["WID"], 2)]
    if cell["type"] == "ICESTORM_RAM":
        return [int(x), int(y)]
    if family == ICE40:
        number = int(name.removeprefix("lc"))
    else:
        number = 2 * "ABCD".index(name[5]) + int(name[-1])  # SLICEC.K1
    return [int(x), int(y), number, *pins.get((int(x), int(y), number), _NO_PINS)]


_NO_PINS = (-1, -1, -1, -1)  # of a table whose pins are all constant


def _table_pins(routed: str, family: str) -> dict[tuple[int, int, int], list[int]]:
    """Return of each table to which of its own inputs each pin of its cell is led."""
    found: dict[tuple[int, int, int], list[int]] = {}
    pattern, names = _PINS[family]
    for x, y, number, outer, inner in pattern.findall(routed):
        pins = found.setdefault((int(x), int(y), int(number)), list(_NO_PINS))
        pins[names.index(inner)] = names.index(outer)
    if family == ICE40:  # nextpnr hands what is left to the pins that are not connected, in order
        for pins in found.values():
            left = iter(sorted({0, 1, 2, 3} - set(pins)))
            pins[:] = [next(left) if pin < 0 else pin for pin in pins]
    return found


class _Asc:
    """An iCE40's placed file: lines of binary digits by tile, of hexadecimal ones by block RAM."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.starts = {
            line: number + 1 for number, line in enumerate(self.lines) if line.startswith(".")
        }

    def text(self) -> str:
        return "\n".join(self.lines)

    def _start(self, section: str) -> int:
        if section not in self.starts:
            raise ValueError(f"the placed file has no {section}")
        return self.starts[section]

    def block(self, place: Sequence[int], grid: Grid) -> np.ndarray:
        start = self._start(f".ram_data {place[0]} {place[1]}")
        numbers = [int(line, 16) for line in self.lines[start : start + 16]]
        raw = np.frombuffer(b"".join(n.to_bytes(32, "little") for n in numbers), "u1")
        return ice40_held(np.unpackbits(raw, bitorder="little").astype(bool), grid)

    def set_block(self, place: Sequence[int], held: np.ndarray) -> None:
        start = self._start(f".ram_data {place[0]} {place[1]}")
        for i, row in enumerate(ice40_rows(held).reshape(16, 256)):
            number = int.from_bytes(np.packbits(row, bitorder="little").tobytes(), "little")
            self.lines[start + i] = f"{number:064x}"

    def _table_bits(self, place: Sequence[int]) -> list[tuple[int, int]]:
        """Line and column of each bit of a look-up table."""
        x, y, number = place[:3]
        start = self._start(f".logic_tile {x} {y}") + 2 * number
        return [(start + bit // 10, _ICE40_LUT_COLUMN + bit % 10) for bit in _ICE40_LUT]

    def table(self, place: Sequence[int]) -> list[bool]:
        return [self.lines[line][column] == "1" for line, column in self._table_bits(place)]

    def set_table(self, place: Sequence[int], table: Sequence[bool]) -> None:
        for (line, column), bit in zip(self._table_bits(place), table, strict=True):
            text = self.lines[line]
            self.lines[line] = f"{text[:column]}{int(bit)}{text[column + 1 :]}"


class _Config:
    """An ECP5's placed file: settings by tile, block RAMs as rows of eight 9-bit bytes."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.blocks: dict[int, int] = {}
        self.tables: dict[tuple[str, str], int] = {}
        self.tiles: set[str] = set()
        tile = ""
        for number, line in enumerate(self.lines):
            if line.startswith(".bram_init "):
                self.blocks[int(line.split()[1])] = number + 1
            elif line.startswith(".tile "):
                tile = line.split()[1]
                self.tiles.add(tile)
            elif line.startswith("word: SLICE"):
                self.tables[tile, line.split()[1]] = number

    def text(self) -> str:
        return "\n".join(self.lines)

    def _block(self, place: Sequence[int]) -> int:
        if place[0] not in self.blocks:
            raise ValueError(f"the placed file has no .bram_init {place[0]}")
        return self.blocks[place[0]]

    def block(self, place: Sequence[int], grid: Grid) -> np.ndarray:
        start = self._block(place)
        numbers = [int(w, 16) for line in self.lines[start : start + 256] for w in line.split()]
        bits = np.array(numbers)[:, None] >> np.arange(9) & 1
        return ecp5_held(bits.astype(bool).reshape(1024, 18), grid)

    def set_block(self, place: Sequence[int], held: np.ndarray) -> None:
        start = self._block(place)
        numbers = ecp5_rows(held).reshape(2048, 9) @ (1 << np.arange(9))
        for i, row in enumerate(numbers.reshape(256, 8)):
            self.lines[start + i] = " ".join(f"{number:03x}" for number in row)

    def _table(self, place: Sequence[int]) -> tuple[str, str]:
        x, y, number = place[:3]
        return f"R{y}C{x}:PLC2", f"SLICE{'ABCD'[number // 2]}.K{number % 2}.INIT"

    def _line(self, tile: str, word: str) -> int:
        if (tile, word) not in self.tables:
            raise ValueError(f"the placed file has no {word} in {tile}")
        return self.tables[tile, word]

    def table(self, place: Sequence[int]) -> list[bool]:
        tile, word = self._table(place)
        if (tile, word) not in self.tables and tile in self.tiles:
            return [True] * LUT_WORDS  # ecpunpack leaves out what is all ones
        return [digit == "1" for digit in self.lines[self._line(tile, word)].split()[2][::-1]]

    def set_table(self, place: Sequence[int], table: Sequence[bool]) -> None:
        line = self._line(*self._table(place))
        self.lines[line] = f"{self.lines[line].rsplit(' ', 1)[0]} {_binary(table)}"


def _to_table(words: np.ndarray, pins: Sequence[int]) -> list[bool]:
    """Return the table that answers address a of the cell's pins with ``words[a]``."""
    inner = [
        sum((i >> pin & 1) << bit for bit, pin in enumerate(pins) if pin >= 0)
        for i in range(LUT_WORDS)
    ]
    return [bool(words[i]) for i in inner]


def _to_words(table: Sequence[bool], pins: Sequence[int]) -> np.ndarray:
    """Undo :func:`_to_table`, (16, 1); words that no address reaches are zero."""
    words = np.zeros((LUT_WORDS, 1), bool)
    for address in range(LUT_WORDS):
        set_bits = [pin for bit, pin in enumerate(pins) if address >> bit & 1]
        if min(set_bits, default=0) >= 0:
            words[address, 0] = table[sum(1 << pin for pin in set_bits)]
    return words


_PLACED = {ICE40: _Asc, ECP5: _Config}
