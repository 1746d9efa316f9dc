#!/usr/bin/env bash
# The same Linear is stored as it is or transposed, by the rank of the example input.
#
# Versions: torch 2.13.0 (torch.onnx.export, dynamo=True), onnxscript 0.7.2, onnx 1.23.2
# Behaviour: With a 2-D example nn.Linear becomes Gemm with transB=1 and a weight [out, in] by
#   its own name. With a 3-D example it becomes MatMul and Add, the weight is stored
#   transposed, [in, out], and is called val_0.
# Seen:
#   (1, 4) Gemm ['0.bias', '0.weight'] stored as in torch
#   (1, 3, 4) MatMul+Add ['0.bias', 'val_0'] stored transposed
# Why it matters: A square weight (attention, recurrent and mixing layers) reads in either
#   orientation without any error of shape, so an importer or a per-channel scale that takes
#   axis 0 for the outputs gives wrong numbers silently, and only for networks whose example
#   had a time or token axis.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 onnxscript==0.7.2 onnx==1.23.2
env/bin/python - 2>log <<'PROGRAM' || { cat log; exit 1; }
import numpy
import torch
from onnx import numpy_helper

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 4)).eval()
weight = net[0].weight.detach().numpy()
seen = []
for shape in ((1, 4), (1, 3, 4)):
    program = torch.onnx.export(net, (torch.zeros(shape),), dynamo=True, verbose=False)
    graph = program.model_proto.graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    [stored] = [tensor for tensor in tensors.values() if tensor.ndim == 2]
    way = "as in torch" if numpy.array_equal(stored, weight) else "transposed"
    assert way == "as in torch" or numpy.array_equal(stored, weight.T)
    seen.append(("+".join(node.op_type for node in graph.node), sorted(tensors), way))
    print(shape, *seen[-1][:2], "stored", way)
assert seen == [
    ("Gemm", ["0.bias", "0.weight"], "as in torch"),
    ("MatMul+Add", ["0.bias", "val_0"], "transposed"),
]
PROGRAM
