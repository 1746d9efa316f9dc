"""The same dynamics in float64, step by step: what the integers are measured against.

Slow and plain. It takes a Network with its float weights and evaluates every synapse anew at every
step, as simulators of spiking networks do.
"""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics: ANN-to-SNN Conversion
# Beyond ReLU Network", ICML 2024, arXiv 2407.01645.

from collections.abc import Mapping

import numpy as np

from ..gen.design.design import Design
from ..gen.model.codes import SpikeCode
from ..gen.model.network import INPUT, Network


def codes_of(design: Design) -> dict[str, SpikeCode]:
    """Return the spike codes of a Design by population name."""
    return {p.name: p.spike_code for p in design.populations if p.code is not None}


def run(
    network: Network, x: np.ndarray, codes: Mapping[str, SpikeCode], *, batch: int = 512
) -> np.ndarray:
    """Simulate overlapped firing and return the logits x(T), (n, outputs) float64.

    Parameters
    ----------
    network
        Float weights.
    x
        (n, *input shape) real samples.
    codes
        Step sizes, rest and unit of every population but the read-out; all of one T.
    batch
        Samples held in memory at a time.
    """
    if len({code.steps for code in codes.values()}) != 1:
        raise ValueError("overlapped firing needs codes of one T for all populations")
    if any(operand.products for p in network.populations for operand in p.operands):
        raise ValueError("products of trains need settled firing, and this follows overlapped")
    parts = [_run_batch(network, x[i : i + batch], codes) for i in range(0, len(x), batch)]
    return np.concatenate(parts or [np.zeros((0, network.readout.size))])


def _run_batch(network: Network, x: np.ndarray, codes: Mapping[str, SpikeCode]) -> np.ndarray:
    shapes = {p.name: (len(x), *p.shape) for p in network.populations}
    v = {name: np.full(shapes[name], code.rest * code.unit) for name, code in codes.items()}
    sums = {
        p.name: [
            sum((q.map.apply(v[q.source]) for q in operand.projections), operand.bias)
            for operand in p.operands
        ]
        for p in network.populations
    }
    sample = x.reshape(shapes[network.input.name]).astype(np.float64)
    moved: dict[str, np.ndarray] = {}  # η(t)·σ(t) of this step
    for t in range(codes[network.input.name].steps):
        for p in network.populations:
            for k, operand in enumerate(p.operands):
                for q in operand.projections:
                    sums[p.name][k] = sums[p.name][k] - q.map.apply(moved[q.source])
            if p.name in codes:
                code = codes[p.name]
                target = sample
                if p.function != INPUT:
                    target = p.apply(sums[p.name])
                sigma = np.where(v[p.name] >= target, 1.0, -1.0)
                moved[p.name] = code.eta[t] * code.unit * sigma
                v[p.name] -= moved[p.name]
    return sums[network.readout.name][0].reshape(len(x), -1)
