"""Cost: amounts of a device's resources, and what the primitives of a circuit take of them.

A gate is a LUT a bit, an adder a LUT a bit of its carry chain, a choice of two a LUT a bit. What a
family does in another way are fields of its :class:`.technology.Technology`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .technology import Technology, find_technology


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Amounts of a device's resources.

    Parameters
    ----------
    lut
        Four-input LUTs; a LUT that serves as RAM or as part of a carry chain counts too.
    ff
        Flip-flops.
    lone_ff
        Logic cells beyond those of the LUTs, where a cell holds one LUT and one flip-flop that
        cannot be reached past it (iCE40, Gowin): a flip-flop that no LUT feeds takes one. On Gowin
        those behind adders, and the heads of carry chains, are among them, see
        :func:`apart_from_adder`.
    block_ram, multipliers
        Blocks.
    """

    lut: int = 0
    ff: int = 0
    lone_ff: int = 0
    block_ram: int = 0
    multipliers: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(
            lut=self.lut + other.lut,
            ff=self.ff + other.ff,
            lone_ff=self.lone_ff + other.lone_ff,
            block_ram=self.block_ram + other.block_ram,
            multipliers=self.multipliers + other.multipliers,
        )


def total(parts: Iterable[Resources]) -> Resources:
    """Add up all parts."""
    return sum(parts, Resources())


def scaled(resources: Resources, times: int) -> Resources:
    """Return ``times`` copies."""
    return Resources(
        lut=resources.lut * times,
        ff=resources.ff * times,
        lone_ff=resources.lone_ff * times,
        block_ram=resources.block_ram * times,
        multipliers=resources.multipliers * times,
    )


# -- what a device offers ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a design may use of a device.

    Parameters
    ----------
    lut, ff, block_ram, multipliers
        What the core may use; see :func:`budget_for`.
    shared_cells
        A LUT and a flip-flop share a logic cell, of which there are ``lut``.
    linked
        Samples come over the host link, see :meth:`.encoders.plan.InputPlan.cost`.
    """

    lut: int
    ff: int
    block_ram: int
    multipliers: int
    shared_cells: bool = False
    linked: bool = False

    def used(self, resources: Resources) -> dict[str, tuple[int, int]]:
        """Return (needed, available) of every resource."""
        cells = resources.lut + (resources.lone_ff if self.shared_cells else 0)
        needed = (cells, resources.ff, resources.block_ram, resources.multipliers)
        return {
            name: (n, available)
            for n, (name, available) in zip(needed, self.available, strict=True)
        }

    @property
    def available(self) -> tuple[tuple[str, int], ...]:
        """(name, amount) of every resource."""
        return (
            ("LUTs", self.lut),
            ("flip-flops", self.ff),
            ("block RAMs", self.block_ram),
            ("multipliers", self.multipliers),
        )

    def fits(self, resources: Resources) -> bool:
        return all(needed <= available for needed, available in self.used(resources).values())


# Placement and routing slow down, and then fail, well before every LUT is used; later on a small
# device, whose wires are short. Flip-flops bring no wires of their own, so nearly all may be. Block
# RAMs have fixed places: a ROM that spreads over all of a large device has long wires; on a small
# one, of an ECP5-25F's size at most, they are short, and each block counts.
LUT_FRACTION = 0.7
FEW_LUTS = 25_000
FEW_LUTS_FRACTION = 0.8
FLIP_FLOP_FRACTION = 0.9
BLOCK_RAM_FRACTION = 0.9
FEW_BLOCK_RAMS = 64


def budget_for(
    *,
    luts: int,
    flip_flops: int,
    block_rams: int,
    multipliers: int,
    shared_cells: bool,
    lut_fraction: float | None = None,
    flip_flop_fraction: float = FLIP_FLOP_FRACTION,
    block_ram_fraction: float | None = None,
    link: Resources,
) -> Budget:
    """Return what the core may use of a device, given the device's plain numbers.

    Parameters
    ----------
    luts, flip_flops, block_rams, multipliers
        Of the device.
    shared_cells
        See :class:`Budget`.
    lut_fraction, flip_flop_fraction, block_ram_fraction
        How much of each may be used. For block RAMs, ``None`` is all of them on a device with no
        more than :data:`FEW_BLOCK_RAMS`, and :data:`BLOCK_RAM_FRACTION` on a larger one; for LUTs
        :data:`FEW_LUTS_FRACTION` of no more than :data:`FEW_LUTS`, else :data:`LUT_FRACTION`.
    link
        What the lines to the host need, see :func:`link_cost`.
    """
    cells = link.lut + (link.lone_ff if shared_cells else 0)
    if lut_fraction is None:
        lut_fraction = FEW_LUTS_FRACTION if luts <= FEW_LUTS else LUT_FRACTION
    if block_ram_fraction is None:
        block_ram_fraction = 1.0 if block_rams <= FEW_BLOCK_RAMS else BLOCK_RAM_FRACTION
    return Budget(
        lut=max(0, int(luts * lut_fraction) - cells),
        ff=max(0, int(flip_flops * flip_flop_fraction) - link.ff),
        block_ram=max(0, int(block_rams * block_ram_fraction) - link.block_ram),
        multipliers=multipliers - link.multipliers,
        shared_cells=shared_cells,
        linked=link != Resources(),
    )


def link_cost(technology: Technology | str, link: str) -> Resources:
    """Return what the lines to the host need beside the core: ``uart``, ``spi`` or ``both``."""
    return Resources(**find_technology(technology).link_cells[link])


# -- arithmetic --------------------------------------------------------------------------------


SHORT_CHAIN = 4  # bits


def carry_luts(technology: Technology, width: int) -> int:
    """LUTs of an adder: one a bit.

    Where the family's carry chains come in pairs of bits, a chain has one bit more, which makes its
    carry; Yosys makes an adder of up to four bits of plain LUTs there.
    """
    short = technology.carry_pairs and width <= SHORT_CHAIN
    return width + width % 2 if short else chain_luts(technology, width)


def chain_luts(technology: Technology, width: int) -> int:
    """LUTs of a carry chain, however short."""
    return 2 * (width // 2 + 1) if technology.carry_pairs else width


def apart_from_adder(technology: Technology, width: int) -> int:
    """Logic cells of an adder's register that the adder does not share.

    Where registers lie apart from adders (Gowin), a carry chain starts with a cell of its own and
    is filled up to an even number of cells.
    """
    if not technology.registers_apart:
        return 0
    head = 1
    filler = (head + width) % 2
    return width + head + filler


def multiplexer_luts(ways: int) -> float:
    """LUT4s a bit of choosing one of ``ways``: two choose one of four."""
    return max(0, ways - 1) * 2 / 3


def address_bits(words: int) -> int:
    """Bits of an address or a counter."""
    return (words - 1).bit_length()


def counter_luts(count: int) -> int:
    """LUTs of a counter to ``count``: the increment and the wrap."""
    bits = address_bits(count)
    return bits + -(-bits // 3) if bits else 0


def dsp_blocks(technology: Technology, a: int, b: int) -> int:
    """Multiplier blocks for a signed a x b product; wider factors are cut into pieces."""
    limit = technology.multiplier_bits

    def pieces(width: int) -> int:
        return 1 if width <= limit else -(-(width - 1) // (limit - 1))

    return pieces(a) * pieces(b)


def product_cost(technology: Technology, x_width: int, factor_bits: int) -> Resources:
    """Price a signed by unsigned product, see :class:`signfire.hdl.product.Product`."""
    width = x_width + factor_bits
    if technology.multiplier == "dsp":
        blocks = dsp_blocks(technology, x_width, factor_bits + 1)
        joins = blocks - 1  # adders that put the pieces together
        inside = technology.register_in_multiplier and blocks == 1
        return Resources(
            lut=joins * carry_luts(technology, width),
            ff=0 if inside else width,
            lone_ff=0 if inside else width,
            multipliers=blocks,
        )
    # Partial products, then a tree: a sum grows by the distance of its two halves, and the low bits
    # of the lower half pass by.
    lut = ff = factor_bits * x_width
    lone, count, span, distance = 0, factor_bits, x_width, 1
    while count > 1:
        pairs, odd = divmod(count, 2)
        lut += pairs * carry_luts(technology, span + 1)
        ff += pairs * (span + distance + 1) + odd * span
        lone += pairs * (distance + apart_from_adder(technology, span + 1)) + odd * span
        count, span, distance = pairs + odd, span + distance + 1, 2 * distance
    return Resources(lut=lut, ff=ff, lone_ff=lone)


def gated_tree_cost(technology: Technology, count: int, width: int, first: int) -> Resources:
    """Price gates of ``count`` weights, and a tree; the first weight has ``first`` bits.

    Gates in registers of their own, a LUT a bit, or within the first level of adders.
    """
    wider, levels = first - width, address_bits(count)
    if not technology.gated_adders or count == 1:
        gates = count * width + wider * (1 + levels)
        return Resources(lut=gates, ff=gates) + tree_cost(technology, count, width)
    pairs, odd = divmod(count, 2)
    one = chain_luts(technology, width + 1)
    widest = chain_luts(technology, first + 1)
    gated = Resources(
        lut=(pairs - 1) * one + widest + odd * width + wider * (levels - 1),
        ff=pairs * (width + 1) + odd * width + wider * levels,
    )
    return gated + tree_cost(technology, pairs + odd, width + 1)


def tree_cost(technology: Technology, count: int, width: int) -> Resources:
    """Price a tree of registered adders; one left over waits in a register, without a LUT."""
    lut = ff = lone = 0
    while count > 1:
        pairs, odd = divmod(count, 2)
        width += 1
        lut += pairs * carry_luts(technology, width)
        ff += (pairs + odd) * width
        lone += odd * (width - 1) + pairs * apart_from_adder(technology, width)
        count = pairs + odd
    return Resources(lut=lut, ff=ff, lone_ff=lone)


# -- memories ----------------------------------------------------------------------------------


def rom_cost(
    technology: Technology, depth: int, width: int, registered: bool, style: str | None = None
) -> Resources:
    """Price a ROM of a style, ``block`` or ``logic``; by default what the exchange rate says."""
    behind = width if registered else 0
    if (style or technology.rom_style(depth, width)) == "block":
        blocks, segments = technology.block_layout(depth, width)
        chosen = address_bits(segments)
        return Resources(
            lut=round(width * multiplexer_luts(segments)),
            ff=behind + chosen,
            lone_ff=chosen + (behind if segments == 1 else 0),
            block_ram=blocks,
        )
    return Resources(lut=technology.rom_luts(depth, width), ff=width + behind, lone_ff=behind)


def ram_cost(technology: Technology, depth: int, width: int, style: str) -> Resources:
    """Price a RAM with a synchronous read."""
    if style == "block":
        blocks, segments = technology.ram_layout(depth, width)
        return Resources(
            lut=round((width + 1) * multiplexer_luts(segments)),
            ff=address_bits(segments),
            lone_ff=address_bits(segments),
            block_ram=blocks,
        )
    return small_ram_cost(technology, depth, width) + Resources(ff=width)


def parts_cost(technology: Technology, depth: int, parts: int, width: int) -> Resources:
    """Price a RAM of words of ``parts`` that are written apart."""
    if technology.parts_style(depth, parts, width) == "block":
        blocks, segments = technology.parts_layout(depth, parts, width)
        return Resources(
            lut=round((parts * width + parts) * multiplexer_luts(segments)),
            ff=address_bits(segments),
            lone_ff=address_bits(segments),
            block_ram=blocks,
        )
    one = small_ram_cost(technology, depth, width) + Resources(ff=width)
    return scaled(one, parts)


def small_ram_cost(technology: Technology, depth: int, width: int) -> Resources:
    """Price a RAM read at once: LUT RAM of 16 x 4 bits, or flip-flops and multiplexers."""
    if technology.lut_ram:
        banks = -(-depth // 16)
        read = round(width * multiplexer_luts(banks))
        return Resources(lut=technology.ram_luts(depth, width) + read)
    read = round(width * multiplexer_luts(depth))
    return Resources(lut=read + depth, ff=depth * width, lone_ff=depth * width)


def fifo_cost(technology: Technology, depth: int, width: int) -> Resources:
    """Price a FIFO of words under way: a small RAM, its counters, the credit."""
    bits = address_bits(depth + 1)
    return small_ram_cost(technology, depth, width) + Resources(lut=8 * bits, ff=4 * bits)
