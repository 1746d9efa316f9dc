"""Technology: what the generator must know of a family of devices."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class Technology:
    """What the hardware generator must know of a device family.

    Parameters
    ----------
    name
        ``ice40-up``, ``ice40-hx``, ``ecp5`` or ``gowin``.
    multiplier
        ``dsp`` where DSP blocks are to be used, else ``lut``.
    rom_registered
        Put a register behind ROMs of weights.
    block_shapes
        (depth, width) geometries of one block RAM.
    block_cost
        What Yosys takes a block RAM to cost, see :meth:`block_layout`.
    luts_per_block
        A memory goes to block RAM where it would take more LUTs than this times its blocks.
    lut_ram
        LUTs can be a RAM of 16 words of 4 bits (else such a RAM takes flip-flops).
    enable_bits
        Bits of a block RAM's word that share a write enable, all of a narrower word; 1 where only
        the widest words have an enable, one for every bit, and narrower words share theirs.
    multiplier_bits
        Widest signed factors of a DSP block.
    least_factor, least_product
        Bits of a factor and of a product below which Yosys takes LUTs all the same.
    register_in_multiplier
        A DSP block holds the register behind its product.
    carry_pairs
        Carry chains take LUTs in pairs, and begin with a bit that makes their carry.
    gated_adders
        An adder's carry cell has room for a gate of each addend.
    registers_apart
        A register lies in another logic cell than the adder that feeds it, and a carry chain starts
        with a cell of its own and is filled up to an even number of cells.
    shared_cells
        A flip-flop that no LUT feeds takes the logic cell of a LUT.
    link_cells
        What stands beside the core by the lines to the host, ``uart``, ``spi`` or ``both``, as
        amounts of :class:`.cost.Resources` by name: lines, frames and commands, the clock's and
        the lights' logic; as synthesised behind a core of ten logits.
    """

    name: str
    multiplier: str
    rom_registered: bool
    block_shapes: tuple[tuple[int, int], ...]
    block_cost: int
    luts_per_block: int
    lut_ram: bool
    enable_bits: int
    shared_cells: bool
    link_cells: Mapping[str, Mapping[str, int]] = field(hash=False)
    multiplier_bits: int = 18
    least_factor: int = 2
    least_product: int = 0
    register_in_multiplier: bool = False
    carry_pairs: bool = False
    gated_adders: bool = False
    registers_apart: bool = False

    def takes_product(self, a: int, b: int) -> bool:
        """Whether a signed a x b product becomes one DSP block."""
        return (
            self.multiplier == "dsp"
            and max(a, b) <= self.multiplier_bits
            and min(a, b) >= self.least_factor
            and a + b >= self.least_product
        )

    def blocks(self, depth: int, width: int) -> int:
        """Block RAMs for ``depth`` words of ``width`` bits, as Yosys lays them out."""
        return self.block_layout(depth, width)[0]

    def block_layout(self, depth: int, width: int) -> tuple[int, int]:
        """Block RAMs, and segments of the depth among which a multiplexer then chooses."""
        return self._layout(self.block_shape(depth, width), depth, width, written=False)

    def block_shape(self, depth: int, width: int) -> tuple[int, int]:
        """Depth and width of the blocks that a memory is cut into.

        Yosys cuts the depth into segments of a block's depth, lays the bits of all segments side
        by side, and cuts that row into blocks, so a block may hold bits of several segments. It
        takes the geometry of least cost, where half a unit is a bit of the multiplexer. ROMs that
        a board makes of explicit cells are cut alike.
        """
        layouts = {s: self._layout(s, depth, width, written=False) for s in self.block_shapes}
        return min(layouts, key=lambda shape: self._cost(layouts[shape], width))

    def ram_layout(self, depth: int, width: int) -> tuple[int, int]:
        """Return the same as :meth:`block_layout` for a RAM.

        Its segments are written apart, so each takes whole parts that have a write enable.
        """
        layouts = [self._layout(s, depth, width, written=True) for s in self.block_shapes]
        return min(layouts, key=lambda layout: self._cost(layout, width))

    def _layout(
        self, shape: tuple[int, int], depth: int, width: int, *, written: bool
    ) -> tuple[int, int]:
        """Blocks and segments with blocks of a shape."""
        cell_depth, cell_width = shape
        segments = -(-depth // cell_depth)
        if written and segments > 1:
            width = -(-width // self._enabled(cell_width)) * self._enabled(cell_width)
        return -(-segments * width // cell_width), segments

    def _enabled(self, cell_width: int) -> int:
        """Bits of a block's word that share a write enable."""
        if self.enable_bits > 1:
            return min(self.enable_bits, cell_width)
        return 1 if cell_width == self.block_shapes[0][1] else cell_width

    def _cost(self, layout: tuple[int, int], width: int) -> tuple[float, int]:
        blocks, segments = layout
        return blocks * self.block_cost + width * (segments - 1) / 2, segments

    def parts_layout(self, depth: int, parts: int, width: int) -> tuple[int, int]:
        """Return the same of words of ``parts`` that are written apart, ``width`` bits each.

        Each part takes whole shares of a word that have a write enable; where that takes fewer
        blocks, each part is a memory of its own.
        """
        enable = self.enable_bits
        if enable == 1:
            shapes, row = self.block_shapes[:1], parts * width
        else:
            shapes = tuple(shape for shape in self.block_shapes if shape[1] >= enable)
            row = parts * -(-width // enable) * enable
        together = replace(self, block_shapes=shapes).block_layout(depth, row)
        blocks, segments = self.ram_layout(depth, width)
        return min(together, (parts * blocks, segments))

    def parts_luts(self, depth: int, parts: int, width: int) -> int:
        """LUT4s of such a RAM outside block RAM."""
        return parts * self.ram_luts(depth, width)

    def parts_style(self, depth: int, parts: int, width: int) -> str:
        """Return the same as :meth:`ram_style` for words of parts that are written apart."""
        blocks, _ = self.parts_layout(depth, parts, width)
        if self.parts_luts(depth, parts, width) > self.luts_per_block * blocks:
            return "block"
        return "distributed" if self.lut_ram else "logic"

    def rom_luts(self, depth: int, width: int) -> int:
        """LUT4s for a ROM in logic: 16 words a LUT, and one more to choose each further LUT."""
        return width * (2 * -(-depth // 16) - 1)

    def ram_luts(self, depth: int, width: int) -> int:
        """LUT4s, or flip-flops with their LUTs, for a RAM outside block RAM."""
        if self.lut_ram:
            return -(-depth // 16) * -(-width // 4) * LUT_RAM_LUTS
        return depth * width * 3 // 2

    def rom_style(self, depth: int, width: int) -> str:
        """``block`` or ``logic``, by the exchange rate."""
        many = self.rom_luts(depth, width) > self.luts_per_block * self.blocks(depth, width)
        return "block" if many and depth > 16 else "logic"

    def ram_style(self, depth: int, width: int) -> str:
        """``block``, or what serves as small RAM in this family."""
        if self.ram_luts(depth, width) > self.luts_per_block * self.blocks(depth, width):
            return "block"
        return "distributed" if self.lut_ram else "logic"


LUT_RAM_LUTS = 6  # four hold the bits, and the write port takes the cells of two
_ICE40_LINK = {
    "uart": {"lut": 920, "ff": 575, "lone_ff": 165},
    "spi": {"lut": 895, "ff": 535, "lone_ff": 150},
    "both": {"lut": 1035, "ff": 690, "lone_ff": 235},
}

# Geometries: Lattice TN1250 (iCE40), TN-02204 (ECP5), Gowin UG285; costs: brams*.txt of Yosys.
# A flip-flop that no LUT feeds blocks the LUT of its site on iCE40, where the two form one cell,
# and on Gowin, whose flip-flops take D from the LUT or adder beside them (slice_valid of
# nextpnr-himbaechel) though reports count them apart. ECP5 has an input past the LUT. On Gowin
# nextpnr makes pairs of LUTs and flip-flops alone, so a register lies apart from its adder
# (gowin/pack_luts.cc).
TECHNOLOGIES = {
    t.name: t
    for t in (
        Technology(
            name="ice40-up",
            multiplier="dsp",
            rom_registered=False,
            block_shapes=((256, 16), (512, 8), (1024, 4), (2048, 2)),
            block_cost=64,
            luts_per_block=176,
            lut_ram=False,
            enable_bits=1,
            shared_cells=True,
            link_cells=_ICE40_LINK,
            multiplier_bits=16,
            least_product=11,
            register_in_multiplier=True,
        ),
        Technology(
            name="ice40-hx",
            multiplier="lut",
            rom_registered=False,
            block_shapes=((256, 16), (512, 8), (1024, 4), (2048, 2)),
            block_cost=64,
            luts_per_block=240,
            lut_ram=False,
            enable_bits=1,
            shared_cells=True,
            link_cells=_ICE40_LINK,
        ),
        Technology(
            name="ecp5",
            multiplier="dsp",
            rom_registered=True,
            block_shapes=((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
            block_cost=128,
            luts_per_block=150,
            lut_ram=True,
            enable_bits=9,
            shared_cells=False,
            link_cells={
                "uart": {"lut": 1075, "ff": 575},
                "spi": {"lut": 1050, "ff": 535},
                "both": {"lut": 1210, "ff": 690},
            },
            carry_pairs=True,
            gated_adders=True,
        ),
        Technology(
            name="gowin",
            multiplier="dsp",
            rom_registered=True,
            block_shapes=((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
            block_cost=128,
            luts_per_block=250,
            lut_ram=True,
            enable_bits=9,
            shared_cells=True,
            link_cells={
                "uart": {"lut": 1200, "ff": 575, "lone_ff": 355},
                "spi": {"lut": 1175, "ff": 535, "lone_ff": 340},
                "both": {"lut": 1290, "ff": 690, "lone_ff": 425},
            },
            registers_apart=True,
            least_factor=4,
        ),
    )
}


def find_technology(name: Technology | str) -> Technology:
    """Return the technology called ``name``."""
    if isinstance(name, Technology):
        return name
    if name not in TECHNOLOGIES:
        raise ValueError(f"technology must be one of {', '.join(TECHNOLOGIES)}, not {name!r}")
    return TECHNOLOGIES[name]
