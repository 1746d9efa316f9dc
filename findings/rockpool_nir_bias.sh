#!/usr/bin/env bash
# Rockpool's NIR holds neither the bias of neurons nor their recurrent weights.
#
# Versions: rockpool 3.1.0, nir 1.0.8, nirtorch 2.6, torch 2.13.0
# Behaviour: rockpool.nn.modules.torch.nir.to_nir writes a LIFTorch as CubaLIF with v_leak zero,
#   whatever its trained bias is, and without its w_rec where it has recurrent weights. Nothing
#   is said, and three networks that fire differently have one graph, array by array. from_nir
#   reads both: v_leak as the bias, a sub-graph with an Affine as w_rec.
# Seen:
#   plain: 1634 spikes
#   bias: 1801 spikes, the graph of plain
#   recurrent: 580 spikes, the graph of plain
# Why it matters: NIR is the road from Rockpool to other simulators and chips. A network that was
#   trained with biases or recurrence arrives as another one; write them into the graph by hand
#   (v_leak is where from_nir looks for the bias).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  rockpool==3.1.0 nir==1.0.8 nirtorch==2.6 torch==2.13.0
cat >compare.py <<'PYTHON'
import numpy as np
import torch
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import LIFTorch, LinearTorch
from rockpool.nn.modules.torch.nir import to_nir

torch.manual_seed(1)
events = (torch.rand(1, 400, 4) < 0.3).float()


def network(**options):
    torch.manual_seed(0)
    neurons = LIFTorch(3, tau_mem=0.02, tau_syn=0.02, dt=1e-3, **options)
    return Sequential(LinearTorch((4, 3), has_bias=False), neurons)


def arrays(net):
    nodes = to_nir(net).nodes.items()
    held = {(n, k): v for n, node in nodes for k, v in vars(node).items() if hasattr(v, "shape")}
    return {key: np.asarray(value.detach() if torch.is_tensor(value) else value)
            for key, value in held.items()}


plain = arrays(network())
for name, options in {
    "plain": {},
    "bias": {"bias": torch.full((3,), 0.4)},
    "recurrent": {"has_rec": True, "w_rec": -0.1 * torch.ones(3, 3)},
}.items():
    net = network(**options)
    found = arrays(net)
    same = found.keys() == plain.keys() and all((found[k] == plain[k]).all() for k in plain)
    told = ", the graph of plain" if same and name != "plain" else ""
    print(f"{name}: {int(net(events)[0].sum())} spikes{told}")
PYTHON
env/bin/python -W ignore compare.py | tee seen
diff seen - <<'SEEN'
plain: 1634 spikes
bias: 1801 spikes, the graph of plain
recurrent: 580 spikes, the graph of plain
SEEN
