"""Models trained with quantisation: steps and ranges that their populations keep.

A fake-quantise module decides by its own buffers whether it observes and quantises, which
torch.export cannot follow. While a model is read, each one is replaced by the plain operator with
the scale that training left.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.ao.quantization import FakeQuantizeBase

from .affine import Affine
from .graph import Call, Handlers, Value, operator_name
from .messages import said
from .refusals import Refusal, Refused, UnsupportedModel

handles = Handlers()
ROUNDING = ("fake_quantize_per_tensor_affine", "quantized_decomposed::quantize_per_tensor")


class Frozen(nn.Module):
    """The rounding of a fake-quantise module, with fixed scale and zero point.

    Parameters
    ----------
    module
        What it stands for.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._take(module)

    def _take(self, module: Any) -> None:  # torch gives the buffers of a module no types
        self.enabled = bool(module.fake_quant_enabled.item())
        self.axis = module.ch_axis if module.scale.numel() > 1 else None
        self.range = (int(module.quant_min), int(module.quant_max))
        self.scale: Any = module.scale.detach().clone()
        self.zero: Any = module.zero_point.detach().clone()
        if self.axis is None:  # plain numbers, which torch.export need not follow
            self.scale, self.zero = float(self.scale.ravel()[0]), int(self.zero.ravel()[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.enabled:
            return x
        if self.axis is not None:
            return torch.fake_quantize_per_channel_affine(
                x, self.scale, self.zero, self.axis, *self.range
            )
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, *self.range)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Let the quantisers of a model compute with plain operators, and put them back.

    Every fake-quantise module of torch and torchao is replaced by its :class:`Frozen` form;
    Brevitas has a mode of its own.
    """
    replaced = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if is_fake_quantiser(child)
    ]
    try:
        for parent, name, child in replaced:
            setattr(parent, name, Frozen(child))
        with of_brevitas(model):
            yield
    finally:
        for parent, name, child in replaced:
            setattr(parent, name, child)


def is_fake_quantiser(module: nn.Module) -> bool:
    """Whether a module is a fake-quantise module of fixed scale, of torch or torchao."""
    held = ("fake_quant_enabled", "scale", "zero_point", "quant_min", "quant_max")
    return isinstance(module, FakeQuantizeBase) or all(hasattr(module, name) for name in held)


@contextmanager
def of_brevitas(model: nn.Module) -> Iterator[None]:
    """Enter Brevitas' mode of inference where a model has its layers."""
    if not any(type(module).__module__.startswith("brevitas.") for module in model.modules()):
        yield
        return
    try:
        mode = importlib.import_module("brevitas.export.inference").quant_inference_mode
    except ImportError as error:
        raise UnsupportedModel(
            [
                Refusal(
                    f"a Brevitas model without brevitas.export ({said(error)})",
                    way_out="pip install brevitas onnx",
                )
            ]
        ) from error
    with mode(model):
        yield


@handles(*ROUNDING)
def fake_quantised(call: Call) -> Value:
    """Let the population that is rounded keep the step and the range of its training."""
    names = ("scale", "zero_point", "quant_min", "quant_max")
    if any(isinstance(call[name], Affine) for name in names):
        raise Refused("its scale depends on the input")
    scale, zero, low, high = (float(call.constant(name).ravel()[0]) for name in names)
    x = call.affine("self" if "self" in call.arguments else "input")
    ends = (low - zero) * scale, (high - zero) * scale
    return call.builder.levelled(x, ends, scale, call.site, alone=read_alone(call))


def read_alone(call: Call) -> bool:
    """Whether all that reads what is rounded here rounds it."""
    (source,) = (n for n in call.node.all_input_nodes if isinstance(call.graph.values[n], Affine))
    return all(operator_name(user) in ROUNDING for user in source.users)


@handles("quantized_decomposed::dequantize_per_tensor")
def dequantised(call: Call) -> Value:
    return call.affine("input")
