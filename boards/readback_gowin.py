"""Gowin: the packed file through the database and the tile reader of gowin_unpack, completed.

What gowin_unpack's Verilog leaves out or gets wrong is taken from the fuses themselves: carry
chains by their truth table, look-up tables that are constant, block RAM with its contents,
multipliers, and the clock that enters the PLL. A block RAM or multiplier is found by encoding
every setting that signfire's flow can make and comparing the fuses, so nothing is guessed.
"""

# Ref: Project Apicula, doc/alu.md (carry chain), doc/filestructure.md (file and block RAM).

import importlib.resources
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..sim.chip import Chip
from .boards import Board
from .devices import GOWIN
from .pins import package_pins
from .recovered import ReadbackError, Recovered

TOP = "chip"
_HIGH, _LOW = "1'b1", "1'b0"
_BLOCK_RAM_ROWS = 256  # fuse rows of one block RAM's contents
_BLOCK_RAM_COLUMNS = 180
_WIDTHS = {1: "1", 2: "2", 4: "4", 9: "9", 18: "16", 36: "X36"}
_CLEARS = {"SET": 1, "RESET": 0, "PRESET": 1, "CLEAR": 0}
_LOGIC = {"LUT", "DFF", "ALU", "RAM"}  # first letters of cells that no other tile sets
Place = tuple[int, int]


def recover_gowin(bitstream: Path, board: Board) -> Recovered:
    """See :func:`.readback.recover`."""
    chip = _Chip(bitstream, board)
    netlist = netlist_of(chip, board)
    verilog, cells = netlist.verilog()
    found = Chip(
        verilog=verilog,
        top=TOP,
        family=GOWIN,
        cells=netlist.instances,
        input_hz=board.input_hz,
        clock_hz=board.input_hz * chip.pll_ratio,
        baud=board.baud,
    )
    return Recovered(chip=found, cells=cells)


def netlist_of(chip: "_Chip", board: Board) -> "_Netlist":
    """Return the netlist behind a board's pins, nothing of it traced yet."""
    pins = package_pins(board)
    pads = {role: chip.pad(pin) for role, (pin, _) in pins.items()}
    return _Netlist(chip, pads, rest=int(pins.get("reset", ("", False))[1]))


@cache
def _database(device: str) -> Any:
    """Return apycula's database of a device, which takes a second to read; it is not changed."""
    from apycula import chipdb

    source = importlib.resources.files("apycula") / f"{device}.msgpack.xz"
    with importlib.resources.as_file(source) as path:
        return chipdb.load_chipdb(str(path))


class _CellsOnly:
    """A database whose tiles have no connections: gowin_unpack reads cells, and no more."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self._tiles: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def __getitem__(self, place: Place) -> Any:
        tile = self._db[place]
        if tile.ttyp not in self._tiles:
            self._tiles[tile.ttyp] = replace(tile, pips={}, clock_pips={})
        return self._tiles[tile.ttyp]


class _Wiring:
    """What a device connects, whatever its fuses; and the logic tiles that were read before."""

    def __init__(self, device: str) -> None:
        self.db = _database(device)
        self.cells = _CellsOnly(self.db)
        self.read: dict[tuple[int, bytes], tuple[dict[str, set[str]], list]] = {}
        self._nets: dict[tuple[Place, str], str] = {}
        self._tables: dict[int, list[tuple[str, set, dict[frozenset, list[str]]]]] = {}

    def choices(self, table: dict) -> list[tuple[str, set, dict[frozenset, list[str]]]]:
        """Return of each target all fuses that choose its source, and the sources by fuses."""
        found = self._tables.get(id(table))
        if found is None:
            found = self._tables[id(table)] = []  # the table lives as long as this, and so its id
            for target, choices in table.items():
                sources: dict[frozenset, list[str]] = {}
                for source, bits in choices.items():
                    sources.setdefault(frozenset(bits), []).append(source)
                found.append((target, set().union(*choices.values()), sources))
        return found

    @cached_property
    def on_nodes(self) -> set[tuple[int, int, str]]:
        """Wires that a node joins to others."""
        return set().union(*(wires for _, wires in self.db.nodes.values()))

    @cached_property
    def _aliases(self) -> dict[str, str]:
        """Name of a wire to the one name of its node, as gowin_unpack has it."""
        from apycula.chipdb import wire2global

        aliases: dict[str, str] = {}
        for _, wires in self.db.nodes.values():
            names = [
                f"R{row + 1}C{col + 1}_{wire}"
                for row, col, wire in sorted(wires, key=lambda w: (len(w[2]), w))
            ]
            aliases.update({name: names[0] for name in names[1:]})
        neighbours = (("N", 0, 1, "SN"), ("S", 2, 1, "SN"), ("W", 1, 0, "EW"), ("E", 1, 2, "EW"))
        for row, col, i in itertools.product(range(self.db.rows), range(self.db.cols), (1, 2)):
            for side, down, right, name in neighbours:
                wire = wire2global(row + down, col + right, self.db, f"{side}1{i}1")
                aliases[wire] = f"R{row + 1}C{col + 1}_{name}{i}0"
        for (top, col, line), segment in self.db.segments.items():
            aliases |= _long_wire(top, col, line, segment)
        return aliases

    def net(self, place: Place, wire: str) -> str:
        """Return the name of a wire's node."""
        found = self._nets.get((place, wire))
        if found is None:
            from apycula.chipdb import wire2global

            name: str = wire2global(place[0] + 1, place[1] + 1, self.db, wire)
            found = self._nets[place, wire] = self._aliases.get(name, name)
        return found


@cache
def _wiring(device: str) -> _Wiring:
    """Return the wiring of a device, which takes a second to make."""
    return _Wiring(device)


class _Chip:
    """Fuses of one file, tile by tile, and what they connect."""

    def __init__(self, bitstream: Path, board: Board) -> None:
        # Imported here, because it takes a second and only Gowin boards need it.
        from apycula import bslib, chipdb, gowin_pack, gowin_unpack

        self.chipdb, self.pack, self.unpack = chipdb, gowin_pack, gowin_unpack
        package, variant = self._variant(board)
        device = variant.replace("NR-", "N-").replace("AR-", "A-")
        self.db = _database(device)
        self.pinout = self.db.pinout[variant][package]
        gowin_unpack._device = gowin_pack.device = device
        self.wiring = _wiring(device)
        try:
            bitmap, header, _, _ = bslib.read_bitstream(str(bitstream))
        except (AssertionError, ValueError, IndexError, UnicodeDecodeError) as error:
            raise ReadbackError(
                f"{bitstream.name} is no whole Gowin bitstream: {str(error)[:60] or 'wrong CRC'}"
            ) from error
        if header[3] != self.db.cmd_hdr[3]:
            raise ReadbackError(f"{bitstream.name} is not for a {device}, the device of this board")
        self.contents = bitmap[self.db.height :]
        self.tiles = {
            place: [fuses.tobytes() for fuses in np.asarray(tile, np.uint8)]
            for place, tile in chipdb.tile_bitmap(self.db, bitmap, empty=True).items()
        }
        self.sources: dict[str, str] = {}
        self.bels: dict[Place, dict[str, set[str]]] = {}
        for place, tile in self.tiles.items():
            self._read_tile(place, tile)

    def _variant(self, board: Board) -> tuple[str, str]:
        """Return package and device of a board as the database calls them."""
        part = board.part
        family = re.match(r"(GW\w+)-\w+?(\d+)", part)
        assert family is not None
        for name in ("GW1N-9C", "GW2A-18C"):
            found = _database(name).packages.get(part)
            if found is not None:
                return found[0], found[1]
        raise ReadbackError(f"gowin_unpack does not know the part {part} of {board.name}")

    def _read_tile(self, place: Place, tile: list[bytes]) -> None:
        """Read cells and connections; of logic tiles alike, which most are, the first is read."""
        data = self.db[place]
        alike = (data.ttyp, b"".join(tile)) if _LOGIC.issuperset(map(_stem, data.bels)) else None
        found = None if alike is None else self.wiring.read.get(alike)
        if found is None:
            found = self._cells_of(place, tile), self._connections_of(data, tile)
            if alike is not None:
                self.wiring.read[alike] = found
        self.bels[place], connections = found
        for target, fitting, burnt, clock in connections:
            # The four spines of a tap have the same fuses: the one that runs by is meant.
            near = [s for s in fitting if (*place, s) in self.wiring.on_nodes] if clock else []
            for source in near or fitting:
                self._connect(place, target, source, strong=burnt)

    def _cells_of(self, place: Place, tile: list[bytes]) -> dict[str, set[str]]:
        """Return the cells of a tile and how they are set, as gowin_unpack reads them."""
        bels, _, _ = self.unpack.parse_tile_(
            self.wiring.cells, *place, tile, self.tiles, noiostd=False
        )
        return bels

    def _connections_of(self, data: Any, tile: list[bytes]) -> list[tuple[str, list, bool, bool]]:
        """Return targets, the sources that fit, whether fuses say so, and whether it is a clock."""
        on = {(y, x) for y, fuses in enumerate(tile) for x, fuse in enumerate(fuses) if fuse}
        found = []
        for table in (data.pips, data.clock_pips):
            clock = table is data.clock_pips
            for target, mask, sources in self.wiring.choices(table):
                burnt = mask & on
                fitting = sources.get(frozenset(burnt)) if burnt or not clock else None
                if fitting:
                    found.append((target, fitting, bool(burnt), clock))
        return found

    def _connect(self, place: Place, target: str, source: str, *, strong: bool) -> None:
        end = self.net(place, target)
        if strong or end not in self.sources:
            self.sources[end] = self.net(place, source)

    def net(self, place: Place, wire: str) -> str:
        """Return the name of a wire's node."""
        return self.wiring.net(place, wire)

    def ports(self, place: Place, cell: str) -> dict[str, str]:
        """Return the wire of each port of a cell; apycula's lists of wires are no port of ours."""
        wires = self.db[place].bels[cell].portmap
        return {name: wire for name, wire in wires.items() if isinstance(wire, str)}

    def driver(self, net: str) -> str:
        """Follow a node to where it begins."""
        seen = set()
        while net in self.sources and net not in seen:
            seen.add(net)
            net = self.sources[net]
        return net

    def pad(self, pin: str) -> tuple[Place, str]:
        """Return tile and name of a pin's pad."""
        where = self.pinout[pin][0]
        row, col, side = self.unpack.tbrl2rc(self.db, where)
        return (row, col), f"IOB{side}"

    # -- PLL -----------------------------------------------------------------------------------

    @cached_property
    def pll(self) -> tuple[Place, dict[str, int]] | None:
        """The one PLL in use: place of its main cell and raw dividers."""
        from apycula import attrids

        found: dict[Place, dict[str, int]] = {}
        for place, tile in self.tiles.items():
            data = self.db[place]
            for name in data.bels:
                if name.startswith("RPLL") and "PLL" in self.db.shortval[data.ttyp]:
                    values = self.unpack.parse_attrvals(
                        tile,
                        self.db.rev_logicinfo("PLL"),
                        self.db.shortval[data.ttyp]["PLL"],
                        attrids.pll_attrids,
                        "PLL",
                    )
                    row, col, _ = self.unpack.get_pll_A(self.db, *place, name[4])
                    found.setdefault((row, col), {}).update(values)
        used = {place: values for place, values in found.items() if "INSEL" in values}
        if len(used) > 1:
            raise ReadbackError(f"the bitstream has {len(used)} PLLs, and signfire makes one")
        return next(iter(used.items()), None)

    @cached_property
    def pll_ratio(self) -> Fraction:
        """Output clock by input clock: (FBDIV_SEL + 1) / (IDIV_SEL + 1); raw values are plus 1."""
        if self.pll is None:
            return Fraction(1)
        return Fraction(self.pll[1]["FDIV"], self.pll[1]["IDIV"])

    # -- fuses against settings ----------------------------------------------------------------

    def burnt(self, places: Iterable[Place], table: str) -> frozenset[tuple[int, int, int]]:
        """Fuses of a table that are set: (number of the tile, row, column)."""
        found = set()
        for i, place in enumerate(places):
            tile = self.tiles[place]
            for bits in self.db.shortval[self.db[place].ttyp].get(table, {}).values():
                found |= {(i, y, x) for y, x in bits if tile[y][x]}
        return frozenset(found)

    def encoded(
        self, places: Iterable[Place], table: str, attributes: set
    ) -> frozenset[tuple[int, int, int]]:
        """Fuses that the packer sets for attributes."""
        found = set()
        for i, place in enumerate(places):
            kind = self.db[place].ttyp
            if table in self.db.shortval[kind]:
                bits = self.chipdb.get_shortval_fuses(self.db, kind, attributes, table)
                found |= {(i, y, x) for y, x in bits}
        return frozenset(found)

    def memory_attributes(self, settings: dict[str, str]) -> set:
        """Return the numbers of a block RAM's attributes."""
        from apycula import attrids

        numbered: set = set()
        for name, value in settings.items():
            self.chipdb.add_attr_val(
                self.db,
                "BSRAM",
                numbered,
                attrids.bsram_attrids[name],
                attrids.bsram_attrvals[value],
            )
        return numbered

    def memory_contents(self, place: Place) -> list[int]:
        """Return the 1,024 words of 18 bits of the block RAM at a place, parity bits included."""
        rows = sorted(self.db.simplio_rows)
        top = _BLOCK_RAM_ROWS * rows.index(place[0])
        left = sum(self.db[0, col].width for col in range(place[1]))
        if not len(self.contents):
            return [0] * 1024
        if len(self.contents) < top + _BLOCK_RAM_ROWS:
            raise ReadbackError("the file ends before the contents of its block RAMs")
        block = [
            row[left : left + _BLOCK_RAM_COLUMNS]
            for row in self.contents[top : top + _BLOCK_RAM_ROWS]
        ][::-1]
        columns = {
            (bit, quarter): self.db.rev_logicinfo("BSRAM_INIT")[bit * 4 + quarter][0] - 1
            for bit, quarter in itertools.product(range(18), range(4))
        }
        # Bits 4 and 5 of a bit's address choose among four stripes of rows.
        stripe = {0x30: 0xC0, 0x20: 0x40, 0x10: 0x80, 0x00: 0x00}
        words = []
        for address in range(0, 1 << 14, 16):
            row = block[stripe[address & 0x30] + (address >> 6 & 0x3F)]
            quarter = address >> 12
            words.append(sum(int(row[columns[bit, quarter]]) << bit for bit in range(18)))
        return words


class _Netlist:
    """Verilog of all that the serial output depends on, found backwards from it."""

    def __init__(self, chip: _Chip, pads: dict[str, tuple[Place, str]], *, rest: int) -> None:
        self.chip, self.pads = chip, pads
        self.rest = rest  # level of the reset button's pin where nobody presses it
        self.makers: dict[str, Callable[[], None]] = {}
        self.lines: list[str] = []
        self.names: dict[str, str] = {}
        self.waiting: list[str] = []
        self.cells: Counter[str] = Counter()
        self.instances: Counter[str] = Counter()  # those of them that are a module's
        for place in chip.tiles:
            self._offer_slices(place)
            self._offer_memory(place)
            self._offer_multipliers(place)
        self._offer_pll()

    def verilog(self) -> tuple[str, dict[str, int]]:
        """Return the module and the number of its cells."""
        for role in ("clock", "rx"):
            self._offer_input(role, role)
        if "reset" in self.pads:
            self._offer_input("reset", f"1'b{self.rest}")
        place, bel = self.pads["tx"]
        if not self.chip.bels[place].get(bel, set()) & {"OBUF", "TBUF", "IOBUF"}:
            raise ReadbackError("the serial output's pin is no output in this file")
        wires = self.chip.ports(place, bel)
        data = self.wire(place, wires["I"])
        off = self.wire(place, wires["OE"], default=_LOW)
        self.lines.append(f"assign tx = {off} | {data};")  # a pad that is not driven is pulled up
        while self.waiting:
            self.makers[self.waiting.pop()]()
        header = "input clock, input pll_clock, input rx, output tx"
        declared = [f"wire {name};" for net, name in self.names.items() if net in self.makers]
        text = "\n".join([f"module {TOP} ({header});", *declared, *self.lines, "endmodule", ""])
        return text, dict(self.cells)

    def wire(self, place: Place, wire: str, default: str = _HIGH) -> str:
        """Return the Verilog of what drives a wire; what nothing drives is high."""
        return self._expression(self.chip.driver(self.chip.net(place, wire)), default)

    def _expression(self, net: str, default: str) -> str:
        if net in ("VCC", "VSS"):
            return _HIGH if net == "VCC" else _LOW
        if net not in self.makers:
            return default
        if net not in self.names:
            self.names[net] = f"n{len(self.names)}"
            self.waiting.append(net)
        return self.names[net]

    def _offer(self, place: Place, wire: str, make: Callable[[str], None]) -> None:
        """Say how the driver of a wire is made; it is, once something needs it."""
        net = self.chip.net(place, wire)
        self.makers[net] = lambda: make(self.names[net])

    def _bus(self, place: Place, ports: dict[str, str], name: str, width: int) -> str:
        wires = [self.wire(place, ports[f"{name}{i}"]) for i in reversed(range(width))]
        return "{" + ", ".join(wires) + "}"

    # -- pads ----------------------------------------------------------------------------------

    def _offer_input(self, role: str, level: str) -> None:
        place, bel = self.pads[role]
        wire = self.chip.ports(place, bel)["O"]
        self._offer(place, wire, lambda name: self.lines.append(f"assign {name} = {level};"))

    # -- logic tiles ---------------------------------------------------------------------------

    def _offer_slices(self, place: Place) -> None:
        bels = self.chip.bels[place]
        kinds = self.chip.db[place].bels
        for i in range(8):
            if f"LUT{i}" not in kinds:
                continue
            if "RAM16" in bels and i < 6:
                if i < 4:
                    self._offer(place, f"F{i}", self._shared(place, "ram16", self._ram16))
            elif f"ALU{i}" in bels:
                self._offer(place, f"F{i}", self._adder(place, i))
            else:
                self._offer(place, f"F{i}", self._lut(place, i))
            self._offer_multiplexer(place, i)
        for i in range(6):
            if f"DFF{i}" in bels:
                self._offer(place, f"Q{i}", self._flip_flop(place, i, bels[f"DFF{i}"]))

    def table(self, place: Place, i: int) -> int:
        """Return the truth table; a burnt fuse is a 0."""
        tile = self.chip.tiles[place]
        table = 0xFFFF
        for bit, fuses in self.chip.db[place].bels[f"LUT{i}"].flags.items():
            if all(tile[y][x] for y, x in fuses):
                table &= ~(1 << bit)
        return table

    def _lut(self, place: Place, i: int) -> Callable[[str], None]:
        def make(name: str) -> None:
            table = self.table(place, i)
            inputs = [self.wire(place, f"{letter}{i}") for letter in "DCBA"]
            self.lines.append(f"assign {name} = {_expression_of(table, inputs)};")
            self.cells["LUT4"] += 1

        return make

    def _adder(self, place: Place, i: int) -> Callable[[str], None]:
        """SUM = LUT4(A, B, C, D) ^ CIN; the chain goes on in :meth:`_carry`."""

        def make(name: str) -> None:
            inputs = [self.wire(place, f"{letter}{i}") for letter in "DCBA"]
            whole = _expression_of(self.table(place, i), inputs)
            self.lines.append(f"assign {name} = ({whole}) ^ {self._carry(place, i)};")
            self.cells["ALU"] += 1

        return make

    def _carry(self, place: Place, i: int) -> str:
        """Return the carry into adder ``i``: that out of the one before, 0 where there is none."""
        row, col = place
        before = (place, i - 1) if i else ((row, col - 1), 5)
        at, k = before
        if f"ALU{k}" not in self.chip.bels.get(at, {}):
            return _LOW
        key = f"carry R{at[0]}C{at[1]} {k}"
        if key not in self.makers:

            def make() -> None:
                # COUT = LUT4 ? CIN : LUT2(A, B), which shares the lowest four bits of the table.
                table = self.table(at, k)
                inputs = [self.wire(at, f"{letter}{k}") for letter in "DCBA"]
                pick = _expression_of(table & 0xF, inputs[2:])
                whole = _expression_of(table, inputs)
                passed = self._carry(at, k)
                self.lines.append(f"assign {self.names[key]} = ({whole}) ? {passed} : ({pick});")

            self.makers[key] = make
        return self._expression(key, _LOW)

    def _offer_multiplexer(self, place: Place, i: int) -> None:
        """Offer OF{i}; its inputs are those that gowin_unpack wires up."""
        row, col = place
        pairs = {
            **{2 * k: ((place, f"F{2 * k}"), (place, f"F{2 * k + 1}")) for k in range(4)},
            1: ((place, "OF2"), (place, "OF0")),
            5: ((place, "OF6"), (place, "OF4")),
            3: ((place, "OF5"), (place, "OF1")),
            7: (((row, col + 1), "OF3"), (place, "OF3")),
        }
        low, high = pairs[i]
        if low[0] not in self.chip.tiles:
            return

        def make(name: str) -> None:
            chosen = self.wire(place, f"SEL{i}")
            self.lines.append(f"assign {name} = {chosen} ? {self.wire(*high)} : {self.wire(*low)};")
            self.cells["MUX2"] += 1

        self._offer(place, f"OF{i}", make)

    def _flip_flop(self, place: Place, i: int, flags: set[str]) -> Callable[[str], None]:
        kind = next(iter(flags - {"SD"}), "")
        port = self.chip.unpack.dffmap.get(kind)
        if kind not in self.chip.unpack.dffmap:

            def refuse(name: str) -> None:
                raise ReadbackError(f"the flip-flop {i} of tile {place} is a latch")

            return refuse

        def make(name: str) -> None:
            clock = self.wire(place, f"CLK{i // 2}")
            enable = self.wire(place, f"CE{i // 2}")
            data = self.wire(place, f"SEL{i}" if "SD" in flags else f"F{i}")
            edge = "negedge" if kind.startswith("DFFN") else "posedge"
            state, value = f"{name}_q", _CLEARS.get(port or "", 0)
            update = f"if ({enable}) {state} <= {data};"
            sensitive = f"{edge} {clock}"
            if port is not None:
                clear = self.wire(place, f"LSR{i // 2}")
                update = f"if ({clear}) {state} <= 1'b{value}; else {update}"
                if port in ("PRESET", "CLEAR") and clear not in (_HIGH, _LOW):
                    sensitive += f" or posedge {clear}"
            self.lines += [
                f"reg {state} = 1'b{value};",
                f"assign {name} = {state};",
                f"always @({sensitive}) {update}",
            ]
            self.cells[f"{kind}E"] += 1

        return make

    def _shared(self, place: Place, cell: str, build: Callable[[Place], None]):
        """Make a cell of several outputs once, whichever output is needed first."""
        done = f"{cell} R{place[0]}C{place[1]}"

        def make(name: str) -> None:
            if done not in self.names:
                self.names[done] = done
                build(place)

        return make

    def _outputs(self, place: Place, wires: Iterable[str]) -> Iterator[str]:
        """Name every output of a cell, so that its instance can drive them."""
        for wire in wires:
            net = self.chip.net(place, wire)
            if net not in self.names:
                self.names[net] = f"n{len(self.names)}"
            yield self.names[net]

    def _ram16(self, place: Place) -> None:
        """Sixteen words of four bits: written at the clock, read at once."""
        cell = f"ram16_R{place[0]}C{place[1]}"
        address = ", ".join(self.wire(place, f"{x}4") for x in "DCBA")
        data = ", ".join(self.wire(place, f"{x}5") for x in "DCBA")
        clock, write = self.wire(place, "CLK2"), self.wire(place, "LSR2")
        self.lines += [
            f"reg [3:0] {cell} [0:15];",
            f"always @(posedge {clock}) if ({write}) {cell}[{{{address}}}] <= {{{data}}};",
        ]
        read = ", ".join(self.wire(place, f"{x}0") for x in "DCBA")
        for i, name in enumerate(self._outputs(place, [f"F{i}" for i in range(4)])):
            self.lines.append(f"assign {name} = {cell}[{{{read}}}][{i}];")
        self.cells["RAM16SDP4"] += 1

    # -- block RAM -----------------------------------------------------------------------------

    def _offer_memory(self, place: Place) -> None:
        bels = self.chip.db[place].bels
        if "BSRAM" not in bels:
            return
        ports = self.chip.ports(place, "BSRAM")
        for i in range(36):
            self._offer(place, ports[f"DO{i}"], self._shared(place, "bsram", self._memory))

    def _memory(self, place: Place) -> None:
        kind, settings = self._memory_settings(place)
        ports = self.chip.ports(place, "BSRAM")
        nine = not set(settings["widths"]) & {1, 2, 4}
        bits = 36 if nine else 32
        cell = f"bsram_R{place[0]}C{place[1]}"
        initial = _initial(self.chip.memory_contents(place), nine=nine)
        parameters = [f".INIT_RAM_{i:02X}({text})" for i, text in enumerate(initial)]
        parameters += [f".READ_MODE(1'b{settings['registered']})"]
        parameters += [f'.RESET_MODE("{settings["reset"]}")']
        if kind == "SP":
            parameters += [
                f".BIT_WIDTH({settings['widths'][0]})",
                f".WRITE_MODE(2'd{settings['write']})",
                f".BLK_SEL(3'd{settings['blocks'][0]})",
            ]
            pins = {name: self.wire(place, ports[name]) for name in ("CLK", "CE", "OCE", "WRE")}
            pins["RESET"] = self.wire(place, ports["RESET"], default=_LOW)
            pins["AD"] = self._bus(place, ports, "AD", 14)
            pins["BLKSEL"] = self._bus(place, ports, "BLKSEL", 3)
        else:
            parameters += [
                *(f".BIT_WIDTH_{i}({w})" for i, w in enumerate(settings["widths"])),
                *(f".BLK_SEL_{i}(3'd{b})" for i, b in enumerate(settings["blocks"])),
            ]
            pins = {name: self.wire(place, ports[name]) for name in ("CLKA", "CEA", "CLKB", "CEB")}
            pins["OCE"] = self.wire(place, ports["OCEB"])
            for name in ("RESETA", "RESETB"):
                pins[name] = self.wire(place, ports[name], default=_LOW)
            for side in "AB":
                pins[f"AD{side}"] = self._bus(place, ports, f"AD{side}", 14)
                pins[f"BLKSEL{side}"] = self._bus(place, ports, f"BLKSEL{side}", 3)
        pins["DI"] = self._bus(place, ports, "DI", bits)
        names = list(self._outputs(place, [ports[f"DO{i}"] for i in range(bits)]))
        pins["DO"] = "{" + ", ".join(reversed(names)) + "}"
        module = {("SP", True): "SPX9", ("SP", False): "SP"}.get(
            (kind, nine), "SDPX9B" if nine else "SDPB"
        )
        self._instance(module, cell, parameters, pins)

    def _memory_settings(self, place: Place) -> tuple[str, dict]:
        """Return the one setting that burns the fuses of a block RAM."""
        row, col = place
        places = [(row, col + i) for i in range(3)]
        found = []
        for kind in ("SP", "SDP"):
            table = f"BSRAM_{kind}"
            burnt = self.chip.burnt(places, table)
            for settings, attributes in _memory_candidates(kind):
                numbered = self.chip.memory_attributes(attributes)
                if self.chip.encoded(places, table, numbered) == burnt:
                    found.append((kind, settings))
        unique = {(kind, str(settings)): (kind, settings) for kind, settings in found}
        if len(unique) != 1:
            many = "no setting" if not unique else "several settings"
            raise ReadbackError(
                f"the fuses of the block RAM at row {row + 1}, column {col + 1} fit {many} that "
                f"signfire's flow makes"
            )
        return next(iter(unique.values()))

    # -- multipliers ---------------------------------------------------------------------------

    def _offer_multipliers(self, place: Place) -> None:
        bels = self.chip.db[place].bels
        if "MULT18X1800" not in bels:
            return
        places = [(place[0], place[1] + i) for i in range(9)]
        for mac in range(2):
            table = f"DSP{mac}"
            burnt = self.chip.burnt(places, table)
            fixed = self.chip.encoded(places, table, set())
            if burnt == fixed:
                continue
            for cell in self._multipliers_of(places, table, mac, burnt):
                wires = self.chip.ports(place, cell)
                width = 36 if cell.startswith("MULT18") else 18
                for i in range(width):
                    make = self._shared(place, cell, lambda at, c=cell: self._multiplier(at, c))
                    self._offer(place, wires[f"DOUT{i}"], make)

    def _multipliers_of(
        self, places: list[Place], table: str, mac: int, burnt: frozenset
    ) -> tuple[str, ...]:
        """Return which multipliers of half a DSP block are in use: those whose fuses are burnt."""
        fuses = {}
        for kind, count in (("MULT18X18", 2), ("MULT9X9", 4)):
            for i in range(count):
                attributes = {"CE": "0", "CLK": "0", "RESET": "0"}
                attributes |= {"NET_ASEL": "GND", "NET_BSEL": "GND"}
                numbered = self.chip.pack.set_dsp_attrs(
                    self.chip.db, kind, {}, f"{mac}{i}", attributes
                )
                fuses[f"{kind}{mac}{i}"] = self.chip.encoded(places, table, numbered)
        halves = [
            [(), (f"MULT18X18{mac}{k}",)]
            + [
                tuple(f"MULT9X9{mac}{n}" for n in chosen)
                for chosen in ((2 * k,), (2 * k + 1,), (2 * k, 2 * k + 1))
            ]
            for k in range(2)
        ]
        fitting = [
            (*low, *high)
            for low, high in itertools.product(*halves)
            if (low or high) and frozenset().union(*(fuses[c] for c in (*low, *high))) == burnt
        ]
        if len(fitting) != 1:
            row, col = places[0]
            raise ReadbackError(
                f"the fuses of the DSP block at row {row + 1}, column {col + 1} fit "
                f"{len(fitting)} of the settings that signfire's flow makes, not one"
            )
        return fitting[0]

    def _multiplier(self, place: Place, cell: str) -> None:
        ports = self.chip.ports(place, cell)
        kind = cell[:-2]
        width = 18 if kind == "MULT18X18" else 9
        pins = {name: self._bus(place, ports, name, width) for name in "AB"}
        for name in ("ASIGN", "BSIGN", "ASEL", "BSEL"):
            pins[name] = self.wire(place, ports[name], default=_LOW)
        names = list(self._outputs(place, [ports[f"DOUT{i}"] for i in range(2 * width)]))
        pins["DOUT"] = "{" + ", ".join(reversed(names)) + "}"
        self._instance(kind, f"{cell.lower()}_R{place[0]}C{place[1]}", [], pins)

    # -- the rest ------------------------------------------------------------------------------

    def _offer_pll(self) -> None:
        if self.chip.pll is None:
            return
        place, _ = self.chip.pll
        ports = self.chip.ports(place, "RPLLA")

        def build(at: Place) -> None:
            if self.wire(at, ports["CLKIN"]) != self._clock():
                raise ReadbackError("the PLL does not run from the board's oscillator")
            clock, locked = self._outputs(at, [ports["CLKOUT"], ports["LOCK"]])
            self.lines += [f"assign {clock} = pll_clock;", f"assign {locked} = 1'b1;"]
            self.cells["rPLL"] += 1

        for name in ("CLKOUT", "LOCK"):
            self._offer(place, ports[name], self._shared(place, "pll", build))

    def _clock(self) -> str:
        place, bel = self.pads["clock"]
        return self.wire(place, self.chip.ports(place, bel)["O"])

    def _instance(
        self, module: str, name: str, parameters: list[str], pins: dict[str, str]
    ) -> None:
        ports = ",\n".join(f"  .{port}({value})" for port, value in pins.items())
        settings = f" #({', '.join(parameters)})" if parameters else ""
        self.lines.append(f"{module}{settings} {name} (\n{ports}\n);")
        self.cells[module] += 1
        self.instances[module] += 1


def _long_wire(top: int, col: int, line: int, segment: dict) -> dict[str, str]:
    """Return aliases of a long wire: a column fed from its ends, and the branch of every row.

    gowin_unpack leaves these out. The column's ends are joined with its taps; in each row a fuse
    joins the tap with the branch, which serves the cells of some columns.
    """
    tap, branch = ("LT01", "LBO0") if line < 4 else ("LT04", "LBO1")
    column = f"R{top + 1}C{col + 1}_{segment['top_wire']}"
    aliases = {f"R{segment['bottom_row'] + 1}C{col + 1}_{segment['bottom_wire']}": column}
    for row in range(segment["min_y"], segment["max_y"] + 1):
        aliases[f"R{row + 1}C{col + 1}_{tap}"] = column
        for served in range(segment["min_x"], segment["max_x"] + 1):
            aliases[f"R{row + 1}C{served + 1}_LB{line}1"] = f"R{row + 1}C{col + 1}_{branch}"
    return aliases


def _expression_of(table: int, inputs: list[str]) -> str:
    """Return a truth table as nested choices, the inputs from the highest address bit on."""
    size = 1 << len(inputs)
    if table & ((1 << size) - 1) in (0, (1 << size) - 1):
        return _HIGH if table & 1 else _LOW
    half, rest = size // 2, inputs[1:]
    low = _expression_of(table & ((1 << half) - 1), rest)
    high = _expression_of(table >> half & ((1 << half) - 1), rest)
    first = inputs[0]
    if low == high or first == _LOW:
        return low
    if first == _HIGH:
        return high
    if (high, low) == (_HIGH, _LOW):
        return first
    return f"({first} ? {high} : {low})"


def _initial(words: list[int], *, nine: bool) -> list[str]:
    """Return INIT_RAM_00 to 3F: the words end to end, without parity bits for cells of 8 bits."""
    if not nine:
        words = [word & 0xFF | (word >> 9 & 0xFF) << 8 for word in words]
    width = 18 if nine else 16
    rows = []
    for i in range(0, len(words), 16):
        value = sum(word << width * k for k, word in enumerate(words[i : i + 16]))
        rows.append(f"{16 * width}'h{value:0{4 * width}x}")
    return rows


def _memory_candidates(kind: str) -> Iterator[tuple[dict, dict[str, str]]]:
    """Yield every setting of a block RAM as parameters and as the packer's attributes."""
    base = {"MODE": "ENABLE", "GSR": "DISABLE"}
    resets = {"SYNC": {}, "ASYNC": {"OUTREG_ASYNC": "RESET"}}
    blocks = list(range(8))
    if kind == "SP":
        for width, (reset, reset_bits), write, block in itertools.product(
            _WIDTHS, resets.items(), range(3), blocks
        ):
            attributes = base | reset_bits | _selected("A", block) | _selected("B", block)
            if width != 36:
                attributes |= {f"SP{side}_DATA_WIDTH": _WIDTHS[width] for side in "AB"}
            if write:
                attributes |= {f"SP{side}_MODE": ("WT", "RBW")[write - 1] for side in "AB"}
            for port in _byte_enables(width):
                settings = {"widths": (width,), "reset": reset, "write": write}
                yield settings | {"blocks": (block,), "registered": 0}, attributes | port
        return
    for a, b, (reset, reset_bits), block_a, block_b in itertools.product(
        _WIDTHS, _WIDTHS, resets.items(), blocks, blocks
    ):
        attributes = base | reset_bits | _selected("A", block_a) | _selected("B", block_b)
        for side, width in (("A", a), ("B", b)):
            key = f"DBLW{side}" if width == 36 else f"SDP{side}_DATA_WIDTH"
            attributes[key] = _WIDTHS[width]
        for port in ({}, *_byte_enables(36, "SDP")) if a == 36 else ({},):
            settings = {"widths": (a, b), "reset": reset, "blocks": (block_a, block_b)}
            yield settings | {"registered": 0}, attributes | port


def _stem(name: str) -> str:
    return name[:3]


def _selected(side: str, block: int) -> dict[str, str]:
    return {f"CS{side}_{i}": "SET" for i in range(3) if not block >> i & 1}


def _byte_enables(width: int, kind: str = "SP") -> Iterator[dict[str, str]]:
    """Yield what the byte enables may be: constant for the wide ports, or not."""
    names = [f"{kind}{side}_{byte}" for side in "AB" for byte in ("BEHB", "BELB")]
    off = dict.fromkeys(names, "DISABLE")
    yield off
    if width == 18:
        yield off | {name: "ENABLE" for name in names[:2]}
    if width == 36:
        yield dict.fromkeys(names, "ENABLE")
