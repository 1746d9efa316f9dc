#!/usr/bin/env bash
# hls4ml forgets the zero point of a QONNX Quant whose scale is a power of two.
#
# Versions: hls4ml 1.3.0 (backend Vitis), qonnx 1.0.0, onnx 1.23.2
# Behaviour: Quant(x, scale, zero point, bits) on an activation. Where the scale is no power of
#   two the zero point is added before and taken away after. Where it is one, Quant becomes a
#   fixed-point activation without it: no warning, and the C++ that is written for zero point 3
#   is that for zero point 0, file by file. qonnx's own execution keeps the zero point.
# Seen:
#   scale 0.3: written for zero points 0 and 3: different; qonnx: [-2.4, 2.1] and [-3.3, 1.2]
#   scale 0.25: written for zero points 0 and 3: the same; qonnx: [-2.0, 1.75] and [-2.75, 1.0]
# Why it matters: A range that is not symmetric (what follows a sigmoid, a hard swish, a sensor
#   with an offset) has a zero point, and who aims at hardware picks power-of-two scales. The
#   range is then shifted by zero point times scale, and saturates where the model does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check hls4ml==1.3.0 qonnx==1.0.0 onnx==1.23.2
cat >write.py <<'PYTHON'
import sys

import hls4ml
import numpy as np
import qonnx.core.onnx_exec as reference
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.cleanup import cleanup_model


def written(folder: str, scale: float, zero: float) -> list[float]:
    values = {"W": np.eye(2), "s": scale, "z": zero, "b": 4, "ws": 0.25, "wz": 0, "wb": 4}
    signed = {"domain": "qonnx.custom_op.general", "signed": 1, "narrow": 0}
    nodes = [
        helper.make_node("Quant", ["x", "s", "z", "b"], ["xq"], rounding_mode="ROUND", **signed),
        helper.make_node("Quant", ["W", "ws", "wz", "wb"], ["Wq"], rounding_mode="ROUND", **signed),
        helper.make_node("MatMul", ["xq", "Wq"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in "xy")
    stored = [numpy_helper.from_array(np.float32(v), n) for n, v in values.items()]
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(signed["domain"], 1)]
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    model = cleanup_model(ModelWrapper(helper.make_model(graph, opset_imports=opsets)))
    config = hls4ml.utils.config_from_onnx_model(model, granularity="name", backend="Vitis")
    hls4ml.converters.convert_from_onnx_model(
        model, output_dir=folder, hls_config=config, backend="Vitis"
    ).write()
    sample = {model.graph.input[0].name: np.float32([[-9, 9]])}
    (answer,) = reference.execute_onnx(model, sample).values()
    return [round(float(value), 3) for value in answer[0]]


scale = float(sys.argv[1])
print(*(written(f"{scale}-{zero}", scale, zero) for zero in (0, 3)), sep=" and ")
PYTHON
for scale in 0.3 0.25; do
  answers=$(env/bin/python write.py $scale 2>log | tail -1) || { cat log; exit 1; }
  if diff -qr $scale-0/firmware $scale-3/firmware >log; then same="the same"; else same=different; fi
  echo "scale $scale: written for zero points 0 and 3: $same; qonnx: $answers" | tee -a seen
done
diff seen - <<'SEEN'
scale 0.3: written for zero points 0 and 3: different; qonnx: [-2.4, 2.1] and [-3.3, 1.2]
scale 0.25: written for zero points 0 and 3: the same; qonnx: [-2.0, 1.75] and [-2.75, 1.0]
SEEN
