#!/usr/bin/env bash
# A value half way between two levels: training rounds it one way, the quantised tensor the other.
#
# Versions: torch 2.13.0
# Behaviour: fake_quantize_per_tensor_affine rounds x/scale to even and then adds the zero point;
#   quantize_per_tensor adds the zero point first. With an even zero point they agree. With an odd
#   one every tie goes to the other side. Scales here are powers of two, so nothing else rounds.
# Seen:
#   zero point 64: 0 of 120 ties differ, 0 of 120 other values
#   zero point 3: 103 of 120 ties differ, 0 of 120 other values
#   zero point -5 of int8: 120 of 120 ties differ, 0 of 120 other values
# Why it matters: Ties are no accident where scales are powers of two: accumulators lie on the grid
#   of halves. A model that was trained with an odd zero point (asymmetric activations, the default
#   observer gives any) then differs from its own conversion in whole levels, and hardware that is
#   exact for the one is wrong for the other. Clamped ends are why 17 ties agree above.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
env/bin/python - 2>log <<'PROGRAM' || { cat log; exit 1; }
import numpy as np
import torch

scale, seen = 0.25, {}
steps = np.arange(-40, 200) / 2  # halves are ties, whole numbers are levels
x = torch.tensor(scale * steps, dtype=torch.float32)
cases = {
    "zero point 64": (64, 0, 255, torch.quint8),
    "zero point 3": (3, 0, 255, torch.quint8),
    "zero point -5 of int8": (-5, -128, 127, torch.qint8),
}
for name, (zero, low, high, kind) in cases.items():
    trained = torch.fake_quantize_per_tensor_affine(x, scale, zero, low, high)
    stored = torch.quantize_per_tensor(x, scale, zero, kind).dequantize()
    unlike = (trained != stored).numpy()
    tie = steps % 1 != 0
    seen[name] = (int(unlike[tie].sum()), int(unlike[~tie].sum()))
    ties, others = seen[name]
    print(f"{name}: {ties} of {tie.sum()} ties differ, {others} of {(~tie).sum()} other values")
assert list(seen.values()) == [(0, 0), (103, 0), (120, 0)], seen
PROGRAM
