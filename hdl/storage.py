"""Memories as the open synthesis flow maps them best: ROMs, and RAMs without collision logic."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from amaranth.hdl import ClockSignal, Instance, Module, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

STYLES = ("block", "distributed", "logic", "auto")


def style_attributes(style: str) -> dict[str, str]:
    """Yosys memory attributes: block RAM, LUT RAM (``distributed``), or LUTs and flip-flops."""
    if style not in STYLES:
        raise ValueError(f"a memory style must be one of {', '.join(STYLES)}, not {style!r}")
    return {} if style == "auto" else {"ram_style": style}


def rom_latency(*, registered: bool) -> int:
    """Cycles from an address to its word."""
    return 2 if registered else 1


class Words(Protocol):
    """What gives the word at an address one cycle later, as an unregistered :class:`Rom` does."""

    content: Sequence[int]
    address: Signal
    data: Signal

    def elaborate(self, platform) -> Module: ...


class Rom(wiring.Component):
    """Constant words behind a synchronous read.

    data(c + LATENCY) = content[address(c)]

    Accepts one address a cycle; neither provides nor respects backpressure.

    A platform that has ``get_rom`` is asked for the hardware, as amaranth does for synchronisers:
    a board puts cells there whose content can be set after synthesis, or after place-and-route. It
    answers None for a ROM that it does not know, and what stands here is the portable twin.

    Parameters
    ----------
    content
        Words, unsigned integers of ``width`` bits.
    width
        Bits of a word.
    registered
        A second register behind the memory, for parts whose block RAM is slow to answer.
    style
        ``block``, ``logic`` (LUTs) or ``auto``.
    """

    address: Signal
    data: Signal

    def __init__(
        self, *, content: Sequence[int], width: int, registered: bool = False, style: str = "auto"
    ) -> None:
        self.content, self.width, self.registered = content, width, registered
        self.style = style
        self.LATENCY = rom_latency(registered=registered)
        address = max(1, (len(content) - 1).bit_length())
        super().__init__({"address": In(unsigned(address)), "data": Out(unsigned(width))})

    def elaborate(self, platform) -> Module:
        cells = platform.get_rom(self) if hasattr(platform, "get_rom") else None
        if cells is not None:
            return cells
        m = Module()
        m.submodules.memory = rom = memory.Memory(
            shape=unsigned(self.width),
            depth=len(self.content),
            init=self.content,
            attrs=style_attributes(self.style),
        )
        read = rom.read_port()
        m.d.comb += read.addr.eq(self.address)
        self.answer(m, read.data)
        return m

    def answer(self, m: Module, word: Value) -> None:
        """Give out the word that a memory without a second register read."""
        if self.registered:
            behind = Signal(self.width, reset_less=True)
            m.d.sync += behind.eq(word)
            m.d.comb += self.data.eq(behind)
        else:
            m.d.comb += self.data.eq(word)


class RomsApart:
    """A platform that leaves large ROMs out of what Amaranth translates, and their Verilog.

    Amaranth keeps an object of every bit of a memory's content, and so needs a hundred bytes for a
    weight. A large :class:`Rom` becomes an instance of a module of its own, and :meth:`verilog`
    is the text of these modules.

    Parameters
    ----------
    prefix
        Of the names of the modules, ``prefix.rom_0`` and so on.
    """

    LARGE = 2**20  # bits from which a ROM stands apart

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.roms: dict[str, Rom] = {}

    def get_rom(self, rom: Rom) -> Module | None:
        """Return the hardware of a large ROM, ``None`` for any other."""
        if len(rom.content) * rom.width < self.LARGE:
            return None
        name = f"{self.prefix}.rom_{len(self.roms)}"
        self.roms[name] = rom
        m, word = Module(), Signal(rom.width)
        m.submodules.words = Instance(name, i_clk=ClockSignal(), i_address=rom.address, o_data=word)
        rom.answer(m, word)
        return m

    def verilog(self) -> Iterator[str]:
        """Yield the text of the modules, a line or a word at a time."""
        for name, rom in self.roms.items():
            attributes = "".join(
                f'  (* {key} = "{value}" *)\n' for key, value in style_attributes(rom.style).items()
            )
            digits = -(-rom.width // 4)
            yield (
                f"\nmodule \\{name} (clk, address, data);\n"
                f"  input clk;\n"
                f"  input [{len(rom.address) - 1}:0] address;\n"
                f"  output [{rom.width - 1}:0] data;\n"
                f"  reg [{len(rom.address) - 1}:0] held;\n"
                f"{attributes}"
                f"  reg [{rom.width - 1}:0] memory [{len(rom.content) - 1}:0];\n"
                f"  initial begin\n"
            )
            for k, word in enumerate(rom.content):
                yield f"    memory[{k}] = {rom.width}'h{word:0{digits}x};\n"
            yield (
                "  end\n"
                "  always @(posedge clk) held <= address;\n"
                "  assign data = memory[held];\n"
                "endmodule\n"
            )


class Ram(wiring.Component):
    """One write port, one read port, never used on the same address in the same cycle.

    read_data(c + 1) = the word last written to read_address(c) before cycle c

    What a collision returns is left open by the users of this class: they keep the two ports on
    different words, or pass over what such a read gives. So synthesis may drop Amaranth's collision
    logic, a comparator, a choice a bit and two registers a bit, and :data:`KEEP_OPEN` is the Yosys
    command that says so. It meets every clocked read of a memory with one write port.

    Parameters
    ----------
    depth, width
        Words and bits of a word.
    style
        ``block``, ``distributed`` (LUT RAM), ``logic`` (flip-flops) or ``auto``.
    parts
        Equal parts of a word that are written apart, each with an enable of its own.
    """

    LATENCY = 1
    # Yosys compares a parameter with its width: Amaranth writes CLK_ENABLE as an integer of 32
    # bits, and the mask as one bit for each write port.
    KEEP_OPEN = (
        "setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:CLK_ENABLE=1 %i r:COLLISION_X_MASK=1'0 %i"
    )

    write_enable: Signal
    write_address: Signal
    write_data: Signal
    read_address: Signal
    read_data: Signal

    def __init__(self, *, depth: int, width: int, style: str = "auto", parts: int = 1) -> None:
        if parts < 1 or width % parts:
            raise ValueError(f"parts must divide the {width} bits of a word, not {parts}")
        self.depth, self.width, self.style, self.parts = depth, width, style, parts
        address = max(1, (depth - 1).bit_length())
        super().__init__(
            {
                "write_enable": In(parts),
                "write_address": In(unsigned(address)),
                "write_data": In(unsigned(width)),
                "read_address": In(unsigned(address)),
                "read_data": Out(unsigned(width)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = ram = memory.Memory(
            shape=unsigned(self.width),
            depth=self.depth,
            init=[],
            attrs=style_attributes(self.style),
        )
        part = None if self.parts == 1 else self.width // self.parts
        write, read = ram.write_port(granularity=part), ram.read_port()
        m.d.comb += [
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m
