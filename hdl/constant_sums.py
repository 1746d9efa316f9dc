"""Constant sums: inputs in groups of four, what each group adds, and how wide sums are; numbers.

The generator prices with these numbers, so this module imports no amaranth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

GROUP = 4  # inputs of a LUT
Range = tuple[int, int]  # least and greatest


@dataclass(frozen=True)
class Group:
    """Events that meet constant weights, at most :data:`GROUP` of them.

    Parameters
    ----------
    inputs
        Numbers of the inputs.
    weights
        Of each input, not 0.
    """

    inputs: tuple[int, ...]
    weights: tuple[int, ...]

    @property
    def range(self) -> Range:
        """Least and greatest Σ w e."""
        return sum(w for w in self.weights if w < 0), sum(w for w in self.weights if w > 0)

    @property
    def masks(self) -> tuple[int, ...]:
        """Bits of Σ w e, the lowest first: bit k of a mask is that of the events ``k``.

        The first input is the lowest bit of ``k``; the last mask is that of the sign.
        """
        return _masks(self.weights)


def groups_of(weights: Sequence[int]) -> list[Group]:
    """Return the groups of an output's inputs, in their order; a weight of 0 is in none."""
    met = [(j, int(w)) for j, w in enumerate(weights) if w]
    parts = [met[k : k + GROUP] for k in range(0, len(met), GROUP)]
    return [Group(tuple(j for j, _ in part), tuple(w for _, w in part)) for part in parts]


def signed_bits(low: int, high: int) -> int:
    """Bits of a signed number of the range low..high, with low <= 0 <= high."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1


@lru_cache(maxsize=2**16)
def _masks(weights: tuple[int, ...]) -> tuple[int, ...]:
    values = [0]
    for weight in weights:
        values += [value + weight for value in values]
    bits = signed_bits(min(values), max(values))
    return tuple(
        sum((value >> bit & 1) << k for k, value in enumerate(values)) for bit in range(bits)
    )


def inputs_of(mask: int, count: int) -> list[int]:
    """Return on which of ``count`` inputs a function of them depends."""
    found = []
    for j in range(count):
        others = [k for k in range(1 << count) if not k >> j & 1]
        if any((mask >> k ^ mask >> (k | 1 << j)) & 1 for k in others):
            found.append(j)
    return found


def joined(ranges: Sequence[Range]) -> list[list[Range]]:
    """Return the levels of a tree of pairs over numbers of such ranges, the leaves first.

    A number left over passes to the next level. The last level is one number; without numbers
    there are no levels.
    """
    levels = [list(ranges)] if ranges else []
    while levels and len(levels[-1]) > 1:
        below = levels[-1]
        pairs = [below[i : i + 2] for i in range(0, len(below), 2)]
        levels.append([(sum(r[0] for r in pair), sum(r[1] for r in pair)) for pair in pairs])
    return levels


def logic_depth(weights: Sequence[Sequence[int]]) -> int:
    """Levels of the deepest output's tree over its groups."""
    most = max(-(-sum(1 for w in row if w) // GROUP) for row in weights)
    return (max(1, most) - 1).bit_length()


def logic_latency(*, depth: int, unroll: int) -> int:
    """Cycles from events to sums: the groups, the trees, and the join of the steps."""
    return 1 + depth + (unroll - 1).bit_length()


def scaled_range(low_high: Range, times: int) -> Range:
    """Return the range of ``times`` as much."""
    return low_high[0] * times, low_high[1] * times
