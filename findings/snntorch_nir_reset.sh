#!/usr/bin/env bash
# Three networks that spike differently are one NIR file, and come back as a fourth.
#
# Versions: snntorch 1.0.0, nir 1.0.8, nirtorch 2.6, torch 2.13.0
# Behaviour: Leaky neurons that reset by subtraction, to zero or not at all are written alike
#   (v_reset 0, all other fields equal), and import_from_nir gives each of them the reset to
#   zero. Nothing is said on either way.
# Seen:
#   subtract: 9 spikes before, 8 after
#   zero: 8 spikes before, 8 after
#   none: 15 spikes before, 8 after
#   fields that tell the three files apart: none
# Why it matters: Subtraction is the default of most trainers and what conversion needs, so a
#   network that went through its own format once has other spikes and a lower accuracy. A
#   generator of hardware cannot learn the reset from the file: it must ask.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 snntorch==1.0.0 \
  nir==1.0.8 nirtorch==2.6
env/bin/python - 2>log <<'PROGRAM' || { cat log; exit 1; }
import contextlib
import io

import nir
import numpy as np
import snntorch
import torch
from snntorch.export_nir import export_to_nir
from snntorch.import_nir import import_from_nir

steps, counts, files = 16, {}, []
for reset in ("subtract", "zero", "none"):
    neuron = snntorch.Leaky(
        beta=torch.full((2,), 0.9),
        threshold=torch.ones(2),
        reset_mechanism=reset,
        init_hidden=True,
    )
    net = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), neuron)
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        net[0].weight.copy_(0.7 * torch.eye(2))
        nir.write("net.nir", export_to_nir(net, torch.ones(2)))
        graph = nir.read("net.nir")
        [fields] = [vars(node) for node in graph.nodes.values() if isinstance(node, nir.LIF)]
        files.append({key: np.asarray(fields[key]) for key in sorted(fields) if key[0] in "rtv"})
        back, state, after = import_from_nir(graph), None, 0
        neuron.reset_mem()
        before = sum(int(net(torch.ones(1, 2))[0, 0]) for _ in range(steps))
        for _ in range(steps):
            spikes, state = back(torch.ones(1, 2), state)
            after += int(spikes[0, 0])
    counts[reset] = (before, after)
    print(f"{reset}: {before} spikes before, {after} after")
assert sorted(files[0]) == ["r", "tau", "v_leak", "v_reset", "v_threshold"]
apart = [key for key in files[0] if any((file[key] != files[0][key]).any() for file in files)]
print("fields that tell the three files apart:", *apart or ["none"])
assert counts == {"subtract": (9, 8), "zero": (8, 8), "none": (15, 8)}
assert not apart
PROGRAM
