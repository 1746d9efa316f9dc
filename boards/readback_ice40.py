"""iCE40: the packed file through iceunpack and icebox_vlog, completed by the DSP blocks."""

import re
import subprocess
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

from ..sim.chip import Chip
from .boards import Board
from .devices import ICE40
from .pins import package_pins
from .recovered import ReadbackError, Recovered
from .toolchain import executable, find_executable

TOP = "chip"
_DATABASE = Path("/usr/share/fpga-icestorm/chipdb/chipdb-5k.txt")  # where DSP blocks are
_INSTALL = "apt install fpga-icestorm"
_SEGMENT = re.compile(r"^// \((\d+), (\d+), '([^']+)'\)$")
_WIRE = re.compile(r"^(?:wire|reg) ([^ ;=]+)")
# Fields of a DSP block's configuration -> (parameter of SB_MAC16, bits)
_MAC_FIELDS = {
    "A_REG": 1,
    "B_REG": 1,
    "C_REG": 1,
    "D_REG": 1,
    "A_SIGNED": 1,
    "B_SIGNED": 1,
    "MODE_8x8": 1,
    "TOP_8x8_MULT_REG": 1,
    "BOT_8x8_MULT_REG": 1,
    "PIPELINE_16x16_MULT_REG1": 1,
    "PIPELINE_16x16_MULT_REG2": 1,
    "TOPOUTPUT_SELECT": 2,
    "TOPADDSUB_LOWERINPUT": 2,
    "TOPADDSUB_UPPERINPUT": 1,
    "TOPADDSUB_CARRYSELECT": 2,
    "BOTOUTPUT_SELECT": 2,
    "BOTADDSUB_LOWERINPUT": 2,
    "BOTADDSUB_UPPERINPUT": 1,
    "BOTADDSUB_CARRYSELECT": 2,
}
_MAC_BUSES = {"A": 16, "B": 16, "C": 16, "D": 16}
_MAC_SINGLE = (
    *("AHOLD", "BHOLD", "CHOLD", "DHOLD", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT"),
    *("OLOADTOP", "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT", "OHOLDTOP", "OHOLDBOT", "CI"),
)
# What icebox_vlog writes as an instance; the rest is plain Verilog.
_INSTANCES = ("SB_RAM40_4K", "SB_MAC16")
Segment = tuple[int, int, str]


def recover_ice40(bitstream: Path, board: Board) -> Recovered:
    """See :func:`.readback.recover`."""
    pins = package_pins(board)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "packed.bin").write_bytes(bitstream.read_bytes())
        ascii_text = _unpacked(work, bitstream)
        (work / "board.pcf").write_text(
            "".join(f"set_io {role} {pin}\n" for role, (pin, _) in pins.items())
        )
        verilog = _logic(work, board)
    if board.clock_on_pll_pad:
        # icebox_vlog does not name the pad that the PLL takes for itself.
        verilog = re.sub(r"\.PACKAGEPIN\(\w+\)", ".PACKAGEPIN(clock)", verilog)
        verilog = verilog.replace("// Warning: unmatched port 'clock'", "")
    missing = re.findall(r"unmatched port '([^']+)'", verilog)
    if missing:
        raise ReadbackError(
            f"{bitstream.name} does not use the pins of {board.name} ({', '.join(missing)}): is "
            f"it a bitstream of this board?"
        )
    blocks = _dsp_blocks(ascii_text, verilog)
    verilog = _completed(verilog, blocks)
    cells = Counter(re.findall(r"^(SB_\w+)", verilog, re.M))
    cells["LUT"] = len(re.findall(r"/\* LUT ", verilog))
    cells["FF"] = len(re.findall(r"/\* FF [^*]*\*/ always", verilog))
    verilog, ratio = _without_pll(verilog)
    chip = Chip(
        verilog=verilog,
        top=TOP,
        family=ICE40,
        cells={kind: n for kind, n in cells.items() if kind in _INSTANCES},
        tied={"reset": int(pins["reset"][1])} if "reset" in pins else {},
        input_hz=board.input_hz,
        clock_hz=board.input_hz * ratio,
        baud=board.baud,
    )
    return Recovered(chip=chip, cells=dict(cells))


def missing() -> str:
    """Return what is missing to read a bitstream back, and how to get it; empty for nothing."""
    if find_executable("icebox_vlog") is None:
        return f"the program icebox_vlog is missing ({_INSTALL})"
    if not _DATABASE.exists():
        return f"the chip database {_DATABASE} is missing ({_INSTALL})"
    return ""


def _unpacked(work: Path, bitstream: Path) -> str:
    """Return the text of iceunpack, which checks the file's CRC."""
    done = subprocess.run(
        [str(executable("yowasp-iceunpack")), "packed.bin", "chip.asc"],
        cwd=work,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    text = (work / "chip.asc").read_text() if (work / "chip.asc").exists() else ""
    if done.returncode or not text:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise ReadbackError(f"iceunpack cannot read {bitstream.name}: {reason[0]}")
    return text


def _logic(work: Path, board: Board) -> str:
    """Return the Verilog of icebox_vlog, every wire with the comment of where it runs."""
    program = find_executable("icebox_vlog")
    if program is None:
        raise ReadbackError(missing())
    package = board.platform().package.lower()
    done = subprocess.run(
        [str(program), "-S", "-n", TOP, "-d", package, "-p", "board.pcf", "chip.asc"],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ReadbackError(f"icebox_vlog failed: {last[0]}")
    # A pad that is not driven is pulled up.
    return done.stdout.replace("1'bz", "1'b1")


def _without_pll(verilog: str) -> tuple[str, Fraction]:
    """Put the input ``pll_clock`` in the PLL's place, and return its clock by the oscillator's.

    f_out = f_in (DIVF + 1) / ((DIVR + 1) 2^DIVQ)
    """
    verilog = verilog.replace(f"module {TOP} (", f"module {TOP} (input pll_clock, ", 1)
    found = list(
        re.finditer(r"^SB_PLL40_\w+ #\(\n(.*?)^\) \w+ \(\n(.*?)^\);$", verilog, re.M | re.S)
    )
    if not found:
        return verilog, Fraction(1)
    if len(found) > 1:
        raise ReadbackError(f"the bitstream has {len(found)} PLLs, and signfire makes one")
    parameters, ports = found[0].groups()
    value = {
        key: int(digits, 2) for key, digits in re.findall(r"\.(\w+)\(\d+'b([01]+)\)", parameters)
    }
    if '.FEEDBACK_PATH("SIMPLE")' not in parameters:
        raise ReadbackError("the PLL's feedback is not the simple one that signfire makes")
    net = dict(re.findall(r"\.(\w+)\(([^()]*)\)", ports))
    passed = net.get("PACKAGEPIN") or net.get("REFERENCECLK")
    made = f"({net['BYPASS']} ? {passed} : pll_clock & {net['RESETB']})"
    drives = {net[p]: made for p in net if re.fullmatch(r"PLLOUT(GLOBAL|CORE)B?", p)}
    drives |= {net[p]: passed for p in net if re.fullmatch(r"PLLOUT(GLOBAL|CORE)A", p)}
    drives[net["LOCK"]] = net["RESETB"]
    text = "\n".join(f"assign {target} = {source};" for target, source in drives.items())
    ratio = Fraction(value["DIVF"] + 1, (value["DIVR"] + 1) << value["DIVQ"])
    return verilog[: found[0].start()] + text + verilog[found[0].end() :], ratio


# -- DSP blocks, which icebox_vlog leaves out --------------------------------------------------


def _dsp_blocks(ascii_text: str, verilog: str) -> list[str]:
    """Return an SB_MAC16 for every DSP block whose product is used."""
    device = re.search(r"^\.device (\w+)", ascii_text, re.M)
    if device is None or device[1] != "5k":
        return []
    if not _DATABASE.exists():
        raise ReadbackError(missing())
    places = _mac_places(_DATABASE.read_text())
    nets = _nets(verilog)
    blocks = []
    for (x, y), entries in places.items():
        outputs = [nets.get(entries[f"O_{i}"]) for i in range(32)]
        if any(outputs):
            bits = _config_bits(ascii_text)
            blocks.append(_mac(x, y, entries, nets, bits))
    return blocks


def _mac_places(database: str) -> dict[tuple[int, int], dict[str, Segment]]:
    """Return where every port and every configuration bit of the DSP blocks lies."""
    places = {}
    for match in re.finditer(
        r"^\.extra_cell (\d+) (\d+) 0 MAC16\n(.*?)\n\n", database, re.M | re.S
    ):
        entries = {}
        for line in match[3].splitlines():
            name, x, y, what = line.split()[:4]
            entries[name] = (int(x), int(y), what)
        places[int(match[1]), int(match[2])] = entries
    return places


def _nets(verilog: str) -> dict[Segment, str]:
    """Return the wire at every place that icebox_vlog's comments name."""
    nets: dict[Segment, str] = {}
    wire = ""
    for line in verilog.splitlines():
        declared = _WIRE.match(line)
        place = _SEGMENT.match(line)
        if declared:
            wire = declared[1]
        elif place:
            nets[int(place[1]), int(place[2]), place[3]] = wire
        elif line and not line.startswith("//"):
            wire = ""
    return nets


def _config_bits(ascii_text: str) -> dict[tuple[int, int], list[str]]:
    """Return the rows of bits of every DSP and IP tile."""
    tiles = {}
    pattern = r"^\.(?:dsp\d|ipcon)_tile (\d+) (\d+)\n((?:[01]+\n){16})"
    for match in re.finditer(pattern, ascii_text, re.M):
        tiles[int(match[1]), int(match[2])] = match[3].split()
    return tiles


def _mac(
    x: int,
    y: int,
    entries: dict[str, Segment],
    nets: dict[Segment, str],
    tiles: dict[tuple[int, int], list[str]],
) -> str:
    def net(name: str, default: str = "1'b0") -> str:
        return nets.get(entries[name], default)

    def bit(name: str) -> int:
        bx, by, what = entries[name]
        k = int(what.removeprefix("CBIT_"))
        return int(tiles[bx, by][k ^ 1][7])  # CBIT_k is bit 7 of row k with its lowest bit turned

    values = {}
    for name, width in _MAC_FIELDS.items():
        names = [name] if width == 1 else [f"{name}_{i}" for i in range(width)]
        values[name] = sum(bit(each) << i for i, each in enumerate(names))
    _refuse_cascades(x, y, values)
    one = "1'b1"  # an enable that nothing drives is on
    ports = [f"  .CLK({net('CLK')})", f"  .CE({net('CE', one)})"]
    for bus, width in _MAC_BUSES.items():
        wires = ", ".join(net(f"{bus}_{i}") for i in reversed(range(width)))
        ports.append(f"  .{bus}({{{wires}}})")
    ports += [f"  .{name}({net(name)})" for name in _MAC_SINGLE]
    cell = f"dsp_{x}_{y}"
    parameters = ", ".join(f".{name}({value})" for name, value in values.items())
    lines = [f"wire [31:0] {cell}_o;", f"SB_MAC16 #({parameters}) {cell} ("]
    lines += [",\n".join([*ports, f"  .O({cell}_o)"]), ");"]
    for i in range(32):
        target = nets.get(entries[f"O_{i}"])
        if target:
            lines.append(f"assign {target} = {cell}_o[{i}];")
    return "\n".join(lines)


def _refuse_cascades(x: int, y: int, values: dict[str, int]) -> None:
    """Refuse what comes from the DSP block below, which is not followed."""
    if (
        values["BOTADDSUB_CARRYSELECT"] == 2
        or values["BOTADDSUB_LOWERINPUT"] == 3
        or values["TOPADDSUB_LOWERINPUT"] == 3
    ):
        raise ReadbackError(f"DSP block {x} {y} takes a cascade, which cannot be read back")


def _completed(verilog: str, blocks: list[str]) -> str:
    """Put the DSP blocks in; take out what only traces them, ports declared twice, and comments."""
    header = re.search(rf"^module {TOP} \((.*)\);$", verilog, re.M)
    assert header is not None
    ports = {f"wire {port.split()[-1]};" for port in header[1].split(", ")}
    lines = [
        line
        for line in verilog.splitlines()
        if line and line not in ports and not line.startswith(("/* DSP", "//"))
    ]
    end = len(lines) - 1 - lines[::-1].index("endmodule")
    return "\n".join([*lines[:end], *blocks, *lines[end:]]) + "\n"
