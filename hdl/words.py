"""Words: how wide and how deep words of memories, factors and results are; numbers, no hardware.

The generator plans and prices with these numbers, so this module imports no amaranth.
"""


def buffer_depth(*, banks: int, rows: int, planes: int) -> int:
    """Words of a train buffer's memory: bank, plane and row each take whole address bits."""
    row_bits, plane_bits = (rows - 1).bit_length(), (planes - 1).bit_length()
    return (((banks - 1) << plane_bits | (planes - 1)) << row_bits) + rows


def packed_width(*, weight_bits: int, unroll: int, packed: int) -> int:
    """Bits of the signed factor in which ``packed`` weights lie side by side."""
    return (packed - 1) * (weight_bits + unroll) + weight_bits


def label_bits(outputs: int) -> int:
    """Bits of a class among ``outputs``, one at least."""
    return max(1, (outputs - 1).bit_length())


def result_bits(*, logit_width: int, outputs: int) -> int:
    """Bits of a word of the result stream: logit, class, and whether it is the last."""
    return logit_width + label_bits(outputs) + 1


def sum_bits(*, pixels: int, steps: int) -> int:
    """Bits of a sum over pixels of what trains of the binary schedule say, 0..2^steps - 1 each."""
    return (pixels * (2**steps - 1)).bit_length()


SUM_TURN = 3  # cycles from taking a word to taking the next of the same channels: add, store, read


def sum_pace(words: int) -> int:
    """Cycles from one word of trains to the next where sums over pixels of ``words`` are made."""
    return -(-SUM_TURN // words)
