"""Folding: how much of a layer is computed in parallel, and how weights meet inputs."""

from dataclasses import dataclass

EVENTS, MULTIPLY, MULTIPLY_LUT, LOGIC = SYNAPSES = ("events", "multiply", "multiply-lut", "logic")
AUTO, BLOCK, LUT = ROMS = ("auto", "block", "lut")


@dataclass(frozen=True, kw_only=True)
class Folding:
    """How much of a layer is computed in parallel.

    For the input, ``pe`` is the number of raw values a word; it divides the inputs that the layers
    behind it read in parallel.

    Parameters
    ----------
    pe
        Outputs in parallel; divides the number of outputs.
    simd
        Inputs in parallel; divides the fan-in, of a convolution the input channels. 1 where each
        output channel reads one channel (depthwise, pooling).
    unroll
        Time steps in parallel; divides the T of the source; above 1 only for binary schedules
        with settled firing. A layer that multiplies takes all T, and 1 stands for them there.
    synapse
        How weights meet inputs: ``events`` adds a weight where an event arrived, step by step;
        ``multiply`` multiplies it with what the whole train says, in DSP blocks where the device
        family has them, and ``multiply-lut`` in LUTs; ``logic`` makes functions of events of the
        weights themselves, all of the layer's at once, so ``pe`` and ``simd`` are all, for which 1
        stands there. The sums are the same.
    skips
        Words of a step (of ``simd`` inputs in ``unroll`` steps) that hold no event cost no cycles,
        so that cycles depend on the sample.
    rom
        Where the weights lie: in ``block`` RAM, in LUTs (``lut``), or where the family's exchange
        rate of the two says (``auto``).
    """

    pe: int = 1
    simd: int = 1
    unroll: int = 1
    synapse: str = EVENTS
    skips: bool = False
    rom: str = AUTO

    @property
    def record(self) -> dict[str, int | str | bool]:
        """What is written of it: ``skips`` where it does, ``rom`` where that is chosen."""
        usual = {"skips": False, "rom": AUTO}
        return {k: v for k, v in vars(self).items() if k not in usual or v != usual[k]}

    @property
    def multiplies(self) -> bool:
        """Whether products of whole trains take the place of events."""
        return self.synapse in (MULTIPLY, MULTIPLY_LUT)

    @property
    def is_logic(self) -> bool:
        """Whether weights are functions, and lie in no memory."""
        return self.synapse == LOGIC


def divisors(n: int) -> list[int]:
    """All divisors of n, ascending."""
    return [d for d in range(1, n + 1) if n % d == 0]
