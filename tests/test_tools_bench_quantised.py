"""The bench of quantised models: a framework's graph, run in floats of 64 bits."""

import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # registers the operators of torch's quantisers
from torch import nn

from signfire.tools.bench_quantised import WideLevels, WideRecorder

FIRST, SECOND = np.float32(0.010477465577423573), np.float32(0.003451400436460972)


class Requantised(nn.Module):
    """42 steps of the first scale are 127.49999998 of the second; in 32-bit floats, 127.5."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(SECOND))
        self.register_buffer("zero", torch.tensor(0.0))
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(255.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels = torch.clamp(torch.round(x / self.scale + self.zero), self.low, self.high)
        return (levels - self.zero) * self.scale


def exact(x: torch.Tensor) -> torch.Tensor:
    """Return multiples of the first scale, not rounded to 32 bits."""
    return x.double() * float(FIRST)


def test_a_tie_that_only_32_bit_floats_have_is_none_in_the_wide_graph() -> None:
    counts = torch.tensor([[42.0], [14.0], [20.0]])
    model = Requantised()
    plain = model(counts * torch.tensor(FIRST)) / SECOND
    run = WideLevels(torch.export.export(model, (counts,)).module(), len(counts))

    run.run(exact(counts))

    assert plain.round().ravel().tolist() == [128.0, 42.0, 61.0]
    assert [levels.ravel().tolist() for levels in run.seen] == [[127.0, 42.0, 61.0]]


def test_constants_of_the_batch_s_length_alone_are_kept() -> None:
    counts = torch.ones(3, 1)
    run = WideLevels(torch.export.export(Requantised(), (counts,)).module(), 4)

    run.run(exact(counts))

    assert run.seen == []


@pytest.mark.parametrize("zero", [0, -3])
def test_torchs_quantisers_are_computed_in_64_bits(zero) -> None:
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    settings = (float(SECOND), zero, -255, 255)
    ops = torch.ops.quantized_decomposed
    levels = graph.call_function(ops.quantize_per_tensor.default, (x, *settings, torch.int16))
    values = graph.call_function(
        ops.dequantize_per_tensor.default, (levels, *settings, torch.int16)
    )
    graph.output(values)
    run = WideRecorder(torch.fx.GraphModule(nn.Module(), graph))

    answer = run.run(exact(torch.tensor([[42.0]])))

    ((seen, step),) = run.seen
    assert (seen.item(), step) == (127.0, float(SECOND))
    assert answer.item() == 127 * float(SECOND)
