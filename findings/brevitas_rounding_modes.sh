#!/usr/bin/env bash
# Rounding modes of a quantiser: one exported format drops them, the other's reader refuses one.
#
# Versions: brevitas 0.13.4, qonnx 1.0.0, torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2,
#   onnxoptimizer 0.4.2, onnxruntime 1.32.0
# Behaviour: FLOOR, CEIL and ROUND_TO_ZERO of an activation quantiser become a plain
#   QuantizeLinear in a QCDQ file, which rounds half to even, and nothing is said. The QONNX
#   file of the same layer states the mode; qonnx runs FLOOR and CEIL as trained, but refuses
#   the very name ROUND_TO_ZERO that brevitas writes.
# Seen:
#   ROUND: QCDQ off in 0 of 12, QONNX 0
#   FLOOR: QCDQ off in 6 of 12, QONNX 0
#   CEIL: QCDQ off in 6 of 12, QONNX 0
#   ROUND_TO_ZERO: QCDQ off in 4 of 12, QONNX Could not resolve rounding mode called: ...
# Why it matters: FLOOR and ROUND_TO_ZERO are what small hardware does (drop the low bits), so
#   whoever trains for it chooses them. The QCDQ file is then a step off in up to half of the
#   cases, accuracy falls by a little, and the search begins in the RTL, which was right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 brevitas==0.13.4 \
  qonnx==1.0.0 onnx==1.23.2 onnxscript==0.7.2 onnxoptimizer==0.4.2 onnxruntime==1.32.0
env/bin/python - 2>log <<'PROGRAM' || { cat log; exit 1; }
import contextlib
import io

import numpy as np
import onnx
import onnxruntime as ort
import torch
from brevitas.core.restrict_val import FloatToIntImplType
from brevitas.export import export_onnx_qcdq, export_qonnx
from brevitas.nn import QuantIdentity
from brevitas.quant import Int8ActPerTensorFloat
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

half = [0.4, 0.6, 1.2, 1.4, 1.6, 2.2]
x = torch.tensor([[-value for value in half] + half])
seen = {}
for mode in ("ROUND", "FLOOR", "CEIL", "ROUND_TO_ZERO"):

    class Quantiser(Int8ActPerTensorFloat):
        scaling_impl_type, scaling_init = "const", 127.0
        float_to_int_impl_type = FloatToIntImplType[mode]

    layer = QuantIdentity(act_quant=Quantiser).eval()
    with contextlib.redirect_stdout(io.StringIO()):
        export_onnx_qcdq(layer, args=x, export_path="qcdq.onnx", opset_version=18)
        export_qonnx(layer, args=x, export_path="qonnx.onnx")
    trained = layer(x).detach().numpy()
    name = onnx.load("qcdq.onnx").graph.input[0].name
    [answer] = ort.InferenceSession("qcdq.onnx").run(None, {name: x.numpy()})
    seen[mode] = [int((answer != trained).sum())]
    model = ModelWrapper("qonnx.onnx").transform(InferShapes())
    try:
        [answer] = execute_onnx(model, {model.graph.input[0].name: x.numpy()}).values()
    except ValueError as error:
        seen[mode].append(str(error))
    else:
        seen[mode].append(int((answer != trained).sum()))
    print(f"{mode}: QCDQ off in {seen[mode][0]} of {x.numel()}, QONNX {seen[mode][1]}")
assert seen["ROUND"] == [0, 0]
assert seen["FLOOR"] == seen["CEIL"] == [6, 0]
assert seen["ROUND_TO_ZERO"] == [4, "Could not resolve rounding mode called: ROUND_TO_ZERO"]
PROGRAM
