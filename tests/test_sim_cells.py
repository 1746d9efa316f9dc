"""The cell models of block RAMs and multipliers against Python, at every width and mode."""

import random
import subprocess
from pathlib import Path

import pytest

from signfire.sim.verilator import COMPILE_FLAGS, Program, compiled, environment

CELLS = Path(__file__).resolve().parent.parent / "sim" / "cells"
CYCLES = 3000
INPUTS = ("cea", "wea", "rsta", "ada", "dia", "ceb", "web", "rstb", "adb", "dib")
ECP5_MODES = ("NORMAL", "WRITETHROUGH", "READBEFOREWRITE")


def bus(name: str, width: int, net: str) -> str:
    return ", ".join(f".{name}{i}({net}[{i}])" for i in range(width))


class BlockRam:
    """What the data sheets say of two ports on 2,048 bytes of nine or eight bits."""

    def __init__(self, *, byte, widths, modes=(0, 0), writes=(True, True), seed=0):
        self.byte, self.widths, self.modes, self.writes = byte, widths, modes, writes
        numbers = random.Random(seed)
        self.bits = [numbers.getrandbits(1) for _ in range(2048 * byte)]
        self.init = list(self.bits)
        self.out = [0, 0]

    def bits_of(self, port, address):
        """Positions of a port's bits in the whole memory, lowest first."""
        width = self.widths[port]
        if width < 8:
            first = (address >> 3) * self.byte + (address & 7 & ~(width - 1))
            return range(first, first + width)
        size = width // self.byte
        return range((address >> 3) // size * width, ((address >> 3) // size + 1) * width)

    def step(self, ports):
        """Take (ce, we, rst, address, data) of both ports; a reset is synchronous."""
        changes, reads = [], []
        for port, (ce, we, rst, address, data) in enumerate(ports):
            places, width, change = self.bits_of(port, address), self.widths[port], {}
            if ce and we and not rst and self.writes[port]:
                for k, place in enumerate(places):
                    if width < 16 or address >> (k // self.byte) & 1:
                        change[place] = data >> k & 1
            changes.append(change)
            reads.append((port, places, ce, we and self.writes[port], rst))
        for port, places, ce, we, rst in reads:
            mine, other = changes[port], changes[1 - port]
            if rst:
                self.out[port] = 0
            elif ce and not (we and self.modes[port] == 0):
                seen = [
                    mine.get(p, self.bits[p]) if self.modes[port] == 1 else self.bits[p]
                    for p in places
                ]
                self.out[port] = sum(
                    (b ^ (p in other)) << k
                    for k, (p, b) in enumerate(zip(places, seen, strict=True))
                )
        for change in changes:
            for place, bit in change.items():
                self.bits[place] = bit


def rows(bits, count):
    """Cut bits, lowest first, into ``count`` numbers."""
    size = len(bits) // count
    return [
        sum(b << k for k, b in enumerate(bits[i * size : (i + 1) * size])) for i in range(count)
    ]


def dp16kd(widths, modes):
    """Return the model of a DP16KD, the Verilog of an instance, and its outputs."""
    pseudo = 36 in widths
    model = BlockRam(byte=9, widths=widths, modes=modes, writes=(True, not pseudo))
    words = rows(model.init, 1024)
    init = [
        sum(w << (20 * j) for j, w in enumerate(words[16 * i : 16 * i + 16])) for i in range(64)
    ]
    parameters = ", ".join(f".INITVAL_{i:02X}(320'h{v:x})" for i, v in enumerate(init))
    names = [ECP5_MODES[m] for m in modes]
    text = f"""DP16KD #({parameters}, .DATA_WIDTH_A({widths[0]}), .DATA_WIDTH_B({widths[1]}),
      .WRITEMODE_A("{names[0]}"), .WRITEMODE_B("{names[1]}"), .GSR("DISABLED")) @ (
      .CLKA(clk), .CLKB(clk), .CEA(cea), .CEB(ceb), .WEA(wea), .WEB({"1'b0" if pseudo else "web"}),
      .RSTA(rsta), .RSTB(rstb), .OCEA(1'b1), .OCEB(1'b1), .CSA0(1'b0), .CSA1(1'b0), .CSA2(1'b0),
      .CSB0(1'b0), .CSB1(1'b0), .CSB2(1'b0), {bus("ADA", 14, "ada")}, {bus("ADB", 14, "adb")},
      {bus("DIA", 18, "dia[17:0]").replace("[17:0][", "[")},
      {
        ", ".join(
            f".DIB{i}({f'dia[{18 + i}]' if widths[0] == 36 else f'dib[{i}]'})" for i in range(18)
        )
    },
      {bus("DOA", 18, "doa")}, {bus("DOB", 18, "dob")});"""
    if widths[1] == 36:
        return model, text, ("0", "{dob[17:0], doa[17:0]}")
    return model, text, ("0" if pseudo else "doa[17:0]", "dob[17:0]")


def gowin(cell, byte, widths, modes=(0, 0)):
    """Return the model of a Gowin BSRAM, the Verilog of an instance, and its outputs."""
    kind = cell.rstrip("B").removesuffix("X9")
    model = BlockRam(byte=byte, widths=widths, modes=modes, writes=(True, kind == "DP"))
    init = rows(model.init, 64)
    parameters = [f".INIT_RAM_{i:02X}({32 * byte}'h{v:x})" for i, v in enumerate(init)]
    top = 2 * byte if kind == "DP" else 4 * byte
    pins = (
        f".OCE(1'b1), .DI(dia[{top - 1}:0])"
        if kind != "DP"
        else (f".OCEA(1'b1), .OCEB(1'b1), .DIA(dia[{top - 1}:0]), .DIB(dib[{top - 1}:0])")
    )
    if kind == "SP":
        parameters += [f".BIT_WIDTH({widths[0]})", f".WRITE_MODE({modes[0]})"]
        pins += f", .CLK(clk), .CE(cea), .WRE(wea), .RESET(rsta), .AD(ada), .DO(doa[{top - 1}:0])"
        pins += ", .BLKSEL(3'b0)"
        outs = (f"doa[{top - 1}:0]", "0")
    else:
        parameters += [f".BIT_WIDTH_{p}({w})" for p, w in enumerate(widths)]
        pins += ", .CLKA(clk), .CLKB(clk), .ADA(ada), .ADB(adb), .RESETA(rsta), .RESETB(rstb)"
        pins += ", .BLKSELA(3'b0), .BLKSELB(3'b0), .CEB(ceb)"
    if kind == "SDP":
        pins += f", .CEA(cea & wea), .DO(dob[{top - 1}:0])"
        outs = ("0", f"dob[{top - 1}:0]")
    elif kind == "DP":
        parameters += [f".WRITE_MODE{p}({m})" for p, m in enumerate(modes)]
        pins += f", .CEA(cea), .WREA(wea), .WREB(web), .DOA(doa[{top - 1}:0])"
        pins += f", .DOB(dob[{top - 1}:0])"
        outs = (f"doa[{top - 1}:0]", f"dob[{top - 1}:0]")
    return model, f"{cell} #({', '.join(parameters)}) @ ({pins});", outs


RAMS = {
    **{
        f"DP16KD {a} {b} {m}": dp16kd((a, b), (m, n))
        for a, b, m, n in (
            (1, 18, 0, 0),
            (2, 9, 1, 2),
            (4, 4, 2, 1),
            (9, 2, 0, 1),
            (18, 1, 1, 0),
            (18, 18, 2, 2),
            (36, 36, 0, 0),
            (36, 18, 0, 0),
            (36, 1, 0, 0),
            (9, 36, 0, 0),
        )
    },
    **{
        f"SPX9 {w} {m}": gowin("SPX9", 9, (w, 9), (m, 0))
        for w, m in ((9, 0), (18, 1), (36, 2), (36, 0))
    },
    **{
        f"SP {w} {m}": gowin("SP", 8, (w, 8), (m, 0))
        for w, m in ((1, 0), (2, 1), (4, 2), (8, 0), (16, 1), (32, 2))
    },
    **{f"SDPB {a} {b}": gowin("SDPB", 8, (a, b)) for a, b in ((1, 32), (32, 1), (2, 16), (8, 4))},
    **{
        f"SDPX9B {a} {b}": gowin("SDPX9B", 9, (a, b))
        for a, b in ((9, 36), (36, 9), (36, 36), (18, 18))
    },
    **{
        f"DPB {a} {b}": gowin("DPB", 8, (a, b), m)
        for a, b, m in ((1, 16, (0, 1)), (16, 2, (2, 0)), (8, 4, (1, 2)))
    },
    **{
        f"DPX9B {a} {b}": gowin("DPX9B", 9, (a, b), m)
        for a, b, m in ((9, 18, (0, 1)), (18, 9, (2, 0)))
    },
}
SIGNS = [(a, b) for a in (0, 1) for b in (0, 1)]
MULTIPLIERS = {
    **{
        f"MULT18X18D {a} {b}": (
            18,
            a,
            b,
            f"""MULT18X18D @ ({bus("A", 18, "dia")},
       {bus("B", 18, "dib")}, {bus("C", 18, "18'b0 ").replace("18'b0 [", "dib[")},
       .SIGNEDA(1'b{a}), .SIGNEDB(1'b{b}), .SOURCEA(1'b0), .SOURCEB(1'b0),
       {bus("P", 36, "doa")});""",
        )
        for a, b in SIGNS
    },
    **{
        f"MULT{n}X{n} {a} {b}": (
            n,
            a,
            b,
            f"""MULT{n}X{n} @ (.A(dia[{n - 1}:0]), .B(dib[{n - 1}:0]),
       .ASIGN(1'b{a}), .BSIGN(1'b{b}), .ASEL(1'b0), .BSEL(1'b0), .DOUT(doa[{2 * n - 1}:0]));""",
        )
        for n in (9, 18)
        for a, b in SIGNS
    },
}


def harness() -> tuple[str, str]:
    """Return a top with every cell, and a program that runs it from standard input to output."""
    texts = [text for _, text, _ in RAMS.values()] + [m[3] for m in MULTIPLIERS.values()]
    outs = [o for *_, o in RAMS.values()] + [
        (f"doa[{2 * m[0] - 1}:0]", "0") for m in MULTIPLIERS.values()
    ]
    ports, bodies = [], []
    for n, (text, (a, b)) in enumerate(zip(texts, outs, strict=True)):
        ports += [f"output [35:0] outa{n}", f"output [35:0] outb{n}"]
        bodies.append(
            f"""wire [35:0] a{n}, b{n}; assign outa{n} = {a}; assign outb{n} = {b};
          {text.replace("@", f"u{n}")}""".replace("doa", f"a{n}").replace("dob", f"b{n}")
        )
    widths = {"ada": 14, "adb": 14, "dia": 36, "dib": 36}
    inputs = ", ".join(f"input [{widths.get(i, 1) - 1}:0] {i}" for i in INPUTS)
    verilog = f"module top(input clk, {inputs}, {', '.join(ports)});\n" + "\n".join(bodies)
    prints = "".join(
        f'printf("%llx %llx ",(unsigned long long)t.outa{n},(unsigned long long)t.outb{n});'
        for n in range(len(texts))
    )
    reads = "".join(f"t.{i} = v[{k}];" for k, i in enumerate(INPUTS))
    scan = " && ".join(f'scanf("%llx", &v[{k}]) == 1' for k in range(len(INPUTS)))
    main = f"""#include "Vtop.h"
#include "verilated.h"
#include <cstdio>
int main() {{ Vtop t; unsigned long long v[10]; t.clk = 0; t.eval();
  while ({scan}) {{ {reads} t.clk = 0; t.eval(); t.clk = 1; t.eval(); {prints} puts(""); }} }}
"""
    return verilog + "\nendmodule\n", main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Random accesses and what every cell answered: [(stimulus, [(a, b) of each cell])]."""
    folder = tmp_path_factory.mktemp("cells")
    verilog, main = harness()
    cells = {name: (CELLS / name).read_text() for name in sorted(OWN)}
    program = compiled(
        Program(
            name="cells",
            what="cells",
            top="top",
            prefix="Vtop",
            verilog={"top.v": verilog, **cells},
            harness={"main.cpp": main},
            flags=COMPILE_FLAGS,
        ),
        folder,
    )
    rng = random.Random(7)
    stimuli = []
    for _ in range(CYCLES):
        # Few words, so that reads find what was written.
        address = [rng.getrandbits(6) | (rng.getrandbits(1) << 13) for _ in "ab"]
        enable = [[rng.random() < 0.8, rng.random() < 0.4, rng.random() < 0.05] for _ in "ab"]
        data = [rng.getrandbits(36) for _ in "ab"]
        both = enable[0][1] and enable[1][1]  # two writes at once are left open
        enable[1][1] = enable[1][1] and not both
        stimuli.append(
            [(*map(int, e), a, d) for e, a, d in zip(enable, address, data, strict=True)]
        )
    text = "\n".join(" ".join(f"{v:x}" for port in s for v in port) for s in stimuli)
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    answers = [[int(w, 16) for w in line.split()] for line in done.stdout.splitlines()]
    assert len(answers) == CYCLES
    return stimuli, answers


OWN = ("block_ram.v", "ecp5_dp16kd.v", "ecp5_mult18x18d.v", "gowin_bsram.v", "gowin_mult.v")


@pytest.mark.parametrize("name", RAMS)
def test_block_ram_answers_as_documented(run, name):
    stimuli, answers = run
    model, _, outs = RAMS[name]
    n = list(RAMS).index(name)

    for cycle, (ports, words) in enumerate(zip(stimuli, answers, strict=True)):
        model.step(ports)
        for port in (0, 1):
            if outs[port] != "0":
                assert words[2 * n + port] == model.out[port], (cycle, "AB"[port], ports)


@pytest.mark.parametrize("name", MULTIPLIERS)
def test_multiplier_answers_the_product(run, name):
    stimuli, answers = run
    width, *signs, _ = MULTIPLIERS[name]
    n = len(RAMS) + list(MULTIPLIERS).index(name)

    def value(raw, sign):
        raw &= (1 << width) - 1
        return raw - (sign << width) if raw >> (width - 1) else raw

    for (a, b), words in zip(stimuli, answers, strict=True):
        expected = value(a[4], signs[0]) * value(b[4], signs[1]) & ((1 << 2 * width) - 1)
        assert words[2 * n] == expected


@pytest.mark.parametrize(
    ("cell", "parameter", "message"),
    [
        (
            "DP16KD",
            '.GSR("AUTO"), .REGMODE_B("OUTREG")',
            "DP16KD: no model of REGMODE_A NOREG, REGMODE_B OUTREG",
        ),
        (
            "DP16KD",
            '.GSR("AUTO"), .DATA_WIDTH_A(8)',
            "DP16KD: no model of DATA_WIDTH_A 8, DATA_WIDTH_B 18",
        ),
        ("MULT18X18D", '.REG_OUTPUT_CLK("CLK0")', "MULT18X18D: no model of its registers"),
        ("SPX9", ".READ_MODE(1'b1)", "SPX9: no model of READ_MODE 1"),
        ("MULT18X18", ".OUT_REG(1'b1)", "MULT18X18: no model of its registers"),
    ],
)
def test_a_mode_without_a_model_is_refused(tmp_path, cell, parameter, message):
    (tmp_path / "top.v").write_text(f"module top; {cell} #({parameter}) cell_i(); endmodule\n")
    files = [str(CELLS / name) for name in OWN]

    done = subprocess.run(
        ["verilator", "--lint-only", *COMPILE_FLAGS, "--top-module", "top", "top.v", *files],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )

    assert done.returncode != 0
    assert message in done.stderr + done.stdout
