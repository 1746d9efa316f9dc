#!/usr/bin/env bash
# One quantised file, one runtime, two answers, by the level of graph optimisation.
#
# Versions: onnxruntime 1.32.0 (quantize_static, QDQ, int8), onnx 1.23.2, numpy 2.4.6
# Behaviour: A QDQ Softmax is computed in float and rounded when graph optimisation is off,
#   and by an integer table operator of the runtime when it is on. Some 12 % of the outputs
#   then differ by one step. Sigmoid in the same place differs nowhere. The output's scale is
#   1/255 here, and 1/256 when the same model is written in the QOperator format.
# Seen:
#   Softmax: levels differ in 254 of 2048 outputs, by 1 step at most
#   Sigmoid: levels differ in 0 of 2048 outputs, by 0 steps at most
#   scale of the softmax: QDQ 1/255, QOperator 1/256
# Why it matters: Whoever takes the runtime as the reference of a hardware softmax, to the
#   bit, has to say which level was used, since a debugging session with optimisation off is
#   another reference. The step also differs between the two formats, so thresholds on
#   probabilities do not carry over.
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
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization as q


class Samples(q.CalibrationDataReader):
    def __init__(self):
        self.rest = iter([{"x": x}])

    def get_next(self):
        return next(self.rest, None)


rng = np.random.default_rng(0)
w, x = (rng.normal(size=size).astype("float32") for size in ((16, 8), (256, 16)))


def quantised(kind, form):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node(kind, ["a"], ["y"])]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, size])]
        for name, size in (("x", 16), ("y", 8))
    ]
    graph = helper.make_graph(nodes, "g", *ends, [numpy_helper.from_array(w, "w")])
    opset = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), "float.onnx")
    q.quantize_static("float.onnx", "q.onnx", Samples(), quant_format=form)
    tensors = onnx.load("q.onnx").graph.initializer
    [scale] = [numpy_helper.to_array(t).item() for t in tensors if t.name == "y_scale"]
    return scale


def run(level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    return ort.InferenceSession("q.onnx", options).run(None, {"x": x})[0]


share, most = {}, {}
for kind in ("Softmax", "Sigmoid"):
    scale = quantised(kind, q.QuantFormat.QDQ)
    off, on = (
        run(getattr(ort.GraphOptimizationLevel, f"ORT_{level}_ALL"))
        for level in ("DISABLE", "ENABLE")
    )
    steps = np.rint((off - on) / scale)
    share[kind], most[kind] = (steps != 0).mean(), int(abs(steps).max())
    print(f"{kind}: levels differ in {(steps != 0).sum()} of {steps.size} outputs,", end=" ")
    print(f"by {most[kind]} step{'s' * (most[kind] != 1)} at most")
scales = [round(1 / quantised("Softmax", q.QuantFormat[form])) for form in ("QDQ", "QOperator")]
print(f"scale of the softmax: QDQ 1/{scales[0]}, QOperator 1/{scales[1]}")
assert 0.05 < share["Softmax"] < 0.25 and most["Softmax"] == 1
assert share["Sigmoid"] == 0
assert scales == [255, 256]
PROGRAM
