#!/usr/bin/env bash
# Two layers of one ONNX file read a single weight, by the name of the first.
#
# Versions: torch 2.13.0 (torch.onnx.export, dynamo=True), onnxscript 0.7.2, onnx 1.23.2
# Behaviour: Parameters that are equal in value when the file is written become one
#   initialiser that bears the name of its first user. No parameter is tied in the model, and
#   nothing is said. Values alone decide: fresh normalisations (all ones, all zeros) are
#   merged, trained ones are not.
# Seen:
#   initialisers ['0.weight', '0.bias', '1.weight', '1.bias', '2.weight', '2.bias']
#   LayerNormalization reads 1.weight 1.bias
#   LayerNormalization reads 1.weight 1.bias
#   after one number changed: 3.weight 1.bias
# Why it matters: A tool that finds weights by layer name misses '3.weight', and one that
#   rewrites '1.weight' in the file (to quantise it, to fold a scale, to load new weights)
#   changes the other layer too. A file of the same network after training has other names, so
#   a reload keyed on names breaks with the second set of weights only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 onnxscript==0.7.2 onnx==1.23.2
env/bin/python - 2>log <<'PROGRAM' || { cat log; exit 1; }
import torch
from torch import nn

net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4), nn.LayerNorm(4)).eval()
assert net[1].weight is not net[3].weight


def written():
    program = torch.onnx.export(net, (torch.zeros(1, 4),), dynamo=True, verbose=False)
    graph = program.model_proto.graph
    norms = [node for node in graph.node if node.op_type == "LayerNormalization"]
    return [tensor.name for tensor in graph.initializer], [list(node.input[1:]) for node in norms]


names, norms = written()
print("initialisers", names)
for inputs in norms:
    print("LayerNormalization reads", *inputs)
assert "3.weight" not in names and "3.bias" not in names
assert norms == [["1.weight", "1.bias"]] * 2
with torch.no_grad():
    net[3].weight[0] = 1.5  # one step of training
names, norms = written()
print("after one number changed:", *norms[1])
assert norms[1] == ["3.weight", "1.bias"]
PROGRAM
