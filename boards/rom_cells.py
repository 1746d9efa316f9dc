"""ROMs as explicit cells, whose content takes no part in synthesis, placement or routing.

Yosys would choose and share cells by what is in them, and two Designs of one shape would become
two netlists. So each ROM that holds numbers of a Design is laid out here in block RAMs or look-up
tables that hold nothing of it; :mod:`.contents` fills them, in the netlist or after
place-and-route.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal

from ..gen.technology import Technology
from ..hdl.storage import Rom
from .devices import ECP5, ICE40
from .strap import LUTS

ATTRIBUTE = "signfire_rom"  # of a ROM's cells; its value is the ROM's name, a colon and the number
FAMILIES = (ICE40, ECP5)
BLOCK, LOGIC = "block", "logic"
LUT_WORDS = 16
# What look-up tables hold until they are filled. nextpnr's timing for iCE40 passes over the inputs
# that a table does not depend on, so other contents could be placed otherwise; this depends on all.
PLACEHOLDER = 0x6996


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How the words of a ROM are cut into cells.

    The depth is cut into segments of a cell's depth, and the bits of all segments are laid side by
    side: bit k of that row is bit k mod ``width`` of segment k // ``width``. Cell i holds the bits
    i·``cell_width`` and up of the row.

    Parameters
    ----------
    kind
        ``block`` (block RAM) or ``logic`` (look-up tables).
    words, width
        Of the ROM.
    cell_words, cell_width
        Of a cell.
    """

    kind: str
    words: int
    width: int
    cell_words: int
    cell_width: int

    @classmethod
    def of(cls, rom: Rom, technology: Technology) -> "Grid":
        """Return the grid of a ROM: of block RAMs where its style says so."""
        words, kind = len(rom.content), BLOCK if rom.style == BLOCK else LOGIC
        shape = technology.block_shape(words, rom.width) if kind == BLOCK else (LUT_WORDS, 1)
        return cls(
            kind=kind, words=words, width=rom.width, cell_words=shape[0], cell_width=shape[1]
        )

    @property
    def segments(self) -> int:
        return -(-self.words // self.cell_words)

    @property
    def cells(self) -> int:
        return -(-self.segments * self.width // self.cell_width)

    def cut(self, content: Sequence[int]) -> np.ndarray:
        """Return what each cell holds, (cells, cell_words, cell_width) bool; the rest is zero.

        Raises
        ------
        ValueError
            If there are more or fewer words, or a word is wider.
        """
        size = -(-self.width // 8)
        if len(content) != self.words or any(word >> self.width for word in content):
            raise ValueError(
                f"a ROM of {self.words} words of {self.width} bits takes just these, not "
                f"{len(content)} words of up to {max(w.bit_length() for w in content)} bits"
            )
        raw = np.frombuffer(b"".join(int(word).to_bytes(size, "little") for word in content), "u1")
        bits = np.unpackbits(raw.reshape(self.words, size), axis=1, bitorder="little")
        whole = np.zeros((self.segments * self.cell_words, self.width), bool)
        whole[: self.words] = bits[:, : self.width]
        row = whole.reshape(self.segments, self.cell_words, self.width).transpose(1, 0, 2)
        padded = np.zeros((self.cell_words, self.cells * self.cell_width), bool)
        padded[:, : self.segments * self.width] = row.reshape(self.cell_words, -1)
        return padded.reshape(self.cell_words, self.cells, self.cell_width).transpose(1, 0, 2)

    def join(self, held: np.ndarray) -> list[int]:
        """Undo :meth:`cut`."""
        row = held.transpose(1, 0, 2).reshape(self.cell_words, -1)
        row = row[:, : self.segments * self.width]
        whole = row.reshape(self.cell_words, self.segments, self.width).transpose(1, 0, 2)
        bits = whole.reshape(-1, self.width)[: self.words]
        packed = np.packbits(bits, axis=1, bitorder="little")
        return [int.from_bytes(word.tobytes(), "little") for word in packed]


class RomCells:
    """Turns the ROMs of an application into cells; a platform's ``get_rom``.

    Parameters
    ----------
    roms
        Name to ROM; a ROM that is not among them stays as it is.
    technology
        Sets the geometries of block RAM.
    family
        One of :data:`FAMILIES`.
    """

    def __init__(self, roms: Mapping[str, Rom], technology: Technology, family: str) -> None:
        self.names = {id(rom): name for name, rom in roms.items()}
        self.technology, self.family = technology, family

    def __call__(self, rom: Rom) -> Module | None:
        name = self.names.get(id(rom))
        if name is None:
            return None
        return rom_module(rom, name, Grid.of(rom, self.technology), self.family)


def rom_module(rom: Rom, name: str, grid: Grid, family: str) -> Module:
    """Return the hardware of a ROM, between the ports of its portable twin."""
    m = Module()
    low = (grid.cell_words - 1).bit_length()
    make = {(ICE40, BLOCK): _ice40_block, (ECP5, BLOCK): _ecp5_block}.get((family, grid.kind))
    address = Cat(rom.address, Const(0, 14))[:14]  # as many bits as any cell takes
    row = []
    for i in range(grid.cells):
        held = [Signal(name=f"held_{i}_{bit}") for bit in range(grid.cell_width)]
        attributes = (("a", "keep", 1), ("a", ATTRIBUTE, f"{name}:{i}"))
        m.submodules[f"cell_{i}"] = (
            _lut(family, address[:low], held[0], attributes)
            if make is None
            else make(grid, address[:low], held, attributes)
        )
        row += held
    segments = [Cat(row[s * grid.width : (s + 1) * grid.width]) for s in range(grid.segments)]
    upper = rom.address[low:]
    if grid.kind == BLOCK:  # block RAMs have registers, so what chooses among them follows
        behind = Signal(len(upper), reset_less=True)
        m.d.sync += behind.eq(upper)
        word = _chosen(segments, behind)
    else:
        word = Signal(rom.width, reset_less=True)
        m.d.sync += word.eq(_chosen(segments, upper))
    if rom.registered:
        registered = Signal(rom.width, reset_less=True)
        m.d.sync += registered.eq(word)
        word = registered
    m.d.comb += rom.data.eq(word)
    return m


def _chosen(words: Sequence, index):
    """Return ``words[index]`` as a tree of choices between two."""
    for bit in range(len(index)):
        words = [
            Mux(index[bit], words[i + 1], words[i]) if i + 1 < len(words) else words[i]
            for i in range(0, len(words), 2)
        ]
    return words[0]


def _lut(family: str, address, held: Signal, attributes) -> Instance:
    cell, table, inputs, output = LUTS[family]
    return Instance(
        cell,
        *attributes,
        ("p", table, Const(PLACEHOLDER, LUT_WORDS)),
        *(("i", name, address[i]) for i, name in enumerate(inputs)),
        ("o", output, held),
    )


def _ice40_block(grid: Grid, address, held: Sequence[Signal], attributes) -> Instance:
    """Return a block RAM that is never written.

    Word a of mode m (256 << m words) lies in row a mod 256; see :func:`ice40_columns`.
    """
    stride = 16 // grid.cell_width
    first = {1: 0, 2: 0, 4: 1, 8: 3}[stride]
    pins = [Signal(name=f"unused_{i}") for i in range(16)]
    for bit, signal in enumerate(held):
        pins[first + bit * stride] = signal
    return Instance(
        "SB_RAM40_4K",
        *attributes,
        *(("p", f"INIT_{i:X}", Const(0, 256)) for i in range(16)),
        ("p", "READ_MODE", stride.bit_length() - 1),
        ("p", "WRITE_MODE", 0),
        ("i", "RCLK", ClockSignal()),
        ("i", "RCLKE", Const(1)),
        ("i", "RE", Const(1)),
        ("i", "RADDR", Cat(address, Const(0, 11 - len(address)))),
        ("o", "RDATA", Cat(pins)),
        ("i", "WCLK", Const(0)),
        ("i", "WCLKE", Const(0)),
        ("i", "WE", Const(0)),
        ("i", "WADDR", Const(0, 11)),
        ("i", "MASK", Const(0, 16)),
        ("i", "WDATA", Const(0, 16)),
    )


def _ecp5_block(grid: Grid, address, held: Sequence[Signal], attributes) -> Instance:
    """Return a block RAM of which port B reads; width 36 takes the outputs of port A too."""
    width = grid.cell_width
    pins = 14 - len(address)  # the lowest ones choose a byte in a write
    ports = {f"DOB{i}": held[i] for i in range(min(width, 18))}
    if width == 36:
        ports = {f"DOA{i}": held[i] for i in range(18)}
        ports |= {f"DOB{i}": held[18 + i] for i in range(18)}
    low = {f"ADB{i}": Const(0) for i in range(pins)}
    low |= {f"{pin}{side}": Const(0) for side in "AB" for pin in ("WE", "RST", "CS0", "CS1", "CS2")}
    return Instance(
        "DP16KD",
        *attributes,
        *(("p", f"INITVAL_{i:02X}", Const(0, 320)) for i in range(64)),
        ("p", "DATA_WIDTH_A", 36 if width == 36 else 18),
        ("p", "DATA_WIDTH_B", width),
        *(("p", f"REGMODE_{side}", "NOREG") for side in "AB"),
        *(("p", f"CSDECODE_{side}", "0b000") for side in "AB"),
        *(("p", f"CLK{side}MUX", f"CLK{side}") for side in "AB"),
        ("p", "RESETMODE", "SYNC"),
        ("p", "ASYNC_RESET_RELEASE", "SYNC"),
        ("p", "GSR", "AUTO"),
        ("i", "CLKB", ClockSignal()),
        ("i", "CEA", Const(0)),
        ("i", "OCEA", Const(0)),
        ("i", "CEB", Const(1)),
        ("i", "OCEB", Const(1)),
        *(("i", _ecp5_pin(name), value) for name, value in low.items()),
        *(("i", f"ADB{pins + i}", bit) for i, bit in enumerate(address)),
        *(("o", name, signal) for name, signal in ports.items()),
    )


def _ecp5_pin(name: str) -> str:
    """CS0A is called CSA0."""
    return f"CS{name[3]}{name[2]}" if name.startswith("CS") else name


# -- what lies where in a cell -----------------------------------------------------------------


def ice40_rows(held: np.ndarray) -> np.ndarray:
    """Return the 256 rows of 16 bits that make a block RAM hold (cell_words, cell_width)."""
    words, width = held.shape
    return held.reshape(words // 256, 256, width).transpose(1, 2, 0).reshape(256, 16)


def ice40_held(rows: np.ndarray, grid: Grid) -> np.ndarray:
    """Undo :func:`ice40_rows`."""
    parts = grid.cell_words // 256
    return rows.reshape(256, grid.cell_width, parts).transpose(2, 0, 1).reshape(-1, grid.cell_width)


def ecp5_rows(held: np.ndarray) -> np.ndarray:
    """Return the 1024 rows of 18 bits that make a block RAM hold (cell_words, cell_width).

    Below a width of 9 the ninth bit of each byte is not used.
    """
    if held.shape[1] >= 9:
        return held.reshape(1024, 18)
    bytes_ = held.reshape(2048, 8)
    return np.concatenate([bytes_, np.zeros((2048, 1), bool)], axis=1).reshape(1024, 18)


def ecp5_held(rows: np.ndarray, grid: Grid) -> np.ndarray:
    """Undo :func:`ecp5_rows`."""
    if grid.cell_width >= 9:
        return rows.reshape(-1, grid.cell_width)
    return rows.reshape(2048, 9)[:, :8].reshape(-1, grid.cell_width)
