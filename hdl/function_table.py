"""Function table: targets of a neuron function by its requantised input; and a plain clamp."""

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .fire import signed_width
from .storage import Rom, rom_latency


def table_latency(*, registered: bool) -> int:
    """Cycles of :class:`FunctionTable`: the clamped address, and the memory."""
    return 1 + rom_latency(registered=registered)


class FunctionTable(wiring.Component):
    """target(c + LATENCY) = entries[min(max(position(c), 0), N - 1)].

    Clamping an address to a power of two takes no comparison: a negative position has its sign bit
    set, one that is too great a bit above the address.

    Accepts one group a cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    lanes
        Neurons in parallel; each has a ROM of its own.
    position_width
        Signed width of a position.
    entries
        N targets, N a power of two from 2 on.
    style, registered
        Of the ROMs, see :class:`Rom`.

    Members
    -------
    valid : In
    position : In, lanes x signed(position_width)
    target_valid : Out
    target : Out, lanes x signed, as wide as the entries need
    """

    valid: Signal
    position: data.View
    target_valid: Signal
    target: data.View

    def __init__(
        self,
        *,
        lanes: int,
        position_width: int,
        entries: Sequence[int],
        style: str = "auto",
        registered: bool = False,
    ) -> None:
        n = len(entries)
        if n < 2 or n & (n - 1):
            raise ValueError(f"the entries of a function table are a power of two, not {n}")
        self.lanes, self.entries = lanes, tuple(int(e) for e in entries)
        self.address_bits = n.bit_length() - 1
        self.LATENCY = table_latency(registered=registered)
        self.target_shape = signed(signed_width(min(self.entries), max(self.entries)))
        width = self.target_shape.width
        content = [entry & ((1 << width) - 1) for entry in self.entries]
        self.roms = [
            Rom(content=content, width=width, registered=registered, style=style)
            for _ in range(lanes)
        ]
        super().__init__(
            {
                "valid": In(1),
                "position": In(data.ArrayLayout(signed(position_width), lanes)),
                "target_valid": Out(1),
                "target": Out(data.ArrayLayout(self.target_shape, lanes)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        for lane, rom in enumerate(self.roms):
            m.submodules[f"rom_{lane}"] = rom
            position, bits = self.position[lane], self.address_bits
            magnitude, negative = position[:-1], position[-1]
            above = magnitude[min(bits, len(magnitude)) :].any()
            a_address = Signal(bits, name=f"a_address_{lane}", reset_less=True)
            m.d.sync += a_address.eq(
                (magnitude[:bits] | above.replicate(bits)) & (~negative).replicate(bits)
            )
            m.d.comb += [
                rom.address.eq(a_address),
                self.target[lane].eq(rom.data.as_signed()),
            ]
        m.d.comb += self.target_valid.eq(delayed(m, self.valid, self.LATENCY, name="valid"))
        return m


class Clamp(wiring.Component):
    """target(c + 1) = min(max(position(c), low), high), the same ports as :class:`FunctionTable`.

    Accepts one group a cycle; neither provides nor respects backpressure.
    """

    LATENCY = 1

    valid: Signal
    position: data.View
    target_valid: Signal
    target: data.View

    def __init__(self, *, lanes: int, position_width: int, low: int, high: int) -> None:
        if low > high:
            raise ValueError(f"a clamp needs an end above its start, not {low}..{high}")
        self.lanes, self.low, self.high = lanes, low, high
        self.target_shape = signed(signed_width(low, high))
        super().__init__(
            {
                "valid": In(1),
                "position": In(data.ArrayLayout(signed(position_width), lanes)),
                "target_valid": Out(1),
                "target": Out(data.ArrayLayout(self.target_shape, lanes)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        for lane in range(self.lanes):
            position = self.position[lane]
            a_target = Signal(self.target_shape, name=f"a_target_{lane}", reset_less=True)
            m.d.sync += a_target.eq(
                Mux(position < self.low, self.low, Mux(position > self.high, self.high, position))
            )
            m.d.comb += self.target[lane].eq(a_target)
        m.d.comb += self.target_valid.eq(delayed(m, self.valid, 1, name="valid"))
        return m
