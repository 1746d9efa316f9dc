#!/usr/bin/env bash
# The largest int4 weight of a tensor is always cut by a fifteenth.
#
# Versions: onnxruntime 1.32.0 (quantize_static, QDQ, weight_type QInt4), onnx 1.23.2, numpy 2.4.6
# Behaviour: Symmetric int4 weights get the scale largest/7.5, though no code stands for 7.5, and
#   codes from -7 to 7. The weight of largest magnitude saturates, whatever its sign: 1.0 comes
#   back as 0.9333. The int8 scale is largest/127, with codes from -127 to 127, and keeps both ends.
# Seen:
#   int4: scale largest/7.5; 1.0 -> 0.9333; -1.0 -> -0.9333
#   int8: scale largest/127.0; 1.0 -> 1.0; -1.0 -> -1.0
# Why it matters: Weights are compared after conversion to check an importer, and the usual bound
#   of half a step holds only just, at the weights that matter most. Weights of +-1 (binary,
#   ternary, an identity), which 4 bits hold exactly, all shrink by 7 %, so do the sums behind
#   them, and thresholds that were trained with them no longer fit. Scale by largest/7 instead.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 \
  numpy==2.4.6
env/bin/python - 2>log <<'PROGRAM' || { cat log; exit 1; }
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization as q


class Samples(q.CalibrationDataReader):
    def __init__(self):
        self.rest = iter([{"x": x}])

    def get_next(self):
        return next(self.rest, None)


x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")


def weights(largest, kind):
    w = np.full((4, 2), 0.25, "float32")
    w[0, 0] = largest
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, size])]
        for name, size in (("x", 4), ("y", 2))
    ]
    graph = helper.make_graph([node], "g", *ends, [numpy_helper.from_array(w, "w")])
    opset = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), "float.onnx")
    q.quantize_static("float.onnx", "q.onnx", Samples(), weight_type=kind)
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load("q.onnx").graph.initializer}
    scale = tensors["w_scale"].item()
    assert tensors["w_zero_point"].item() == 0
    return 1 / scale, round(tensors["w_quantized"].astype(int)[0, 0] * scale, 4)


seen = {}
for bits, kind in ((4, q.QuantType.QInt4), (8, q.QuantType.QInt8)):
    (codes, plus), (_, minus) = weights(1.0, kind), weights(-1.0, kind)
    seen[bits] = (round(codes, 3), plus, minus)
    print(f"int{bits}: scale largest/{codes:.1f}; 1.0 -> {plus}; -1.0 -> {minus}")
assert seen == {4: (7.5, 0.9333, -0.9333), 8: (127.0, 1.0, -1.0)}
PROGRAM
