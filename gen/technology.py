"""Technology: what the generator must know of a family of devices."""

from dataclasses import dataclass, replace


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
    multiplier_bits
        Widest signed factors of a DSP block.
    least_factor, least_product
        Bits of a factor and of a product below which Yosys takes LUTs all the same.
    """

    name: str
    multiplier: str
    rom_registered: bool
    block_shapes: tuple[tuple[int, int], ...]
    block_cost: int
    luts_per_block: int
    lut_ram: bool
    multiplier_bits: int = 18
    least_factor: int = 2
    least_product: int = 0

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
        if self.lut_ram:
            return min(BYTE_BITS, cell_width)
        return 1 if cell_width == self.block_shapes[0][1] else cell_width

    def _cost(self, layout: tuple[int, int], width: int) -> tuple[float, int]:
        blocks, segments = layout
        return blocks * self.block_cost + width * (segments - 1) / 2, segments

    def parts_layout(self, depth: int, parts: int, width: int) -> tuple[int, int]:
        """Return the same of words of ``parts`` that are written apart, ``width`` bits each.

        iCE40 has a write enable for every bit of its widest words, the others for every byte; where
        that takes fewer blocks, each part is a memory of its own.
        """
        if not self.lut_ram:
            shapes, row = self.block_shapes[:1], parts * width
        else:
            shapes = tuple(shape for shape in self.block_shapes if shape[1] >= BYTE_BITS)
            row = parts * -(-width // BYTE_BITS) * BYTE_BITS
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
        """LUT4s for a ROM in logic: 16 words a LUT, and 0.7 more to choose each further one."""
        if depth <= 16:
            return width
        return round(width * (1.7 * depth / 16 - 0.7))

    def ram_luts(self, depth: int, width: int) -> int:
        """LUT4s, or flip-flops with their LUTs, for a RAM outside block RAM."""
        if self.lut_ram:
            return -(-depth // 16) * -(-width // 4) * 6
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


BYTE_BITS = 9  # of the word of a block RAM, the least that has a write enable of its own


# Geometries: Lattice TN1250 (iCE40), TN-02204 (ECP5), Gowin UG285; costs: brams*.txt of Yosys.
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
            multiplier_bits=16,
            least_product=11,
        ),
        Technology(
            name="ice40-hx",
            multiplier="lut",
            rom_registered=False,
            block_shapes=((256, 16), (512, 8), (1024, 4), (2048, 2)),
            block_cost=64,
            luts_per_block=240,
            lut_ram=False,
        ),
        Technology(
            name="ecp5",
            multiplier="dsp",
            rom_registered=True,
            block_shapes=((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
            block_cost=128,
            luts_per_block=150,
            lut_ram=True,
        ),
        Technology(
            name="gowin",
            multiplier="dsp",
            rom_registered=True,
            block_shapes=((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
            block_cost=128,
            luts_per_block=250,
            lut_ram=True,
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
