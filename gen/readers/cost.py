"""Cost that kinds of reader share: a buffer of rows, the walk of windows, gathering of trains."""

from ...hdl.words import buffer_depth
from ..cost import Resources, address_bits, counter_luts, multiplexer_luts, ram_cost, scaled
from ..technology import Technology
from .reader import Reader


def buffer_cost(reader: Reader, technology: Technology) -> Resources:
    """Row of trains under collection (a choice a bit), the memory, counters."""
    steps = reader.steps
    row, width = reader.word * steps, reader.word * reader.unroll
    depth = buffer_depth(banks=reader.lines, rows=reader.line_words, planes=reader.planes)
    memory = ram_cost(technology, depth, width, technology.ram_style(depth, width))
    counters = counter_luts(reader.line_words) + counter_luts(reader.planes)
    shifting = row if reader.planes > 1 else 0  # a bit moves on, or the row is entered
    gather = gather_cost(technology, reader.word, reader.source_lanes, steps)
    own = Resources(
        lut=shifting + counters + 10,
        ff=row + address_bits(reader.line_words) + address_bits(reader.planes) + 5,
        lone_ff=row - shifting,
    )
    return gather + memory + own


def queued_row_bits(reader: Reader) -> int:
    """Bits of the row of weights that is kept beside a word of a queue."""
    return address_bits(reader.words // reader.repeats)


def queue_cost(reader: Reader, technology: Technology) -> Resources:
    """Row of trains under collection, the memories of words and rows, the ends of all lists.

    There are as many memories as rows come in a word of the stream. A list of every step of every
    bank has a register of its end, and whether it holds an event at all; both are chosen from once
    to write and once to walk ahead of what is read.
    """
    steps, row_bits = reader.source_code.steps, queued_row_bits(reader)
    rows, _, _ = reader.written
    parts = reader.line_words // rows
    row, width = reader.word * parts * steps, reader.word * reader.folding.unroll
    depth = queue_depth(reader)
    style = technology.ram_style(depth, width + row_bits)
    memory = scaled(ram_cost(technology, depth, width + row_bits, style), parts)
    place, lists = address_bits(rows), reader.lines * reader.planes
    each = (
        (place + 2) * multiplexer_luts(lists)
        + lists  # which list is written to
        + place  # one on, or the first
        + -(-width // 3)  # whether a word holds an event
        + (width + row_bits) * 2 / 3 * (parts > 1)  # which memory is read
        + 4 * (parts > 1)  # which is next
    )
    ahead = place * multiplexer_luts(lists * parts) + -(-2 * place // 3)
    counters = counter_luts(rows) + counter_luts(reader.planes) + row_bits + place
    counters += counter_luts(reader.planes) + counter_luts(reader.tiles)
    shifting = row if reader.planes > 1 else 0
    gather = gather_cost(technology, reader.word, reader.source_lanes, steps)
    own = Resources(
        lut=shifting + counters + round(parts * each + ahead) + 12,
        ff=row
        + parts * lists * (place + 1)
        + width
        + 2 * place
        + row_bits
        + place
        + 3 * address_bits(reader.planes)
        + address_bits(reader.tiles)
        + 4 * address_bits(parts)
        + 3 * address_bits(reader.lines)
        + 12,
        lone_ff=row - shifting + width,
    )
    return gather + memory + own


def register_cost(reader: Reader) -> Resources:
    """Price trains that move on step by step in the register in which they arrive."""
    row, parts = reader.word * reader.source_code.steps, reader.word // reader.source_lanes
    return Resources(
        lut=(row if reader.planes > 1 else 0) + counter_luts(parts) + 4,
        ff=row + address_bits(parts) + 1,
        lone_ff=0 if reader.planes > 1 else row,
    )


def queue_depth(reader: Reader) -> int:
    """Words of a memory of a queue."""
    rows, _, _ = reader.written
    return buffer_depth(banks=reader.lines, rows=rows, planes=reader.planes)


def walk_cost(reader: Reader) -> Resources:
    """Counters of windows, place and start in a line and in the planes, events of the padding.

    Where channels are picked, a choice among as many as there are tiles.
    """
    walk = reader.walk
    assert walk is not None
    own, tiles = walk["own"], walk["tiles"]
    inner = [n for n in (own, tiles) if n > 1]
    windows = sum(counter_luts(n) for n in walk["positions"])
    run = walk["size"][1] * (own if walk["apart"] else walk["depth"])
    column = address_bits(reader.line_words) + 1
    line, circle = address_bits(walk["height"]) + 1, address_bits(reader.lines)
    starts = 2 if walk["apart"] else 1
    picks = 0.0
    if reader.picked:
        fold = reader.folding
        picks = fold.pe * reader.unroll * multiplexer_luts(reader.tiles)
    return Resources(
        lut=windows
        + counter_luts(run)
        + (2 + starts) * column  # one on, the start of the next window, which of them
        + 3 * line
        + 8 * circle
        + round(picks)
        + sum(counter_luts(n) for n in inner)
        + (column if own > 1 else 0),  # one on, or to the group's words of the next pixel
        ff=sum(address_bits(n) for n in walk["positions"])
        + sum(address_bits(n) for n in inner)
        + address_bits(run)
        + (1 + starts) * column
        + 2 * line
        + 3 * circle
        + 1
        + address_bits(reader.planes),
    )


def gather_cost(technology: Technology, simd: int, lanes: int, steps: int) -> Resources:
    """Price leading words of ``lanes`` trains to their place in a row of ``simd``.

    Where a row has several places, every bit of it has to know whether it is meant; a ``simd`` of
    0 says that there is no row.
    """
    parts = simd // lanes
    if parts <= 1:
        return Resources()
    decode = simd * steps * 3 // 4
    return Resources(lut=parts + counter_luts(parts) + decode, ff=address_bits(parts))
