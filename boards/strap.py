"""Constants that can still be set in the netlist after synthesis."""

from amaranth.hdl import Cat, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from .devices import ECP5, GOWIN, ICE40

ATTRIBUTE = "signfire_strap"  # of a strap's cells; its value is the number of the bit

# family -> (cell, parameter with the 16 bits of its truth table, inputs, output)
LUTS = {
    ICE40: ("SB_LUT4", "LUT_INIT", ("I0", "I1", "I2", "I3"), "O"),
    ECP5: ("LUT4", "INIT", ("A", "B", "C", "D"), "Z"),
    GOWIN: ("LUT4", "INIT", ("I0", "I1", "I2", "I3"), "F"),
}
ROUTED_LUT = ("ICESTORM_LC", "LUT_INIT")  # what nextpnr makes of those of the iCE40


class Strap(wiring.Component):
    """A number that synthesis must not look into: one look-up table a bit, all its inputs 0.

    The clock's frequency is known only after place-and-route; a strap lets the same netlist carry
    any frequency, see :func:`.netlist.set_straps`.

    Parameters
    ----------
    family
        ``ice40``, ``ecp5`` or ``gowin``.
    width
        Bits of the number.

    Members
    -------
    value : Out(width), 0 until it is set in the netlist
    """

    value: Signal

    def __init__(self, *, family: str, width: int) -> None:
        self.family = family
        super().__init__({"value": Out(width)})

    def elaborate(self, platform) -> Module:
        m = Module()
        cell, table, inputs, output = LUTS[self.family]
        bits = [Signal(name=f"bit_{i}") for i in range(len(self.value))]
        for i, bit in enumerate(bits):
            m.submodules[f"lut_{i}"] = Instance(
                cell,
                ("a", "keep", 1),
                ("a", ATTRIBUTE, i),
                ("p", table, Const(0, 16)),
                *(("i", name, Const(0)) for name in inputs),
                ("o", output, bit),
            )
        m.d.comb += self.value.eq(Cat(bits))
        return m
