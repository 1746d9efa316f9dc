"""Cost of samples that are scattered."""

from typing import TYPE_CHECKING

from ...cost import (
    Resources,
    address_bits,
    apart_from_adder,
    carry_luts,
    counter_luts,
    multiplexer_luts,
    parts_cost,
)
from ...technology import Technology
from ..cost import walk_cost

if TYPE_CHECKING:
    from .plan import ScatteredReader


def scatter_cost(reader: "ScatteredReader", technology: Technology) -> Resources:
    """Price a word of trains that leave one by one, loops to their places, memory, plane."""
    steps, word, depth = reader.source_code.steps, reader.word, reader.depth
    memory = parts_cost(technology, depth, word, steps)
    place = address_bits(depth) + address_bits(word)
    index = address_bits(reader.source.size * reader.lines)
    lanes, part = reader.source_lanes, address_bits(reader.source_lanes)
    loops = Resources(
        lut=carry_luts(technology, address_bits(depth))
        + 2 * place  # which constant, and the narrow sum
        + 2 * index
        + word,  # which slot
        ff=place + index,
        lone_ff=apart_from_adder(technology, address_bits(depth)),
    )
    entry = Resources(
        lut=(lanes - 1) * steps + counter_luts(lanes) + 10,
        ff=lanes * steps + part + address_bits(reader.lines + 1) + 1,
        lone_ff=steps,
    )
    planes = round(word * reader.folding.unroll * multiplexer_luts(reader.planes))
    chosen = Resources(lut=planes, ff=address_bits(reader.planes))
    if reader.walk is None:
        walk = Resources(lut=counter_luts(reader.lines), ff=address_bits(reader.lines))
    else:
        walk = walk_cost(reader)
    return memory + loops + entry + chosen + walk
